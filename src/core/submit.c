/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls on the submitter's side: the record of one in flight, what comes back for it, when it runs
 * again, and its end. The workers that normal tasks go to are leased (lease.c).
 */

#include "base/clock.h"
#include "core/core_private.h"

/* ---- a call's record ------------------------------------------------------------------------ */

static void pending_use(CorePending *p, uint32_t at, CoreRef *ref) {
    p->uses[at] = &ref->own;
    own_use(&ref->own);
}

CorePending *pending_new(Core *core, CoreTemplate *t, const CoreArgs *args, uint32_t returns) {
    CorePending *p = mem_zalloc(sizeof(CorePending) + returns * sizeof(OwnRef *));
    list_init(&p->link);
    p->t = t;
    t->count++;
    p->created_at = core->now = time_mono_coarse();
    p->args = bytes_new(args->bytes, args->bytes_len);
    p->refs_len = returns;
    p->top_len = (uint32_t)args->top_len;
    p->uses_len = (uint32_t)(args->top_len + args->nested_len);
    if (p->uses_len)
        p->uses = mem_array(OwnRef *, p->uses_len);
    for (uint32_t i = 0; i < p->top_len; i++) {
        CoreRef *ref = args->top[i];
        pending_use(p, i, ref);
        if (ref->kind != VALUE_KIND_PENDING)
            continue;
        p->missing++;
        vec_push(&ref_waiters(ref)->dependents, p);
        ref_fetch(core, ref);
    }
    for (size_t i = 0; i < args->nested_len; i++)
        pending_use(p, p->top_len + (uint32_t)i, args->nested[i]);
    return p;
}

void pending_set_parent(Core *core, CorePending *p, const TaskId *parent) {
    const RunTask *run = parent ? execute_find(core, parent) : core->running;
    if (!run)
        return;
    p->parent = run->task.call.task;
    p->depth = run->task.call.depth + 1;
}

void pending_free(CorePending *p) {
    bytes_drop(p->args);
    template_unref(p->t);
    mem_free(p->uses);
    mem_free(p);
}

/* It is in no queue and no table any more, and nobody waits for it. */
static void pending_settle(Core *core, CorePending *p) {
    list_remove(&p->link);
    map_remove(&core->tasks, p->task.byte);
    if (p->worker) {
        p->worker->in_flight--;
        p->worker->idle_since = time_mono_now();
        p->worker = NULL;
    }
    for (uint32_t i = 0; i < p->refs_len; i++)
        if (p->refs[i])
            ref_of(p->refs[i])->maker = NULL;
}

/* Ends the record: what it used is let go. Its references have their values by now. */
void submit_end(Core *core, CorePending *p) {
    pending_settle(core, p);
    for (uint32_t i = 0; i < p->uses_len; i++) {
        CoreRef *ref = ref_of(p->uses[i]);
        RefWaiters *waiters = p->missing && i < p->top_len ? ref->waiters : NULL;
        for (size_t d = 0; waiters && d < waiters->dependents.len; d++)
            if (waiters->dependents.items[d] == p)
                vec_remove_swap(&waiters->dependents, d--);
        own_unuse(&core->own, p->uses[i]);
    }
    actor_forget(p);
    pending_free(p);
}

/* The same after it ran: kept for a while when what it made may be lost. */
static void submit_ran(Core *core, CorePending *p) {
    for (uint32_t i = 0; i < p->refs_len; i++)
        if (p->refs[i])
            lineage_release(core, ref_of(p->refs[i])); /* made only for a call that has failed */
    if (!lineage_wanted(core, p)) {
        submit_end(core, p);
        return;
    }
    pending_settle(core, p);
    lineage_keep(core, p);
}

