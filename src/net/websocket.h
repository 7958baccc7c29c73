/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * WebSockets (RFC 6455), both ends. Pings are answered by themselves; whole messages are
 * delivered, bounded. Never calls back from inside a call of this header.
 */

#include "net/http_client.h"
#include "net/http_server.h"

typedef struct WebSocket WebSocket;

typedef enum WebSocketKind {
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
} WebSocketKind;

enum { /* close codes */
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_NO_CODE = 1005,  /* the peer gave none (never sent) */
    WEBSOCKET_ABNORMAL = 1006, /* the connection broke (never sent) */
    WEBSOCKET_BAD_DATA = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL = 1011,
};

typedef struct WebSocketEvents { /* borrowed for life; each may be NULL but `closed` */
    /* Clients: the server said yes; websocket_protocol() is known. */
    void (*open)(void *ctx, WebSocket *ws);
    /* `data` is borrowed for the call and is valid UTF-8 for text. */
    void (*message)(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data);
    void (*drained)(void *ctx, WebSocket *ws);
    /* Once, and nothing after it: free it then. For a client that was refused: ABNORMAL, with the
     * server's sentence if it sent one as short plain text, or else one of ours. */
    void (*closed)(void *ctx, WebSocket *ws, int code, const char *reason);
} WebSocketEvents;

typedef struct WebSocketOptions {
    size_t message_max;   /* 0: 1 MiB; beyond: closed with TOO_BIG */
    usec_t ping_interval; /* 0: no pings of our own; else dead after two without an answer */
} WebSocketOptions;

/* Server: answers the upgrade request, which is over then. Of `protocols` (NULL-terminated, ours,
 * preferred first; NULL: none) the first that the client offers is chosen; an "" among them accepts a
 * client that offers none. Positive
 * WEBSOCKET_REFUSED: it was no valid upgrade, offers no protocol of ours, or the client left;
 * answered (400, 403 or 426) and over as well. */
enum {
    WEBSOCKET_REFUSED = 1
};
_must_check_ int websocket_accept(HttpRequest *request, const char *const *protocols,
                                  const WebSocketOptions *options, const WebSocketEvents *events,
                                  void *ctx, WebSocket **ret_ws);
bool websocket_requested(const HttpRequest *request);

/* Client: http(s):// or ws(s):// URL; connects within `timeout`. `tls` for https (referenced). */
typedef struct WebSocketTarget {
    const char *url;
    const char *unix_path;        /* or NULL */
    const HttpHeaders *headers;   /* or NULL */
    const char *bearer;           /* or NULL */
    const char *const *protocols; /* NULL-terminated, or NULL */
    TlsContext *tls;
    const char *tls_name;         /* NULL: the URL's host */
    usec_t timeout;
} WebSocketTarget;
_must_check_ int websocket_connect(Loop *loop, const WebSocketTarget *target,
                                   const WebSocketOptions *options, const WebSocketEvents *events,
                                   void *ctx, WebSocket **ret_ws);

void websocket_send(WebSocket *ws, WebSocketKind kind, Slice data);
/* The message in two pieces: channel protocols put a byte in front. */
void websocket_send_prefixed(WebSocket *ws, WebSocketKind kind, Slice prefix, Slice data);
bool websocket_congested(const WebSocket *ws);
/* Messages stop coming, but for those within the few KiB that were read already. */
void websocket_pause(WebSocket *ws, bool paused);
/* Says goodbye; `closed` follows when the peer has answered, or after 5 s. */
void websocket_close(WebSocket *ws, int code, const char *reason);
const char *websocket_protocol(const WebSocket *ws); /* agreed subprotocol, or "" */
WebSocket *websocket_free(WebSocket *ws);            /* at once */
DEFINE_CLEANUP(WebSocket *, websocket_free);
