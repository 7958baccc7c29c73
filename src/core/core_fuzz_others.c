/* SPDX-License-Identifier: Apache-2.0 */

/* What the processes around say to the one under test. */

#include "core/core_fuzz.h"

/* ---- operands ------------------------------------------------------------------------------ */

PeerId self(void) {
    return peer_make(1, 1, 1);
}

static const Sent *sent_at(const Sent *list, size_t len, uint8_t which) {
    static const Sent none;
    return len ? &list[(len - 1 - which % MIN(len, (size_t)SENT)) % SENT] : &none;
}

static const Sent *call_at(uint8_t which) {
    return sent_at(world.calls, world.calls_len, which);
}

PeerId someone(uint8_t which) {
    switch (which % 8) {
    case 4:
        return peer_raylet(self());
    case 5:
        return PEER_GCS;
    case 6:
        return peer_raylet(peer_at(PEERS - 1));
    case 7:
        return self();
    default:
        return peer_at(which % 4);
    }
}

ObjectId object_at(uint8_t which) {
    const CoreRef *ref = world.refs[which % REFS];
    return which & 0x80 || !ref ? NAMED(ObjectId, which) : *core_ref_id(ref);
}

GroupId group_at(uint8_t which) {
    GroupId id;
    memset(&id, which, sizeof(id));
    return id;
}

ActorId actor_at(uint8_t which) {
    const CoreActor *actor = world.actors[which % ACTORS];
    ActorId named = NAMED(ActorId, which);
    return which & 0x80 || !actor ? named : *core_actor_id(actor);
}

/* ---- others' frames ------------------------------------------------------------------------ */

static void deliver(PeerId from, MessageType type, unsigned flags, uint32_t stream, Slice body) {
    const CorePeer *peer = peer_find(world.core, from);
    FrameHeader h = { .length = (uint32_t)body.len,
                      .type = (uint16_t)type,
                      .flags = (uint16_t)flags,
                      .stream = stream,
                      .source = from,
                      .destination = self() };
    if (frame_check(&h) < 0)
        return;
    Frame frame = { h, bytes_new(body.data, body.len), flags & FRAME_FDS };
    if (peer && peer->state == PEER_RING)
        vec_push(&way_of(from)->in, frame);
    else
        vec_push(&world.sock, frame);
}

#define SAY(from, type, flags, stream, name, ...)                                                  \
    do {                                                                                           \
        _cleanup_buf_ Buf body_ = { 0 };                                                           \
        name##_encode(&(__VA_ARGS__), &body_);                                                     \
        deliver(from, type, flags, stream, buf_slice(&body_));                                     \
    } while (0)

typedef struct Values {
    Value list[3];
    Ref refs[3];
    size_t len;
} Values;

static void take_values(Input *in, size_t len, const TaskId *task, Values *ret) {
    ret->len = len;
    for (size_t i = 0; i < len; i++) {
        uint8_t how = take(in), object = take(in);
        ret->refs[i] = (Ref){ object_at(object), someone(object >> 3), NAMED(WorkerId, 1) };
        ret->list[i] = (Value){ .kind = how % 5,
                                .data = SLICE("\x01"),
                                .refs = &ret->refs[i],
                                .refs_len = how & 0x80 ? 1 : 0,
                                .object = object_id_return(task, (uint32_t)i + 1) };
        if (ret->list[i].kind == VALUE_KIND_ARENA) {
            ret->list[i].location = how & 0x40 ? someone(6) : someone(4);
            ret->list[i].offset = how >> 3 & 7;
            ret->list[i].generation = 1;
            ret->list[i].size = 8;
        }
    }
}

static void step_frame(Input *in) {
    uint8_t from = take(in), type = take(in), flags = take(in), stream = take(in);
    deliver(someone(from), type, flags & (FRAME_REPLY | FRAME_ERROR | FRAME_CALL | FRAME_FDS),
            stream, take_slice(in));
}

static void answer_actor(const Sent *to, uint8_t how, uint8_t more) {
    ActorInfoReply m = { .info = { .actor = actor_at(more),
                                   .state = how % 5,
                                   .worker = someone(more),
                                   .restarts = how >> 6,
                                   .max_restarts = how & 0x20 } };
    SAY(to->to, MSG_ACTOR_INFO_REPLY, FRAME_REPLY, to->stream, actor_info_reply, m);
}

static void answer_value(Input *in, const Sent *to, uint8_t more) {
    Values values;
    TaskId task = NAMED(TaskId, more);
    take_values(in, 1, &task, &values);
    SAY(to->to, MSG_OBJECT_VALUE, FRAME_REPLY, to->stream, object_value,
        (ObjectValue){ .object = object_at(more), .value = values.list[0] });
}

