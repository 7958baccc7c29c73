/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on the loop. curl forbids most of its calls inside its callbacks, and
 * we forbid ours inside the calls that ask for them: so adding, resuming and removing handles, and
 * telling results, all happen in one place, sweep().
 */
#include "net/http_client.h"

#include <curl/curl.h>
#include <stdio.h>

#include "base/library.h"
#include "base/list.h"
#include "base/vec.h"

enum {
    BODY_MAX = 64 * 1024 * 1024,
    HEADERS_MAX = 256,
    KEPT_CONNECTIONS = 16
};
#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)
#define TIMEOUT         (60 * USEC_PER_SEC)

#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_init)                                                                              \
    X(curl_easy_pause)                                                                             \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_strerror)                                                                          \
    X(curl_global_cleanup)                                                                         \
    X(curl_global_init)                                                                            \
    X(curl_multi_add_handle)                                                                       \
    X(curl_multi_assign)                                                                           \
    X(curl_multi_cleanup)                                                                          \
    X(curl_multi_info_read)                                                                        \
    X(curl_multi_init)                                                                             \
    X(curl_multi_remove_handle)                                                                    \
    X(curl_multi_setopt)                                                                           \
    X(curl_multi_socket_action)                                                                    \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)

CURL_FUNCTIONS(LIBRARY_DEFINE)

static int load_curl(void) {
    static const LibrarySymbol symbols[] = { CURL_FUNCTIONS(LIBRARY_SYMBOL) };
    return library_load("libcurl.so.4", "libcurl4", symbols, ARRAY_LEN(symbols));
}

struct HttpClient {
    Loop *loop;
    CURLM *multi;
    LoopTimer *timer; /* curl's */
    LoopTask *sweep;
    List calls;       /* HttpCall.link */
    List sockets;     /* HttpSocket.link */
    int depth;        /* of ways into users' code */
};

typedef struct HttpSocket {
    List link;
    HttpClient *client;
    curl_socket_t fd;
    LoopFd *watch;
} HttpSocket;

struct HttpCall {
    List link;
    HttpClient *client;
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    char *method, *url;
    struct curl_slist *headers, *connect_to;
    HttpCallEvents events;
    void *ctx;
    ssize_t (*read_body)(void *ctx, char *out, size_t room);

    bool added;          /* curl has it */
    bool paused, resume; /* of the response */
    bool stopped_recv;   /* curl was told to pause */
    bool stopped_send;   /* the upload said HTTP_UPLOAD_WAIT */
    bool resume_send;
    bool finished;       /* curl is done with it, `r` says how */
    bool freed;          /* by its user: no more events */
    int r;
    int status;
    HttpHeaders response;
    bool head_told;
    Buf got;
    size_t body_max;
    usec_t idle_timeout, last_byte;
    LoopTimer *idle;
};

static void arm_sweep(HttpClient *client) {
    loop_task_arm(client->sweep);
}

static void call_fail(HttpCall *call, int r) {
    if (call->finished)
        return;
    call->finished = true;
    call->r = r;
    snprintf(call->error, sizeof(call->error), "%s", error_text(r));
    arm_sweep(call->client);
}

/* What curl calls. */

