/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * The connection to gcs: dialled until it is there, hello, registration, then keep-alives, and a
 * report whenever what this node has to offer or waits for has changed. A connection that broke
 * goes on where it did (net/link.h); a gcs that began anew is registered with again, and asked again what
 * the former one has not answered (resend.c).
 */

#define DIAL_TIMEOUT    (5 * USEC_PER_SEC)
#define WELCOME_WAIT    (5 * USEC_PER_SEC)
#define RETRY_MAX       (1 * USEC_PER_SEC)
#define GIVE_UP_AFTER   (60 * USEC_PER_SEC)
#define REPORT_INTERVAL (10 * USEC_PER_MSEC)

static void report(void *ctx);

/* ---- sending ---- */

/* gcs picks a node by what it knows; who asks gave its idle leases back for it just before. */
static bool is_placed_by_gcs(const FrameHeader *header) {
    return header->type == MSG_ACTOR_CREATE || header->type == MSG_GROUP_CREATE;
}

static void hold(Upstream *gcs, const FrameHeader *header, Slice body) {
    if (gcs->held.len + FRAME_HEADER_SIZE + body.len > RAYLET_HELD_BYTES) {
        log_warn("a frame for gcs was dropped: too much waits for it already");
        return;
    }
    FrameHeader held = *header;
    held.length = (uint32_t)body.len;
    buf_add(&gcs->held, &held, sizeof(held));
    buf_add(&gcs->held, body.data, body.len);
}

void upstream_send(Raylet *raylet, const FrameHeader *header, Slice body) {
    Upstream *gcs = &raylet->gcs;
    if (gcs->freed && is_placed_by_gcs(header))
        report(raylet);
    if (!resend_keep(raylet, header, body)) {
        raylet_reply_status(raylet, header, STATUS_CODE_FULL,
                            "too many processes of this node wait for gcs' news already");
        return;
    }
    if (gcs->registered)
        link_send(gcs->link, header, body);
    else if (!(header->flags & FRAME_CALL) && !raylet->ending) /* a call is sent by resend_all() */
        hold(gcs, header, body);
}

bool upstream_crowded(const Raylet *raylet, unsigned part) {
    const Upstream *gcs = &raylet->gcs;
    return link_bytes(gcs->link) >= RAYLET_CROWDED / part ||
           gcs->held.len >= RAYLET_HELD_BYTES / 2 / part || resend_crowded(raylet, part);
}

bool upstream_connected(const Raylet *raylet) {
    return raylet->gcs.registered && link_is_up(raylet->gcs.link);
}
static void send_held(Raylet *raylet) {
    Upstream *gcs = &raylet->gcs;
    size_t at = 0;
    while (at < gcs->held.len) {
        FrameHeader header = frame_unpack(gcs->held.data + at);
        at += FRAME_HEADER_SIZE;
        link_send(gcs->link, &header, (Slice){ gcs->held.data + at, header.length });
        at += header.length;
    }
    buf_done(&gcs->held);
    locals_go_on(raylet, PEER_GCS);
}

static void on_told(void *argument, const RpcReply *reply) {
    UNUSED(argument);
    UNUSED(reply);
}

void upstream_tell(Raylet *raylet, MessageType type, const Buf *body) {
    raylet_call(raylet, PEER_GCS, type, body, USEC_INFINITY, on_told, NULL);
}

void upstream_peer_dead(Raylet *raylet, const PeerDead *dead) {
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(dead, &body);
    upstream_tell(raylet, MSG_PEER_DEAD, &body);
    if (dead->role != ROLE_DRIVER)
        return;
    Job *job;
    MAP_EACH(&raylet->jobs, pos, job) {
        if (job->driver != dead->peer)
            continue;
        JobFinish finish = { .job = job->id };
        _cleanup_buf_ Buf text = { 0 };
        job_finish_encode(&finish, &text);
        upstream_tell(raylet, MSG_JOB_FINISH, &text);
    }
}

