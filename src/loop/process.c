/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of this process, and the end of others. */
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "loop/loop_private.h"

struct LoopSignal {
    uv_signal_t signal;
    Loop *loop;
    LoopSignalFn *fn; /* NULL once freed */
    void *ctx;
};

static void signalled(uv_signal_t *handle, int signo) {
    LoopSignal *signal = CONTAINER_OF(handle, LoopSignal, signal);
    loop_enter(signal->loop);
    if (signal->fn)
        signal->fn(signal->ctx, signo);
}

static void signal_closed(uv_handle_t *handle) {
    mem_free(CONTAINER_OF(handle, LoopSignal, signal));
}

int loop_signal_new(Loop *loop, int signo, LoopSignalFn *fn, void *ctx, LoopSignal **ret_signal) {
    loop_check_thread(loop);
    LoopSignal *signal = mem_new(LoopSignal);
    *signal = (LoopSignal){ .loop = loop, .fn = fn, .ctx = ctx };
    int r = uv_signal_init(&loop->uv, &signal->signal);
    if (r < 0) {
        mem_free(signal);
        return error_origin_errno(r, "watch signal %d", signo);
    }
    r = uv_signal_start(&signal->signal, signalled, signo);
    if (r < 0) {
        uv_close((uv_handle_t *)&signal->signal, signal_closed);
        return error_origin_errno(r, "watch signal %d", signo);
    }
    loop->live++;
    *ret_signal = signal;
    return 0;
}

LoopSignal *loop_signal_free(LoopSignal *signal) {
    if (!signal)
        return NULL;
    loop_check_thread(signal->loop);
    ASSERT(signal->fn);
    signal->fn = NULL;
    signal->loop->live--;
    uv_close((uv_handle_t *)&signal->signal, signal_closed);
    return NULL;
}

struct LoopChild {
    Loop *loop;
    LoopFd *watch; /* NULL once it is gone */
    LoopChildFn *fn;
    void *ctx;
    int pidfd;
};

/* How it ended. -EAGAIN: it has not yet. */
static int exit_collect(int pidfd, LoopExit *ret_exit) {
    siginfo_t info = { 0 };
    if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0) {
        *ret_exit = (LoopExit){ .known = false };
        return 0;
    }
    if (info.si_pid == 0)
        return -EAGAIN;
    bool exited = info.si_code == CLD_EXITED;
    *ret_exit = (LoopExit){ .known = true,
                            .code = exited ? info.si_status : 0,
                            .signal = exited ? 0 : info.si_status,
                            .dumped = info.si_code == CLD_DUMPED };
    return 0;
}

static void child_ready(void *ctx, unsigned events) {
    UNUSED(events);
    LoopChild *child = ctx;
    LoopExit ended;
    if (exit_collect(child->pidfd, &ended) < 0)
        return;
    child->watch = loop_fd_free(child->watch);
    child->fn(child->ctx, &ended);
}

int loop_child_new(Loop *loop, int pidfd, LoopChildFn *fn, void *ctx, LoopChild **ret_child) {
    LoopChild *child = mem_new(LoopChild);
    *child = (LoopChild){ .loop = loop, .fn = fn, .ctx = ctx, .pidfd = pidfd };
    int r = loop_fd_new(loop, pidfd, LOOP_READABLE, child_ready, child, &child->watch);
    if (r < 0) {
        mem_free(child);
        return r;
    }
    loop->live++;
    *ret_child = child;
    return 0;
}

int loop_child_kill(LoopChild *child, int signo) {
    if (!child->watch)
        return 0;
    if (pidfd_send_signal(child->pidfd, signo, NULL, 0) < 0 && errno != ESRCH)
        return error_last("send signal %d", signo);
    return 0;
}

bool loop_child_gone(const LoopChild *child) {
    return !child->watch;
}

LoopChild *loop_child_free(LoopChild *child) {
    if (!child)
        return NULL;
    loop_fd_free(child->watch);
    fd_close(child->pidfd);
    child->loop->live--;
    return mem_free(child);
}
