/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/mem.h"
#include "codec/number.h"
#include "codec/yaml.h"
#include "codec/yaml_scalar.h"

typedef struct Writer {
    yaml_emitter_t emitter;
    yaml_event_t event;
} Writer;

static void write_value(Writer *writer, const json_t *value);

/* libyaml fails here only for heap or broken UTF-8, and jansson's strings are UTF-8. */
static void emit(Writer *writer, int made) {
    ASSERT(made);
    ASSERT(yaml_emitter_emit(&writer->emitter, &writer->event));
}

static void write_scalar(Writer *writer, const char *text, size_t len, yaml_scalar_style_t style) {
    emit(writer, yaml_scalar_event_initialize(&writer->event, NULL, NULL, (const yaml_char_t *)text,
                                              (int)len, 1, 1, style));
}

static void write_plain(Writer *writer, const char *text) {
    write_scalar(writer, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
}

/* Whether it reads back as this string without quotes; a plain << as a key would merge. */
static bool is_plain(const char *text, size_t len) {
    return yaml_scalar_guess(text, len) == YAML_TAG_STR && !yaml_scalar_is_base60(text, len) &&
           !slice_eq((Slice){ text, len }, SLICE("<<"));
}

static void write_string(Writer *writer, const char *text, size_t len) {
    bool plain = is_plain(text, len);

    if (memchr(text, '\n', len))
        write_scalar(writer, text, len, YAML_LITERAL_SCALAR_STYLE);
    else
        write_scalar(writer, text, len,
                     plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static void write_real(Writer *writer, double real) {
    char text[NUMBER_TEXT_MAX];

    number_format(real, real == trunc(real) && fabs(real) < 0x1p63 ? NUMBER_JSON : NUMBER_YAML,
                  text);
    write_plain(writer, text);
}

static void write_array(Writer *writer, const json_t *array) {
    emit(writer, yaml_sequence_start_event_initialize(&writer->event, NULL, NULL, 1,
                                                      YAML_BLOCK_SEQUENCE_STYLE));
    for (size_t i = 0; i < json_array_size(array); i++)
        write_value(writer, json_array_get(array, i));
    emit(writer, yaml_sequence_end_event_initialize(&writer->event));
}

/* The Go library's order of keys: letters behind other characters, runs of digits by value. */
static bool is_letter(unsigned char c) {
    return isalpha(c) || c >= 0x80; /* beyond ASCII nearly all are */
}

/* Whether the digits before s[at] are part of a number, which makes a zero at s[at] count. */
static bool number_goes_on(const char *s, size_t at) {
    while (at > 0 && isdigit((unsigned char)s[at - 1]))
        if (s[--at] != '0')
            return true;
    return false;
}

static int digits_compare(const char *a, const char *b, bool zeros_count) {
    static const char digits[] = "0123456789";
    size_t skip_a = zeros_count ? 0 : strspn(a, "0"), skip_b = zeros_count ? 0 : strspn(b, "0");
    size_t len_a = strspn(a + skip_a, digits), len_b = strspn(b + skip_b, digits);

    if (len_a != len_b)
        return len_a < len_b ? -1 : 1;
    int order = strncmp(a + skip_a, b + skip_b, len_a);
    return order ? order : (skip_a > skip_b) - (skip_a < skip_b);
}

static int key_compare(const char *a, const char *b) {
    size_t i = 0;

    while (a[i] && a[i] == b[i])
        i++;
    unsigned char at_a = (unsigned char)a[i], at_b = (unsigned char)b[i];
    if (!at_a || !at_b)
        return at_a ? 1 : at_b ? -1 : 0;
    if (is_letter(at_a) != is_letter(at_b))
        return is_letter(at_b) ? -1 : 1;
    int order = is_letter(at_a) ? 0 : digits_compare(a + i, b + i, number_goes_on(a, i));
    return order ? order : at_a < at_b ? -1 : 1;
}

static int keys_compare(const void *a, const void *b) {
    return key_compare(*(const char *const *)a, *(const char *const *)b);
}

static void write_object(Writer *writer, const json_t *object) {
    size_t count = json_object_size(object), n = 0;
    _cleanup_free_ const char **keys = mem_array(const char *, count ? count : 1);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        keys[n++] = key;
    qsort(keys, count, sizeof(*keys), keys_compare);
    emit(writer, yaml_mapping_start_event_initialize(&writer->event, NULL, NULL, 1,
                                                     YAML_BLOCK_MAPPING_STYLE));
    for (size_t i = 0; i < count; i++) {
        write_string(writer, keys[i], strlen(keys[i]));
        write_value(writer, json_object_get(object, keys[i]));
    }
    emit(writer, yaml_mapping_end_event_initialize(&writer->event));
}

static void write_integer(Writer *writer, json_int_t integer) {
    _cleanup_free_ char *text = str_printf("%lld", (long long)integer);

    write_plain(writer, text);
}

static void write_value(Writer *writer, const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return write_object(writer, value);
    case JSON_ARRAY:
        return write_array(writer, value);
    case JSON_STRING:
        return write_string(writer, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return write_integer(writer, json_integer_value(value));
    case JSON_REAL:
        return write_real(writer, json_real_value(value));
    case JSON_TRUE:
        return write_plain(writer, "true");
    case JSON_FALSE:
        return write_plain(writer, "false");
    case JSON_NULL:
        return write_plain(writer, "null");
    }
}

static int buf_write(void *data, unsigned char *bytes, size_t len) {
    buf_add(data, bytes, len);
    return 1;
}

void yaml_encode(const json_t *value, Buf *out) {
    Writer writer = { 0 };

    ASSERT(yaml_emitter_initialize(&writer.emitter));
    yaml_emitter_set_output(&writer.emitter, buf_write, out);
    yaml_emitter_set_unicode(&writer.emitter, 1);
    emit(&writer, yaml_stream_start_event_initialize(&writer.event, YAML_UTF8_ENCODING));
    emit(&writer, yaml_document_start_event_initialize(&writer.event, NULL, NULL, NULL, 1));
    write_value(&writer, value);
    emit(&writer, yaml_document_end_event_initialize(&writer.event, 1));
    writer.emitter.open_ended = 0; /* no "..." behind a block that keeps its last newlines */
    emit(&writer, yaml_stream_end_event_initialize(&writer.event));
    yaml_emitter_delete(&writer.emitter);
}
