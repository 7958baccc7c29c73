/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/meta.h"
#include "local/strategy.h"

/*
 * A namespace that is deleted: everything in it is deleted, and when nothing is left, the
 * namespace's own finalizer goes and with it the namespace. Conditions say what it waits for. In
 * one that stays, what every namespace has is made again when a user deletes it.
 */

static bool is_namespace(const StoreEvent *event) {
    return str_eq(event->table->name, "namespaces");
}

static bool is_in_every_namespace(const StoreEvent *event) {
    return (str_eq(event->table->name, "configmaps") &&
            str_eq(event->now->name, "kube-root-ca.crt")) ||
           (str_eq(event->table->name, "serviceaccounts") && str_eq(event->now->name, "default"));
}

static void on_event(Controller *controller, const StoreEvent *event) {
    if (is_namespace(event)) {
        controller_mark(controller, "", event->now->name);
        return;
    }
    if (event->type == STORE_DELETED && *event->now->ns) {
        _cleanup_json_ json_t *ns = api_peek(controller->api, "", "namespaces", "", event->now->ns);
        if (ns && (obj_is_deleting(ns) || is_in_every_namespace(event)))
            controller_mark(controller, "", event->now->ns);
    }
}

/* Deletes what can be; says how many objects stay for now. */
static size_t empty_table(Controller *controller, const Resource *resource, const char *ns) {
    const StoreTable *table = resource->table;
    size_t left = 0, at = store_lower_bound(table, ns, "");
    while (at < table->objects.len && str_eq(table->objects.items[at]->ns, ns)) {
        _cleanup_free_ char *name = str_dup(table->objects.items[at]->name);
        _cleanup_call_ ApiCall call =
            controller_call(controller, resource->group, resource->plural, ns, name);
        _cleanup_json_ json_t *last = NULL;
        ApiDelete options = { .grace_seconds = -1, .propagation = API_BACKGROUND };
        bool gone = false;
        int r = api_delete(&call, &options, &last, &gone);
        controller_report(controller, &call, r, "deleting");
        if (r != 0 || !gone) {
            left++;
            at++;
        }
    }
    return left;
}

static bool finalize(void *ctx, json_t *ns) {
    return json_remove_at(ns, "spec", "finalizers");
}

typedef struct Remaining {
    Buf text;
    usec_t now;
} Remaining;

static bool note_remaining(void *ctx, json_t *ns) {
    const Remaining *remaining = ctx;
    json_t *status = json_make_object(ns, "status");
    if (remaining->text.len == 0)
        return false;
    return condition_set(status, "NamespaceContentRemaining", "True", "SomeResourcesRemain",
                         remaining->text.data, remaining->now);
}

static void work_on(Controller *controller, const char *unused, const char *name) {
    Api *api = controller->api;
    _cleanup_json_ json_t *ns = api_peek(api, "", "namespaces", "", name);
    if (ns && !obj_is_deleting(ns))
        strategy_fill_namespace(api, name);
    if (!ns || !obj_is_deleting(ns))
        return;
    Remaining remaining = { .now = loop_wall_now(api->loop) };
    VEC_EACH(item, &api->registry.all) {
        const Resource *resource = *item;
        if (!resource->namespaced || registry_of_table(&api->registry, resource->table) != resource)
            continue;
        size_t left = empty_table(controller, resource, name);
        if (left > 0)
            buf_printf(&remaining.text, "%s%s has %zu resource instances",
                       remaining.text.len ? ", " : "Some resources are remaining: ",
                       resource->qualified, left);
    }
    bool empty = remaining.text.len == 0;
    _cleanup_call_ ApiCall call = controller_call(controller, "", "namespaces", "", name);
    int r =
        empty ? api_change(&call, finalize, NULL) : api_change(&call, note_remaining, &remaining);
    controller_report(controller, &call, r, "finalizing");
    buf_done(&remaining.text);
}

Controller *namespace_controller_new(Api *api) {
    Controller *controller = mem_new(Controller);
    controller_init(controller, api, "kube-controller-manager", on_event, work_on);
    controller_mark_all(controller, "", "namespaces");
    return controller;
}
