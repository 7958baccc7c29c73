/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Normal tasks on the submitter's side: leases of workers, and the calls in flight. A lease is asked for while calls wait; each worker gets as many calls
 * at a time as fit in WINDOW_TIME by their measured mean, so short calls are piped and long ones
 * are not queued behind each other.
 */

#include "base/clock.h"
#include "base/error.h"
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

/* ---- leases --------------------------------------------------------------------------------------- */

typedef struct Ask {
    List link; /* in its class's `asks` */
    Core *core;
    CoreClass *class_;
    LeaseId lease;
    bool cancelled;
} Ask;

static void class_pump(Core *core, CoreClass *c);

static void lease_return(Core *core, const LeaseId *lease, PeerId worker, bool kill) {
    LeaseReturn m = { .lease = *lease, .worker = worker, .kill = kill };
    _cleanup_buf_ Buf body = { 0 };
    lease_return_encode(&m, &body);
    /* To the worker's own raylet: it may be another node's. */
    peer_send(core, peer_raylet(worker), MSG_LEASE_RETURN, 0, 0, body.data, body.len);
    core->counts.leases--;
}

static void worker_free(Core *core, CoreWorker *w, bool give_back) {
    ASSERT(list_empty(&w->sent));
    list_remove(&w->link);
    w->peer->leased = NULL;
    if (give_back)
        lease_return(core, &w->lease, w->peer->id, false);
    else
        core->counts.leases--;
    mem_free(w);
}

/* A refusal names the request and the function, as Ray's does. */
static void class_refused(Core *core, CoreClass *c, const LeaseId *lease, ErrorInfo error) {
    Slice text = error.text;
    while (!list_empty(&c->queue)) {
        CorePending *p = LIST_ITEM(c->queue.next, CorePending, link);
        const char *dot = strrchr(p->t->name, '.');
        _cleanup_free_ char *whole =
            str_printf("%.*s lease_id=%s, name=%s", (int)text.len, text.data, ID_HEX(lease),
                       dot ? dot + 1 : p->t->name);
        if (error.kind == ERROR_KIND_TASK_UNSCHEDULABLE)
            error.text = slice_str(whole);
        c->queued--;
        submit_fail(core, p, &error);
    }
}

static void class_granted(Core *core, CoreClass *c, const LeaseGrant *grant) {
    CorePeer *peer = peer_get(core, grant->worker);
    core->counts.leases++;
    if (peer->state == PEER_GONE || peer->leased) {
        lease_return(core, &grant->lease, grant->worker, false);
        class_pump(core, c);
        return;
    }
    CoreWorker *w = mem_new(CoreWorker);
    w->class_ = c;
    w->peer = peer;
    w->lease = grant->lease;
    w->node = grant->node;
    w->window = 1;
    w->granted_at = w->idle_since = time_mono_now();
    list_init(&w->sent);
    list_push(&c->workers, &w->link);
    peer->leased = w;
    core_timer_at(core, w->idle_since + LINGER_TIME);
    class_pump(core, c);
}

static ErrorKind lease_error_kind(const RpcReply *reply) {
    if (reply->result != 1)
        return ERROR_KIND_RAYLET_DIED;
    switch (reply->status.code) {
    case STATUS_CODE_INFEASIBLE:
        return ERROR_KIND_TASK_UNSCHEDULABLE;
    case STATUS_CODE_INVALID:
        return ERROR_KIND_ENV_SETUP;
    case STATUS_CODE_REMOVED:
        return ERROR_KIND_GROUP_REMOVED;
    default:
        return ERROR_KIND_SYSTEM;
    }
}

static void on_lease(void *argument, const RpcReply *reply) {
    Ask *ask = argument;
    Core *core = ask->core;
    CoreClass *c = ask->class_;
    bool cancelled = ask->cancelled;
    LeaseId lease = ask->lease;
    list_remove(&ask->link);
    c->asked--;
    mem_free(ask);
    if (core->closed || reply->result == -ECANCELED)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    LeaseGrant grant;
    if (reply->result == 0) {
        if (lease_grant_decode(&grant, reply->body, reply->len, &arena) == 0)
            class_granted(core, c, &grant);
        return;
    }
    bool asked_to = reply->result == 1 && reply->status.code == STATUS_CODE_CANCELLED;
    if (!cancelled && !asked_to) {
        ErrorInfo error = { .kind = (uint8_t)lease_error_kind(reply), .text = reply->status.text };
        class_refused(core, c, &lease, error);
    }
    class_pump(core, c);
}

