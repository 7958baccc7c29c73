/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For this folder's tests: a gcs without sockets. */

#include "base/test.h"
#include "base/vec.h"
#include "gcs/gcs.h"
#include "model/ids.h"
#include "model/resources.h"

/* A gcs on a virtual clock; what it sends is kept in a list. */

typedef struct Sent {
    GcsConnId conn;
    FrameHeader header;
    Buf body;
} Sent;

/* What a connection's raylet knows of its link. */
enum {
    CONNS_MAX = 100
};
typedef struct End {
    uint64_t name, other; /* 0: no raylet's */
    uint32_t sent, received, told;
} End;

typedef struct World {
    Loop *loop;
    Kv *kv;
    Gcs *gcs;
    Vec(Sent) sent;
    Vec(GcsConnId) closed;
    Arena arena;
    uint32_t stream;
    uint64_t last_name;
    uint64_t progress[CONNS_MAX], arriving[CONNS_MAX];
    End ends[CONNS_MAX];
} World;

static inline void port_send(void *ctx, GcsConnId conn, const FrameHeader *header, Slice body) {
    World *w = ctx;
    End *end = &w->ends[conn];
    if (header->type == MSG_LINK_ACK)
        return;
    if (end->other) {
        CHECK_INT(header->sequence, end->received + 1);
        end->received++;
    }
    Sent sent = { .conn = conn, .header = *header };
    buf_add(&sent.body, body.data, body.len);
    vec_push(&w->sent, sent);
}

static inline void port_close(void *ctx, GcsConnId conn) {
    World *w = ctx;
    vec_push(&w->closed, conn);
}

static inline uint64_t port_progress(void *ctx, GcsConnId conn) {
    return ((World *)ctx)->progress[conn];
}

static inline uint64_t port_arriving(void *ctx, GcsConnId conn) {
    return ((World *)ctx)->arriving[conn];
}

static inline void port_broken(void *ctx, int r) {
    fail_msg("the store broke: %d", r);
}

static inline void gcs_up(World *w) {
    GcsOptions options = { .session_name = "session_x", .token = SLICE("secret") };
    GcsPort port = { w, port_send, port_close, port_progress, port_arriving, port_broken };
    CHECK_OK(gcs_new(w->loop, w->kv, &options, &port, &w->gcs));
}

static inline void world_init(World *w) {
    *w = (World){ 0 };
    CHECK_OK(loop_new_virtual(1000 * USEC_PER_SEC, 5000 * USEC_PER_SEC, &w->loop));
    CHECK_OK(kv_open(w->loop, &(KvOptions){ 0 }, &w->kv));
    gcs_up(w);
}

static inline void sent_clear(World *w) {
    VEC_EACH(sent, &w->sent)
        buf_done(&sent->body);
    vec_clear(&w->sent);
}

static inline void world_done(World *w) {
    kv_close(w->kv);
    gcs_free(w->gcs);
    sent_clear(w);
    vec_done(&w->sent);
    vec_done(&w->closed);
    arena_done(&w->arena);
    loop_free(w->loop);
}

static inline void acknowledge(World *w, GcsConnId conn) {
    End *end = &w->ends[conn];
    FrameHeader header = { .type = MSG_LINK_ACK, .sequence = end->received };
    if (end->told != end->received)
        gcs_frame(w->gcs, conn, &header, (Slice){ 0 });
    end->told = end->received;
}

/* What is due now happens; time goes on by `delay`. */
static inline void pass(World *w, usec_t delay) {
    loop_run_until(w->loop, loop_now(w->loop) + delay);
}

/* One frame on a connection, as its raylet numbers it. */
static inline void give(World *w, GcsConnId conn, FrameHeader *header, const Buf *body) {
    header->length = body ? (uint32_t)body->len : 0;
    if (w->ends[conn].other)
        header->sequence = ++w->ends[conn].sent;
    gcs_frame(w->gcs, conn, header, body ? buf_slice(body) : (Slice){ 0 });
}

static inline uint32_t feed(World *w, GcsConnId conn, PeerId source, MessageType type,
                            unsigned flags, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = (uint16_t)flags,
                           .stream = ++w->stream,
                           .source = source,
                           .destination = PEER_GCS };
    give(w, conn, &header, body);
    pass(w, 0);
    return header.stream;
}

/* The newest frame of a type, or NULL. */
static inline const Sent *find_sent(const World *w, MessageType type) {
    const Sent *found = NULL;
    VEC_EACH(sent, &w->sent)
        if (sent->header.type == type)
            found = sent;
    return found;
}

static inline const Sent *sent_of(const World *w, MessageType type) {
    const Sent *found = find_sent(w, type);
    if (!found)
        fail_msg("no %s was sent", message_name(type));
    return found;
}

