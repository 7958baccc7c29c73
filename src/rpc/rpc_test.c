/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/rpc.h"

#include "base/test.h"

typedef struct Seen {
    FrameHeader sent;
    int calls, result;
    char text[64];
} Seen;

static void on_send(void *context, const FrameHeader *header, const Buf *body) {
    UNUSED(body);
    ((Seen *)context)->sent = *header;
}

static void on_done(void *argument, const RpcReply *reply) {
    Seen *seen = argument;
    seen->calls++;
    seen->result = reply->result;
    snprintf(seen->text, sizeof(seen->text), "%.*s", (int)reply->status.text.len,
             reply->status.text.data ? reply->status.text.data : "");
}

static void test_answers_reach_their_call(void **state) {
    UNUSED(state);
    Seen seen = { 0 };
    _cleanup_(rpc_freep) Rpc *rpc = rpc_new(on_send, &seen);
    rpc_call(rpc, 7, MSG_PING, NULL, USEC_INFINITY, on_done, &seen);
    CHECK_INT(seen.sent.flags, FRAME_CALL);
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader answer = rpc_answer_status(&seen.sent, STATUS_CODE_EXISTS, "taken", &body);
    CHECK(rpc_reply(rpc, &answer, body.data));
    CHECK(!rpc_reply(rpc, &answer, body.data));
    CHECK_INT(seen.calls, 1);
    CHECK_INT(seen.result, 1);
    CHECK_STR(seen.text, "taken");
}

static void test_only_who_was_asked_answers(void **state) {
    UNUSED(state);
    Seen seen = { 0 };
    _cleanup_(rpc_freep) Rpc *rpc = rpc_new(on_send, &seen);
    rpc_call(rpc, 7, MSG_PING, NULL, USEC_INFINITY, on_done, &seen);
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader answer = rpc_answer_status(&seen.sent, STATUS_CODE_OK, "", &body);
    answer.source = 8;
    CHECK(!rpc_reply(rpc, &answer, body.data));
    CHECK_INT(seen.calls, 0);
    answer.source = 7;
    CHECK(rpc_reply(rpc, &answer, body.data));
    rpc_call(rpc, 0, MSG_HELLO, NULL, USEC_INFINITY, on_done,
             &seen); /* before anybody has a name */
    answer.stream = seen.sent.stream;
    CHECK(rpc_reply(rpc, &answer, body.data));
    CHECK_INT(seen.calls, 2);
}

static void test_deadlines_and_lost_peers(void **state) {
    UNUSED(state);
    Seen a = { 0 }, b = { 0 }, c = { 0 };
    Rpc *rpc = rpc_new(on_send, &a);
    rpc_call(rpc, 1, MSG_PING, NULL, 100, on_done, &a);
    rpc_call(rpc, 2, MSG_PING, NULL, 200, on_done, &b);
    rpc_call(rpc, 3, MSG_PING, NULL, 300, on_done, &c);
    CHECK_INT(rpc_expire(rpc, 100), 200);
    CHECK_INT(a.result, -ETIMEDOUT);
    rpc_peer_lost(rpc, 2);
    CHECK_INT(b.result, -ECONNRESET);
    CHECK_INT(rpc_pending(rpc), 1);
    rpc_free(rpc);
    CHECK_INT(c.result, -ECANCELED);
    CHECK(a.calls == 1 && b.calls == 1 && c.calls == 1);
}

int main(void) {
    return TEST_RUN(TEST(test_answers_reach_their_call), TEST(test_only_who_was_asked_answers),
                    TEST(test_deadlines_and_lost_peers));
}
