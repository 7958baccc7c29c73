/* SPDX-License-Identifier: Apache-2.0 */

/* Defaults and checks of the smaller kinds that hang on more than one field. */

#include "base/map.h"
#include "kobj/kinds_private.h"
#include "kobj/meta.h"
#include "kobj/names.h"
#include "kobj/quantity.h"

enum {
    VALUES_BYTES_MAX = 1 << 20 /* of one ConfigMap or Secret */
};

/* --- Job --- */

static void job_labels_fill(json_t *job, const char *uid) {
    static const char *const uid_keys[] = { "batch.kubernetes.io/controller-uid",
                                            "controller-uid" };
    static const char *const name_keys[] = { "batch.kubernetes.io/job-name", "job-name" };
    json_t *template = json_make_object(json_make_object(job, "spec"), "template");
    const char *name = obj_name(job);

    json_set_at(job, json_string(uid), "spec", "selector", "matchLabels", uid_keys[0]);
    for (size_t i = 0; i < 2; i++) {
        obj_set_label(template, uid_keys[i], uid);
        obj_set_label(job, uid_keys[i], uid);
        obj_set_label(template, name_keys[i], name ? name : "");
        obj_set_label(job, name_keys[i], name ? name : "");
    }
}

void job_fill(json_t *job) {
    json_t *spec = json_make_object(job, "spec");
    json_t *template = json_at(spec, "template", "spec");
    bool has_completions = json_object_get(spec, "completions");
    bool has_parallelism = json_object_get(spec, "parallelism");

    if (!has_completions && !has_parallelism)
        json_set_at(spec, json_integer(1), "completions");
    if (!has_parallelism)
        json_set_at(spec, json_integer(1), "parallelism");
    if (!json_object_get(spec, "manualSelector"))
        json_set_at(spec, json_false(), "manualSelector");
    if (json_is_object(template)) {
        /* A pod's default would be Always, which no Job may have: the user has to say. */
        pod_spec_fill(template);
    }
}

void job_prepare(json_t *job) {
    json_t *spec = json_make_object(job, "spec");

    if (obj_uid(job) && !json_bool_at(spec, false, "manualSelector") &&
        !json_at(spec, "selector", "matchLabels", "batch.kubernetes.io/controller-uid"))
        job_labels_fill(job, obj_uid(job));
}

/* Unless the user takes over, the selector is the server's alone. */
static void job_selector_validate(Place *place, const json_t *spec) {
    const json_t *selector = json_object_get(spec, "selector"),
                 *labels = json_at(spec, "template", "metadata", "labels"), *wanted;
    const json_t *match = json_object_get(selector, "matchLabels");
    bool matches = true;
    const char *key;

    if (json_bool_at(spec, false, "manualSelector") || !selector)
        return;
    if (json_object_size(match) > 1 || json_object_get(selector, "matchExpressions"))
        place_invalid(place, "selector", selector, "`selector` not auto-generated");
    json_object_foreach((json_t *)(uintptr_t)match, key, wanted)
        matches &= json_same(wanted, json_object_get(labels, key));
    if (!matches)
        place_invalid(place, "template.metadata.labels", labels,
                      "`selector` does not match template `labels`");
}

void job_validate(Place *place, const json_t *job) {
    const json_t *template = json_at(job, "spec", "template", "spec");
    const char *policy = json_str_at(template, "restartPolicy");
    size_t len = place_key(place, "spec");
    size_t below = place_key(place, "template");

    place_key(place, "spec");
    pod_spec_validate(place, template);
    if (str_empty(policy) || str_eq(policy, "Always"))
        place_required(place, "restartPolicy", "valid values: \"OnFailure\", \"Never\"");
    place_pop(place, below);
    job_selector_validate(place, json_object_get(job, "spec"));
    place_pop(place, len);
}

/* An indexed Job may grow and shrink, both counts together. */
static bool is_elastic(const json_t *spec, const json_t *before) {
    return str_eq(json_str_at(spec, "completionMode"), "Indexed") &&
           json_same(json_object_get(spec, "completions"), json_object_get(spec, "parallelism")) &&
           json_object_get(before, "completions");
}

/* The template without what a queue may set on a Job that has not started. */
static json_t *settled_template(const json_t *spec) {
    static const char *const placed[] = { "nodeSelector", "affinity", "tolerations",
                                          "schedulingGates" };
    json_t *template = json_deep_copy(json_object_get(spec, "template"));

    json_remove_at(template, "metadata", "labels");
    json_remove_at(template, "metadata", "annotations");
    for (size_t i = 0; i < ARRAY_LEN(placed); i++)
        json_remove_at(template, "spec", placed[i]);
    return template;
}

