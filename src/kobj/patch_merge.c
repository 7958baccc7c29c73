/* SPDX-License-Identifier: Apache-2.0 */

/* RFC 7386. */

#include "kobj/patch.h"

/* A patch value without its nulls, for what is new. */
static json_t *without_nulls(const json_t *patch) {
    const char *key;
    json_t *value;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    json_t *out = json_object();
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
        if (!json_is_null(value))
            json_object_set_new(out, key, without_nulls(value));
    return out;
}

json_t *patch_merge(const json_t *object, const json_t *patch) {
    const char *key;
    json_t *value;

    if (!json_is_object(patch) || !json_is_object(object))
        return without_nulls(patch);
    json_t *out = json_copy((json_t *)(uintptr_t)object);
    json_object_foreach((json_t *)(uintptr_t)patch, key, value) {
        if (json_is_null(value))
            json_object_del(out, key);
        else
            json_object_set_new(out, key, patch_merge(json_object_get(object, key), value));
    }
    /* What was not patched is still shared with the input. */
    json_object_foreach(out, key, value)
        if (!json_object_get(patch, key))
            json_object_set_new(out, key, json_deep_copy(value));
    return out;
}

json_t *patch_merge_diff(const json_t *from, const json_t *to) {
    const char *key;
    json_t *value;

    if (!json_is_object(from) || !json_is_object(to))
        return json_deep_copy(to);
    json_t *out = json_object();
    json_object_foreach((json_t *)(uintptr_t)from, key, value)
        if (!json_object_get(to, key))
            json_object_set_new(out, key, json_null());
    json_object_foreach((json_t *)(uintptr_t)to, key, value) {
        const json_t *before = json_object_get(from, key);
        if (!before || !json_same(before, value))
            json_object_set_new(out, key, patch_merge_diff(before, value));
    }
    return out;
}
