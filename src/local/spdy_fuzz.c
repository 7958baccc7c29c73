/* SPDX-License-Identifier: Apache-2.0 */

/* A session takes the same bytes whole or cut in two the same way. */

#include "local/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Seen {
    uint64_t sum;
} Seen;

static void mix(Seen *seen, const void *data, size_t len) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        seen->sum = (seen->sum ^ bytes[i]) * 0x100000001b3;
}

static void on_send(void *ctx, Slice bytes) {
    mix(ctx, bytes.data, bytes.len);
}

static void on_opened(void *ctx, uint32_t stream, const HttpHeaders *headers, bool ends) {
    mix(ctx, &stream, sizeof(stream));
    for (size_t i = 0; i < headers->len; i++)
        mix(ctx, headers->items[i].value, strlen(headers->items[i].value));
}

static void on_data(void *ctx, uint32_t stream, Slice data, bool ends) {
    mix(ctx, &stream, sizeof(stream));
    mix(ctx, data.data, data.len);
}

static void on_reset(void *ctx, uint32_t stream) {
    mix(ctx, &stream, sizeof(stream));
}

static const SpdyEvents EVENTS = { on_send, on_opened, on_data, on_reset };

static int feed(Slice first, Slice second, Seen *seen) {
    _cleanup_(spdy_freep) Spdy *spdy = spdy_new(&EVENTS, seen);
    int r = spdy_feed(spdy, first);
    return r < 0 ? r : spdy_feed(spdy, second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    size_t cut = size ? data[0] % size : 0;
    Seen whole = { 1 }, parts = { 1 };
    int a = feed((Slice){ text, size }, (Slice){ "", 0 }, &whole);
    int b = feed((Slice){ text, cut }, (Slice){ text + cut, size - cut }, &parts);
    ASSERT(a == b && whole.sum == parts.sum);
    return 0;
}
