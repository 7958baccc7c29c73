/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/selector.h"

#include "base/test.h"

static json_t *parse(const char *text) {
    json_t *value = NULL;

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &value));
    return value;
}

static void check_text(const char *text, const char *canonical) {
    _cleanup_(selector_freep) Selector *selector = NULL;

    CHECK_OK(selector_parse(text, &selector));
    _cleanup_free_ char *out = selector_text(selector);
    CHECK_STR(out, canonical);
}

static void check_match(const char *text, const char *labels, bool wanted) {
    _cleanup_(selector_freep) Selector *selector = NULL;
    _cleanup_json_ json_t *value = parse(labels);

    CHECK_OK(selector_parse(text, &selector));
    if (selector_matches(selector, value) != wanted)
        fail_msg("%s on %s is not %d", text, labels, wanted);
}

static void check_refused(const char *text) {
    Selector *selector = NULL;

    if (selector_parse(text, &selector) != -EINVAL)
        fail_msg("%s was accepted", text);
}

static void test_query_text(void **state) {
    check_text("", "");
    check_text("b=1, a==2", "a=2,b=1");
    check_text("x in (b,a), !y , z, w notin (c)", "w notin (c),x in (a,b),!y,z");
    check_text("n>5,m<3,e!=,f=", "e!=,f=,m<3,n>5");
    check_refused("a=b,");
    check_refused("a in b");
    check_refused("a in (b");
    check_refused("=a");
    check_refused("a b");
    check_refused("a=b=c");
    check_refused("-a=b");
    check_refused("a>x");
}

static void test_matching(void **state) {
    check_match("a=1,b!=2,c,!d", "{\"a\":\"1\",\"c\":\"\"}", true);
    check_match("a=1", "{\"a\":\"2\"}", false);
    check_match("a notin (1,2)", "{}", true);
    check_match("a in (1,2)", "{\"a\":\"2\"}", true);
    check_match("a>5", "{\"a\":\"6\"}", true);
    check_match("a>5", "{\"a\":\"x\"}", false);
    check_match("!a", "{\"a\":\"\"}", false);
}

static void test_label_selector(void **state) {
    _cleanup_json_ json_t *value =
        parse("{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":"
              "\"b\",\"operator\":\"NotIn\",\"values\":[\"x\"]}]}");
    _cleanup_json_ json_t *labels = parse("{\"a\":\"1\"}");
    _cleanup_(selector_freep) Selector *selector = NULL, *nothing = NULL;

    CHECK_OK(selector_from_json(value, &selector));
    CHECK(selector_matches(selector, labels));
    CHECK_OK(selector_from_json(NULL, &nothing));
    CHECK(!selector_matches(nothing, labels));
    CHECK(!selector_is_everything(nothing));

    _cleanup_json_ json_t *bad =
        parse("{\"matchExpressions\":[{\"key\":\"b\",\"operator\":\"Near\"}]}");
    Selector *none = NULL;
    CHECK_INT(selector_from_json(bad, &none), -EINVAL);
    CHECK_STR(error_text(-EINVAL), "\"Near\" is not a valid label selector operator");
}

static void test_fields(void **state) {
    static const char *const known[] = { "metadata.name", "spec.x", NULL };
    _cleanup_(field_selector_freep) FieldSelector *selector = NULL;
    _cleanup_json_ json_t *object =
        parse("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":\"p,q\",\"n\":true}}");

    CHECK_OK(
        field_selector_parse("metadata.name==a,spec.x=p\\,q,spec.n=true,spec.gone!=b", &selector));
    CHECK(field_selector_matches(selector, object));
    CHECK_STR(field_selector_unknown(selector, known), "spec.n");
    CHECK_STR(field_selector_required(selector, "metadata.name"), "a");
    CHECK(field_selector_required(selector, "spec.gone") == NULL);
    FieldSelector *bad = NULL;
    CHECK_INT(field_selector_parse("abc", &bad), -EINVAL);
    CHECK_INT(field_selector_parse("a=b=c", &bad), -EINVAL);
    CHECK_INT(field_selector_parse("a=\\x", &bad), -EINVAL);
}

int main(void) {
    return TEST_RUN(TEST(test_query_text), TEST(test_matching), TEST(test_label_selector),
                    TEST(test_fields));
}
