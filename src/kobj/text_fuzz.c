/* SPDX-License-Identifier: Apache-2.0 */

/* One text to each of the small parsers: quantities, selectors, JSONPath, CEL, names. */

#include "base/error.h"
#include "kobj/cel.h"
#include "kobj/jsonpath.h"
#include "kobj/names.h"
#include "kobj/quantity.h"
#include "kobj/schema_private.h"
#include "kobj/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A quantity's canonical text is its own canonical text. */
static void try_quantity(const char *text) {
    char once[QUANTITY_TEXT_MAX], twice[QUANTITY_TEXT_MAX];
    Quantity quantity, again;

    if (quantity_parse(text, &quantity) < 0)
        return;
    quantity_format(quantity, once);
    ASSERT(quantity_parse(once, &again) == 0);
    ASSERT(quantity_compare(quantity, again) == 0);
    quantity_format(again, twice);
    ASSERT(str_eq(once, twice));
}

static void try_selectors(const char *text, const json_t *object) {
    _cleanup_(selector_freep) Selector *labels = NULL, *again = NULL;
    _cleanup_(field_selector_freep) FieldSelector *fields = NULL;

    if (selector_parse(text, &labels) == 0) {
        _cleanup_free_ char *canonical = selector_text(labels);
        bool matched = selector_matches(labels, object);
        ASSERT(selector_parse(canonical, &again) == 0);
        ASSERT(selector_matches(again, object) == matched);
    }
    if (field_selector_parse(text, &fields) == 0)
        (void)field_selector_matches(fields, object);
}

static void try_path(const char *text, const json_t *object) {
    _cleanup_(jsonpath_freep) JsonPath *path = NULL;
    _cleanup_json_ json_t *found = json_array();

    if (jsonpath_compile(text, &path) == 0)
        jsonpath_find(path, object, found);
}

static void try_rule(const char *text, const json_t *object) {
    _cleanup_arena_ Arena arena = { 0 };
    const CelExpr *rule;
    bool result;

    if (cel_compile(&arena, text, &rule) == 0)
        (void)!cel_evaluate(rule, object, object, &result);
}

static void try_names(const char *text) {
    (void)name_check_dns1123_subdomain(text);
    (void)name_check_dns1035_label(text);
    (void)name_check_qualified(text);
    (void)name_check_label_value(text);
    (void)name_check_config_key(text);
    (void)name_check_port_name(text, 1);
    (void)format_matches("duration", text);
    (void)format_matches("date-time", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_free_ char *text =
        str_dup_slice((Slice){ (const char *)data, MIN(size, (size_t)512) });
    _cleanup_json_ json_t *object = json_pack("{s:s, s:i, s:[i,s,{s:s}], s:{s:b}}", "a", "b", "n",
                                              5, "l", 1, "x", "t", "v", "o", "y", 1);

    try_quantity(text);
    try_selectors(text, object);
    try_path(text, object);
    try_rule(text, object);
    try_names(text);
    return 0;
}
