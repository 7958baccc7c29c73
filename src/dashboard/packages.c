/* SPDX-License-Identifier: Apache-2.0 */
#include "api/packages.h"

#include "base/error.h"
#include "dashboard/dashboard_private.h"
#include "env/env.h"

/* ------------------------------------------------------------------------------ question */

static const char *package_of(HttpRequest *request) {
    const char *name = http_request_param(request, "name");
    if (str_eq(http_request_param(request, "protocol"), "gcs") && env_package_name_ok(name))
        return name;
    http_respond_text(request, 404, "Package %s://%s does not exist",
                      http_request_param(request, "protocol"), name);
    return NULL;
}

static void give_presence(Ask *ask, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    KvReply answer;
    if (!reply_ok(reply) || kv_reply_decode(&answer, reply->body, reply->len, &arena) < 0) {
        respond_failure(ask->request, reply);
        return;
    }
    const char *name = http_request_param(ask->request, "name");
    _cleanup_free_ char *key = package_key(name);
    bool found = answer.found;
    for (size_t i = 0; i < answer.keys_len; i++)
        found |= slice_eq_str(answer.keys[i], key);
    if (found)
        http_respond(ask->request, 200, "application/octet-stream", (Slice){ 0 });
    else
        http_respond_text(ask->request, 404, "Package %s does not exist", key);
}

static void give_uploaded(Ask *ask_, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    KvReply answer;
    if (reply_ok(reply) && kv_reply_decode(&answer, reply->body, reply->len, &arena) == 0 &&
        !answer.found) {
        /* A driver may have put it as one value. Its key is enough to know. */
        _cleanup_buf_ Buf body = { 0 };
        _cleanup_free_ char *key = package_key(http_request_param(ask_->request, "name"));
        const KvKeys keys = { .prefix = slice_str(key) };
        kv_keys_encode(&keys, &body);
        ask(ask_->dashboard, ask_->request, MSG_KV_KEYS, &body, give_presence, NULL);
        return;
    }
    give_presence(ask_, reply);
}

static void on_get(void *ctx, HttpRequest *request) {
    const char *name = package_of(request);
    if (!name)
        return;
    _cleanup_buf_ Buf body = { 0 };
    _cleanup_free_ char *key = package_key(name);
    const KvGet get = { .space = slice_str(PACKAGE_SPACE), .key = slice_str(key) };
    kv_get_encode(&get, &body);
    ask(ctx, request, MSG_KV_GET, &body, give_uploaded, NULL);
}

/* -------------------------------------------------------------------------------- upload */

/* One piece is under way to gcs at a time; the client is held back meanwhile. */
typedef struct Upload {
    Dashboard *dashboard;
    HttpRequest *request; /* NULL once it was answered */
    char *name;
    Buf piece;
    uint64_t pieces;
    bool sending, whole;
} Upload;

static void upload_free(Upload *upload) {
    buf_done(&upload->piece);
    mem_free(upload->name);
    mem_free(upload);
}

static void upload_put(Upload *upload, const char *key, Slice value, RpcDone done) {
    _cleanup_buf_ Buf body = { 0 };
    const KvPut put = {
        .space = slice_str(PACKAGE_SPACE), .key = slice_str(key), .value = value, .overwrite = true
    };
    kv_put_encode(&put, &body);
    dial_call(upload->dashboard->gcs, PEER_GCS, MSG_KV_PUT, &body, CALL_TIMEOUT, done, upload);
}

static void on_finished(void *argument, const RpcReply *reply) {
    Upload *upload = argument;
    if (reply_ok(reply))
        http_respond(upload->request, 200, "application/octet-stream", (Slice){ 0 });
    else
        respond_failure(upload->request, reply);
    upload_free(upload);
}

static void upload_finish(Upload *upload) {
    _cleanup_free_ char *key = package_key(upload->name);
    _cleanup_free_ char *count = str_printf("%llu", (unsigned long long)upload->pieces);
    upload_put(upload, key, slice_str(count), on_finished);
}

static void upload_next(Upload *upload);

static void on_piece(void *argument, const RpcReply *reply) {
    Upload *upload = argument;
    upload->sending = false;
    if (upload->request && !reply_ok(reply)) {
        respond_failure(upload->request, reply);
        upload->request = NULL;
    }
    if (!upload->request) { /* answered: the upload lived on for this call only */
        upload_free(upload);
        return;
    }
    http_request_pause(upload->request, false);
    upload_next(upload);
}

static void upload_next(Upload *upload) {
    bool full = upload->piece.len >= PACKAGE_PIECE;
    if (upload->sending || (!full && !upload->whole))
        return;
    if (upload->piece.len == 0) {
        upload_finish(upload);
        return;
    }
    _cleanup_free_ char *key = package_piece_key(upload->name, upload->pieces++);
    Slice value = { upload->piece.data, MIN(upload->piece.len, (size_t)PACKAGE_PIECE) };
    upload->sending = true;
    upload_put(upload, key, value, on_piece);
    buf_drop(&upload->piece, value.len);
    if (!upload->whole)
        http_request_pause(upload->request, true);
}

static void on_chunk(void *ctx, HttpRequest *request, int r, Slice data, bool last) {
    Upload *upload = ctx;
    if (r < 0) {
        http_respond_error(request, r);
        upload->request = NULL;
        if (!upload->sending)
            upload_free(upload);
        return;
    }
    buf_add(&upload->piece, data.data, data.len);
    upload->whole |= last;
    upload_next(upload);
}

static void on_put(void *ctx, HttpRequest *request) {
    const char *name = package_of(request);
    if (!name)
        return;
    Upload *upload = mem_new(Upload);
    upload->dashboard = ctx;
    upload->request = request;
    upload->name = str_dup(name);
    http_request_stream(request, (uint64_t)PACKAGE_PIECE * PACKAGE_PIECES_MAX, on_chunk, upload);
}

void packages_routes(Dashboard *dashboard) {
    static const char pattern[] = "/api/packages/{protocol}/{name}";
    http_router_add(dashboard->router, "GET", pattern, on_get, dashboard);
    http_router_add(dashboard->router, "PUT", pattern, on_put, dashboard);
}
