/* SPDX-License-Identifier: Apache-2.0 */
#include "model/resources.h"

#include "base/test.h"

static void put(ResourceSet *set, const char *name, const char *text) {
    Quantity q;
    CHECK_OK(resource_quantity_parse(text, &q));
    CHECK_OK(resources_set(set, name, q));
}

static void check_text(const ResourceSet *set, const char *want) {
    _cleanup_buf_ Buf out = { 0 };
    resources_format(set, &out);
    CHECK_STR(out.data, want);
}

static void test_text(void **state) {
    _cleanup_resources_ ResourceSet set = { 0 };
    check_text(&set, "{}");
    put(&set, "zeta", "0.00001");
    put(&set, "memory", "1e9");
    put(&set, "CPU", "0.5");
    put(&set, "accelerator_type:A100", "0.001");
    put(&set, "GPU", "0");
    check_text(&set, "{'CPU': 0.5, 'memory': 1000000000.0, 'accelerator_type:A100': 0.001, "
                     "'zeta': 0.0001}");
    CHECK_INT(resources_count(&set), 4);
    put(&set, "zeta", "0");
    CHECK_INT(resources_count(&set), 3);
}

static void test_parse_faults(void **state) {
    Quantity q = 7;
    CHECK_INT(resource_quantity_parse("-1", &q), -EINVAL);
    CHECK_INT(resource_quantity_parse("nan", &q), -EINVAL);
    CHECK_INT(resource_quantity_parse("inf", &q), -EINVAL);
    CHECK_INT(resource_quantity_parse("1 CPU", &q), -EINVAL);
    CHECK_INT(resource_quantity_parse("1e300", &q), -ERANGE);
    CHECK_INT(q, 7);
    _cleanup_resources_ ResourceSet set = { 0 };
    CHECK_INT(resources_set(&set, "", 1), -EINVAL);
    char name[RESOURCE_NAME_MAX + 2];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    CHECK_INT(resources_set(&set, name, 1), -EINVAL);
    CHECK_INT(resources_set(&set, "x", INT64_MAX), -ERANGE);
    for (int i = 0; i < RESOURCE_CUSTOM_MAX; i++) {
        snprintf(name, sizeof(name), "r%d", i);
        CHECK_OK(resources_set(&set, name, 1));
    }
    CHECK_INT(resources_set(&set, "one more", 1), -E2BIG);
}

static void test_tenths_add_up(void **state) {
    _cleanup_resources_ ResourceSet have = { 0 }, tenth = { 0 }, one = { 0 };
    put(&tenth, "CPU", "0.1");
    put(&tenth, "slot", "0.1");
    put(&one, "CPU", "1");
    put(&one, "slot", "1");
    for (int i = 0; i < 10; i++)
        resources_add(&have, &tenth);
    CHECK(resources_equal(&have, &one));
    CHECK_INT(resources_hash(&have), resources_hash(&one));
    for (int i = 0; i < 10; i++) {
        CHECK(resources_fit(&have, &tenth));
        resources_sub(&have, &tenth);
    }
    CHECK(resources_empty(&have));
    CHECK(!resources_fit(&have, &tenth));
}

static void test_fit_and_debt(void **state) {
    _cleanup_resources_ ResourceSet have = { 0 }, want = { 0 }, none = { 0 };
    put(&have, "CPU", "2");
    put(&want, "CPU", "1");
    put(&want, "gadget", "1");
    CHECK(resources_fit(&have, &none));
    CHECK(!resources_fit(&have, &want));
    put(&have, "gadget", "1");
    CHECK(resources_fit(&have, &want));
    resources_sub(&have, &want);
    resources_sub(&have, &want);
    CHECK_INT(resources_get(&have, "gadget"), -QUANTITY_ONE);
    CHECK(resources_fit(&have, &none));
    resources_add(&have, &want);
    CHECK_INT(resources_get(&have, "gadget"), 0);
    CHECK_INT(resources_get(&have, "CPU"), QUANTITY_ONE);
}

static void test_copy(void **state) {
    _cleanup_resources_ ResourceSet a = { 0 }, b = { 0 };
    put(&a, "b", "1");
    put(&a, "a", "2");
    put(&b, "old", "1");
    resources_copy(&b, &a);
    CHECK(resources_equal(&a, &b));
    resources_clear(&a);
    check_text(&b, "{'a': 2.0, 'b': 1.0}");
}

int main(void) {
    return TEST_RUN(TEST(test_text), TEST(test_parse_faults), TEST(test_tenths_add_up),
                    TEST(test_fit_and_debt), TEST(test_copy));
}
