/* SPDX-License-Identifier: Apache-2.0 */
#include "net/frame.h"

#include "base/fd.h"
#include "base/mem.h"

enum {
    FD_COUNT_SHIFT = 12, /* the topmost four bits of the flags */
    FD_COUNT_MASK = 0xf << FD_COUNT_SHIFT,
    INPUT_MAX = 64 * 1024,
    FRAME_BUDGET = 256 /* frames handed out in one go, then others get their turn */
};

struct FrameConn {
    Stream *stream;
    const FrameEvents *events;
    void *ctx;
    LoopTask *more; /* frames are left in the input after the budget or a pause */
    uint64_t taken; /* bytes of whole frames */
    bool paused, closed;
    int depth;      /* of callbacks; memory goes when it is 0 */
    bool freed;
};

static void on_stream(void *ctx, Stream *stream, StreamEvent event);
static void take_frames(FrameConn *conn);

static void more_run(void *ctx) {
    take_frames(ctx);
}

FrameConn *frame_conn_new(Stream *stream, const FrameEvents *events, void *ctx) {
    FrameConn *conn = mem_new(FrameConn);
    *conn = (FrameConn){ .stream = stream, .events = events, .ctx = ctx };
    conn->more = loop_task_new(stream_loop(stream), more_run, conn);
    stream_set_callback(stream, on_stream, conn);
    return conn;
}

static void conn_release(FrameConn *conn) {
    loop_task_free(conn->more);
    conn->freed = true;
    if (conn->depth == 0)
        mem_free(conn);
}

FrameConn *frame_conn_free(FrameConn *conn) {
    if (!conn)
        return NULL;
    stream_free(conn->stream);
    conn_release(conn);
    return NULL;
}

void frame_conn_free_later(FrameConn *conn, usec_t linger) {
    stream_free_later(conn->stream, linger);
    conn_release(conn);
}

void frame_conn_set_ctx(FrameConn *conn, const FrameEvents *events, void *ctx) {
    conn->events = events;
    conn->ctx = ctx;
}

/* False: the connection is gone, touch nothing. */
static bool leave(FrameConn *conn) {
    conn->depth--;
    if (!conn->freed)
        return true;
    if (conn->depth == 0)
        mem_free(conn);
    return false;
}

static void tell_closed(FrameConn *conn, int r) {
    if (conn->closed)
        return;
    conn->closed = true;
    stream_pause(conn->stream, true);
    loop_task_disarm(conn->more);
    conn->depth++;
    conn->events->closed(conn->ctx, conn, r);
    leave(conn);
}

static int check(const FrameConn *conn, const FrameHeader *header) {
    return conn->events->check ? conn->events->check(header) : frame_check(header);
}

/* Its descriptors came with its first byte or before: they wait in the stream. */
static int take_fds(FrameConn *conn, FrameIn *frame, int fds[static STREAM_FDS_SEND_MAX]) {
    size_t count = (frame->header.flags & FD_COUNT_MASK) >> FD_COUNT_SHIFT;
    frame->header.flags &= (uint16_t)~FD_COUNT_MASK;
    if ((count > 0) != ((frame->header.flags & FRAME_FDS) != 0))
        return error_origin(-EPROTO, "frame with %zu descriptors but flags 0x%x", count,
                            frame->header.flags);
    for (; frame->fd_count < count; frame->fd_count++) {
        fds[frame->fd_count] = stream_take_fd(conn->stream);
        if (fds[frame->fd_count] < 0)
            return error_origin(-EPROTO, "frame lacks its %zu descriptors", count);
    }
    frame->fds = fds;
    return 0;
}

static void close_fds(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++)
        fd_close(fds[i]);
}

/* One whole frame out of the input. 1: handed out; 0: not all of it is there; negative: broken. */
static int take_one(FrameConn *conn) {
    Slice input = stream_input(conn->stream);
    if (input.len < FRAME_HEADER_SIZE)
        return 0;
    FrameIn frame = { .header = frame_unpack(input.data) };
    FrameHeader plain = frame.header;
    plain.flags &= (uint16_t)~FD_COUNT_MASK;
    int r = check(conn, &plain);
    if (r < 0)
        return r;
    size_t size = FRAME_HEADER_SIZE + (size_t)frame.header.length;
    if (input.len < size) {
        stream_set_input_max(conn->stream, size);
        return 0;
    }
    int fds[STREAM_FDS_SEND_MAX];
    r = take_fds(conn, &frame, fds);
    if (r == 0) {
        frame.body = (Slice){ input.data + FRAME_HEADER_SIZE, frame.header.length };
        conn->events->frame(conn->ctx, conn, &frame);
    }
    close_fds(fds, frame.fd_count);
    if (!conn->freed) {
        stream_consume(conn->stream, size);
        conn->taken += size;
    }
    return r < 0 ? r : 1;
}

