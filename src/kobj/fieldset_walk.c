/* SPDX-License-Identifier: Apache-2.0 */

/* Field sets of values: which fields one sets, what differs between two, merging and removing.
 * The shape of the walk is the schema's: structs and maps go field by field unless atomic, lists
 * item by item if they have keys or are sets, the rest is one leaf. */

#include "base/map.h"
#include "kobj/fieldset.h"
#include "kobj/schema_private.h"

static const char self[] = ".";

typedef enum Shape {
    SHAPE_LEAF,
    SHAPE_MAP,
    SHAPE_LIST,
} Shape;

static const Schema *known(const Schema *schema) {
    return schema ? schema : &schema_anything;
}

static bool has_items(const Schema *schema) {
    return schema->list == SCHEMA_LIST_SET ||
           (schema->list == SCHEMA_LIST_MAP && schema->list_keys);
}

static Shape shape_of(const Schema *schema, const json_t *value) {
    if (json_is_object(value))
        return schema->flags & SCHEMA_ATOMIC ? SHAPE_LEAF : SHAPE_MAP;
    if (json_is_array(value) && has_items(schema))
        return SHAPE_LIST;
    return SHAPE_LEAF;
}

static const Schema *child_schema(const Schema *schema, const char *key) {
    return known(schema_member(schema, key));
}

/* --- items --- */

static char *keyed_item(const Schema *list, const json_t *item) {
    _cleanup_json_ json_t *key = json_object();

    for (const char *const *name = list->list_keys; *name; name++) {
        const SchemaField *field = schema_field(known(list->items), *name);
        json_t *part = json_object_get(item, *name);
        if (part)
            json_object_set(key, *name, part);
        else if (field && field->schema->default_text)
            json_object_set_new(key, *name, schema_default_value(field->schema));
    }
    _cleanup_free_ char *text = json_text(key, JSON_SORTED | JSON_GO);
    return str_printf("k:%s", text);
}

char *fieldset_item(const Schema *list, const json_t *item) {
    if (list->list == SCHEMA_LIST_MAP)
        return keyed_item(list, item);
    _cleanup_free_ char *text = json_text(item, JSON_SORTED | JSON_GO);
    return str_printf("v:%s", text);
}

/* Items of a list by their path element. */
static void items_index(const Schema *schema, const json_t *list, StrMap *out) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        _cleanup_free_ char *element = fieldset_item(schema, json_array_get(list, i));
        strmap_put(out, element, json_array_get(list, i));
    }
}

/* --- what a value sets --- */

static void insert(json_t *node) {
    json_object_set_new(node, self, json_object());
}

static void set_below(json_t *node, const char *element, json_t *child) {
    if (json_object_size(child) > 0)
        json_object_set(node, element, child);
    json_decref(child);
}

static void collect(const Schema *schema, const json_t *value, json_t *node);

static void collect_map(const Schema *schema, const json_t *value, json_t *node) {
    const char *key;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        _cleanup_free_ char *element = str_printf("f:%s", key);
        json_t *child = json_object();
        bool empty = json_is_object(member) && json_object_size(member) == 0;
        collect(child_schema(schema, key), member, child);
        if (json_is_null(member) || empty || !schema_field(schema, key))
            insert(child);
        set_below(node, element, child);
    }
}

static void collect(const Schema *schema, const json_t *value, json_t *node) {
    switch (shape_of(schema, value)) {
    case SHAPE_LEAF:
        insert(node);
        break;
    case SHAPE_MAP:
        collect_map(schema, value, node);
        break;
    case SHAPE_LIST:
        for (size_t i = 0; i < json_array_size(value); i++) {
            const json_t *item = json_array_get(value, i);
            _cleanup_free_ char *element = fieldset_item(schema, item);
            json_t *child = json_object();
            collect(known(schema->items), item, child);
            insert(child);
            set_below(node, element, child);
        }
    }
}

json_t *fieldset_of(const Schema *schema, const json_t *value) {
    json_t *set = json_object();

    collect(schema, value, set);
    json_object_del(set, self);
    return set;
}

/* --- what differs --- */

static void diff_node(const Schema *schema, const json_t *before, const json_t *after,
                      const FieldsetDiff *at);

/* Walks into one child, with nodes of its own that are kept if anything is in them. */
static void diff_child(const Schema *schema, const char *element, const json_t *before,
                       const json_t *after, const FieldsetDiff *at) {
    FieldsetDiff child = { json_object(), json_object(), json_object() };

    diff_node(schema, before, after, &child);
    set_below(at->added, element, child.added);
    set_below(at->modified, element, child.modified);
    set_below(at->removed, element, child.removed);
}

static void diff_leaf(const json_t *before, const json_t *after, const FieldsetDiff *at) {
    if (!before)
        insert(at->added);
    else if (!after)
        insert(at->removed);
    else if (!json_same(before, after))
        insert(at->modified);
}

static void diff_map(const Schema *schema, const json_t *before, const json_t *after,
                     const FieldsetDiff *at) {
    const char *key;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)before, key, member) {
        _cleanup_free_ char *element = str_printf("f:%s", key);
        diff_child(child_schema(schema, key), element, member, json_object_get(after, key), at);
    }
    json_object_foreach((json_t *)(uintptr_t)after, key, member) {
        _cleanup_free_ char *element = str_printf("f:%s", key);
        if (!json_object_get(before, key))
            diff_child(child_schema(schema, key), element, NULL, member, at);
    }
}

