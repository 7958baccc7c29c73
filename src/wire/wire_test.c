/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "wire/field.h"
#include "wire/frame.h"
#include "wire/messages.h"

static void test_call_round_trip(void **state) {
    UNUSED(state);
    Ref refs[2] = { { .owner = 7 }, { .owner = 9 } };
    refs[0].object.byte[0] = 1;
    refs[1].object.byte[27] = 2;
    Call in = { .kind = CALL_KIND_ACTOR_TASK, .num_returns = -1, .sequence = 1ull << 40 };
    in.task.byte[3] = 5;
    in.name = SLICE("inc");
    in.refs = refs;
    in.refs_len = 2;
    _cleanup_free_ char *big = mem_zalloc(100000);
    in.args = (Slice){ big, 100000 };
    _cleanup_buf_ Buf body = { 0 };
    call_encode(&in, &body);

    _cleanup_arena_ Arena arena = { 0 };
    Call out;
    CHECK_OK(call_decode(&out, body.data, body.len, &arena));
    CHECK_INT(out.kind, CALL_KIND_ACTOR_TASK);
    CHECK_INT(out.num_returns, -1);
    CHECK_INT(out.sequence, 1ull << 40);
    CHECK_MEM(&out.task, &in.task, sizeof(TaskId));
    CHECK(slice_eq_str(out.name, "inc"));
    CHECK_INT(out.refs_len, 2);
    CHECK_INT(out.refs[1].owner, 9);
    CHECK_INT(out.refs[1].object.byte[27], 2);
    CHECK_INT(out.args.len, 100000);
}

static void test_every_cut_is_refused_or_shorter(void **state) {
    UNUSED(state);
    Call in = { .kind = 1, .num_returns = 3 };
    in.name = SLICE("name");
    _cleanup_buf_ Buf body = { 0 };
    call_encode(&in, &body);
    for (size_t len = 0; len < body.len; len++) {
        _cleanup_arena_ Arena arena = { 0 };
        /* An exact copy, so that the address sanitizer sees any read beyond it. */
        _cleanup_free_ void *copy = mem_dup(body.data, len);
        Call out = { .num_returns = 77 };
        int r = call_decode(&out, copy, len, &arena);
        CHECK(r == 0 || (r == -EPROTO && out.num_returns == 77));
    }
}

static void test_unknown_fields_are_skipped(void **state) {
    UNUSED(state);
    _cleanup_buf_ Buf body = { 0 };
    wire_put(&body, 999, "future", 6);
    Status in = { .code = STATUS_CODE_BUSY, .retryable = true };
    in.text = SLICE("later");
    status_encode(&in, &body);
    wire_put(&body, 1000, NULL, 0);
    _cleanup_arena_ Arena arena = { 0 };
    Status out;
    CHECK_OK(status_decode(&out, body.data, body.len, &arena));
    CHECK_INT(out.code, STATUS_CODE_BUSY);
    CHECK(out.retryable && slice_eq_str(out.text, "later"));
}

static void test_too_many_items_are_refused(void **state) {
    UNUSED(state);
    enum {
        MANY = (4 << 20) + 1
    };
    _cleanup_free_ uint8_t *body = mem_zalloc((size_t)MANY * 4);
    for (size_t i = 0; i < MANY; i++)
        body[4 * i] = 8; /* Call.refs, each empty */
    _cleanup_arena_ Arena arena = { 0 };
    Call out;
    CHECK_INT(call_decode(&out, body, (size_t)MANY * 4, &arena), -EPROTO);
    CHECK(arena.used == 0);
}

static void test_golden_bytes(void **state) {
    UNUSED(state);
    /* What version 1 puts on the wire, byte for byte: changing it breaks N and N-1. */
    static const uint8_t golden[] = { 1, 0, 2, 0, 4, 0, 2, 0, 2, 0, 'o', 'k', 3, 0, 1, 0, 1 };
    Status in = { .code = 4, .retryable = true };
    in.text = SLICE("ok");
    _cleanup_buf_ Buf body = { 0 };
    status_encode(&in, &body);
    CHECK_INT(body.len, sizeof(golden));
    CHECK_MEM(body.data, golden, sizeof(golden));
    FrameHeader h = { .length = 17,
                      .type = 4,
                      .flags = 3,
                      .stream = 5,
                      .sequence = 6,
                      .source = 0x0102,
                      .destination = 0x0304 };
    static const uint8_t header[FRAME_HEADER_SIZE] = { 17, 0, 0, 0, 4, 0, 3, 0, 5, 0, 0,
                                                       0,  6, 0, 0, 0, 2, 1, 0, 0, 0, 0,
                                                       0,  0, 4, 3, 0, 0, 0, 0, 0, 0 };
    uint8_t out[FRAME_HEADER_SIZE];
    frame_pack(&h, out);
    CHECK_MEM(out, header, sizeof(header));
}

static void test_frames_are_bounded(void **state) {
    UNUSED(state);
    FrameHeader h = { .type = MSG_PING, .length = 1024 };
    CHECK_OK(frame_check(&h));
    h.length = 1025;
    CHECK_INT(frame_check(&h), -EPROTO);
    h.type = 60000;
    CHECK_INT(frame_check(&h), -EPROTO);
}

int main(void) {
    return TEST_RUN(TEST(test_call_round_trip), TEST(test_every_cut_is_refused_or_shorter),
                    TEST(test_unknown_fields_are_skipped), TEST(test_golden_bytes),
                    TEST(test_too_many_items_are_refused), TEST(test_frames_are_bounded));
}
