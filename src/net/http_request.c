/* SPDX-License-Identifier: Apache-2.0 */
/* A request and the response that is owed to it. */
#include <stdio.h>

#include "base/clock.h"
#include "net/http_private.h"

static int split_target(HttpRequest *request) {
    const char *target = request->head.target;
    size_t len = strcspn(target, "?");
    request->raw_path = str_dup_slice((Slice){ target, len });
    int r = http_decode((Slice){ target, len }, false, &request->path);
    if (r == 0 && target[len])
        r = http_query_parse(slice_str(target + len + 1), &request->query);
    return r;
}

/* Nobody needs them, and what looks below a folder must not leave it. */
static int refuse_dots(const char *path) {
    for (const char *at = path; *at;) {
        at += *at == '/';
        size_t len = strcspn(at, "/");
        if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
            return error_origin(-EPROTO, "\".\" or \"..\" in the path");
        at += len;
    }
    return 0;
}

int http_request_new(HttpConn *conn, Http1Head *head, HttpRequest **ret_request) {
    HttpRequest *request = mem_new(HttpRequest);
    request->conn = conn;
    request->loop = conn->server->loop;
    request->head = *head;
    request->length_left = -1;
    request->body_mode = head->content_length ? HTTP_BODY_UNASKED : HTTP_BODY_OVER;
    *head = (Http1Head){ 0 };
    int r = split_target(request);
    if (r == 0)
        r = refuse_dots(request->path);
    if (r < 0) {
        http_request_free(request);
        return error_context(-EPROTO, "request target");
    }
    *ret_request = request;
    return 0;
}

void http_request_free(HttpRequest *request) {
    if (request->depth > 0)
        return; /* http_request_leave() does it */
    http1_head_done(&request->head);
    mem_free(request->raw_path);
    mem_free(request->path);
    http_query_done(&request->query);
    http_query_done(&request->params);
    arena_done(&request->arena);
    buf_done(&request->body);
    http_headers_done(&request->response);
    loop_task_free(request->body_task);
    loop_task_free(request->gone_task);
    mem_free(request);
}

void http_request_enter(HttpRequest *request) {
    request->depth++;
}

bool http_request_leave(HttpRequest *request) {
    request->depth--;
    if (!request->ended)
        return true;
    http_request_free(request);
    return false;
}

/* The request's facts. */

const char *http_request_method(const HttpRequest *request) {
    return request->head.method;
}

bool http_request_is(const HttpRequest *request, const char *method) {
    return str_eq(request->head.method, method);
}

const char *http_request_path(const HttpRequest *request) {
    return request->path;
}

const char *http_request_target(const HttpRequest *request) {
    return request->head.target;
}

const HttpQuery *http_request_query(const HttpRequest *request) {
    return &request->query;
}

const char *http_request_param(const HttpRequest *request, const char *name) {
    return http_query_get(&request->params, name);
}

const HttpHeaders *http_request_headers(const HttpRequest *request) {
    return &request->head.headers;
}

const char *http_request_header(const HttpRequest *request, const char *name) {
    return http_headers_get(&request->head.headers, name);
}

int64_t http_request_content_length(const HttpRequest *request) {
    return request->head.content_length;
}

Stream *http_request_stream_of(HttpRequest *request) {
    return request->conn ? request->conn->stream : NULL;
}

Loop *http_request_loop(const HttpRequest *request) {
    return request->loop;
}

Arena *http_request_arena(HttpRequest *request) {
    return &request->arena;
}

static void gone_now(void *ctx) {
    HttpRequest *request = ctx;
    http_request_enter(request);
    if (request->gone_fn)
        request->gone_fn(request->gone_ctx);
    http_request_leave(request);
}

void http_request_on_gone(HttpRequest *request, LoopFn *gone, void *ctx) {
    request->gone_fn = gone;
    request->gone_ctx = ctx;
    if (!request->gone)
        return;
    if (!request->gone_task)
        request->gone_task = loop_task_new(request->loop, gone_now, request);
    loop_task_arm(request->gone_task);
}

bool http_request_gone(const HttpRequest *request) {
    return request->gone;
}

void http_request_tell_gone(HttpRequest *request) {
    if (request->gone)
        return;
    request->gone = true;
    http_request_enter(request);
    bool alive = true;
    if (request->body_mode == HTTP_BODY_COLLECT || request->body_mode == HTTP_BODY_STREAM)
        alive = http_request_body_fail(request, error_origin(-ECONNRESET, "the client left"));
    if (alive && request->gone_fn)
        request->gone_fn(request->gone_ctx);
    http_request_leave(request);
}

/* Request bodies. */

static void body_wanted(HttpRequest *request, HttpBodyMode mode, uint64_t max) {
    ASSERT(!request->body_fn && !request->chunk_fn);
    request->body_max = request->conn ? MIN(max, request->conn->server->options.body_max) : max;
    if (request->body_mode == HTTP_BODY_UNASKED)
        request->body_mode = mode;
}

