/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/rest_node.h"
#include "net/websocket.h"

/*
 * pods/exec and pods/attach: a WebSocket from the client and one to the agent, both speaking
 * channel.k8s.io, joined message by message. The agent is asked first; what it refuses is said on
 * the error channel, as kube-apiserver does: a refused upgrade would make kubectl try SPDY and show
 * that answer instead. v4 clients have no half-close; the rest is alike.
 */

typedef struct ExecJoin {
    Rest *rest; /* until the client's side is upgraded */
    WebSocket *client, *agent;
} ExecJoin;

static const WebSocketOptions OPTIONS = { .message_max = 4 * 1024 * 1024,
                                          .ping_interval = 30 * USEC_PER_SEC };

static void join_free(ExecJoin *join) {
    websocket_free(join->client);
    websocket_free(join->agent);
    rest_free(join->rest);
    free(join);
}

static void pass(WebSocket *from, WebSocket *to, WebSocketKind kind, Slice data) {
    websocket_send(to, kind, data);
    if (websocket_congested(to))
        websocket_pause(from, true);
}

/* The client's side. */

static void on_client_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    ExecJoin *join = ctx;
    if (join->agent)
        pass(ws, join->agent, WEBSOCKET_BINARY, data);
}

static void on_client_drained(void *ctx, WebSocket *ws) {
    ExecJoin *join = ctx;
    if (join->agent)
        websocket_pause(join->agent, false);
}

static void on_client_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    join_free(ctx);
}

static const WebSocketEvents CLIENT_EVENTS = {
    .message = on_client_message,
    .drained = on_client_drained,
    .closed = on_client_closed,
};

/* False: answered otherwise, and `join` is gone. */
static bool accept_client(ExecJoin *join) {
    static const char *const protocols[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", NULL };
    Rest *rest = join->rest;
    join->rest = NULL;
    int r = websocket_accept(rest->http, protocols, &OPTIONS, &CLIENT_EVENTS, join, &join->client);
    rest_free(rest);
    if (r != 0)
        join_free(join);
    return r == 0;
}

static void refuse_client(ExecJoin *join, const char *why) {
    static const char channel = 3;
    _cleanup_json_ json_t *status = NULL;
    status_internal(&status, "%s", why);
    _cleanup_free_ char *text = json_text(status, 0);
    join->agent = websocket_free(join->agent);
    if (!accept_client(join))
        return;
    websocket_send_prefixed(join->client, WEBSOCKET_BINARY, (Slice){ &channel, 1 },
                            slice_str(text));
    websocket_close(join->client, WEBSOCKET_NORMAL, "");
}

/* The agent's side. */

static void on_agent_open(void *ctx, WebSocket *ws) {
    accept_client(ctx);
}

static void on_agent_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    ExecJoin *join = ctx;
    if (join->client)
        pass(ws, join->client, WEBSOCKET_BINARY, data);
}

static void on_agent_drained(void *ctx, WebSocket *ws) {
    ExecJoin *join = ctx;
    if (join->client)
        websocket_pause(join->client, false);
}

static void on_agent_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    ExecJoin *join = ctx;
    if (join->client) {
        /* Its `closed` follows and frees the rest. */
        join->agent = websocket_free(join->agent);
        websocket_close(join->client,
                        code >= 1000 && code != WEBSOCKET_ABNORMAL && code != WEBSOCKET_NO_CODE
                            ? code
                            : WEBSOCKET_NORMAL,
                        reason);
        return;
    }
    refuse_client(join, str_empty(reason) ? "the node agent refused" : reason);
}

static const WebSocketEvents AGENT_EVENTS = {
    .open = on_agent_open,
    .message = on_agent_message,
    .drained = on_agent_drained,
    .closed = on_agent_closed,
};

static void on_gone(void *ctx) {
    ExecJoin *join = ctx;
    http_respond_text(join->rest->http, 500, "the client left");
    join_free(join);
}

/* kubectl's parameters as the kubelet spells them. */
static char *target_url(const Rest *rest, const char *agent, const char *container) {
    static const char *const names[][2] = {
        { "stdin", "input" }, { "stdout", "output" }, { "stderr", "error" }, { "tty", "tty" }
    };
    const HttpQuery *query = http_request_query(rest->http);
    _cleanup_free_ char *ns = http_encode(rest->call.ns, false);
    _cleanup_free_ char *pod = http_encode(rest->call.name, false);
    _cleanup_free_ char *name = http_encode(container, false);
    _cleanup_buf_ Buf url = { 0 };
    buf_printf(&url, "%s/%s/%s/%s/%s", agent, rest->call.subresource, ns, pod, name);
    for (size_t i = 0; i < query->len; i++)
        if (str_eq(query->items[i].name, "command"))
            http_query_add(&url, "command", query->items[i].value);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (rest_query_flag(rest, names[i][0]))
            http_query_add(&url, names[i][1], "1");
    return buf_steal(&url);
}

static void connect_agent(Rest *rest, const char *url) {
    static const char *const protocols[] = { "v5.channel.k8s.io", NULL };
    ExecJoin *join = mem_new(ExecJoin);
    join->rest = rest;
    WebSocketTarget target = { .url = url,
                               .bearer = rest->server->agent_token,
                               .protocols = protocols,
                               .timeout = 30 * USEC_PER_SEC };
    int r =
        websocket_connect(rest->server->loop, &target, &OPTIONS, &AGENT_EVENTS, join, &join->agent);
    if (r < 0)
        refuse_client(join, error_text(r));
    else
        http_request_on_gone(rest->http, on_gone, join);
}

static bool has_ended(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

void rest_exec(Rest *rest) {
    ApiCall *call = &rest->call;
    Object *object = api_find(call);
    _cleanup_json_ json_t *pod = object ? object_value(object) : NULL;
    _cleanup_free_ char *agent = NULL, *url = NULL;
    const char *container = NULL;
    int r = pod ? agent_pick_container(call, pod, rest_query(rest, "container"), &container)
                : status_not_found(&call->status, api_subject(call), call->name);
    if (r == 0 && has_ended(pod))
        r = status_bad_request(&call->status,
                               "cannot %s a container in a completed pod; current phase is %s",
                               str_eq(call->subresource, "attach") ? "attach" : "exec into",
                               json_str_at(pod, "status", "phase"));
    if (r == 0)
        r = agent_url(call, pod, &agent);
    if (r == 0 && !websocket_requested(rest->http))
        r = status_bad_request(&call->status, "Upgrade request required: a WebSocket with "
                                              "v5.channel.k8s.io (SPDY is not spoken here)");
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    url = target_url(rest, agent, container);
    connect_agent(rest, url);
}
