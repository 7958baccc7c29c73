/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List, then watch from the list's revision; again from the last revision seen when a watch ends,
 * and from the list when that revision is too old. A new list is collected aside and compared with
 * the cache when it is complete, so handlers never see a half one.
 */
#include "kube/informer.h"

#include "base/map.h"
#include "kobj/meta.h"
#include "kube/cache.h"

enum {
    PAGE = 500,
    TOMBSTONES = 256,
    /* Of one list. Kubernetes is built for 150 000 pods. */
    OBJECTS_MAX = 300 * 1000,
    PAGES_MAX = 1000,
};
#define LIST_MAX    (10 * USEC_PER_MIN)
#define BACKOFF_MIN (200 * USEC_PER_MSEC)
#define BACKOFF_MAX (20 * USEC_PER_SEC)
#define WATCH_SHORT USEC_PER_SEC /* one that ends sooner is no success */

struct KubeInformer {
    KubeClient *client;
    KubeGvr gvr;
    char *group, *version, *resource, *namespace, *label_selector, *field_selector;
    int64_t page;
    void (*trim)(json_t *object);
    const KubeInformerEvents *events;
    void *ctx;

    KubeCache *cache;
    bool synced;
    KubeCall *list;
    KubeWatch *watch;
    usec_t watch_began;
    LoopTimer *retry;
    unsigned failures;
    char *revision;       /* to go on from; NULL: list first */
    char *continue_token; /* of the list that is running, */
    unsigned pages;       /* how many of it have come, */
    usec_t list_began;    /* and since when it runs */
    StrMap listed;        /* keys seen by it (values: the informer, any non-NULL) */
    char *complaint;      /* told last by `stuck` */

    /* Lately deleted uids: an observe() that comes late must not bring one back. */
    char *tombstones[TOMBSTONES];
    size_t tombstone_at;

    int depth;
    bool freed;
};

static void list_start(KubeInformer *informer);
static void watch_start(KubeInformer *informer);

static void again(void *ctx) {
    KubeInformer *informer = ctx;
    if (informer->revision)
        watch_start(informer);
    else
        list_start(informer);
}

KubeInformer *kube_informer_new(KubeClient *client, const KubeInformerSpec *spec,
                                const KubeInformerEvents *events, void *ctx) {
    KubeInformer *informer = mem_new(KubeInformer);
    informer->client = client;
    informer->events = events;
    informer->ctx = ctx;
    informer->group = str_dup(spec->gvr.group);
    informer->version = str_dup(spec->gvr.version);
    informer->resource = str_dup(spec->gvr.resource);
    informer->gvr = (KubeGvr){ informer->group, informer->version, informer->resource };
    informer->namespace = str_dup(spec->namespace);
    informer->label_selector = str_dup(spec->label_selector);
    informer->field_selector = str_dup(spec->field_selector);
    informer->page = spec->page ? spec->page : PAGE;
    informer->trim = spec->trim;
    informer->cache = kube_cache_new();
    informer->retry = loop_timer_new(kube_client_loop(client), again, informer);
    return informer;
}

static void memory_free(KubeInformer *informer) {
    char *all[] = { informer->group,          informer->version,        informer->resource,
                    informer->namespace,      informer->label_selector, informer->field_selector,
                    informer->continue_token, informer->revision,       informer->complaint };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        mem_free(all[i]);
    for (size_t i = 0; i < TOMBSTONES; i++)
        mem_free(informer->tombstones[i]);
    strmap_done(&informer->listed);
    kube_cache_free(informer->cache);
    mem_free(informer);
}

KubeInformer *kube_informer_free(KubeInformer *informer) {
    if (!informer)
        return NULL;
    informer->list = kube_call_free(informer->list);
    informer->watch = kube_watch_free(informer->watch);
    informer->retry = loop_timer_free(informer->retry);
    informer->freed = true;
    if (informer->depth == 0)
        memory_free(informer);
    return NULL;
}

void kube_informer_add_index(KubeInformer *informer, const char *name, KubeIndexFn *fn) {
    kube_cache_add_index(informer->cache, name, fn);
}

void kube_informer_start(KubeInformer *informer) {
    list_start(informer);
}

/* Handlers may free the informer: false then, touch nothing. */
static void enter(KubeInformer *informer) {
    informer->depth++;
}

static bool leave(KubeInformer *informer) {
    informer->depth--;
    if (!informer->freed)
        return true;
    if (informer->depth == 0)
        memory_free(informer);
    return false;
}

/* Changes of the cache. */

static void bury(KubeInformer *informer, const json_t *object) {
    char **slot = &informer->tombstones[informer->tombstone_at++ % TOMBSTONES];
    str_set(slot, obj_uid(object));
}

static bool is_buried(const KubeInformer *informer, const json_t *object) {
    const char *uid = obj_uid(object);
    for (size_t i = 0; uid && i < TOMBSTONES; i++)
        if (str_eq(informer->tombstones[i], uid))
            return true;
    return false;
}

