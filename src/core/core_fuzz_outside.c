/* SPDX-License-Identifier: Apache-2.0 */

/* The outside of a process as the fuzz target has it (meson.build: --wrap). */

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wrap.h"
#include "core/core_fuzz.h"

World world;

WRAPPED(usec_t, time_mono_now, void) {
    return world.now;
}

WRAPPED(void, mem_random, void *p, size_t len) {
    for (size_t i = 0; i < len; i++) {
        world.random = world.random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)p)[i] = (uint8_t)(world.random >> 56);
    }
}

WRAPPED(int, eventfd, unsigned count, int flags) {
    return -1;
}

/* The pump is nobody: its turns are taken here. libFuzzer has threads of its own. */
WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
        void *arg) {
    if (!world.connecting)
        return __real_pthread_create(thread, attr, fn, arg);
    *thread = pthread_self();
    return 0;
}

WRAPPED(int, pthread_join, pthread_t thread, void **ret) {
    return pthread_equal(thread, pthread_self()) ? 0 : __real_pthread_join(thread, ret);
}

WRAPPED(int, usleep, unsigned usec) {
    world.now += usec;
    return 0;
}

PeerId peer_at(uint8_t which) {
    which %= PEERS;
    return peer_make(which == PEERS - 1 ? 2 : 1, 1, 2 + which); /* the last on another node */
}

Way *way_of(PeerId peer) {
    uint8_t i = 0;
    while (i < PEERS && peer_at(i) != peer)
        i++;
    return &world.ways[i];
}

static void remember(const FrameHeader *h, const void *body) {
    _cleanup_arena_ Arena arena = { 0 };
    Sent sent = { .to = h->destination, .type = h->type, .stream = h->stream };
    Call call;
    if (h->flags & FRAME_REPLY)
        return;
    if (h->type == MSG_CALL && call_decode(&call, body, h->length, &arena) == 0) {
        sent.task = call.task;
        sent.attempt = call.attempt;
        world.calls[world.calls_len++ % SENT] = sent;
    } else if (h->flags & FRAME_CALL) {
        world.requests[world.requests_len++ % SENT] = sent;
    }
}

void frame_free(Frame *frame) {
    bytes_drop(frame->body);
    *frame = (Frame){ 0 };
}

WRAPPED(int, sock_connect, const char *path, usec_t timeout, Sock *ret_sock) {
    *ret_sock = (Sock){ .fd = 0 };
    return 0;
}

WRAPPED(void, sock_done, Sock *sock) {
    sock->fd = -1;
}

WRAPPED(int, sock_send, Sock *sock, const FrameHeader *h, const struct iovec *body, size_t len) {
    ASSERT(frame_check(h) == 0 && (len == 0 || body->iov_len == h->length));
    remember(h, len ? body->iov_base : NULL);
    return world.lost ? error_origin(-ECONNRESET, "gone") : 0;
}

WRAPPED(int, sock_flush, Sock *sock) {
    return 0;
}

WRAPPED(int, sock_recv, Sock *sock, FrameHeader *ret_header, const void **ret_body) {
    frame_free(&world.in_hand);
    if (world.sock.len == 0)
        return world.lost ? error_origin(-ECONNRESET, "gone") : 0;
    world.in_hand = world.sock.items[0];
    vec_remove(&world.sock, 0);
    world.fds = world.in_hand.fds ? 5 : 0;
    *ret_header = world.in_hand.header;
    *ret_body = world.in_hand.body->data;
    return 1;
}

WRAPPED(int, sock_take_fd, Sock *sock) {
    return world.fds > 0 ? FD_NONE + world.fds-- : -1;
}

WRAPPED(int, doorbell_open, int memfd, int eventfd, Doorbell *ret_bell) {
    *ret_bell = (Doorbell){ .memfd = -1, .eventfd = -1 };
    return 0;
}
WRAPPED(void, doorbell_done, Doorbell *bell) {
}
WRAPPED(void, doorbell_ring, Doorbell *bell) {
}
WRAPPED(void, doorbell_prepare, Doorbell *bell, uint32_t mode) {
}
WRAPPED(void, doorbell_poke, Doorbell *bell) {
}
WRAPPED(void, doorbell_call, Doorbell *bell) {
}
WRAPPED(void, doorbell_clear_event, Doorbell *bell) {
}
WRAPPED(bool, doorbell_spin, Doorbell *bell, uint32_t rounds, uint32_t then) {
    return false;
}

/* Somebody waits until then: others go on, and when there is no more of them, time does. */
static bool others_go_on(usec_t until) {
    if (world.in->size > 0 && world.depth < DEPTH_MAX) {
        world.depth++;
        steps(world.in, 3);
        world.depth--;
        return true;
    }
    world.now = MAX(world.now, until);
    return false;
}

