/* SPDX-License-Identifier: Apache-2.0 */

/* Built-in kinds are Go structs on the other side, where a wrong JSON type fails to decode before
 * anything is checked. The sentences are those of Go's decoder. */

#include <ctype.h>
#include <math.h>

#include "base/clock.h"
#include "base/error.h"
#include "kobj/quantity.h"
#include "kobj/schema_private.h"

typedef struct Decode {
    const char *owner; /* the Go struct that has the field */
    Buf path;          /* without list indexes and map keys, as Go has it */
} Decode;

static int decode(Decode *at, const Schema *schema, const json_t *value);

/* "io.k8s.api.core.v1.Container" as "v1.Container". */
static const char *go_struct(const char *type_name) {
    const char *p = type_name + strlen(type_name);

    for (int dots = 0; p > type_name; p--)
        if (p[-1] == '.' && ++dots == 2)
            return p;
    return p;
}

static void go_type(const Schema *schema, Buf *out) {
    switch (schema->type) {
    case SCHEMA_ARRAY:
        buf_add_str(out, "[]");
        return go_type(schema->items, out);
    case SCHEMA_OBJECT:
        if (schema->type_name)
            return buf_add_str(out, go_struct(schema->type_name));
        buf_add_str(out, "map[string]");
        return schema->additional ? go_type(schema->additional, out)
                                  : buf_add_str(out, "interface {}");
    case SCHEMA_INTEGER:
        return buf_add_str(out,
                           schema->format && str_eq(schema->format, "int32") ? "int32" : "int64");
    case SCHEMA_NUMBER:
        return buf_add_str(out, "float64");
    case SCHEMA_BOOLEAN:
        return buf_add_str(out, "bool");
    case SCHEMA_STRING:
        return buf_add_str(out,
                           schema->format && str_eq(schema->format, "byte") ? "[]uint8" : "string");
    case SCHEMA_QUANTITY:
        return buf_add_str(out, "resource.Quantity");
    case SCHEMA_INT_OR_STRING:
        return buf_add_str(out, "intstr.IntOrString");
    case SCHEMA_ANY:
        return buf_add_str(out, "interface {}");
    }
}

static int mismatch(const Decode *at, const Schema *schema, const json_t *value) {
    _cleanup_buf_ Buf type = { 0 };
    _cleanup_free_ char *number = NULL;
    const char *word = json_type_name(value);

    go_type(schema, &type);
    if (json_is_boolean(value)) {
        word = "bool";
    } else if (json_is_number(value)) {
        _cleanup_free_ char *text = json_text(value, JSON_GO);
        bool show = schema->type == SCHEMA_INTEGER;
        number = str_printf("number%s%s", show ? " " : "", show ? text : "");
        word = number;
    }
    if (!at->path.len)
        return error_origin(-EINVAL, "json: cannot unmarshal %s into Go value of type %s", word,
                            type.data);
    return error_origin(-EINVAL, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                        word, at->owner, at->path.data, type.data);
}

static int decode_integer(const Decode *at, const Schema *schema, const json_t *value) {
    bool narrow = schema->format && str_eq(schema->format, "int32");

    if (!json_is_number(value))
        return mismatch(at, schema, value);
    double number = json_number_value(value);
    if (number != trunc(number) || (narrow && (number > INT32_MAX || number < INT32_MIN)))
        return mismatch(at, schema, value);
    return 0;
}

/* Go stops at the first byte that is none of base64's. */
static int decode_bytes(const char *text) {
    _cleanup_free_ void *bytes = NULL;
    size_t len, at = 0;

    if (base64_decode(text, strlen(text), &bytes, &len) == 0)
        return 0;
    while (isalnum((unsigned char)text[at]) || (text[at] && strchr("+/", text[at])))
        at++;
    return error_origin(-EINVAL, "illegal base64 data at input byte %zu", at);
}

static int decode_string(const Decode *at, const Schema *schema, const json_t *value) {
    usec_t time;

    if (!json_is_string(value))
        return mismatch(at, schema, value);
    const char *text = json_string_value(value);
    if (str_eq(schema->format, "byte"))
        return decode_bytes(text);
    bool micro = str_eq(schema->format, "microtime");
    if ((!micro && !str_eq(schema->format, "date-time")) || time_parse_rfc3339(text, &time) == 0)
        return 0;
    return error_origin(-EINVAL,
                        "parsing time \"%s\" as \"2006-01-02T15:04:05%sZ07:00\": cannot parse "
                        "\"%s\" as \"2006\"",
                        text, micro ? ".000000" : "", text);
}

static int decode_array(Decode *at, const Schema *schema, const json_t *value) {
    size_t i;
    json_t *item;

    if (!json_is_array(value))
        return mismatch(at, schema, value);
    json_array_foreach((json_t *)(uintptr_t)value, i, item) {
        int r = decode(at, schema->items, item);
        if (r < 0)
            return r;
    }
    return 0;
}

static int decode_member(Decode *at, const Schema *schema, const char *key, const json_t *value) {
    const SchemaField *field = schema_field(schema, key);
    const char *owner = at->owner;
    size_t len = at->path.len;

    if (!field)
        return schema->additional ? decode(at, schema->additional, value) : 0;
    schema_path_key(&at->path, key);
    if (schema->type_name) {
        const char *name = strrchr(schema->type_name, '.');
        at->owner = name ? name + 1 : schema->type_name;
    }
    int r = decode(at, field->schema, value);
    at->owner = owner;
    schema_path_pop(&at->path, len);
    return r;
}

static int decode_object(Decode *at, const Schema *schema, const json_t *value) {
    const char *key;
    json_t *member;

    if (!json_is_object(value))
        return mismatch(at, schema, value);
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        int r = decode_member(at, schema, key, member);
        if (r < 0)
            return r;
    }
    return 0;
}

static int decode_quantity(const json_t *value) {
    Quantity quantity;

    return quantity_from_json(value, &quantity);
}

static int decode(Decode *at, const Schema *schema, const json_t *value) {
    if (json_is_null(value))
        return 0;
    switch (schema->type) {
    case SCHEMA_ANY:
        return 0;
    case SCHEMA_OBJECT:
        return decode_object(at, schema, value);
    case SCHEMA_ARRAY:
        return decode_array(at, schema, value);
    case SCHEMA_STRING:
        return decode_string(at, schema, value);
    case SCHEMA_INTEGER:
        return decode_integer(at, schema, value);
    case SCHEMA_NUMBER:
        return json_is_number(value) ? 0 : mismatch(at, schema, value);
    case SCHEMA_BOOLEAN:
        return json_is_boolean(value) ? 0 : mismatch(at, schema, value);
    case SCHEMA_INT_OR_STRING:
        return json_is_integer(value) || json_is_string(value) ? 0 : mismatch(at, schema, value);
    case SCHEMA_QUANTITY:
        return decode_quantity(value);
    }
    return 0;
}

int schema_check_types(const Schema *schema, const json_t *object) {
    Decode at = { .owner = "" };

    int r = decode(&at, schema, object);
    buf_done(&at.path);
    return r;
}
