/* SPDX-License-Identifier: Apache-2.0 */
#include "raylet/raylet_private.h"

/*
 * Where a lease that waits is served: here, by another node, or nowhere yet. All that wait are looked
 * at in turn whenever something has changed that may give one of them a place; those that ask for the
 * same (their shapes are equal) find one or not alike, so one of them is looked at.
 */

enum {
    SHAPES_SEEN = 32
};

/* ---- here ---- */

static void place_here(Lease *lease) {
    Raylet *raylet = lease->raylet;
    lease->state = LEASE_STARTING;
    list_remove(&lease->link);
    list_push(&raylet->granted, &lease->link);
    Worker *worker = pool_take(raylet, lease);
    if (worker)
        lease_worker_ready(lease, worker);
    else
        pool_start_for(raylet, lease);
}

static size_t starting_bound(const Raylet *raylet) {
    return 4 + 2 * (size_t)(raylet->here.total.known[RESOURCE_CPU] / QUANTITY_ONE);
}

/* False while the environment is being built: nothing is held meanwhile. */
static bool env_ready(Lease *lease, bool *ret_failed) {
    if (!lease->env) {
        const Job *job = job_cache_find(lease->raylet, &lease->job);
        const char *own = lease->runtime_env;
        lease->env = workenv_get(lease->raylet, str_empty(own) && job ? job->runtime_env : own);
    }
    WorkEnvState state = workenv_ready(lease->env);
    *ret_failed = state == WORKENV_FAILED;
    if (*ret_failed)
        lease_refuse(lease, STATUS_CODE_INVALID, workenv_error(lease->env));
    return state == WORKENV_READY;
}

/* For calls that may share workers. */
static bool are_alike(const Lease *a, const Lease *b) {
    return a->requester == b->requester && a->shape == b->shape && a->near == b->near;
}

/* Holders keep idle leases for a while, and give them calls as long as there are some, but not while
 * others wait for what those hold. One that waits for more of what it has is no other. */
static void recall(Raylet *raylet, Lease *waits) {
    waits->wants_room = true;
    if (raylet->recalled)
        return;
    raylet->recalled = true;
    LIST_EACH(item, &raylet->granted) {
        Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->state != LEASE_GRANTED || lease->birth || lease->recalled)
            continue;
        if (are_alike(lease, waits)) {
            raylet->recalled = false;
            continue;
        }
        lease->recalled = true;
        LeaseRecall message = { .lease = lease->id, .worker = lease->worker->local->peer };
        _cleanup_buf_ Buf body = { 0 };
        lease_recall_encode(&message, &body);
        raylet_send(raylet, lease->requester, MSG_LEASE_RECALL, &body);
    }
}

/* ---- by another node ---- */

/* Of the death of a worker that it was lent, be it that it has come already. */
static void holder_knows(const Lease *lease, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    LeaseGrant grant;
    Local *holder = local_get(lease->raylet, lease->asked_by);
    if (holder && lease_grant_decode(&grant, reply->body, reply->len, &arena) == 0)
        local_heard_from(holder, grant.worker);
}

static void on_spill_done(void *argument, const RpcReply *reply) {
    Lease *lease = argument;
    Raylet *raylet = lease->raylet;
    lease->spill_call = 0;
    if (reply->result == -ECANCELED)
        return;
    if (reply->result == 0 && reply->header->type == MSG_LEASE_GRANT) {
        Buf body = { .data = (char *)(uintptr_t)reply->body, .len = reply->len };
        raylet_reply(raylet, &lease->call, MSG_LEASE_GRANT, &body);
        holder_knows(lease, reply);
        lease_free(lease);
        return;
    }
    if (reply->result == 1 && reply->status.code != STATUS_CODE_BUSY &&
        reply->status.code != STATUS_CODE_DEAD) {
        _cleanup_free_ char *text = str_dup_slice(reply->status.text);
        lease_refuse(lease, (StatusCode)reply->status.code, text);
        return;
    }
    if (lease->in_group)
        bundle_busy_elsewhere(lease);
    lease->sched.near = (NodeId){ 0 }; /* asked once */
    /* The view was old: news make us look again. They may have come before this answer. */
    if (raylet->looks != lease->spill_look)
        loop_task_arm(raylet->dispatch_task);
    lease->state = LEASE_WAITING;
    list_remove(&lease->link);
    list_push_front(&raylet->waiting, &lease->link);
}

static void spill(Lease *lease, const SchedNode *node) {
    Raylet *raylet = lease->raylet;
    Remote *remote = peers_get(raylet, &node->id);
    _cleanup_arena_ Arena arena = { 0 };
    LeaseRequest request;
    int r = lease_request_decode(&request, lease->request.data, lease->request.len, &arena);
    ASSERT(r == 0 && remote); /* decoded when it came; the view has remotes only */
    request.spilled = (uint8_t)(lease->spilled + 1);
    request.requester = lease->requester;
    _cleanup_buf_ Buf body = { 0 };
    lease_request_encode(&request, &body);
    lease->state = LEASE_SPILLED;
    lease->spill_node = node->id;
    lease->spill_look = raylet->looks;
    list_remove(&lease->link);
    list_push(&raylet->granted, &lease->link);
    if (!lease->in_group)
        resources_sub(&remote->sched.available, &lease->resources); /* until its next report */
    lease->spill_call = raylet_call(raylet, remote_peer(remote), MSG_LEASE_REQUEST, &body,
                                    USEC_INFINITY, on_spill_done, lease);
}