static void step_answer(Input *in) {
    const Sent *to = sent_at(world.requests, world.requests_len, take(in));
    uint8_t how = take(in), more = take(in);
    if (how & 0x80) {
        SAY(to->to, MSG_STATUS, FRAME_REPLY | FRAME_ERROR, to->stream, status,
            (Status){ .code = how % 16, .text = SLICE("no") });
        return;
    }
    switch (to->type) {
    case MSG_LEASE_REQUEST:
        SAY(to->to, MSG_LEASE_GRANT, FRAME_REPLY | (how & 1 ? FRAME_FDS : 0), to->stream,
            lease_grant,
            (LeaseGrant){
                .lease = NAMED(LeaseId, more), .worker = someone(more), .has_ring = how & 3 });
        break;
    case MSG_PEER_CONNECT:
        SAY(to->to, MSG_PEER_RING, FRAME_REPLY | (how & 1 ? FRAME_FDS : 0), to->stream, peer_ring,
            (PeerRing){ .peer = peer_at(more) });
        break;
    case MSG_OBJECT_GET:
        answer_value(in, to, more);
        break;
    case MSG_OBJECT_FETCH:
        SAY(to->to, MSG_OBJECT_LOCAL, FRAME_REPLY, to->stream, object_local,
            (ObjectLocal){ .offset = how, .generation = 1, .size = 8 });
        break;
    case MSG_SLAB_REQUEST:
        SAY(to->to, MSG_SLAB_GRANT, FRAME_REPLY, to->stream, slab_grant,
            (SlabGrant){ .size = how & 1 ? LARGE : 1 });
        break;
    case MSG_KV_GET:
        SAY(to->to, MSG_KV_REPLY, FRAME_REPLY, to->stream, kv_reply,
            (KvReply){ .found = how & 1, .value = SLICE("x") });
        break;
    case MSG_GROUP_GET:
        SAY(to->to, MSG_GROUP_INFO_REPLY, FRAME_REPLY, to->stream, group_info_reply,
            (GroupInfoReply){ .info = { .group = group_at(more), .state = how % 5 } });
        break;
    case MSG_ACTOR_REGISTER:
    case MSG_ACTOR_SUBSCRIBE:
    case MSG_ACTOR_GET:
        answer_actor(to, how, more);
        break;
    default:
        SAY(to->to, MSG_STATUS, FRAME_REPLY, to->stream, status, (Status){ .code = 0 });
    }
}

static void step_result(Input *in) {
    const Sent *call = call_at(take(in));
    uint8_t how = take(in), more = take(in);
    ObjectId kept = object_at(more);
    Values values;
    take_values(in, how & 3, &call->task, &values);
    Result m = { .task = call->task,
                 .attempt = call->attempt + (how >> 7),
                 .values = values.list,
                 .values_len = values.len,
                 .more = how & 4,
                 .application_error = how & 8,
                 .retry = how & 16,
                 .index = more & 7,
                 .retained = &kept,
                 .retained_len = more >> 7 };
    if (how & 32) {
        m.lost = values.list;
        m.lost_len = values.len;
    }
    SAY(how & 64 ? someone(more) : call->to, MSG_RESULT, 0, 0, result, m);
}

static void step_call(Input *in) {
    uint8_t from = take(in), how = take(in), returns = take(in);
    TaskId task = NAMED(TaskId, how >> 4);
    Values values;
    take_values(in, how & 3, &task, &values);
    Call m = { .task = task,
               .kind = how >> 2 & 3,
               .actor = actor_at(from),
               .num_returns = (int32_t)(returns % 8) - 2,
               .values = values.list,
               .values_len = values.len,
               .refs = values.refs,
               .refs_len = values.len,
               .stream_limit = returns >> 4,
               .args = SLICE("a") };
    if (returns == 0xff)
        m.num_returns = INT32_MAX;
    SAY(someone(from), MSG_CALL, returns & 8 ? FRAME_CALL : 0, from, call, m);
}

/* What a raylet wants back, and what it asks: a stranger may say the same. */
static void say_wanted(PeerId from, uint8_t which, uint8_t how) {
    switch (how >> 1 & 3) {
    case 1:
        SAY(from, MSG_LEASE_RECALL, 0, 0, lease_recall,
            (LeaseRecall){ .lease = NAMED(LeaseId, which), .worker = peer_at(how >> 3) });
        break;
    case 2:
        SAY(from, MSG_SLAB_RECALL, 0, 0, slab_recall, (SlabRecall){ 0 });
        break;
    default:
        SAY(from, MSG_STATE_GET, FRAME_CALL, which, state_get,
            (StateGet){ .tasks = how & 8, .objects = how & 16, .limit = which });
    }
}

