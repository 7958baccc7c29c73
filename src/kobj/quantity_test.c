/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/quantity.h"

#include "base/test.h"

static Quantity parse(const char *text) {
    Quantity quantity;

    CHECK_OK(quantity_parse(text, &quantity));
    return quantity;
}

static void check_canonical(const char *text, const char *wanted) {
    char out[QUANTITY_TEXT_MAX];

    quantity_format(quantity_round_milli(parse(text)), out);
    if (strcmp(out, wanted) != 0)
        fail_msg("%s is written %s, wanted %s", text, out, wanted);
}

/* Each right side is what kube-apiserver 1.34 answered for a node's capacity of the left one. */
static void test_canonical_form(void **state) {
    static const char *const pairs[][2] = {
#include "kobj/quantity_test_data.h"
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        check_canonical(pairs[i][0], pairs[i][1]);
}

static void check_refused(const char *text, const char *sentence) {
    Quantity quantity;

    CHECK_INT(quantity_parse(text, &quantity), -EINVAL);
    if (!strstr(error_text(-EINVAL), sentence))
        fail_msg("%s: '%s'", text, error_text(-EINVAL));
}

static void test_refusals(void **state) {
    check_refused("", "quantities must match");
    check_refused("x", "quantities must match");
    check_refused("1.2.3", "quantities must match");
    check_refused("1 Gi", "quantities must match");
    check_refused("1KiB", "quantities must match");
    check_refused("1ki", "unable to parse quantity's suffix");
    check_refused("1e", "unable to parse quantity's suffix");
    check_refused("--1", "quantities must match");
}

static void test_arithmetic(void **state) {
    char out[QUANTITY_TEXT_MAX];

    quantity_format(quantity_add(parse("1500m"), parse("500m")), out);
    CHECK_STR(out, "2");
    quantity_format(quantity_add(QUANTITY_ZERO, parse("512Mi")), out);
    CHECK_STR(out, "512Mi");
    quantity_format(quantity_sub(parse("1Gi"), parse("512Mi")), out);
    CHECK_STR(out, "512Mi");
    CHECK(quantity_compare(parse("1000m"), parse("1")) == 0);
    CHECK(quantity_compare(parse("1Gi"), parse("1G")) > 0);
    CHECK_INT(quantity_ceil(parse("1500m")), 2);
    CHECK_INT(quantity_ceil(parse("4Gi")), 4294967296);
    CHECK_INT(quantity_ceil_milli(parse("1.0001")), 1001);
    CHECK(quantity_double(parse("250m")) == 0.25);
}

int main(void) {
    return TEST_RUN(TEST(test_canonical_form), TEST(test_refusals), TEST(test_arithmetic));
}
