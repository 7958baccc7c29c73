/* SPDX-License-Identifier: Apache-2.0 */

/* Calls, references and values: one driver and its workers. */

#include "core/core_test.h"

#include <signal.h>
#include <unistd.h>

static void test_calls_one_by_one(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    for (int i = 0; i < 2000; i++) {
        int bytes[2] = { 0, i };
        CoreRef *ref = submit(core, it.echo, bytes, sizeof(bytes));
        check_echo(core, ref, bytes, sizeof(bytes));
        core_ref_drop(ref);
    }
    counts_go_to_zero(core);
    world_stop(&it);
}

static void test_many_calls_large_and_small(void **state) {
    UNUSED(state);
    enum {
        N = 3000
    };
    World it;
    world_start(&it, 2);
    Core *core = it.core;
    _cleanup_free_ char *bytes = mem_zalloc(2000000);
    CoreRef **refs = mem_array(CoreRef *, N);
    for (int i = 0; i < N; i++) {
        size_t len = i % 500 == 0 ? 2000000 : (size_t)i;
        refs[i] = submit(core, it.echo, bytes, len);
    }
    for (int i = N; i-- > 0;) {
        check_echo(core, refs[i], bytes, i % 500 == 0 ? 2000000 : (size_t)i);
        core_ref_drop(refs[i]);
    }
    CHECK_INT(it.workers[0].ran + it.workers[1].ran, N);
    mem_free(refs);
    counts_go_to_zero(core);
    world_stop(&it);
}

/* A call that takes the other's value. */
static CoreRef *submit_behind(World *it, const char *text, CoreRef *other) {
    CoreArgs args = { .bytes = text, .bytes_len = strlen(text), .top = &other, .top_len = 1 };
    CoreRef *ref;
    CHECK_OK(core_submit(it->core, it->echo, &args, &ref));
    return ref;
}

static void test_arguments_by_reference_and_errors(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    CoreRef *a = submit(core, it.echo, "one", 3);
    CoreRef *b = submit_behind(&it, "two", a);
    CoreRef *c = submit_behind(&it, "3", b);
    CoreRef *bad = submit(core, it.echo, "e", 1);
    CoreRef *after = submit_behind(&it, "4", bad);
    core_ref_drop(a);
    core_ref_drop(b);
    check_echo(core, c, "3twoone", 7);
    check_error(core, after);
    core_ref_drop(c);
    core_ref_drop(bad);
    core_ref_drop(after);
    counts_go_to_zero(core);
    world_stop(&it);
}

static void test_borrowed_references(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    Worker *w = &it.workers[0];
    /* The worker keeps an argument's reference: ours lives as long as it does. */
    CoreRef *put, *kept;
    struct iovec part = { (void *)(uintptr_t)"value", 5 };
    CHECK_OK(core_put(core, &(CoreBlob){ .parts = &part, .parts_len = 1 }, 0, &put));
    CoreArgs args = { .bytes = "k", .bytes_len = 1, .nested = &put, .nested_len = 1 };
    CHECK_OK(core_submit(core, it.echo, &args, &kept));
    check_echo(core, kept, "k", 1);
    core_ref_drop(kept);
    core_ref_drop(put);
    CoreCounts c;
    core_counts(core, &c);
    CHECK_INT(c.refs_owned, 1);
    check_echo(w->core, w->kept, "value", 5);
    core_ref_drop(atomic_exchange(&w->kept, NULL));
    counts_go_to_zero(core);
    /* A value that contains a reference of the worker's: we borrow it, and let go. */
    CoreRef *outer = submit(core, it.echo, "p!", 2);
    check_echo(core, outer, "p!", 2);
    core_counts(core, &c);
    CHECK_INT(c.refs_borrowed, 1);
    core_ref_drop(outer);
    counts_go_to_zero(core);
    counts_go_to_zero(w->core);
    world_stop(&it);
}

/* The second worker gets the call and does not do it. */
static void check_done_elsewhere(World *it) {
    CoreRef *ref = submit(it->core, it->echo, "x", 1);
    check_echo(it->core, ref, "x", 1);
    CHECK_INT(it->workers[0].ran, 1);
    core_ref_drop(ref);
    counts_go_to_zero(it->core);
}

static void test_a_dead_worker_is_retried_elsewhere(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 2);
    it.workers[1].die_on_x = true;
    check_done_elsewhere(&it);
    world_stop(&it);
}

/* One that says what can't be read is ended by its raylet; its call runs elsewhere. */
static void test_a_mad_worker_is_cut_off(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 2);
    it.workers[1].mad_on_x = true;
    check_done_elsewhere(&it);
    CHECK_INT(it.mini.killed, 1);
    world_stop(&it);
}

static void on_signal(int number) {
    UNUSED(number);
}

static void test_cancel(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 1);
    Core *core = it.core;
    const Worker *w = &it.workers[0];
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &action, NULL);
    w->core->cancel_signal = SIGUSR1;
    CoreRef *running = submit(core, it.echo, "c", 1), *queued = submit(core, it.echo, "c", 1);
    while (!w->ran)
        usleep(1000);
    for (int i = 0; i < 2; i++) {
        CoreRef *ref = i ? running : queued;
        CHECK_OK(core_cancel(core, ref, false, true));
        check_error(core, ref);
        CHECK_OK(core_cancel(core, ref, false, true)); /* nothing is left to cancel */
        core_ref_drop(ref);
    }
    CHECK_INT(w->ran, 1);
    counts_go_to_zero(core);
    world_stop(&it);
}

static void test_get_times_out_and_the_raylet_goes(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    CoreRef *ref = submit(core, it.echo, "a", 1);
    CoreValue value;
    CHECK_INT(core_get(core, &ref, 1, 20 * USEC_PER_MSEC, &value), CORE_TIMEOUT);
    bool ready = true;
    CHECK_INT(core_wait(core, &ref, 1, 1, 0, true, &ready), CORE_TIMEOUT);
    CHECK(!ready);
    mini_stop(&it.mini);
    check_error(core, ref);
    core_template_free(it.echo);
    core_disconnect(core, 0);
    core_ref_drop(ref); /* after the end: a no-op but for its memory */
}

static void test_functions(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    Hash hash;
    core_hash("body", 4, &hash);
    CHECK_OK(core_export(core, &hash, "body", 4, USEC_PER_SEC));
    _cleanup_buf_ Buf out = { 0 };
    CHECK_OK(core_import(core, &hash, USEC_PER_SEC, &out));
    CHECK_STR(out.data, "body");
    world_stop(&it);
}

int main(void) {
    return TEST_RUN(TEST(test_calls_one_by_one), TEST(test_many_calls_large_and_small),
                    TEST(test_arguments_by_reference_and_errors), TEST(test_borrowed_references),
                    TEST(test_a_dead_worker_is_retried_elsewhere),
                    TEST(test_a_mad_worker_is_cut_off), TEST(test_cancel),
                    TEST(test_get_times_out_and_the_raylet_goes), TEST(test_functions));
}