static void take_frames(FrameConn *conn) {
    conn->depth++;
    int r = 1;
    for (int i = 0; r > 0 && !conn->freed && !conn->closed && !conn->paused; i++) {
        if (i == FRAME_BUDGET) {
            loop_task_arm(conn->more);
            break;
        }
        r = take_one(conn);
        if (r > 0 && !conn->freed)
            stream_set_input_max(conn->stream, INPUT_MAX);
    }
    if (!leave(conn) || conn->closed)
        return;
    if (r < 0)
        tell_closed(conn, r);
    else if (stream_eof(conn->stream) && r == 0)
        tell_closed(conn, stream_input(conn->stream).len
                              ? error_origin(-ECONNRESET, "peer closed in the middle of a frame")
                              : 0);
}

static void on_stream(void *ctx, Stream *stream, StreamEvent event) {
    FrameConn *conn = ctx;
    switch (event) {
    case STREAM_CONNECTED:
        break;
    case STREAM_DATA:
    case STREAM_EOF:
        take_frames(conn);
        break;
    case STREAM_DRAINED:
        if (conn->events->drained && !conn->closed) {
            conn->depth++;
            conn->events->drained(conn->ctx, conn);
            leave(conn);
        }
        break;
    case STREAM_FAILED:
        tell_closed(conn, error_origin(stream_error(stream), "%s", stream_error_text(stream)));
        break;
    }
}

void frame_send_parts(FrameConn *conn, const FrameHeader *header, const Slice *parts,
                      size_t count) {
    FrameHeader out = *header;
    uint8_t bytes[FRAME_HEADER_SIZE];
    size_t length = 0;
    for (size_t i = 0; i < count; i++)
        length += parts[i].len;
    ASSERT(length <= UINT32_MAX);
    out.length = (uint32_t)length;
    out.flags &= (uint16_t)~FD_COUNT_MASK;
    frame_pack(&out, bytes);
    stream_write(conn->stream, bytes, sizeof(bytes));
    for (size_t i = 0; i < count; i++)
        stream_write(conn->stream, parts[i].data, parts[i].len);
}

void frame_send(FrameConn *conn, const FrameHeader *header, Slice body) {
    frame_send_parts(conn, header, &body, 1);
}

void frame_send_packed(FrameConn *conn, NetBytes *frame) {
    stream_write_bytes(conn->stream, frame);
}

int frame_send_fds(FrameConn *conn, const FrameHeader *header, Slice body, const int *fds,
                   size_t fd_count) {
    ASSERT(fd_count <= STREAM_FDS_SEND_MAX);
    FrameHeader out = *header;
    uint8_t bytes[FRAME_HEADER_SIZE];
    out.length = (uint32_t)body.len;
    out.flags &= (uint16_t)~(FD_COUNT_MASK | FRAME_FDS);
    if (fd_count)
        out.flags |= (uint16_t)(FRAME_FDS | fd_count << FD_COUNT_SHIFT);
    frame_pack(&out, bytes);
    if (fd_count) {
        int r = stream_write_fds(conn->stream, bytes, sizeof(bytes), fds, fd_count);
        if (r < 0)
            return r;
    } else {
        stream_write(conn->stream, bytes, sizeof(bytes));
    }
    stream_write(conn->stream, body.data, body.len);
    return 0;
}

uint64_t frame_arriving(const FrameConn *conn) {
    size_t begun = stream_input(conn->stream).len;
    return begun ? conn->taken + begun : 0;
}

uint64_t frame_progress(const FrameConn *conn) {
    size_t under_way = stream_under_way(conn->stream);
    uint64_t out = 0;
    if (under_way)
        out = stream_sent(conn->stream) + stream_queued(conn->stream) - under_way;
    return out + frame_arriving(conn);
}

bool frame_congested(const FrameConn *conn) {
    return stream_congested(conn->stream);
}

void frame_conn_pause(FrameConn *conn, bool paused) {
    if (conn->paused == paused)
        return;
    conn->paused = paused;
    if (conn->closed)
        return;
    stream_pause(conn->stream, paused);
    if (!paused)
        loop_task_arm(conn->more);
}

Stream *frame_conn_stream(FrameConn *conn) {
    return conn->stream;
}
