/* SPDX-License-Identifier: Apache-2.0 */

/* Streaming calls, from either side. */

#include <unistd.h>

#include "core/core_test.h"

static CoreTemplate *stream_template(Core *core, uint32_t limit, uint32_t retries) {
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "stream",
                              .num_returns = CORE_STREAMING,
                              .stream_limit = limit,
                              .max_retries = retries,
                              .strategy = { .bundle = -1 } };
    return core_template_new(core, &spec);
}

/* Until what comes after `ahead` others has come. */
static void wait_for_place(Core *core, CoreRef *stream, uint32_t ahead) {
    CoreRef *ref = core_stream_peek(core, stream, ahead);
    wait_for(core, ref);
    core_ref_drop(ref);
}

/* The next reference of a stream; NULL at its end. */
static CoreRef *next_of(Core *core, CoreRef *stream) {
    CoreRef *ref = NULL;
    int r = core_stream_next(core, stream, &ref);
    while (r == CORE_TIMEOUT) {
        wait_for_place(core, stream, 0);
        r = core_stream_next(core, stream, &ref);
    }
    CHECK(r == 0 || r == CORE_END);
    return r == 0 ? ref : NULL;
}

static CoreRef *stream_start(Core *core, CoreTemplate *t, const char *bytes, size_t len) {
    CoreRef *stream = submit(core, t, bytes, len);
    CHECK(core_ref_streams(core, stream));
    return stream;
}

static void test_streams(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    const Worker *w = &it.workers[0];
    CoreTemplate *t = stream_template(core, 0, 0);
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
    stream = stream_start(core, t,
                          "s\x1"
                          "f",
                          3);
    core_ref_drop(next_of(core, stream));
    ref = next_of(core, stream);
    check_error(core, ref);
    core_ref_drop(ref);
    CHECK(!next_of(core, stream));
    ref = core_stream_peek(core, stream, 2); /* beyond the end */
    CHECK(core_ref_ready(ref));
    core_ref_drop(ref);
    core_ref_drop(stream);

    /* Unread values hold the worker up, until the reader goes. */
    CoreTemplate *slow = stream_template(core, 2, 0);
    stream = stream_start(core, slow, "s\x9", 2);
    wait_for_place(core, stream, 1);
    CHECK_INT(w->yielded, 2);
    core_ref_drop(next_of(core, stream));
    wait_for_place(core, stream, 1);
    CHECK_INT(w->yielded, 3);
    core_stream_close(core, stream);
    check_echo(core, stream, "-", 1);
    CHECK_INT(w->yielded, 9);
    core_ref_drop(stream);
    counts_go_to_zero(core);
    core_template_free(t);
    core_template_free(slow);
    world_stop(&it);
}

static void test_the_reader_of_a_stream_dies(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 1);
    const Worker *w = &it.workers[0];
    Core *reader = connect_as(&it.mini, ROLE_DRIVER);
    CoreTemplate *t = stream_template(reader, 2, 0);
    CoreRef *stream = stream_start(reader, t, "s\x9", 2);
    CoreRef *ref = core_stream_peek(reader, stream, 1);
    wait_for(reader, ref);
    core_template_free(t);
    core_disconnect(reader, 0);
    core_ref_drop(ref);
    core_ref_drop(stream);
    usec_t until = time_mono_now() + 10 * USEC_PER_SEC;
    while (!w->left && time_mono_now() < until)
        usleep(1000);
    CHECK(w->left);
    world_stop(&it);
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
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    PeerId worker = it.workers[0].core->info.peer;
    CoreTemplate *t = stream_template(core, 2, 3);
    CoreRef *stream = stream_start(core, t, "s\x9", 2);
    wait_for_place(core, stream, 1);
    core_lock(core);
    TaskId task = object_id_task(core_ref_id(stream));
    const CorePending *p = map_get(&core->tasks, task.byte);
    CHECK(p != NULL);
    Value values[2] = { { .kind = VALUE_KIND_ARENA, .size = 1 }, { .kind = VALUE_KIND_INLINE } };
    Result m = { .task = task, .values = values, .values_len = 1, .more = true };
    m.index = 4000000000u;
    say(core, worker, &m);
    CHECK_INT(p->yields, 2);
    m.index = 2; /* it may come next: that a value lies in a store makes its call worth keeping */
    say(core, worker, &m);
    CHECK_INT(p->yields, 3);
    m.more = false;
    m.index = 4000000000u;
    values[0].kind = VALUE_KIND_INLINE;
    m.values_len = 2;
    say(core, worker, &m);
    CHECK(map_get(&core->tasks, task.byte) == NULL);
    CHECK_INT(stream->stream->end, 3);
    core_unlock(core);
    core_ref_drop(stream);
    core_template_free(t);
    world_stop(&it);
}

int main(void) {
    return TEST_RUN(TEST(test_streams), TEST(test_the_reader_of_a_stream_dies),
                    TEST(test_a_place_that_can_not_be));
}