static void head_complete(HttpCall *call) {
    if (call->status < 200 || call->head_told)
        return;
    call->head_told = true;
    if (call->events.head)
        call->events.head(call->ctx, call->status, &call->response);
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx) {
    HttpCall *call = ctx;
    size_t len = size * count, line = len;
    while (line && (data[line - 1] == '\r' || data[line - 1] == '\n'))
        line--;
    if (call->freed || call->finished)
        return 0;
    if (line > 5 && memcmp(data, "HTTP/", 5) == 0) { /* an interim response may have come before */
        long status = 0;
        sym_curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->status = (int)status;
        http_headers_done(&call->response);
    } else if (line == 0) {
        head_complete(call);
    } else {
        const char *colon = memchr(data, ':', line);
        if (!colon || call->response.len == HEADERS_MAX)
            return len;
        Slice value = { colon + 1, line - (size_t)(colon - data) - 1 };
        while (value.len && (*value.data == ' ' || *value.data == '\t'))
            value = (Slice){ value.data + 1, value.len - 1 };
        vec_push(&call->response, (struct HttpHeader){ .name = str_dup_slice(
                                                           (Slice){ data, (size_t)(colon - data) }),
                                                       .value = str_dup_slice(value) });
    }
    return call->freed ? 0 : len;
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx) {
    HttpCall *call = ctx;
    size_t len = size * count;
    if (call->freed || call->finished)
        return 0;
    if (call->paused) {
        call->stopped_recv = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    call->last_byte = loop_now(call->client->loop);
    if (call->events.chunk) {
        call->events.chunk(call->ctx, (Slice){ data, len });
        return call->freed ? 0 : len;
    }
    if (len > call->body_max - call->got.len) {
        call_fail(call, error_origin(-EFBIG, "%s %s: the response is longer than %zu bytes",
                                     call->method, call->url, call->body_max));
        return 0;
    }
    buf_add(&call->got, data, len);
    return len;
}

static size_t on_read(char *out, size_t size, size_t count, void *ctx) {
    HttpCall *call = ctx;
    if (call->freed || call->finished)
        return CURL_READFUNC_ABORT;
    ssize_t n = call->read_body(call->ctx, out, size * count);
    if (n == HTTP_UPLOAD_WAIT) {
        call->stopped_send = true;
        return CURL_READFUNC_PAUSE;
    }
    if (n < 0) {
        call_fail(call, (int)n);
        return CURL_READFUNC_ABORT;
    }
    call->last_byte = loop_now(call->client->loop);
    return (size_t)n;
}

static void run_curl(HttpClient *client, curl_socket_t fd, int events) {
    int running;
    client->depth++;
    sym_curl_multi_socket_action(client->multi, fd, events, &running);
    client->depth--;
    arm_sweep(client);
}

static void socket_ready(void *ctx, unsigned events) {
    HttpSocket *sock = ctx;
    run_curl(sock->client, sock->fd,
             (events & LOOP_READABLE ? CURL_CSELECT_IN : 0) |
                 (events & LOOP_WRITABLE ? CURL_CSELECT_OUT : 0));
}

static void socket_free(HttpSocket *sock) {
    list_remove(&sock->link);
    loop_fd_free(sock->watch);
    mem_free(sock);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx) {
    UNUSED(easy);
    HttpClient *client = ctx;
    HttpSocket *sock = socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        if (sock)
            socket_free(sock);
        sym_curl_multi_assign(client->multi, fd, NULL);
        return 0;
    }
    unsigned events =
        (what & CURL_POLL_IN ? LOOP_READABLE : 0) | (what & CURL_POLL_OUT ? LOOP_WRITABLE : 0);
    if (sock) {
        loop_fd_set(sock->watch, events);
        return 0;
    }
    sock = mem_new(HttpSocket);
    *sock = (HttpSocket){ .client = client, .fd = fd };
    if (loop_fd_new(client->loop, fd, events, socket_ready, sock, &sock->watch) < 0) {
        mem_free(sock);
        return -1;
    }
    list_push(&client->sockets, &sock->link);
    sym_curl_multi_assign(client->multi, fd, sock);
    return 0;
}

static int on_timer(CURLM *multi, long msec, void *ctx) {
    UNUSED(multi);
    HttpClient *client = ctx;
    if (msec < 0)
        loop_timer_stop(client->timer);
    else
        loop_timer_after(client->timer, msec * USEC_PER_MSEC);
    return 0;
}

static void timer_fired(void *ctx) {
    run_curl(ctx, CURL_SOCKET_TIMEOUT, 0);
}

/* The one place where things are changed and told. */

static void call_destroy(HttpCall *call) {
    list_remove(&call->link);
    if (call->added)
        sym_curl_multi_remove_handle(call->client->multi, call->easy);
    sym_curl_easy_cleanup(call->easy);
    sym_curl_slist_free_all(call->headers);
    sym_curl_slist_free_all(call->connect_to);
    mem_free(call->method);
    mem_free(call->url);
    http_headers_done(&call->response);
    buf_done(&call->got);
    loop_timer_free(call->idle);
    mem_free(call);
}

