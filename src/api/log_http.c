/* SPDX-License-Identifier: Apache-2.0 */
#include "api/log_http.h"

typedef struct LogSocket {
    WebSocket *ws;
    LogTail *tail;
    LoopTimer *timer;
    LoopFinal *final;
    LogOverFn *over;
    void *ctx;
    char *submission;
} LogSocket;

static void socket_free(LogSocket *socket) {
    websocket_free(socket->ws);
    log_tail_free(socket->tail);
    loop_timer_free(socket->timer);
    loop_final_free(socket->final);
    mem_free(socket->submission);
    mem_free(socket);
}

static void on_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    socket_free(ctx);
}

static void on_drained(void *ctx, WebSocket *ws) {
    LogSocket *socket = ctx;
    log_tail_pause(socket->tail, false);
}

static const WebSocketEvents events = { .drained = on_drained, .closed = on_closed };

static void on_text(void *ctx, Slice text) {
    LogSocket *socket = ctx;
    websocket_send(socket->ws, WEBSOCKET_TEXT, text);
    if (websocket_congested(socket->ws))
        log_tail_pause(socket->tail, true);
}

static void on_end(void *ctx) {
    LogSocket *socket = ctx;
    websocket_close(socket->ws, WEBSOCKET_NORMAL, "");
}

static void on_timer(void *ctx) {
    LogSocket *socket = ctx;
    if (!socket->over(socket->ctx, socket->submission))
        return;
    loop_timer_stop(socket->timer);
    log_tail_finish(socket->tail, on_end);
}

static void on_final(void *ctx) {
    socket_free(ctx);
}

void log_socket_serve(HttpRequest *request, LogTails *tails, const char *path,
                      const char *submission, usec_t period, LogOverFn *over, void *ctx) {
    Loop *loop = http_request_loop(request);
    LogSocket *socket = mem_new(LogSocket);
    socket->over = over;
    socket->ctx = ctx;
    socket->submission = str_dup(submission);
    socket->final = loop_final_new(loop, on_final, socket);
    int r = log_tail_new(tails, path, 0, on_text, socket, &socket->tail);
    if (r < 0)
        http_respond_error(request, r);
    else
        r = websocket_accept(request, NULL, NULL, &events, socket, &socket->ws);
    if (r != 0) {
        socket_free(socket);
        return;
    }
    socket->timer = loop_timer_new(loop, on_timer, socket);
    loop_timer_every(socket->timer, period);
    on_timer(socket);
}
