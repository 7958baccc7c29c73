/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the server's parts know of each other: http_server.c (listeners, life), http_conn.c
 * (HTTP/1.1 on a stream), http_request.c (a request and its response). */

#include "base/arena.h"
#include "base/list.h"
#include "net/http1.h"
#include "net/http_server.h"

typedef struct HttpConn HttpConn;

struct HttpServer {
    Loop *loop;
    HttpServerOptions options;
    char *server_name;
    HttpHandlerFn *handler;
    void *ctx;
    List listeners; /* HttpListener.link */
    List conns;     /* HttpConn.link */
    size_t conn_count;
    uint64_t refused;
    bool draining;
    usec_t date_second; /* of `date` */
    char date[32];
};

typedef enum HttpBodyMode {
    HTTP_BODY_UNASKED, /* the handler has not said yet whether it wants it */
    HTTP_BODY_COLLECT,
    HTTP_BODY_STREAM,
    HTTP_BODY_OVER, /* all was delivered, or there is none */
} HttpBodyMode;

struct HttpRequest {
    HttpConn *conn; /* NULL once the client is gone for good */
    Loop *loop;
    Http1Head head;
    char *raw_path, *path; /* as sent and decoded, without the query */
    HttpQuery query, params;
    Arena arena;

    HttpBodyMode body_mode;
    uint64_t body_max, body_seen;
    Buf body;
    LoopTask *body_task; /* delivers what the connection will not */
    LoopTask *gone_task; /* tells who asks to be told after it happened */
    HttpBodyFn *body_fn;
    HttpChunkFn *chunk_fn;
    void *body_ctx;
    bool body_paused, continue_sent;

    HttpHeaders response;
    bool started, chunked, without_body, ended;
    int64_t length_left; /* of a response with a declared length; -1: unknown */

    LoopFn *gone_fn, *drain_fn;
    void *gone_ctx, *drain_ctx;
    bool gone;

    int depth; /* of calls into the handler's functions; memory goes when it is 0 */
};

struct HttpConn {
    List link; /* in HttpServer.conns */
    HttpServer *server;
    Stream *stream;
    HttpRequest *request;  /* the one that is being served */
    size_t scanned;        /* of the input, while the end of a head is looked for */
    int64_t body_left;     /* on the wire; HTTP1_LENGTH_CHUNKED: as `chunks` says */
    Http1Chunks chunks;
    LoopTask *more;        /* looks at the input again: pipelined requests, bodies wanted now */
    LoopTimer *timer;      /* the nearest of the deadlines below */
    usec_t read_deadline;  /* head, body, or keep-alive, as `phase` says */
    usec_t write_deadline; /* progress of the response */
    uint64_t write_mark;   /* stream_sent() at the last progress */
    bool head_begun;
    bool keep_alive;       /* after the request that is being served: said in its response */
    bool eof;
    int depth;
    bool freed;
};

/* http_conn.c */
void http_conn_new(HttpServer *server, Stream *stream);
void http_conn_free(HttpConn *conn);
void http_conn_body_wanted(HttpConn *conn);
void http_conn_written(HttpConn *conn);     /* output was queued: progress is watched from here */
bool http_conn_stays(const HttpConn *conn); /* may serve another request after this one */
/* The response is complete (or cut off): what follows on the connection. */
void http_conn_response_over(HttpConn *conn, bool cut);
Stream *http_conn_take_stream(HttpConn *conn); /* for an upgrade; the connection is gone */
const char *http_server_date(HttpServer *server);

/* http_request.c */
/* Takes the head. -EPROTO with a sentence for a path or query that is no good. */
_must_check_ int http_request_new(HttpConn *conn, Http1Head *head, HttpRequest **ret_request);
void http_request_free(HttpRequest *request);
/* A call into the handler's code begins; http_request_leave() is false if the request ended. */
void http_request_enter(HttpRequest *request);
bool http_request_leave(HttpRequest *request);
bool http_request_body_take(HttpRequest *request, Slice data, bool last); /* false: it ended */
bool http_request_body_fail(HttpRequest *request, int r);                 /* false: it ended */
void http_request_tell_gone(HttpRequest *request);
