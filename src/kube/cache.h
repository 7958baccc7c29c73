/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Objects of one kind in the order of their keys, with indexes. Pure; the informer's memory. */

#include "codec/json.h"
#include "kube/informer.h"

typedef struct KubeCache KubeCache;

KubeCache *kube_cache_new(void);
KubeCache *kube_cache_free(KubeCache *cache);
void kube_cache_add_index(KubeCache *cache, const char *name, KubeIndexFn *fn);

size_t kube_cache_count(const KubeCache *cache);
json_t *kube_cache_get(const KubeCache *cache, const char *key); /* borrowed, or NULL */
json_t *kube_cache_at(const KubeCache *cache, size_t index);     /* borrowed, or NULL */
json_t *const *kube_cache_by(const KubeCache *cache, const char *index, const char *key,
                             size_t *ret_count);
/* Steals the reference `object`. *ret_old: what was there, now the caller's, or NULL. */
void kube_cache_put(KubeCache *cache, const char *key, json_t *object, json_t **ret_old);
json_t *kube_cache_remove(KubeCache *cache, const char *key); /* now the caller's, or NULL */

/* Order of two revisions: <0, 0, >0; texts that are no numbers count as newer unless equal. */
int kube_revision_compare(const char *a, const char *b);
