/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/test.h"
#include "ipc/doorbell.h"
#include "wire/messages.h"

typedef struct Ends {
    RingPair a, b;
} Ends;

static void ends_open(Ends *ends) {
    _cleanup_close_ int fd = -1;
    CHECK_OK(ring_create(&fd));
    CHECK_OK(ring_open(fd, 0, &ends->a));
    CHECK_OK(ring_open(fd, 1, &ends->b));
}

static void ends_close(Ends *ends) {
    ring_close(&ends->a);
    ring_close(&ends->b);
}

static bool put(RingWriter *out, uint32_t stream, const void *body, size_t len, size_t *sent) {
    FrameHeader h = { .length = (uint32_t)len, .type = MSG_CALL, .stream = stream };
    struct iovec part = { (void *)(uintptr_t)body, len };
    return ring_write(out, &h, &part, 1, sent);
}

static void test_frames_of_every_size_in_order(void **state) {
    UNUSED(state);
    Ends ends;
    ends_open(&ends);
    _cleanup_free_ uint8_t *body = mem_alloc(600000);
    for (size_t i = 0; i < 600000; i++)
        body[i] = (uint8_t)(i * 7);
    uint32_t sent_count = 0, got_count = 0;
    for (size_t round = 0; round < 400; round++) {
        size_t len = round * round * 3 % 300000, sent = 0;
        while (!put(&ends.a.out, sent_count, body, len, &sent)) {
            FrameHeader h;
            const void *data;
            bool want;
            int r = ring_read(&ends.b.in, &h, &data, &want);
            CHECK(r >= 0);
            if (r == 1) {
                CHECK_INT(h.stream, got_count++);
                CHECK_MEM(data, body, h.length);
            }
        }
        sent_count++;
    }
    FrameHeader h;
    const void *data;
    bool want;
    while (ring_read(&ends.b.in, &h, &data, &want) == 1)
        CHECK_INT(h.stream, got_count++);
    CHECK_INT(got_count, sent_count);
    ends_close(&ends);
}

static void test_a_quiet_pair_stays_at_the_front(void **state) {
    UNUSED(state);
    Ends ends;
    ends_open(&ends);
    char body[1000] = { 0 };
    for (int i = 0; i < 5000; i++) {
        size_t sent = 0;
        FrameHeader h;
        const void *data;
        bool want;
        CHECK(put(&ends.a.out, 0, body, sizeof(body), &sent));
        CHECK_INT(ring_read(&ends.b.in, &h, &data, &want), 1);
        CHECK((const uint8_t *)data - ends.b.in.data < RING_RESTART + 4096);
        CHECK_INT(ring_read(&ends.b.in, &h, &data, &want), 0);
    }
    ends_close(&ends);
}

static void test_nonsense_is_refused(void **state) {
    UNUSED(state);
    uint32_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        Ends ends;
        ends_open(&ends);
        uint8_t *data = (uint8_t *)(uintptr_t)ends.b.in.data;
        for (size_t i = 0; i < 256; i++) {
            seed = seed * 1664525u + 1013904223u;
            data[i] = round % 2 ? (uint8_t)(seed >> 24) : (uint8_t)(seed >> 30);
        }
        ends.b.in.control->tail = seed % 3 ? seed % 256 : (uint64_t)seed << 20;
        for (int i = 0; i < 50; i++) {
            FrameHeader h;
            const void *body;
            bool want;
            if (ring_read(&ends.b.in, &h, &body, &want) <= 0)
                break;
        }
        ends_close(&ends);
    }
}

enum {
    COUNT = 200000
};

typedef struct Shared {
    Ends ends;
    Doorbell bell_a, bell_b;
    _Atomic uint32_t taken;
} Shared;

