/* SPDX-License-Identifier: Apache-2.0 */
#include "net/relay.h"

#include "base/str.h"

#define LINGER (30 * USEC_PER_SEC)

typedef struct RelaySide {
    Relay *relay;
    Stream *stream;
    struct RelaySide *other;
    uint64_t moved; /* bytes taken from here */
    bool done;      /* its end was seen and passed on */
} RelaySide;

struct Relay {
    RelaySide a, b;
    LoopTask *finish;
    int r;
    char *error;
    RelayFn *fn;
    void *ctx;
};

/* Moves what the other side can take; holds the source back when it can't. */
static void move(RelaySide *side) {
    Slice input = stream_input(side->stream);
    if (input.len) {
        stream_write(side->other->stream, input.data, input.len);
        side->moved += input.len;
        stream_consume(side->stream, input.len);
    }
    stream_pause(side->stream, stream_congested(side->other->stream));
}

static void finish(void *ctx) {
    Relay *relay = ctx;
    if (relay->r < 0)
        error_origin(relay->r, "%s", relay->error);
    relay->fn(relay->ctx, relay->r, relay->a.moved, relay->b.moved);
}

/* What was taken from one side still goes to the other. */
static void end(Relay *relay, int r) {
    relay->r = r;
    if (r < 0)
        relay->error = str_dup(error_text(r));
    stream_free_later(TAKE(relay->a.stream), LINGER);
    stream_free_later(TAKE(relay->b.stream), LINGER);
    loop_task_arm(relay->finish);
}

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    RelaySide *side = ctx;
    Relay *relay = side->relay;
    switch (event) {
    case STREAM_CONNECTED:
        break;
    case STREAM_DATA:
        move(side);
        break;
    case STREAM_DRAINED:
        move(side->other);
        break;
    case STREAM_EOF:
        move(side);
        side->done = true;
        stream_shutdown(side->other->stream);
        if (side->other->done)
            end(relay, 0);
        break;
    case STREAM_FAILED:
        end(relay, error_origin(stream_error(stream), "%s", stream_error_text(stream)));
        break;
    }
}

static void side_init(RelaySide *side, RelaySide *other, Relay *relay, Stream *stream,
                      usec_t idle) {
    *side = (RelaySide){ .relay = relay, .stream = stream, .other = other };
    stream_set_idle_timeout(stream, idle);
}

Relay *relay_new(Stream *a, Stream *b, usec_t idle, RelayFn *fn, void *ctx) {
    Relay *relay = mem_new(Relay);
    relay->fn = fn;
    relay->ctx = ctx;
    relay->finish = loop_task_new(stream_loop(a), finish, relay);
    side_init(&relay->a, &relay->b, relay, a, idle);
    side_init(&relay->b, &relay->a, relay, b, idle);
    stream_set_callback(a, on_stream, &relay->a);
    stream_set_callback(b, on_stream, &relay->b);
    return relay;
}

Relay *relay_free(Relay *relay) {
    if (!relay)
        return NULL;
    stream_free(relay->a.stream);
    stream_free(relay->b.stream);
    loop_task_free(relay->finish);
    mem_free(relay->error);
    return mem_free(relay);
}