/* ---- reports ---- */

static void report(void *ctx) {
    Raylet *raylet = ctx;
    Upstream *gcs = &raylet->gcs;
    if (!gcs->registered)
        return;
    gcs->freed = false;
    _cleanup_arena_ Arena arena = { 0 };
    NodeReport message = { .node = raylet->id, .changed = true };
    message.available =
        resources_to_wire_clamped(&raylet->here.available, &arena, &message.available_len);
    message.reserved = resources_to_wire(&raylet->reserved, &arena, &message.reserved_len);
    message.reserved_used =
        resources_to_wire_clamped(&raylet->reserved_used, &arena, &message.reserved_used_len);
    message.demands_len = leases_demands(raylet, &arena, &message.demands);
    _cleanup_buf_ Buf body = { 0 };
    node_report_encode(&message, &body);
    if (slice_eq(buf_slice(&body), buf_slice(&gcs->last_report)))
        return;
    raylet_send(raylet, PEER_GCS, MSG_NODE_REPORT, &body);
    gcs->reported_at = loop_now(raylet->loop);
    buf_clear(&gcs->last_report);
    buf_add(&gcs->last_report, body.data, body.len);
}

void upstream_changed(Raylet *raylet) {
    Upstream *gcs = &raylet->gcs;
    if (gcs->registered && !loop_timer_armed(gcs->report_timer))
        loop_timer_at(gcs->report_timer,
                      MAX(loop_now(raylet->loop), gcs->reported_at + REPORT_INTERVAL));
}

void upstream_report_anew(Raylet *raylet) {
    buf_clear(&raylet->gcs.last_report);
    upstream_changed(raylet);
}

/* ---- registration ---- */

void upstream_hello(const Raylet *raylet, const Link *on, Buf *body) {
    LinkHello link = link_hello(on);
    Hello hello = { .version_low = WIRE_VERSION_LOW,
                    .version_high = WIRE_VERSION_HIGH,
                    .role = ROLE_RAYLET,
                    .token = buf_slice(&raylet->token),
                    .node = raylet->id,
                    .link = link.id,
                    .link_other = link.other,
                    .link_received = link.received };
    hello_encode(&hello, body);
}

static void send_hello(Raylet *raylet) {
    _cleanup_buf_ Buf body = { 0 };
    upstream_hello(raylet, raylet->gcs.link, &body);
    FrameHeader header = { .type = MSG_HELLO, .flags = FRAME_CALL, .destination = PEER_GCS };
    frame_send(raylet->gcs.frames, &header, buf_slice(&body));
}

static void send_registration(Raylet *raylet) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_free_ char *reach = str_printf(
        "%s:%u", raylet->node_ip, net_address_port(listener_address(raylet->peer_listener)));
    NodeRegister message = {
        .info = {
            .node = raylet->id,
            .address = slice_str(reach),
            .ip = slice_str(raylet->node_ip),
            .hostname = slice_str(raylet->hostname),
            .name = slice_str(raylet->node_name),
            .head = raylet->head,
            .raylet_socket = slice_str(raylet->socket_path),
            .agent_port = net_address_port(&raylet->agent_listen),
            .metrics_port = net_address_port(&raylet->metrics_listen),
        },
    };
    NodeInfo *info = &message.info;
    info->total = resources_to_wire(&raylet->here.total, &arena, &info->total_len);
    info->available =
        resources_to_wire_clamped(&raylet->here.available, &arena, &info->available_len);
    info->labels = labels_to_wire(&raylet->here.labels, &arena, &info->labels_len);
    _cleanup_buf_ Buf body = { 0 };
    node_register_encode(&message, &body);
    FrameHeader header = { .type = MSG_NODE_REGISTER,
                           .flags = FRAME_CALL,
                           .destination = PEER_GCS };
    link_send(raylet->gcs.link, &header, buf_slice(&body));
}

