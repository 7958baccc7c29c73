/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * How frames get to another raylet. All that is sent to one is on one link (net/link.h), which lasts until
 * gcs says that the node is dead. Its carrier is a connection that either side dials when there is
 * something to send; where that can't be, or is not answered, the way through gcs, in LinkFrames.
 * A carrier that breaks, or on which nothing moves, is replaced while something waits to be sent or to be
 * acknowledged. When both sides ask at once, the one with the lower index is answered.
 */

#define DIAL_TIMEOUT (3 * USEC_PER_SEC)
#define ASK_WAIT     (5 * USEC_PER_SEC) /* for a Welcome */
#define RETRY_MIN    (10 * USEC_PER_MSEC)
#define RETRY_MAX    (1 * USEC_PER_SEC)
#define DIRECT_MIN   (30 * USEC_PER_SEC) /* after it could not be dialled */
#define DIRECT_MAX   (16 * 60 * USEC_PER_SEC)
#define LOOK_PAUSE   (LINK_PATIENCE / 4) /* at what moves at gcs */
#define HELLO_WAIT   (10 * USEC_PER_SEC) /* of who dials us */

enum {
    CONNECTIONS_MAX = 66000
};

/* ---- sending ---------------------------------------------------------------------------------- */

static bool asking(const Remote *remote) {
    return remote->way == WAY_DIALLED || remote->way == WAY_ASKED;
}

/* One packed frame through gcs, to that raylet. */
static void send_by_gcs(Raylet *raylet, PeerId to, uint32_t name, Slice frame) {
    LinkFrame message = { .frame = frame };
    _cleanup_buf_ Buf body = { 0 };
    link_frame_encode(&message, &body);
    FrameHeader header = {
        .type = MSG_LINK_FRAME, .stream = name, .source = raylet->self, .destination = to
    };
    if (raylet->gcs.registered) /* else the way breaks when we are again */
        upstream_send(raylet, &header, buf_slice(&body));
}

/* What is not on the link: Hello, Welcome, refusals. `frames` NULL: through gcs. */
static void say(Remote *remote, FrameConn *frames, uint32_t name, const FrameHeader *header,
                const Buf *body) {
    if (frames) {
        frame_send(frames, header, buf_slice(body));
        return;
    }
    _cleanup_buf_ Buf packed = { 0 };
    FrameHeader out = *header;
    out.length = (uint32_t)body->len;
    buf_add(&packed, &out, sizeof(out));
    buf_add(&packed, body->data, body->len);
    send_by_gcs(remote->raylet, remote_peer(remote), name, buf_slice(&packed));
}

static void on_link_send(void *ctx, NetBytes *frame) {
    Remote *remote = ctx;
    if (remote->way == WAY_DIRECT)
        frame_send_packed(remote->frames, frame);
    else
        send_by_gcs(remote->raylet, remote_peer(remote), remote->way_name,
                    (Slice){ frame->data, frame->len });
}

/* ---- the way begins, and breaks ------------------------------------------------------------------ */

static void way_ask(Remote *remote);

static void look_forget(Remote *remote) {
    if (remote->look_call)
        raylet_forget(remote->raylet, remote->look_call);
    remote->look_call = 0;
}

static void way_leave(Remote *remote) {
    remote->frames = frame_conn_free(remote->frames);
    remote->way = WAY_NONE;
    look_forget(remote);
    link_down(remote->link);
    loop_timer_stop(remote->timer);
}

/* Another is looked for, if there is something to be sent. */
static void way_lost(Remote *remote) {
    way_leave(remote);
    remote->retry = CLAMP(remote->retry * 2, RETRY_MIN, RETRY_MAX);
    if (link_bytes(remote->link) > 0)
        loop_timer_after(remote->timer, remote->retry);
}

static void not_direct(Remote *remote, const char *why) {
    const Raylet *raylet = remote->raylet;
    log_warn("node %s can't be dialled, it is reached through the head: %s", remote->address, why);
    remote->direct_wait = CLAMP(remote->direct_wait * 2, DIRECT_MIN, DIRECT_MAX);
    remote->direct_at = loop_deadline(raylet->loop, remote->direct_wait);
    way_leave(remote);
    way_ask(remote);
}

/* Through gcs what is sent may move where we can't see it: gcs is asked, as long as something waits. */
static void look_later(Remote *remote) {
    if (link_bytes(remote->link) > 0 && !remote->look_call && !loop_timer_armed(remote->timer))
        loop_timer_after(remote->timer, LOOK_PAUSE);
}

