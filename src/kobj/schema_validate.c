/* SPDX-License-Identifier: Apache-2.0 */

/* Checks a value against its schema, with the sentences of kube-apiserver: those of CRDs for CRD
 * schemas, those of the hand-written checks for built-in ones. */

#include <math.h>

#include "base/error.h"
#include "base/map.h"
#include "kobj/cel.h"
#include "kobj/names.h"
#include "kobj/quantity.h"
#include "kobj/schema_private.h"

typedef struct Check {
    Faults *faults;
    Buf path;
} Check;

static void check_value(Check *check, const Schema *schema, const json_t *value);

static bool is_builtin(const Schema *schema) {
    return schema->flags & SCHEMA_BUILTIN;
}

static const char *place(Check *check) {
    return check->path.data ? check->path.data : "";
}

static void invalid(Check *check, const json_t *value, const char *format, ...) _printf_(3, 4);

/* "PATH in body DETAIL", as the OpenAPI validator words it. */
static void invalid(Check *check, const json_t *value, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    _cleanup_free_ char *detail = str_vprintf(format, ap);
    va_end(ap);
    _cleanup_free_ char *text = str_printf("%s in body %s", place(check), detail);
    faults_add_invalid(check->faults, place(check), value, text);
}

/* --- types --- */

static bool is_integer(const json_t *value) {
    return json_is_integer(value) ||
           (json_is_real(value) && json_real_value(value) == trunc(json_real_value(value)));
}

static bool type_fits(const Schema *schema, const json_t *value) {
    switch (schema->type) {
    case SCHEMA_ANY:
        return true;
    case SCHEMA_OBJECT:
        return json_is_object(value);
    case SCHEMA_ARRAY:
        return json_is_array(value);
    case SCHEMA_STRING:
        return json_is_string(value);
    case SCHEMA_INTEGER:
        return is_integer(value);
    case SCHEMA_NUMBER:
        return json_is_number(value);
    case SCHEMA_BOOLEAN:
        return json_is_boolean(value);
    case SCHEMA_INT_OR_STRING:
        return is_integer(value) || json_is_string(value);
    case SCHEMA_QUANTITY:
        return json_is_number(value) || json_is_string(value);
    }
    return false;
}

static const char *schema_type_name(SchemaType type) {
    static const char *const names[] = {
        [SCHEMA_ANY] = "",
        [SCHEMA_OBJECT] = "object",
        [SCHEMA_ARRAY] = "array",
        [SCHEMA_STRING] = "string",
        [SCHEMA_INTEGER] = "integer",
        [SCHEMA_NUMBER] = "number",
        [SCHEMA_BOOLEAN] = "boolean",
        [SCHEMA_INT_OR_STRING] = "integer,string",
        [SCHEMA_QUANTITY] = "integer,string",
    };
    return names[type];
}

static void type_fault(Check *check, const char *wanted, const json_t *value) {
    const char *name = json_type_name(value);
    _cleanup_json_ json_t *shown = json_string(name);
    _cleanup_free_ char *text =
        str_printf("%s in body must be of type %s: \"%s\"", place(check), wanted, name);

    faults_add_type(check->faults, place(check), shown, text);
}

static void logic_fault(Check *check, const char *format) {
    _cleanup_free_ char *text = str_printf("\"%s\" %s", place(check), format);
    _cleanup_json_ json_t *empty = json_string("");

    faults_add_invalid(check->faults, "<nil>", empty, text);
}

static bool check_type(Check *check, const Schema *schema, const json_t *value) {
    if (type_fits(schema, value))
        return true;
    type_fault(check, schema_type_name(schema->type), value);
    if (schema->flags & SCHEMA_ANY_OF_INT) {
        logic_fault(check, "must validate at least one schema (anyOf)");
        type_fault(check, "integer", value);
    }
    return false;
}

/* --- scalars --- */

static size_t text_characters(const char *text) {
    size_t count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* The built-in kinds name their checks by format. */
static const char *check_name(const char *format, const char *text) {
    static const struct {
        const char *format;
        const char *(*check)(const char *text);
    } known[] = { { "dns1123-label", name_check_dns1123_label },
                  { "dns1123-subdomain", name_check_dns1123_subdomain },
                  { "dns1035-label", name_check_dns1035_label },
                  { "env-var", name_check_env_var },
                  { "qualified", name_check_qualified },
                  { "label-value", name_check_label_value } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i].format, format))
            return known[i].check(text);
    return NULL;
}

