/* SPDX-License-Identifier: Apache-2.0 */

/* A whole connection of the HTTP server: any bytes, then the client's end. Each request gets exactly
 * one response, and nothing is left. */

#include <sys/socket.h>

#include "net/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ws_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    UNUSED(ctx);
    websocket_send(ws, kind, data);
}

static void ws_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    UNUSED(code);
    UNUSED(reason);
    *(WebSocket **)ctx = websocket_free(ws);
}

static const WebSocketEvents ws_events = { .message = ws_message, .closed = ws_closed };

static void body_done(void *ctx, HttpRequest *request, int r, Slice body) {
    UNUSED(ctx);
    if (r < 0)
        http_respond_error(request, r);
    else
        http_respond(request, 200, "x/y", body);
}

static void chunk(void *ctx, HttpRequest *request, int r, Slice data, bool last) {
    UNUSED(ctx);
    UNUSED(r);
    if (!http_response_started(request))
        http_response_start(request, 200, NULL, -1);
    http_response_write(request, data);
    if (last)
        http_response_end(request);
}

/* The path's second character says how it is served. */
static void handle(void *ctx, HttpRequest *request) {
    WebSocket **ws = ctx;
    switch (http_request_path(request)[1]) {
    case 'r':
        http_request_read(request, 1000, body_done, NULL);
        break;
    case 's':
        http_request_stream(request, 100000, chunk, NULL);
        break;
    case 'w':
        if (*ws || websocket_accept(request, NULL, &(WebSocketOptions){ .message_max = 1000 },
                                    &ws_events, ws, ws) != 0)
            if (*ws)
                http_respond_text(request, 409, "busy");
        break;
    default:
        http_respond_text(request, 404, "nothing");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Loop *loop; /* one for all inputs: making it costs more than an input */
    int fds[2];
    Stream *served = NULL, *client = NULL;
    WebSocket *ws = NULL;
    HttpServerOptions options = { .line_max = 512, .head_max = 2048, .headers_max = 16 };
    if (!loop)
        ASSERT(loop_new_virtual(0, 0, &loop) == 0);
    HttpServer *server = http_server_new(loop, &options, handle, &ws);
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    ASSERT(stream_new(loop, fds[0], NULL, NULL, &client) == 0);
    ASSERT(stream_new(loop, fds[1], NULL, NULL, &served) == 0);
    http_server_serve(server, served);
    stream_write(client, data, size);
    stream_shutdown(client);
    loop_run_until(loop, loop_deadline(loop, 300 * USEC_PER_SEC));
    ASSERT(http_server_connections(server) == 0);
    websocket_free(ws);
    stream_free(client);
    http_server_free(server);
    return 0;
}
