/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/server_private.h"
#include "net/websocket.h"

/*
 * pods/proxy and services/proxy: any method, body and answer passed on as they come, re-framed and
 * never copied head to head; WebSockets are joined message by message. The pod is dialled by its
 * address; of a service's ready endpoints the first that has the port.
 *
 *     pods/[http:|https:]NAME[:PORT]/proxy/REST    services/[http:|https:]NAME[:PORT]/proxy/REST
 */

typedef struct Target {
    char *name, *port; /* port as the URL says it: a number, a name or "" */
    bool tls;
} Target;

static void target_done(Target *target) {
    free(target->name);
    free(target->port);
}

/* "https:name:port", "name:port", "name" */
static void parse_target(const char *text, Target *ret_target) {
    _cleanup_free_ char *copy = str_dup(text);
    char *rest = copy;
    *ret_target = (Target){ 0 };
    if (str_starts(rest, "https:")) {
        ret_target->tls = true;
        rest += strlen("https:");
    } else if (str_starts(rest, "http:")) {
        rest += strlen("http:");
    }
    char *colon = strchr(rest, ':');
    if (colon)
        *colon++ = 0;
    ret_target->name = str_dup(rest);
    ret_target->port = str_dup(colon ? colon : "");
}

static int64_t first_container_port(const json_t *pod) {
    const json_t *container;
    size_t i;
    json_array_foreach(json_at(pod, "spec", "containers"), i, container) {
        const json_t *port = json_array_get(json_object_get(container, "ports"), 0);
        if (port)
            return json_int_at(port, 80, "containerPort");
    }
    return 80;
}

static int find_pod(ApiCall *call, const Target *target, char **ret_host, int64_t *ret_port) {
    _cleanup_json_ json_t *pod = api_peek(call->api, "", "pods", call->ns, target->name);
    if (!pod)
        return status_not_found(&call->status, api_subject(call), target->name);
    const char *address = json_str_at(pod, "status", "podIP");
    if (str_empty(address))
        return status_unavailable(&call->status, "address not allowed: pod %s has none yet",
                                  target->name);
    int64_t port = first_container_port(pod);
    if (*target->port && (str_to_i64(target->port, &port) < 0 || port < 1 || port > 65535))
        return status_bad_request(&call->status, "port \"%s\" is no port number", target->port);
    *ret_host = str_dup(address);
    *ret_port = port;
    return 0;
}

/* The service's port by name or number, or its only one. Its name is what slices know it by. */
static const json_t *find_service_port(const json_t *service, const char *wanted) {
    const json_t *ports = json_at(service, "spec", "ports"), *port;
    int64_t number = 0;
    bool is_number = str_to_i64(wanted, &number) == 0;
    size_t i;
    if (!*wanted)
        return json_array_size(ports) == 1 ? json_array_get(ports, 0) : NULL;
    json_array_foreach(ports, i, port) {
        if (str_eq(json_str_at(port, "name"), wanted) ||
            (is_number && json_int_at(port, 0, "port") == number))
            return port;
    }
    return NULL;
}

static int64_t slice_port(const json_t *slice, const char *name) {
    const json_t *port;
    size_t i;
    json_array_foreach(json_object_get(slice, "ports"), i, port) {
        const char *its = json_str_at(port, "name");
        if (str_eq(its ? its : "", name))
            return json_int_at(port, 0, "port");
    }
    return 0;
}

static bool first_ready(const json_t *slice, char **ret_host) {
    const json_t *endpoint;
    size_t i;
    json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint) {
        const json_t *addresses = json_object_get(endpoint, "addresses");
        if (!json_bool_at(endpoint, true, "conditions", "ready") || !json_array_size(addresses))
            continue;
        *ret_host = str_dup(json_string_value(json_array_get(addresses, 0)));
        return true;
    }
    return false;
}

