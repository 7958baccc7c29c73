/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/node_plan.h"

/*
 * Nodes whose agent is silent become unknown, and pods of nodes that are gone are collected. A key
 * is a node's name, there or not. An agent's Ready condition brings its node back.
 */

typedef struct Nodes {
    Controller common;
    usec_t begun; /* wall: what came before was not heard */
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
        mark_missing(controller, json_str_at(pod, "spec", "nodeName"));
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
