/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP/1 requests as bytes: heads and chunked bodies, strict, pure. http-parser tokenises the
 * head; it is more lenient than is safe behind proxies, so what it would let through is refused
 * here: bare LF, folded fields, spaces around names, no Host or two, lists of lengths, both
 * Content-Length and Transfer-Encoding.
 */

#include "net/http.h"

typedef struct Http1Limits {
    size_t line_max, head_max, headers_max;
} Http1Limits;

enum {
    HTTP1_LENGTH_CHUNKED = -1
};

typedef struct Http1Head {
    char *method, *target;  /* target: origin form or "*" */
    HttpHeaders headers;
    int minor;              /* HTTP/1.minor */
    int64_t content_length; /* 0: no body; HTTP1_LENGTH_CHUNKED */
    bool keep_alive, expect_continue;
} Http1Head;

enum {
    HTTP1_MORE = 1 /* the input does not hold it all yet */
};

/* Looks at the start of `input`. 0: *ret_head and *ret_size (bytes it took). HTTP1_MORE: come again
 * with more; *scanned (0 at first) saves looking twice. -EPROTO with a sentence and the response's
 * status in *ret_status: refused. */
_must_check_ int http1_head_parse(Slice input, const Http1Limits *limits, size_t *scanned,
                                  Http1Head *ret_head, size_t *ret_size, int *ret_status);
void http1_head_done(Http1Head *head);

/* The head of a response, for the client half of an upgrade: as above, with *ret_status the status
 * of the response (interim ones other than 101 are not skipped). */
_must_check_ int http1_response_parse(Slice input, const Http1Limits *limits, size_t *scanned,
                                      HttpHeaders *ret_headers, size_t *ret_size, int *ret_status);

/* A chunked body, fed piece by piece. Zero-initialised is at its start. */
typedef struct Http1Chunks {
    uint64_t left; /* of the chunk that is running */
    enum {
        HTTP1_SIZE,
        HTTP1_DATA,
        HTTP1_DATA_END,
        HTTP1_TRAILER,
        HTTP1_END
    } state;
    size_t trailer_size;
} Http1Chunks;

/* One step: *ret_size bytes of input are used up, *ret_data (within them) is body. Call again
 * while 0 and input is left; HTTP1_MORE: needs more than `input` holds. The end is state
 * HTTP1_END. -EPROTO with a sentence: refused. */
_must_check_ int http1_chunks_step(Http1Chunks *chunks, Slice input, Slice *ret_data,
                                   size_t *ret_size);
