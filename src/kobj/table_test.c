/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/table.h"

#include "base/clock.h"
#include "base/test.h"
#include "kobj/jsonpath.h"
#include "kobj/meta.h"
#include "kobj/testdata.h"

/* When the recording was made: an age is then what the server said. */
static usec_t recorded_at(const json_t *object) {
    usec_t at = 0;

    CHECK_OK(time_parse_rfc3339(json_str_at(object, "metadata", "creationTimestamp"), &at));
    return at;
}

static bool same_cell(const char *column, const json_t *came, const json_t *wanted) {
    /* The server's clock went on by up to a second, which an age of today shows. */
    bool age = str_eq(column, "Age") || str_eq(column, "Duration");

    return json_same(came, wanted) ||
           (age && json_string_length(came) == 2 && json_string_length(wanted) == 2);
}

static json_t *columns_of(const char *name) {
    _cleanup_json_ json_t *data = testdata_load("schema.json");
    const json_t *crd = json_array_get(json_array_get(json_object_get(data, "setup"), 0), 2);

    if (!str_starts(name, "Probe"))
        return NULL;
    return json_incref(
        json_at(json_array_get(json_at(crd, "spec", "versions"), 0), "additionalPrinterColumns"));
}

static void check_case(const json_t *item) {
    const json_t *object = json_object_get(item, "object");
    const json_t *columns = json_object_get(item, "columns"),
                 *wanted = json_object_get(item, "cells");
    _cleanup_free_ char *group = NULL, *version = NULL;
    _cleanup_json_ json_t *crd_columns = columns_of(json_str_at(item, "name"));

    api_version_split(obj_api_version(object), &group, &version);
    _cleanup_(table_printer_freep) TablePrinter *printer =
        table_printer_new(group, obj_kind(object), crd_columns);
    _cleanup_json_ json_t *table =
        table_render(printer, object, NULL, TABLE_METADATA, false, recorded_at(object));
    const json_t *row = json_array_get(json_object_get(table, "rows"), 0);
    const json_t *cells = json_object_get(row, "cells");
    const json_t *definitions = json_object_get(table, "columnDefinitions");
    bool same = json_array_size(cells) == json_array_size(wanted) &&
                json_array_size(columns) == json_array_size(definitions);
    for (size_t i = 0; same && i < json_array_size(cells); i++) {
        const json_t *want = json_array_get(columns, i), *have = json_array_get(definitions, i);
        const char *name = json_str_at(want, "name");
        same = str_eq(name, json_str_at(have, "name")) &&
               str_eq(json_str_at(want, "type"), json_str_at(have, "type")) &&
               json_int_at(want, 0, "priority") == json_int_at(have, 0, "priority") &&
               same_cell(name, json_array_get(cells, i), json_array_get(wanted, i));
    }
    if (!same)
        testdata_fail(item, wanted, 0, cells);
}

static void test_as_recorded(void **state) {
    _cleanup_json_ json_t *data = testdata_load("table.json");
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(data, "cases"), i, item)
        check_case(item);
}

static void test_ages(void **state) {
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = { { -5, "<invalid>" },  { -1, "0s" },       { 0, "0s" },
                 { 119, "119s" },      { 120, "2m" },      { 125, "2m5s" },
                 { 600, "10m" },       { 10799, "179m" },  { 10800, "3h" },
                 { 11100, "3h5m" },    { 28800, "8h" },    { 172799, "47h" },
                 { 172800, "2d" },     { 176400, "2d1h" }, { 691200, "8d" },
                 { 63071999, "729d" }, { 63072000, "2y" }, { 63158400, "2y1d" },
                 { 315360000, "10y" } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _cleanup_free_ char *text = table_age(rows[i].seconds * USEC_PER_SEC);
        CHECK_STR(text, rows[i].text);
    }
}

static void test_restarts_say_when(void **state) {
    _cleanup_json_ json_t *pod = NULL;
    const char *text = "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":"
                       "\"2026-01-01T00:00:00Z\"},\"status\":{\"phase\":\"Running\","
                       "\"containerStatuses\":[{\"restartCount\":2,\"lastState\":{\"terminated\":{"
                       "\"finishedAt\":\"2026-01-01T00:00:00Z\"}}}]}}";
    usec_t now;

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &pod));
    CHECK_OK(time_parse_rfc3339("2026-01-01T00:03:05Z", &now));
    _cleanup_(table_printer_freep) TablePrinter *printer = table_printer_new("", "Pod", NULL);
    _cleanup_json_ json_t *table = table_render(printer, pod, NULL, TABLE_NONE, true, now);
    const json_t *cells = json_at(json_array_get(json_object_get(table, "rows"), 0), "cells");
    CHECK_STR(json_string_value(json_array_get(cells, 2)), "Terminating");
    CHECK_STR(json_string_value(json_array_get(cells, 3)), "2 (3m5s ago)");
    CHECK(json_is_null(json_object_get(table, "columnDefinitions")));
}

static void check_path(const char *path_text, const char *wanted) {
    const char *text = "{\"a\":{\"b.c\":[1,2,{\"t\":\"x\",\"v\":5},{\"t\":\"y\",\"v\":7}]}}";
    _cleanup_(jsonpath_freep) JsonPath *path = NULL;
    _cleanup_json_ json_t *value = NULL, *found = json_array();

    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &value));
    CHECK_OK(jsonpath_compile(path_text, &path));
    jsonpath_find(path, value, found);
    _cleanup_free_ char *out = json_text(found, 0);
    CHECK_STR(out, wanted);
}

static void test_paths(void **state) {
    check_path(".a['b.c'][0]", "[1]");
    check_path("{.a.b\\.c[-1].t}", "[\"y\"]");
    check_path(".a['b.c'][*].v", "[5,7]");
    check_path(".a['b.c'][?(@.t==\"y\")].v", "[7]");
    check_path(".a['b.c'][?(@.v>5)].t", "[\"y\"]");
    check_path(".a['b.c'][?(@.v)].t", "[\"x\",\"y\"]");
    check_path(".nope.x", "[]");
    static const char *const refused[] = { "a", ".a[", ".a[?(@.b", ".a..b", ".a['b", ".a[x]" };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        JsonPath *path = NULL;
        CHECK_INT(jsonpath_compile(refused[i], &path), -EINVAL);
    }
}

int main(void) {
    return TEST_RUN(TEST(test_as_recorded), TEST(test_ages), TEST(test_restarts_say_when),
                    TEST(test_paths));
}
