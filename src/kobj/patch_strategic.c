/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Kubernetes' strategic merge. The schema says which lists merge and by which key; directives in
 * the patch say the rest: $patch, $retainKeys, $setElementOrder/LIST, $deleteFromPrimitiveList/LIST.
 */

#include "base/error.h"
#include "kobj/patch.h"
#include "kobj/schema_private.h"

static const char order_prefix[] = "$setElementOrder/";
static const char delete_prefix[] = "$deleteFromPrimitiveList/";

static int merge_object(const Schema *schema, const json_t *object, const json_t *patch,
                        json_t **ret_object);

static bool is_directive(const char *key) {
    return str_eq(key, "$patch") || str_eq(key, "$retainKeys") || str_starts(key, order_prefix) ||
           str_starts(key, delete_prefix);
}

static const Schema *member_schema(const Schema *schema, const char *key) {
    const Schema *member = schema ? schema_member(schema, key) : NULL;

    return member ? member : &schema_anything;
}

/* A patch value that meets nothing in the object: directives and nulls go. */
static json_t *plain(const json_t *patch) {
    const char *key;
    json_t *value, *out;
    size_t i;

    if (json_is_object(patch)) {
        if (str_eq(json_str_at(patch, "$patch"), "delete"))
            return json_object();
        out = json_object();
        json_object_foreach((json_t *)(uintptr_t)patch, key, value)
            if (!is_directive(key) && !json_is_null(value))
                json_object_set_new(out, key, plain(value));
        return out;
    }
    if (!json_is_array(patch))
        return json_deep_copy(patch);
    out = json_array();
    json_array_foreach((json_t *)(uintptr_t)patch, i, value) {
        bool marker = json_is_object(value) && json_object_get(value, "$patch");
        bool replaces = marker && json_object_size(value) == 1;
        if (!replaces && !(marker && str_eq(json_str_at(value, "$patch"), "delete")))
            json_array_append_new(out, plain(value));
    }
    return out;
}

/* --- lists --- */

typedef struct Lists {
    const char *key; /* merge key, or NULL for a list of scalars */
    const Schema *items;
} Lists;

/* What identifies an item; borrowed. */
static const json_t *item_id(const Lists *lists, const json_t *item) {
    return lists->key ? json_object_get(item, lists->key) : item;
}

static bool same_item(const Lists *lists, const json_t *a, const json_t *b) {
    const json_t *left = item_id(lists, a), *right = item_id(lists, b);

    return left && right && json_same(left, right);
}

/* The index, or -1. */
static int64_t find_item(const Lists *lists, const json_t *list, const json_t *item) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (same_item(lists, json_array_get(list, i), item))
            return (int64_t)i;
    return -1;
}

static int key_missing(const Lists *lists, const json_t *item) {
    _cleanup_free_ char *text = json_text(item, JSON_SORTED);

    return error_origin(-EINVAL, "map: %s does not contain declared merge key: %s", text,
                        lists->key);
}

/* One keyed item of the patch into the list. */
static int merge_item(const Lists *lists, json_t *list, const json_t *item) {
    const char *directive = json_str_at(item, "$patch");
    json_t *merged = NULL;

    if (!json_is_object(item) || !json_object_get(item, lists->key))
        return key_missing(lists, item);
    int64_t at = find_item(lists, list, item);
    if (str_eq(directive, "delete")) {
        for (; at >= 0; at = find_item(lists, list, item))
            json_array_remove(list, (size_t)at);
        return 0;
    }
    if (directive && !str_eq(directive, "merge") && !str_eq(directive, "replace"))
        return error_origin(-EINVAL, "unknown patch type: %s in map", directive);
    if (at < 0) {
        json_array_append_new(list, plain(item));
        return 0;
    }
    int r = merge_object(lists->items, json_array_get(list, (size_t)at), item, &merged);
    if (r == 0)
        json_array_set_new(list, (size_t)at, merged);
    return r;
}

/* {"$patch": "replace"} as an item: the other items of the patch are the list. */
static bool replaces_list(const json_t *patch) {
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const json_t *item = json_array_get(patch, i);
        if (json_object_size(item) == 1 && str_eq(json_str_at(item, "$patch"), "replace"))
            return true;
    }
    return false;
}

static int merge_items(const Lists *lists, json_t *list, const json_t *patch) {
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)patch, i, item) {
        if (!lists->key) {
            if (find_item(lists, list, item) < 0)
                json_array_append(list, item);
            continue;
        }
        int r = merge_item(lists, list, item);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The items of a patch without directives that stand alone. */
static json_t *real_items(const json_t *list) {
    json_t *out = json_array();
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)list, i, item)
        if (!json_object_get(item, "$patch") || json_object_size(item) > 1)
            json_array_append(out, item);
    return out;
}

/* Two lists into one: items of the patch in its order, the server's in theirs; where both know an
 * order between two items it is the server's former one, else the patch goes first. */
static json_t *interleave(const Lists *lists, const json_t *mine, const json_t *theirs,
                          const json_t *former) {
    size_t i = 0, j = 0, left = json_array_size(mine), right = json_array_size(theirs);
    json_t *out = json_array();

    while (i < left || j < right) {
        json_t *own = json_array_get(mine, i), *patched = json_array_get(theirs, j);
        bool take_own = j >= right;
        if (own && patched) {
            int64_t a = find_item(lists, former, own), b = find_item(lists, former, patched);
            take_own = a >= 0 && b >= 0 && a < b;
        }
        json_array_append(out, take_own ? own : patched);
        i += take_own;
        j += !take_own;
    }
    return out;
}

