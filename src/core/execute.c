/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls to run here. They wait in order of arrival. When the call that runs turns out long, or
 * waits itself, the normal tasks queued behind it go back to their submitters: they may be what it
 * waits for.
 */

#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

enum {
    CALL_RETURNS_MAX = 1 << 20             /* of one call: they have room before it runs */
};
#define RETURN_TIMEOUT (60 * USEC_PER_SEC) /* for room in the store */

static RunTask *run_of(CoreTask *task) {
    return CONTAINER_OF(task, RunTask, task);
}

typedef struct Returned { /* one value of a task, until it is sent */
    CoreBytes *bytes;
    OwnRef **refs;
    size_t refs_len;
    bool error;
} Returned;

static uint32_t returned_count(const RunTask *run) {
    return (uint32_t)MAX(run->task.call.num_returns, 1);
}

static Returned *run_returned(RunTask *run, uint32_t index) {
    ASSERT(index < returned_count(run));
    if (!run->returned)
        run->returned = arena_array(&run->arena, Returned, returned_count(run));
    return &((Returned *)run->returned)[index];
}

static void returned_done(Core *core, Returned *from) {
    for (size_t i = 0; i < from->refs_len; i++)
        own_drop(&core->own, from->refs[i]);
    bytes_drop(from->bytes);
    *from = (Returned){ 0 };
}

static void run_forget(RunTask *run) {
    bytes_drop(run->body);
    arena_done(&run->arena);
    mem_free(run->values);
    mem_free(run);
}

/* Holding the lock. */
static void run_free(RunTask *run) {
    for (uint32_t i = 0; run->returned && i < returned_count(run); i++)
        returned_done(run->core, run_returned(run, i));
    for (size_t i = 0; run->values && i < run->task.call.values_len; i++)
        bytes_drop(run->values[i].hold);
    if (run->detached)
        atomic_store(&run->ended, true); /* its thread may look at the call until it forgets it */
    else
        run_forget(run);
}

/* One that waits does no more. A worker that was asked to end does when it was the last. */
static void run_leave(Core *core, RunTask *run) {
    list_remove(&run->link);
    core->calls_len--;
    if (core->exit_asked)
        core_happened(core);
}

static void send_error(Core *core, RunTask *run, const ErrorInfo *error);

static bool run_acceptable(const Call *call) {
    return call->num_returns >= CORE_DYNAMIC && call->num_returns <= CALL_RETURNS_MAX;
}

int execute_on_call(Core *core, CorePeer *from, const FrameHeader *h, const void *body) {
    RunTask *run = mem_new(RunTask);
    list_init(&run->link);
    run->core = core;
    run->arrived = core->now;
    run->body = bytes_new(body, h->length);
    run->caller = from ? from->id : h->source;
    run->is_call = (h->flags & FRAME_CALL) != 0;
    run->stream = h->stream;
    atomic_init(&run->cancelled, false);
    int r = call_decode(&run->task.call, run->body->data, run->body->size, &run->arena);
    if (r < 0) {
        run_free(run);
        return r;
    }
    run->task.impl = run;
    if (!run_acceptable(&run->task.call)) {
        ErrorInfo error = { .kind = ERROR_KIND_SYSTEM,
                            .text = SLICE("The call has more results than 1048576.") };
        send_error(core, run, &error);
        run_free(run);
        return 0;
    }
    run->read = run->task.call.stream_read;
    run_values(run);
    list_push(&core->calls, &run->link);
    core->calls_len++;
    if (core->running)
        core_timer_at(core, core->running->started + LONG_CALL_TIME);
    core_happened(core);
    return 0;
}

/* ---- giving back ------------------------------------------------------------------------- */

static void send_taken_back(Core *core, PeerId to, TaskId *tasks, size_t len) {
    TakenBack m = { .tasks = tasks, .tasks_len = len };
    _cleanup_buf_ Buf body = { 0 };
    taken_back_encode(&m, &body);
    peer_send(core, to, MSG_TAKEN_BACK, 0, 0, body.data, body.len);
}