static void check_builtin_format(Check *check, const Schema *schema, const json_t *value) {
    const char *text = json_string_value(value), *why;

    if (!*text)
        return;
    if (str_eq(schema->format, "port-name")) {
        for (size_t n = 0; (why = name_check_port_name(text, n)); n++)
            faults_add_invalid(check->faults, place(check), value, why);
        return;
    }
    why = check_name(schema->format, text);
    if (why)
        faults_add_invalid(check->faults, place(check), value, why);
}

static void check_format(Check *check, const Schema *schema, const json_t *value) {
    const char *text = json_string_value(value);

    if (is_builtin(schema)) {
        check_builtin_format(check, schema, value);
    } else if (!format_matches(schema->format, text)) {
        _cleanup_free_ char *why =
            str_printf("%s in body must be of type %s: \"%s\"", place(check), schema->format, text);
        faults_add_type(check->faults, place(check), value, why);
    }
}

static void check_string(Check *check, const Schema *schema, const json_t *value) {
    const char *text = json_string_value(value);
    size_t count = text_characters(text);

    if (schema->max_count >= 0 && count > (size_t)schema->max_count)
        faults_add_too_long(check->faults, place(check), schema->max_count);
    if (count < (size_t)schema->min_count)
        invalid(check, value, "should be at least %lld chars long", (long long)schema->min_count);
    if (schema->pattern && !regex_matches(schema->pattern, text, strlen(text)))
        invalid(check, value, "should match '%s'", schema->pattern);
    if (schema->format)
        check_format(check, schema, value);
}

static void check_builtin_range(Check *check, const Schema *schema, const json_t *value) {
    const unsigned both = SCHEMA_HAS_MIN | SCHEMA_HAS_MAX;
    double number = json_number_value(value);
    char text[96];

    bool low = (schema->flags & SCHEMA_HAS_MIN) && number < schema->minimum;
    bool high = (schema->flags & SCHEMA_HAS_MAX) && number > schema->maximum;
    if (!low && !high)
        return;
    if ((schema->flags & both) == both)
        snprintf(text, sizeof(text), "must be between %.0f and %.0f, inclusive", schema->minimum,
                 schema->maximum);
    else
        snprintf(text, sizeof(text), "must be %s than or equal to %.0f", low ? "greater" : "less",
                 low ? schema->minimum : schema->maximum);
    faults_add_invalid(check->faults, place(check), value, text);
}

static void check_number(Check *check, const Schema *schema, const json_t *value) {
    double number = json_number_value(value);

    if (is_builtin(schema))
        return check_builtin_range(check, schema, value);
    bool exclusive = schema->flags & SCHEMA_EXCLUSIVE_MIN;
    if ((schema->flags & SCHEMA_HAS_MIN) &&
        (exclusive ? number <= schema->minimum : number < schema->minimum))
        invalid(check, value, "should be greater than %s%.17g", exclusive ? "" : "or equal to ",
                schema->minimum);
    exclusive = schema->flags & SCHEMA_EXCLUSIVE_MAX;
    if ((schema->flags & SCHEMA_HAS_MAX) &&
        (exclusive ? number >= schema->maximum : number > schema->maximum))
        invalid(check, value, "should be less than %s%.17g", exclusive ? "" : "or equal to ",
                schema->maximum);
    if (schema->multiple_of > 0 && fabs(remainder(number, schema->multiple_of)) > 1e-9)
        invalid(check, value, "should be a multiple of %.17g", schema->multiple_of);
}

static void check_quantity(Check *check, const json_t *value) {
    Quantity quantity;

    int r = quantity_from_json(value, &quantity);
    if (r < 0)
        faults_add_invalid(check->faults, place(check), value, error_text(r));
}

static json_t *enum_list(const Schema *schema) {
    json_t *list = json_array();

    for (const char *const *text = schema->enum_values; *text; text++) {
        json_t *value = NULL;
        ASSERT(json_parse(*text, strlen(*text), NULL, 0, &value) == 0);
        json_array_append_new(list, value);
    }
    return list;
}

static void check_enum(Check *check, const Schema *schema, const json_t *value) {
    _cleanup_json_ json_t *list = enum_list(schema);
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
        if (json_same(item, value))
            return;
    faults_add_unsupported(check->faults, place(check), value, list);
}

