/* SPDX-License-Identifier: Apache-2.0 */
#include "local/spdy.h"

#include <endian.h>
#include <zlib.h>

#include "base/error.h"

/*
 *     control  |1| version 15 | type 16 | flags 8 | length 24 | …
 *     data     |0| stream 31            | flags 8 | length 24 | …
 * A header block is a 32-bit count of pairs, each two strings with 32-bit lengths, in one zlib
 * stream a direction for the whole session, with a dictionary that the protocol fixes.
 */

enum {
    FRAME_HEAD = 8,
    VERSION = 3,
    TYPE_SYN_STREAM = 1,
    TYPE_SYN_REPLY = 2,
    TYPE_RST_STREAM = 3,
    TYPE_PING = 6,
    FLAG_FIN = 1,
    RESET_CANCEL = 5,
};

#define DICTIONARY_ID 0xe3c6a7c2u /* Adler-32 of the dictionary, proof that it is the right one */

/* The dictionary: these words, each with its length in 32 bits before it, then the tail. */
static const char *const DICTIONARY_WORDS[] = { "options",
                                                "head",
                                                "post",
                                                "put",
                                                "delete",
                                                "trace",
                                                "accept",
                                                "accept-charset",
                                                "accept-encoding",
                                                "accept-language",
                                                "accept-ranges",
                                                "age",
                                                "allow",
                                                "authorization",
                                                "cache-control",
                                                "connection",
                                                "content-base",
                                                "content-encoding",
                                                "content-language",
                                                "content-length",
                                                "content-location",
                                                "content-md5",
                                                "content-range",
                                                "content-type",
                                                "date",
                                                "etag",
                                                "expect",
                                                "expires",
                                                "from",
                                                "host",
                                                "if-match",
                                                "if-modified-since",
                                                "if-none-match",
                                                "if-range",
                                                "if-unmodified-since",
                                                "last-modified",
                                                "location",
                                                "max-forwards",
                                                "pragma",
                                                "proxy-authenticate",
                                                "proxy-authorization",
                                                "range",
                                                "referer",
                                                "retry-after",
                                                "server",
                                                "te",
                                                "trailer",
                                                "transfer-encoding",
                                                "upgrade",
                                                "user-agent",
                                                "vary",
                                                "via",
                                                "warning",
                                                "www-authenticate",
                                                "method",
                                                "get",
                                                "status",
                                                "200 OK",
                                                "version",
                                                "HTTP/1.1",
                                                "url",
                                                "public",
                                                "set-cookie",
                                                "keep-alive",
                                                "origin" };
static const char DICTIONARY_TAIL[] =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivate"
    "max-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

struct Spdy {
    const SpdyEvents *events;
    void *ctx;
    uint32_t last_stream; /* that the client opened */
    Buf input;
    Buf dictionary;
    z_stream inflater, deflater;
};

static void add_u32(Buf *out, uint32_t value) {
    uint32_t big = htobe32(value);
    buf_add(out, &big, sizeof(big));
}

static uint32_t get_u32(const char *data) {
    uint32_t big;
    memcpy(&big, data, sizeof(big));
    return be32toh(big);
}

static void make_dictionary(Buf *out) {
    for (size_t i = 0; i < ARRAY_LEN(DICTIONARY_WORDS); i++) {
        add_u32(out, (uint32_t)strlen(DICTIONARY_WORDS[i]));
        buf_add_str(out, DICTIONARY_WORDS[i]);
    }
    buf_add_str(out, DICTIONARY_TAIL);
    ASSERT(adler32(1, (const Bytef *)out->data, (uInt)out->len) == DICTIONARY_ID);
}

