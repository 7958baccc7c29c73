/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "gcs/gcs_private.h"

/*
 * The table of placement groups.
 *
 *     PENDING -> PREPARED -> CREATED -> REMOVED
 *                   ^           |
 *                   +- RESCHEDULING (a node with bundles of it died)
 *
 * Places are found and reserved by group_reserve.c; a group that a raylet made by itself, for a process
 * there, begins CREATED. A group that is not detached is removed once its job has ended, and the actor
 * that made it, if one did.
 */

/* A GroupGet that waits. */
typedef struct GroupWait {
    List link; /* in GcsGroup.waiting */
    uint64_t conn;
    FrameHeader header;
} GroupWait;

static void group_free(GcsGroup *group) {
    group_attempt_end(group);
    LIST_EACH_SAFE(item, &group->waiting)
        free(LIST_ITEM(item, GroupWait, link));
    list_remove(&group->link);
    for (size_t i = 0; i < group->len; i++) {
        resources_done(&group->bundles[i].resources);
        resources_done(&group->bundles[i].refused);
        label_selector_done(&group->bundles[i].labels);
    }
    free(group->bundles);
    free(group->name);
    free(group->namespace_);
    free(group->topology);
    vec_done(&group->watchers);
    free(group);
}

GcsGroup *groups_get(const Gcs *gcs, const GroupId *id) {
    return map_get(&gcs->groups, id);
}

static char *full_name(const char *namespace_, const char *name) {
    return str_printf("%s/%s", namespace_, name);
}

/* ---- to the wire and the log ------------------------------------------------------------------- */

static Bundle bundle_info(const GcsGroup *group, size_t index, Arena *arena) {
    const GcsBundle *b = &group->bundles[index];
    Bundle bundle = { .index = (uint32_t)index, .node = b->node };
    bundle.resources = resources_to_wire(&b->resources, arena, &bundle.resources_len);
    bundle.labels = label_selector_to_wire(&b->labels, arena, &bundle.labels_len);
    return bundle;
}

static GroupInfo group_info(const GcsGroup *group, Arena *arena) {
    GroupInfo info = {
        .group = group->id,
        .state = (uint8_t)group->state,
        .name = slice_str(group->name),
        .namespace = slice_str(group->namespace_),
        .strategy = (uint8_t)group->policy,
        .bundles = arena_array(arena, Bundle, group->len),
        .bundles_len = group->len,
        .detached = group->detached,
        .job = group->job,
        .actor = group->actor,
        .soft_target = group->soft_target,
        .topology = slice_str(group->topology),
        .infeasible = group->infeasible,
        .attempts = group->attempts,
        .created_usec = group->created_usec,
        .reserve_usec = group->reserve_usec,
        .creator = group->creator,
    };
    for (size_t i = 0; i < group->len; i++)
        info.bundles[i] = bundle_info(group, i, arena);
    return info;
}

static void group_message(const GcsGroup *group, Buf *out) {
    _cleanup_arena_ Arena arena = { 0 };
    GroupInfoReply reply = { .info = group_info(group, &arena) };
    group_info_reply_encode(&reply, out);
}

static int group_store(const GcsGroup *group) {
    _cleanup_buf_ Buf body = { 0 };
    group_message(group, &body);
    return gcs_store(group->gcs, "group", ID_SLICE(&group->id), &body);
}

static KvSync group_sync(const GcsGroup *group) {
    return group->detached ? KV_SYNCED : KV_LOGGED;
}

/* Logs and tells all but `knows`. */
static void group_changed(GcsGroup *group, PeerId knows) {
    Gcs *gcs = group->gcs;
    _cleanup_buf_ Buf message = { 0 };
    group_message(group, &message);
    if (gcs_store(gcs, "group", ID_SLICE(&group->id), &message) == 0)
        gcs_log(gcs);
    if (group->creator && group->creator != knows)
        gcs_send(gcs, group->creator, MSG_GROUP_INFO_REPLY, &message);
    VEC_EACH(peer, &group->watchers)
        gcs_send(gcs, *peer, MSG_GROUP_INFO_REPLY, &message);
}

static void answer_waiting(GcsGroup *group) {
    Gcs *gcs = group->gcs;
    if (list_empty(&group->waiting))
        return;
    _cleanup_buf_ Buf message = { 0 };
    group_message(group, &message);
    LIST_EACH_SAFE(item, &group->waiting) {
        GroupWait *wait = LIST_ITEM(item, GroupWait, link);
        GcsConn *conn = map_get(&gcs->conns, &wait->conn);
        GcsCall call = { .conn = conn, .header = &wait->header };
        if (conn)
            gcs_reply(gcs, &call, MSG_GROUP_INFO_REPLY, &message);
        list_remove(&wait->link);
        free(wait);
    }
    group->waiting_len = 0;
}

