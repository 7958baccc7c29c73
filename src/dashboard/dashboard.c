/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/log.h"
#include "dashboard/dashboard_private.h"

enum {
    CONNECTIONS_MAX = 4096
};
#define BODY_MAX       ((uint64_t)512 << 20) /* a package */
#define AGENT_PATIENCE (30 * USEC_PER_SEC)   /* without a byte of an answer */

/* ------------------------------------------------------------------------------- answers */

void respond_json(HttpRequest *request, int status, json_t *value) {
    _cleanup_json_ json_t *owned = value;
    _cleanup_buf_ Buf text = { 0 };
    json_encode(owned, 0, &text);
    http_respond(request, status, "application/json; charset=utf-8", buf_slice(&text));
}

void respond_envelope(HttpRequest *request, bool ok, const char *message, json_t *data) {
    json_t *envelope = json_object();
    json_object_set_new(envelope, "result", json_boolean(ok));
    json_object_set_new(envelope, "msg", json_string(message));
    json_object_set_new(envelope, "data", data);
    respond_json(request, ok ? 200 : 500, envelope);
}

void respond_failure(HttpRequest *request, const RpcReply *reply) {
    if (reply->result < 0) {
        http_respond_text(request, 503, "The cluster's control plane (gcs) %s; try again later.",
                          reply->result == -ETIMEDOUT ? "did not answer in time"
                                                      : "is not reachable");
        return;
    }
    int status = reply_is(reply, STATUS_CODE_NOT_FOUND) ? 404
                 : reply_is(reply, STATUS_CODE_INVALID) ? 400
                                                        : 500;
    http_respond_text(request, status, "%.*s", (int)reply->status.text.len,
                      reply->status.text.data);
}

/* ----------------------------------------------------------------------------------- ask */

static bool changes_nothing(MessageType type) {
    static const MessageType questions[] = { MSG_SUBMISSION_GET, MSG_SUBMISSION_LIST,
                                             MSG_JOB_TABLE_GET,  MSG_CLUSTER_STATUS_GET,
                                             MSG_KV_GET,         MSG_KV_KEYS };
    for (size_t i = 0; i < ARRAY_LEN(questions); i++)
        if (questions[i] == type)
            return true;
    return false;
}

static void on_answer(void *argument, const RpcReply *reply) {
    Ask *ask = argument;
    if (reply->result == -ECONNRESET && !ask->repeated && changes_nothing(ask->type)) {
        ask->repeated = true;
        dial_call(ask->dashboard->gcs, PEER_GCS, ask->type, &ask->body, CALL_TIMEOUT, on_answer,
                  ask);
        return;
    }
    ask->then(ask, reply);
    buf_done(&ask->body);
    mem_free(ask);
}

void ask(Dashboard *dashboard, HttpRequest *request, MessageType type, const Buf *body, AskFn *then,
         void *more) {
    Ask *ask = mem_new(Ask);
    *ask = (Ask){ dashboard, request, then, more, type };
    if (body)
        buf_add(&ask->body, body->data, body->len);
    dial_call(dashboard->gcs, PEER_GCS, type, body, CALL_TIMEOUT, on_answer, ask);
}

/* --------------------------------------------------------------------------------- proxy */

/* It is passed on as it comes: neither side's pace nor its length is our memory's. */
typedef struct Proxy {
    HttpRequest *request;
    HttpCall *call;
    ProxySpec spec;
} Proxy;

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    Proxy *proxy = ctx;
    http_response_start(proxy->request, status != 200 && proxy->spec.failed_500 ? 500 : status,
                        http_headers_get(headers, "content-type"), -1);
}

static void on_chunk(void *ctx, Slice data) {
    Proxy *proxy = ctx;
    http_response_write(proxy->request, data);
    if (http_response_congested(proxy->request))
        http_call_pause(proxy->call, true);
}

static void on_drained(void *ctx) {
    Proxy *proxy = ctx;
    http_call_pause(proxy->call, false);
}

static void on_client_gone(void *ctx) {
    Proxy *proxy = ctx;
    http_call_free(proxy->call);
    if (!http_response_started(proxy->request))
        http_response_start(proxy->request, 500, "text/plain", -1);
    http_response_end(proxy->request);
    mem_free(proxy);
}

