/* SPDX-License-Identifier: Apache-2.0 */

/* RFC 6902 with the leniences of kube-apiserver's library. */

#include <errno.h>

#include "base/error.h"
#include "kobj/patch.h"

enum {
    PATCH_COPIED_MAX = 200000 /* values that `copy` may make in all */
};

/* Where a pointer leads: a container and the key or index in it. */
typedef struct Target {
    json_t *container; /* borrowed; an object or array */
    char *key;         /* the last token, unescaped, owned */
} Target;

static void target_done(Target *target) {
    mem_free(target->key);
}

/* ~1 is a slash, ~0 a tilde. */
static char *token_unescape(const char *token, size_t len) {
    _cleanup_buf_ Buf out = { 0 };

    for (size_t i = 0; i < len; i++) {
        bool escape =
            token[i] == '~' && i + 1 < len && (token[i + 1] == '0' || token[i + 1] == '1');
        buf_add_char(&out, escape ? (token[i + 1] == '1' ? '/' : '~') : token[i]);
        i += escape;
    }
    return buf_steal(&out);
}

/* An index into an array; negative ones count from the end, `-` is one past it. */
static int array_index(const json_t *array, const char *key, bool for_add, size_t *ret_index) {
    int64_t size = (int64_t)json_array_size(array), index;

    if (str_eq(key, "-")) {
        if (!for_add)
            return error_origin(-EINVAL, "Unable to access invalid index: -");
        *ret_index = (size_t)size;
        return 0;
    }
    if (str_to_i64(key, &index) < 0)
        return error_origin(-EINVAL, "value was not a proper array index: %s", key);
    if (index < 0)
        index += size + (for_add ? 1 : 0);
    if (index < 0 || index > size - (for_add ? 0 : 1))
        return error_origin(-EINVAL, "Unable to access invalid index: %s", key);
    *ret_index = (size_t)index;
    return 0;
}

static json_t *child_get(json_t *container, const char *key) {
    size_t index;

    if (json_is_object(container))
        return json_object_get(container, key);
    if (!json_is_array(container) || array_index(container, key, false, &index) < 0)
        return NULL;
    return json_array_get(container, index);
}

static int target_find(json_t *root, const char *pointer, Target *ret_target) {
    if (*pointer != '/')
        return error_origin(-EINVAL, "the pointer \"%s\" does not start with /", pointer);
    json_t *container = root;
    for (;;) {
        const char *token = pointer + 1;
        size_t len = strcspn(token, "/");
        _cleanup_free_ char *key = token_unescape(token, len);
        pointer = token + len;
        if (!json_is_object(container) && !json_is_array(container))
            return error_origin(-EINVAL, "doc is missing path: \"%s\"", key);
        if (!*pointer) {
            *ret_target = (Target){ container, TAKE(key) };
            return 0;
        }
        container = child_get(container, key);
    }
}

static int value_get(json_t *root, const char *pointer, json_t **ret_value) {
    _cleanup_(target_done) Target target = { 0 };

    if (!*pointer) {
        *ret_value = root;
        return 0;
    }
    int r = target_find(root, pointer, &target);
    if (r < 0)
        return r;
    json_t *value = child_get(target.container, target.key);
    if (!value)
        return error_origin(-EINVAL, "the path %s does not exist", pointer);
    *ret_value = value;
    return 0;
}

/* Takes the reference `value`. `*root` changes only for the pointer "". */
static int value_put(json_t **root, const char *pointer, json_t *value, bool replace) {
    _cleanup_json_ json_t *owned = value;
    _cleanup_(target_done) Target target = { 0 };
    size_t index;

    if (!*pointer) {
        json_decref(*root);
        *root = TAKE(owned);
        return 0;
    }
    int r = target_find(*root, pointer, &target);
    if (r < 0)
        return r;
    if (json_is_object(target.container)) {
        json_object_set(target.container, target.key, owned);
        return 0;
    }
    r = array_index(target.container, target.key, !replace, &index);
    if (r < 0)
        return r;
    if (replace)
        json_array_set(target.container, index, owned);
    else
        json_array_insert(target.container, index, owned);
    return 0;
}