/* What the gcs that is no more has not acknowledged: news are told to the new one. Calls are sent again
 * by resend_all(); who was answered, and what was to be passed on, is gone with it. */
static void keep_news(void *ctx, const FrameHeader *header, Slice body) {
    if (!(header->flags & (FRAME_CALL | FRAME_REPLY)) && header->type != MSG_LINK_FRAME)
        hold(ctx, header, body);
}

/* The first word of the cluster: false when it is not to be joined. */
static bool learn_session(Raylet *raylet, const Welcome *welcome) {
    raylet->cluster = welcome->cluster;
    _cleanup_free_ char *name = str_dup_slice(welcome->session_name);
    int r = 0;
    if (!raylet->session.name)
        r = session_open(raylet->temp_dir, name, &raylet->session);
    else if (!str_eq(raylet->session.name, name))
        r = error_origin(-ESTALE, "the head's session is %s, this node was started for %s", name,
                         raylet->session.name);
    if (r < 0) {
        raylet_fail(raylet, r, error_text(r));
        return false;
    }
    raylet->dashboard_url = str_dup_slice(welcome->dashboard_url);
    raylet->settings = str_dup_slice(welcome->settings);
    if (!raylet->socket_path)
        raylet->socket_path =
            str_printf("%s/raylet%s%.8s", raylet->session.sockets, raylet->head ? "" : ".",
                       raylet->head ? "" : raylet->id_hex);
    raylet->joined = true;
    return true;
}

static void back(Raylet *raylet) {
    Upstream *gcs = &raylet->gcs;
    gcs->lost_at = 0;
    gcs->heard_at = loop_now(raylet->loop);
    gcs->retry = 0;
    loop_timer_at(gcs->timer, loop_deadline(raylet->loop, gcs->keepalive));
}

static void on_welcome(Raylet *raylet, const Welcome *welcome) {
    Upstream *gcs = &raylet->gcs;
    if (raylet->joined && memcmp(&raylet->cluster, &welcome->cluster, sizeof(Hash)) != 0) {
        raylet_fail(raylet, -ESTALE, "another cluster answers at the head's address");
        return;
    }
    if (!raylet->joined && !learn_session(raylet, welcome))
        return;
    LinkHello theirs = { welcome->link, welcome->link_other, welcome->link_received };
    int r = link_match(gcs->link, &theirs);
    if (r < 0) {
        raylet_fail(raylet, r, error_text(r));
        return;
    }
    if (r == 1) { /* another process */
        gcs->asked = gcs->registered = false;
        link_reset(gcs->link, keep_news, gcs);
        locals_go_on(raylet, PEER_GCS);
        ways_gcs_lost(raylet);
    }
    stream_set_deadline(frame_conn_stream(gcs->frames), USEC_INFINITY);
    gcs->by_port = false;
    link_up(gcs->link, &theirs);
    if (gcs->registered)
        back(raylet);
    if (!gcs->asked)
        send_registration(raylet);
    gcs->asked = true;
}

static void on_registered(Raylet *raylet, const NodeRegistered *message) {
    Upstream *gcs = &raylet->gcs;
    raylet->self = peer_make(message->index, message->incarnation, 0);
    route_heard(raylet, message->index);
    gcs->registered = true;
    gcs->keepalive = (usec_t)MAX(message->keepalive_ms, 100u) * USEC_PER_MSEC;
    back(raylet);
    buf_clear(&gcs->last_report);
    peers_update(raylet, message->nodes, message->nodes_len);
    bundles_registered(raylet, message->bundles, message->bundles_len);
    actors_registered(raylet, message->actors, message->actors_len);
    resend_all(raylet, gcs->link);
    send_held(raylet);
    upstream_changed(raylet);
    raylet_registered(raylet);
    jobrun_look_for_orphans(raylet);
}