static void wait_add(GcsGroup *group, const GcsCall *call) {
    Gcs *gcs = group->gcs;
    GroupWait *wait = mem_new(GroupWait);
    *wait = (GroupWait){ .conn = call->conn->id, .header = *call->header };
    list_push(&group->waiting, &wait->link);
    if (++group->waiting_len <= GCS_GROUP_WAITS_MAX)
        return;
    GroupWait *oldest = LIST_ITEM(list_pop(&group->waiting), GroupWait, link);
    GcsCall former = { .conn = map_get(&gcs->conns, &oldest->conn), .header = &oldest->header };
    group->waiting_len--;
    if (former.conn)
        gcs_reply_status(gcs, &former, STATUS_CODE_BUSY,
                         "more than %d calls wait for this placement group", GCS_GROUP_WAITS_MAX);
    free(oldest);
}

void group_created(GcsGroup *group, bool told) {
    if (group->state == GROUP_STATE_PENDING || group->state == GROUP_STATE_PREPARED)
        group->created_usec = loop_now(group->gcs->loop) - group->asked_at;
    group->state = GROUP_STATE_CREATED;
    group->infeasible = false;
    group_changed(group, told ? group->creator : 0);
    answer_waiting(group);
    loop_task_arm(group->gcs->schedule_task); /* actors may wait for it */
}

/* ---- removal ----------------------------------------------------------------------------------- */

static void forget_old(Gcs *gcs) {
    while (gcs->groups_removed_len > GCS_REMOVED_GROUPS_KEPT) {
        GcsGroup *oldest = LIST_ITEM(gcs->groups_removed.next, GcsGroup, link);
        gcs_erase(gcs, "group", ID_SLICE(&oldest->id));
        map_remove(&gcs->groups, &oldest->id);
        gcs->groups_removed_len--;
        group_free(oldest);
    }
}

static void bury(GcsGroup *group) {
    Gcs *gcs = group->gcs;
    list_remove(&group->link);
    list_push(&gcs->groups_removed, &group->link);
    gcs->groups_removed_len++;
    forget_old(gcs);
}

/* `has`: the raylet that has returned its bundles already. */
static void group_remove(GcsGroup *group, PeerId by, PeerId has) {
    Gcs *gcs = group->gcs;
    if (group->state == GROUP_STATE_REMOVED)
        return;
    group_give_up(group);
    group_return_all(group, has);
    if (!str_empty(group->name)) {
        _cleanup_free_ char *key = full_name(group->namespace_, group->name);
        if (strmap_get(&gcs->group_names, key) == group)
            strmap_remove(&gcs->group_names, key);
    }
    group->state = GROUP_STATE_REMOVED;
    group_changed(group, by);
    answer_waiting(group);
    vec_done(&group->watchers); /* nothing can follow */
    loop_task_arm(gcs->schedule_task);
    bury(group);
}

/* ---- requests ---------------------------------------------------------------------------------- */

static int bundles_set(GcsGroup *group, const GroupInfo *info) {
    if (info->bundles_len == 0 || info->bundles_len > GROUP_BUNDLES_MAX)
        return error_origin(-EINVAL, "a placement group has 1 to %d bundles", GROUP_BUNDLES_MAX);
    group->bundles = mem_array(GcsBundle, info->bundles_len);
    group->len = info->bundles_len;
    int r = 0;
    for (size_t i = 0; r == 0 && i < group->len; i++) {
        const Bundle *from = &info->bundles[i];
        GcsBundle *to = &group->bundles[i];
        to->node = from->node;
        r = resources_from_wire(&to->resources, from->resources, from->resources_len);
        if (r == 0)
            r = label_selector_from_wire(&to->labels, from->labels, from->labels_len);
    }
    return r;
}

static int group_set(GcsGroup *group, const GroupInfo *info) {
    if (info->strategy > GROUP_STRATEGY_STRICT_SPREAD)
        return error_origin(-EINVAL, "the placement group's strategy is not known");
    int r = text_from_wire(info->name, GCS_NAME_MAX, "the placement group's name", &group->name);
    if (r == 0)
        r = text_from_wire(info->namespace, GCS_NAME_MAX, "the namespace", &group->namespace_);
    if (r == 0)
        r = text_from_wire(info->topology, GCS_NAME_MAX, "the topology label", &group->topology);
    if (r == 0)
        r = bundles_set(group, info);
    group->id = info->group;
    group->policy = (GroupPolicy)info->strategy;
    group->detached = info->detached;
    group->job = info->job;
    group->actor = info->actor;
    group->creator = info->creator;
    group->soft_target = info->soft_target;
    return r;
}

