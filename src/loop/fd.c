/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness of file descriptors. */
#include "loop/loop_private.h"

struct LoopFd {
    uv_poll_t poll;
    Loop *loop;
    LoopFdFn *fn; /* NULL once freed */
    void *ctx;
    unsigned events;
};

static int poll_apply(LoopFd *watch);

static void ready(uv_poll_t *poll, int status, int uv_events) {
    LoopFd *watch = CONTAINER_OF(poll, LoopFd, poll);
    loop_enter(watch->loop);
    if (!watch->fn)
        return;
    unsigned events = (uv_events & (UV_READABLE | UV_DISCONNECT) ? LOOP_READABLE : 0) |
                      (uv_events & UV_WRITABLE ? LOOP_WRITABLE : 0) |
                      (uv_events & UV_DISCONNECT ? LOOP_HANGUP : 0);
    if (status < 0) /* an error waits at the descriptor: the next read or write says which */
        events = LOOP_READABLE | LOOP_WRITABLE;
    watch->fn(watch->ctx, events);
    if (status < 0 && watch->fn)
        ASSERT(poll_apply(watch) == 0); /* libuv stopped it; we are level-triggered */
}

static int poll_apply(LoopFd *watch) {
    int events = (watch->events & LOOP_READABLE ? UV_READABLE : 0) |
                 (watch->events & LOOP_WRITABLE ? UV_WRITABLE : 0) |
                 (watch->events & LOOP_HANGUP ? UV_DISCONNECT : 0);
    return events ? uv_poll_start(&watch->poll, events, ready) : uv_poll_stop(&watch->poll);
}

static void closed(uv_handle_t *handle) {
    mem_free(CONTAINER_OF(handle, LoopFd, poll));
}

int loop_fd_new(Loop *loop, int fd, unsigned events, LoopFdFn *fn, void *ctx, LoopFd **ret_watch) {
    loop_check_thread(loop);
    LoopFd *watch = mem_new(LoopFd);
    *watch = (LoopFd){ .loop = loop, .fn = fn, .ctx = ctx, .events = events };
    int r = uv_poll_init(&loop->uv, &watch->poll, fd);
    if (r < 0) {
        mem_free(watch);
        return error_origin_errno(r, "watch descriptor %d", fd);
    }
    r = poll_apply(watch);
    if (r < 0) {
        uv_close((uv_handle_t *)&watch->poll, closed);
        return error_origin_errno(r, "watch descriptor %d", fd);
    }
    loop->live++;
    *ret_watch = watch;
    return 0;
}

void loop_fd_set(LoopFd *watch, unsigned events) {
    loop_check_thread(watch->loop);
    if (watch->events == events)
        return;
    watch->events = events;
    ASSERT(poll_apply(watch) == 0);
}

LoopFd *loop_fd_free(LoopFd *watch) {
    if (!watch)
        return NULL;
    loop_check_thread(watch->loop);
    ASSERT(watch->fn);
    watch->fn = NULL;
    watch->loop->live--;
    uv_poll_stop(&watch->poll); /* takes it out of epoll now: the owner closes the fd next */
    uv_close((uv_handle_t *)&watch->poll, closed);
    return NULL;
}
