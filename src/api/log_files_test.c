/* SPDX-License-Identifier: Apache-2.0 */
#include "api/log_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "net/http_client.h"

#define LARGE ((off_t)70 << 20) /* more than a connection may have waiting */

typedef struct World {
    Loop *loop;
    HttpServer *server;
    HttpClient *client;
    LogTails *tails;
    uint16_t port;
    char *top, *folder;
    /* the last answer */
    int r, status;
    bool done;
    uint64_t len;
    Buf body; /* its beginning */
} World;

static void serve(void *ctx, HttpRequest *request) {
    const World *w = ctx;
    const char *json = http_query_get(http_request_query(request), "json");
    if (json) {
        _cleanup_free_ char *path = str_printf("%s/%s", w->folder, json);
        log_json_respond(request, path);
    } else
        log_file_respond(request, w->folder, w->tails);
}

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    UNUSED(headers);
    ((World *)ctx)->status = status;
}

static void on_chunk(void *ctx, Slice data) {
    World *w = ctx;
    w->len += data.len;
    if (w->body.len < 4096)
        buf_add(&w->body, data.data, data.len);
}

static void on_done(void *ctx, const HttpResult *result) {
    World *w = ctx;
    w->r = result->r;
    w->done = true;
}

static HttpCall *begin(World *w, const char *query) {
    static const HttpCallEvents events = { .done = on_done, .head = on_head, .chunk = on_chunk };
    _cleanup_free_ char *url = str_printf("http://127.0.0.1:%u/?%s", w->port, query);
    const HttpCallSpec spec = { .url = url, .no_proxy = true };
    HttpCall *call;
    buf_clear(&w->body);
    w->len = 0;
    w->done = false;
    CHECK_OK(http_call_new(w->client, &spec, &events, w, &call));
    return call;
}

static const char *ask(World *w, const char *query) {
    begin(w, query);
    while (!w->done)
        loop_tick(w->loop, loop_deadline(w->loop, USEC_PER_SEC));
    CHECK_OK(w->r);
    buf_add_char(&w->body, 0);
    return w->body.data;
}

static void put(World *w, const char *name, const char *text) {
    _cleanup_free_ char *path = str_printf("%s/%s", w->folder, name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    CHECK_OK(fd_write_all(fd, text, strlen(text)));
}

static void world_new(World *w) {
    char top[] = "/tmp/mobula-log-files-XXXXXX";
    NetAddress address, bound;
    *w = (World){ 0 };
    CHECK(mkdtemp(top));
    w->top = str_dup(top);
    w->folder = str_printf("%s/logs", top);
    CHECK(mkdir(w->folder, 0755) == 0);
    CHECK_OK(loop_new(&w->loop));
    w->server = http_server_new(w->loop, NULL, serve, w);
    w->client = http_client_new(w->loop);
    w->tails = log_tails_new(w->loop);
    CHECK_OK(net_address_ip("127.0.0.1", 0, &address));
    CHECK_OK(http_server_listen(w->server, &address, NULL, &bound));
    w->port = net_address_port(&bound);
}

static void world_done(World *w) {
    http_client_free(w->client);
    http_server_free(w->server);
    log_tails_unref(w->tails);
    loop_free(w->loop);
    CHECK_OK(dir_remove(w->top));
    free(w->top);
    free(w->folder);
    buf_done(&w->body);
}

static void test_lines(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    put(&w, "a", "one\ntwo\n\n\x1b[31mthree\x1b[0m\n");
    CHECK_STR(ask(&w, "filename=a"), "one\ntwo\n\n\x1b[31mthree\x1b[0m\n");
    CHECK_STR(ask(&w, "filename=a&plain=1&lines=1"), "three\n");
    CHECK_STR(ask(&w, "filename=a&plain=1&lines=2"), "\nthree\n");
    CHECK_STR(ask(&w, "filename=a&plain=1&lines=3"), "two\n\nthree\n");
    CHECK_STR(ask(&w, "filename=a&plain=1&lines=9"), "one\ntwo\n\nthree\n");
    CHECK_STR(ask(&w, "filename=a&lines=0"), "");
    put(&w, "a", "no end");
    CHECK_STR(ask(&w, "filename=a&lines=1"), "no end");
    put(&w, "empty", "");
    CHECK_STR(ask(&w, "filename=empty&lines=5"), "");
    CHECK_INT(w.status, 200);
    world_done(&w);
}

static void test_only_files_of_the_folder(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    put(&w, "../secret", "hidden");
    _cleanup_free_ char *secret = str_printf("%s/secret", w.top);
    _cleanup_free_ char *link = str_printf("%s/link", w.folder);
    _cleanup_free_ char *absolute = str_printf("filename=%s", secret);
    CHECK(symlink(secret, link) == 0);
    const char *const others[] = { "filename=../secret", "filename=link", absolute, "filename=.",
                                   "filename=none" };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        CHECK(!strstr(ask(&w, others[i]), "hidden"));
        CHECK_INT(w.status, 404);
    }
    world_done(&w);
}

static void test_large(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    put(&w, "large", "");
    _cleanup_free_ char *path = str_printf("%s/large", w.folder);
    CHECK(truncate(path, LARGE) == 0);
    ask(&w, "filename=large");
    CHECK_INT(w.len, LARGE);
    world_done(&w);
}

/* As one text, though it goes out in pieces; no character is cut apart between two of them. */
static void test_json(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    CHECK_STR(ask(&w, "json=none"), "{\"logs\":\"\"}");
    put(&w, "a", "\"caf\xc3\xa9\"\n\xff\xc3");
    CHECK_STR(ask(&w, "json=a"), "{\"logs\":\"\\\"caf\xc3\xa9\\\"\\n\xef\xbf\xbd\xef\xbf\xbd\"}");
    _cleanup_buf_ Buf text = { 0 };
    buf_add_char(&text, 'x');
    while (text.len < 200000)
        buf_add_str(&text, "\xe2\x82\xac");
    put(&w, "euros", text.data);
    ask(&w, "json=euros");
    CHECK_INT(w.len, text.len + strlen("{\"logs\":\"\"}"));

    world_done(&w);
}

static void test_follow(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    put(&w, "a", "one\ntwo\n");
    HttpCall *call = begin(&w, "filename=a&lines=1&follow=1");
    while (w.len < 4)
        loop_tick(w.loop, loop_deadline(w.loop, USEC_PER_SEC));
    put(&w, "a", "three\n");
    while (w.len < 10)
        loop_tick(w.loop, loop_deadline(w.loop, USEC_PER_SEC));
    buf_add_char(&w.body, 0);
    CHECK_STR(w.body.data, "two\nthree\n");
    http_call_free(call);
    world_done(&w);
}

int main(void) {
    return TEST_RUN(TEST(test_lines), TEST(test_only_files_of_the_folder), TEST(test_large),
                    TEST(test_json), TEST(test_follow));
}
