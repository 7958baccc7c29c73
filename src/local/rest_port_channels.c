/* SPDX-License-Identifier: Apache-2.0 */
#include "local/rest_node.h"
#include "net/websocket.h"

/*
 * pods/portforward as v4.channel.k8s.io, which the Python client speaks: the ports stand in the URL,
 * port i has the channels 2i (data) and 2i + 1 (errors), and both begin with the port's number in two
 * bytes. There is one connection a port and no half-close; when all have ended the socket is closed.
 */

enum {
    PORTS_MAX = 16,
    EARLY_MAX = 1024 * 1024,
};

typedef struct PortChannels PortChannels;

typedef struct PortChannel {
    PortChannels *owner;
    WebSocket *agent; /* NULL once it has ended */
    Buf early;        /* bytes before the agent is there */
    bool open;
    uint8_t data, error;
} PortChannel;

struct PortChannels {
    WebSocket *client;
    PortChannel ports[PORTS_MAX];
    size_t count, live;
};

static const WebSocketOptions OPTIONS = { .message_max = 4 * 1024 * 1024,
                                          .ping_interval = 30 * USEC_PER_SEC };

static void channels_free(PortChannels *channels) {
    for (size_t i = 0; i < channels->count; i++) {
        websocket_free(channels->ports[i].agent);
        buf_done(&channels->ports[i].early);
    }
    websocket_free(channels->client);
    free(channels);
}

static void send_on(PortChannels *channels, uint8_t channel, Slice data) {
    websocket_send_prefixed(channels->client, WEBSOCKET_BINARY,
                            (Slice){ (const char *)&channel, 1 }, data);
}

static void port_end(PortChannel *port, const char *why) {
    PortChannels *channels = port->owner;
    port->agent = websocket_free(port->agent);
    websocket_pause(channels->client, false); /* it may have waited for this one */
    if (!str_empty(why))
        send_on(channels, port->error, slice_str(why));
    if (--channels->live == 0)
        websocket_close(channels->client, WEBSOCKET_NORMAL, "");
}

/* The agent's side of one port. */

static void on_agent_open(void *ctx, WebSocket *ws) {
    PortChannel *port = ctx;
    port->open = true;
    if (port->early.len > 0)
        websocket_send(ws, WEBSOCKET_BINARY, buf_slice(&port->early));
    buf_done(&port->early);
    port->early = (Buf){ 0 };
}

static void on_agent_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    PortChannel *port = ctx;
    if (data.len == 0)
        return; /* its end of the connection: the close follows */
    send_on(port->owner, port->data, data);
    if (websocket_congested(port->owner->client))
        websocket_pause(ws, true);
}

static void on_agent_drained(void *ctx, WebSocket *ws) {
    PortChannel *port = ctx;
    websocket_pause(port->owner->client, false);
}

static void on_agent_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    port_end(ctx, code == WEBSOCKET_NORMAL || code == WEBSOCKET_NO_CODE ? NULL : reason);
}

static const WebSocketEvents AGENT_EVENTS = {
    .open = on_agent_open,
    .message = on_agent_message,
    .drained = on_agent_drained,
    .closed = on_agent_closed,
};

/* The client's side. */

static void on_client_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    PortChannels *channels = ctx;
    size_t index = data.len > 0 ? (uint8_t)data.data[0] / 2 : 0;
    if (data.len == 0 || (uint8_t)data.data[0] % 2 || index >= channels->count)
        return; /* nothing, or the error channel, which is ours */
    PortChannel *port = &channels->ports[index];
    Slice bytes = { data.data + 1, data.len - 1 };
    if (!port->agent || bytes.len == 0)
        return;
    if (!port->open) {
        buf_add(&port->early, bytes.data, bytes.len);
        if (port->early.len > EARLY_MAX)
            port_end(port, "the pod does not take what is sent");
        return;
    }
    websocket_send(port->agent, WEBSOCKET_BINARY, bytes);
    if (websocket_congested(port->agent))
        websocket_pause(ws, true);
}

static void on_client_drained(void *ctx, WebSocket *ws) {
    PortChannels *channels = ctx;
    for (size_t i = 0; i < channels->count; i++)
        if (channels->ports[i].agent)
            websocket_pause(channels->ports[i].agent, false);
}

static void on_client_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    channels_free(ctx);
}

static const WebSocketEvents CLIENT_EVENTS = {
    .message = on_client_message,
    .drained = on_client_drained,
    .closed = on_client_closed,
};

/* "ports=80,8080", also repeated. */
static int read_ports(Rest *rest, uint16_t ports[static PORTS_MAX], size_t *ret_count) {
    const HttpQuery *query = http_request_query(rest->http);
    size_t count = 0;
    for (size_t i = 0; i < query->len; i++) {
        if (!str_eq(query->items[i].name, "ports"))
            continue;
        _cleanup_free_ char *list = str_dup(query->items[i].value);
        char *rest_of = NULL;
        for (char *word = strtok_r(list, ",", &rest_of); word;
             word = strtok_r(NULL, ",", &rest_of)) {
            int64_t port;
            if (str_to_i64(word, &port) < 0 || port < 1 || port > 65535)
                return status_bad_request(&rest->call.status, "ports: \"%s\" is no port", word);
            if (count == PORTS_MAX)
                return status_bad_request(&rest->call.status, "ports: at most %d", PORTS_MAX);
            ports[count++] = (uint16_t)port;
        }
    }
    *ret_count = count;
    return count > 0
               ? 0
               : status_bad_request(&rest->call.status, "query parameter \"ports\" is required");
}

static void port_start(PortChannels *channels, ApiServer *server, const char *base_url,
                       size_t index, uint16_t number) {
    static const char *const protocols[] = { "v1.bytes.mobula.io", NULL };
    PortChannel *port = &channels->ports[index];
    const char greeting[2] = { (char)(number & 0xff), (char)(number >> 8) };
    _cleanup_free_ char *url = str_printf("%s?port=%u", base_url, number);
    WebSocketTarget target = { .url = url,
                               .bearer = server->agent_token,
                               .protocols = protocols,
                               .timeout = 30 * USEC_PER_SEC };
    *port = (PortChannel){ .owner = channels,
                           .data = (uint8_t)(2 * index),
                           .error = (uint8_t)(2 * index + 1) };
    send_on(channels, port->data, (Slice){ greeting, 2 });
    send_on(channels, port->error, (Slice){ greeting, 2 });
    int r = websocket_connect(server->loop, &target, &OPTIONS, &AGENT_EVENTS, port, &port->agent);
    if (r < 0)
        port_end(port, error_text(r));
}

void rest_port_channels(Rest *rest, const char *base_url) {
    static const char *const protocols[] = { "v4.channel.k8s.io", NULL };
    ApiServer *server = rest->server;
    uint16_t numbers[PORTS_MAX];
    size_t count;
    if (read_ports(rest, numbers, &count) != 0) {
        rest_reply_status(rest);
        return;
    }
    PortChannels *channels = mem_new(PortChannels);
    int r = websocket_accept(rest->http, protocols, &OPTIONS, &CLIENT_EVENTS, channels,
                             &channels->client);
    rest_free(rest);
    if (r != 0) {
        channels_free(channels);
        return;
    }
    channels->count = channels->live = count;
    for (size_t i = 0; i < count; i++)
        port_start(channels, server, base_url, i, numbers[i]);
}