void job_validate_update(Place *place, const json_t *job, const json_t *old) {
    const json_t *spec = json_object_get(job, "spec"), *before = json_object_get(old, "spec");
    size_t len = place_key(place, "spec");

    place_immutable(place, "selector", spec, before);
    place_immutable(place, "completionMode", spec, before);
    if (!is_elastic(spec, before))
        place_immutable(place, "completions", spec, before);
    bool waits = json_bool_at(before, false, "suspend") && !json_at(old, "status", "startTime");
    _cleanup_json_ json_t *now = waits ? settled_template(spec) : NULL;
    _cleanup_json_ json_t *then = waits ? settled_template(before) : NULL;
    if (!waits || !json_same(now, then))
        place_immutable(place, "template", spec, before);
    place_pop(place, len);
}

/* --- Service --- */

void service_fill(json_t *service) {
    json_t *spec = json_make_object(service, "spec"), *port;
    size_t i;

    json_array_foreach(json_object_get(spec, "ports"), i, port) {
        const json_t *target = json_object_get(port, "targetPort");
        bool unset = !target || (json_is_integer(target) && json_integer_value(target) == 0) ||
                     (json_is_string(target) && !*json_string_value(target));
        if (unset && json_object_get(port, "port"))
            json_object_set(port, "targetPort", json_object_get(port, "port"));
    }
    const char *type = json_str_at(spec, "type");
    bool outside = str_eq(type, "NodePort") || str_eq(type, "LoadBalancer");
    if (outside && str_empty(json_str_at(spec, "externalTrafficPolicy")))
        json_set_at(spec, json_string("Cluster"), "externalTrafficPolicy");
}

void service_prepare(json_t *service) {
    json_t *spec = json_make_object(service, "spec");
    const char *ip = json_str_at(spec, "clusterIP");

    if (!str_empty(ip) && !json_object_get(spec, "clusterIPs"))
        json_array_append_new(json_make_array(spec, "clusterIPs"), json_string(ip));
    if (str_eq(json_str_at(spec, "type"), "ExternalName"))
        return;
    if (!json_object_get(spec, "ipFamilies"))
        json_array_append_new(json_make_array(spec, "ipFamilies"), json_string("IPv4"));
    if (!json_object_get(spec, "ipFamilyPolicy"))
        json_set_at(spec, json_string("SingleStack"), "ipFamilyPolicy");
}

static void service_target_validate(Place *place, const json_t *target) {
    int64_t number = json_integer_value(target);

    if (json_is_integer(target) && (number < 1 || number > 65535))
        place_invalid(place, "targetPort", target, "must be between 1 and 65535, inclusive");
    const char *why;
    for (size_t n = 0;
         json_is_string(target) && (why = name_check_port_name(json_string_value(target), n)); n++)
        place_invalid(place, "targetPort", target, why);
}

static void service_port_validate(Place *place, const json_t *port, bool need_name, StrMap *names,
                                  StrMap *numbers) {
    const json_t *name = json_object_get(port, "name"), *number = json_object_get(port, "port");
    const char *protocol = json_str_at(port, "protocol");

    if (need_name && str_empty(json_string_value(name)))
        place_required(place, "name", "");
    if (!str_empty(json_string_value(name)) && strmap_put(names, json_string_value(name), place)) {
        size_t len = place_key(place, "name");
        faults_add_duplicate(place->faults, place->path.data, name);
        place_pop(place, len);
    }
    service_target_validate(place, json_object_get(port, "targetPort"));
    _cleanup_free_ char *key =
        str_printf("%s/%lld", protocol ? protocol : "", (long long)json_integer_value(number));
    if (!strmap_put(numbers, key, place))
        return;
    _cleanup_json_ json_t *shown = json_pack(
        "{s:s, s:s, s:n, s:I, s:i, s:i}", "Name", "", "Protocol", protocol ? protocol : "",
        "AppProtocol", "Port", json_integer_value(number), "TargetPort", 0, "NodePort", 0);
    faults_add_duplicate(place->faults, place->path.data, shown);
}

