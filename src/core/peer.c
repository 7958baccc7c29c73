/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Ways to other processes: a ring to one on this node, relayed frames through the raylet to any
 * other. What is sent before the way is known waits in order; so does what finds a ring full.
 */

#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "core/core_private.h"

CorePeer *peer_find(const Core *core, PeerId id) {
    return map_get(&core->peers, &id);
}

static void outgoing_free(Outgoing *o) {
    list_remove(&o->link);
    bytes_drop(o->body);
    mem_free(o);
}

static void peer_drop_outgoing(CorePeer *peer) {
    while (!list_empty(&peer->out))
        outgoing_free(LIST_ITEM(peer->out.next, Outgoing, link));
}

/* ---- sending ----------------------------------------------------------------------------- */

static void sock_frame(Core *core, const FrameHeader *h, const void *body) {
    if (core->lost || core->sock.fd < 0)
        return;
    struct iovec part = { (void *)(uintptr_t)body, h->length };
    if (sock_send(&core->sock, h, &part, 1) < 0 || sock_wants_write(&core->sock)) {
        /* The pump finds the loss, or sends the rest when there is room. */
        core->timer = USEC_INFINITY;
        core_timer_at(core, 0);
    }
    core->counts.frames_sent++;
}

static bool ring_frame(Core *core, CorePeer *peer, const FrameHeader *h, const void *body,
                       size_t *sent) {
    struct iovec part = { (void *)(uintptr_t)body, h->length };
    size_t before = *sent;
    bool done = ring_write(&peer->ring.out, h, &part, 1, sent);
    if (done || *sent != before)
        doorbell_ring(&peer->bell);
    core->counts.frames_sent += done;
    return done;
}

static void peer_keep(CorePeer *peer, const FrameHeader *h, const void *body, size_t sent) {
    Outgoing *o = mem_new(Outgoing);
    o->header = *h;
    o->sent = sent;
    o->body = bytes_new(body, h->length);
    list_push(&peer->out, &o->link);
}

static void peer_flush(Core *core, CorePeer *peer) {
    while (!list_empty(&peer->out)) {
        Outgoing *o = LIST_ITEM(peer->out.next, Outgoing, link);
        if (peer->state == PEER_RELAY)
            sock_frame(core, &o->header, o->body->data);
        else if (peer->state != PEER_RING ||
                 !ring_frame(core, peer, &o->header, o->body->data, &o->sent))
            return;
        outgoing_free(o);
    }
}

static bool peer_is_process(const Core *core, PeerId id) {
    return peer_worker(id) != 0 && id != core->info.peer;
}

void peer_hand_over(Core *core, OwnRef *ref, PeerId to) {
    const CorePeer *peer = peer_find(core, to);
    if (!peer || peer->state != PEER_GONE)
        own_hand_over(ref, to);
}

void peer_send(Core *core, PeerId to, MessageType type, unsigned flags, uint32_t stream,
               const void *body, size_t len) {
    if (core->lost || core->sock.fd < 0 || !to)
        return;
    FrameHeader h = { .length = (uint32_t)len,
                      .type = (uint16_t)type,
                      .flags = (uint16_t)flags,
                      .stream = stream,
                      .source = core->info.peer,
                      .destination = to };
    if (!peer_is_process(core, to)) {
        sock_frame(core, &h, body);
        return;
    }
    CorePeer *peer = peer_get(core, to);
    if (peer->state == PEER_GONE)
        return;
    size_t sent = 0;
    if (!list_empty(&peer->out) || peer->state == PEER_ASKING)
        peer_keep(peer, &h, body, 0);
    else if (peer->state == PEER_RELAY)
        sock_frame(core, &h, body);
    else if (!ring_frame(core, peer, &h, body, &sent))
        peer_keep(peer, &h, body, sent);
}

