/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/state_text.h"

#include "base/test.h"

static void check_yaml(const char *json, PyYaml style, const char *wanted) {
    _cleanup_json_ json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    _cleanup_buf_ Buf text = { 0 };
    assert_non_null(value);
    pyyaml_text(value, style, &text);
    CHECK_STR(text.data, wanted);
}

/* What PyYAML 6 writes for the same. */
static void test_yaml(void **state) {
    UNUSED(state);
    PyYaml wide = { .indent = 4, .document = true }, narrow = { .indent = 2, .sorted = true };
    check_yaml(
        "[{\"a\": 1, \"b\": {\"c\": [1, {\"d\": null}], \"e\": []}, \"f\": {}}]", wide,
        "---\n-   a: 1\n    b:\n        c:\n        - 1\n        -   d: null\n        e: []\n"
        "    f: {}\n...\n");
    check_yaml("{}", wide, "--- {}\n...\n");
    check_yaml("{\"b\": 1.0, \"a\": \"x\"}", narrow, "a: x\nb: 1.0\n");
    check_yaml("{\"1\": 9}", narrow, "'1': 9\n");
    static const char *const quoted[] = { "01000000", "",     "yes", "null", "1.5",        "0x1f",
                                          "- a",      "a: b", "#a",  "a #b", "2026-11-22", "1:30",
                                          "@x",       " a",   "=",   "{}" };
    static const char *const plain[] = { "a-b", "08", "1e5", "a:b", "1.2.3", "-a", "a#b", "nulls" };
    for (size_t i = 0; i < ARRAY_LEN(quoted); i++) {
        _cleanup_free_ char *json = str_printf("{\"k\": \"%s\"}", quoted[i]);
        _cleanup_free_ char *wanted = str_printf("k: '%s'\n", quoted[i]);
        check_yaml(json, narrow, wanted);
    }
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        _cleanup_free_ char *json = str_printf("{\"k\": \"%s\"}", plain[i]);
        _cleanup_free_ char *wanted = str_printf("k: %s\n", plain[i]);
        check_yaml(json, narrow, wanted);
    }
    check_yaml("{\"k\": \"it's: so\"}", narrow, "k: 'it''s: so'\n");
    check_yaml("{\"k\": \"one\\ntwo\"}", narrow, "k: 'one\n\n  two'\n");
    check_yaml("{\"k\": \"\\u001b[1m\\\"x\"}", narrow, "k: \"\\e[1m\\\"x\"\n");
    check_yaml("{\"k\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
               "cccccccccccccccccccccccccccc dddd eeee\"}",
               narrow,
               "k: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
               "cccccccccccccccccccccccccccc\n  dddd eeee\n");
}

static void test_tables(void **state) {
    UNUSED(state);
    _cleanup_json_ json_t *headers = json_pack("[s,s,s]", "NAME", "PID", "MORE");
    _cleanup_json_ json_t *rows =
        json_pack("[[s,i,{s:i,s:s}],[s,n,n]]", "first", 123456, "b", 1, "a", "x", "2nd");
    _cleanup_buf_ Buf plain = { 0 }, ruled = { 0 };
    table_text(headers, rows, (TableStyle){ 0 }, &plain);
    CHECK_STR(plain.data, "    NAME       PID  MORE\n"
                          " 0  first   123456  a: x\n"
                          "                    b: 1\n"
                          " 1  2nd");
    table_text(headers, rows, (TableStyle){ .ruled = true, .numbers_left = true }, &ruled);
    CHECK_STR(ruled.data, "    NAME    PID     MORE\n"
                          "--  ------  ------  ------\n"
                          "0   first   123456  a: x\n"
                          "                    b: 1\n"
                          "1   2nd");
}

static void test_values(void **state) {
    UNUSED(state);
    static const struct {
        double value;
        const char *text;
    } floats[] = { { 1, "1.0" },           { 0.1, "0.1" },
                   { 1e16, "1e+16" },      { 123456789, "123456789.0" },
                   { 1.5e-05, "1.5e-05" }, { 0.0, "0.0" } };
    for (size_t i = 0; i < ARRAY_LEN(floats); i++) {
        _cleanup_free_ char *text = python_float(floats[i].value);
        CHECK_STR(text, floats[i].text);
    }
    _cleanup_free_ char *memory = shown_memory(1000003), *unknown = shown_memory(-1);
    CHECK_STR(memory, "976.565 KiB");
    CHECK_STR(unknown, "-1.000 B");
    _cleanup_json_ json_t *row =
        json_pack("{s:{s:f,s:f}}", "resources_total", "CPU", 2.0, "memory", 2147483648.0);
    row_humanize(state_schema("nodes"), row);
    CHECK_STR(json_str_at(row, "resources_total", "memory"), "2.000 GiB");
}

int main(void) {
    return TEST_RUN(TEST(test_yaml), TEST(test_tables), TEST(test_values));
}
