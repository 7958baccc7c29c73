/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The `ray start` command of a pod: the group's rayStartParams, completed from the group's
 * resources and labels and from the container's limits, rendered in the order of their names.
 */

#include "base/str.h"
#include "codec/json.h"

typedef struct RayNode {
    bool head;
    const json_t *cluster;
    const json_t *group;   /* headGroupSpec, or one of workerGroupSpecs */
    const char *head_host; /* FQDN of the head Service */
    const char *gcs_port;
} RayNode;

/* A new object of strings: all that `ray start` gets, defaults and detected resources too.
 * `container` is the Ray container (its resources count). */
json_t *ray_params_complete(const RayNode *node, const json_t *container);

/* Appends "ray start --head  --k=v  --flag ", each parameter with a blank on both sides. */
void ray_params_render(const RayNode *node, const json_t *params, Buf *out);

/* Whether a resource name means GPUs to Ray: ends in "gpu", or is an NVIDIA MIG slice. */
bool resource_is_gpu(const char *name);
