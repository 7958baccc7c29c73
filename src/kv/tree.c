/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/tree.h"

#include <stdlib.h>

#include "base/map.h"

int kv_key_compare(Slice a, Slice b) {
    size_t shared = MIN(a.len, b.len);
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static void node_free(KvNode *node) {
    free(node->value);
    free(node);
}

void kv_tree_done(KvTree *tree) {
    KvNode *node = tree->root;
    while (node) { /* rotates left children away, so that no depth of the tree costs stack */
        KvNode *left = node->left, *next = left;
        if (left) {
            node->left = left->right;
            left->right = node;
        } else {
            next = node->right;
            node_free(node);
        }
        node = next;
    }
    *tree = (KvTree){ 0 };
}

const KvNode *kv_tree_get(const KvTree *tree, Slice key) {
    const KvNode *node = tree->root;
    while (node) {
        int order = kv_key_compare(key, kv_node_key(node));
        if (order == 0)
            return node;
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

const KvNode *kv_tree_seek(const KvTree *tree, Slice key, bool after) {
    const KvNode *node = tree->root, *best = NULL;
    while (node) {
        int order = kv_key_compare(kv_node_key(node), key);
        if (order > 0 || (order == 0 && !after)) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

/* Parts a tree in what is below `key` and what is above; `key` itself is not in it. */
static void split(KvNode *node, Slice key, KvNode **ret_below, KvNode **ret_above) {
    while (node) {
        if (kv_key_compare(kv_node_key(node), key) < 0) {
            *ret_below = node;
            ret_below = &node->right;
            node = node->right;
        } else {
            *ret_above = node;
            ret_above = &node->left;
            node = node->left;
        }
    }
    *ret_below = *ret_above = NULL;
}

/* Every key of `below` is smaller than every key of `above`. */
static KvNode *merge(KvNode *below, KvNode *above) {
    KvNode *root = NULL, **hole = &root;
    while (below && above) {
        if (below->priority > above->priority) {
            *hole = below;
            hole = &below->right;
            below = below->right;
        } else {
            *hole = above;
            hole = &above->left;
            above = above->left;
        }
    }
    *hole = below ? below : above;
    return root;
}

static void node_set(KvTree *tree, KvNode *node, Slice value, bool deleted) {
    tree->bytes -= node->value_len;
    free(node->value);
    node->value = value.len ? mem_dup(value.data, value.len) : NULL;
    node->value_len = value.len;
    node->deleted = deleted;
    tree->bytes += value.len;
}

static KvNode *node_new(Slice key) {
    KvNode *node = mem_zalloc(sizeof(KvNode) + key.len);
    memcpy(node->key, key.data, key.len);
    node->key_len = (uint32_t)key.len;
    node->priority = base_hash(key.data, key.len);
    return node;
}

void kv_tree_put(KvTree *tree, Slice key, Slice value, bool deleted) {
    uint64_t priority = base_hash(key.data, key.len);
    KvNode **at = &tree->root;
    while (*at && (*at)->priority >= priority) {
        int order = kv_key_compare(key, kv_node_key(*at));
        if (order == 0) {
            node_set(tree, *at, value, deleted);
            return;
        }
        at = order < 0 ? &(*at)->left : &(*at)->right;
    }
    KvNode *node = node_new(key);
    split(*at, key, &node->left, &node->right);
    *at = node;
    tree->len++;
    tree->bytes += key.len;
    node_set(tree, node, value, deleted);
}

void kv_tree_remove(KvTree *tree, Slice key) {
    KvNode **at = &tree->root;
    while (*at) {
        KvNode *node = *at;
        int order = kv_key_compare(key, kv_node_key(node));
        if (order == 0) {
            *at = merge(node->left, node->right);
            tree->len--;
            tree->bytes -= node->key_len + node->value_len;
            node_free(node);
            return;
        }
        at = order < 0 ? &node->left : &node->right;
    }
}
