/* SPDX-License-Identifier: Apache-2.0 */
/* The server and the router against a raw client. */
#include <sys/socket.h>

#include "base/test.h"
#include "net/http_router.h"

typedef struct World {
    Loop *loop;
    HttpServer *server;
    HttpRouter *router;
    Stream *client;
    Buf got;
    bool eof, failed;
    /* What handlers saw. */
    HttpRequest *held;
    Buf body;
    int body_r, chunks, gone, drained;
    bool last;
} World;

static void client_event(void *ctx, Stream *stream, StreamEvent event) {
    World *w = ctx;
    Slice input = stream_input(stream);
    buf_add(&w->got, input.data, input.len);
    stream_consume(stream, input.len);
    w->eof |= event == STREAM_EOF;
    w->failed |= event == STREAM_FAILED;
}

static void on_gone(void *ctx) {
    ((World *)ctx)->gone++;
}

static void handle_hello(void *ctx, HttpRequest *request) {
    UNUSED(ctx);
    http_response_header(request, "X-Name", http_request_param(request, "name"));
    http_respond_text(request, 200, "hello %s", http_request_param(request, "name"));
}

static void handle_rest(void *ctx, HttpRequest *request) {
    UNUSED(ctx);
    const char *q = http_query_get(http_request_query(request), "q");
    http_respond_text(request, 200, "rest=%s q=%s", http_request_param(request, "path"),
                      q ? q : "");
}

static void body_done(void *ctx, HttpRequest *request, int r, Slice body) {
    World *w = ctx;
    w->body_r = r;
    buf_add(&w->body, body.data, body.len);
    if (r < 0)
        http_respond_error(request, r);
    else
        http_respond(request, 200, "text/plain", body);
}

static void handle_echo(void *ctx, HttpRequest *request) {
    http_request_read(request, 100, body_done, ctx);
}

static void chunk(void *ctx, HttpRequest *request, int r, Slice data, bool last) {
    World *w = ctx;
    w->body_r = r;
    w->chunks++;
    w->last |= last;
    buf_add(&w->body, data.data, data.len);
    if (last)
        http_respond_text(request, 201, "%zu", w->body.len);
}

static void handle_upload(void *ctx, HttpRequest *request) {
    http_request_stream(request, UINT64_MAX, chunk, ctx);
}

static void on_drained(void *ctx) {
    ((World *)ctx)->drained++;
}

static void handle_watch(void *ctx, HttpRequest *request) {
    World *w = ctx;
    w->held = request;
    http_request_on_gone(request, on_gone, w);
    http_response_on_drain(request, on_drained, w);
    http_response_start(request, 200, "text/plain", -1);
    http_response_write(request, SLICE("first "));
}

static void handle_hold(void *ctx, HttpRequest *request) {
    World *w = ctx;
    w->held = request;
    http_request_on_gone(request, on_gone, w);
}

static void handle_later(void *ctx, HttpRequest *request) {
    ((World *)ctx)->held = request;
}

static void client_new(World *w) {
    int fds[2];
    Stream *served = NULL;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK_OK(stream_new(w->loop, fds[0], client_event, w, &w->client));
    CHECK_OK(stream_new(w->loop, fds[1], NULL, NULL, &served));
    http_server_serve(w->server, served);
    buf_clear(&w->got);
    w->eof = w->failed = false;
}

static void world_new(World *w) {
    static const HttpServerOptions options = { .head_timeout = 30000,
                                               .body_timeout = 30000,
                                               .keep_alive = 5 * USEC_PER_SEC };
    *w = (World){ 0 };
    CHECK_OK(loop_new_virtual(0, 0, &w->loop));
    w->router = http_router_new();
    http_router_add(w->router, "GET", "/hello/{name}", handle_hello, w);
    http_router_add(w->router, "GET", "/hello/fixed/x", handle_rest, w);
    http_router_add(w->router, "GET", "/files/{path...}", handle_rest, w);
    http_router_add(w->router, "POST", "/echo", handle_echo, w);
    http_router_add(w->router, "PUT", "/upload", handle_upload, w);
    http_router_add(w->router, "GET", "/watch", handle_watch, w);
    http_router_add(w->router, "*", "/hold", handle_hold, w);
    http_router_add(w->router, "GET", "/later", handle_later, w);
    w->server = http_server_new(w->loop, &options, http_router_handle, w->router);
    client_new(w);
}

static void world_done(World *w) {
    stream_free(w->client);
    http_server_free(w->server);
    http_router_free(w->router);
    loop_free(w->loop);
    buf_done(&w->got);
    buf_done(&w->body);
}

static void settle(World *w) {
    loop_run_until(w->loop, loop_now(w->loop) + 10);
}

static void say(World *w, const char *text) {
    stream_write(w->client, text, strlen(text));
    settle(w);
}

static bool heard(const World *w, const char *text) {
    return w->got.len && strstr(w->got.data, text);
}