Spdy *spdy_new(const SpdyEvents *events, void *ctx) {
    Spdy *spdy = mem_new(Spdy);
    spdy->events = events;
    spdy->ctx = ctx;
    make_dictionary(&spdy->dictionary);
    ASSERT(inflateInit(&spdy->inflater) == Z_OK);
    ASSERT(deflateInit(&spdy->deflater, Z_BEST_SPEED) == Z_OK);
    ASSERT(deflateSetDictionary(&spdy->deflater, (const Bytef *)spdy->dictionary.data,
                                (uInt)spdy->dictionary.len) == Z_OK);
    return spdy;
}

Spdy *spdy_free(Spdy *spdy) {
    if (!spdy)
        return NULL;
    inflateEnd(&spdy->inflater);
    deflateEnd(&spdy->deflater);
    buf_done(&spdy->input);
    buf_done(&spdy->dictionary);
    free(spdy);
    return NULL;
}

/* Sending. */

static void send_control(Spdy *spdy, uint16_t type, uint8_t flags, Slice body) {
    _cleanup_buf_ Buf frame = { 0 };
    add_u32(&frame, 0x80000000u | (uint32_t)VERSION << 16 | type);
    add_u32(&frame, (uint32_t)flags << 24 | (uint32_t)body.len);
    buf_add(&frame, body.data, body.len);
    spdy->events->send(spdy->ctx, buf_slice(&frame));
}

/* An empty header block: the count, squeezed through the session's compressor. */
static void add_empty_headers(Spdy *spdy, Buf *out) {
    uint32_t count = 0;
    Bytef room[64];
    spdy->deflater.next_in = (Bytef *)&count;
    spdy->deflater.avail_in = sizeof(count);
    spdy->deflater.next_out = room;
    spdy->deflater.avail_out = sizeof(room);
    ASSERT(deflate(&spdy->deflater, Z_SYNC_FLUSH) == Z_OK);
    buf_add(out, room, sizeof(room) - spdy->deflater.avail_out);
}

void spdy_reply(Spdy *spdy, uint32_t stream) {
    _cleanup_buf_ Buf body = { 0 };
    add_u32(&body, stream);
    add_empty_headers(spdy, &body);
    send_control(spdy, TYPE_SYN_REPLY, 0, buf_slice(&body));
}

void spdy_data(Spdy *spdy, uint32_t stream, Slice data, bool ends) {
    ASSERT(data.len <= SPDY_FRAME_MAX * 8);
    _cleanup_buf_ Buf frame = { 0 };
    add_u32(&frame, stream);
    add_u32(&frame, (ends ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)data.len);
    buf_add(&frame, data.data, data.len);
    spdy->events->send(spdy->ctx, buf_slice(&frame));
}

void spdy_reset(Spdy *spdy, uint32_t stream) {
    _cleanup_buf_ Buf body = { 0 };
    add_u32(&body, stream);
    add_u32(&body, RESET_CANCEL);
    send_control(spdy, TYPE_RST_STREAM, 0, buf_slice(&body));
}

/* Receiving. */

static int inflate_block(Spdy *spdy, Slice block, Buf *out) {
    z_stream *z = &spdy->inflater;
    z->next_in = (Bytef *)(uintptr_t)block.data;
    z->avail_in = (uInt)block.len;
    while (z->avail_in > 0) {
        Bytef room[4096];
        z->next_out = room;
        z->avail_out = sizeof(room);
        int r = inflate(z, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT && inflateSetDictionary(z, (const Bytef *)spdy->dictionary.data,
                                                     (uInt)spdy->dictionary.len) == Z_OK)
            continue;
        size_t got = sizeof(room) - z->avail_out;
        buf_add(out, room, got);
        if (out->len > SPDY_HEADERS_MAX)
            return error_origin(-EPROTO, "SPDY headers of more than %d bytes", SPDY_HEADERS_MAX);
        if (r != Z_OK && r != Z_BUF_ERROR)
            return error_origin(-EPROTO, "SPDY headers do not inflate");
        if (r == Z_BUF_ERROR && got == 0)
            break;
    }
    return 0;
}

