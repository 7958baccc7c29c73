/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: a binary heap by (deadline, order of arming), since libuv's know milliseconds only. */
#include "loop/loop_private.h"

#define NOT_ARMED SIZE_MAX

struct LoopTimer {
    Loop *loop;
    LoopFn *fn;
    void *ctx;
    usec_t deadline;
    usec_t period; /* 0: once */
    uint64_t order;
    size_t at;     /* index in Loop.heap, or NOT_ARMED */
};

static bool sooner(const LoopTimer *a, const LoopTimer *b) {
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void place(Loop *loop, size_t at, LoopTimer *timer) {
    loop->heap[at] = timer;
    timer->at = at;
}

static void sift_up(Loop *loop, size_t at) {
    LoopTimer *timer = loop->heap[at];
    for (; at > 0 && sooner(timer, loop->heap[(at - 1) / 2]); at = (at - 1) / 2)
        place(loop, at, loop->heap[(at - 1) / 2]);
    place(loop, at, timer);
}

static void sift_down(Loop *loop, size_t at) {
    LoopTimer *timer = loop->heap[at];
    for (size_t child; (child = 2 * at + 1) < loop->heap_len; at = child) {
        if (child + 1 < loop->heap_len && sooner(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (!sooner(loop->heap[child], timer))
            break;
        place(loop, at, loop->heap[child]);
    }
    place(loop, at, timer);
}

static void heap_add(LoopTimer *timer) {
    Loop *loop = timer->loop;
    if (loop->heap_len == loop->heap_cap) {
        loop->heap_cap = MAX(loop->heap_cap * 2, (size_t)16);
        loop->heap = mem_realloc(loop->heap, loop->heap_cap * sizeof(*loop->heap));
    }
    place(loop, loop->heap_len++, timer);
    sift_up(loop, timer->at);
}

static void heap_remove(LoopTimer *timer) {
    Loop *loop = timer->loop;
    size_t at = timer->at;
    if (at == NOT_ARMED)
        return;
    timer->at = NOT_ARMED;
    LoopTimer *last = loop->heap[--loop->heap_len];
    if (last == timer)
        return;
    place(loop, at, last);
    sift_up(loop, at);
    sift_down(loop, last->at);
}

static void arm(LoopTimer *timer, usec_t deadline, usec_t period) {
    loop_check_thread(timer->loop);
    heap_remove(timer);
    timer->period = period;
    timer->deadline = deadline;
    timer->order = timer->loop->timer_order++;
    if (deadline != USEC_INFINITY)
        heap_add(timer);
}

static void fire(LoopTimer *timer) {
    usec_t now = timer->loop->now, period = timer->period;
    heap_remove(timer);
    if (period > 0)
        arm(timer, timer->deadline + period * ((now - timer->deadline) / period + 1), period);
    timer->fn(timer->ctx);
}

void loop_timers_run(Loop *loop) {
    /* What is armed from here on waits for the next tick, or a timer that arms itself for `now`
     * would never let the tick end. */
    uint64_t border = loop->timer_order;
    while (loop->heap_len > 0) {
        LoopTimer *first = loop->heap[0];
        if (first->deadline > loop->now || first->order >= border)
            break;
        fire(first);
    }
}

usec_t loop_timers_next(const Loop *loop) {
    return loop->heap_len ? loop->heap[0]->deadline : USEC_INFINITY;
}

LoopTimer *loop_timer_new(Loop *loop, LoopFn *fn, void *ctx) {
    loop_check_thread(loop);
    LoopTimer *timer = mem_new(LoopTimer);
    *timer = (LoopTimer){ .loop = loop, .fn = fn, .ctx = ctx, .at = NOT_ARMED };
    loop->live++;
    return timer;
}

void loop_timer_at(LoopTimer *timer, usec_t deadline) {
    arm(timer, deadline, 0);
}

void loop_timer_after(LoopTimer *timer, usec_t delay) {
    arm(timer, loop_deadline(timer->loop, delay), 0);
}

void loop_timer_every(LoopTimer *timer, usec_t period) {
    ASSERT(period > 0);
    arm(timer, loop_deadline(timer->loop, period), period);
}

void loop_timer_stop(LoopTimer *timer) {
    loop_check_thread(timer->loop);
    heap_remove(timer);
}

bool loop_timer_armed(const LoopTimer *timer) {
    return timer->at != NOT_ARMED;
}

usec_t loop_timer_deadline(const LoopTimer *timer) {
    return loop_timer_armed(timer) ? timer->deadline : USEC_INFINITY;
}

LoopTimer *loop_timer_free(LoopTimer *timer) {
    if (!timer)
        return NULL;
    loop_timer_stop(timer);
    timer->loop->live--;
    return mem_free(timer);
}
