/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/log.h"
#include "kobj/meta.h"
#include "local/controllers.h"
#include "local/controllers_private.h"
#include "local/strategy.h"

/*
 * Serves what CRDs say. Events reach this before the client that wrote the CRD hears of it, so
 * that its next request finds the resource. A CRD that is deleted stays until its objects are
 * gone (a finalizer of ours), then takes its resource along.
 */

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

static bool is_established(const json_t *crd) {
    return str_eq(json_str_at(obj_condition(crd, "Established"), "status"), "True");
}

static void serve(Api *api, Object *object) {
    _cleanup_json_ json_t *crd = object_value(object);
    if (!is_established(crd))
        return;
    int r = registry_put_crd(&api->registry, crd);
    if (r < 0)
        log_warn("CRD %s is not served: %s", object->name, error_text(r));
}

void crd_serve_all(Api *api) {
    StoreTable *table = store_table(api->store, STRATEGY_CRD_TABLE);
    VEC_EACH(object, &table->objects)
        serve(api, *object);
}

static void on_event(Controller *controller, const StoreEvent *event) {
    Api *api = controller->api;
    if (!str_eq(event->table->name, STRATEGY_CRD_TABLE)) {
        Resource *resource =
            event->type == STORE_DELETED ? registry_of_table(&api->registry, event->table) : NULL;
        if (resource && resource->custom && event->table->objects.len == 0)
            controller_mark(controller, "", resource->qualified);
        return;
    }
    if (event->type == STORE_DELETED) {
        _cleanup_json_ json_t *crd = object_value(event->now);
        if (is_established(crd))
            registry_remove(&api->registry, json_str_at(crd, "spec", "group"),
                            json_str_at(crd, "spec", "names", "plural"));
        controller_mark_all(controller, "apiextensions.k8s.io", "customresourcedefinitions");
        return;
    }
    serve(api, event->now);
    controller_mark(controller, "", event->now->name);
}

static bool remove_finalizer(void *ctx, json_t *crd) {
    return obj_remove_finalizer(crd, CRD_FINALIZER);
}

static void delete_objects(Controller *controller, const Resource *resource) {
    for (size_t i = resource->table->objects.len; i-- > 0;) {
        Object *object = resource->table->objects.items[i];
        _cleanup_free_ char *ns = str_dup(object->ns), *name = str_dup(object->name);
        _cleanup_call_ ApiCall call =
            controller_call(controller, resource->group, resource->plural, ns, name);
        _cleanup_json_ json_t *last = NULL;
        ApiDelete options = API_DELETE_DEFAULT;
        bool gone;
        controller_report(controller, &call, api_delete(&call, &options, &last, &gone), "deleting");
    }
}

/* Another CRD is gone: its names may be free. */
static bool accept_names(void *ctx, json_t *crd) {
    strategy_crd_accept(ctx, crd);
    return is_established(crd);
}

static void work_on(Controller *controller, const char *ns, const char *name) {
    Api *api = controller->api;
    _cleanup_json_ json_t *crd =
        api_peek(api, "apiextensions.k8s.io", "customresourcedefinitions", "", name);
    if (crd && !is_established(crd) && !obj_is_deleting(crd)) {
        _cleanup_call_ ApiCall call = controller_call(controller, "apiextensions.k8s.io",
                                                      "customresourcedefinitions", "", name);
        controller_report(controller, &call, api_change(&call, accept_names, api), "accepting");
    }
    if (!crd || !obj_is_deleting(crd))
        return;
    const Resource *resource =
        is_established(crd) ? registry_find(&api->registry, json_str_at(crd, "spec", "group"),
                                            json_str_at(crd, "spec", "names", "plural"))
                            : NULL;
    if (resource && resource->table->objects.len > 0)
        delete_objects(controller, resource);
    if (resource && resource->table->objects.len > 0)
        return;
    _cleanup_call_ ApiCall call =
        controller_call(controller, "apiextensions.k8s.io", "customresourcedefinitions", "", name);
    controller_report(controller, &call, api_change(&call, remove_finalizer, NULL), "releasing");
}

Controller *crd_controller_new(Api *api) {
    Controller *controller = mem_new(Controller);
    controller_init(controller, api, "kube-apiserver", on_event, work_on);
    controller_mark_all(controller, "apiextensions.k8s.io", "customresourcedefinitions");
    return controller;
}
