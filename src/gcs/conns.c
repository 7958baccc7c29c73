/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "gcs/gcs_private.h"

/*
 * Connections. That of a dashboard or command line ends when it breaks. A raylet's only loses its
 * carrier: what it is sent is kept (net/link.h), and goes on when the raylet has dialled again, until its
 * node is dead.
 */

static const LinkEvents link_events;

static void conn_free(GcsConn *conn) {
    Gcs *gcs = conn->gcs;
    map_remove(&gcs->conns, &conn->id);
    if (map_get(&gcs->links, &conn->link_name) == conn)
        map_remove(&gcs->links, &conn->link_name);
    if (conn->peer) {
        map_remove(&gcs->direct, &conn->peer);
        pubsub_peer_dead(gcs, conn->peer);
        actors_peer_dead(gcs, &(PeerDead){ .peer = conn->peer });
    }
    link_free(conn->link);
    free(conn);
}

static void carrier_set(GcsConn *conn, GcsConnId carrier) {
    conn->carrier = carrier;
    map_put(&conn->gcs->carriers, &conn->carrier, conn);
}

static GcsConnId carrier_take(GcsConn *conn) {
    GcsConnId carrier = conn->carrier;
    if (carrier)
        map_remove(&conn->gcs->carriers, &carrier);
    conn->carrier = 0;
    if (conn->link)
        link_down(conn->link);
    return carrier;
}

static void carrier_lost(GcsConn *conn) {
    carrier_take(conn);
    if (conn->node)
        nodes_on_away(conn->gcs, conn);
    else
        conn_free(conn);
}

void gcs_connected(Gcs *gcs, GcsConnId id) {
    GcsConn *conn = mem_new(GcsConn);
    conn->gcs = gcs;
    conn->id = ++gcs->last_conn;
    map_put(&gcs->conns, &conn->id, conn);
    carrier_set(conn, id);
}

void gcs_disconnected(Gcs *gcs, GcsConnId id) {
    GcsConn *conn = map_get(&gcs->carriers, &id);
    if (conn)
        carrier_lost(conn);
}

void conn_close(GcsConn *conn) {
    if (conn->carrier)
        conn->gcs->port.close(conn->gcs->port.ctx, conn->carrier);
    else
        conn_free(conn);
}

GcsConn *conns_to(const Gcs *gcs, PeerId peer) {
    if (peer_node(peer) == 0)
        return map_get(&gcs->direct, &peer);
    GcsNode *node = nodes_by_peer(gcs, peer);
    return node ? node->conn : NULL;
}

/* ---- frames ---- */

static void carrier_send(const GcsConn *conn, const FrameHeader *header, Slice body) {
    if (conn->carrier)
        conn->gcs->port.send(conn->gcs->port.ctx, conn->carrier, header, body);
}

void conn_send(GcsConn *conn, const FrameHeader *header, Slice body) {
    FrameHeader out = *header;
    if (out.source == 0)
        out.source = PEER_GCS;
    if (conn->link)
        link_send(conn->link, &out, body);
    else
        carrier_send(conn, &out, body);
}

bool conn_take(GcsConn *conn, const FrameHeader *header) {
    int r = conn->link ? link_take(conn->link, header) : 0;
    if (r >= 0)
        return r == 0;
    log_warn("a raylet breaks the rules of its link: %s", error_text(r));
    Gcs *gcs = conn->gcs;
    GcsConnId carrier = conn->carrier;
    carrier_lost(conn);
    gcs->port.close(gcs->port.ctx, carrier);
    return false;
}

void conns_on_progress(Gcs *gcs, GcsCall *call) {
    LinkProgress message;
    GCS_DECODE(gcs, call, link_progress_decode, &message);
    const GcsConn *conn = conns_to(gcs, message.peer);
    if (!conn) {
        gcs_reply_status(gcs, call, STATUS_CODE_DEAD, "there is no such node");
        return;
    }
    message.progress = conn->carrier ? gcs->port.progress(gcs->port.ctx, conn->carrier) : 0;
    _cleanup_buf_ Buf body = { 0 };
    link_progress_encode(&message, &body);
    gcs_reply(gcs, call, MSG_LINK_PROGRESS, &body);
}

uint64_t conn_arriving(const GcsConn *conn) {
    return conn->carrier ? conn->gcs->port.arriving(conn->gcs->port.ctx, conn->carrier) : 0;
}

static void on_link_send(void *ctx, NetBytes *frame) {
    FrameHeader header = frame_unpack(frame->data);
    carrier_send(ctx, &header,
                 (Slice){ frame->data + FRAME_HEADER_SIZE, frame->len - FRAME_HEADER_SIZE });
}

static void on_link_acknowledged(void *ctx) {
    GcsConn *conn = ctx;
    if (conn->node && conn->node->conn == conn)
        deaths_acknowledged(conn->gcs, conn->node);
}

static void on_link_full(void *ctx) {
    GcsConn *conn = ctx;
    if (conn->node && conn->node->conn == conn)
        node_die(conn->gcs, conn->node, "it does not take what it is sent");
    else
        conn_close(conn);
}

