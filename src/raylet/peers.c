/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * Other raylets: what gcs tells of them, and the connections to them. A connection is made when
 * there is something to send, by either side; a node that can't be dialled is reached through gcs.
 */

#define DIAL_TIMEOUT (3 * USEC_PER_SEC)
#define DIAL_PAUSE   (30 * USEC_PER_SEC)
#define HELLO_WAIT   (10 * USEC_PER_SEC)

enum {
    CONNECTIONS_MAX = 66000
};

Remote *peers_get(const Raylet *raylet, const NodeId *id) {
    return map_get(&raylet->remotes, id);
}

static Remote *remote_of(const Raylet *raylet, PeerId peer) {
    Remote *remote = raylet->by_index[peer_node(peer)];
    return remote && remote->incarnation == peer_incarnation(peer) ? remote : NULL;
}

SchedView peers_view(Raylet *raylet) {
    vec_clear(&raylet->view);
    vec_push(&raylet->view, &raylet->here);
    Remote *remote;
    MAP_EACH(&raylet->remotes, pos, remote)
        vec_push(&raylet->view, &remote->sched);
    return (SchedView){ raylet->view.items, raylet->view.len };
}

static void remote_free(Remote *remote) {
    Raylet *raylet = remote->raylet;
    map_remove(&raylet->remotes, &remote->sched.id);
    if (raylet->by_index[remote->index] == remote)
        raylet->by_index[remote->index] = NULL;
    frame_conn_free(remote->frames);
    frame_conn_free(remote->extra);
    sched_node_done(&remote->sched);
    free(remote->address);
    free(remote->ip);
    free(remote);
}

/* ---- connections ---- */

static void on_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    Remote *remote = ctx;
    UNUSED(frames);
    if (frame->header.type == MSG_WELCOME) {
        remote->connected = true;
        return;
    }
    if (peer_node(frame->header.source) != remote->index) {
        log_warn("a frame that does not come from node %u was dropped", remote->index);
        return;
    }
    route_in(remote->raylet, NULL, &frame->header, frame->body);
}

static void on_closed(void *ctx, FrameConn *frames, int r) {
    Remote *remote = ctx;
    UNUSED(frames);
    if (!remote->connected) {
        log_warn("node %s can't be dialled, it is reached through the head: %s", remote->address,
                 r < 0 ? error_text(r) : "it closed the connection");
        remote->retry_at = loop_deadline(remote->raylet->loop, DIAL_PAUSE);
    }
    remote->connected = false;
    remote->frames = frame_conn_free(remote->frames);
}

static const FrameEvents remote_events = { .frame = on_frame, .closed = on_closed };

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    UNUSED(ctx); /* until its FrameConn takes over, at once, nothing can come */
    UNUSED(stream);
    UNUSED(event);
}

static bool dial(Remote *remote) {
    Raylet *raylet = remote->raylet;
    if (loop_now(raylet->loop) < remote->retry_at)
        return false;
    NetAddress address;
    Stream *stream;
    int r = net_address_parse(remote->address, &address);
    if (r == 0)
        r = stream_connect(raylet->loop, &address, DIAL_TIMEOUT, on_stream, NULL, &stream);
    if (r < 0) {
        remote->retry_at = loop_deadline(raylet->loop, DIAL_PAUSE);
        return false;
    }
    stream_set_output_marks(stream, 4 << 20, (size_t)2 << 30);
    remote->frames = frame_conn_new(stream, &remote_events, remote);
    Hello hello = { .version_low = WIRE_VERSION_LOW,
                    .version_high = WIRE_VERSION_HIGH,
                    .role = ROLE_RAYLET,
                    .token = buf_slice(&raylet->token),
                    .node = raylet->id };
    _cleanup_buf_ Buf body = { 0 };
    hello_encode(&hello, &body);
    FrameHeader header = { .type = MSG_HELLO, .flags = FRAME_CALL, .source = raylet->self };
    frame_send(remote->frames, &header, buf_slice(&body));
    return true;
}

bool peers_has(const Raylet *raylet, PeerId peer) {
    return remote_of(raylet, peer) != NULL;
}

size_t peers_queued(const Raylet *raylet, PeerId peer) {
    const Remote *remote = remote_of(raylet, peer);
    return remote && remote->frames ? stream_queued(frame_conn_stream(remote->frames)) : 0;
}

