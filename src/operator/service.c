/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/service.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "operator/names.h"
#include "operator/object.h"
#include "operator/spec.h"

typedef struct Port {
    const char *name;
    int64_t number;
} Port;

typedef struct Ports {
    Port *items;
    size_t len;
} Ports;

static void ports_put(Ports *ports, const char *name, int64_t number) {
    for (size_t i = 0; i < ports->len; i++) {
        if (str_eq(ports->items[i].name, name)) {
            ports->items[i].number = number;
            return;
        }
    }
    ports->items[ports->len++] = (Port){ name, number };
}

static int port_compare(const void *a, const void *b) {
    return strcmp(((const Port *)a)->name, ((const Port *)b)->name);
}

/* What the head container declares, else Ray's own ports; metrics in any case; by name. */
static Ports head_ports(const json_t *cluster, Arena *arena) {
    const json_t *declared = json_at(spec_head_container(json_at(cluster, "spec")), "ports");
    Ports ports = { .items = arena_array(arena, Port, json_array_size(declared) + 6) };
    size_t i;
    json_t *port;
    json_array_foreach(declared, i, port) {
        int64_t number = json_int_at(port, 0, "containerPort");
        const char *name = json_str_at(port, "name");
        if (str_empty(name))
            name = arena_printf(arena, "%" PRId64 "-port", number);
        ports_put(&ports, name, number);
    }
    if (ports.len == 0) {
        ports_put(&ports, "client", PORT_CLIENT);
        ports_put(&ports, "gcs-server", PORT_GCS);
        ports_put(&ports, "dashboard", PORT_DASHBOARD);
        ports_put(&ports, "serve", PORT_SERVE);
    }
    bool metrics = false;
    for (i = 0; i < ports.len; i++)
        metrics |= str_eq(ports.items[i].name, "metrics");
    if (!metrics)
        ports_put(&ports, "metrics", PORT_METRICS);
    qsort(ports.items, ports.len, sizeof(Port), port_compare);
    return ports;
}

static json_t *port_object(const Port *port, bool protocol_hint) {
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(port->name));
    json_object_set_new(object, "port", json_integer(port->number));
    if (protocol_hint)
        json_object_set_new(object, "appProtocol", json_string("tcp"));
    return object;
}

/* Labels and selector of the head. The application name follows the head pod's, if the user has
 * set one, since the selector has to match the pod. */
static json_t *head_selector(const json_t *cluster, bool follow_template, Arena *arena) {
    const json_t *spec = json_at(cluster, "spec");
    const char *app =
        json_str_at(spec, "headGroupSpec", "template", "metadata", "labels", LABEL_APP_NAME);
    json_t *labels = json_object();
    json_object_set_new(labels, LABEL_CLUSTER, json_string(object_name(cluster)));
    json_object_set_new(labels, LABEL_NODE_TYPE, json_string(NODE_HEAD));
    json_object_set_new(labels, LABEL_IDENTIFIER,
                        json_string(name_head_identifier(arena, object_name(cluster))));
    json_object_set_new(labels, LABEL_APP_NAME,
                        json_string(follow_template && app ? app : APP_NAME));
    json_object_set_new(labels, LABEL_CREATED_BY, json_string(CREATED_BY));
    return labels;
}

static void set_type(json_t *service, const char *type) {
    if (!str_empty(type))
        json_set_at(service, json_string(type), "spec", "type");
}

/* The user's whole Service: ours win in selector, labels and annotations, theirs in name and type;
 * our ports are appended, except those whose name is taken (the API server would refuse both). */
static json_t *head_from_user(const json_t *own, const json_t *cluster, json_t *generated,
                              Arena *arena) {
    json_t *service = json_deep_copy(own);
    json_object_set_new(service, "apiVersion", json_string("v1"));
    json_object_set_new(service, "kind", json_string("Service"));
    json_t *metadata = json_make_object(service, "metadata");
    json_object_set_new(metadata, "name", json_string(name_head_service(arena, cluster)));
    json_object_set_new(metadata, "namespace", json_string(object_namespace(cluster)));
    object_merge(json_make_object(metadata, "labels"), json_at(generated, "metadata", "labels"),
                 false);
    object_merge(json_make_object(metadata, "annotations"),
                 json_at(generated, "metadata", "annotations"), false);
    json_t *spec = json_make_object(service, "spec");
    json_object_set(spec, "selector", json_at(generated, "spec", "selector"));
    json_t *ports = json_make_array(spec, "ports");
    size_t i;
    json_t *port;
    json_array_foreach(json_at(generated, "spec", "ports"), i, port) {
        if (service_port(service, json_str_at(port, "name")) == 0)
            json_array_append(ports, port);
    }
    if (str_empty(json_str_at(spec, "type")))
        set_type(service, json_str_at(generated, "spec", "type"));
    return service;
}