static int curl_result(CURLcode code) {
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -ENOENT;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return -ECONNRESET;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_WEIRD_SERVER_REPLY:
        return -EPROTO;
    default:
        return -EIO;
    }
}

static void collect_finished(HttpClient *client) {
    int left;
    for (CURLMsg *message; (message = sym_curl_multi_info_read(client->multi, &left));) {
        HttpCall *call = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        sym_curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (call->finished)
            continue; /* failed by us before */
        call->finished = true;
        call->r = curl_result(code);
        if (call->r < 0) {
            char why[CURL_ERROR_SIZE];
            snprintf(why, sizeof(why), "%s",
                     call->error[0] ? call->error : sym_curl_easy_strerror(code));
            snprintf(call->error, sizeof(call->error), "%s %s: %s", call->method, call->url, why);
        }
    }
}

static void tell_done(HttpCall *call) {
    HttpResult result = { .r = call->r,
                          .status = call->status,
                          .headers = &call->response,
                          .body = { call->got.len ? call->got.data : "", call->got.len },
                          .error = call->r < 0 ? call->error : NULL };
    if (call->r < 0)
        error_origin(call->r, "%s", call->error);
    call->freed = true; /* from here on http_call_free() is not allowed */
    call->events.done(call->ctx, &result);
}

static HttpCall *first_finished(HttpClient *client) {
    LIST_EACH(item, &client->calls) {
        HttpCall *call = LIST_ITEM(item, HttpCall, link);
        if (call->freed || call->finished)
            return call;
    }
    return NULL;
}

static void apply_wishes(HttpClient *client) {
    LIST_EACH_SAFE(item, &client->calls) {
        HttpCall *call = LIST_ITEM(item, HttpCall, link);
        if (call->freed || call->finished)
            continue;
        if (!call->added) {
            call->added = sym_curl_multi_add_handle(client->multi, call->easy) == CURLM_OK;
            if (!call->added)
                call_fail(call,
                          error_origin(-EIO, "%s %s: cannot be started", call->method, call->url));
        } else if ((call->stopped_recv && !call->paused) ||
                   (call->stopped_send && call->resume_send)) {
            call->stopped_recv = call->stopped_send = call->resume_send = false;
            sym_curl_easy_pause(call->easy, CURLPAUSE_CONT);
        }
    }
}

static void sweep(void *ctx) {
    HttpClient *client = ctx;
    client->depth++;
    apply_wishes(client);
    collect_finished(client);
    for (HttpCall *call; (call = first_finished(client));) {
        list_remove(&call->link);
        if (call->added)
            sym_curl_multi_remove_handle(client->multi, call->easy);
        call->added = false;
        if (!call->freed)
            tell_done(call);
        call_destroy(call);
    }
    client->depth--;
}

static void idle_check(void *ctx) {
    HttpCall *call = ctx;
    usec_t until = call->last_byte + call->idle_timeout;
    if (call->paused || call->stopped_send)
        until = loop_deadline(call->client->loop, call->idle_timeout);
    if (loop_now(call->client->loop) < until)
        loop_timer_at(call->idle, until);
    else
        call_fail(call, error_origin(-ETIMEDOUT, "%s %s: nothing came for %lld s", call->method,
                                     call->url, (long long)(call->idle_timeout / USEC_PER_SEC)));
}

/* Setting up a call. */

static void set_blob(CURL *easy, CURLoption option, const char *pem) {
    struct curl_blob blob = { .data = (void *)(uintptr_t)pem,
                              .len = strlen(pem),
                              .flags = CURL_BLOB_COPY };
    sym_curl_easy_setopt(easy, option, &blob);
}

