/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "kobj/selector.h"
#include "local/controllers_private.h"
#include "local/endpoints_plan.h"

/* Keeps the EndpointSlices of every Service with a selector as endpoints_plan wants them. */

static void mark_services_of(Controller *controller, const char *ns, Object *object) {
    const StoreTable *services = store_table(controller->api->store, "services");
    _cleanup_json_ json_t *pod = object ? object_value(object) : NULL;
    size_t at = store_lower_bound(services, ns, "");
    for (; pod && at < services->objects.len && str_eq(services->objects.items[at]->ns, ns); at++) {
        _cleanup_json_ json_t *service = object_value(services->objects.items[at]);
        const json_t *labels = json_at(service, "spec", "selector");
        if (json_object_size(labels) == 0)
            continue;
        _cleanup_(selector_freep) Selector *selector = selector_from_labels(labels);
        if (selector_matches(selector, json_at(pod, "metadata", "labels")))
            controller_mark(controller, ns, services->objects.items[at]->name);
    }
}

static void on_event(Controller *controller, const StoreEvent *event) {
    if (str_eq(event->table->name, "services")) {
        controller_mark(controller, event->now->ns, event->now->name);
    } else if (str_eq(event->table->name, "pods")) {
        mark_services_of(controller, event->now->ns, event->now);
        mark_services_of(controller, event->now->ns, event->before);
    } else if (str_eq(event->table->name, "endpointslices.discovery.k8s.io")) {
        _cleanup_json_ json_t *slice = object_value(event->now);
        const char *service = obj_label(slice, ENDPOINTS_SERVICE_LABEL);
        if (service)
            controller_mark(controller, event->now->ns, service);
    }
}

typedef Vec(json_t *) Values;

static void values_done(Values *values) {
    VEC_EACH(value, values)
        json_decref(*value);
    vec_done(values);
}

static void collect(Api *api, const char *table_name, const char *ns, const Selector *selector,
                    Values *out) {
    const StoreTable *table = store_table(api->store, table_name);
    size_t at = store_lower_bound(table, ns, "");
    for (; at < table->objects.len && str_eq(table->objects.items[at]->ns, ns); at++) {
        json_t *value = object_value(table->objects.items[at]);
        if (selector_matches(selector, json_at(value, "metadata", "labels")))
            vec_push(out, value);
        else
            json_decref(value);
    }
}

static void collect_slices(Api *api, const char *ns, const char *service, Values *out) {
    _cleanup_json_ json_t *labels = json_pack("{s:s, s:s}", ENDPOINTS_SERVICE_LABEL, service,
                                              ENDPOINTS_MANAGED_BY_LABEL, ENDPOINTS_MANAGED_BY);
    _cleanup_(selector_freep) Selector *selector = selector_from_labels(labels);
    collect(api, "endpointslices.discovery.k8s.io", ns, selector, out);
}

static bool replace_slice(void *ctx, json_t *slice) {
    json_t *wanted = ctx;
    if (endpoints_same(slice, wanted))
        return false;
    json_object_set(slice, "endpoints", json_object_get(wanted, "endpoints"));
    json_object_set(slice, "ports", json_object_get(wanted, "ports"));
    json_set_at(slice, json_incref(json_at(wanted, "metadata", "labels")), "metadata", "labels");
    return true;
}

static ApiCall slice_call(Controller *controller, const char *ns, const char *name) {
    return controller_call(controller, "discovery.k8s.io", "endpointslices", ns, name);
}

static void delete_slice(Controller *controller, const char *ns, const json_t *slice) {
    _cleanup_call_ ApiCall call = slice_call(controller, ns, obj_name(slice));
    ApiDelete options = API_DELETE_DEFAULT;
    _cleanup_json_ json_t *last = NULL;
    bool gone;
    controller_report(controller, &call, api_delete(&call, &options, &last, &gone), "deleting");
}

static void match(Controller *controller, const char *ns, json_t *wanted, const Values *stored) {
    size_t count = json_array_size(wanted);
    for (size_t i = 0; i < MAX(count, stored->len); i++) {
        json_t *want = json_array_get(wanted, i);
        if (!want) {
            delete_slice(controller, ns, stored->items[i]);
            continue;
        }
        bool known = i < stored->len;
        _cleanup_call_ ApiCall call =
            slice_call(controller, ns, known ? obj_name(stored->items[i]) : NULL);
        _cleanup_json_ json_t *made = NULL;
        int r = known ? api_change(&call, replace_slice, want)
                      : api_create(&call, json_deep_copy(want), NULL, &made);
        controller_report(controller, &call, r, "writing");
    }
}

static void work_on(Controller *controller, const char *ns, const char *name) {
    Api *api = controller->api;
    _cleanup_json_ json_t *service = api_peek(api, "", "services", ns, name);
    const json_t *labels = json_at(service, "spec", "selector");
    Values pods = { 0 }, slices = { 0 };
    collect_slices(api, ns, name, &slices);
    if (!service || obj_is_deleting(service)) {
        VEC_EACH(slice, &slices)
            delete_slice(controller, ns, *slice);
    } else if (json_object_size(labels) > 0) {
        _cleanup_(selector_freep) Selector *selector = selector_from_labels(labels);
        collect(api, "pods", ns, selector, &pods);
        _cleanup_json_ json_t *wanted = endpoints_plan_make(service, pods.items, pods.len);
        match(controller, ns, wanted, &slices);
    }
    values_done(&pods);
    values_done(&slices);
}

Controller *endpoints_controller_new(Api *api) {
    Controller *controller = mem_new(Controller);
    controller_init(controller, api, "kube-controller-manager", on_event, work_on);
    controller_mark_all(controller, "", "services");
    return controller;
}
