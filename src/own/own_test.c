/* SPDX-License-Identifier: Apache-2.0 */
#include "own/own.h"

#include "base/test.h"

/* What a world of processes does to it is own_sim's. */

static ObjectId id_of(int object) {
    ObjectId id = { { 0 } };
    id.byte[0] = (uint8_t)(object + 1);
    return id;
}

static void test_contents_live_as_long_as_their_value(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 1);
    OwnRef list, item;
    ObjectId a = id_of(0), b = id_of(1);
    own_add(&own, &list, &a, 1, NULL);
    own_add(&own, &item, &b, 9, NULL);
    own_set_contents(&list, (OwnRef *[]){ &item }, 1);
    own_received(&own, &item, 9);
    own_drop(&own, &item);
    CHECK_INT(own.actions.len, 1);
    CHECK_INT(own.actions.items[0].kind, OWN_BORROW_ADD);
    vec_clear(&own.actions);
    own_drop(&own, &list);
    CHECK_INT(own.actions.len, 3);
    CHECK_INT(own.actions.items[0].kind, OWN_BORROW_REMOVE);
    CHECK(own.actions.items[1].ref == &item);
    CHECK(own.actions.items[2].ref == &list);
    own_done(&own);
}

static void test_retained_arguments(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 2);
    OwnRef ref;
    ObjectId a = id_of(0);
    own_add(&own, &ref, &a, 9, NULL);
    CHECK(own_retain(&own, &ref, 1));
    CHECK(own.actions.items[0].kind == OWN_BORROW_ADD && own.actions.items[0].ack);
    own_acknowledged(&own, &a, own.actions.items[0].sequence + 1); /* of another life */
    CHECK_INT(own.actions.len, 1);
    own_acknowledged(&own, &a, own.actions.items[0].sequence);
    CHECK(own.actions.items[1].kind == OWN_GOT && own.actions.items[1].peer == 1);
    CHECK(!own_retain(&own, &ref, 1));
    own_drop(&own, &ref);
    CHECK(own.actions.items[2].kind == OWN_BORROW_REMOVE);
    own_done(&own);
}

static void test_a_kept_record_outlives_its_value(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 1);
    OwnRef value, item;
    ObjectId a = id_of(0), b = id_of(1);
    own_add(&own, &value, &a, 1, NULL);
    own_add(&own, &item, &b, 1, NULL);
    own_set_contents(&value, (OwnRef *[]){ &item }, 1);
    own_drop(&own, &item);
    own_keep(&value);
    own_drop(&own, &value);
    CHECK_INT(own.actions.len, 1);
    CHECK(own.actions.items[0].kind == OWN_RELEASE && own.actions.items[0].ref == &value);
    CHECK(own_released(&value));
    own_forget_contents(&own, &value);
    CHECK(own.actions.items[1].kind == OWN_GONE && own.actions.items[1].ref == &item);
    own_unkeep(&own, &value);
    CHECK(own.actions.items[2].kind == OWN_GONE && own.actions.items[2].ref == &value);
    own_done(&own);
}

static void test_a_late_acknowledgement_is_of_that_life(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 2);
    OwnRef ref;
    ObjectId a = id_of(0);
    own_add(&own, &ref, &a, 9, NULL);
    own_received(&own, &ref, 1);
    uint64_t sequence = own.actions.items[0].sequence;
    own_keep(&ref);
    own_drop(&own, &ref); /* the value goes, the record stays */
    vec_clear(&own.actions);
    own_acknowledged(&own, &a, sequence);
    own_hold(&ref);
    own_received(&own, &ref, 3);
    CHECK_INT(own.actions.len, 1); /* 3 has to keep it until 9 has answered */
    CHECK(own.actions.items[0].kind == OWN_BORROW_ADD && own.actions.items[0].ack);
    own_unkeep(&own, &ref);
    own_drop(&own, &ref);
    own_done(&own);
}

static void test_a_dead_owner_confirms_nothing(void **state) {
    UNUSED(state);
    Own own;
    own_init(&own, 2);
    OwnRef ref;
    ObjectId a = id_of(0);
    own_add(&own, &ref, &a, 9, NULL);
    own_received(&own, &ref, 1); /* 1 keeps it until 9 has answered */
    own_peer_dead(&own, 9);
    CHECK_INT(own.actions.len, 2);
    CHECK(own.actions.items[1].kind == OWN_GOT && own.actions.items[1].peer == 1);
    own_drop(&own, &ref);
    own_done(&own);
}

int main(void) {
    return TEST_RUN(TEST(test_contents_live_as_long_as_their_value), TEST(test_retained_arguments),
                    TEST(test_a_kept_record_outlives_its_value),
                    TEST(test_a_late_acknowledgement_is_of_that_life),
                    TEST(test_a_dead_owner_confirms_nothing));
}
