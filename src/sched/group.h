/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where the bundles of a placement group go, decided from a view of the cluster alone. All get a
 * place or none does.
 */

#include "sched/pick.h"

typedef enum GroupPolicy {
    GROUP_PACK,          /* on as few nodes as possible */
    GROUP_SPREAD,        /* on as many as possible, as even as possible */
    GROUP_STRICT_PACK,   /* on one node */
    GROUP_STRICT_SPREAD, /* each on a node of its own */
} GroupPolicy;

enum {
    GROUP_BUNDLES_MAX = 8192
};

typedef struct GroupBundle {
    const ResourceSet *resources;
    const LabelSelector *labels; /* NULL for none */
} GroupBundle;

typedef struct GroupRequest {
    GroupPolicy policy;
    const GroupBundle *bundles; /* those that need a place; at most GROUP_BUNDLES_MAX */
    size_t len;
    const NodeId *held;         /* the nodes of the group's other bundles, one a bundle */
    size_t held_len;
    NodeId soft_target;         /* STRICT_PACK: rather this node; may be zero */
    const char *topology;       /* one value of this label for all; NULL: no matter */
} GroupRequest;

/* SCHED_FOUND: ret_nodes has the node of each bundle. SCHED_WAIT: a cluster without other users
 * would have room. SCHED_INFEASIBLE: nor would that. */
SchedAnswer group_plan(SchedView view, const GroupRequest *request, const SchedNode **ret_nodes);