/* Owned by the table afterwards. */
static int group_new(Gcs *gcs, const GroupInfo *info, GcsGroup **ret_group) {
    GcsGroup *group = mem_new(GcsGroup);
    group->gcs = gcs;
    list_init(&group->link);
    list_init(&group->waiting);
    int r = group_set(group, info);
    if (r < 0) {
        group_free(group);
        return r;
    }
    map_put(&gcs->groups, &group->id, group);
    if (!str_empty(group->name) && info->state != GROUP_STATE_REMOVED) {
        _cleanup_free_ char *key = full_name(group->namespace_, group->name);
        strmap_put(&gcs->group_names, key, group);
    }
    *ret_group = group;
    return 0;
}

static GcsGroup *find_named(const Gcs *gcs, Slice namespace_, Slice name) {
    _cleanup_free_ char *n = str_dup_slice(namespace_), *m = str_dup_slice(name);
    _cleanup_free_ char *key = full_name(n, m);
    return name.len ? strmap_get(&gcs->group_names, key) : NULL;
}

static bool actor_lives(const Gcs *gcs, const ActorId *id) {
    const GcsActor *actor = map_get(&gcs->actors, id);
    return actor && actor->state != ACTOR_STATE_DEAD;
}

/* Nobody would remove it. */
static bool is_orphan(const Gcs *gcs, const GroupInfo *info) {
    const GcsJob *job = jobs_get(gcs, &info->job);
    return !info->detached && job && job->finished && !actor_lives(gcs, &info->actor);
}

/* The call is a raylet's own. */
static bool is_of_raylet(const GcsCall *call) {
    return call->conn->node && !peer_worker(call->header->source);
}

/* Known already: it was sent again. */
static void create_again(Gcs *gcs, GcsCall *call, const GcsGroup *group) {
    if (is_of_raylet(call) && group->state == GROUP_STATE_REMOVED)
        gcs_reply_status(gcs, call, STATUS_CODE_REMOVED, "the placement group was removed");
    else
        gcs_ok_logged(gcs, call, KV_LOGGED);
}

/* Not there yet; of a raylet: there, all of it. */
static int create_begin(Gcs *gcs, const GcsCall *call, GroupInfo *info) {
    bool made = is_of_raylet(call);
    if (made && peer_raylet(info->creator) != call->header->source)
        return error_origin(-EINVAL, "a node speaks for its own processes only");
    if (!made)
        info->creator = call->header->source;
    info->state = made ? GROUP_STATE_CREATED : GROUP_STATE_PENDING;
    for (size_t i = 0; i < info->bundles_len; i++)
        info->bundles[i].node = made ? call->conn->node->sched.id : (NodeId){ 0 };
    return 0;
}

/* Its raylet has reserved all of it, in no time. */
static void made_there(GcsGroup *group, GcsNode *node) {
    group->state = GROUP_STATE_CREATED;
    group->attempts = 1;
    group->created_usec = 1;
    for (size_t i = 0; i < group->len; i++)
        nodes_charge(node, &group->bundles[i].resources);
}

void groups_on_create(Gcs *gcs, GcsCall *call) {
    GroupCreate message;
    GCS_DECODE(gcs, call, group_create_decode, &message);
    GroupInfo *info = &message.info;
    GcsGroup *group = groups_get(gcs, &info->group);
    if (group) {
        create_again(gcs, call, group);
        return;
    }
    if (is_orphan(gcs, info)) {
        gcs_reply_status(gcs, call, STATUS_CODE_REMOVED, "the placement group's job has ended");
        return;
    }
    if (find_named(gcs, info->namespace, info->name)) {
        gcs_reply_status(
            gcs, call, STATUS_CODE_EXISTS,
            "Failed to create placement group '%s' because name '%.*s' already exists.",
            ID_HEX(&info->group), (int)info->name.len, info->name.data);
        return;
    }
    if (map_len(&gcs->groups) - gcs->groups_removed_len >= GCS_GROUPS_MAX) {
        gcs_reply_status(gcs, call, STATUS_CODE_FULL,
                         "the cluster has %d placement groups, its most", GCS_GROUPS_MAX);
        return;
    }
    int r = create_begin(gcs, call, info);
    if (r == 0)
        r = group_new(gcs, info, &group);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    group->asked_at = loop_now(gcs->loop);
    if (is_of_raylet(call))
        made_there(group, call->conn->node);
    else
        group_schedule(group);
    r = group_store(group);
    if (r < 0)
        gcs_reply_error(gcs, call, r);
    else
        gcs_ok_logged(gcs, call, group_sync(group));
}

