/* SPDX-License-Identifier: Apache-2.0 */

/* Streaming calls, from either side. */

#include <unistd.h>

#include "core/core_test.h"

static CoreTemplate *stream_template(Core *core, uint32_t limit) {
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "stream",
                              .num_returns = CORE_STREAMING,
                              .stream_limit = limit,
                              .strategy = { .bundle = -1 } };
    return core_template_new(core, &spec);
}

/* The next reference of a stream; NULL at its end. */
static CoreRef *next_of(Core *core, CoreRef *stream) {
    CoreRef *ref = NULL;
    CoreValue value;
    int r = core_stream_next(core, stream, &ref);
    while (r == CORE_TIMEOUT) {
        CoreRef *wanted = core_stream_peek(core, stream, 0);
        get_one(core, wanted, &value);
        core_value_release(&value);
        core_ref_drop(wanted);
        r = core_stream_next(core, stream, &ref);
    }
    CHECK(r == 0 || r == CORE_END);
    return r == 0 ? ref : NULL;
}

static CoreRef *stream_start(Core *core, CoreTemplate *t, const char *bytes, size_t len) {
    CoreRef *stream;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = len }, &stream));
    CHECK(core_ref_streams(core, stream));
    return stream;
}

static void test_streams(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = stream_template(core, 0);
    CoreRef *stream = stream_start(core, t, "s\x3", 2), *ref;
    for (uint8_t i = 0; i < 3; i++) {
        ref = next_of(core, stream);
        check_echo(core, ref, &i, 1);
        core_ref_drop(ref);
    }
    CHECK(!next_of(core, stream));
    CHECK(core_stream_finished(core, stream));
    check_echo(core, stream, "-", 1); /* the whole */
    core_ref_drop(stream);

    /* An error of the call's own code is the last value; the whole is fine. */
    CoreValue value;
    stream = stream_start(core, t,
                          "s\x1"
                          "f",
                          3);
    core_ref_drop(next_of(core, stream));
    ref = next_of(core, stream);
    get_one(core, ref, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
    core_ref_drop(ref);
    CHECK(!next_of(core, stream));
    ref = core_stream_peek(core, stream, 2); /* beyond the end */
    CHECK(core_ref_ready(ref));
    core_ref_drop(ref);
    core_ref_drop(stream);

    /* Unread values hold the worker up, until the reader goes. */
    CoreTemplate *slow = stream_template(core, 2);
    stream = stream_start(core, slow, "s\x9", 2);
    ref = core_stream_peek(core, stream, 1);
    get_one(core, ref, &value);
    core_value_release(&value);
    core_ref_drop(ref);
    CHECK_INT(w.yielded, 2);
    core_ref_drop(next_of(core, stream));
    ref = core_stream_peek(core, stream, 1);
    get_one(core, ref, &value);
    core_value_release(&value);
    core_ref_drop(ref);
    CHECK_INT(w.yielded, 3);
    core_stream_close(core, stream);
    check_echo(core, stream, "-", 1);
    CHECK_INT(w.yielded, 9);
    core_ref_drop(stream);
    counts_go_to_zero(core);
    core_template_free(t);
    core_template_free(slow);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_the_reader_of_a_stream_dies(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = stream_template(core, 2);
    CoreRef *stream = stream_start(core, t, "s\x9", 2);
    CoreRef *ref = core_stream_peek(core, stream, 1);
    CoreValue value;
    get_one(core, ref, &value);
    core_value_release(&value);
    core_template_free(t);
    core_disconnect(core, 0);
    core_ref_drop(ref);
    core_ref_drop(stream);
    usec_t until = time_mono_now() + 10 * USEC_PER_SEC;
    while (!w.left && time_mono_now() < until)
        usleep(1000);
    CHECK(w.left);
    worker_stop(&w);
    mini_stop(&mini);
}

/* What a worker says of a stream's call. */
static void say(Core *core, PeerId worker, Result *m) {
    _cleanup_buf_ Buf body = { 0 };
    result_encode(m, &body);
    FrameHeader h = { .length = (uint32_t)body.len, .type = MSG_RESULT, .source = worker };
    CHECK_OK(core_dispatch(core, peer_find(core, worker), &h, body.data));
}

/* A worker says that it has yielded what it can't have: its owner looks for no more than has come. */
static void test_a_place_that_can_not_be(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "stream",
                              .num_returns = CORE_STREAMING,
                              .stream_limit = 2,
                              .max_retries = 3,
                              .strategy = { .bundle = -1 } };
    CoreTemplate *t = core_template_new(core, &spec);
    CoreRef *stream = stream_start(core, t, "s\x9", 2);
    CoreRef *ref = core_stream_peek(core, stream, 1);
    CoreValue value;
    get_one(core, ref, &value);
    core_value_release(&value);
    core_ref_drop(ref);
    core_lock(core);
    TaskId task = object_id_task(core_ref_id(stream));
    const CorePending *p = map_get(&core->tasks, task.byte);
    CHECK(p != NULL);
    Value values[2] = { { .kind = VALUE_KIND_ARENA, .size = 1 }, { .kind = VALUE_KIND_INLINE } };
    Result m = { .task = task, .values = values, .values_len = 1, .more = true };
    m.index = 4000000000u;
    say(core, w.core->info.peer, &m);
    CHECK_INT(p->yields, 2);
    m.index = 2; /* it may come next: that a value lies in a store makes its call worth keeping */
    say(core, w.core->info.peer, &m);
    CHECK_INT(p->yields, 3);
    m.more = false;
    m.index = 4000000000u;
    values[0].kind = VALUE_KIND_INLINE;
    m.values_len = 2;
    say(core, w.core->info.peer, &m);
    CHECK(map_get(&core->tasks, task.byte) == NULL);
    CHECK_INT(stream->stream->end, 3);
    core_unlock(core);
    core_ref_drop(stream);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

int main(void) {
    return TEST_RUN(TEST(test_streams), TEST(test_the_reader_of_a_stream_dies),
                    TEST(test_a_place_that_can_not_be));
}
