/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

char *str_dup(const char *s) {
    return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *str_dup_slice(Slice s) {
    char *copy = mem_alloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.data, s.len);
    copy[s.len] = 0;
    return copy;
}

char *str_vprintf(const char *format, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    ASSERT(len >= 0);
    char *s = mem_alloc((size_t)len + 1);
    vsnprintf(s, (size_t)len + 1, format, ap);
    return s;
}

char *str_printf(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    char *s = str_vprintf(format, ap);
    va_end(ap);
    return s;
}

void str_set(char **s, const char *value) {
    char *copy = str_dup(value);
    free(*s);
    *s = copy;
}

bool str_eq(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool str_eq_nocase(const char *a, const char *b) {
    return a && b ? strcasecmp(a, b) == 0 : a == b;
}

bool str_starts(const char *s, const char *prefix) {
    return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix) {
    size_t have = s ? strlen(s) : 0, want = strlen(suffix);
    return have >= want && memcmp(s + have - want, suffix, want) == 0;
}

int str_to_i64(const char *s, int64_t *ret_value) {
    if (!s || !(isdigit((unsigned char)*s) || (*s == '-' && isdigit((unsigned char)s[1]))))
        return -EINVAL;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (*end)
        return -EINVAL;
    if (errno)
        return -ERANGE;
    *ret_value = v;
    return 0;
}

int str_to_u64(const char *s, uint64_t *ret_value) {
    if (!s || !isdigit((unsigned char)*s))
        return -EINVAL;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (*end)
        return -EINVAL;
    if (errno)
        return -ERANGE;
    *ret_value = v;
    return 0;
}

int str_to_double(const char *s, double *ret_value) {
    if (!s || !*s || isspace((unsigned char)*s))
        return -EINVAL;
    char *end;
    double v = strtod(s, &end);
    if (*end || !isfinite(v))
        return -EINVAL;
    *ret_value = v;
    return 0;
}

int str_to_bool(const char *s, bool *ret_value) {
    static const char *const yes[] = { "true", "1", "yes", "on" };
    static const char *const no[] = { "false", "0", "no", "off" };
    for (size_t i = 0; s && i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(s, yes[i]) == 0)
            return *ret_value = true, 0;
        if (strcasecmp(s, no[i]) == 0)
            return *ret_value = false, 0;
    }
    return -EINVAL;
}

void buf_done(Buf *buf) {
    free(buf->data);
    *buf = (Buf){ 0 };
}

char *buf_reserve(Buf *buf, size_t more) {
    size_t want = buf->len + more + 1;
    ASSERT(want > more);
    if (want > buf->cap) {
        size_t cap = MAX(buf->cap * 2, (size_t)64);
        buf->cap = MAX(cap, want);
        buf->data = mem_realloc(buf->data, buf->cap);
    }
    return buf->data + buf->len;
}

void buf_add(Buf *buf, const void *data, size_t len) {
    char *at = buf_reserve(buf, len);
    if (len)
        memcpy(at, data, len);
    buf->len += len;
    buf->data[buf->len] = 0;
}

void buf_add_str(Buf *buf, const char *s) {
    buf_add(buf, s, strlen(s));
}

void buf_add_char(Buf *buf, char c) {
    buf_add(buf, &c, 1);
}

void buf_printf(Buf *buf, const char *format, ...) {
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    ASSERT(len >= 0);
    char *at = buf_reserve(buf, (size_t)len);
    vsnprintf(at, (size_t)len + 1, format, ap);
    va_end(ap);
    buf->len += (size_t)len;
}

void buf_drop(Buf *buf, size_t len) {
    ASSERT(len <= buf->len);
    if (!len)
        return;
    buf->len -= len;
    memmove(buf->data, buf->data + len, buf->len);
    buf->data[buf->len] = 0;
}

char *buf_steal(Buf *buf) {
    buf_reserve(buf, 0);
    buf->data[buf->len] = 0;
    char *s = buf->data;
    *buf = (Buf){ 0 };
    return s;
}

void hex_encode(const void *data, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *hex, void *out, size_t len) {
    uint8_t *to = out;
    if (!hex || strnlen(hex, 2 * len + 1) != 2 * len)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        to[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t len) {
    const uint8_t *in = data;
    char *out = mem_alloc((len + 2) / 3 * 4 + 1), *at = out;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        v |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
        v |= i + 2 < len ? in[i + 2] : 0;
        *at++ = base64_digits[v >> 18];
        *at++ = base64_digits[v >> 12 & 63];
        *at++ = i + 1 < len ? base64_digits[v >> 6 & 63] : '=';
        *at++ = i + 2 < len ? base64_digits[v & 63] : '=';
    }
    *at = 0;
    return out;
}

int base64_decode(const char *text, size_t text_len, void **ret_data, size_t *ret_len) {
    if (text_len % 4)
        return -EINVAL;
    size_t pad = 0;
    while (pad < 2 && pad < text_len && text[text_len - 1 - pad] == '=')
        pad++;
    uint8_t *out = mem_alloc(text_len / 4 * 3), *at = out;
    uint32_t v = 0;
    for (size_t i = 0; i < text_len; i++) {
        const char *digit = text[i] ? strchr(base64_digits, text[i]) : NULL;
        if (!digit && i < text_len - pad) {
            free(out);
            return -EINVAL;
        }
        v = v << 6 | (digit && i < text_len - pad ? (uint32_t)(digit - base64_digits) : 0);
        if (i % 4 == 3) {
            *at++ = (uint8_t)(v >> 16);
            *at++ = (uint8_t)(v >> 8);
            *at++ = (uint8_t)v;
            v = 0;
        }
    }
    *ret_data = out;
    *ret_len = (size_t)(at - out) - pad;
    return 0;
}

void strlist_done(StrList *list) {
    for (size_t i = 0; i < list->len; i++)
        free(list->items[i]);
    free(list->items);
    *list = (StrList){ 0 };
}

void strlist_take(StrList *list, char *s) {
    if (list->len + 1 >= list->cap) {
        list->cap = MAX(list->cap * 2, (size_t)8);
        list->items = mem_realloc(list->items, list->cap * sizeof(char *));
    }
    list->items[list->len++] = s;
    list->items[list->len] = NULL;
}

void strlist_add(StrList *list, const char *s) {
    strlist_take(list, str_dup(s));
}

void strlist_printf(StrList *list, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    strlist_take(list, str_vprintf(format, ap));
    va_end(ap);
}

bool strlist_has(const StrList *list, const char *s) {
    for (size_t i = 0; i < list->len; i++)
        if (str_eq(list->items[i], s))
            return true;
    return false;
}

static int compare_str(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strlist_sort(StrList *list) {
    if (list->len > 1)
        qsort(list->items, list->len, sizeof(char *), compare_str);
}
