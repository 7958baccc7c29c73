/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Leases of workers: asked for while calls of their class wait, kept for a moment after the last one,
 * given back. Each worker gets as many calls at a time as fit in WINDOW_TIME by their measured mean,
 * so short calls are piped and long ones are not queued behind each other.
 */

#include <errno.h>

#include "base/clock.h"
#include "core/core_private.h"

/* ---- leases --------------------------------------------------------------------------------------- */

typedef struct Ask {
    List link; /* in its class's `asks` */
    Core *core;
    CoreClass *class_;
    LeaseId lease;
    bool cancelled;
} Ask;

static void lease_return(Core *core, const LeaseId *lease, PeerId worker) {
    LeaseReturn m = { .lease = *lease, .worker = worker };
    _cleanup_buf_ Buf body = { 0 };
    lease_return_encode(&m, &body);
    /* To the worker's own raylet: it may be another node's. */
    peer_send(core, peer_raylet(worker), MSG_LEASE_RETURN, 0, 0, body.data, body.len);
    core->counts.leases--;
}

void worker_free(Core *core, CoreWorker *w, bool give_back) {
    ASSERT(list_empty(&w->sent));
    list_remove(&w->link);
    w->peer->leased = NULL;
    if (give_back)
        lease_return(core, &w->lease, w->peer->id);
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
        lease_return(core, &grant->lease, grant->worker);
        class_pump(core, c);
        return;
    }
    CoreWorker *w = mem_new(CoreWorker);
    w->class_ = c;
    w->peer = peer;
    w->lease = grant->lease;
    w->node = grant->node;
    w->window = 1;
    w->recalled = c->near && peer_raylet(grant->worker) != c->near; /* there may be room later */
    w->granted_at = w->idle_since = time_mono_now();
    list_init(&w->sent);
    list_push(&c->workers, &w->link);
    peer->leased = w;
    core_timer_at(core, w->idle_since + LINGER_TIME);
    class_pump(core, c);
}

static ErrorKind lease_error_kind(const RpcReply *reply) {
    if (reply->result == 0)
        return ERROR_KIND_SYSTEM;
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
    if (reply->result == 0 && lease_grant_decode(&grant, reply->body, reply->len, &arena) == 0) {
        class_granted(core, c, &grant);
        return;
    }
    bool asked_to = reply->result == 1 && reply->status.code == STATUS_CODE_CANCELLED;
    if (!cancelled && !asked_to) {
        ErrorInfo error = { .kind = (uint8_t)lease_error_kind(reply), .text = reply->status.text };
        if (reply->result == 0)
            error.text = SLICE("The raylet's grant of a worker could not be read.");
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
        .near = c->near,
        .runtime_env = slice_str(c->runtime_env),
        .requester = core->info.peer,
        .name = slice_str(first->t->name),
        .retriable = first->t->max_retries != 0,
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

void class_pump(Core *core, CoreClass *c) {
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

/* ---- giving back ---------------------------------------------------------------------------------------- */

void lease_on_recall(Core *core, const LeaseRecall *m) {
    const CorePeer *peer = map_get(&core->peers, &m->worker);
    CoreWorker *w = peer ? peer->leased : NULL;
    if (!w || !id_equal(&w->lease, &m->lease))
        return;
    w->recalled = true;
    if (w->in_flight == 0)
        worker_free(core, w, true);
}

/* Before gcs looks for a place: what lies idle here is free for it. */
void leases_give_back(Core *core) {
    CoreClass *c;
    for (size_t pos = 0; (c = strmap_next(&core->classes, &pos, NULL)) != NULL;) {
        LIST_EACH_SAFE(item, &c->workers) {
            CoreWorker *w = LIST_ITEM(item, CoreWorker, link);
            if (w->in_flight == 0)
                worker_free(core, w, true);
        }
    }
}

/* One near a node is made for the calls that are there; the others last as long as the process. */
static bool class_is_over(const CoreClass *c) {
    return c->near && list_empty(&c->queue) && list_empty(&c->workers) && list_empty(&c->asks);
}

/* Gives idle leases back. */
void leases_tick(Core *core, usec_t now) {
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
        if (class_is_over(c)) {
            strmap_remove(&core->classes, c->key);
            class_free(c);
        }
    }
}

/* After core_fail_all(): no call is left. */
void leases_done(Core *core) {
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
