/* SPDX-License-Identifier: Apache-2.0 */

/* kubectl port-forward: one connection to the pod's own loopback, over a WebSocket of plain bytes. */

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "local/agent_endpoint_private.h"

#define LINGER USEC_PER_SEC

static const char *const protocols[] = { "v1.bytes.mobula.io", NULL };

typedef struct ForwardSession {
    EndpointSession base;
    AgentEndpoint *endpoint;
    AgentPod *pod; /* while the socket is asked for */
    uint64_t id;
    uint16_t port;
    WebSocket *ws;
    int fd; /* connecting */
    LoopFd *watch;
    Stream *stream;
    Buf early; /* what came before the connection stood */
    bool early_end, sent_end;
} ForwardSession;

enum {
    EARLY_MAX = 1024 * 1024
};

static void session_free(ForwardSession *session) {
    list_remove(&session->base.all);
    if (session->pod)
        agent_pod_socket_cancel(session->pod, session->id);
    loop_fd_free(session->watch);
    fd_close(session->fd);
    stream_free(session->stream);
    websocket_free(session->ws);
    buf_done(&session->early);
    mem_free(session);
}

static void session_drop(EndpointSession *base) {
    session_free(CONTAINER_OF(base, ForwardSession, base));
}

static void fail(ForwardSession *session, const char *why) {
    websocket_close(session->ws, WEBSOCKET_INTERNAL, why);
}

static void push(ForwardSession *session) {
    Slice data = stream_input(session->stream);
    if (!data.len || websocket_congested(session->ws)) {
        stream_pause(session->stream, data.len > 0);
        return;
    }
    websocket_send(session->ws, WEBSOCKET_BINARY, data);
    stream_consume(session->stream, data.len);
}

static void stream_event(void *ctx, Stream *stream, StreamEvent event) {
    UNUSED(stream);
    ForwardSession *session = ctx;
    if (event == STREAM_DATA) {
        push(session);
    } else if (event == STREAM_DRAINED) {
        websocket_pause(session->ws, false);
    } else if (event == STREAM_EOF && !session->sent_end) {
        push(session);
        session->sent_end = true;
        websocket_send(session->ws, WEBSOCKET_BINARY, (Slice){ "", 0 });
    } else if (event == STREAM_FAILED) {
        fail(session, stream_error_text(session->stream));
    }
}

static void connected(ForwardSession *session) {
    int r =
        stream_new(session->endpoint->loop, session->fd, stream_event, session, &session->stream);
    session->fd = -1;
    if (r < 0) {
        fail(session, error_text(r));
        return;
    }
    stream_write(session->stream, session->early.data, session->early.len);
    buf_done(&session->early);
    if (session->early_end)
        stream_shutdown(session->stream);
}

static void connect_ready(void *ctx, unsigned events) {
    UNUSED(events);
    ForwardSession *session = ctx;
    int error = 0;
    socklen_t len = sizeof(error);
    session->watch = loop_fd_free(session->watch);
    if (getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
        _cleanup_free_ char *why =
            str_printf("dial tcp4 127.0.0.1:%u: connect: %s", session->port, strerror(error));
        session->fd = fd_close(session->fd);
        fail(session, why);
        return;
    }
    connected(session);
}

/* A fresh socket of the pod's network: connected to its loopback from here. */
static void socket_came(void *ctx, int fd) {
    ForwardSession *session = ctx;
    session->pod = NULL;
    session->fd = fd;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(session->port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
        fail(session, fd < 0 ? "the pod has ended" : strerror(errno));
        return;
    }
    int r = loop_fd_new(session->endpoint->loop, fd, LOOP_WRITABLE, connect_ready, session,
                        &session->watch);
    if (r < 0)
        fail(session, error_text(r));
}

static void ws_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    UNUSED(kind);
    ForwardSession *session = ctx;
    if (!session->stream) {
        session->early_end |= !data.len;
        buf_add(&session->early, data.data, data.len);
        if (session->early.len > EARLY_MAX)
            websocket_pause(ws, true);
        return;
    }
    if (!data.len) {
        stream_shutdown(session->stream);
        return;
    }
    stream_write(session->stream, data.data, data.len);
    if (stream_congested(session->stream))
        websocket_pause(ws, true);
}

static void ws_drained(void *ctx, WebSocket *ws) {
    UNUSED(ws);
    ForwardSession *session = ctx;
    if (!session->stream)
        return;
    stream_pause(session->stream, false);
    push(session);
}

static void ws_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    UNUSED(ws);
    UNUSED(code);
    UNUSED(reason);
    ForwardSession *session = ctx;
    if (session->stream)
        stream_free_later(TAKE(session->stream), LINGER);
    session_free(session);
}

static const WebSocketEvents ws_events = { .message = ws_message,
                                           .drained = ws_drained,
                                           .closed = ws_closed };

void endpoint_forward(void *ctx, HttpRequest *request) {
    AgentEndpoint *endpoint = ctx;
    const char *container, *text = http_query_get(http_request_query(request), "port");
    int64_t port;
    AgentPod *pod = endpoint_pod(endpoint, request, &container);
    if (!pod)
        return;
    if (!text || str_to_i64(text, &port) < 0 || port < 1 || port > UINT16_MAX) {
        http_respond_text(request, 400, "port must be a number from 1 to 65535");
        return;
    }
    ForwardSession *session = mem_new(ForwardSession);
    *session = (ForwardSession){
        .base = { .free = session_drop }, .endpoint = endpoint, .port = (uint16_t)port, .fd = -1
    };
    list_push(&endpoint->sessions, &session->base.all);
    int r = agent_pod_socket(pod, socket_came, session, &session->id);
    if (r < 0) {
        session_free(session);
        http_respond_error(request, r);
        return;
    }
    session->pod = pod;
    if (websocket_accept(request, protocols, NULL, &ws_events, session, &session->ws) != 0)
        session_free(session);
}