static int find_service(ApiCall *call, const Target *target, char **ret_host, int64_t *ret_port) {
    _cleanup_json_ json_t *service = api_peek(call->api, "", "services", call->ns, target->name);
    if (!service)
        return status_not_found(&call->status, api_subject(call), target->name);
    const json_t *port = find_service_port(service, target->port);
    if (!port)
        return status_unavailable(&call->status, "no service port \"%s\" found for service \"%s\"",
                                  target->port, target->name);
    const char *name = json_str_at(port, "name");
    const StoreTable *slices = store_table(call->api->store, "endpointslices.discovery.k8s.io");
    size_t at = store_lower_bound(slices, call->ns, "");
    for (; at < slices->objects.len && str_eq(slices->objects.items[at]->ns, call->ns); at++) {
        _cleanup_json_ json_t *slice = object_value(slices->objects.items[at]);
        if (!str_eq(obj_label(slice, "kubernetes.io/service-name"), target->name))
            continue;
        *ret_port = slice_port(slice, name ? name : "");
        if (*ret_port && first_ready(slice, ret_host))
            return 0;
    }
    return status_unavailable(&call->status, "no endpoints available for service \"%s\"",
                              target->name);
}

static int find_url(Rest *rest, char **ret_url) {
    ApiCall *call = &rest->call;
    _cleanup_(target_done) Target target = { 0 };
    _cleanup_free_ char *host = NULL;
    int64_t port = 0;
    parse_target(call->name ? call->name : "", &target);
    int r = str_eq(call->resource->plural, "pods") ? find_pod(call, &target, &host, &port)
                                                   : find_service(call, &target, &host, &port);
    if (r != 0)
        return r;
    const char *path = *rest->route.rest ? rest->route.rest : "/";
    bool v6 = strchr(host, ':') != NULL;
    *ret_url = str_printf("%s://%s%s%s:%lld%s%s%s", target.tls ? "https" : "http", v6 ? "[" : "",
                          host, v6 ? "]" : "", (long long)port, path, rest->route.query ? "?" : "",
                          rest->route.query ? rest->route.query : "");
    return 0;
}

/* Headers of one hop stay there; ours and theirs are written by each side itself. */
static bool is_hop_header(const char *name) {
    static const char *const hops[] = { "connection",
                                        "keep-alive",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "proxy-connection",
                                        "proxy-authorization",
                                        "host",
                                        "content-length",
                                        "authorization",
                                        "expect",
                                        "accept-encoding",
                                        "sec-websocket-key",
                                        "date",
                                        "sec-websocket-version",
                                        "sec-websocket-protocol",
                                        "sec-websocket-extensions" };
    for (size_t i = 0; i < ARRAY_LEN(hops); i++)
        if (str_eq_nocase(name, hops[i]))
            return true;
    return false;
}

static void copy_headers(const HttpHeaders *from, HttpHeaders *to) {
    for (size_t i = 0; i < from->len; i++)
        if (!is_hop_header(from->items[i].name))
            http_headers_add(to, from->items[i].name, from->items[i].value);
}

/* Plain requests. */

typedef struct Proxied {
    Rest *rest;
    HttpCall *call;
    Buf upload; /* what came and was not taken yet */
    bool upload_ends, upload_waits;
} Proxied;

enum {
    UPLOAD_HIGH = 256 * 1024
};

static const HttpTrust TRUST_ANY = { .insecure = true }; /* pods have certificates of their own */

static void proxied_free(Proxied *proxied) {
    http_call_free(proxied->call);
    buf_done(&proxied->upload);
    rest_free(proxied->rest);
    free(proxied);
}

static ssize_t read_upload(void *ctx, char *out, size_t room) {
    Proxied *proxied = ctx;
    size_t len = MIN(room, proxied->upload.len);
    if (len == 0 && !proxied->upload_ends) {
        proxied->upload_waits = true;
        return HTTP_UPLOAD_WAIT;
    }
    memcpy(out, proxied->upload.data ? proxied->upload.data : "", len);
    buf_drop(&proxied->upload, len);
    if (proxied->upload.len < UPLOAD_HIGH / 4)
        http_request_pause(proxied->rest->http, false);
    return (ssize_t)len;
}

