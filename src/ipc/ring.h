/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A pair of rings between two processes in one memfd: one producer and one consumer each. The
 * raylet makes it, keeps it mapped and marks it dead when an end dies. Frames lie in a ring
 * whole where they fit, so that the reader works on them in place; longer ones go in pieces.
 *
 * Each record starts at a multiple of 8: u32 length, u32 flags, the bytes. The tail is published
 * after the bytes. The other end is not trusted: the reader copies lengths before it checks them
 * and keeps its own positions.
 *
 * A ring is sparse memory. A writer that finds it empty starts again at the front, so a quiet pair
 * touches only its first pages.
 */

#include <sys/uio.h>

#include "base/str.h"
#include "wire/frame.h"

enum {
    RING_BYTES = 1 << 20,       /* of each direction; a power of two */
    RING_RESTART = 32 << 10,    /* beyond this an empty ring starts again at the front */
    RING_WHOLE_MAX = 128 << 10, /* a longer frame goes in pieces of this size */
    RING_CONTROL = 4096,
};

typedef struct RingControl {
    _Alignas(64) _Atomic uint64_t tail; /* bytes ever published; the producer's */
    _Alignas(64) _Atomic uint64_t head; /* bytes ever consumed; the consumer's */
    _Atomic uint32_t want_room;         /* the producer waits for room: ring its doorbell */
    _Alignas(64) _Atomic uint32_t dead; /* an end is gone; the raylet's */
} RingControl;

typedef struct RingWriter {
    RingControl *control;
    uint8_t *data;
    uint64_t tail, head_seen;
} RingWriter;

typedef struct RingReader {
    RingControl *control;
    const uint8_t *data;
    uint64_t head, next; /* consumed; consumed after the record in hand */
    Buf partial;         /* a frame that comes in pieces */
    size_t partial_want;
} RingReader;

/* One process's end of a pair: it writes one ring and reads the other. */
typedef struct RingPair {
    void *map;
    RingWriter out;
    RingReader in;
} RingPair;

/* Makes the shared memory; the fd is owned. */
_must_check_ int ring_create(int *ret_memfd);
/* Maps one end: side 0 writes the first ring, side 1 the second. Does not take the fd. */
_must_check_ int ring_open(int memfd, int side, RingPair *ret_pair);
void ring_close(RingPair *pair);
/* The raylet's way: marks both directions. Readers still get what was published. */
void ring_mark_dead(RingPair *pair);
bool ring_dead(const RingPair *pair);

/* False: no room now (want_room is set, the consumer will ring). Nothing was written then, unless
 * *sent > 0: a long frame of which that much is in; call again with the same frame and *sent. */
bool ring_write(RingWriter *out, const FrameHeader *header, const struct iovec *body,
                size_t body_len, size_t *sent);

/* 1: a frame; *ret_body is borrowed until the next ring_read(). 0: none now. -EPROTO: the other end
 * wrote nonsense; close the pair. *ret_want_room: the writer waits for room: ring its doorbell. */
int ring_read(RingReader *in, FrameHeader *ret_header, const void **ret_body, bool *ret_want_room);
/* After ring_write() said no: the consumer has made some room since (and has rung). A writer that
 * is about to sleep looks once more, as it does for what it reads. */
bool ring_room_came(const RingWriter *out);
/* True when ring_read would find something. */
bool ring_readable(const RingReader *in);
