/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/client.h"

#include <stdio.h>

#include "kobj/meta.h"
#include "kube/client_private.h"

enum {
    MESSAGE_PART = 300 /* of an answer that is no Status */
};
#define TIMEOUT (30 * USEC_PER_SEC)

static const JsonLimits response_limits = { KUBE_RESPONSE_MAX, 50 * 1000 * 1000, 500 };

struct KubeCall {
    List link;
    KubeClient *client;
    HttpCall *http; /* NULL: `task` answers */
    LoopTask *task; /* for requests that are wrong already */
    int r;
    char *message;
    KubeFn *fn;
    KubeRawFn *raw_fn;
    void (*chunk)(void *ctx, Slice data);
    int status;     /* raw: of the head */
    Buf error_body; /* raw with chunks: what came with a failure */
    void *ctx;
};

int kube_client_new(Loop *loop, HttpClient *http, KubeConfig *config, KubeClient **ret_client) {
    ASSERT(config->server);
    KubeClient *client = mem_new(KubeClient);
    client->loop = loop;
    client->http = http;
    client->config = *config;
    *config = (KubeConfig){ 0 };
    client->trust = (HttpTrust){ .ca_pem = client->config.ca_pem,
                                 .cert_pem = client->config.cert_pem,
                                 .key_pem = client->config.key_pem,
                                 .server_name = client->config.tls_server_name,
                                 .insecure = client->config.insecure };
    list_init(&client->calls);
    list_init(&client->watches);
    *ret_client = client;
    return 0;
}

static void call_destroy(KubeCall *call) {
    list_remove(&call->link);
    loop_task_free(call->task);
    mem_free(call->message);
    buf_done(&call->error_body);
    mem_free(call);
}

KubeCall *kube_call_free(KubeCall *call) {
    if (!call)
        return NULL;
    http_call_free(call->http);
    call_destroy(call);
    return NULL;
}

KubeClient *kube_client_free(KubeClient *client) {
    if (!client)
        return NULL;
    while (!list_empty(&client->calls))
        kube_call_free(LIST_ITEM(client->calls.next, KubeCall, link));
    ASSERT(list_empty(&client->watches)); /* their owners free them first */
    kube_config_done(&client->config);
    return mem_free(client);
}

Loop *kube_client_loop(const KubeClient *client) {
    return client->loop;
}

const KubeConfig *kube_client_config(const KubeClient *client) {
    return &client->config;
}

/* Outcomes. */

int kube_verdict_of_status(int status, const char *reason) {
    switch (status) {
    case 404:
        return KUBE_NOT_FOUND;
    case 409:
        return str_eq(reason, "AlreadyExists") ? KUBE_EXISTS : KUBE_CONFLICT;
    case 410:
        return KUBE_GONE;
    case 400:
    case 405:
    case 406:
    case 413:
    case 415:
    case 422:
        return KUBE_INVALID;
    case 401:
    case 403:
        return KUBE_FORBIDDEN;
    case 429:
        return KUBE_BUSY;
    default:
        return -EIO;
    }
}

static usec_t retry_after(const HttpResult *result, const json_t *body) {
    const char *header = http_headers_get(result->headers, "Retry-After");
    int64_t seconds = 0;
    if (!header || str_to_i64(header, &seconds) < 0)
        seconds = json_int_at(body, 0, "details", "retryAfterSeconds");
    return CLAMP(seconds, 0, 3600) * USEC_PER_SEC;
}

static void describe(KubeVerdict *v, const HttpResult *result) {
    int len = (int)MIN(result->body.len, (size_t)MESSAGE_PART);
    snprintf(v->room, sizeof(v->room), "the server answered %d %s: %.*s", result->status,
             http_status_text(result->status), len, result->body.len ? result->body.data : "");
    v->message = v->room;
}

