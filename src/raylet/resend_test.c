/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "raylet/raylet_private.h"

/* What a new gcs is sent again. */

enum {
    MIB = 1 << 20,
    MANY = 100, /* more than may be unanswered before who asks is held back */
    DRIVER = 7,
};

static const LinkEvents events = { 0 };

static bool keep_of(Raylet *raylet, PeerId source, MessageType type, uint32_t stream) {
    static const char body[MIB];
    FrameHeader header = { .type = (uint16_t)type,
                           .flags = FRAME_CALL,
                           .stream = stream,
                           .source = source,
                           .destination = PEER_GCS };
    return resend_keep(raylet, &header, (Slice){ body, sizeof(body) });
}

static bool keep(Raylet *raylet, MessageType type, uint32_t stream) {
    return keep_of(raylet, DRIVER, type, stream);
}

static void answer(Raylet *raylet, uint32_t stream) {
    FrameHeader reply = { .flags = FRAME_REPLY, .stream = stream, .destination = DRIVER };
    resend_answered(raylet, &reply);
}

static uint64_t sent_again(Raylet *raylet) {
    Loop *loop;
    CHECK_OK(loop_new_virtual(1000, 1000, &loop));
    Link *link = link_new(loop, LINK_BYTES_MAX, &events, raylet);
    resend_all(raylet, link);
    uint64_t sent = link_sent(link);
    link_free(link);
    loop_free(loop);
    return sent;
}

static void test_no_call_is_lost_with_gcs(void **state) {
    UNUSED(state);
    Raylet *raylet = mem_new(Raylet);
    resend_init(raylet);
    for (uint32_t i = 1; i <= MANY; i++) {
        CHECK(keep(raylet, MSG_KV_PUT, i));
        CHECK(keep(raylet, MSG_KV_PUT, i)); /* once */
    }
    CHECK(resend_crowded(raylet, 1));
    CHECK_INT(sent_again(raylet), MANY);
    uint32_t answered = 0;
    while (resend_crowded(raylet, 2))
        answer(raylet, ++answered);
    CHECK_INT(answered, MANY - 31);
    CHECK_INT(sent_again(raylet), 31);
    resend_forget(raylet, DRIVER);
    CHECK_INT(sent_again(raylet), 0);
    resend_done(raylet);
    mem_free(raylet);
}

/* Who waits for what others do, or itself, is not held back, and can't be without bounds. */
static void test_calls_that_wait_are_refused_in_time(void **state) {
    UNUSED(state);
    Raylet *raylet = mem_new(Raylet);
    resend_init(raylet);
    uint32_t kept = 0;
    while (kept < MANY && keep(raylet, MSG_GROUP_GET, kept + 1))
        kept++;
    CHECK_INT(kept, 63);
    CHECK(!resend_crowded(raylet, 1));
    CHECK(keep(raylet, MSG_KV_PUT, MANY + 1));
    CHECK(keep_of(raylet, peer_make(1, 1, 0), MSG_GROUP_GET, 1)); /* the raylet's own: no wait */
    answer(raylet, 1);
    CHECK(keep(raylet, MSG_GROUP_GET, MANY + 2));
    CHECK_INT(sent_again(raylet), 65);
    resend_done(raylet);
    mem_free(raylet);
}

int main(void) {
    return TEST_RUN(TEST(test_no_call_is_lost_with_gcs),
                    TEST(test_calls_that_wait_are_refused_in_time));
}
