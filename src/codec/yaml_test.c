/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml.h"

#include "base/test.h"

static void check_reads(const char *text, const char *wanted) {
    _cleanup_json_ json_t *documents = NULL;

    CHECK_OK(yaml_parse_all(text, strlen(text), NULL, &documents));
    _cleanup_free_ char *out = json_text(documents, JSON_GO);
    CHECK_STR(out, wanted);
}

static void check_refused(const char *text, int code, const char *sentence) {
    json_t *documents = NULL;

    CHECK_INT(yaml_parse_all(text, strlen(text), NULL, &documents), code);
    CHECK(documents == NULL);
    if (!strstr(error_text(code), sentence))
        fail_msg("'%s' does not say '%s'", error_text(code), sentence);
}

static void test_scalars_are_yaml_1_1(void **state) {
    check_reads("[yes, No, on, OFF, y, n, True, ~, null, '', \"yes\"]",
                "[[true,false,true,false,true,false,true,null,null,\"\",\"yes\"]]");
    check_reads("[0777, 0o17, 0x1F, 0b101, 1_000, +5, -0x10, 08, 1.0, 1e3, .5, 1., 1.5e-3]",
                "[[511,15,31,5,1000,5,-16,8,1,1000,0.5,1,0.0015]]");
    check_reads("[12:30, 2001-01-02, 2001-01-02T03:04:05Z, 1.2.3, 1e, 0x, +, ., 1-2, 100m]",
                "[[\"12:30\",\"2001-01-02\",\"2001-01-02T03:04:05Z\",\"1.2.3\",\"1e\",\"0x\",\"+\","
                "\".\",\"1-2\",\"100m\"]]");
    check_reads("{1: a, 1.5: b, yes: c, x: ! 5, z: !!int \"3\", w: !!binary aGk=, v: !u 7}",
                "[{\"1\":\"a\",\"1.5\":\"b\",\"true\":\"c\",\"x\":\"5\",\"z\":3,\"w\":\"hi\","
                "\"v\":\"7\"}]");
    check_refused("a: .nan", -EINVAL, "line 1 column 4");
    check_refused("a: !!int x", -EINVAL, "`x`");
    check_refused("{~: 1}", -EINVAL, "key");
}

static void test_documents(void **state) {
    check_reads("", "[]");
    check_reads("# nothing\n", "[]");
    check_reads("---\na: 1\n---\n---\nb: |\n  x\n  y\n...\n",
                "[{\"a\":1},null,{\"b\":\"x\\ny\\n\"}]");
    check_reads("{\"a\": [1, \"b\\u00e9\"]}", "[{\"a\":[1,\"b\xc3\xa9\"]}]");
    json_t *value = NULL;
    CHECK_INT(yaml_parse("a\n---\nb\n", 8, NULL, &value), -EINVAL);
    CHECK_INT(yaml_parse("# nothing\n", 10, NULL, &value), -EINVAL);
    CHECK_INT(yaml_parse_or_null("a\n---\nb\n", 8, NULL, &value), -EINVAL);
    CHECK(value == NULL);
    CHECK_OK(yaml_parse_or_null("# nothing\n", 10, NULL, &value));
    CHECK(json_is_null(value));
    CHECK_OK(yaml_parse_or_null("", 0, NULL, &value));
    CHECK(json_is_null(value));
    CHECK_OK(yaml_parse_or_null("a # one\n", 8, NULL, &value));
    CHECK_STR(json_string_value(value), "a");
    json_decref(value);
}

static void test_anchors_and_merges(void **state) {
    check_reads("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  p: 3\nd:\n  p: 3\n  <<: *x\n",
                "[{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":2},\"c\":{\"p\":3,\"q\":2},"
                "\"d\":{\"p\":1,\"q\":2}}]");
    check_reads("a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n",
                "[{\"a\":{\"p\":1},\"b\":{\"p\":2,\"q\":2},\"c\":{\"p\":1,\"q\":2}}]");
    check_refused("a: *gone", -EINVAL, "unknown anchor 'gone'");
    check_refused("&a [*a]", -EINVAL, "unknown anchor 'a'");
    check_refused("{<<: 5}", -EINVAL, "merges mappings");
}