void service_validate(Place *place, const json_t *service) {
    const json_t *spec = json_object_get(service, "spec"), *ports = json_object_get(spec, "ports");
    _cleanup_(strmap_done) StrMap names = { 0 }, numbers = { 0 };
    bool headless = str_eq(json_str_at(spec, "clusterIP"), "None");
    bool external = str_eq(json_str_at(spec, "type"), "ExternalName");
    size_t i, len = place_key(place, "spec");
    json_t *port;

    if (json_array_size(ports) == 0 && !headless && !external)
        place_required(place, "ports", "");
    if (external && str_empty(json_str_at(spec, "externalName")))
        place_required(place, "externalName", "");
    size_t list = place_key(place, "ports");
    json_array_foreach((json_t *)(uintptr_t)ports, i, port) {
        size_t at = place_index(place, i);
        service_port_validate(place, port, json_array_size(ports) > 1, &names, &numbers);
        place_pop(place, at);
    }
    place_pop(place, list);
    list = place_key(place, "selector");
    place_labels(place, json_object_get(spec, "selector"));
    place_pop(place, list);
    place_pop(place, len);
}

/* --- ConfigMap and Secret --- */

static void keys_validate(Place *place, const json_t *object, const char *field,
                          const char *other) {
    size_t len = place_key(place, field);
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(object, field), key, value) {
        const char *why = name_check_config_key(key);
        size_t at = place_map_key(place, key);
        if (why)
            place_invalid_text(place, "", key, why);
        if (other && json_at(object, other, key)) {
            _cleanup_free_ char *twice = str_printf("duplicate of key present in %s", other);
            place_invalid_text(place, "", key, twice);
        }
        place_pop(place, at);
    }
    place_pop(place, len);
}

/* Bytes of all values; base64 counts for what it holds. */
static size_t values_size(const json_t *map, bool base64) {
    size_t total = 0;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        size_t len = json_string_length(value);
        total += base64 ? len / 4 * 3 : len;
    }
    return total;
}

void configmap_validate(Place *place, const json_t *configmap) {
    keys_validate(place, configmap, "data", "binaryData");
    keys_validate(place, configmap, "binaryData", NULL);
    if (values_size(json_object_get(configmap, "data"), false) +
            values_size(json_object_get(configmap, "binaryData"), true) >
        VALUES_BYTES_MAX)
        faults_add_too_long(place->faults, "[]", VALUES_BYTES_MAX);
}

static void frozen_validate(Place *place, const json_t *object, const json_t *old) {
    static const char *const fields[] = { "data", "binaryData" };

    if (!json_bool_at(old, false, "immutable"))
        return;
    if (!json_bool_at(object, false, "immutable"))
        place_forbidden(place, "immutable", "field is immutable when `immutable` is set");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (!json_same(json_object_get(object, fields[i]), json_object_get(old, fields[i])))
            place_forbidden(place, fields[i], "field is immutable when `immutable` is set");
}

void configmap_validate_update(Place *place, const json_t *configmap, const json_t *old) {
    frozen_validate(place, configmap, old);
}

/* stringData is for writing only: it goes to data as base64. */
void secret_fill(json_t *secret) {
    json_t *plain = json_object_get(secret, "stringData"), *value;
    const char *key;

    json_object_foreach(plain, key, value) {
        _cleanup_free_ char *text =
            base64_encode(json_string_value(value), json_string_length(value));
        json_set_at(secret, json_string(text), "data", key);
    }
    json_object_del(secret, "stringData");
}

void secret_validate(Place *place, const json_t *secret) {
    static const struct {
        const char *type, *keys[2];
    } needed[] = { { "kubernetes.io/tls", { "tls.crt", "tls.key" } },
                   { "kubernetes.io/dockerconfigjson", { ".dockerconfigjson" } },
                   { "kubernetes.io/ssh-auth", { "ssh-privatekey" } } };

    keys_validate(place, secret, "data", NULL);
    size_t len = place_key(place, "data");
    if (values_size(json_object_get(secret, "data"), true) > VALUES_BYTES_MAX)
        faults_add_too_long(place->faults, place->path.data, VALUES_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (!str_eq(json_str_at(secret, "type"), needed[i].type))
            continue;
        for (size_t k = 0; k < 2 && needed[i].keys[k]; k++) {
            size_t at = place_map_key(place, needed[i].keys[k]);
            if (!json_at(secret, "data", needed[i].keys[k]))
                place_required(place, "", "");
            place_pop(place, at);
        }
    }
    place_pop(place, len);
}

void secret_validate_update(Place *place, const json_t *secret, const json_t *old) {
    place_immutable(place, "type", secret, old);
    frozen_validate(place, secret, old);
}

/* --- Namespace, Node, Event, PersistentVolumeClaim --- */

void namespace_fill(json_t *space) {
    const char *name = obj_name(space);

    if (name)
        obj_set_label(space, "kubernetes.io/metadata.name", name);
}

