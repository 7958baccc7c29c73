/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http1.h"

#include <http_parser.h>
#include <stdio.h>
#include <strings.h>

#include "base/vec.h"

enum {
    CHUNK_LINE_MAX = 256, /* size and extensions */
    TRAILER_MAX = 8192,
    CHUNK_DIGITS_MAX = 15
};

typedef struct HeadParse {
    http_parser parser;
    const Http1Limits *limits;
    Http1Head *head;
    Buf target, name, value;
    bool in_value;
    int status; /* of the refusal */
} HeadParse;

static _printf_(3, 4) int refuse(int *ret_status, int status, const char *format, ...) {
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    *ret_status = status;
    return error_origin(-EPROTO, "%s", text);
}

void http1_head_done(Http1Head *head) {
    mem_free(head->method);
    mem_free(head->target);
    http_headers_done(&head->headers);
    *head = (Http1Head){ 0 };
}

/* Moves the field that was collected into the head. */
static int field_end(HeadParse *parse) {
    if (!parse->in_value)
        return 0;
    parse->in_value = false;
    if (parse->head->headers.len == parse->limits->headers_max)
        return refuse(&parse->status, 431, "more than %zu header fields",
                      parse->limits->headers_max);
    if (!http_token_valid(buf_slice(&parse->name)))
        return refuse(&parse->status, 400, "bad character in a header name");
    if (!http_value_valid(buf_slice(&parse->value)))
        return refuse(&parse->status, 400, "bad character in the value of header %s",
                      parse->name.data);
    vec_push(&parse->head->headers, (struct HttpHeader){ .name = buf_steal(&parse->name),
                                                         .value = buf_steal(&parse->value) });
    return 0;
}

static int on_url(http_parser *parser, const char *at, size_t len) {
    buf_add(&((HeadParse *)parser->data)->target, at, len);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len) {
    HeadParse *parse = parser->data;
    int r = field_end(parse);
    buf_add(&parse->name, at, len);
    return r;
}

