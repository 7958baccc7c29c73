/* SPDX-License-Identifier: Apache-2.0 */

/* {"object": {"kind": "Pod"...}, "patch": ...}: every way to change an object, on built-in kinds.
 * None of them may change its input, and what applies twice the same applies the same. */

#include "base/error.h"
#include "kobj/apply.h"
#include "kobj/kinds.h"
#include "kobj/patch.h"
#include "kobj/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_patches(const Schema *schema, const json_t *object, const json_t *patch) {
    _cleanup_json_ json_t *strategic = NULL, *operations = NULL;
    _cleanup_json_ json_t *merged = patch_merge(object, patch);
    _cleanup_json_ json_t *diff = patch_merge_diff(object, merged);

    (void)!patch_strategic(schema, object, patch, &strategic);
    (void)!patch_json(object, patch, &operations);
}

static void try_apply(const Schema *schema, const json_t *object, const json_t *config) {
    const ApplyWho who = { .manager = "m", .api_version = "v1", .subresource = "", .now = 0 };
    _cleanup_json_ json_t *out = NULL, *again = NULL, *status = NULL;

    if (!json_is_object(config) || !json_is_object(object))
        return;
    if (apply_merge(schema, object, config, &who, true, &out, &status) != 0)
        return;
    int r = apply_merge(schema, out, config, &who, true, &again, &status);
    ASSERT(r == 0);
    _cleanup_json_ json_t *tracked = json_deep_copy(config);
    apply_track_update(schema, out, tracked, &who);
}

static void try_kind(const KindInfo *kind, const json_t *object) {
    _cleanup_json_ json_t *copy = json_deep_copy(object);
    _cleanup_faults_ Faults faults = { 0 };
    _cleanup_(table_printer_freep) TablePrinter *printer =
        table_printer_new(kind->group, kind->kind, NULL);

    json_decref(table_render(printer, copy, NULL, TABLE_OBJECT, false, 0));
    if (schema_check_types(kind->schema, copy) < 0)
        return;
    schema_prune(kind->schema, copy, NULL);
    kinds_default(kind, copy);
    kinds_validate(kind, copy, object, &faults);
    json_decref(table_render(printer, copy, NULL, TABLE_METADATA, false, 0));
}

static const KindInfo *kind_of(const json_t *object) {
    for (size_t i = 0; i < kinds_count(); i++)
        if (str_eq(kinds_at(i)->kind, json_str_at(object, "kind")))
            return kinds_at(i);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 14, .values = 2000, .depth = 60 };
    _cleanup_json_ json_t *input = NULL;

    if (json_parse(data, size, &limits, 0, &input) < 0 || !json_is_object(input))
        return 0;
    const json_t *object = json_object_get(input, "object"),
                 *patch = json_object_get(input, "patch");
    const KindInfo *kind = kind_of(object);
    if (!kind || !patch)
        return 0;
    _cleanup_json_ json_t *before = json_deep_copy(input);
    try_patches(kind->schema, object, patch);
    try_apply(kind->schema, object, patch);
    try_kind(kind, object);
    ASSERT(json_equal(before, input));
    return 0;
}