void execute_give_back(Core *core) {
    /* One message a caller, its tasks in order. */
    for (;;) {
        PeerId to = 0;
        Vec(TaskId) tasks = { 0 };
        LIST_EACH_SAFE(item, &core->calls) {
            RunTask *run = LIST_ITEM(item, RunTask, link);
            if (run->task.call.kind != CALL_KIND_TASK || (to && run->caller != to))
                continue;
            to = run->caller;
            vec_push(&tasks, run->task.call.task);
            run_leave(core, run);
            run_free(run);
        }
        if (to)
            send_taken_back(core, to, tasks.items, tasks.len);
        vec_done(&tasks);
        if (!to)
            return;
    }
}

void execute_on_take_back(Core *core, const FrameHeader *h, const TakeBack *m) {
    UNUSED(h);
    UNUSED(m);
    execute_give_back(core);
}

void execute_blocked(Core *core, bool blocked) {
    bool before = core->blocked > 0;
    core->blocked += blocked ? 1 : -1;
    if (before == (core->blocked > 0))
        return; /* another thread waits as well */
    Blocked m = { .blocked = blocked };
    _cleanup_buf_ Buf body = { 0 };
    blocked_encode(&m, &body);
    raylet_send(core, MSG_BLOCKED, &body);
    if (blocked && core->running && core->running->task.call.kind == CALL_KIND_TASK)
        execute_give_back(core);
}

