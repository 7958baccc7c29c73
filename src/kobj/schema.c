/* SPDX-License-Identifier: Apache-2.0 */

/* Walks that bring an object into its schema's shape: unknown fields, defaults, normal form. */

#include "kobj/schema.h"

#include <stdlib.h>

#include "base/error.h"
#include "kobj/quantity.h"
#include "kobj/schema_private.h"

const Schema schema_anything = { .type = SCHEMA_ANY,
                                 .flags = SCHEMA_PRESERVE_UNKNOWN | SCHEMA_NULLABLE,
                                 .max_count = -1 };

static int field_compare(const void *name, const void *field) {
    return strcmp(name, ((const SchemaField *)field)->name);
}

const SchemaField *schema_field(const Schema *schema, const char *name) {
    if (schema->field_count == 0)
        return NULL;
    return bsearch(name, schema->fields, schema->field_count, sizeof(*schema->fields),
                   field_compare);
}

const Schema *schema_member(const Schema *schema, const char *name) {
    const SchemaField *field = schema_field(schema, name);

    return field ? field->schema : schema->additional;
}

/* Field paths use [key] where a dot would mislead, as Kubernetes' own do for map keys. */
size_t schema_path_key(Buf *path, const char *key) {
    size_t len = path->len;

    buf_printf(path, "%s%s", len ? "." : "", key);
    return len;
}

size_t schema_path_index(Buf *path, size_t index) {
    size_t len = path->len;

    buf_printf(path, "[%zu]", index);
    return len;
}

void schema_path_pop(Buf *path, size_t len) {
    path->len = len;
    if (path->data)
        path->data[len] = 0;
}

/* --- unknown fields --- */

typedef struct Unknown {
    bool remove;
    StrList *found; /* or NULL */
    Buf path;
} Unknown;

static void unknown_walk(Unknown *unknown, const Schema *schema, json_t *value, bool root);

static bool is_object_head(const char *key) {
    return str_eq(key, "apiVersion") || str_eq(key, "kind") || str_eq(key, "metadata");
}

static int name_compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys in the order that Kubernetes tells unknown ones: as written for built-in kinds, in byte
 * order for custom ones. Owned array of borrowed keys. */
static const char **ordered_keys(const Schema *schema, const json_t *object) {
    size_t count = json_object_size(object), n = 0;
    const char **keys = mem_array(const char *, count + 1), *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        keys[n++] = key;
    if (!(schema->flags & SCHEMA_BUILTIN))
        qsort(keys, count, sizeof(*keys), name_compare);
    return keys;
}

static void unknown_member(Unknown *unknown, const Schema *schema, json_t *object, const char *key,
                           bool root) {
    const Schema *member = schema_member(schema, key);
    bool embedded = root || (schema->flags & SCHEMA_EMBEDDED);
    size_t len = schema_path_key(&unknown->path, key);

    if (embedded && is_object_head(key) && (!member || !member->field_count)) {
        schema_path_pop(&unknown->path, len);
        return;
    }
    if (member) {
        unknown_walk(unknown, member, json_object_get(object, key), false);
    } else if (!(schema->flags & SCHEMA_PRESERVE_UNKNOWN)) {
        if (unknown->found)
            strlist_add(unknown->found, unknown->path.data);
        if (unknown->remove)
            json_object_del(object, key);
    }
    schema_path_pop(&unknown->path, len);
}

static void unknown_walk(Unknown *unknown, const Schema *schema, json_t *value, bool root) {
    if (json_is_object(value)) {
        _cleanup_free_ const char **keys = ordered_keys(schema, value);
        for (size_t i = 0; keys[i]; i++) {
            _cleanup_free_ char *key = str_dup(keys[i]);
            unknown_member(unknown, schema, value, key, root);
        }
    } else if (json_is_array(value) && schema->items) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            size_t len = schema_path_index(&unknown->path, i);
            unknown_walk(unknown, schema->items, json_array_get(value, i), false);
            schema_path_pop(&unknown->path, len);
        }
    }
}

void schema_prune(const Schema *schema, json_t *object, StrList *unknown) {
    Unknown walk = { .remove = true, .found = unknown };

    unknown_walk(&walk, schema, object, true);
    buf_done(&walk.path);
}

