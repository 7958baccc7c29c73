/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Mobula's own protocol on a stream: frames of wire/frame.h, each checked against its type's bound
 * before its body is read. Frames sent in one tick leave together. On unix sockets descriptors
 * travel with a frame: the connection puts their number into the topmost four bits of the flags
 * (callers never see these) and sets FRAME_FDS.
 */

#include "net/stream.h"
#include "wire/frame.h"

typedef struct FrameConn FrameConn;

typedef struct FrameIn {
    FrameHeader header;
    Slice body; /* borrowed for the call */
    /* Descriptors that came along: closed after the call unless taken (set to -1). */
    int *fds;
    size_t fd_count;
} FrameIn;

typedef struct FrameEvents {
    void (*frame)(void *ctx, FrameConn *conn, FrameIn *frame);
    /* The output fell under its low-water mark after congestion. May be NULL. */
    void (*drained)(void *ctx, FrameConn *conn);
    /* Once, and nothing after it: 0 when the peer closed between two frames, negative with a
     * sentence else (-EPROTO for a frame that breaks the rules). Free the connection. */
    void (*closed)(void *ctx, FrameConn *conn, int r);
    /* Bounds; NULL means frame_check() of wire/. */
    int (*check)(const FrameHeader *header);
} FrameEvents;

/* Takes the stream (connected or still connecting; TLS already started if wanted). `events` is
 * borrowed for life. */
FrameConn *frame_conn_new(Stream *stream, const FrameEvents *events, void *ctx);
FrameConn *frame_conn_free(FrameConn *conn);
DEFINE_CLEANUP(FrameConn *, frame_conn_free);
/* Sends what is queued, then closes; no event comes. */
void frame_conn_free_later(FrameConn *conn, usec_t linger);
void frame_conn_set_ctx(FrameConn *conn, const FrameEvents *events, void *ctx);

/* Queues; the header's length is filled in. On a dead connection nothing happens. */
void frame_send(FrameConn *conn, const FrameHeader *header, Slice body);
/* The body in pieces (a router's header change, a payload that lies elsewhere). */
void frame_send_parts(FrameConn *conn, const FrameHeader *header, const Slice *parts, size_t count);
/* One that is packed already, header and body (net/link.h). */
void frame_send_packed(FrameConn *conn, NetBytes *frame);
/* `fds` are duplicated; at most STREAM_FDS_SEND_MAX. -ENOTSUP where it is no unix socket. */
_must_check_ int frame_send_fds(FrameConn *conn, const FrameHeader *header, Slice body,
                                const int *fds, size_t fd_count);
/* How far that is what has begun to come and is no whole frame yet; 0 when there is nothing of it. */
uint64_t frame_arriving(const FrameConn *conn);
/* Changes while anything moves that is under way: output until the other machine has it, and a frame that
 * comes (what the other side says of our output may be behind it). */
uint64_t frame_progress(const FrameConn *conn);
bool frame_congested(const FrameConn *conn);
/* Frames wait (in the kernel, at last at the sender) while paused. */
void frame_conn_pause(FrameConn *conn, bool paused);
Stream *frame_conn_stream(FrameConn *conn); /* borrowed: peer facts, marks, timeouts */
