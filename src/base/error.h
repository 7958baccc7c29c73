/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Errors. Every `int` outcome is one of
 *     0         done,
 *     negative  -errno: a failure nobody here can mend; forward it with `return r;`,
 *     positive  an answer the called function's header names; the caller handles it.
 * A negative code travels with a sentence, kept in a slot of the calling thread until the next
 * error_origin(). Library folders raise and forward; a service logs the sentence once.
 */

#include <errno.h>

#include "base/base.h"

/* Raises: remembers the formatted sentence, returns `code` (which must be negative). */
_cold_ int error_origin(int code, const char *format, ...) _printf_(2, 3);

/* The same, with ": " and strerror(-code) added. */
_cold_ int error_origin_errno(int code, const char *format, ...) _printf_(2, 3);

/* Puts "context: " in front of the sentence of `code`; returns `code`. */
_cold_ int error_context(int code, const char *format, ...) _printf_(2, 3);

/* The sentence of the last failure of this thread, or strerror(-code) if none was raised for it.
 * Borrowed until the next error_origin() on this thread. */
const char *error_text(int code);

/* Turns an errno-style result into ours: `return error_last("open %s", path)`. Reads errno. */
_cold_ int error_last(const char *format, ...) _printf_(1, 2);
