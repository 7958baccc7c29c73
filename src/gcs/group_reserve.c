/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "gcs/gcs_private.h"

/*
 * Reserving the bundles of a placement group: planned from the view of the nodes (sched/group.h), then
 * in two phases. Every node of the plan is asked to set its bundles aside; when all have, all are
 * told that they are in use. A node that has no room after all, or is lost, ends the attempt: the
 * others get their bundles back and the group waits for news. A plan with one node needs no second
 * phase.
 */

enum {
    SHAPES_SEEN = 32
};

static PeerId raylet_of(const Gcs *gcs, const NodeId *id) {
    const GcsNode *node = nodes_get(gcs, id);
    if (!node || node->state == NODE_STATE_DEAD)
        return 0;
    return peer_make(node->index, node->incarnation, 0);
}

/* ---- returning --------------------------------------------------------------------------------- */

/* The bundles of the attempt that were planned for that node. */
static void return_planned(const GcsGroup *group, const NodeId *node) {
    PeerId raylet = raylet_of(group->gcs, node);
    if (!raylet)
        return;
    uint32_t *indexes = mem_array(uint32_t, group->len);
    BundlesReturn message = { .group = group->id, .indexes = indexes };
    for (size_t i = 0; i < group->len; i++)
        if (id_equal(&group->bundles[i].planned, node))
            indexes[message.indexes_len++] = (uint32_t)i;
    _cleanup_buf_ Buf body = { 0 };
    bundles_return_encode(&message, &body);
    free(indexes);
    gcs_send(group->gcs, raylet, MSG_BUNDLES_RETURN, &body);
}

void group_attempt_end(GcsGroup *group) {
    for (size_t i = 0; i < group->len; i++)
        memset(&group->bundles[i].planned, 0, sizeof(NodeId));
    free(group->parts);
    group->parts = NULL;
    group->parts_len = group->awaited = 0;
    group->refused = group->committing = group->told = false;
}

void group_give_up(GcsGroup *group) {
    Gcs *gcs = group->gcs;
    for (size_t i = 0; i < group->parts_len; i++) {
        if (group->parts[i].call)
            rpc_forget(gcs->rpc, group->parts[i].call);
        return_planned(group, &group->parts[i].node);
    }
    if (group->parts)
        gcs_arm_rpc(gcs);
    group_attempt_end(group);
}

void group_return_all(GcsGroup *group, PeerId has) {
    Gcs *gcs = group->gcs;
    BundlesReturn message = { .group = group->id };
    _cleanup_buf_ Buf body = { 0 };
    bundles_return_encode(&message, &body);
    for (size_t i = 0; i < group->len; i++) {
        NodeId node = group->bundles[i].node;
        if (id_is_unset(&node))
            continue;
        PeerId raylet = raylet_of(gcs, &node);
        if (raylet && raylet != has)
            gcs_send(gcs, raylet, MSG_BUNDLES_RETURN, &body);
        for (size_t j = i; j < group->len; j++)
            if (id_equal(&group->bundles[j].node, &node))
                memset(&group->bundles[j].node, 0, sizeof(NodeId));
    }
}

/* ---- the attempt -------------------------------------------------------------------------------- */

static void wait_on(GcsGroup *group) {
    list_remove(&group->link);
    list_push(&group->gcs->groups_pending, &group->link);
}

static void attempt_failed(GcsGroup *group) {
    for (size_t i = 0; i < group->parts_len; i++)
        return_planned(group, &group->parts[i].node);
    group_attempt_end(group);
    if (group->state == GROUP_STATE_PREPARED)
        group->state = group->created_usec ? GROUP_STATE_RESCHEDULING : GROUP_STATE_PENDING;
    wait_on(group);
}

static void attempt_succeeded(GcsGroup *group) {
    Gcs *gcs = group->gcs;
    bool whole = true;
    for (size_t i = 0; i < group->len; i++) {
        GcsBundle *bundle = &group->bundles[i];
        if (!id_is_unset(&bundle->planned))
            bundle->node = bundle->planned;
        whole &= !id_is_unset(&bundle->node);
    }
    group->reserve_usec = loop_now(gcs->loop) - group->attempt_at;
    bool told = group->told;
    group_attempt_end(group);
    if (whole)
        group_created(group, told);
    else
        group_schedule(group); /* another of its nodes died meanwhile */
}

