/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/schema.h"

#include "base/test.h"
#include "kobj/testdata.h"

/* What kube-apiserver does with a body: its words, or the object with defaults. */
typedef struct Answer {
    int code;
    json_t *body; /* a Status, or the object */
    StrList unknown;
} Answer;

static const Schema *probe_schema(Arena *arena, const json_t *data) {
    const json_t *crd = json_array_get(json_array_get(json_object_get(data, "setup"), 0), 2);
    const json_t *version = json_array_get(json_at(crd, "spec", "versions"), 0);
    _cleanup_faults_ Faults faults = { 0 };
    const Schema *schema = NULL;

    int r = schema_from_openapi(arena, json_at(version, "schema", "openAPIV3Schema"), "schema",
                                &faults, &schema);
    if (r < 0) {
        _cleanup_free_ char *text = faults_text(&faults);
        fail_msg("%s", text);
    }
    return schema;
}

/* The steps of a create, as the API server does them. */
static Answer create(const Schema *schema, json_t *object) {
    _cleanup_faults_ Faults faults = { 0 };
    Answer answer = { .code = 201 };

    schema_prune(schema, object, &answer.unknown);
    schema_default(schema, object);
    schema_validate(schema, object, NULL, &faults);
    if (faults.len == 0) {
        answer.body = json_incref(object);
        return answer;
    }
    answer.code = 422;
    answer.body = status_new_invalid("kobj.test", "Probe", "p", &faults);
    return answer;
}

static void check_case(const Schema *schema, const json_t *item) {
    const json_t *request = json_array_get(json_object_get(item, "requests"), 0);
    const json_t *wanted = json_array_get(json_object_get(item, "answers"), 0);
    int64_t code = json_int_at(wanted, 0, "code");
    _cleanup_json_ json_t *object = json_deep_copy(json_array_get(request, 2));

    if (code == 400 || strstr(json_str_at(item, "name"), "meta") || !json_is_object(object))
        return; /* decoding and metadata have tests of their own */
    Answer answer = create(schema, object);
    bool good = answer.code == code;
    if (good && code == 422)
        good = testdata_same_causes(answer.body, json_object_get(wanted, "body"));
    else if (good)
        good = json_same(json_object_get(answer.body, "spec"), json_at(wanted, "body", "spec"));
    good = good && answer.unknown.len >= json_array_size(json_object_get(wanted, "warnings"));
    if (!good)
        testdata_fail(item, wanted, answer.code, answer.body);
    json_decref(answer.body);
    strlist_done(&answer.unknown);
}

static void test_as_recorded(void **state) {
    _cleanup_json_ json_t *data = testdata_load("schema.json");
    _cleanup_arena_ Arena arena = { 0 };
    const Schema *schema = probe_schema(&arena, data);
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(data, "cases"), i, item)
        check_case(schema, item);
}

static void test_rules_of_change(void **state) {
    _cleanup_json_ json_t *data = testdata_load("schema.json");
    _cleanup_arena_ Arena arena = { 0 };
    const Schema *schema = probe_schema(&arena, data);
    _cleanup_json_ json_t *old = json_pack("{s:{s:s}}", "spec", "celimm", "a");
    _cleanup_json_ json_t *new = json_pack("{s:{s:s}}", "spec", "celimm", "b");
    _cleanup_faults_ Faults faults = { 0 };

    schema_validate(schema, old, old, &faults);
    CHECK_INT(faults.len, 0);
    schema_validate(schema, new, old, &faults);
    CHECK_INT(faults.len, 1);
    CHECK_STR(faults.items[0].message, "Invalid value: \"string\": celimm is immutable");
}

static void test_unknown_fields_have_paths(void **state) {
    _cleanup_json_ json_t *data = testdata_load("schema.json");
    _cleanup_arena_ Arena arena = { 0 };
    const Schema *schema = probe_schema(&arena, data);
    _cleanup_strlist_ StrList unknown = { 0 };
    json_t *object = NULL;
    const char *text =
        "{\"kind\":\"Probe\",\"metadata\":{\"x\":1},\"bar\":1,\"spec\":{\"map\":[{\"x\":1}],"
        "\"free\":{\"y\":1},\"freep\":{\"in\":{\"z\":1},\"q\":1},\"dict\":{\"a\":1}}}";

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &object));
    schema_find_unknown(schema, object, &unknown);
    CHECK_INT(unknown.len, 3);
    CHECK_STR(unknown.items[0], "bar");
    CHECK_STR(unknown.items[1], "spec.freep.in.z");
    CHECK_STR(unknown.items[2], "spec.map[0].x");
    json_decref(object);
}

static void test_not_structural(void **state) {
    _cleanup_json_ json_t *data = testdata_load("kinds.json");
    json_t *item = testdata_case(data, "crd not structural");
    const json_t *crd = json_array_get(json_array_get(json_object_get(item, "requests"), 0), 2);
    const json_t *version = json_array_get(json_at(crd, "spec", "versions"), 0);
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_faults_ Faults faults = { 0 };
    const Schema *schema = NULL;

    CHECK_INT(schema_from_openapi(&arena, json_at(version, "schema", "openAPIV3Schema"),
                                  "spec.validation.openAPIV3Schema", &faults, &schema),
              -EINVAL);
    _cleanup_free_ char *text = faults_text(&faults);
    static const char *const wanted[] = {
        "properties[a].properties[b].type: Required value: must not be empty for specified",
        "properties[c].items: Required value: must be specified",
        "properties[d].additionalProperties: Forbidden: additionalProperties and properties",
        "properties[e].type: Unsupported value: \"weird\": supported values: \"array\"",
        "properties[g].pattern: Invalid value: \"[\": must be a valid regular expression",
        "properties[h].x-kubernetes-list-map-keys: Required value: must not be empty if",
        "properties[h].items.type: Invalid value: \"string\": must be object if parent",
        "properties[i].x-kubernetes-validations[0].rule: Invalid value",
    };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!strstr(text, wanted[i]))
            fail_msg("'%s' is not in %s", wanted[i], text);
}

int main(void) {
    return TEST_RUN(TEST(test_as_recorded), TEST(test_rules_of_change),
                    TEST(test_unknown_fields_have_paths), TEST(test_not_structural));
}