void execute_tick(Core *core, usec_t now) {
    RunTask *run = core->running;
    if (!run || !core->calls_len || run->task.call.kind != CALL_KIND_TASK)
        return;
    if (core->blocked || run->started + LONG_CALL_TIME <= now)
        execute_give_back(core);
    else
        core->timer = MIN(core->timer, run->started + LONG_CALL_TIME);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void result_of(const RunTask *run, Result *m, Buf *out) {
    m->task = run->task.call.task;
    m->attempt = run->task.call.attempt;
    m->sequence = run->task.call.sequence;
    buf_clear(out);
    result_encode(m, out);
}

static unsigned result_flags(const RunTask *run) {
    return run->is_call ? FRAME_REPLY : 0;
}

static void send_result(Core *core, RunTask *run, Result *m) {
    result_of(run, m, &core->scratch);
    peer_send(core, run->caller, MSG_RESULT, result_flags(run), run->stream, core->scratch.data,
              core->scratch.len);
}

/* When the owners of what the actor keeps have acknowledged it. */
static void keep_result(Core *core, RunTask *run, Result *m) {
    CoreCreated *created = &core->created;
    created->caller = run->caller;
    created->flags = result_flags(run);
    created->stream = run->stream;
    result_of(run, m, &created->result);
}

void execute_owner_knows(Core *core) {
    CoreCreated *created = &core->created;
    if (created->missing == 0 || --created->missing > 0 || !created->result.len)
        return;
    peer_send(core, created->caller, MSG_RESULT, created->flags, created->stream,
              created->result.data, created->result.len);
    buf_done(&created->result);
}

static void send_error(Core *core, RunTask *run, const ErrorInfo *error) {
    _cleanup_buf_ Buf data = { 0 };
    error_info_encode(error, &data);
    Value value = { .kind = VALUE_KIND_ERROR, .data = buf_slice(&data) };
    Result m = { .values = &value, .values_len = 1 };
    send_result(core, run, &m);
}

RunTask *execute_find(const Core *core, const TaskId *task) {
    LIST_EACH(item, &core->active) {
        RunTask *run = LIST_ITEM(item, RunTask, link);
        if (id_equal(&run->task.call.task, task))
            return run;
    }
    return NULL;
}

static RunTask *run_find(const Core *core, const TaskId *task, PeerId caller) {
    RunTask *run = execute_find(core, task);
    return run && run->caller == caller ? run : NULL;
}

/* Has whoever runs it still to be told? */
static bool cancel_waits(const Core *core, const TaskId *task) {
    VEC_EACH(id, &core->cancelled)
        if (id_equal(id, task))
            return true;
    return false;
}

/* A normal task's thread is interrupted; a detached call is reported; an actor's own thread is left
 * alone: the call may ask. */
static void run_cancel(Core *core, RunTask *run) {
    const Call *call = &run->task.call;
    bool again = atomic_exchange(&run->cancelled, true);
    if (run->detached && again && cancel_waits(core, &call->task))
        return;
    if (run->detached)
        vec_push(&core->cancelled, call->task);
    else if (call->kind == CALL_KIND_TASK && core->cancel_signal) {
        core->signalled = true; /* that thread may be this one, and about to sleep */
        pthread_kill(run->thread, core->cancel_signal);
    }
    core_happened(core);
}

bool core_task_take_cancelled(Core *core, TaskId *ret_task) {
    core_lock(core);
    bool any = core->cancelled.len > 0;
    if (any) {
        *ret_task = core->cancelled.items[0];
        vec_remove(&core->cancelled, 0);
    }
    core_unlock(core);
    return any;
}

void execute_on_stream_read(Core *core, const StreamRead *m, PeerId from) {
    RunTask *run = run_find(core, &m->task, from);
    if (!run)
        return;
    run->read = MAX(run->read, m->read);
    core_happened(core);
}

void execute_on_cancel(Core *core, const Cancel *m, PeerId from) {
    LIST_EACH_SAFE(item, &core->calls) {
        RunTask *run = LIST_ITEM(item, RunTask, link);
        if (run->caller != from || !id_equal(&run->task.call.task, &m->task))
            continue;
        ErrorInfo error = { .kind = ERROR_KIND_TASK_CANCELLED,
                            .task = m->task,
                            .name = run->task.call.name };
        send_error(core, run, &error);
        run_leave(core, run);
        run_free(run);
        return;
    }
    RunTask *run = run_find(core, &m->task, from);
    if (!run)
        return;
    if (m->recursive)
        submit_cancel_children(core, &m->task, m->force);
    run_cancel(core, run);
}

bool core_task_cancelled(const CoreTask *task) {
    const RunTask *run = task->impl;
    return atomic_load_explicit(&run->cancelled, memory_order_relaxed);
}

/* Calls of a process that is gone need not run; its actors' tasks have run in part anyway. */
void execute_peer_dead(Core *core, PeerId peer) {
    LIST_EACH_SAFE(item, &core->calls) {
        RunTask *run = LIST_ITEM(item, RunTask, link);
        if (run->caller != peer)
            continue;
        run_leave(core, run);
        run_free(run);
    }
}

void execute_done(Core *core) {
    while (!list_empty(&core->calls)) {
        RunTask *run = LIST_ITEM(core->calls.next, RunTask, link);
        list_remove(&run->link);
        run_free(run);
    }
    core->calls_len = 0;
    core->running = NULL;
    while (!list_empty(&core->active))
        run_free(LIST_ITEM(list_pop(&core->active), RunTask, link));
}

/* ---- running ------------------------------------------------------------------------------------ */

/* Those that are not in place are named; the call is its submitter's again. */
static void run_hand_back(Core *core, RunTask *run) {
    Vec(Value) lost = { 0 };
    for (uint32_t i = 0; i < run->task.call.values_len; i++) {
        if (run->values[i].kind == VALUE_KIND_FREED)
            vec_push(&lost, run->task.call.values[i]);
    }
    Result m = { .lost = lost.items, .lost_len = lost.len };
    send_result(core, run, &m);
    vec_done(&lost);
    run_leave(core, run);
    run_free(run);
}

bool execute_ready(Core *core) {
    while (!core->exiting && !list_empty(&core->calls)) {
        RunTask *run = LIST_ITEM(core->calls.next, RunTask, link);
        int r = run_localize(core, run);
        if (r != -ENOENT)
            return r == 0;
        run_hand_back(core, run);
    }
    return false;
}

int core_task_next(Core *core, usec_t timeout, CoreTask **ret_task) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    core_lock(core);
    while (r == 0 && (core->cancelled.len || !execute_ready(core))) {
        if (core->cancelled.len)
            r = CORE_CANCELLED;
        else if (core->leaving)
            r = error_origin(-ECONNRESET, "this process disconnects");
        else if (core->exiting)
            r = error_origin(-ECONNRESET, "a call has ended this worker");
        else if (core->exit_asked && list_empty(&core->calls))
            r = error_origin(-ECONNRESET, "the raylet told this worker to end");
        else if (timeout == 0) {
            peers_drain_rings(core);
            r = CORE_TIMEOUT;
        } else
            r = core_wait_event(core, deadline);
    }
    if (r != CORE_CANCELLED && execute_ready(core)) {
        RunTask *run = LIST_ITEM(core->calls.next, RunTask, link);
        run_leave(core, run);
        /* The raylet wrote what the lease is for before it granted it: it is in the socket. */
        if (!id_equal(&run->task.call.lease, &core->assign.lease) && !core->lost)
            UNUSED(peers_drain_sock(core));
        run->started = time_mono_now();
        run->thread = pthread_self();
        core->running = run;
        if (run->task.call.kind == CALL_KIND_ACTOR_CREATE)
            core->self = run->task.call.actor;
        list_push(&core->active, &run->link);
        *ret_task = &run->task;
        r = 0;
    }
    core_unlock(core);
    return r;
}