/* What cannot be delivered by the connection any more is delivered from a call of its own. */
static void body_now(void *ctx) {
    HttpRequest *request = ctx;
    http_request_enter(request);
    if (request->body_mode == HTTP_BODY_OVER)
        http_request_body_take(request, (Slice){ "", 0 }, true);
    else if (request->gone)
        http_request_body_fail(request, error_origin(-ECONNRESET, "the client left"));
    http_request_leave(request);
}

static void body_begin(HttpRequest *request) {
    if (request->body_mode != HTTP_BODY_OVER && !request->gone) {
        http_conn_body_wanted(request->conn);
        return;
    }
    request->body_task = loop_task_new(request->loop, body_now, request);
    loop_task_arm(request->body_task);
}

void http_request_read(HttpRequest *request, size_t max, HttpBodyFn *fn, void *ctx) {
    body_wanted(request, HTTP_BODY_COLLECT, max);
    request->body_fn = fn;
    request->body_ctx = ctx;
    body_begin(request);
}

void http_request_stream(HttpRequest *request, uint64_t max, HttpChunkFn *fn, void *ctx) {
    body_wanted(request, HTTP_BODY_STREAM, max);
    request->chunk_fn = fn;
    request->body_ctx = ctx;
    body_begin(request);
}

void http_request_pause(HttpRequest *request, bool paused) {
    request->body_paused = paused;
    if (request->conn && !paused)
        http_conn_body_wanted(request->conn);
}

/* Hands the end or a failure to whoever waits for the body; nobody waits after it. */
static void body_tell(HttpRequest *request, int r, Slice data) {
    HttpBodyFn *body_fn = TAKE(request->body_fn);
    HttpChunkFn *chunk_fn = TAKE(request->chunk_fn);
    request->body_mode = HTTP_BODY_OVER;
    if (body_fn)
        body_fn(request->body_ctx, request, r, r == 0 ? data : (Slice){ "", 0 });
    else if (chunk_fn)
        chunk_fn(request->body_ctx, request, r, data, true);
}

bool http_request_body_fail(HttpRequest *request, int r) {
    http_request_enter(request);
    body_tell(request, r, (Slice){ "", 0 });
    return http_request_leave(request);
}

bool http_request_body_take(HttpRequest *request, Slice data, bool last) {
    request->body_seen += data.len;
    if (request->body_seen > request->body_max)
        return http_request_body_fail(
            request, error_origin(-EFBIG, "the body is longer than the %llu bytes allowed here",
                                  (unsigned long long)request->body_max));
    http_request_enter(request);
    if (request->body_fn) {
        buf_add(&request->body, data.data, data.len);
        if (last)
            body_tell(request, 0,
                      (Slice){ request->body.len ? request->body.data : "", request->body.len });
    } else if (request->chunk_fn) {
        if (last)
            body_tell(request, 0, data);
        else if (data.len)
            request->chunk_fn(request->body_ctx, request, 0, data, false);
    }
    return http_request_leave(request);
}

/* Responses. */

void http_response_header(HttpRequest *request, const char *name, const char *value) {
    ASSERT(!request->started);
    /* A value from outside must not begin a header of its own. */
    if (http_token_valid(slice_str(name)) && http_value_valid(slice_str(value)))
        http_headers_add(&request->response, name, value);
}

static void add_framing(HttpRequest *request, Buf *out, int status, int64_t length) {
    bool bodiless = status == 204 || status == 304 || status < 200;
    request->without_body = bodiless || str_eq(request->head.method, "HEAD");
    request->length_left = length;
    if (length >= 0 && status != 204 && status >= 200)
        buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
    if (length < 0 && !bodiless) {
        request->chunked = request->head.minor == 1;
        if (request->chunked)
            buf_add_str(out, "Transfer-Encoding: chunked\r\n");
        else
            request->head.keep_alive = false; /* HTTP/1.0: the end of the connection is the end */
    }
    request->conn->keep_alive = request->head.keep_alive && http_conn_stays(request->conn);
    if (!request->conn->keep_alive)
        buf_add_str(out, "Connection: close\r\n");
    else if (request->head.minor == 0)
        buf_add_str(out, "Connection: keep-alive\r\n");
}

static void send_head(HttpRequest *request, int status, const char *content_type, int64_t length) {
    HttpServer *server = request->conn->server;
    _cleanup_buf_ Buf out = { 0 };
    buf_printf(&out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_status_text(status),
               http_server_date(server));
    if (server->server_name)
        buf_printf(&out, "Server: %s\r\n", server->server_name);
    if (content_type && http_value_valid(slice_str(content_type)))
        buf_printf(&out, "Content-Type: %s\r\n", content_type);
    for (size_t i = 0; i < request->response.len; i++)
        buf_printf(&out, "%s: %s\r\n", request->response.items[i].name,
                   request->response.items[i].value);
    add_framing(request, &out, status, length);
    buf_add_str(&out, "\r\n");
    stream_write(request->conn->stream, out.data, out.len);
}

