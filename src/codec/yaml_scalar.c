/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/yaml_scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "codec/number.h"

/* The longest text that can be a number or a date; a longer one is a string. */
enum {
    SCALAR_NUMBER_MAX = 400
};

typedef struct Word {
    const char *text;
    YamlTag tag;
    double value;
} Word;

static const Word words[] = {
    { "", YAML_TAG_NULL, 0 },
    { "~", YAML_TAG_NULL, 0 },
    { "null", YAML_TAG_NULL, 0 },
    { "Null", YAML_TAG_NULL, 0 },
    { "NULL", YAML_TAG_NULL, 0 },
    { "y", YAML_TAG_BOOL, 1 },
    { "Y", YAML_TAG_BOOL, 1 },
    { "yes", YAML_TAG_BOOL, 1 },
    { "Yes", YAML_TAG_BOOL, 1 },
    { "YES", YAML_TAG_BOOL, 1 },
    { "true", YAML_TAG_BOOL, 1 },
    { "True", YAML_TAG_BOOL, 1 },
    { "TRUE", YAML_TAG_BOOL, 1 },
    { "on", YAML_TAG_BOOL, 1 },
    { "On", YAML_TAG_BOOL, 1 },
    { "ON", YAML_TAG_BOOL, 1 },
    { "n", YAML_TAG_BOOL, 0 },
    { "N", YAML_TAG_BOOL, 0 },
    { "no", YAML_TAG_BOOL, 0 },
    { "No", YAML_TAG_BOOL, 0 },
    { "NO", YAML_TAG_BOOL, 0 },
    { "false", YAML_TAG_BOOL, 0 },
    { "False", YAML_TAG_BOOL, 0 },
    { "FALSE", YAML_TAG_BOOL, 0 },
    { "off", YAML_TAG_BOOL, 0 },
    { "Off", YAML_TAG_BOOL, 0 },
    { "OFF", YAML_TAG_BOOL, 0 },
    { ".nan", YAML_TAG_FLOAT, NAN },
    { ".NaN", YAML_TAG_FLOAT, NAN },
    { ".NAN", YAML_TAG_FLOAT, NAN },
    { ".inf", YAML_TAG_FLOAT, INFINITY },
    { ".Inf", YAML_TAG_FLOAT, INFINITY },
    { ".INF", YAML_TAG_FLOAT, INFINITY },
    { "+.inf", YAML_TAG_FLOAT, INFINITY },
    { "+.Inf", YAML_TAG_FLOAT, INFINITY },
    { "+.INF", YAML_TAG_FLOAT, INFINITY },
    { "-.inf", YAML_TAG_FLOAT, -INFINITY },
    { "-.Inf", YAML_TAG_FLOAT, -INFINITY },
    { "-.INF", YAML_TAG_FLOAT, -INFINITY },
};

static const Word *word_find(const char *text, size_t len) {
    const char first = len ? text[0] : 0;

    if (len > 5)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (words[i].text[0] == first && strlen(words[i].text) == len &&
            !memcmp(words[i].text, text, len))
            return &words[i];
    return NULL;
}

/* Reads up to `max` digits; advances. */
static bool take_digits(const char **p, int min, int max, int *ret_value) {
    int count = 0, value = 0;

    for (; count < max && isdigit((unsigned char)**p); count++)
        value = value * 10 + *(*p)++ - '0';
    *ret_value = value;
    return count >= min;
}

static bool take_char(const char **p, const char *any) {
    return **p && strchr(any, **p) && (*p)++;
}

static bool take_zone(const char **p) {
    int hours, minutes;

    if (take_char(p, "Z"))
        return true;
    return take_char(p, "+-") && take_digits(p, 2, 2, &hours) && hours <= 24 && take_char(p, ":") &&
           take_digits(p, 2, 2, &minutes) && minutes < 60;
}

/* 2001-1-2, 2001-1-2T3:4:5.6Z, 2001-1-2T3:4:5+01:00 and 2001-1-2 3:4:5.6. */
static bool is_timestamp(const char *p) {
    int year, month, day, hour, minute, second;

    if (!take_digits(&p, 4, 4, &year) || !take_char(&p, "-") || !take_digits(&p, 1, 2, &month) ||
        !take_char(&p, "-") || !take_digits(&p, 1, 2, &day) || !date_valid(year, month, day))
        return false;
    if (!*p)
        return true;
    bool zoned = *p != ' ';
    if (!take_char(&p, "Tt ") || !take_digits(&p, 1, 2, &hour) || hour > 23 ||
        !take_char(&p, ":") || !take_digits(&p, 1, 2, &minute) || minute > 59 ||
        !take_char(&p, ":") || !take_digits(&p, 1, 2, &second) || second > 59)
        return false;
    if (take_char(&p, ".,")) {
        if (!isdigit((unsigned char)*p))
            return false;
        while (isdigit((unsigned char)*p))
            p++;
    }
    return (!zoned || take_zone(&p)) && !*p;
}

/* Go's base prefixes: 0x, 0o, 0b and a leading 0; sets *p behind it. */
static int take_base(const char **p) {
    if ((*p)[0] != '0' || !(*p)[1])
        return 10;
    int base = strchr("xX", (*p)[1]) ? 16 : strchr("oO", (*p)[1]) ? 8 : 0;
    if (!base && strchr("bB", (*p)[1]))
        base = 2;
    *p += base ? 2 : 1;
    return base ? base : 8;
}