void core_leave(Core *core) {
    if (core_usable(core) < 0)
        return;
    core_lock(core);
    core->leaving = true;
    core_happened(core);
    core_unlock(core);
}

void core_task_detach(Core *core, CoreTask *task) {
    core_lock(core);
    run_of(task)->detached = true;
    core->running = NULL;
    core_unlock(core);
}

void core_task_forget(Core *core, CoreTask *task) {
    RunTask *run = run_of(task);
    if (atomic_load(&run->ended)) {
        run_forget(run);
    } else if (core) {
        core_lock(core);
        run->detached = false;
        core_unlock(core);
    }
}

static void returned_fill(RunTask *run, Returned *out, CoreBytes *bytes, CoreRef *const *refs,
                          size_t len) {
    out->bytes = bytes;
    out->refs_len = len;
    if (!len)
        return;
    out->refs = arena_array(&run->arena, OwnRef *, len);
    for (size_t i = 0; i < len; i++) {
        out->refs[i] = &refs[i]->own;
        own_hold(out->refs[i]);
    }
}

/* The bytes of a value, in the store if they are large. */
static int run_write(Core *core, RunTask *run, uint32_t index, const CoreBlob *blob,
                     CoreBytes **ret_bytes) {
    size_t size = 0;
    for (size_t i = 0; i < blob->parts_len; i++)
        size += blob->parts[i].iov_len;
    bool remote_caller = peer_node(run->caller) == 0; /* gcs does not read from stores */
    if (size <= CORE_INLINE_MAX || !core->store || remote_caller) {
        *ret_bytes = bytes_gather(blob->parts, blob->parts_len);
        return 0;
    }
    ObjectId id = object_id_return(&run->task.call.task, index);
    return large_write(core, blob, size, &id, run->caller, RETURN_TIMEOUT, ret_bytes);
}

int core_task_return(Core *core, CoreTask *task, uint32_t index, const CoreBlob *blob) {
    RunTask *run = run_of(task);
    CoreBytes *bytes = NULL;
    int r = run_write(core, run, index + 1, blob, &bytes);
    if (r != 0)
        return r;
    core_lock(core);
    returned_fill(run, run_returned(run, index), bytes, blob->refs, blob->refs_len);
    core_unlock(core);
    return 0;
}

