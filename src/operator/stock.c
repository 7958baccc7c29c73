/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/stock.h"

#include "base/log.h"
#include "base/map.h"
#include "kube/informer.h"
#include "operator/object.h"

#define INDEX_CLUSTER "cluster"
#define INDEX_OWNER   "owner"
#define DOOMED_SINCE  "1970-01-01T00:00:00Z"

typedef struct Shelf Shelf;

/* The informer of one resource in one namespace. */
typedef struct ShelfPart {
    Shelf *shelf;
    Resource resource;
    KubeInformer *informer;
} ShelfPart;

struct Shelf {
    Stock *stock;
    char *namespace_; /* NULL: all */
    ShelfPart parts[RESOURCE_COUNT];
};

struct Stock {
    const StockEvents *events;
    void *ctx;
    Vec(Shelf *) shelves;
    StrMap doomed; /* uid: anything */
    bool wanted[RESOURCE_COUNT];
    bool synced;
};

KubeGvr resource_gvr(Resource resource) {
    static const KubeGvr GVRS[RESOURCE_COUNT] = {
        [RESOURCE_RAYCLUSTERS] = { "ray.io", "v1", "rayclusters" },
        [RESOURCE_RAYJOBS] = { "ray.io", "v1", "rayjobs" },
        [RESOURCE_PODS] = { "", "v1", "pods" },
        [RESOURCE_SERVICES] = { "", "v1", "services" },
        [RESOURCE_JOBS] = { "batch", "v1", "jobs" },
        [RESOURCE_SECRETS] = { "", "v1", "secrets" },
        [RESOURCE_ACCOUNTS] = { "", "v1", "serviceaccounts" },
        [RESOURCE_ROLES] = { "rbac.authorization.k8s.io", "v1", "roles" },
        [RESOURCE_BINDINGS] = { "rbac.authorization.k8s.io", "v1", "rolebindings" },
        [RESOURCE_INGRESSES] = { "networking.k8s.io", "v1", "ingresses" },
    };
    return GVRS[resource];
}

static void keep_keys(json_t *object, const char *const *keys) {
    void *next;
    const char *key;
    json_t *value;
    json_object_foreach_safe(object, next, key, value) {
        bool kept = false;
        for (const char *const *k = keys; *k; k++)
            kept |= str_eq(*k, key);
        if (!kept)
            json_object_del(object, key);
    }
}

#define KEEP(object, ...) keep_keys((object), (const char *const[]){ __VA_ARGS__, NULL })

/* Lists leave the kind of their items out. */
static void set_kind(json_t *object, const char *api_version, const char *kind) {
    json_object_set_new(object, "apiVersion", json_string(api_version));
    json_object_set_new(object, "kind", json_string(kind));
}

static void trim_metadata(json_t *object) {
    KEEP(json_object_get(object, "metadata"), "name", "namespace", "uid", "resourceVersion",
         "labels", "annotations", "ownerReferences", "creationTimestamp", "deletionTimestamp",
         "finalizers");
}

static void trim_cluster(json_t *object) {
    set_kind(object, RAY_API_VERSION, "RayCluster");
}

static void trim_job(json_t *object) {
    set_kind(object, RAY_API_VERSION, "RayJob");
}

/* Pods are many: what the plans and the status ask of them, and no more. */
static void trim_pod(json_t *object) {
    size_t i;
    json_t *item;
    set_kind(object, "v1", "Pod");
    trim_metadata(object);
    json_t *spec = json_object_get(object, "spec"), *status = json_object_get(object, "status");
    KEEP(spec, "containers", "restartPolicy", "nodeName");
    json_array_foreach(json_object_get(spec, "containers"), i, item)
        KEEP(item, "name");
    KEEP(status, "phase", "podIP", "conditions", "containerStatuses");
    json_array_foreach(json_object_get(status, "containerStatuses"), i, item)
        KEEP(item, "name", "state");
}

/* Other people's Services are of no interest but for their names. */
static void trim_service(json_t *object) {
    set_kind(object, "v1", "Service");
    const char *owner = json_str_at(obj_controller_ref(object), "kind");
    if (!owner || !str_starts(owner, "Ray")) {
        json_object_del(object, "spec");
        json_object_del(object, "status");
    }
}

static void trim_kube_job(json_t *object) {
    set_kind(object, "batch/v1", "Job");
    trim_metadata(object);
    json_object_del(object, "spec");
}

static void trim_secret(json_t *object) {
    set_kind(object, "v1", "Secret");
    trim_metadata(object);
    json_object_del(object, "data"); /* asked for where it is needed, not kept */
}

static void trim_account(json_t *object) {
    set_kind(object, "v1", "ServiceAccount");
    trim_metadata(object);
}

