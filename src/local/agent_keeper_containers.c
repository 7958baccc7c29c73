/* SPDX-License-Identifier: Apache-2.0 */

/* What a keeper does to containers: start, watch, execute beside, record the end. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "local/agent_file.h"
#include "local/agent_init.h"
#include "local/agent_keeper_private.h"

enum {
    OUTPUT_ROUNDS = 64 /* reads of one stream before the others get their turn */
};

Kept *kept_find(KeeperProcess *keeper, const char *name) {
    LIST_EACH(item, &keeper->containers) {
        Kept *kept = LIST_ITEM(item, Kept, all);
        if (str_eq(kept->name, name))
            return kept;
    }
    return NULL;
}

static json_t *kept_event(const Kept *kept) {
    json_t *event =
        json_pack("{s:s,s:s,s:i,s:s,s:i,s:I,s:I,s:i,s:b,s:b}", "ev", "container", "name",
                  kept->name, "attempt", kept->attempt, "state",
                  kept->state == KEPT_EXITED ? "exited" : "running", "pid", (int)kept->init,
                  "startedAt", (json_int_t)kept->started, "finishedAt", (json_int_t)kept->finished,
                  "code", kept->code, "oom", (int)kept->oom, "startError", (int)kept->start_error);
    if (kept->message)
        json_object_set_new(event, "message", json_string(kept->message));
    return event;
}

void kept_tell(KeeperProcess *keeper, const Kept *kept) {
    if (kept->state != KEPT_STARTING)
        keeper_tell(keeper, kept_event(kept), -1);
}

/* On disk before anybody hears of it: what was told stays true whoever dies next. */
static void kept_record(KeeperProcess *keeper, const Kept *kept) {
    _cleanup_json_ json_t *event = kept_event(kept);
    _cleanup_free_ char *path = str_printf("%s/state.json", kept->dir);
    int r = state_write(path, event);
    UNUSED(r); /* a full disk must not keep the container from being watched */
    kept_tell(keeper, kept);
}

void kept_free(KeeperProcess *keeper, Kept *kept) {
    kept_attached_drop(keeper, kept);
    list_remove(&kept->all);
    container_spec_done(&kept->spec);
    cgroup_done(&kept->group);
    fd_close(kept->out);
    fd_close(kept->err);
    fd_close(kept->report);
    fd_close(kept->in);
    fd_close(kept->terminal);
    buf_done(&kept->input);
    buf_done(&kept->report_text);
    buf_done(&kept->streams[0].rest);
    buf_done(&kept->streams[1].rest);
    logfile_done(&kept->log);
    mem_free(kept->name);
    mem_free(kept->dir);
    mem_free(kept->message);
    mem_free(kept);
}

static Kept *kept_new(KeeperProcess *keeper, const char *name, int attempt) {
    Kept *kept = mem_new(Kept);
    kept->name = str_dup(name);
    kept->attempt = attempt;
    kept->dir = str_printf("%s/containers/%s/%d", keeper->dir, name, attempt);
    kept->out = kept->err = kept->report = kept->in = kept->terminal = -1;
    list_init(&kept->attached);
    kept->log.fd = -1;
    kept->streams[0].name = "stdout";
    kept->streams[1].name = "stderr";
    list_push(&keeper->containers, &kept->all);
    return kept;
}

static int spec_load(Kept *kept) {
    _cleanup_free_ char *path = str_printf("%s/spec.json", kept->dir);
    _cleanup_json_ json_t *json = NULL;
    int r = state_read(path, &json);
    return r < 0 ? r : container_spec_decode(json, &kept->spec);
}

/* Our end first, then the container's. */
typedef struct Pipes {
    int in[2], out[2], err[2], report[2];
} Pipes;

static void pipes_done(Pipes *pipes) {
    for (int i = 0; i < 2; i++) {
        fd_close(pipes->in[i]);
        fd_close(pipes->out[i]);
        fd_close(pipes->err[i]);
        fd_close(pipes->report[i]);
    }
}

static int input_init(Pipes *pipes) {
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return error_last("make pipes");
    pipes->in[0] = pair[1];
    pipes->in[1] = pair[0];
    return fd_set_nonblock(pipes->in[0]);
}

static int output_init(int pair[static 2]) {
    if (pipe2(pair, O_CLOEXEC) < 0)
        return error_last("make pipes");
    return fd_set_nonblock(pair[0]);
}

/* With a terminal there is one way only, by which it comes when the container has made it. */
static int pipes_init(Pipes *pipes, const ContainerSpec *spec) {
    int r = output_init(pipes->report);
    if (r == 0 && spec->tty)
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pipes->in) < 0
                   ? error_last("make a socket pair")
                   : 0;
    if (r == 0)
        r = output_init(pipes->out);
    if (r == 0)
        r = output_init(pipes->err);
    return r == 0 && spec->input ? input_init(pipes) : r;
}

