/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `ray status` prints and the dashboard's node views show, from gcs's ClusterStatus. Pure. */

#include "base/base.h"
#include "codec/json.h"
#include "wire/messages.h"

/* The peer's text, with a newline at the end. */
void cluster_status_text(const ClusterStatus *status, bool verbose, Buf *out);

/* New references. */
json_t *cluster_node_summaries(const ClusterStatus *status); /* /nodes?view=summary */
json_t *cluster_node_resources(const ClusterStatus *status); /* node id -> text */
json_t *cluster_host_names(const ClusterStatus *status);     /* of those alive */
json_t *cluster_load(const ClusterStatus *status);           /* /api/cluster_status */
