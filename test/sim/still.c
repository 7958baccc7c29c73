/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>

#include "gcs/gcs_private.h"
#include "raylet/raylet_private.h"
#include "test/sim/proc.h"

/*
 * What must be true a while after all have stopped asking, with whatever they hold: everybody believes what is,
 * what is held is held by somebody, and what waits does not fit. Each function is false, and says in `why` what
 * is not so, or not so yet.
 */

static bool wrong(Buf *why, const char *format, ...) _printf_(2, 3);

static bool wrong(Buf *why, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    buf_clear(why);
    buf_add_str(why, text);
    return false;
}

/* ---- who is there --------------------------------------------------------------------------------- */

static const Raylet *raylet_named(const NodeId *id) {
    for (int i = 0; i < NODES; i++)
        if (sim->machines[i].raylet && id_equal(&sim->machines[i].raylet->id, id))
            return sim->machines[i].raylet;
    return NULL;
}

static const Raylet *raylet_of(PeerId peer) {
    for (int i = 0; i < NODES; i++)
        if (sim->machines[i].raylet && sim->machines[i].raylet->self == peer_raylet(peer))
            return sim->machines[i].raylet;
    return NULL;
}

static const Proc *proc_at(PeerId peer) {
    VEC_EACH(proc, &sim->procs)
        if ((*proc)->alive && (*proc)->peer == peer)
            return *proc;
    return NULL;
}

static bool nodes_are_back(Buf *why) {
    for (int i = 0; i < NODES; i++)
        if (!sim->machines[i].raylet || !raylet_healthy(sim->machines[i].raylet))
            return wrong(why, "node %d is not in the cluster", i);
    return sim->head.gcs ? true : wrong(why, "gcs is not back");
}

/* ---- what others believe of a node ---------------------------------------------------------------- */

static bool view_is_right(const char *who, int at, const SchedNode *node, Buf *why) {
    const Raylet *raylet = raylet_named(&node->id);
    if (!raylet)
        return wrong(why, "%s %d believes in a node that is gone", who, at);
    _cleanup_resources_ ResourceSet has = { 0 };
    resources_copy(&has, &raylet->here.available);
    has.known[RESOURCE_CPU] = MAX(has.known[RESOURCE_CPU], 0); /* debts are its own matter */
    if (resources_equal(&has, &node->available))
        return true;
    _cleanup_buf_ Buf text = { 0 }, truth = { 0 };
    resources_format(&node->available, &text);
    resources_format(&has, &truth);
    return wrong(why, "%s %d believes that node %s has %s, it has %s", who, at, raylet->node_ip,
                 text.data, truth.data);
}

bool still_views(Buf *why) {
    const GcsNode *node;
    const Remote *remote;
    MAP_EACH(&sim->head.gcs->nodes, pos, node)
        if (node->state == NODE_STATE_ALIVE && !view_is_right("gcs", 0, &node->sched, why))
            return false;
    for (int i = 0; i < NODES; i++)
        if (sim->machines[i].raylet)
            MAP_EACH(&sim->machines[i].raylet->remotes, at, remote)
                if (!view_is_right("node", i, &remote->sched, why))
                    return false;
    return true;
}

static bool reserved_is_right(Buf *why) {
    const GcsNode *node;
    MAP_EACH(&sim->head.gcs->nodes, pos, node) {
        const Raylet *raylet = raylet_named(&node->sched.id);
        if (node->state == NODE_STATE_ALIVE && raylet &&
            !resources_equal(&node->reserved, &raylet->reserved))
            return wrong(why, "gcs does not know what node %s has reserved", raylet->node_ip);
    }
    return true;
}

/* ---- what fits ------------------------------------------------------------------------------------ */

static bool has_gpus(const Devices *devices, Quantity want) {
    Quantity whole = 0;
    bool part = want <= 0;
    for (uint32_t i = 0; i < devices->len; i++) {
        part |= want < QUANTITY_ONE && devices->free_share[i] >= want;
        whole += devices->free_share[i] == QUANTITY_ONE ? QUANTITY_ONE : 0;
    }
    return part || (want >= QUANTITY_ONE && whole >= want);
}