static void pipes_keep(Pipes *pipes, Kept *kept) {
    kept->out = pipes->out[0];
    kept->err = pipes->err[0];
    kept->report = pipes->report[0];
    if (kept->spec.tty)
        kept->terminal = pipes->in[0];
    else
        kept->in = pipes->in[0];
    pipes->in[0] = pipes->out[0] = pipes->err[0] = pipes->report[0] = -1;
}

static int kept_launch(KeeperProcess *keeper, Kept *kept) {
    const ContainerSpec *spec = &kept->spec;
    CgroupStats stats;
    int r = 0;
    if (spec->cgroup) {
        r = cgroup_make(&keeper->cgroups, spec->cgroup, &spec->limits, &kept->group);
        cgroup_stats(&kept->group, &stats);
        kept->oom_before = stats.oom_kills;
    }
    if (r == 0)
        r = logfile_open(spec->log, spec->log_max, spec->log_files, &kept->log);
    _cleanup_(pipes_done) Pipes pipes = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
    if (r < 0)
        return r;
    r = pipes_init(&pipes, spec);
    ContainerPlace place = { .dir = kept->dir, .cgroups = &keeper->cgroups };
    if (r == 0)
        r = container_start(spec, &place, &kept->group,
                            (int[]){ pipes.in[1], pipes.out[1], pipes.err[1] }, pipes.report[1],
                            &kept->init);
    if (r < 0)
        return r;
    pipes_keep(&pipes, kept);
    return 0;
}

static void kept_exited(KeeperProcess *keeper, Kept *kept, int code, const char *start_error) {
    kept->state = KEPT_EXITED;
    kept->finished = time_wall_now();
    kept->code = code;
    if (start_error) {
        kept->start_error = true;
        str_set(&kept->message, start_error);
    }
    kept_record(keeper, kept);
}

int kept_start(KeeperProcess *keeper, const char *name, int attempt) {
    Kept *before = kept_find(keeper, name);
    if (before && before->state != KEPT_EXITED)
        return error_origin(-EBUSY, "container %s runs already", name);
    if (before)
        kept_free(keeper, before);
    else if (keeper->container_count++ >= KEEPER_CONTAINERS_MAX)
        return error_origin(-E2BIG, "too many containers in a pod");
    Kept *kept = kept_new(keeper, name, attempt);
    kept->started = time_wall_now();
    int r = spec_load(kept);
    if (r == 0)
        r = kept_launch(keeper, kept);
    if (r < 0)
        kept_exited(keeper, kept, 128, error_text(r));
    return 0;
}

/* Takes what there is of a report. True at its end. */
static bool report_read(int *fd, Buf *text) {
    for (;;) {
        char chunk[512];
        ssize_t n = read(*fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0) {
            *fd = fd_close(*fd);
            return true;
        }
        if (text->len < REPORT_MAX)
            buf_add(text, chunk, (size_t)n);
    }
}

void kept_report_ready(KeeperProcess *keeper, Kept *kept) {
    if (!report_read(&kept->report, &kept->report_text))
        return;
    if (kept->report_text.len) {
        kept->start_error = true;
        str_set(&kept->message, kept->report_text.data);
        return; /* the process is about to end */
    }
    kept->state = KEPT_RUNNING;
    kept->started = time_wall_now();
    kept_record(keeper, kept);
}

