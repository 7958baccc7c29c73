/* SPDX-License-Identifier: Apache-2.0 */

/* A head reads the same whole and in pieces, and what is accepted keeps the promises of http1.h; the
 * rest is taken as a chunked body, also in two ways. */

#include "net/http1.h"

#include "net/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Http1Limits limits = { 512, 2048, 16 };

static void check_head(const Http1Head *head) {
    size_t hosts = 0;
    ASSERT(head->target[0] == '/' || str_eq(head->target, "*"));
    ASSERT(http_token_valid(slice_str(head->method)));
    ASSERT(head->headers.len <= limits.headers_max);
    for (size_t i = 0; i < head->headers.len; i++) {
        ASSERT(http_token_valid(slice_str(head->headers.items[i].name)));
        ASSERT(http_value_valid(slice_str(head->headers.items[i].value)));
        hosts += str_eq_nocase(head->headers.items[i].name, "host");
    }
    ASSERT(hosts == 1 || (hosts == 0 && head->minor == 0));
    ASSERT(head->content_length >= HTTP1_LENGTH_CHUNKED);
}

/* What comes of it when `step` more bytes arrive each time. */
static int parse(Slice input, size_t step, Http1Head *head, size_t *size, int *status) {
    size_t scanned = 0, have = 0;
    for (;;) {
        have = MIN(have + step, input.len);
        int r =
            http1_head_parse((Slice){ input.data, have }, &limits, &scanned, head, size, status);
        if (r != HTTP1_MORE || have == input.len)
            return r;
    }
}

static bool unchunk(Slice input, size_t step, Buf *out) {
    Http1Chunks chunks = { 0 };
    size_t at = 0, have = 0;
    while (chunks.state != HTTP1_END) {
        Slice data;
        size_t size;
        int r = http1_chunks_step(&chunks, (Slice){ input.data + at, have - at }, &data, &size);
        if (r < 0 || (r == HTTP1_MORE && have == input.len))
            return false;
        if (r == HTTP1_MORE)
            have = MIN(have + step, input.len);
        ASSERT(size <= have - at);
        buf_add(out, data.data, data.len);
        at += size;
    }
    return true;
}

static void check_names(Slice text) {
    HttpQuery query;
    if (http_query_parse(text, &query) == 0)
        http_query_done(&query);
    _cleanup_free_ char *copy = str_dup_slice(text);
    NetAddress address, again;
    if (net_address_parse(copy, &address) == 0) {
        char shown[NET_ADDRESS_TEXT_MAX];
        net_address_format(&address, shown);
        ASSERT(net_address_parse(shown, &again) == 0 && again.len == address.len);
    }
    HttpUrl url;
    if (http_url_parse(copy, &url) == 0) {
        ASSERT(url.target[0] == '/' && url.host[0] && url.port);
        http_url_done(&url);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice input = { (const char *)data, size };
    Http1Head whole = { 0 }, pieces = { 0 };
    size_t whole_size = 0, pieces_size = 0;
    int status = 0;
    int r = parse(input, size + 1, &whole, &whole_size, &status);
    int again = parse(input, 7, &pieces, &pieces_size, &status);
    /* A limit may be noticed before or after another fault, never instead of acceptance. */
    ASSERT((r == 0) == (again == 0));
    if (r == 0) {
        ASSERT(whole_size == pieces_size && whole_size <= size);
        ASSERT(str_eq(whole.target, pieces.target));
        ASSERT(whole.headers.len == pieces.headers.len);
        check_head(&whole);
        input.data += whole_size;
        input.len -= whole_size;
    }
    http1_head_done(&whole);
    http1_head_done(&pieces);
    _cleanup_buf_ Buf one = { 0 };
    _cleanup_buf_ Buf two = { 0 };
    ASSERT(unchunk(input, input.len + 1, &one) == unchunk(input, 3, &two));
    HttpHeaders headers;
    size_t scanned = 0, used;
    if (http1_response_parse(input, &limits, &scanned, &headers, &used, &status) == 0)
        http_headers_done(&headers);
    check_names(input);
    return 0;
}