static bool some_bundle_has_room(const GroupId *id, int32_t bundle, const ResourceSet *want) {
    for (int i = 0; i < NODES; i++) {
        const RayletGroup *group = bundles_group(sim->machines[i].raylet, id);
        if (!group)
            continue;
        VEC_EACH(item, &group->held) {
            const HeldBundle *held = *item;
            if ((bundle < 0 || held->index == (uint32_t)bundle) && held->committed &&
                resources_fit(&held->available, want) &&
                has_gpus(&held->devices, want->known[RESOURCE_GPU]))
                return true;
        }
    }
    return false;
}

static bool some_node_has_room(const SchedRequest *request, const ResourceSet *want) {
    for (int i = 0; i < NODES; i++) {
        const Raylet *raylet = sim->machines[i].raylet;
        const SchedNode *node = &raylet->here, *found;
        SchedState state = { 0 };
        NodeId none = { 0 };
        if (request->kind == SCHED_AFFINITY && raylet_named(&request->node) &&
            !id_equal(&request->node, &raylet->id))
            continue;
        if (sched_pick(&state, (SchedView){ &node, 1 }, &none, request, &found) == SCHED_FOUND &&
            has_gpus(&raylet->gpus, want->known[RESOURCE_GPU]))
            return true;
    }
    return false;
}

static bool group_has_room(const GcsGroup *group) {
    _cleanup_arena_ Arena arena = { 0 };
    GroupBundle *missing = arena_array(&arena, GroupBundle, group->len);
    NodeId *held = arena_array(&arena, NodeId, group->len);
    const SchedNode **nodes = arena_array(&arena, const SchedNode *, group->len);
    const SchedNode *all[NODES];
    GroupRequest request = { .policy = group->policy, .bundles = missing, .held = held };
    for (int i = 0; i < NODES; i++)
        all[i] = &sim->machines[i].raylet->here;
    for (size_t i = 0; i < group->len; i++) {
        const GcsBundle *bundle = &group->bundles[i];
        if (id_is_unset(&bundle->node))
            missing[request.len++] = (GroupBundle){ &bundle->resources, &bundle->labels };
        else
            held[request.held_len++] = bundle->node;
    }
    return group_plan((SchedView){ all, NODES }, &request, nodes) == SCHED_FOUND;
}

/* ---- leases --------------------------------------------------------------------------------------- */

static const Hold *hold_of(const Proc *proc, const LeaseId *id) {
    LIST_EACH(item, &proc->holds)
        if (id_equal(&LIST_ITEM(item, Hold, link)->id, id))
            return LIST_ITEM(item, Hold, link);
    return NULL;
}

static bool holder_is_there(const Lease *lease, Buf *why) {
    const Proc *proc = proc_at(lease->requester);
    const char *id = ID_HEX(&lease->id);
    if (!proc)
        return wrong(why, "lease %s is held by nobody", id);
    if (proc->runtime) /* counted: runtime_holds_are_there() */
        return true;
    const Hold *hold = hold_of(proc, &lease->id);
    return hold && hold->granted ? true : wrong(why, "%s holds no lease %s", proc_name(proc), id);
}

/* What blocks may wait for others until all go on: also the creation of an actor. */
static bool actor_is_there(const Lease *lease, Buf *why) {
    const GcsActor *actor = map_get(&sim->head.gcs->actors, &lease->actor);
    if (actor && actor->start_call && lease->blocked)
        return true;
    if (!actor || actor->state != ACTOR_STATE_ALIVE)
        return wrong(why, "gcs does not know that actor %s lives", ID_HEX(&lease->actor));
    if (!lease->worker->local || lease->worker->local->peer != actor->worker)
        return wrong(why, "actor %s is another process for gcs", ID_HEX(&lease->actor));
    return true;
}

