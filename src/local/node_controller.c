/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/meta.h"
#include "local/node_plan.h"

/*
 * Nodes whose agent is silent become unknown; their pods are not ready any more, and are evicted
 * when they do not tolerate it any longer. Pods of nodes that are gone are collected. A key is a
 * node's name, there or not. An agent's Ready condition brings its node back.
 */

typedef struct Nodes {
    Controller common;
    usec_t begun;   /* wall: what came before was not heard */
    StrMap tainted; /* nodes that pods may have to leave; no values */
} Nodes;

static usec_t grace(const Controller *controller) {
    return controller->api->settings.node_grace;
}

static bool is_there(const Controller *controller, const char *name) {
    return store_get(store_table(controller->api->store, "nodes"), "", name) != NULL;
}

/* Who made the pod may make the node a moment later. */
static void mark_missing(Controller *controller, const char *name) {
    if (!str_empty(name) && !is_there(controller, name))
        controller_mark_at(controller, "", name,
                           loop_wall_now(controller->api->loop) + grace(controller));
}

static void on_event(Controller *controller, const StoreEvent *event) {
    if (str_eq(event->table->name, "nodes")) {
        if (event->type == STORE_DELETED)
            mark_missing(controller, event->now->name);
        else
            controller_mark(controller, "", event->now->name);
    } else if (str_eq(event->table->name, "pods") && event->type != STORE_DELETED) {
        _cleanup_json_ json_t *pod = object_value(event->now);
        const char *node = json_str_at(pod, "spec", "nodeName");
        mark_missing(controller, node);
        if (node && strmap_get(&CONTAINER_OF(controller, Nodes, common)->tainted, node))
            controller_mark(controller, "", node);
    }
}

static void collect_pod(Controller *controller, const Object *pod) {
    _cleanup_free_ char *ns = str_dup(pod->ns), *name = str_dup(pod->name);
    _cleanup_call_ ApiCall call = controller_call(controller, "", "pods", ns, name);
    ApiDelete options = API_DELETE_DEFAULT;
    options.grace_seconds = 0; /* nobody is there to end it */
    _cleanup_json_ json_t *last = NULL;
    bool gone;
    controller_report(controller, &call, api_delete(&call, &options, &last, &gone), "collecting");
}

static void collect_pods(Controller *controller, const char *node) {
    StoreTable *pods = store_table(controller->api->store, "pods");
    for (size_t i = pods->objects.len; i-- > 0;) {
        _cleanup_json_ json_t *pod = object_value(pods->objects.items[i]);
        if (str_eq(json_str_at(pod, "spec", "nodeName"), node))
            collect_pod(controller, pods->objects.items[i]);
    }
}