static void class_ask(Core *core, CoreClass *c) {
    Ask *ask = mem_new(Ask);
    ask->core = core;
    ask->class_ = c;
    mem_random(&ask->lease, sizeof(ask->lease));
    list_push(&c->asks, &ask->link);
    c->asked++;
    CorePending *first = LIST_ITEM(c->queue.next, CorePending, link);
    Hash env_hash;
    core_hash(c->runtime_env, c->runtime_env ? strlen(c->runtime_env) : 0, &env_hash);
    LeaseRequest m = {
        .lease = ask->lease,
        .job = core->info.job,
        .resources = c->resources,
        .resources_len = c->resources_len,
        .strategy = c->strategy,
        .runtime_env = slice_str(c->runtime_env),
        .depth = core->running ? core->running->task.call.depth + 1 : 0,
        .requester = core->info.peer,
        .name = slice_str(first->t->name),
        .retriable = first->t->max_retries != 0,
        .backlog = (uint32_t)MIN(c->queued, (size_t)UINT32_MAX),
    };
    if (c->runtime_env)
        memcpy(&m.env_hash, env_hash.byte, sizeof(m.env_hash));
    _cleanup_buf_ Buf body = { 0 };
    lease_request_encode(&m, &body);
    rpc_call(core->rpc, peer_raylet(core->info.peer), MSG_LEASE_REQUEST, &body, USEC_INFINITY,
             on_lease, ask);
}

static void class_cancel_asks(Core *core, CoreClass *c) {
    LIST_EACH(item, &c->asks) {
        Ask *ask = LIST_ITEM(item, Ask, link);
        if (ask->cancelled)
            continue;
        ask->cancelled = true;
        LeaseCancel m = { .lease = ask->lease };
        _cleanup_buf_ Buf body = { 0 };
        lease_cancel_encode(&m, &body);
        raylet_send(core, MSG_LEASE_CANCEL, &body);
    }
}

static size_t class_asks_open(const CoreClass *c) {
    size_t open = 0;
    LIST_EACH(item, &c->asks)
        open += !LIST_ITEM(item, Ask, link)->cancelled;
    return open;
}

/* ---- sending ------------------------------------------------------------------------------------------ */

/* Others wait for its place, and it has had its turn: that queues here do not end does not keep them
 * waiting. Turns have a length since a change of hands costs about as much as a few calls. */
static bool worker_leaves(const CoreWorker *w) {
    return w->recalled && w->granted_at + TURN_TIME <= time_mono_coarse();
}

static CoreWorker *class_worker(CoreClass *c) {
    CoreWorker *best = NULL;
    LIST_EACH(item, &c->workers) {
        CoreWorker *w = LIST_ITEM(item, CoreWorker, link);
        if (w->in_flight < w->window && (!best || w->in_flight < best->in_flight) &&
            !worker_leaves(w))
            best = w;
    }
    return best;
}

static void worker_send(Core *core, CoreWorker *w, CorePending *p) {
    list_remove(&p->link);
    w->class_->queued--;
    list_push(&w->sent, &p->link);
    w->in_flight++;
    p->worker = w;
    p->state = PENDING_SENT;
    p->sent_at = time_mono_now();
    _cleanup_arena_ Arena arena = { 0 };
    buf_clear(&core->scratch);
    pending_encode(core, p, w->peer->id, &arena, &core->scratch);
    peer_send(core, w->peer->id, MSG_CALL, 0, 0, core->scratch.data, core->scratch.len);
}

bool pending_has_arguments(const CorePending *p) {
    for (uint32_t i = 0; i < p->top_len; i++)
        if (ref_of(p->uses[i])->kind == VALUE_KIND_PENDING)
            return false;
    return true;
}

