/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_pod_spec.h"

#include "base/error.h"
#include "kobj/meta.h"

enum {
    CONTAINERS_MAX = 250,
    GRACE_DEFAULT_SECONDS = 30
};

static usec_t seconds_at(const json_t *json, const char *field, int64_t otherwise) {
    return CLAMP(json_int_at(json, otherwise, field), (int64_t)0, (int64_t)1 << 31) * USEC_PER_SEC;
}

/* A number, or the name of one of the container's ports. */
static int parse_port(const json_t *container, const json_t *port, uint16_t *ret_port) {
    int64_t number = json_is_integer(port) ? json_integer_value(port) : 0;
    const char *name = json_string_value(port);
    if (name && str_to_i64(name, &number) < 0) {
        size_t i;
        json_t *item;
        json_array_foreach(json_object_get(container, "ports"), i, item)
            if (str_eq(json_str_at(item, "name"), name))
                number = json_int_at(item, 0, "containerPort");
    }
    if (number < 1 || number > UINT16_MAX)
        return error_origin(-EINVAL, "invalid port %s", name ? name : "of a probe");
    *ret_port = (uint16_t)number;
    return 0;
}

static int parse_action(const json_t *container, const json_t *json, ActionSpec *ret_action) {
    const json_t *exec = json_object_get(json, "exec"), *http = json_object_get(json, "httpGet");
    const json_t *tcp = json_object_get(json, "tcpSocket");
    ActionSpec action = { .kind = PROBE_EXEC };
    int r = 0;
    if (exec) {
        action.command = json_object_get(exec, "command");
        if (!json_array_size(action.command))
            r = error_origin(-EINVAL, "exec.command is empty");
    } else if (http) {
        action.kind = PROBE_HTTP;
        action.host = json_str_at(http, "host");
        action.path = json_str_at(http, "path");
        action.scheme = json_str_at(http, "scheme");
        action.headers = json_object_get(http, "httpHeaders");
        r = parse_port(container, json_object_get(http, "port"), &action.port);
    } else if (tcp) {
        action.kind = PROBE_TCP;
        action.host = json_str_at(tcp, "host");
        r = parse_port(container, json_object_get(tcp, "port"), &action.port);
    } else {
        r = error_origin(-EINVAL, "none of exec, httpGet and tcpSocket is there; others are not "
                                  "supported");
    }
    if (r == 0)
        *ret_action = action;
    return r;
}

static int parse_probe(const json_t *container, const char *field, ProbeSpec *ret_probe) {
    const json_t *json = json_object_get(container, field);
    if (!json_is_object(json))
        return 0;
    ProbeSpec probe = {
        .present = true,
        .initial_delay = seconds_at(json, "initialDelaySeconds", 0),
        .period = MAX(seconds_at(json, "periodSeconds", 10), USEC_PER_SEC),
        .timeout = MAX(seconds_at(json, "timeoutSeconds", 1), USEC_PER_SEC),
        .success_threshold = (int)MAX(json_int_at(json, 1, "successThreshold"), (int64_t)1),
        .failure_threshold = (int)MAX(json_int_at(json, 3, "failureThreshold"), (int64_t)1),
        .grace = json_object_get(json, "terminationGracePeriodSeconds")
                     ? seconds_at(json, "terminationGracePeriodSeconds", 0)
                     : -1,
    };
    int r = parse_action(container, json, &probe.action);
    if (r < 0)
        return error_context(r, "%s", field);
    *ret_probe = probe;
    return 0;
}

static int parse_hooks(const json_t *container, ContainerDef *def) {
    const json_t *start = json_at(container, "lifecycle", "postStart");
    const json_t *stop = json_at(container, "lifecycle", "preStop");
    def->pre_stop_sleep = -1;
    int r = 0;
    if (start && !json_at(start, "sleep")) {
        def->has_post_start = true;
        r = parse_action(container, start, &def->post_start);
    }
    if (r == 0 && stop) {
        def->has_pre_stop = true;
        if (json_at(stop, "sleep"))
            def->pre_stop_sleep = json_int_at(stop, 0, "sleep", "seconds");
        else
            r = parse_action(container, stop, &def->pre_stop);
    }
    return r < 0 ? error_context(r, "lifecycle") : 0;
}