static void test_requests_in_order(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /hello/a%2Fb HTTP/1.1\r\nHost: h\r\n\r\nGET /files/x/y?q=1%202 HTTP/1.1\r\n"
            "Host: h\r\n\r\nHEAD /hello/x HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(str_starts(w.got.data, "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
    CHECK(heard(&w, "X-Name: a/b\r\nContent-Length: 9\r\n\r\nhello a/bHTTP/1.1 200 OK"));
    CHECK(heard(&w, "rest=x/y q=1 2HTTP/1.1 200 OK"));
    CHECK(str_ends(w.got.data, "Content-Length: 7\r\n\r\n"));
    buf_clear(&w.got);
    say(&w, "GET /none HTTP/1.1\r\nHost: h\r\n\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n"
            "GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(heard(&w, "HTTP/1.1 404 Not Found"));
    CHECK(heard(&w, "HTTP/1.1 405 Method Not Allowed"));
    CHECK(heard(&w, "Allow: POST"));
    CHECK(heard(&w, "HTTP/1.1 400 Bad Request"));
    CHECK(w.eof);
    world_done(&w);
}

static void test_collected_bodies(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    CHECK_INT(w.got.len, 0);
    say(&w, "lo");
    CHECK(heard(&w, "\r\n\r\nhello"));
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    CHECK(heard(&w, "\r\n\r\nabc"));
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    CHECK(str_ends(w.got.data, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(&w, "ok");
    CHECK(str_ends(w.got.data, "\r\n\r\nok"));
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    CHECK(str_ends(w.got.data, "Content-Length: 0\r\n\r\n"));
    say(&w,
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n");
    CHECK(heard(&w, "413 Content Too Large"));
    CHECK(heard(&w, "101 bytes, 100 are allowed"));
    CHECK_INT(w.body_r, -EFBIG);
    CHECK(w.eof);
    world_done(&w);
}

static void test_body_that_breaks_stalls_or_ends(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    CHECK_INT(w.body_r, -EPROTO);
    CHECK(heard(&w, "400 Bad Request") && w.eof);
    stream_free(w.client);
    client_new(&w);
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    loop_run_until(w.loop, loop_now(w.loop) + 31000);
    CHECK_INT(w.body_r, -ETIMEDOUT);
    CHECK(heard(&w, "408 Request Timeout") && w.eof);
    stream_free(w.client);
    client_new(&w);
    say(&w, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    w.client = stream_free(w.client);
    settle(&w);
    CHECK_INT(w.body_r, -ECONNRESET);
    CHECK_INT(http_server_connections(w.server), 0);
    world_done(&w);
}

static void test_streamed_upload_with_backpressure(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    static char block[1 << 20];
    say(&w, "PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 3145728\r\n\r\n");
    for (int i = 0; i < 3; i++)
        stream_write(w.client, block, sizeof(block));
    settle(&w);
    CHECK(heard(&w, "201 Created"));
    CHECK(str_ends(w.got.data, "3145728"));
    CHECK(w.chunks > 10 && w.last);
    world_done(&w);
}

static void test_streamed_response_and_a_client_that_leaves(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(str_ends(w.got.data, "Transfer-Encoding: chunked\r\n\r\n6\r\nfirst \r\n"));
    http_response_write(w.held, SLICE("second"));
    http_response_end(TAKE(w.held));
    settle(&w);
    CHECK(str_ends(w.got.data, "6\r\nsecond\r\n0\r\n\r\n"));
    CHECK_INT(w.gone, 0);
    say(&w, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(w.held);
    w.client = stream_free(w.client);
    settle(&w);
    CHECK_INT(w.gone, 1);
    CHECK(http_request_gone(w.held));
    http_response_write(w.held, SLICE("into the void"));
    settle(&w);
    http_response_end(TAKE(w.held));
    settle(&w);
    CHECK_INT(w.gone, 1);
    CHECK_INT(http_server_connections(w.server), 0);
    world_done(&w);
}

static void test_client_that_left_before_anybody_asked(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    w.client = stream_free(w.client);
    settle(&w);
    CHECK(http_request_gone(w.held));
    http_response_start(w.held, 200, "text/plain", -1);
    http_request_on_gone(w.held, on_gone, &w);
    CHECK_INT(w.gone, 0);
    settle(&w);
    CHECK_INT(w.gone, 1);
    http_response_end(TAKE(w.held));
    settle(&w);
    CHECK_INT(w.gone, 1);
    world_done(&w);
}

static void test_slow_reader_is_noticed(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    static char block[1 << 20];
    say(&w, "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
    stream_pause(w.client, true);
    http_response_write(w.held, (Slice){ block, sizeof(block) });
    settle(&w);
    CHECK(http_response_congested(w.held));
    stream_pause(w.client, false);
    settle(&w);
    CHECK(!http_response_congested(w.held));
    CHECK_INT(w.drained, 1);
    stream_pause(w.client, true);
    http_response_write(w.held, (Slice){ block, sizeof(block) });
    loop_run_until(w.loop, loop_now(w.loop) + 121 * USEC_PER_SEC);
    CHECK_INT(w.gone, 1);
    http_response_end(TAKE(w.held));
    world_done(&w);
}

static void test_server_freed_while_a_request_is_open(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    w.server = http_server_free(w.server);
    CHECK_INT(w.gone, 1);
    http_respond_text(TAKE(w.held), 200, "late");
    settle(&w);
    CHECK(w.eof && w.got.len == 0);
    world_done(&w);
}

static void test_slow_heads_and_keep_alive_end(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /he");
    loop_run_until(w.loop, loop_now(w.loop) + 31000);
    CHECK(heard(&w, "408 Request Timeout") && w.eof);
    stream_free(w.client);
    client_new(&w);
    loop_run_until(w.loop, loop_now(w.loop) + 5 * USEC_PER_SEC + 100);
    CHECK(w.eof && w.got.len == 0);
    CHECK_INT(http_server_refused(w.server), 1);
    world_done(&w);
}

static void test_http10_and_connection_close(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /watch HTTP/1.0\r\n\r\n");
    CHECK(str_ends(w.got.data, "Connection: close\r\n\r\nfirst "));
    http_response_end(TAKE(w.held));
    settle(&w);
    CHECK(w.eof);
    stream_free(w.client);
    client_new(&w);
    say(&w, "GET /hello/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(heard(&w, "Connection: close\r\n") && w.eof);
    world_done(&w);
}

static void test_unwanted_body_is_skipped_or_ends_the_connection(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w,
        "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /hello/x HTTP/1.1\r\n"
        "Host: h\r\n\r\n");
    CHECK(heard(&w, "404 Not Found") && heard(&w, "hello x"));
    say(&w, "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\nhello");
    CHECK(heard(&w, "Connection: close") && w.eof);
    world_done(&w);
}

static void upgraded(void *ctx, Stream *stream, StreamEvent event) {
    World *w = ctx;
    if (event == STREAM_DATA) {
        buf_add(&w->body, stream_input(stream).data, stream_input(stream).len);
        stream_consume(stream, stream_input(stream).len);
    }
}

static void test_upgrade_hands_the_stream_over(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w,
        "GET /hold HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: thing\r\n\r\n"
        "early");
    CHECK(http_request_wants_upgrade(w.held, "thing"));
    Stream *stream = http_request_upgrade(TAKE(w.held), "thing");
    CHECK(stream);
    stream_set_callback(stream, upgraded, &w);
    say(&w, " bytes");
    CHECK_STR(w.body.data, "early bytes");
    CHECK(str_starts(w.got.data, "HTTP/1.1 101 Switching Protocols\r\n"));
    CHECK_INT(http_server_connections(w.server), 0);
    stream_free(stream);
    world_done(&w);
}

static void test_drain(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    say(&w, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    http_server_drain(w.server);
    settle(&w);
    CHECK(!w.eof);
    http_respond_text(TAKE(w.held), 200, "last");
    settle(&w);
    CHECK(heard(&w, "Connection: close") && heard(&w, "last") && w.eof);
    world_done(&w);
}

static void test_words(void **state) {
    UNUSED(state);
    HttpUrl url;
    CHECK_OK(http_url_parse("https://[::1]:6443/api?x=1#f", &url));
    CHECK(url.tls && url.port == 6443);
    CHECK_STR(url.host, "::1");
    CHECK_STR(url.target, "/api?x=1");
    http_url_done(&url);
    CHECK_OK(http_url_parse("unix:/run/a.sock:/x", &url));
    CHECK_STR(url.unix_path, "/run/a.sock");
    http_url_done(&url);
    CHECK(http_url_parse("ftp://x/", &url) < 0);
    CHECK(http_url_parse("http://u@h/", &url) < 0);
    CHECK(http_url_parse("http://h:0/", &url) < 0);
    CHECK(http_url_parse("http:///x", &url) < 0);
    HttpHeaders headers = { 0 };
    http_headers_add(&headers, "authorization", "bearer  s3cret");
    CHECK(http_secret_equal(http_bearer(&headers), "s3cret"));
    CHECK(!http_secret_equal(http_bearer(&headers), "s3cres"));
    CHECK(!http_secret_equal(NULL, "x") && !http_secret_equal("x", NULL));
    http_headers_done(&headers);
    Buf text = { 0 };
    http_query_add(&text, "a b", "c/d");
    http_query_add(&text, "e", "ü");
    CHECK_STR(text.data, "?a%20b=c%2Fd&e=%C3%BC");
    buf_done(&text);
    HttpQuery query;
    CHECK(http_query_parse(SLICE("a=%zz"), &query) < 0);
    CHECK(http_query_parse(SLICE("a=%00"), &query) < 0);
}

int main(void) {
    return TEST_RUN(
        TEST(test_requests_in_order), TEST(test_collected_bodies),
        TEST(test_body_that_breaks_stalls_or_ends), TEST(test_streamed_upload_with_backpressure),
        TEST(test_streamed_response_and_a_client_that_leaves),
        TEST(test_client_that_left_before_anybody_asked), TEST(test_slow_reader_is_noticed),
        TEST(test_server_freed_while_a_request_is_open), TEST(test_slow_heads_and_keep_alive_end),
        TEST(test_http10_and_connection_close),
        TEST(test_unwanted_body_is_skipped_or_ends_the_connection),
        TEST(test_upgrade_hands_the_stream_over), TEST(test_drain), TEST(test_words));
}
