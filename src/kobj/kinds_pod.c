/* SPDX-License-Identifier: Apache-2.0 */

/* Pods beyond their schema: what depends on more than one field. */

#include "base/map.h"
#include "kobj/kinds_private.h"
#include "kobj/meta.h"
#include "kobj/names.h"
#include "kobj/quantity.h"

static const char *const container_lists[] = { "initContainers", "containers",
                                               "ephemeralContainers" };

/* --- defaults --- */

/* Without a tag, or with :latest, an image is always pulled. */
static bool image_is_latest(const char *image) {
    const char *slash = strrchr(image, '/'), *name = slash ? slash + 1 : image;
    const char *tag = strchr(name, ':');

    if (strchr(name, '@'))
        return false;
    return !tag || str_eq(tag, ":latest");
}

static void container_fill(json_t *container) {
    const char *image = json_str_at(container, "image");

    if (image && str_empty(json_str_at(container, "imagePullPolicy")))
        json_set_at(container, json_string(image_is_latest(image) ? "Always" : "IfNotPresent"),
                    "imagePullPolicy");
}

/* On the host's network a container's port is the host's. */
static void host_ports_fill(json_t *container) {
    size_t i;
    json_t *port;

    json_array_foreach(json_object_get(container, "ports"), i, port)
        if (json_int_at(port, 0, "hostPort") == 0 && json_object_get(port, "containerPort"))
            json_object_set(port, "hostPort", json_object_get(port, "containerPort"));
}

static void volumes_fill(json_t *spec) {
    size_t i;
    json_t *volume;

    json_array_foreach(json_object_get(spec, "volumes"), i, volume)
        if (json_is_object(volume) && json_object_size(volume) == 1)
            json_set_at(volume, json_object(), "emptyDir");
}

/* serviceAccount is the old name of serviceAccountName; both are told. */
static void account_fill(json_t *spec) {
    json_t *name = json_object_get(spec, "serviceAccountName");

    if (str_empty(json_string_value(name)))
        name = json_object_get(spec, "serviceAccount");
    if (str_empty(json_string_value(name)))
        return;
    json_object_set(spec, "serviceAccountName", name);
    json_object_set(spec, "serviceAccount", name);
}

void pod_spec_fill(json_t *spec) {
    bool host = json_bool_at(spec, false, "hostNetwork");
    size_t i;
    json_t *container;

    for (size_t list = 0; list < ARRAY_LEN(container_lists); list++) {
        json_array_foreach(json_object_get(spec, container_lists[list]), i, container) {
            container_fill(container);
            if (host)
                host_ports_fill(container);
        }
    }
    volumes_fill(spec);
    account_fill(spec);
}

/* A limit without a request is the request. */
static void requests_fill(json_t *container) {
    const json_t *limits = json_at(container, "resources", "limits");
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)limits, key, value)
        if (!json_at(container, "resources", "requests", key))
            json_set_at(container, json_incref(value), "resources", "requests", key);
}

static bool tolerates(const json_t *spec, const char *taint) {
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(spec, "tolerations"), i, item) {
        const char *key = json_str_at(item, "key"), *effect = json_str_at(item, "effect");
        if ((str_empty(key) || str_eq(key, taint)) &&
            (str_empty(effect) || str_eq(effect, "NoExecute")))
            return true;
    }
    return false;
}

/* The admission plug-in that lets pods stay five minutes on a node that went away. */
static void tolerations_fill(json_t *spec) {
    static const char *const taints[] = { "node.kubernetes.io/not-ready",
                                          "node.kubernetes.io/unreachable" };

    for (size_t i = 0; i < ARRAY_LEN(taints); i++) {
        if (tolerates(spec, taints[i]))
            continue;
        json_array_append_new(json_make_array(spec, "tolerations"),
                              json_pack("{s:s, s:s, s:s, s:i}", "key", taints[i], "operator",
                                        "Exists", "effect", "NoExecute", "tolerationSeconds", 300));
    }
}

/* What a container asks of cpu and memory: 0 nothing, 1 something, 2 both limits and equal. */
static int container_class(const json_t *container) {
    static const char *const names[] = { "cpu", "memory" };
    int equal = 0, any = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *limit = json_at(container, "resources", "limits", names[i]);
        const json_t *request = json_at(container, "resources", "requests", names[i]);
        any += limit || request;
        equal += limit && json_same(limit, request);
    }
    return equal == 2 ? 2 : any > 0;
}

static const char *quality(const json_t *spec) {
    int lowest = 2, highest = 0;
    size_t i;
    json_t *container;

    for (size_t list = 0; list < 2; list++) {
        json_array_foreach(json_object_get(spec, container_lists[list]), i, container) {
            int class = container_class(container);
            lowest = MIN(lowest, class);
            highest = MAX(highest, class);
        }
    }
    return highest == 0 ? "BestEffort" : lowest == 2 ? "Guaranteed" : "Burstable";
}

void pod_fill(json_t *pod) {
    json_t *spec = json_make_object(pod, "spec");
    size_t i;
    json_t *container;

    pod_spec_fill(spec);
    for (size_t list = 0; list < 2; list++)
        json_array_foreach(json_object_get(spec, container_lists[list]), i, container)
            requests_fill(container);
    if (!json_object_get(spec, "enableServiceLinks"))
        json_set_at(spec, json_true(), "enableServiceLinks");
}

