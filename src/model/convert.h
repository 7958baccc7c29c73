/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between the values of this folder and the records of the wire. Reading checks: what comes from
 * a peer may be anything. What is written to the wire borrows from the value and lives as long as
 * the value is unchanged; its lists are the arena's.
 */

#include "base/arena.h"
#include "model/labels.h"
#include "model/resources.h"
#include "wire/messages.h"

/* Replaces `to`; amounts of one name add up, negative ones are -EINVAL. */
_must_check_ int resources_from_wire(ResourceSet *to, const Resource *items, size_t len);
Resource *resources_to_wire(const ResourceSet *set, Arena *arena, size_t *ret_len);
/* The same, with negative amounts (a node's debt) told as 0: left out. */
Resource *resources_to_wire_clamped(const ResourceSet *set, Arena *arena, size_t *ret_len);

_must_check_ int labels_from_wire(Labels *to, const Pair *items, size_t len);
Pair *labels_to_wire(const Labels *labels, Arena *arena, size_t *ret_len);
_must_check_ int label_selector_from_wire(LabelSelector *to, const Pair *items, size_t len);
/* Owned, `len` of them; NULL for none. selectors_free() takes them. */
_must_check_ int selectors_from_wire(const Selector *items, size_t len, LabelSelector **ret);
LabelSelector *selectors_free(LabelSelector *selectors, size_t len);
/* The conditions are the arena's. */
Pair *label_selector_to_wire(const LabelSelector *selector, Arena *arena, size_t *ret_len);

/* For strings out of messages: -EINVAL with the field's name if it has a NUL or is longer than
 * `max`. *ret_text is owned. */
_must_check_ int text_from_wire(Slice from, size_t max, const char *field, char **ret_text);
