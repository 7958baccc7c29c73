/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Amounts of named resources: what a node has, what a task asks for. A quantity is fixed point in
 * units of 1/10000 (so sums are exact and 0.1 ten times is 1); memory and object_store_memory
 * are bytes. A resource with quantity 0 is absent.
 *
 * A set holds the four well-known resources in place and the rest sorted by name, each with its
 * own copy of the name: names come and go (placement groups make them), so no table of names
 * could stay bounded.
 */

#include "base/base.h"
#include "base/str.h"

typedef int64_t Quantity; /* 1/10000 */

#define QUANTITY_ONE ((Quantity)10000)
#define QUANTITY_MAX (INT64_MAX / 4) /* of one resource; two may be added without a check */

typedef enum ResourceKind {
    RESOURCE_CPU,
    RESOURCE_GPU,
    RESOURCE_MEMORY,
    RESOURCE_OBJECT_STORE_MEMORY,
    RESOURCE_KINDS,
} ResourceKind;

enum {
    RESOURCE_NAME_MAX = 255,
    RESOURCE_CUSTOM_MAX = 1024, /* custom names in one set */
};

typedef struct CustomResource {
    char *name;
    Quantity quantity; /* never 0 */
} CustomResource;

/* Zero-initialised is empty. */
typedef struct ResourceSet {
    Quantity known[RESOURCE_KINDS];
    CustomResource *custom; /* by name */
    uint32_t custom_len, custom_cap;
} ResourceSet;

void resources_done(ResourceSet *set);
#define _cleanup_resources_ _cleanup_(resources_done)

/* Replaces `to`. */
void resources_copy(ResourceSet *to, const ResourceSet *from);
void resources_clear(ResourceSet *set);
bool resources_empty(const ResourceSet *set);
bool resources_equal(const ResourceSet *a, const ResourceSet *b);
uint64_t resources_hash(const ResourceSet *set);
size_t resources_count(const ResourceSet *set); /* names with a quantity */

Quantity resources_get(const ResourceSet *set, const char *name);
/* Any sign; 0 removes. -EINVAL for an empty or too long name, -E2BIG beyond RESOURCE_CUSTOM_MAX
 * names, -ERANGE beyond QUANTITY_MAX. */
_must_check_ int resources_set(ResourceSet *set, const char *name, Quantity quantity);
/* The i-th resource, the known ones first, then by name. False beyond the end. *ret_name is
 * borrowed from the set. */
bool resources_at(const ResourceSet *set, size_t i, const char **ret_name, Quantity *ret_quantity);

/* Is there enough of everything that `want` names? */
bool resources_fit(const ResourceSet *have, const ResourceSet *want);
/* Sums saturate at QUANTITY_MAX. Subtraction may go below zero: a blocked worker that resumes takes its CPU
 * back at once, and the debt is seen by resources_fit(). */
void resources_add(ResourceSet *to, const ResourceSet *what);
void resources_sub(ResourceSet *from, const ResourceSet *what);

/* Number text as Python's float() takes it: "0.5", "4", "1e3". Rounded to 1/10000; -EINVAL if it is no
 * finite number or is negative, -ERANGE if too large, 0 < x < 1/10000 is 1/10000. */
_must_check_ int resource_quantity_parse(const char *text, Quantity *ret_quantity);
_must_check_ int quantity_from_double(double value, Quantity *ret_quantity);
static inline double quantity_to_double(Quantity q) {
    return (double)q / (double)QUANTITY_ONE;
}
/* Shortest exact decimal, as Python writes a float: "1.0", "0.5", "0.0001". */
void resource_quantity_format(Quantity quantity, Buf *out);

/* As Python writes a dict: {'CPU': 1.0, 'memory': 1024.0}. */
void resources_format(const ResourceSet *set, Buf *out);