static bool is_over(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

/* With its own grace: should the agent come back, it ends the pod as it would any other. */
static void evict(Controller *controller, const json_t *pod) {
    const char *ns = obj_namespace(pod), *name = obj_name(pod);
    _cleanup_call_ ApiCall call = controller_call(controller, "", "pods", ns, name);
    ApiDelete options = API_DELETE_DEFAULT;
    _cleanup_json_ json_t *last = NULL;
    bool gone;
    component_event(controller->api, "taint-eviction-controller", pod, "Normal",
                    "TaintManagerEviction", "Marking for deletion Pod %s/%s", ns, name);
    controller_report(controller, &call, api_delete(&call, &options, &last, &gone), "evicting");
}

static bool note_unready(void *ctx, json_t *pod) {
    const usec_t *now = ctx;
    const json_t *ready = obj_condition(pod, "Ready");
    if (!str_eq(json_str_at(ready, "status"), "True"))
        return false;
    const char *reason = json_str_at(ready, "reason"), *message = json_str_at(ready, "message");
    return condition_set(json_make_object(pod, "status"), "Ready", "False", reason, message, *now);
}

static void make_unready(Controller *controller, const json_t *pod, usec_t now) {
    _cleanup_call_ ApiCall call =
        controller_call(controller, "", "pods", obj_namespace(pod), obj_name(pod));
    call.subresource = "status";
    if (!str_eq(json_str_at(obj_condition(pod, "Ready"), "status"), "True"))
        return;
    controller_report(controller, &call, api_change(&call, note_unready, &now), "judging");
    component_event(controller->api, "node-controller", pod, "Warning", "NodeNotReady",
                    "Node is not ready");
}

static bool has_to_be_left(const json_t *node) {
    size_t i;
    json_t *taint;
    json_array_foreach(json_at(node, "spec", "taints"), i, taint)
        if (str_eq(json_str_at(taint, "effect"), "NoExecute"))
            return true;
    return false;
}

static void judge_pods(Controller *controller, const char *name) {
    Nodes *nodes = CONTAINER_OF(controller, Nodes, common);
    _cleanup_json_ json_t *node = api_peek(controller->api, "", "nodes", "", name);
    StoreTable *pods = store_table(controller->api->store, "pods");
    usec_t now = loop_wall_now(controller->api->loop);
    bool ready = str_eq(json_str_at(obj_condition(node, "Ready"), "status"), "True");
    bool is = has_to_be_left(node);
    if (is)
        strmap_put(&nodes->tainted, name, nodes);
    else
        strmap_remove(&nodes->tainted, name);
    for (size_t i = pods->objects.len; is && i-- > 0;) {
        _cleanup_json_ json_t *pod = object_value(pods->objects.items[i]);
        if (!str_eq(json_str_at(pod, "spec", "nodeName"), name) || is_over(pod))
            continue;
        usec_t due = obj_is_deleting(pod) ? USEC_INFINITY : node_plan_eviction(pod, node);
        if (!ready)
            make_unready(controller, pod, now);
        if (due <= now)
            evict(controller, pod);
        else if (due != USEC_INFINITY)
            controller_mark_at(controller, "", name, due);
    }
}

typedef struct Edit {
    bool lost;
    usec_t now;
} Edit;

static bool edit_node(void *ctx, json_t *node) {
    const Edit *edit = ctx;
    return node_plan_edit(node, edit->lost, edit->now);
}

static void judge_node(Controller *controller, const json_t *node) {
    Api *api = controller->api;
    const char *name = obj_name(node);
    _cleanup_json_ json_t *lease =
        api_peek(api, "coordination.k8s.io", "leases", "kube-node-lease", name);
    usec_t begun = CONTAINER_OF(controller, Nodes, common)->begun;
    usec_t due = node_plan_due(node, lease, begun, grace(controller));
    Edit edit = { .now = loop_wall_now(api->loop) };
    edit.lost = edit.now >= due;
    bool was_known = !str_eq(json_str_at(obj_condition(node, "Ready"), "status"), "Unknown");
    _cleanup_call_ ApiCall call = controller_call(controller, "", "nodes", "", name);
    controller_report(controller, &call, api_change(&call, edit_node, &edit), "judging");
    if (!edit.lost)
        controller_mark_at(controller, "", name, due);
    else if (was_known)
        component_event(api, "node-controller", node, "Normal", "NodeNotReady",
                        "Node %s status is now: NodeNotReady", name);
    judge_pods(controller, name);
}

static void work_on(Controller *controller, const char *ns, const char *name) {
    _cleanup_json_ json_t *node = api_peek(controller->api, "", "nodes", "", name);
    if (node)
        judge_node(controller, node);
    else
        collect_pods(controller, name);
}

Controller *node_controller_new(Api *api) {
    Nodes *nodes = mem_new(Nodes);
    Controller *controller = &nodes->common;
    controller_init(controller, api, "kube-controller-manager", on_event, work_on);
    nodes->begun = loop_wall_now(api->loop);
    controller_mark_all(controller, "", "nodes");
    VEC_EACH(object, &store_table(api->store, "pods")->objects) {
        _cleanup_json_ json_t *pod = object_value(*object);
        mark_missing(controller, json_str_at(pod, "spec", "nodeName"));
    }
    return controller;
}

Controller *node_controller_free(Controller *controller) {
    Nodes *nodes = CONTAINER_OF(controller, Nodes, common);
    controller_done(controller);
    strmap_done(&nodes->tainted);
    return mem_free(nodes);
}