static void step_assign(uint8_t from, uint8_t a, uint8_t b) {
    if (b & 6)
        say_wanted(b & 0x80 ? someone(from) : someone(4), a, b);
    else
        SAY(someone(4), a & 1 ? MSG_WORKER_EXIT : MSG_TASK_ASSIGN, 0, 0, task_assign,
            (TaskAssign){
                .lease = NAMED(LeaseId, a), .capture = b & 1, .job_config = SLICE("{}") });
}

static void step_peer_dead(Input *in) {
    uint8_t which = take(in), how = take(in);
    SAY(someone(4), MSG_PEER_DEAD, 0, 0, peer_dead,
        (PeerDead){ .peer = someone(which), .whole_node = how & 1, .oom = how & 2 });
}

static void step_ring_state(Input *in) {
    uint8_t which = take(in);
    Way *way = &world.ways[which % PEERS];
    way->full = which & 0x80;
    way->broken = (which & 0x70) == 0x70;
}

/* What others say of our calls, values and actors. */
static void step_told(Input *in, enum Step what) {
    uint8_t from = take(in), a = take(in), b = take(in);
    ObjectId object = object_at(a);
    TaskId task = b & 0x80 ? NAMED(TaskId, a) : call_at(a)->task;
    switch (what) {
    case STEP_TAKEN_BACK:
        SAY(someone(from), MSG_TAKEN_BACK, 0, 0, taken_back,
            (TakenBack){ .tasks = &task, .tasks_len = 1 });
        break;
    case STEP_TASK_CANCEL:
        SAY(someone(from), MSG_CANCEL, 0, 0, cancel,
            (Cancel){ .task = task, .force = b & 1, .recursive = b & 2 });
        SAY(someone(from), MSG_STREAM_READ, 0, 0, stream_read,
            (StreamRead){ .task = task, .read = b });
        break;
    case STEP_OBJECT_GET:
        SAY(someone(from), MSG_OBJECT_GET, FRAME_CALL, b, object_get,
            (ObjectGet){ .object = object, .lost_location = someone(4), .lost_generation = b & 1 });
        break;
    case STEP_BORROW: {
        Borrow m = { .ack = b & 1, .got = b & 2, .sequence = b >> 4 };
        m.add = m.remove = &object;
        m.add_len = b & 4 ? 1 : 0;
        m.remove_len = b & 8 ? 1 : 0;
        SAY(someone(from), MSG_BORROW, from & 0x80 ? FRAME_REPLY : 0, 0, borrow, m);
        break;
    }
    case STEP_GOT:
        SAY(someone(from), MSG_GOT, 0, 0, got, (Got){ .objects = &object, .objects_len = 1 });
        break;
    case STEP_PEER_RING:
        SAY(someone(4), MSG_PEER_RING, b & 1 ? FRAME_FDS : 0, 0, peer_ring,
            (PeerRing){ .peer = someone(from), .side = 1 });
        break;
    case STEP_ACTOR_INFO:
        answer_actor(&(Sent){ .to = PEER_GCS }, a, from);
        SAY(PEER_GCS, MSG_ACTOR_INFO_REPLY, 0, 0, actor_info_reply,
            (ActorInfoReply){ .info = { .actor = actor_at(from),
                                        .state = a % 5,
                                        .worker = someone(b),
                                        .restarts = b >> 6,
                                        .max_restarts = a >> 7 } });
        break;
    case STEP_GROUP_INFO:
        SAY(PEER_GCS, MSG_GROUP_INFO_REPLY, 0, 0, group_info_reply,
            (GroupInfoReply){ .info = { .group = group_at(a), .state = b % 5 } });
        break;
    default:
        step_assign(from, a, b);
    }
}

void step_others(Input *in, enum Step what) {
    switch (what) {
    case STEP_FRAME:
        step_frame(in);
        break;
    case STEP_ANSWER:
        step_answer(in);
        break;
    case STEP_RESULT:
        step_result(in);
        break;
    case STEP_CALL:
        step_call(in);
        break;
    case STEP_RING_STATE:
        step_ring_state(in);
        break;
    case STEP_PEER_DEAD:
        step_peer_dead(in);
        break;
    default:
        step_told(in, what);
    }
}