/* Until we are registered every reply is for the handshake; a Welcome comes on each connection. */
static void on_handshake(Raylet *raylet, const FrameHeader *header, Slice body) {
    _cleanup_arena_ Arena arena = { 0 };
    Welcome welcome;
    NodeRegistered registered;
    Status status;
    int r;
    switch (header->type) {
    case MSG_WELCOME:
        r = welcome_decode(&welcome, body.data, body.len, &arena);
        if (r == 0)
            on_welcome(raylet, &welcome);
        break;
    case MSG_NODE_REGISTERED:
        r = node_registered_decode(&registered, body.data, body.len, &arena);
        if (r == 0)
            on_registered(raylet, &registered);
        break;
    case MSG_STATUS:
        r = status_decode(&status, body.data, body.len, &arena);
        if (r == 0)
            r = rpc_status_error(&status);
        break;
    default:
        r = 0;
    }
    if (r < 0)
        raylet_fail(raylet, r, error_text(r));
}

/* ---- the connection ---- */

static void lost(Raylet *raylet) {
    Upstream *gcs = &raylet->gcs;
    gcs->frames = frame_conn_free(gcs->frames);
    gcs->by_port = !gcs->by_port && !link_is_up(gcs->link); /* the other way next time */
    link_down(gcs->link);
    if (gcs->lost_at == 0)
        gcs->lost_at = loop_now(raylet->loop);
    if (loop_now(raylet->loop) - gcs->lost_at > GIVE_UP_AFTER) {
        raylet_fail(raylet, -ETIMEDOUT, "the head could not be reached for a minute");
        return;
    }
    gcs->retry = CLAMP(gcs->retry * 2, 10 * USEC_PER_MSEC, RETRY_MAX);
    loop_timer_after(gcs->timer, gcs->retry);
}

static void on_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    Raylet *raylet = ctx;
    UNUSED(frames);
    if (!link_is_up(raylet->gcs.link)) {
        on_handshake(raylet, &frame->header, frame->body);
        return;
    }
    int r = link_take(raylet->gcs.link, &frame->header);
    if (r < 0) {
        log_warn("gcs breaks the rules of its link: %s", error_text(r));
        lost(raylet);
    }
    if (r != 0)
        return;
    if (frame->header.flags & FRAME_REPLY) {
        resend_answered(raylet, &frame->header);
        locals_go_on(raylet, PEER_GCS);
    }
    if (raylet->gcs.registered && frame->header.type == MSG_LINK_FRAME)
        ways_on_frame(raylet, &frame->header, frame->body);
    else if (raylet->gcs.registered)
        route_in(raylet, NULL, &frame->header, frame->body);
    else if (frame->header.flags & FRAME_REPLY)
        on_handshake(raylet, &frame->header, frame->body);
}

static void on_closed(void *ctx, FrameConn *frames, int r) {
    Raylet *raylet = ctx;
    UNUSED(frames);
    if (upstream_connected(raylet))
        log_warn("the connection to gcs was lost: %s", r < 0 ? error_text(r) : "it closed it");
    lost(raylet);
}

static const FrameEvents frame_events = { .frame = on_frame, .closed = on_closed };

/* A stream without its FrameConn yet never calls back. */
static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    UNUSED(ctx);
    UNUSED(stream);
    UNUSED(event);
}

static int dial_socket(Raylet *raylet, Stream **ret_stream) {
    NetAddress address;
    int r = net_address_unix(raylet->gcs_socket, &address);
    if (r == 0)
        r = stream_connect(raylet->loop, &address, DIAL_TIMEOUT, on_stream, raylet, ret_stream);
    return r;
}

static int dial_port(Raylet *raylet, Stream **ret_stream) {
    _cleanup_free_ char *host = NULL;
    uint16_t port = 0;
    int r = net_address_split(raylet->gcs_address, &host, &port);
    if (r == 0)
        r = stream_connect_host(raylet->loop, host, port, DIAL_TIMEOUT, on_stream, raylet,
                                ret_stream);
    return r;
}