static void pending_fail_refs(Core *core, CorePending *p, const ErrorInfo *error) {
    for (uint32_t i = 0; i < p->refs_len; i++) {
        CoreRef *ref = p->refs[i] ? ref_of(p->refs[i]) : NULL;
        if (!ref || ref->kind != VALUE_KIND_PENDING)
            continue;
        ref_set_error(core, ref, error);
        if (ref->stream)
            yields_fail(core, ref);
    }
    yields_fail_lost(core, p, 0, error);
}

void submit_fail(Core *core, CorePending *p, const ErrorInfo *error) {
    events_ended(core, p, pending_peer(p), 0, core->now, error);
    pending_fail_refs(core, p, error);
    if (p->actor)
        actor_on_result(core, p, NULL);
    submit_end(core, p);
}

/* An argument that is an error travels as well: the executor answers it without running the call, in
 * the words of its language. */
static Value *wire_arguments(Core *core, CorePending *p, PeerId to, Arena *arena) {
    Value *values = arena_array(arena, Value, p->top_len);
    for (uint32_t i = 0; i < p->top_len; i++) {
        CoreRef *ref = ref_of(p->uses[i]);
        values[i] = ref_wire_value(core, ref, 0, arena);
        if (ref->value->in_store && peer_worker(to))
            large_push(core, ref->value, peer_raylet(to));
    }
    return values;
}

void pending_encode(Core *core, CorePending *p, PeerId to, Arena *arena, Buf *out) {
    CoreTemplate *t = p->t;
    size_t nested = p->uses_len - p->top_len;
    Call m = {
        .task = p->task,
        .kind = (uint8_t)t->kind,
        .function = t->function,
        .name = slice_str(t->name),
        .method = slice_str(t->method),
        .args = { (const char *)p->args->data, p->args->size },
        .num_returns = t->num_returns,
        .job = core->info.job,
        .attempt = p->attempt,
        .sequence = p->sequence,
        .options = slice_str(t->options),
        .caller = core->info.worker,
        .values_len = p->top_len,
        .refs_len = nested,
        .stream_limit = t->stream_limit,
        .parent = p->parent,
        .depth = p->depth,
    };
    if (t->stream_limit)
        m.stream_read = yields_read(p);
    if (p->actor)
        m.actor = p->actor->id;
    if (p->worker)
        m.lease = p->worker->lease;
    if (p->top_len)
        m.values = wire_arguments(core, p, to, arena);
    if (nested)
        m.refs = refs_wire(core, p->uses + p->top_len, nested, arena);
    call_encode(&m, out);
}

/* ---- submitting --------------------------------------------------------------------------------------- */

bool pending_has_arguments(const CorePending *p) {
    for (uint32_t i = 0; i < p->top_len; i++)
        if (ref_of(p->uses[i])->kind == VALUE_KIND_PENDING)
            return false;
    return true;
}

void submit_dependency_ready(Core *core, CorePending *p) {
    p->waited_usec = (uint32_t)MIN(core->now - p->created_at, (usec_t)UINT32_MAX);
    if (p->t->kind == CALL_KIND_ACTOR_CREATE) {
        if (pending_has_arguments(p))
            actor_create_ready(core, p);
        else
            lineage_requeue(core, p);
    } else if (p->actor) {
        actor_pump(core, p->actor);
    } else {
        CoreClass *c = p->class_ = class_for(core, p);
        p->state = PENDING_QUEUED;
        list_remove(&p->link);
        list_push(&c->queue, &p->link);
        c->queued++;
        class_pump(core, c);
    }
}

CorePending *pending_returning(Core *core, CoreTemplate *t, const CoreArgs *args,
                               const TaskId *task, CoreRef **ret_refs) {
    bool stream = t->num_returns < 0;
    uint32_t returns = stream ? 1 : (uint32_t)t->num_returns;
    CorePending *p = pending_new(core, t, args, returns);
    p->task = *task;
    pending_set_parent(core, p, args->parent);
    map_put(&core->tasks, p->task.byte, p);
    for (uint32_t i = 0; i < returns; i++) {
        ObjectId id = object_id_return(&p->task, i + 1);
        ret_refs[i] = ref_new(core, &id, core->info.peer, NULL);
        ret_refs[i]->maker = p;
        p->refs[i] = &ret_refs[i]->own;
    }
    if (stream)
        yields_begin(ret_refs[0]);
    return p;
}