static void trim_role(json_t *object) {
    set_kind(object, "rbac.authorization.k8s.io/v1", "Role");
    trim_metadata(object);
}

static void trim_binding(json_t *object) {
    set_kind(object, "rbac.authorization.k8s.io/v1", "RoleBinding");
    trim_metadata(object);
}

static void trim_ingress(json_t *object) {
    set_kind(object, "networking.k8s.io/v1", "Ingress");
}

typedef struct Interest {
    void (*trim)(json_t *object);
    const char *label_selector;
    bool needed; /* plans wait for its first list */
} Interest;

static const Interest INTERESTS[RESOURCE_COUNT] = {
    [RESOURCE_RAYCLUSTERS] = { trim_cluster, NULL, true },
    [RESOURCE_RAYJOBS] = { trim_job, NULL, true },
    [RESOURCE_PODS] = { trim_pod, LABEL_NODE_TYPE " in (head,worker,redis-cleanup)", true },
    [RESOURCE_SERVICES] = { trim_service, NULL, true },
    [RESOURCE_JOBS] = { trim_kube_job, LABEL_CREATED_BY "=" CREATED_BY, true },
    [RESOURCE_SECRETS] = { trim_secret, LABEL_CLUSTER, false },
    [RESOURCE_ACCOUNTS] = { trim_account, LABEL_CLUSTER, false },
    [RESOURCE_ROLES] = { trim_role, LABEL_CLUSTER, false },
    [RESOURCE_BINDINGS] = { trim_binding, LABEL_CLUSTER, false },
    [RESOURCE_INGRESSES] = { trim_ingress, LABEL_CLUSTER, false },
};

static void changed(ShelfPart *part, const json_t *object) {
    Stock *stock = part->shelf->stock;
    if (stock->synced)
        stock->events->changed(stock->ctx, part->resource, object);
}

static void on_added(void *ctx, json_t *object) {
    changed(ctx, object);
}

static void on_updated(void *ctx, json_t *old, json_t *object) {
    ShelfPart *part = ctx;
    if (obj_is_deleting(object))
        strmap_remove(&part->shelf->stock->doomed, object_uid(object));
    changed(part, object);
}

static void on_deleted(void *ctx, json_t *object) {
    ShelfPart *part = ctx;
    strmap_remove(&part->shelf->stock->doomed, object_uid(object));
    changed(part, object);
}

static void on_synced(void *ctx) {
    Stock *stock = ((ShelfPart *)ctx)->shelf->stock;
    if (stock->synced)
        return;
    VEC_EACH(shelf, &stock->shelves)
        for (size_t i = 0; i < RESOURCE_COUNT; i++)
            if (INTERESTS[i].needed && !kube_informer_synced((*shelf)->parts[i].informer))
                return;
    stock->synced = true;
    stock->events->synced(stock->ctx);
}

static void on_stuck(void *ctx, int r, const char *message) {
    ShelfPart *part = ctx;
    if (INTERESTS[part->resource].needed)
        log_warn("cannot watch %s: %s", resource_gvr(part->resource).resource, message);
    else /* without them they are asked for one by one */
        log_info("cannot watch %s: %s", resource_gvr(part->resource).resource, message);
}

static const KubeInformerEvents INFORMER_EVENTS = {
    .added = on_added,
    .updated = on_updated,
    .deleted = on_deleted,
    .synced = on_synced,
    .stuck = on_stuck,
};

static char *cluster_key(const char *namespace_, const char *cluster) {
    return str_printf("%s/%s", namespace_, cluster);
}

static void index_cluster(const json_t *object, StrList *keys) {
    const char *cluster = obj_label(object, LABEL_CLUSTER);
    if (str_eq(obj_kind(object), "RayJob"))
        cluster = json_str_at(object, "status", "rayClusterName");
    if (!str_empty(cluster))
        strlist_take(keys, cluster_key(object_namespace(object), cluster));
}

static Shelf *shelf_new(Stock *stock, KubeClient *client, const char *namespace_) {
    Shelf *shelf = mem_new(Shelf);
    shelf->stock = stock;
    shelf->namespace_ = str_dup(namespace_);
    for (Resource i = 0; i < RESOURCE_COUNT; i++) {
        ShelfPart *part = &shelf->parts[i];
        *part = (ShelfPart){ .shelf = shelf, .resource = i };
        KubeInformerSpec spec = {
            .gvr = resource_gvr(i),
            .namespace = namespace_,
            .label_selector = INTERESTS[i].label_selector,
            .trim = INTERESTS[i].trim,
        };
        part->informer = kube_informer_new(client, &spec, &INFORMER_EVENTS, part);
        kube_informer_add_index(part->informer, INDEX_CLUSTER, index_cluster);
        kube_informer_add_index(part->informer, INDEX_OWNER, kube_index_owner);
    }
    return shelf;
}

