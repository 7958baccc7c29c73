/* SPDX-License-Identifier: Apache-2.0 */
#include "local/scale.h"

#include "kobj/meta.h"

/* A path of a scale subresource is a plain `.a.b.c`, checked when the CRD is made. */
static json_t *follow(const json_t *value, const char *path) {
    json_t *at = (json_t *)(uintptr_t)value;
    while (at && path && *path) {
        path += *path == '.';
        size_t len = strcspn(path, ".");
        _cleanup_free_ char *key = str_dup_slice((Slice){ path, len });
        at = json_object_get(at, key);
        path += len;
    }
    return at;
}

json_t *scale_of(const ApiCall *call, const json_t *stored) {
    static const char *const copied[] = { "name", "namespace", "uid", "resourceVersion",
                                          "creationTimestamp" };
    const ResourceVersion *version = call->version;
    json_t *metadata = json_object();
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_at(stored, "metadata", copied[i]);
        if (value)
            json_object_set(metadata, copied[i], value);
    }
    json_t *status = json_object(), *spec = json_object();
    json_object_set_new(spec, "replicas",
                        json_integer(json_integer_value(follow(stored, version->scale_spec))));
    json_object_set_new(status, "replicas",
                        json_integer(json_integer_value(follow(stored, version->scale_status))));
    const char *selector = json_string_value(follow(stored, version->scale_selector));
    if (selector && version->scale_selector)
        json_object_set_new(status, "selector", json_string(selector));
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "kind", "Scale", "apiVersion", "autoscaling/v1",
                     "metadata", metadata, "spec", spec, "status", status);
}

json_t *scale_apply(const ApiCall *call, const json_t *stored, const json_t *scale) {
    json_t *object = json_deep_copy(stored), *at = object;
    const char *path = call->version->scale_spec;
    while (path && *path) {
        path += *path == '.';
        size_t len = strcspn(path, ".");
        _cleanup_free_ char *key = str_dup_slice((Slice){ path, len });
        path += len;
        if (*path)
            at = json_make_object(at, key);
        else
            json_object_set_new(at, key, json_integer(json_int_at(scale, 0, "spec", "replicas")));
    }
    const char *revision = obj_resource_version(scale);
    if (!str_empty(revision))
        json_set_at(object, json_string(revision), "metadata", "resourceVersion");
    return object;
}
