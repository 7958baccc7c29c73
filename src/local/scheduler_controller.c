/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/meta.h"
#include "local/pod_doors.h"
#include "local/scheduler.h"

/*
 * Binds pods. New pods are placed one by one into the snapshot at hand; when room may have become
 * free, all pods that wait are placed anew, highest priority first, then oldest. The snapshot is
 * what the last pass left: our own bindings are in it, and whatever else takes or frees room throws
 * it away.
 */

#define COMPONENT "default-scheduler"

enum {
    SNAPSHOT_USEC = 1000 * 1000, /* how long it may hold the trees of old versions */
    RETRY_POD_USEC = 20,         /* room that becomes free is noticed later the more pods wait */
};

typedef struct Scheduler {
    Controller common;
    Placement *placement; /* NULL: to be made */
    json_t *keep;         /* the trees it borrows */
    StrMap bound;         /* uids of pods bound here whose event is still to come */
    StrMap fresh;         /* "ns/name" of new pods */
    LoopTimer *forget;
    bool room;            /* all that wait are to be looked at */
} Scheduler;

static Scheduler *scheduler_of(Controller *controller) {
    return CONTAINER_OF(controller, Scheduler, common);
}

static void forget_snapshot(void *ctx) {
    Scheduler *scheduler = ctx;
    scheduler->placement = placement_free(scheduler->placement);
    json_decref(scheduler->keep);
    scheduler->keep = NULL;
}

/* Room may be free, or there may be less of it. */
static void mark_all(Scheduler *scheduler, size_t waiting) {
    Loop *loop = scheduler->common.api->loop;
    forget_snapshot(scheduler);
    scheduler->room = true;
    controller_mark_at(&scheduler->common, "", "all",
                       loop_wall_now(loop) + waiting * RETRY_POD_USEC);
}

