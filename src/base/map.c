/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "base/str.h"

/* A removed slot keeps this value so that probing goes on past it. */
static char tombstone_;
#define TOMBSTONE ((void *)&tombstone_)

static uint64_t hash_seed(void) {
    static uint64_t seed; /* the same for the whole process; set once */
    uint64_t have = __atomic_load_n(&seed, __ATOMIC_RELAXED);
    if (UNLIKELY(!have)) {
        uint64_t fresh, none = 0;
        mem_random(&fresh, sizeof(fresh));
        fresh |= 1;
        __atomic_compare_exchange_n(&seed, &none, fresh, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        have = __atomic_load_n(&seed, __ATOMIC_RELAXED);
    }
    return have;
}

uint64_t base_hash(const void *data, size_t len) {
    return XXH3_64bits_withSeed(data, len, hash_seed());
}

/* A slot begins with the value. Behind it lies a copy of the key, padded to a multiple of 8; or, where the
 * values have the keys, only 32 bits of the hash, and then slots are not aligned. */
static inline void *slot_value(const Map *map, size_t i) {
    void *value;
    memcpy(&value, map->slots + i * map->stride, sizeof(value));
    return value;
}

static inline void slot_set(Map *map, size_t i, void *value) {
    memcpy(map->slots + i * map->stride, &value, sizeof(value));
}

static inline uint8_t *slot_rest(const Map *map, size_t i) {
    return map->slots + i * map->stride + sizeof(void *);
}

static inline uint32_t slot_hash(const Map *map, size_t i) {
    uint32_t hash;
    memcpy(&hash, slot_rest(map, i), sizeof(hash));
    return hash;
}

static inline const uint8_t *slot_key(const Map *map, size_t i) {
    return map->inside ? (const uint8_t *)slot_value(map, i) + map->key_at : slot_rest(map, i);
}

void map_init(Map *map, size_t key_size) {
    ASSERT(key_size > 0 && key_size < 256);
    *map = (Map){ .key_size = (uint32_t)key_size,
                  .stride = (uint32_t)ALIGN_UP(sizeof(void *) + key_size, 8) };
}

void map_init_inside(Map *map, size_t key_size, size_t key_at) {
    ASSERT(key_size > 0 && key_size < 256);
    *map = (Map){ .key_size = (uint32_t)key_size,
                  .stride = sizeof(void *) + sizeof(uint32_t),
                  .key_at = (uint32_t)key_at,
                  .inside = true };
}

void map_done(Map *map) {
    free(map->slots);
    map->slots = NULL;
    map->cap = map->len = map->used = 0;
}

void map_clear(Map *map) {
    map_done(map);
}

static inline uint32_t key_hash(const Map *map, const void *key) {
    return (uint32_t)base_hash(key, map->key_size);
}

static size_t map_find(const Map *map, const void *key, uint32_t hash) {
    if (!map->cap)
        return SIZE_MAX;
    size_t mask = map->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        void *value = slot_value(map, i);
        if (!value)
            return SIZE_MAX;
        if (value == TOMBSTONE || (map->inside && slot_hash(map, i) != hash))
            continue;
        if (memcmp(slot_key(map, i), key, map->key_size) == 0)
            return i;
    }
}

void *map_get(const Map *map, const void *key) {
    size_t i = map_find(map, key, key_hash(map, key));
    return i == SIZE_MAX ? NULL : slot_value(map, i);
}

static void map_insert_new(Map *map, const void *key, uint32_t hash, void *value) {
    size_t mask = map->cap - 1, i = hash & mask;
    while (slot_value(map, i) && slot_value(map, i) != TOMBSTONE)
        i = (i + 1) & mask;
    if (!slot_value(map, i))
        map->used++;
    slot_set(map, i, value);
    if (map->inside)
        memcpy(slot_rest(map, i), &hash, sizeof(hash));
    else
        memcpy(slot_rest(map, i), key, map->key_size);
    map->len++;
}

static void map_rehash(Map *map) {
    Map old = *map;
    size_t cap = 16;
    while (cap < (map->len + 1) * 2)
        cap *= 2;
    ASSERT(cap - 1 <= UINT32_MAX);
    map->slots = mem_zalloc_array(cap, map->stride);
    map->cap = cap;
    map->len = map->used = 0;
    for (size_t i = 0; i < old.cap; i++) {
        void *value = slot_value(&old, i);
        if (!value || value == TOMBSTONE)
            continue;
        const void *key = old.inside ? NULL : slot_key(&old, i); /* nobody looks into the values */
        map_insert_new(map, key, key ? key_hash(map, key) : slot_hash(&old, i), value);
    }
    free(old.slots);
}

