/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

_noreturn_ _cold_ static void mem_exhausted(size_t size) {
    fprintf(stderr, "out of memory: could not allocate %zu bytes\n", size);
    abort();
}

void *mem_alloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (UNLIKELY(!p))
        mem_exhausted(size);
    return p;
}

void *mem_zalloc(size_t size) {
    void *p = calloc(1, size ? size : 1);
    if (UNLIKELY(!p))
        mem_exhausted(size);
    return p;
}

void *mem_zalloc_array(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (UNLIKELY(!p))
        mem_exhausted(count * size);
    return p;
}

void *mem_realloc(void *p, size_t size) {
    void *q = realloc(p, size ? size : 1);
    if (UNLIKELY(!q))
        mem_exhausted(size);
    return q;
}

void *mem_dup(const void *p, size_t size) {
    void *q = mem_alloc(size);
    if (size)
        memcpy(q, p, size);
    return q;
}

void *mem_try(size_t size) {
    return malloc(size ? size : 1);
}

void *mem_free(void *p) {
    free(p);
    return NULL;
}

bool mem_equal_secret(const void *a, const void *b, size_t len) {
    const volatile uint8_t *x = a, *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < len; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}

void mem_wipe(void *p, size_t len) {
    explicit_bzero(p, len);
}

void mem_random(void *p, size_t len) {
    uint8_t *at = p;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR) {
            fprintf(stderr, "getrandom failed\n");
            abort();
        }
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}
