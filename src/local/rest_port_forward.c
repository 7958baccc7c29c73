/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/rest_node.h"
#include "local/spdy.h"
#include "net/websocket.h"

/*
 * pods/portforward: SPDY in the client's WebSocket carries any number of connections, each an
 * error stream and a data stream with the same request id. For each a WebSocket of its own goes to
 * the agent, whose messages are the bytes of one TCP connection inside the pod.
 *
 *     client ==WebSocket(SPDY(data 3, error 1, …))== here --WebSocket(bytes)-- agent -- pod:port
 */

typedef struct Forward Forward;

typedef struct ForwardConn {
    List link;
    Forward *forward;
    char *request_id;
    uint32_t error_stream, data_stream; /* 0: not opened yet */
    WebSocket *agent;
    Buf early;                          /* bytes before the agent is there */
    bool open, early_end;
    bool ended;                         /* nothing more goes to the client */
} ForwardConn;

struct Forward {
    ApiServer *server;
    WebSocket *client;
    Spdy *spdy;
    char *base_url; /* "http://127.0.0.1:PORT/portForward/NS/POD" */
    char *pod;
    List conns;
    size_t conn_count;
};

enum {
    CONNS_MAX = 256,
    EARLY_MAX = 1024 * 1024,
};

static const WebSocketOptions OPTIONS = { .message_max = 4 * 1024 * 1024,
                                          .ping_interval = 30 * USEC_PER_SEC };

static void conn_free(ForwardConn *conn) {
    list_remove(&conn->link);
    conn->forward->conn_count--;
    websocket_free(conn->agent);
    buf_done(&conn->early);
    free(conn->request_id);
    free(conn);
}

static void forward_free(Forward *forward) {
    LIST_EACH_SAFE(item, &forward->conns)
        conn_free(LIST_ITEM(item, ForwardConn, link));
    spdy_free(forward->spdy);
    websocket_free(forward->client);
    free(forward->base_url);
    free(forward->pod);
    free(forward);
}

/* Says goodbye on both streams; `why` is what kubectl prints. */
static void conn_end(ForwardConn *conn, const char *why) {
    Spdy *spdy = conn->forward->spdy;
    Slice nothing = { "", 0 };
    if (conn->data_stream && !conn->ended)
        spdy_data(spdy, conn->data_stream, nothing, true);
    if (conn->error_stream)
        spdy_data(spdy, conn->error_stream, why ? slice_str(why) : nothing, true);
    websocket_pause(conn->forward->client, false); /* it may have waited for this one */
    conn_free(conn);
}

/* The agent's side of one connection. */

static void on_agent_open(void *ctx, WebSocket *ws) {
    ForwardConn *conn = ctx;
    conn->open = true;
    if (conn->early.len > 0)
        websocket_send(ws, WEBSOCKET_BINARY, buf_slice(&conn->early));
    if (conn->early_end)
        websocket_send(ws, WEBSOCKET_BINARY, (Slice){ "", 0 });
    buf_done(&conn->early);
    conn->early = (Buf){ 0 };
}

static void on_agent_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    ForwardConn *conn = ctx;
    if (conn->ended)
        return;
    conn->ended = data.len == 0;
    spdy_data(conn->forward->spdy, conn->data_stream, data, conn->ended);
    if (websocket_congested(conn->forward->client))
        websocket_pause(ws, true);
}

static void on_agent_drained(void *ctx, WebSocket *ws) {
    ForwardConn *conn = ctx;
    websocket_pause(conn->forward->client, false);
}

static void on_agent_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    ForwardConn *conn = ctx;
    if (code == WEBSOCKET_NORMAL || code == WEBSOCKET_NO_CODE) {
        conn_end(conn, NULL);
        return;
    }
    _cleanup_free_ char *why = str_printf("an error occurred forwarding to pod %s: %s",
                                          conn->forward->pod, reason ? reason : "");
    conn_end(conn, why);
}

static const WebSocketEvents AGENT_EVENTS = {
    .open = on_agent_open,
    .message = on_agent_message,
    .drained = on_agent_drained,
    .closed = on_agent_closed,
};

static void conn_dial(ForwardConn *conn, const char *port) {
    static const char *const protocols[] = { "v1.bytes.mobula.io", NULL };
    Forward *forward = conn->forward;
    _cleanup_buf_ Buf url = { 0 };
    buf_add_str(&url, forward->base_url);
    http_query_add(&url, "port", port);
    WebSocketTarget target = { .url = url.data,
                               .bearer = forward->server->agent_token,
                               .protocols = protocols,
                               .timeout = 30 * USEC_PER_SEC };
    int r = websocket_connect(forward->server->loop, &target, &OPTIONS, &AGENT_EVENTS, conn,
                              &conn->agent);
    if (r < 0)
        conn_end(conn, error_text(r));
}

/* SPDY's side. */

static void on_spdy_send(void *ctx, Slice bytes) {
    Forward *forward = ctx;
    websocket_send(forward->client, WEBSOCKET_BINARY, bytes);
}

static ForwardConn *conn_of_request(Forward *forward, const char *request_id) {
    LIST_EACH(item, &forward->conns) {
        ForwardConn *conn = LIST_ITEM(item, ForwardConn, link);
        if (str_eq(conn->request_id, request_id))
            return conn;
    }
    if (forward->conn_count >= CONNS_MAX)
        return NULL;
    ForwardConn *conn = mem_new(ForwardConn);
    conn->forward = forward;
    conn->request_id = str_dup(request_id);
    list_init(&conn->link);
    list_push(&forward->conns, &conn->link);
    forward->conn_count++;
    return conn;
}

