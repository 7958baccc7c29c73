/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The nodes an agent pretends to be. "3x8cpu,32Gi": three of 8 CPUs and 32 GiB; further resources as
 * name=amount ("nvidia.com/gpu=1"); several groups with "+". Pure.
 */

#include "base/vec.h"
#include "codec/json.h"
#include "kobj/quantity.h"

typedef struct NodeShape {
    char *name;
    Quantity cpu, memory;
    json_t *extra; /* name: amount, as text */
} NodeShape;
typedef Vec(NodeShape) NodeShapes;

/* Names are node-0, node-1, ... -EINVAL with an example of what is meant. */
_must_check_ int node_shapes_parse(const char *text, NodeShapes *ret_nodes);
void node_shapes_done(NodeShapes *nodes);

/* A sentence if the nodes together hold more than the machine has; NULL if not. Owned. */
char *node_shapes_logical(const NodeShapes *nodes, uint64_t machine_cpus, uint64_t machine_memory);

typedef struct NodeFacts {
    const char *host_ip, *agent_url, *version;
    const char *kernel, *os_image, *machine_id, *boot_id, *architecture;
    usec_t started; /* wall: since when the node is ready */
} NodeFacts;

/* The Node object without its status, and the status. New references. */
json_t *node_object(const NodeShape *node, const NodeFacts *facts);
json_t *node_status(const NodeShape *node, const NodeFacts *facts, bool ready, usec_t now_wall);
/* A lease of the node, renewed now. */
json_t *node_lease(const NodeShape *node, usec_t now_wall);
