/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* First ours: uv.h brings sys/param.h, whose MIN and MAX may come over ours but not before them. */
/* clang-format off */
#include "base/base.h"
#include <uv.h>
/* clang-format on */

#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"

struct Loop {
    uv_loop_t uv;
    uv_timer_t sleep;   /* ends the sleep at the next deadline of ours */
    const void *thread; /* identity of the thread that runs it */
    usec_t now;         /* as of this tick */
    usec_t wall_offset; /* virtual clock: wall minus monotonic, fixed */
    bool virtual_clock;
    bool stale;         /* a sleep lies between `now` and the present */
    bool stopped;
    bool busy;          /* this tick's poll called somebody */
    List tasks;         /* LoopTask.link, armed */
    List hooks;         /* LoopHook.link */
    List *hook_at;      /* next hook of the round that is running */
    List works;         /* LoopWork.link */
    List finals;        /* LoopFinal.link */
    LoopTimer **heap;   /* by (deadline, order) */
    size_t heap_len, heap_cap;
    uint64_t timer_order;
    size_t live; /* handles not yet freed by their owners */
};

/* Each way into user code starts here: it brings `now` up to date once after a sleep. */
void loop_enter(Loop *loop);
/* Asserts that the calling thread is the loop's. */
void loop_check_thread(const Loop *loop);
void loop_timers_run(Loop *loop);
/* The deadline of the next timer, or USEC_INFINITY. */
usec_t loop_timers_next(const Loop *loop);
void loop_works_finish(Loop *loop);
