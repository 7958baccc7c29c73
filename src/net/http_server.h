/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An HTTP server: HTTP/1.1, of which nothing is said here, so that HTTP/2 can come behind it.
 *
 * A handler gets a request when its head is complete, and owes it exactly one response: either
 * http_respond*(), or http_response_start() … http_response_end(), or an upgrade. The request is
 * the handler's until that last call and gone when it returns; keep no pointer after it. When the
 * client leaves early the request stays valid: `gone` is called once (watches and log followers
 * stop), what is written goes nowhere, and the handler still ends it as always.
 *
 * Bodies: http_request_read() collects one (bounded) and calls back; http_request_stream() delivers
 * pieces as they come. Without either the body is skipped (a short one) or the connection closed.
 * "Expect: 100-continue" is answered by the first of these two calls.
 */

#include "net/http.h"
#include "net/listener.h"

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;
typedef void HttpHandlerFn(void *ctx, HttpRequest *request);

typedef struct HttpServerOptions { /* 0 means the default in brackets */
    size_t connections_max;        /* [1024] */
    size_t line_max;               /* request line [16 KiB]: 414 */
    size_t head_max;               /* all header fields [64 KiB]: 431 */
    size_t headers_max;            /* number of fields [128]: 431 */
    uint64_t body_max;             /* of any request [512 MiB]: 413 */
    usec_t head_timeout;           /* from the first byte to the end of the head [10 s]: 408 */
    usec_t body_timeout;           /* without progress of a body that is wanted [30 s] */
    usec_t write_timeout;          /* without progress of a response [60 s] */
    usec_t keep_alive;             /* idle between requests [120 s] */
    const char *server_name;       /* Server header; NULL: none */
} HttpServerOptions;

HttpServer *http_server_new(Loop *loop, const HttpServerOptions *options, HttpHandlerFn *handler,
                            void *ctx);
/* Any number of listeners. `tls` (referenced) may be NULL. ret_bound may be NULL. */
_must_check_ int http_server_listen(HttpServer *server, const NetAddress *address, TlsContext *tls,
                                    NetAddress *ret_bound);
/* Takes a listening socket. */
_must_check_ int http_server_listen_fd(HttpServer *server, int fd, TlsContext *tls);
/* Serves a stream that came another way (a socket pair, a test). Takes it. */
void http_server_serve(HttpServer *server, Stream *stream);
/* Stops accepting, closes idle connections; those with requests end after their responses. */
void http_server_drain(HttpServer *server);
size_t http_server_connections(const HttpServer *server);
uint64_t http_server_refused(const HttpServer *server); /* malformed requests so far */
/* Closes everything. Open requests see `gone` and still belong to their handlers. */
HttpServer *http_server_free(HttpServer *server);
DEFINE_CLEANUP(HttpServer *, http_server_free);

/* The request. All text is borrowed from it. */
const char *http_request_method(const HttpRequest *request); /* "GET"; a HEAD stays "HEAD" */
bool http_request_is(const HttpRequest *request, const char *method);
const char *http_request_path(const HttpRequest *request);   /* decoded, no "." or ".." segments */
const char *http_request_target(const HttpRequest *request); /* as sent */
const HttpQuery *http_request_query(const HttpRequest *request);
const char *http_request_param(const HttpRequest *request, const char *name);  /* of the router */
const HttpHeaders *http_request_headers(const HttpRequest *request);
const char *http_request_header(const HttpRequest *request, const char *name); /* or NULL */
int64_t http_request_content_length(const HttpRequest *request); /* -1: chunked; 0: no body */
Stream *http_request_stream_of(HttpRequest *request);            /* peer facts; NULL once gone */
Loop *http_request_loop(const HttpRequest *request);
/* Memory that lives as long as the request. */
struct Arena *http_request_arena(HttpRequest *request);

/* The client left (closed, or merely ended its sending: then a response may still arrive), or the
 * server was freed. Called once, never after the response has ended; a body that was waited for is
 * told first. When it has happened already it is told soon, never from within. */
void http_request_on_gone(HttpRequest *request, LoopFn *gone, void *ctx);
bool http_request_gone(const HttpRequest *request);

/* Collects the body. `fn` is called once: with r 0 and the whole (borrowed for the call); -EFBIG
 * if it is longer than `max`; -ECONNRESET if the client left in the middle; -ETIMEDOUT if it
 * stalled; -EPROTO if it broke the rules. The response is still owed, in all cases:
 * http_respond_error() says the right thing for each. */
typedef void HttpBodyFn(void *ctx, HttpRequest *request, int r, Slice body);
void http_request_read(HttpRequest *request, size_t max, HttpBodyFn *fn, void *ctx);
/* Pieces as they come (borrowed for the call); the last call has `last` set (its data may be
 * empty). r as above. http_request_pause() holds the client back. */
typedef void HttpChunkFn(void *ctx, HttpRequest *request, int r, Slice data, bool last);
void http_request_stream(HttpRequest *request, uint64_t max, HttpChunkFn *fn, void *ctx);
void http_request_pause(HttpRequest *request, bool paused);

/* Responses in one go. Date, Content-Length and connection headers are the server's business;
 * a HEAD gets no body. Extra headers come from http_response_header() before. */
void http_response_header(HttpRequest *request, const char *name, const char *value);
void http_respond(HttpRequest *request, int status, const char *content_type, Slice body);
void http_respond_text(HttpRequest *request, int status, const char *format, ...) _printf_(3, 4);
void http_respond_bytes(HttpRequest *request, int status, const char *content_type,
                        NetBytes *bytes);
/* A failure as plain text with its sentence: 400 for -EINVAL and -EPROTO, 404 -ENOENT, 408
 * -ETIMEDOUT, 409 -EEXIST, 413 -EFBIG, 403 -EACCES and -EPERM, 503 -EAGAIN and -EBUSY, else 500. */
void http_respond_error(HttpRequest *request, int r);

/* Streaming responses. length -1: unknown (chunked). */
void http_response_start(HttpRequest *request, int status, const char *content_type,
                         int64_t length);
void http_response_write(HttpRequest *request, Slice data);
void http_response_write_bytes(HttpRequest *request, NetBytes *bytes);
bool http_response_started(const HttpRequest *request);
/* A slow reader: stop producing until `drained` is called. */
bool http_response_congested(const HttpRequest *request);
size_t http_response_queued(const HttpRequest *request);
void http_response_on_drain(HttpRequest *request, LoopFn *drained, void *ctx);
void http_response_end(HttpRequest *request);
/* After a start: cuts the connection, so that the client sees that the response is not whole. */
void http_response_abort(HttpRequest *request);

/* Upgrade: sends 101 with the headers set before and hands the stream over; the request is over.
 * NULL if the client is gone. WebSocket does this by itself (net/websocket.h). */
bool http_request_wants_upgrade(const HttpRequest *request, const char *protocol);
Stream *http_request_upgrade(HttpRequest *request, const char *protocol);
