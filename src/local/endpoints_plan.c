/* SPDX-License-Identifier: Apache-2.0 */
#include "local/endpoints_plan.h"

#include "base/str.h"
#include "codec/json.h"
#include "local/meta.h"

/* The number a pod gives a target port's name; 0 when it has none of that name. */
static int64_t named_port(const json_t *pod, const char *name, const char *protocol) {
    const json_t *container, *port;
    size_t i, j;
    json_array_foreach(json_at(pod, "spec", "containers"), i, container) {
        json_array_foreach(json_object_get(container, "ports"), j, port) {
            const char *its = json_str_at(port, "protocol");
            if (str_eq(json_str_at(port, "name"), name) && str_eq(its ? its : "TCP", protocol))
                return json_int_at(port, 0, "containerPort");
        }
    }
    return 0;
}

static json_t *resolve_ports(const json_t *service, const json_t *pod) {
    json_t *ports = json_array();
    const json_t *port;
    size_t i;
    json_array_foreach(json_at(service, "spec", "ports"), i, port) {
        const json_t *target = json_object_get(port, "targetPort");
        const char *protocol = json_str_at(port, "protocol"), *name = json_str_at(port, "name");
        const char *app = json_str_at(port, "appProtocol");
        protocol = protocol ? protocol : "TCP";
        int64_t number = json_is_integer(target) ? json_integer_value(target) : 0;
        if (json_is_string(target))
            number = named_port(pod, json_string_value(target), protocol);
        if (number == 0 && !json_is_string(target))
            number = json_int_at(port, 0, "port");
        if (number == 0)
            continue;
        json_t *out = json_pack("{s:s, s:I, s:s}", "name", name ? name : "", "port",
                                (json_int_t)number, "protocol", protocol);
        if (app)
            json_object_set_new(out, "appProtocol", json_string(app));
        json_array_append_new(ports, out);
    }
    return ports;
}

static json_t *make_endpoint(const json_t *service, const json_t *pod) {
    bool ready = condition_is_true(pod, "Ready"), terminating = obj_is_deleting(pod);
    bool publish = json_bool_at(service, false, "spec", "publishNotReadyAddresses");
    const char *hostname = json_str_at(pod, "spec", "hostname");
    const char *node = json_str_at(pod, "spec", "nodeName");
    json_t *endpoint =
        json_pack("{s:[s], s:{s:b, s:b, s:b}, s:{s:s, s:s, s:s, s:s}}", "addresses",
                  json_str_at(pod, "status", "podIP"), "conditions", "ready",
                  publish || (ready && !terminating), "serving", ready || publish, "terminating",
                  terminating, "targetRef", "kind", "Pod", "namespace", obj_namespace(pod), "name",
                  obj_name(pod), "uid", obj_uid(pod));
    if (node)
        json_object_set_new(endpoint, "nodeName", json_string(node));
    if (hostname && str_eq(json_str_at(pod, "spec", "subdomain"), obj_name(service)))
        json_object_set_new(endpoint, "hostname", json_string(hostname));
    return endpoint;
}

static json_t *make_slice(const json_t *service, json_t *ports) {
    json_t *labels = json_pack("{s:s, s:s}", ENDPOINTS_SERVICE_LABEL, obj_name(service),
                               ENDPOINTS_MANAGED_BY_LABEL, ENDPOINTS_MANAGED_BY);
    const char *key;
    json_t *value;
    json_object_foreach(json_at(service, "metadata", "labels"), key, value) {
        if (!json_object_get(labels, key))
            json_object_set(labels, key, value);
    }
    if (str_eq(json_str_at(service, "spec", "clusterIP"), "None"))
        json_object_set_new(labels, "service.kubernetes.io/headless", json_string(""));
    json_t *slice = json_pack("{s:s, s:s, s:{s:s, s:o, s:[o]}, s:s, s:[], s:o}", "apiVersion",
                              "discovery.k8s.io/v1", "kind", "EndpointSlice", "metadata",
                              "namespace", obj_namespace(service), "labels", labels,
                              "ownerReferences", obj_make_controller_ref(service), "addressType",
                              "IPv4", "endpoints", "ports", ports);
    json_set_printf(json_object_get(slice, "metadata"), "generateName", "%s-", obj_name(service));
    return slice;
}

static bool belongs(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return !str_empty(json_str_at(pod, "status", "podIP")) && !str_eq(phase, "Succeeded") &&
           !str_eq(phase, "Failed");
}

/* A slice with these ports and room, or a new one. Takes `ports`. */
static json_t *slice_for(const json_t *service, json_t *slices, json_t *ports) {
    json_t *slice;
    size_t i;
    json_array_foreach(slices, i, slice) {
        if (json_same(json_object_get(slice, "ports"), ports) &&
            json_array_size(json_object_get(slice, "endpoints")) < ENDPOINTS_PER_SLICE_MAX) {
            json_decref(ports);
            return slice;
        }
    }
    slice = make_slice(service, ports);
    json_array_append_new(slices, slice);
    return slice;
}

json_t *endpoints_plan_make(const json_t *service, json_t *const *pods, size_t len) {
    json_t *slices = json_array();
    for (size_t i = 0; i < len; i++) {
        if (!belongs(pods[i]))
            continue;
        json_t *slice = slice_for(service, slices, resolve_ports(service, pods[i]));
        json_array_append_new(json_object_get(slice, "endpoints"), make_endpoint(service, pods[i]));
    }
    if (json_array_size(slices) == 0)
        json_array_append_new(slices, make_slice(service, json_array()));
    return slices;
}

/* An empty list may be stored as none. */
static bool same_list(const json_t *a, const json_t *b) {
    return (json_array_size(a) == 0 && json_array_size(b) == 0) || json_same(a, b);
}

bool endpoints_same(const json_t *stored, const json_t *wanted) {
    return same_list(json_object_get(stored, "endpoints"), json_object_get(wanted, "endpoints")) &&
           same_list(json_object_get(stored, "ports"), json_object_get(wanted, "ports")) &&
           json_same(json_at(stored, "metadata", "labels"), json_at(wanted, "metadata", "labels"));
}