int core_submit(Core *core, CoreTemplate *t, const CoreArgs *args, CoreRef **ret_refs) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    ASSERT(t->kind == CALL_KIND_TASK);
    core_lock(core);
    TaskId task = task_id_make(&core->ids, &core->info.job);
    CorePending *p = pending_returning(core, t, args, &task, ret_refs);
    if (p->missing == 0)
        submit_dependency_ready(core, p);
    core_run_actions(core);
    core_unlock(core);
    return 0;
}

/* ---- what comes back -------------------------------------------------------------------------------------- */

/* It was sent: it is the first of its class again. */
static void requeue(CorePending *p) {
    CoreClass *c = p->class_;
    list_remove(&p->link);
    if (p->worker)
        p->worker->in_flight--;
    p->worker = NULL;
    p->state = PENDING_QUEUED;
    list_push_front(&c->queue, &p->link);
    c->queued++;
}

/* It runs again, perhaps near another node than before. */
static void requeue_anew(Core *core, CorePending *p) {
    CoreClass *former = p->class_;
    p->class_ = class_for(core, p);
    requeue(p);
    if (p->class_ != former)
        class_pump(core, p->class_); /* the caller does it for the former */
}

void submit_retry_or_fail(Core *core, CorePending *p, const ErrorInfo *error, bool may_retry) {
    int32_t max = p->t->max_retries;
    if (may_retry && !p->cancelled && (max < 0 || p->attempt < (uint32_t)max)) {
        events_ended(core, p, pending_peer(p), 0, core->now, error);
        p->attempt++;
        requeue_anew(core, p);
        return;
    }
    submit_fail(core, p, error);
}

static void worker_learn(CoreWorker *w, CorePending *p, usec_t now) {
    usec_t from = MAX(p->sent_at, w->last_result);
    double took = (double)MAX(now - from, 1);
    double weight = took < w->mean_usec ? 0.5 : 0.2;
    w->mean_usec = w->mean_usec > 0 ? w->mean_usec * (1 - weight) + took * weight : took;
    w->window = (uint32_t)CLAMP((double)WINDOW_TIME / w->mean_usec, 1.0, (double)WINDOW_MAX);
    w->last_result = now;
}

static void keep_retained(Core *core, const Result *m, PeerId from) {
    for (size_t i = 0; i < m->retained_len; i++) {
        OwnRef *own = own_find(&core->own, &m->retained[i]);
        if (own)
            own_hand_over(own, from);
    }
}

/* A call that ran again, for a value that was lost, may find others of its values still there. */
static void take_results(Core *core, CorePending *p, const Result *m, PeerId from) {
    bool one_error = m->values_len == 1 && m->values[0].kind == VALUE_KIND_ERROR;
    for (uint32_t i = 0; i < MAX(p->refs_len, (uint32_t)m->values_len); i++) {
        CoreRef *ref = i < p->refs_len && p->refs[i] ? ref_of(p->refs[i]) : NULL;
        if (i < m->values_len)
            ref_take_value(core, ref, &m->values[i], from);
        else if (ref && one_error && ref->kind == VALUE_KIND_PENDING)
            ref_set_value(core, ref, VALUE_KIND_ERROR,
                          bytes_new(m->values[0].data.data, m->values[0].data.len));
    }
    ErrorInfo missing = { .kind = ERROR_KIND_SYSTEM,
                          .text = SLICE("The worker returned too few values.") };
    for (uint32_t i = 0; i < p->refs_len; i++)
        if (p->refs[i] && ref_of(p->refs[i])->kind == VALUE_KIND_PENDING)
            ref_set_error(core, ref_of(p->refs[i]), &missing);
}

