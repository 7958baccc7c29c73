/* SPDX-License-Identifier: Apache-2.0 */

/* A Schema told as OpenAPI v3. */

#include "kobj/schema_private.h"

static json_t *tell(const Schema *schema, json_t *refs);

static void set_text(json_t *out, const char *key, const char *text) {
    if (text)
        json_object_set_new(out, key, json_string(text));
}

static void tell_type(const Schema *schema, json_t *out) {
    static const char *const names[] = {
        [SCHEMA_OBJECT] = "object",   [SCHEMA_ARRAY] = "array",   [SCHEMA_STRING] = "string",
        [SCHEMA_INTEGER] = "integer", [SCHEMA_NUMBER] = "number", [SCHEMA_BOOLEAN] = "boolean",
    };
    bool builtin = schema->flags & SCHEMA_BUILTIN;

    switch (schema->type) {
    case SCHEMA_ANY:
        break;
    case SCHEMA_QUANTITY:
        json_object_set_new(out, "oneOf",
                            json_pack("[{s:s}, {s:s}]", "type", "string", "type", "number"));
        break;
    case SCHEMA_INT_OR_STRING:
        set_text(out, "format", builtin ? "int-or-string" : NULL);
        json_object_set_new(out, builtin ? "oneOf" : "anyOf",
                            json_pack("[{s:s}, {s:s}]", "type", "integer", "type", "string"));
        if (!builtin)
            json_object_set_new(out, "x-kubernetes-int-or-string", json_true());
        break;
    default:
        set_text(out, "type", names[schema->type]);
    }
}

/* The formats of built-in fields that are checks of ours stay inside. */
static const char *public_format(const Schema *schema) {
    static const char *const known[] = { "date-time", "byte", "int32", "int64", "double", "float" };

    if (!(schema->flags & SCHEMA_BUILTIN))
        return schema->format;
    if (str_eq(schema->format, "microtime"))
        return "date-time";
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i], schema->format))
            return known[i];
    return NULL;
}

static json_t *tell_names(const char *const *names, bool as_json) {
    json_t *list = json_array();

    for (; names && *names; names++)
        json_array_append_new(list, as_json ? json_loads(*names, JSON_DECODE_ANY, NULL)
                                            : json_string(*names));
    return list;
}

static void tell_number(json_t *out, const char *key, double number) {
    bool whole = number == (double)(json_int_t)number;

    json_object_set_new(out, key, whole ? json_integer((json_int_t)number) : json_real(number));
}

/* Bounds of built-in kinds are not part of Kubernetes' documents. */
static void tell_bounds(const Schema *schema, json_t *out) {
    const char *of = schema->type == SCHEMA_ARRAY    ? "Items"
                     : schema->type == SCHEMA_OBJECT ? "Properties"
                                                     : "Length";
    _cleanup_free_ char *least = str_printf("min%s", of), *most = str_printf("max%s", of);

    if (schema->flags & SCHEMA_BUILTIN)
        return;
    if (schema->min_count > 0)
        json_object_set_new(out, least, json_integer(schema->min_count));
    if (schema->max_count >= 0)
        json_object_set_new(out, most, json_integer(schema->max_count));
    if (schema->flags & SCHEMA_HAS_MIN)
        tell_number(out, "minimum", schema->minimum);
    if (schema->flags & SCHEMA_HAS_MAX)
        tell_number(out, "maximum", schema->maximum);
    if (schema->multiple_of > 0)
        tell_number(out, "multipleOf", schema->multiple_of);
    if (schema->flags & SCHEMA_EXCLUSIVE_MIN)
        json_object_set_new(out, "exclusiveMinimum", json_true());
    if (schema->flags & SCHEMA_EXCLUSIVE_MAX)
        json_object_set_new(out, "exclusiveMaximum", json_true());
    set_text(out, "pattern", schema->pattern);
}

static void tell_list(const Schema *schema, json_t *out) {
    static const char *const names[] = {
        [SCHEMA_LIST_ATOMIC] = "atomic", [SCHEMA_LIST_SET] = "set", [SCHEMA_LIST_MAP] = "map"
    };
    bool merge = schema->flags & SCHEMA_PATCH_MERGE, retain = schema->flags & SCHEMA_RETAIN_KEYS;

    if (schema->type == SCHEMA_ARRAY)
        set_text(out, "x-kubernetes-list-type", names[schema->list]);
    if (schema->list_keys)
        json_object_set_new(out, "x-kubernetes-list-map-keys",
                            tell_names(schema->list_keys, false));
    set_text(out, "x-kubernetes-patch-merge-key", schema->patch_key);
    if (merge || retain)
        set_text(out, "x-kubernetes-patch-strategy",
                 merge && retain ? "merge,retainKeys"
                 : merge         ? "merge"
                                 : "retainKeys");
}

