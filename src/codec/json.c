/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/vec.h"

const JsonLimits JSON_LIMITS_DEFAULT = { .bytes = 3u << 20, .values = 1000000, .depth = 500 };

/* jansson would hand NULL to callers that can do nothing about it: a failed allocation aborts. */
__attribute__((constructor)) static void json_abort_without_heap(void) {
    json_set_alloc_funcs(mem_alloc, free);
}

/* Where a byte is, for people: both from 1. */
static void text_position(const char *text, size_t at, size_t *ret_line, size_t *ret_column) {
    size_t line = 1, column = 1;

    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

/* Returns the index behind the closing quote of the string that starts at `i`, or `len`. */
static size_t string_skip(const char *text, size_t len, size_t i) {
    for (i++; i < len; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return len;
}

/* Bounds nesting and the number of values before jansson recurses and allocates. */
static int text_check(const char *text, size_t len, const JsonLimits *limits) {
    size_t values = 1, depth = 0, line, column;
    size_t depth_max = MIN(limits->depth, (unsigned)JSON_DEPTH_MAX);

    if (len > limits->bytes)
        return error_origin(-E2BIG, "JSON of %zu bytes is over the limit of %zu", len,
                            limits->bytes);
    const char *nul = memchr(text, 0, len);
    if (nul) { /* jansson takes one behind a number for a blank */
        text_position(text, (size_t)(nul - text), &line, &column);
        return error_origin(-EINVAL, "line %zu column %zu: a NUL byte", line, column);
    }
    for (size_t i = 0; i < len;) {
        char c = text[i];
        if (c == '"') {
            i = string_skip(text, len, i);
            continue;
        }
        i++;
        if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
        values += c == ',' || c == '[' || c == '{';
        if (depth <= depth_max && values <= limits->values)
            continue;
        text_position(text, i - 1, &line, &column);
        if (depth > depth_max)
            return error_origin(-E2BIG, "line %zu column %zu: JSON is nested deeper than %zu", line,
                                column, depth_max);
        return error_origin(-E2BIG, "line %zu column %zu: JSON has more than %zu values", line,
                            column, limits->values);
    }
    return 0;
}

/* The end of the number token at `i`; says whether it is an integer that int64 can't hold. */
static size_t number_skip(const char *text, size_t len, size_t i, bool *ret_too_big) {
    size_t start = i;
    int64_t value;

    while (i < len && text[i] && strchr("+-.eE0123456789", text[i]))
        i++;
    _cleanup_free_ char *token = str_dup_slice((Slice){ text + start, i - start });
    *ret_too_big = str_to_i64(token, &value) == -ERANGE;
    return i;
}

/* Copies the text with ".0" behind each integer beyond 64 bits, so that it is read as a real as
 * Go does; jansson would refuse it. */
static void integers_relax(const char *text, size_t len, Buf *out) {
    for (size_t i = 0, next; i < len; i = next) {
        bool too_big = false;
        next = i + 1;
        if (text[i] == '"')
            next = string_skip(text, len, i);
        else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9'))
            next = number_skip(text, len, i, &too_big);
        buf_add(out, text + i, next - i);
        if (too_big)
            buf_add_str(out, ".0");
    }
}

static json_t *load_relaxed(const char *text, size_t len, size_t load, json_error_t *ret_error) {
    _cleanup_buf_ Buf relaxed = { 0 };

    integers_relax(text, len, &relaxed);
    return json_loadb(relaxed.data, relaxed.len, load, ret_error);
}

int json_parse(const void *data, size_t len, const JsonLimits *limits, unsigned flags,
               json_t **ret_value) {
    size_t load = JSON_DECODE_ANY | (flags & JSON_UNIQUE_KEYS ? JSON_REJECT_DUPLICATES : 0);
    json_error_t error;
    size_t line, column;

    int r = text_check(len ? data : "", len, limits ? limits : &JSON_LIMITS_DEFAULT);
    if (r < 0)
        return r;
    json_t *value = json_loadb(len ? data : "", len, load, &error);
    if (!value && json_error_code(&error) == json_error_numeric_overflow)
        value = load_relaxed(data, len, load, &error);
    if (!value) {
        text_position(data, MIN((size_t)MAX(error.position, 0), len), &line, &column);
        return error_origin(-EINVAL, "line %zu column %zu: %s", line, column, error.text);
    }
    *ret_value = value;
    return 0;
}

json_t *json_path_get(const json_t *value, const char *const *path) {
    for (; *path && value; path++)
        value = json_object_get(value, *path);
    return (json_t *)(uintptr_t)value;
}

/* 2^63 is the first double that is no int64. */
static bool real_is_int(double real) {
    return real >= -0x1p63 && real < 0x1p63 && real == trunc(real);
}

int64_t json_path_int(const json_t *value, int64_t otherwise, const char *const *path) {
    const json_t *item = json_path_get(value, path);

    if (json_is_integer(item))
        return json_integer_value(item);
    if (json_is_real(item) && real_is_int(json_real_value(item)))
        return (int64_t)json_real_value(item);
    return otherwise;
}

bool json_path_bool(const json_t *value, bool otherwise, const char *const *path) {
    const json_t *item = json_path_get(value, path);

    return json_is_boolean(item) ? json_is_true(item) : otherwise;
}

json_t *json_make_object(json_t *object, const char *key) {
    json_t *member = json_object_get(object, key);

    if (!json_is_object(member)) {
        member = json_object();
        json_object_set_new(object, key, member);
    }
    return member;
}

json_t *json_make_array(json_t *object, const char *key) {
    json_t *member = json_object_get(object, key);

    if (!json_is_array(member)) {
        member = json_array();
        json_object_set_new(object, key, member);
    }
    return member;
}

void json_path_set(json_t *object, json_t *new_value, const char *const *path) {
    ASSERT(json_is_object(object) && path[0]);

    for (; path[1]; path++)
        object = json_make_object(object, path[0]);
    json_object_set_new(object, path[0], new_value);
}

bool json_path_remove(json_t *object, const char *const *path) {
    for (; path[1] && object; path++)
        object = json_object_get(object, path[0]);
    return object && json_object_del(object, path[0]) == 0;
}

static bool number_same(const json_t *a, const json_t *b) {
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    return json_number_value(a) == json_number_value(b);
}

static bool object_same(const json_t *a, const json_t *b) {
    const char *key;
    json_t *member;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)(uintptr_t)a, key, member) {
        const json_t *other = json_object_get(b, key);
        if (!other || !json_same(member, other))
            return false;
    }
    return true;
}

static bool array_same(const json_t *a, const json_t *b) {
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_same(json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

bool json_same(const json_t *a, const json_t *b) {
    if (a == b || !a || !b)
        return a == b;
    if (json_is_number(a) && json_is_number(b))
        return number_same(a, b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_object(a))
        return object_same(a, b);
    if (json_is_array(a))
        return array_same(a, b);
    return json_equal(a, b);
}

void json_set_printf(json_t *object, const char *key, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    json_object_set_new(object, key, json_string(text));
}

const char *json_type_name(const json_t *value) {
    if (!value)
        return "null";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}
