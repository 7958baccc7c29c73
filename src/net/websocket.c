/* SPDX-License-Identifier: Apache-2.0 */
/* Frames are wslay's; bytes, time and life are here. Handshakes: websocket_open.c. */
#include "net/websocket.h"

#include <wslay/wslay.h>

#include "net/websocket_private.h"

enum {
    MESSAGE_MAX = 1024 * 1024
};
#define CLOSE_TIMEOUT (5 * USEC_PER_SEC)
#define LINGER        (2 * USEC_PER_SEC)

static void memory_free(WebSocket *ws) {
    if (ws->wslay)
        wslay_event_context_free(ws->wslay);
    mem_free(ws->protocol);
    mem_free(ws->reason);
    websocket_opening_free(ws);
    mem_free(ws);
}

WebSocket *websocket_free(WebSocket *ws) {
    if (!ws)
        return NULL;
    ASSERT(!ws->freed);
    stream_free(ws->stream);
    ws->stream = NULL;
    loop_task_free(ws->task);
    loop_timer_free(ws->timer);
    ws->freed = true;
    if (ws->depth == 0)
        memory_free(ws);
    return NULL;
}

static void enter(WebSocket *ws) {
    ws->depth++;
}

/* False: it is gone, touch nothing. */
static bool leave(WebSocket *ws) {
    ws->depth--;
    if (!ws->freed)
        return true;
    if (ws->depth == 0)
        memory_free(ws);
    return false;
}

void websocket_end(WebSocket *ws, int code, const char *reason) {
    if (ws->ended)
        return;
    ws->ended = true;
    ws->code = code;
    str_set(&ws->reason, reason);
    loop_timer_stop(ws->timer);
    if (ws->stream)
        stream_free_later(TAKE(ws->stream), LINGER);
    loop_task_arm(ws->task);
}

/* wslay's three needs. */

static ssize_t take_input(wslay_event_context_ptr ctx, uint8_t *out, size_t room, int flags,
                          void *user) {
    UNUSED(flags);
    WebSocket *ws = user;
    Slice input = ws->freed || ws->paused || !ws->stream ? (Slice){ 0 } : stream_input(ws->stream);
    if (input.len == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t len = MIN(room, input.len);
    memcpy(out, input.data, len);
    stream_consume(ws->stream, len);
    return (ssize_t)len;
}

static ssize_t put_output(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                          void *user) {
    UNUSED(ctx);
    UNUSED(flags);
    WebSocket *ws = user;
    if (ws->stream)
        stream_write(ws->stream, data, len);
    return (ssize_t)len;
}

static int make_mask(wslay_event_context_ptr ctx, uint8_t *out, size_t len, void *user) {
    UNUSED(ctx);
    UNUSED(user);
    mem_random(out, len);
    return 0;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
                       void *user) {
    UNUSED(ctx);
    WebSocket *ws = user;
    ws->pings_open = 0; /* it lives */
    if (ws->freed || ws->ended)
        return;
    if (arg->opcode == WSLAY_CONNECTION_CLOSE) {
        Slice reason = { (const char *)arg->msg, arg->msg_length };
        if (reason.len >= 2) /* the code stands before it */
            reason = (Slice){ reason.data + 2, reason.len - 2 };
        mem_free(ws->reason);
        ws->reason = str_dup_slice(reason);
    } else if (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME) {
        Slice data = { (const char *)arg->msg, arg->msg_length };
        if (ws->events->message && !ws->closing)
            ws->events->message(ws->ctx, ws,
                                arg->opcode == WSLAY_TEXT_FRAME ? WEBSOCKET_TEXT : WEBSOCKET_BINARY,
                                data);
    }
}

void websocket_frames_begin(WebSocket *ws) {
    static const struct wslay_event_callbacks callbacks = { .recv_callback = take_input,
                                                            .send_callback = put_output,
                                                            .genmask_callback = make_mask,
                                                            .on_msg_recv_callback = on_message };
    int r = ws->client ? wslay_event_context_client_init(&ws->wslay, &callbacks, ws)
                       : wslay_event_context_server_init(&ws->wslay, &callbacks, ws);
    ASSERT(r == 0);
    wslay_event_config_set_max_recv_msg_length(
        ws->wslay, ws->options.message_max ? ws->options.message_max : MESSAGE_MAX);
    if (ws->options.ping_interval)
        loop_timer_every(ws->timer, ws->options.ping_interval);
}

/* Sends what wslay has queued and notices the end of the conversation. */
static void send_queued(WebSocket *ws) {
    if (!ws->wslay || ws->ended)
        return;
    if (wslay_event_send(ws->wslay) < 0) {
        websocket_end(ws, WEBSOCKET_INTERNAL, "frame could not be written");
        return;
    }
    if (wslay_event_want_read(ws->wslay) || wslay_event_want_write(ws->wslay))
        return;
    bool theirs = wslay_event_get_close_received(ws->wslay);
    int code = theirs ? wslay_event_get_status_code_received(ws->wslay)
                      : wslay_event_get_status_code_sent(ws->wslay);
    _cleanup_free_ char *reason = str_dup(ws->reason ? ws->reason : "");
    websocket_end(ws, code ? code : WEBSOCKET_NO_CODE, reason);
}

void websocket_take(WebSocket *ws) {
    if (!ws->wslay || ws->ended || ws->paused)
        return;
    enter(ws);
    int r = wslay_event_recv(ws->wslay);
    if (!leave(ws))
        return;
    if (r < 0)
        websocket_end(ws, WEBSOCKET_PROTOCOL_ERROR, "malformed frames");
    else
        send_queued(ws);
}

static void tell_closed(WebSocket *ws) {
    if (ws->told)
        return;
    ws->told = true;
    enter(ws);
    ws->events->closed(ws->ctx, ws, ws->code, ws->reason ? ws->reason : "");
    leave(ws);
}

static void task_run(void *ctx) {
    WebSocket *ws = ctx;
    if (ws->ended)
        tell_closed(ws);
    else
        websocket_take(ws);
}

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    WebSocket *ws = ctx;
    if (ws->ended)
        return;
    switch (event) {
    case STREAM_CONNECTED:
        websocket_opening_connected(ws);
        break;
    case STREAM_DATA:
        if (ws->wslay)
            websocket_take(ws);
        else
            websocket_opening_data(ws);
        break;
    case STREAM_DRAINED:
        if (ws->events->drained) {
            enter(ws);
            ws->events->drained(ws->ctx, ws);
            leave(ws);
        }
        break;
    case STREAM_EOF:
        websocket_end(ws, WEBSOCKET_ABNORMAL, "the peer closed without a goodbye");
        break;
    case STREAM_FAILED:
        websocket_end(ws, WEBSOCKET_ABNORMAL, stream_error_text(stream));
        break;
    }
}

