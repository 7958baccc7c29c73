/* SPDX-License-Identifier: Apache-2.0 */
#include "net/link.h"

#include "base/test.h"
#include "base/vec.h"
#include "wire/messages.h"

/* Two ends, and a carrier that loses what is on it when it breaks. */

typedef struct End {
    Link *link;
    struct End *other;
    Vec(NetBytes *) out; /* on the carrier */
    Vec(uint32_t) got;   /* `stream` of the frames that came */
    int stalled, full, acknowledged, refused;
    uint64_t progress;
} End;

typedef struct Two {
    Loop *loop;
    End a, b;
} Two;

static void on_send(void *ctx, NetBytes *frame) {
    End *end = ctx;
    vec_push(&end->out, net_bytes_ref(frame));
}
static uint64_t on_progress(void *ctx) {
    return ((End *)ctx)->progress;
}
static void on_stalled(void *ctx) {
    ((End *)ctx)->stalled++;
}
static void on_acknowledged(void *ctx) {
    ((End *)ctx)->acknowledged++;
}
static void on_full(void *ctx) {
    ((End *)ctx)->full++;
}
static const LinkEvents events = { on_send, on_progress, on_stalled, on_acknowledged, on_full };

static void end_init(Two *p, End *end, End *other) {
    *end = (End){ .other = other, .link = link_new(p->loop, 1 << 20, &events, end) };
}

static void out_clear(End *end) {
    VEC_EACH(frame, &end->out)
        net_bytes_unref(*frame);
    vec_clear(&end->out);
}

static void pair_init(Two *p) {
    CHECK_OK(loop_new_virtual(1000, 1000, &p->loop));
    end_init(p, &p->a, &p->b);
    end_init(p, &p->b, &p->a);
}

static void end_done(End *end) {
    link_free(end->link);
    out_clear(end);
    vec_done(&end->out);
    vec_done(&end->got);
}

static void pair_done(Two *p) {
    end_done(&p->a);
    end_done(&p->b);
    loop_free(p->loop);
}

static void send(End *end, uint32_t stream, size_t len) {
    static char body[8192];
    FrameHeader header = { .type = MSG_PUBLISH, .stream = stream };
    link_send(end->link, &header, (Slice){ body, len });
}

static void take_one(End *end) {
    NetBytes *frame = end->other->out.items[0];
    FrameHeader header = frame_unpack(frame->data);
    CHECK_INT(frame->len, FRAME_HEADER_SIZE + header.length);
    int r = link_take(end->link, &header);
    if (r == 0)
        vec_push(&end->got, header.stream);
    end->refused += r < 0;
    net_bytes_unref(frame);
    vec_remove(&end->other->out, 0);
}

static void take_all(End *end) {
    while (end->other->out.len)
        take_one(end);
}

static void settle(Two *p) {
    while (p->a.out.len + p->b.out.len > 0) {
        take_all(&p->a);
        take_all(&p->b);
    }
}

static void pass(Two *p, usec_t time) {
    loop_run_until(p->loop, loop_now(p->loop) + time);
}

static void cut(Two *p) {
    link_down(p->a.link);
    link_down(p->b.link);
    out_clear(&p->a);
    out_clear(&p->b);
}

/* a dials b. `welcome`: its answer arrives. */
static void dial(Two *p, bool welcome) {
    LinkHello hello = link_hello(p->a.link);
    CHECK_OK(link_match(p->b.link, &hello));
    LinkHello answer = link_hello(p->b.link);
    link_up(p->b.link, &hello);
    if (!welcome)
        return;
    CHECK_OK(link_match(p->a.link, &answer));
    link_up(p->a.link, &answer);
}

static void check_got(const End *end, uint32_t last) {
    CHECK_INT(end->got.len, last);
    for (uint32_t i = 0; i < last; i++)
        CHECK_INT(end->got.items[i], i + 1);
    CHECK_INT(end->refused, 0);
}

static void test_what_was_sent_before_the_carrier_comes_in_order(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    for (uint32_t i = 1; i <= 40; i++)
        send(&p.a, i, i);
    dial(&p, true);
    send(&p.a, 41, 0);
    settle(&p);
    check_got(&p.b, 41);
    CHECK_INT(link_acknowledged(p.a.link), 0);
    pass(&p, LINK_ACK_DELAY);
    settle(&p);
    CHECK_INT(link_acknowledged(p.a.link), 41);
    CHECK_INT(link_bytes(p.a.link), 0);
    pair_done(&p);
}

