/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "local/agent_packet.h"

enum {
    LAUNCH_WAIT_MSEC = 5000,
    CONNECT_WAIT_SECONDS = 1,
    COMM_MAX = 64,
};

struct Keeper {
    Loop *loop;
    LoopFd *watch;
    int fd;
    const KeeperEvents *events;
    void *ctx;
    bool inside, dead; /* freed inside a callback: the memory goes when that returns */
};

int launcher_launch(int launcher, const char *pod_dir) {
    _cleanup_json_ json_t *request = json_pack("{s:s}", "dir", pod_dir), *answer = NULL;
    int r = packet_send(launcher, request, NULL, 0);
    struct pollfd wait = { .fd = launcher, .events = POLLIN };
    if (r == 0 && poll(&wait, 1, LAUNCH_WAIT_MSEC) <= 0)
        r = error_origin(-ETIMEDOUT, "the launcher of pods does not answer");
    int fds[PACKET_FDS];
    if (r == 0)
        r = packet_receive(launcher, &answer, fds);
    if (r != 0)
        return r < 0 ? r : error_origin(-EPIPE, "the launcher of pods is gone");
    const char *error = json_str_at(answer, "error");
    return error ? error_origin(-EIO, "start a pod's keeper: %s", error) : 0;
}

/* Through /proc/self/fd, since a socket's path must be short and a state folder's need not be. */
static int open_socket(const char *pod_dir, int *ret_fd) {
    _cleanup_close_ int dir = open(pod_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_last("open %s", pod_dir);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_last("make a socket");
    /* One that stands still takes no more than its backlog holds. */
    struct timeval patience = { .tv_sec = CONNECT_WAIT_SECONDS };
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/keeper.sock", dir);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_last("connect to the keeper in %s", pod_dir);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static void deliver(Keeper *keeper, const json_t *event, int fds[static PACKET_FDS]) {
    const KeeperEvents *events = keeper->events;
    const char *kind = json_str_at(event, "ev");
    uint64_t id = (uint64_t)json_int_at(event, 0, "id");
    if (str_eq(kind, "ready")) {
        events->ready(keeper->ctx, (pid_t)json_int_at(event, 0, "pid"));
    } else if (str_eq(kind, "failed")) {
        const char *message = json_str_at(event, "message");
        events->failed(keeper->ctx, message ? message : "");
    } else if (str_eq(kind, "container")) {
        events->container(keeper->ctx, event);
    } else if (str_eq(kind, "exec")) {
        events->exec(keeper->ctx, id, (int)json_int_at(event, 0, "code"),
                     json_str_at(event, "error"));
    } else if (str_eq(kind, "socket")) {
        int fd = fds[0];
        fds[0] = -1;
        events->socket(keeper->ctx, id, fd);
    }
}

static void keeper_readable(void *ctx, unsigned ready) {
    UNUSED(ready);
    Keeper *keeper = ctx;
    keeper->inside = true;
    while (!keeper->dead) {
        _cleanup_json_ json_t *event = NULL;
        int fds[PACKET_FDS];
        int r = packet_receive(keeper->fd, &event, fds);
        if (r == PACKET_NONE)
            break;
        if (r != 0) {
            keeper->watch = loop_fd_free(keeper->watch);
            keeper->events->gone(keeper->ctx);
            break;
        }
        deliver(keeper, event, fds);
        for (int i = 0; i < PACKET_FDS; i++)
            fd_close(fds[i]);
    }
    keeper->inside = false;
    if (keeper->dead)
        keeper_free(keeper);
}

int keeper_connect(Loop *loop, const char *pod_dir, const KeeperEvents *events, void *ctx,
                   Keeper **ret_keeper) {
    int fd;
    int r = open_socket(pod_dir, &fd);
    if (r < 0)
        return r;
    Keeper *keeper = mem_new(Keeper);
    *keeper = (Keeper){ .loop = loop, .fd = fd, .events = events, .ctx = ctx };
    r = loop_fd_new(loop, fd, LOOP_READABLE, keeper_readable, keeper, &keeper->watch);
    if (r < 0) {
        keeper_free(keeper);
        return r;
    }
    *ret_keeper = keeper;
    return 0;
}

Keeper *keeper_free(Keeper *keeper) {
    if (!keeper)
        return NULL;
    keeper->watch = loop_fd_free(keeper->watch);
    keeper->fd = fd_close(keeper->fd);
    keeper->dead = true;
    if (keeper->inside)
        return NULL;
    return mem_free(keeper);
}

static int send_take(Keeper *keeper, json_t *message, const int *fds, size_t fd_count) {
    int r = packet_send(keeper->fd, message, fds, fd_count);
    json_decref(message);
    return r;
}

int keeper_start_container(Keeper *keeper, const char *name, int attempt) {
    return send_take(
        keeper, json_pack("{s:s,s:s,s:i}", "op", "start", "container", name, "attempt", attempt),
        NULL, 0);
}

int keeper_signal(Keeper *keeper, const char *name, int signal) {
    return send_take(
        keeper, json_pack("{s:s,s:s,s:i}", "op", "signal", "container", name, "signal", signal),
        NULL, 0);
}

/* All three, so that each has its place. */
static int send_with_streams(Keeper *keeper, json_t *message, const int fds[static 3]) {
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int all[3];
    for (int i = 0; i < 3; i++)
        all[i] = fds[i] >= 0 ? fds[i] : null;
    return send_take(keeper, message, all, 3);
}

int keeper_exec(Keeper *keeper, uint64_t id, const char *container, json_t *argv, bool tty,
                const int fds[static 3]) {
    return send_with_streams(keeper,
                             json_pack("{s:s,s:I,s:s,s:O,s:b}", "op", "exec", "id", (json_int_t)id,
                                       "container", container, "argv", argv, "tty", (int)tty),
                             fds);
}

int keeper_attach(Keeper *keeper, uint64_t id, const char *container, const int fds[static 3]) {
    return send_with_streams(keeper,
                             json_pack("{s:s,s:I,s:s,s:b,s:b,s:b}", "op", "attach", "id",
                                       (json_int_t)id, "container", container, "input", fds[0] >= 0,
                                       "output", fds[1] >= 0, "error", fds[2] >= 0),
                             fds);
}

int keeper_detach(Keeper *keeper, uint64_t id) {
    return send_take(keeper, json_pack("{s:s,s:I}", "op", "detach", "id", (json_int_t)id), NULL, 0);
}

int keeper_resize(Keeper *keeper, const char *container, int columns, int rows) {
    return send_take(keeper,
                     json_pack("{s:s,s:s,s:i,s:i}", "op", "resize", "container", container,
                               "columns", columns, "rows", rows),
                     NULL, 0);
}

int keeper_exec_kill(Keeper *keeper, uint64_t id) {
    return send_take(keeper, json_pack("{s:s,s:I}", "op", "exec-kill", "id", (json_int_t)id), NULL,
                     0);
}

int keeper_socket(Keeper *keeper, uint64_t id) {
    return send_take(keeper, json_pack("{s:s,s:I}", "op", "socket", "id", (json_int_t)id), NULL, 0);
}

int keeper_stop(Keeper *keeper) {
    return send_take(keeper, json_pack("{s:s}", "op", "stop"), NULL, 0);
}

/* 0: it has ended. 1: it has not by then. */
static int await_end(int fd, usec_t deadline) {
    for (;;) {
        usec_t left = deadline - time_mono_now();
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (left <= 0)
            return 1;
        if (poll(&wait, 1, (int)(left / 1000 + 1)) < 0 && errno != EINTR)
            return error_last("wait for a keeper");
        json_t *event = NULL;
        int fds[PACKET_FDS];
        int got = packet_receive(fd, &event, fds);
        if (got == PACKET_NONE)
            continue;
        if (got != 0)
            return 0;
        json_decref(event);
        for (int i = 0; i < PACKET_FDS; i++)
            fd_close(fds[i]);
    }
}

/* It does not obey. When it is gone the kernel takes all of its pod away. */
static int kill_keeper(int fd) {
    struct ucred who;
    socklen_t len = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return error_last("ask which process a keeper is");
    _cleanup_free_ char *path = str_printf("/proc/%d/comm", (int)who.pid);
    _cleanup_buf_ Buf comm = { 0 };
    int r = file_read(path, COMM_MAX, &comm);
    if (r < 0 || !str_starts(comm.data ? comm.data : "", KEEPER_COMM))
        return error_origin(-ESRCH, "the keeper's process %d is no keeper", (int)who.pid);
    return kill(who.pid, SIGKILL) < 0 && errno != ESRCH ? error_last("kill a keeper") : 0;
}

int keeper_end_now(const char *pod_dir, usec_t timeout) {
    _cleanup_close_ int fd = -1;
    int r = open_socket(pod_dir, &fd);
    if (r == -ENOENT || r == -ECONNREFUSED)
        return 0;
    if (r < 0)
        return r;
    _cleanup_json_ json_t *stop = json_pack("{s:s}", "op", "stop");
    r = packet_send(fd, stop, NULL, 0);
    if (r == 0)
        r = await_end(fd, time_mono_now() + timeout);
    if (r == 1)
        r = kill_keeper(fd);
    else
        return r == -EPIPE ? 0 : r;
    if (r == 0)
        r = await_end(fd, time_mono_now() + timeout);
    return r == 1 ? error_origin(-ETIMEDOUT, "the keeper in %s does not end", pod_dir) : r;
}