bool peers_send(Raylet *raylet, const FrameHeader *header, Slice body) {
    Remote *remote = remote_of(raylet, header->destination);
    if (!remote)
        return false;
    if (remote->frames || dial(remote))
        frame_send(remote->frames, header, body);
    else
        upstream_send(raylet, header, body);
    return true;
}

/* ---- those that dial us ---- */

static void on_extra_closed(void *ctx, FrameConn *frames, int r) {
    Remote *remote = ctx;
    UNUSED(frames);
    UNUSED(r);
    remote->extra = frame_conn_free(remote->extra);
}

static const FrameEvents extra_events = { .frame = on_frame, .closed = on_extra_closed };

/* Whose it is turns out by its Hello, and by what gcs tells of that node. */
typedef struct Incoming {
    Raylet *raylet;
    FrameConn *frames;
    LoopTask *task; /* becoming a Remote's, or closing, outside of its own callback */
    NodeId node;
    FrameHeader hello;
    bool refused;
    List link;
} Incoming;

static void incoming_free(Incoming *incoming) {
    list_remove(&incoming->link);
    frame_conn_free(incoming->frames);
    loop_task_free(incoming->task);
    free(incoming);
}

static void incoming_adopt(Incoming *incoming, Remote *remote) {
    Raylet *raylet = incoming->raylet;
    FrameConn *frames = TAKE(incoming->frames);
    Welcome welcome = { .version = WIRE_VERSION_HIGH, .node = raylet->id };
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&welcome, &body);
    FrameHeader header = rpc_answer_header(&incoming->hello, MSG_WELCOME, &body);
    header.source = raylet->self;
    frame_send(frames, &header, buf_slice(&body));
    if (remote->frames) { /* both dialled: each sends on its own, so that frames keep their order */
        frame_conn_free(remote->extra);
        remote->extra = frames;
        frame_conn_set_ctx(frames, &extra_events, remote);
    } else {
        remote->frames = frames;
        remote->connected = true;
        frame_conn_set_ctx(frames, &remote_events, remote);
    }
    stream_set_deadline(frame_conn_stream(frames), USEC_INFINITY);
    frame_conn_pause(frames, false);
    incoming_free(incoming);
}

static void incoming_decide(void *ctx) {
    Incoming *incoming = ctx;
    if (incoming->refused) {
        frame_conn_free_later(TAKE(incoming->frames), USEC_PER_SEC);
        incoming_free(incoming);
        return;
    }
    Remote *remote = peers_get(incoming->raylet, &incoming->node);
    if (remote)
        incoming_adopt(incoming, remote);
}

static void on_incoming_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    Incoming *incoming = ctx;
    Raylet *raylet = incoming->raylet;
    _cleanup_arena_ Arena arena = { 0 };
    Hello hello;
    bool right = frame->header.type == MSG_HELLO &&
                 hello_decode(&hello, frame->body.data, frame->body.len, &arena) == 0 &&
                 hello.role == ROLE_RAYLET && hello.version_low <= WIRE_VERSION_HIGH &&
                 hello.version_high >= WIRE_VERSION_LOW;
    if (right && raylet->token.len)
        right = hello.token.len == raylet->token.len &&
                mem_equal_secret(hello.token.data, raylet->token.data, raylet->token.len);
    incoming->refused = !right;
    if (right) {
        incoming->node = hello.node;
        incoming->hello = frame->header;
    }
    frame_conn_pause(frames, true);
    loop_task_arm(incoming->task);
}

static void on_incoming_closed(void *ctx, FrameConn *frames, int r) {
    UNUSED(frames);
    UNUSED(r);
    incoming_free(ctx);
}

static const FrameEvents incoming_events = { .frame = on_incoming_frame,
                                             .closed = on_incoming_closed };

static void on_accept(void *ctx, Stream *stream) {
    Raylet *raylet = ctx;
    Incoming *incoming = mem_new(Incoming);
    incoming->raylet = raylet;
    incoming->task = loop_task_new(raylet->loop, incoming_decide, incoming);
    list_push(&raylet->incoming, &incoming->link);
    stream_set_deadline(stream, loop_deadline(raylet->loop, HELLO_WAIT));
    stream_set_output_marks(stream, 4 << 20, (size_t)2 << 30);
    incoming->frames = frame_conn_new(stream, &incoming_events, incoming);
}

int peers_listen(Raylet *raylet, const NetAddress *address) {
    return listener_new(raylet->loop, address, CONNECTIONS_MAX, on_accept, raylet,
                        &raylet->peer_listener);
}

/* ---- what gcs tells ---- */

