/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/pyrepr.h"

void pyrepr_str(const char *s, Buf *out) {
    char quote = strchr(s, '\'') && !strchr(s, '"') ? '"' : '\'';
    buf_add_char(out, quote);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\n')
            buf_add_str(out, "\\n");
        else if (c == '\r')
            buf_add_str(out, "\\r");
        else if (c == '\t')
            buf_add_str(out, "\\t");
        else if (c == '\\' || c == (unsigned char)quote)
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, quote);
}

static void repr_object(const json_t *value, Buf *out) {
    const char *key, *separator = "";
    json_t *member;
    buf_add_char(out, '{');
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        buf_add_str(out, separator);
        pyrepr_str(key, out);
        buf_add_str(out, ": ");
        pyrepr(member, out);
        separator = ", ";
    }
    buf_add_char(out, '}');
}

static void repr_array(const json_t *value, Buf *out) {
    size_t i;
    json_t *item;
    buf_add_char(out, '[');
    json_array_foreach(value, i, item) {
        if (i > 0)
            buf_add_str(out, ", ");
        pyrepr(item, out);
    }
    buf_add_char(out, ']');
}

void pyrepr(const json_t *value, Buf *out) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        repr_object(value, out);
        break;
    case JSON_ARRAY:
        repr_array(value, out);
        break;
    case JSON_STRING:
        pyrepr_str(json_string_value(value), out);
        break;
    case JSON_TRUE:
        buf_add_str(out, "True");
        break;
    case JSON_FALSE:
        buf_add_str(out, "False");
        break;
    case JSON_NULL:
        buf_add_str(out, "None");
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        json_encode(value, 0, out);
        break;
    }
}

const char *pyrepr_class(const json_t *value) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return "<class 'dict'>";
    case JSON_ARRAY:
        return "<class 'list'>";
    case JSON_STRING:
        return "<class 'str'>";
    case JSON_INTEGER:
        return "<class 'int'>";
    case JSON_REAL:
        return "<class 'float'>";
    case JSON_TRUE:
    case JSON_FALSE:
        return "<class 'bool'>";
    case JSON_NULL:
        break;
    }
    return "<class 'NoneType'>";
}
