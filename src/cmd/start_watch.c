/* SPDX-License-Identifier: Apache-2.0 */

/* `ray start --block`: watches a node's processes. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cmd/start_process.h"
#include "loop/loop.h"

enum {
    RESTARTS_MAX = 10 /* a minute; more is a crash loop */
};

typedef struct Watch Watch;

typedef struct Watched {
    Watch *watch;
    NodeProcess *process;
    LoopChild *child;
} Watched;

struct Watch {
    Loop *loop;
    NodeProcesses *all;
    Watched items[NODE_PROCESSES_MAX];
    LoopSignal *signals[2];
    int exit_log, status;
};

static void say_exit(Watch *watch, const NodeProcess *process, const LoopExit *end, bool again) {
    int code = end->signal ? -end->signal : end->code;
    say_blank();
    say(0, "Some Ray subprocesses exited unexpectedly:");
    say(1, "%s [exit code=%d]%s", process->name, code, again ? " (it was started again)" : "");
    fflush(stdout);
    _cleanup_free_ char *line =
        str_printf("Some Ray subprocesses exited unexpectedly:\n  %s [exit code=%d]%s\n",
                   process->name, code, again ? " (it was started again)" : "");
    if (watch->exit_log >= 0 && fd_write_all(watch->exit_log, line, strlen(line)) < 0)
        watch->exit_log = fd_close(watch->exit_log);
}

static bool expected(const LoopExit *end) {
    return end->signal == SIGTERM ||
           (!end->signal && (end->code == 0 || end->code == SIGTERM || end->code == 128 + SIGTERM));
}

static bool may_restart(Watch *watch, NodeProcess *process) {
    if (!process->restartable)
        return false;
    usec_t now = loop_now(watch->loop);
    if (now - process->restarted > USEC_PER_MIN)
        process->restarts = 0;
    process->restarted = now;
    return ++process->restarts <= RESTARTS_MAX;
}

static int watch_one(Watched *watched);

static void on_exit_of(void *ctx, const LoopExit *end) {
    Watched *watched = ctx;
    Watch *watch = watched->watch;
    NodeProcess *process = watched->process;
    watched->child = loop_child_free(watched->child);
    process->child = CHILD_NONE;
    if (expected(end)) {
        node_process_over(process);
        return;
    }
    bool again = may_restart(watch, process) && node_process_launch(watch->all, process) == 0 &&
                 watch_one(watched) == 0;
    say_exit(watch, process, end, again);
    if (again)
        return;
    say_blank();
    say(0, "Remaining processes will be killed.");
    fflush(stdout);
    watch->status = 1;
    loop_stop(watch->loop);
}

/* The loop takes the pidfd over; what is left of the child is its pid. */
static int watch_one(Watched *watched) {
    NodeProcess *process = watched->process;
    int pidfd = fcntl(process->child.pidfd, F_DUPFD_CLOEXEC, 3);
    if (pidfd < 0)
        return error_last("watch %s", process->name);
    int r = loop_child_new(watched->watch->loop, pidfd, on_exit_of, watched, &watched->child);
    if (r < 0)
        close(pidfd);
    return r;
}

static void on_signal(void *ctx, int signo) {
    Watch *watch = ctx;
    if (signo == SIGINT)
        watch->status = 128 + SIGINT;
    loop_stop(watch->loop);
}

static void watch_done(Watch *watch) {
    for (size_t i = 0; i < NODE_PROCESSES_MAX; i++)
        loop_child_free(watch->items[i].child);
    for (size_t i = 0; i < ARRAY_LEN(watch->signals); i++)
        loop_signal_free(watch->signals[i]);
    loop_free(watch->loop);
    fd_close(watch->exit_log);
}

static int watch_open(Watch *watch) {
    static const int signals[] = { SIGTERM, SIGINT };
    int r = loop_new(&watch->loop);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(signals); i++)
        r = loop_signal_new(watch->loop, signals[i], on_signal, watch, &watch->signals[i]);
    for (size_t i = 0; r == 0 && i < watch->all->len; i++) {
        watch->items[i] = (Watched){ watch, &watch->all->items[i] };
        r = watch_one(&watch->items[i]);
    }
    return r;
}

int node_watch(NodeProcesses *all, const StartedNode *node) {
    _cleanup_(watch_done) Watch watch = { .all = all };
    _cleanup_free_ char *path = str_printf("%s/logs/ray_process_exit.log", node->session_dir);
    watch.exit_log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    say_blank();
    say(0, "--block");
    say(1, "This command will now block forever until terminated by a signal.");
    say(1, "Running subprocesses are monitored and a message will be printed if any of them "
           "terminate unexpectedly. Subprocesses exit with SIGTERM will be treated as graceful, "
           "thus NOT reported.");
    say(1, "Process exit logs will be saved to: %s", path);
    fflush(stdout);
    int r = watch_open(&watch);
    if (r == 0)
        loop_run(watch.loop);
    else
        watch.status = say_error("Error: %s", error_text(r));
    for (size_t i = 0; i < NODE_PROCESSES_MAX; i++)
        watch.items[i].child = loop_child_free(watch.items[i].child);
    node_processes_end(all);
    return watch.status;
}
