/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Labels of a node ("ray.io/node-group" = "small") and the selectors that tasks and actors match
 * against them. Keys and values follow the Kubernetes syntax.
 */

#include "base/base.h"
#include "base/str.h"

enum {
    LABELS_MAX = 256,           /* pairs of one node or terms of one selector */
    LABEL_SELECTOR_VALUES = 64, /* values of one in(...) */
};

#define LABEL_NODE_ID          "ray.io/node-id"
#define LABEL_NODE_GROUP       "ray.io/node-group"
#define LABEL_MARKET_TYPE      "ray.io/market-type"
#define LABEL_ZONE             "ray.io/availability-zone"
#define LABEL_REGION           "ray.io/availability-region"
#define LABEL_ACCELERATOR_TYPE "ray.io/accelerator-type"

typedef struct Label {
    char *key, *value;
} Label;

/* Sorted by key; zero-initialised is empty. */
typedef struct Labels {
    Label *items;
    uint32_t len, cap;
} Labels;

void labels_done(Labels *labels);
#define _cleanup_labels_ _cleanup_(labels_done)
void labels_copy(Labels *to, const Labels *from);              /* replaces `to` */
bool labels_equal(const Labels *a, const Labels *b);
const char *labels_get(const Labels *labels, const char *key); /* borrowed, or NULL */
/* Sets or replaces. -EINVAL with the field and the rule if key or value is malformed, -E2BIG
 * beyond LABELS_MAX. */
_must_check_ int labels_set(Labels *labels, const char *key, const char *value);
/* "k=v,k2=v2", blanks around the parts allowed, as `ray start --labels` takes it. Adds to
 * `labels`; on failure it is unchanged. */
_must_check_ int labels_parse(Labels *labels, const char *text);

/* One condition on one key: the value is (or is not) one of `values`; with no values, any. An absent
 * key fulfils the negated form only. */
typedef struct LabelTerm {
    char *key;
    bool negated;
    StrList values;
} LabelTerm;

/* All terms must hold. Zero-initialised is empty and matches every node. */
typedef struct LabelSelector {
    LabelTerm *terms; /* in the order they were added */
    uint32_t len, cap;
} LabelSelector;

void label_selector_done(LabelSelector *selector);
#define _cleanup_label_selector_ _cleanup_(label_selector_done)
void label_selector_copy(LabelSelector *to, const LabelSelector *from); /* replaces `to` */
bool label_selector_equal(const LabelSelector *a, const LabelSelector *b);
uint64_t label_selector_hash(const LabelSelector *selector);
/* `condition` is "v", "!v", "in(a,b)", "!in(a,b)", "*" (the key is there), "!*" (it is not) or "" (the
 * empty value). -EINVAL, -E2BIG. */
_must_check_ int label_selector_add(LabelSelector *selector, const char *key,
                                    const char *condition);
bool label_selector_matches(const LabelSelector *selector, const Labels *labels);
