/* SPDX-License-Identifier: Apache-2.0 */
#include "raylet/raylet_fuzz_stream.h"

#include "base/error.h"
#include "base/wrap.h"

struct Stream {
    Loop *loop;
    StreamFn *fn;
    void *ctx;
    LoopTask *announce;
    LoopTimer *deadline;
    Buf input;
    size_t written;
    bool grown, ended, told_end, paused, failed;
    unsigned holders; /* the node and the far end */
};

static Stream *drop(Stream *stream) {
    if (--stream->holders > 0)
        return NULL;
    buf_done(&stream->input);
    return mem_free(stream);
}

static bool node_has(const Stream *stream) {
    return stream->announce != NULL;
}

static void announce(void *ctx) {
    Stream *stream = ctx;
    if (stream->paused || stream->failed || !stream->fn)
        return;
    if (stream->grown) {
        stream->grown = false;
        if (stream->ended)
            loop_task_arm(stream->announce);
        stream->fn(stream->ctx, stream, STREAM_DATA);
    } else if (stream->ended && !stream->told_end) {
        stream->told_end = true;
        stream->fn(stream->ctx, stream, STREAM_EOF);
    }
}

static void too_late(void *ctx) {
    Stream *stream = ctx;
    stream->failed = true;
    stream->fn(stream->ctx, stream, STREAM_FAILED);
}

Stream *fuzz_stream_new(Loop *loop, StreamFn *fn, void *ctx) {
    Stream *stream = mem_new(Stream);
    *stream = (Stream){ .loop = loop, .fn = fn, .ctx = ctx, .holders = 2 };
    stream->announce = loop_task_new(loop, announce, stream);
    stream->deadline = loop_timer_new(loop, too_late, stream);
    return stream;
}

void fuzz_stream_feed(Stream *stream, const void *data, size_t len) {
    if (!stream || !node_has(stream))
        return;
    buf_add(&stream->input, data, len);
    stream->grown = true;
    loop_task_arm(stream->announce);
}

Stream *fuzz_stream_end(Stream *stream) {
    if (!stream)
        return NULL;
    stream->ended = true;
    if (node_has(stream))
        loop_task_arm(stream->announce);
    return drop(stream);
}

size_t fuzz_stream_written(const Stream *stream) {
    return stream->written;
}

/* ---- net/stream.h ------------------------------------------------------------------------------ */

WRAPPED(int, stream_connect, Loop *loop, const NetAddress *to, usec_t timeout, StreamFn *fn,
        void *ctx, Stream **ret) {
    return error_origin(-ENETUNREACH, "nothing is dialled");
}

WRAPPED(Stream *, stream_free, Stream *stream) {
    if (!stream)
        return NULL;
    stream->announce = loop_task_free(stream->announce);
    stream->deadline = loop_timer_free(stream->deadline);
    return drop(stream);
}

WRAPPED(void, stream_free_later, Stream *stream, usec_t linger) {
    __wrap_stream_free(stream);
}

WRAPPED(void, stream_set_callback, Stream *stream, StreamFn *fn, void *ctx) {
    stream->fn = fn;
    stream->ctx = ctx;
    stream->grown = stream->input.len > 0;
    stream->told_end = false;
    loop_task_arm(stream->announce);
}

WRAPPED(Slice, stream_input, const Stream *stream) {
    return buf_slice(&stream->input);
}

WRAPPED(void, stream_consume, Stream *stream, size_t len) {
    buf_drop(&stream->input, len);
}

WRAPPED(void, stream_set_input_max, Stream *stream, size_t max) {
}

WRAPPED(void, stream_pause, Stream *stream, bool paused) {
    stream->paused = paused;
    stream->grown = stream->input.len > 0;
    if (!paused)
        loop_task_arm(stream->announce);
}

WRAPPED(int, stream_take_fd, Stream *stream) {
    return -1;
}

WRAPPED(void, stream_write, Stream *stream, const void *data, size_t len) {
    stream->written += len;
}

WRAPPED(void, stream_write_bytes, Stream *stream, NetBytes *bytes) {
    stream->written += bytes->len;
}

WRAPPED(int, stream_write_fds, Stream *stream, const void *data, size_t len, const int *fds,
        size_t fd_count) {
    ASSERT(fd_count <= STREAM_FDS_SEND_MAX);
    return 0;
}

WRAPPED(size_t, stream_under_way, const Stream *stream) {
    return 0;
}

WRAPPED(size_t, stream_queued, const Stream *stream) {
    return 0;
}

WRAPPED(bool, stream_congested, const Stream *stream) {
    return false;
}

WRAPPED(void, stream_set_output_marks, Stream *stream, size_t high, size_t hard) {
}

WRAPPED(void, stream_flush, Stream *stream) {
}

WRAPPED(void, stream_set_deadline, Stream *stream, usec_t deadline) {
    loop_timer_at(stream->deadline, deadline);
}

WRAPPED(Loop *, stream_loop, const Stream *stream) {
    return stream->loop;
}

WRAPPED(int, stream_error, const Stream *stream) {
    return stream->failed ? -ETIMEDOUT : 0;
}

WRAPPED(const char *, stream_error_text, const Stream *stream) {
    return stream->failed ? "nothing came in time" : "";
}

WRAPPED(bool, stream_eof, const Stream *stream) {
    return stream->told_end;
}