static json_t *order_list(const Lists *lists, const json_t *merged, const json_t *order,
                          const json_t *former) {
    _cleanup_json_ json_t *mine = json_array(), *theirs = json_array();
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)merged, i, item)
        if (find_item(lists, order, item) < 0)
            json_array_append(mine, item);
    json_array_foreach((json_t *)(uintptr_t)order, i, item) {
        int64_t at = find_item(lists, merged, item);
        if (at >= 0)
            json_array_append(theirs, json_array_get(merged, (size_t)at));
    }
    return interleave(lists, mine, theirs, former);
}

/* `$setElementOrder` has to name all that the patch brings. */
static int order_check(const Lists *lists, const json_t *patch, const json_t *order) {
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)patch, i, item) {
        bool gone = str_eq(json_str_at(item, "$patch"), "delete");
        if (!gone && item_id(lists, item) && find_item(lists, order, item) < 0)
            return error_origin(-EINVAL, "The order in patch list doesn't match $setElementOrder "
                                         "list");
    }
    return 0;
}

static int merge_list(const Schema *schema, const json_t *list, const json_t *patch,
                      const json_t *order, const json_t *removed, json_t **ret_list) {
    const Lists lists = { .key = schema->patch_key, .items = schema->items };
    _cleanup_json_ json_t *merged = json_deep_copy(list), *wanted = NULL;
    size_t i;
    json_t *item;

    if (patch && replaces_list(patch)) {
        *ret_list = plain(patch);
        return 0;
    }
    int r = order && patch ? order_check(&lists, patch, order) : 0;
    if (r < 0)
        return r;
    json_array_foreach((json_t *)(uintptr_t)removed, i, item) {
        int64_t at = find_item(&lists, merged, item);
        if (at >= 0)
            json_array_remove(merged, (size_t)at);
    }
    r = patch ? merge_items(&lists, merged, patch) : 0;
    if (r < 0)
        return r;
    wanted = order ? json_incref((json_t *)(uintptr_t)order) : real_items(patch);
    *ret_list = order_list(&lists, merged, wanted, list);
    return 0;
}

/* --- objects --- */

/* Fields of `out` that $retainKeys does not name go. */
static int retain_keys(json_t *out, const json_t *patch) {
    const json_t *keys = json_object_get(patch, "$retainKeys");
    const char *key;
    json_t *value;
    void *next;

    if (!keys)
        return 0;
    if (!json_is_array(keys))
        return error_origin(-EINVAL, "retainKeys directive is malformed");
    json_object_foreach_safe(out, next, key, value) {
        bool kept = false;
        for (size_t i = 0; i < json_array_size(keys) && !kept; i++)
            kept = str_eq(json_string_value(json_array_get(keys, i)), key);
        if (!kept)
            json_object_del(out, key);
    }
    return 0;
}

static int merge_member(const Schema *schema, json_t *out, const char *key, const json_t *patch,
                        const json_t *directives) {
    const Schema *member = member_schema(schema, key);
    const json_t *old = json_object_get(out, key);
    _cleanup_free_ char *order_key = str_printf("%s%s", order_prefix, key);
    _cleanup_free_ char *delete_key = str_printf("%s%s", delete_prefix, key);
    const json_t *order = json_object_get(directives, order_key);
    const json_t *removed = json_object_get(directives, delete_key);
    json_t *merged = NULL;
    int r = 0;

    if (json_is_array(old) && (!patch || json_is_array(patch)) &&
        (member->flags & SCHEMA_PATCH_MERGE))
        r = merge_list(member, old, patch, order, removed, &merged);
    else if (json_is_object(old) && json_is_object(patch))
        r = merge_object(member, old, patch, &merged);
    else if (patch)
        merged = plain(patch);
    if (r == 0 && merged)
        json_object_set_new(out, key, merged);
    return r;
}

/* Lists that the patch names in directives only. */
static int merge_directives(const Schema *schema, json_t *out, const json_t *patch) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)patch, key, value) {
        const char *name = str_starts(key, order_prefix)    ? key + sizeof(order_prefix) - 1
                           : str_starts(key, delete_prefix) ? key + sizeof(delete_prefix) - 1
                                                            : NULL;
        if (!name || json_object_get(patch, name))
            continue;
        int r = merge_member(schema, out, name, NULL, patch);
        if (r < 0)
            return r;
    }
    return 0;
}

static int merge_object(const Schema *schema, const json_t *object, const json_t *patch,
                        json_t **ret_object) {
    const char *directive = json_str_at(patch, "$patch"), *key;
    json_t *value;

    if (str_eq(directive, "replace") || str_eq(directive, "delete")) {
        *ret_object = plain(patch);
        json_object_del(*ret_object, "$patch");
        return 0;
    }
    if (directive && !str_eq(directive, "merge"))
        return error_origin(-EINVAL, "unknown patch type: %s in map", directive);
    _cleanup_json_ json_t *out = json_deep_copy(object);
    int r = retain_keys(out, patch);
    if (r == 0)
        r = merge_directives(schema, out, patch);
    if (r < 0)
        return r;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value) {
        if (is_directive(key))
            continue;
        if (json_is_null(value))
            json_object_del(out, key);
        else
            r = merge_member(schema, out, key, value, patch);
        if (r < 0)
            return r;
    }
    *ret_object = TAKE(out);
    return 0;
}

int patch_strategic(const Schema *schema, const json_t *object, const json_t *patch,
                    json_t **ret_object) {
    if (!json_is_object(patch))
        return error_origin(-EINVAL, "a strategic merge patch has to be an object");
    return merge_object(schema, object, patch, ret_object);
}