static void drop(KubeInformer *informer, const char *key, json_t *last) {
    _cleanup_json_ json_t *old = kube_cache_remove(informer->cache, key);
    if (!old)
        return;
    bury(informer, old);
    if (informer->events->deleted)
        informer->events->deleted(informer->ctx, last ? last : old);
}

/* Takes the reference. What is not newer than the cached one is no news. */
static void store(KubeInformer *informer, json_t *object) {
    _cleanup_json_ json_t *fresh = object;
    _cleanup_free_ char *key = obj_key(object);
    const json_t *known = kube_cache_get(informer->cache, key);
    if (known &&
        kube_revision_compare(obj_resource_version(object), obj_resource_version(known)) <= 0)
        return;
    json_remove_at(fresh, "metadata", "managedFields");
    if (informer->trim)
        informer->trim(fresh);
    if (known && !str_eq(obj_uid(known), obj_uid(fresh))) {
        drop(informer, key, NULL); /* deleted and made anew while nobody looked */
        if (informer->freed)
            return;
    }
    _cleanup_json_ json_t *old = NULL;
    kube_cache_put(informer->cache, key, json_incref(fresh), &old);
    if (old && informer->events->updated)
        informer->events->updated(informer->ctx, old, fresh);
    else if (!old && informer->events->added)
        informer->events->added(informer->ctx, fresh);
}

void kube_informer_observe(KubeInformer *informer, json_t *object) {
    if (is_buried(informer, object) || !informer->synced)
        return;
    enter(informer);
    store(informer, json_deep_copy(object));
    leave(informer);
}

/* Failures. */

static void complain(KubeInformer *informer, int r, const char *message) {
    if (str_eq(informer->complaint, message))
        return;
    str_set(&informer->complaint, message);
    if (informer->events->stuck)
        informer->events->stuck(informer->ctx, r, message);
}

static void back_off(KubeInformer *informer) {
    usec_t delay = BACKOFF_MIN;
    for (unsigned i = 0; i < informer->failures && delay < BACKOFF_MAX; i++)
        delay *= 2;
    uint8_t random;
    mem_random(&random, sizeof(random));
    delay = MIN(delay, BACKOFF_MAX);
    informer->failures++;
    loop_timer_after(informer->retry, delay / 2 + delay * random / 512);
}

static void failed(KubeInformer *informer, int r, const char *message) {
    enter(informer);
    complain(informer, r, message);
    if (leave(informer))
        back_off(informer);
}

/* Listing. */

/* Items of built-in lists carry neither kind nor version: those are the list's. */
static void name_item(json_t *item, const json_t *list) {
    const char *kind = json_str_at(list, "kind"), *version = json_str_at(list, "apiVersion");
    if (obj_kind(item) || !kind || !version || !str_ends(kind, "List"))
        return;
    json_object_set_new(item, "kind", json_stringn(kind, strlen(kind) - strlen("List")));
    json_object_set_new(item, "apiVersion", json_string(version));
}

static void take_items(KubeInformer *informer, json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach(json_at(list, "items"), i, item) {
        if (!obj_name(item))
            continue;
        _cleanup_free_ char *key = obj_key(item);
        strmap_put(&informer->listed, key, informer);
        name_item(item, list);
        store(informer, json_incref(item));
        if (informer->freed)
            return;
    }
}

/* What the list did not show is gone, unless we know it from a later revision. */
static void drop_unlisted(KubeInformer *informer, const char *revision) {
    _cleanup_strlist_ StrList gone = { 0 };
    for (size_t i = 0; i < kube_cache_count(informer->cache); i++) {
        const json_t *object = kube_cache_at(informer->cache, i);
        char *key = obj_key(object);
        bool later = kube_revision_compare(obj_resource_version(object), revision) > 0;
        if (!strmap_get(&informer->listed, key) && !later)
            strlist_take(&gone, key);
        else
            mem_free(key);
    }
    for (size_t i = 0; i < gone.len && !informer->freed; i++)
        drop(informer, gone.items[i], NULL);
}

static void list_complete(KubeInformer *informer, const char *revision) {
    drop_unlisted(informer, revision);
    if (informer->freed)
        return;
    strmap_done(&informer->listed);
    str_set(&informer->revision, revision);
    informer->complaint = mem_free(informer->complaint);
    if (!informer->synced) {
        informer->synced = true;
        if (informer->events->synced)
            informer->events->synced(informer->ctx);
    }
    if (!informer->freed)
        watch_start(informer);
}

/* Whether another page may be asked for. */
static int list_goes_on(const KubeInformer *informer, const char *token) {
    usec_t now = loop_now(kube_client_loop(informer->client));
    if (str_eq(token, informer->continue_token))
        return error_origin(-EPROTO,
                            "the list of %s stands still: the server gave one continue "
                            "token for two pages",
                            informer->resource);
    if (strmap_len(&informer->listed) > OBJECTS_MAX)
        return error_origin(-E2BIG, "there are more than %d %s: too many to follow", OBJECTS_MAX,
                            informer->resource);
    if (informer->pages >= PAGES_MAX)
        return error_origin(-E2BIG, "the list of %s has more than %d pages", informer->resource,
                            PAGES_MAX);
    if (now - informer->list_began > LIST_MAX)
        return error_origin(-ETIMEDOUT, "the list of %s has not come to its end in %d minutes",
                            informer->resource, (int)(LIST_MAX / USEC_PER_MIN));
    return 0;
}

