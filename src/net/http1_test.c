/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http1.h"

#include "base/test.h"

static const Http1Limits limits = { 200, 1000, 5 };

typedef struct Outcome {
    int r, status;
    size_t size;
    Http1Head head;
} Outcome;

static Outcome parse(const char *text) {
    Outcome o = { 0 };
    size_t scanned = 0;
    o.r = http1_head_parse(slice_str(text), &limits, &scanned, &o.head, &o.size, &o.status);
    return o;
}

static void test_good_heads(void **state) {
    UNUSED(state);
    Outcome o = parse("\r\nGET /a%20b?x=1 HTTP/1.1\r\nHost: h:80\r\nX-Empty:\r\nX-A:  b c \t\r\n"
                      "\r\nnext");
    CHECK_OK(o.r);
    CHECK_STR(o.head.method, "GET");
    CHECK_STR(o.head.target, "/a%20b?x=1");
    CHECK_STR(http_headers_get(&o.head.headers, "x-a"), "b c");
    CHECK_STR(http_headers_get(&o.head.headers, "x-empty"), "");
    CHECK_INT(o.head.content_length, 0);
    CHECK(o.head.keep_alive);
    http1_head_done(&o.head);
    o = parse(
        "POST http://h/p HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nExpect: 100-continue\r\n"
        "Connection: foo, Close\r\n\r\n");
    CHECK_OK(o.r);
    CHECK_STR(o.head.target, "/p");
    CHECK_INT(o.head.content_length, 12);
    CHECK(o.head.expect_continue);
    CHECK(!o.head.keep_alive);
    http1_head_done(&o.head);
    o = parse("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nConnection: upgrade\r\n"
              "Upgrade: x\r\n\r\n");
    CHECK_OK(o.r);
    CHECK_INT(o.head.content_length, HTTP1_LENGTH_CHUNKED);
    http1_head_done(&o.head);
    o = parse("GET / HTTP/1.0\r\n\r\n");
    CHECK_OK(o.r);
    CHECK(!o.head.keep_alive);
    http1_head_done(&o.head);
}

static void test_head_in_pieces(void **state) {
    UNUSED(state);
    const char *text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    size_t scanned = 0, size;
    int status;
    Http1Head head;
    for (size_t len = 0; len < strlen(text); len++)
        CHECK_INT(http1_head_parse((Slice){ text, len }, &limits, &scanned, &head, &size, &status),
                  HTTP1_MORE);
    CHECK_OK(http1_head_parse(slice_str(text), &limits, &scanned, &head, &size, &status));
    CHECK_INT(size, strlen(text));
    http1_head_done(&head);
}

static void test_refused_heads(void **state) {
    UNUSED(state);
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        { "GET / HTTP/1.1\nHost: h\n\n", 400 },
        { "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: h\r\nX Y: z\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: h\r\n: z\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
        { "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
        { "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400 },
        { "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
        { "GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
        { "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505 },
        { "GET / FTP\r\nHost: h\r\n\r\n", 400 },
        { "GET /\r\n\r\n", 400 },
        { "NONSENSE / HTTP/1.1\r\nHost: h\r\n\r\n", 501 },
        { "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 501 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          400 },
        { "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
        { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: magic\r\n\r\n", 417 },
        { "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n", 431 },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Outcome o = parse(bad[i].text);
        if (o.r != -EPROTO || o.status != bad[i].status)
            fail_msg("head %zu gave %d, status %d: %s", i, o.r, o.status, error_text(o.r));
    }
}

static void test_sizes(void **state) {
    UNUSED(state);
    char text[2000];
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    size_t scanned = 0, size;
    int status;
    Http1Head head;
    CHECK_INT(http1_head_parse((Slice){ text, 200 }, &limits, &scanned, &head, &size, &status),
              HTTP1_MORE);
    CHECK_INT(http1_head_parse((Slice){ text, 201 }, &limits, &scanned, &head, &size, &status),
              -EPROTO);
    CHECK_INT(status, 414);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    scanned = 0;
    CHECK_INT(http1_head_parse((Slice){ text, 1017 }, &limits, &scanned, &head, &size, &status),
              -EPROTO);
    CHECK_INT(status, 431);
}

/* Feeds `text` in pieces of `step` bytes; the body, or NULL if refused or unfinished. */
static char *unchunk(const char *text, size_t step) {
    Http1Chunks chunks = { 0 };
    Buf body = { 0 };
    size_t at = 0, have = 0, total = strlen(text);
    while (chunks.state != HTTP1_END) {
        Slice data;
        size_t size;
        int r = http1_chunks_step(&chunks, (Slice){ text + at, have - at }, &data, &size);
        if (r < 0 || (r == HTTP1_MORE && have == total)) {
            buf_done(&body);
            return NULL;
        }
        if (r == HTTP1_MORE)
            have = MIN(have + step, total);
        buf_add(&body, data.data, data.len);
        at += size;
    }
    return buf_steal(&body);
}

static void test_chunks(void **state) {
    UNUSED(state);
    for (size_t step = 1; step < 40; step++) {
        _cleanup_free_ char *body =
            unchunk("5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-T: v\r\n\r\n", step);
        CHECK(body);
        CHECK_STR(body, "hello world");
    }
    static const char *const bad[] = { "5 \r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n",
                                       "5\r\nhelloX\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n",
                                       "-5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
                                       "\r\nhello\r\n0\r\n\r\n",   "1000000000000000\r\n",
                                       "0\r\nbad trailer\r\n\r\n", "0\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(unchunk(bad[i], 3) == NULL);
}

int main(void) {
    return TEST_RUN(TEST(test_good_heads), TEST(test_head_in_pieces), TEST(test_refused_heads),
                    TEST(test_sizes), TEST(test_chunks));
}
