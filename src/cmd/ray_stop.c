/* SPDX-License-Identifier: Apache-2.0 */

/* `ray stop`: ends what the sessions of the temp folder started, and nothing else: each process
 * carries its session in its environment. Only processes that this PID namespace shows. */

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "cmd/cluster_address.h"
#include "cmd/ray_start.h"
#include "host/process.h"
#include "host/session.h"

#define POLL_PERIOD (20 * USEC_PER_MSEC)

enum {
    GRACE_MAX_S = 86400
};

static int find_processes(const char *temp_dir, PidList *out) {
    DIR *dir = opendir(temp_dir);
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!str_starts(entry->d_name, "session_") || str_eq(entry->d_name, "session_latest"))
            continue;
        _cleanup_free_ char *mark = str_printf("MOBULA_SESSION=%s/%s", temp_dir, entry->d_name);
        PidList found = { 0 };
        if (process_find_by_env(mark, &found) == 0) {
            VEC_EACH(pid, &found)
                vec_push(out, *pid);
        }
        vec_done(&found);
    }
    closedir(dir);
    return 0;
}

static size_t count_alive(const PidList *pids) {
    size_t alive = 0;
    VEC_EACH(pid, pids)
        alive += process_alive(*pid);
    return alive;
}

static void signal_all(const PidList *pids, int signo) {
    VEC_EACH(pid, pids) {
        if (process_alive(*pid))
            kill(*pid, signo);
    }
}

/* How many are left when they are all gone or the time is over. */
static size_t wait_for_end(const PidList *pids, usec_t patience) {
    usec_t deadline = time_mono_now() + patience;
    size_t alive;
    while ((alive = count_alive(pids)) > 0 && time_mono_now() < deadline) {
        struct timespec period = { 0, POLL_PERIOD * 1000 };
        nanosleep(&period, NULL);
    }
    return alive;
}

static int stop(const char *temp_dir, bool force, int64_t grace) {
    PidList pids = { 0 }, late = { 0 };
    _cleanup_free_ char *address = NULL;
    int r = find_processes(temp_dir, &pids);
    if (r < 0)
        return say_error("Error: %s", error_text(r));
    size_t total = pids.len;
    signal_all(&pids, force ? SIGKILL : SIGTERM);
    size_t left = wait_for_end(&pids, grace * USEC_PER_SEC);
    if (total == 0)
        say(0, "Did not find any active Ray processes.");
    else if (left == 0)
        say(0, "Stopped all %zu Ray processes.", total);
    else
        say_warning("Stopped only %zu out of %zu Ray processes within the grace period %lld "
                    "seconds. Set `-v` to see more details. Remaining processes will be forcefully "
                    "terminated.",
                    total - left, total, (long long)grace);
    /* Once more: also what was forked while the first signals went out. */
    if (find_processes(temp_dir, &late) == 0 && late.len) {
        signal_all(&late, SIGKILL);
        wait_for_end(&late, USEC_PER_SEC);
    }
    if (session_address_read(temp_dir, &address) == 0 &&
        session_address_clear(temp_dir, address) < 0)
        say_warning("%s/ray_current_cluster could not be removed", temp_dir);
    vec_done(&pids);
    vec_done(&late);
    return 0;
}

int ray_stop(int argc, char **argv) {
    bool force = false;
    int64_t grace = 16;
    const char *temp_dir = NULL;
    SayStyle style = { 0 };
    const Option options[] = {
        { "force", OPTION_FLAG, &force, "If set, ray will send SIGKILL instead of SIGTERM.",
          .letter = 'f' },
        { "grace-period", OPTION_INT, &grace,
          "The time in seconds ray waits for processes to be properly terminated. If processes are "
          "not terminated within the grace period, they are forcefully terminated after the grace "
          "period.",
          .letter = 'g' },
        { "temp-dir", OPTION_TEXT, &temp_dir,
          "the --temp-dir that `ray start` was given; without it, what was started without one is "
          "stopped" },
        SAY_OPTIONS(&style),
    };
    const OptionTable table = { "ray stop", NULL,
                                "Stop Ray processes manually on the local machine.", options,
                                ARRAY_LEN(options) };
    int first, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    say_setup(&style);
    _cleanup_free_ char *usual = cluster_temp_dir();
    return stop(temp_dir ? temp_dir : usual, force, CLAMP(grace, 0, GRACE_MAX_S));
}