static void test_many_or_large_frames_are_acknowledged_at_once(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    dial(&p, true);
    for (uint32_t i = 1; i <= 64; i++)
        send(&p.a, i, 0);
    settle(&p);
    CHECK_INT(link_acknowledged(p.a.link), 64);
    CHECK_INT(p.a.acknowledged, 1);
    for (uint32_t i = 65; i <= 64 + 32; i++)
        send(&p.a, i, 8192);
    settle(&p);
    CHECK_INT(link_acknowledged(p.a.link), 96);
    pass(&p, USEC_PER_SEC); /* nothing to be told: nothing is */
    CHECK_INT(p.b.out.len, 0);
    pair_done(&p);
}

/* Whatever was on its way, in both directions, and however often it breaks. */
static void test_nothing_is_lost_or_comes_twice(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    uint32_t sent = 0, random = 7;
    for (int round = 0; round < 300; round++) {
        random = random * 1103515245 + 12345;
        for (uint32_t i = random >> 16 & 15; i > 0; i--) {
            sent++;
            send(&p.a, sent, sent % 7);
            send(&p.b, sent, sent % 5);
        }
        if (random >> 20 & 1)
            pass(&p, LINK_ACK_DELAY);
        for (uint32_t i = random >> 22 & 15; i > 0; i--) {
            if (p.a.out.len && link_is_up(p.b.link))
                take_one(&p.b);
            if (p.b.out.len && link_is_up(p.a.link))
                take_one(&p.a);
        }
        if (random >> 26 & 1) {
            cut(&p);
            if (random >> 27 & 1)
                dial(&p, random >> 28 & 1);
        }
    }
    cut(&p);
    dial(&p, true);
    settle(&p);
    check_got(&p.a, sent);
    check_got(&p.b, sent);
    pair_done(&p);
}

static void test_the_first_welcome_may_be_lost(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    send(&p.b, 1, 3);
    dial(&p, false);
    send(&p.b, 2, 3);
    cut(&p);
    dial(&p, true);
    settle(&p);
    check_got(&p.a, 2);
    pair_done(&p);
}

static void each_lost(void *ctx, const FrameHeader *header, Slice body) {
    End *end = ctx;
    CHECK_INT(header->sequence, 0);
    CHECK_INT(body.len, header->length);
    vec_push(&end->got, header->stream);
}

static void test_a_new_process_is_a_new_link(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    dial(&p, true);
    send(&p.a, 7, 0);
    settle(&p);
    pass(&p, LINK_ACK_DELAY);
    settle(&p);
    send(&p.a, 1, 9);
    send(&p.a, 2, 0);
    cut(&p);
    end_done(&p.b);
    end_init(&p, &p.b, &p.a);
    LinkHello hello = link_hello(p.a.link), answer = link_hello(p.b.link);
    CHECK_INT(link_match(p.b.link, &hello), 0); /* it has met nobody yet */
    link_up(p.b.link, &hello);
    CHECK_INT(link_match(p.a.link, &answer), 1);
    link_reset(p.a.link, each_lost, &p.a);
    CHECK_INT(p.a.got.len, 2);
    CHECK_INT(p.a.got.items[0], 1);
    CHECK_INT(link_bytes(p.a.link), 0);
    CHECK_OK(link_match(p.a.link, &answer));
    link_up(p.a.link, &answer);
    send(&p.a, 1, 0);
    settle(&p);
    check_got(&p.b, 1);
    /* and who still knows the former one is told that it is another */
    hello.other++;
    CHECK_INT(link_match(p.b.link, &hello), 1);
    pair_done(&p);
}

static void test_what_can_not_be_is_refused(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    FrameHeader frame = { .type = MSG_PUBLISH, .sequence = 1 };
    CHECK_INT(link_take(p.a.link, &frame), -EPROTO); /* no carrier */
    LinkHello none = { 0 };
    CHECK_INT(link_match(p.a.link, &none), -EPROTO);
    dial(&p, true);
    CHECK_INT(link_take(p.a.link, &frame), 0);
    CHECK_INT(link_take(p.a.link, &frame), -EPROTO); /* again */
    frame.sequence = 3;
    CHECK_INT(link_take(p.a.link, &frame), -EPROTO); /* one is missing */
    send(&p.a, 1, 0);
    send(&p.a, 2, 0);
    FrameHeader ack = { .type = MSG_LINK_ACK, .sequence = 3 };
    CHECK_INT(link_take(p.a.link, &ack), -EPROTO); /* was not sent */
    ack.sequence = 2;
    CHECK_INT(link_take(p.a.link, &ack), 1);
    CHECK_INT(link_take(p.a.link, &ack), -EPROTO); /* again */
    ack.sequence = 1;
    CHECK_INT(link_take(p.a.link, &ack), -EPROTO); /* backwards */
    LinkHello hello = link_hello(p.b.link);
    hello.received = 1;
    CHECK_INT(link_match(p.a.link, &hello), -EPROTO); /* was acknowledged already */
    hello.received = 3;
    CHECK_INT(link_match(p.a.link, &hello), -EPROTO); /* was not sent */
    pair_done(&p);
}