static void set_trust(CURL *easy, const HttpTrust *trust) {
    if (trust->ca_pem)
        set_blob(easy, CURLOPT_CAINFO_BLOB, trust->ca_pem);
    if (trust->cert_pem)
        set_blob(easy, CURLOPT_SSLCERT_BLOB, trust->cert_pem);
    if (trust->key_pem)
        set_blob(easy, CURLOPT_SSLKEY_BLOB, trust->key_pem);
    if (trust->insecure) {
        sym_curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        sym_curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void add_header(HttpCall *call, const char *name, const char *separator, const char *value) {
    _cleanup_free_ char *line = str_printf("%s%s%s", name, separator, value);
    call->headers = sym_curl_slist_append(call->headers, line);
    ASSERT(call->headers);
}

static int set_headers(HttpCall *call, const HttpCallSpec *spec) {
    for (size_t i = 0; spec->headers && i < spec->headers->len; i++) {
        const struct HttpHeader *h = &spec->headers->items[i];
        if (!http_token_valid(slice_str(h->name)) || !http_value_valid(slice_str(h->value)))
            return error_origin(-EINVAL, "bad character in header %s", h->name);
        /* "Name;" is curl's way to write a header without a value */
        add_header(call, h->name, h->value[0] ? ": " : ";", h->value);
    }
    if (spec->bearer) {
        if (!http_value_valid(slice_str(spec->bearer)))
            return error_origin(-EINVAL, "bad character in the bearer token");
        add_header(call, "Authorization", ": Bearer ", spec->bearer);
    }
    if (!spec->read_body)
        add_header(call, "Expect", ":", ""); /* no round trip before a body that is at hand */
    sym_curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return 0;
}

static void set_body(HttpCall *call, const HttpCallSpec *spec) {
    CURL *easy = call->easy;
    if (spec->read_body) {
        call->read_body = spec->read_body;
        sym_curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        sym_curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        sym_curl_easy_setopt(easy, CURLOPT_READDATA, call);
        sym_curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)spec->body_length);
    } else if (spec->body.data) {
        sym_curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.len);
        sym_curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, spec->body.data);
    }
    if (str_eq(call->method, "HEAD"))
        sym_curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        sym_curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

/* curl checks a certificate against the URL's host: so the URL gets the wanted name, and the
 * connection goes where it was to go. */
static int set_url(HttpCall *call, const HttpCallSpec *spec) {
    HttpUrl url;
    int r = http_url_parse(spec->url, &url);
    if (r < 0)
        return r;
    bool v6 = strchr(url.host, ':') != NULL;
    const char *name = spec->trust && url.tls ? spec->trust->server_name : NULL;
    _cleanup_free_ char *host = v6 ? str_printf("[%s]", url.host) : str_dup(url.host);
    _cleanup_free_ char *text = str_printf("%s://%s:%u%s", url.tls ? "https" : "http",
                                           name ? name : host, url.port, url.target);
    sym_curl_easy_setopt(call->easy, CURLOPT_URL, text);
    if (name) {
        _cleanup_free_ char *to = str_printf("%s:%u:%s:%u", name, url.port, host, url.port);
        call->connect_to = sym_curl_slist_append(NULL, to);
        sym_curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
        _cleanup_free_ char *authority = str_printf("%s:%u", host, url.port);
        add_header(call, "Host", ": ", authority);
    }
    const char *unix_path = spec->unix_path ? spec->unix_path : url.unix_path;
    if (unix_path)
        sym_curl_easy_setopt(call->easy, CURLOPT_UNIX_SOCKET_PATH, unix_path);
    http_url_done(&url);
    return 0;
}

static long to_msec(usec_t usec, usec_t fallback) {
    if (usec == USEC_INFINITY)
        return 0; /* curl's "none" */
    usec_t msec = (usec ? usec : fallback) / USEC_PER_MSEC;
    return (long)MAX(msec, 1);
}

