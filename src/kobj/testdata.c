/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/testdata.h"

#include "base/fd.h"
#include "base/test.h"

json_t *testdata_load(const char *name) {
    const JsonLimits limits = { .bytes = 16u << 20, .values = 2000000, .depth = 200 };
    _cleanup_free_ char *path = str_printf("%s/%s", KOBJ_TESTDATA, name);
    _cleanup_buf_ Buf text = { 0 };
    json_t *data = NULL;

    CHECK_OK(file_read(path, limits.bytes, &text));
    CHECK_OK(json_parse(text.data, text.len, &limits, 0, &data));
    return data;
}

json_t *testdata_case(const json_t *data, const char *name) {
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(data, "cases"), i, item)
        if (str_eq(json_str_at(item, "name"), name))
            return item;
    fail_msg("no case %s", name);
    return NULL;
}

static StrList causes(const json_t *status) {
    StrList out = { 0 };
    size_t i;
    json_t *cause;

    json_array_foreach(json_at(status, "details", "causes"), i, cause)
        strlist_take(&out, json_text(cause, JSON_SORTED));
    strlist_sort(&out);
    return out;
}

bool testdata_same_causes(const json_t *a, const json_t *b) {
    _cleanup_strlist_ StrList left = causes(a), right = causes(b);
    bool same = left.len == right.len;

    for (size_t i = 0; same && i < left.len; i++)
        same = str_eq(left.items[i], right.items[i]);
    return same;
}

void testdata_fail(const json_t *item, const json_t *wanted, int code, const json_t *body) {
    _cleanup_free_ char *want = json_text(wanted, JSON_SORTED),
                        *have = json_text(body, JSON_SORTED);

    /* cmocka cuts its messages. */
    fprintf(stderr, "ERROR: %s:\nwanted %s\ncame %d %s\n", json_str_at(item, "name"), want, code,
            have);
    fail_msg("%s is not as recorded", json_str_at(item, "name"));
}
