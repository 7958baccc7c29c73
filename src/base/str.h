/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Strings: borrowed slices, owned C strings, a growing buffer, strict numbers, hex and base64. */

#include <stdarg.h>

#include "base/base.h"
#include "base/mem.h"

/* Borrowed bytes, not NUL-terminated. */
typedef struct Slice {
    const char *data;
    size_t len;
} Slice;

#define SLICE(literal) ((Slice){ "" literal, sizeof(literal) - 1 })

static inline Slice slice_str(const char *s) {
    return (Slice){ s, s ? strlen(s) : 0 };
}
static inline bool slice_eq(Slice a, Slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool slice_eq_str(Slice a, const char *b) {
    return slice_eq(a, slice_str(b));
}

/* Owned copies; the caller frees. */
char *str_dup(const char *s); /* NULL gives NULL */
char *str_dup_slice(Slice s);
char *str_printf(const char *format, ...) _printf_(1, 2);
char *str_vprintf(const char *format, va_list ap) _printf_(1, 0);
/* Replaces *s, freeing what it held. */
void str_set(char **s, const char *value);

bool str_eq(const char *a, const char *b);        /* NULL equals NULL only */
bool str_eq_nocase(const char *a, const char *b); /* ASCII */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
static inline bool str_empty(const char *s) {
    return !s || !*s;
}

/* Strict decimal numbers: the whole text, no blanks, no overflow. -EINVAL or -ERANGE else. */
_must_check_ int str_to_i64(const char *s, int64_t *ret_value);
_must_check_ int str_to_u64(const char *s, uint64_t *ret_value);
_must_check_ int str_to_double(const char *s, double *ret_value);
/* true/false, 1/0, yes/no, on/off in any case. */
_must_check_ int str_to_bool(const char *s, bool *ret_value);

/* Growing byte buffer. `data` is always NUL-terminated once anything was added (the NUL is not
 * counted). Zero-initialised is empty. */
typedef struct Buf {
    char *data;
    size_t len, cap;
} Buf;

void buf_done(Buf *buf);
static inline void buf_clear(Buf *buf) {
    buf->len = 0;
    if (buf->data)
        buf->data[0] = 0;
}
/* Makes room for `more` bytes beyond len (and the NUL); returns where they go. */
char *buf_reserve(Buf *buf, size_t more);
void buf_add(Buf *buf, const void *data, size_t len);
void buf_add_str(Buf *buf, const char *s);
void buf_add_char(Buf *buf, char c);
void buf_printf(Buf *buf, const char *format, ...) _printf_(2, 3);
/* Drops the first `len` bytes. */
void buf_drop(Buf *buf, size_t len);
/* The content as an owned C string ("" if empty); the buffer is empty afterwards. */
char *buf_steal(Buf *buf);
static inline Slice buf_slice(const Buf *buf) {
    return (Slice){ buf->data, buf->len };
}
#define _cleanup_buf_ _cleanup_(buf_done)

/* Hex: `out` holds 2*len+1. Decoding wants exactly 2*len hex digits. */
void hex_encode(const void *data, size_t len, char *out);
_must_check_ int hex_decode(const char *hex, void *out, size_t len);

/* Base64 (RFC 4648, padded). Decoding returns owned bytes, -EINVAL on any other character. */
char *base64_encode(const void *data, size_t len);
_must_check_ int base64_decode(const char *text, size_t text_len, void **ret_data, size_t *ret_len);

/* A list of owned strings, ended by NULL; zero-initialised is empty. */
typedef struct StrList {
    char **items;
    size_t len, cap;
} StrList;

void strlist_done(StrList *list);
void strlist_add(StrList *list, const char *s);
void strlist_take(StrList *list, char *s); /* takes ownership */
void strlist_printf(StrList *list, const char *format, ...) _printf_(2, 3);
bool strlist_has(const StrList *list, const char *s);
void strlist_sort(StrList *list);
#define _cleanup_strlist_ _cleanup_(strlist_done)
