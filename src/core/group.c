/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Placement groups as a process sees them. Who makes one is told of its changes, so that waiting for it
 * asks nobody; for others' groups gcs is asked. The raylet may have made it before gcs hears of it.
 */

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

typedef struct CoreGroup {
    GroupId id;
    uint32_t call;    /* the creation, until it is answered */
    uint32_t settles; /* threads that wait for that */
    bool created;
    bool early;       /* the raylet has answered; gcs may not know of it yet */
} CoreGroup;

typedef struct GroupAsk {
    Core *core;
    GroupId id;
    ObjectId object; /* group_ready */
    CoreBytes *value;
} GroupAsk;

static CoreGroup *group_find(const Core *core, const GroupId *id) {
    return map_get(&core->groups, id->byte);
}

static void group_forget(Core *core, CoreGroup *group) {
    map_remove(&core->groups, group->id.byte);
    mem_free(group);
}

void groups_done(Core *core) {
    CoreGroup *group;
    MAP_EACH(&core->groups, pos, group)
        mem_free(group);
    map_done(&core->groups);
}

void group_on_info(Core *core, const GroupInfo *info) {
    CoreGroup *group = group_find(core, &info->group);
    if (!group)
        return;
    group->created = info->state == GROUP_STATE_CREATED;
    if (info->state == GROUP_STATE_REMOVED)
        group_forget(core, group);
    core_happened(core);
}

static void group_call(GroupAsk *ask, MessageType type, const Buf *body, RpcDone done,
                       uint32_t *ret_call) {
    uint32_t call = rpc_call(ask->core->rpc, PEER_GCS, type, body, USEC_INFINITY, done, ask);
    if (ret_call)
        *ret_call = call;
}

static GroupAsk *ask_new(Core *core, const GroupId *id) {
    GroupAsk *ask = mem_new(GroupAsk);
    ask->core = core;
    ask->id = *id;
    return ask;
}

/* ---- making and removing ----------------------------------------------------------------------- */

static void on_created(void *argument, const RpcReply *reply) {
    GroupAsk *ask = argument;
    CoreGroup *group = group_find(ask->core, &ask->id);
    if (group) {
        group->call = 0;
        group->early = reply->result == 0 && reply->header->type == MSG_GROUP_INFO_REPLY;
        group->created |= group->early;
        if (reply->result != 0 || group->early || group->settles)
            core_happened(ask->core);
        if (reply->result != 0) /* who waits for it hears that there is no such group */
            group_forget(ask->core, group);
    }
    mem_free(ask);
}

static void group_add(Core *core, const GroupInfo *info, const Buf *body) {
    CoreGroup *group = mem_new(CoreGroup);
    group->id = info->group;
    map_put(&core->groups, group->id.byte, group);
    if (body)
        group_call(ask_new(core, &info->group), MSG_GROUP_CREATE, body, on_created, &group->call);
}

int core_group_create(Core *core, const GroupInfo *info, usec_t timeout) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    GroupCreate m = { .info = *info };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    m.info.job = core->info.job;
    group_create_encode(&m, &body);
    core_lock(core);
    leases_give_back(core);
    group_add(core, info, info->name.len ? NULL : &body);
    core_unlock(core);
    if (!info->name.len)
        return 0;
    r = core_call(core, PEER_GCS, MSG_GROUP_CREATE, &body, timeout, &out);
    if (r == 0)
        return 0;
    core_lock(core);
    CoreGroup *group = group_find(core, &info->group);
    if (group)
        group_forget(core, group);
    core_unlock(core);
    return r;
}

/* The raylet passes this on behind what it tells of the group. */
static int ask_behind(Core *core, usec_t timeout) {
    _cleanup_buf_ Buf nothing = { 0 }, out = { 0 };
    return core_call(core, PEER_GCS, MSG_PING, &nothing, timeout, &out);
}

static int settle_early(Core *core, const GroupId *id, usec_t timeout) {
    int r = ask_behind(core, timeout);
    core_lock(core);
    CoreGroup *group = group_find(core, id);
    if (group && r == 0)
        group->early = false;
    core_unlock(core);
    return r;
}