void groups_on_remove(Gcs *gcs, GcsCall *call) {
    GroupRemove message;
    GCS_DECODE(gcs, call, group_remove_decode, &message);
    GcsGroup *group = groups_get(gcs, &message.group);
    KvSync sync = group ? group_sync(group) : KV_LOGGED;
    PeerId from = call->header->source, has = is_of_raylet(call) ? from : 0;
    if (group)
        group_remove(group, has && peer_raylet(message.by) == has ? message.by : from, has);
    gcs_ok_logged(gcs, call, sync);
}

static void watch(GcsGroup *group, PeerId peer) {
    bool have = group->state == GROUP_STATE_REMOVED;
    VEC_EACH(known, &group->watchers)
        have |= *known == peer;
    if (!have)
        vec_push(&group->watchers, peer);
}

void groups_on_get(Gcs *gcs, GcsCall *call) {
    GroupGet get;
    GCS_DECODE(gcs, call, group_get_decode, &get);
    GcsGroup *group =
        get.name.len ? find_named(gcs, get.namespace, get.name) : groups_get(gcs, &get.group);
    if (!group) {
        gcs_reply_status(gcs, call, STATUS_CODE_NOT_FOUND, "no such placement group");
        return;
    }
    if (get.watch)
        watch(group, call->header->source);
    if (get.wait && group->state != GROUP_STATE_CREATED && group->state != GROUP_STATE_REMOVED) {
        wait_add(group, call);
        return;
    }
    _cleanup_buf_ Buf body = { 0 };
    group_message(group, &body);
    if (get.watch) /* at once, so that no change comes before it */
        gcs_reply(gcs, call, MSG_GROUP_INFO_REPLY, &body);
    else
        gcs_reply_logged(gcs, call, MSG_GROUP_INFO_REPLY, &body, KV_LOGGED);
}

void groups_on_list(Gcs *gcs, GcsCall *call) {
    Groups groups = { .groups = arena_array(call->arena, GroupInfo, map_len(&gcs->groups) + 1) };
    GcsGroup *group;
    MAP_EACH(&gcs->groups, pos, group)
        groups.groups[groups.groups_len++] = group_info(group, call->arena);
    _cleanup_buf_ Buf body = { 0 };
    groups_encode(&groups, &body);
    gcs_reply(gcs, call, MSG_GROUPS, &body);
}

/* ---- what happens elsewhere -------------------------------------------------------------------- */

void groups_on_freed(Gcs *gcs, GcsCall *call) {
    BundleFreed message;
    GCS_DECODE(gcs, call, bundle_freed_decode, &message);
    GcsGroup *group = groups_get(gcs, &message.group);
    if (!group || !call->conn->node)
        return;
    for (size_t i = 0; i < group->len; i++)
        if (id_equal(&group->bundles[i].node, &call->conn->node->sched.id))
            resources_clear(&group->bundles[i].refused);
    loop_task_arm(gcs->schedule_task);
}

typedef bool Match(const GcsGroup *group, const void *what);

static bool of_job(const GcsGroup *group, const void *what) {
    return id_equal(&group->job, (const JobId *)what) && !actor_lives(group->gcs, &group->actor);
}

static bool of_actor(const GcsGroup *group, const void *what) {
    const GcsJob *job = jobs_get(group->gcs, &group->job);
    return id_equal(&group->actor, (const ActorId *)what) && (!job || job->finished);
}

static void remove_matching(Gcs *gcs, Match *match, const void *what) {
    Vec(GroupId) gone = { 0 };
    GcsGroup *group;
    MAP_EACH(&gcs->groups, pos, group)
        if (!group->detached && group->state != GROUP_STATE_REMOVED && match(group, what))
            vec_push(&gone, group->id);
    VEC_EACH(id, &gone)
        group_remove(groups_get(gcs, id), 0, 0);
    vec_done(&gone);
}

void groups_job_ended(Gcs *gcs, const JobId *job) {
    remove_matching(gcs, of_job, job);
}

void groups_actor_dead(Gcs *gcs, const ActorId *actor) {
    if (map_len(&gcs->groups) > gcs->groups_removed_len)
        remove_matching(gcs, of_actor, actor);
}

