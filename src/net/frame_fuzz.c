/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as frames: each that is handed out keeps its bound, and the connection ends once. */

#include "net/frame.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Seen {
    size_t bytes;
    int closed;
} Seen;

static void on_frame(void *ctx, FrameConn *conn, FrameIn *frame) {
    Seen *seen = ctx;
    UNUSED(conn);
    ASSERT(frame->body.len == frame->header.length);
    ASSERT(frame_check(&frame->header) == 0);
    seen->bytes += FRAME_HEADER_SIZE + frame->body.len;
}

static void on_closed(void *ctx, FrameConn *conn, int r) {
    UNUSED(conn);
    UNUSED(r);
    ((Seen *)ctx)->closed++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const FrameEvents events = { .frame = on_frame, .closed = on_closed };
    static Loop *loop; /* one for all inputs: making it costs more than an input */
    int fds[2];
    Stream *here = NULL, *there = NULL;
    Seen seen = { 0 };
    if (!loop)
        ASSERT(loop_new_virtual(0, 0, &loop) == 0);
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    ASSERT(stream_new(loop, fds[0], NULL, NULL, &here) == 0);
    ASSERT(stream_new(loop, fds[1], NULL, NULL, &there) == 0);
    FrameConn *conn = frame_conn_new(there, &events, &seen);
    stream_write(here, data, size);
    stream_free_later(here, USEC_PER_SEC);
    loop_run_until(loop, loop_deadline(loop, 10 * USEC_PER_SEC));
    ASSERT(seen.closed == 1 && seen.bytes <= size);
    frame_conn_free(conn);
    return 0;
}