void http_response_start(HttpRequest *request, int status, const char *content_type,
                         int64_t length) {
    ASSERT(!request->started && !request->ended);
    request->started = true;
    request->length_left = length;
    if (!request->conn)
        return;
    send_head(request, status, content_type, length);
    http_conn_written(request->conn);
}

bool http_response_started(const HttpRequest *request) {
    return request->started;
}

/* True if `len` bytes are to be sent now; counts them. */
static bool write_begin(HttpRequest *request, size_t len) {
    ASSERT(request->started && !request->ended);
    if (len == 0 || !request->conn || request->without_body)
        return false;
    if (request->length_left >= 0) {
        ASSERT((uint64_t)request->length_left >= len); /* more than was declared */
        request->length_left -= (int64_t)len;
    }
    if (request->chunked) {
        char size[24];
        int n = snprintf(size, sizeof(size), "%zx\r\n", len);
        stream_write(request->conn->stream, size, (size_t)n);
    }
    return true;
}

static void write_end(HttpRequest *request) {
    if (request->chunked)
        stream_write(request->conn->stream, "\r\n", 2);
    http_conn_written(request->conn);
}

void http_response_write(HttpRequest *request, Slice data) {
    if (!write_begin(request, data.len))
        return;
    stream_write(request->conn->stream, data.data, data.len);
    write_end(request);
}

void http_response_write_bytes(HttpRequest *request, NetBytes *bytes) {
    if (!write_begin(request, bytes->len))
        return;
    stream_write_bytes(request->conn->stream, bytes);
    write_end(request);
}

bool http_response_congested(const HttpRequest *request) {
    return request->conn && stream_congested(request->conn->stream);
}

size_t http_response_queued(const HttpRequest *request) {
    return request->conn ? stream_queued(request->conn->stream) : 0;
}

void http_response_on_drain(HttpRequest *request, LoopFn *drained, void *ctx) {
    request->drain_fn = drained;
    request->drain_ctx = ctx;
}

static void finish(HttpRequest *request, bool cut) {
    ASSERT(!request->ended);
    request->ended = true;
    request->gone_fn = request->drain_fn = NULL;
    request->body_fn = NULL;
    request->chunk_fn = NULL;
    if (request->conn)
        http_conn_response_over(request->conn, cut);
    http_request_free(request);
}

void http_response_end(HttpRequest *request) {
    ASSERT(request->started);
    bool cut = request->length_left > 0 && !request->without_body; /* less than was declared */
    if (request->conn && request->chunked && !request->without_body)
        stream_write(request->conn->stream, "0\r\n\r\n", 5);
    finish(request, cut);
}

void http_response_abort(HttpRequest *request) {
    finish(request, /* cut= */ true);
}

void http_respond(HttpRequest *request, int status, const char *content_type, Slice body) {
    http_response_start(request, status, content_type, (int64_t)body.len);
    http_response_write(request, body);
    http_response_end(request);
}

void http_respond_bytes(HttpRequest *request, int status, const char *content_type,
                        NetBytes *bytes) {
    http_response_start(request, status, content_type, (int64_t)bytes->len);
    http_response_write_bytes(request, bytes);
    http_response_end(request);
}

void http_respond_text(HttpRequest *request, int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    http_respond(request, status, "text/plain; charset=utf-8", slice_str(text));
}

void http_respond_error(HttpRequest *request, int r) {
    static const struct {
        int code, status;
    } map[] = { { EINVAL, 400 }, { EPROTO, 400 }, { EACCES, 403 },    { EPERM, 403 },
                { ENOENT, 404 }, { EEXIST, 409 }, { ETIMEDOUT, 408 }, { EFBIG, 413 },
                { E2BIG, 413 },  { EAGAIN, 503 }, { EBUSY, 503 } };
    int status = 500;
    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if (map[i].code == -r)
            status = map[i].status;
    http_respond_text(request, status, "%s\n", error_text(r));
}

/* Upgrades. */

bool http_request_wants_upgrade(const HttpRequest *request, const char *protocol) {
    const HttpHeaders *headers = &request->head.headers;
    return request->head.minor == 1 && http_headers_has_token(headers, "Connection", "upgrade") &&
           http_headers_has_token(headers, "Upgrade", protocol);
}

Stream *http_request_upgrade(HttpRequest *request, const char *protocol) {
    ASSERT(!request->started && !request->ended);
    Stream *stream = NULL;
    if (request->conn && !request->gone) {
        _cleanup_buf_ Buf out = { 0 };
        buf_printf(&out,
                   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
                   protocol);
        for (size_t i = 0; i < request->response.len; i++)
            buf_printf(&out, "%s: %s\r\n", request->response.items[i].name,
                       request->response.items[i].value);
        buf_add_str(&out, "\r\n");
        stream = http_conn_take_stream(TAKE(request->conn));
        stream_write(stream, out.data, out.len);
    }
    request->started = true;
    finish(request, /* cut= */ true);
    return stream;
}