static void *producer(void *data) {
    Shared *s = data;
    for (uint32_t i = 0; i < COUNT; i++) {
        size_t sent = 0;
        char body[100];
        memset(body, (int)i, sizeof(body));
        while (!put(&s->ends.a.out, i, body, i % sizeof(body), &sent)) {
            bool signalled;
            doorbell_prepare(&s->bell_a, DOORBELL_FUTEX);
            if (!put(&s->ends.a.out, i, body, i % sizeof(body), &sent)) {
                doorbell_sleep(&s->bell_a, USEC_PER_SEC, &signalled);
                doorbell_wake_up(&s->bell_a);
                continue;
            }
            doorbell_wake_up(&s->bell_a);
            break;
        }
        doorbell_ring(&s->bell_b);
    }
    return NULL;
}

static void test_two_threads_and_doorbells(void **state) {
    UNUSED(state);
    Shared s;
    ends_open(&s.ends);
    CHECK_OK(doorbell_create(&s.bell_a));
    CHECK_OK(doorbell_create(&s.bell_b));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, producer, &s) == 0);
    for (uint32_t got = 0; got < COUNT;) {
        FrameHeader h;
        const void *body;
        bool want, signalled;
        int r = ring_read(&s.ends.b.in, &h, &body, &want);
        if (want)
            doorbell_ring(&s.bell_a);
        CHECK(r >= 0);
        if (r == 1) {
            CHECK_INT(h.stream, got);
            CHECK_INT(h.length, got % 100);
            got++;
            continue;
        }
        doorbell_prepare(&s.bell_b, DOORBELL_FUTEX);
        if (!ring_readable(&s.ends.b.in))
            CHECK(doorbell_sleep(&s.bell_b, 10 * USEC_PER_SEC, &signalled));
        doorbell_wake_up(&s.bell_b);
    }
    pthread_join(thread, NULL);
    doorbell_done(&s.bell_a);
    doorbell_done(&s.bell_b);
    ends_close(&s.ends);
}

static void *ringer(void *data) {
    Shared *s = data;
    for (uint32_t i = 0; i < COUNT / 4; i++) {
        size_t sent = 0;
        while (!put(&s->ends.a.out, i, NULL, 0, &sent))
            ;
        doorbell_ring(&s->bell_b);
        /* Until it was taken: so each ring meets the sleeper at another point of its way to sleep. */
        while (atomic_load(&s->taken) <= i)
            ;
    }
    return NULL;
}

/* A ring between the spin and the sleep must wake: else this waits out its 10 s and fails. */
static void test_rung_on_the_way_from_spin_to_sleep(void **state) {
    UNUSED(state);
    Shared s;
    atomic_init(&s.taken, 0);
    ends_open(&s.ends);
    CHECK_OK(doorbell_create(&s.bell_a));
    CHECK_OK(doorbell_create(&s.bell_b));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, ringer, &s) == 0);
    for (uint32_t got = 0; got < COUNT / 4;) {
        FrameHeader h;
        const void *body;
        bool want, signalled;
        doorbell_prepare(&s.bell_b, DOORBELL_SPIN);
        if (!ring_readable(&s.ends.b.in) && !doorbell_spin(&s.bell_b, got % 7, DOORBELL_FUTEX))
            CHECK(doorbell_sleep(&s.bell_b, 10 * USEC_PER_SEC, &signalled));
        doorbell_wake_up(&s.bell_b);
        while (ring_read(&s.ends.b.in, &h, &body, &want) == 1)
            atomic_store(&s.taken, ++got);
    }
    pthread_join(thread, NULL);
    doorbell_done(&s.bell_a);
    doorbell_done(&s.bell_b);
    ends_close(&s.ends);
}

int main(void) {
    return TEST_RUN(TEST(test_frames_of_every_size_in_order),
                    TEST(test_rung_on_the_way_from_spin_to_sleep),
                    TEST(test_a_quiet_pair_stays_at_the_front), TEST(test_nonsense_is_refused),
                    TEST(test_two_threads_and_doorbells));
}
