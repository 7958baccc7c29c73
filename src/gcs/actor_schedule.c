/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "gcs/gcs_private.h"

/*
 * Finding a node for an actor and starting it there. The node is picked from the view; its raylet
 * looks for itself and answers BUSY when the view was old, then the actor waits for news. The
 * start has no deadline: an __init__ may take hours. It ends by an answer or by the node's death:
 * which node was asked is in the log before it is asked, and when its connection or gcs itself was
 * lost meanwhile, that node is asked again.
 */

int actor_set_create(GcsActor *actor, const ActorCreate *create) {
    const Resource *placement = create->placement_len ? create->placement : create->resources;
    size_t placement_len = create->placement_len ? create->placement_len : create->resources_len;
    int r = resources_from_wire(&actor->held, create->resources, create->resources_len);
    if (r == 0)
        r = resources_from_wire(&actor->placement, placement, placement_len);
    if (r == 0)
        r = label_selector_from_wire(&actor->labels, create->strategy.labels,
                                     create->strategy.labels_len);
    if (r == 0)
        r = selectors_from_wire(create->strategy.fallback, create->strategy.fallback_len,
                                &actor->fallback);
    if (r < 0)
        return r;
    const Strategy *strategy = &create->strategy;
    actor->in_group = strategy->kind == STRATEGY_KIND_PLACEMENT_GROUP;
    actor->group = strategy->group;
    actor->bundle = strategy->bundle;
    actor->request = (SchedRequest){
        .kind = strategy->kind == STRATEGY_KIND_SPREAD          ? SCHED_SPREAD
                : strategy->kind == STRATEGY_KIND_NODE_AFFINITY ? SCHED_AFFINITY
                : resources_empty(&actor->placement)            ? SCHED_RANDOM
                                                                : SCHED_DEFAULT,
        .resources = &actor->placement,
        .labels = &actor->labels,
        .fallback = actor->fallback,
        .fallback_len = strategy->fallback_len,
        .node = strategy->node,
        .soft = strategy->soft,
        .spill_on_unavailable = strategy->spill_on_unavailable,
        .fail_on_unavailable = strategy->fail_on_unavailable,
    };
    return 0;
}

/* The argument of a start under way. */
struct ActorStarting {
    Gcs *gcs;
    ActorId actor;
    uint64_t number;  /* what is logged is told by it */
    uint32_t charged; /* its node with what it holds */
};

void actor_unschedule(Gcs *gcs, GcsActor *actor) {
    list_remove(&actor->pending);
    if (actor->starting && !actor->start_call && !actor->in_group)
        nodes_uncharge(gcs, &actor->node, &actor->held, actor->starting->charged);
    actor->starting = mem_free(actor->starting);
    if (actor->start_call) {
        rpc_forget(gcs->rpc, actor->start_call);
        actor->start_call = 0;
        gcs_arm_rpc(gcs);
    }
    if (actor->worker)
        return; /* it runs: who ends it tells its worker */
    GcsNode *node = nodes_get(gcs, &actor->node);
    if (!node || node->state == NODE_STATE_DEAD)
        return;
    /* The raylet may be at it, also by a start of the former gcs that is not asked for again yet:
     * what it started for this actor ends. */
    LeaseCancel cancel = { 0 };
    memcpy(cancel.lease.byte, actor->id.byte, sizeof(actor->id));
    _cleanup_buf_ Buf body = { 0 };
    lease_cancel_encode(&cancel, &body);
    gcs_send(gcs, peer_make(node->index, node->incarnation, 0), MSG_LEASE_CANCEL, &body);
}

static void started(Gcs *gcs, GcsActor *actor, const ActorStarted *reply) {
    _cleanup_free_ char *repr = NULL;
    if (text_from_wire(reply->repr, GCS_NAME_MAX, "the actor's repr", &repr) < 0)
        repr = NULL;
    actor->worker_id = reply->worker_id;
    actor->pid = reply->pid;
    GcsNode *node = nodes_get(gcs, &actor->node);
    str_set(&actor->ip, node ? node->ip : "");
    if (reply->failed) {
        buf_clear(&actor->death_error);
        buf_add(&actor->death_error, reply->error.data, reply->error.len);
        actor_lost(gcs, actor, false, DEATH_KIND_INIT_FAILED,
                   "The actor died because of an error raised in its creation task");
        return;
    }
    str_set(&actor->repr, repr);
    actor_set_worker(gcs, actor, reply->worker);
    actor->state = ACTOR_STATE_ALIVE;
    actors_changed(gcs, actor);
}

static void wait_for_place(Gcs *gcs, GcsActor *actor) {
    memset(&actor->node, 0, sizeof(actor->node));
    list_push(&gcs->pending, &actor->pending);
}

