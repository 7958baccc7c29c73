/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/server.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "net/frame.h"
#include "net/listener.h"

enum {
    CONNECTIONS_MAX = 70000, /* raylets, dashboards, command lines */
    OUTPUT_HARD = 1 << 30,
    STORE_RESERVE = 4 << 20, /* of the disk; the session's logs and packages lie on it too */
};
#define HELLO_TIMEOUT (10 * USEC_PER_SEC)
#define LINGER        (2 * USEC_PER_SEC)

typedef struct ServerConn {
    GcsServer *server;
    GcsConnId id;
    FrameConn *frames;
    LoopTask *close_task; /* closing happens outside of the frame callback */
} ServerConn;

struct GcsServer {
    Loop *loop;
    Kv *kv;
    Gcs *gcs;
    Listener *listener, *local;
    Map conns; /* GcsConnId -> ServerConn */
    GcsConnId last_id;
    void (*broken)(void *ctx, int r);
    void *ctx;
};

static void conn_free(ServerConn *conn) {
    frame_conn_free(conn->frames);
    loop_task_free(conn->close_task);
    free(conn);
}

static void conn_remove(ServerConn *conn) {
    map_remove(&conn->server->conns, &conn->id);
    conn_free(conn);
}

static void on_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    ServerConn *conn = ctx;
    UNUSED(frames);
    gcs_frame(conn->server->gcs, conn->id, &frame->header, frame->body);
}

static void on_closed(void *ctx, FrameConn *frames, int r) {
    ServerConn *conn = ctx;
    if (r < 0)
        log_debug("a connection broke: %s", error_text(r));
    gcs_disconnected(conn->server->gcs, conn->id);
    conn_remove(conn);
}

static const FrameEvents frame_events = { .frame = on_frame, .closed = on_closed };

static void on_first_frame(void *ctx, FrameConn *frames, FrameIn *frame) {
    stream_set_deadline(frame_conn_stream(frames), USEC_INFINITY);
    frame_conn_set_ctx(frames, &frame_events, ctx);
    on_frame(ctx, frames, frame);
}

static const FrameEvents first_events = { .frame = on_first_frame,
                                          .closed = on_closed,
                                          .check = frame_check_first };

static void close_later(void *ctx) {
    ServerConn *conn = ctx;
    frame_conn_free_later(TAKE(conn->frames), LINGER);
    gcs_disconnected(conn->server->gcs, conn->id);
    conn_remove(conn);
}

static void on_accept(void *ctx, Stream *stream) {
    GcsServer *server = ctx;
    ServerConn *conn = mem_new(ServerConn);
    conn->server = server;
    conn->id = ++server->last_id;
    conn->close_task = loop_task_new(server->loop, close_later, conn);
    stream_set_deadline(stream, loop_deadline(server->loop, HELLO_TIMEOUT));
    stream_set_output_marks(stream, 1 << 20, OUTPUT_HARD);
    conn->frames = frame_conn_new(stream, &first_events, conn);
    map_put(&server->conns, &conn->id, conn);
    gcs_connected(server->gcs, conn->id);
}

/* The folder lets no others in; that may change, this may not. */
static void on_accept_local(void *ctx, Stream *stream) {
    pid_t pid;
    int r = stream_peer_pid(stream, &pid);
    if (r < 0) {
        log_warn("a connection was refused: %s", error_text(r));
        stream_free(stream);
        return;
    }
    on_accept(ctx, stream);
}

static void port_send(void *ctx, GcsConnId id, const FrameHeader *header, Slice body) {
    GcsServer *server = ctx;
    ServerConn *conn = map_get(&server->conns, &id);
    if (conn && conn->frames)
        frame_send(conn->frames, header, body);
}

static void port_close(void *ctx, GcsConnId id) {
    GcsServer *server = ctx;
    ServerConn *conn = map_get(&server->conns, &id);
    if (conn)
        loop_task_arm(conn->close_task);
}

static uint64_t port_progress(void *ctx, GcsConnId id) {
    const GcsServer *server = ctx;
    const ServerConn *conn = map_get(&server->conns, &id);
    return conn && conn->frames ? frame_progress(conn->frames) : 0;
}

static uint64_t port_arriving(void *ctx, GcsConnId id) {
    const GcsServer *server = ctx;
    const ServerConn *conn = map_get(&server->conns, &id);
    return conn && conn->frames ? frame_arriving(conn->frames) : 0;
}

static void port_broken(void *ctx, int r) {
    GcsServer *server = ctx;
    log_error("the store failed, nothing can be promised any more: %s", error_text(r));
    server->broken(server->ctx, r);
}

int gcs_server_new(Loop *loop, const GcsServerOptions *options, GcsServer **ret_server) {
    _cleanup_(gcs_server_freep) GcsServer *server = mem_new(GcsServer);
    server->loop = loop;
    server->broken = options->broken;
    server->ctx = options->ctx;
    map_init(&server->conns, sizeof(GcsConnId));
    KvOptions kv_options = { .path = options->store,
                             .always_sync = options->durable,
                             .reserve = STORE_RESERVE };
    int r = kv_open(loop, &kv_options, &server->kv);
    if (r < 0)
        return r;
    GcsPort port = { .ctx = server,
                     .send = port_send,
                     .close = port_close,
                     .progress = port_progress,
                     .arriving = port_arriving,
                     .broken = port_broken };
    r = gcs_new(loop, server->kv, &options->gcs, &port, &server->gcs);
    if (r < 0)
        return r;
    r = listener_new(loop, &options->listen, CONNECTIONS_MAX, on_accept, server, &server->listener);
    if (r == 0 && options->local.len)
        r = listener_new(loop, &options->local, CONNECTIONS_MAX, on_accept_local, server,
                         &server->local);
    if (r < 0)
        return r;
    *ret_server = TAKE(server);
    return 0;
}

const NetAddress *gcs_server_address(const GcsServer *server) {
    return listener_address(server->listener);
}

GcsServer *gcs_server_free(GcsServer *server) {
    if (!server)
        return NULL;
    listener_free(server->listener);
    listener_free(server->local);
    server->kv = kv_close(server->kv);
    gcs_free(TAKE(server->gcs));
    ServerConn *conn;
    MAP_EACH(&server->conns, pos, conn)
        conn_free(conn);
    map_done(&server->conns);
    free(server);
    return NULL;
}