static ForwardConn *conn_of_stream(Forward *forward, uint32_t stream) {
    LIST_EACH(item, &forward->conns) {
        ForwardConn *conn = LIST_ITEM(item, ForwardConn, link);
        if (conn->data_stream == stream || conn->error_stream == stream)
            return conn;
    }
    return NULL;
}

static bool is_port(const char *text) {
    int64_t port;
    return text && str_to_i64(text, &port) == 0 && port > 0 && port < 65536;
}

static void on_spdy_opened(void *ctx, uint32_t stream, const HttpHeaders *headers, bool ends) {
    Forward *forward = ctx;
    const char *type = http_headers_get(headers, "streamtype");
    const char *port = http_headers_get(headers, "port");
    const char *id = http_headers_get(headers, "requestid");
    bool is_data = str_eq(type, "data");
    ForwardConn *conn = id && is_port(port) && (is_data || str_eq(type, "error"))
                            ? conn_of_request(forward, id)
                            : NULL;
    if (!conn || (is_data ? conn->data_stream : conn->error_stream)) {
        spdy_reset(forward->spdy, stream);
        return;
    }
    spdy_reply(forward->spdy, stream);
    if (!is_data) {
        conn->error_stream = stream;
        return;
    }
    conn->data_stream = stream;
    conn->early_end = ends;
    conn_dial(conn, port);
}

static void on_spdy_data(void *ctx, uint32_t stream, Slice data, bool ends) {
    Forward *forward = ctx;
    ForwardConn *conn = conn_of_stream(forward, stream);
    if (!conn || conn->data_stream != stream)
        return; /* the error stream's end says nothing */
    if (!conn->open) {
        buf_add(&conn->early, data.data, data.len);
        conn->early_end |= ends;
        if (conn->early.len > EARLY_MAX)
            conn_end(conn, "the pod does not take what is sent");
        return;
    }
    if (data.len > 0)
        websocket_send(conn->agent, WEBSOCKET_BINARY, data);
    if (ends)
        websocket_send(conn->agent, WEBSOCKET_BINARY, (Slice){ "", 0 });
    if (websocket_congested(conn->agent))
        websocket_pause(forward->client, true);
}

static void on_spdy_reset(void *ctx, uint32_t stream) {
    Forward *forward = ctx;
    ForwardConn *conn = conn_of_stream(forward, stream);
    if (!conn || conn->data_stream != stream)
        return;
    conn->ended = true;
    conn_end(conn, NULL);
}

static const SpdyEvents SPDY_EVENTS = {
    .send = on_spdy_send,
    .opened = on_spdy_opened,
    .data = on_spdy_data,
    .reset = on_spdy_reset,
};

/* The client's WebSocket. */

static void on_client_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    Forward *forward = ctx;
    int r = spdy_feed(forward->spdy, data);
    if (r < 0)
        websocket_close(ws, WEBSOCKET_PROTOCOL_ERROR, error_text(r));
}

static void on_client_drained(void *ctx, WebSocket *ws) {
    Forward *forward = ctx;
    LIST_EACH(item, &forward->conns) {
        ForwardConn *conn = LIST_ITEM(item, ForwardConn, link);
        if (conn->agent)
            websocket_pause(conn->agent, false);
    }
}

static void on_client_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    forward_free(ctx);
}

static const WebSocketEvents CLIENT_EVENTS = {
    .message = on_client_message,
    .drained = on_client_drained,
    .closed = on_client_closed,
};

static void accept_client(Rest *rest, const char *agent) {
    static const char *const protocols[] = { "SPDY/3.1+portforward.k8s.io", NULL };
    _cleanup_free_ char *ns = http_encode(rest->call.ns, false);
    _cleanup_free_ char *pod = http_encode(rest->call.name, false);
    _cleanup_free_ char *base_url = str_printf("%s/portForward/%s/%s", agent, ns, pod);
    if (http_headers_has_token(http_request_headers(rest->http), "Sec-WebSocket-Protocol",
                               "v4.channel.k8s.io")) {
        rest_port_channels(rest, base_url);
        return;
    }
    Forward *forward = mem_new(Forward);
    forward->server = rest->server;
    forward->base_url = TAKE(base_url);
    forward->pod = str_dup(rest->call.name);
    forward->spdy = spdy_new(&SPDY_EVENTS, forward);
    list_init(&forward->conns);
    int r = websocket_accept(rest->http, protocols, &OPTIONS, &CLIENT_EVENTS, forward,
                             &forward->client);
    rest_free(rest);
    if (r != 0)
        forward_free(forward);
}

void rest_port_forward(Rest *rest) {
    ApiCall *call = &rest->call;
    Object *object = api_find(call);
    _cleanup_json_ json_t *pod = object ? object_value(object) : NULL;
    _cleanup_free_ char *agent = NULL;
    int r = 0;
    if (!pod)
        r = status_not_found(&call->status, api_subject(call), call->name);
    else if (!str_eq(json_str_at(pod, "status", "phase"), "Running"))
        r = status_bad_request(&call->status,
                               "unable to forward port because pod is not running. Current "
                               "status=%s",
                               json_str_at(pod, "status", "phase"));
    if (r == 0)
        r = agent_url(call, pod, &agent);
    if (r == 0 && !websocket_requested(rest->http))
        r = status_bad_request(&call->status,
                               "Upgrade request required: a WebSocket with "
                               "SPDY/3.1+portforward.k8s.io (plain SPDY is not spoken here)");
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    accept_client(rest, agent);
}