static Value returned_value(Core *core, RunTask *run, Returned *from, ValueKind kind) {
    for (size_t i = 0; i < from->refs_len; i++)
        peer_hand_over(core, from->refs[i], run->caller);
    Value value = { .kind = (uint8_t)kind,
                    .data = { (const char *)from->bytes->data, from->bytes->size },
                    .refs = refs_wire(core, from->refs, from->refs_len, &run->arena),
                    .refs_len = from->refs_len };
    if (from->bytes->in_store)
        large_to_wire(from->bytes, &value);
    return value;
}

/* ---- streaming ----------------------------------------------------------------------------------- */

int core_task_yield(Core *core, CoreTask *task, const CoreBlob *blob) {
    RunTask *run = run_of(task);
    Returned item = { 0 };
    uint32_t index = (uint32_t)run->yielded;
    if (run->yielded >= CALL_YIELDS_MAX)
        return error_origin(-EOVERFLOW, "a call yields %u values at most", CALL_YIELDS_MAX);
    int r = run_write(core, run, index + 2, blob, &item.bytes);
    if (r != 0)
        return r;
    core_lock(core);
    returned_fill(run, &item, item.bytes, blob->refs, blob->refs_len);
    Value value = returned_value(core, run, &item, VALUE_KIND_INLINE);
    Result m = { .values = &value, .values_len = 1, .more = true, .index = index };
    send_result(core, run, &m);
    returned_done(core, &item);
    run->yielded++;
    core_run_actions(core);
    core_unlock(core);
    return 0;
}

int core_task_room(Core *core, CoreTask *task, usec_t timeout) {
    RunTask *run = run_of(task);
    uint32_t limit = task->call.stream_limit;
    if (!limit)
        return 0;
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    int r = 0;
    core_lock(core);
    while (r == 0 && run->yielded >= limit && run->yielded - limit >= run->read) {
        const CorePeer *reader = peer_find(core, run->caller);
        r = reader && reader->state == PEER_GONE
                ? error_origin(-ECONNRESET, "the process that reads this stream has died")
                : core_wait_event(core, deadline);
    }
    core_unlock(core);
    return r;
}

uint32_t core_task_yields(const CoreTask *task) {
    return (uint32_t)((const RunTask *)task->impl)->yielded;
}

CoreRef *core_task_yielded(Core *core, CoreTask *task, uint32_t index) {
    ObjectId id = object_id_return(&task->call.task, index + 2);
    return core_ref_import(core, &id, run_of(task)->caller, &task->call.caller);
}

/* ---- the end ----------------------------------------------------------------------------------- */

typedef Vec(ObjectId) ObjectList;

static void retain(Core *core, RunTask *run, const Ref *refs, size_t len, ObjectList *out) {
    for (size_t i = 0; i < len; i++) {
        OwnRef *own = own_find(&core->own, &refs[i].object);
        if (own && own_retain(&core->own, own, run->caller))
            vec_push(out, refs[i].object);
    }
}

/* A process that is gone acknowledges nothing. */
static void retained_of_dead(Core *core, const ObjectList *retained) {
    VEC_EACH(object, retained) {
        const OwnRef *own = own_find(&core->own, object);
        const CorePeer *owner = own ? peer_find(core, own->owner) : NULL;
        if (owner && owner->state == PEER_GONE)
            own_peer_dead(&core->own, owner->id);
    }
}

/* Argument references that live on here: registered with their owners before the result leaves. */
static void run_retained(Core *core, RunTask *run, const CoreTaskEnd *end, ObjectList *out) {
    const Call *call = &run->task.call;
    retain(core, run, call->refs, call->refs_len, out);
    for (size_t i = 0; i < call->values_len; i++)
        retain(core, run, call->values[i].refs, call->values[i].refs_len, out);
    if (!peer_worker(run->caller) && !end->error && !end->exiting) {
        core->created.missing = out->len;
        retained_of_dead(core, out);
    }
    core_run_actions(core);
}

/* What the result says instead of the values, or after a streaming call's. */
static void returned_error(RunTask *run, const CoreTaskEnd *end, Returned *out) {
    returned_fill(run, out, bytes_new(end->error, end->error_len), end->error_refs,
                  end->error_refs_len);
    out->error = true;
}