void kept_output_ready(Kept *kept, int stream) {
    int *fd = stream == 0 ? &kept->out : &kept->err;
    LogStream *log = &kept->streams[stream];
    char chunk[16384];
    for (int round = 0; round < OUTPUT_ROUNDS && *fd >= 0; round++) {
        if (kept->state != KEPT_EXITED && kept->init > 0 && kept_output_waits(kept, stream))
            return;
        ssize_t n = read(*fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        /* A log that cannot be written (full disk) loses output rather than stop the program. */
        int r = n > 0 ? log_stream_feed(log, &kept->log, chunk, (size_t)n, time_wall_now())
                      : log_stream_end(log, &kept->log, time_wall_now());
        UNUSED(r);
        if (n > 0)
            kept_attached_output(kept, stream, chunk, (size_t)n);
        else
            *fd = fd_close(*fd);
    }
}

static void output_drain(Kept *kept) {
    for (int stream = 0; stream < 2; stream++) {
        int *fd = stream == 0 ? &kept->out : &kept->err;
        kept_output_ready(kept, stream);
        int r = log_stream_end(&kept->streams[stream], &kept->log, time_wall_now());
        UNUSED(r);
        *fd = fd_close(*fd); /* whoever holds the other end is no process of the container */
    }
}

static void kept_ended(KeeperProcess *keeper, Kept *kept, int status) {
    if (kept->report >= 0)
        kept_report_ready(keeper, kept); /* whether it ever ran */
    kept_terminal_ready(kept);           /* what a short program wrote is still in it */
    kept->init = 0;
    output_drain(kept);
    kept_attached_end(keeper, kept);
    CgroupStats stats;
    cgroup_stats(&kept->group, &stats);
    kept->oom = stats.oom_kills > kept->oom_before;
    int r = cgroup_remove(&kept->group);
    UNUSED(r); /* an exec may still be leaving it; the agent sweeps */
    kept_exited(keeper, kept, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                NULL);
}

void kept_reap(KeeperProcess *keeper) {
    LIST_EACH(item, &keeper->containers) {
        Kept *kept = LIST_ITEM(item, Kept, all);
        int status;
        if (kept->init > 0 && waitpid(kept->init, &status, WNOHANG) == kept->init)
            kept_ended(keeper, kept, status);
    }
}

static void exec_free(KeeperProcess *keeper, KeptExec *exec) {
    list_remove(&exec->all);
    keeper->exec_count--;
    fd_close(exec->report);
    buf_done(&exec->report_text);
    mem_free(exec->container);
    mem_free(exec);
}

static void exec_tell(KeeperProcess *keeper, uint64_t id, int code, const char *error) {
    json_t *event = json_pack("{s:s,s:I,s:i}", "ev", "exec", "id", (json_int_t)id, "code", code);
    if (error)
        json_object_set_new(event, "error", json_string(error));
    keeper_tell(keeper, event, -1);
}

static int argv_decode(const json_t *argv, StrList *list) {
    size_t i;
    json_t *item;
    json_array_foreach(argv, i, item) {
        if (!json_is_string(item))
            return error_origin(-EINVAL, "command[%zu] is no string", i);
        strlist_add(list, json_string_value(item));
    }
    return list->len ? 0 : error_origin(-EINVAL, "you must specify at least one command");
}

int exec_start(KeeperProcess *keeper, uint64_t id, const char *container, const json_t *argv,
               bool tty, const int fds[static 3]) {
    Kept *kept = kept_find(keeper, container);
    if (!kept || kept->state != KEPT_RUNNING || kept->init <= 0)
        return error_origin(-ENOENT, "container %s does not run", container);
    if (keeper->exec_count >= KEEPER_EXECS_MAX)
        return error_origin(-EBUSY, "too many programs are executed in this pod at once");
    _cleanup_strlist_ StrList list = { 0 };
    int report[2];
    pid_t between;
    int r = argv_decode(argv, &list);
    if (r < 0)
        return r;
    if (pipe2(report, O_CLOEXEC) < 0)
        return error_last("make a pipe");
    r = fd_set_nonblock(report[0]);
    if (r == 0)
        r = container_exec(&kept->spec, kept->init, &kept->group, list.items, fds, tty, report[1],
                           &between);
    fd_close(report[1]);
    if (r < 0) {
        fd_close(report[0]);
        return r;
    }
    KeptExec *exec = mem_new(KeptExec);
    *exec = (KeptExec){
        .id = id, .container = str_dup(container), .attempt = kept->attempt, .report = report[0]
    };
    list_push(&keeper->execs, &exec->all);
    keeper->exec_count++;
    return 0;
}

/* "P<pid>\n" if it came; the rest is a failure's sentence. */
static const char *report_split(const char *text, pid_t *ret_pid) {
    int pid, used = 0;
    if (text && sscanf(text, "P%d\n%n", &pid, &used) == 1) {
        *ret_pid = (pid_t)pid;
        return text + used;
    }
    return text;
}

void exec_report_ready(KeeperProcess *keeper, KeptExec *exec) {
    bool end = report_read(&exec->report, &exec->report_text);
    pid_t pid = 0;
    const char *rest = report_split(exec->report_text.data, &pid);
    if (pid > 0 && !exec->known)
        exec->pid = pid;
    exec->known |= pid > 0;
    if (exec->pid > 0 && exec->kill)
        kill(exec->pid, SIGKILL);
    if (!end)
        return;
    bool failed = !str_empty(rest);
    if (!failed && exec->known)
        return; /* it runs; the end comes by its status */
    if (!exec->over)
        exec_tell(keeper, exec->id, 128, failed ? rest : "the process could not be started");
    exec->over = true;
}

void exec_kill(KeeperProcess *keeper, uint64_t id) {
    LIST_EACH(item, &keeper->execs) {
        KeptExec *exec = LIST_ITEM(item, KeptExec, all);
        if (exec->id != id)
            continue;
        exec->kill = true;
        if (exec->pid > 0)
            kill(exec->pid, SIGKILL);
    }
}

static bool reaped(pid_t *pid, int *status) {
    if (*pid <= 0 || waitpid(*pid, status, WNOHANG) != *pid)
        return false;
    *pid = 0;
    return true;
}

void exec_reap(KeeperProcess *keeper) {
    LIST_EACH_SAFE(item, &keeper->execs) {
        KeptExec *exec = LIST_ITEM(item, KeptExec, all);
        int status;
        reaped(&exec->between, &status);
        if (exec->report >= 0 && !exec->between)
            exec_report_ready(keeper, exec); /* the pid, before its end is looked for */
        if (reaped(&exec->pid, &status)) {
            if (exec->report >= 0)
                exec_report_ready(keeper, exec);
            if (!exec->over)
                exec_tell(keeper, exec->id,
                          WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), NULL);
            exec->over = true;
        }
        if (exec->over && !exec->between && exec->pid <= 0)
            exec_free(keeper, exec);
    }
}