static void not_started(Gcs *gcs, GcsActor *actor, const RpcReply *reply) {
    if (reply->result < 0) { /* the node is back soon, or dead */
        list_push(&gcs->pending, &actor->pending);
        return;
    }
    if (reply->status.code == STATUS_CODE_BUSY) { /* its next report makes us look again */
        GcsGroup *group = actor->in_group ? groups_get(gcs, &actor->group) : NULL;
        if (group) {
            group_no_room(group, actor->bundle, &actor->node, &actor->held);
            loop_task_arm(gcs->schedule_task); /* another of its nodes may have */
        }
        wait_for_place(gcs, actor);
        return;
    }
    _cleanup_free_ char *text = str_dup_slice(reply->status.text);
    DeathKind kind =
        reply->status.code == STATUS_CODE_INVALID ? DEATH_KIND_ENV_FAILED : DEATH_KIND_WORKER_DIED;
    actor_lost(gcs, actor, kind == DEATH_KIND_WORKER_DIED, kind, text);
}

static void on_start_done(void *argument, const RpcReply *reply) {
    struct ActorStarting *starting = argument;
    Gcs *gcs = starting->gcs;
    GcsActor *actor = map_get(&gcs->actors, &starting->actor);
    ASSERT(actor && actor->starting == starting); /* it forgets the call before it goes */
    actor->starting = mem_free(starting);
    actor->start_call = 0;
    if (reply->result == -ECANCELED)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    ActorStarted message;
    if (reply->result != 0)
        not_started(gcs, actor, reply);
    else if (actor_started_decode(&message, reply->body, reply->len, &arena) == 0)
        started(gcs, actor, &message);
    else
        actor_lost(gcs, actor, false, DEATH_KIND_UNSCHEDULABLE,
                   "its raylet's answer could not be read");
}

static void start_send(Gcs *gcs, GcsActor *actor, const GcsNode *node) {
    _cleanup_arena_ Arena arena = { 0 };
    ActorCreate create;
    int r = actor_create_decode(&create, actor->create.data, actor->create.len, &arena);
    ASSERT(r == 0); /* it was decoded when it came */
    LeaseRequest lease = {
        .job = actor->job,
        .strategy = create.strategy,
        .runtime_env = create.runtime_env,
        .env_hash = create.env_hash,
        .requester = PEER_GCS,
        .name = slice_str(actor->class_name),
        .actor = actor->id,
        .retriable = actor->max_restarts != 0,
    };
    /* One lease an actor at a time: its id is the actor's. */
    memcpy(lease.lease.byte, actor->id.byte, sizeof(actor->id));
    lease.resources = resources_to_wire(&actor->held, &arena, &lease.resources_len);
    ActorStart message = {
        .actor = actor->id, .lease = lease, .call = create.call, .restarts = actor->restarts
    };
    _cleanup_buf_ Buf body = { 0 };
    actor_start_encode(&message, &body);
    actor->start_call =
        rpc_call(gcs->rpc, peer_make(node->index, node->incarnation, 0), MSG_ACTOR_START, &body,
                 USEC_INFINITY, on_start_done, actor->starting);
}

/* `key` is the actor and the start's number. */
static void start_logged(Gcs *gcs, const char *key) {
    ActorId id;
    char hex[2 * sizeof(id) + 1];
    memcpy(hex, key, sizeof(hex) - 1);
    hex[sizeof(hex) - 1] = '\0';
    ASSERT(hex_decode(hex, &id, sizeof(id)) == 0);
    GcsActor *actor = map_get(&gcs->actors, &id);
    uint64_t number = strtoull(key + sizeof(hex) - 1, NULL, 10);
    if (!actor || !actor->starting || actor->starting->number != number)
        return; /* given up meanwhile */
    const GcsNode *node = nodes_get(gcs, &actor->node);
    if (node && node->conn) {
        start_send(gcs, actor, node);
        return;
    }
    actor->starting = mem_free(actor->starting); /* until the node is back or dead */
    list_push(&gcs->pending, &actor->pending);
}

static void start_on(Gcs *gcs, GcsActor *actor, GcsNode *node) {
    actor->node = node->sched.id;
    int r = actor_store(gcs, actor);
    if (r < 0) {
        actor_lost(gcs, actor, false, DEATH_KIND_UNSCHEDULABLE, error_text(r));
        return;
    }
    actor->starting = mem_new(struct ActorStarting);
    *actor->starting =
        (struct ActorStarting){ .gcs = gcs, .actor = actor->id, .number = ++gcs->last_start };
    if (!actor->in_group)
        actor->starting->charged = nodes_charge(node, &actor->held);
    _cleanup_free_ char *key =
        str_printf("%s %llu", ID_HEX(&actor->id), (unsigned long long)actor->starting->number);
    gcs_log_then(gcs, start_logged, key);
}