static int on_value(http_parser *parser, const char *at, size_t len) {
    HeadParse *parse = parser->data;
    parse->in_value = true;
    while (len && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    buf_add(&parse->value, at, len);
    return 0;
}

static int on_head_end(http_parser *parser) {
    HeadParse *parse = parser->data;
    int r = field_end(parse);
    return r < 0 ? r : 1; /* 1: no body for the parser, it ends here */
}

static const http_parser_settings settings = { .on_url = on_url,
                                               .on_header_field = on_field,
                                               .on_header_value = on_value,
                                               .on_headers_complete = on_head_end };

/* What no tokeniser tells: every line ends with CR LF, none is folded. */
static int check_lines(Slice head, int *ret_status) {
    for (size_t i = 0; i < head.len; i++) {
        bool lf = head.data[i] == '\n', cr = head.data[i] == '\r';
        if ((lf && (i == 0 || head.data[i - 1] != '\r')) ||
            (cr && (i + 1 == head.len || head.data[i + 1] != '\n')))
            return refuse(ret_status, 400, "a line must end with CR LF");
        if (lf && i + 1 < head.len && (head.data[i + 1] == ' ' || head.data[i + 1] == '\t'))
            return refuse(ret_status, 400, "folded or indented header field");
        if (head.data[i] == 0)
            return refuse(ret_status, 400, "NUL in the head");
    }
    return 0;
}

/* "GET /x HTTP/1.1": three parts, one space between each. */
static int check_request_line(Slice line, int *ret_status) {
    const char *end = line.data + line.len;
    const char *first = memchr(line.data, ' ', line.len);
    const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    if (!second || second == first + 1 || memchr(second + 1, ' ', (size_t)(end - second - 1)))
        return refuse(ret_status, 400, "the request line is not \"METHOD target HTTP/1.1\"");
    Slice version = { second + 1, (size_t)(end - second - 1) };
    if (!http_token_valid((Slice){ line.data, (size_t)(first - line.data) }))
        return refuse(ret_status, 400, "bad character in the method");
    for (const char *c = first + 1; c < second; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || *c == '#')
            return refuse(ret_status, 400, "bad character in the request target");
    if (!slice_eq_str(version, "HTTP/1.1") && !slice_eq_str(version, "HTTP/1.0"))
        return refuse(ret_status,
                      version.len == 8 && memcmp(version.data, "HTTP/", 5) == 0 ? 505 : 400,
                      "only HTTP/1.1 and HTTP/1.0 are spoken here");
    return 0;
}

static size_t count_headers(const Http1Head *head, const char *name, const char **ret_value) {
    size_t count = 0;
    for (size_t i = 0; i < head->headers.len; i++) {
        if (strcasecmp(head->headers.items[i].name, name) != 0)
            continue;
        *ret_value = head->headers.items[i].value;
        count++;
    }
    return count;
}

static int check_host(const Http1Head *head, int *ret_status) {
    const char *host = "";
    size_t count = count_headers(head, "Host", &host);
    if (count > 1 || (count == 0 && head->minor == 1))
        return refuse(ret_status, 400, "a request needs exactly one Host header, not %zu", count);
    if (strpbrk(host, " \t/\\@?#,"))
        return refuse(ret_status, 400, "bad character in the Host header");
    return 0;
}

static int check_length(Http1Head *head, int *ret_status) {
    const char *length = NULL, *coding = NULL;
    size_t lengths = count_headers(head, "Content-Length", &length);
    size_t codings = count_headers(head, "Transfer-Encoding", &coding);
    if (lengths + codings > 1)
        return refuse(ret_status, 400, "more than one of Content-Length and Transfer-Encoding");
    if (codings) {
        if (head->minor == 0)
            return refuse(ret_status, 400, "Transfer-Encoding in HTTP/1.0");
        if (strcasecmp(coding, "chunked") != 0)
            return refuse(ret_status, 501, "transfer coding other than chunked");
        head->content_length = HTTP1_LENGTH_CHUNKED;
    } else if (lengths) {
        if (!*length || strspn(length, "0123456789") != strlen(length) ||
            str_to_i64(length, &head->content_length) < 0)
            return refuse(ret_status, 400, "Content-Length is not a number");
    }
    return 0;
}

static int check_expect(Http1Head *head, int *ret_status) {
    const char *expect = NULL;
    if (count_headers(head, "Expect", &expect) == 0)
        return 0;
    if (strcasecmp(expect, "100-continue") != 0)
        return refuse(ret_status, 417, "unknown expectation");
    head->expect_continue = head->minor == 1 && head->content_length != 0;
    return 0;
}

/* "http://host/path" (what clients send to proxies) becomes "/path". */
static int normalise_target(Http1Head *head, int *ret_status) {
    if (head->target[0] == '/' || (str_eq(head->target, "*") && str_eq(head->method, "OPTIONS")))
        return 0;
    HttpUrl url;
    bool http = str_starts(head->target, "http://") || str_starts(head->target, "https://");
    if (!http || http_url_parse(head->target, &url) < 0)
        return refuse(ret_status, 400, "the request target is not a path");
    str_set(&head->target, url.target);
    http_url_done(&url);
    return 0;
}

static int understand(HeadParse *parse, int *ret_status) {
    Http1Head *head = parse->head;
    const http_parser *parser = &parse->parser;
    head->method = str_dup(http_method_str((enum http_method)parser->method));
    head->target = buf_steal(&parse->target);
    head->minor = parser->http_minor;
    bool close = http_headers_has_token(&head->headers, "Connection", "close");
    bool keep = http_headers_has_token(&head->headers, "Connection", "keep-alive");
    head->keep_alive = !close && (head->minor == 1 || keep);
    if (parser->method == HTTP_CONNECT)
        return refuse(ret_status, 501, "CONNECT is not supported");
    int r = check_host(head, ret_status);
    if (r == 0)
        r = check_length(head, ret_status);
    if (r == 0)
        r = check_expect(head, ret_status);
    return r < 0 ? r : normalise_target(head, ret_status);
}

static int tokenise(HeadParse *parse, Slice bytes, int *ret_status) {
    http_parser_init(&parse->parser, HTTP_REQUEST);
    parse->parser.data = parse;
    http_parser_set_max_header_size((uint32_t)UINT32_MAX); /* ours are counted already */
    size_t used = http_parser_execute(&parse->parser, &settings, bytes.data, bytes.len);
    enum http_errno error = HTTP_PARSER_ERRNO(&parse->parser);
    if (parse->status) {
        *ret_status = parse->status;
        return -EPROTO;
    }
    if (error == HPE_INVALID_METHOD)
        return refuse(ret_status, 501, "unknown method");
    if (error != HPE_OK || (used != bytes.len && !parse->parser.upgrade))
        return refuse(ret_status, 400, "malformed head: %s", http_errno_description(error));
    return understand(parse, ret_status);
}

/* Where the empty line ends, or 0. */
static size_t head_end(Slice input, size_t *scanned) {
    size_t from = *scanned > 3 ? *scanned - 3 : 0;
    const char *found = memmem(input.data + from, input.len - from, "\r\n\r\n", 4);
    *scanned = input.len;
    return found ? (size_t)(found - input.data) + 4 : 0;
}

static int check_size(Slice input, size_t end, const Http1Limits *limits, int *ret_status) {
    size_t seen = end ? end : input.len;
    const char *line_end = memchr(input.data, '\n', seen);
    size_t line = line_end ? (size_t)(line_end - input.data) + 1 : seen;
    if (line > limits->line_max)
        return refuse(ret_status, 414, "the request line is longer than %zu bytes",
                      limits->line_max);
    if (seen - line > limits->head_max)
        return refuse(ret_status, 431, "the header fields are longer than %zu bytes",
                      limits->head_max);
    return 0;
}

int http1_head_parse(Slice input, const Http1Limits *limits, size_t *scanned, Http1Head *ret_head,
                     size_t *ret_size, int *ret_status) {
    /* One empty line before a request is forgiven (RFC 9112, 2.2). */
    size_t skip = input.len >= 2 && memcmp(input.data, "\r\n", 2) == 0 ? 2 : 0;
    if (input.len == 0 || (input.len == 1 && input.data[0] == '\r'))
        return HTTP1_MORE;
    Slice rest = { input.data + skip, input.len - skip };
    size_t end = head_end(rest, scanned);
    int r = check_size(rest, end, limits, ret_status);
    if (r < 0)
        return r;
    const char *line_end = memchr(rest.data, '\n', rest.len);
    if (line_end && (line_end == rest.data || line_end[-1] != '\r'))
        return refuse(ret_status, 400, "a line must end with CR LF");
    if (!end)
        return HTTP1_MORE;
    Slice bytes = { rest.data, end };
    r = check_lines(bytes, ret_status);
    if (r == 0)
        r = check_request_line((Slice){ rest.data, (size_t)(line_end - rest.data) - 1 },
                               ret_status);
    if (r < 0)
        return r;
    Http1Head head = { 0 };
    HeadParse parse = { .limits = limits, .head = &head };
    r = tokenise(&parse, bytes, ret_status);
    buf_done(&parse.target);
    buf_done(&parse.name);
    buf_done(&parse.value);
    if (r < 0) {
        http1_head_done(&head);
        return r;
    }
    *ret_head = head;
    *ret_size = skip + end;
    return 0;
}

int http1_response_parse(Slice input, const Http1Limits *limits, size_t *scanned,
                         HttpHeaders *ret_headers, size_t *ret_size, int *ret_status) {
    int refused;
    size_t end = head_end(input, scanned);
    int r = check_size(input, end, limits, &refused);
    if (r < 0 || !end)
        return r < 0 ? r : HTTP1_MORE;
    Slice bytes = { input.data, end };
    r = check_lines(bytes, &refused);
    if (r < 0)
        return r;
    Http1Head head = { 0 };
    HeadParse parse = { .limits = limits, .head = &head };
    http_parser_init(&parse.parser, HTTP_RESPONSE);
    parse.parser.data = &parse;
    http_parser_execute(&parse.parser, &settings, bytes.data, bytes.len);
    enum http_errno error = HTTP_PARSER_ERRNO(&parse.parser);
    buf_done(&parse.name);
    buf_done(&parse.value);
    if (error != HPE_OK) {
        http1_head_done(&head);
        return parse.status
                   ? -EPROTO
                   : error_origin(-EPROTO, "malformed response: %s", http_errno_description(error));
    }
    *ret_headers = head.headers;
    *ret_size = end;
    *ret_status = parse.parser.status_code;
    return 0;
}

/* Chunked bodies. */

/* The next line without its CR LF. */
static int take_line(Slice input, size_t max, Slice *ret_line) {
    const char *lf = memchr(input.data, '\n', MIN(input.len, max));
    if (!lf)
        return input.len >= max ? error_origin(-EPROTO, "chunk line longer than %zu bytes", max)
                                : HTTP1_MORE;
    size_t len = (size_t)(lf - input.data);
    if (len == 0 || input.data[len - 1] != '\r' || memchr(input.data, '\r', len - 1))
        return error_origin(-EPROTO, "a chunk's line must end with CR LF");
    *ret_line = (Slice){ input.data, len - 1 };
    return 0;
}

static int parse_size(Slice line, uint64_t *ret_size) {
    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < line.len; digits++) {
        char c = line.data[digits];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            break;
        if (digits == CHUNK_DIGITS_MAX)
            return error_origin(-EPROTO, "chunk size is too large");
        size = size << 4 | (uint64_t)digit;
    }
    Slice rest = { line.data + digits, line.len - digits };
    if (digits == 0 || (rest.len && rest.data[0] != ';') || !http_value_valid(rest))
        return error_origin(-EPROTO, "chunk size is not a hexadecimal number");
    *ret_size = size;
    return 0;
}

