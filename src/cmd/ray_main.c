/* SPDX-License-Identifier: Apache-2.0 */

/* Ray's command line. */

#include <signal.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/ray_job.h"
#include "cmd/ray_start.h"
#include "cmd/ray_state.h"
#include "cmd/ray_status.h"
#include "cmd/version.h"

static void end_now(int signo) {
    _exit(128 + signo);
}

/* bash makes the last command of `bash -c` the first process of its container, for which signals have
 * no default action: `ray job logs --follow` of a submitter would sit out the pod's grace period. */
static void let_signals_end_us(void) {
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    const struct sigaction action = { .sa_handler = end_now };
    for (size_t i = 0; getpid() == 1 && i < ARRAY_LEN(signals); i++)
        (void)!sigaction(signals[i], &action, NULL);
}

int cmd_ray(int argc, char **argv) {
    static const Command commands[] = {
        { "start", ray_start, "Start Ray processes manually on the local machine." },
        { "stop", ray_stop, "Stop Ray processes manually on the local machine." },
        { "status", ray_status, "Print cluster status, including autoscaling info." },
        { "job", ray_job, "Submit, stop, delete, or list Ray jobs." },
        { "list", ray_list, "List all states of a given resource." },
        { "get", ray_get, "Get a state of a given resource by ID." },
        { "summary", ray_summary, "Return the summarized information of a given resource." },
        { "logs", ray_logs, "Get logs based on filename (cluster) or resource identifiers." },
        { "memory", ray_memory, "Print object references held in a Ray cluster." },
        { "timeline", ray_timeline, "Take a Chrome tracing timeline for a Ray cluster." },
        { "get-auth-token", ray_get_auth_token, "Prints the Ray authentication token to stdout." },
        { "dashboard-url", ray_dashboard_url, NULL }, /* for our Python */
        { "health-check", ray_health_check,
          "Check a head: waits up to 30 s for it; exit status 0 is healthy." },
    };
    const CommandGroup group = {
        .command = "ray",
        .about = "Ray's command line.",
        .version = "ray, version " RAY_VERSION,
        .commands = commands,
        .len = ARRAY_LEN(commands),
    };
    let_signals_end_us();
    return commands_run(&group, argc, argv);
}
