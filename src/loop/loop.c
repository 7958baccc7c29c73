/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include "base/clock.h"
#include "loop/loop_private.h"

enum {
    DEFER_ROUNDS_MAX = 64 /* then descriptors get their turn, so that nobody starves them */
};

struct LoopTask {
    List link; /* in Loop.tasks while armed */
    Loop *loop;
    LoopFn *fn;
    void *ctx;
    bool once; /* nobody else knows it: freed when it runs */
};

struct LoopHook {
    List link;
    Loop *loop;
    LoopFn *fn;
    void *ctx;
};

struct LoopFinal {
    List link;
    Loop *loop;
    LoopFn *fn;
    void *ctx;
};

/* Its address names the thread. */
static _Thread_local char thread_mark;

void loop_check_thread(const Loop *loop) {
    ASSERT(loop->thread == &thread_mark);
}

int loop_new(Loop **ret_loop) {
    Loop *loop = mem_new(Loop);
    int r = uv_loop_init(&loop->uv);
    if (r < 0) {
        mem_free(loop);
        return error_origin_errno(r, "make an event loop");
    }
    ASSERT(uv_timer_init(&loop->uv, &loop->sleep) == 0);
    list_init(&loop->tasks);
    list_init(&loop->hooks);
    list_init(&loop->works);
    list_init(&loop->finals);
    loop->thread = &thread_mark;
    loop->now = time_mono_now();
    *ret_loop = loop;
    return 0;
}

int loop_new_virtual(usec_t now, usec_t wall_now, Loop **ret_loop) {
    Loop *loop = NULL;
    int r = loop_new(&loop);
    if (r < 0)
        return r;
    loop->virtual_clock = true;
    loop->now = now;
    loop->wall_offset = wall_now - now;
    *ret_loop = loop;
    return 0;
}

static void defers_drop(Loop *loop) {
    for (List *item; (item = list_pop(&loop->tasks));) {
        LoopTask *task = LIST_ITEM(item, LoopTask, link);
        if (task->once)
            mem_free(task);
    }
}

static void finals_run(Loop *loop) {
    while (!list_empty(&loop->finals)) {
        LoopFinal *final = LIST_ITEM(loop->finals.next, LoopFinal, link);
        final->fn(final->ctx);
    }
}

Loop *loop_free(Loop *loop) {
    if (!loop)
        return NULL;
    loop_check_thread(loop);
    finals_run(loop);
    loop_works_finish(loop);
    defers_drop(loop);
    ASSERT(loop->live == 0);
    uv_close((uv_handle_t *)&loop->sleep, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&loop->uv) == 0);
    mem_free(loop->heap);
    return mem_free(loop);
}

usec_t loop_now(const Loop *loop) {
    return loop->now;
}

usec_t loop_wall_now(const Loop *loop) {
    return loop->virtual_clock ? loop->now + loop->wall_offset : time_wall_now();
}

usec_t loop_deadline(const Loop *loop, usec_t delay) {
    return delay >= USEC_INFINITY - loop->now ? USEC_INFINITY : loop->now + MAX(delay, 0);
}

void loop_enter(Loop *loop) {
    loop->busy = true;
    if (!loop->stale)
        return;
    loop->stale = false;
    if (!loop->virtual_clock)
        loop->now = time_mono_now();
}

/* Runs what is deferred, round by round. False: there is still more. */
static bool defers_run(Loop *loop) {
    for (int round = 0; !list_empty(&loop->tasks); round++) {
        if (round == DEFER_ROUNDS_MAX)
            return false;
        List batch = LIST_INIT(batch);
        list_splice(&batch, &loop->tasks);
        for (List *item; (item = list_pop(&batch));) {
            LoopTask *task = LIST_ITEM(item, LoopTask, link);
            LoopFn *fn = task->fn;
            void *ctx = task->ctx;
            if (task->once)
                mem_free(task);
            fn(ctx);
        }
    }
    return true;
}

static void hooks_run(Loop *loop) {
    loop->hook_at = loop->hooks.next;
    while (loop->hook_at != &loop->hooks) {
        LoopHook *hook = LIST_ITEM(loop->hook_at, LoopHook, link);
        loop->hook_at = hook->link.next;
        hook->fn(hook->ctx);
    }
    loop->hook_at = NULL;
}

/* Defers and hooks feed each other; ends when both are quiet. False: there is still more. */
static bool flush(Loop *loop) {
    for (int round = 0; round < DEFER_ROUNDS_MAX; round++) {
        if (!defers_run(loop))
            return false;
        hooks_run(loop);
        if (list_empty(&loop->tasks))
            return true;
    }
    return false;
}

static void sleep_ended(uv_timer_t *timer) {
    UNUSED(timer);
}

static void poll_until(Loop *loop, usec_t deadline) {
    loop->busy = false;
    loop->stale = true;
    if (deadline <= loop->now) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    } else {
        uv_update_time(&loop->uv);
        if (deadline != USEC_INFINITY) {
            uint64_t msec = (uint64_t)(deadline - loop->now + USEC_PER_MSEC - 1) / 1000;
            uv_timer_start(&loop->sleep, sleep_ended, msec, 0);
        }
        uv_run(&loop->uv, UV_RUN_ONCE);
        uv_timer_stop(&loop->sleep);
    }
    bool busy = loop->busy;
    loop_enter(loop);
    loop->busy = busy;
}

