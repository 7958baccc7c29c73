/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/start_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/cluster_address.h"
#include "codec/json.h"

extern char **environ;

enum {
    READY_FD = 3,
    DOOR_FD = 4,    /* the first one */
    READY_MAX = 64 * 1024,
    MENDED_MAX = 3, /* restarts before all are ready */
};
#define READY_PATIENCE (60 * USEC_PER_SEC)
#define END_PATIENCE   (5 * USEC_PER_SEC)

NodeProcesses *node_processes_new(const StartArgs *args) {
    NodeProcesses *all = mem_new(NodeProcesses);
    all->temp_dir = args->temp_dir ? str_dup(args->temp_dir) : cluster_temp_dir();
    all->block = args->block;
    all->no_redirect = args->no_redirect;
    return all;
}

void node_processes_session(NodeProcesses *all, const char *session_dir) {
    str_set(&all->session_dir, session_dir);
    setenv("MOBULA_SESSION", session_dir, 1);
}

void node_process_over(NodeProcess *process) {
    process->over = true;
    for (size_t i = 0; i < process->doors_len; i++)
        fd_close(process->doors[i]);
    process->doors_len = 0;
}

NodeProcesses *node_processes_free(NodeProcesses *all) {
    if (!all)
        return NULL;
    for (size_t i = 0; i < all->len; i++) {
        mem_free(all->items[i].name);
        strlist_done(&all->items[i].argv);
        child_release(&all->items[i].child);
        fd_close(all->items[i].ready);
        node_process_over(&all->items[i]);
    }
    mem_free(all->temp_dir);
    mem_free(all->session_dir);
    return mem_free(all);
}

NodeProcess *node_process_add(NodeProcesses *all, const char *name, const char *role,
                              bool restartable) {
    ASSERT(all->len < NODE_PROCESSES_MAX);
    NodeProcess *process = &all->items[all->len++];
    *process = (NodeProcess){
        .name = str_dup(name), .restartable = restartable, .child = CHILD_NONE, .ready = -1
    };
    strlist_add(&process->argv, "mobula");
    strlist_add(&process->argv, role);
    node_process_arg(process, "--ready-fd", "%d", READY_FD);
    return process;
}

void node_process_arg(NodeProcess *process, const char *option, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    strlist_add(&process->argv, option);
    strlist_take(&process->argv, str_vprintf(format, ap));
    va_end(ap);
}

void node_process_flag(NodeProcess *process, const char *option) {
    strlist_add(&process->argv, option);
}

void node_process_door(NodeProcess *process, const char *option, Door door) {
    ASSERT(process->doors_len < NODE_DOORS_MAX);
    node_process_arg(process, option, "fd:%zu", DOOR_FD + process->doors_len);
    process->doors[process->doors_len++] = door.fd;
}

/* -------------------------------------------------------------------------------- launch */

static int open_log(const NodeProcesses *all, const char *name, const char *ending, int *ret_fd) {
    _cleanup_free_ char *path = str_printf("%s/logs/%s.%s", all->session_dir, name, ending);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_last("open %s", path);
    *ret_fd = fd;
    return 0;
}

static int spawn(NodeProcesses *all, NodeProcess *process, int ready) {
    _cleanup_close_ int out = -1, err = -1;
    int r = 0;
    if (!all->no_redirect) {
        r = open_log(all, process->name, "out", &out);
        if (r == 0)
            r = open_log(all, process->name, "err", &err);
    }
    if (r < 0)
        return r;
    SpawnFd fds[3 + NODE_DOORS_MAX] = { { out >= 0 ? out : 1, 1 },
                                        { err >= 0 ? err : 2, 2 },
                                        { ready, READY_FD } };
    for (size_t i = 0; i < process->doors_len; i++)
        fds[3 + i] = (SpawnFd){ process->doors[i], DOOR_FD + (int)i };
    const SpawnSpec spec = {
        .argv = process->argv.items,
        .program = "/proc/self/exe",
        .fds = fds,
        .fd_count = 3 + process->doors_len,
        .group = SPAWN_NEW_SESSION,
        .death_signal = all->block ? SIGTERM : 0,
    };
    return spawn_start(&spec, &process->child);
}

int node_process_launch(NodeProcesses *all, NodeProcess *process) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_last("pipe");
    process->ready = fd_close(process->ready);
    process->launched = true;
    process->over = false;
    int r = spawn(all, process, fds[1]);
    close(fds[1]);
    process->ready = fds[0];
    return r;
}

