/* SPDX-License-Identifier: Apache-2.0 */
/* The two doors to other threads: wakes, and blocking work on libuv's pool. */
#include "loop/loop_private.h"

struct LoopWake {
    uv_async_t async;
    Loop *loop;
    LoopFn *fn; /* NULL once freed */
    void *ctx;
};

static void woken(uv_async_t *async) {
    LoopWake *wake = CONTAINER_OF(async, LoopWake, async);
    loop_enter(wake->loop);
    if (wake->fn)
        wake->fn(wake->ctx);
}

static void wake_closed(uv_handle_t *handle) {
    mem_free(CONTAINER_OF(handle, LoopWake, async));
}

int loop_wake_new(Loop *loop, LoopFn *fn, void *ctx, LoopWake **ret_wake) {
    loop_check_thread(loop);
    LoopWake *wake = mem_new(LoopWake);
    *wake = (LoopWake){ .loop = loop, .fn = fn, .ctx = ctx };
    int r = uv_async_init(&loop->uv, &wake->async, woken);
    if (r < 0) {
        mem_free(wake);
        return error_origin_errno(r, "make a wake-up");
    }
    loop->live++;
    *ret_wake = wake;
    return 0;
}

void loop_wake_send(LoopWake *wake) {
    uv_async_send(&wake->async);
}

LoopWake *loop_wake_free(LoopWake *wake) {
    if (!wake)
        return NULL;
    loop_check_thread(wake->loop);
    ASSERT(wake->fn);
    wake->fn = NULL;
    wake->loop->live--;
    uv_close((uv_handle_t *)&wake->async, wake_closed);
    return NULL;
}

struct LoopWork {
    uv_work_t request;
    List link; /* in Loop.works */
    Loop *loop;
    LoopFn *run;
    LoopWorkDoneFn *done;
    void *job;
    bool cancelled;
};

static void work_finish(LoopWork *work, int r) {
    LoopWorkDoneFn *done = work->done;
    void *job = work->job;
    list_remove(&work->link);
    mem_free(work);
    done(job, r);
}

static void work_run(uv_work_t *request) {
    LoopWork *work = CONTAINER_OF(request, LoopWork, request);
    work->run(work->job);
}

static void work_done(uv_work_t *request, int status) {
    LoopWork *work = CONTAINER_OF(request, LoopWork, request);
    loop_enter(work->loop);
    work_finish(work, status < 0 || work->cancelled ? -ECANCELED : 0);
}

static void work_inline(void *ctx) {
    LoopWork *work = ctx;
    if (!work->cancelled)
        work->run(work->job);
    work_finish(work, work->cancelled ? -ECANCELED : 0);
}

LoopWork *loop_work(Loop *loop, LoopFn *run, LoopWorkDoneFn *done, void *job) {
    loop_check_thread(loop);
    LoopWork *work = mem_new(LoopWork);
    *work = (LoopWork){ .loop = loop, .run = run, .done = done, .job = job };
    list_push(&loop->works, &work->link);
    if (loop->virtual_clock)
        loop_defer(loop, work_inline, work);
    else
        ASSERT(uv_queue_work(&loop->uv, &work->request, work_run, work_done) == 0);
    return work;
}

void loop_work_cancel(LoopWork *work) {
    loop_check_thread(work->loop);
    work->cancelled = true;
    if (!work->loop->virtual_clock)
        uv_cancel((uv_req_t *)&work->request); /* running already: `done` says it all the same */
}

void loop_works_finish(Loop *loop) {
    LIST_EACH(item, &loop->works)
        loop_work_cancel(LIST_ITEM(item, LoopWork, link));
    while (!list_empty(&loop->works)) {
        if (loop->virtual_clock)
            work_finish(LIST_ITEM(loop->works.next, LoopWork, link), -ECANCELED);
        else
            uv_run(&loop->uv, UV_RUN_ONCE);
    }
}