static const LinkEvents link_events = { .send = on_link_send,
                                        .acknowledged = on_link_acknowledged,
                                        .full = on_link_full };

/* ---- hello ---- */

static void refuse(Gcs *gcs, const GcsCall *call, StatusCode code, const char *text) {
    gcs_reply_status(gcs, call, code, "%s", text);
    gcs->port.close(gcs->port.ctx, call->conn->carrier);
}

static void greet(GcsConn *conn, Role role) {
    conn->role = role;
    conn->peer = peer_make(0, 1, ++conn->gcs->next_direct);
    map_put(&conn->gcs->direct, &conn->peer, conn);
}

static void welcome(GcsConn *conn, const FrameHeader *hello, const LinkHello *theirs) {
    const Gcs *gcs = conn->gcs;
    LinkHello ours = conn->link ? link_hello(conn->link) : (LinkHello){ 0 };
    Welcome message = {
        .version = WIRE_VERSION_HIGH,
        .peer = conn->peer,
        .session_dir = slice_str(gcs->session_dir),
        .session_name = slice_str(gcs->session_name),
        .node_ip = slice_str(gcs->node_ip),
        .dashboard_url = slice_str(gcs->dashboard_url),
        .cluster = gcs->cluster,
        .settings = slice_str(gcs->settings),
        .link = ours.id,
        .link_other = ours.other,
        .link_received = ours.received,
    };
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&message, &body);
    FrameHeader header = rpc_answer_header(hello, MSG_WELCOME, &body);
    header.source = PEER_GCS;
    carrier_send(conn, &header, buf_slice(&body));
    if (conn->link)
        link_up(conn->link, theirs);
}

/* The call's connection becomes the carrier of one that is there already. */
static void go_on(GcsConn *conn, const GcsCall *call, const LinkHello *theirs) {
    Gcs *gcs = conn->gcs;
    FrameHeader hello = *call->header;
    GcsConnId carrier = carrier_take(call->conn), former = carrier_take(conn);
    conn_free(call->conn);
    carrier_set(conn, carrier);
    if (former)
        gcs->port.close(gcs->port.ctx, former);
    if (conn->node)
        nodes_heard(gcs, conn->node);
    welcome(conn, &hello, theirs);
}

static void raylet_hello(Gcs *gcs, GcsCall *call, const LinkHello *theirs) {
    GcsConn *conn = call->conn, *known = map_get(&gcs->links, &theirs->id);
    int r = theirs->id == 0 ? error_origin(-EPROTO, "a raylet of an older release: install the "
                                                    "same on all nodes")
            : known         ? link_match(known->link, theirs)
                            : 1;
    if (r < 0) {
        refuse(gcs, call, STATUS_CODE_INVALID, error_text(r));
        return;
    }
    if (r == 0) {
        go_on(known, call, theirs);
        return;
    }
    greet(conn, ROLE_RAYLET);
    conn->link = link_new(gcs->loop, LINK_BYTES_MAX, &link_events, conn);
    conn->link_name = theirs->id;
    if (known)
        map_remove(&gcs->links, &conn->link_name);
    map_put(&gcs->links, &conn->link_name, conn);
    welcome(conn, call->header, theirs);
}

void conns_on_hello(Gcs *gcs, GcsCall *call) {
    Hello hello;
    GCS_DECODE(gcs, call, hello_decode, &hello);
    if (hello.version_low > WIRE_VERSION_HIGH || hello.version_high < WIRE_VERSION_LOW) {
        _cleanup_free_ char *text =
            str_printf("this cluster speaks protocol versions %d to %d, you speak %u to %u: "
                       "install the same release on all nodes",
                       WIRE_VERSION_LOW, WIRE_VERSION_HIGH, hello.version_low, hello.version_high);
        refuse(gcs, call, STATUS_CODE_UNSUPPORTED, text);
        return;
    }
    if (gcs->token.len && (hello.token.len != gcs->token.len ||
                           !mem_equal_secret(hello.token.data, gcs->token.data, gcs->token.len))) {
        refuse(gcs, call, STATUS_CODE_DENIED,
               "the cluster's token is missing or wrong: set RAY_AUTH_TOKEN or "
               "RAY_AUTH_TOKEN_PATH to the head's token");
        return;
    }
    LinkHello theirs = { hello.link, hello.link_other, hello.link_received };
    if (hello.role == ROLE_RAYLET) {
        raylet_hello(gcs, call, &theirs);
    } else {
        greet(call->conn, (Role)hello.role);
        welcome(call->conn, call->header, &theirs);
    }
}

/* ---- life ---- */

void conns_init(Gcs *gcs) {
    map_init(&gcs->conns, sizeof(uint64_t));
    map_init(&gcs->carriers, sizeof(GcsConnId));
    map_init(&gcs->links, sizeof(uint64_t));
    map_init(&gcs->direct, sizeof(PeerId));
}

void conns_done(Gcs *gcs) {
    GcsConn *conn;
    MAP_EACH(&gcs->conns, pos, conn) {
        link_free(conn->link);
        free(conn);
    }
    map_done(&gcs->conns);
    map_done(&gcs->carriers);
    map_done(&gcs->links);
    map_done(&gcs->direct);
}
