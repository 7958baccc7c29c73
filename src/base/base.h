/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every file may assume: integer types, attributes, assertions, a few macros. */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define _cleanup_(fn)     __attribute__((cleanup(fn)))
#define _must_check_      __attribute__((warn_unused_result))
#define _printf_(fmt, va) __attribute__((format(printf, fmt, va)))
#define _noreturn_        __attribute__((noreturn))
#define _hot_             __attribute__((hot))
#define _cold_            __attribute__((cold))

#define LIKELY(x)    __builtin_expect(!!(x), 1)
#define UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* Each evaluates its arguments once: a clock that is read twice has moved, and so has a shared word. */
#define MIN(a, b)              BASE_PICK(<, a, b, __COUNTER__)
#define MAX(a, b)              BASE_PICK(>, a, b, __COUNTER__)
#define CLAMP(x, lo, hi)       MIN(MAX(x, lo), hi)
#define BASE_JOIN(a, b)        a##b
#define BASE_PICK(op, a, b, n) BASE_PICK_(op, a, b, BASE_JOIN(left_, n), BASE_JOIN(right_, n))
#define BASE_PICK_(op, a, b, x, y)                                                                 \
    ({                                                                                             \
        __auto_type x = (a);                                                                       \
        __auto_type y = (b);                                                                       \
        x op y ? x : y;                                                                            \
    })
#define ALIGN_UP(n, a) (((n) + (a) - 1) / (a) * (a))
#define UNUSED(x)      ((void)(x))

#define CONTAINER_OF(ptr, type, field) ((type *)((char *)(uintptr_t)(ptr) - offsetof(type, field)))

/* Hands the value of a variable over and leaves NULL behind, so that its cleanup does nothing. */
#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

/* Defines x_freep() for _cleanup_(x_freep) from `Type *x_free(Type *)` or a void one. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
    static inline void fn##p(type *p) {                                                            \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }                                                                                              \
    struct base_cleanup_semicolon_

/* Time: microseconds. Monotonic unless the name says `wall` (then since 1970, UTC). */
typedef int64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_PER_MIN  (60 * USEC_PER_SEC)
#define USEC_INFINITY INT64_MAX

/* Always on: a broken invariant stops the process with file, line and text. */
_noreturn_ _cold_ void base_assert_failed(const char *text, const char *file, int line);
#define ASSERT(x) (LIKELY(x) ? (void)0 : base_assert_failed(#x, __FILE__, __LINE__))