static bool lease_is_still(const Lease *lease, Buf *why) {
    const char *id = ID_HEX(&lease->id);
    if (lease->state == LEASE_GRANTED)
        return lease->birth ? actor_is_there(lease, why) : holder_is_there(lease, why);
    if (lease->state != LEASE_WAITING || lease->birth || lease->spilled > 0)
        return wrong(why, "lease %s is on its way, in state %d", id, lease->state);
    bool fits = lease->in_group
                    ? some_bundle_has_room(&lease->group, lease->bundle, &lease->resources)
                    : some_node_has_room(&lease->sched, &lease->resources);
    return fits ? wrong(why, "there is room for lease %s, which waits", id) : true;
}

static bool leases_are_still(Buf *why) {
    const Lease *lease;
    for (int i = 0; i < NODES; i++)
        MAP_EACH(&sim->machines[i].raylet->leases, pos, lease)
            if (!lease_is_still(lease, why))
                return false;
    return true;
}

static uint64_t granted_to(PeerId requester) {
    uint64_t count = 0;
    const Lease *lease;
    for (int i = 0; i < NODES; i++)
        MAP_EACH(&sim->machines[i].raylet->leases, pos, lease)
            count +=
                lease->state == LEASE_GRANTED && !lease->birth && lease->requester == requester;
    return count;
}

static bool script_holds_are_there(const Proc *proc, Buf *why) {
    LIST_EACH(item, &proc->holds) {
        const Hold *hold = LIST_ITEM(item, Hold, link);
        const Raylet *raylet = raylet_of(hold->granted ? hold->worker : proc->peer);
        const Lease *lease = raylet ? map_get(&raylet->leases, &hold->id) : NULL;
        if (!lease || (lease->state == LEASE_GRANTED) != hold->granted)
            return wrong(why, "lease %s, which %s %s, is not there", ID_HEX(&hold->id),
                         proc_name(proc), hold->granted ? "holds" : "waits for");
    }
    return true;
}

static bool holds_are_there(Buf *why) {
    VEC_EACH(item, &sim->procs) {
        const Proc *proc = *item;
        if (!proc->alive || !proc->peer)
            continue;
        if (!proc->runtime && !script_holds_are_there(proc, why))
            return false;
        if (proc->runtime && runtime_leases(proc) != granted_to(proc->peer))
            return wrong(why, "%s believes that it has %llu leases, it has %llu", proc_name(proc),
                         (unsigned long long)runtime_leases(proc),
                         (unsigned long long)granted_to(proc->peer));
    }
    return true;
}

/* ---- actors --------------------------------------------------------------------------------------- */

static bool actor_waits_in_vain(const GcsActor *actor) {
    return actor->in_group ? !some_bundle_has_room(&actor->group, actor->bundle, &actor->held)
                           : !some_node_has_room(&actor->request, &actor->held);
}

static const Lease *lease_of(const GcsActor *actor) {
    const Raylet *raylet = raylet_named(&actor->node);
    LeaseId id = { 0 };
    memcpy(id.byte, actor->id.byte, sizeof(actor->id));
    const Lease *lease = raylet ? map_get(&raylet->leases, &id) : NULL;
    return lease && lease->state == LEASE_GRANTED ? lease : NULL;
}

static bool actor_is_still(const GcsActor *actor, Buf *why) {
    const char *id = ID_HEX(&actor->id);
    const Actor *known = map_get(&sim->actors, &actor->id);
    if (known && known->owner->alive && known->registered && known->state != actor->state)
        return wrong(why, "the owner of actor %s believes it in state %d, it is in %d", id,
                     known->state, actor->state);
    if (actor->state == ACTOR_STATE_DEAD || !actor->created)
        return true;
    if (actor->state == ACTOR_STATE_ALIVE)
        return lease_of(actor) ? true : wrong(why, "actor %s is not where gcs has it", id);
    if (actor->start_call && lease_of(actor) && lease_of(actor)->blocked)
        return true;
    if (list_empty(&actor->pending) || !id_is_unset(&actor->node))
        return wrong(why, "actor %s is being started on node %.12s, in state %d (call %u)", id,
                     ID_HEX(&actor->node), actor->state, actor->start_call);
    return actor_waits_in_vain(actor) ? true
                                      : wrong(why, "there is room for actor %s, which waits", id);
}

/* ---- placement groups ----------------------------------------------------------------------------- */