static void on_part_done(void *argument, const RpcReply *reply);

static void ask_part(GroupPart *part, MessageType type, const Buf *body) {
    GcsGroup *group = part->group;
    Gcs *gcs = group->gcs;
    group->awaited++;
    part->call = rpc_call(gcs->rpc, raylet_of(gcs, &part->node), type, body, USEC_INFINITY,
                          on_part_done, part);
}

static void commit(GcsGroup *group) {
    BundlesCommit message = { .group = group->id };
    _cleanup_buf_ Buf body = { 0 };
    bundles_commit_encode(&message, &body);
    group->committing = true;
    if (group->state == GROUP_STATE_PENDING)
        group->state = GROUP_STATE_PREPARED;
    for (size_t i = 0; i < group->parts_len; i++)
        ask_part(&group->parts[i], MSG_BUNDLES_COMMIT, &body);
}

/* One that has answered may have died since, while another was waited for. */
static bool parts_live(const GcsGroup *group) {
    for (size_t i = 0; i < group->parts_len; i++)
        if (!raylet_of(group->gcs, &group->parts[i].node))
            return false;
    return true;
}

static void on_part_done(void *argument, const RpcReply *reply) {
    GroupPart *part = argument;
    GcsGroup *group = part->group;
    part->call = 0;
    if (reply->result == -ECANCELED)
        return;
    group->awaited--;
    group->refused |= reply->result != 0;
    if (group->awaited > 0)
        return;
    if (group->refused || !parts_live(group))
        attempt_failed(group);
    else if (group->parts_len > 1 && !group->committing)
        commit(group);
    else
        attempt_succeeded(group);
}

static void ask_node(GroupPart *part) {
    GcsGroup *group = part->group;
    _cleanup_arena_ Arena arena = { 0 };
    BundlesReserve message = {
        .group = group->id,
        .bundles = arena_array(&arena, Bundle, group->len),
        .commit = group->parts_len == 1,
        .creator = group->told ? group->creator : 0,
    };
    GcsNode *node = nodes_get(group->gcs, &part->node);
    for (size_t i = 0; i < group->len; i++) {
        GcsBundle *from = &group->bundles[i];
        if (!id_equal(&from->planned, &part->node))
            continue;
        Bundle *to = &message.bundles[message.bundles_len++];
        *to = (Bundle){ .index = (uint32_t)i };
        to->resources = resources_to_wire(&from->resources, &arena, &to->resources_len);
        nodes_charge(node, &from->resources);
    }
    _cleanup_buf_ Buf body = { 0 };
    bundles_reserve_encode(&message, &body);
    ask_part(part, MSG_BUNDLES_RESERVE, &body);
}

/* All of it is asked of the creator's own raylet, which need not wait for us to tell it. */
static bool creator_is_there(const GcsGroup *group) {
    bool whole = group->parts_len == 1 && group->creator;
    for (size_t i = 0; i < group->len; i++)
        whole &= !id_is_unset(&group->bundles[i].planned);
    return whole && raylet_of(group->gcs, &group->parts[0].node) == peer_raylet(group->creator);
}

/* The plan's nodes become the parts of an attempt. */
static void attempt_begin(GcsGroup *group) {
    group->parts = mem_array(GroupPart, group->len);
    for (size_t i = 0; i < group->len; i++) {
        const NodeId *node = &group->bundles[i].planned;
        bool known = id_is_unset(node);
        for (size_t p = 0; p < group->parts_len && !known; p++)
            known = id_equal(&group->parts[p].node, node);
        if (!known)
            group->parts[group->parts_len++] = (GroupPart){ .group = group, .node = *node };
    }
    group->told = creator_is_there(group);
    for (size_t i = 0; i < group->parts_len; i++)
        ask_node(&group->parts[i]);
    gcs_arm_rpc(group->gcs);
}

/* ---- planning ----------------------------------------------------------------------------------- */

