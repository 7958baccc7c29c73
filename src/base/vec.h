/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Growing array of values: `Vec(Task) tasks = { 0 };`. Zero-initialised is empty. */

#include "base/base.h"
#include "base/mem.h"

#define Vec(Type)                                                                                  \
    struct {                                                                                       \
        Type *items;                                                                               \
        size_t len, cap;                                                                           \
    }

#define vec_reserve(v, want)                                                                       \
    do {                                                                                           \
        if ((want) > (v)->cap) {                                                                   \
            (v)->cap = MAX((v)->cap * 2, MAX((size_t)(want), (size_t)8));                          \
            (v)->items = mem_realloc((v)->items, (v)->cap * sizeof(*(v)->items));                  \
        }                                                                                          \
    } while (0)
#define vec_push(v, ...)                                                                           \
    do {                                                                                           \
        vec_reserve(v, (v)->len + 1);                                                              \
        (v)->items[(v)->len++] = (__VA_ARGS__);                                                    \
    } while (0)
#define vec_pop(v)   ((v)->items[--(v)->len])
#define vec_clear(v) ((v)->len = 0)
/* Removes by moving the last item into the hole. */
#define vec_remove_swap(v, i) ((v)->items[i] = (v)->items[--(v)->len])
/* Removes and keeps the order. */
#define vec_remove(v, i)                                                                           \
    do {                                                                                           \
        memmove(&(v)->items[i], &(v)->items[(i) + 1], ((v)->len - (i) - 1) * sizeof(*(v)->items)); \
        (v)->len--;                                                                                \
    } while (0)
#define vec_done(v)                                                                                \
    do {                                                                                           \
        free((v)->items);                                                                          \
        (v)->items = NULL;                                                                         \
        (v)->len = (v)->cap = 0;                                                                   \
    } while (0)
#define VEC_EACH(item, v)                                                                          \
    for (__typeof__(*(v)->items) *item = (v)->items; item && item < (v)->items + (v)->len; item++)
