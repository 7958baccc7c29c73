/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/meta.h"

/* Events are kept for a time (an hour unless set), counted from their last sign of life. */

static usec_t expiry(const Controller *controller, const json_t *event) {
    usec_t last = MAX(meta_created(event), meta_time(json_object_get(event, "lastTimestamp")));
    usec_t seen = meta_time(json_at(event, "series", "lastObservedTime"));
    return MAX(last, seen) + controller->api->settings.event_ttl;
}

static void on_event(Controller *controller, const StoreEvent *event) {
    if (event->type == STORE_ADDED && str_eq(event->table->name, "events"))
        controller_mark_at(controller, event->now->ns, event->now->name,
                           loop_wall_now(controller->api->loop) +
                               controller->api->settings.event_ttl);
}

static void work_on(Controller *controller, const char *ns, const char *name) {
    _cleanup_json_ json_t *event = api_peek(controller->api, "", "events", ns, name);
    if (!event)
        return;
    usec_t due = expiry(controller, event);
    if (due > loop_wall_now(controller->api->loop)) {
        controller_mark_at(controller, ns, name, due);
        return;
    }
    _cleanup_call_ ApiCall call = controller_call(controller, "", "events", ns, name);
    ApiDelete options = API_DELETE_DEFAULT;
    _cleanup_json_ json_t *last = NULL;
    bool gone;
    controller_report(controller, &call, api_delete(&call, &options, &last, &gone), "expiring");
}

Controller *event_controller_new(Api *api) {
    Controller *controller = mem_new(Controller);
    controller_init(controller, api, "kube-apiserver", on_event, work_on);
    controller_mark_all(controller, "", "events");
    return controller;
}
