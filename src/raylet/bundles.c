/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/plant.h"
#include "raylet/raylet_private.h"

/*
 * Placement groups on this node: the bundles that gcs or group.c has reserved here, and, for groups that leases
 * here ask for, where their other bundles are. A lease in a group takes its resources from a bundle
 * here, or is passed on to a node that holds one. That node serves it or answers BUSY and tells when
 * something in the group is given back, so that nobody asks in vain twice.
 */

static void bundle_free(Raylet *raylet, HeldBundle *held) {
    resources_add(&raylet->here.available, &held->total);
    resources_sub(&raylet->reserved, &held->total);
    devices_give(&raylet->gpus, &held->gpus);
    devices_done(&held->devices);
    resources_done(&held->total);
    resources_done(&held->available);
    free(held);
}

static void places_clear(RayletGroup *group) {
    for (size_t i = 0; i < group->places_len; i++) {
        resources_done(&group->places[i].total);
        resources_done(&group->places[i].refused);
    }
    free(group->places);
    group->places = NULL;
    group->places_len = 0;
}

static void group_free(RayletGroup *group) {
    Raylet *raylet = group->raylet;
    if (group->asked)
        raylet_forget(raylet, group->asked);
    if (group->telling)
        raylet_forget(raylet, group->telling);
    map_remove(&raylet->groups, &group->id);
    places_clear(group);
    VEC_EACH(held, &group->held)
        bundle_free(raylet, *held);
    vec_done(&group->held);
    vec_done(&group->refused);
    free(group);
}

static RayletGroup *group_get(Raylet *raylet, const GroupId *id) {
    RayletGroup *group = map_get(&raylet->groups, id);
    if (group)
        return group;
    group = mem_new(RayletGroup);
    group->raylet = raylet;
    group->id = *id;
    map_put(&raylet->groups, &group->id, group);
    return group;
}

RayletGroup *bundles_group(const Raylet *raylet, const GroupId *id) {
    return map_get(&raylet->groups, id);
}

/* ---- bundles held here ------------------------------------------------------------------------- */

static HeldBundle *held_find(const RayletGroup *group, uint32_t index) {
    VEC_EACH(held, &group->held)
        if ((*held)->index == index)
            return *held;
    return NULL;
}

/* 0, 1: no room now, or a fault of the message. */
static int bundle_reserve(RayletGroup *group, const Bundle *bundle) {
    Raylet *raylet = group->raylet;
    if (held_find(group, bundle->index))
        return 0; /* a repeated request */
    HeldBundle *held = mem_new(HeldBundle);
    held->index = bundle->index;
    int r = resources_from_wire(&held->total, bundle->resources, bundle->resources_len);
    if (r == 0)
        r = devices_check(held->total.known[RESOURCE_GPU]);
    if (r == 0 && (!resources_fit(&raylet->here.available, &held->total) ||
                   !devices_take(&raylet->gpus, held->total.known[RESOURCE_GPU], &held->gpus)))
        r = 1;
    if (r != 0) {
        resources_done(&held->total);
        free(held);
        return r;
    }
    devices_init_share(&held->devices, &held->gpus);
    resources_copy(&held->available, &held->total);
    resources_sub(&raylet->here.available, &held->total);
    resources_add(&raylet->reserved, &held->total);
    vec_push(&group->held, held);
    return 0;
}

static void end_granted(Lease *lease, bool removed) {
    Worker *worker = lease->worker;
    _cleanup_free_ char *text =
        str_printf("%sDestroying worker since its placement group was %s. Placement group id: "
                   "%s, bundle index: %d, lease id: %s, actor id: %s, worker id: %s",
                   lease->birth && removed
                       ? "The actor is dead because its worker process has died. Worker exit "
                         "type: INTENDED_SYSTEM_EXIT Worker exit detail: "
                       : "",
                   removed ? "removed" : "rescheduled by the head", ID_HEX(&lease->group),
                   lease->bundle, ID_HEX(&lease->id), ID_HEX(&lease->actor), ID_HEX(&worker->id));
    if (lease->birth) /* gcs says what becomes of one that was not made yet */
        actor_lease_failed(lease, STATUS_CODE_BUSY, "the bundle was taken back");
    lease_free(lease);
    worker_end(worker, true, removed, text);
}