/* --- lists --- */

static void check_item_count(Check *check, const Schema *schema, const json_t *value) {
    size_t count = json_array_size(value);
    _cleanup_json_ json_t *shown = json_integer((json_int_t)count);

    if (schema->max_count >= 0 && count > (size_t)schema->max_count)
        faults_add_too_many(check->faults, place(check), (int64_t)count, schema->max_count);
    if (count < (size_t)schema->min_count)
        invalid(check, shown, "should have at least %lld items", (long long)schema->min_count);
}

/* The members of a list-map item that make its key, as an object. */
static json_t *item_key(const Schema *schema, const json_t *item) {
    json_t *key = json_object();

    for (const char *const *name = schema->list_keys; *name; name++) {
        json_t *part = json_object_get(item, *name);
        if (part)
            json_object_set(key, *name, part);
    }
    return key;
}

/* Built-in lists say `[1].name: Duplicate value: "c"` for their merge key. */
static void duplicate_fault(Check *check, const Schema *schema, const json_t *item,
                            const json_t *key) {
    size_t len = check->path.len;

    if (is_builtin(schema) && schema->list == SCHEMA_LIST_MAP) {
        schema_path_key(&check->path, schema->list_keys[0]);
        key = json_object_get(item, schema->list_keys[0]);
    }
    faults_add_duplicate(check->faults, place(check), key);
    schema_path_pop(&check->path, len);
}

static void check_unique(Check *check, const Schema *schema, const json_t *value) {
    _cleanup_(strmap_done) StrMap seen = { 0 };
    bool map = schema->list == SCHEMA_LIST_MAP && schema->list_keys;
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)value, i, item) {
        size_t len = schema_path_index(&check->path, i);
        if (map && !json_is_object(item)) {
            faults_add_invalid(check->faults, place(check), item,
                               "must be an object for an array of list-type map");
        } else {
            _cleanup_json_ json_t *key = map ? item_key(schema, item) : json_incref(item);
            _cleanup_free_ char *text = json_text(key, JSON_SORTED | JSON_GO);
            if (strmap_put(&seen, text, check))
                duplicate_fault(check, schema, item, key);
        }
        schema_path_pop(&check->path, len);
    }
}

static void check_array(Check *check, const Schema *schema, const json_t *value) {
    bool unique = is_builtin(schema)
                      ? schema->flags & SCHEMA_UNIQUE
                      : schema->list != SCHEMA_LIST_ATOMIC || (schema->flags & SCHEMA_UNIQUE);
    size_t i;
    json_t *item;

    check_item_count(check, schema, value);
    if (unique)
        check_unique(check, schema, value);
    if (!schema->items)
        return;
    json_array_foreach((json_t *)(uintptr_t)value, i, item) {
        size_t len = schema_path_index(&check->path, i);
        check_value(check, schema->items, item);
        schema_path_pop(&check->path, len);
    }
}

/* --- objects --- */

static void check_property_count(Check *check, const Schema *schema, const json_t *value) {
    size_t count = json_object_size(value);
    _cleanup_json_ json_t *shown = json_integer((json_int_t)count);

    if (schema->max_count >= 0 && count > (size_t)schema->max_count)
        faults_add_too_many(check->faults, place(check), (int64_t)count, schema->max_count);
    if (count < (size_t)schema->min_count)
        invalid(check, shown, "should have at least %lld properties", (long long)schema->min_count);
}

/* A Go struct can't tell an empty field from an absent one. */
static bool is_missing(const Schema *schema, const SchemaField *field, const json_t *value) {
    if (!value)
        return true;
    if (!is_builtin(schema))
        return false;
    if (json_is_string(value))
        return !*json_string_value(value);
    if (json_is_array(value))
        return json_array_size(value) == 0;
    return json_is_integer(value) && json_integer_value(value) == 0 &&
           (field->schema->flags & SCHEMA_HAS_MIN) && field->schema->minimum > 0;
}

/* Whether check_required() has told of the field, so that nothing more need be said. */
static bool is_told(const Schema *schema, const SchemaField *field, const json_t *value) {
    return field->required && !(field->schema->flags & SCHEMA_UNCHECKED) &&
           is_missing(schema, field, value);
}