Stock *stock_new(KubeClient *client, const StrList *namespaces, const StockEvents *events,
                 void *ctx) {
    Stock *stock = mem_new(Stock);
    stock->events = events;
    stock->ctx = ctx;
    for (size_t i = 0; i < MAX(namespaces->len, (size_t)1); i++)
        vec_push(&stock->shelves,
                 shelf_new(stock, client, namespaces->len ? namespaces->items[i] : NULL));
    for (Resource i = 0; i < RESOURCE_COUNT; i++)
        if (INTERESTS[i].needed)
            stock_want(stock, i);
    return stock;
}

void stock_want(Stock *stock, Resource resource) {
    if (stock->wanted[resource])
        return;
    stock->wanted[resource] = true;
    VEC_EACH(shelf, &stock->shelves)
        kube_informer_start((*shelf)->parts[resource].informer);
}

Stock *stock_free(Stock *stock) {
    if (!stock)
        return NULL;
    VEC_EACH(shelf, &stock->shelves) {
        for (size_t i = 0; i < RESOURCE_COUNT; i++)
            kube_informer_free((*shelf)->parts[i].informer);
        free((*shelf)->namespace_);
        free(*shelf);
    }
    vec_done(&stock->shelves);
    strmap_done(&stock->doomed);
    free(stock);
    return NULL;
}

bool stock_synced(const Stock *stock) {
    return stock->synced;
}

static KubeInformer *informer_for(const Stock *stock, Resource resource, const char *namespace_) {
    VEC_EACH(shelf, &stock->shelves)
        if (!(*shelf)->namespace_ || str_eq((*shelf)->namespace_, namespace_))
            return (*shelf)->parts[resource].informer;
    return NULL;
}

/* New reference; shown as going where we have deleted it and the watch has not said so yet. */
static json_t *corrected(const Stock *stock, json_t *object) {
    if (obj_is_deleting(object) || !strmap_get(&stock->doomed, object_uid(object)))
        return json_incref(object);
    json_t *copy = json_copy(object);
    json_object_set_new(copy, "metadata", json_copy(json_object_get(object, "metadata")));
    json_set_at(copy, json_string(DOOMED_SINCE), "metadata", "deletionTimestamp");
    return copy;
}

json_t *stock_get(const Stock *stock, Resource resource, const char *namespace_, const char *name) {
    KubeInformer *informer = informer_for(stock, resource, namespace_);
    json_t *object = informer ? kube_informer_get(informer, namespace_, name) : NULL;
    return object ? corrected(stock, object) : NULL;
}

json_t *stock_of_cluster(const Stock *stock, Resource resource, const json_t *cluster) {
    json_t *list = json_array();
    const char *namespace_ = object_namespace(cluster), *name = object_name(cluster);
    KubeInformer *informer = informer_for(stock, resource, namespace_);
    size_t count;
    if (!informer)
        return list;
    _cleanup_free_ char *key = cluster_key(namespace_, name);
    json_t *const *found = kube_informer_by(informer, INDEX_CLUSTER, key, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, corrected(stock, found[i]));
    found = kube_informer_by(informer, INDEX_OWNER, object_uid(cluster), &count);
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(obj_label(found[i], LABEL_CLUSTER), name))
            json_array_append_new(list, corrected(stock, found[i]));
    }
    return list;
}

json_t *stock_jobs_on(const Stock *stock, const char *namespace_, const char *cluster) {
    json_t *list = json_array();
    KubeInformer *informer = informer_for(stock, RESOURCE_RAYJOBS, namespace_);
    size_t count;
    if (!informer)
        return list;
    _cleanup_free_ char *key = cluster_key(namespace_, cluster);
    json_t *const *found = kube_informer_by(informer, INDEX_CLUSTER, key, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append(list, found[i]);
    return list;
}

void stock_each(const Stock *stock, Resource resource, void (*fn)(void *ctx, const json_t *object),
                void *ctx) {
    VEC_EACH(shelf, &stock->shelves) {
        size_t pos = 0;
        json_t *object;
        while ((object = kube_informer_next((*shelf)->parts[resource].informer, &pos)))
            fn(ctx, object);
    }
}

void stock_observe(Stock *stock, Resource resource, json_t *object) {
    KubeInformer *informer = informer_for(stock, resource, object_namespace(object));
    if (!informer)
        return;
    _cleanup_json_ json_t *trimmed = json_deep_copy(object);
    json_remove_at(trimmed, "metadata", "managedFields");
    INTERESTS[resource].trim(trimmed);
    kube_informer_observe(informer, trimmed);
    stock->events->changed(stock->ctx, resource, trimmed);
}

void stock_doom(Stock *stock, const char *uid) {
    if (!str_empty(uid))
        strmap_put(&stock->doomed, uid, stock);
}
