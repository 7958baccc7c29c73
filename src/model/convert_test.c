/* SPDX-License-Identifier: Apache-2.0 */
#include "model/convert.h"

#include "base/test.h"

static void test_resources(void **state) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_resources_ ResourceSet set = { 0 }, back = { 0 };
    Resource twice[] = { { SLICE("CPU"), 5000 }, { SLICE("x"), 1 }, { SLICE("CPU"), 5000 } };
    CHECK_OK(resources_from_wire(&set, twice, ARRAY_LEN(twice)));
    CHECK_INT(resources_get(&set, "CPU"), QUANTITY_ONE);
    size_t len;
    Resource *items = resources_to_wire(&set, &arena, &len);
    CHECK_INT(len, 2);
    CHECK_OK(resources_from_wire(&back, items, len));
    CHECK(resources_equal(&set, &back));

    Resource bad[] = { { SLICE("CPU"), -1 } }, huge[] = { { SLICE("m"), INT64_MAX } },
             nul[] = { { SLICE("C\0U"), 1 } }, empty[] = { { { 0 }, 1 } };
    CHECK_INT(resources_from_wire(&back, bad, 1), -EINVAL);
    CHECK_INT(resources_from_wire(&back, huge, 1), -EINVAL);
    CHECK_INT(resources_from_wire(&back, nul, 1), -EINVAL);
    CHECK_INT(resources_from_wire(&back, empty, 1), -EINVAL);
    CHECK(resources_equal(&set, &back));

    resources_sub(&set, &back);
    resources_sub(&set, &back);
    resources_to_wire_clamped(&set, &arena, &len);
    CHECK_INT(len, 0);
}

static void test_labels(void **state) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_labels_ Labels labels = { 0 }, back = { 0 };
    CHECK_OK(labels_parse(&labels, "a=b,c=d"));
    size_t len;
    Pair *pairs = labels_to_wire(&labels, &arena, &len);
    CHECK_OK(labels_from_wire(&back, pairs, len));
    CHECK(labels_equal(&labels, &back));
    _cleanup_label_selector_ LabelSelector selector = { 0 };
    CHECK_OK(label_selector_from_wire(&selector, pairs, len));
    CHECK(label_selector_matches(&selector, &labels));
    Pair bad = { SLICE("-"), SLICE("x") };
    CHECK_INT(labels_from_wire(&back, &bad, 1), -EINVAL);
    CHECK_INT(label_selector_from_wire(&selector, &bad, 1), -EINVAL);
}

int main(void) {
    return TEST_RUN(TEST(test_resources), TEST(test_labels));
}
