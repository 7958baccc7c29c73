/* SPDX-License-Identifier: Apache-2.0 */
/* Both halves of the handshake (RFC 6455, section 4). */
#include <openssl/evp.h>
#include <stdio.h>

#include "net/http1.h"
#include "net/websocket.h"
#include "net/websocket_private.h"

enum {
    KEY_BYTES = 16,
    RESPONSE_MAX = 32 * 1024,
    REASON_MAX = 4096
};
#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)

/* What proves that the server understood: base64(sha1(key + a fixed text)). Owned. */
static char *accept_text(const char *key) {
    _cleanup_free_ char *joined = str_printf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    ASSERT(EVP_Digest(joined, strlen(joined), digest, &len, EVP_sha1(), NULL) == 1);
    return base64_encode(digest, len);
}

bool websocket_requested(const HttpRequest *request) {
    return http_request_wants_upgrade(request, "websocket");
}

static bool key_good(const char *key) {
    _cleanup_free_ void *bytes = NULL;
    size_t len = 0;
    return key && base64_decode(key, strlen(key), &bytes, &len) == 0 && len == KEY_BYTES;
}

/* Ours that the client offers; NULL: none fits. */
static const char *choose_protocol(const HttpRequest *request, const char *const *ours) {
    bool offers = http_request_header(request, "Sec-WebSocket-Protocol") != NULL;
    if (!ours)
        return "";
    for (; *ours; ours++)
        if (**ours ? http_headers_has_token(http_request_headers(request), "Sec-WebSocket-Protocol",
                                            *ours)
                   : !offers)
            return *ours;
    return NULL;
}

static int refuse(HttpRequest *request, int status, const char *why) {
    http_respond_text(request, status, "%s\n", why);
    return WEBSOCKET_REFUSED;
}

