/* SPDX-License-Identifier: Apache-2.0 */

/* An event loop takes the calls. */

#include <poll.h>
#include <unistd.h>

#include "core/core_test.h"

static void *serve_main(void *data) {
    Worker *w = data;
    int fd;
    CHECK_OK(core_serve(w->core, &fd));
    w->yielded = 1; /* it serves */
    while (!w->left) {
        if (core_serve_sleep(w->core)) {
            struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
            core_serve_woken(w->core, poll(&poll_fd, 1, 10000) == 1);
        }
        CoreTask *task;
        while (core_task_next(w->core, 0, &task) == 0)
            worker_run(w, task);
    }
    return NULL;
}

static void *serve_wait_main(void *data) {
    Worker *w = data;
    int r;
    while ((r = core_serve_wait(w->core)) == CORE_INTERRUPTED)
        ;
    CHECK_INT(r, -ECONNRESET);
    w->left = true;
    doorbell_call(&w->core->bell);
    return NULL;
}

static void test_a_loop_serves(void **state) {
    UNUSED(state);
    World it;
    world_start(&it, 0);
    Core *core = it.core;
    Worker w = { .core = connect_as(&it.mini, ROLE_WORKER) };
    pthread_t waits;
    CHECK(pthread_create(&w.thread, NULL, serve_main, &w) == 0);
    while (!w.yielded)
        sched_yield();
    CHECK(pthread_create(&waits, NULL, serve_wait_main, &w) == 0);
    for (int i = 0; i < 2000; i++) {
        CoreRef *refs[8];
        int count = i % 100 ? 1 : 8;
        if (i % 128 ==
            0) /* by now it does not spin any more, and the pump has nothing to look at */
            usleep(3000);
        for (int j = 0; j < count; j++)
            refs[j] = submit(core, it.echo, "abc", 3);
        for (int j = 0; j < count; j++) {
            check_echo(core, refs[j], "abc", 3);
            core_ref_drop(refs[j]);
        }
    }
    counts_go_to_zero(core);
    core_lock(w.core);
    w.core->exit_asked = true;
    core_happened(w.core);
    core_unlock(w.core);
    pthread_join(waits, NULL);
    pthread_join(w.thread, NULL);
    core_disconnect(w.core, 0);
    world_stop(&it);
}

/* Is the descriptor that the main thread sleeps on readable? */
static bool told(const Core *core) {
    struct pollfd fd = { .fd = core->over_fd, .events = POLLIN };
    return poll(&fd, 1, 0) == 1;
}

/* Between the raylet's word and the last call the main thread sleeps. */
static void test_a_call_comes_after_the_last_word(void **state) {
    UNUSED(state);
    Mini mini;
    mini_start(&mini);
    Worker w = { .core = connect_as(&mini, ROLE_WORKER) };
    Core *core = w.core;
    int fd;
    CHECK_OK(core_serve(core, &fd));
    core_lock(core);
    core->exit_asked = true;
    core_happened(core);
    core_unlock(core);
    CHECK(told(core));
    Call call = { .kind = CALL_KIND_TASK, .num_returns = 1, .args = SLICE("abc") };
    _cleanup_buf_ Buf body = { 0 };
    call_encode(&call, &body);
    FrameHeader h = { .length = (uint32_t)body.len, .type = MSG_CALL };
    CorePeer caller = { .core = core, .id = peer_make(1, 1, 77) };
    core_lock(core);
    CHECK_OK(core_dispatch(core, &caller, &h, body.data));
    core_unlock(core);
    pthread_t waits;
    CHECK(pthread_create(&waits, NULL, serve_wait_main, &w) == 0);
    usec_t until = time_mono_now() + 10 * USEC_PER_SEC;
    while (told(core) && time_mono_now() < until)
        sched_yield();
    CHECK(!told(core));
    CHECK(!w.left);
    CoreTask *task;
    CHECK_INT(core_task_next(core, 0, &task), 0);
    worker_run(&w, task);
    pthread_join(waits, NULL);
    CHECK(w.left);
    core_disconnect(core, 0);
    mini_stop(&mini);
}

int main(void) {
    return TEST_RUN(TEST(test_a_loop_serves), TEST(test_a_call_comes_after_the_last_word));
}
