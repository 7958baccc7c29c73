/* SPDX-License-Identifier: Apache-2.0 */
/* The client against our own server: TCP, TLS with client certificates, unix sockets. */
#include "net/http_client.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/test.h"
#include "net/http_router.h"

typedef struct World {
    Loop *loop;
    HttpServer *server;
    HttpRouter *router;
    HttpClient *client;
    HttpRequest *held;
    int gone;
    uint16_t port;
} World;

typedef struct Answer {
    HttpCall *call;
    int done, r, status, head_status, chunks;
    Buf body;
    char *error, *type;
    size_t to_send, sent;
    bool wait_once, free_in_chunk, pause_in_chunk;
} Answer;

static void on_done(void *ctx, const HttpResult *result) {
    Answer *a = ctx;
    a->done++;
    a->r = result->r;
    a->status = result->status;
    buf_add(&a->body, result->body.data, result->body.len);
    a->error = str_dup(result->error);
    a->type = str_dup(http_headers_get(result->headers, "content-type"));
    a->call = NULL;
}

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    UNUSED(headers);
    ((Answer *)ctx)->head_status = status;
}

static void on_chunk(void *ctx, Slice data) {
    Answer *a = ctx;
    a->chunks++;
    buf_add(&a->body, data.data, data.len);
    if (a->free_in_chunk)
        a->call = http_call_free(a->call);
    else if (a->pause_in_chunk)
        http_call_pause(a->call, true);
}

static const HttpCallEvents whole = { .done = on_done };
static const HttpCallEvents stream = { .done = on_done, .head = on_head, .chunk = on_chunk };

static void answer_done(Answer *a) {
    buf_done(&a->body);
    mem_free(a->error);
    mem_free(a->type);
    *a = (Answer){ 0 };
}

static void handle_hello(void *ctx, HttpRequest *request) {
    UNUSED(ctx);
    const char *token = http_bearer(http_request_headers(request));
    const TlsPeer *peer = stream_tls_peer(http_request_stream_of(request));
    http_respond_text(request, 200, "%s %s %s", http_request_method(request), token ? token : "-",
                      peer ? peer->common_name : "-");
}

static void body_done(void *ctx, HttpRequest *request, int r, Slice body) {
    UNUSED(ctx);
    CHECK_OK(r);
    http_respond(request, 200, "x/y", body);
}

static void handle_echo(void *ctx, HttpRequest *request) {
    http_request_read(request, 10 << 20, body_done, ctx);
}

static void on_gone(void *ctx) {
    World *w = ctx;
    w->gone++;
    http_response_end(TAKE(w->held));
}

static void handle_watch(void *ctx, HttpRequest *request) {
    World *w = ctx;
    w->held = request;
    http_request_on_gone(request, on_gone, w);
    http_response_start(request, 200, "text/plain", -1);
    http_response_write(request, SLICE("one"));
}

static void world_new(World *w) {
    *w = (World){ 0 };
    CHECK_OK(loop_new(&w->loop));
    w->router = http_router_new();
    http_router_add(w->router, "*", "/hello", handle_hello, w);
    http_router_add(w->router, "*", "/echo", handle_echo, w);
    http_router_add(w->router, "GET", "/watch", handle_watch, w);
    w->server = http_server_new(w->loop, NULL, http_router_handle, w->router);
    w->client = http_client_new(w->loop);
}

static void listen_tcp(World *w, TlsContext *tls) {
    NetAddress address, bound;
    CHECK_OK(net_address_ip("127.0.0.1", 0, &address));
    CHECK_OK(http_server_listen(w->server, &address, tls, &bound));
    w->port = net_address_port(&bound);
}

static void world_done(World *w) {
    http_client_free(w->client);
    http_server_free(w->server);
    http_router_free(w->router);
    loop_free(w->loop);
}

#define WAIT(w, condition)                                                                         \
    do {                                                                                           \
        usec_t deadline_ = loop_deadline((w)->loop, 5 * USEC_PER_SEC);                             \
        while (!(condition) && loop_now((w)->loop) < deadline_)                                    \
            loop_tick((w)->loop, deadline_);                                                       \
        CHECK(condition);                                                                          \
    } while (0)

static void start(World *w, HttpCallSpec *spec, const HttpCallEvents *events, Answer *a) {
    CHECK_OK(http_call_new(w->client, spec, events, a, &a->call));
    CHECK_INT(a->done, 0);
}

static void run(World *w, HttpCallSpec *spec, Answer *a) {
    start(w, spec, &whole, a);
    WAIT(w, a->done == 1);
}

