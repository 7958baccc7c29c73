/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1.1 connection: heads in, one request at a time, bodies as they are wanted. */
#include "net/http_private.h"

enum {
    SKIP_MAX =
        64 * 1024 /* an unwanted body up to this is read and dropped, to keep the connection */
};
#define LINGER            (2 * USEC_PER_SEC)
#define SCARCE_KEEP_ALIVE USEC_PER_SEC

static void process(HttpConn *conn);

static void deadlines_update(HttpConn *conn) {
    loop_timer_at(conn->timer, MIN(conn->read_deadline, conn->write_deadline));
}

static void read_within(HttpConn *conn, usec_t timeout) {
    conn->read_deadline = loop_deadline(conn->server->loop, timeout);
    deadlines_update(conn);
}

static void read_whenever(HttpConn *conn) {
    conn->read_deadline = USEC_INFINITY;
    deadlines_update(conn);
}

static void conn_release(HttpConn *conn) {
    HttpServer *server = conn->server;
    list_remove(&conn->link);
    server->conn_count--;
    loop_task_free(conn->more);
    loop_timer_free(conn->timer);
    conn->freed = true;
    if (conn->depth == 0)
        mem_free(conn);
}

static void enter(HttpConn *conn) {
    conn->depth++;
}

/* False: the connection is gone, touch nothing. */
static bool leave(HttpConn *conn) {
    conn->depth--;
    if (!conn->freed)
        return true;
    if (conn->depth == 0)
        mem_free(conn);
    return false;
}

void http_conn_free(HttpConn *conn) {
    HttpRequest *request = TAKE(conn->request);
    stream_free(conn->stream);
    conn_release(conn);
    if (request) {
        request->conn = NULL;
        http_request_tell_gone(request);
    }
}

/* Sends what is queued, then closes. */
static void close_later(HttpConn *conn) {
    stream_free_later(TAKE(conn->stream), LINGER);
    conn_release(conn);
}

Stream *http_conn_take_stream(HttpConn *conn) {
    Stream *stream = TAKE(conn->stream);
    conn->request = NULL;
    conn_release(conn);
    return stream;
}

/* An answer to what never became a request. */
static void refuse(HttpConn *conn, int status, const char *why) {
    _cleanup_buf_ Buf out = { 0 };
    conn->server->refused++;
    buf_printf(&out,
               "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n"
               "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s\n",
               status, http_status_text(status), http_server_date(conn->server), strlen(why) + 1,
               why);
    stream_write(conn->stream, out.data, out.len);
    close_later(conn);
}

static bool body_complete(const HttpConn *conn) {
    return conn->body_left == 0;
}

bool http_conn_stays(const HttpConn *conn) {
    const HttpRequest *request = conn->request;
    if (conn->server->draining || conn->eof)
        return false;
    if (body_complete(conn))
        return true;
    /* An unread body can be skipped if it is short, and if the client sends it unasked. */
    return request->body_mode == HTTP_BODY_UNASKED && !request->head.expect_continue &&
           conn->body_left > 0 && conn->body_left <= SKIP_MAX;
}

void http_conn_written(HttpConn *conn) {
    if (conn->write_deadline != USEC_INFINITY)
        return;
    conn->write_mark = stream_sent(conn->stream);
    conn->write_deadline = loop_deadline(conn->server->loop, conn->server->options.write_timeout);
    deadlines_update(conn);
}

/* When places get scarce, those who only keep one for later make room for others. */
static usec_t keep_alive_time(const HttpServer *server) {
    bool scarce = server->conn_count > server->options.connections_max / 4 * 3;
    return scarce ? MIN(SCARCE_KEEP_ALIVE, server->options.keep_alive) : server->options.keep_alive;
}

void http_conn_response_over(HttpConn *conn, bool cut) {
    conn->request = NULL;
    if (cut || !conn->keep_alive) {
        close_later(conn);
        return;
    }
    conn->head_begun = false;
    conn->scanned = 0;
    read_within(conn, keep_alive_time(conn->server));
    loop_task_arm(conn->more);
}