static void diff_list(const Schema *schema, const json_t *before, const json_t *after,
                      const FieldsetDiff *at) {
    _cleanup_(strmap_done) StrMap old = { 0 }, new = { 0 };
    const char *element;
    json_t *item;

    items_index(schema, before, &old);
    items_index(schema, after, &new);
    for (size_t pos = 0; (item = strmap_next(&old, &pos, &element));)
        diff_child(known(schema->items), element, item, strmap_get(&new, element), at);
    for (size_t pos = 0; (item = strmap_next(&new, &pos, &element));)
        if (!strmap_get(&old, element))
            diff_child(known(schema->items), element, NULL, item, at);
}

static bool is_empty(const json_t *value) {
    return json_array_size(value) == 0 && json_object_size(value) == 0;
}

static void diff_node(const Schema *schema, const json_t *before, const json_t *after,
                      const FieldsetDiff *at) {
    const json_t *shown = after && !json_is_null(after) ? after : before;
    Shape shape = shape_of(schema, shown);

    if (shape == SHAPE_LEAF || (is_empty(before) && is_empty(after)))
        return diff_leaf(before, after, at);
    if (shape == SHAPE_MAP)
        diff_map(schema, before, after, at);
    else
        diff_list(schema, before, after, at);
    if (!before)
        insert(at->added);
    else if (!after)
        insert(at->removed);
}

void fieldset_diff(const Schema *schema, const json_t *before, const json_t *after,
                   FieldsetDiff *out) {
    *out = (FieldsetDiff){ json_object(), json_object(), json_object() };
    diff_node(schema, before, after, out);
    json_object_del(out->added, self);
    json_object_del(out->modified, self);
    json_object_del(out->removed, self);
}

/* --- removing --- */

static bool is_member(const json_t *node) {
    return json_object_get(node, self) != NULL;
}

static json_t *remove_from_map(const Schema *schema, const json_t *value, const json_t *set) {
    json_t *out = json_object(), *member;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        _cleanup_free_ char *element = str_printf("f:%s", key);
        const json_t *node = json_object_get(set, element);
        if (!is_member(node))
            json_object_set_new(out, key,
                                fieldset_remove_from(child_schema(schema, key), member, node));
    }
    return out;
}

static json_t *remove_from_list(const Schema *schema, const json_t *value, const json_t *set) {
    json_t *out = json_array(), *item;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)value, i, item) {
        _cleanup_free_ char *element = fieldset_item(schema, item);
        const json_t *node = json_object_get(set, element);
        if (!is_member(node))
            json_array_append_new(out, fieldset_remove_from(known(schema->items), item, node));
    }
    return out;
}

json_t *fieldset_remove_from(const Schema *schema, const json_t *value, const json_t *set) {
    Shape shape = set ? shape_of(schema, value) : SHAPE_LEAF;

    if (shape == SHAPE_MAP)
        return remove_from_map(schema, value, set);
    if (shape == SHAPE_LIST)
        return remove_from_list(schema, value, set);
    return json_deep_copy(value);
}

/* --- merging --- */

static json_t *merge_maps(const Schema *schema, const json_t *live, const json_t *config) {
    json_t *out = json_object(), *member;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)live, key, member) {
        const json_t *over = json_object_get(config, key);
        json_object_set_new(out, key,
                            over ? fieldset_merge(child_schema(schema, key), member, over)
                                 : json_deep_copy(member));
    }
    json_object_foreach((json_t *)(uintptr_t)config, key, member)
        if (!json_object_get(live, key))
            json_object_set_new(out, key, json_deep_copy(member));
    return out;
}

/* Appends the items at live[at] and behind that config does not have, up to the next one that it
 * has and that is not placed yet. Returns where it stopped. */
static size_t append_own(const Schema *schema, const json_t *live, size_t at,
                         const StrMap *config_items, const StrMap *placed, json_t *out) {
    for (; at < json_array_size(live); at++) {
        json_t *own = json_array_get(live, at);
        _cleanup_free_ char *element = fieldset_item(schema, own);
        if (!strmap_get(config_items, element))
            json_array_append_new(out, json_deep_copy(own));
        else if (!strmap_get(placed, element))
            break;
    }
    return at;
}

/* The config's items in its order; those that only `live` has stay behind what they followed. */
static json_t *merge_lists(const Schema *schema, const json_t *live, const json_t *config) {
    _cleanup_(strmap_done) StrMap old = { 0 }, new = { 0 }, placed = { 0 };
    json_t *out = json_array(), *item;
    size_t at = 0, i;

    items_index(schema, live, &old);
    items_index(schema, config, &new);
    json_array_foreach((json_t *)(uintptr_t)config, i, item) {
        _cleanup_free_ char *element = fieldset_item(schema, item);
        const json_t *former = strmap_get(&old, element);
        at = append_own(schema, live, at, &new, &placed, out);
        json_array_append_new(out, former ? fieldset_merge(known(schema->items), former, item)
                                          : json_deep_copy(item));
        strmap_put(&placed, element, item);
    }
    append_own(schema, live, at, &new, &placed, out);
    return out;
}

json_t *fieldset_merge(const Schema *schema, const json_t *live, const json_t *config) {
    Shape shape = shape_of(schema, config);

    if (shape == SHAPE_MAP && json_is_object(live))
        return merge_maps(schema, live, config);
    if (shape == SHAPE_LIST && json_is_array(live))
        return merge_lists(schema, live, config);
    return json_deep_copy(config);
}