/* `removed`: with the whole group; else it will have bundles again, here or elsewhere. */
static void end_lease(Lease *lease, bool removed) {
    if (lease->state == LEASE_GRANTED)
        end_granted(lease, removed);
    else if (lease->birth)
        lease_refuse(lease, STATUS_CODE_BUSY, "the bundle was taken back");
    else if (removed)
        lease_refuse(lease, STATUS_CODE_REMOVED, "the placement group was removed");
    else if (lease->spilled > 0)
        lease_refuse(lease, STATUS_CODE_BUSY, "the bundle was taken back");
    else
        lease_wait_again(lease);
}

static void end_leases_of(Raylet *raylet, const HeldBundle *held, bool removed) {
    for (bool again = true; again;) {
        again = false;
        LIST_EACH(item, &raylet->granted) {
            Lease *lease = LIST_ITEM(item, Lease, link);
            if (lease->held != held)
                continue;
            end_lease(lease, removed);
            again = true; /* the list has changed */
            break;
        }
    }
}

static void bundle_return(RayletGroup *group, size_t i, bool removed) {
    HeldBundle *held = group->held.items[i];
    end_leases_of(group->raylet, held, removed);
    vec_remove_swap(&group->held, i);
    bundle_free(group->raylet, held);
    upstream_report_anew(group->raylet); /* gcs has counted it in, be it reported or not */
    loop_task_arm(group->raylet->dispatch_task);
}

/* Nothing is held, nobody waits: what is known of it can be asked for again. */
static void group_let_go(RayletGroup *group) {
    if (group->held.len)
        return;
    LIST_EACH(item, &group->raylet->waiting) {
        const Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->in_group && id_equal(&lease->group, &group->id))
            return;
    }
    LIST_EACH(item, &group->raylet->granted) {
        const Lease *lease = LIST_ITEM(item, Lease, link);
        if (lease->in_group && id_equal(&lease->group, &group->id))
            return;
    }
    group_free(group);
}

int bundles_reserve(Raylet *raylet, const GroupId *id, const Bundle *bundles, size_t len,
                    bool commit, RayletGroup **ret_group) {
    RayletGroup *group = group_get(raylet, id);
    size_t before = group->held.len;
    int r = 0;
    for (size_t i = 0; r == 0 && i < len; i++)
        r = bundle_reserve(group, &bundles[i]);
    if (r != 0) {
        while (group->held.len > before)
            bundle_free(raylet, vec_pop(&group->held));
        group_let_go(group);
        return r;
    }
    for (size_t i = before; i < group->held.len; i++)
        group->held.items[i]->committed = commit;
    upstream_changed(raylet);
    if (commit)
        loop_task_arm(raylet->dispatch_task);
    *ret_group = group;
    return 0;
}

/* The creator is here: it need not wait until gcs has heard of it. */
static void tell_creator(Raylet *raylet, const BundlesReserve *message) {
    GroupInfoReply news = { .info = { .group = message->group, .state = GROUP_STATE_CREATED } };
    _cleanup_buf_ Buf body = { 0 };
    group_info_reply_encode(&news, &body);
    raylet_send(raylet, message->creator, MSG_GROUP_INFO_REPLY, &body);
}

void bundles_on_reserve(Raylet *raylet, RayletCall *call) {
    BundlesReserve message;
    RAYLET_DECODE(raylet, call, bundles_reserve_decode, &message);
    RayletGroup *group;
    int r = bundles_reserve(raylet, &message.group, message.bundles, message.bundles_len,
                            message.commit, &group);
    if (r == 0) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_OK, "%s", "");
        if (message.creator)
            tell_creator(raylet, &message);
        return;
    }
    upstream_report_anew(raylet); /* gcs has counted them in */
    raylet_reply_status(raylet, call->header, r > 0 ? STATUS_CODE_BUSY : STATUS_CODE_INVALID, "%s",
                        r > 0 ? "no room on this node now" : error_text(r));
}

void bundles_on_commit(Raylet *raylet, RayletCall *call) {
    BundlesCommit message;
    RAYLET_DECODE(raylet, call, bundles_commit_decode, &message);
    RayletGroup *group = map_get(&raylet->groups, &message.group);
    if (!group || group->held.len == 0) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_NOT_FOUND, "nothing is reserved");
        return;
    }
    VEC_EACH(held, &group->held)
        (*held)->committed = true;
    loop_task_arm(raylet->dispatch_task);
    raylet_reply_status(raylet, call->header, STATUS_CODE_OK, "%s", "");
}

