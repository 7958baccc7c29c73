/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A cache of all objects of one kind, kept true by list and watch: pages, bookmarks, resumption
 * from the last revision, a new list when that is too old, back-off while the server is away, forgets at
 * once, or gives a list without end.
 *
 * Handlers are called after the cache has changed. Across a new list they see only differences:
 * what vanished meanwhile is `deleted` with its last known state.
 */

#include "kube/client.h"

typedef struct KubeInformer KubeInformer;

typedef struct KubeInformerSpec { /* copied */
    KubeGvr gvr;
    const char *namespace;        /* NULL: all */
    const char *label_selector, *field_selector;
    int64_t page;                 /* 0: 500 */
    /* Keeps of each object what is needed: gets it as its own, changes it in place. May be NULL.
     * metadata's namespace, name, uid, resourceVersion must stay. managedFields are dropped always. */
    void (*trim)(json_t *object);
} KubeInformerSpec;

typedef struct KubeInformerEvents { /* borrowed for life; each may be NULL */
    void (*added)(void *ctx, json_t *object);
    void (*updated)(void *ctx, json_t *old, json_t *object);
    void (*deleted)(void *ctx, json_t *object);
    void (*synced)(void *ctx); /* the first list is complete; its `added` came before */
    /* It does not get on (no rights, no CRD, server away) and will try again; for a log line. Told
     * when the sentence changes, not at each attempt. */
    void (*stuck)(void *ctx, int r, const char *message);
} KubeInformerEvents;

/* Appends the keys under which an object is found. */
typedef void KubeIndexFn(const json_t *object, StrList *keys);

KubeInformer *kube_informer_new(KubeClient *client, const KubeInformerSpec *spec,
                                const KubeInformerEvents *events, void *ctx);
KubeInformer *kube_informer_free(KubeInformer *informer);
DEFINE_CLEANUP(KubeInformer *, kube_informer_free);
/* Before kube_informer_start(). `name` is borrowed for life. */
void kube_informer_add_index(KubeInformer *informer, const char *name, KubeIndexFn *fn);
void kube_informer_start(KubeInformer *informer);

bool kube_informer_synced(const KubeInformer *informer);
size_t kube_informer_count(const KubeInformer *informer);
/* Borrowed until the next event of this informer; json_incref() to keep, never change. */
json_t *kube_informer_get(const KubeInformer *informer, const char *namespace, const char *name);
/* Objects in order of their keys ("namespace/name"). Start with *pos = 0; NULL at the end. Do not
 * return to the loop in between. */
json_t *kube_informer_next(const KubeInformer *informer, size_t *pos);
/* Of an index: borrowed array, *ret_count long, ordered by key. */
json_t *const *kube_informer_by(const KubeInformer *informer, const char *index, const char *key,
                                size_t *ret_count);

/* Writes what a reply of ours has brought into the cache at once (own creates and updates are then
 * seen by the next reconcile). An older revision than the cached one is ignored. */
void kube_informer_observe(KubeInformer *informer, json_t *object);

/* Indexers. */
void kube_index_namespace(const json_t *object, StrList *keys);
void kube_index_owner(const json_t *object, StrList *keys); /* uids of all owners */