void peer_kill(Core *core, PeerId worker, Slice text) {
    WorkerKill m = { .peer = worker, .force = true, .text = text };
    _cleanup_buf_ Buf body = { 0 };
    worker_kill_encode(&m, &body);
    peer_send(core, peer_raylet(worker), MSG_WORKER_KILL, 0, 0, body.data, body.len);
}

void raylet_send(Core *core, MessageType type, const Buf *body) {
    peer_send(core, peer_raylet(core->info.peer), type, 0, 0, body->data, body->len);
}

/* ---- finding the way ------------------------------------------------------------------------ */

static void on_connect_answer(void *argument, const RpcReply *reply) {
    CorePeer *peer = argument;
    if (peer->state != PEER_ASKING || reply->result == -ECANCELED)
        return; /* PeerRing: peer_attach() did it when the frame came */
    Core *core = peer->core;
    if (reply->result == 1 && reply->status.code == STATUS_CODE_REMOTE) {
        peer->state = PEER_RELAY;
        peer_flush(core, peer);
        return;
    }
    PeerDead dead = { .peer = peer->id, .text = SLICE("The process is not known to its node.") };
    peer_dead(core, &dead);
}

static CorePeer *peer_new(Core *core, PeerId id) {
    CorePeer *peer = mem_new(CorePeer);
    peer->core = core;
    peer->id = id;
    peer->bell.memfd = peer->bell.eventfd = -1;
    list_init(&peer->out);
    map_put(&core->peers, &id, peer);
    return peer;
}

static bool peer_died(const Core *core, PeerId id) {
    VEC_EACH(dead, &core->died)
        if (peer_died_with(id, *dead))
            return true;
    return false;
}

static void peer_remember_dead(Core *core, PeerId id) {
    if (core->died.len < DIED_MAX)
        vec_push(&core->died, id);
    else
        core->died.items[core->died_next++ % DIED_MAX] = id;
}

CorePeer *peer_get(Core *core, PeerId id) {
    CorePeer *peer = peer_find(core, id);
    if (LIKELY(peer != NULL))
        return peer;
    peer = peer_new(core, id);
    if (peer_died(core, id)) {
        peer->state = PEER_GONE;
        return peer;
    }
    if (peer_node(id) != peer_node(core->info.peer)) {
        peer->state = PEER_RELAY;
        return peer;
    }
    PeerConnect m = { .peer = id };
    _cleanup_buf_ Buf body = { 0 };
    peer_connect_encode(&m, &body);
    rpc_call(core->rpc, peer_raylet(id), MSG_PEER_CONNECT, &body, USEC_INFINITY, on_connect_answer,
             peer);
    return peer;
}

/* The three fds of a ring come with the frame in hand, or in the order of the frames. */
static int peer_open_ring(Core *core, CorePeer *peer, int side) {
    _cleanup_close_ int ring = sock_take_fd(&core->sock);
    int page = sock_take_fd(&core->sock), event = sock_take_fd(&core->sock);
    if (ring < 0 || page < 0 || event < 0) {
        fd_close(page);
        fd_close(event);
        return error_origin(-EPROTO, "a ring came without its descriptors");
    }
    int r = doorbell_open(page, event, &peer->bell);
    return r < 0 ? r : ring_open(ring, side, &peer->ring);
}

void peer_attach(Core *core, PeerId id, int side, const WorkerId *worker, uint32_t pid) {
    CorePeer *peer = peer_find(core, id);
    if (!peer)
        peer = peer_new(core, id);
    if (peer->state == PEER_RING || peer->state == PEER_GONE) {
        for (int i = 0; i < 3; i++) /* a second pair is not wanted */
            fd_close(sock_take_fd(&core->sock));
        return;
    }
    peer->worker = *worker;
    peer->pid = pid;
    if (peer_open_ring(core, peer, side) < 0) {
        peer->state = PEER_RELAY;
    } else {
        peer->state = PEER_RING;
        vec_push(&core->rings, peer);
    }
    peer_flush(core, peer);
    core_happened(core);
}

