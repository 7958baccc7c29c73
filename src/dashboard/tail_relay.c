/* SPDX-License-Identifier: Apache-2.0 */
#include "dashboard/tail_relay.h"

#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)

typedef struct Relay {
    WebSocket *client, *agent;
} Relay;

static void relay_free(Relay *relay) {
    websocket_free(relay->client);
    websocket_free(relay->agent);
    mem_free(relay);
}

static void on_client_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    relay_free(ctx);
}

static void on_client_drained(void *ctx, WebSocket *ws) {
    Relay *relay = ctx;
    if (relay->agent)
        websocket_pause(relay->agent, false);
}

static const WebSocketEvents client_events = { .drained = on_client_drained,
                                               .closed = on_client_closed };

static void on_agent_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    Relay *relay = ctx;
    websocket_send(relay->client, kind, data);
    if (websocket_congested(relay->client))
        websocket_pause(relay->agent, true);
}

static void on_agent_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    Relay *relay = ctx;
    bool good = code == WEBSOCKET_NORMAL;
    relay->agent = websocket_free(relay->agent);
    websocket_close(relay->client, good ? WEBSOCKET_NORMAL : WEBSOCKET_INTERNAL,
                    good ? "" : "the node that has the log is not reachable");
}

static const WebSocketEvents agent_events = { .message = on_agent_message,
                                              .closed = on_agent_closed };

void tail_relay_serve(HttpRequest *request, const char *url, const char *token) {
    Loop *loop = http_request_loop(request);
    Relay *relay = mem_new(Relay);
    int r = websocket_accept(request, NULL, NULL, &client_events, relay, &relay->client);
    if (r != 0) {
        mem_free(relay);
        return;
    }
    const WebSocketTarget target = { .url = url, .bearer = token, .timeout = CONNECT_TIMEOUT };
    r = websocket_connect(loop, &target, NULL, &agent_events, relay, &relay->agent);
    if (r < 0)
        websocket_close(relay->client, WEBSOCKET_INTERNAL,
                        "the node that has the log is not reachable");
}