/* Encodes, feeds as a call. `w->sent` holds what came of it. */
#define ASK(w, conn, source, TYPE, encode, ...)                                                    \
    do {                                                                                           \
        _cleanup_buf_ Buf body_ = { 0 };                                                           \
        encode(__VA_ARGS__, &body_);                                                               \
        sent_clear(w);                                                                             \
        feed((w), (conn), (source), TYPE, FRAME_CALL, &body_);                                     \
    } while (0)
#define ANSWER(w, TYPE, decode, message)                                                           \
    do {                                                                                           \
        const Sent *sent_ = sent_of((w), TYPE);                                                    \
        CHECK_OK(decode((message), sent_->body.data, sent_->body.len, &(w)->arena));               \
    } while (0)

static inline void check_status(World *w, StatusCode code) {
    Status status;
    ANSWER(w, MSG_STATUS, status_decode, &status);
    CHECK_INT(status.code, code);
}

/* `end`: what its raylet knows of the link that goes on, or NULL. */
static inline void hello_on(World *w, GcsConnId conn, Role role, Slice token, const End *end) {
    gcs_connected(w->gcs, conn);
    w->ends[conn] = (End){ 0 };
    Hello message = { .version_low = 1, .version_high = 1, .role = (uint8_t)role, .token = token };
    if (role == ROLE_RAYLET) {
        message.link = end ? end->name : ++w->last_name;
        message.link_other = end ? end->other : 0;
        message.link_received = end ? end->received : 0;
    }
    ASK(w, conn, 0, MSG_HELLO, hello_encode, &message);
    const Sent *sent = find_sent(w, MSG_WELCOME);
    Welcome welcome;
    if (role != ROLE_RAYLET || !sent)
        return;
    CHECK_OK(welcome_decode(&welcome, sent->body.data, sent->body.len, &w->arena));
    End now = { .name = message.link, .other = welcome.link };
    if (end) {
        now.sent = (uint32_t)welcome.link_received;
        now.received = now.told = end->received;
    }
    /* what it had been sent and has not acknowledged came behind the Welcome */
    VEC_EACH(more, &w->sent)
        if (more->header.type != MSG_WELCOME)
            CHECK_INT(more->header.sequence, ++now.received);
    w->ends[conn] = now;
}

static inline void hello(World *w, GcsConnId conn, Role role, Slice token) {
    hello_on(w, conn, role, token, NULL);
}

static inline NodeId node_id(int i) {
    NodeId id;
    memset(&id, i, sizeof(id));
    return id;
}

static inline void ask_register(World *w, GcsConnId conn, int i, bool head) {
    Resource cpus = { SLICE("CPU"), 2 * QUANTITY_ONE };
    NodeRegister message = { .info = { .node = node_id(i),
                                       .address = SLICE("10.0.0.1:1"),
                                       .ip = SLICE("10.0.0.1"),
                                       .head = head,
                                       .total = &cpus,
                                       .total_len = 1,
                                       .available = &cpus,
                                       .available_len = 1 } };
    ASK(w, conn, 0, MSG_NODE_REGISTER, node_register_encode, &message);
}

/* Node i on connection i; gives its raylet's peer. */
static inline PeerId join(World *w, int i, bool head) {
    hello(w, (GcsConnId)i, ROLE_RAYLET, SLICE("secret"));
    ask_register(w, (GcsConnId)i, i, head);
    NodeRegistered registered;
    ANSWER(w, MSG_NODE_REGISTERED, node_registered_decode, &registered);
    return peer_make(registered.index, registered.incarnation, 0);
}

static inline void report(World *w, int i, PeerId peer, double cpus) {
    Resource resource = { SLICE("CPU"), (int64_t)(cpus * (double)QUANTITY_ONE) };
    NodeReport message = {
        .node = node_id(i), .available = &resource, .available_len = cpus > 0, .changed = true
    };
    _cleanup_buf_ Buf body = { 0 };
    node_report_encode(&message, &body);
    feed(w, (GcsConnId)i, peer, MSG_NODE_REPORT, 0, &body);
}

static inline JobId add_job(World *w, int i, PeerId driver) {
    JobAdd add = { .driver = driver, .config = SLICE("{}"), .pid = 7 };
    ASK(w, (GcsConnId)i, peer_raylet(driver), MSG_JOB_ADD, job_add_encode, &add);
    JobAdded added;
    ANSWER(w, MSG_JOB_ADDED, job_added_decode, &added);
    return added.job;
}

static inline void restart(World *w) {
    /* A memory store stays; only the Gcs on it is another one. */
    pass(w, 0);
    gcs_free(w->gcs);
    gcs_up(w);
    sent_clear(w);
    vec_clear(&w->closed);
}
