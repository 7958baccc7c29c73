/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Selectors: labels (`a=b,c!=d,e in (x,y),!f,g,h>5`) and fields (`status.phase=Running`), as query
 * text or as a LabelSelector value. Reading says what is wrong in Kubernetes' words.
 */

#include "base/base.h"
#include "codec/json.h"

typedef struct Selector Selector;

/* Query text; NULL or "" selects everything. -EINVAL. */
_must_check_ int selector_parse(const char *text, Selector **ret_selector);
/* metav1.LabelSelector {matchLabels, matchExpressions}; NULL selects nothing, {} everything. */
_must_check_ int selector_from_json(const json_t *label_selector, Selector **ret_selector);
/* A map of labels that all have to be equal (a Service's spec.selector). */
Selector *selector_from_labels(const json_t *labels);
Selector *selector_free(Selector *selector);
DEFINE_CLEANUP(Selector *, selector_free);

bool selector_matches(const Selector *selector, const json_t *labels); /* labels may be NULL */
bool selector_is_everything(const Selector *selector);
/* The canonical query text (sorted by key). Owned. */
char *selector_text(const Selector *selector);

typedef struct FieldSelector FieldSelector;

/* `path=value`, `path==value`, `path!=value` with `\,` `\=` `\\` escapes. -EINVAL. */
_must_check_ int field_selector_parse(const char *text, FieldSelector **ret_selector);
FieldSelector *field_selector_free(FieldSelector *selector);
DEFINE_CLEANUP(FieldSelector *, field_selector_free);

/* The first path that `known` (ended by NULL) does not list, or NULL: the answer is then 400 with
 * `field label not supported: PATH`. Borrowed. */
const char *field_selector_unknown(const FieldSelector *selector, const char *const *known);
/* Compares dotted paths with the object's scalars; an absent one equals "". */
bool field_selector_matches(const FieldSelector *selector, const json_t *object);
bool field_selector_is_everything(const FieldSelector *selector);
/* The value that `path` is required to equal, or NULL. Borrowed. */
const char *field_selector_required(const FieldSelector *selector, const char *path);