WRAPPED(bool, doorbell_sleep, Doorbell *bell, usec_t timeout, bool *ret_signal) {
    ASSERT(timeout != USEC_INFINITY);
    *ret_signal = false;
    return others_go_on(world.now + timeout);
}

WRAPPED(int, pthread_cond_timedwait, pthread_cond_t *cond, pthread_mutex_t *mutex,
        const struct timespec *until) {
    if (!world.core || cond != &world.core->changed)
        return __real_pthread_cond_timedwait(cond, mutex, until);
    pthread_mutex_unlock(mutex);
    bool went = others_go_on(until->tv_sec * USEC_PER_SEC + until->tv_nsec / 1000);
    pthread_mutex_lock(mutex);
    return went ? 0 : ETIMEDOUT;
}

static Way *way_of_reader(const RingReader *in) {
    return (Way *)(uintptr_t)in->data;
}

WRAPPED(int, ring_open, int memfd, int side, RingPair *ret_pair) {
    void *way = way_of(CONTAINER_OF(ret_pair, CorePeer, ring)->id);
    *ret_pair = (RingPair){ .out.data = way, .in.data = way };
    return 0;
}

WRAPPED(void, ring_close, RingPair *pair) {
    *pair = (RingPair){ 0 };
}

WRAPPED(bool, ring_write, RingWriter *out, const FrameHeader *h, const struct iovec *body,
        size_t len, size_t *sent) {
    const Way *way = (const Way *)(const void *)out->data;
    ASSERT(frame_check(h) == 0 && len == 1 && body->iov_len == h->length);
    if (way->full) {
        *sent = MIN(*sent + 1, (size_t)h->length);
        return false;
    }
    remember(h, body->iov_base);
    return true;
}

WRAPPED(int, ring_read, RingReader *in, FrameHeader *ret_header, const void **ret_body,
        bool *ret_want_room) {
    Way *way = way_of_reader(in);
    *ret_want_room = false;
    if (way->broken)
        return error_origin(-EPROTO, "nonsense");
    if (way->in.len == 0)
        return 0;
    frame_free(&way->in_hand);
    way->in_hand = way->in.items[0];
    vec_remove(&way->in, 0);
    *ret_header = way->in_hand.header;
    *ret_body = way->in_hand.body->data;
    return 1;
}

WRAPPED(bool, ring_readable, const RingReader *in) {
    const Way *way = way_of_reader(in);
    return way->broken || way->in.len > 0;
}

WRAPPED(bool, ring_room_came, const RingWriter *out) {
    return !((const Way *)(const void *)out->data)->full;
}

/* A store of which any place that ends in 3 is gone. What is written lies nowhere. */
uint8_t block[LARGE];

WRAPPED(int, store_client_open, const StoreDoor *door, StoreClient **ret_client) {
    *ret_client = (StoreClient *)(void *)block;
    return 0;
}
WRAPPED(StoreClient *, store_client_free, StoreClient *client) {
    return NULL;
}
WRAPPED(uint64_t, store_client_slab_wanted, const StoreClient *client, uint64_t size) {
    return size;
}
WRAPPED(int, store_client_add_slab, StoreClient *client, const StoreSlab *slab) {
    world.room = slab->size;
    return 0;
}
WRAPPED(int, store_client_alloc, StoreClient *client, uint64_t size, const ObjectId *id,
        PeerId owner, StoreBlock *ret_block) {
    if (world.room < size)
        return STORE_NEED_SLAB;
    world.room -= size;
    *ret_block = (StoreBlock){ .generation = 1, .size = size, .data = block };
    return 0;
}
WRAPPED(void, store_client_seal, StoreClient *client, const StoreBlock *sealed) {
}
WRAPPED(void, store_client_drop_kept, StoreClient *client) {
}
WRAPPED(size_t, store_client_returns, StoreClient *client, StoreReturn *ret_returns, size_t max) {
    return 0;
}
WRAPPED(const void *, store_client_pin, StoreClient *client, uint64_t offset, uint64_t generation,
        const ObjectId *id, uint64_t *ret_size) {
    if (offset % 4 == 3)
        return NULL;
    world.pins++;
    *ret_size = 8;
    return block;
}
WRAPPED(bool, store_client_pins_full, const StoreClient *client) {
    return world.pins % 8 == 7;
}
WRAPPED(bool, store_client_unpin, StoreClient *client, uint64_t offset) {
    ASSERT(world.pins > 0);
    world.pins--;
    return offset & 4;
}
WRAPPED(size_t, store_client_pinned, const StoreClient *client) {
    return world.pins;
}