/* A whole number that fits int64, or as a real if it is larger. */
static bool read_int(const char *plain, json_t **ret_value) {
    bool negative = *plain == '-';
    const char *p = plain + (*plain == '-' || *plain == '+');
    int base = take_base(&p);
    double real = 0;
    uint64_t whole = 0;
    bool fits = true;

    if (!*p)
        return false;
    for (; *p; p++) {
        int c = tolower((unsigned char)*p);
        int digit = isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (digit >= base)
            return false;
        real = real * base + digit;
        fits = fits && !__builtin_mul_overflow(whole, (uint64_t)base, &whole) &&
               !__builtin_add_overflow(whole, (uint64_t)digit, &whole);
    }
    if (fits && whole <= (uint64_t)INT64_MAX + negative)
        *ret_value = json_integer((json_int_t)(negative ? -whole : whole));
    else if (isfinite(real) && base != 10)
        *ret_value = json_real(negative ? -real : real);
    else if (isfinite(real))
        *ret_value = json_real(strtod(plain, NULL)); /* correctly rounded */
    else
        return false;
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool read_float(const char *plain, json_t **ret_value) {
    const char *p = plain + (*plain == '-' || *plain == '+');
    size_t before = strspn(p, "0123456789"), after = 0;

    p += before;
    if (*p == '.') {
        after = strspn(p + 1, "0123456789");
        p += 1 + after;
    }
    if (before + after == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        size_t digits = strspn(p, "0123456789");
        if (digits == 0)
            return false;
        p += digits;
    }
    double real = strtod(plain, NULL);
    if (*p || !isfinite(real))
        return false;
    *ret_value = json_real(real);
    return true;
}

/* The number a plain scalar is, or NULL. Underscores between digits are dropped. */
static json_t *read_number(const char *text, size_t len) {
    char plain[SCALAR_NUMBER_MAX];
    json_t *value = NULL;
    size_t n = 0;

    if (len == 0 || len >= sizeof(plain) || !strchr("+-.0123456789", text[0]))
        return NULL;
    for (size_t i = 0; i < len; i++)
        if (text[i] != '_' || text[0] == '.')
            plain[n++] = text[i];
    plain[n] = 0;
    if (strlen(plain) != n || n == 0)
        return NULL;
    if (text[0] == '.' ? read_float(plain, &value)
                       : read_int(plain, &value) || read_float(plain, &value))
        return value;
    return NULL;
}

static bool text_is_timestamp(const char *text, size_t len) {
    char plain[SCALAR_NUMBER_MAX];

    if (len >= sizeof(plain) || memchr(text, 0, len))
        return false;
    memcpy(plain, text, len);
    plain[len] = 0;
    return is_timestamp(plain);
}

YamlTag yaml_scalar_guess(const char *text, size_t len) {
    _cleanup_json_ json_t *number = NULL;
    const Word *word = word_find(text, len);

    if (word)
        return word->tag;
    if (text_is_timestamp(text, len))
        return YAML_TAG_TIMESTAMP;
    number = read_number(text, len);
    if (!number)
        return YAML_TAG_STR;
    return json_is_integer(number) ? YAML_TAG_INT : YAML_TAG_FLOAT;
}

static int resolve_binary(const char *text, size_t len, json_t **ret_value) {
    _cleanup_free_ void *bytes = NULL;
    size_t bytes_len;

    int r = base64_decode(text, len, &bytes, &bytes_len);
    if (r < 0)
        return r;
    if (bytes_len && memchr(bytes, 0, bytes_len))
        return -EINVAL;              /* as in every other string */
    *ret_value = json_stringn(bytes_len ? bytes : "", bytes_len);
    return *ret_value ? 0 : -EINVAL; /* not UTF-8 */
}

/* A tag that was written out: the content has to be of it, an int may stand for a float. */
static bool tag_accepts(YamlTag wanted, YamlTag found) {
    return wanted == YAML_TAG_NONE || wanted == found ||
           (wanted == YAML_TAG_FLOAT && found == YAML_TAG_INT);
}

int yaml_scalar_resolve(const char *text, size_t len, YamlTag tag, json_t **ret_value) {
    if (tag == YAML_TAG_BINARY)
        return resolve_binary(text, len, ret_value);

    YamlTag found = tag == YAML_TAG_STR ? YAML_TAG_STR : yaml_scalar_guess(text, len);
    const Word *word = word_find(text, len);
    json_t *value = NULL;
    if (!tag_accepts(tag, found))
        return -EINVAL;
    if (found == YAML_TAG_NULL)
        value = json_null();
    else if (found == YAML_TAG_BOOL)
        value = json_boolean(word->value != 0);
    else if (found == YAML_TAG_FLOAT && word)
        return -EINVAL; /* JSON has no .nan and .inf */
    else if (found == YAML_TAG_INT || found == YAML_TAG_FLOAT)
        value = read_number(text, len);
    else
        value = json_stringn(text, len);
    if (!value)
        return -EINVAL;
    if (tag == YAML_TAG_FLOAT && json_is_integer(value)) {
        double real = (double)json_integer_value(value);
        json_decref(value);
        value = json_real(real);
    }
    *ret_value = value;
    return 0;
}

bool yaml_scalar_is_base60(const char *text, size_t len) {
    size_t i = len > 0 && (text[0] == '+' || text[0] == '-'), colons = 0;

    if (i >= len || !isdigit((unsigned char)text[i]))
        return false;
    while (i < len && (isdigit((unsigned char)text[i]) || text[i] == '_'))
        i++;
    for (; i < len && text[i] == ':'; colons++) {
        size_t digits = 0;
        for (i++; i < len && isdigit((unsigned char)text[i]) && digits < 2; digits++)
            i++;
        if (digits == 0 || (digits == 2 && text[i - 2] > '5'))
            return false;
    }
    if (i < len && text[i] == '.')
        for (i++; i < len && (isdigit((unsigned char)text[i]) || text[i] == '_');)
            i++;
    return colons > 0 && i == len;
}
