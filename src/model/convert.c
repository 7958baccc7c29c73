/* SPDX-License-Identifier: Apache-2.0 */
#include "model/convert.h"

#include "base/error.h"

int text_from_wire(Slice from, size_t max, const char *field, char **ret_text) {
    if (from.len > max)
        return error_origin(-EINVAL, "%s is longer than %zu bytes", field, max);
    if (from.len && memchr(from.data, 0, from.len))
        return error_origin(-EINVAL, "%s has a NUL in it", field);
    *ret_text = str_dup_slice(from);
    return 0;
}

int resources_from_wire(ResourceSet *to, const Resource *items, size_t len) {
    _cleanup_resources_ ResourceSet set = { 0 };
    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *name = NULL;
        int r = text_from_wire(items[i].name, RESOURCE_NAME_MAX, "a resource's name", &name);
        if (r < 0)
            return r;
        if (items[i].amount < 0 || items[i].amount > QUANTITY_MAX)
            return error_origin(-EINVAL, "resource %s has an impossible amount", name);
        r = resources_set(&set, name, resources_get(&set, name) + items[i].amount);
        if (r < 0)
            return r;
    }
    resources_done(to);
    *to = set;
    set = (ResourceSet){ 0 };
    return 0;
}

static Resource *to_wire(const ResourceSet *set, Arena *arena, Quantity least, size_t *ret_len) {
    size_t count = resources_count(set), len = 0;
    Resource *items = arena_array(arena, Resource, count + 1);
    const char *name;
    Quantity amount;
    for (size_t i = 0; resources_at(set, i, &name, &amount); i++)
        if (amount >= least)
            items[len++] = (Resource){ .name = slice_str(name), .amount = amount };
    *ret_len = len;
    return items;
}

Resource *resources_to_wire(const ResourceSet *set, Arena *arena, size_t *ret_len) {
    return to_wire(set, arena, INT64_MIN, ret_len);
}

Resource *resources_to_wire_clamped(const ResourceSet *set, Arena *arena, size_t *ret_len) {
    return to_wire(set, arena, 1, ret_len);
}

static int pair_from_wire(const Pair *pair, char **ret_key, char **ret_value) {
    enum {
        PAIR_MAX = 8192
    };
    _cleanup_free_ char *key = NULL;
    int r = text_from_wire(pair->key, PAIR_MAX, "a label's key", &key);
    if (r == 0)
        r = text_from_wire(pair->value, PAIR_MAX, "a label's value", ret_value);
    if (r < 0)
        return r;
    *ret_key = TAKE(key);
    return 0;
}

int labels_from_wire(Labels *to, const Pair *items, size_t len) {
    _cleanup_labels_ Labels labels = { 0 };
    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *key = NULL, *value = NULL;
        int r = pair_from_wire(&items[i], &key, &value);
        if (r == 0)
            r = labels_set(&labels, key, value);
        if (r < 0)
            return r;
    }
    labels_done(to);
    *to = labels;
    labels = (Labels){ 0 };
    return 0;
}

Pair *labels_to_wire(const Labels *labels, Arena *arena, size_t *ret_len) {
    Pair *items = arena_array(arena, Pair, labels->len + 1);
    for (uint32_t i = 0; i < labels->len; i++)
        items[i] = (Pair){ .key = slice_str(labels->items[i].key),
                           .value = slice_str(labels->items[i].value) };
    *ret_len = labels->len;
    return items;
}

int label_selector_from_wire(LabelSelector *to, const Pair *items, size_t len) {
    _cleanup_label_selector_ LabelSelector selector = { 0 };
    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *key = NULL, *value = NULL;
        int r = pair_from_wire(&items[i], &key, &value);
        if (r == 0)
            r = label_selector_add(&selector, key, value);
        if (r < 0)
            return r;
    }
    label_selector_done(to);
    *to = selector;
    selector = (LabelSelector){ 0 };
    return 0;
}

LabelSelector *selectors_free(LabelSelector *selectors, size_t len) {
    for (size_t i = 0; selectors && i < len; i++)
        label_selector_done(&selectors[i]);
    free(selectors);
    return NULL;
}

int selectors_from_wire(const Selector *items, size_t len, LabelSelector **ret) {
    if (len > LABELS_MAX)
        return error_origin(-E2BIG, "more than %d selectors to fall back to", LABELS_MAX);
    LabelSelector *selectors = len ? mem_array(LabelSelector, len) : NULL;
    for (size_t i = 0; i < len; i++) {
        int r = label_selector_from_wire(&selectors[i], items[i].terms, items[i].terms_len);
        if (r < 0) {
            selectors_free(selectors, len);
            return r;
        }
    }
    *ret = selectors;
    return 0;
}

static Slice condition_text(const LabelTerm *term, Arena *arena) {
    _cleanup_buf_ Buf text = { 0 };
    bool many = term->values.len > 1;
    buf_printf(&text, "%s%s", term->negated ? "!" : "", many ? "in(" : "");
    if (term->values.len == 0)
        buf_add_char(&text, '*');
    for (size_t i = 0; i < term->values.len; i++)
        buf_printf(&text, "%s%s", i ? "," : "", term->values.items[i]);
    if (many)
        buf_add_char(&text, ')');
    char *kept = arena_array(arena, char, text.len + 1);
    if (text.len)
        memcpy(kept, text.data, text.len);
    return (Slice){ kept, text.len };
}

Pair *label_selector_to_wire(const LabelSelector *selector, Arena *arena, size_t *ret_len) {
    Pair *items = arena_array(arena, Pair, selector->len + 1);
    for (uint32_t i = 0; i < selector->len; i++)
        items[i] = (Pair){ .key = slice_str(selector->terms[i].key),
                           .value = condition_text(&selector->terms[i], arena) };
    *ret_len = selector->len;
    return items;
}