void schema_find_unknown(const Schema *schema, const json_t *object, StrList *unknown) {
    Unknown walk = { .found = unknown };

    unknown_walk(&walk, schema, (json_t *)(uintptr_t)object, true);
    buf_done(&walk.path);
}

/* --- defaults --- */

json_t *schema_default_value(const Schema *schema) {
    json_t *value = NULL;

    if (schema->default_text)
        ASSERT(json_parse(schema->default_text, strlen(schema->default_text), NULL, 0, &value) ==
               0);
    return value;
}

/* Whether a Go struct would take the value for an unset field. */
static bool is_unset(const Schema *schema, const json_t *value) {
    if (!(schema->flags & SCHEMA_BUILTIN))
        return false;
    if (json_is_string(value))
        return !*json_string_value(value);
    return (schema->flags & SCHEMA_ZERO_ABSENT) && json_is_integer(value) &&
           json_integer_value(value) == 0;
}

static void default_field(const SchemaField *field, json_t *object) {
    const Schema *schema = field->schema;
    json_t *value = json_object_get(object, field->name);
    bool null = json_is_null(value) && !(schema->flags & SCHEMA_NULLABLE);

    if ((!value || null || is_unset(schema, value)) && schema->default_text)
        json_object_set_new(object, field->name, schema_default_value(schema));
    else if (null && schema->type != SCHEMA_ANY)
        json_object_del(object, field->name);
    value = json_object_get(object, field->name);
    if (value)
        schema_default(schema, value);
}

static void default_object(const Schema *schema, json_t *object) {
    for (size_t i = 0; i < schema->field_count; i++)
        default_field(&schema->fields[i], object);
}

void schema_default(const Schema *schema, json_t *object) {
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(object)) {
        default_object(schema, object);
        if (schema->additional)
            json_object_foreach(object, key, value)
                if (!schema_field(schema, key))
                    schema_default(schema->additional, value);
    } else if (json_is_array(object) && schema->items) {
        json_array_foreach(object, i, value)
            schema_default(schema->items, value);
    }
}

/* --- normal form of built-in types --- */

static json_t *quantity_settle(const json_t *value) {
    char text[QUANTITY_TEXT_MAX];
    Quantity quantity;

    if (quantity_from_json(value, &quantity) < 0)
        return NULL;
    quantity_format(quantity_round_milli(quantity), text);
    return json_string(text);
}

static json_t *normalize(const Schema *schema, json_t *value, bool drop);

/* Go leaves empty lists and maps out (structs stay: they are pointers). */
static bool is_left_out(const SchemaField *field, const json_t *value) {
    if (!field || field->required)
        return false;
    if (json_is_array(value))
        return json_array_size(value) == 0;
    return json_is_object(value) && field->schema->additional && json_object_size(value) == 0;
}

static void normalize_object(const Schema *schema, json_t *object, bool drop) {
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, key, value) {
        const Schema *member = schema_member(schema, key);
        if (!member)
            continue;
        if (drop && json_is_null(value) && !(member->flags & SCHEMA_NULLABLE)) {
            json_object_del(object, key);
            continue;
        }
        json_t *settled = normalize(member, value, drop);
        if (settled)
            json_object_set_new(object, key, settled);
        else if (drop && is_left_out(schema_field(schema, key), value))
            json_object_del(object, key);
    }
}

/* A new value to put in its place, or NULL if it was changed in place. */
static json_t *normalize(const Schema *schema, json_t *value, bool drop) {
    if (schema->type == SCHEMA_QUANTITY)
        return quantity_settle(value);
    if (json_is_object(value)) {
        normalize_object(schema, value, drop);
    } else if (json_is_array(value) && schema->items) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_t *settled = normalize(schema->items, json_array_get(value, i), drop);
            if (settled)
                json_array_set_new(value, i, settled);
        }
    }
    return NULL;
}

void schema_normalize(const Schema *schema, json_t *object) {
    if (schema->flags & SCHEMA_BUILTIN)
        json_decref(normalize(schema, object, true));
}

void schema_settle_quantities(const Schema *schema, json_t *object) {
    json_decref(normalize(schema, object, false));
}