static void set_rules(HttpCall *call, const HttpCallSpec *spec) {
    CURL *easy = call->easy;
    sym_curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    sym_curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    sym_curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    sym_curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* One protocol for all: HTTP/2 uploads and crowded HTTP/2 connections have lost data in curl
     * versions of this generation, and connections to one API server are few. */
    sym_curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    sym_curl_easy_setopt(easy, CURLOPT_USERAGENT, "mobula");
    sym_curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    sym_curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    sym_curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                         to_msec(spec->connect_timeout, CONNECT_TIMEOUT));
    sym_curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, to_msec(spec->timeout, TIMEOUT));
    sym_curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    sym_curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    sym_curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    sym_curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    if (spec->no_proxy)
        sym_curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    if (spec->trust)
        set_trust(easy, spec->trust);
}

/* At the first call: a client that is never used costs nothing. */
static int open_multi(HttpClient *client) {
    if (client->multi)
        return 0;
    int r = load_curl();
    if (r < 0)
        return r;
    if (sym_curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_origin(-EIO, "libcurl cannot be set up");
    client->multi = sym_curl_multi_init();
    ASSERT(client->multi);
    sym_curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    sym_curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    sym_curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    sym_curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    sym_curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return 0;
}

int http_call_new(HttpClient *client, const HttpCallSpec *spec, const HttpCallEvents *events,
                  void *ctx, HttpCall **ret_call) {
    ASSERT(events->done);
    bool has_body = spec->read_body || spec->body.data;
    int r = open_multi(client);
    if (r < 0)
        return r;
    HttpCall *call = mem_new(HttpCall);
    call->client = client;
    call->events = *events;
    call->ctx = ctx;
    call->method = str_dup(spec->method ? spec->method : has_body ? "POST" : "GET");
    call->url = str_dup(spec->url);
    call->body_max = spec->body_max ? spec->body_max : BODY_MAX;
    call->easy = sym_curl_easy_init();
    ASSERT(call->easy);
    list_push(&client->calls, &call->link);
    r = http_token_valid(slice_str(call->method))
            ? 0
            : error_origin(-EINVAL, "\"%s\" is no HTTP method", call->method);
    if (r == 0)
        r = set_url(call, spec);
    if (r == 0)
        r = set_headers(call, spec);
    if (r < 0) {
        call_destroy(call);
        return r;
    }
    set_rules(call, spec);
    set_body(call, spec);
    call->last_byte = loop_now(client->loop);
    call->idle_timeout = spec->idle_timeout;
    if (call->idle_timeout) {
        call->idle = loop_timer_new(client->loop, idle_check, call);
        loop_timer_after(call->idle, call->idle_timeout);
    }
    arm_sweep(client);
    if (ret_call)
        *ret_call = call;
    return 0;
}

void http_call_pause(HttpCall *call, bool paused) {
    call->paused = paused;
    if (!paused)
        arm_sweep(call->client);
}

void http_call_resume(HttpCall *call) {
    call->resume_send = true;
    arm_sweep(call->client);
}

HttpCall *http_call_free(HttpCall *call) {
    if (!call)
        return NULL;
    ASSERT(!call->freed);
    call->freed = true;
    arm_sweep(call->client);
    return NULL;
}

HttpClient *http_client_new(Loop *loop) {
    HttpClient *client = mem_new(HttpClient);
    client->loop = loop;
    list_init(&client->calls);
    list_init(&client->sockets);
    client->timer = loop_timer_new(loop, timer_fired, client);
    client->sweep = loop_task_new(loop, sweep, client);
    return client;
}

HttpClient *http_client_free(HttpClient *client) {
    if (!client)
        return NULL;
    ASSERT(client->depth == 0);
    LIST_EACH_SAFE(item, &client->calls)
        call_destroy(LIST_ITEM(item, HttpCall, link));
    if (client->multi)
        sym_curl_multi_cleanup(client->multi);
    LIST_EACH_SAFE(item, &client->sockets)
        socket_free(LIST_ITEM(item, HttpSocket, link));
    loop_timer_free(client->timer);
    loop_task_free(client->sweep);
    if (client->multi)
        sym_curl_global_cleanup();
    mem_free(client);
    return NULL;
}
