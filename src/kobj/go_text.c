/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/go_text.h"

#include <stdlib.h>

typedef void Print(const json_t *value, Buf *out);

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Go prints maps in order of their keys. */
static void print_members(const json_t *object, bool quoted, const char *between, Print *print,
                          Buf *out) {
    size_t count = json_object_size(object), n = 0;
    _cleanup_free_ const char **keys = mem_array(const char *, count ? count : 1);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        keys[n++] = key;
    if (n > 1)
        qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < n; i++) {
        buf_add_str(out, i ? between : "");
        _cleanup_json_ json_t *text = json_string(keys[i]);
        if (quoted)
            json_encode(text, 0, out);
        else
            buf_add_str(out, keys[i]);
        buf_add_char(out, ':');
        print(json_object_get(object, keys[i]), out);
    }
}

static void print_items(const json_t *array, const char *between, Print *print, Buf *out) {
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)array, i, item) {
        buf_add_str(out, i ? between : "");
        print(item, out);
    }
}

void go_text_plain(const json_t *value, Buf *out) {
    if (json_is_object(value)) {
        buf_add_str(out, "map[");
        print_members(value, false, " ", go_text_plain, out);
        buf_add_char(out, ']');
    } else if (json_is_array(value)) {
        buf_add_char(out, '[');
        print_items(value, " ", go_text_plain, out);
        buf_add_char(out, ']');
    } else if (json_is_string(value)) {
        buf_add_str(out, json_string_value(value));
    } else if (json_is_null(value)) {
        buf_add_str(out, "<nil>");
    } else {
        json_encode(value, JSON_GO, out);
    }
}

void go_text_source(const json_t *value, Buf *out) {
    if (json_is_object(value)) {
        buf_add_str(out, "map[string]interface {}{");
        print_members(value, true, ", ", go_text_source, out);
        buf_add_char(out, '}');
    } else if (json_is_array(value)) {
        buf_add_str(out, "[]interface {}{");
        print_items(value, ", ", go_text_source, out);
        buf_add_char(out, '}');
    } else if (json_is_null(value)) {
        buf_add_str(out, "interface {}(nil)");
    } else {
        json_encode(value, 0, out);
    }
}

const char *go_text_type(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "map[string]interface {}";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "int64";
    case JSON_REAL:
        return "float64";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
        break;
    }
    return "<nil>";
}