static void test_plain_requests(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    listen_tcp(&w, NULL);
    Answer a = { 0 };
    _cleanup_free_ char *url = str_printf("http://127.0.0.1:%u/hello", w.port);
    run(&w, &(HttpCallSpec){ .url = url, .bearer = "tok", .no_proxy = true }, &a);
    CHECK_OK(a.r);
    CHECK_INT(a.status, 200);
    CHECK_STR(a.body.data, "GET tok -");
    CHECK_STR(a.type, "text/plain; charset=utf-8");
    answer_done(&a);
    run(&w, &(HttpCallSpec){ .url = url, .method = "DELETE", .no_proxy = true }, &a);
    CHECK_STR(a.body.data, "DELETE - -");
    answer_done(&a);
    run(&w, &(HttpCallSpec){ .url = url, .method = "HEAD", .no_proxy = true }, &a);
    CHECK_INT(a.status, 200);
    CHECK_INT(a.body.len, 0);
    answer_done(&a);
    CHECK_INT(http_server_connections(w.server), 1); /* one connection for all */
    _cleanup_free_ char *echo = str_printf("http://127.0.0.1:%u/echo", w.port);
    run(&w,
        &(HttpCallSpec){ .url = echo, .method = "PATCH", .body = SLICE("a\0b"), .no_proxy = true },
        &a);
    CHECK_INT(a.body.len, 3);
    answer_done(&a);
    run(&w,
        &(HttpCallSpec){ .url = echo, .body = SLICE("too long"), .body_max = 3, .no_proxy = true },
        &a);
    CHECK_INT(a.r, -EFBIG);
    answer_done(&a);
    run(&w, &(HttpCallSpec){ .url = "http://127.0.0.1:1/", .no_proxy = true }, &a);
    CHECK_INT(a.r, -ECONNREFUSED);
    CHECK(strstr(a.error, "GET http://127.0.0.1:1/: "));
    answer_done(&a);
    HttpCall *call = NULL;
    CHECK_INT(http_call_new(w.client, &(HttpCallSpec){ .url = "nonsense" }, &whole, &a, &call),
              -EINVAL);
    CHECK_INT(http_call_new(w.client, &(HttpCallSpec){ .url = url, .bearer = "a\r\nb" }, &whole, &a,
                            &call),
              -EINVAL);
    world_done(&w);
}

static ssize_t send_some(void *ctx, char *out, size_t room) {
    Answer *a = ctx;
    if (a->wait_once) {
        a->wait_once = false;
        return HTTP_UPLOAD_WAIT;
    }
    size_t len = MIN(room, a->to_send - a->sent);
    memset(out, 'u', len);
    a->sent += len;
    return (ssize_t)len;
}

static void test_streamed_upload(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    listen_tcp(&w, NULL);
    _cleanup_free_ char *url = str_printf("http://127.0.0.1:%u/echo", w.port);
    for (int known = 0; known < 2; known++) {
        Answer a = { .to_send = 3 << 20, .wait_once = true };
        HttpCallSpec spec = { .url = url,
                              .method = "PUT",
                              .read_body = send_some,
                              .body_length = known ? 3 << 20 : -1,
                              .no_proxy = true };
        start(&w, &spec, &whole, &a);
        WAIT(&w, !a.wait_once);
        for (int i = 0; i < 10; i++)
            loop_tick(w.loop, 0);
        CHECK_INT(a.done, 0);
        http_call_resume(a.call);
        WAIT(&w, a.done);
        CHECK_OK(a.r);
        CHECK_INT(a.body.len, 3 << 20);
        answer_done(&a);
    }
    world_done(&w);
}