static json_t *build_head(const json_t *cluster, const OperatorSettings *settings,
                          bool follow_template, Arena *arena) {
    const json_t *spec = json_at(cluster, "spec");
    const char *type = json_str_at(spec, "headGroupSpec", "serviceType");
    _cleanup_json_ json_t *service =
        object_make("v1", "Service", object_namespace(cluster), name_head_service(arena, cluster));
    json_t *selector = head_selector(cluster, follow_template, arena);
    json_set_at(service, json_copy(selector), "metadata", "labels");
    const json_t *annotations = json_at(spec, "headServiceAnnotations");
    if (follow_template && json_object_size(annotations) > 0)
        json_set_at(service, json_deep_copy(annotations), "metadata", "annotations");
    json_set_at(service, selector, "spec", "selector");
    Ports ports = head_ports(cluster, arena);
    json_t *list = json_make_array(json_make_object(service, "spec"), "ports");
    for (size_t i = 0; i < ports.len; i++)
        json_array_append_new(list, port_object(&ports.items[i], true));
    set_type(service, type);
    const json_t *own = json_at(spec, "headGroupSpec", "headService");
    if (own)
        return head_from_user(own, cluster, service, arena);
    if (!settings->head_cluster_ip && (str_empty(type) || str_eq(type, "ClusterIP"))) {
        json_set_at(service, json_string("None"), "spec", "clusterIP");
        json_set_at(service, json_true(), "spec", "publishNotReadyAddresses");
    }
    return TAKE(service);
}

json_t *service_build_head(const json_t *cluster, const OperatorSettings *settings, Arena *arena) {
    return build_head(cluster, settings, true, arena);
}

json_t *service_build_job_head(const json_t *job, const json_t *cluster,
                               const OperatorSettings *settings, Arena *arena) {
    json_t *service = build_head(cluster, settings, false, arena);
    const char *name = object_name(job);
    json_set_at(service, json_string(arena_printf(arena, "%s-head-svc", name)), "metadata", "name");
    json_set_at(service, json_object(), "metadata", "labels");
    obj_set_label(service, LABEL_ORIGIN_NAME, name);
    obj_set_label(service, LABEL_ORIGIN_KIND, "RayJob");
    obj_set_label(service, LABEL_NODE_TYPE, NODE_HEAD);
    obj_set_label(service, LABEL_IDENTIFIER, name_head_identifier(arena, name));
    return service;
}

json_t *service_build_headless(const json_t *cluster, Arena *arena) {
    bool several = false;
    size_t i;
    json_t *group;
    json_array_foreach(json_at(cluster, "spec", "workerGroupSpecs"), i, group)
        several |= group_hosts(group) > 1;
    if (!several)
        return NULL;
    const char *name = object_name(cluster);
    json_t *service = object_make("v1", "Service", object_namespace(cluster),
                                  arena_printf(arena, "%s-headless", name));
    obj_set_label(service, LABEL_HEADLESS, name);
    json_set_at(service, json_string("None"), "spec", "clusterIP");
    json_set_at(service, json_string("ClusterIP"), "spec", "type");
    json_set_at(service, json_true(), "spec", "publishNotReadyAddresses");
    json_set_at(service, json_string(name), "spec", "selector", LABEL_CLUSTER);
    json_set_at(service, json_string(NODE_WORKER), "spec", "selector", LABEL_NODE_TYPE);
    return service;
}

bool service_wants_serve(const json_t *cluster) {
    return str_eq(obj_annotation(cluster, ANNOTATION_SERVE_SERVICE), "true");
}