static int take_string(Slice *rest, char **ret_text) {
    if (rest->len < 4)
        return error_origin(-EPROTO, "SPDY headers are cut off");
    uint32_t len = get_u32(rest->data);
    if (len > rest->len - 4)
        return error_origin(-EPROTO, "SPDY headers are cut off");
    *ret_text = str_dup_slice((Slice){ rest->data + 4, len });
    rest->data += 4 + len;
    rest->len -= 4 + len;
    return 0;
}

static int parse_headers(Slice block, HttpHeaders *headers) {
    if (block.len < 4)
        return error_origin(-EPROTO, "SPDY headers are cut off");
    uint32_t count = get_u32(block.data);
    Slice rest = { block.data + 4, block.len - 4 };
    if (count > SPDY_PAIRS_MAX)
        return error_origin(-EPROTO, "more than %d SPDY headers", SPDY_PAIRS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        _cleanup_free_ char *name = NULL, *value = NULL;
        int r = take_string(&rest, &name);
        if (r == 0)
            r = take_string(&rest, &value);
        if (r < 0)
            return r;
        http_headers_add(headers, name, value);
    }
    return 0;
}

static int on_syn_stream(Spdy *spdy, uint8_t flags, Slice body) {
    if (body.len < 10)
        return error_origin(-EPROTO, "a SPDY SYN_STREAM of %zu bytes", body.len);
    uint32_t stream = get_u32(body.data) & 0x7fffffffu;
    if (stream % 2 == 0 || stream <= spdy->last_stream)
        return error_origin(-EPROTO, "SPDY stream %u after %u: a client's are odd and rise", stream,
                            spdy->last_stream);
    spdy->last_stream = stream;
    _cleanup_buf_ Buf block = { 0 };
    HttpHeaders headers = { 0 };
    int r = inflate_block(spdy, (Slice){ body.data + 10, body.len - 10 }, &block);
    if (r == 0)
        r = parse_headers(buf_slice(&block), &headers);
    if (r == 0)
        spdy->events->opened(spdy->ctx, stream, &headers, flags & FLAG_FIN);
    http_headers_done(&headers);
    return r;
}

static int on_control(Spdy *spdy, uint32_t head, uint8_t flags, Slice body) {
    if ((head >> 16 & 0x7fff) != VERSION)
        return error_origin(-EPROTO, "SPDY version %u", head >> 16 & 0x7fff);
    switch (head & 0xffff) {
    case TYPE_SYN_STREAM:
        return on_syn_stream(spdy, flags, body);
    case TYPE_RST_STREAM:
        if (body.len != 8)
            return error_origin(-EPROTO, "a SPDY RST_STREAM of %zu bytes", body.len);
        spdy->events->reset(spdy->ctx, get_u32(body.data) & 0x7fffffffu);
        return 0;
    case TYPE_PING:
        send_control(spdy, TYPE_PING, 0, body);
        return 0;
    default: /* settings, windows, goodbyes: nothing that this use needs */
        return 0;
    }
}

int spdy_feed(Spdy *spdy, Slice bytes) {
    buf_add(&spdy->input, bytes.data, bytes.len);
    size_t at = 0;
    int r = 0;
    while (r == 0 && spdy->input.len - at >= FRAME_HEAD) {
        const char *frame = spdy->input.data + at;
        uint32_t head = get_u32(frame), tail = get_u32(frame + 4), len = tail & 0xffffff;
        uint8_t flags = (uint8_t)(tail >> 24);
        if (len > SPDY_FRAME_MAX)
            return error_origin(-EPROTO, "a SPDY frame of %u bytes", len);
        if (spdy->input.len - at - FRAME_HEAD < len)
            break;
        Slice body = { frame + FRAME_HEAD, len };
        if (head & 0x80000000u)
            r = on_control(spdy, head, flags, body);
        else
            spdy->events->data(spdy->ctx, head, body, flags & FLAG_FIN);
        at += FRAME_HEAD + len;
    }
    buf_drop(&spdy->input, at);
    return r;
}