static void dial(Raylet *raylet) {
    Stream *stream;
    bool by_socket = raylet->gcs_socket && !raylet->gcs.by_port;
    int r = by_socket ? dial_socket(raylet, &stream) : dial_port(raylet, &stream);
    if (r < 0) {
        log_warn("gcs can't be dialled: %s", error_text(r));
        lost(raylet);
        return;
    }
    stream_set_output_marks(stream, 1 << 20, (size_t)1 << 30);
    stream_set_deadline(stream, loop_deadline(raylet->loop, WELCOME_WAIT));
    raylet->gcs.frames = frame_conn_new(stream, &frame_events, raylet);
    send_hello(raylet);
}

static void on_link_send(void *ctx, NetBytes *frame) {
    const Raylet *raylet = ctx;
    if (raylet->gcs.frames)
        frame_send_packed(raylet->gcs.frames, frame);
}

static uint64_t on_link_progress(void *ctx) {
    const Raylet *raylet = ctx;
    return raylet->gcs.frames ? frame_progress(raylet->gcs.frames) : 0;
}

static void on_link_acknowledged(void *ctx) {
    locals_go_on(ctx, PEER_GCS);
}

static void on_link_stalled(void *ctx) {
    log_warn("nothing moves on the connection to gcs: it is made anew");
    lost(ctx);
}

static void on_link_full(void *ctx) {
    raylet_fail(ctx, -ENOBUFS, "the head does not take what it is sent");
}

static const LinkEvents link_events = { .send = on_link_send,
                                        .progress = on_link_progress,
                                        .stalled = on_link_stalled,
                                        .acknowledged = on_link_acknowledged,
                                        .full = on_link_full };

static void on_pong(void *argument, const RpcReply *reply) {
    Raylet *raylet = argument;
    if (reply->result >= 0)
        raylet->gcs.heard_at = loop_now(raylet->loop);
}

/* The keep-alive: gcs counts it as a sign of life, its answer is one of gcs. */
static void ping(Raylet *raylet) {
    raylet_call(raylet, PEER_GCS, MSG_PING, NULL, 4 * raylet->gcs.keepalive, on_pong, raylet);
}

static void on_timer(void *ctx) {
    Raylet *raylet = ctx;
    if (!raylet->gcs.frames) {
        dial(raylet);
        return;
    }
    if (upstream_connected(raylet))
        ping(raylet);
    loop_timer_at(raylet->gcs.timer, loop_deadline(raylet->loop, raylet->gcs.keepalive));
}

void upstream_init(Raylet *raylet) {
    Upstream *gcs = &raylet->gcs;
    gcs->link = link_new(raylet->loop, LINK_BYTES_MAX, &link_events, raylet);
    gcs->timer = loop_timer_new(raylet->loop, on_timer, raylet);
    gcs->report_timer = loop_timer_new(raylet->loop, report, raylet);
    gcs->keepalive = 3 * USEC_PER_SEC;
    gcs->lost_at = loop_now(raylet->loop);
    loop_timer_at(gcs->timer, 0);
}

void upstream_done(Raylet *raylet) {
    Upstream *gcs = &raylet->gcs;
    if (upstream_connected(raylet)) {
        NodeDrain bye = { .node = raylet->id, .reason = SLICE("it was stopped") };
        _cleanup_buf_ Buf body = { 0 };
        node_drain_encode(&bye, &body);
        raylet_send(raylet, PEER_GCS, MSG_NODE_DRAIN, &body);
        stream_flush(frame_conn_stream(gcs->frames));
    }
    gcs->frames = frame_conn_free(gcs->frames);
    gcs->link = link_free(gcs->link);
    loop_timer_free(gcs->timer);
    loop_timer_free(gcs->report_timer);
    buf_done(&gcs->held);
    buf_done(&gcs->last_report);
}
