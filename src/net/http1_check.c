/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What http1.c makes of requests, for comparison with other parsers: reads records (u32 length,
 * bytes) from stdin and prints a line for each: "refused", "more", or method, target, minor version,
 * headers and body ("-" if refused or cut), separated by tabs, bytes in hex.
 */
#include <stdio.h>

#include "net/http1.h"

static void print_hex(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        printf("%02x", (unsigned char)text[i]);
}

static bool take_chunks(Slice rest, Buf *body) {
    Http1Chunks chunks = { 0 };
    while (chunks.state != HTTP1_END) {
        Slice data;
        size_t size;
        if (http1_chunks_step(&chunks, rest, &data, &size) != 0)
            return false;
        buf_add(body, data.data, data.len);
        rest.data += size;
        rest.len -= size;
    }
    return true;
}

static void print_body(const Http1Head *head, Slice rest) {
    _cleanup_buf_ Buf body = { 0 };
    bool whole = head->content_length == HTTP1_LENGTH_CHUNKED
                     ? take_chunks(rest, &body)
                     : (uint64_t)head->content_length <= rest.len;
    if (whole && head->content_length > 0)
        buf_add(&body, rest.data, (size_t)head->content_length);
    printf("\t");
    if (whole)
        print_hex(body.data, body.len);
    else
        printf("-");
}

static void check(Slice input) {
    static const Http1Limits limits = { 16384, 65536, 128 };
    Http1Head head;
    size_t scanned = 0, size;
    int status;
    int r = http1_head_parse(input, &limits, &scanned, &head, &size, &status);
    if (r != 0) {
        printf("%s\n", r == HTTP1_MORE ? "more" : "refused");
        return;
    }
    printf("%s\t%s\t%d\t", head.method, head.target, head.minor);
    for (size_t i = 0; i < head.headers.len; i++) {
        const struct HttpHeader *h = &head.headers.items[i];
        printf("%s%s=", i ? "," : "", h->name);
        print_hex(h->value, strlen(h->value));
    }
    print_body(&head, (Slice){ input.data + size, input.len - size });
    printf("\n");
    http1_head_done(&head);
}

int main(void) {
    enum {
        RECORD_MAX = 1 << 20
    };
    uint32_t len;
    while (fread(&len, sizeof(len), 1, stdin) == 1) {
        _cleanup_free_ char *bytes = len <= RECORD_MAX ? mem_try(len + 1) : NULL;
        if (!bytes || fread(bytes, 1, len, stdin) != len)
            return 1;
        check((Slice){ bytes, len });
    }
    return 0;
}
