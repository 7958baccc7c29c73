/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/group.h"

#include "base/error.h"
#include "raylet/raylet_private.h"

/*
 * Placement groups that this node sees to by itself. gcs' plan for a group (sched/group.h) is made here
 * first, for a process of this node, from what is known here of the others. When all of it comes
 * to lie here nobody else has a part in it: the bundles are set aside, the creator is answered, and gcs
 * hears of a group that is there. What others may ask for before gcs has heard of it (a name), and what
 * must outlive this node (a detached group), is left to gcs.
 *
 * The call to gcs goes on until it is answered, also to one that began anew (resend.c): until then the
 * bundles stay, although gcs does not count them among ours.
 */

typedef struct Wanted { /* a bundle, decoded */
    ResourceSet resources;
    LabelSelector labels;
} Wanted;

static int wanted_set(Wanted *wanted, const Bundle *bundle) {
    int r = resources_from_wire(&wanted->resources, bundle->resources, bundle->resources_len);
    if (r == 0)
        r = label_selector_from_wire(&wanted->labels, bundle->labels, bundle->labels_len);
    return r;
}

static bool plan_is_here(Raylet *raylet, const GroupInfo *info, const Wanted *wanted,
                         Arena *arena) {
    GroupBundle *bundles = arena_array(arena, GroupBundle, info->bundles_len);
    const SchedNode **nodes = arena_array(arena, const SchedNode *, info->bundles_len);
    GroupRequest request = {
        .policy = (GroupPolicy)info->strategy,
        .bundles = bundles,
        .len = info->bundles_len,
        .soft_target = info->soft_target,
        .topology =
            info->topology.len ? arena_dup(arena, info->topology.data, info->topology.len) : NULL,
    };
    for (size_t i = 0; i < info->bundles_len; i++)
        bundles[i] = (GroupBundle){ &wanted[i].resources, &wanted[i].labels };
    bool here = group_plan(peers_view(raylet), &request, nodes) == SCHED_FOUND;
    for (size_t i = 0; i < info->bundles_len && here; i++)
        here = nodes[i] == &raylet->here;
    return here;
}

static bool belongs_here(Raylet *raylet, const GroupInfo *info, Arena *arena) {
    Wanted *wanted = arena_array(arena, Wanted, info->bundles_len);
    int r = 0;
    for (size_t i = 0; r == 0 && i < info->bundles_len; i++)
        r = wanted_set(&wanted[i], &info->bundles[i]);
    bool here = r == 0 && plan_is_here(raylet, info, wanted, arena);
    for (size_t i = 0; i < info->bundles_len; i++) {
        resources_done(&wanted[i].resources);
        label_selector_done(&wanted[i].labels);
    }
    return here;
}

/* Only the creator knows of it. gcs says what is wrong with one that can't be. */
static bool is_ours(const Raylet *raylet, const GroupInfo *info) {
    return raylet->gcs.registered && !info->name.len && !info->detached && info->bundles_len > 0 &&
           info->bundles_len <= GROUP_BUNDLES_MAX &&
           info->strategy <= GROUP_STRATEGY_STRICT_SPREAD && !bundles_group(raylet, &info->group);
}

static void tell_creator(Raylet *raylet, const RayletGroup *group, GroupState state,
                         const FrameHeader *answers) {
    GroupInfoReply news = { .info = { .group = group->id, .state = (uint8_t)state } };
    _cleanup_buf_ Buf body = { 0 };
    group_info_reply_encode(&news, &body);
    if (answers)
        raylet_reply(raylet, answers, MSG_GROUP_INFO_REPLY, &body);
    else
        raylet_send(raylet, group->creator, MSG_GROUP_INFO_REPLY, &body);
}

static void on_told(void *argument, const RpcReply *reply) {
    RayletGroup *group = argument;
    group->telling = 0;
    if (reply->result != 1)
        return;
    /* There may be no more of them, or its job has ended. */
    tell_creator(group->raylet, group, GROUP_STATE_REMOVED, NULL);
    bundles_group_removed(group);
}

static void tell_gcs(RayletGroup *group, GroupCreate *message) {
    message->info.state = GROUP_STATE_CREATED;
    message->info.creator = group->creator;
    _cleanup_buf_ Buf body = { 0 };
    group_create_encode(message, &body);
    group->telling = raylet_call(group->raylet, PEER_GCS, MSG_GROUP_CREATE, &body, USEC_INFINITY,
                                 on_told, group);
    upstream_report_anew(group->raylet); /* gcs counts it in, be it reported or not */
}

bool bundles_make_group(Raylet *raylet, const FrameHeader *header, Slice body) {
    if (header->type != MSG_GROUP_CREATE || !(header->flags & FRAME_CALL) ||
        !peer_worker(header->source) || peer_raylet(header->source) != raylet->self)
        return false;
    _cleanup_arena_ Arena arena = { 0 };
    GroupCreate message;
    RayletGroup *group;
    if (group_create_decode(&message, body.data, body.len, &arena) < 0)
        return false;
    GroupInfo *info = &message.info;
    for (size_t i = 0; i < info->bundles_len; i++)
        info->bundles[i].index = (uint32_t)i;
    if (!is_ours(raylet, info) || !belongs_here(raylet, info, &arena) ||
        bundles_reserve(raylet, &info->group, info->bundles, info->bundles_len, true, &group) != 0)
        return false;
    group->creator = header->source;
    tell_creator(raylet, group, GROUP_STATE_CREATED, header);
    tell_gcs(group, &message);
    return true;
}

void bundles_on_group_remove(Raylet *raylet, RayletCall *call) {
    GroupRemove message;
    RAYLET_DECODE(raylet, call, group_remove_decode, &message);
    if (!call->local) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_DENIED,
                            "a process asks its own raylet to remove a placement group");
        return;
    }
    local_wait_if_crowded(call->local, PEER_GCS);
    message.by = call->header->source;
    _cleanup_buf_ Buf body = { 0 };
    group_remove_encode(&message, &body);
    raylet_reply_status(raylet, call->header, STATUS_CODE_OK, "%s", "");
    upstream_tell(raylet, MSG_GROUP_REMOVE, &body);
    RayletGroup *group = bundles_group(raylet, &message.group);
    if (group)
        bundles_group_removed(group);
}