static void on_upload(void *ctx, HttpRequest *request, int r, Slice data, bool last) {
    Proxied *proxied = ctx;
    buf_add(&proxied->upload, data.data, data.len);
    proxied->upload_ends |= last || r < 0;
    if (proxied->upload.len > UPLOAD_HIGH)
        http_request_pause(request, true);
    if (proxied->upload_waits && proxied->call) {
        proxied->upload_waits = false;
        http_call_resume(proxied->call);
    }
}

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    Proxied *proxied = ctx;
    HttpRequest *request = proxied->rest->http;
    const char *type = http_headers_get(headers, "Content-Type");
    const char *length = http_headers_get(headers, "Content-Length");
    int64_t len = -1;
    for (size_t i = 0; i < headers->len; i++)
        if (!is_hop_header(headers->items[i].name) &&
            !str_eq_nocase(headers->items[i].name, "Content-Type"))
            http_response_header(request, headers->items[i].name, headers->items[i].value);
    if (length && str_to_i64(length, &len) < 0)
        len = -1;
    http_response_start(request, status, type, len);
}

static void on_chunk(void *ctx, Slice data) {
    Proxied *proxied = ctx;
    http_response_write(proxied->rest->http, data);
    if (http_response_congested(proxied->rest->http))
        http_call_pause(proxied->call, true);
}

static void on_drained(void *ctx) {
    Proxied *proxied = ctx;
    if (proxied->call)
        http_call_pause(proxied->call, false);
}

static void on_done(void *ctx, const HttpResult *result) {
    Proxied *proxied = ctx;
    Rest *rest = proxied->rest;
    proxied->call = NULL;
    proxied->rest = NULL;
    if (http_response_started(rest->http)) {
        if (result->r < 0)
            http_response_abort(rest->http);
        else
            http_response_end(rest->http);
        rest_free(rest);
    } else {
        status_unavailable(&rest->call.status, "error trying to reach service: %s",
                           result->error ? result->error : "no answer");
        rest_reply_status(rest);
    }
    proxied_free(proxied);
}

static void on_gone(void *ctx) {
    Proxied *proxied = ctx;
    HttpRequest *request = proxied->rest->http;
    proxied->call = http_call_free(proxied->call);
    if (http_response_started(request))
        http_response_abort(request);
    else
        http_respond_text(request, 502, "the client left");
    proxied_free(proxied);
}

static void proxy_plain(Rest *rest, const char *url) {
    HttpRequest *request = rest->http;
    Proxied *proxied = mem_new(Proxied);
    proxied->rest = rest;
    int64_t length = http_request_content_length(request);
    HttpHeaders headers = { 0 };
    copy_headers(http_request_headers(request), &headers);
    HttpCallSpec spec = { .method = http_request_method(request),
                          .url = url,
                          .headers = &headers,
                          .trust = &TRUST_ANY,
                          .read_body = length != 0 ? read_upload : NULL,
                          .body_length = length,
                          .connect_timeout = 10 * USEC_PER_SEC,
                          .timeout = USEC_INFINITY,
                          .no_proxy = true };
    HttpCallEvents events = { .done = on_done, .head = on_head, .chunk = on_chunk };
    int r = http_call_new(rest->server->client, &spec, &events, proxied, &proxied->call);
    http_headers_done(&headers);
    if (r < 0) {
        status_unavailable(&rest->call.status, "error trying to reach service: %s", error_text(r));
        proxied->rest = NULL;
        proxied_free(proxied);
        rest_reply_status(rest);
        return;
    }
    http_request_on_gone(request, on_gone, proxied);
    http_response_on_drain(request, on_drained, proxied);
    if (length != 0)
        http_request_stream(request, UINT64_MAX, on_upload, proxied);
}

/* WebSockets: the pod's side first, so that its choice of subprotocol is known. */

typedef struct SocketJoin {
    Rest *rest; /* until the client is upgraded */
    WebSocket *client, *pod;
} SocketJoin;

static const WebSocketOptions SOCKET_OPTIONS = { .message_max = 64 * 1024 * 1024 };

static void join_free(SocketJoin *join) {
    websocket_free(join->client);
    websocket_free(join->pod);
    rest_free(join->rest);
    free(join);
}

static void pass(WebSocket *from, WebSocket *to, WebSocketKind kind, Slice data) {
    if (!to)
        return;
    websocket_send(to, kind, data);
    if (websocket_congested(to))
        websocket_pause(from, true);
}