static void time_is_up(void *ctx) {
    WebSocket *ws = ctx;
    if (ws->closing) {
        websocket_end(ws, WEBSOCKET_ABNORMAL, "the peer did not answer the goodbye");
    } else if (ws->pings_open == 2) {
        websocket_end(ws, WEBSOCKET_ABNORMAL, "the peer does not answer pings");
    } else {
        struct wslay_event_msg ping = { .opcode = WSLAY_PING };
        ws->pings_open++;
        wslay_event_queue_msg(ws->wslay, &ping);
        send_queued(ws);
    }
}

WebSocket *websocket_alloc(Loop *loop, bool client, const WebSocketOptions *options,
                           const WebSocketEvents *events, void *ctx) {
    WebSocket *ws = mem_new(WebSocket);
    *ws = (WebSocket){ .events = events, .ctx = ctx, .client = client };
    if (options)
        ws->options = *options;
    ws->task = loop_task_new(loop, task_run, ws);
    ws->timer = loop_timer_new(loop, time_is_up, ws);
    return ws;
}

void websocket_attach(WebSocket *ws, Stream *stream) {
    ws->stream = stream;
    stream_set_callback(stream, on_stream, ws);
}

void websocket_tell_open(WebSocket *ws) {
    if (!ws->events->open)
        return;
    enter(ws);
    ws->events->open(ws->ctx, ws);
    leave(ws);
}

void websocket_send_prefixed(WebSocket *ws, WebSocketKind kind, Slice prefix, Slice data) {
    if (!ws->wslay || ws->ended || ws->closing)
        return;
    _cleanup_buf_ Buf joined = { 0 };
    if (prefix.len) {
        buf_add(&joined, prefix.data, prefix.len);
        buf_add(&joined, data.data, data.len);
        data = buf_slice(&joined);
    }
    struct wslay_event_msg message = { .opcode = kind == WEBSOCKET_TEXT ? WSLAY_TEXT_FRAME
                                                                        : WSLAY_BINARY_FRAME,
                                       .msg = (const uint8_t *)data.data,
                                       .msg_length = data.len };
    wslay_event_queue_msg(ws->wslay, &message);
    send_queued(ws);
}

void websocket_send(WebSocket *ws, WebSocketKind kind, Slice data) {
    websocket_send_prefixed(ws, kind, (Slice){ 0 }, data);
}

bool websocket_congested(const WebSocket *ws) {
    return ws->stream && stream_congested(ws->stream);
}

void websocket_pause(WebSocket *ws, bool paused) {
    if (ws->paused == paused || ws->ended)
        return;
    ws->paused = paused;
    if (!paused)
        loop_task_arm(ws->task);
}

void websocket_close(WebSocket *ws, int code, const char *reason) {
    enum {
        REASON_MAX = 123 /* what fits into a control frame beside the code */
    };
    if (ws->ended || ws->closing)
        return;
    if (!ws->wslay) {
        websocket_end(ws, WEBSOCKET_ABNORMAL, "closed before it was open");
        return;
    }
    ws->closing = true;
    if (ws->paused)
        websocket_pause(ws, false); /* or their answer would not be read */
    wslay_event_queue_close(ws->wslay, (uint16_t)code, (const uint8_t *)reason,
                            reason ? MIN(strlen(reason), (size_t)REASON_MAX) : 0);
    loop_timer_after(ws->timer, CLOSE_TIMEOUT);
    send_queued(ws);
}

const char *websocket_protocol(const WebSocket *ws) {
    return ws->protocol ? ws->protocol : "";
}
