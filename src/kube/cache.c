/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/cache.h"

#include "base/map.h"
#include "base/vec.h"
#include "kobj/meta.h"

typedef struct Entry {
    char *key;
    json_t *object;
} Entry;

/* The objects under one key of an index, by their own keys. */
typedef struct Bucket {
    Vec(json_t *) objects;
    Vec(const char *) keys; /* Entry.key, same positions */
} Bucket;

typedef struct Index {
    const char *name;
    KubeIndexFn *fn;
    StrMap buckets; /* key to Bucket */
} Index;

struct KubeCache {
    StrMap by_key;       /* key to Entry */
    Vec(Entry *) sorted; /* the same */
    Vec(Index *) indexes;
};

KubeCache *kube_cache_new(void) {
    return mem_new(KubeCache);
}

static void bucket_free(Bucket *bucket) {
    vec_done(&bucket->objects);
    vec_done(&bucket->keys);
    mem_free(bucket);
}

static void index_free(Index *index) {
    size_t pos = 0;
    for (Bucket *bucket; (bucket = strmap_next(&index->buckets, &pos, NULL));)
        bucket_free(bucket);
    strmap_done(&index->buckets);
    mem_free(index);
}

static void entry_free(Entry *entry) {
    mem_free(entry->key);
    json_decref(entry->object);
    mem_free(entry);
}

KubeCache *kube_cache_free(KubeCache *cache) {
    if (!cache)
        return NULL;
    VEC_EACH(index, &cache->indexes)
        index_free(*index);
    VEC_EACH(entry, &cache->sorted)
        entry_free(*entry);
    vec_done(&cache->indexes);
    vec_done(&cache->sorted);
    strmap_done(&cache->by_key);
    return mem_free(cache);
}

void kube_cache_add_index(KubeCache *cache, const char *name, KubeIndexFn *fn) {
    ASSERT(cache->sorted.len == 0);
    Index *index = mem_new(Index);
    *index = (Index){ .name = name, .fn = fn };
    vec_push(&cache->indexes, index);
}

size_t kube_cache_count(const KubeCache *cache) {
    return cache->sorted.len;
}

json_t *kube_cache_get(const KubeCache *cache, const char *key) {
    const Entry *entry = strmap_get(&cache->by_key, key);
    return entry ? entry->object : NULL;
}

json_t *kube_cache_at(const KubeCache *cache, size_t index) {
    return index < cache->sorted.len ? cache->sorted.items[index]->object : NULL;
}

json_t *const *kube_cache_by(const KubeCache *cache, const char *name, const char *key,
                             size_t *ret_count) {
    *ret_count = 0;
    VEC_EACH(index, &cache->indexes) {
        if (!str_eq((*index)->name, name))
            continue;
        const Bucket *bucket = strmap_get(&(*index)->buckets, key);
        if (!bucket)
            return NULL;
        *ret_count = bucket->objects.len;
        return bucket->objects.items;
    }
    ASSERT(!"an index that was not added");
    return NULL;
}

/* The first position whose key is not before `key`. */
static size_t sorted_position(const KubeCache *cache, const char *key) {
    size_t low = 0, high = cache->sorted.len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(cache->sorted.items[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t bucket_position(const Bucket *bucket, const char *key) {
    size_t low = 0, high = bucket->keys.len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(bucket->keys.items[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void bucket_add(Index *index, const char *name, const Entry *entry) {
    Bucket *bucket = strmap_get(&index->buckets, name);
    if (!bucket) {
        bucket = mem_new(Bucket);
        strmap_put(&index->buckets, name, bucket);
    }
    size_t at = bucket_position(bucket, entry->key);
    if (at < bucket->keys.len && str_eq(bucket->keys.items[at], entry->key))
        return; /* the indexer named the same key twice */
    vec_push(&bucket->objects, NULL);
    vec_push(&bucket->keys, NULL);
    size_t after = bucket->keys.len - 1 - at;
    memmove(&bucket->objects.items[at + 1], &bucket->objects.items[at], after * sizeof(json_t *));
    memmove(&bucket->keys.items[at + 1], &bucket->keys.items[at], after * sizeof(char *));
    bucket->objects.items[at] = entry->object;
    bucket->keys.items[at] = entry->key;
}

static void bucket_remove(Index *index, const char *name, const Entry *entry) {
    Bucket *bucket = strmap_get(&index->buckets, name);
    size_t at = bucket ? bucket_position(bucket, entry->key) : 0;
    if (!bucket || at == bucket->keys.len || !str_eq(bucket->keys.items[at], entry->key))
        return;
    vec_remove(&bucket->objects, at);
    vec_remove(&bucket->keys, at);
    if (bucket->keys.len == 0) {
        strmap_remove(&index->buckets, name);
        bucket_free(bucket);
    }
}

static void index_entry(KubeCache *cache, const Entry *entry, bool add) {
    VEC_EACH(index, &cache->indexes) {
        _cleanup_strlist_ StrList names = { 0 };
        (*index)->fn(entry->object, &names);
        for (size_t i = 0; i < names.len; i++) {
            if (add)
                bucket_add(*index, names.items[i], entry);
            else
                bucket_remove(*index, names.items[i], entry);
        }
    }
}

void kube_cache_put(KubeCache *cache, const char *key, json_t *object, json_t **ret_old) {
    Entry *entry = strmap_get(&cache->by_key, key);
    *ret_old = NULL;
    if (entry) {
        index_entry(cache, entry, /* add= */ false);
        *ret_old = entry->object;
        entry->object = object;
    } else {
        entry = mem_new(Entry);
        entry->key = str_dup(key);
        entry->object = object;
        strmap_put(&cache->by_key, key, entry);
        size_t at = sorted_position(cache, key);
        vec_push(&cache->sorted, NULL);
        memmove(&cache->sorted.items[at + 1], &cache->sorted.items[at],
                (cache->sorted.len - 1 - at) * sizeof(Entry *));
        cache->sorted.items[at] = entry;
    }
    index_entry(cache, entry, /* add= */ true);
}

json_t *kube_cache_remove(KubeCache *cache, const char *key) {
    Entry *entry = strmap_remove(&cache->by_key, key);
    if (!entry)
        return NULL;
    index_entry(cache, entry, /* add= */ false);
    vec_remove(&cache->sorted, sorted_position(cache, key));
    json_t *object = TAKE(entry->object);
    entry_free(entry);
    return object;
}

int kube_revision_compare(const char *a, const char *b) {
    uint64_t x, y;
    if (str_eq(a, b))
        return 0;
    if (!a || !b || str_to_u64(a, &x) < 0 || str_to_u64(b, &y) < 0)
        return 1;
    return x < y ? -1 : x > y;
}

void kube_index_namespace(const json_t *object, StrList *keys) {
    const char *namespace = obj_namespace(object);
    strlist_add(keys, namespace ? namespace : "");
}

void kube_index_owner(const json_t *object, StrList *keys) {
    size_t i;
    json_t *owner;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, owner) {
        const char *uid = json_str_at(owner, "uid");
        if (uid)
            strlist_add(keys, uid);
    }
}
