/* SPDX-License-Identifier: Apache-2.0 */

/* A CRD's openAPIV3Schema made into a Schema, refusing what is not structural. */

#include <stdlib.h>

#include "base/error.h"
#include "base/map.h"
#include "base/vec.h"
#include "kobj/cel.h"
#include "kobj/schema.h"
#include "kobj/schema_private.h"

/* Pod templates come several times in a CRD, so what is equal is made once: texts, lists and nodes
 * are kept by content. With children shared, equal nodes have equal bytes. */
typedef struct Builder {
    Arena *arena;
    Faults *faults;
    Buf path;
    unsigned depth;
    StrMap texts, lists;
    Map nodes; /* the bytes of a Schema -> the one in the arena */
} Builder;

enum {
    SCHEMA_DEPTH_MAX = 100
};

static const Schema *build(Builder *builder, const json_t *json, bool facet);

static const char *fault_at(Builder *builder, const char *below) {
    return arena_printf(builder->arena, "%s%s%s", builder->path.data, *below ? "." : "", below);
}

static const char *shared_text(Builder *builder, const char *text) {
    char *known = strmap_get(&builder->texts, text);

    if (!known) {
        known = arena_str(builder->arena, text);
        strmap_put(&builder->texts, text, known);
    }
    return known;
}

/* The list in the arena that is known by `key`; `made` becomes it if there is none. */
static void *shared_list(Builder *builder, const char *key, const void *made, size_t size) {
    void *known = strmap_get(&builder->lists, key);

    if (!known) {
        known = arena_alloc(builder->arena, size ? size : 1);
        if (size)
            memcpy(known, made, size);
        strmap_put(&builder->lists, key, known);
    }
    return known;
}

static const Schema *shared_node(Builder *builder, const Schema *node) {
    Schema *known = map_get(&builder->nodes, node);

    if (!known) {
        known = arena_new(builder->arena, Schema);
        memcpy(known, node, sizeof(*node));
        map_put(&builder->nodes, node, known);
    }
    return known;
}

static const char *text_at(Builder *builder, const json_t *json, const char *key) {
    const char *text = json_str_at(json, key);

    return text ? shared_text(builder, text) : NULL;
}

/* A list of strings, or of any values as JSON text; NULL when absent. */
static const char *const *list_at(Builder *builder, const json_t *json, const char *key,
                                  bool as_json) {
    const json_t *list = json_object_get(json, key);
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count == 0)
        return NULL;
    _cleanup_free_ const char **out = mem_array(const char *, count + 1);
    _cleanup_buf_ Buf id = { 0 };
    buf_add_char(&id, 't');
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        _cleanup_free_ char *text = NULL;
        if (as_json)
            text = json_text(item, JSON_SORTED);
        else
            text = str_dup(json_is_string(item) ? json_string_value(item) : "");
        out[i] = shared_text(builder, text);
        buf_printf(&id, " %p", (const void *)out[i]);
    }
    return shared_list(builder, id.data, out, (count + 1) * sizeof(*out));
}

static void build_type(Builder *builder, const json_t *json, bool facet, Schema *schema) {
    static const struct {
        const char *name;
        SchemaType type;
    } known[] = { { "array", SCHEMA_ARRAY },     { "boolean", SCHEMA_BOOLEAN },
                  { "integer", SCHEMA_INTEGER }, { "number", SCHEMA_NUMBER },
                  { "object", SCHEMA_OBJECT },   { "string", SCHEMA_STRING } };
    const char *name = json_str_at(json, "type");

    if (json_bool_at(json, false, "x-kubernetes-int-or-string")) {
        schema->type = SCHEMA_INT_OR_STRING;
        if (json_object_get(json, "anyOf"))
            schema->flags |= SCHEMA_ANY_OF_INT;
        return;
    }
    if (json_object_get(json, "$ref")) {
        faults_add_forbidden(builder->faults, fault_at(builder, "$ref"), "$ref is not supported");
        return;
    }
    if (!name || !*name) {
        if (!facet && builder->depth > 1 &&
            !json_bool_at(json, false, "x-kubernetes-preserve-unknown-fields"))
            faults_add_required(builder->faults, fault_at(builder, "type"),
                                "must not be empty for specified object fields");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(known[i].name, name)) {
            schema->type = known[i].type;
            return;
        }
    }
    _cleanup_json_ json_t *supported =
        json_pack("[s,s,s,s,s,s]", "array", "boolean", "integer", "number", "object", "string");
    faults_add_unsupported(builder->faults, fault_at(builder, "type"),
                           json_object_get(json, "type"), supported);
}

