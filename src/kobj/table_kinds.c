/* SPDX-License-Identifier: Apache-2.0 */

/* The lines of all built-in kinds but the pod. */

#include <ctype.h>

#include "base/clock.h"
#include "kobj/meta.h"
#include "kobj/table_private.h"

#define RBAC "rbac.authorization.k8s.io"

static void cell_name(const json_t *object, json_t *cells) {
    cell_text(cells, obj_name(object), "");
}

static void cell_age(const json_t *object, usec_t now, json_t *cells) {
    cell_since(cells, json_at(object, "metadata", "creationTimestamp"), now);
}

static void cell_created(const json_t *object, json_t *cells) {
    cell_text(cells, json_str_at(object, "metadata", "creationTimestamp"), "");
}

static void buf_join(Buf *out, const char *separator, const char *text) {
    buf_printf(out, "%s%s", out->len ? separator : "", text);
}

static char *buf_or_none(Buf *out) {
    return out->len ? buf_steal(out) : str_dup("<none>");
}

/* --- services --- */

static char *strings_joined(const json_t *list) {
    Buf out = { 0 };
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        if (json_is_string(item))
            buf_join(&out, ",", json_string_value(item));
    return buf_or_none(&out);
}

static char *balancer_addresses(const json_t *service) {
    Buf out = { 0 };
    size_t i;
    json_t *item;

    json_array_foreach(json_at(service, "status", "loadBalancer", "ingress"), i, item) {
        const char *ip = json_str_at(item, "ip");
        buf_join(&out, ",", ip ? ip : or_none(json_str_at(item, "hostname")));
    }
    json_array_foreach(json_at(service, "spec", "externalIPs"), i, item)
        buf_join(&out, ",", json_is_string(item) ? json_string_value(item) : "");
    return out.len ? buf_steal(&out) : str_dup("<pending>");
}

static char *external_ip(const json_t *service) {
    const char *type = json_str_at(service, "spec", "type");

    if (str_eq(type, "ExternalName"))
        return str_dup(or_none(json_str_at(service, "spec", "externalName")));
    if (str_eq(type, "LoadBalancer"))
        return balancer_addresses(service);
    return strings_joined(json_at(service, "spec", "externalIPs"));
}

static char *service_ports(const json_t *service) {
    Buf out = { 0 };
    size_t i;
    json_t *port;

    json_array_foreach(json_at(service, "spec", "ports"), i, port) {
        const char *protocol = json_str_at(port, "protocol");
        int64_t node = json_int_at(port, 0, "nodePort");
        buf_printf(&out, "%s%lld", out.len ? "," : "", (long long)json_int_at(port, 0, "port"));
        if (node > 0)
            buf_printf(&out, ":%lld", (long long)node);
        buf_printf(&out, "/%s", protocol ? protocol : "TCP");
    }
    return buf_or_none(&out);
}

static char *labels_joined(const json_t *labels) {
    _cleanup_strlist_ StrList parts = { 0 };
    Buf out = { 0 };
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
        strlist_printf(&parts, "%s=%s", key, json_is_string(value) ? json_string_value(value) : "");
    strlist_sort(&parts);
    for (size_t i = 0; i < parts.len; i++)
        buf_join(&out, ",", parts.items[i]);
    return buf_or_none(&out);
}

static void service_cells(const json_t *service, usec_t now, json_t *cells) {
    const json_t *first = json_array_get(json_at(service, "spec", "clusterIPs"), 0);
    const char *ip = json_is_string(first) ? json_string_value(first)
                                           : json_str_at(service, "spec", "clusterIP");

    cell_name(service, cells);
    cell_text(cells, json_str_at(service, "spec", "type"), "");
    cell_text(cells, or_none(ip), "");
    cell_take(cells, external_ip(service));
    cell_take(cells, service_ports(service));
    cell_age(service, now, cells);
    cell_take(cells, labels_joined(json_at(service, "spec", "selector")));
}

/* --- nodes --- */