static void test_a_carrier_on_which_nothing_moves_is_noticed(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    dial(&p, true);
    pass(&p, 10 * LINK_PATIENCE); /* nothing to be sent */
    CHECK_INT(p.a.stalled, 0);
    send(&p.a, 1, 0);
    pass(&p, LINK_PATIENCE - 1);
    p.a.progress++; /* the first bytes of a long frame */
    pass(&p, LINK_PATIENCE - 1);
    CHECK_INT(p.a.stalled, 0);
    pass(&p, 2);
    CHECK_INT(p.a.stalled, 1);
    pass(&p, LINK_PATIENCE);
    CHECK_INT(p.a.stalled, 2);
    settle(&p);
    pass(&p, LINK_ACK_DELAY);
    settle(&p);
    pass(&p, 10 * LINK_PATIENCE);
    CHECK_INT(p.a.stalled, 2);
    pair_done(&p);
}

/* What was acknowledged before does not count against what is sent long afterwards. */
static void test_patience_begins_with_what_waits(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    dial(&p, true);
    send(&p.a, 1, 10);
    take_all(&p.b);
    pass(&p, 10 * USEC_PER_MSEC);
    for (int i = 0; i < 64; i++) /* acknowledged at once */
        send(&p.a, 2, 10);
    settle(&p);
    CHECK_INT(link_acknowledged(p.a.link), link_sent(p.a.link) - 1);
    pass(&p, LINK_ACK_DELAY);
    settle(&p);
    CHECK_INT(link_acknowledged(p.a.link), link_sent(p.a.link));
    pass(&p, LINK_PATIENCE - 115 * USEC_PER_MSEC);
    send(&p.a, 3, 10);
    pass(&p, LINK_PATIENCE - USEC_PER_MSEC);
    CHECK_INT(p.a.stalled, 0);
    pass(&p, 10 * USEC_PER_MSEC);
    CHECK_INT(p.a.stalled, 1);
    pair_done(&p);
}

/* A frame that was let in with descriptors goes on without them. */
static void test_flags_of_a_socket_stay_there(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    dial(&p, true);
    FrameHeader header = { .type = MSG_PUBLISH, .flags = FRAME_CALL | FRAME_FDS | 3 << 12 };
    link_send(p.a.link, &header, (Slice){ 0 });
    header = frame_unpack(p.a.out.items[0]->data);
    CHECK_INT(header.flags, FRAME_CALL);
    CHECK(link_is_own(MSG_LINK_ACK) && link_is_own(MSG_LINK_FRAME) && !link_is_own(MSG_PUBLISH));
    pair_done(&p);
}

static void test_what_is_kept_is_bounded(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    for (uint32_t i = 0; i < 300; i++)
        send(&p.a, i, 4096);
    CHECK_INT(p.a.full, 0); /* not from within */
    pass(&p, 0);
    CHECK_INT(p.a.full, 1);
    CHECK(link_bytes(p.a.link) < (1 << 20) + 2 * 4096);
    pair_done(&p);
}

/* The smallest frame costs the allocator's share and its place in the ring as well: 80 bytes. */
static void test_tiny_frames_are_charged_what_they_cost(void **state) {
    UNUSED(state);
    Two p;
    pair_init(&p);
    for (uint32_t i = 0; i < (1 << 20) / 80; i++)
        send(&p.a, i, 0);
    pass(&p, 0);
    CHECK_INT(p.a.full, 1);
    pair_done(&p);
}

int main(void) {
    return TEST_RUN(
        TEST(test_what_was_sent_before_the_carrier_comes_in_order),
        TEST(test_many_or_large_frames_are_acknowledged_at_once),
        TEST(test_nothing_is_lost_or_comes_twice), TEST(test_the_first_welcome_may_be_lost),
        TEST(test_a_new_process_is_a_new_link), TEST(test_what_can_not_be_is_refused),
        TEST(test_a_carrier_on_which_nothing_moves_is_noticed),
        TEST(test_patience_begins_with_what_waits), TEST(test_flags_of_a_socket_stay_there),
        TEST(test_what_is_kept_is_bounded), TEST(test_tiny_frames_are_charged_what_they_cost));
}
