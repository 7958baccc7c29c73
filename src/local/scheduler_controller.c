/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/meta.h"
#include "local/pod_doors.h"
#include "local/scheduler.h"

/*
 * Binds pods. One key stands for the whole cluster: whenever a pod or node changes, all pods that
 * wait are placed in one pass over one snapshot, highest priority first, then oldest.
 */

#define COMPONENT "default-scheduler"

static bool changes_room(const StoreEvent *event) {
    if (event->type == STORE_DELETED)
        return true;
    _cleanup_json_ json_t *pod = object_value(event->now);
    const char *phase = json_str_at(pod, "status", "phase");
    bool waits = str_empty(json_str_at(pod, "spec", "nodeName"));
    /* A pod that runs on changes nothing; one that ended frees its share. */
    return (waits && event->type == STORE_ADDED) || str_eq(phase, "Succeeded") ||
           str_eq(phase, "Failed") || (waits && event->type == STORE_MODIFIED);
}

static void on_event(Controller *controller, const StoreEvent *event) {
    if (str_eq(event->table->name, "nodes") ||
        (str_eq(event->table->name, "pods") && changes_room(event)))
        controller_mark(controller, "", "all");
}

typedef struct Waiting {
    json_t *pod;
    int64_t priority;
    usec_t created;
} Waiting;

typedef Vec(Waiting) Queue;

static bool wants_us(const json_t *pod) {
    const char *scheduler = json_str_at(pod, "spec", "schedulerName");
    return str_empty(json_str_at(pod, "spec", "nodeName")) && !obj_is_deleting(pod) &&
           json_array_size(json_at(pod, "spec", "schedulingGates")) == 0 &&
           (str_empty(scheduler) || str_eq(scheduler, "default-scheduler"));
}

static int compare_waiting(const void *a, const void *b) {
    const Waiting *left = a, *right = b;
    if (left->priority != right->priority)
        return left->priority > right->priority ? -1 : 1;
    if (left->created != right->created)
        return left->created < right->created ? -1 : 1;
    return strcmp(obj_name(left->pod), obj_name(right->pod));
}

/* The trees live as long as `keep`. */
static Placement *snapshot(Api *api, Queue *queue, json_t *keep) {
    Placement *placement = placement_new();
    VEC_EACH(object, &store_table(api->store, "nodes")->objects) {
        json_t *node = object_value(*object);
        json_array_append_new(keep, node);
        placement_add_node(placement, node);
    }
    VEC_EACH(object, &store_table(api->store, "pods")->objects) {
        json_t *pod = object_value(*object);
        json_array_append_new(keep, pod);
        if (wants_us(pod))
            vec_push(queue,
                     (Waiting){ pod, json_int_at(pod, 0, "spec", "priority"), meta_created(pod) });
        else
            placement_add_pod(placement, pod);
    }
    if (queue->len > 0)
        qsort(queue->items, queue->len, sizeof(Waiting), compare_waiting);
    return placement;
}

static void bind(Controller *controller, const json_t *pod, const char *node) {
    const char *ns = obj_namespace(pod), *name = obj_name(pod);
    _cleanup_call_ ApiCall call = controller_call(controller, "", "pods", ns, name);
    int r = pod_bind(&call, node);
    controller_report(controller, &call, r, "binding");
    if (r == 0)
        component_event(controller->api, COMPONENT, pod, "Normal", "Scheduled",
                        "Successfully assigned %s/%s to %s", ns, name, node);
}

typedef struct Refusal {
    const char *why;
    usec_t now;
} Refusal;

static bool note_refusal(void *ctx, json_t *pod) {
    const Refusal *refusal = ctx;
    return condition_set(json_make_object(pod, "status"), "PodScheduled", "False", "Unschedulable",
                         refusal->why, refusal->now);
}

static void refuse(Controller *controller, const json_t *pod, const char *why) {
    const json_t *condition = obj_condition(pod, "PodScheduled");
    if (str_eq(json_str_at(condition, "message"), why))
        return; /* said before */
    _cleanup_call_ ApiCall call =
        controller_call(controller, "", "pods", obj_namespace(pod), obj_name(pod));
    call.subresource = "status";
    Refusal refusal = { why, loop_wall_now(controller->api->loop) };
    controller_report(controller, &call, api_change(&call, note_refusal, &refusal), "refusing");
    component_event(controller->api, COMPONENT, pod, "Warning", "FailedScheduling", "%s", why);
}

static void work_on(Controller *controller, const char *ns, const char *name) {
    Queue queue = { 0 };
    _cleanup_json_ json_t *keep = json_array();
    _cleanup_(placement_freep) Placement *placement = snapshot(controller->api, &queue, keep);
    _cleanup_buf_ Buf why = { 0 };
    VEC_EACH(waiting, &queue) {
        const char *node;
        if (placement_choose(placement, waiting->pod, &node, &why) == 0)
            bind(controller, waiting->pod, node);
        else
            refuse(controller, waiting->pod, why.data);
    }
    vec_done(&queue);
}

Controller *scheduler_controller_new(Api *api) {
    Controller *controller = mem_new(Controller);
    controller_init(controller, api, "kube-scheduler", on_event, work_on);
    controller_mark(controller, "", "all");
    return controller;
}
