/* SPDX-License-Identifier: Apache-2.0 */

/* {"schema": ..., "object": ..., "old": ...}: a schema from outside on an object from outside. What
 * it lets through is stable: pruning and defaulting a second time change nothing. */

#include "kobj/schema.h"

#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_object(const Schema *schema, json_t *object, const json_t *old) {
    _cleanup_faults_ Faults faults = { 0 };
    _cleanup_strlist_ StrList unknown = { 0 };

    schema_prune(schema, object, NULL);
    schema_default(schema, object);
    _cleanup_json_ json_t *once = json_deep_copy(object);
    schema_validate(schema, object, old, &faults);
    _cleanup_free_ char *text = faults_text(&faults);
    schema_prune(schema, object, &unknown);
    schema_default(schema, object);
    (void)!schema_check_types(schema, object);
    if (faults.len == 0)
        ASSERT(json_same(once, object));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 14, .values = 2000, .depth = 60 };
    _cleanup_json_ json_t *input = NULL;
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_faults_ Faults faults = { 0 };
    const Schema *schema;

    if (json_parse(data, size, &limits, 0, &input) < 0 || !json_is_object(input))
        return 0;
    json_t *openapi = json_object_get(input, "schema");
    if (!json_is_object(openapi) || schema_from_openapi(&arena, openapi, "x", &faults, &schema) < 0)
        return 0;
    json_decref(schema_to_openapi(schema, NULL));
    if (json_is_object(json_object_get(input, "object")))
        try_object(schema, json_object_get(input, "object"), json_object_get(input, "old"));
    return 0;
}
