/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * SPDY/3.1 framing, the part that `kubectl port-forward` speaks inside a WebSocket: streams with
 * compressed headers, data with half-close, resets, pings. The server's end, no I/O: bytes in by
 * spdy_feed(), bytes out by the `send` callback. Every frame is bounded before it is buffered.
 */

#include "base/base.h"
#include "base/str.h"
#include "net/http.h"

typedef struct Spdy Spdy;

typedef struct SpdyEvents { /* borrowed for life */
    void (*send)(void *ctx, Slice bytes);
    /* Names are in lower case. `ends`: the peer sends nothing on it. */
    void (*opened)(void *ctx, uint32_t stream, const HttpHeaders *headers, bool ends);
    void (*data)(void *ctx, uint32_t stream, Slice data, bool ends);
    void (*reset)(void *ctx, uint32_t stream);
} SpdyEvents;

enum {
    SPDY_FRAME_MAX = 1024 * 1024,
    SPDY_HEADERS_MAX = 64 * 1024, /* inflated */
    SPDY_PAIRS_MAX = 64,
};

Spdy *spdy_new(const SpdyEvents *events, void *ctx);
Spdy *spdy_free(Spdy *spdy);
DEFINE_CLEANUP(Spdy *, spdy_free);

/* -EPROTO with a sentence: the session is over. */
_must_check_ int spdy_feed(Spdy *spdy, Slice bytes);

void spdy_reply(Spdy *spdy, uint32_t stream); /* accepts an opened stream */
void spdy_data(Spdy *spdy, uint32_t stream, Slice data, bool ends);
void spdy_reset(Spdy *spdy, uint32_t stream);
