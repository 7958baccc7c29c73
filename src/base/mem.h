/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Heap. mem_* never returns NULL: running out of heap aborts, since nothing sensible can follow.
 * What a peer or a user can make grow is bounded by a counter before it is allocated; where a
 * single size comes from outside, mem_try() returns NULL instead.
 */

#include <stdlib.h>

#include "base/base.h"

#define mem_new(Type)          ((Type *)mem_zalloc(sizeof(Type)))
#define mem_array(Type, count) ((Type *)mem_zalloc_array((count), sizeof(Type)))

void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_zalloc_array(size_t count, size_t size)
    __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((alloc_size(2), returns_nonnull));
void *mem_dup(const void *p, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_try(size_t size) __attribute__((malloc, alloc_size(1)));

/* Takes NULL; returns NULL, so `p = mem_free(p)` reads well. */
void *mem_free(void *p);

static inline void mem_freep(void *pp) {
    void *p;
    memcpy(&p, pp, sizeof(p));
    free(p);
}
#define _cleanup_free_ _cleanup_(mem_freep)

/* Compares secrets in a time that depends on `len` alone. */
bool mem_equal_secret(const void *a, const void *b, size_t len);

/* Clears a secret; the compiler does not drop it. */
void mem_wipe(void *p, size_t len);

/* Fills with random bytes from the kernel. */
void mem_random(void *p, size_t len);