static void test_billion_laughs_are_refused(void **state) {
    _cleanup_buf_ Buf text = { 0 };

    buf_add_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++)
        buf_printf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    check_refused(text.data, -E2BIG, "too many values");
}

/* kubectl reads them so as well: what it then sends has the keys "false" and "true". */
static void test_boolean_keys_are_noted(void **state) {
    static const char text[] = "a:\n  n: 1\n  'no': 2\n  true: 3\nOn: 4\n";
    _cleanup_json_ json_t *documents = NULL;
    _cleanup_strlist_ StrList notes = { 0 };
    CHECK_OK(yaml_parse_all_noting(text, strlen(text), NULL, &notes, &documents));
    _cleanup_free_ char *read = json_text(documents, 0);
    CHECK_STR(read, "[{\"a\":{\"false\":1,\"no\":2,\"true\":3},\"true\":4}]");
    CHECK_INT(notes.len, 2);
    CHECK_STR(notes.items[0], "line 2 column 3: YAML reads the key n as the boolean false; write "
                              "\"n\" in quotes to mean the word");
    CHECK_STR(notes.items[1], "line 5 column 1: YAML reads the key On as the boolean true; write "
                              "\"On\" in quotes to mean the word");
    check_refused("n: 1\nno: 2\n", -EINVAL,
                  "line 2 column 1: key no, which YAML reads as the boolean false, already set in "
                  "map");
}

static void test_refusals_have_a_place(void **state) {
    check_refused("a: 1\nb: 2\na: 3\n", -EINVAL, "line 3 column 1: key \"a\" already set in map");
    check_refused("a:\n\t- 1\n", -EINVAL, "line 2 column 1");
    check_refused("a: [1\n", -EINVAL, "line 2");
    check_refused("a: \xff\n", -EINVAL, "byte 3");
    _cleanup_buf_ Buf deep = { 0 };
    for (int i = 0; i < 2000; i++)
        buf_add_char(&deep, '[');
    check_refused(deep.data, -E2BIG, "nested too deeply");
}

static void check_writes(const char *json, const char *wanted) {
    _cleanup_json_ json_t *value = NULL;
    _cleanup_buf_ Buf out = { 0 };

    CHECK_OK(json_parse(json, strlen(json), NULL, 0, &value));
    yaml_encode(value, &out);
    CHECK_STR(out.data, wanted);
}

static void test_writes_as_kubectl(void **state) {
    check_writes("{\"b\":[{\"x\":1,\"a\":[]},\"s\"],\"a\":{},\"c\":null,\"d\":0.5,\"e\":true}",
                 "a: {}\nb:\n- a: []\n  x: 1\n- s\nc: null\nd: 0.5\ne: true\n");
    check_writes(
        "{\"a\":\"yes\",\"b\":\"12\",\"c\":\"\",\"d\":\"a: b\",\"e\":\"x\\ny\\n\",\"f\":\"12:30\","
        "\"g\":\"2001-01-02\",\"h\":\"100m\",\"i\":\"- x\",\"j\":\" x\"}",
        "a: \"yes\"\nb: \"12\"\nc: \"\"\nd: 'a: b'\ne: |\n  x\n  y\nf: \"12:30\"\n"
        "g: \"2001-01-02\"\nh: 100m\ni: '- x'\nj: ' x'\n");
    check_writes("{\"<<\":\"<<\"}", "\"<<\": \"<<\"\n");
    check_writes("{\"a10\":1,\"a2\":2,\"a_b\":3,\"A\":4,\"yes\":5,\"1\":6}",
                 "\"1\": 6\nA: 4\na_b: 3\na2: 2\na10: 1\n\"yes\": 5\n");
}

int main(void) {
    return TEST_RUN(TEST(test_scalars_are_yaml_1_1), TEST(test_documents),
                    TEST(test_anchors_and_merges), TEST(test_billion_laughs_are_refused),
                    TEST(test_boolean_keys_are_noted), TEST(test_refusals_have_a_place),
                    TEST(test_writes_as_kubectl));
}