static void remote_die(Remote *remote) {
    Raylet *raylet = remote->raylet;
    leases_node_dead(raylet, remote);
    remote_free(remote);
    loop_task_arm(raylet->dispatch_task);
}

static void tell_of_death(Remote *remote, Slice reason) {
    Raylet *raylet = remote->raylet;
    PeerDead dead = { .peer = peer_make(remote->index, remote->incarnation, 0),
                      .node = remote->sched.id,
                      .text = reason,
                      .role = ROLE_RAYLET,
                      .whole_node = true };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    locals_tell_dead(raylet, &body);
    objects_owner_dead(raylet, dead.peer);
    remote_die(remote);
}

static Remote *remote_new(Raylet *raylet, const NodeInfo *info) {
    Remote *remote = mem_new(Remote);
    remote->raylet = raylet;
    remote->sched.id = info->node;
    remote->index = info->index;
    remote->incarnation = info->incarnation;
    map_put(&raylet->remotes, &remote->sched.id, remote);
    raylet->by_index[remote->index] = remote;
    return remote;
}

static int remote_set(Remote *remote, const NodeInfo *info) {
    SchedNode *sched = &remote->sched;
    sched->schedulable = info->state == NODE_STATE_ALIVE;
    free(remote->address);
    remote->address = str_dup_slice(info->address);
    free(remote->ip);
    remote->ip = str_dup_slice(info->ip);
    int r = resources_from_wire(&sched->total, info->total, info->total_len);
    if (r == 0)
        r = resources_from_wire(&sched->available, info->available, info->available_len);
    if (r == 0)
        r = labels_from_wire(&sched->labels, info->labels, info->labels_len);
    return r;
}

static void update_one(Raylet *raylet, const NodeInfo *info) {
    if (id_equal(&info->node, &raylet->id)) {
        raylet->here.schedulable = info->state == NODE_STATE_ALIVE;
        return;
    }
    Remote *remote = peers_get(raylet, &info->node);
    if (info->state == NODE_STATE_DEAD) {
        if (remote) /* it died while nobody could tell us */
            tell_of_death(remote, info->death_reason);
        return;
    }
    if (!remote && info->index != 0)
        remote = remote_new(raylet, info);
    int r = remote ? remote_set(remote, info) : -EPROTO;
    if (r < 0)
        log_warn("what gcs tells of a node can't be read: %s", error_text(r));
}

void peers_update(Raylet *raylet, const NodeInfo *infos, size_t len) {
    for (size_t i = 0; i < len; i++)
        update_one(raylet, &infos[i]);
    LIST_EACH(item, &raylet->incoming)
        loop_task_arm(LIST_ITEM(item, Incoming, link)->task);
    loop_task_arm(raylet->dispatch_task);
}

void peers_on_view(Raylet *raylet, RayletCall *call) {
    NodeView view;
    RAYLET_DECODE(raylet, call, node_view_decode, &view);
    peers_update(raylet, view.nodes, view.nodes_len);
}

void peers_on_dead(Raylet *raylet, RayletCall *call) {
    PeerDead dead;
    RAYLET_DECODE(raylet, call, peer_dead_decode, &dead);
    if (dead.peer == raylet->self) {
        raylet_fail(raylet, -ESTALE, "the head declared this node dead");
        return;
    }
    Buf body = { .data = (char *)(uintptr_t)call->body.data, .len = call->body.len };
    locals_tell_dead(raylet, &body);
    objects_owner_dead(raylet, dead.peer);
    if (!dead.whole_node) {
        leases_requester_dead(raylet, dead.peer);
        return;
    }
    Remote *remote = remote_of(raylet, dead.peer);
    if (remote)
        remote_die(remote);
}

/* ---- life ---- */

void peers_init(Raylet *raylet) {
    map_init(&raylet->remotes, sizeof(NodeId));
    raylet->by_index = mem_array(Remote *, 65536);
    list_init(&raylet->incoming);
}

void peers_done(Raylet *raylet) {
    raylet->peer_listener = listener_free(raylet->peer_listener);
    LIST_EACH_SAFE(item, &raylet->incoming)
        incoming_free(LIST_ITEM(item, Incoming, link));
    for (;;) {
        size_t pos = 0;
        Remote *remote = map_next(&raylet->remotes, &pos, NULL);
        if (!remote)
            break;
        remote_free(remote);
    }
    map_done(&raylet->remotes);
    free(raylet->by_index);
    vec_done(&raylet->view);
}
