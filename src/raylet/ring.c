/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/* Rings between two processes here: made on request, one a pair, kept mapped so that they can be
 * marked dead when an end is gone. */

static Ring *ring_between(const Local *a, const Local *b) {
    const Local *few = a->rings.len < b->rings.len ? a : b; /* a driver may have thousands */
    const Local *other = few == a ? b : a;
    VEC_EACH(ring, &few->rings)
        if ((*ring)->ends[0] == other || (*ring)->ends[1] == other)
            return *ring;
    return NULL;
}

static void peer_ring_body(const Local *peer, unsigned side, Buf *out) {
    PeerRing message = { .peer = peer->peer,
                         .side = (uint8_t)side,
                         .worker_id = peer->worker_id,
                         .pid = (uint32_t)peer->pid };
    peer_ring_encode(&message, out);
}

static int tell_other(Local *other, const Local *asker, int memfd) {
    _cleanup_buf_ Buf body = { 0 };
    peer_ring_body(asker, 1, &body);
    FrameHeader header = { .type = MSG_PEER_RING,
                           .source = other->raylet->self,
                           .destination = other->peer };
    int fds[] = { memfd, asker->bell.memfd, asker->bell.eventfd };
    return frame_send_fds(other->frames, &header, buf_slice(&body), fds, ARRAY_LEN(fds));
}

int ring_make(Local *asker, Local *other, int ret_fds[static 3]) {
    Raylet *raylet = asker->raylet;
    if (!other->frames || ring_between(asker, other))
        return 1;
    if (raylet->rings_len >= RAYLET_RINGS_MAX)
        return error_origin(-ENOSPC, "this node has %d rings, its most", RAYLET_RINGS_MAX);
    _cleanup_close_ int memfd = -1;
    int r = ring_create(&memfd);
    if (r < 0)
        return r;
    Ring *ring = mem_new(Ring);
    r = ring_open(memfd, 0, &ring->map);
    if (r == 0)
        r = tell_other(other, asker, memfd);
    if (r < 0) {
        if (ring->map.map)
            ring_close(&ring->map);
        free(ring);
        return r;
    }
    ring->ends[0] = asker;
    ring->ends[1] = other;
    vec_push(&asker->rings, ring);
    vec_push(&other->rings, ring);
    local_knows(asker, other->peer);
    local_knows(other, asker->peer);
    raylet->rings_len++;
    ret_fds[0] = memfd;
    ret_fds[1] = other->bell.memfd;
    ret_fds[2] = other->bell.eventfd;
    memfd = -1;
    return 0;
}

void ring_on_connect(Raylet *raylet, RayletCall *call) {
    PeerConnect message;
    RAYLET_DECODE(raylet, call, peer_connect_decode, &message);
    if (!call->local || call->local->bell.eventfd < 0) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_REMOTE, "not a process of this node");
        return;
    }
    if (peer_raylet(message.peer) != raylet->self) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_REMOTE,
                            "the peer is on another node");
        return;
    }
    Local *other = local_get(raylet, message.peer);
    if (!other || other == call->local || !other->frames || other->bell.eventfd < 0) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_DEAD, "the process is gone");
        return;
    }
    int fds[3];
    int r = ring_make(call->local, other, fds);
    if (r != 0) { /* relayed frames always work */
        raylet_reply_status(raylet, call->header, STATUS_CODE_REMOTE, "%s",
                            r < 0 ? error_text(r) : "there is a ring already");
        return;
    }
    _cleanup_buf_ Buf body = { 0 };
    peer_ring_body(other, 0, &body);
    FrameHeader header = rpc_answer_header(call->header, MSG_PEER_RING, &body);
    header.source = raylet->self;
    r = frame_send_fds(call->local->frames, &header, buf_slice(&body), fds, ARRAY_LEN(fds));
    if (r < 0)
        log_warn("a ring could not be handed out: %s", error_text(r));
    fd_close(fds[0]);
}

static void ring_remove(Local *from, const Ring *ring) {
    for (size_t i = 0; i < from->rings.len; i++)
        if (from->rings.items[i] == ring) {
            vec_remove_swap(&from->rings, i);
            return;
        }
}

void rings_drop(Local *local) {
    VEC_EACH(item, &local->rings) {
        Ring *ring = *item;
        Local *other = ring->ends[0] == local ? ring->ends[1] : ring->ends[0];
        ring_mark_dead(&ring->map);
        doorbell_ring(&other->bell);
        ring_remove(other, ring);
        ring_close(&ring->map);
        free(ring);
        local->raylet->rings_len--;
    }
    vec_done(&local->rings);
}
