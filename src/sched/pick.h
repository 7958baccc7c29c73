/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which node takes a task or an actor, decided from a view of the cluster alone. gcs decides for
 * actors, each raylet for the leases that its own processes ask for; the view of others may be
 * old, so the node that is picked still checks for itself.
 */

#include "model/ids.h"
#include "model/labels.h"
#include "model/resources.h"

typedef struct SchedNode {
    NodeId id;
    bool schedulable; /* alive and not draining */
    ResourceSet total, available;
    Labels labels;
} SchedNode;

void sched_node_done(SchedNode *node);

/* Borrowed; any order. */
typedef struct SchedView {
    const SchedNode *const *nodes;
    size_t len;
} SchedView;

typedef enum SchedKind {
    SCHED_DEFAULT,  /* pack until half used, then the least used; random among the best few */
    SCHED_SPREAD,   /* round robin over the nodes with room */
    SCHED_AFFINITY, /* one node; if `soft`, DEFAULT when it can't be that one */
    SCHED_RANDOM,   /* any node with room: actors that need nothing */
} SchedKind;

typedef struct SchedRequest {
    SchedKind kind;
    const ResourceSet *resources;
    const LabelSelector *labels;   /* hard; NULL for none */
    const LabelSelector *fallback; /* in its place, one after the other, until a node is found */
    size_t fallback_len;
    NodeId node;                   /* AFFINITY */
    NodeId near;                   /* DEFAULT: this one if it has room now; zero: no matter */
    bool soft;
    bool spill_on_unavailable;     /* AFFINITY: elsewhere when that node is full */
    bool fail_on_unavailable;      /* AFFINITY: give up when that node is full */
} SchedRequest;

typedef enum SchedAnswer {
    SCHED_FOUND,      /* *ret_node has room now */
    SCHED_WAIT,       /* some node could take it, none has room now */
    SCHED_INFEASIBLE, /* no node that is there could ever take it; one that joins may */
    SCHED_FAILED,     /* it can never be placed: its node is gone, or full and it must not wait */
} SchedAnswer;

/* What a decider remembers between decisions. Seed it with anything. */
typedef struct SchedState {
    uint64_t random;
    NodeId last_spread; /* the node that SPREAD took last */
} SchedState;

/* `local` (may be zero) wins among equals. *ret_node is written for SCHED_FOUND only. */
SchedAnswer sched_pick(SchedState *state, SchedView view, const NodeId *local,
                       const SchedRequest *request, const SchedNode **ret_node);

/* The fullest of CPU, memory and object store, from 0 to 1. */
double sched_utilisation(const SchedNode *node);