static char *node_roles(const json_t *node) {
    static const char prefix[] = "node-role.kubernetes.io/";
    _cleanup_strlist_ StrList roles = { 0 };
    Buf out = { 0 };
    const char *key;
    json_t *value;

    json_object_foreach(json_at(node, "metadata", "labels"), key, value) {
        if (str_starts(key, prefix) && key[sizeof(prefix) - 1])
            strlist_add(&roles, key + sizeof(prefix) - 1);
        else if (str_eq(key, "kubernetes.io/role") && !str_empty(json_string_value(value)))
            strlist_add(&roles, json_string_value(value));
    }
    strlist_sort(&roles);
    for (size_t i = 0; i < roles.len; i++)
        buf_join(&out, ",", roles.items[i]);
    return buf_or_none(&out);
}

static const char *node_address(const json_t *node, const char *type) {
    size_t i;
    json_t *address;

    json_array_foreach(json_at(node, "status", "addresses"), i, address)
        if (str_eq(json_str_at(address, "type"), type))
            return json_str_at(address, "address");
    return "<none>";
}

static const char *node_info(const json_t *node, const char *key, const char *otherwise) {
    const char *text = json_str_at(node, "status", "nodeInfo", key);

    return str_empty(text) ? otherwise : text;
}

static void node_cells(const json_t *node, usec_t now, json_t *cells) {
    const char *ready = json_str_at(obj_condition(node, "Ready"), "status");
    bool closed = json_bool_at(node, false, "spec", "unschedulable");

    cell_name(node, cells);
    cell_take(cells, str_printf("%s%s",
                                !ready                  ? "Unknown"
                                : str_eq(ready, "True") ? "Ready"
                                                        : "NotReady",
                                closed ? ",SchedulingDisabled" : ""));
    cell_take(cells, node_roles(node));
    cell_age(node, now, cells);
    cell_text(cells, node_info(node, "kubeletVersion", ""), "");
    cell_text(cells, node_address(node, "InternalIP"), "<none>");
    cell_text(cells, node_address(node, "ExternalIP"), "<none>");
    cell_text(cells, node_info(node, "osImage", "<unknown>"), "");
    cell_text(cells, node_info(node, "kernelVersion", "<unknown>"), "");
    cell_text(cells, node_info(node, "containerRuntimeVersion", "<unknown>"), "");
}

/* --- small ones --- */

static void configmap_cells(const json_t *map, usec_t now, json_t *cells) {
    cell_name(map, cells);
    cell_int(cells, (int64_t)(json_object_size(json_object_get(map, "data")) +
                              json_object_size(json_object_get(map, "binaryData"))));
    cell_age(map, now, cells);
}

static void secret_cells(const json_t *secret, usec_t now, json_t *cells) {
    cell_name(secret, cells);
    cell_text(cells, json_str_at(secret, "type"), "");
    cell_int(cells, (int64_t)json_object_size(json_object_get(secret, "data")));
    cell_age(secret, now, cells);
}

static void namespace_cells(const json_t *space, usec_t now, json_t *cells) {
    cell_name(space, cells);
    cell_text(cells, json_str_at(space, "status", "phase"), "");
    cell_age(space, now, cells);
}

static void account_cells(const json_t *account, usec_t now, json_t *cells) {
    cell_name(account, cells);
    cell_int(cells, (int64_t)json_array_size(json_object_get(account, "secrets")));
    cell_age(account, now, cells);
}

static void lease_cells(const json_t *lease, usec_t now, json_t *cells) {
    cell_name(lease, cells);
    cell_text(cells, json_str_at(lease, "spec", "holderIdentity"), "");
    cell_age(lease, now, cells);
}

static void created_cells(const json_t *object, usec_t now, json_t *cells) {
    UNUSED(now);
    cell_name(object, cells);
    cell_created(object, cells);
}

/* --- claims --- */

static char *access_modes(const json_t *modes) {
    static const char *const names[][2] = { { "ReadWriteOnce", "RWO" },
                                            { "ReadOnlyMany", "ROX" },
                                            { "ReadWriteMany", "RWX" },
                                            { "ReadWriteOncePod", "RWOP" } };
    Buf out = { 0 };

    for (size_t n = 0; n < ARRAY_LEN(names); n++)
        for (size_t i = 0; i < json_array_size(modes); i++)
            if (str_eq(json_string_value(json_array_get(modes, i)), names[n][0])) {
                buf_join(&out, ",", names[n][1]);
                break;
            }
    return buf_steal(&out);
}