int core_group_settle(Core *core, const GroupId *id, usec_t timeout) {
    usec_t deadline = time_mono_now() + timeout;
    int r = 0;
    bool early = false;
    core_lock(core);
    for (;;) {
        CoreGroup *group = group_find(core, id);
        early = group && group->early;
        if (!group || !group->call)
            break;
        group->settles++;
        r = core_wait_event(core, deadline);
        if ((group = group_find(core, id)))
            group->settles--;
        if (r < 0 || (r == CORE_TIMEOUT && time_mono_now() >= deadline))
            break;
        r = 0;
    }
    core_unlock(core);
    return r == 0 && early ? settle_early(core, id, MAX(deadline - time_mono_now(), 0)) : r;
}

int core_group_remove(Core *core, const GroupId *id) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    GroupRemove m = { .group = *id };
    _cleanup_buf_ Buf body = { 0 };
    group_remove_encode(&m, &body);
    core_lock(core);
    CoreGroup *group = group_find(core, id);
    if (group)
        group_forget(core, group);
    raylet_send(core, MSG_GROUP_REMOVE, &body); /* it does not let go of that */
    core_unlock(core);
    return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static void wait_message(const GroupId *id, Buf *body) {
    GroupGet m = { .group = *id, .wait = true };
    group_get_encode(&m, body);
}

/* 1: not made here; 2: removed meanwhile; else as core_group_wait(). */
static int wait_for_own(Core *core, const GroupId *id, usec_t deadline, bool *ret_own) {
    core_lock(core);
    *ret_own = group_find(core, id) != NULL;
    int r = 0;
    for (CoreGroup *group; r == 0 && (group = group_find(core, id)) && !group->created;)
        r = core_wait_event(core, deadline);
    bool created = *ret_own && r == 0 && group_find(core, id);
    core_unlock(core);
    return r ? r : created ? 0 : CORE_NOT_FOUND;
}

int core_group_wait(Core *core, const GroupId *id, usec_t timeout) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    bool own;
    r = wait_for_own(core, id, deadline, &own);
    if (own)
        return r;
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    wait_message(id, &body);
    r = core_call(core, PEER_GCS, MSG_GROUP_GET, &body, timeout, &out);
    GroupInfoReply reply;
    if (r == 0)
        r = group_info_reply_decode(&reply, out.data, out.len, &arena);
    if (r == 0 && reply.info.state == GROUP_STATE_REMOVED)
        r = CORE_NOT_FOUND;
    return r;
}

static void on_ready(void *argument, const RpcReply *reply) {
    GroupAsk *ask = argument;
    Core *core = ask->core;
    OwnRef *own = own_find(&core->own, &ask->object);
    CoreRef *ref = own ? ref_of(own) : NULL;
    _cleanup_arena_ Arena arena = { 0 };
    GroupInfoReply m;
    bool told =
        reply->result == 0 && group_info_reply_decode(&m, reply->body, reply->len, &arena) == 0;
    if (reply->result == -ECANCELED || (ref && ref->kind != VALUE_KIND_PENDING))
        ref = NULL;
    if (ref && told && m.info.state == GROUP_STATE_CREATED) {
        ref_set_value(core, ref, VALUE_KIND_INLINE, TAKE(ask->value));
    } else if (ref && reply->result == 1 && reply->status.code == STATUS_CODE_FULL) {
        ErrorInfo error = { .kind = ERROR_KIND_SYSTEM, .text = reply->status.text };
        ref_set_error(core, ref, &error);
    } else if (ref) {
        ErrorInfo error = { .kind = ERROR_KIND_GROUP_REMOVED };
        ref_set_error(core, ref, &error);
    }
    bytes_drop(ask->value);
    mem_free(ask);
}

int core_group_ready(Core *core, const GroupId *id, const CoreBlob *value, CoreRef **ret_ref) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    _cleanup_buf_ Buf body = { 0 };
    wait_message(id, &body);
    core_lock(core);
    TaskId task;
    core_task_id(core, &task);
    GroupAsk *ask = ask_new(core, id);
    ask->object = object_id_put(&task, ++core->put_index);
    ask->value = bytes_gather(value->parts, value->parts_len);
    *ret_ref = ref_new(core, &ask->object, core->info.peer, NULL);
    group_call(ask, MSG_GROUP_GET, &body, on_ready, NULL);
    core_unlock(core);
    return 0;
}

uint32_t core_capture_epoch(const Core *core) {
    return atomic_load_explicit(&core->capture_epoch, memory_order_relaxed);
}

uint32_t core_assigned_count(const Core *core) {
    return atomic_load_explicit(&core->assigned_count, memory_order_relaxed);
}
