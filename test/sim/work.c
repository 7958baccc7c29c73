/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>

#include "base/error.h"
#include "test/sim/truth.h"

/* A worker: what it is assigned, what it runs, and that it is called no more often than may be. */

usec_t work_time(void) {
    if (chance(60))
        return rnd(3000) * USEC_PER_MSEC;
    return chance(5) ? rnd(200) * USEC_PER_MSEC : rnd(5000);
}

static void run_free(Run *run) {
    list_remove(&run->link);
    loop_timer_free(run->timer);
    free(run);
}

static void say_blocked(Run *run, bool blocked) {
    _cleanup_buf_ Buf body = { 0 };
    run->blocked = blocked;
    blocked_encode(&(Blocked){ .blocked = blocked }, &body);
    proc_send(run->proc, peer_raylet(run->proc->peer), MSG_BLOCKED, &body);
}

static void run_answer(Run *run) {
    Proc *proc = run->proc;
    bool failed = run->kind == CALL_KIND_ACTOR_CREATE && chance(12);
    const Task *task = map_get(&sim->tasks, &run->task);
    Value values[RETURNS_MAX] = { { .kind = failed ? VALUE_KIND_ERROR : VALUE_KIND_INLINE,
                                    .data = SLICE("v") } };
    Buf bytes[RETURNS_MAX] = { 0 };
    Result result = { .task = run->task,
                      .attempt = run->attempt,
                      .values = values,
                      .values_len = task && task->by_runtime ? (size_t)task->returns : 1,
                      .sequence = run->sequence };
    for (size_t i = 0; task && task->by_runtime && i < result.values_len; i++) {
        thing_small(&run->task, (uint32_t)i + 1, &bytes[i]);
        values[i] = (Value){ .kind = VALUE_KIND_INLINE, .data = buf_slice(&bytes[i]) };
    }
    _cleanup_buf_ Buf body = { 0 };
    result_encode(&result, &body);
    for (size_t i = 0; i < RETURNS_MAX; i++)
        buf_done(&bytes[i]);
    proc_send(proc, run->caller, MSG_RESULT, &body);
    if (run->kind == CALL_KIND_ACTOR_CREATE && !failed)
        proc->born = loop_now(sim->loop);
    run_free(run);
}

static void on_run_timer(void *ctx) {
    Run *run = ctx;
    run->stays = sim->calm && run->kind == CALL_KIND_TASK && (run->stays || rnd(2) < sim->stay);
    if (run->stays) {
        loop_timer_after(run->timer, CALM_PAUSE);
        return;
    }
    if (sim->faults.workers && faulty() && chance(80))
        proc_end(run->proc, chance(2) ? -SIGSEGV : 1);
    else
        run_answer(run);
}

void work_child_over(Run *run) {
    if (--run->children > 0)
        return;
    say_blocked(run, false);
    loop_timer_after(run->timer, work_time());
}

/* Some call others, and wait for them. */
static void run_begin(Run *run, uint8_t depth) {
    if (depth >= 2 || !chance(6)) {
        loop_timer_after(run->timer, work_time());
        return;
    }
    run->children = 1 + (int)rnd(2);
    say_blocked(run, true);
    for (int i = run->children; i > 0; i--)
        task_submit(run->proc, SHAPE_NESTED, (uint8_t)(depth + 1), run);
}

static Run *run_new(Proc *proc, const FrameHeader *header, const Call *call) {
    Run *run = mem_new(Run);
    run->proc = proc;
    run->task = call->task;
    run->caller = header->source;
    run->kind = (CallKind)call->kind;
    run->attempt = call->attempt;
    run->sequence = call->sequence;
    run->timer = loop_timer_new(sim->loop, on_run_timer, run);
    list_push(&proc->runs, &run->link);
    return run;
}

void work_assign(Proc *proc, const TaskAssign *assign) {
    if (!list_empty(&proc->runs))
        fault("%s is lent out while it still runs something", proc_name(proc));
    if (proc->actor)
        fault("%s is lent out though it is an actor", proc_name(proc));
    proc->lease = assign->lease;
    proc->job = assign->job;
}

/* Each that is sent may run once. */
static void count_run(Proc *proc, const Call *call) {
    Task *task = map_get(&sim->tasks, &call->task);
    ASSERT(task);
    task->runs++;
    if (task->runs > 1 + task->retries)
        fault("task %s with %u retries runs the %u. time, on %s", ID_HEX(&task->id), task->retries,
              task->runs, proc_name(proc));
}

/* A caller's calls come in its order. */
static void check_order(Proc *proc, const Call *call) {
    uintptr_t last = (uintptr_t)map_get(&proc->callers, &call->caller);
    if (call->sequence <= last)
        fault("%s got call %llu of a caller after call %llu", proc_name(proc),
              (unsigned long long)call->sequence, (unsigned long long)last);
    map_put(&proc->callers, &call->caller, (void *)(uintptr_t)call->sequence);
}

void work_check(Proc *proc, const Call *call) {
    switch (call->kind) {
    case CALL_KIND_ACTOR_CREATE:
        proc->actor = actor_find(&call->actor);
        proc->actor->births++;
        map_init(&proc->callers, sizeof(WorkerId));
        break;
    case CALL_KIND_ACTOR_TASK:
        if (!proc->actor || !id_equal(&proc->actor->id, &call->actor))
            fault("%s got a call of an actor that it isn't", proc_name(proc));
        check_order(proc, call);
        count_run(proc, call);
        break;
    default:
        if (!id_equal(&proc->lease, &call->lease))
            fault("%s got a call for a lease that it isn't lent out for", proc_name(proc));
        count_run(proc, call);
    }
}

void work_call(Proc *proc, const FrameHeader *header, const Call *call) {
    work_check(proc, call);
    run_begin(run_new(proc, header, call), (uint8_t)call->depth);
}

void work_end(Proc *proc) {
    LIST_EACH_SAFE(item, &proc->runs)
        run_free(LIST_ITEM(item, Run, link));
    if (proc->actor)
        map_done(&proc->callers);
}