/* ---- the end of a peer ------------------------------------------------------------------------ */

static void peer_close(Core *core, CorePeer *peer) {
    for (size_t i = 0; i < core->rings.len; i++) {
        if (core->rings.items[i] == peer) {
            vec_remove_swap(&core->rings, i);
            break;
        }
    }
    ring_close(&peer->ring);
    doorbell_done(&peer->bell);
    peer_drop_outgoing(peer);
    peer->state = PEER_GONE;
}

static void peer_read_ring(Core *core, CorePeer *peer, size_t *budget);

static void peer_dead_one(Core *core, PeerId id, const PeerDead *told) {
    if (id == core->info.peer)
        return; /* we would know */
    PeerDead dead = *told;
    dead.peer = id;
    CorePeer *peer = peer_find(core, id);
    if (peer && peer->state == PEER_RING) {
        size_t all = SIZE_MAX; /* what it said before it died still counts */
        peer_read_ring(core, peer, &all);
    }
    rpc_peer_lost(core->rpc, id);
    if (peer && peer->leased)
        submit_worker_dead(core, peer->leased, &dead);
    actor_peer_dead(core, &dead);
    execute_peer_dead(core, id);
    own_peer_dead(&core->own, id);
    refs_owner_dead(core, &dead);
    if (peer && peer->state != PEER_GONE)
        peer_close(core, peer);
    if (!peer)
        peer_remember_dead(core, id);
    rpc_peer_lost(core->rpc, id); /* what was asked of it meanwhile */
    core_happened(core);
}

void peer_dead(Core *core, const PeerDead *dead) {
    if (!dead->whole_node) {
        peer_dead_one(core, dead->peer, dead);
        return;
    }
    Vec(PeerId) gone = { 0 };
    CorePeer *peer;
    MAP_EACH(&core->peers, pos, peer)
        if (peer_raylet(peer->id) == peer_raylet(dead->peer))
            vec_push(&gone, peer->id);
    VEC_EACH(id, &gone)
        peer_dead_one(core, *id, dead);
    peer_dead_one(core, dead->peer, dead);
    vec_done(&gone);
}

void peers_done(Core *core) {
    CorePeer *peer;
    MAP_EACH(&core->peers, pos, peer) {
        peer_close(core, peer);
        mem_free(peer);
    }
    map_clear(&core->peers);
}

/* ---- receiving ---------------------------------------------------------------------------------- */

/* A peer that breaks the protocol is cut off and treated as dead by this process. A worker that runs calls
 * of ours is ended: its lease would stay with it, and gcs would have nothing to say of its actor. */
static void peer_cut(Core *core, CorePeer *peer, int r) {
    PeerDead dead = { .peer = peer->id };
    _cleanup_free_ char *text = str_printf("It was cut off: %s", error_text(r));
    dead.text = slice_str(text);
    peer->cut = true;
    if (peer->leased || actor_lives_at(core, peer))
        peer_kill(core, peer->id, dead.text);
    peer_dead_one(core, peer->id, &dead);
}

static void peer_read_ring(Core *core, CorePeer *peer, size_t *budget) {
    int r = 0;
    usec_t now = 0;
    while (*budget > 0 && peer->state == PEER_RING && !peer->cut) {
        FrameHeader h;
        const void *body;
        bool want_room;
        r = ring_read(&peer->ring.in, &h, &body, &want_room);
        if (want_room)
            doorbell_ring(&peer->bell);
        if (r <= 0)
            break;
        --*budget;
        if (!now)
            core->now = now = time_mono_now();
        core->counts.frames_received++;
        h.source = peer->id; /* who wrote the ring, whatever it says */
        r = core_dispatch(core, peer, &h, body);
        core_run_actions(core);
        if (r < 0)
            break;
    }
    if (r < 0)
        peer_cut(core, peer, r);
}