static void tell_extensions(const Schema *schema, json_t *out) {
    tell_list(schema, out);
    if (schema->flags & SCHEMA_ATOMIC)
        set_text(out, "x-kubernetes-map-type", "atomic");
    if (schema->flags & SCHEMA_BUILTIN)
        return;
    if (schema->flags & SCHEMA_NULLABLE && schema != &schema_anything)
        json_object_set_new(out, "nullable", json_true());
    if (schema->flags & SCHEMA_PRESERVE_UNKNOWN)
        json_object_set_new(out, "x-kubernetes-preserve-unknown-fields", json_true());
    if (schema->flags & SCHEMA_EMBEDDED)
        json_object_set_new(out, "x-kubernetes-embedded-resource", json_true());
}

static void tell_rules(const Schema *schema, json_t *out) {
    json_t *list;

    if (schema->rule_count == 0)
        return;
    list = json_make_array(out, "x-kubernetes-validations");
    for (size_t i = 0; i < schema->rule_count; i++) {
        json_t *rule = json_object();
        set_text(rule, "rule", schema->rules[i].rule);
        set_text(rule, "message", schema->rules[i].message);
        set_text(rule, "reason", schema->rules[i].reason);
        set_text(rule, "fieldPath", schema->rules[i].field_path);
        json_array_append_new(list, rule);
    }
}

static void tell_logic_list(json_t *out, const char *key, const Schema *const *schemas,
                            json_t *refs) {
    for (; schemas && *schemas; schemas++)
        json_array_append_new(json_make_array(out, key), tell(*schemas, refs));
}

static void tell_fields(const Schema *schema, json_t *out, json_t *refs) {
    for (size_t i = 0; i < schema->field_count; i++) {
        const SchemaField *field = &schema->fields[i];
        if (field->schema != &schema_anything)
            json_object_set_new(json_make_object(out, "properties"), field->name,
                                tell(field->schema, refs));
        if (field->required)
            json_array_append_new(json_make_array(out, "required"), json_string(field->name));
    }
    if (schema->items)
        json_object_set_new(out, "items", tell(schema->items, refs));
    if (schema->additional)
        json_object_set_new(out, "additionalProperties", tell(schema->additional, refs));
    if (!schema->logic)
        return;
    tell_logic_list(out, "allOf", schema->logic->all_of, refs);
    tell_logic_list(out, "anyOf", schema->logic->any_of, refs);
    tell_logic_list(out, "oneOf", schema->logic->one_of, refs);
    if (schema->logic->not_of)
        json_object_set_new(out, "not", tell(schema->logic->not_of, refs));
}

/* What a field adds to its type. */
static void tell_use(const Schema *schema, json_t *out) {
    set_text(out, "description", schema->description);
    if (schema->default_text && !(schema->flags & SCHEMA_SERVER_DEFAULT))
        json_object_set_new(out, "default", schema_default_value(schema));
}

static void tell_body(const Schema *schema, json_t *out, json_t *refs) {
    tell_type(schema, out);
    set_text(out, "format", public_format(schema));
    if (schema->enum_values)
        json_object_set_new(out, "enum", tell_names(schema->enum_values, true));
    tell_bounds(schema, out);
    tell_fields(schema, out, refs);
    tell_extensions(schema, out);
    tell_rules(schema, out);
}

static json_t *tell_reference(const Schema *schema, json_t *refs) {
    json_t *out = json_object(), *ref = json_object();

    if (!json_object_get(refs, schema->type_name)) {
        json_t *type = json_object();
        json_object_set_new(refs, schema->type_name, type); /* first: types refer to themselves */
        set_text(type, "description", schema->type_text);
        tell_body(schema, type, refs);
    }
    json_set_printf(ref, "$ref", "#/components/schemas/%s", schema->type_name);
    tell_use(schema, out);
    if (json_object_size(out) == 0) {
        json_decref(out);
        return ref;
    }
    json_array_append_new(json_make_array(out, "allOf"), ref);
    return out;
}

static json_t *tell(const Schema *schema, json_t *refs) {
    if (schema->type_name && refs)
        return tell_reference(schema, refs);
    json_t *out = json_object();
    tell_use(schema, out);
    tell_body(schema, out, refs);
    return out;
}

json_t *schema_to_openapi(const Schema *schema, json_t *refs) {
    return tell(schema, refs);
}
