/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The frame: a fixed header of 32 bytes, little-endian, then `length` bytes of body. The same on
 * sockets and in rings. Routers look at `destination` only.
 */

#include "wire/ids.h"

enum {
    FRAME_HEADER_SIZE = 32,
    WIRE_VERSION_LOW = 1, /* versions this build speaks; hello carries both */
    WIRE_VERSION_HIGH = 1,
};

enum {
    FRAME_REPLY = 1 << 0, /* answers the call that `stream` names at the destination */
    FRAME_ERROR = 1 << 1, /* with REPLY: the body is a Status */
    FRAME_CALL = 1 << 2,  /* wants an answer */
    FRAME_FDS = 1 << 3,   /* file descriptors come with it (unix sockets only) */
};

typedef struct FrameHeader {
    uint32_t length;   /* of the body */
    uint16_t type;     /* MessageType */
    uint16_t flags;    /* FRAME_* */
    uint32_t stream;   /* a call's number, chosen by its source; the reply carries it back */
    uint32_t sequence; /* between two daemons: its number on their link (net/link.h); else 0 */
    PeerId source;
    PeerId destination;
} FrameHeader;

_Static_assert(sizeof(FrameHeader) == FRAME_HEADER_SIZE, "the header is the wire layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

static inline void frame_pack(const FrameHeader *h, uint8_t out[static FRAME_HEADER_SIZE]) {
    memcpy(out, h, FRAME_HEADER_SIZE);
}
static inline FrameHeader frame_unpack(const void *in) {
    FrameHeader h;
    memcpy(&h, in, FRAME_HEADER_SIZE);
    return h;
}

/* Checks a header that came from outside: known type, length within the type's bound. -EPROTO
 * with a sentence else. */
_must_check_ int frame_check(const FrameHeader *h);
/* The same for the first frame of a connection, which is a Hello: nobody is given room for more before
 * it is known who that is. */
_must_check_ int frame_check_first(const FrameHeader *h);