/* An actor's call that saw that it was cancelled, or ended regardless: it has no values. */
static void fail_cancelled(Core *core, CorePending *p, const Result *m, PeerId from) {
    ErrorInfo error = { .kind = ERROR_KIND_TASK_CANCELLED };
    for (size_t i = 0; i < m->values_len; i++)
        ref_take_value(core, NULL, &m->values[i], from);
    pending_fail_refs(core, p, &error);
}

/* It did not run: arguments were gone when it came to them. Nothing of its attempts is lost. */
static void submit_lost(Core *core, CorePending *p, const Result *m) {
    for (size_t i = 0; i < m->lost_len; i++) {
        const Value *v = &m->lost[i];
        OwnRef *own = own_find(&core->own, &v->object);
        if (own && ref_is_at(ref_of(own), v->location, v->generation))
            ref_lost(core, ref_of(own));
    }
    if (p->actor) {
        actor_take_back(p);
    } else {
        list_remove(&p->link);
        if (p->worker)
            p->worker->in_flight--;
        p->worker = NULL;
        p->state = PENDING_DEPS;
    }
    lineage_requeue(core, p);
}

/* A call of the worker at `peer` (NULL: of none) has ended. An actor's creation that this set free may
 * have given the idle worker back. */
static void worker_pump(Core *core, const CorePeer *peer) {
    if (!peer || !peer->leased)
        return;
    class_pump(core, peer->leased->class_);
    CoreWorker *w = peer->leased;
    if (!w || w->in_flight)
        return;
    if (w->recalled)
        worker_free(core, w, true);
    else
        core_timer_at(core, time_mono_now() + LINGER_TIME);
}

void submit_on_result(Core *core, CorePeer *from, const Result *m) {
    CorePending *p = map_get(&core->tasks, m->task.byte);
    PeerId peer = from ? from->id : 0;
    if (!p || p->state != PENDING_SENT || m->attempt != p->attempt) {
        /* Not ours any more (cancelled, answered): what it handed over is still confirmed. */
        for (size_t i = 0; i < m->values_len; i++)
            ref_take_value(core, NULL, &m->values[i], peer);
        return;
    }
    if (m->more) {
        yields_on_item(core, p, m, peer);
        return;
    }
    keep_retained(core, m, peer);
    CorePeer *at = p->worker ? p->worker->peer : NULL;
    if (m->lost_len) {
        submit_lost(core, p, m);
        worker_pump(core, at);
        return;
    }
    if (p->worker)
        worker_learn(p->worker, p, core->now = time_mono_now());
    events_result(core, p, m, from);
    bool again = m->application_error && m->retry && p->t->retry_exceptions && !p->cancelled &&
                 (p->t->max_retries < 0 || p->attempt < (uint32_t)p->t->max_retries);
    if (again) {
        for (size_t i = 0; i < m->values_len; i++)
            ref_take_value(core, NULL, &m->values[i], peer);
        p->attempt++;
        if (p->actor)
            actor_requeue(core, p);
        else
            requeue_anew(core, p);
    } else {
        CoreActor *actor = p->actor;
        if (actor && p->cancelled && !m->application_error)
            fail_cancelled(core, p, m, peer);
        else if (p->t->num_returns < 0 && m->values_len)
            yields_on_end(core, p, m, peer);
        else
            take_results(core, p, m, peer);
        if (actor) {
            actor->count++;
            actor_on_result(core, p, from);
            p->actor = actor;
        }
        submit_ran(core, p);
    }
    worker_pump(core, at);
}