static void on_proxied(void *ctx, const HttpResult *result) {
    Proxy *proxy = ctx;
    if (result->r < 0 && !http_response_started(proxy->request))
        http_respond_text(proxy->request, 500, "The node's agent did not answer: %s",
                          result->error);
    else if (result->r < 0)
        http_response_abort(proxy->request);
    else
        http_response_end(proxy->request);
    mem_free(proxy);
}

void proxy_get(Dashboard *dashboard, HttpRequest *request, const char *url, ProxySpec spec) {
    static const HttpCallEvents events = { .done = on_proxied, .head = on_head, .chunk = on_chunk };
    Proxy *proxy = mem_new(Proxy);
    *proxy = (Proxy){ .request = request, .spec = spec };
    const HttpCallSpec call = {
        .url = url,
        .bearer = dashboard->auth->token,
        .no_proxy = true,
        .timeout = USEC_INFINITY, /* as long as a slow reader takes */
        .idle_timeout = spec.endless ? 0 : AGENT_PATIENCE,
    };
    int r = http_call_new(dashboard->client, &call, &events, proxy, &proxy->call);
    if (r < 0) {
        on_proxied(proxy, &(HttpResult){ .r = r, .error = error_text(r) });
        return;
    }
    http_response_on_drain(request, on_drained, proxy);
    http_request_on_gone(request, on_client_gone, proxy);
}

/* ---------------------------------------------------------------------------------- life */

static void on_request(void *ctx, HttpRequest *request) {
    Dashboard *dashboard = ctx;
    if (auth_admit(dashboard->auth, request) && !auth_refuse_browser(request))
        http_router_handle(dashboard->router, request);
}

static void on_gcs_lost(void *ctx, int r, const char *sentence) {
    log_warn("gcs: %s", sentence);
}

static const DialEvents dial_events = { .lost = on_gcs_lost };

static int dashboard_open(Dashboard *dashboard, const DashboardOptions *options) {
    const DialSpec gcs = {
        .address = options->gcs_address,
        .role = ROLE_DASHBOARD,
        .token = slice_str(options->auth->token),
    };
    const HttpServerOptions server = { .connections_max = CONNECTIONS_MAX, .body_max = BODY_MAX };
    int r = dial_new(dashboard->loop, &gcs, &dial_events, dashboard, &dashboard->gcs);
    if (r < 0)
        return r;
    dashboard->client = http_client_new(dashboard->loop);
    dashboard->server = http_server_new(dashboard->loop, &server, on_request, dashboard);
    return http_server_listen(dashboard->server, &options->listen, NULL, &dashboard->bound);
}

int dashboard_new(Loop *loop, const DashboardOptions *options, Dashboard **ret_dashboard) {
    _cleanup_(dashboard_freep) Dashboard *dashboard = mem_new(Dashboard);
    dashboard->loop = loop;
    dashboard->auth = options->auth;
    dashboard->tails = log_tails_new(loop);
    dashboard->session_dir = str_dup(options->session_dir);
    dashboard->session_name = str_dup(options->session_name);
    dashboard->ray_version = str_dup(options->ray_version);
    dashboard->ray_commit = str_dup(options->ray_commit);
    dashboard->router = http_router_new();
    jobs_routes(dashboard);
    logs_routes(dashboard);
    packages_routes(dashboard);
    cluster_routes(dashboard);
    state_routes(dashboard);
    session_logs_routes(dashboard);
    int r = dashboard_open(dashboard, options);
    if (r == 0)
        *ret_dashboard = TAKE(dashboard);
    return r;
}

Dashboard *dashboard_free(Dashboard *dashboard) {
    if (!dashboard)
        return NULL;
    /* The calls first: each answers its request with a failure while the server is there. */
    dial_free(dashboard->gcs);
    http_client_free(dashboard->client);
    http_server_free(dashboard->server);
    http_router_free(dashboard->router);
    log_tails_unref(dashboard->tails);
    mem_free(dashboard->session_dir);
    mem_free(dashboard->session_name);
    mem_free(dashboard->ray_version);
    mem_free(dashboard->ray_commit);
    return mem_free(dashboard);
}

const NetAddress *dashboard_address(const Dashboard *dashboard) {
    return &dashboard->bound;
}
