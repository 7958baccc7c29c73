/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "kobj/meta.h"
#include "local/controllers_private.h"

/*
 * The garbage collector. An index of all objects by uid, kept by events: who is there, in which
 * state of deletion, and who names it as owner. Since events come in order of revision and every
 * write has one, an owner that is not in the index is not in the store.
 *
 *     owner goes            its dependents are looked at
 *     no owner left         the dependent is deleted
 *     owner waits           (foregroundDeletion) blocking dependents go first, then its finalizer
 *     owner orphans         (orphan) its dependents lose the reference, then its finalizer goes
 *
 * An owner of a kind that is not served is taken to be there: nothing is deleted on a guess.
 */

typedef struct GcNode GcNode;

typedef struct GcOwner {
    char *uid;
    bool blocks; /* blockOwnerDeletion */
    bool served; /* the kind is known here */
} GcOwner;

struct GcNode {
    char *uid;
    StoreTable *table; /* NULL: only named by others, not there */
    char *ns, *name;
    bool waits;        /* being deleted in the foreground */
    bool orphans;      /* being deleted, and lets its dependents go */
    Vec(GcOwner) owners;
    Vec(GcNode *) dependents;
};

typedef struct Garbage {
    Controller common;
    StrMap nodes; /* by uid */
} Garbage;

static GcNode *node_find_or_make(Garbage *garbage, const char *uid) {
    GcNode *node = strmap_get(&garbage->nodes, uid);
    if (node)
        return node;
    node = mem_new(GcNode);
    node->uid = str_dup(uid);
    strmap_put(&garbage->nodes, uid, node);
    return node;
}

static void owners_clear(GcNode *node) {
    VEC_EACH(owner, &node->owners)
        free(owner->uid);
    vec_clear(&node->owners);
}

static void node_free(GcNode *node) {
    owners_clear(node);
    vec_done(&node->owners);
    vec_done(&node->dependents);
    free(node->uid);
    free(node->ns);
    free(node->name);
    free(node);
}

static void drop_if_unused(Garbage *garbage, GcNode *node) {
    if (node->table || node->dependents.len > 0)
        return;
    strmap_remove(&garbage->nodes, node->uid);
    node_free(node);
}

static void unlink_dependent(Garbage *garbage, GcNode *node, const char *owner_uid) {
    GcNode *owner = strmap_get(&garbage->nodes, owner_uid);
    for (size_t i = 0; owner && i < owner->dependents.len; i++) {
        if (owner->dependents.items[i] != node)
            continue;
        vec_remove_swap(&owner->dependents, i);
        drop_if_unused(garbage, owner);
        return;
    }
}

static void mark_node(Garbage *garbage, const GcNode *node) {
    controller_mark(&garbage->common, "", node->uid);
}

static void unlink_owners(Garbage *garbage, GcNode *node) {
    VEC_EACH(owner, &node->owners) {
        GcNode *of = strmap_get(&garbage->nodes, owner->uid);
        if (of && of->table && of->waits)
            mark_node(garbage, of);
        unlink_dependent(garbage, node, owner->uid);
    }
    owners_clear(node);
}

static bool is_served(Garbage *garbage, const json_t *reference) {
    const char *api_version = json_str_at(reference, "apiVersion");
    if (!api_version)
        return false;
    _cleanup_free_ char *group = NULL, *version = NULL;
    api_version_split(api_version, &group, &version);
    return registry_find_kind(&garbage->common.api->registry, group,
                              json_str_at(reference, "kind")) != NULL;
}

static void link_owners(Garbage *garbage, GcNode *node, const json_t *object) {
    const json_t *reference;
    size_t i;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, reference) {
        const char *uid = json_str_at(reference, "uid");
        if (str_empty(uid))
            continue;
        vec_push(&node->owners,
                 (GcOwner){ str_dup(uid), json_bool_at(reference, false, "blockOwnerDeletion"),
                            is_served(garbage, reference) });
        vec_push(&node_find_or_make(garbage, uid)->dependents, node);
    }
}

static void node_update(Garbage *garbage, StoreTable *table, Object *object) {
    _cleanup_json_ json_t *value = object_value(object);
    const char *uid = obj_uid(value);
    if (str_empty(uid))
        return;
    GcNode *node = node_find_or_make(garbage, uid);
    if (!node->table) {
        node->ns = str_dup(object->ns);
        node->name = str_dup(object->name);
        node->table = table;
    }
    unlink_owners(garbage, node);
    link_owners(garbage, node, value);
    bool deleting = obj_is_deleting(value);
    node->waits = deleting && obj_has_finalizer(value, "foregroundDeletion");
    node->orphans = deleting && obj_has_finalizer(value, "orphan");
    if (node->waits || node->orphans || node->owners.len > 0)
        mark_node(garbage, node);
    for (size_t i = 0; node->waits && i < node->dependents.len; i++)
        mark_node(garbage, node->dependents.items[i]);
}

static void node_remove(Garbage *garbage, Object *object) {
    _cleanup_json_ json_t *value = object_value(object);
    const char *uid = obj_uid(value);
    GcNode *node = uid ? strmap_get(&garbage->nodes, uid) : NULL;
    if (!node)
        return;
    unlink_owners(garbage, node);
    VEC_EACH(dependent, &node->dependents)
        mark_node(garbage, *dependent);
    node->table = NULL;
    free(node->ns);
    free(node->name);
    node->ns = node->name = NULL;
    node->waits = node->orphans = false;
    drop_if_unused(garbage, node);
}