/* The worker has something long to do, or waits: what was queued behind it runs elsewhere. */
void submit_on_taken_back(Core *core, CorePeer *from, const TakenBack *m) {
    if (!from || !from->leased)
        return;
    CoreWorker *w = from->leased;
    w->window = 1;
    w->mean_usec = (double)LONG_CALL_TIME;
    for (size_t i = m->tasks_len; i-- > 0;) {
        CorePending *p = map_get(&core->tasks, m->tasks[i].byte);
        if (p && p->state == PENDING_SENT && p->worker == w)
            requeue(p);
    }
    class_pump(core, w->class_);
}

void submit_worker_dead(Core *core, CoreWorker *w, const PeerDead *dead) {
    CoreClass *c = w->class_;
    ErrorInfo cancelled = { .kind = ERROR_KIND_TASK_CANCELLED };
    ErrorInfo error = { .kind = dead->oom          ? ERROR_KIND_OUT_OF_MEMORY
                                : dead->whole_node ? ERROR_KIND_NODE_DIED
                                                   : ERROR_KIND_WORKER_CRASHED,
                        .text = dead->text,
                        .node = dead->node,
                        .pid = dead->pid };
    List lost;
    list_remove(&w->link); /* what a failure sets free is not for it */
    list_init(&lost);
    list_splice(&lost, &w->sent);
    while (!list_empty(&lost)) {
        CorePending *p = LIST_ITEM(lost.prev, CorePending, link);
        /* Only the oldest can have run; those behind it lose no attempt. */
        bool oldest = lost.next == lost.prev;
        /* Ended for want of memory is no fault of the call: it may run again as often as it takes. */
        bool again = dead->oom && p->t->max_retries != 0;
        if ((oldest && !again) || p->cancelled) {
            submit_retry_or_fail(core, p, p->cancelled ? &cancelled : &error, true);
        } else {
            requeue(p);
        }
    }
    worker_free(core, w, false);
    class_pump(core, c);
}

/* ---- cancelling -------------------------------------------------------------------------------- */

/* The one that runs it is told, and killed where `force` says so and it serves no other calls. */
static void cancel_sent(Core *core, const CorePending *p, PeerId peer, bool force, bool recursive) {
    Cancel m = { .task = p->task, .force = force && !p->actor, .recursive = recursive };
    _cleanup_buf_ Buf body = { 0 };
    cancel_encode(&m, &body);
    peer_send(core, peer, MSG_CANCEL, 0, 0, body.data, body.len);
    if (m.force)
        peer_kill(core, peer, (Slice){ 0 });
}

static void pending_cancel(Core *core, CorePending *p, bool force, bool recursive) {
    const CorePeer *peer = p->worker ? p->worker->peer : p->actor ? p->actor->peer : NULL;
    p->cancelled = true;
    if (p->state == PENDING_SENT && peer) {
        cancel_sent(core, p, peer->id, force, recursive);
        return;
    }
    ErrorInfo error = { .kind = ERROR_KIND_TASK_CANCELLED,
                        .task = p->task,
                        .name = slice_str(p->t->name) };
    CoreClass *c = p->state == PENDING_QUEUED && !p->actor ? p->class_ : NULL;
    if (c)
        c->queued--;
    submit_fail(core, p, &error);
    if (c)
        class_pump(core, c); /* it may need no more workers */
}

void submit_cancel_children(Core *core, const TaskId *parent, bool force) {
    Vec(TaskId) children = { 0 };
    CorePending *p;
    MAP_EACH(&core->tasks, pos, p)
        if (id_equal(&p->parent, parent) && p->t->kind != CALL_KIND_ACTOR_CREATE)
            vec_push(&children, p->task);
    VEC_EACH(id, &children) {
        p = map_get(&core->tasks, id->byte); /* one's end may end others */
        if (p)
            pending_cancel(core, p, force, true);
    }
    vec_done(&children);
}

int core_cancel(Core *core, CoreRef *ref, bool force, bool recursive) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    core_lock(core);
    if (ref->maker)
        pending_cancel(core, ref->maker, force, recursive);
    core_run_actions(core);
    core_unlock(core);
    return 0;
}
