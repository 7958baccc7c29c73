/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What lasts between two daemons while connections come and go: a link numbers the frames that are
 * sent on it, keeps each until the other side has it, and sends the rest again on the next carrier.
 * So frames come once and in order, as long as both processes live.
 *
 * A carrier is whatever brings frames there: a connection, or the way through gcs. There is one
 * at a time, or none. It begins with Hello and Welcome, which are not numbered: each carries a LinkHello,
 * made after the former carrier was let go.
 *
 *     dials                            is dialled
 *     link_hello() -> Hello            link_match(), link_hello() -> Welcome, link_up()
 *     link_match(), link_up()
 *
 * Every other frame that comes goes through link_take() first.
 */

#include "loop/loop.h"
#include "net/bytes.h"
#include "wire/frame.h"

#define LINK_BYTES_MAX ((size_t)960 << 20)   /* kept for the other side */
#define LINK_PATIENCE  (5 * USEC_PER_SEC)    /* with a carrier on which nothing moves */
#define LINK_ACK_DELAY (100 * USEC_PER_MSEC) /* at most, of an acknowledgement */

typedef struct Link Link;

typedef struct LinkEvents {
    /* Puts a packed frame on the carrier. */
    void (*send)(void *ctx, NetBytes *frame);
    /* How far the carrier is with a long frame: while that changes, it is alive. May be NULL. */
    uint64_t (*progress)(void *ctx);
    /* The carrier is as good as broken. Comes again after the next LINK_PATIENCE. May be NULL. */
    void (*stalled)(void *ctx);
    /* The other side has got more of what was sent: link_acknowledged(). May be NULL. */
    void (*acknowledged)(void *ctx);
    /* Once: it does not take what is sent, for longer than can be kept. Nothing more is kept or sent:
     * the process on the other side has to be given up. */
    void (*full)(void *ctx);
} LinkEvents;

/* `events` is borrowed for life. */
Link *link_new(Loop *loop, size_t bytes_max, const LinkEvents *events, void *ctx);
Link *link_free(Link *link);
DEFINE_CLEANUP(Link *, link_free);

/* What the two sides tell each other when a carrier begins. */
typedef struct LinkHello {
    uint64_t id;       /* the sender's name of the link, made up at random */
    uint64_t other;    /* the receiver's, as the sender knows it; 0: not yet */
    uint64_t received; /* so many frames have come */
} LinkHello;

LinkHello link_hello(const Link *link);
/* 0: they belong together. 1: the other side has begun anew, or knows another link of ours: what it
 * has not acknowledged it may never have got. -EPROTO: it says what can't be. */
_must_check_ int link_match(const Link *link, const LinkHello *theirs);
/* After a match: the carrier is there, what was not received is sent again. */
void link_up(Link *link, const LinkHello *theirs);
/* The carrier is gone. */
void link_down(Link *link);
bool link_is_up(const Link *link);
/* The other side has begun anew: so do we. `each` (may be NULL) gets what it has not acknowledged,
 * the oldest first. */
typedef void LinkLostFn(void *ctx, const FrameHeader *header, Slice body);
void link_reset(Link *link, LinkLostFn *each, void *ctx);

/* A type that only links send themselves: who passes the frames of others on refuses it, as it would be
 * taken for a word of the link that brings it. */
bool link_is_own(unsigned type);

/* Numbers the frame, keeps it, and sends it when there is a carrier. */
void link_send(Link *link, const FrameHeader *header, Slice body);
/* A frame came on the carrier. 0: it is the next one. 1: it was the link's own. -EPROTO: it is out of
 * order, or acknowledges what it can't; the carrier is to be closed. */
_must_check_ int link_take(Link *link, const FrameHeader *header);

uint64_t link_sent(const Link *link);         /* the number of the last frame */
uint64_t link_acknowledged(const Link *link); /* the last one that arrived */
size_t link_bytes(const Link *link);          /* of memory, that is kept */