static void check_required(Check *check, const Schema *schema, const json_t *value) {
    for (size_t i = 0; i < schema->field_count; i++) {
        const SchemaField *field = &schema->fields[i];
        if (!is_told(schema, field, json_object_get(value, field->name)))
            continue;
        size_t len = schema_path_key(&check->path, field->name);
        faults_add_required(check->faults, place(check), "");
        schema_path_pop(&check->path, len);
    }
}

static void check_embedded(Check *check, const Schema *schema, const json_t *value) {
    static const char *const names[] = { "apiVersion", "kind" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_empty(json_str_at(value, names[i])))
            continue;
        size_t len = schema_path_key(&check->path, names[i]);
        faults_add_required(check->faults, place(check), "");
        schema_path_pop(&check->path, len);
    }
}

static void check_object(Check *check, const Schema *schema, const json_t *value) {
    const char *key;
    json_t *member;

    check_property_count(check, schema, value);
    check_required(check, schema, value);
    if (schema->flags & SCHEMA_EMBEDDED)
        check_embedded(check, schema, value);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        const SchemaField *field = schema_field(schema, key);
        const Schema *below = field ? field->schema : schema->additional;
        if (!below || (field && is_told(schema, field, member)))
            continue;
        size_t len = schema_path_key(&check->path, key);
        check_value(check, below, member);
        schema_path_pop(&check->path, len);
    }
}

/* --- allOf and the like --- */

/* Checks in a list of its own; what was found is given back for the caller to keep or drop. */
static Faults check_apart(Check *check, const Schema *schema, const json_t *value) {
    Faults found = { 0 }, *outer = check->faults;

    check->faults = &found;
    check_value(check, schema, value);
    check->faults = outer;
    return found;
}

static void faults_move(Faults *to, Faults *from) {
    for (size_t i = 0; i < from->len; i++)
        faults_add_copy(to, &from->items[i]);
    faults_done(from);
}

/* How many of the schemas fit; the faults of the first that does not go to `ret_first`. */
static size_t count_fitting(Check *check, const Schema *const *schemas, const json_t *value,
                            Faults *ret_first) {
    size_t count = 0;
    bool have_first = false;

    for (; *schemas; schemas++) {
        Faults found = check_apart(check, *schemas, value);
        count += found.len == 0;
        if (found.len > 0 && !have_first) {
            have_first = true;
            *ret_first = found;
        } else {
            faults_done(&found);
        }
    }
    return count;
}

static void check_any_of(Check *check, const Schema *const *schemas, const json_t *value) {
    Faults first = { 0 };

    if (count_fitting(check, schemas, value, &first) == 0) {
        logic_fault(check, "must validate at least one schema (anyOf)");
        faults_move(check->faults, &first);
    }
    faults_done(&first);
}

static void check_one_of(Check *check, const Schema *const *schemas, const json_t *value) {
    Faults first = { 0 };
    size_t count = count_fitting(check, schemas, value, &first);

    if (count == 0) {
        logic_fault(check, "must validate one and only one schema (oneOf). Found none valid");
        faults_move(check->faults, &first);
    } else if (count > 1) {
        _cleanup_free_ char *text = str_printf(
            "must validate one and only one schema (oneOf). Found %zu valid alternatives", count);
        logic_fault(check, text);
    }
    faults_done(&first);
}

static void check_all_of(Check *check, const Schema *const *schemas, const json_t *value) {
    size_t count = 0, fitting = 0;

    for (; schemas[count]; count++) {
        Faults found = check_apart(check, schemas[count], value);
        fitting += found.len == 0;
        faults_move(check->faults, &found);
    }
    if (fitting == count)
        return;
    logic_fault(check, fitting ? "must validate all the schemas (allOf)"
                               : "must validate all the schemas (allOf). None validated");
}

static void check_logic(Check *check, const SchemaLogic *logic, const json_t *value) {
    if (logic->any_of)
        check_any_of(check, logic->any_of, value);
    if (logic->one_of)
        check_one_of(check, logic->one_of, value);
    if (logic->all_of)
        check_all_of(check, logic->all_of, value);
    if (!logic->not_of)
        return;
    Faults found = check_apart(check, logic->not_of, value);
    if (found.len == 0)
        logic_fault(check, "must not validate the schema (not)");
    faults_done(&found);
}