/* The result's values, sent from `ret_list`, `ret_len` of them. */
static void run_results(RunTask *run, const CoreTaskEnd *end, Returned **ret_list,
                        size_t *ret_len) {
    int32_t wanted = run->task.call.num_returns;
    size_t len = wanted < 0 ? 1 : (size_t)wanted;
    Returned *list = arena_array(&run->arena, Returned, len + 1);
    bool drop = end->error && !end->partial;
    for (size_t i = 0; run->returned && i < MAX(len, (size_t)1); i++) {
        Returned *r = run_returned(run, (uint32_t)i);
        if (drop || i >= len)
            returned_done(run->core, r);
        else
            list[i] = *r;
        *r = (Returned){ 0 };
    }
    size_t first = drop ? 0 : len; /* of the errors */
    while (end->partial && wanted > 0 && first > 0 && !list[first - 1].bytes)
        first--;
    *ret_len = drop ? 1 : wanted < 0 ? len + end->partial : len;
    for (size_t i = first; end->error && i < *ret_len; i++)
        returned_error(run, end, &list[i]);
    *ret_list = list;
}

/* For the list of tasks. */
static void run_created(Core *core, const RunTask *run, const CoreTaskEnd *end, usec_t now) {
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo error;
    bool failed = end->error != NULL;
    if (failed && error_info_decode(&error, end->error, end->error_len, &arena) < 0)
        error = (ErrorInfo){ .kind = ERROR_KIND_APPLICATION };
    events_created(core, run, now, failed ? &error : NULL);
}

void core_task_done(Core *core, CoreTask *task, const CoreTaskEnd *end) {
    RunTask *run = run_of(task);
    ObjectList retained = { 0 };
    usec_t now = time_mono_now();
    core_lock(core);
    if (core->running == run)
        core->running = NULL;
    if (end->exiting) {
        core->exiting = true;
        core_happened(core);
    }
    list_remove(&run->link);
    run_retained(core, run, end, &retained);
    Returned *list;
    size_t len;
    run_results(run, end, &list, &len);
    Value *values = arena_array(&run->arena, Value, MAX(len, (size_t)1));
    for (size_t i = 0; i < len; i++) {
        if (!list[i].bytes)
            list[i].bytes = bytes_new(NULL, 0);
        ValueKind kind = list[i].error ? VALUE_KIND_ERROR : VALUE_KIND_INLINE;
        values[i] = returned_value(core, run, &list[i], kind);
    }
    Result m = { .values = values,
                 .values_len = len,
                 .retained = retained.items,
                 .retained_len = retained.len,
                 .application_error = end->error != NULL,
                 .exiting = end->exiting,
                 .retry = end->retry,
                 .index = (uint32_t)run->yielded,
                 .repr = slice_str(end->repr),
                 .ran_usec = (uint64_t)MAX(now - run->started, 1) };
    if (core->created.missing && !peer_worker(run->caller))
        keep_result(core, run, &m);
    else
        send_result(core, run, &m);
    if (task->call.kind == CALL_KIND_ACTOR_CREATE)
        run_created(core, run, end, now);
    for (size_t i = 0; i < len; i++)
        returned_done(core, &list[i]);
    vec_done(&retained);
    run_free(run);
    core_run_actions(core);
    core_unlock(core);
}

/* ---- what it runs for -------------------------------------------------------------------------------- */

/* Holding the lock. */
void core_task_id(Core *core, TaskId *ret_task) {
    *ret_task = core->running ? core->running->task.call.task : core->main_task;
}

void core_current(Core *core, CoreCurrent *ret_current) {
    core_lock(core);
    CoreCurrent c = { .job = core->info.job };
    core_task_id(core, &c.task);
    c.actor = core->self;
    c.lease = core->assign.lease;
    core_unlock(core);
    *ret_current = c;
}