static void claim_cells(const json_t *claim, usec_t now, json_t *cells) {
    const char *volume = json_str_at(claim, "spec", "volumeName");
    const char *capacity = json_str_at(claim, "status", "capacity", "storage");
    bool bound = !str_empty(volume);

    cell_name(claim, cells);
    cell_text(cells, obj_is_deleting(claim) ? "Terminating" : json_str_at(claim, "status", "phase"),
              "");
    cell_text(cells, volume, "");
    cell_text(cells, bound ? (capacity ? capacity : "0") : "", "");
    cell_take(cells, bound ? access_modes(json_at(claim, "status", "accessModes")) : str_dup(""));
    cell_text(cells, json_str_at(claim, "spec", "storageClassName"), "");
    cell_text(cells, json_str_at(claim, "spec", "volumeAttributesClassName"), "<unset>");
    cell_age(claim, now, cells);
    cell_text(cells, json_str_at(claim, "spec", "volumeMode"), "<unset>");
}

/* --- events, of both groups --- */

static const json_t *either(const json_t *event, const char *key, const char *other) {
    const json_t *value = json_object_get(event, key);

    return value && !json_is_null(value) ? value : json_object_get(event, other);
}

static char *event_source(const json_t *event) {
    const json_t *source = either(event, "source", "deprecatedSource");
    const char *component = json_str_at(source, "component"), *host = json_str_at(source, "host");
    Buf out = { 0 };

    if (str_empty(component))
        component = json_string_value(either(event, "reportingComponent", "reportingController"));
    if (str_empty(host))
        host = json_str_at(event, "reportingInstance");
    if (!str_empty(component))
        buf_join(&out, ", ", component);
    if (!str_empty(host))
        buf_join(&out, ", ", host);
    return buf_steal(&out);
}

static char *event_object(const json_t *object) {
    const char *kind = json_str_at(object, "kind"), *name = json_str_at(object, "name");
    char *text = str_printf("%s/%s", kind ? kind : "", name ? name : "");

    for (char *p = text; *p && *p != '/'; p++)
        *p = (char)tolower((unsigned char)*p);
    return text;
}

