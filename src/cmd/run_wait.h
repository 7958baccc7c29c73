/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a pod that is not ready waits for, and what to do about it. */

#include "codec/json.h"
#include "kube/informer.h"

bool pod_is_ready_now(const json_t *pod);

/* NULL when nobody says. Owned. `nodes` may be unsynced (no right to see them): then a pod that
 * finds no place is not told whether it ever will. `local`: the cluster's nodes are ours to choose. */
char *pod_wait_text(const json_t *pod, const KubeInformer *nodes, bool local);