void *map_put(Map *map, const void *key, void *value) {
    ASSERT(value && map->key_size);
    uint32_t hash = key_hash(map, key);
    size_t i = map_find(map, key, hash);
    if (i != SIZE_MAX) {
        void *former = slot_value(map, i);
        slot_set(map, i, value);
        return former;
    }
    if ((map->used + 1) * 4 > map->cap * 3)
        map_rehash(map);
    map_insert_new(map, key, hash, value);
    return NULL;
}

void *map_remove(Map *map, const void *key) {
    size_t i = map_find(map, key, key_hash(map, key));
    if (i == SIZE_MAX)
        return NULL;
    void *value = slot_value(map, i);
    bool last_of_run = !slot_value(map, (i + 1) & (map->cap - 1));
    slot_set(map, i, last_of_run ? NULL : TOMBSTONE);
    map->used -= last_of_run;
    map->len--;
    return value;
}

void *map_next(const Map *map, size_t *pos, const void **ret_key) {
    for (; *pos < map->cap; (*pos)++) {
        void *value = slot_value(map, *pos);
        if (!value || value == TOMBSTONE)
            continue;
        if (ret_key)
            *ret_key = slot_key(map, *pos);
        (*pos)++;
        return value;
    }
    return NULL;
}

struct StrMapSlot {
    char *key; /* NULL is free; TOMBSTONE was removed */
    void *value;
};

void strmap_clear(StrMap *map) {
    for (size_t i = 0; i < map->cap; i++)
        if (map->slots[i].key != TOMBSTONE)
            free(map->slots[i].key);
    free(map->slots);
    *map = (StrMap){ 0 };
}

void strmap_done(StrMap *map) {
    strmap_clear(map);
}

static size_t strmap_find(const StrMap *map, const char *key) {
    if (!map->cap)
        return SIZE_MAX;
    size_t mask = map->cap - 1;
    for (size_t i = base_hash(key, strlen(key)) & mask;; i = (i + 1) & mask) {
        const char *have = map->slots[i].key;
        if (!have)
            return SIZE_MAX;
        if (have != TOMBSTONE && strcmp(have, key) == 0)
            return i;
    }
}

void *strmap_get(const StrMap *map, const char *key) {
    size_t i = strmap_find(map, key);
    return i == SIZE_MAX ? NULL : map->slots[i].value;
}

static void strmap_insert_new(StrMap *map, char *key, void *value) {
    size_t mask = map->cap - 1, i = base_hash(key, strlen(key)) & mask;
    while (map->slots[i].key && map->slots[i].key != TOMBSTONE)
        i = (i + 1) & mask;
    if (!map->slots[i].key)
        map->used++;
    map->slots[i] = (struct StrMapSlot){ key, value };
    map->len++;
}

static void strmap_rehash(StrMap *map) {
    StrMap old = *map;
    size_t cap = 16;
    while (cap < (map->len + 1) * 2)
        cap *= 2;
    *map = (StrMap){ .slots = mem_array(struct StrMapSlot, cap), .cap = cap };
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key && old.slots[i].key != TOMBSTONE)
            strmap_insert_new(map, old.slots[i].key, old.slots[i].value);
    free(old.slots);
}

void *strmap_put(StrMap *map, const char *key, void *value) {
    ASSERT(key && value);
    size_t i = strmap_find(map, key);
    if (i != SIZE_MAX) {
        void *former = map->slots[i].value;
        map->slots[i].value = value;
        return former;
    }
    if ((map->used + 1) * 4 > map->cap * 3)
        strmap_rehash(map);
    strmap_insert_new(map, str_dup(key), value);
    return NULL;
}

void *strmap_remove(StrMap *map, const char *key) {
    size_t i = strmap_find(map, key);
    if (i == SIZE_MAX)
        return NULL;
    void *value = map->slots[i].value;
    free(map->slots[i].key);
    map->slots[i] = (struct StrMapSlot){ TOMBSTONE, NULL };
    map->len--;
    return value;
}

void *strmap_next(const StrMap *map, size_t *pos, const char **ret_key) {
    for (; *pos < map->cap; (*pos)++) {
        struct StrMapSlot *slot = &map->slots[*pos];
        if (!slot->key || slot->key == TOMBSTONE)
            continue;
        if (ret_key)
            *ret_key = slot->key;
        (*pos)++;
        return slot->value;
    }
    return NULL;
}
