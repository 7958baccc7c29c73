/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/cel.h"

#include "base/test.h"

static json_t *parse(const char *text) {
    json_t *value = NULL;

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &value));
    return value;
}

static const char self_text[] =
    "{\"a\":\"xy\",\"n\":5,\"l\":[1,2,3],\"o\":{\"k\":\"v\"},\"t\":true,"
    "\"z\":null,\"d-e\":1}";

/* 1, 0, or a negative code. */
static int result(const char *rule) {
    _cleanup_json_ json_t *self = parse(self_text), *old = parse("{\"n\":4}");
    _cleanup_arena_ Arena arena = { 0 };
    const CelExpr *expr;
    bool good;

    int r = cel_compile(&arena, rule, &expr);
    if (r == 0)
        r = cel_evaluate(expr, self, old, &good);
    return r < 0 ? r : good;
}

static void check(const char *rule, int wanted) {
    int r = result(rule);

    if (r != wanted)
        fail_msg("%s is %d (%s), wanted %d", rule, r, r < 0 ? error_text(r) : "", wanted);
}

static void test_operators(void **state) {
    check("self.n == 5 && self.a != 'x' || false", 1);
    check("!(self.n > 5) && self.n >= 5 && self.n <= 5 && !(self.n < 5)", 1);
    check("1 + 2 * 3 - 4 / 2 == 5 && 7 % 4 == 3 && -self.n == 0 - 5", 1);
    check("self.a + 'z' == \"xyz\"", 1);
    check("self.n in [1, 5] && !(self.n in []) && 'k' in self.o", 1);
    check("self.t ? self.n == 5 : self.n == 6", 1);
    check("self.l[1] == 2 && self.o['k'] == 'v'", 1);
    check("self.n == oldSelf.n + 1", 1);
    check("self.d__dash__e == 1", 1);
}

static void test_functions(void **state) {
    check("has(self.a) && !has(self.gone) && !has(self.z) && has(self.o.k)", 1);
    check("size(self.l) == 3 && self.a.size() == 2 && size(self.o) == 1", 1);
    check("self.a.startsWith('x') && self.a.endsWith('y') && self.a.contains('xy')", 1);
    check("self.a.matches('^x.$') && !self.a.matches('^y')", 1);
    check("string(self.n) == '5' && int('7') == 7 && double('1.5') == 1.5", 1);
}

static void test_errors(void **state) {
    static const char *const refused[] = {
        "self +",  "self.n = 5", "foo",   "self.l.map(x, x)", "has(self)", "(self.n", "'abc",
        "self..n", "size(1, 2)", "[1, 2", "self.n 5",         ""
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        check(refused[i], -EINVAL);
    check("self.gone == 1", -EINVAL);
    check("self.gone == 1 || true", 1); /* the other side decides */
    check("self.gone == 1 && false", 0);
    check("self.n", -EINVAL);
    check("self.n / 0 == 1", -EINVAL);
    check("self.l[7] == 1", -EINVAL);
    check("self.a < 5", -EINVAL);
    check("9223372036854775807 + 1 > 0", -EINVAL);
    CHECK_INT(result("foo == 1"), -EINVAL);
    CHECK(strstr(error_text(-EINVAL), "undeclared reference to 'foo'"));
}

static void test_depth_is_bounded(void **state) {
    _cleanup_buf_ Buf deep = { 0 };

    for (int i = 0; i < 5000; i++)
        buf_add_char(&deep, '(');
    check(deep.data, -EINVAL);
    buf_clear(&deep);
    for (int i = 0; i < 5000; i++)
        buf_add_char(&deep, '!');
    check(deep.data, -EINVAL);
}

int main(void) {
    return TEST_RUN(TEST(test_operators), TEST(test_functions), TEST(test_errors),
                    TEST(test_depth_is_bounded));
}
