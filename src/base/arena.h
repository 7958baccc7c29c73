/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that is freed all at once: one arena a request. An `Arena *` parameter in a prototype
 * means that the result lives as long as the arena. Zero-initialised is empty. */

#include "base/base.h"
#include "base/str.h"

typedef struct Arena {
    struct ArenaChunk *chunk; /* newest first */
    size_t used;              /* bytes handed out, for limits */
} Arena;

void *arena_alloc(Arena *arena, size_t size);                /* zeroed, aligned to 16 */
char *arena_dup(Arena *arena, const void *data, size_t len); /* NUL added */
char *arena_str(Arena *arena, const char *s);
char *arena_printf(Arena *arena, const char *format, ...) _printf_(2, 3);
void arena_done(Arena *arena);
#define arena_new(arena, Type)          ((Type *)arena_alloc((arena), sizeof(Type)))
#define arena_array(arena, Type, count) ((Type *)arena_alloc((arena), (count) * sizeof(Type)))
#define _cleanup_arena_                 _cleanup_(arena_done)