void actor_start_elsewhere(Gcs *gcs, GcsActor *actor) {
    actor->starting = mem_free(actor->starting);
    memset(&actor->node, 0, sizeof(actor->node));
    actor_schedule(gcs, actor);
}

/* In a placement group: its bundles are a matter of the nodes that hold them. */
static bool try_place_in_group(Gcs *gcs, GcsActor *actor) {
    GcsGroup *group = groups_get(gcs, &actor->group);
    if (!group || group->state == GROUP_STATE_REMOVED) {
        _cleanup_free_ char *text =
            str_printf("Could not create the actor because its associated placement group was "
                       "removed.\nRequired placement group %s is removed.",
                       ID_HEX(&actor->group));
        actor_lost(gcs, actor, false, DEATH_KIND_UNSCHEDULABLE, text);
        return true;
    }
    GcsNode *node = group_place_in(group, actor->bundle, &actor->held);
    if (!node)
        return false;
    list_remove(&actor->pending);
    start_on(gcs, actor, node);
    return true;
}

/* Its start was under way there when the connection was lost. False: it still waits. */
static bool start_again(Gcs *gcs, GcsActor *actor, GcsNode *node) {
    if (!node->conn)
        return false;
    list_remove(&actor->pending);
    start_on(gcs, actor, node);
    return true;
}

/* False: it still waits. */
static bool try_place(Gcs *gcs, GcsActor *actor) {
    GcsNode *node = nodes_get(gcs, &actor->node);
    if (node && node->state != NODE_STATE_DEAD)
        return start_again(gcs, actor, node);
    if (actor->in_group)
        return try_place_in_group(gcs, actor);
    NodeId none = { 0 };
    const SchedNode *found = NULL;
    SchedAnswer answer = sched_pick(&gcs->sched, nodes_view(gcs), &none, &actor->request, &found);
    if (answer == SCHED_FAILED) {
        actor_lost(gcs, actor, false, DEATH_KIND_UNSCHEDULABLE,
                   "The node specified via "
                   "NodeAffinitySchedulingStrategy doesn't exist any more or is infeasible, and "
                   "soft=False was specified.");
        return true;
    }
    if (answer != SCHED_FOUND)
        return false;
    list_remove(&actor->pending);
    start_on(gcs, actor, nodes_get(gcs, &found->id));
    return true;
}

void actor_schedule(Gcs *gcs, GcsActor *actor) {
    list_remove(&actor->pending);
    list_push(&gcs->pending, &actor->pending);
    loop_task_arm(gcs->schedule_task);
}

void actors_schedule_pending(void *ctx) {
    Gcs *gcs = ctx;
    groups_schedule_pending(gcs);
    List todo;
    list_init(&todo);
    list_splice(&todo, &gcs->pending);
    List *link;
    while ((link = list_pop(&todo))) {
        GcsActor *actor = LIST_ITEM(link, GcsActor, pending);
        if (!try_place(gcs, actor))
            list_push(&gcs->pending, &actor->pending);
    }
    submissions_schedule_pending(gcs);
}

static bool matches_any(const GcsActor *actor, const Labels *labels) {
    bool matches = label_selector_matches(&actor->labels, labels);
    for (size_t i = 0; i < actor->request.fallback_len; i++)
        matches |= label_selector_matches(&actor->fallback[i], labels);
    return matches;
}

static bool could_ever(const Gcs *gcs, const GcsActor *actor) {
    GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node)
        if (node->sched.schedulable && resources_fit(&node->sched.total, &actor->placement) &&
            matches_any(actor, &node->sched.labels))
            return true;
    return false;
}

size_t actors_demands(const Gcs *gcs, Arena *arena, Demand **ret_demands) {
    enum {
        DEMANDS_MAX = 100
    };
    Demand *demands = arena_array(arena, Demand, DEMANDS_MAX);
    const ResourceSet *shapes[DEMANDS_MAX];
    size_t len = 0;
    LIST_EACH(item, &gcs->pending) {
        const GcsActor *actor = LIST_ITEM(item, GcsActor, pending);
        if (actor->in_group)
            continue; /* its group is shown */
        size_t i = 0;
        while (i < len && !resources_equal(shapes[i], &actor->placement))
            i++;
        if (i == DEMANDS_MAX)
            continue;
        if (i == len) {
            shapes[len++] = &actor->placement;
            demands[i].resources =
                resources_to_wire(&actor->placement, arena, &demands[i].resources_len);
            demands[i].infeasible = !could_ever(gcs, actor);
        }
        demands[i].count++;
    }
    *ret_demands = demands;
    return len;
}
