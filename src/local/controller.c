/* SPDX-License-Identifier: Apache-2.0 */
#include "local/controller.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "kobj/meta.h"
#include "local/meta.h"

typedef struct KeyMark {
    List link;  /* in ready, or to itself while it waits for `due` */
    usec_t due;
    char *name; /* in key, behind the slash */
    char key[];
} KeyMark;

static void run_ready(void *ctx) {
    Controller *controller = ctx;
    List batch = LIST_INIT(batch);
    list_splice(&batch, &controller->ready);
    List *item;
    while ((item = list_pop(&batch))) {
        KeyMark *mark = LIST_ITEM(item, KeyMark, link);
        strmap_remove(&controller->marked, mark->key);
        mark->name[-1] = 0;
        controller->sync(controller, mark->key, mark->name);
        free(mark);
    }
}

static usec_t earliest(const Controller *controller) {
    usec_t due = USEC_INFINITY;
    KeyMark *mark;
    for (size_t pos = 0; (mark = strmap_next(&controller->marked, &pos, NULL));)
        if (list_empty(&mark->link))
            due = MIN(due, mark->due);
    return due;
}

static void make_ready(Controller *controller, KeyMark *mark) {
    mark->due = 0;
    list_push(&controller->ready, &mark->link);
    loop_task_arm(controller->task);
}

static void on_timer(void *ctx) {
    Controller *controller = ctx;
    usec_t now = loop_now(controller->api->loop);
    KeyMark *mark;
    for (size_t pos = 0; (mark = strmap_next(&controller->marked, &pos, NULL));)
        if (list_empty(&mark->link) && mark->due <= now)
            make_ready(controller, mark);
    loop_timer_at(controller->timer, earliest(controller));
}

static void dispatch_event(StoreWatch *watch, const StoreEvent *event) {
    Controller *controller = CONTAINER_OF(watch, Controller, watch);
    controller->on_event(controller, event);
}

void controller_init(Controller *controller, Api *api, const char *manager,
                     void (*on_event)(Controller *, const StoreEvent *),
                     void (*sync)(Controller *, const char *ns, const char *name)) {
    *controller = (Controller){
        .api = api,
        .manager = manager,
        .watch = { .on_event = dispatch_event },
        .on_event = on_event,
        .sync = sync,
    };
    list_init(&controller->ready);
    controller->task = loop_task_new(api->loop, run_ready, controller);
    controller->timer = loop_timer_new(api->loop, on_timer, controller);
    store_watch(api->store, &controller->watch);
}

void controller_done(Controller *controller) {
    store_unwatch(&controller->watch);
    loop_task_free(controller->task);
    loop_timer_free(controller->timer);
    KeyMark *mark;
    for (size_t pos = 0; (mark = strmap_next(&controller->marked, &pos, NULL));)
        free(mark);
    strmap_done(&controller->marked);
}

static KeyMark *find_or_make(Controller *controller, const char *ns, const char *name) {
    _cleanup_free_ char *key = str_printf("%s/%s", ns ? ns : "", name);
    KeyMark *mark = strmap_get(&controller->marked, key);
    if (mark)
        return mark;
    size_t size = strlen(key) + 1;
    mark = mem_zalloc(sizeof(*mark) + size);
    memcpy(mark->key, key, size);
    mark->name = strchr(mark->key, '/') + 1;
    mark->due = USEC_INFINITY;
    list_init(&mark->link);
    strmap_put(&controller->marked, mark->key, mark);
    return mark;
}

void controller_mark(Controller *controller, const char *ns, const char *name) {
    KeyMark *mark = find_or_make(controller, ns, name);
    if (list_empty(&mark->link))
        make_ready(controller, mark);
}

