/* SPDX-License-Identifier: Apache-2.0 */

/* The checks of one container that its schema can't say. */

#include "base/map.h"
#include "kobj/kinds_private.h"
#include "kobj/names.h"
#include "kobj/quantity.h"

/* --- environment --- */

static bool is_field_path(const char *path) {
    static const char *const known[] = {
        "metadata.name",           "metadata.namespace", "metadata.uid",   "spec.nodeName",
        "spec.serviceAccountName", "status.hostIP",      "status.hostIPs", "status.podIP",
        "status.podIPs",
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i], path))
            return true;
    bool map = str_starts(path, "metadata.labels['") || str_starts(path, "metadata.annotations['");
    return map && str_ends(path, "']");
}

static void field_ref_validate(Place *place, const json_t *ref) {
    const char *path = json_str_at(ref, "fieldPath");
    size_t len = place_key(place, "fieldRef");

    if (str_empty(path)) {
        place_required(place, "fieldPath", "");
    } else if (!is_field_path(path)) {
        _cleanup_free_ char *why =
            str_printf("error converting fieldPath: field label not supported: %s", path);
        place_invalid_text(place, "fieldPath", path, why);
    }
    place_pop(place, len);
}

static void env_validate(Place *place, const json_t *variable) {
    static const char *const sources[] = { "fieldRef", "resourceFieldRef", "configMapKeyRef",
                                           "secretKeyRef" };
    const json_t *from = json_object_get(variable, "valueFrom");
    size_t found = 0;

    if (!from)
        return;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        found += json_object_get(from, sources[i]) != NULL;
    if (found == 0)
        place_invalid_text(place, "valueFrom", "",
                           "must specify one of: `fieldRef`, `resourceFieldRef`, "
                           "`configMapKeyRef` or `secretKeyRef`");
    else if (!str_empty(json_str_at(variable, "value")))
        place_invalid_text(place, "valueFrom", "",
                           "may not be specified when `value` is not empty");
    else if (found > 1)
        place_invalid_text(place, "valueFrom", "",
                           "may not have more than one field specified at a time");
    size_t len = place_key(place, "valueFrom");
    if (json_object_get(from, "fieldRef"))
        field_ref_validate(place, json_object_get(from, "fieldRef"));
    place_pop(place, len);
}

/* --- mounts --- */

static bool has_volume(const json_t *volumes, const char *name) {
    for (size_t i = 0; i < json_array_size(volumes); i++)
        if (str_eq(json_str_at(json_array_get(volumes, i), "name"), name))
            return true;
    return false;
}

/* Kubernetes tells of sub-paths at the list of mounts, not at the mount. */
static void sub_paths_validate(Place *place, const json_t *mount) {
    static const char *const fields[] = { "subPath", "subPathExpr" };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        relative_path_validate(place, fields[i], json_object_get(mount, fields[i]));
}

static void mount_validate(Place *place, const json_t *mount, const json_t *volumes,
                           StrMap *paths) {
    const json_t *name = json_object_get(mount, "name"),
                 *path = json_object_get(mount, "mountPath");

    if (!str_empty(json_string_value(name)) && !has_volume(volumes, json_string_value(name))) {
        size_t len = place_key(place, "name");
        faults_add_not_found(place->faults, place->path.data, name);
        place_pop(place, len);
    }
    if (!str_empty(json_string_value(path)) && strmap_put(paths, json_string_value(path), place))
        place_invalid(place, "mountPath", path, "must be unique");
    const json_t *expression = json_object_get(mount, "subPathExpr");
    if (!str_empty(json_string_value(expression)) && !str_empty(json_str_at(mount, "subPath")))
        place_invalid(place, "subPathExpr", expression,
                      "subPathExpr and subPath are mutually exclusive");
}

static void mounts_validate(Place *place, const json_t *mounts, const json_t *volumes) {
    _cleanup_(strmap_done) StrMap paths = { 0 };
    size_t i, len = place_key(place, "volumeMounts");
    json_t *mount;

    json_array_foreach((json_t *)(uintptr_t)mounts, i, mount) {
        size_t at = place_index(place, i);
        mount_validate(place, mount, volumes, &paths);
        place_pop(place, at);
        sub_paths_validate(place, mount);
    }
    place_pop(place, len);
}