static void on_looked(void *argument, const RpcReply *reply) {
    Remote *remote = argument;
    _cleanup_arena_ Arena arena = { 0 };
    LinkProgress message;
    remote->look_call = 0;
    if (reply->result == -ECANCELED)
        return;
    if (reply->result == 0 && link_progress_decode(&message, reply->body, reply->len, &arena) == 0)
        remote->relayed = message.progress;
    look_later(remote);
}

static void look(Remote *remote) {
    _cleanup_buf_ Buf body = { 0 };
    link_progress_encode(&(LinkProgress){ .peer = remote_peer(remote) }, &body);
    remote->look_call = raylet_call(remote->raylet, PEER_GCS, MSG_LINK_PROGRESS, &body,
                                    USEC_INFINITY, on_looked, remote);
}

static void way_is(Remote *remote, Way way, const LinkHello *theirs) {
    remote->way = way;
    remote->retry = 0;
    if (way == WAY_DIRECT)
        remote->direct_wait = remote->direct_at = 0;
    loop_timer_stop(remote->timer);
    link_up(remote->link, theirs);
    if (way == WAY_GCS)
        look_later(remote);
}

/* ---- frames that come ----------------------------------------------------------------------------- */

static void on_greeting(Remote *remote, const FrameHeader *header, Slice body) {
    _cleanup_arena_ Arena arena = { 0 };
    Welcome welcome;
    Status status;
    int r = 1;
    if (header->type == MSG_STATUS) {
        r = status_decode(&status, body.data, body.len, &arena);
        if (r == 0 && status.code == STATUS_CODE_BUSY) { /* it asks, too */
            way_leave(remote);
            loop_timer_after(remote->timer, ASK_WAIT);
            return;
        }
        r = r < 0 ? r : rpc_status_error(&status);
    } else if (header->type == MSG_WELCOME) {
        r = welcome_decode(&welcome, body.data, body.len, &arena);
    }
    LinkHello theirs = { 0 };
    if (r == 0) {
        theirs = (LinkHello){ welcome.link, welcome.link_other, welcome.link_received };
        r = link_match(remote->link, &theirs);
    }
    if (r == 0) {
        way_is(remote, remote->frames ? WAY_DIRECT : WAY_GCS, &theirs);
        return;
    }
    log_warn("node %s does not go on with its link: %s", remote->address,
             r < 0 ? error_text(r) : "it is not the one that it was");
    way_lost(remote);
    loop_timer_after(remote->timer, RETRY_MAX);
}

static void way_take(Remote *remote, const FrameHeader *header, Slice body) {
    if (asking(remote)) {
        on_greeting(remote, header, body);
        return;
    }
    int r = link_take(remote->link, header);
    if (r < 0) {
        log_warn("node %s breaks the rules of its link: %s", remote->address, error_text(r));
        way_lost(remote);
    }
    if (r != 0)
        return;
    if (peer_node(header->source) != remote->index) {
        log_warn("a frame that does not come from node %u was dropped", remote->index);
        return;
    }
    route_in(remote->raylet, NULL, header, body);
}

static void on_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    UNUSED(frames);
    way_take(ctx, &frame->header, frame->body);
}

static void on_closed(void *ctx, FrameConn *frames, int r) {
    Remote *remote = ctx;
    UNUSED(frames);
    if (remote->way == WAY_DIALLED)
        not_direct(remote, r < 0 ? error_text(r) : "it closed the connection");
    else
        way_lost(remote);
}

static const FrameEvents remote_events = { .frame = on_frame, .closed = on_closed };

/* ---- we ask ----------------------------------------------------------------------------------------- */

static void say_hello(Remote *remote) {
    const Raylet *raylet = remote->raylet;
    _cleanup_buf_ Buf body = { 0 };
    upstream_hello(raylet, remote->link, &body);
    FrameHeader header = { .type = MSG_HELLO, .flags = FRAME_CALL, .source = raylet->self };
    say(remote, remote->frames, remote->way_name, &header, &body);
    loop_timer_after(remote->timer, ASK_WAIT);
}

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    UNUSED(ctx); /* until its FrameConn takes over, at once, nothing can come */
    UNUSED(stream);
    UNUSED(event);
}

static bool dial(Remote *remote) {
    Raylet *raylet = remote->raylet;
    NetAddress address;
    Stream *stream;
    int r = net_address_parse(remote->address, &address);
    if (r == 0)
        r = stream_connect(raylet->loop, &address, DIAL_TIMEOUT, on_stream, NULL, &stream);
    if (r < 0)
        return false;
    stream_set_output_marks(stream, 4 << 20, (size_t)1 << 30);
    remote->frames = frame_conn_new(stream, &remote_events, remote);
    remote->way = WAY_DIALLED;
    say_hello(remote);
    return true;
}

