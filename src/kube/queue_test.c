/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/queue.h"

#include "base/test.h"

static void take(WorkQueue *queue, usec_t now, const char *key) {
    const char *got = work_queue_take(queue, now);
    if (!key)
        CHECK(got == NULL);
    else
        CHECK_STR(got, key);
}

static void test_order_and_deduplication(void **state) {
    UNUSED(state);
    _cleanup_(work_queue_freep) WorkQueue *queue = work_queue_new(0, 0);
    work_queue_add(queue, "a", 10);
    work_queue_add(queue, "b", 11);
    work_queue_add(queue, "a", 12);
    CHECK_INT(work_queue_waiting(queue), 2);
    CHECK_INT(work_queue_next(queue), 10);
    take(queue, 20, "a");
    take(queue, 20, "b");
    take(queue, 20, NULL);
    CHECK_INT(work_queue_next(queue), USEC_INFINITY);
}

static void test_added_while_worked_on_comes_again_after(void **state) {
    UNUSED(state);
    _cleanup_(work_queue_freep) WorkQueue *queue = work_queue_new(0, 0);
    work_queue_add(queue, "a", 1);
    take(queue, 1, "a");
    work_queue_add(queue, "a", 2);
    take(queue, 3, NULL);
    work_queue_done(queue, "a");
    take(queue, 3, "a");
    work_queue_done(queue, "a");
    take(queue, 4, NULL);
}

static void test_failures_back_off_until_forgotten(void **state) {
    UNUSED(state);
    _cleanup_(work_queue_freep) WorkQueue *queue = work_queue_new(10, 35);
    static const usec_t delays[] = { 10, 20, 35, 35 };
    usec_t now = 100;
    work_queue_add(queue, "a", now);
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        take(queue, now, "a");
        work_queue_add_failed(queue, "a", now);
        work_queue_done(queue, "a");
        CHECK_INT(work_queue_failures(queue, "a"), i + 1);
        CHECK_INT(work_queue_next(queue), now + delays[i]);
        take(queue, now + delays[i] - 1, NULL);
        now += delays[i];
    }
    take(queue, now, "a");
    work_queue_forget(queue, "a");
    work_queue_add_failed(queue, "a", now);
    work_queue_done(queue, "a");
    CHECK_INT(work_queue_next(queue), now + 10);
}

static void test_earlier_time_wins(void **state) {
    UNUSED(state);
    _cleanup_(work_queue_freep) WorkQueue *queue = work_queue_new(0, 0);
    work_queue_add_at(queue, "late", 100);
    work_queue_add_at(queue, "a", 200);
    work_queue_add_at(queue, "a", 50);
    work_queue_add_at(queue, "a", 300);
    work_queue_add_at(queue, "never", USEC_INFINITY);
    CHECK_INT(work_queue_waiting(queue), 2);
    CHECK_INT(work_queue_next(queue), 50);
    take(queue, 49, NULL);
    take(queue, 150, "a");
    take(queue, 150, "late");
    take(queue, 1000, NULL);
}

int main(void) {
    return TEST_RUN(TEST(test_order_and_deduplication),
                    TEST(test_added_while_worked_on_comes_again_after),
                    TEST(test_failures_back_off_until_forgotten), TEST(test_earlier_time_wins));
}
