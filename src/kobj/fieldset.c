/* SPDX-License-Identifier: Apache-2.0 */

/* The algebra of field sets, and their text. */

#include "kobj/fieldset.h"

#include "base/vec.h"

static const char self[] = ".";

json_t *fieldset_decode(const json_t *fields_v1) {
    json_t *set = json_object(), *child;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)fields_v1, key, child) {
        if (str_eq(key, self)) {
            json_object_set_new(set, self, json_object());
            continue;
        }
        json_t *below = fieldset_decode(child);
        if (json_object_size(below) == 0)
            json_object_set_new(below, self, json_object());
        json_object_set_new(set, key, below);
    }
    return set;
}

json_t *fieldset_encode(const json_t *set) {
    bool leaf = json_object_size(set) == 1 && json_object_get(set, self);
    json_t *out = json_object(), *child;
    const char *key;

    if (leaf)
        return out;
    json_object_foreach((json_t *)(uintptr_t)set, key, child)
        json_object_set_new(out, key, fieldset_encode(child));
    return out;
}

bool fieldset_same(const json_t *a, const json_t *b) {
    return json_same(a, b);
}

json_t *fieldset_union(const json_t *a, const json_t *b) {
    json_t *out = json_object(), *child;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)a, key, child) {
        const json_t *other = json_object_get(b, key);
        json_object_set_new(out, key, other ? fieldset_union(child, other) : json_deep_copy(child));
    }
    json_object_foreach((json_t *)(uintptr_t)b, key, child)
        if (!json_object_get(a, key))
            json_object_set_new(out, key, json_deep_copy(child));
    return out;
}

/* Keeps a child unless nothing is in it. */
static void keep(json_t *out, const char *key, json_t *child) {
    if (json_object_size(child) > 0)
        json_object_set(out, key, child);
    json_decref(child);
}

json_t *fieldset_difference(const json_t *a, const json_t *b) {
    json_t *out = json_object(), *child;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)a, key, child) {
        const json_t *other = json_object_get(b, key);
        if (str_eq(key, self)) {
            if (!other)
                json_object_set_new(out, self, json_object());
            continue;
        }
        keep(out, key, other ? fieldset_difference(child, other) : json_deep_copy(child));
    }
    return out;
}

json_t *fieldset_intersection(const json_t *a, const json_t *b) {
    json_t *out = json_object(), *child;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)a, key, child) {
        const json_t *other = json_object_get(b, key);
        if (!other)
            continue;
        if (str_eq(key, self))
            json_object_set_new(out, self, json_object());
        else
            keep(out, key, fieldset_intersection(child, other));
    }
    return out;
}

json_t *fieldset_with_parents(const json_t *set) {
    json_t *out = json_object(), *child;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)set, key, child) {
        json_t *below = str_eq(key, self) ? json_object() : fieldset_with_parents(child);
        if (str_starts(key, "f:"))
            json_object_set_new(below, self, json_object());
        json_object_set_new(out, key, below);
    }
    return out;
}

/* --- text --- */

/* `k:{"port":80,"protocol":"TCP"}` as `[port=80,protocol="TCP"]`. */
static void key_text(const char *element, Buf *path) {
    _cleanup_json_ json_t *keys = json_loads(element + 2, 0, NULL);
    const char *name, *separator = "";
    json_t *value;

    buf_add_char(path, '[');
    json_object_foreach(keys, name, value) {
        _cleanup_free_ char *text = json_text(value, 0 | JSON_GO);
        buf_printf(path, "%s%s=%s", separator, name, text);
        separator = ",";
    }
    buf_add_char(path, ']');
}

static void element_text(const char *element, Buf *path) {
    if (str_starts(element, "f:"))
        buf_printf(path, ".%s", element + 2);
    else if (str_starts(element, "k:"))
        key_text(element, path);
    else
        buf_printf(path, "[=%s]", element + 2);
}

static void collect_paths(const json_t *set, Buf *path, StrList *out) {
    const char *key;
    json_t *child;

    json_object_foreach((json_t *)(uintptr_t)set, key, child) {
        size_t len = path->len;
        if (str_eq(key, self)) {
            strlist_add(out, path->data ? path->data : "");
            continue;
        }
        element_text(key, path);
        collect_paths(child, path, out);
        path->len = len;
        path->data[len] = 0;
    }
}

void fieldset_paths(const json_t *set, StrList *out) {
    _cleanup_buf_ Buf path = { 0 };

    collect_paths(set, &path, out);
    strlist_sort(out);
}

void fieldset_diff_done(FieldsetDiff *diff) {
    json_decref(diff->added);
    json_decref(diff->modified);
    json_decref(diff->removed);
}