/* --- ports --- */

static void port_validate(Place *place, const json_t *port, StrMap *names, StrMap *host_ports) {
    const json_t *name = json_object_get(port, "name");
    int64_t host_port = json_int_at(port, 0, "hostPort");

    if (!str_empty(json_string_value(name)) && strmap_put(names, json_string_value(name), place)) {
        size_t len = place_key(place, "name");
        faults_add_duplicate(place->faults, place->path.data, name);
        place_pop(place, len);
    }
    if (host_port == 0)
        return;
    const char *protocol = json_str_at(port, "protocol"), *ip = json_str_at(port, "hostIP");
    _cleanup_free_ char *key =
        str_printf("%s/%s/%lld", protocol ? protocol : "", ip ? ip : "", (long long)host_port);
    if (strmap_put(host_ports, key, place)) {
        _cleanup_json_ json_t *shown = json_string(key);
        size_t len = place_key(place, "hostPort");
        faults_add_duplicate(place->faults, place->path.data, shown);
        place_pop(place, len);
    }
}

static void ports_validate(Place *place, const json_t *ports) {
    _cleanup_(strmap_done) StrMap names = { 0 }, host_ports = { 0 };
    size_t i, len = place_key(place, "ports");
    json_t *port;

    json_array_foreach((json_t *)(uintptr_t)ports, i, port) {
        size_t at = place_index(place, i);
        port_validate(place, port, &names, &host_ports);
        place_pop(place, at);
    }
    place_pop(place, len);
}

/* --- resources --- */

static bool is_standard_resource(const char *name) {
    return str_eq(name, "cpu") || str_eq(name, "memory") || str_eq(name, "ephemeral-storage") ||
           str_starts(name, "hugepages-");
}

/* What is somebody's device, as nvidia.com/gpu: it is counted, and never lent twice. */
static bool is_extended_resource(const char *name) {
    const char *slash = strchr(name, '/');

    return slash && !str_starts(name, "kubernetes.io/") && !str_starts(name, "requests.");
}

static void resource_validate(Place *place, const char *name, const json_t *value) {
    size_t len = place_map_key(place, name);
    Quantity quantity;

    if (!strchr(name, '/') && !is_standard_resource(name)) {
        place_invalid_text(place, "", name, "must be a standard resource type or fully qualified");
        place_invalid_text(place, "", name, "must be a standard resource for containers");
    }
    bool known = quantity_from_json(value, &quantity) == 0;
    if (known && quantity_compare(quantity, QUANTITY_ZERO) < 0)
        place_invalid(place, "", value, "must be greater than or equal to 0");
    if (known && is_extended_resource(name) && quantity_ceil_milli(quantity) % 1000 != 0)
        place_invalid(place, "", value, "must be an integer");
    place_pop(place, len);
}

static void resource_list_validate(Place *place, const json_t *resources, const char *which) {
    size_t len = place_key(place, which);
    const char *name;
    json_t *value;

    json_object_foreach(json_object_get(resources, which), name, value)
        resource_validate(place, name, value);
    place_pop(place, len);
}

static void request_within_limit(Place *place, const char *name, const json_t *request,
                                 const json_t *limit) {
    Quantity asked, most;

    if (!limit || quantity_from_json(request, &asked) < 0 || quantity_from_json(limit, &most) < 0 ||
        quantity_compare(asked, most) <= 0)
        return;
    _cleanup_free_ char *why = str_printf("must be less than or equal to %s limit of %s", name,
                                          json_is_string(limit) ? json_string_value(limit) : "");
    place_invalid(place, "requests", request, why);
}