bool peers_ring_waiting(const Core *core) {
    for (size_t i = 0; i < core->rings.len; i++) {
        const CorePeer *peer = core->rings.items[i];
        if (ring_readable(&peer->ring.in))
            return true;
        if (peer->state == PEER_RING && !list_empty(&peer->out) && ring_room_came(&peer->ring.out))
            return true;
    }
    return false;
}

void peers_drain_rings(Core *core) {
    size_t budget = DRAIN_BATCH;
    core->progress++;
    for (size_t i = 0; i < core->rings.len && budget; i++) {
        CorePeer *peer = core->rings.items[i];
        peer_read_ring(core, peer, &budget);
        if (peer->state == PEER_RING && !list_empty(&peer->out))
            peer_flush(core, peer);
    }
    core_run_actions(core);
}

int peers_drain_sock(Core *core) {
    for (;;) {
        FrameHeader h;
        const void *body;
        int r = sock_recv(&core->sock, &h, &body);
        if (r <= 0)
            return r;
        core->counts.frames_received++;
        core->now = time_mono_now();
        CorePeer *from = peer_is_process(core, h.source) ? peer_get(core, h.source) : NULL;
        if (from && from->cut)
            continue;
        r = core_dispatch(core, from, &h, body);
        if (r < 0 && from)
            peer_cut(core, from, r);
        else if (from && from->state == PEER_GONE) /* the news of its death came first */
            own_peer_dead(&core->own, from->id);
        core_run_actions(core);
    }
}

/* ---- dispatch -------------------------------------------------------------------------------------- */

static void on_log(Core *core, const FrameHeader *h, const void *body) {
    if (core->logs.len >= LOG_FRAMES_MAX) {
        bytes_drop(core->logs.items[0]);
        vec_remove(&core->logs, 0);
    }
    vec_push(&core->logs, bytes_new(body, h->length));
    uint64_t one = 1;
    ssize_t n = write(core->log_fd, &one, sizeof(one));
    UNUSED(n);
}

static void on_assign(Core *core, const FrameHeader *h, const void *body) {
    Buf text = { 0 };
    Arena arena = { 0 };
    TaskAssign m;
    buf_add(&text, body, h->length);
    if (task_assign_decode(&m, text.data, text.len, &arena) < 0) { /* the last one stays */
        buf_done(&text);
        arena_done(&arena);
        return;
    }
    buf_done(&core->assigned);
    arena_done(&core->assigned_arena);
    core->assigned = text;
    core->assigned_arena = arena;
    bool same = core->assign.capture == m.capture && id_equal(&core->assign.group, &m.group);
    core->assign = m;
    atomic_fetch_add(&core->assigned_count, 1);
    if (!same)
        atomic_fetch_add(&core->capture_epoch, 1);
    core->info.job = m.job;
    /* What threads make beside any task: ids that neither the driver nor another worker makes. */
    core->main_task = task_id_make(&core->ids, &m.job);
}

static void on_got(Core *core, PeerId from, const Got *m) {
    for (size_t i = 0; i < m->objects_len; i++)
        own_got(&core->own, &m->objects[i], from);
}

static void on_grant_ring(Core *core, const FrameHeader *h, const void *body, Arena *arena) {
    if (h->type == MSG_PEER_RING) {
        PeerRing m;
        if (peer_ring_decode(&m, body, h->length, arena) == 0)
            peer_attach(core, m.peer, m.side, &m.worker_id, m.pid);
    } else if (h->type == MSG_LEASE_GRANT) {
        LeaseGrant m;
        if (lease_grant_decode(&m, body, h->length, arena) == 0 && m.has_ring)
            peer_attach(core, m.worker, 0, &m.worker_id, m.pid);
    }
}

