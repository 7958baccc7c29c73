/* SPDX-License-Identifier: Apache-2.0 */

/* Calls, references and values: one driver and its workers. */

#include "core/core_test.h"

#include <signal.h>
#include <unistd.h>

static void test_calls_one_by_one(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    for (int i = 0; i < 2000; i++) {
        CoreRef *ref;
        int bytes[2] = { 0, i };
        CHECK_OK(
            core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = sizeof(bytes) }, &ref));
        check_echo(core, ref, bytes, sizeof(bytes));
        core_ref_drop(ref);
    }
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_many_calls_large_and_small(void **state) {
    UNUSED(state);
    enum {
        N = 3000
    };
    Mini mini;
    Worker w[2];
    mini_start(&mini);
    worker_start(&w[0], &mini);
    worker_start(&w[1], &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    _cleanup_free_ char *bytes = mem_zalloc(2000000);
    CoreRef **refs = mem_array(CoreRef *, N);
    for (int i = 0; i < N; i++) {
        size_t len = i % 500 == 0 ? 2000000 : (size_t)i;
        CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = bytes, .bytes_len = len }, &refs[i]));
    }
    for (int i = N; i-- > 0;) {
        check_echo(core, refs[i], bytes, i % 500 == 0 ? 2000000 : (size_t)i);
        core_ref_drop(refs[i]);
    }
    CHECK_INT(w[0].ran + w[1].ran, N);
    mem_free(refs);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w[0]);
    worker_stop(&w[1]);
    mini_stop(&mini);
}

static void test_arguments_by_reference_and_errors(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *a, *b, *c, *bad, *after;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "one", .bytes_len = 3 }, &a));
    CHECK_OK(core_submit(
        core, t, &(CoreArgs){ .bytes = "two", .bytes_len = 3, .top = &a, .top_len = 1 }, &b));
    CHECK_OK(core_submit(core, t,
                         &(CoreArgs){ .bytes = "3", .bytes_len = 1, .top = &b, .top_len = 1 }, &c));
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "e", .bytes_len = 1 }, &bad));
    CHECK_OK(core_submit(
        core, t, &(CoreArgs){ .bytes = "4", .bytes_len = 1, .top = &bad, .top_len = 1 }, &after));
    core_ref_drop(a);
    core_ref_drop(b);
    check_echo(core, c, "3twoone", 7);
    CoreValue value;
    get_one(core, after, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
    core_ref_drop(c);
    core_ref_drop(bad);
    core_ref_drop(after);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_borrowed_references(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    /* The worker keeps an argument's reference: ours lives as long as it does. */
    CoreRef *put, *kept;
    struct iovec part = { (void *)(uintptr_t)"value", 5 };
    CHECK_OK(core_put(core, &(CoreBlob){ .parts = &part, .parts_len = 1 }, 0, &put));
    CHECK_OK(core_submit(
        core, t, &(CoreArgs){ .bytes = "k", .bytes_len = 1, .nested = &put, .nested_len = 1 },
        &kept));
    check_echo(core, kept, "k", 1);
    core_ref_drop(kept);
    core_ref_drop(put);
    CoreCounts c;
    core_counts(core, &c);
    CHECK_INT(c.refs_owned, 1);
    check_echo(w.core, w.kept, "value", 5);
    core_ref_drop(atomic_exchange(&w.kept, NULL));
    counts_go_to_zero(core);
    /* A value that contains a reference of the worker's: we borrow it, and let go. */
    CoreRef *outer;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "p!", .bytes_len = 2 }, &outer));
    check_echo(core, outer, "p!", 2);
    core_counts(core, &c);
    CHECK_INT(c.refs_borrowed, 1);
    core_ref_drop(outer);
    counts_go_to_zero(core);
    counts_go_to_zero(w.core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_a_dead_worker_is_retried_elsewhere(void **state) {
    UNUSED(state);
    Mini mini;
    Worker bad, good;
    mini_start(&mini);
    worker_start(&good, &mini);
    worker_start(&bad, &mini); /* the newest gets the first lease */
    bad.die_on_x = true;
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *ref;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "x", .bytes_len = 1 }, &ref));
    check_echo(core, ref, "x", 1);
    CHECK_INT(good.ran, 1);
    core_ref_drop(ref);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    pthread_join(bad.thread, NULL);
    core_disconnect(bad.core, 0);
    worker_stop(&good);
    mini_stop(&mini);
}