static void on_event(Controller *controller, const StoreEvent *event) {
    Garbage *garbage = CONTAINER_OF(controller, Garbage, common);
    if (str_eq(event->table->name, "events"))
        return; /* owned by nobody, and many */
    if (event->type == STORE_DELETED)
        node_remove(garbage, event->now);
    else
        node_update(garbage, event->table, event->now);
}

static bool node_call(Garbage *garbage, const GcNode *node, ApiCall *ret_call) {
    const Resource *resource = registry_of_table(&garbage->common.api->registry, node->table);
    if (!resource)
        return false;
    *ret_call =
        controller_call(&garbage->common, resource->group, resource->plural, node->ns, node->name);
    return true;
}

/* References to owners that are gone or wait leave; a solid one keeps the object. */
typedef struct Strip {
    Garbage *garbage;
    const char *only; /* this owner, or NULL: all that are not solid */
} Strip;

static bool is_solid(Garbage *garbage, const GcOwner *owner) {
    const GcNode *node = strmap_get(&garbage->nodes, owner->uid);
    return !owner->served || (node && node->table && !node->waits);
}

static bool strip_references(void *ctx, json_t *object) {
    const Strip *strip = ctx;
    json_t *list = json_at(object, "metadata", "ownerReferences");
    bool changed = false;
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *reference = json_array_get(list, i);
        GcOwner owner = { .uid = (char *)(uintptr_t)json_str_at(reference, "uid"),
                          .served = is_served(strip->garbage, reference) };
        bool goes = strip->only ? str_eq(owner.uid, strip->only)
                                : owner.uid && !is_solid(strip->garbage, &owner);
        if (!goes)
            continue;
        json_array_remove(list, i);
        changed = true;
    }
    if (changed && json_array_size(list) == 0)
        json_remove_at(object, "metadata", "ownerReferences");
    return changed;
}

static void strip(Garbage *garbage, const GcNode *node, const char *only) {
    ApiCall call;
    if (!node->table || !node_call(garbage, node, &call))
        return;
    Strip what = { garbage, only };
    controller_report(&garbage->common, &call, api_change(&call, strip_references, &what),
                      "releasing");
    api_call_done(&call);
}

static void delete_node(Garbage *garbage, const GcNode *node, ApiPropagation propagation) {
    ApiCall call;
    if (!node_call(garbage, node, &call))
        return;
    ApiDelete options = { .grace_seconds = -1, .propagation = propagation, .uid = node->uid };
    _cleanup_json_ json_t *last = NULL;
    bool gone;
    int r = api_delete(&call, &options, &last, &gone);
    controller_report(&garbage->common, &call, r, "collecting");
    api_call_done(&call);
}

static void judge_dependent(Garbage *garbage, const GcNode *node) {
    size_t solid = 0, waiting = 0;
    VEC_EACH(owner, &node->owners) {
        const GcNode *of = strmap_get(&garbage->nodes, owner->uid);
        bool stands = is_solid(garbage, owner);
        solid += stands;
        waiting += !stands && of && of->waits;
    }
    if (solid == node->owners.len)
        return;
    if (solid > 0)
        strip(garbage, node, NULL);
    else
        delete_node(garbage, node,
                    waiting > 0 && node->dependents.len > 0 ? API_FOREGROUND : API_BACKGROUND);
}

static bool drop_finalizer(void *ctx, json_t *object) {
    return obj_remove_finalizer(object, ctx);
}

static void release(Garbage *garbage, const GcNode *node, const char *finalizer) {
    ApiCall call;
    if (!node_call(garbage, node, &call))
        return;
    void *name = (void *)(uintptr_t)finalizer;
    controller_report(&garbage->common, &call, api_change(&call, drop_finalizer, name),
                      "releasing");
    api_call_done(&call);
}

static bool is_blocked(const GcNode *node) {
    VEC_EACH(item, &node->dependents) {
        VEC_EACH(owner, &(*item)->owners) {
            if (owner->blocks && str_eq(owner->uid, node->uid))
                return true;
        }
    }
    return false;
}

static void orphan_dependents(Garbage *garbage, const GcNode *node) {
    for (size_t i = 0; i < node->dependents.len; i++)
        strip(garbage, node->dependents.items[i], node->uid);
    release(garbage, node, "orphan");
}

static void work_on(Controller *controller, const char *ns, const char *uid) {
    Garbage *garbage = CONTAINER_OF(controller, Garbage, common);
    const GcNode *node = strmap_get(&garbage->nodes, uid);
    if (!node || !node->table)
        return;
    if (node->orphans)
        orphan_dependents(garbage, node);
    else if (node->waits && !is_blocked(node))
        release(garbage, node, "foregroundDeletion");
    else if (node->owners.len > 0)
        judge_dependent(garbage, node);
}

Controller *garbage_controller_new(Api *api) {
    Garbage *garbage = mem_new(Garbage);
    controller_init(&garbage->common, api, "kube-controller-manager", on_event, work_on);
    StrMap seen = { 0 };
    VEC_EACH(resource, &api->registry.all) {
        StoreTable *table = (*resource)->table;
        if (str_eq(table->name, "events") || strmap_put(&seen, table->name, table))
            continue;
        VEC_EACH(object, &table->objects)
            node_update(garbage, table, *object);
    }
    strmap_done(&seen);
    return &garbage->common;
}

Controller *garbage_controller_free(Controller *controller) {
    Garbage *garbage = CONTAINER_OF(controller, Garbage, common);
    GcNode *node;
    controller_done(controller);
    for (size_t pos = 0; (node = strmap_next(&garbage->nodes, &pos, NULL));)
        node_free(node);
    strmap_done(&garbage->nodes);
    free(garbage);
    return NULL;
}
