/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Open-addressing hash maps to pointers: Map has keys of one fixed size (ids, numbers), StrMap
 * has C strings. Keys are copied in, unless the values have them. Pointers are the caller's. Hashes are seeded per process,
 * so an outsider can't choose colliding keys. Iteration order is unspecified; inserting while
 * iterating is forbidden, removing the current entry is allowed.
 */

#include "base/base.h"

typedef struct Map {
    uint8_t *slots; /* cap slots of { void *value; key }; value NULL is free */
    size_t cap, len, used;
    uint32_t key_size, stride;
    uint32_t key_at; /* inside: in the value */
    bool inside;     /* slots of { void *value; uint32_t hash } */
} Map;

void map_init(Map *map, size_t key_size);
/* The key of each value lies in it, at `key_at`, and does not change while it is in the map: a table of
 * millions is a third as large. A value is put under its own key only. */
void map_init_inside(Map *map, size_t key_size, size_t key_at);
/* Frees the table, not the values. */
void map_done(Map *map);
void map_clear(Map *map);
/* NULL when absent. */
void *map_get(const Map *map, const void *key);
/* Sets and returns the former value, or NULL. `value` is not NULL. */
void *map_put(Map *map, const void *key, void *value);
/* Removes and returns, or NULL. */
void *map_remove(Map *map, const void *key);
/* Start with *pos = 0. Returns NULL at the end; *ret_key (may be NULL) is borrowed. */
void *map_next(const Map *map, size_t *pos, const void **ret_key);
static inline size_t map_len(const Map *map) {
    return map->len;
}

#define MAP_EACH(map, pos, value)                                                                  \
    for (size_t pos = 0; ((value) = map_next((map), &pos, NULL)) != NULL;)

typedef struct StrMap {
    struct StrMapSlot *slots;
    size_t cap, len, used;
} StrMap;

void strmap_done(StrMap *map); /* zero-initialised is empty */
void strmap_clear(StrMap *map);
void *strmap_get(const StrMap *map, const char *key);
void *strmap_put(StrMap *map, const char *key, void *value);
void *strmap_remove(StrMap *map, const char *key);
void *strmap_next(const StrMap *map, size_t *pos, const char **ret_key);
static inline size_t strmap_len(const StrMap *map) {
    return map->len;
}

/* 64-bit seeded hash, for tables only. */
uint64_t base_hash(const void *data, size_t len);
