/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The part of a RayCluster's plan that is about pods, and questions to pods that its status shares. */

#include "operator/plan.h"

typedef struct ClusterWork {
    const ClusterView *view;
    const OperatorSettings *settings;
    NameRandom *random;
    usec_t now;
    Plan *plan;
    const json_t *cluster, *spec;
    const char *namespace_, *name;
} ClusterWork;

void cluster_plan_pods(ClusterWork *work);
void cluster_plan_workers(ClusterWork *work);

/* Makes or deletes a pod, with the events and failure reasons that belong to it. */
void cluster_create_pod(ClusterWork *work, json_t *pod, bool head);
void cluster_delete_pod(ClusterWork *work, const json_t *pod, bool head, const char *note);

/* "Running", "Pending", ...; "" when the pod has none yet. */
const char *pod_phase(const json_t *pod);
bool pod_is_type(const json_t *pod, const char *node_type);
/* Owned by the cluster and not on its way out. */
bool pod_is_live(const json_t *pod, const json_t *cluster);
/* The Ray container's state.terminated, or NULL. */
const json_t *pod_ray_terminated(const json_t *pod);
/* It ended and will not start again by itself. */
bool pod_has_failed(const json_t *pod);
/* For events: phase, restart policy and how the Ray container ended. */
const char *pod_end_text(const json_t *pod, Arena *arena);
bool pod_is_ready(const json_t *pod);
