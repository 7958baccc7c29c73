/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "net/websocket.h"

struct wslay_event_context;

struct WebSocket {
    Stream *stream;                    /* NULL once ended */
    struct wslay_event_context *wslay; /* NULL while the handshake goes on */
    struct WebSocketOpening *opening;  /* clients, until they are open */
    const WebSocketEvents *events;
    void *ctx;
    WebSocketOptions options;
    LoopTask *task;   /* reads again after a pause, and tells the end */
    LoopTimer *timer; /* pings; the wait for the answer to our close */
    char *protocol;
    bool client, paused;
    bool closing;   /* we said goodbye */
    int pings_open; /* without a sign of life since */
    bool ended, told;
    int code;
    char *reason;
    int depth;
    bool freed;
};

/* websocket.c */
WebSocket *websocket_alloc(Loop *loop, bool client, const WebSocketOptions *options,
                           const WebSocketEvents *events, void *ctx);
void websocket_attach(WebSocket *ws, Stream *stream);
void websocket_frames_begin(WebSocket *ws); /* the handshake is done */
void websocket_take(WebSocket *ws);
void websocket_tell_open(WebSocket *ws);
void websocket_end(WebSocket *ws, int code, const char *reason);

/* websocket_open.c: the client's handshake */
void websocket_opening_connected(WebSocket *ws);
void websocket_opening_data(WebSocket *ws);
void websocket_opening_free(WebSocket *ws);
