/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `ray status` prints and the dashboard's node views show, from gcs's ClusterStatus. Pure. */

#include "base/base.h"
#include "codec/json.h"
#include "wire/messages.h"

/* The peer's text, with a newline at the end. `idle_apart`: nodes without work have a list of their
 * own, as where the peer's second autoscaler is on. */
void cluster_status_text(const ClusterStatus *status, bool verbose, bool idle_apart, Buf *out);
/* Whether it is: RAY_enable_autoscaler_v2, else in KubeRay's pods. */
bool cluster_idle_apart(void);

/* New references. */
json_t *cluster_node_summaries(const ClusterStatus *status); /* /nodes?view=summary */
json_t *cluster_node_resources(const ClusterStatus *status); /* node id -> text */
json_t *cluster_host_names(const ClusterStatus *status);     /* of those alive */
json_t *cluster_load(const ClusterStatus *status);           /* /api/cluster_status */
json_t *cluster_json(const ClusterStatus *status);           /* `ray status -o json` */