static int parse_container(const json_t *json, ContainerKind kind, RestartPolicy restart,
                           ContainerDef *ret_def) {
    const char *own = json_str_at(json, "restartPolicy");
    ContainerDef def = { .json = json,
                         .name = json_str_at(json, "name"),
                         .image = json_str_at(json, "image"),
                         .kind = kind,
                         .restart = restart };
    if (str_empty(def.name))
        return error_origin(-EINVAL, "a container has no name");
    if (kind == CONTAINER_INIT && str_eq(own, "Always"))
        def.kind = CONTAINER_SIDECAR;
    if (def.kind == CONTAINER_SIDECAR)
        def.restart = RESTART_ALWAYS;
    else if (kind == CONTAINER_INIT && restart == RESTART_ALWAYS)
        def.restart = RESTART_ON_FAILURE;
    int r = parse_probe(json, "startupProbe", &def.startup);
    if (r == 0)
        r = parse_probe(json, "livenessProbe", &def.liveness);
    if (r == 0)
        r = parse_probe(json, "readinessProbe", &def.readiness);
    if (r == 0)
        r = parse_hooks(json, &def);
    if (r < 0)
        return error_context(r, "container %s", def.name);
    *ret_def = def;
    return 0;
}

static int parse_containers(PodDef *def, const char *field, ContainerKind kind) {
    size_t i;
    json_t *item;
    json_array_foreach(json_at(def->json, "spec", field), i, item) {
        ContainerDef container;
        if (def->containers.len >= CONTAINERS_MAX)
            return error_origin(-EINVAL, "a pod has at most %d containers", CONTAINERS_MAX);
        int r = parse_container(item, kind, def->restart, &container);
        if (r < 0)
            return r;
        vec_push(&def->containers, container);
    }
    return 0;
}

int pod_def_parse(const json_t *pod, PodDef *ret_def) {
    _cleanup_pod_def_ PodDef def = { .json = json_deep_copy(pod) };
    const char *restart = json_str_at(pod, "spec", "restartPolicy");
    def.ns = str_dup(obj_namespace(pod) ? obj_namespace(pod) : "default");
    def.name = str_dup(obj_name(pod));
    def.uid = str_dup(obj_uid(pod));
    def.node = str_dup(json_str_at(pod, "spec", "nodeName"));
    def.restart = str_eq(restart, "Never")       ? RESTART_NEVER
                  : str_eq(restart, "OnFailure") ? RESTART_ON_FAILURE
                                                 : RESTART_ALWAYS;
    def.grace = seconds_at(json_object_get(pod, "spec"), "terminationGracePeriodSeconds",
                           GRACE_DEFAULT_SECONDS);
    def.host_network = json_bool_at(pod, false, "spec", "hostNetwork");
    if (str_empty(def.name) || str_empty(def.uid) || strchr(def.uid, '/') || def.uid[0] == '.')
        return error_origin(-EINVAL, "pod: metadata.name or metadata.uid is missing or invalid");
    int r = parse_containers(&def, "initContainers", CONTAINER_INIT);
    if (r == 0)
        r = parse_containers(&def, "containers", CONTAINER_MAIN);
    if (r < 0)
        return r;
    *ret_def = def;
    def = (PodDef){ 0 };
    return 0;
}

void pod_def_update(PodDef *def, const json_t *pod) {
    json_t *metadata = json_object_get(pod, "metadata");
    if (metadata)
        json_object_set_new(def->json, "metadata", json_deep_copy(metadata));
}

void pod_def_done(PodDef *def) {
    vec_done(&def->containers);
    mem_free(def->ns);
    mem_free(def->name);
    mem_free(def->uid);
    mem_free(def->node);
    json_decref(def->json);
    *def = (PodDef){ 0 };
}

usec_t pod_def_grace(const PodDef *def) {
    if (!obj_is_deleting(def->json))
        return def->grace;
    return MAX(json_int_at(def->json, def->grace / USEC_PER_SEC, "metadata",
                           "deletionGracePeriodSeconds"),
               (int64_t)0) *
           USEC_PER_SEC;
}
