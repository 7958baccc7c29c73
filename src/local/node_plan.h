/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The node controller's decisions: when a node counts as lost, and what a node then says. Pure.
 * All times are wall times.
 */

#include <jansson.h>

#include "base/base.h"

/* When the node counts as lost, if nothing more is heard of it: `grace` after its agent's last sign
 * of life. `lease` may be NULL; before `since` nobody listened. */
usec_t node_plan_due(const json_t *node, const json_t *lease, usec_t since, usec_t grace);

/* Edits the node: if it is `lost`, its conditions become Unknown; its taints follow its Ready
 * condition (not-ready, unreachable). Says whether anything changed. */
bool node_plan_edit(json_t *node, bool lost, usec_t now);

/* When (wall) a pod has to leave a node for its NoExecute taints: each may be tolerated for some
 * seconds from when it was added. USEC_INFINITY: never. */
usec_t node_plan_eviction(const json_t *pod, const json_t *node);
