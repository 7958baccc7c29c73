/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a unit test includes: cmocka, and checks that print both values.
 *     static void test_empty(void **state) { ... }
 *     int main(void) { return TEST_RUN(TEST(test_empty), TEST(test_full)); }
 */

/* cmocka.h needs these four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>

#include "base/base.h"
#include "base/error.h"

#define TEST(fn) cmocka_unit_test(fn)
#define TEST_RUN(...)                                                                              \
    ({                                                                                             \
        const struct CMUnitTest tests_[] = { __VA_ARGS__ };                                        \
        cmocka_run_group_tests(tests_, NULL, NULL);                                                \
    })

#define CHECK(x) assert_true(x)
#define CHECK_OK(x)                                                                                \
    do {                                                                                           \
        int r_ = (x);                                                                              \
        if (r_ != 0)                                                                               \
            fail_msg("%s gave %d: %s", #x, r_, error_text(r_));                                    \
    } while (0)
#define CHECK_INT(a, b)                                                                            \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_)                                                                              \
            fail_msg("%s is %lld, wanted %lld", #a, a_, b_);                                       \
    } while (0)
#define CHECK_STR(a, b)    assert_string_equal(a, b)
#define CHECK_MEM(a, b, n) assert_memory_equal(a, b, n)