int service_build_serve(const json_t *cluster, Arena *arena, json_t **ret_service) {
    const char *name = object_name(cluster);
    _cleanup_json_ json_t *service = object_make("v1", "Service", object_namespace(cluster),
                                                 arena_printf(arena, "%s-serve-svc", name));
    obj_set_label(service, LABEL_ORIGIN_NAME, name);
    obj_set_label(service, LABEL_ORIGIN_KIND, "RayCluster");
    obj_set_label(service, LABEL_SERVE, arena_printf(arena, "%s-serve", name));
    json_set_at(service, json_string(name), "spec", "selector", LABEL_CLUSTER);
    json_t *list = json_make_array(json_make_object(service, "spec"), "ports");
    Ports ports = head_ports(cluster, arena);
    for (size_t i = 0; i < ports.len; i++) {
        if (str_eq(ports.items[i].name, "serve") || str_starts(ports.items[i].name, "serve-"))
            json_array_append_new(list, port_object(&ports.items[i], false));
    }
    if (json_array_size(list) == 0)
        return error_origin(-EINVAL,
                            "Please specify a port named 'serve' (or with the prefix 'serve-', "
                            "e.g. 'serve-grpc') in the Ray head container; otherwise, the "
                            "Kubernetes service for Ray Serve will not be created.");
    set_type(service, json_str_at(cluster, "spec", "headGroupSpec", "serviceType"));
    *ret_service = TAKE(service);
    return 0;
}

static json_t *ingress_rule(const json_t *cluster, const json_t *options, Arena *arena) {
    const char *path = json_str_at(options, "path");
    const char *type = json_str_at(options, "pathType");
    const char *host = json_str_at(options, "host");
    int64_t port = PORT_DASHBOARD;
    Ports ports = head_ports(cluster, arena);
    for (size_t i = 0; i < ports.len; i++) {
        if (str_eq(ports.items[i].name, "dashboard"))
            port = ports.items[i].number;
    }
    json_t *entry = json_object();
    json_object_set_new(entry, "path", json_string(path ? path : "/"));
    json_object_set_new(entry, "pathType", json_string(type ? type : "Prefix"));
    json_set_at(entry, json_string(name_head_service(arena, cluster)), "backend", "service",
                "name");
    json_set_at(entry, json_integer(port), "backend", "service", "port", "number");
    json_t *rule = json_object();
    if (host)
        json_object_set_new(rule, "host", json_string(host));
    json_array_append_new(json_make_array(json_make_object(rule, "http"), "paths"), entry);
    return rule;
}

json_t *ingress_build(const json_t *cluster, Arena *arena) {
    const json_t *options = json_at(cluster, "spec", "headGroupSpec", "ingressOptions");
    const char *name = object_name(cluster);
    json_t *ingress = object_make("networking.k8s.io/v1", "Ingress", object_namespace(cluster),
                                  name_short(arena, arena_printf(arena, "%s-head-ingress", name)));
    obj_set_label(ingress, LABEL_CLUSTER, name);
    obj_set_label(ingress, LABEL_IDENTIFIER, name_head_identifier(arena, name));
    obj_set_label(ingress, LABEL_APP_NAME, APP_NAME);
    obj_set_label(ingress, LABEL_CREATED_BY, CREATED_BY);
    json_t *annotations = json_object();
    object_merge(annotations, json_at(cluster, "metadata", "annotations"), false);
    const char *class = obj_annotation(cluster, ANNOTATION_INGRESS_CLASS);
    if (class) /* the annotation and the field exclude each other */
        json_set_at(ingress, json_string(class), "spec", "ingressClassName");
    json_object_del(annotations, ANNOTATION_INGRESS_CLASS);
    json_set_at(ingress, annotations, "metadata", "annotations");
    json_t *spec = json_make_object(ingress, "spec");
    json_array_append_new(json_make_array(spec, "rules"), ingress_rule(cluster, options, arena));
    const json_t *tls = json_at(options, "tls");
    if (json_array_size(tls) > 0)
        json_object_set_new(spec, "tls", json_deep_copy(tls));
    return ingress;
}

bool service_is_head_of(const json_t *service, const json_t *cluster) {
    return str_eq(obj_label(service, LABEL_CLUSTER), object_name(cluster)) &&
           str_eq(obj_label(service, LABEL_NODE_TYPE), NODE_HEAD);
}

int64_t service_port(const json_t *service, const char *name) {
    size_t i;
    json_t *port;
    json_array_foreach(json_at(service, "spec", "ports"), i, port) {
        if (str_eq(json_str_at(port, "name"), name))
            return json_int_at(port, 0, "port");
    }
    return 0;
}