static void ask_by_gcs(Remote *remote) {
    if (!remote->raylet->gcs.registered) {
        loop_timer_after(remote->timer, RETRY_MAX);
        return;
    }
    remote->way = WAY_ASKED;
    mem_random(&remote->way_name, sizeof(remote->way_name));
    say_hello(remote);
}

static void way_ask(Remote *remote) {
    usec_t now = loop_now(remote->raylet->loop);
    if (now >= remote->direct_at) {
        if (dial(remote))
            return;
        remote->direct_at = now + DIRECT_MIN;
    }
    ask_by_gcs(remote);
}

static void on_timer(void *ctx) {
    Remote *remote = ctx;
    if (remote->way == WAY_DIALLED)
        not_direct(remote, "it does not answer");
    else if (remote->way == WAY_ASKED)
        way_lost(remote);
    else if (remote->way == WAY_GCS && link_bytes(remote->link) > 0)
        look(remote);
    else if (remote->way == WAY_NONE && link_bytes(remote->link) > 0)
        way_ask(remote);
}

void way_wanted(Remote *remote) {
    if (remote->way == WAY_NONE && !loop_timer_armed(remote->timer))
        way_ask(remote);
    if (remote->way == WAY_GCS && loop_now(remote->raylet->loop) >= remote->direct_at) {
        way_leave(remote);
        way_ask(remote);
    }
    if (remote->way == WAY_GCS)
        look_later(remote);
}

/* ---- they ask ------------------------------------------------------------------------------------- */

static void refuse(Remote *remote, FrameConn *frames, uint32_t name, const FrameHeader *hello,
                   StatusCode code, const char *text) {
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader header = rpc_answer_status(hello, code, text, &body);
    say(remote, frames, name, &header, &body);
}

static void welcome(Remote *remote, FrameConn *frames, uint32_t name, const FrameHeader *hello) {
    LinkHello ours = link_hello(remote->link);
    Welcome message = { .version = WIRE_VERSION_HIGH,
                        .node = remote->raylet->id,
                        .link = ours.id,
                        .link_other = ours.other,
                        .link_received = ours.received };
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&message, &body);
    FrameHeader header = rpc_answer_header(hello, MSG_WELCOME, &body);
    header.source = remote->raylet->self;
    say(remote, frames, name, &header, &body);
}

/* `frames`: where it came on; NULL: through gcs. False: it was refused. */
static bool way_answer(Remote *remote, FrameConn *frames, uint32_t name, const FrameHeader *hello,
                       const LinkHello *theirs) {
    int r = link_match(remote->link, theirs);
    if (r == 1)
        r = error_origin(-EPROTO, "this is not the link that was");
    if (r < 0) {
        log_warn("node %s asks in vain: %s", remote->address, error_text(r));
        refuse(remote, frames, name, hello, STATUS_CODE_INVALID, error_text(r));
        return false;
    }
    if (asking(remote) && peer_node(remote->raylet->self) < remote->index) {
        refuse(remote, frames, name, hello, STATUS_CODE_BUSY, "you are being asked");
        return false;
    }
    way_leave(remote);
    welcome(remote, frames, name, hello);
    remote->frames = frames;
    remote->way_name = name;
    if (frames)
        frame_conn_set_ctx(frames, &remote_events, remote);
    way_is(remote, frames ? WAY_DIRECT : WAY_GCS, theirs);
    return true;
}

/* Whose it is turns out by its Hello, and by what gcs tells of that node. */
typedef struct Incoming {
    Raylet *raylet;
    FrameConn *frames;
    LoopTask *task; /* becoming a Remote's, or closing, outside of its own callback */
    NodeId node;
    FrameHeader hello;
    LinkHello theirs;
    bool refused;
    List link;
} Incoming;

static void incoming_free(Incoming *incoming) {
    list_remove(&incoming->link);
    frame_conn_free(incoming->frames);
    loop_task_free(incoming->task);
    free(incoming);
}

static void incoming_close(Incoming *incoming) {
    frame_conn_free_later(TAKE(incoming->frames), USEC_PER_SEC);
    incoming_free(incoming);
}

static void incoming_decide(void *ctx) {
    Incoming *incoming = ctx;
    if (incoming->refused) {
        incoming_close(incoming);
        return;
    }
    Remote *remote = peers_get(incoming->raylet, &incoming->node);
    if (!remote)
        return;
    if (!way_answer(remote, incoming->frames, 0, &incoming->hello, &incoming->theirs)) {
        incoming_close(incoming);
        return;
    }
    FrameConn *frames = TAKE(incoming->frames);
    stream_set_deadline(frame_conn_stream(frames), USEC_INFINITY);
    frame_conn_pause(frames, false);
    incoming_free(incoming);
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
        incoming->theirs = (LinkHello){ hello.link, hello.link_other, hello.link_received };
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
                                             .closed = on_incoming_closed,
                                             .check = frame_check_first };