static void check_value(Check *check, const Schema *schema, const json_t *value) {
    if (json_is_null(value) && (schema->flags & SCHEMA_NULLABLE))
        return;
    if (!check_type(check, schema, value))
        return;
    bool unset = is_builtin(schema) && json_is_string(value) && !*json_string_value(value);
    if (schema->enum_values && !unset)
        check_enum(check, schema, value);
    if (schema->type == SCHEMA_QUANTITY)
        check_quantity(check, value);
    else if (json_is_string(value))
        check_string(check, schema, value);
    else if (json_is_number(value))
        check_number(check, schema, value);
    else if (json_is_array(value))
        check_array(check, schema, value);
    else if (json_is_object(value))
        check_object(check, schema, value);
    if (schema->logic)
        check_logic(check, schema->logic, value);
}

/* --- rules --- */

static void rule_fault(Check *check, const SchemaRule *rule, const json_t *value,
                       const char *detail) {
    size_t len = check->path.len;

    if (rule->field_path)
        buf_add_str(&check->path, rule->field_path);
    if (str_eq(rule->reason, "FieldValueRequired"))
        faults_add_required(check->faults, place(check), detail);
    else if (str_eq(rule->reason, "FieldValueForbidden"))
        faults_add_forbidden(check->faults, place(check), detail);
    else if (str_eq(rule->reason, "FieldValueDuplicate"))
        faults_add_duplicate(check->faults, place(check), value);
    else {
        _cleanup_json_ json_t *shown = json_string(json_type_name(value));
        faults_add_invalid(check->faults, place(check), shown, detail);
    }
    schema_path_pop(&check->path, len);
}

static void check_rule(Check *check, const SchemaRule *rule, const json_t *value,
                       const json_t *old) {
    bool good = false;

    if (!rule->expr || (cel_uses_old_self(rule->expr) && !old)) /* none: it is a fault itself */
        return;
    int r = cel_evaluate(rule->expr, value, old, &good);
    if (r == 0 && good)
        return;
    _cleanup_free_ char *detail = r < 0 ? str_printf("rule evaluation failed: %s", error_text(r))
                                  : rule->message ? str_dup(rule->message)
                                                  : str_printf("failed rule: %s", rule->rule);
    rule_fault(check, rule, value, detail);
}

static const json_t *find_by_key(const Schema *schema, const json_t *list, const json_t *item) {
    _cleanup_json_ json_t *key = item_key(schema, item);

    for (size_t i = 0; i < json_array_size(list); i++) {
        _cleanup_json_ json_t *other = item_key(schema, json_array_get(list, i));
        if (json_same(key, other))
            return json_array_get(list, i);
    }
    return NULL;
}

static void check_rules(Check *check, const Schema *schema, const json_t *value,
                        const json_t *old) {
    const char *key;
    json_t *member;
    size_t i;

    if (!(schema->flags & SCHEMA_RULES) || !value || json_is_null(value))
        return;
    for (i = 0; i < schema->rule_count; i++)
        check_rule(check, &schema->rules[i], value, old);
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, member) {
            const Schema *below = schema_member(schema, key);
            size_t len = schema_path_key(&check->path, key);
            if (below)
                check_rules(check, below, member, json_object_get(old, key));
            schema_path_pop(&check->path, len);
        }
    } else if (json_is_array(value) && schema->items) {
        json_array_foreach((json_t *)(uintptr_t)value, i, member) {
            size_t len = schema_path_index(&check->path, i);
            bool paired = schema->list == SCHEMA_LIST_MAP && schema->list_keys;
            check_rules(check, schema->items, member,
                        paired ? find_by_key(schema, old, member) : NULL);
            schema_path_pop(&check->path, len);
        }
    }
}

void schema_validate(const Schema *schema, const json_t *object, const json_t *old,
                     Faults *faults) {
    Check check = { .faults = faults };
    _cleanup_json_ json_t *nothing = json_null();

    check_value(&check, schema, object);
    bool rules = (schema->flags & SCHEMA_RULES) && !is_builtin(schema);
    if (rules && faults_block_rules(faults))
        faults_add_invalid(faults, "<nil>", nothing,
                           "some validation rules were not checked because the object was "
                           "invalid; correct the existing errors to complete validation");
    else if (rules)
        check_rules(&check, schema, object, old);
    buf_done(&check.path);
}