static SchedAnswer plan(GcsGroup *group) {
    _cleanup_arena_ Arena arena = { 0 };
    GroupBundle *missing = arena_array(&arena, GroupBundle, group->len);
    size_t *where = arena_array(&arena, size_t, group->len), missing_len = 0;
    NodeId *held = arena_array(&arena, NodeId, group->len);
    const SchedNode **nodes = arena_array(&arena, const SchedNode *, group->len);
    GroupRequest request = {
        .policy = group->policy,
        .bundles = missing,
        .held = held,
        .soft_target = group->soft_target,
        .topology = str_empty(group->topology) ? NULL : group->topology,
    };
    for (size_t i = 0; i < group->len; i++) {
        GcsBundle *bundle = &group->bundles[i];
        if (!id_is_unset(&bundle->node)) {
            held[request.held_len++] = bundle->node;
            continue;
        }
        missing[missing_len] = (GroupBundle){ &bundle->resources, &bundle->labels };
        where[missing_len++] = i;
    }
    request.len = missing_len;
    SchedAnswer answer = group_plan(nodes_view(group->gcs), &request, nodes);
    for (size_t i = 0; answer == SCHED_FOUND && i < missing_len; i++)
        group->bundles[where[i]].planned = nodes[i]->id;
    return answer;
}

/* False: it waits on. */
static bool try_place(GcsGroup *group) {
    group->attempt_at = loop_now(group->gcs->loop);
    group->attempts++;
    SchedAnswer answer = plan(group);
    group->infeasible = answer == SCHED_INFEASIBLE;
    if (answer != SCHED_FOUND)
        return false;
    list_remove(&group->link);
    attempt_begin(group);
    return true;
}

void group_schedule(GcsGroup *group) {
    wait_on(group);
    loop_task_arm(group->gcs->schedule_task);
}

static uint64_t shape_of(const GcsGroup *group) {
    uint64_t shape = (uint64_t)group->policy + group->len;
    for (size_t i = 0; i < group->len; i++)
        shape = shape * 31 + resources_hash(&group->bundles[i].resources) +
                group->bundles[i].labels.len + !id_is_unset(&group->bundles[i].node);
    return shape;
}

/* Simple groups of a shape that has just found no place find none either. */
static bool simple(const GcsGroup *group) {
    bool labelled = !str_empty(group->topology);
    for (size_t i = 0; i < group->len; i++)
        labelled |= group->bundles[i].labels.len > 0 || !id_is_unset(&group->bundles[i].node);
    return !labelled;
}

void groups_schedule_pending(Gcs *gcs) {
    uint64_t stuck[SHAPES_SEEN];
    size_t stuck_len = 0;
    List todo;
    list_init(&todo);
    list_splice(&todo, &gcs->groups_pending);
    List *link;
    while ((link = list_pop(&todo))) {
        GcsGroup *group = LIST_ITEM(link, GcsGroup, link);
        uint64_t shape = shape_of(group);
        bool same = false, plain = simple(group);
        for (size_t i = 0; i < stuck_len; i++)
            same |= plain && stuck[i] == shape;
        list_push(&gcs->groups_pending, &group->link);
        if (!same && !try_place(group) && plain && stuck_len < SHAPES_SEEN)
            stuck[stuck_len++] = shape;
    }
}

/* ---- actors in groups --------------------------------------------------------------------------- */

static GcsNode *may_take(const GcsGroup *group, size_t index, const ResourceSet *want) {
    const GcsBundle *bundle = &group->bundles[index];
    bool full = !resources_empty(&bundle->refused) && resources_fit(want, &bundle->refused);
    GcsNode *node = nodes_get(group->gcs, &bundle->node);
    if (full || !node || node->state == NODE_STATE_DEAD || !node->conn)
        return NULL;
    return resources_fit(&bundle->resources, want) ? node : NULL;
}

GcsNode *group_place_in(GcsGroup *group, int32_t bundle, const ResourceSet *want) {
    if (group->state == GROUP_STATE_REMOVED || bundle >= (int64_t)group->len)
        return NULL;
    if (bundle >= 0)
        return may_take(group, (size_t)bundle, want);
    for (size_t i = 0; i < group->len; i++) {
        size_t index = (group->next + i) % group->len;
        GcsNode *node = may_take(group, index, want);
        if (!node)
            continue;
        group->next = (uint32_t)((index + 1) % group->len);
        return node;
    }
    return NULL;
}

void group_no_room(GcsGroup *group, int32_t bundle, const NodeId *node, const ResourceSet *want) {
    for (size_t i = 0; i < group->len; i++) {
        bool concerned = bundle < 0 ? id_equal(&group->bundles[i].node, node) : i == (size_t)bundle;
        if (concerned)
            resources_copy(&group->bundles[i].refused, want);
    }
}