static bool is_over(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

static bool same_at(const json_t *a, const json_t *b, const char *one, const char *two) {
    return json_same(json_at(a, one, two), json_at(b, one, two));
}

/* Heartbeats change nothing for us. */
static bool node_matters(const StoreEvent *event) {
    if (event->type != STORE_MODIFIED)
        return true;
    _cleanup_json_ json_t *now = object_value(event->now), *before = object_value(event->before);
    return !json_same(json_object_get(now, "spec"), json_object_get(before, "spec")) ||
           !same_at(now, before, "metadata", "labels") ||
           !same_at(now, before, "status", "allocatable") ||
           !same_at(now, before, "status", "capacity");
}

static void note_fresh(Scheduler *scheduler, const Object *pod) {
    _cleanup_free_ char *key = str_printf("%s/%s", pod->ns, pod->name);
    strmap_put(&scheduler->fresh, key, scheduler);
    controller_mark(&scheduler->common, "", "fresh");
}

static void on_waiting(Scheduler *scheduler, const StoreEvent *event, const json_t *pod) {
    if (event->type == STORE_ADDED) {
        note_fresh(scheduler, event->now);
        return;
    }
    /* What we say about it ourselves is no reason to look again. */
    _cleanup_json_ json_t *before = object_value(event->before);
    if (event->type == STORE_MODIFIED &&
        !json_same(json_object_get(pod, "spec"), json_object_get(before, "spec")))
        note_fresh(scheduler, event->now);
}

static void on_bound(Scheduler *scheduler, const StoreEvent *event, const json_t *pod) {
    _cleanup_json_ json_t *before = event->before ? object_value(event->before) : NULL;
    bool was_bound = !str_empty(json_str_at(before, "spec", "nodeName"));
    if (event->type == STORE_DELETED ? !is_over(before) : is_over(pod) && !is_over(before))
        mark_all(scheduler, store_table(scheduler->common.api->store, "pods")->objects.len);
    else if (!was_bound && !strmap_remove(&scheduler->bound, obj_uid(pod)))
        forget_snapshot(scheduler);
}

static void on_event(Controller *controller, const StoreEvent *event) {
    Scheduler *scheduler = scheduler_of(controller);
    if (str_eq(event->table->name, "nodes")) {
        if (node_matters(event))
            mark_all(scheduler, 0);
        return;
    }
    if (!str_eq(event->table->name, "pods"))
        return;
    _cleanup_json_ json_t *pod = object_value(event->now);
    if (str_empty(json_str_at(pod, "spec", "nodeName")))
        on_waiting(scheduler, event, pod);
    else
        on_bound(scheduler, event, pod);
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

static void queue_add(Queue *queue, json_t *pod) {
    vec_push(queue, (Waiting){ pod, json_int_at(pod, 0, "spec", "priority"), meta_created(pod) });
}

/* Makes the snapshot anew; all pods that wait go to the queue. */
static void take_snapshot(Scheduler *scheduler, Queue *queue) {
    Api *api = scheduler->common.api;
    forget_snapshot(scheduler);
    scheduler->placement = placement_new();
    scheduler->keep = json_array();
    loop_timer_after(scheduler->forget, SNAPSHOT_USEC);
    VEC_EACH(object, &store_table(api->store, "nodes")->objects) {
        json_t *node = object_value(*object);
        json_array_append_new(scheduler->keep, node);
        placement_add_node(scheduler->placement, node);
    }
    VEC_EACH(object, &store_table(api->store, "pods")->objects) {
        json_t *pod = object_value(*object);
        json_array_append_new(scheduler->keep, pod);
        if (!wants_us(pod))
            placement_add_pod(scheduler->placement, pod);
        else if (queue)
            queue_add(queue, pod);
    }
}

static void collect_fresh(Scheduler *scheduler, Queue *queue) {
    StoreTable *pods = store_table(scheduler->common.api->store, "pods");
    const char *key;
    for (size_t pos = 0; strmap_next(&scheduler->fresh, &pos, &key);) {
        const char *slash = strchr(key, '/');
        _cleanup_free_ char *ns = str_dup_slice((Slice){ key, (size_t)(slash - key) });
        Object *object = store_get(pods, ns, slash + 1);
        if (!object)
            continue;
        json_t *pod = object_value(object);
        json_array_append_new(scheduler->keep, pod);
        if (wants_us(pod))
            queue_add(queue, pod);
    }
}

static void bind(Scheduler *scheduler, const json_t *pod, const char *node) {
    Controller *controller = &scheduler->common;
    const char *ns = obj_namespace(pod), *name = obj_name(pod);
    _cleanup_call_ ApiCall call = controller_call(controller, "", "pods", ns, name);
    int r = pod_bind(&call, node);
    controller_report(controller, &call, r, "binding");
    if (r != 0) {
        forget_snapshot(scheduler);
        return;
    }
    strmap_put(&scheduler->bound, obj_uid(pod), scheduler);
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
    Scheduler *scheduler = scheduler_of(controller);
    Queue queue = { 0 };
    _cleanup_buf_ Buf why = { 0 };
    /* A new pod does not get what others wait for. */
    bool all = scheduler->room;
    scheduler->room = false;
    if (all || !scheduler->placement)
        take_snapshot(scheduler, all ? &queue : NULL);
    if (!all)
        collect_fresh(scheduler, &queue);
    strmap_done(&scheduler->fresh);
    if (queue.len > 0)
        qsort(queue.items, queue.len, sizeof(Waiting), compare_waiting);
    VEC_EACH(waiting, &queue) {
        const char *node;
        if (placement_choose(scheduler->placement, waiting->pod, &node, &why) == 0)
            bind(scheduler, waiting->pod, node);
        else
            refuse(controller, waiting->pod, why.data);
        if (!scheduler->placement)
            break; /* something is not as it was: look anew */
    }
    if (!scheduler->placement)
        mark_all(scheduler, 0);
    vec_done(&queue);
}

Controller *scheduler_controller_new(Api *api) {
    Scheduler *scheduler = mem_new(Scheduler);
    controller_init(&scheduler->common, api, "kube-scheduler", on_event, work_on);
    scheduler->forget = loop_timer_new(api->loop, forget_snapshot, scheduler);
    mark_all(scheduler, 0);
    return &scheduler->common;
}

Controller *scheduler_controller_free(Controller *controller) {
    Scheduler *scheduler = scheduler_of(controller);
    forget_snapshot(scheduler);
    loop_timer_free(scheduler->forget);
    strmap_done(&scheduler->bound);
    strmap_done(&scheduler->fresh);
    controller_done(controller);
    free(scheduler);
    return NULL;
}