/* One that says what can't be read is ended by its raylet; its call runs elsewhere. */
static void test_a_mad_worker_is_cut_off(void **state) {
    UNUSED(state);
    Mini mini;
    Worker bad, good;
    mini_start(&mini);
    worker_start(&good, &mini);
    worker_start(&bad, &mini); /* the newest gets the first lease */
    bad.mad_on_x = true;
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *ref;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "x", .bytes_len = 1 }, &ref));
    check_echo(core, ref, "x", 1);
    CHECK_INT(good.ran, 1);
    core_ref_drop(ref);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    CHECK_INT(mini.killed, 1);
    worker_stop(&bad);
    worker_stop(&good);
    mini_stop(&mini);
}

static void on_signal(int number) {
    UNUSED(number);
}

static void test_cancel(void **state) {
    UNUSED(state);
    Mini mini;
    Worker w;
    mini_start(&mini);
    worker_start(&w, &mini);
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &action, NULL);
    w.core->cancel_signal = SIGUSR1;
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreArgs args = { .bytes = "c", .bytes_len = 1 };
    CoreRef *running, *queued;
    CHECK_OK(core_submit(core, t, &args, &running));
    CHECK_OK(core_submit(core, t, &args, &queued));
    while (!w.ran)
        usleep(1000);
    CoreValue value;
    for (int i = 0; i < 2; i++) {
        CoreRef *ref = i ? running : queued;
        CHECK_OK(core_cancel(core, ref, false, true));
        get_one(core, ref, &value);
        CHECK_INT(value.kind, VALUE_KIND_ERROR);
        core_value_release(&value);
        CHECK_OK(core_cancel(core, ref, false, true)); /* nothing is left to cancel */
        core_ref_drop(ref);
    }
    CHECK_INT(w.ran, 1);
    counts_go_to_zero(core);
    core_template_free(t);
    core_disconnect(core, 0);
    worker_stop(&w);
    mini_stop(&mini);
}

static void test_get_times_out_and_the_raylet_goes(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    CoreTemplate *t = echo_template(core);
    CoreRef *ref;
    CHECK_OK(core_submit(core, t, &(CoreArgs){ .bytes = "a", .bytes_len = 1 }, &ref));
    CoreValue value;
    CHECK_INT(core_get(core, &ref, 1, 20 * USEC_PER_MSEC, &value), CORE_TIMEOUT);
    bool ready = true;
    CHECK_INT(core_wait(core, &ref, 1, 1, 0, true, &ready), CORE_TIMEOUT);
    CHECK(!ready);
    mini_stop(&mini);
    get_one(core, ref, &value);
    CHECK_INT(value.kind, VALUE_KIND_ERROR);
    core_value_release(&value);
    core_template_free(t);
    core_disconnect(core, 0);
    core_ref_drop(ref); /* after the end: a no-op but for its memory */
}

static void test_functions(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Core *core = connect_as(&mini, ROLE_DRIVER);
    Hash hash;
    core_hash("body", 4, &hash);
    CHECK_OK(core_export(core, &hash, "body", 4, USEC_PER_SEC));
    _cleanup_buf_ Buf out = { 0 };
    CHECK_OK(core_import(core, &hash, USEC_PER_SEC, &out));
    CHECK_STR(out.data, "body");
    core_disconnect(core, 0);
    mini_stop(&mini);
}

int main(void) {
    return TEST_RUN(TEST(test_calls_one_by_one), TEST(test_many_calls_large_and_small),
                    TEST(test_arguments_by_reference_and_errors), TEST(test_borrowed_references),
                    TEST(test_a_dead_worker_is_retried_elsewhere),
                    TEST(test_a_mad_worker_is_cut_off), TEST(test_cancel),
                    TEST(test_get_times_out_and_the_raylet_goes), TEST(test_functions));
}
