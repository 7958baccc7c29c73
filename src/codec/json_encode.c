/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/number.h"

typedef struct Encoder {
    Buf *out;
    unsigned flags;
    unsigned indent; /* spaces a level; 0 is compact */
    unsigned level;
} Encoder;

static void value_encode(Encoder *encoder, const json_t *value);

/* The bytes of a string that Go escapes for HTML: < > & and the two separators U+2028, U+2029. */
static size_t go_escape_len(const char *s, size_t left) {
    if (*s == '<' || *s == '>' || *s == '&')
        return 1;
    return left >= 3 && !memcmp(s, "\xe2\x80", 2) && (s[2] == '\xa8' || s[2] == '\xa9') ? 3 : 0;
}

static void byte_escape(Buf *out, unsigned char c) {
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (const char *name = names; *name; name += 2) {
        if ((unsigned char)name[0] == c) {
            buf_add_char(out, '\\');
            buf_add_char(out, name[1]);
            return;
        }
    }
    buf_printf(out, "\\u%04x", c);
}

static void string_encode(Encoder *encoder, const char *s, size_t len) {
    size_t plain = 0;

    buf_add_char(encoder->out, '"');
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t go = encoder->flags & JSON_GO ? go_escape_len(s + i, len - i) : 0;
        if (!go && c >= 0x20 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        buf_add(encoder->out, s + plain, i - plain);
        if (go == 3)
            buf_printf(encoder->out, "\\u20%02x", (unsigned char)s[i + 2] == 0xa8 ? 0x28 : 0x29);
        else
            byte_escape(encoder->out, c);
        i += MAX(go, (size_t)1);
        plain = i;
    }
    buf_add(encoder->out, s + plain, len - plain);
    buf_add_char(encoder->out, '"');
}

static void real_encode(Encoder *encoder, double real) {
    char text[NUMBER_TEXT_MAX];

    number_format(real, NUMBER_JSON, text);
    buf_add_str(encoder->out, text);
    if (!(encoder->flags & JSON_GO) && !strpbrk(text, ".e"))
        buf_add_str(encoder->out, ".0"); /* stays a real when read back */
}

static void newline(Encoder *encoder) {
    if (!encoder->indent)
        return;
    size_t spaces = (size_t)encoder->indent * encoder->level;
    char *to = buf_reserve(encoder->out, spaces + 1);
    to[0] = '\n';
    memset(to + 1, ' ', spaces);
    encoder->out->len += spaces + 1;
    encoder->out->data[encoder->out->len] = 0;
}

static void array_encode(Encoder *encoder, const json_t *array) {
    size_t count = json_array_size(array);

    buf_add_char(encoder->out, '[');
    encoder->level++;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(encoder->out, ',');
        newline(encoder);
        value_encode(encoder, json_array_get(array, i));
    }
    encoder->level--;
    if (count > 0)
        newline(encoder);
    buf_add_char(encoder->out, ']');
}

typedef struct Member {
    const char *key;
    const json_t *value;
} Member;

static int member_compare(const void *a, const void *b) {
    return strcmp(((const Member *)a)->key, ((const Member *)b)->key);
}

static void object_encode(Encoder *encoder, const json_t *object) {
    size_t count = json_object_size(object), n = 0;
    _cleanup_free_ Member *members = mem_array(Member, count ? count : 1);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        members[n++] = (Member){ key, value };
    if (encoder->flags & JSON_SORTED)
        qsort(members, count, sizeof(*members), member_compare);

    buf_add_char(encoder->out, '{');
    encoder->level++;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(encoder->out, ',');
        newline(encoder);
        string_encode(encoder, members[i].key, strlen(members[i].key));
        buf_add_str(encoder->out, encoder->indent ? ": " : ":");
        value_encode(encoder, members[i].value);
    }
    encoder->level--;
    if (count > 0)
        newline(encoder);
    buf_add_char(encoder->out, '}');
}

static void value_encode(Encoder *encoder, const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return object_encode(encoder, value);
    case JSON_ARRAY:
        return array_encode(encoder, value);
    case JSON_STRING:
        return string_encode(encoder, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return buf_printf(encoder->out, "%lld", (long long)json_integer_value(value));
    case JSON_REAL:
        return real_encode(encoder, json_real_value(value));
    case JSON_TRUE:
        return buf_add_str(encoder->out, "true");
    case JSON_FALSE:
        return buf_add_str(encoder->out, "false");
    case JSON_NULL:
        return buf_add_str(encoder->out, "null");
    }
}

void json_encode(const json_t *value, unsigned flags, Buf *out) {
    unsigned indent = flags & JSON_PRETTY4 ? 4 : flags & JSON_PRETTY2 ? 2 : 0;

    value_encode(&(Encoder){ .out = out, .flags = flags, .indent = indent }, value);
}

char *json_text(const json_t *value, unsigned flags) {
    Buf out = { 0 };

    json_encode(value, flags, &out);
    return buf_steal(&out);
}