void pod_prepare(json_t *pod) {
    json_t *spec = json_make_object(pod, "spec");

    if (!json_object_get(spec, "priority"))
        json_set_at(spec, json_integer(0), "priority");
    if (!json_object_get(spec, "preemptionPolicy"))
        json_set_at(spec, json_string("PreemptLowerPriority"), "preemptionPolicy");
    tolerations_fill(spec);
    if (!json_str_at(pod, "status", "qosClass"))
        json_set_at(pod, json_string(quality(spec)), "status", "qosClass");
}

/* --- checks --- */

static void toleration_validate(Place *place, const json_t *item) {
    const char *key = json_str_at(item, "key"), *operator= json_str_at(item, "operator");
    const char *value = json_str_at(item, "value");
    bool exists = str_eq(operator, "Exists");

    if (!str_empty(key)) {
        const char *why = name_check_qualified(key);
        if (why)
            place_invalid_text(place, "key", key, why);
    } else if (!exists) {
        place_invalid_text(place, "operator", operator ? operator : "",
                           "operator must be Exists when `key` is empty, which means \"match all "
                           "values and all keys\"");
    }
    if (exists && !str_empty(value))
        place_invalid_text(place, "operator", value,
                           "value must be empty when `operator` is 'Exists'");
}

static void tolerations_validate(Place *place, const json_t *list) {
    size_t i, len = place_key(place, "tolerations");
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)list, i, item) {
        size_t at = place_index(place, i);
        toleration_validate(place, item);
        place_pop(place, at);
    }
    place_pop(place, len);
}

/* Init containers and containers share one set of names. */
static void names_validate(Place *place, const json_t *spec) {
    _cleanup_(strmap_done) StrMap seen = { 0 };
    size_t i;
    json_t *container;

    json_array_foreach(json_object_get(spec, "initContainers"), i, container)
        if (json_str_at(container, "name"))
            strmap_put(&seen, json_str_at(container, "name"), place);
    size_t len = place_key(place, "containers");
    json_array_foreach(json_object_get(spec, "containers"), i, container) {
        const json_t *name = json_object_get(container, "name");
        size_t at = place_index(place, i);
        size_t below = place_key(place, "name");
        if (json_is_string(name) && strmap_get(&seen, json_string_value(name)))
            faults_add_duplicate(place->faults, place->path.data, name);
        place_pop(place, below);
        place_pop(place, at);
    }
    place_pop(place, len);
}

static void host_names_validate(Place *place, const json_t *spec) {
    static const char *const fields[] = { "hostname", "subdomain" };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const char *text = json_str_at(spec, fields[i]);
        const char *why = str_empty(text) ? NULL : name_check_dns1123_label(text);
        if (why)
            place_invalid_text(place, fields[i], text, why);
    }
}

void pod_spec_validate(Place *place, const json_t *spec) {
    const json_t *volumes = json_object_get(spec, "volumes");
    size_t i;
    json_t *container;

    for (size_t list = 0; list < ARRAY_LEN(container_lists); list++) {
        size_t len = place_key(place, container_lists[list]);
        json_array_foreach(json_object_get(spec, container_lists[list]), i, container) {
            size_t at = place_index(place, i);
            container_validate(place, container, volumes);
            place_pop(place, at);
        }
        place_pop(place, len);
    }
    names_validate(place, spec);
    volumes_validate(place, volumes);
    tolerations_validate(place, json_object_get(spec, "tolerations"));
    size_t len = place_key(place, "nodeSelector");
    place_labels(place, json_object_get(spec, "nodeSelector"));
    place_pop(place, len);
    host_names_validate(place, spec);
}

void pod_validate(Place *place, const json_t *pod) {
    size_t len = place_key(place, "spec");

    pod_spec_validate(place, json_object_get(pod, "spec"));
    place_pop(place, len);
}

/* The spec with what may change made the same as before. */
static json_t *comparable_spec(const json_t *spec, const json_t *like) {
    static const char *const free_fields[] = {
        "activeDeadlineSeconds",         "tolerations",         "nodeName",
        "terminationGracePeriodSeconds", "ephemeralContainers", "schedulingGates"
    };
    json_t *copy = json_deep_copy(spec), *container;
    size_t i;

    for (size_t f = 0; f < ARRAY_LEN(free_fields); f++) {
        json_t *value = json_object_get(like, free_fields[f]);
        bool bound = str_eq(free_fields[f], "nodeName") && !str_empty(json_string_value(value));
        if (bound)
            continue; /* a bound pod stays where it is */
        if (value)
            json_object_set(copy, free_fields[f], value);
        else
            json_object_del(copy, free_fields[f]);
    }
    for (size_t list = 0; list < 2; list++) {
        json_array_foreach(json_object_get(copy, container_lists[list]), i, container) {
            const json_t *other = json_array_get(json_object_get(like, container_lists[list]), i);
            if (json_object_get(other, "image"))
                json_object_set(container, "image", json_object_get(other, "image"));
        }
    }
    return copy;
}

void pod_validate_update(Place *place, const json_t *pod, const json_t *old) {
    const json_t *before = json_object_get(old, "spec");
    for (size_t list = 0; list < 2; list++) {
        const char *name = container_lists[list];
        if (json_array_size(json_at(pod, "spec", name)) ==
            json_array_size(json_object_get(before, name)))
            continue;
        _cleanup_free_ char *path = str_printf("spec.%s", name);
        place_forbidden(place, path, "pod updates may not add or remove containers");
        return;
    }
    _cleanup_json_ json_t *now = comparable_spec(json_object_get(pod, "spec"), before);

    if (!json_same(now, before))
        place_forbidden(
            place, "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
            "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
            "be set to 1 if it was previously negative)");
}