/* Bodies. */

static bool body_asked(const HttpRequest *request) {
    return request->body_mode == HTTP_BODY_COLLECT || request->body_mode == HTTP_BODY_STREAM;
}

void http_conn_body_wanted(HttpConn *conn) {
    loop_task_arm(conn->more);
}

static void say_continue(HttpConn *conn) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    HttpRequest *request = conn->request;
    if (!request->head.expect_continue || request->continue_sent || request->started)
        return;
    request->continue_sent = true;
    stream_write(conn->stream, text, sizeof(text) - 1);
}

/* The next piece of body in the input. HTTP1_MORE: none yet. */
static int next_piece(HttpConn *conn, Slice input, Slice *ret_data, size_t *ret_size) {
    if (conn->body_left == HTTP1_LENGTH_CHUNKED) {
        int r = http1_chunks_step(&conn->chunks, input, ret_data, ret_size);
        if (conn->chunks.state == HTTP1_END)
            conn->body_left = 0;
        return r;
    }
    size_t len = (size_t)MIN((uint64_t)conn->body_left, (uint64_t)input.len);
    *ret_data = (Slice){ input.data, len };
    *ret_size = len;
    conn->body_left -= (int64_t)len;
    return len ? 0 : HTTP1_MORE;
}

/* Gives the handler what has come. The request may end in any of the calls. */
static void feed_body(HttpConn *conn) {
    HttpRequest *request = conn->request;
    if (request->head.content_length > 0 &&
        (uint64_t)request->head.content_length > request->body_max) {
        http_request_body_fail(
            request, error_origin(-EFBIG, "the body has %lld bytes, %llu are allowed here",
                                  (long long)request->head.content_length,
                                  (unsigned long long)request->body_max));
        return;
    }
    say_continue(conn);
    while (!conn->freed && conn->request && body_asked(conn->request) &&
           !conn->request->body_paused) {
        Slice data;
        size_t size = 0;
        int r = next_piece(conn, stream_input(conn->stream), &data, &size);
        if (r == HTTP1_MORE)
            break;
        if (r < 0) {
            http_request_body_fail(conn->request, r);
            return;
        }
        bool last = body_complete(conn);
        if (data.len || last)
            http_request_body_take(conn->request, data, last);
        if (!conn->freed)
            stream_consume(conn->stream, size);
    }
    if (conn->freed || !conn->request)
        return;
    if (body_asked(conn->request) && !conn->request->body_paused)
        read_within(conn, conn->server->options.body_timeout);
    else
        read_whenever(conn);
}

/* Heads. */

static void dispatch(HttpConn *conn, Http1Head *head) {
    conn->body_left = head->content_length;
    conn->chunks = (Http1Chunks){ 0 };
    conn->keep_alive = false;
    HttpRequest *request = NULL;
    int r = http_request_new(conn, head, &request);
    if (r < 0) {
        refuse(conn, 400, error_text(r));
        return;
    }
    conn->request = request;
    read_whenever(conn);
    http_request_enter(request);
    conn->server->handler(conn->server->ctx, request);
    http_request_leave(request);
}

static void take_head(HttpConn *conn) {
    const HttpServerOptions *options = &conn->server->options;
    Http1Limits limits = { options->line_max, options->head_max, options->headers_max };
    Slice input = stream_input(conn->stream);
    Http1Head head;
    size_t size;
    int status = 400;
    int r = http1_head_parse(input, &limits, &conn->scanned, &head, &size, &status);
    if (r == HTTP1_MORE) {
        if (input.len && !conn->head_begun) {
            conn->head_begun = true;
            read_within(conn, options->head_timeout);
        }
        if (conn->eof)
            close_later(conn); /* the last response may still be on its way */
    } else if (r < 0) {
        refuse(conn, status, error_text(r));
    } else {
        stream_consume(conn->stream, size);
        dispatch(conn, &head);
    }
}