void kube_verdict(KubeVerdict *v, const HttpResult *result, const json_t *body) {
    *v = (KubeVerdict){ .reason = "", .message = "" };
    if (result->r < 0) {
        v->r = result->r;
        v->message = result->error;
        return;
    }
    if (result->status >= 200 && result->status < 300)
        return;
    const char *reason = json_str_at(body, "reason"), *message = json_str_at(body, "message");
    v->reason = reason ? reason : "";
    v->details = json_at(body, "details");
    v->r = kube_verdict_of_status(result->status, reason);
    v->retry_after = retry_after(result, body);
    if ((result->status == 503 || result->status == 504) && v->retry_after)
        v->r = KUBE_BUSY;
    if (v->r == KUBE_BUSY && !v->retry_after)
        v->retry_after = USEC_PER_SEC;
    v->message = message;
    if (str_empty(message))
        describe(v, result);
    if (v->r < 0)
        error_origin(v->r, "%s", v->message);
}

static bool is_json(const HttpHeaders *headers) {
    const char *type = http_headers_get(headers, "Content-Type");
    return type && str_starts(type, "application/json");
}

static void answer(KubeCall *call, const KubeReply *reply) {
    KubeFn *fn = call->fn;
    void *ctx = call->ctx;
    call->http = NULL;
    call_destroy(call);
    fn(ctx, reply);
}

static void on_done(void *ctx, const HttpResult *result) {
    KubeCall *call = ctx;
    _cleanup_json_ json_t *body = NULL;
    KubeVerdict verdict;
    int r = 0;
    if (result->r == 0 && result->body.len && is_json(result->headers))
        r = json_parse(result->body.data, result->body.len, &response_limits, 0, &body);
    kube_verdict(&verdict, result, body);
    if (verdict.r == 0 && !json_is_object(body)) {
        verdict.r = error_origin(-EPROTO, "the server's answer is no JSON object%s%s",
                                 r < 0 ? ": " : "", r < 0 ? error_text(r) : "");
        snprintf(verdict.room, sizeof(verdict.room), "%s", error_text(verdict.r));
        verdict.message = verdict.room;
    }
    if (result->status == 401)
        call->client->config.token_read = 0; /* it may have been rotated */
    KubeReply reply = { .r = verdict.r,
                        .status = result->status,
                        .body = body,
                        .reason = verdict.reason,
                        .message = verdict.message,
                        .details = verdict.details,
                        .retry_after = verdict.retry_after };
    answer(call, &reply);
}

static void answer_wrong(void *ctx) {
    KubeCall *call = ctx;
    _cleanup_free_ char *message = TAKE(call->message);
    if (call->r < 0)
        error_origin(call->r, "%s", message);
    if (call->fn) {
        KubeReply reply = { .r = call->r, .reason = "", .message = message };
        answer(call, &reply);
        return;
    }
    KubeRawFn *fn = call->raw_fn;
    void *user = call->ctx;
    KubeRawReply reply = {
        .r = call->r, .body = { "", 0 }, .content_type = "", .message = message
    };
    call_destroy(call);
    fn(user, &reply);
}

static void fail_later(KubeCall *call, int r, const char *message) {
    call->r = r;
    call->message = str_dup(message);
    call->task = loop_task_new(call->client->loop, answer_wrong, call);
    loop_task_arm(call->task);
}

/* Requests. */

int kube_http_start(KubeClient *client, HttpCallSpec *spec, HttpHeaders *headers,
                    const HttpCallEvents *events, void *ctx, HttpCall **ret_call) {
    spec->headers = headers;
    spec->trust = &client->trust;
    spec->bearer = kube_config_token(&client->config, loop_now(client->loop));
    spec->body_max = KUBE_RESPONSE_MAX;
    return http_call_new(client->http, spec, events, ctx, ret_call);
}

static const char *method_of(const KubeRequest *request) {
    static const char *const methods[] = { [KUBE_GET] = "GET",
                                           [KUBE_CREATE] = "POST",
                                           [KUBE_UPDATE] = "PUT",
                                           [KUBE_PATCH] = "PATCH",
                                           [KUBE_DELETE] = "DELETE" };
    return methods[request->verb];
}