static int mend(NodeProcesses *all, NodeProcess *process, usec_t deadline);

/* Until `waited` has something to read. Meanwhile those that were ready before may end; a raylet
 * would wait long for a gcs that is gone. */
static int wait_readable(NodeProcesses *all, NodeProcess *waited, usec_t deadline) {
    for (;;) {
        struct pollfd fds[NODE_PROCESSES_MAX];
        for (size_t i = 0; i < all->len; i++) {
            const NodeProcess *process = &all->items[i];
            bool was_ready = process->ready < 0 && process->child.pid;
            fds[i] = (struct pollfd){ .fd = process == waited ? process->ready
                                            : was_ready       ? process->child.pidfd
                                                              : -1,
                                      .events = POLLIN };
        }
        usec_t left = MAX(deadline - time_mono_now(), 0);
        int n = poll(fds, all->len, (int)(left / USEC_PER_MSEC));
        if (n == 0)
            return error_origin(-ETIMEDOUT, "%s did not become ready", waited->name);
        for (size_t i = 0; n > 0 && i < all->len; i++) {
            if (&all->items[i] == waited || !fds[i].revents)
                continue;
            int r = mend(all, &all->items[i], deadline);
            if (r < 0)
                return r;
        }
        if (n > 0 && fds[waited - all->items].revents)
            return 0;
    }
}

/* One line: {"error": …}, or that it is ready. End of file: it died, which is not its own word. */
static int wait_ready(NodeProcesses *all, NodeProcess *process, usec_t deadline) {
    _cleanup_buf_ Buf line = { 0 };
    _cleanup_json_ json_t *json = NULL;
    while (line.len < READY_MAX && !(line.len && line.data[line.len - 1] == '\n')) {
        char chunk[1024];
        int r = wait_readable(all, process, deadline);
        if (r < 0)
            return r;
        ssize_t n = read(process->ready, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mend(all, process, deadline);
        buf_add(&line, chunk, (size_t)n);
    }
    process->ready = fd_close(process->ready);
    int r = json_parse(line.data, line.len, NULL, 0, &json);
    const char *problem = r == 0 ? json_str_at(json, "error") : NULL;
    if (problem)
        return error_origin(-ECHILD, "%s: %s", process->name, problem);
    return r;
}

/* It has ended: once more, if that loses nothing. */
static int mend(NodeProcesses *all, NodeProcess *process, usec_t deadline) {
    ChildExit end;
    char how[CHILD_EXIT_TEXT_MAX];
    int r = child_wait(&process->child, END_PATIENCE, &end);
    if (r != 0)
        return r < 0 ? r : error_origin(-ECHILD, "%s has closed its pipe", process->name);
    child_exit_text(end, how);
    if (!process->restartable || process->restarts++ == MENDED_MAX)
        return error_origin(-ECHILD, "%s ended with %s; see its log %s.err", process->name, how,
                            process->name);
    r = node_process_launch(all, process);
    return r < 0 ? r : wait_ready(all, process, deadline);
}

int node_processes_launch(NodeProcesses *all) {
    usec_t deadline = time_mono_now() + READY_PATIENCE;
    int r = 0;
    for (size_t i = 0; r == 0 && i < all->len; i++)
        if (!all->items[i].launched)
            r = node_process_launch(all, &all->items[i]);
    for (size_t i = 0; r == 0 && i < all->len; i++)
        if (all->items[i].ready >= 0)
            r = wait_ready(all, &all->items[i], deadline);
    return r;
}

/* ----------------------------------------------------------------------------------- end */

/* Says whether it is gone. */
static bool wait_gone(NodeProcess *process, usec_t deadline) {
    ChildExit end;
    if (process->child.pid == 0)
        return true;
    return child_wait(&process->child, MAX(deadline - time_mono_now(), 0), &end) != 1;
}

void node_processes_end(NodeProcesses *all) {
    usec_t deadline = time_mono_now() + END_PATIENCE;
    /* The raylet first: it says goodbye to gcs. */
    for (size_t i = all->len; i-- > 0;)
        if (all->items[i].child.pid)
            child_signal(&all->items[i].child, SIGTERM);
    for (size_t i = 0; i < all->len; i++) {
        if (wait_gone(&all->items[i], deadline))
            continue;
        child_signal(&all->items[i].child, SIGKILL);
        wait_gone(&all->items[i], time_mono_now() + END_PATIENCE);
    }
}
