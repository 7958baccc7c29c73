/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sets of fields, as metadata.managedFields has them: a tree of path elements ("f:name" a field,
 * `k:{"name":"x"}` an item by key, `v:"x"` an item by value) in a json object. A node is a member
 * of the set if it has ".". FieldsV1 leaves the "." of a node without children out; here it is
 * always told, so read and write with the two functions below.
 */

#include "base/str.h"
#include "codec/json.h"
#include "kobj/schema.h"

/* From and to FieldsV1. New references. */
json_t *fieldset_decode(const json_t *fields_v1);
json_t *fieldset_encode(const json_t *set);

static inline bool fieldset_is_empty(const json_t *set) {
    return json_object_size(set) == 0;
}
bool fieldset_same(const json_t *a, const json_t *b);
/* New sets. */
json_t *fieldset_union(const json_t *a, const json_t *b);
json_t *fieldset_difference(const json_t *a, const json_t *b);
json_t *fieldset_intersection(const json_t *a, const json_t *b);
/* Makes every struct field on the way to a member a member as well. */
json_t *fieldset_with_parents(const json_t *set);
/* Each member as text: `.spec.ports[port=80,protocol="TCP"].name`, sorted. */
void fieldset_paths(const json_t *set, StrList *out);

/* What `value` sets: its leaves, list items and map entries. */
json_t *fieldset_of(const Schema *schema, const json_t *value);

typedef struct FieldsetDiff {
    json_t *added, *modified, *removed;
} FieldsetDiff;

void fieldset_diff(const Schema *schema, const json_t *before, const json_t *after,
                   FieldsetDiff *out);
void fieldset_diff_done(FieldsetDiff *diff);

/* The value without the members of the set. New reference. */
json_t *fieldset_remove_from(const Schema *schema, const json_t *value, const json_t *set);

/* `config` over `live`: fields of config win, lists with keys are merged, atomic ones replaced.
 * New reference. */
json_t *fieldset_merge(const Schema *schema, const json_t *live, const json_t *config);

/* The path element of a list item: `k:{...}` with defaults for absent keys, or `v:...`. Owned. */
char *fieldset_item(const Schema *list, const json_t *item);