static const char *content_type_of(const KubeRequest *request) {
    static const char *const patches[] = {
        [KUBE_PATCH_MERGE] = "application/merge-patch+json",
        [KUBE_PATCH_JSON] = "application/json-patch+json",
        [KUBE_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
        [KUBE_PATCH_APPLY] = "application/apply-patch+yaml" /* JSON is YAML too */
    };
    return request->verb == KUBE_PATCH ? patches[request->patch] : "application/json";
}

static json_t *delete_options(const KubeRequest *request) {
    json_t *options = json_pack("{s:s,s:s}", "kind", "DeleteOptions", "apiVersion", "v1");
    if (request->propagation)
        json_set_at(options, json_string(request->propagation), "propagationPolicy");
    if (request->if_uid)
        json_set_at(options, json_string(request->if_uid), "preconditions", "uid");
    if (request->resource_version)
        json_set_at(options, json_string(request->resource_version), "preconditions",
                    "resourceVersion");
    if (request->has_grace)
        json_set_at(options, json_integer(request->grace_seconds), "gracePeriodSeconds");
    if (request->dry_run)
        json_object_set_new(options, "dryRun", json_pack("[s]", "All"));
    return options;
}

static void encode_body(const KubeRequest *request, Buf *out) {
    if (request->body) {
        json_encode(request->body, 0, out);
    } else if (request->verb == KUBE_DELETE) {
        _cleanup_json_ json_t *options = delete_options(request);
        json_encode(options, 0, out);
    }
}

KubeCall *kube_call(KubeClient *client, const KubeRequest *request, KubeFn *fn, void *ctx) {
    static const HttpCallEvents events = { .done = on_done };
    KubeCall *call = mem_new(KubeCall);
    *call = (KubeCall){ .client = client, .fn = fn, .ctx = ctx };
    list_push(&client->calls, &call->link);
    _cleanup_buf_ Buf url = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    const char *message = NULL;
    int r = kube_url(client, request, false, &url, &message);
    if (r != 0) {
        fail_later(call, r, message);
        return call;
    }
    encode_body(request, &body);
    HttpHeaders headers = { 0 };
    http_headers_add(&headers, "Accept", "application/json");
    if (body.len)
        http_headers_add(&headers, "Content-Type", content_type_of(request));
    HttpCallSpec spec = { .method = method_of(request),
                          .url = url.data,
                          .body = buf_slice(&body),
                          .timeout = request->timeout ? request->timeout : TIMEOUT };
    r = kube_http_start(client, &spec, &headers, &events, call, &call->http);
    http_headers_done(&headers);
    if (r < 0)
        fail_later(call, r, error_text(r));
    return call;
}

KubeCall *kube_get(KubeClient *client, KubeGvr gvr, const char *namespace, const char *name,
                   KubeFn *fn, void *ctx) {
    KubeRequest request = {
        .verb = KUBE_GET, .gvr = gvr, .namespace = namespace, .name = name ? name : ""
    };
    return kube_call(client, &request, fn, ctx);
}

KubeCall *kube_create(KubeClient *client, KubeGvr gvr, const char *namespace, json_t *object,
                      KubeFn *fn, void *ctx) {
    KubeRequest request = {
        .verb = KUBE_CREATE, .gvr = gvr, .namespace = namespace, .body = object
    };
    return kube_call(client, &request, fn, ctx);
}

static KubeCall *update(KubeClient *client, KubeGvr gvr, json_t *object, const char *subresource,
                        KubeFn *fn, void *ctx) {
    KubeRequest request = { .verb = KUBE_UPDATE,
                            .gvr = gvr,
                            .namespace = obj_namespace(object),
                            .name = obj_name(object),
                            .subresource = subresource,
                            .body = object };
    return kube_call(client, &request, fn, ctx);
}

KubeCall *kube_update(KubeClient *client, KubeGvr gvr, json_t *object, KubeFn *fn, void *ctx) {
    return update(client, gvr, object, NULL, fn, ctx);
}

KubeCall *kube_update_status(KubeClient *client, KubeGvr gvr, json_t *object, KubeFn *fn,
                             void *ctx) {
    return update(client, gvr, object, "status", fn, ctx);
}

KubeCall *kube_patch(KubeClient *client, KubeGvr gvr, const char *namespace, const char *name,
                     KubePatch kind, json_t *patch, KubeFn *fn, void *ctx) {
    KubeRequest request = { .verb = KUBE_PATCH,
                            .gvr = gvr,
                            .namespace = namespace,
                            .name = name,
                            .patch = kind,
                            .body = patch };
    return kube_call(client, &request, fn, ctx);
}

KubeCall *kube_apply(KubeClient *client, KubeGvr gvr, json_t *object, const char *field_manager,
                     bool force, KubeFn *fn, void *ctx) {
    KubeRequest request = { .verb = KUBE_PATCH,
                            .gvr = gvr,
                            .namespace = obj_namespace(object),
                            .name = obj_name(object),
                            .patch = KUBE_PATCH_APPLY,
                            .field_manager = field_manager,
                            .force = force,
                            .body = object };
    return kube_call(client, &request, fn, ctx);
}

KubeCall *kube_delete(KubeClient *client, KubeGvr gvr, const char *namespace, const char *name,
                      const char *uid, KubeFn *fn, void *ctx) {
    KubeRequest request = { .verb = KUBE_DELETE,
                            .gvr = gvr,
                            .namespace = namespace,
                            .name = name ? name : "",
                            .propagation = "Background",
                            .if_uid = uid };
    return kube_call(client, &request, fn, ctx);
}

/* Raw requests. */

static void on_raw_head(void *ctx, int status, const HttpHeaders *headers) {
    UNUSED(headers);
    ((KubeCall *)ctx)->status = status;
}

static void on_raw_chunk(void *ctx, Slice data) {
    enum {
        ERROR_BODY_MAX = 64 * 1024
    };
    KubeCall *call = ctx;
    if (call->status >= 200 && call->status < 300)
        call->chunk(call->ctx, data);
    else if (call->error_body.len < ERROR_BODY_MAX)
        buf_add(&call->error_body, data.data, data.len);
}

static void on_raw_done(void *ctx, const HttpResult *result) {
    KubeCall *call = ctx;
    HttpResult whole = *result;
    Buf kept = call->error_body;
    call->error_body = (Buf){ 0 };
    if (kept.len)
        whole.body = buf_slice(&kept);
    _cleanup_json_ json_t *body = NULL;
    bool failed = whole.r < 0 || whole.status < 200 || whole.status >= 300;
    if (failed && whole.body.len && is_json(whole.headers))
        (void)!json_parse(whole.body.data, whole.body.len, NULL, 0, &body); /* else it is text */
    KubeVerdict verdict;
    kube_verdict(&verdict, &whole, body);
    const char *type = http_headers_get(whole.headers, "Content-Type");
    KubeRawReply reply = { .r = verdict.r,
                           .status = whole.status,
                           .body = whole.body,
                           .content_type = type ? type : "",
                           .message = verdict.message };
    KubeRawFn *fn = call->raw_fn;
    void *user = call->ctx;
    call_destroy(call);
    fn(user, &reply);
    buf_done(&kept);
}

static void raw_headers(const KubeRawRequest *request, HttpHeaders *headers) {
    for (size_t i = 0; request->headers && i < request->headers->len; i++)
        http_headers_add(headers, request->headers->items[i].name,
                         request->headers->items[i].value);
    if (request->content_type)
        http_headers_add(headers, "Content-Type", request->content_type);
    if (request->bearer) {
        _cleanup_free_ char *value = str_printf("Bearer %s", request->bearer);
        http_headers_add(headers, "X-Ray-Authorization", value);
    }
}

KubeCall *kube_raw(KubeClient *client, const KubeRawRequest *request, KubeRawFn *fn, void *ctx) {
    KubeCall *call = mem_new(KubeCall);
    *call = (KubeCall){ .client = client, .raw_fn = fn, .chunk = request->chunk, .ctx = ctx };
    list_push(&client->calls, &call->link);
    HttpCallEvents events = { .done = on_raw_done };
    if (request->chunk) {
        events.head = on_raw_head;
        events.chunk = on_raw_chunk;
    }
    _cleanup_free_ char *url = str_printf("%s%s", client->config.server, request->path);
    HttpHeaders headers = { 0 };
    raw_headers(request, &headers);
    HttpCallSpec spec = { .method = request->method,
                          .url = url,
                          .body = request->body,
                          .timeout = request->timeout ? request->timeout
                                     : request->chunk ? USEC_INFINITY
                                                      : TIMEOUT };
    int r = kube_http_start(client, &spec, &headers, &events, call, &call->http);
    http_headers_done(&headers);
    if (r < 0)
        fail_later(call, r, error_text(r));
    return call;
}