static void on_accept(void *ctx, Stream *stream) {
    Raylet *raylet = ctx;
    Incoming *incoming = mem_new(Incoming);
    incoming->raylet = raylet;
    incoming->task = loop_task_new(raylet->loop, incoming_decide, incoming);
    list_push(&raylet->incoming, &incoming->link);
    stream_set_deadline(stream, loop_deadline(raylet->loop, HELLO_WAIT));
    stream_set_output_marks(stream, 4 << 20, (size_t)1 << 30);
    incoming->frames = frame_conn_new(stream, &incoming_events, incoming);
}

int ways_listen(Raylet *raylet, const NetAddress *address) {
    return listener_new(raylet->loop, address, CONNECTIONS_MAX, on_accept, raylet,
                        &raylet->peer_listener);
}

void ways_nodes_known(Raylet *raylet) {
    LIST_EACH(item, &raylet->incoming)
        loop_task_arm(LIST_ITEM(item, Incoming, link)->task);
}

/* ---- through gcs ------------------------------------------------------------------------------------ */

void ways_on_frame(Raylet *raylet, const FrameHeader *outer, Slice body) {
    _cleanup_arena_ Arena arena = { 0 };
    LinkFrame message;
    Hello hello;
    Remote *remote = peers_of(raylet, outer->source);
    if (!remote || link_frame_decode(&message, body.data, body.len, &arena) < 0 ||
        message.frame.len < FRAME_HEADER_SIZE)
        return;
    FrameHeader header = frame_unpack(message.frame.data);
    Slice inner = { message.frame.data + FRAME_HEADER_SIZE, message.frame.len - FRAME_HEADER_SIZE };
    if (header.length != inner.len || header.type == MSG_LINK_FRAME || frame_check(&header) < 0) {
        log_warn("a frame of node %s was dropped: it breaks the rules", remote->address);
        return;
    }
    if (header.type == MSG_HELLO) {
        if (hello_decode(&hello, inner.data, inner.len, &arena) == 0)
            (void)way_answer(remote, NULL, outer->stream, &header,
                             &(LinkHello){ hello.link, hello.link_other, hello.link_received });
        return;
    }
    bool ours = remote->way == WAY_ASKED || remote->way == WAY_GCS;
    if (ours && remote->way_name == outer->stream) /* else of a way that was left */
        way_take(remote, &header, inner);
}

void ways_gcs_lost(Raylet *raylet) {
    Remote *remote;
    MAP_EACH(&raylet->remotes, pos, remote)
        if (remote->way == WAY_ASKED || remote->way == WAY_GCS)
            way_lost(remote);
}

/* ---- life ------------------------------------------------------------------------------------------- */

static uint64_t on_link_progress(void *ctx) {
    const Remote *remote = ctx;
    const FrameConn *gcs = remote->raylet->gcs.frames;
    if (remote->way == WAY_DIRECT)
        return frame_progress(remote->frames);
    return remote->relayed + (gcs ? frame_progress(gcs) : 0);
}

static void on_link_stalled(void *ctx) {
    Remote *remote = ctx;
    log_warn("nothing moves on the way to node %s: another one is looked for", remote->address);
    way_lost(remote);
}

static void on_link_acknowledged(void *ctx) {
    const Remote *remote = ctx;
    locals_go_on(remote->raylet, remote_peer(remote));
}

/* It would be waited for for ever. */
static void on_link_full(void *ctx) {
    Remote *remote = ctx;
    NodeUnreachable message = { .node = remote->sched.id,
                                .reason = SLICE("it does not take what other nodes send to it") };
    _cleanup_buf_ Buf body = { 0 };
    node_unreachable_encode(&message, &body);
    upstream_tell(remote->raylet, MSG_NODE_UNREACHABLE, &body);
}

static const LinkEvents link_events = { .send = on_link_send,
                                        .progress = on_link_progress,
                                        .stalled = on_link_stalled,
                                        .acknowledged = on_link_acknowledged,
                                        .full = on_link_full };

void way_init(Remote *remote) {
    remote->link = link_new(remote->raylet->loop, LINK_BYTES_MAX, &link_events, remote);
    remote->timer = loop_timer_new(remote->raylet->loop, on_timer, remote);
}

void way_done(Remote *remote) {
    look_forget(remote);
    frame_conn_free(remote->frames);
    link_free(remote->link);
    loop_timer_free(remote->timer);
}

void ways_done(Raylet *raylet) {
    raylet->peer_listener = listener_free(raylet->peer_listener);
    LIST_EACH_SAFE(item, &raylet->incoming)
        incoming_free(LIST_ITEM(item, Incoming, link));
}
