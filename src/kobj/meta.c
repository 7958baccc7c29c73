/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"

#include "base/clock.h"

static json_t *array_at(const json_t *object, const char *key) {
    json_t *array = json_at(object, "metadata", key);

    return json_is_array(array) ? array : NULL;
}

void obj_set_label(json_t *object, const char *key, const char *value) {
    json_set_at(object, json_string(value), "metadata", "labels", key);
}

void obj_set_annotation(json_t *object, const char *key, const char *value) {
    if (value)
        json_set_at(object, json_string(value), "metadata", "annotations", key);
    else
        json_remove_at(object, "metadata", "annotations", key);
}

bool obj_has_finalizer(const json_t *object, const char *name) {
    size_t i;
    json_t *item;

    json_array_foreach(array_at(object, "finalizers"), i, item)
        if (str_eq(json_string_value(item), name))
            return true;
    return false;
}

bool obj_add_finalizer(json_t *object, const char *name) {
    if (obj_has_finalizer(object, name))
        return false;
    json_t *list = json_make_array(json_make_object(object, "metadata"), "finalizers");
    json_array_append_new(list, json_string(name));
    return true;
}

bool obj_remove_finalizer(json_t *object, const char *name) {
    json_t *list = array_at(object, "finalizers");

    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!str_eq(json_string_value(json_array_get(list, i)), name))
            continue;
        json_array_remove(list, i);
        if (json_array_size(list) == 0)
            json_remove_at(object, "metadata", "finalizers");
        return true;
    }
    return false;
}

json_t *obj_controller_ref(const json_t *object) {
    size_t i;
    json_t *ref;

    json_array_foreach(array_at(object, "ownerReferences"), i, ref)
        if (json_bool_at(ref, false, "controller"))
            return ref;
    return NULL;
}

bool obj_is_owned_by(const json_t *object, const char *owner_uid) {
    size_t i;
    json_t *ref;

    json_array_foreach(array_at(object, "ownerReferences"), i, ref)
        if (owner_uid && str_eq(json_str_at(ref, "uid"), owner_uid))
            return true;
    return false;
}

json_t *obj_make_controller_ref(const json_t *owner) {
    json_t *ref = json_object();

    json_object_set(ref, "apiVersion", json_object_get(owner, "apiVersion"));
    json_object_set(ref, "kind", json_object_get(owner, "kind"));
    json_object_set(ref, "name", json_at(owner, "metadata", "name"));
    json_object_set(ref, "uid", json_at(owner, "metadata", "uid"));
    json_object_set_new(ref, "controller", json_true());
    json_object_set_new(ref, "blockOwnerDeletion", json_true());
    return ref;
}

static json_t *condition_find(const json_t *conditions, const char *type) {
    size_t i;
    json_t *condition;

    if (json_is_array(conditions))
        json_array_foreach(conditions, i, condition)
            if (str_eq(json_str_at(condition, "type"), type))
                return condition;
    return NULL;
}

json_t *obj_condition(const json_t *object, const char *type) {
    return condition_find(json_at(object, "status", "conditions"), type);
}

static bool set_text(json_t *object, const char *key, const char *value) {
    if (str_eq(json_str_at(object, key), value))
        return false;
    json_object_set_new(object, key, json_string(value));
    return true;
}

bool obj_set_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                       const char *message, int64_t observed_generation, usec_t now) {
    json_t *condition = condition_find(conditions, type);
    char time[TIME_TEXT_MAX];

    if (!condition) {
        condition = json_object();
        json_array_append_new(conditions, condition);
        set_text(condition, "type", type);
    }
    bool changed = set_text(condition, "status", status);
    if (changed) {
        time_format_rfc3339(now, time);
        set_text(condition, "lastTransitionTime", time);
    }
    changed = set_text(condition, "reason", reason) || changed;
    changed = set_text(condition, "message", message) || changed;
    if (observed_generation &&
        json_int_at(condition, 0, "observedGeneration") != observed_generation) {
        json_object_set_new(condition, "observedGeneration", json_integer(observed_generation));
        changed = true;
    }
    return changed;
}

char *obj_key(const json_t *object) {
    const char *space = obj_namespace(object), *name = obj_name(object);

    return str_printf("%s%s%s", space ? space : "", space ? "/" : "", name ? name : "");
}

void api_version_split(const char *api_version, char **ret_group, char **ret_version) {
    const char *slash = strchr(api_version, '/');

    *ret_group = str_dup_slice((Slice){ api_version, slash ? (size_t)(slash - api_version) : 0 });
    *ret_version = str_dup(slash ? slash + 1 : api_version);
}
