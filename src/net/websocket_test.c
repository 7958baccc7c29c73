/* SPDX-License-Identifier: Apache-2.0 */
#include "net/websocket.h"

#include "base/fd.h"
#include "base/test.h"

typedef struct Side {
    WebSocket *ws;
    int opened, closed, code, drained, messages;
    char *reason;
    Buf got;
    WebSocketKind kind;
    bool echo, free_in_message;
} Side;

typedef struct World {
    Loop *loop;
    HttpServer *server;
    Side here, there; /* client and server */
    int refused;
    char *url;
} World;

static void on_open(void *ctx, WebSocket *ws) {
    UNUSED(ws);
    ((Side *)ctx)->opened++;
}

static void on_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    Side *side = ctx;
    side->messages++;
    side->kind = kind;
    buf_add(&side->got, data.data, data.len);
    if (side->echo)
        websocket_send(ws, kind, data);
    if (side->free_in_message)
        side->ws = websocket_free(ws);
}

static void on_drained(void *ctx, WebSocket *ws) {
    UNUSED(ws);
    ((Side *)ctx)->drained++;
}

static void on_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    Side *side = ctx;
    side->closed++;
    side->code = code;
    side->reason = str_dup(reason);
    side->ws = websocket_free(ws);
}

static const WebSocketEvents events = { on_open, on_message, on_drained, on_closed };
static const char *const protocols[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", NULL };

static void handle(void *ctx, HttpRequest *request) {
    World *w = ctx;
    WebSocketOptions options = { .message_max = 1 << 20 };
    int r = websocket_accept(request, protocols, &options, &events, &w->there, &w->there.ws);
    w->refused += r == WEBSOCKET_REFUSED;
}

static void world_new(World *w) {
    NetAddress address, bound;
    *w = (World){ 0 };
    CHECK_OK(loop_new(&w->loop));
    w->server = http_server_new(w->loop, NULL, handle, w);
    CHECK_OK(net_address_ip("127.0.0.1", 0, &address));
    CHECK_OK(http_server_listen(w->server, &address, NULL, &bound));
    w->url = str_printf("ws://127.0.0.1:%u/x?y=1", net_address_port(&bound));
}

static void side_done(Side *side) {
    websocket_free(side->ws);
    mem_free(side->reason);
    buf_done(&side->got);
}

static void world_done(World *w) {
    side_done(&w->here);
    side_done(&w->there);
    http_server_free(w->server);
    mem_free(w->url);
    loop_free(w->loop);
}

#define WAIT(w, condition)                                                                         \
    do {                                                                                           \
        usec_t deadline_ = loop_deadline((w)->loop, 5 * USEC_PER_SEC);                             \
        while (!(condition) && loop_now((w)->loop) < deadline_)                                    \
            loop_tick((w)->loop, deadline_);                                                       \
        CHECK(condition);                                                                          \
    } while (0)

static void connect_to(World *w, const char *const *offer, const WebSocketOptions *options) {
    WebSocketTarget target = { .url = w->url, .protocols = offer };
    CHECK_OK(websocket_connect(w->loop, &target, options, &events, &w->here, &w->here.ws));
}

static void test_messages_both_ways(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    static const char *const offer[] = { "v4.channel.k8s.io", "v5.channel.k8s.io", NULL };
    connect_to(&w, offer, NULL);
    WAIT(&w, w.here.opened == 1);
    CHECK_STR(websocket_protocol(w.here.ws), "v5.channel.k8s.io");
    CHECK_STR(websocket_protocol(w.there.ws), "v5.channel.k8s.io");
    w.there.echo = true;
    websocket_send(w.here.ws, WEBSOCKET_TEXT, SLICE("hello"));
    WAIT(&w, w.here.messages == 1);
    CHECK_INT(w.here.kind, WEBSOCKET_TEXT);
    websocket_send_prefixed(w.here.ws, WEBSOCKET_BINARY, SLICE("\0"), SLICE("data"));
    WAIT(&w, w.here.messages == 2);
    CHECK_INT(w.here.kind, WEBSOCKET_BINARY);
    CHECK_MEM(w.here.got.data, "hello\0data", 10);
    static char block[1 << 20];
    memset(block, 'x', sizeof(block));
    websocket_send(w.here.ws, WEBSOCKET_BINARY, (Slice){ block, sizeof(block) });
    CHECK(websocket_congested(w.here.ws));
    WAIT(&w, w.here.messages == 3);
    CHECK_INT(w.here.drained, 1);
    websocket_close(w.here.ws, 1000, "done");
    WAIT(&w, w.here.closed && w.there.closed);
    CHECK_INT(w.here.code, 1000);
    CHECK_INT(w.there.code, 1000);
    CHECK_STR(w.there.reason, "done");
    world_done(&w);
}

static void test_refusals(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    static const char *const offer[] = { "other", NULL };
    connect_to(&w, offer, NULL);
    WAIT(&w, w.here.closed == 1);
    CHECK_INT(w.refused, 1);
    CHECK_STR(w.here.reason, "none of the offered subprotocols is spoken here");
    w.here.reason = mem_free(w.here.reason);
    WebSocketTarget target = { .url = "ws://127.0.0.1:1/" };
    CHECK_OK(websocket_connect(w.loop, &target, NULL, &events, &w.here, &w.here.ws));
    WAIT(&w, w.here.closed == 2);
    CHECK(strstr(w.here.reason, "Connection refused"));
    world_done(&w);
}

static void test_too_big_and_bad_frames(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    connect_to(&w, protocols, NULL);
    WAIT(&w, w.here.opened == 1);
    static char block[(1 << 20) + 1];
    websocket_send(w.here.ws, WEBSOCKET_BINARY, (Slice){ block, sizeof(block) });
    WAIT(&w, w.here.closed && w.there.closed);
    CHECK_INT(w.here.code, WEBSOCKET_TOO_BIG);
    CHECK_INT(w.there.code, WEBSOCKET_TOO_BIG);
    side_done(&w.here);
    side_done(&w.there);
    w.here = w.there = (Side){ 0 };
    connect_to(&w, protocols, NULL);
    WAIT(&w, w.here.opened == 1);
    websocket_send(w.here.ws, WEBSOCKET_TEXT, SLICE("\xff\xfe"));
    WAIT(&w, w.here.closed && w.there.closed);
    CHECK_INT(w.here.code, WEBSOCKET_BAD_DATA);
    CHECK_INT(w.there.messages, 0);
    world_done(&w);
}

static void test_pings_pause_and_a_peer_that_vanishes(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    WebSocketOptions options = { .ping_interval = 3000 };
    connect_to(&w, protocols, &options);
    WAIT(&w, w.here.opened == 1);
    usec_t later = loop_deadline(w.loop, 20000);
    while (loop_now(w.loop) < later)
        loop_tick(w.loop, later);
    CHECK_INT(w.here.closed, 0);
    websocket_pause(w.there.ws, true);
    WAIT(&w, w.here.closed == 1);
    CHECK_STR(w.here.reason, "the peer does not answer pings");
    websocket_pause(w.there.ws, false);
    WAIT(&w, w.there.closed == 1);
    CHECK_INT(w.there.code, WEBSOCKET_ABNORMAL);
    world_done(&w);
}

static void test_free_inside_a_message(void **state) {
    UNUSED(state);
    World w;
    world_new(&w);
    connect_to(&w, protocols, NULL);
    WAIT(&w, w.here.opened == 1);
    w.there.free_in_message = true;
    websocket_send(w.here.ws, WEBSOCKET_TEXT, SLICE("a"));
    websocket_send(w.here.ws, WEBSOCKET_TEXT, SLICE("b"));
    WAIT(&w, w.here.closed == 1);
    CHECK_INT(w.there.messages, 1);
    CHECK_INT(w.there.closed, 0);
    world_done(&w);
}

int main(void) {
    return TEST_RUN(
        TEST(test_messages_both_ways), TEST(test_refusals), TEST(test_too_big_and_bad_frames),
        TEST(test_pings_pause_and_a_peer_that_vanishes), TEST(test_free_inside_a_message));
}