/* What only raylets and gcs have to say. */
static bool service_says(MessageType type) {
    switch (type) {
    case MSG_PEER_DEAD:
    case MSG_ACTOR_INFO_REPLY:
    case MSG_GROUP_INFO_REPLY:
    case MSG_TASK_ASSIGN:
    case MSG_WORKER_EXIT:
    case MSG_LOG_LINES:
    case MSG_LEASE_RECALL:
    case MSG_SLAB_RECALL:
    case MSG_STATE_GET:
        return true;
    default:
        return false;
    }
}

#define DECODED(Type, name, m)                                                                     \
    Type m;                                                                                        \
    r = name##_decode(&m, body, h->length, &arena);                                                \
    if (r == 0)

int core_dispatch(Core *core, CorePeer *from, const FrameHeader *h, const void *body) {
    _cleanup_arena_ Arena arena = { 0 };
    int r = 0;
    if (h->flags & FRAME_FDS && !from)
        on_grant_ring(core, h, body, &arena);
    if (h->type == MSG_BORROW && (h->flags & FRAME_REPLY)) {
        DECODED(Borrow, borrow, m)
        for (size_t i = 0; i < m.add_len; i++)
            own_acknowledged(&core->own, &m.add[i], m.sequence);
        return r;
    }
    if (h->flags & FRAME_REPLY) {
        if (!rpc_reply(core->rpc, h, body) && h->type == MSG_SLAB_GRANT && !from)
            large_on_late_grant(core, h, body);
        core_happened(core);
        return 0;
    }
    if (from && service_says(h->type))
        return 0;
    switch (h->type) {
    case MSG_CALL:
        r = execute_on_call(core, from, h, body);
        break;
    case MSG_RESULT: {
        DECODED(Result, result, m)
        submit_on_result(core, from, &m);
        break;
    }
    case MSG_TAKEN_BACK: {
        DECODED(TakenBack, taken_back, m)
        submit_on_taken_back(core, from, &m);
        break;
    }
    case MSG_LEASE_RECALL: {
        DECODED(LeaseRecall, lease_recall, m)
        lease_on_recall(core, &m);
        break;
    }
    case MSG_TAKE_BACK: {
        DECODED(TakeBack, take_back, m)
        execute_on_take_back(core, h, &m);
        break;
    }
    case MSG_STREAM_READ: {
        DECODED(StreamRead, stream_read, m)
        execute_on_stream_read(core, &m, h->source);
        break;
    }
    case MSG_CANCEL: {
        DECODED(Cancel, cancel, m)
        execute_on_cancel(core, &m, h->source);
        break;
    }
    case MSG_BORROW: {
        DECODED(Borrow, borrow, m)
        on_borrow(core, h, &m);
        break;
    }
    case MSG_GOT: {
        DECODED(Got, got, m)
        on_got(core, h->source, &m);
        break;
    }
    case MSG_OBJECT_GET: {
        DECODED(ObjectGet, object_get, m)
        on_object_get(core, h, &m);
        break;
    }
    case MSG_PEER_DEAD: {
        DECODED(PeerDead, peer_dead, m)
        peer_dead(core, &m);
        break;
    }
    case MSG_ACTOR_INFO_REPLY: {
        DECODED(ActorInfoReply, actor_info_reply, m)
        actor_on_info(core, &m.info);
        break;
    }
    case MSG_GROUP_INFO_REPLY: {
        DECODED(GroupInfoReply, group_info_reply, m)
        group_on_info(core, &m.info);
        break;
    }
    case MSG_STATE_GET: {
        DECODED(StateGet, state_get, m)
        events_on_state_get(core, h, &m);
        break;
    }
    case MSG_TASK_ASSIGN:
        on_assign(core, h, body);
        break;
    case MSG_SLAB_RECALL:
        large_on_recall(core);
        break;
    case MSG_WORKER_EXIT:
        core->exit_asked = true;
        core_happened(core);
        break;
    case MSG_LOG_LINES:
        on_log(core, h, body);
        break;
    default: /* a newer peer's one-way message: skipped, as unknown fields are */
        break;
    }
    return r;
}
