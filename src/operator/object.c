/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/object.h"

#include "base/clock.h"

static const char *text_or(const char *text, const char *otherwise) {
    return text ? text : otherwise;
}

const char *object_name(const json_t *object) {
    return text_or(json_str_at(object, "metadata", "name"), "");
}

const char *object_namespace(const json_t *object) {
    const char *space = json_str_at(object, "metadata", "namespace");
    return str_empty(space) ? "default" : space;
}

const char *object_uid(const json_t *object) {
    return text_or(json_str_at(object, "metadata", "uid"), "");
}

usec_t object_time(const json_t *text) {
    usec_t wall;
    const char *s = json_string_value(text);
    return s && time_parse_rfc3339(s, &wall) == 0 ? wall : -1;
}

json_t *object_time_text(usec_t wall) {
    char text[TIME_TEXT_MAX];
    time_format_rfc3339(wall, text);
    return json_string(text);
}

json_t *object_make(const char *api_version, const char *kind, const char *namespace_,
                    const char *name) {
    json_t *object = json_object();
    json_object_set_new(object, "apiVersion", json_string(api_version));
    json_object_set_new(object, "kind", json_string(kind));
    if (name)
        json_set_at(object, json_string(name), "metadata", "name");
    json_set_at(object, json_string(namespace_), "metadata", "namespace");
    return object;
}

void object_own(json_t *object, const json_t *owner) {
    json_t *list = json_make_array(json_make_object(object, "metadata"), "ownerReferences");
    json_array_append_new(list, obj_make_controller_ref(owner));
}

bool object_owned_by(const json_t *object, const json_t *owner) {
    const char *uid = json_str_at(obj_controller_ref(object), "uid");
    return uid && str_eq(uid, object_uid(owner));
}

void object_merge(json_t *to, const json_t *from, bool keep) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)from, key, value) {
        if (!keep || !json_object_get(to, key))
            json_object_set(to, key, value);
    }
}

static json_t *condition_slot(const json_t *conditions, const char *type, size_t *ret_index) {
    size_t i;
    json_t *condition;
    json_array_foreach(conditions, i, condition) {
        if (str_eq(json_str_at(condition, "type"), type)) {
            *ret_index = i;
            return condition;
        }
    }
    return NULL;
}

const json_t *condition_find(const json_t *conditions, const char *type) {
    size_t index;
    return condition_slot(conditions, type, &index);
}

bool condition_holds(const json_t *conditions, const char *type) {
    return str_eq(json_str_at(condition_find(conditions, type), "status"), "True");
}

void condition_remove(json_t *conditions, const char *type) {
    size_t index;
    if (condition_slot(conditions, type, &index))
        json_array_remove(conditions, index);
}

json_t *pod_ray_container(const json_t *pod_or_template) {
    return json_array_get(json_at(pod_or_template, "spec", "containers"), 0);
}

static const json_t *env_find(const json_t *container, const char *name) {
    size_t i;
    json_t *variable;
    json_array_foreach(json_at(container, "env"), i, variable) {
        if (str_eq(json_str_at(variable, "name"), name))
            return variable;
    }
    return NULL;
}

bool env_has(const json_t *container, const char *name) {
    return env_find(container, name) != NULL;
}

const char *env_value(const json_t *container, const char *name) {
    const json_t *variable = env_find(container, name);
    if (!variable || json_at(variable, "valueFrom"))
        return NULL;
    return text_or(json_str_at(variable, "value"), "");
}

int64_t container_port(const json_t *container, const char *name, int64_t otherwise) {
    size_t i;
    json_t *port;
    json_array_foreach(json_at(container, "ports"), i, port) {
        if (str_eq(json_str_at(port, "name"), name))
            return json_int_at(port, otherwise, "containerPort");
    }
    return otherwise;
}
