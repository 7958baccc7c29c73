/* SPDX-License-Identifier: Apache-2.0 */
#include "store/room.h"

#include "base/test.h"

enum {
    UNITS = 300
};

static const uint64_t BASE = (uint64_t)7 * STORE_SLAB_UNIT;

static uint64_t units(uint64_t n) {
    return n * STORE_SLAB_UNIT;
}

static void test_the_smallest_that_fits(void **state) {
    UNUSED(state);
    Room room;
    uint64_t at[4];
    bool warm;
    room_init(&room, BASE, units(UNITS));
    for (int i = 0; i < 4; i++)
        CHECK(room_take(&room, units(10), &at[i], &warm) && !warm);
    CHECK(at[0] == BASE && at[3] == BASE + units(30));
    room_give(&room, at[1], units(10));
    room_used(&room, at[1], units(10));
    uint64_t again;
    CHECK(room_take(&room, units(9), &again, &warm));
    CHECK(again == at[1] && warm);
    CHECK(!room_take(&room, units(UNITS), &again, &warm));
    room_give(&room, at[1], units(9));
    room_give(&room, at[0], units(10));
    room_give(&room, at[3], units(10));
    room_give(&room, at[2], units(10));
    CHECK_INT(room.free.len, 1);
    CHECK(room_take(&room, units(UNITS), &again, &warm));
    room_done(&room);
}

/* Against a byte a unit: what is taken was free, pages are known, old ones are found once. */
static void test_random(void **state) {
    UNUSED(state);
    enum {
        FREE,
        TAKEN
    };
    uint8_t use[UNITS] = { FREE }, age[UNITS] = { 0 }; /* 0: no pages, 1: old, 2: recent */
    struct {
        uint64_t at, n;
    } held[UNITS];
    size_t held_len = 0;
    uint32_t seed = 7;
    Room room;
    room_init(&room, BASE, units(UNITS));
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t what = (seed >> 24) % 8, n = 1 + (seed >> 12) % 20;
        uint64_t offset;
        bool warm;
        if (what < 4 && room_take(&room, units(n), &offset, &warm)) {
            uint64_t first = (offset - BASE) / STORE_SLAB_UNIT, pages = 0;
            for (uint64_t i = first; i < first + n; i++) {
                CHECK_INT(use[i], FREE);
                pages += age[i] != 0;
                use[i] = TAKEN;
                age[i] = 0;
            }
            CHECK_INT(warm, 2 * pages > n);
            held[held_len].at = first;
            held[held_len++].n = n;
        } else if (what < 7 && held_len) {
            size_t which = (seed >> 8) % held_len;
            uint64_t first = held[which].at, len = held[which].n;
            held[which] = held[--held_len];
            room_give(&room, BASE + units(first), units(len));
            room_used(&room, BASE + units(first), units(len));
            for (uint64_t i = first; i < first + len; i++) {
                use[i] = FREE;
                age[i] = 2;
            }
        } else if (what == 7 && (seed >> 20) % 8 == 0) {
            Extent old;
            for (uint64_t at = BASE; room_next_old(&room, &at, &old);) {
                for (uint64_t i = 0; i < old.size / STORE_SLAB_UNIT; i++) {
                    uint64_t unit = (old.offset - BASE) / STORE_SLAB_UNIT + i;
                    CHECK_INT(age[unit], 1);
                    age[unit] = 0;
                }
                room_forget_pages(&room, old.offset, old.size);
            }
            bool left = false;
            for (size_t i = 0; i < UNITS; i++) {
                CHECK(age[i] != 1);
                age[i] = age[i] ? 1 : 0;
                left |= age[i] != 0;
            }
            CHECK_INT(room_age(&room), left);
        }
    }
    room_done(&room);
}

int main(void) {
    return TEST_RUN(TEST(test_the_smallest_that_fits), TEST(test_random));
}