/* Drops what is left of a body that nobody wanted. */
static bool skip_body(HttpConn *conn) {
    size_t len = (size_t)MIN((uint64_t)conn->body_left, (uint64_t)stream_input(conn->stream).len);
    stream_consume(conn->stream, len);
    conn->body_left -= (int64_t)len;
    return conn->body_left == 0;
}

static void process(HttpConn *conn) {
    enter(conn);
    if (!conn->request) {
        if (conn->server->draining && stream_input(conn->stream).len == 0)
            close_later(conn);
        else if (body_complete(conn) || skip_body(conn))
            take_head(conn);
        else if (conn->eof)
            http_conn_free(conn);
    } else if (body_asked(conn->request) && !conn->request->body_paused) {
        feed_body(conn);
    }
    leave(conn);
}

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    HttpConn *conn = ctx;
    UNUSED(stream);
    enter(conn);
    switch (event) {
    case STREAM_CONNECTED:
        break;
    case STREAM_DATA:
        process(conn);
        break;
    case STREAM_DRAINED:
        if (conn->request && conn->request->drain_fn) {
            http_request_enter(conn->request);
            HttpRequest *request = conn->request;
            request->drain_fn(request->drain_ctx);
            http_request_leave(request);
        }
        break;
    case STREAM_EOF:
        conn->eof = true;
        process(conn); /* the rest of a body may be in the input */
        if (!conn->freed && conn->request &&
            !(conn->request->body_paused && body_asked(conn->request)))
            http_request_tell_gone(conn->request);
        break;
    case STREAM_FAILED:
        http_conn_free(conn);
        break;
    }
    leave(conn);
}

static void more(void *ctx) {
    HttpConn *conn = ctx;
    enter(conn);
    process(conn);
    if (!conn->freed && conn->eof && conn->request && !conn->request->gone &&
        !conn->request->body_paused)
        http_request_tell_gone(conn->request); /* it was paused when the client ended */
    leave(conn);
}

static void write_check(HttpConn *conn) {
    uint64_t sent = stream_sent(conn->stream);
    bool idle = stream_queued(conn->stream) == 0;
    if (!idle && sent == conn->write_mark) {
        http_conn_free(conn);
        return;
    }
    conn->write_mark = sent;
    conn->write_deadline =
        idle ? USEC_INFINITY
             : loop_deadline(conn->server->loop, conn->server->options.write_timeout);
    deadlines_update(conn);
}

static void read_late(HttpConn *conn) {
    conn->read_deadline = USEC_INFINITY;
    deadlines_update(conn);
    if (conn->request)
        http_request_body_fail(conn->request,
                               error_origin(-ETIMEDOUT, "the client stopped sending the body"));
    else if (conn->head_begun)
        refuse(conn, 408, "the head did not come in time");
    else
        http_conn_free(conn);
}

static void time_is_up(void *ctx) {
    HttpConn *conn = ctx;
    usec_t now = loop_now(conn->server->loop);
    enter(conn);
    if (now >= conn->write_deadline)
        write_check(conn);
    if (!conn->freed && now >= conn->read_deadline)
        read_late(conn);
    leave(conn);
}

void http_conn_new(HttpServer *server, Stream *stream) {
    HttpConn *conn = mem_new(HttpConn);
    *conn = (HttpConn){ .server = server,
                        .stream = stream,
                        .read_deadline = USEC_INFINITY,
                        .write_deadline = USEC_INFINITY };
    conn->more = loop_task_new(server->loop, more, conn);
    conn->timer = loop_timer_new(server->loop, time_is_up, conn);
    list_push(&server->conns, &conn->link);
    server->conn_count++;
    stream_set_input_max(stream, server->options.line_max + server->options.head_max + 4);
    stream_set_callback(stream, on_stream, conn);
    read_within(conn, keep_alive_time(server));
}
