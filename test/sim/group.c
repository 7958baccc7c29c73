/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "test/sim/proc.h"

/* Placement groups as their maker sees them: made, used by tasks and actors, removed. */

#define GROUP_PATIENCE (20 * USEC_PER_SEC)

static bool is_open(const Group *group, const Proc *proc) {
    return group->owner == proc && group->state != GROUP_STATE_REMOVED && !group->let_go;
}

static bool went_well(const RpcReply *reply) {
    return reply->result == 0 || (reply->result == 1 && reply->status.code == STATUS_CODE_OK);
}

static void on_made(void *argument, const RpcReply *reply) {
    Group *group = argument;
    group->early |= reply->result == 0 && reply->header->type == MSG_GROUP_INFO_REPLY;
    group->made |= went_well(reply) && !group->early;
    if (reply->result == 1 && !went_well(reply))
        group->state = GROUP_STATE_REMOVED;
}

static void on_there(void *argument, const RpcReply *reply) {
    Group *group = argument;
    if (reply->result == 1)
        group->state = GROUP_STATE_REMOVED;
    if (reply->result != 0 || !group->owner->alive)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    GroupInfoReply message;
    ASSERT(group_info_reply_decode(&message, reply->body, reply->len, &arena) == 0);
    group->made |= group->early; /* the others are told before it is logged */
    if (message.info.state != GROUP_STATE_CREATED && message.info.state != GROUP_STATE_REMOVED)
        fault("a wait for group %s ends in state %u", ID_HEX(&group->id), message.info.state);
    groups_news(group->owner, &message.info);
}

static void ask(Group *group) {
    GroupGet message = { .group = group->id, .wait = true };
    _cleanup_buf_ Buf body = { 0 };
    group_get_encode(&message, &body);
    proc_call(group->owner, PEER_GCS, MSG_GROUP_GET, &body, on_there, group);
}

void group_make(Proc *proc) {
    Group *group = mem_new(Group);
    id_random(&group->id);
    group->owner = proc;
    group->detached = chance(8);
    /* That one is the hardest to keep when a node goes. */
    group->policy = chance(3) ? GROUP_STRICT_SPREAD : (GroupPolicy)rnd(4);
    group->asked_at = loop_now(sim->loop);
    map_put(&sim->groups, &group->id, group);
    sim->did.groups++;
    Shape shape = { .cpu = QUANTITY_ONE / 2,
                    .kind = STRATEGY_KIND_PLACEMENT_GROUP,
                    .group = group->id,
                    .bundle = chance(2) ? -1 : 0 };
    group->shape = shape_add(&shape);
    Resource resources[4];
    Bundle bundles[4];
    GroupCreate message = { .info = { .group = group->id,
                                      .strategy = (uint8_t)group->policy,
                                      .bundles = bundles,
                                      .bundles_len = 1 + rnd(3),
                                      .detached = group->detached,
                                      .job = proc->job } };
    for (size_t i = 0; i < message.info.bundles_len; i++) {
        resources[i] = (Resource){ SLICE("CPU"), QUANTITY_ONE / 2 * (1 + rnd(2)) };
        bundles[i] =
            (Bundle){ .index = (uint32_t)i, .resources = &resources[i], .resources_len = 1 };
    }
    _cleanup_buf_ Buf body = { 0 };
    group_create_encode(&message, &body);
    proc_call(proc, PEER_GCS, MSG_GROUP_CREATE, &body, on_made, group);
    ask(group);
}

/* Strict is strict, also after one of its nodes died. */
static void check_places(const Group *group, const GroupInfo *info) {
    for (size_t i = 1; i < info->bundles_len; i++)
        for (size_t j = 0; j < i; j++) {
            bool same = id_equal(&info->bundles[i].node, &info->bundles[j].node);
            if (group->policy == (same ? GROUP_STRICT_SPREAD : GROUP_STRICT_PACK))
                fault("group %s: bundles %zu and %zu are on %s", ID_HEX(&group->id), j, i,
                      same ? "one node" : "two nodes");
        }
}

void groups_news(Proc *proc, const GroupInfo *info) {
    Group *group = map_get(&sim->groups, &info->group);
    if (!group || group->owner != proc || group->state == GROUP_STATE_REMOVED)
        return;
    group->state = (GroupState)info->state;
    if (group->state == GROUP_STATE_CREATED)
        check_places(group, info);
}

/* Something that runs in one of its groups. */
void group_use(Proc *proc) {
    Group *group;
    MAP_EACH(&sim->groups, pos, group) {
        if (!is_open(group, proc) || !chance(2))
            continue;
        if (chance(4))
            actor_make(proc, group->shape);
        else
            task_submit(proc, group->shape, 1, NULL);
        return;
    }
}

static void on_removed(void *argument, const RpcReply *reply) {
    Group *group = argument;
    group->removed |= went_well(reply);
}

static void on_remove_passed_on(void *argument, const RpcReply *reply) {
    UNUSED(argument); /* at the end there is none left */
    UNUSED(reply);
}

void group_remove_it(Proc *proc, Group *group) {
    _cleanup_buf_ Buf body = { 0 };
    group->let_go = true;
    group_remove_encode(&(GroupRemove){ .group = group->id }, &body);
    if (chance(3))
        proc_call(proc, PEER_GCS, MSG_GROUP_REMOVE, &body, on_removed, group);
    else
        proc_call(proc, peer_raylet(proc->peer), MSG_GROUP_REMOVE, &body, on_remove_passed_on,
                  NULL);
}

void groups_tick(Proc *proc) {
    usec_t now = loop_now(sim->loop);
    Group *group;
    MAP_EACH(&sim->groups, pos, group) {
        if (!is_open(group, proc))
            continue;
        if (group->state == GROUP_STATE_CREATED)
            group->asked_at = now;
        if (chance(80) || now - group->asked_at > GROUP_PATIENCE)
            group_remove_it(proc, group);
    }
}

void groups_drop(Proc *proc) {
    Group *group;
    MAP_EACH(&sim->groups, pos, group)
        if (is_open(group, proc) && !group->detached)
            group_remove_it(proc, group);
}