static void build_flags(const json_t *json, Schema *schema) {
    static const struct {
        const char *key;
        unsigned flag;
    } known[] = { { "nullable", SCHEMA_NULLABLE },
                  { "x-kubernetes-preserve-unknown-fields", SCHEMA_PRESERVE_UNKNOWN },
                  { "x-kubernetes-embedded-resource", SCHEMA_EMBEDDED },
                  { "exclusiveMinimum", SCHEMA_EXCLUSIVE_MIN },
                  { "exclusiveMaximum", SCHEMA_EXCLUSIVE_MAX },
                  { "uniqueItems", SCHEMA_UNIQUE } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (json_bool_at(json, false, known[i].key))
            schema->flags |= known[i].flag;
    if (str_eq(json_str_at(json, "x-kubernetes-map-type"), "atomic"))
        schema->flags |= SCHEMA_ATOMIC;
}

static void build_bounds(const json_t *json, Schema *schema) {
    static const char *const least[] = { "minLength", "minItems", "minProperties" };
    static const char *const most[] = { "maxLength", "maxItems", "maxProperties" };
    const json_t *minimum = json_object_get(json, "minimum");
    const json_t *maximum = json_object_get(json, "maximum");

    schema->max_count = -1;
    for (size_t i = 0; i < ARRAY_LEN(least); i++) {
        schema->min_count = json_int_at(json, schema->min_count, least[i]);
        schema->max_count = json_int_at(json, schema->max_count, most[i]);
    }
    if (json_is_number(minimum)) {
        schema->flags |= SCHEMA_HAS_MIN;
        schema->minimum = json_number_value(minimum);
    }
    if (json_is_number(maximum)) {
        schema->flags |= SCHEMA_HAS_MAX;
        schema->maximum = json_number_value(maximum);
    }
    schema->multiple_of = json_number_value(json_object_get(json, "multipleOf"));
}

static void build_pattern(Builder *builder, const json_t *json, Schema *schema) {
    char why[256];

    schema->pattern = text_at(builder, json, "pattern");
    if (schema->pattern && regex_check(schema->pattern, why, sizeof(why)) < 0)
        faults_add_invalid(builder->faults, fault_at(builder, "pattern"),
                           json_object_get(json, "pattern"), why);
}

static void build_default(Builder *builder, const json_t *json, Schema *schema) {
    const json_t *value = json_object_get(json, "default");

    if (!value)
        return;
    _cleanup_free_ char *text = json_text(value, 0);
    schema->default_text = shared_text(builder, text);
}

static size_t path_push(Builder *builder, const char *key) {
    size_t len = builder->path.len;

    buf_printf(&builder->path, ".%s", key);
    return len;
}

static void path_pop(Builder *builder, size_t len) {
    builder->path.len = len;
    builder->path.data[len] = 0;
}

static const Schema *build_below(Builder *builder, const json_t *json, const char *key,
                                 bool facet) {
    size_t len = path_push(builder, key);
    const Schema *schema = build(builder, json, facet);

    path_pop(builder, len);
    return schema;
}

static int field_compare(const void *a, const void *b) {
    return strcmp(((const SchemaField *)a)->name, ((const SchemaField *)b)->name);
}

static bool list_has(const json_t *list, const char *text) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_string_value(json_array_get(list, i)), text))
            return true;
    return false;
}

static const SchemaField *shared_fields(Builder *builder, const SchemaField *fields, size_t count) {
    _cleanup_buf_ Buf id = { 0 };

    if (count == 0)
        return NULL;
    for (size_t i = 0; i < count; i++)
        buf_printf(&id, "%s%p %p %d", i ? ", " : "f ", (const void *)fields[i].name,
                   (const void *)fields[i].schema, fields[i].required);
    return shared_list(builder, id.data, fields, count * sizeof(*fields));
}

