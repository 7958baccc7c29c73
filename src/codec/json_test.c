/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include "base/test.h"

static json_t *parse(const char *text) {
    json_t *value = NULL;

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &value));
    return value;
}

static void check_refused(const char *text, unsigned flags, int code, const char *sentence) {
    json_t *value = NULL;

    CHECK_INT(json_parse(text, strlen(text), NULL, flags, &value), code);
    CHECK(value == NULL);
    if (!strstr(error_text(code), sentence))
        fail_msg("'%s' does not say '%s'", error_text(code), sentence);
}

static void test_parse_refuses_with_a_place(void **state) {
    check_refused("{\"a\":\n  tru}", 0, -EINVAL, "line 2 column");
    check_refused("", 0, -EINVAL, "line 1 column 1");
    check_refused("{} {}", 0, -EINVAL, "end of file expected");
    check_refused("\"\\u0000\"", 0, -EINVAL, "\\u0000");
    check_refused("{\"a\":1,\"a\":2}", JSON_UNIQUE_KEYS, -EINVAL, "duplicate");
    check_refused("\"\xff\"", 0, -EINVAL, "unable to decode byte 0xff");
    check_refused("1e999", 0, -EINVAL, "overflow");
}

static void test_parse_keeps_limits(void **state) {
    const JsonLimits limits = { .bytes = 20, .values = 4, .depth = 2 };
    _cleanup_json_ json_t *value = NULL;

    CHECK_OK(json_parse("[[1],\"[[[\"]", 11, &limits, 0, &value));
    CHECK_INT(json_parse("[[[]]]", 6, &limits, 0, &value), -E2BIG);
    CHECK_INT(json_parse("[1,2,3,4,5]", 11, &limits, 0, &value), -E2BIG);
    CHECK_INT(json_parse("\"123456789012345678901\"", 23, &limits, 0, &value), -E2BIG);
}

static void test_numbers_beyond_64_bits_are_reals(void **state) {
    _cleanup_json_ json_t *value = parse("[9223372036854775807, 9223372036854775808]");

    CHECK(json_is_integer(json_array_get(value, 0)));
    CHECK(json_is_real(json_array_get(value, 1)));
}

static void test_paths(void **state) {
    _cleanup_json_ json_t *pod = parse("{\"spec\":{\"nodeName\":\"n1\",\"port\":2.0,\"on\":true}}");

    CHECK_STR(json_str_at(pod, "spec", "nodeName"), "n1");
    CHECK(json_str_at(pod, "spec", "port") == NULL);
    CHECK(json_str_at(pod, "spec", "nodeName", "deeper") == NULL);
    CHECK(json_str_at(NULL, "spec") == NULL);
    CHECK_INT(json_int_at(pod, 7, "spec", "port"), 2);
    CHECK_INT(json_int_at(pod, 7, "spec", "gone"), 7);
    CHECK(json_bool_at(pod, false, "spec", "on"));
    json_set_at(pod, json_string("Running"), "status", "phase");
    CHECK_STR(json_str_at(pod, "status", "phase"), "Running");
    CHECK(json_remove_at(pod, "status", "phase"));
    CHECK(!json_remove_at(pod, "status", "phase"));
}

static void check_encoded(const char *text, unsigned flags, const char *wanted) {
    _cleanup_json_ json_t *value = parse(text);
    _cleanup_free_ char *out = json_text(value, flags);

    CHECK_STR(out, wanted);
}

static void test_encode(void **state) {
    check_encoded("{\"b\":[1,2.5,null],\"a\":\"x\\n\\u0001\"}", 0,
                  "{\"b\":[1,2.5,null],\"a\":\"x\\n\\u0001\"}");
    check_encoded("{\"b\":1,\"a\":{}}", JSON_SORTED, "{\"a\":{},\"b\":1}");
    check_encoded("{\"b\":[1],\"a\":{}}", JSON_PRETTY4,
                  "{\n    \"b\": [\n        1\n    ],\n    \"a\": {}\n}");
    check_encoded("\"<a&b>\\u2028\"", JSON_GO, "\"\\u003ca\\u0026b\\u003e\\u2028\"");
    check_encoded("\"<a>\"", 0, "\"<a>\"");
    check_encoded("[1.0,0.1,1e21,1e-7,123456789012345680000.0,1e-6,5e-324,0.30000000000000004]",
                  JSON_GO,
                  "[1,0.1,1e+21,1e-7,123456789012345680000,0.000001,5e-324,0.30000000000000004]");
    check_encoded("[1.0,-2.0,0.5,1e300]", 0, "[1.0,-2.0,0.5,1e+300]");
}

static void test_same_ignores_number_kind(void **state) {
    _cleanup_json_ json_t *a = parse("{\"a\":[1,{\"b\":2.0}]}"),
                          *b = parse("{\"a\":[1.0,{\"b\":2}]}");
    _cleanup_json_ json_t *c = parse("{\"a\":[1,{\"b\":3}]}");

    CHECK(json_same(a, b));
    CHECK(!json_same(a, c));
}

static void test_duplicates_have_paths(void **state) {
    const char *text =
        "{\"a\":1,\"spec\":{\"c\":[{\"n\":1},{\"n\":1,\"n\":2,\"n\":3}],\"a\":\"a\"},"
        "\"\\u0061\":[[],\"]\"]}";
    _cleanup_strlist_ StrList found = { 0 };

    json_find_duplicates(text, strlen(text), &found);
    CHECK_INT(found.len, 2);
    CHECK_STR(found.items[0], "spec.c[1].n");
    CHECK_STR(found.items[1], "a");
}

int main(void) {
    return TEST_RUN(TEST(test_parse_refuses_with_a_place), TEST(test_parse_keeps_limits),
                    TEST(test_numbers_beyond_64_bits_are_reals), TEST(test_paths),
                    TEST(test_encode), TEST(test_same_ignores_number_kind),
                    TEST(test_duplicates_have_paths));
}