/* Of a new one: later its finalizers are the finalize subresource's. */
void namespace_prepare(json_t *space) {
    if (str_empty(obj_resource_version(space)))
        json_set_at(space, json_pack("[s]", "kubernetes"), "spec", "finalizers");
}

void node_fill(json_t *node) {
    json_t *capacity = json_at(node, "status", "capacity");

    if (capacity && !json_at(node, "status", "allocatable"))
        json_set_at(node, json_deep_copy(capacity), "status", "allocatable");
}

void node_validate(Place *place, const json_t *node) {
    _cleanup_(strmap_done) StrMap seen = { 0 };
    size_t i, len = place_key(place, "metadata.taints");
    json_t *taint;

    json_array_foreach(json_at(node, "spec", "taints"), i, taint) {
        const char *key = json_str_at(taint, "key");
        const char *why = str_empty(key) ? NULL : name_check_qualified(key);
        size_t at = place_index(place, i);
        if (why)
            place_invalid_text(place, "key", key, why);
        const char *value = json_str_at(taint, "value"), *effect = json_str_at(taint, "effect");
        _cleanup_free_ char *pair = str_printf("%s:%s", key ? key : "", effect ? effect : "");
        if (strmap_put(&seen, pair, place)) {
            _cleanup_json_ json_t *shown =
                json_pack("{s:s, s:s, s:s, s:n}", "Key", key ? key : "", "Value",
                          value ? value : "", "Effect", effect ? effect : "", "TimeAdded");
            faults_add_duplicate(place->faults, place->path.data, shown);
        }
        place_pop(place, at);
    }
    place_pop(place, len);
}

/* Go's struct has these times without omitempty. */
void event_prepare(json_t *event) {
    static const char *const times[] = { "firstTimestamp", "lastTimestamp", "eventTime" };

    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (!json_object_get(event, times[i]))
            json_object_set_new(event, times[i], json_null());
    if (!json_object_get(event, "reportingComponent"))
        json_object_set_new(event, "reportingComponent", json_string(""));
    if (!json_object_get(event, "reportingInstance"))
        json_object_set_new(event, "reportingInstance", json_string(""));
}

void event_validate(Place *place, const json_t *event) {
    const json_t *space = json_at(event, "involvedObject", "namespace");
    const char *wanted = json_string_value(space), *own = obj_namespace(event);

    if (str_empty(wanted) ? !str_eq(own, "default") : !str_eq(wanted, own))
        place_invalid(place, "involvedObject.namespace", space, "does not match event.namespace");
}

void claim_validate(Place *place, const json_t *claim) {
    const json_t *spec = json_object_get(claim, "spec"),
                 *modes = json_object_get(spec, "accessModes");
    size_t i, len = place_key(place, "spec");
    json_t *mode;

    if (json_array_size(modes) == 0)
        place_required(place, "accessModes", "at least 1 access mode is required");
    json_array_foreach((json_t *)(uintptr_t)modes, i, mode) {
        const char *text = json_string_value(mode);
        bool known = str_eq(text, "ReadWriteOnce") || str_eq(text, "ReadOnlyMany") ||
                     str_eq(text, "ReadWriteMany") || str_eq(text, "ReadWriteOncePod");
        if (!known)
            place_unsupported(place, "accessModes", mode,
                              "ReadOnlyMany,ReadWriteMany,ReadWriteOnce,ReadWriteOncePod");
    }
    const json_t *storage = json_at(spec, "resources", "requests", "storage");
    Quantity asked;
    if (!storage)
        place_required(place, "resources[storage]", "");
    else if (quantity_from_json(storage, &asked) == 0 &&
             quantity_compare(asked, QUANTITY_ZERO) <= 0)
        place_invalid(place, "resources[storage]", storage, "must be greater than zero");
    place_pop(place, len);
}

/* A bound claim may ask for more room, and nothing else. */
void claim_validate_update(Place *place, const json_t *claim, const json_t *old) {
    _cleanup_json_ json_t *now = json_deep_copy(json_object_get(claim, "spec"));
    _cleanup_json_ json_t *before = json_deep_copy(json_object_get(old, "spec"));
    Quantity asked, had;

    json_remove_at(now, "resources", "requests");
    json_remove_at(before, "resources", "requests");
    if (!json_object_get(before, "volumeName"))
        json_object_del(now, "volumeName");
    if (!json_same(now, before))
        place_forbidden(place, "spec",
                        "spec is immutable after creation except resources.requests and "
                        "volumeAttributesClassName for bound claims");
    if (quantity_from_json(json_at(claim, "spec", "resources", "requests", "storage"), &asked) <
            0 ||
        quantity_from_json(json_at(old, "spec", "resources", "requests", "storage"), &had) < 0)
        return;
    if (quantity_compare(asked, had) < 0)
        place_forbidden(place, "spec.resources.requests.storage",
                        "field can not be less than status.capacity");
}