void bundles_on_return(Raylet *raylet, RayletCall *call) {
    BundlesReturn message;
    RAYLET_DECODE(raylet, call, bundles_return_decode, &message);
    RayletGroup *group = map_get(&raylet->groups, &message.group);
    if (!group)
        return;
    for (size_t i = group->held.len; i-- > 0;) {
        bool all = message.indexes_len == 0, named = all; /* all: the group is removed */
        for (size_t k = 0; k < message.indexes_len && !named; k++)
            named = message.indexes[k] == group->held.items[i]->index;
        if (named)
            bundle_return(group, i, all);
    }
    group_let_go(group);
}

/* ---- what gcs tells ---------------------------------------------------------------------------- */

void bundles_group_removed(RayletGroup *group) {
    Raylet *raylet = group->raylet;
    group->known = true; /* it stays until its leases are gone */
    for (size_t i = group->held.len; i-- > 0;)
        bundle_return(group, i, true);
    for (bool again = true; again;) {
        again = false;
        LIST_EACH(item, &raylet->waiting) {
            Lease *lease = LIST_ITEM(item, Lease, link);
            if (!lease->in_group || !id_equal(&lease->group, &group->id))
                continue;
            lease_refuse(lease, STATUS_CODE_REMOVED, "the placement group was removed");
            again = true; /* the list has changed */
            break;
        }
    }
    group_free(group);
}

static void places_set(RayletGroup *group, const GroupInfo *info) {
    places_clear(group);
    group->known = true;
    group->places = mem_array(BundlePlace, info->bundles_len);
    group->places_len = info->bundles_len;
    for (size_t i = 0; i < info->bundles_len; i++) {
        const Bundle *bundle = &info->bundles[i];
        int r =
            resources_from_wire(&group->places[i].total, bundle->resources, bundle->resources_len);
        if (r == 0) /* else nothing fits there */
            group->places[i].node = bundle->node;
    }
    loop_task_arm(group->raylet->dispatch_task);
}

static void group_learn(RayletGroup *group, const GroupInfo *info) {
    if (info->state == GROUP_STATE_REMOVED)
        bundles_group_removed(group);
    else
        places_set(group, info);
}

void bundles_on_group(Raylet *raylet, RayletCall *call) {
    GroupInfoReply message;
    RAYLET_DECODE(raylet, call, group_info_reply_decode, &message);
    RayletGroup *group = map_get(&raylet->groups, &message.info.group);
    if (group)
        group_learn(group, &message.info);
}

static void on_group_told(void *argument, const RpcReply *reply) {
    RayletGroup *group = argument;
    group->asked = 0;
    _cleanup_arena_ Arena arena = { 0 };
    GroupInfoReply message;
    if (reply->result == 0 &&
        group_info_reply_decode(&message, reply->body, reply->len, &arena) == 0)
        group_learn(group, &message.info);
    else if (reply->result == 1) /* removed so long ago that gcs has forgotten it */
        bundles_group_removed(group);
}

static void group_ask(RayletGroup *group) {
    if (group->asked)
        return;
    GroupGet message = { .group = group->id, .watch = true };
    _cleanup_buf_ Buf body = { 0 };
    group_get_encode(&message, &body);
    group->asked = raylet_call(group->raylet, PEER_GCS, MSG_GROUP_GET, &body, USEC_INFINITY,
                               on_group_told, group);
}

static bool is_kept(const RayletGroup *group, uint32_t index, const KeptBundle *kept, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (kept[i].index == index && id_equal(&kept[i].group, &group->id))
            return true;
    return false;
}

void bundles_registered(Raylet *raylet, const KeptBundle *kept, size_t len) {
    Vec(GroupId) ids = { 0 };
    RayletGroup *group;
    MAP_EACH(&raylet->groups, pos, group)
        vec_push(&ids, group->id);
    VEC_EACH(id, &ids) {
        group = map_get(&raylet->groups, id);
        for (size_t i = group->held.len;
             i-- > 0 && !group->telling;) /* gcs is about to hear of it */
            if (!PLANTED(12) && !is_kept(group, group->held.items[i]->index, kept, len))
                bundle_return(group, i, false);
        if (group->known)
            group_ask(group);
        else
            group_let_go(group);
    }
    vec_done(&ids);
}

/* ---- leases in groups -------------------------------------------------------------------------- */