static void bundles_lost(GcsGroup *group, const GcsNode *node) {
    bool lost = false;
    for (size_t i = 0; i < group->len; i++) {
        if (!id_equal(&group->bundles[i].node, &node->sched.id))
            continue;
        memset(&group->bundles[i].node, 0, sizeof(NodeId));
        resources_clear(&group->bundles[i].refused);
        lost = true;
    }
    for (size_t i = 0; i < group->watchers.len;)
        if (peer_node(group->watchers.items[i]) == node->index)
            vec_remove_swap(&group->watchers, i);
        else
            i++;
    if (!lost || group->state == GROUP_STATE_REMOVED)
        return;
    if (group->state == GROUP_STATE_CREATED)
        group->state = GROUP_STATE_RESCHEDULING;
    group_changed(group, 0);
    if (!group->parts)
        group_schedule(group);
}

void groups_node_dead(Gcs *gcs, const GcsNode *node) {
    GcsGroup *group;
    MAP_EACH(&gcs->groups, pos, group)
        bundles_lost(group, node);
}

KeptBundle *groups_kept(const Gcs *gcs, const GcsNode *node, Arena *arena, size_t *ret_len) {
    size_t len = 0, all = 0;
    GcsGroup *group;
    MAP_EACH(&gcs->groups, pos, group)
        all += group->len;
    KeptBundle *kept = arena_array(arena, KeptBundle, all + 1);
    MAP_EACH(&gcs->groups, again, group)
        for (size_t i = 0; i < group->len; i++)
            if (id_equal(&group->bundles[i].node, &node->sched.id))
                kept[len++] = (KeptBundle){ .group = group->id, .index = (uint32_t)i };
    *ret_len = len;
    return kept;
}

/* ---- what waits -------------------------------------------------------------------------------- */

static bool same_bundles(const GcsGroup *a, const GcsGroup *b) {
    bool same = a->len == b->len && a->policy == b->policy;
    for (size_t i = 0; same && i < a->len; i++)
        same = resources_equal(&a->bundles[i].resources, &b->bundles[i].resources);
    return same;
}

static void demand_bundles(const GcsGroup *group, Arena *arena, GroupDemand *demand) {
    demand->strategy = (uint8_t)group->policy;
    demand->bundles = arena_array(arena, Bundle, group->len);
    for (size_t i = 0; i < group->len; i++)
        if (id_is_unset(&group->bundles[i].node))
            demand->bundles[demand->bundles_len++] = bundle_info(group, i, arena);
}

size_t groups_demands(const Gcs *gcs, Arena *arena, GroupDemand **ret_demands) {
    enum {
        DEMANDS_MAX = 100
    };
    GroupDemand *demands = arena_array(arena, GroupDemand, DEMANDS_MAX);
    const GcsGroup *shapes[DEMANDS_MAX];
    size_t len = 0;
    LIST_EACH(item, &gcs->groups_pending) {
        const GcsGroup *group = LIST_ITEM(item, GcsGroup, link);
        size_t i = 0;
        while (i < len && !same_bundles(shapes[i], group))
            i++;
        if (i == DEMANDS_MAX)
            continue;
        if (i == len) {
            shapes[len++] = group;
            demand_bundles(group, arena, &demands[i]);
        }
        demands[i].count++;
    }
    *ret_demands = demands;
    return len;
}

/* ---- life -------------------------------------------------------------------------------------- */

void groups_init(Gcs *gcs) {
    map_init(&gcs->groups, sizeof(GroupId));
    list_init(&gcs->groups_pending);
    list_init(&gcs->groups_removed);
}

static int load_one(void *userdata, Slice key, Slice value) {
    Gcs *gcs = userdata;
    _cleanup_arena_ Arena arena = { 0 };
    GroupInfoReply record;
    UNUSED(key);
    int r = group_info_reply_decode(&record, value.data, value.len, &arena);
    GcsGroup *group;
    if (r == 0)
        r = group_new(gcs, &record.info, &group);
    if (r < 0)
        return r;
    group->state = (GroupState)record.info.state;
    group->attempts = record.info.attempts;
    group->created_usec = record.info.created_usec;
    group->reserve_usec = record.info.reserve_usec;
    group->asked_at = loop_now(gcs->loop);
    if (group->state == GROUP_STATE_REMOVED)
        bury(group);
    else if (group->state != GROUP_STATE_CREATED)
        group_schedule(group); /* what was reserved for it is returned as nodes register again */
    return 0;
}

int groups_load(Gcs *gcs) {
    return kv_scan(gcs->kv, "group", (Slice){ 0 }, (Slice){ 0 }, load_one, gcs);
}

void groups_done(Gcs *gcs) {
    GcsGroup *group;
    MAP_EACH(&gcs->groups, pos, group)
        group_free(group);
    map_done(&gcs->groups);
    strmap_done(&gcs->group_names);
}