static int value_remove(json_t *root, const char *pointer) {
    _cleanup_(target_done) Target target = { 0 };
    size_t index = 0;

    int r = target_find(root, pointer, &target);
    if (r < 0)
        return r;
    if (json_is_object(target.container)) {
        if (json_object_del(target.container, target.key) == 0)
            return 0;
        return error_origin(-EINVAL, "Unable to remove nonexistent key: %s", target.key);
    }
    r = array_index(target.container, target.key, false, &index);
    if (r == 0)
        json_array_remove(target.container, index);
    return r;
}

static size_t count_values(const json_t *value) {
    size_t count = 1, i;
    const char *key;
    json_t *item;

    if (json_is_object(value))
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
            count += count_values(item);
    else if (json_is_array(value))
        json_array_foreach((json_t *)(uintptr_t)value, i, item)
            count += count_values(item);
    return count;
}

static int op_move(json_t **root, const char *from, const char *path) {
    json_t *value;

    int r = value_get(*root, from, &value);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *kept = json_incref(value);
    r = value_remove(*root, from);
    return r < 0 ? r : value_put(root, path, json_incref(kept), false);
}

static int op_copy(json_t **root, const char *from, const char *path, size_t *copied) {
    json_t *value;

    int r = value_get(*root, from, &value);
    if (r < 0)
        return r;
    *copied += count_values(value);
    if (*copied > PATCH_COPIED_MAX)
        return error_origin(-EINVAL, "the patch copies too much");
    return value_put(root, path, json_deep_copy(value), false);
}

/* An absent value equals null. */
static int op_test(json_t *root, const char *path, const json_t *wanted) {
    json_t *value = NULL;

    int r = value_get(root, path, &value);
    bool null = !wanted || json_is_null(wanted);
    if (r == 0 ? json_same(value, wanted) || (null && json_is_null(value)) : null)
        return 0;
    error_origin(-EINVAL, "testing value %s failed", path);
    return PATCH_TEST_FAILED;
}

static int operation_apply(json_t **root, const json_t *operation, size_t *copied) {
    const char *op = json_str_at(operation, "op"), *path = json_str_at(operation, "path");
    const char *from = json_str_at(operation, "from");
    json_t *value = json_object_get(operation, "value");

    if (!op || !path)
        return error_origin(-EINVAL, "an operation needs `op` and `path`");
    if (str_eq(op, "remove"))
        return value_remove(*root, path);
    if (str_eq(op, "test"))
        return op_test(*root, path, value);
    if (str_eq(op, "move") || str_eq(op, "copy")) {
        if (!from)
            return error_origin(-EINVAL, "`%s` needs `from`", op);
        return *op == 'm' ? op_move(root, from, path) : op_copy(root, from, path, copied);
    }
    bool replace = str_eq(op, "replace");
    if (!replace && !str_eq(op, "add"))
        return error_origin(-EINVAL, "Unexpected kind: %s", op);
    if (!value)
        return error_origin(-EINVAL, "`%s` needs `value`", op);
    return value_put(root, path, json_deep_copy(value), replace);
}

int patch_json(const json_t *object, const json_t *operations, json_t **ret_object) {
    _cleanup_json_ json_t *root = json_deep_copy(object);
    size_t i, copied = 0;
    json_t *operation;

    if (!json_is_array(operations))
        return error_origin(-EINVAL,
                            "error decoding patch: json: cannot unmarshal %s into Go value of type "
                            "[]handlers.jsonPatchOp",
                            json_type_name(operations));
    if (json_array_size(operations) > PATCH_OPERATIONS_MAX)
        return error_origin(-EINVAL,
                            "The allowed maximum operations in a JSON patch is %d, got %zu",
                            PATCH_OPERATIONS_MAX, json_array_size(operations));
    json_array_foreach((json_t *)(uintptr_t)operations, i, operation) {
        int r = operation_apply(&root, operation, &copied);
        if (r != 0)
            return r;
    }
    *ret_object = TAKE(root);
    return 0;
}