static int step_size(Http1Chunks *chunks, Slice input, size_t *ret_size) {
    Slice line;
    int r = take_line(input, CHUNK_LINE_MAX, &line);
    if (r == 0)
        r = parse_size(line, &chunks->left);
    if (r != 0)
        return r;
    chunks->state = chunks->left ? HTTP1_DATA : HTTP1_TRAILER;
    *ret_size = line.len + 2;
    return 0;
}

static int step_trailer(Http1Chunks *chunks, Slice input, size_t *ret_size) {
    Slice line;
    int r = take_line(input, TRAILER_MAX, &line);
    if (r != 0)
        return r;
    const char *colon = memchr(line.data, ':', line.len);
    chunks->trailer_size += line.len + 2;
    if (chunks->trailer_size > TRAILER_MAX)
        return error_origin(-EPROTO, "trailers longer than %d bytes", TRAILER_MAX);
    if (line.len == 0)
        chunks->state = HTTP1_END;
    else if (!colon || !http_token_valid((Slice){ line.data, (size_t)(colon - line.data) }) ||
             !http_value_valid(line))
        return error_origin(-EPROTO, "malformed trailer");
    *ret_size = line.len + 2;
    return 0;
}

int http1_chunks_step(Http1Chunks *chunks, Slice input, Slice *ret_data, size_t *ret_size) {
    *ret_data = (Slice){ "", 0 };
    *ret_size = 0;
    switch (chunks->state) {
    case HTTP1_SIZE:
        return step_size(chunks, input, ret_size);
    case HTTP1_DATA: {
        size_t len = (size_t)MIN(chunks->left, (uint64_t)input.len);
        if (len == 0)
            return HTTP1_MORE;
        *ret_data = (Slice){ input.data, len };
        *ret_size = len;
        chunks->left -= len;
        if (chunks->left == 0)
            chunks->state = HTTP1_DATA_END;
        return 0;
    }
    case HTTP1_DATA_END:
        if (input.len < 2)
            return HTTP1_MORE;
        if (memcmp(input.data, "\r\n", 2) != 0)
            return error_origin(-EPROTO, "a chunk is longer than its size");
        chunks->state = HTTP1_SIZE;
        *ret_size = 2;
        return 0;
    case HTTP1_TRAILER:
        return step_trailer(chunks, input, ret_size);
    case HTTP1_END:
        break;
    }
    return HTTP1_MORE;
}
