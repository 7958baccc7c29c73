/* SPDX-License-Identifier: Apache-2.0 */

/* An applied configuration against its type: everything that is wrong, in the words of Kubernetes. */

#include "base/error.h"
#include "base/map.h"
#include "kobj/apply_private.h"
#include "kobj/fieldset.h"
#include "kobj/go_text.h"
#include "kobj/meta.h"
#include "kobj/schema_private.h"

enum {
    CHECK_FAULTS_MAX = 100
};

typedef struct Check {
    Buf path;
    StrList faults;
} Check;

static void check_value(Check *check, const Schema *schema, const json_t *value);

static void check_fail(Check *check, const char *why) {
    if (check->faults.len < CHECK_FAULTS_MAX)
        strlist_printf(&check->faults, "%s%s%s", check->path.len ? check->path.data : "",
                       check->path.len ? ": " : "", why);
}

static void check_expected(Check *check, const char *what, const json_t *value) {
    _cleanup_buf_ Buf why = { 0 };

    buf_printf(&why, "expected %s, got &{", what);
    go_text_plain(value, &why);
    buf_add_char(&why, '}');
    check_fail(check, why.data);
}

static void check_scalar_expected(Check *check, const char *what, const json_t *value) {
    _cleanup_buf_ Buf why = { 0 };

    buf_printf(&why, "expected %s, got &value.valueUnstructured{Value:", what);
    go_text_source(value, &why);
    buf_add_char(&why, '}');
    check_fail(check, why.data);
}

static void check_object(Check *check, const Schema *schema, const json_t *value) {
    const char *key;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        const Schema *below = schema_member(schema, key);
        size_t len = check->path.len;
        buf_printf(&check->path, ".%s", key);
        if (below)
            check_value(check, below, member);
        else if (!(schema->flags & (SCHEMA_PRESERVE_UNKNOWN | SCHEMA_EMBEDDED)))
            check_fail(check, "field not declared in schema");
        schema_path_pop(&check->path, len);
    }
}

/* Keys that have a default need not be told. */
static bool has_key(const Schema *schema, const json_t *item) {
    for (const char *const *key = schema->list_keys; *key; key++) {
        const SchemaField *field = schema->items ? schema_field(schema->items, *key) : NULL;
        if (json_object_get(item, *key) || (field && field->schema->default_text))
            return true;
    }
    return false;
}

static void check_no_key(Check *check, const Schema *schema, size_t index) {
    _cleanup_buf_ Buf keys = { 0 };

    for (const char *const *key = schema->list_keys; *key; key++)
        buf_printf(&keys, "%s\"%s\"", keys.len ? " " : "", *key);
    _cleanup_free_ char *why =
        str_printf("element %zu: associative list with keys has an element that omits all key "
                   "fields [%s] (and doesn't have default values for any key fields)",
                   index, keys.data);
    check_fail(check, why);
}

/* The item's place in its list, by key or value; false: told to be wrong, go on with the next. */
static bool enter_item(Check *check, const Schema *schema, const json_t *item, size_t index,
                       StrMap *seen) {
    bool keyed = schema->list == SCHEMA_LIST_MAP && schema->list_keys && json_is_object(item);

    if (!keyed && schema->list != SCHEMA_LIST_SET) {
        schema_path_index(&check->path, index);
        return true;
    }
    if (keyed && !has_key(schema, item)) {
        check_no_key(check, schema, index);
        return false;
    }
    _cleanup_free_ char *element = fieldset_item(schema, item);
    _cleanup_json_ json_t *set = json_pack("{s:{s:{}}}", element, ".");
    _cleanup_strlist_ StrList text = { 0 };
    fieldset_paths(set, &text);
    if (strmap_put(seen, element, check)) {
        _cleanup_free_ char *why = str_printf("duplicate entries for key %s", text.items[0]);
        check_fail(check, why);
        return false;
    }
    buf_add_str(&check->path, text.items[0]);
    return true;
}

static void check_list(Check *check, const Schema *schema, const json_t *value) {
    _cleanup_(strmap_done) StrMap seen = { 0 };
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)value, i, item) {
        size_t len = check->path.len;
        if (enter_item(check, schema, item, i, &seen) && schema->items)
            check_value(check, schema->items, item);
        schema_path_pop(&check->path, len);
    }
}

static bool is_time(const Schema *schema) {
    return str_eq(schema->format, "date-time") && (schema->flags & SCHEMA_BUILTIN);
}

static void check_scalar(Check *check, const Schema *schema, const json_t *value) {
    bool compound = json_is_object(value) || json_is_array(value);

    switch (schema->type) {
    case SCHEMA_STRING:
        if (is_time(schema) ? compound : !json_is_string(value))
            check_scalar_expected(check, "string", value);
        break;
    case SCHEMA_BOOLEAN:
        if (!json_is_boolean(value))
            check_scalar_expected(check, "boolean", value);
        break;
    case SCHEMA_INTEGER:
    case SCHEMA_NUMBER:
        if (!json_is_number(value)) {
            _cleanup_free_ char *why =
                str_printf("expected numeric (int or float), got %s", go_text_type(value));
            check_fail(check, why);
        }
        break;
    case SCHEMA_INT_OR_STRING:
    case SCHEMA_QUANTITY:
        if (compound)
            check_expected(check, "any scalar", value);
        break;
    case SCHEMA_ANY:
    case SCHEMA_OBJECT:
    case SCHEMA_ARRAY:
        break;
    }
}

static void check_value(Check *check, const Schema *schema, const json_t *value) {
    bool any = schema->type == SCHEMA_ANY;

    if (json_is_null(value))
        return;
    if (json_is_object(value) && (any || schema->type == SCHEMA_OBJECT))
        check_object(check, schema, value);
    else if (json_is_array(value) && (any || schema->type == SCHEMA_ARRAY))
        check_list(check, schema, value);
    else if (schema->type == SCHEMA_OBJECT)
        check_expected(check, "map", value);
    else if (schema->type == SCHEMA_ARRAY)
        check_expected(check, "list", value);
    else
        check_scalar(check, schema, value);
}

/* The sentence for all faults. */
static int check_tell(const Check *check, const json_t *applied) {
    const char *space = obj_namespace(applied), *name = obj_name(applied);
    const char *version = obj_api_version(applied), *kind = obj_kind(applied);
    _cleanup_buf_ Buf text = { 0 };

    buf_printf(&text,
               "failed to create typed patch object (%s/%s; %s%s, Kind=%s): ", space ? space : "",
               name ? name : "", version && strchr(version, '/') ? "" : "/", version ? version : "",
               kind ? kind : "");
    if (check->faults.len > 1)
        buf_add_str(&text, "errors:");
    for (size_t i = 0; i < check->faults.len; i++)
        buf_printf(&text, "%s%s", check->faults.len > 1 ? "\n  " : "", check->faults.items[i]);
    return error_origin(-EBADMSG, "%s", text.data);
}

int apply_check(const Schema *schema, const json_t *applied) {
    Check check = { 0 };

    check_value(&check, schema, applied);
    int r = check.faults.len > 0 ? check_tell(&check, applied) : 0;
    buf_done(&check.path);
    strlist_done(&check.faults);
    return r;
}