static void take_page(KubeInformer *informer, json_t *list) {
    const char *token = json_str_at(list, "metadata", "continue");
    const char *revision = json_str_at(list, "metadata", "resourceVersion");
    take_items(informer, list);
    if (informer->freed)
        return;
    informer->pages++;
    int r = str_empty(token) ? 0 : list_goes_on(informer, token);
    str_set(&informer->continue_token, r == 0 ? token : NULL);
    if (r < 0)
        failed(informer, r, error_text(r));
    else if (str_empty(token))
        list_complete(informer, revision ? revision : "");
    else
        list_start(informer);
}

static void on_list(void *ctx, const KubeReply *reply) {
    KubeInformer *informer = ctx;
    informer->list = NULL;
    if (reply->r == 0) {
        enter(informer);
        take_page(informer, reply->body);
        leave(informer);
        return;
    }
    informer->continue_token = mem_free(informer->continue_token);
    if (reply->r == KUBE_GONE && informer->page) {
        informer->page = 0; /* the list changes faster than pages can be read: all at once */
        list_start(informer);
        return;
    }
    failed(informer, reply->r, reply->message);
}

static void list_start(KubeInformer *informer) {
    if (str_empty(informer->continue_token)) {
        strmap_clear(&informer->listed);
        informer->pages = 0;
        informer->list_began = loop_now(kube_client_loop(informer->client));
    }
    KubeRequest request = { .verb = KUBE_GET,
                            .gvr = informer->gvr,
                            .namespace = informer->namespace,
                            .label_selector = informer->label_selector,
                            .field_selector = informer->field_selector,
                            .limit = informer->page,
                            .continue_token = informer->continue_token,
                            .timeout = USEC_PER_MIN };
    informer->list = kube_call(informer->client, &request, on_list, informer);
}

/* Watching. */

static void on_event(void *ctx, const char *type, json_t *object) {
    KubeInformer *informer = ctx;
    const char *revision = obj_resource_version(object);
    if (revision)
        str_set(&informer->revision, revision);
    if (!obj_name(object)) /* bookmarks are only a revision */
        return;
    enter(informer);
    if (str_eq(type, "DELETED")) {
        _cleanup_free_ char *key = obj_key(object);
        const json_t *known = kube_cache_get(informer->cache, key);
        bury(informer, object);
        if (known && str_eq(obj_uid(known), obj_uid(object)))
            drop(informer, key, object);
    } else if (str_eq(type, "ADDED") || str_eq(type, "MODIFIED")) {
        store(informer, json_incref(object));
    }
    if (leave(informer))
        informer->failures = 0;
}

static void on_watch_ended(void *ctx, int r, const char *message) {
    KubeInformer *informer = ctx;
    informer->watch = NULL;
    usec_t now = loop_now(kube_client_loop(informer->client));
    bool lasted = now - informer->watch_began >= WATCH_SHORT;
    if (r == KUBE_GONE)
        informer->revision = mem_free(informer->revision);
    if (r == KUBE_GONE && lasted) {
        list_start(informer);
    } else if (r == 0 && lasted) {
        watch_start(informer);
    } else if (r == 0 || r == KUBE_GONE) {
        back_off(informer);
    } else {
        if (r > 0) /* refused for another reason: start over from a list */
            informer->revision = mem_free(informer->revision);
        failed(informer, r, message);
    }
}

static void watch_start(KubeInformer *informer) {
    static const KubeWatchEvents events = { .event = on_event, .ended = on_watch_ended };
    KubeRequest request = { .gvr = informer->gvr,
                            .namespace = informer->namespace,
                            .label_selector = informer->label_selector,
                            .field_selector = informer->field_selector,
                            .resource_version = informer->revision };
    informer->watch_began = loop_now(kube_client_loop(informer->client));
    informer->watch = kube_watch(informer->client, &request, &events, informer);
}

/* Reading. */

bool kube_informer_synced(const KubeInformer *informer) {
    return informer->synced;
}

size_t kube_informer_count(const KubeInformer *informer) {
    return kube_cache_count(informer->cache);
}

json_t *kube_informer_get(const KubeInformer *informer, const char *namespace, const char *name) {
    if (str_empty(namespace))
        return kube_cache_get(informer->cache, name);
    _cleanup_free_ char *key = str_printf("%s/%s", namespace, name);
    return kube_cache_get(informer->cache, key);
}

json_t *kube_informer_next(const KubeInformer *informer, size_t *pos) {
    json_t *object = kube_cache_at(informer->cache, *pos);
    if (object)
        (*pos)++;
    return object;
}

json_t *const *kube_informer_by(const KubeInformer *informer, const char *index, const char *key,
                                size_t *ret_count) {
    return kube_cache_by(informer->cache, index, key, ret_count);
}