static void test_watch_pause_and_cancel(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    listen_tcp(&w, NULL);
    _cleanup_free_ char *url = str_printf("http://127.0.0.1:%u/watch", w.port);
    HttpCallSpec spec = { .url = url, .timeout = USEC_INFINITY, .no_proxy = true };
    Answer a = { .pause_in_chunk = true };
    start(&w, &spec, &stream, &a);
    WAIT(&w, a.chunks == 1);
    CHECK_INT(a.head_status, 200);
    http_response_write(w.held, SLICE("two"));
    for (int i = 0; i < 20; i++)
        loop_tick(w.loop, 0);
    CHECK_INT(a.chunks, 1);
    a.pause_in_chunk = false;
    http_call_pause(a.call, false);
    WAIT(&w, a.chunks == 2);
    CHECK_STR(a.body.data, "onetwo");
    a.call = http_call_free(a.call);
    WAIT(&w, w.gone == 1);
    CHECK_INT(a.done, 0);
    answer_done(&a);
    a.free_in_chunk = true;
    start(&w, &spec, &stream, &a);
    WAIT(&w, w.gone == 2);
    CHECK_INT(a.done, 0);
    answer_done(&a);
    spec.idle_timeout = 20000;
    start(&w, &spec, &stream, &a);
    WAIT(&w, a.done == 1);
    CHECK_INT(a.r, -ETIMEDOUT);
    WAIT(&w, w.gone == 3);
    answer_done(&a);
    spec.idle_timeout = 0;
    start(&w, &spec, &stream, &a);
    WAIT(&w, a.chunks == 1);
    http_response_abort(TAKE(w.held));
    WAIT(&w, a.done == 1);
    CHECK_INT(a.r, -ECONNRESET);
    answer_done(&a);
    start(&w, &spec, &stream, &a); /* ended by world_done() without a word */
    WAIT(&w, a.chunks == 1);
    http_client_free(TAKE(w.client));
    WAIT(&w, w.gone == 4);
    answer_done(&a);
    world_done(&w);
}

static void test_tls_and_names(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    static const char *const hosts[] = { "api.example", NULL };
    char *ca, *ca_key, *cert, *key, *client_cert, *client_key;
    TlsCertSpec spec = { .common_name = "ca",
                         .wall_now = time_wall_now(),
                         .valid = 3600 * USEC_PER_SEC };
    CHECK_OK(tls_cert_make(&spec, &ca, &ca_key));
    spec.issuer_cert_pem = ca;
    spec.issuer_key_pem = ca_key;
    spec.common_name = "server";
    spec.hosts = hosts;
    spec.server = true;
    CHECK_OK(tls_cert_make(&spec, &cert, &key));
    spec.common_name = "me";
    spec.hosts = NULL;
    spec.server = false;
    spec.client = true;
    CHECK_OK(tls_cert_make(&spec, &client_cert, &client_key));
    _cleanup_(tls_context_unrefp) TlsContext *tls = NULL;
    CHECK_OK(tls_context_new(
        &(TlsOptions){ .server = true, .cert_pem = cert, .key_pem = key, .ca_pem = ca }, &tls));
    listen_tcp(&w, tls);
    _cleanup_free_ char *url = str_printf("https://127.0.0.1:%u/hello", w.port);
    Answer a = { 0 };
    HttpTrust trust = { .ca_pem = ca, .server_name = "api.example" };
    run(&w, &(HttpCallSpec){ .url = url, .trust = &trust, .no_proxy = true }, &a);
    CHECK_OK(a.r);
    CHECK_STR(a.body.data, "GET - -");
    answer_done(&a);
    trust.cert_pem = client_cert;
    trust.key_pem = client_key;
    run(&w, &(HttpCallSpec){ .url = url, .trust = &trust, .no_proxy = true }, &a);
    CHECK_STR(a.body.data, "GET - me"); /* not over the anonymous connection */
    answer_done(&a);
    trust.server_name = NULL;
    run(&w, &(HttpCallSpec){ .url = url, .trust = &trust, .no_proxy = true }, &a);
    CHECK_INT(a.r, -EPROTO);
    answer_done(&a);
    trust.insecure = true;
    run(&w, &(HttpCallSpec){ .url = url, .trust = &trust, .no_proxy = true }, &a);
    CHECK_OK(a.r);
    answer_done(&a);
    char *all[] = { ca, ca_key, cert, key, client_cert, client_key };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
    world_done(&w);
}

static void test_unix_socket(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    char dir[] = "/tmp/http-client-XXXXXX";
    CHECK(mkdtemp(dir));
    _cleanup_free_ char *path = str_printf("%s/s", dir);
    NetAddress address;
    CHECK_OK(net_address_unix(path, &address));
    CHECK_OK(http_server_listen(w.server, &address, NULL, NULL));
    _cleanup_free_ char *url = str_printf("unix:%s:/hello", path);
    Answer a = { 0 };
    run(&w, &(HttpCallSpec){ .url = url, .no_proxy = true }, &a);
    CHECK_OK(a.r);
    CHECK_STR(a.body.data, "GET - -");
    answer_done(&a);
    world_done(&w);
    CHECK_OK(dir_remove(dir));
}

int main(void) {
    return TEST_RUN(TEST(test_plain_requests), TEST(test_streamed_upload),
                    TEST(test_watch_pause_and_cancel), TEST(test_tls_and_names),
                    TEST(test_unix_socket));
}