void controller_mark_at(Controller *controller, const char *ns, const char *name, usec_t wall) {
    Loop *loop = controller->api->loop;
    usec_t now = loop_wall_now(loop);
    if (wall <= now) {
        controller_mark(controller, ns, name);
        return;
    }
    KeyMark *mark = find_or_make(controller, ns, name);
    mark->due = MIN(mark->due, loop_deadline(loop, wall - now));
    if (list_empty(&mark->link) && mark->due < loop_timer_deadline(controller->timer))
        loop_timer_at(controller->timer, mark->due);
}

void controller_mark_all(Controller *controller, const char *group, const char *plural) {
    const Resource *resource = registry_find(&controller->api->registry, group, plural);
    VEC_EACH(object, &resource->table->objects)
        controller_mark(controller, (*object)->ns, (*object)->name);
}

bool controller_is_table(const Controller *controller, const StoreEvent *event, const char *name) {
    return str_eq(event->table->name, name);
}

ApiCall controller_call(const Controller *controller, const char *group, const char *plural,
                        const char *ns, const char *name) {
    return api_call(controller->api, controller->manager, group, plural, ns, name);
}

void controller_report(const Controller *controller, const ApiCall *call, int r,
                       const char *doing) {
    if (r == 0 || r == 404 || r == 409)
        return;
    log_warn("%s: %s %s %s/%s: %s", controller->manager, doing, call->resource->plural, call->ns,
             call->name ? call->name : "", api_call_text(call, r));
}

/* Events. */

typedef struct EventAgain {
    usec_t now;
} EventAgain;

static bool count_up(void *ctx, json_t *event) {
    const EventAgain *again = ctx;
    json_object_set_new(event, "count", json_integer(json_int_at(event, 1, "count") + 1));
    json_object_set_new(event, "lastTimestamp", meta_time_json(again->now));
    return true;
}

static json_t *make_event(Api *api, const char *component, const json_t *object, const char *type,
                          const char *reason, const char *message, const char *name) {
    const char *ns = obj_namespace(object);
    json_t *now = meta_time_json(loop_wall_now(api->loop));
    json_t *involved =
        json_pack("{s:s, s:s, s:s, s:s, s:O?}", "kind", obj_kind(object), "apiVersion",
                  obj_api_version(object), "name", obj_name(object), "uid", obj_uid(object),
                  "resourceVersion", json_at(object, "metadata", "resourceVersion"));
    if (ns)
        json_object_set_new(involved, "namespace", json_string(ns));
    json_t *event = json_pack(
        "{s:{s:s, s:s}, s:o, s:s, s:s, s:s, s:{s:s}, s:O, s:O, s:i, s:s, s:s}", "metadata", "name",
        name, "namespace", ns ? ns : "default", "involvedObject", involved, "reason", reason,
        "message", message, "type", type, "source", "component", component, "firstTimestamp", now,
        "lastTimestamp", now, "count", 1, "reportingComponent", component, "reportingInstance", "");
    json_decref(now);
    return event;
}

void component_event(Api *api, const char *component, const json_t *object, const char *type,
                     const char *reason, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *message = str_vprintf(format, ap);
    va_end(ap);
    /* The name is the identity: object, reason and words hashed together. */
    _cleanup_free_ char *identity =
        str_printf("%s/%s/%s/%s/%s", component, obj_uid(object), type, reason, message);
    _cleanup_free_ char *name =
        str_printf("%.200s.%016" PRIx64, obj_name(object), base_hash(identity, strlen(identity)));
    const char *ns = obj_namespace(object);
    _cleanup_call_ ApiCall call = api_call(api, component, "", "events", ns ? ns : "default", name);
    int r;
    if (api_find(&call)) {
        EventAgain again = { loop_wall_now(api->loop) };
        r = api_change(&call, count_up, &again);
    } else {
        _cleanup_json_ json_t *made = NULL;
        r = api_create(&call, make_event(api, component, object, type, reason, message, name), NULL,
                       &made);
    }
    if (r < 0 || r >= 500)
        log_warn("%s: recording an event: %s", component, api_call_text(&call, r));
}
