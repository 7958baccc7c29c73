/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ERROR_TEXT_MAX = 1024
};

static _Thread_local struct {
    int code;
    char text[ERROR_TEXT_MAX];
} slot;

void base_assert_failed(const char *text, const char *file, int line) {
    fprintf(stderr, "assertion failed: %s (%s:%d)\n", text, file, line);
    fflush(stderr);
    abort();
}

static void slot_set(int code, const char *format, va_list ap) {
    /* The arguments may point into the slot itself, so format aside first. */
    char text[ERROR_TEXT_MAX];
    vsnprintf(text, sizeof(text), format, ap);
    memcpy(slot.text, text, sizeof(text));
    slot.code = code;
}

int error_origin(int code, const char *format, ...) {
    ASSERT(code < 0);
    va_list ap;
    va_start(ap, format);
    slot_set(code, format, ap);
    va_end(ap);
    return code;
}

static void slot_append_errno(int code) {
    size_t len = strlen(slot.text);
    snprintf(slot.text + len, sizeof(slot.text) - len, ": %s", strerror(-code));
}

int error_origin_errno(int code, const char *format, ...) {
    ASSERT(code < 0);
    va_list ap;
    va_start(ap, format);
    slot_set(code, format, ap);
    va_end(ap);
    slot_append_errno(code);
    return code;
}

int error_last(const char *format, ...) {
    int code = errno > 0 ? -errno : -EIO;
    va_list ap;
    va_start(ap, format);
    slot_set(code, format, ap);
    va_end(ap);
    slot_append_errno(code);
    return code;
}

int error_context(int code, const char *format, ...) {
    char before[ERROR_TEXT_MAX];
    va_list ap;
    snprintf(before, sizeof(before), "%s", error_text(code));
    va_start(ap, format);
    slot_set(code, format, ap);
    va_end(ap);
    size_t len = strlen(slot.text);
    snprintf(slot.text + len, sizeof(slot.text) - len, ": %s", before);
    return code;
}

const char *error_text(int code) {
    return slot.code == code && slot.text[0] ? slot.text : strerror(code < 0 ? -code : code);
}