int websocket_accept(HttpRequest *request, const char *const *protocols,
                     const WebSocketOptions *options, const WebSocketEvents *events, void *ctx,
                     WebSocket **ret_ws) {
    const char *version = http_request_header(request, "Sec-WebSocket-Version");
    const char *key = http_request_header(request, "Sec-WebSocket-Key");
    if (!websocket_requested(request) || !http_request_is(request, "GET"))
        return refuse(request, 400, "a WebSocket upgrade was expected");
    if (!str_eq(version, "13")) {
        http_response_header(request, "Sec-WebSocket-Version", "13");
        return refuse(request, 426, "only version 13 of WebSocket is spoken here");
    }
    if (!key_good(key))
        return refuse(request, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
    const char *protocol = choose_protocol(request, protocols);
    if (!protocol)
        return refuse(request, 403, "none of the offered subprotocols is spoken here");
    _cleanup_free_ char *proof = accept_text(key);
    http_response_header(request, "Sec-WebSocket-Accept", proof);
    if (*protocol)
        http_response_header(request, "Sec-WebSocket-Protocol", protocol);
    Loop *loop = http_request_loop(request);
    _cleanup_free_ char *chosen = str_dup(protocol);
    Stream *stream = http_request_upgrade(request, "websocket");
    if (!stream)
        return WEBSOCKET_REFUSED;
    WebSocket *ws = websocket_alloc(loop, /* client= */ false, options, events, ctx);
    ws->protocol = TAKE(chosen);
    websocket_frames_begin(ws);
    websocket_attach(ws, stream);
    *ret_ws = ws;
    return 0;
}

/* The client. */

typedef struct WebSocketOpening {
    char *request, *key;
    StrList protocols;
    size_t scanned;
} WebSocketOpening;

void websocket_opening_free(WebSocket *ws) {
    WebSocketOpening *opening = TAKE(ws->opening);
    if (!opening)
        return;
    mem_free(opening->request);
    mem_free(opening->key);
    strlist_done(&opening->protocols);
    mem_free(opening);
}

static int add_headers(Buf *out, const WebSocketTarget *target) {
    for (size_t i = 0; target->headers && i < target->headers->len; i++) {
        const struct HttpHeader *h = &target->headers->items[i];
        if (!http_token_valid(slice_str(h->name)) || !http_value_valid(slice_str(h->value)))
            return error_origin(-EINVAL, "bad character in header %s", h->name);
        buf_printf(out, "%s: %s\r\n", h->name, h->value);
    }
    if (target->bearer && !http_value_valid(slice_str(target->bearer)))
        return error_origin(-EINVAL, "bad character in the bearer token");
    if (target->bearer)
        buf_printf(out, "Authorization: Bearer %s\r\n", target->bearer);
    return 0;
}

static int make_request(WebSocketOpening *opening, const HttpUrl *url,
                        const WebSocketTarget *target) {
    _cleanup_buf_ Buf out = { 0 };
    uint8_t random[KEY_BYTES];
    mem_random(random, sizeof(random));
    opening->key = base64_encode(random, sizeof(random));
    bool v6 = strchr(url->host, ':') != NULL;
    buf_printf(&out,
               "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
               url->target, v6 ? "[" : "", url->host, v6 ? "]" : "", url->port, opening->key);
    for (const char *const *p = target->protocols; p && *p; p++) {
        if (!http_token_valid(slice_str(*p)))
            return error_origin(-EINVAL, "bad character in subprotocol \"%s\"", *p);
        buf_printf(&out, "%s%s", opening->protocols.len ? ", " : "Sec-WebSocket-Protocol: ", *p);
        strlist_add(&opening->protocols, *p);
    }
    if (opening->protocols.len)
        buf_add_str(&out, "\r\n");
    int r = add_headers(&out, target);
    if (r < 0)
        return r;
    buf_add_str(&out, "\r\n");
    opening->request = buf_steal(&out);
    return 0;
}

static int dial(Loop *loop, const HttpUrl *url, const WebSocketTarget *target,
                Stream **ret_stream) {
    const char *unix_path = target->unix_path ? target->unix_path : url->unix_path;
    usec_t timeout = target->timeout ? target->timeout : CONNECT_TIMEOUT;
    if (url->tls && !target->tls)
        return error_origin(-EINVAL, "%s needs a TLS context", target->url);
    _cleanup_(stream_freep) Stream *stream = NULL;
    NetAddress address;
    int r = unix_path ? net_address_unix(unix_path, &address) : 0;
    if (r == 0)
        r = unix_path
                ? stream_connect(loop, &address, timeout, NULL, NULL, &stream)
                : stream_connect_host(loop, url->host, url->port, timeout, NULL, NULL, &stream);
    if (r == 0 && url->tls)
        r = stream_start_tls(stream, target->tls, target->tls_name ? target->tls_name : url->host,
                             timeout);
    if (r < 0)
        return r;
    stream_set_deadline(stream, loop_deadline(loop, timeout)); /* until it is open */
    *ret_stream = TAKE(stream);
    return 0;
}

int websocket_connect(Loop *loop, const WebSocketTarget *target, const WebSocketOptions *options,
                      const WebSocketEvents *events, void *ctx, WebSocket **ret_ws) {
    HttpUrl url;
    int r = http_url_parse(target->url, &url);
    if (r < 0)
        return r;
    WebSocket *ws = websocket_alloc(loop, /* client= */ true, options, events, ctx);
    ws->opening = mem_new(WebSocketOpening);
    Stream *stream = NULL;
    r = make_request(ws->opening, &url, target);
    if (r == 0)
        r = dial(loop, &url, target, &stream);
    http_url_done(&url);
    if (r < 0) {
        websocket_free(ws);
        return r;
    }
    websocket_attach(ws, stream);
    *ret_ws = ws;
    return 0;
}

void websocket_opening_connected(WebSocket *ws) {
    if (ws->opening)
        stream_write(ws->stream, ws->opening->request, strlen(ws->opening->request));
}

/* NULL: it is a yes; else why not. */
static const char *check_response(const WebSocketOpening *opening, int status,
                                  const HttpHeaders *headers) {
    if (status != 101)
        return http_status_text(status);
    _cleanup_free_ char *proof = accept_text(opening->key);
    const char *protocol = http_headers_get(headers, "Sec-WebSocket-Protocol");
    if (!http_headers_has_token(headers, "Upgrade", "websocket") ||
        !http_headers_has_token(headers, "Connection", "upgrade"))
        return "no upgrade to websocket";
    if (!str_eq(http_headers_get(headers, "Sec-WebSocket-Accept"), proof))
        return "wrong Sec-WebSocket-Accept";
    if (protocol && !strlist_has(&opening->protocols, protocol))
        return "a subprotocol that was not offered";
    return NULL;
}

static bool is_plain(Slice text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~')
            return false;
    return text.len > 0;
}

/* What a refusal says for itself: its short plain text, or else its status in words. HTTP1_MORE: it
 * has not all come. */
static int read_refusal(Slice body, const HttpHeaders *headers, int status, const char *why,
                        char **ret_reason) {
    const char *type = http_headers_get(headers, "Content-Type");
    const char *length = http_headers_get(headers, "Content-Length");
    uint64_t size = 0;
    bool told = status != 101 && type && strncmp(type, "text/plain", 10) == 0 && length &&
                str_to_u64(length, &size) == 0 && size <= REASON_MAX;
    if (told && body.len < size)
        return HTTP1_MORE;
    Slice text = { body.data, told ? (size_t)size : 0 };
    while (text.len && text.data[text.len - 1] == '\n')
        text.len--;
    *ret_reason = is_plain(text) ? str_dup_slice(text)
                                 : str_printf("the server answered %d: %s", status, why);
    return 0;
}

void websocket_opening_data(WebSocket *ws) {
    static const Http1Limits limits = { 1024, RESPONSE_MAX, 128 };
    WebSocketOpening *opening = ws->opening;
    HttpHeaders headers = { 0 };
    size_t size;
    int status = 0;
    int r = http1_response_parse(stream_input(ws->stream), &limits, &opening->scanned, &headers,
                                 &size, &status);
    if (r == HTTP1_MORE)
        return;
    if (r < 0) {
        websocket_end(ws, WEBSOCKET_ABNORMAL, error_text(r));
        return;
    }
    const char *why = check_response(opening, status, &headers);
    const char *protocol = http_headers_get(&headers, "Sec-WebSocket-Protocol");
    if (why) {
        _cleanup_free_ char *reason = NULL;
        Slice input = stream_input(ws->stream);
        Slice body = { input.data + size, input.len - size };
        opening->scanned = 0; /* it is looked at again when more has come */
        if (read_refusal(body, &headers, status, why, &reason) == 0)
            websocket_end(ws, WEBSOCKET_ABNORMAL, reason);
        http_headers_done(&headers);
        return;
    }
    ws->protocol = str_dup(protocol);
    http_headers_done(&headers);
    stream_consume(ws->stream, size);
    stream_set_deadline(ws->stream, USEC_INFINITY);
    websocket_opening_free(ws);
    websocket_frames_begin(ws);
    loop_task_arm(ws->task); /* frames may have come right behind the head */
    websocket_tell_open(ws);
}