static void class_pump(Core *core, CoreClass *c) {
    while (!list_empty(&c->queue)) {
        CorePending *p = LIST_ITEM(c->queue.next, CorePending, link);
        CoreWorker *w = class_worker(c);
        if (!w)
            break;
        if (pending_has_arguments(p)) {
            worker_send(core, w, p);
            continue;
        }
        list_remove(&p->link);
        c->queued--;
        p->state = PENDING_DEPS;
        lineage_requeue(core, p);
    }
    if (list_empty(&c->queue)) {
        if (c->asked)
            class_cancel_asks(core, c);
        return;
    }
    size_t open = c->asked ? class_asks_open(c) : 0;
    for (; open < MIN(c->queued, (size_t)LEASES_ASKED_MAX); open++)
        class_ask(core, c);
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
        CoreClass *c = p->t->class_;
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

static void requeue(Core *core, CorePending *p) {
    CoreClass *c = p->t->class_;
    UNUSED(core);
    list_remove(&p->link);
    if (p->worker)
        p->worker->in_flight--;
    p->worker = NULL;
    p->state = PENDING_QUEUED;
    list_push_front(&c->queue, &p->link);
    c->queued++;
}

void submit_retry_or_fail(Core *core, CorePending *p, const ErrorInfo *error, bool may_retry) {
    int32_t max = p->t->max_retries;
    if (may_retry && !p->cancelled && (max < 0 || p->attempt < (uint32_t)max)) {
        events_ended(core, p, pending_peer(p), 0, core->now, error);
        p->attempt++;
        requeue(core, p);
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
            requeue(core, p);
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
            requeue(core, p);
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
            requeue(core, p);
        }
    }
    worker_free(core, w, false);
    class_pump(core, c);
}

void submit_on_recall(Core *core, const LeaseRecall *m) {
    const CorePeer *peer = map_get(&core->peers, &m->worker);
    CoreWorker *w = peer ? peer->leased : NULL;
    if (!w || !id_equal(&w->lease, &m->lease))
        return;
    w->recalled = true;
    if (w->in_flight == 0)
        worker_free(core, w, true);
}

/* Before gcs looks for a place: what lies idle here is free for it. */
void submit_give_back(Core *core) {
    CoreClass *c;
    for (size_t pos = 0; (c = strmap_next(&core->classes, &pos, NULL)) != NULL;) {
        LIST_EACH_SAFE(item, &c->workers) {
            CoreWorker *w = LIST_ITEM(item, CoreWorker, link);
            if (w->in_flight == 0)
                worker_free(core, w, true);
        }
    }
}

/* Gives idle leases back. */
void submit_tick(Core *core, usec_t now) {
    CoreClass *c;
    for (size_t pos = 0; (c = strmap_next(&core->classes, &pos, NULL)) != NULL;) {
        LIST_EACH_SAFE(item, &c->workers) {
            CoreWorker *w = LIST_ITEM(item, CoreWorker, link);
            if (w->in_flight)
                continue;
            if (w->recalled || w->idle_since + LINGER_TIME <= now)
                worker_free(core, w, true);
            else
                core->timer = MIN(core->timer, w->idle_since + LINGER_TIME);
        }
    }
}

/* ---- cancelling -------------------------------------------------------------------------------- */

/* The one that runs it is told, and killed where `force` says so and it serves no other calls. */
static void cancel_sent(Core *core, const CorePending *p, PeerId peer, bool force, bool recursive) {
    Cancel m = { .task = p->task, .force = force && !p->actor, .recursive = recursive };
    _cleanup_buf_ Buf body = { 0 };
    cancel_encode(&m, &body);
    peer_send(core, peer, MSG_CANCEL, 0, 0, body.data, body.len);
    if (!m.force)
        return;
    WorkerKill kill = { .peer = peer, .force = true };
    buf_clear(&body);
    worker_kill_encode(&kill, &body);
    peer_send(core, peer_raylet(peer), MSG_WORKER_KILL, 0, 0, body.data, body.len);
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
    if (p->state == PENDING_QUEUED && !p->actor)
        p->t->class_->queued--;
    submit_fail(core, p, &error);
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

/* After core_fail_all(): no call is left. */
void submit_done(Core *core) {
    CoreClass *c;
    for (size_t pos = 0; (c = strmap_next(&core->classes, &pos, NULL)) != NULL;) {
        while (!list_empty(&c->workers)) {
            CoreWorker *w = LIST_ITEM(c->workers.next, CoreWorker, link);
            list_remove(&w->link);
            w->peer->leased = NULL;
            mem_free(w);
        }
        class_free(c);
    }
    strmap_done(&core->classes);
}
