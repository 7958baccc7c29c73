/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which node a pod goes to: a pure decision over a snapshot of nodes and placed pods. Filters in
 * Kubernetes' order and words; among the nodes that are left the one with the largest free share
 * of CPU and memory wins, preferred affinity counted first, equal ones by name.
 *
 *     Placement *p = placement_new();
 *     placement_add_node(p, node); …   placement_add_pod(p, pod); …
 *     placement_choose(p, pod, &node, &why);
 *
 * All json_t are borrowed until placement_free().
 */

#include <jansson.h>

#include "base/base.h"
#include "base/str.h"

typedef struct Placement Placement;

enum {
    PLACEMENT_NOWHERE = 1
};

Placement *placement_new(void);
Placement *placement_free(Placement *placement);
DEFINE_CLEANUP(Placement *, placement_free);

void placement_add_node(Placement *placement, json_t *node);
/* A pod that has a nodeName; ended ones take nothing. Unknown nodes are ignored. */
void placement_add_pod(Placement *placement, json_t *pod);

/* The node's name (borrowed), its share taken in the snapshot; or PLACEMENT_NOWHERE, and `why`
 * holds the sentence "0/3 nodes are available: 3 Insufficient cpu. …". */
_must_check_ int placement_choose(Placement *placement, json_t *pod, const char **ret_node,
                                  Buf *why);

bool toleration_matches(const json_t *toleration, const json_t *taint);

/* What a pod asks for, in thousandths: the larger of its containers' sum and each init container,
 * and the overhead. Calls once a resource. */
void pod_requests_each(const json_t *pod, void (*visit)(void *ctx, const char *name, int64_t milli),
                       void *ctx);
