/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/patch.h"

#include "base/test.h"
#include "kobj/kinds.h"
#include "kobj/testdata.h"

/* PodTemplate is not served here, but its parts are: what the recorded patches are for. */
static Schema template_schema(SchemaField fields[static 2]) {
    const KindInfo *job = kinds_find("batch", "v1", "Job");
    const Schema *spec = schema_member(job->schema, "spec");

    fields[0] = (SchemaField){ "metadata", schema_member(job->schema, "metadata"), false };
    fields[1] = (SchemaField){ "template", schema_member(spec, "template"), false };
    return (Schema){ .type = SCHEMA_OBJECT,
                     .flags = SCHEMA_BUILTIN,
                     .max_count = -1,
                     .fields = fields,
                     .field_count = 2 };
}

static int apply(const Schema *schema, const json_t *object, const json_t *request,
                 json_t **ret_object) {
    const char *type = json_string_value(json_array_get(request, 3));
    const json_t *patch = json_array_get(request, 2);

    if (strstr(type, "json-patch"))
        return patch_json(object, patch, ret_object);
    if (strstr(type, "strategic"))
        return patch_strategic(schema, object, patch, ret_object);
    *ret_object = patch_merge(object, patch);
    return 0;
}

static void fill_pull_policy(json_t *object) {
    json_t *spec = json_at(object, "template", "spec"), *container;
    size_t i;

    json_array_foreach(json_object_get(spec, "containers"), i, container)
        if (!json_object_get(container, "imagePullPolicy"))
            json_object_set_new(container, "imagePullPolicy",
                                json_string(strchr(json_str_at(container, "image"), ':')
                                                ? "IfNotPresent"
                                                : "Always"));
}

/* All cases patch the object that the first one made: its finalizers keep it. */
static void check_case(const Schema *schema, const json_t *base, const json_t *item) {
    const json_t *wanted = json_array_get(json_object_get(item, "answers"), 1);
    int64_t code = json_int_at(wanted, 0, "code");
    const char *message = json_str_at(wanted, "body", "message");
    _cleanup_json_ json_t *object = NULL, *before = json_deep_copy(base);

    if (message && strstr(message, "is invalid: ") && !strstr(message, "cannot restore"))
        return; /* the patch applied; the result was refused for another reason */
    int r = apply(schema, base, json_array_get(json_object_get(item, "requests"), 1), &object);
    CHECK(json_same(before, base));
    if (r == 0)
        r = schema_check_types(schema, object);
    if ((r == 0) != (code == 200))
        fail_msg("%s: %d %s, wanted %lld", json_str_at(item, "name"), r, error_text(r),
                 (long long)code);
    if (r != 0)
        return;
    schema_normalize(schema, object);
    schema_default(schema, object);
    fill_pull_policy(object);
    if (!json_same(json_object_get(object, "template"), json_at(wanted, "body", "template")) ||
        !json_same(json_at(object, "metadata", "labels"),
                   json_at(wanted, "body", "metadata", "labels")))
        testdata_fail(item, wanted, r, object);
}

static void test_as_recorded(void **state) {
    _cleanup_json_ json_t *data = testdata_load("patch.json");
    json_t *cases = json_object_get(data, "cases"), *item;
    const json_t *first = json_array_get(json_object_get(json_array_get(cases, 0), "answers"), 0);
    SchemaField fields[2];
    const Schema schema = template_schema(fields);
    size_t i;

    json_array_foreach(cases, i, item)
        check_case(&schema, json_object_get(first, "body"), item);
}

static json_t *parse(const char *text) {
    json_t *value = NULL;

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &value));
    return value;
}

static void check_finalizers(const char *patch_text, const char *wanted) {
    SchemaField fields[2];
    const Schema schema = template_schema(fields);
    _cleanup_json_ json_t *object = parse("{\"metadata\":{\"finalizers\":[\"a/b\",\"c/d\"]}}");
    _cleanup_json_ json_t *patch = parse(patch_text), *result = NULL;

    CHECK_OK(patch_strategic(&schema, object, patch, &result));
    _cleanup_free_ char *text = json_text(json_at(result, "metadata", "finalizers"), 0);
    CHECK_STR(text, wanted);
}

static void test_lists_of_scalars(void **state) {
    check_finalizers("{\"metadata\":{\"finalizers\":[\"e/f\",\"a/b\"]}}",
                     "[\"e/f\",\"a/b\",\"c/d\"]");
    check_finalizers("{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"a/b\"]}}",
                     "[\"c/d\"]");
    check_finalizers("{\"metadata\":{\"$setElementOrder/finalizers\":[\"e/f\",\"c/d\",\"a/b\"],"
                     "\"finalizers\":[\"e/f\"]}}",
                     "[\"e/f\",\"c/d\",\"a/b\"]");
}

/* The examples of RFC 7386, appendix A. */
static void test_merge_patch(void **state) {
    static const char *const rows[][3] = {
        { "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
        { "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
        { "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
        { "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
        { "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
        { "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
        { "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
        { "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
        { "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
        { "{\"a\":\"foo\"}", "null", "null" },
        { "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
        { "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
        { "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_json_ json_t *object = parse(rows[i][0]), *patch = parse(rows[i][1]);
        _cleanup_json_ json_t *wanted = parse(rows[i][2]), *result = patch_merge(object, patch);
        CHECK(json_same(result, wanted));
    }
}

static void test_merge_diff_makes_the_patch(void **state) {
    _cleanup_json_ json_t *from = parse("{\"a\":1,\"b\":{\"c\":1,\"d\":2},\"e\":[1]}");
    _cleanup_json_ json_t *to = parse("{\"b\":{\"c\":1,\"d\":3,\"x\":4},\"e\":[1,2]}");
    _cleanup_json_ json_t *patch = patch_merge_diff(from, to);
    _cleanup_json_ json_t *result = patch_merge(from, patch), *none = patch_merge_diff(to, to);

    CHECK(json_same(result, to));
    CHECK(json_at(patch, "b", "c") == NULL);
    CHECK_INT(json_object_size(none), 0);
}

static void test_copies_are_bounded(void **state) {
    _cleanup_json_ json_t *object = parse("{\"a\":[1]}"), *operations = json_array(), *out = NULL;

    for (int i = 0; i < 60; i++)
        json_array_append_new(
            operations, json_pack("{s:s,s:s,s:s}", "op", "copy", "from", "/a", "path", "/a/-"));
    CHECK_INT(patch_json(object, operations, &out), -EINVAL);
    CHECK(strstr(error_text(-EINVAL), "copies too much"));
}

int main(void) {
    return TEST_RUN(TEST(test_as_recorded), TEST(test_lists_of_scalars), TEST(test_merge_patch),
                    TEST(test_merge_diff_makes_the_patch), TEST(test_copies_are_bounded));
}
