/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An ordered map from bytes to bytes: what the memory store is made of, and what holds a batch
 * until it is on disk. A node may say "deleted", which a batch needs to hide what is below it.
 * (A treap: its shape follows from seeded hashes of the keys, so no order of insertion degrades
 * it.)
 */

#include "base/base.h"
#include "base/str.h"

typedef struct KvNode {
    struct KvNode *left, *right;
    uint64_t priority;
    char *value;
    size_t value_len;
    bool deleted;
    uint32_t key_len;
    char key[];
} KvNode;

typedef struct KvTree {
    KvNode *root;
    size_t len;
    size_t bytes; /* keys and values */
} KvTree;

void kv_tree_done(KvTree *tree);
/* Copies both; `deleted` keeps a marker instead of a value. */
void kv_tree_put(KvTree *tree, Slice key, Slice value, bool deleted);
void kv_tree_remove(KvTree *tree, Slice key);
const KvNode *kv_tree_get(const KvTree *tree, Slice key);
/* The first node at or after `key` (strictly after, if `after`), or NULL. */
const KvNode *kv_tree_seek(const KvTree *tree, Slice key, bool after);
int kv_key_compare(Slice a, Slice b);
static inline Slice kv_node_key(const KvNode *node) {
    return (Slice){ node->key, node->key_len };
}
static inline Slice kv_node_value(const KvNode *node) {
    return (Slice){ node->value, node->value_len };
}