static void tick_real(Loop *loop, usec_t deadline) {
    bool quiet = flush(loop);
    usec_t next = MIN(deadline, loop_timers_next(loop));
    poll_until(loop, quiet && !loop->stopped ? next : 0);
    loop_timers_run(loop);
}

/* Time jumps only when the world stands still: nothing deferred, no descriptor ready. */
static void tick_virtual(Loop *loop, usec_t deadline) {
    bool quiet = flush(loop);
    poll_until(loop, 0);
    if (quiet && !loop->busy && list_empty(&loop->tasks)) {
        usec_t next = MIN(deadline, loop_timers_next(loop));
        if (next == USEC_INFINITY)
            poll_until(loop, USEC_INFINITY); /* only the outside can bring something now */
        else
            loop->now = MAX(loop->now, next);
    }
    loop_timers_run(loop);
}

static void tick(Loop *loop, usec_t deadline) {
    if (loop->virtual_clock)
        tick_virtual(loop, deadline);
    else
        tick_real(loop, deadline);
}

void loop_tick(Loop *loop, usec_t deadline) {
    loop_check_thread(loop);
    /* What was deferred before may be what the caller waits for: then there is no sleep. */
    tick(loop, list_empty(&loop->tasks) ? deadline : 0);
    flush(loop);
}

static bool something_can_happen(const Loop *loop) {
    return !list_empty(&loop->tasks) || loop->heap_len > 0 || uv_loop_alive(&loop->uv);
}

void loop_run(Loop *loop) {
    loop_check_thread(loop);
    loop->stopped = false;
    do {
        tick(loop, USEC_INFINITY);
        if (loop->stopped || !something_can_happen(loop))
            flush(loop);
    } while (!loop->stopped && something_can_happen(loop));
}

void loop_run_until(Loop *loop, usec_t until) {
    loop_check_thread(loop);
    ASSERT(loop->virtual_clock);
    loop->stopped = false;
    while (!loop->stopped) {
        usec_t before = loop->now;
        tick(loop, until);
        bool idle = !loop->busy && list_empty(&loop->tasks) && loop_timers_next(loop) > until;
        if (before >= until && idle)
            break;
    }
    flush(loop);
}

void loop_stop(Loop *loop) {
    loop_check_thread(loop);
    loop->stopped = true;
}

static LoopTask *task_new(Loop *loop, LoopFn *fn, void *ctx, bool once) {
    loop_check_thread(loop);
    LoopTask *task = mem_new(LoopTask);
    *task = (LoopTask){ .loop = loop, .fn = fn, .ctx = ctx, .once = once };
    list_init(&task->link);
    return task;
}

void loop_defer(Loop *loop, LoopFn *fn, void *ctx) {
    loop_task_arm(task_new(loop, fn, ctx, /* once= */ true));
}

LoopTask *loop_task_new(Loop *loop, LoopFn *fn, void *ctx) {
    loop->live++;
    return task_new(loop, fn, ctx, /* once= */ false);
}

void loop_task_arm(LoopTask *task) {
    loop_check_thread(task->loop);
    if (list_empty(&task->link))
        list_push(&task->loop->tasks, &task->link);
}

void loop_task_disarm(LoopTask *task) {
    list_remove(&task->link);
}

bool loop_task_armed(const LoopTask *task) {
    return !list_empty(&task->link);
}

LoopTask *loop_task_free(LoopTask *task) {
    if (!task)
        return NULL;
    loop_check_thread(task->loop);
    list_remove(&task->link);
    task->loop->live--;
    return mem_free(task);
}

LoopHook *loop_hook_new(Loop *loop, LoopFn *before_sleep, void *ctx) {
    loop_check_thread(loop);
    LoopHook *hook = mem_new(LoopHook);
    *hook = (LoopHook){ .loop = loop, .fn = before_sleep, .ctx = ctx };
    list_push(&loop->hooks, &hook->link);
    loop->live++;
    return hook;
}

LoopHook *loop_hook_free(LoopHook *hook) {
    if (!hook)
        return NULL;
    loop_check_thread(hook->loop);
    if (hook->loop->hook_at == &hook->link)
        hook->loop->hook_at = hook->link.next;
    list_remove(&hook->link);
    hook->loop->live--;
    return mem_free(hook);
}

LoopFinal *loop_final_new(Loop *loop, LoopFn *fn, void *ctx) {
    loop_check_thread(loop);
    LoopFinal *final = mem_new(LoopFinal);
    *final = (LoopFinal){ .loop = loop, .fn = fn, .ctx = ctx };
    list_push(&loop->finals, &final->link);
    return final;
}

LoopFinal *loop_final_free(LoopFinal *final) {
    if (!final)
        return NULL;
    loop_check_thread(final->loop);
    list_remove(&final->link);
    return mem_free(final);
}