/* Properties, and a field of any type for each required name that is none. */
static void build_fields(Builder *builder, const json_t *json, bool facet, Schema *schema) {
    json_t *properties = json_object_get(json, "properties"), *value;
    json_t *required = json_object_get(json, "required"), *name;
    size_t most = json_object_size(properties) + json_array_size(required), i;
    _cleanup_free_ SchemaField *fields = mem_array(SchemaField, most ? most : 1);
    const char *key;

    json_object_foreach(properties, key, value) {
        _cleanup_free_ char *place = str_printf("properties[%s]", key);
        SchemaField *field = &fields[schema->field_count++];
        field->name = shared_text(builder, key);
        field->schema = build_below(builder, value, place, facet);
        field->required = list_has(required, key);
        schema->flags |= field->schema->flags & SCHEMA_RULES;
    }
    json_array_foreach(required, i, name) {
        if (!json_is_string(name) || json_object_get(properties, json_string_value(name)))
            continue;
        const char *text = shared_text(builder, json_string_value(name));
        fields[schema->field_count++] = (SchemaField){ text, &schema_anything, true };
    }
    qsort(fields, schema->field_count, sizeof(*fields), field_compare);
    schema->fields = shared_fields(builder, fields, schema->field_count);
}

static void build_object(Builder *builder, const json_t *json, bool facet, Schema *schema) {
    const json_t *additional = json_object_get(json, "additionalProperties");

    build_fields(builder, json, facet, schema);
    if (!additional || json_is_false(additional))
        return;
    if (json_object_size(json_object_get(json, "properties")) > 0)
        faults_add_forbidden(builder->faults, fault_at(builder, "additionalProperties"),
                             "additionalProperties and properties are mutual exclusive");
    schema->additional = json_is_true(additional)
                             ? &schema_anything
                             : build_below(builder, additional, "additionalProperties", facet);
    schema->flags |= schema->additional->flags & SCHEMA_RULES;
}

static void build_list_map(Builder *builder, const json_t *json, Schema *schema) {
    schema->list_keys = list_at(builder, json, "x-kubernetes-list-map-keys", false);
    if (!schema->list_keys)
        faults_add_required(builder->faults, fault_at(builder, "x-kubernetes-list-map-keys"),
                            "must not be empty if x-kubernetes-list-type is map");
    for (const char *const *key = schema->list_keys; key && *key; key++) {
        if (json_at(json, "items", "properties", *key))
            continue;
        faults_add_invalid(builder->faults, fault_at(builder, "x-kubernetes-list-map-keys"),
                           json_object_get(json, "x-kubernetes-list-map-keys"),
                           "entries must all be names of item properties");
        break;
    }
    const json_t *type = json_at(json, "items", "type");
    if (type && !str_eq(json_string_value(type), "object"))
        faults_add_invalid(builder->faults, fault_at(builder, "items.type"), type,
                           "must be object if parent array's x-kubernetes-list-type is map");
}

static void build_array(Builder *builder, const json_t *json, bool facet, Schema *schema) {
    const json_t *items = json_object_get(json, "items");
    const char *list = json_str_at(json, "x-kubernetes-list-type");

    if (items) {
        schema->items = build_below(builder, items, "items", facet);
        schema->flags |= schema->items->flags & SCHEMA_RULES;
    } else if (schema->type == SCHEMA_ARRAY && !facet) {
        faults_add_required(builder->faults, fault_at(builder, "items"), "must be specified");
    }
    if (str_eq(list, "set"))
        schema->list = SCHEMA_LIST_SET;
    if (!str_eq(list, "map"))
        return;
    schema->list = SCHEMA_LIST_MAP;
    build_list_map(builder, json, schema);
}

static void build_rule(Builder *builder, const json_t *json, size_t index, SchemaRule *rule) {
    rule->rule = text_at(builder, json, "rule");
    rule->message = text_at(builder, json, "message");
    rule->reason = text_at(builder, json, "reason");
    rule->field_path = text_at(builder, json, "fieldPath");
    _cleanup_free_ char *place = str_printf("x-kubernetes-validations[%zu].rule", index);
    if (!rule->rule) {
        faults_add_required(builder->faults, fault_at(builder, place), "");
        return;
    }
    int r = cel_compile(builder->arena, rule->rule, &rule->expr);
    if (r == 0)
        return;
    _cleanup_free_ char *why = str_printf("compilation failed: %s", error_text(r));
    faults_add_invalid(builder->faults, fault_at(builder, place), json, why);
}

