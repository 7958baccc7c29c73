/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever peers send, and however connections come and go, gcs lives. The input is a row of
 * steps: a byte says what (below), then its operands. Time is virtual.
 */

#include "gcs/gcs.h"

#include "base/error.h"
#include "base/fuzz_input.h"
#include "base/log.h"
#include "model/ids.h"
#include "wire/messages.h"

enum {
    CONNS = 4,
    STEP_CONNECT = 0xf0,
    STEP_DISCONNECT,
    STEP_WAIT,
    STEP_RESTART,
    STEP_RAYLET, /* connection, name, what it says of the link: a raylet's Hello; any other byte: a
                    frame of that type */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What each connection's link has numbered: the input may say so, or anything else. */
static struct {
    uint64_t name, other;
    uint32_t sent, received;
} ends[CONNS + 1];

static void port_send(void *ctx, GcsConnId conn, const FrameHeader *header, Slice body) {
    FrameHeader sent = *header;
    sent.length = (uint32_t)body.len;
    ASSERT(conn <= CONNS && frame_check(&sent) == 0);
    _cleanup_arena_ Arena arena = { 0 };
    Welcome welcome;
    if (sent.type == MSG_WELCOME && welcome_decode(&welcome, body.data, body.len, &arena) == 0) {
        ends[conn].other = welcome.link;
        ends[conn].sent = (uint32_t)welcome.link_received;
    } else if (sent.type != MSG_LINK_ACK && ends[conn].other) {
        ends[conn].received = sent.sequence;
    }
}

static void port_close(void *ctx, GcsConnId conn) {
    ASSERT(conn <= CONNS);
}

/* So much is under way, more with each frame that came. */
static uint64_t port_progress(void *ctx, GcsConnId conn) {
    ASSERT(conn <= CONNS);
    return ends[conn].sent;
}

static void port_broken(void *ctx, int r) {
    ASSERT(false); /* memory does not break */
}

static Gcs *gcs_start(Loop *loop, Kv *kv) {
    GcsOptions options = { .session_name = "session_fuzz" };
    GcsPort port = { NULL, port_send, port_close, port_progress, port_progress, port_broken };
    Gcs *gcs;
    int r = gcs_new(loop, kv, &options, &port, &gcs);
    ASSERT(r == 0);
    return gcs;
}

static void feed(Gcs *gcs, Input *in, uint8_t type) {
    uint8_t conn = take(in), flags = take(in), source = take(in);
    size_t len = (size_t)take(in) << 8;
    len |= take(in);
    Slice body = take_bytes(in, len);
    FrameHeader header = {
        .type = type,
        .flags = flags & (FRAME_REPLY | FRAME_ERROR | FRAME_CALL),
        .length = (uint32_t)body.len,
        .stream = (uint32_t)(flags >> 3),
        .source = source & 0x80 ? 0 : peer_make(source >> 4, 1, source & 15),
        .destination = source & 0x40 ? peer_make(1, 1, 0) : PEER_GCS,
    };
    conn = 1 + conn % CONNS;
    if (type == MSG_LINK_ACK)
        header.sequence = source & 1 ? ends[conn].received : source;
    else if (ends[conn].other && source != 0x3f)
        header.sequence = ++ends[conn].sent;
    if (frame_check(&header) == 0)
        gcs_frame(gcs, conn, &header, body);
}

/* A raylet's: bits of `say`: 1 it knows our end, 2 it has what was sent to it, else so many frames. */
static void raylet_hello(Gcs *gcs, Input *in) {
    GcsConnId conn = 1 + take(in) % CONNS;
    uint8_t name = take(in) % CONNS, say = take(in);
    Hello hello = { .version_low = WIRE_VERSION_LOW,
                    .version_high = WIRE_VERSION_HIGH,
                    .role = ROLE_RAYLET,
                    .link = name };
    for (int i = 1; i <= CONNS; i++) {
        if (ends[i].name != name)
            continue;
        hello.link_other = say & 1 ? ends[i].other : 0;
        hello.link_received = say & 2 ? ends[i].received : say >> 2;
    }
    gcs_disconnected(gcs, conn);
    gcs_connected(gcs, conn);
    memset(&ends[conn], 0, sizeof(ends[conn]));
    ends[conn].name = name;
    _cleanup_buf_ Buf body = { 0 };
    hello_encode(&hello, &body);
    FrameHeader header = { .type = MSG_HELLO, .flags = FRAME_CALL, .length = (uint32_t)body.len };
    gcs_frame(gcs, conn, &header, buf_slice(&body));
}

static void step(Loop *loop, Kv *kv, Gcs **gcs, Input *in) {
    uint8_t what = take(in);
    switch (what) {
    case STEP_CONNECT: {
        GcsConnId conn = 1 + take(in) % CONNS;
        gcs_disconnected(*gcs, conn);
        gcs_connected(*gcs, conn);
        memset(&ends[conn], 0, sizeof(ends[conn]));
        break;
    }
    case STEP_DISCONNECT:
        gcs_disconnected(*gcs, 1 + take(in) % CONNS);
        break;
    case STEP_WAIT:
        loop_run_until(loop, loop_now(loop) + take(in) * USEC_PER_SEC);
        break;
    case STEP_RESTART:
        loop_run_until(loop, loop_now(loop));
        gcs_free(*gcs);
        *gcs = gcs_start(loop, kv);
        memset(ends, 0, sizeof(ends));
        for (GcsConnId conn = 1; conn <= CONNS; conn++)
            gcs_connected(*gcs, conn);
        break;
    case STEP_RAYLET:
        raylet_hello(*gcs, in);
        loop_run_until(loop, loop_now(loop));
        break;
    default:
        feed(*gcs, in, what);
        loop_run_until(loop, loop_now(loop));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Loop *loop; /* one for all inputs: making it costs more than an input */
    Kv *kv;
    log_setup("fuzz", LOG_ERROR, false);
    if (!loop)
        ASSERT(loop_new_virtual(1000 * USEC_PER_SEC, 5000 * USEC_PER_SEC, &loop) == 0);
    ASSERT(kv_open(loop, &(KvOptions){ 0 }, &kv) == 0);
    Gcs *gcs = gcs_start(loop, kv);
    memset(ends, 0, sizeof(ends));
    for (GcsConnId conn = 1; conn <= CONNS; conn++)
        gcs_connected(gcs, conn);
    Input in = { data, size };
    while (in.size > 0)
        step(loop, kv, &gcs, &in);
    kv_close(kv);
    gcs_free(gcs);
    return 0;
}
