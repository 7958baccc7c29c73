/* SPDX-License-Identifier: Apache-2.0 */
#include "model/labels.h"

#include "base/test.h"

static void test_set_and_get(void **state) {
    _cleanup_labels_ Labels labels = { 0 };
    CHECK_OK(labels_set(&labels, "ray.io/node-group", "small"));
    CHECK_OK(labels_set(&labels, "zone", ""));
    CHECK_OK(labels_set(&labels, "zone", "a"));
    CHECK_STR(labels_get(&labels, "zone"), "a");
    CHECK(labels_get(&labels, "zon") == NULL);
    CHECK_INT(labels_set(&labels, "-abc", "x"), -EINVAL);
    CHECK_INT(labels_set(&labels, "sub..domain/x", "x"), -EINVAL);
    CHECK_INT(labels_set(&labels, "prefix_/x", "x"), -EINVAL);
    CHECK_INT(labels_set(&labels, "ok", "my@label"), -EINVAL);
    CHECK_INT(labels_set(&labels, "", "x"), -EINVAL);
    CHECK_INT(labels.len, 2);
}

static void test_parse(void **state) {
    _cleanup_labels_ Labels labels = { 0 };
    CHECK_OK(labels_parse(&labels, "\"region = us , zone=a\""));
    CHECK_STR(labels_get(&labels, "region"), "us");
    CHECK_STR(labels_get(&labels, "zone"), "a");
    CHECK_OK(labels_parse(&labels, ""));
    CHECK_INT(labels_parse(&labels, "a=b=c"), -EINVAL);
    CHECK_INT(labels_parse(&labels, "new=1,bad"), -EINVAL);
    CHECK_INT(labels_parse(&labels, "new=1,"), -EINVAL);
    CHECK(labels_get(&labels, "new") == NULL);
}

static bool matches(const Labels *labels, const char *key, const char *condition) {
    _cleanup_label_selector_ LabelSelector selector = { 0 };
    CHECK_OK(label_selector_add(&selector, key, condition));
    return label_selector_matches(&selector, labels);
}

static void test_selector(void **state) {
    _cleanup_labels_ Labels labels = { 0 };
    CHECK_OK(labels_parse(&labels, "gpu=H100,zone=a"));
    CHECK(matches(&labels, "gpu", "H100"));
    CHECK(!matches(&labels, "gpu", "!H100"));
    CHECK(matches(&labels, "gpu", "!A100"));
    CHECK(matches(&labels, "gpu", "in(A100, H100)"));
    CHECK(matches(&labels, "gpu", "in(A100,H100)"));
    CHECK(!matches(&labels, "gpu", "!in(A100,H100)"));
    CHECK(matches(&labels, "none", "!in(A100)"));
    CHECK(!matches(&labels, "none", "in(A100)"));
    CHECK(matches(&labels, "gpu", "*") && !matches(&labels, "none", "*"));
    CHECK(!matches(&labels, "gpu", "!*") && matches(&labels, "none", "!*"));
    CHECK(!matches(&labels, "none", ""));

    _cleanup_label_selector_ LabelSelector both = { 0 }, copy = { 0 };
    CHECK(label_selector_matches(&both, &labels));
    CHECK_OK(label_selector_add(&both, "gpu", "in(H100)"));
    CHECK_OK(label_selector_add(&both, "zone", "b"));
    CHECK(!label_selector_matches(&both, &labels));
    label_selector_copy(&copy, &both);
    CHECK(label_selector_equal(&copy, &both));
    CHECK_OK(label_selector_add(&copy, "zone", "b"));
    CHECK(!label_selector_equal(&copy, &both));
}

static void test_selector_faults(void **state) {
    static const char *const bad[] = {
        "-spot", "spot_",     "in()",  "in(spot,", "in(H100, TPU!GPU)", "!!!in(H100, TPU)",
        "!",     "in(a,  b)", "out(a)"
    };
    _cleanup_label_selector_ LabelSelector selector = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_INT(label_selector_add(&selector, "k", bad[i]), -EINVAL);
    CHECK_INT(label_selector_add(&selector, "k/", "v"), -EINVAL);
    CHECK_INT(selector.len, 0);
}

int main(void) {
    return TEST_RUN(TEST(test_set_and_get), TEST(test_parse), TEST(test_selector),
                    TEST(test_selector_faults));
}
