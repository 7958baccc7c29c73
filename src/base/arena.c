/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdio.h>

enum {
    ARENA_CHUNK = 4096 - 64
};

struct ArenaChunk {
    struct ArenaChunk *next;
    size_t cap, len;
    _Alignas(16) char data[];
};

void *arena_alloc(Arena *arena, size_t size) {
    size_t want = ALIGN_UP(size ? size : 1, 16);
    ASSERT(want >= size);
    struct ArenaChunk *chunk = arena->chunk;
    if (!chunk || chunk->cap - chunk->len < want) {
        size_t cap = MAX(want, (size_t)ARENA_CHUNK);
        chunk = mem_alloc(sizeof(*chunk) + cap);
        chunk->cap = cap;
        chunk->len = 0;
        chunk->next = arena->chunk;
        arena->chunk = chunk;
    }
    void *p = chunk->data + chunk->len;
    chunk->len += want;
    arena->used += want;
    return memset(p, 0, want);
}

char *arena_dup(Arena *arena, const void *data, size_t len) {
    char *p = arena_alloc(arena, len + 1);
    if (len)
        memcpy(p, data, len);
    return p;
}

char *arena_str(Arena *arena, const char *s) {
    return s ? arena_dup(arena, s, strlen(s)) : NULL;
}

char *arena_printf(Arena *arena, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *s = str_vprintf(format, ap);
    va_end(ap);
    return arena_str(arena, s);
}

void arena_done(Arena *arena) {
    for (struct ArenaChunk *chunk = arena->chunk, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *arena = (Arena){ 0 };
}