/* --- RBAC --- */

static void role_rule_validate(Place *place, const json_t *rule, bool namespaced) {
    const json_t *urls = json_object_get(rule, "nonResourceURLs");

    if (json_array_size(json_object_get(rule, "verbs")) == 0)
        place_required(place, "verbs", "verbs must contain at least one value");
    if (json_array_size(urls) > 0) {
        if (namespaced)
            place_invalid(place, "nonResourceURLs", urls,
                          "namespaced rules cannot apply to non-resource URLs");
        return;
    }
    if (json_array_size(json_object_get(rule, "apiGroups")) == 0)
        place_required(place, "apiGroups", "resource rules must supply at least one api group");
    if (json_array_size(json_object_get(rule, "resources")) == 0)
        place_required(place, "resources", "resource rules must supply at least one resource");
}

void role_validate(Place *place, const json_t *role) {
    size_t i, len = place_key(place, "rules");
    json_t *rule;

    json_array_foreach(json_object_get(role, "rules"), i, rule) {
        size_t at = place_index(place, i);
        role_rule_validate(place, rule, obj_namespace(role) != NULL);
        place_pop(place, at);
    }
    place_pop(place, len);
}

void binding_fill(json_t *binding) {
    static const char group[] = "rbac.authorization.k8s.io";
    json_t *role = json_make_object(binding, "roleRef"), *subject;
    size_t i;

    if (str_empty(json_str_at(role, "apiGroup")))
        json_set_at(role, json_string(group), "apiGroup");
    json_array_foreach(json_object_get(binding, "subjects"), i, subject) {
        const char *kind = json_str_at(subject, "kind");
        bool person = str_eq(kind, "User") || str_eq(kind, "Group");
        if (person && str_empty(json_str_at(subject, "apiGroup")))
            json_set_at(subject, json_string(group), "apiGroup");
        else if (str_empty(json_str_at(subject, "apiGroup")))
            json_object_del(subject, "apiGroup");
    }
}

static void subject_validate(Place *place, const json_t *subject, bool namespaced) {
    const json_t *kind = json_object_get(subject, "kind");
    const char *text = json_string_value(kind);

    if (str_empty(json_str_at(subject, "name")))
        place_required(place, "name", "");
    if (!str_eq(text, "ServiceAccount") && !str_eq(text, "User") && !str_eq(text, "Group"))
        place_unsupported(place, "kind", kind, "ServiceAccount,User,Group");
    if (str_eq(text, "ServiceAccount") && !namespaced &&
        str_empty(json_str_at(subject, "namespace")))
        place_required(place, "namespace", "");
}

void binding_validate(Place *place, const json_t *binding) {
    bool namespaced = obj_namespace(binding) != NULL;
    const json_t *kind = json_at(binding, "roleRef", "kind");
    const char *text = json_string_value(kind);
    size_t i, len;
    json_t *subject;

    if (!str_eq(text, "ClusterRole") && !(namespaced && str_eq(text, "Role")))
        place_unsupported(place, "roleRef.kind", kind,
                          namespaced ? "Role,ClusterRole" : "ClusterRole");
    len = place_key(place, "subjects");
    json_array_foreach(json_object_get(binding, "subjects"), i, subject) {
        size_t at = place_index(place, i);
        subject_validate(place, subject, namespaced);
        place_pop(place, at);
    }
    place_pop(place, len);
}

void binding_validate_update(Place *place, const json_t *binding, const json_t *old) {
    const json_t *role = json_object_get(binding, "roleRef");

    if (!json_same(role, json_object_get(old, "roleRef")))
        place_invalid(place, "roleRef", role, "cannot change roleRef");
}

/* --- EndpointSlice --- */

void slice_validate(Place *place, const json_t *slice) {
    size_t i, len = place_key(place, "endpoints");
    json_t *endpoint;

    json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint) {
        size_t at = place_index(place, i);
        if (json_array_size(json_object_get(endpoint, "addresses")) == 0)
            place_required(place, "addresses", "must contain at least 1 address");
        place_pop(place, at);
    }
    place_pop(place, len);
}