static void on_client_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    SocketJoin *join = ctx;
    pass(ws, join->pod, kind, data);
}

static void on_client_drained(void *ctx, WebSocket *ws) {
    SocketJoin *join = ctx;
    if (join->pod)
        websocket_pause(join->pod, false);
}

static void on_client_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    join_free(ctx);
}

static const WebSocketEvents CLIENT_EVENTS = {
    .message = on_client_message,
    .drained = on_client_drained,
    .closed = on_client_closed,
};

static void on_pod_open(void *ctx, WebSocket *ws) {
    SocketJoin *join = ctx;
    Rest *rest = join->rest;
    const char *chosen = websocket_protocol(ws);
    const char *const protocols[] = { chosen, NULL };
    join->rest = NULL;
    int r = websocket_accept(rest->http, *chosen ? protocols : NULL, &SOCKET_OPTIONS,
                             &CLIENT_EVENTS, join, &join->client);
    rest_free(rest);
    if (r != 0)
        join_free(join);
}

static void on_pod_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    SocketJoin *join = ctx;
    pass(ws, join->client, kind, data);
}

static void on_pod_drained(void *ctx, WebSocket *ws) {
    SocketJoin *join = ctx;
    if (join->client)
        websocket_pause(join->client, false);
}

static void on_pod_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    SocketJoin *join = ctx;
    if (join->client) {
        bool sayable = code != WEBSOCKET_ABNORMAL && code != WEBSOCKET_NO_CODE;
        join->pod = websocket_free(join->pod);
        websocket_close(join->client, sayable ? code : WEBSOCKET_GOING_AWAY, reason);
        return;
    }
    Rest *rest = join->rest;
    join->rest = NULL;
    status_unavailable(&rest->call.status, "error trying to reach service: %s",
                       reason ? reason : "");
    join_free(join);
    rest_reply_status(rest);
}

static const WebSocketEvents POD_EVENTS = {
    .open = on_pod_open,
    .message = on_pod_message,
    .drained = on_pod_drained,
    .closed = on_pod_closed,
};

static void on_socket_gone(void *ctx) {
    SocketJoin *join = ctx;
    http_respond_text(join->rest->http, 502, "the client left");
    join_free(join);
}

/* What the client offers in Sec-WebSocket-Protocol, as a list. */
static void offered_protocols(const HttpRequest *request, StrList *out) {
    const char *text = http_request_header(request, "Sec-WebSocket-Protocol");
    while (text && *text) {
        size_t skip = strspn(text, ", \t"), len = strcspn(text + skip, ", \t");
        if (len > 0)
            strlist_take(out, str_dup_slice((Slice){ text + skip, len }));
        text += skip + len;
    }
}

static void proxy_socket(Rest *rest, const char *url) {
    SocketJoin *join = mem_new(SocketJoin);
    _cleanup_strlist_ StrList offered = { 0 };
    HttpHeaders headers = { 0 };
    join->rest = rest;
    offered_protocols(rest->http, &offered);
    copy_headers(http_request_headers(rest->http), &headers);
    WebSocketTarget target = { .url = url,
                               .headers = &headers,
                               /* ended by NULL, as strlist keeps it */
                               .protocols = (const char *const *)offered.items,
                               .timeout = 10 * USEC_PER_SEC };
    int r = websocket_connect(rest->server->loop, &target, &SOCKET_OPTIONS, &POD_EVENTS, join,
                              &join->pod);
    http_headers_done(&headers);
    if (r < 0) {
        status_unavailable(&rest->call.status, "error trying to reach service: %s", error_text(r));
        join->rest = NULL;
        join_free(join);
        rest_reply_status(rest);
        return;
    }
    http_request_on_gone(rest->http, on_socket_gone, join);
}

void rest_proxy(Rest *rest) {
    _cleanup_free_ char *url = NULL;
    int r = find_url(rest, &url);
    if (r != 0)
        rest_reply_status(rest);
    else if (websocket_requested(rest->http))
        proxy_socket(rest, url);
    else
        proxy_plain(rest, url);
}