static void extended_within_limit(Place *place, const char *name, const json_t *request,
                                  const json_t *limit) {
    if (!limit) {
        place_required(place, "limits", "Limit must be set for non overcommitable resources");
        return;
    }
    Quantity asked, most;
    if (quantity_from_json(request, &asked) < 0 || quantity_from_json(limit, &most) < 0 ||
        quantity_compare(asked, most) == 0)
        return;
    _cleanup_free_ char *why = str_printf("must be equal to %s limit of %s", name,
                                          json_is_string(limit) ? json_string_value(limit) : "");
    place_invalid(place, "requests", request, why);
}

static void resources_validate(Place *place, const json_t *resources) {
    size_t len = place_key(place, "resources");
    const char *name;
    json_t *request;

    resource_list_validate(place, resources, "limits");
    resource_list_validate(place, resources, "requests");
    json_object_foreach(json_object_get(resources, "requests"), name, request) {
        const json_t *limit = json_at(resources, "limits", name);
        if (is_extended_resource(name))
            extended_within_limit(place, name, request, limit);
        else
            request_within_limit(place, name, request, limit);
    }
    place_pop(place, len);
}

/* --- probes and hooks --- */

static void port_reference_validate(Place *place, const json_t *port) {
    if (json_is_integer(port)) {
        int64_t number = json_integer_value(port);
        if (number < 1 || number > 65535)
            place_invalid(place, "port", port, "must be between 1 and 65535, inclusive");
    } else if (json_is_string(port)) {
        const char *why;
        for (size_t n = 0; (why = name_check_port_name(json_string_value(port), n)); n++)
            place_invalid(place, "port", port, why);
    } else {
        place_required(place, "port", "");
    }
}

static void handler_validate(Place *place, const json_t *handler) {
    static const char *const kinds[] = { "exec", "httpGet", "tcpSocket", "grpc", "sleep" };
    size_t found = 0;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const json_t *value = json_object_get(handler, kinds[i]);
        if (!value)
            continue;
        if (found++ > 0) {
            place_forbidden(place, kinds[i], "may not specify more than 1 handler type");
            continue;
        }
        size_t len = place_key(place, kinds[i]);
        if (str_eq(kinds[i], "exec") && json_array_size(json_object_get(value, "command")) == 0)
            place_required(place, "command", "");
        else if (str_eq(kinds[i], "httpGet") || str_eq(kinds[i], "tcpSocket"))
            port_reference_validate(place, json_object_get(value, "port"));
        place_pop(place, len);
    }
    if (found == 0)
        place_required(place, "", "must specify a handler type");
}

static void handlers_validate(Place *place, const json_t *container) {
    static const char *const probes[] = { "livenessProbe", "readinessProbe", "startupProbe" };
    static const char *const hooks[] = { "postStart", "preStop" };

    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        const json_t *probe = json_object_get(container, probes[i]);
        size_t len = place_key(place, probes[i]);
        if (probe)
            handler_validate(place, probe);
        const json_t *successes = json_object_get(probe, "successThreshold");
        if (successes && json_integer_value(successes) != 1 && !str_eq(probes[i], "readinessProbe"))
            place_invalid(place, "successThreshold", successes, "must be 1");
        place_pop(place, len);
    }
    size_t len = place_key(place, "lifecycle");
    for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
        const json_t *hook = json_at(container, "lifecycle", hooks[i]);
        size_t at = place_key(place, hooks[i]);
        if (hook)
            handler_validate(place, hook);
        place_pop(place, at);
    }
    place_pop(place, len);
}

void container_validate(Place *place, const json_t *container, const json_t *volumes) {
    size_t i, len;
    json_t *variable;

    if (str_empty(json_str_at(container, "image")))
        place_required(place, "image", "");
    len = place_key(place, "env");
    json_array_foreach(json_object_get(container, "env"), i, variable) {
        size_t at = place_index(place, i);
        env_validate(place, variable);
        place_pop(place, at);
    }
    place_pop(place, len);
    mounts_validate(place, json_object_get(container, "volumeMounts"), volumes);
    ports_validate(place, json_object_get(container, "ports"));
    resources_validate(place, json_object_get(container, "resources"));
    handlers_validate(place, container);
}