void lease_spill_cancel(const Lease *lease) {
    Raylet *raylet = lease->raylet;
    Remote *remote = peers_get(raylet, &lease->spill_node);
    _cleanup_buf_ Buf body = { 0 };
    lease_cancel_encode(&(LeaseCancel){ .lease = lease->id }, &body);
    if (remote)
        raylet_send(raylet, remote_peer(remote), MSG_LEASE_CANCEL, &body);
}

/* ---- all that wait ---- */

/* Served at once, but for its environment, or not at all. */
static void place_passed_on(Lease *lease) {
    Raylet *raylet = lease->raylet;
    bool failed;
    if (!env_ready(lease, &failed))
        return;
    lease->waits_to_start = raylet->starting_len >= starting_bound(raylet);
    if (lease->waits_to_start)
        return; /* soon */
    if (lease_take_resources(lease)) {
        place_here(lease);
        return;
    }
    recall(raylet, lease);
    if (lease->in_group)
        bundle_refused(lease);
    lease_refuse(lease, STATUS_CODE_BUSY, "no room on this node now");
}

/* False: it waits on. */
static bool place_in_group(Lease *lease) {
    Raylet *raylet = lease->raylet;
    bool failed;
    lease->feasible = true; /* a matter of its group */
    if (!env_ready(lease, &failed))
        return failed;
    if (raylet->starting_len >= starting_bound(raylet))
        return false;
    if (lease_take_resources(lease)) {
        place_here(lease);
        return true;
    }
    recall(raylet, lease);
    const SchedNode *node = bundle_elsewhere(lease);
    if (node)
        spill(lease, node);
    return node != NULL;
}

/* False: it waits on. */
static bool place(Lease *lease) {
    Raylet *raylet = lease->raylet;
    const SchedNode *node = NULL;
    SchedAnswer answer =
        sched_pick(&raylet->sched, peers_view(raylet), &raylet->id, &lease->sched, &node);
    if (answer == SCHED_FAILED) {
        lease_refuse(lease, STATUS_CODE_INFEASIBLE,
                     "The node specified via "
                     "NodeAffinitySchedulingStrategy doesn't exist any more or is infeasible, and "
                     "soft=False was specified.");
        return true;
    }
    lease->feasible = answer != SCHED_INFEASIBLE;
    if (answer == SCHED_WAIT)
        recall(raylet, lease);
    if (answer != SCHED_FOUND)
        return false;
    if (node != &raylet->here) {
        spill(lease, node);
        return true;
    }
    bool failed;
    if (!env_ready(lease, &failed))
        return failed;
    if (raylet->starting_len >= starting_bound(raylet) || !lease_take_resources(lease))
        return false;
    place_here(lease);
    return true;
}

void leases_dispatch(void *ctx) {
    Raylet *raylet = ctx;
    Lease *stuck[SHAPES_SEEN];
    size_t stuck_len = 0;
    raylet->looks++;
    List todo;
    list_init(&todo);
    list_splice(&todo, &raylet->waiting);
    List *link;
    while ((link = list_pop(&todo))) {
        Lease *lease = LIST_ITEM(link, Lease, link);
        bool passed_on = lease_passed_on(lease);
        const Lease *like = NULL;
        for (size_t i = 0; i < stuck_len && !passed_on; i++)
            if (stuck[i]->shape == lease->shape)
                like = stuck[i];
        list_push(&raylet->waiting, &lease->link);
        if (lease->waits_to_start && raylet->starting_len >= starting_bound(raylet))
            continue; /* there may be thousands, each time one has started */
        if (!job_cache_find(raylet, &lease->job))
            continue;
        if (like) {
            if (like->wants_room && !are_alike(like, lease))
                recall(raylet, lease);
            continue;
        }
        lease->wants_room = false;
        if (passed_on)
            place_passed_on(lease);
        else if (!(lease->in_group ? place_in_group(lease) : place(lease)) &&
                 stuck_len < SHAPES_SEEN)
            stuck[stuck_len++] = lease;
    }
    upstream_changed(raylet);
}

size_t leases_demands(const Raylet *raylet, Arena *arena, Demand **ret_demands) {
    enum {
        DEMANDS_MAX = 100
    };
    Demand *demands = arena_array(arena, Demand, DEMANDS_MAX);
    uint64_t shapes[DEMANDS_MAX];
    size_t len = 0;
    LIST_EACH(item, &raylet->waiting) {
        const Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->in_group)
            continue; /* its group is shown */
        size_t i = 0;
        while (i < len && shapes[i] != lease->shape)
            i++;
        if (i == DEMANDS_MAX)
            continue;
        if (i == len) {
            shapes[len++] = lease->shape;
            demands[i].resources =
                resources_to_wire(&lease->resources, arena, &demands[i].resources_len);
        }
        demands[i].count++;
    }
    *ret_demands = demands;
    return len;
}