bool bundle_take(Lease *lease) {
    Raylet *raylet = lease->raylet;
    RayletGroup *group = group_get(raylet, &lease->group);
    VEC_EACH(item, &group->held) {
        HeldBundle *held = *item;
        bool wanted = lease->bundle < 0 || held->index == (uint32_t)lease->bundle;
        if (!wanted || !held->committed || !resources_fit(&held->available, &lease->resources) ||
            !devices_take(&held->devices, lease->resources.known[RESOURCE_GPU], &lease->gpus))
            continue;
        resources_sub(&held->available, &lease->resources);
        resources_add(&raylet->reserved_used, &lease->resources);
        lease->held = held;
        upstream_changed(raylet);
        return true;
    }
    return false;
}

void bundle_has_room(const Lease *lease) {
    RayletGroup *group = map_get(&lease->raylet->groups, &lease->group);
    ASSERT(group); /* it holds the bundle */
    BundleFreed message = { .group = group->id };
    _cleanup_buf_ Buf body = { 0 };
    bundle_freed_encode(&message, &body);
    VEC_EACH(peer, &group->refused)
        raylet_send(group->raylet, *peer, MSG_BUNDLE_FREED, &body);
    vec_clear(&group->refused);
}

void bundle_give(Lease *lease) {
    Raylet *raylet = lease->raylet;
    HeldBundle *held = lease->held;
    lease->held = NULL;
    resources_add(&held->available, &lease->resources);
    resources_sub(&raylet->reserved_used, &lease->resources);
    devices_give(&held->devices, &lease->gpus);
    bundle_has_room(lease);
}

void bundle_refused(Lease *lease) {
    RayletGroup *group = group_get(lease->raylet, &lease->group);
    VEC_EACH(peer, &group->refused)
        if (*peer == lease->asked_by)
            return;
    if (group->held.len)
        vec_push(&group->refused, lease->asked_by);
}

void bundle_lease_gone(Raylet *raylet, const GroupId *id) {
    RayletGroup *group = map_get(&raylet->groups, id);
    if (group && !group->known && !group->asked)
        group_let_go(group);
}

static const SchedNode *may_take(const Lease *lease, const BundlePlace *place) {
    bool full =
        !resources_empty(&place->refused) && resources_fit(&lease->resources, &place->refused);
    if (full || id_is_unset(&place->node) || !resources_fit(&place->total, &lease->resources))
        return NULL;
    const Remote *remote = peers_get(lease->raylet, &place->node);
    return remote ? &remote->sched : NULL;
}

const SchedNode *bundle_elsewhere(Lease *lease) {
    RayletGroup *group = group_get(lease->raylet, &lease->group);
    if (!group->known) {
        group_ask(group);
        return NULL;
    }
    for (size_t i = 0; i < group->places_len; i++) {
        bool wanted = lease->bundle < 0 || i == (size_t)lease->bundle;
        const SchedNode *node = wanted ? may_take(lease, &group->places[i]) : NULL;
        if (node)
            return node;
    }
    return NULL;
}

void bundle_busy_elsewhere(Lease *lease) {
    RayletGroup *group = map_get(&lease->raylet->groups, &lease->group);
    if (!group)
        return;
    for (size_t i = 0; i < group->places_len; i++) {
        BundlePlace *place = &group->places[i];
        bool asked = lease->bundle < 0 ? id_equal(&place->node, &lease->spill_node)
                                       : i == (size_t)lease->bundle;
        if (asked)
            resources_copy(&place->refused, &lease->resources);
    }
    loop_task_arm(lease->raylet->dispatch_task); /* another of its nodes may have room */
}

void bundles_on_freed(Raylet *raylet, RayletCall *call) {
    BundleFreed message;
    RAYLET_DECODE(raylet, call, bundle_freed_decode, &message);
    RayletGroup *group = map_get(&raylet->groups, &message.group);
    const Remote *from = raylet->by_index[peer_node(call->header->source)];
    if (!group || !from)
        return;
    for (size_t i = 0; i < group->places_len; i++)
        if (id_equal(&group->places[i].node, &from->sched.id))
            resources_clear(&group->places[i].refused);
    loop_task_arm(raylet->dispatch_task);
}

/* ---- life -------------------------------------------------------------------------------------- */

void bundles_init(Raylet *raylet) {
    map_init(&raylet->groups, sizeof(GroupId));
}

void bundles_done(Raylet *raylet) {
    for (;;) {
        size_t pos = 0;
        RayletGroup *group = map_next(&raylet->groups, &pos, NULL);
        if (!group)
            break;
        group_free(group);
    }
    map_done(&raylet->groups);
    resources_done(&raylet->reserved);
    resources_done(&raylet->reserved_used);
}