static void build_rules(Builder *builder, const json_t *json, Schema *schema) {
    const json_t *rules = json_object_get(json, "x-kubernetes-validations");
    size_t count = json_array_size(rules);

    if (count == 0)
        return;
    SchemaRule *out = arena_array(builder->arena, SchemaRule, count);
    for (size_t i = 0; i < count; i++)
        build_rule(builder, json_array_get(rules, i), i, &out[i]);
    schema->rules = out;
    schema->rule_count = count;
    schema->flags |= SCHEMA_RULES;
}

static const Schema *const *build_logic_list(Builder *builder, const json_t *json,
                                             const char *key) {
    const json_t *list = json_object_get(json, key);
    size_t count = json_array_size(list);

    if (count == 0)
        return NULL;
    const Schema **out = arena_array(builder->arena, const Schema *, count + 1);
    for (size_t i = 0; i < count; i++) {
        _cleanup_free_ char *place = str_printf("%s[%zu]", key, i);
        out[i] = build_below(builder, json_array_get(list, i), place, true);
    }
    return out;
}

static void build_logic(Builder *builder, const json_t *json, Schema *schema) {
    const json_t *not_of = json_object_get(json, "not");
    bool int_or_string = schema->type == SCHEMA_INT_OR_STRING;
    SchemaLogic logic = {
        .all_of = int_or_string ? NULL : build_logic_list(builder, json, "allOf"),
        .any_of = int_or_string ? NULL : build_logic_list(builder, json, "anyOf"),
        .one_of = build_logic_list(builder, json, "oneOf"),
        .not_of = not_of ? build_below(builder, not_of, "not", true) : NULL,
    };

    if (!logic.all_of && !logic.any_of && !logic.one_of && !logic.not_of)
        return;
    SchemaLogic *kept = arena_new(builder->arena, SchemaLogic);
    *kept = logic;
    schema->logic = kept;
}

static void build_node(Builder *builder, const json_t *json, bool facet, Schema *schema) {
    schema->description = text_at(builder, json, "description");
    schema->format = text_at(builder, json, "format");
    schema->enum_values = list_at(builder, json, "enum", true);
    build_type(builder, json, facet, schema);
    build_flags(json, schema);
    build_bounds(json, schema);
    build_pattern(builder, json, schema);
    build_default(builder, json, schema);
    build_object(builder, json, facet, schema);
    build_array(builder, json, facet, schema);
    build_rules(builder, json, schema);
    build_logic(builder, json, schema);
}

/* A default has to be a value of its own type. */
static void check_default(Builder *builder, const json_t *json, const Schema *schema) {
    const json_t *value = json_object_get(json, "default");
    _cleanup_faults_ Faults found = { 0 };

    if (!value || (json_is_null(value) && (schema->flags & SCHEMA_NULLABLE)))
        return;
    schema_validate(schema, value, NULL, &found);
    VEC_EACH(fault, &found) {
        const char *below = fault->field ? fault->field : "";
        _cleanup_free_ char *place =
            str_printf("default%s%s", *below && *below != '.' && *below != '[' ? "." : "", below);
        free(fault->field);
        fault->field = str_dup(fault_at(builder, place));
        faults_add_copy(builder->faults, fault);
    }
}

/* `facet`: below allOf and the like, where no type is needed. */
static const Schema *build(Builder *builder, const json_t *json, bool facet) {
    Schema node;

    memset(&node, 0, sizeof(node)); /* padding too: nodes are compared by their bytes */
    node.max_count = -1;
    if (builder->depth >= SCHEMA_DEPTH_MAX) {
        faults_add_forbidden(builder->faults, fault_at(builder, ""), "nested too deeply");
        return &schema_anything;
    }
    builder->depth++;
    build_node(builder, json, facet, &node);
    builder->depth--;
    check_default(builder, json, &node);
    return shared_node(builder, &node);
}

int schema_from_openapi(Arena *arena, const json_t *openapi, const char *at, Faults *faults,
                        const Schema **ret_schema) {
    Builder builder = { .arena = arena, .faults = faults };
    size_t before = faults->len;

    map_init(&builder.nodes, sizeof(Schema));
    buf_add_str(&builder.path, at);
    const Schema *schema = build(&builder, openapi, false);
    buf_done(&builder.path);
    strmap_done(&builder.texts);
    strmap_done(&builder.lists);
    map_done(&builder.nodes);
    if (faults->len > before)
        return error_origin(-EINVAL, "%s: the schema is not structural", at);
    *ret_schema = schema;
    return 0;
}
