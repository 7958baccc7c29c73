/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_server.h"

#include <stdio.h>
#include <time.h>

#include "base/fd.h"
#include "net/http_private.h"

#define TLS_HANDSHAKE_TIMEOUT (10 * USEC_PER_SEC)

typedef struct HttpListener {
    List link;
    HttpServer *server;
    Listener *listener;
    TlsContext *tls;
} HttpListener;

static void options_default(HttpServerOptions *o) {
    o->connections_max = o->connections_max ? o->connections_max : 1024;
    o->line_max = o->line_max ? o->line_max : 16 * 1024;
    o->head_max = o->head_max ? o->head_max : 64 * 1024;
    o->headers_max = o->headers_max ? o->headers_max : 128;
    o->body_max = o->body_max ? o->body_max : 512ull * 1024 * 1024;
    o->head_timeout = o->head_timeout ? o->head_timeout : 10 * USEC_PER_SEC;
    o->body_timeout = o->body_timeout ? o->body_timeout : 30 * USEC_PER_SEC;
    o->write_timeout = o->write_timeout ? o->write_timeout : 60 * USEC_PER_SEC;
    o->keep_alive = o->keep_alive ? o->keep_alive : 120 * USEC_PER_SEC;
}

HttpServer *http_server_new(Loop *loop, const HttpServerOptions *options, HttpHandlerFn *handler,
                            void *ctx) {
    HttpServer *server = mem_new(HttpServer);
    server->loop = loop;
    if (options)
        server->options = *options;
    options_default(&server->options);
    server->server_name = str_dup(server->options.server_name);
    server->options.server_name = server->server_name;
    server->handler = handler;
    server->ctx = ctx;
    list_init(&server->listeners);
    list_init(&server->conns);
    return server;
}

static void on_accept(void *ctx, Stream *stream) {
    HttpListener *listener = ctx;
    if (listener->tls && stream_start_tls(stream, listener->tls, NULL, TLS_HANDSHAKE_TIMEOUT) < 0) {
        stream_free(stream);
        return;
    }
    http_conn_new(listener->server, stream);
}

static HttpListener *listener_alloc(HttpServer *server, TlsContext *tls) {
    HttpListener *listener = mem_new(HttpListener);
    list_init(&listener->link);
    listener->server = server;
    listener->tls = tls ? tls_context_ref(tls) : NULL;
    return listener;
}

static void listener_done(HttpListener *listener) {
    list_remove(&listener->link);
    listener_free(listener->listener);
    tls_context_unref(listener->tls);
    mem_free(listener);
}

int http_server_listen(HttpServer *server, const NetAddress *address, TlsContext *tls,
                       NetAddress *ret_bound) {
    HttpListener *listener = listener_alloc(server, tls);
    int r = listener_new(server->loop, address, server->options.connections_max, on_accept,
                         listener, &listener->listener);
    if (r < 0) {
        listener_done(listener);
        return r;
    }
    list_push(&server->listeners, &listener->link);
    if (ret_bound)
        *ret_bound = *listener_address(listener->listener);
    return 0;
}

int http_server_listen_fd(HttpServer *server, int fd, TlsContext *tls) {
    HttpListener *listener = listener_alloc(server, tls);
    int r = listener_new_fd(server->loop, fd, server->options.connections_max, on_accept, listener,
                            &listener->listener);
    if (r < 0) {
        listener_done(listener);
        return r;
    }
    list_push(&server->listeners, &listener->link);
    return 0;
}

void http_server_serve(HttpServer *server, Stream *stream) {
    http_conn_new(server, stream);
}

static void listeners_close(HttpServer *server) {
    while (!list_empty(&server->listeners))
        listener_done(LIST_ITEM(server->listeners.next, HttpListener, link));
}

void http_server_drain(HttpServer *server) {
    server->draining = true;
    listeners_close(server);
    LIST_EACH(item, &server->conns)
        loop_task_arm(LIST_ITEM(item, HttpConn, link)->more);
}

size_t http_server_connections(const HttpServer *server) {
    return server->conn_count;
}

uint64_t http_server_refused(const HttpServer *server) {
    return server->refused;
}

HttpServer *http_server_free(HttpServer *server) {
    if (!server)
        return NULL;
    listeners_close(server);
    while (!list_empty(&server->conns))
        http_conn_free(LIST_ITEM(server->conns.next, HttpConn, link));
    mem_free(server->server_name);
    return mem_free(server);
}

/* RFC 9110's date, made once a second. */
const char *http_server_date(HttpServer *server) {
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    usec_t second = loop_wall_now(server->loop) / USEC_PER_SEC;
    if (second == server->date_second && server->date[0])
        return server->date;
    time_t t = (time_t)second;
    struct tm tm;
    gmtime_r(&t, &tm);
    server->date_second = second;
    snprintf(server->date, sizeof(server->date), "%s, %02d %s %04d %02d:%02d:%02d GMT",
             days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
             tm.tm_min, tm.tm_sec);
    return server->date;
}