static char *trimmed(const char *text) {
    size_t len = strlen(text);

    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    while (len > 0 && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    return str_dup_slice((Slice){ text, len });
}

static void event_cells(const json_t *event, usec_t now, json_t *cells) {
    const json_t *object = either(event, "involvedObject", "regarding");
    const json_t *first = either(event, "firstTimestamp", "deprecatedFirstTimestamp");
    const json_t *last = either(event, "lastTimestamp", "deprecatedLastTimestamp");
    const json_t *series = json_at(event, "series", "lastObservedTime");
    const char *message = json_string_value(either(event, "message", "note"));
    int64_t count = json_int_at(event, json_int_at(event, 0, "deprecatedCount"), "count");

    if (!json_is_string(first))
        first = json_object_get(event, "eventTime");
    if (!json_is_string(last))
        last = first;
    count = json_int_at(event, count, "series", "count");
    cell_since(cells, series ? series : last, now);
    cell_text(cells, json_str_at(event, "type"), "");
    cell_text(cells, json_str_at(event, "reason"), "");
    cell_take(cells, event_object(object));
    cell_text(cells, json_str_at(object, "fieldPath"), "");
    cell_take(cells, event_source(event));
    cell_take(cells, trimmed(message ? message : ""));
    cell_since(cells, first, now);
    cell_int(cells, count ? count : 1);
    cell_name(event, cells);
}

/* --- jobs --- */

static const char *job_status(const json_t *job) {
    static const char *const before[] = { "Complete", "Failed" };
    static const char *const behind[] = { "Suspended", "FailureTarget", "SuccessCriteriaMet" };

    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        if (str_eq(json_str_at(obj_condition(job, before[i]), "status"), "True"))
            return before[i];
    if (obj_is_deleting(job))
        return "Terminating";
    for (size_t i = 0; i < ARRAY_LEN(behind); i++)
        if (str_eq(json_str_at(obj_condition(job, behind[i]), "status"), "True"))
            return behind[i];
    return "Running";
}

static char *job_completions(const json_t *job) {
    int64_t done = json_int_at(job, 0, "status", "succeeded");
    int64_t wanted = json_int_at(job, -1, "spec", "completions");
    int64_t parallel = json_int_at(job, 1, "spec", "parallelism");

    if (wanted >= 0)
        return str_printf("%lld/%lld", (long long)done, (long long)wanted);
    if (parallel > 1)
        return str_printf("%lld/1 of %lld", (long long)done, (long long)parallel);
    return str_printf("%lld/1", (long long)done);
}

static char *job_duration(const json_t *job, usec_t now) {
    const char *start = json_str_at(job, "status", "startTime");
    const char *end = json_str_at(job, "status", "completionTime");
    usec_t from, to = now;

    if (!start || time_parse_rfc3339(start, &from) < 0)
        return str_dup("");
    if (end && time_parse_rfc3339(end, &to) < 0)
        to = now;
    return table_age(to - from);
}

static char *containers_joined(const json_t *job, const char *key) {
    Buf out = { 0 };
    size_t i;
    json_t *container;

    json_array_foreach(json_at(job, "spec", "template", "spec", "containers"), i, container) {
        const char *text = json_str_at(container, key);
        buf_join(&out, ",", text ? text : "");
    }
    return buf_steal(&out);
}

static void job_cells(const json_t *job, usec_t now, json_t *cells) {
    cell_name(job, cells);
    cell_text(cells, job_status(job), "");
    cell_take(cells, job_completions(job));
    cell_take(cells, job_duration(job, now));
    cell_age(job, now, cells);
    cell_take(cells, containers_joined(job, "name"));
    cell_take(cells, containers_joined(job, "image"));
    cell_take(cells, labels_joined(json_at(job, "spec", "selector", "matchLabels")));
}

/* --- endpoint slices --- */

enum {
    SLICE_SHOWN = 3
};

static char *shortened(const StrList *items) {
    Buf out = { 0 };

    for (size_t i = 0; i < items->len && i < SLICE_SHOWN; i++)
        buf_join(&out, ",", items->items[i]);
    if (items->len > SLICE_SHOWN)
        buf_printf(&out, " + %zu more...", items->len - SLICE_SHOWN);
    return out.len ? buf_steal(&out) : str_dup("<unset>");
}

static void slice_cells(const json_t *slice, usec_t now, json_t *cells) {
    _cleanup_strlist_ StrList ports = { 0 }, addresses = { 0 };
    size_t i, n;
    json_t *item, *address;

    json_array_foreach(json_object_get(slice, "ports"), i, item) {
        int64_t port = json_int_at(item, 0, "port");
        if (port)
            strlist_printf(&ports, "%lld", (long long)port);
        else
            strlist_add(&ports, "*");
    }
    json_array_foreach(json_object_get(slice, "endpoints"), i, item)
        json_array_foreach(json_object_get(item, "addresses"), n, address)
            strlist_add(&addresses, json_is_string(address) ? json_string_value(address) : "");
    cell_name(slice, cells);
    cell_text(cells, json_str_at(slice, "addressType"), "");
    cell_take(cells, shortened(&ports));
    cell_take(cells, shortened(&addresses));
    cell_age(slice, now, cells);
}

/* --- role bindings --- */

static char *subjects_of(const json_t *binding, const char *kind) {
    bool account = str_eq(kind, "ServiceAccount");
    Buf out = { 0 };
    size_t i;
    json_t *subject;

    json_array_foreach(json_object_get(binding, "subjects"), i, subject) {
        const char *name = json_str_at(subject, "name"), *space = json_str_at(subject, "namespace");
        if (!str_eq(json_str_at(subject, "kind"), kind))
            continue;
        _cleanup_free_ char *text = str_printf("%s%s%s", account && space ? space : "",
                                               account ? "/" : "", name ? name : "");
        buf_join(&out, ", ", text);
    }
    return buf_steal(&out);
}

static void binding_cells(const json_t *binding, usec_t now, json_t *cells) {
    const char *kind = json_str_at(binding, "roleRef", "kind");
    const char *name = json_str_at(binding, "roleRef", "name");

    cell_name(binding, cells);
    cell_take(cells, str_printf("%s/%s", kind ? kind : "", name ? name : ""));
    cell_age(binding, now, cells);
    cell_take(cells, subjects_of(binding, "User"));
    cell_take(cells, subjects_of(binding, "Group"));
    cell_take(cells, subjects_of(binding, "ServiceAccount"));
}

/* --- all of them --- */

static const TableColumn pod_columns[] = {
    { "Name", 0 }, { "Ready", 0 }, { "Status", 0 },         { "Restarts", 0 },       { "Age", 0 },
    { "IP", 1 },   { "Node", 1 },  { "Nominated Node", 1 }, { "Readiness Gates", 1 }
};
static const TableColumn service_columns[] = { { "Name", 0 },       { "Type", 0 },
                                               { "Cluster-IP", 0 }, { "External-IP", 0 },
                                               { "Port(s)", 0 },    { "Age", 0 },
                                               { "Selector", 1 } };
static const TableColumn node_columns[] = { { "Name", 0 },           { "Status", 0 },
                                            { "Roles", 0 },          { "Age", 0 },
                                            { "Version", 0 },        { "Internal-IP", 1 },
                                            { "External-IP", 1 },    { "OS-Image", 1 },
                                            { "Kernel-Version", 1 }, { "Container-Runtime", 1 } };
static const TableColumn configmap_columns[] = { { "Name", 0 }, { "Data", 0 }, { "Age", 0 } };
static const TableColumn secret_columns[] = {
    { "Name", 0 }, { "Type", 0 }, { "Data", 0 }, { "Age", 0 }
};
static const TableColumn namespace_columns[] = { { "Name", 0 }, { "Status", 0 }, { "Age", 0 } };
static const TableColumn account_columns[] = { { "Name", 0 }, { "Secrets", 0 }, { "Age", 0 } };
static const TableColumn lease_columns[] = { { "Name", 0 }, { "Holder", 0 }, { "Age", 0 } };
static const TableColumn created_columns[] = { { "Name", 0 }, { "Created At", 0 } };
static const TableColumn claim_columns[] = { { "Name", 0 },
                                             { "Status", 0 },
                                             { "Volume", 0 },
                                             { "Capacity", 0 },
                                             { "Access Modes", 0 },
                                             { "StorageClass", 0 },
                                             { "VolumeAttributesClass", 0 },
                                             { "Age", 0 },
                                             { "VolumeMode", 1 } };
static const TableColumn event_columns[] = {
    { "Last Seen", 0 }, { "Type", 0 },    { "Reason", 0 },     { "Object", 0 }, { "Subobject", 1 },
    { "Source", 1 },    { "Message", 0 }, { "First Seen", 1 }, { "Count", 1 },  { "Name", 1 }
};
static const TableColumn job_columns[] = { { "Name", 0 },        { "Status", 0 },
                                           { "Completions", 0 }, { "Duration", 0 },
                                           { "Age", 0 },         { "Containers", 1 },
                                           { "Images", 1 },      { "Selector", 1 } };
static const TableColumn slice_columns[] = {
    { "Name", 0 }, { "AddressType", 0 }, { "Ports", 0 }, { "Endpoints", 0 }, { "Age", 0 }
};
static const TableColumn binding_columns[] = { { "Name", 0 },   { "Role", 0 },
                                               { "Age", 0 },    { "Users", 1 },
                                               { "Groups", 1 }, { "ServiceAccounts", 1 } };

#define KIND(group, kind, columns, cells) { group, kind, columns, ARRAY_LEN(columns), cells }

const TableKind table_kinds[] = {
    KIND("", "Pod", pod_columns, pod_cells),
    KIND("", "Service", service_columns, service_cells),
    KIND("", "Node", node_columns, node_cells),
    KIND("", "ConfigMap", configmap_columns, configmap_cells),
    KIND("", "Secret", secret_columns, secret_cells),
    KIND("", "Namespace", namespace_columns, namespace_cells),
    KIND("", "ServiceAccount", account_columns, account_cells),
    KIND("", "PersistentVolumeClaim", claim_columns, claim_cells),
    KIND("", "Event", event_columns, event_cells),
    KIND("events.k8s.io", "Event", event_columns, event_cells),
    KIND("batch", "Job", job_columns, job_cells),
    KIND("coordination.k8s.io", "Lease", lease_columns, lease_cells),
    KIND("discovery.k8s.io", "EndpointSlice", slice_columns, slice_cells),
    KIND(RBAC, "Role", created_columns, created_cells),
    KIND(RBAC, "ClusterRole", created_columns, created_cells),
    KIND(RBAC, "RoleBinding", binding_columns, binding_cells),
    KIND(RBAC, "ClusterRoleBinding", binding_columns, binding_cells),
    KIND("apiextensions.k8s.io", "CustomResourceDefinition", created_columns, created_cells),
};
const size_t table_kinds_len = ARRAY_LEN(table_kinds);