static const HeldBundle *bundle_at(const Raylet *raylet, const GroupId *id, size_t index) {
    const RayletGroup *group = raylet ? bundles_group(raylet, id) : NULL;
    if (group)
        VEC_EACH(held, &group->held)
            if ((*held)->index == index)
                return *held;
    return NULL;
}

static bool group_is_held(const GcsGroup *group) {
    for (size_t i = 0; i < group->len; i++) {
        const HeldBundle *held = bundle_at(raylet_named(&group->bundles[i].node), &group->id, i);
        if (!held || !held->committed)
            return false;
    }
    return true;
}

static bool maker_knows(const GcsGroup *group) {
    const Group *known = map_get(&sim->groups, &group->id);
    return !known || !known->owner->alive || known->let_go ||
           (known->state == GROUP_STATE_CREATED) == (group->state == GROUP_STATE_CREATED);
}

static bool group_is_still(const GcsGroup *group, Buf *why) {
    const char *id = ID_HEX(&group->id);
    if (!maker_knows(group))
        return wrong(why, "who made group %s does not know its state, %d", id, group->state);
    if (group->state == GROUP_STATE_REMOVED)
        return true;
    if (group->state == GROUP_STATE_CREATED)
        return group_is_held(group) ? true : wrong(why, "group %s is not held", id);
    if (group->parts)
        return wrong(why, "group %s is being reserved", id);
    return group_has_room(group) ? wrong(why, "there is room for group %s, which waits", id) : true;
}

static bool held_are_of_groups(const Raylet *raylet, Buf *why) {
    const RayletGroup *group;
    MAP_EACH(&raylet->groups, pos, group) {
        const GcsGroup *there = groups_get(sim->head.gcs, &group->id);
        VEC_EACH(held, &group->held)
            if (!there || there->state == GROUP_STATE_REMOVED || (*held)->index >= there->len ||
                !id_equal(&there->bundles[(*held)->index].node, &raylet->id))
                return wrong(why, "node %s holds a bundle of group %s that gcs has elsewhere",
                             raylet->node_ip, ID_HEX(&group->id));
    }
    return true;
}

static bool groups_are_still(Buf *why) {
    const GcsGroup *group;
    MAP_EACH(&sim->head.gcs->groups, pos, group)
        if (!group_is_still(group, why))
            return false;
    for (int i = 0; i < NODES; i++)
        if (!held_are_of_groups(sim->machines[i].raylet, why))
            return false;
    return true;
}

static bool actors_are_still(Buf *why) {
    const GcsActor *actor;
    MAP_EACH(&sim->head.gcs->actors, pos, actor)
        if (!actor_is_still(actor, why))
            return false;
    return true;
}

/* Of a node whose free GPUs are shares of several, others know the sum only: who wants a whole one asks, is
 * refused, and asks again with each report. */
static bool is_asked_in_vain(const Raylet *node, const ResourceSet *want) {
    return resources_fit(&node->here.available, want) &&
           !has_gpus(&node->gpus, want->known[RESOURCE_GPU]);
}

static bool some_wait_in_vain(const Raylet *node) {
    const Lease *lease;
    const GcsActor *actor;
    for (int i = 0; i < NODES; i++)
        MAP_EACH(&sim->machines[i].raylet->leases, pos, lease)
            if (lease->state != LEASE_GRANTED && !lease->in_group &&
                is_asked_in_vain(node, &lease->resources))
                return true;
    MAP_EACH(&sim->head.gcs->actors, at, actor)
        if (actor->created && actor->state != ACTOR_STATE_ALIVE &&
            actor->state != ACTOR_STATE_DEAD && is_asked_in_vain(node, &actor->held))
            return true;
    return false;
}

static bool all_know_what_fits(void) {
    for (int i = 0; i < NODES; i++)
        if (some_wait_in_vain(sim->machines[i].raylet))
            return false;
    return true;
}

bool still_all(Buf *why) {
    if (nodes_are_back(why) && !all_know_what_fits())
        return true; /* nothing is still then */
    return nodes_are_back(why) && still_views(why) && reserved_is_right(why) &&
           leases_are_still(why) && holds_are_there(why) && groups_are_still(why) &&
           actors_are_still(why);
}
