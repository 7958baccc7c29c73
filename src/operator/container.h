/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Parts of a pod that are put into or beside the Ray container. All change their first argument. */

#include "base/arena.h"
#include "codec/json.h"
#include "operator/ray_start.h"
#include "operator/settings.h"

/* Environment: name and value; or the value of a field of the pod. `_default`: only if absent. */
void env_add(json_t *container, const char *name, const char *value);
void env_add_default(json_t *container, const char *name, const char *value);
void env_add_field(json_t *container, const char *name, const char *field);

/* {"limits": {cpu, memory}, "requests": ...} with both alike. New reference. */
json_t *resources_fixed(const char *cpu, const char *memory);

/* Token authentication: RAY_AUTH_MODE and the token from its Secret, or the pod's own
 * ServiceAccount token (then the pod needs the volume too). */
void container_add_auth(json_t *container, const char *cluster, const json_t *options,
                        Arena *arena);
void pod_add_token_volume(json_t *pod_spec);

/* The init container that holds a worker back until the head answers. */
void pod_add_wait(json_t *pod, const RayNode *node, const OperatorSettings *settings, Arena *arena);
/* The sidecar of the head, with the user's overrides. */
void pod_add_autoscaler(json_t *pod, const json_t *cluster, const OperatorSettings *settings,
                        Arena *arena);
/* Liveness and readiness of the Ray container, unless the user has given them. */
void container_add_probes(json_t *container, const RayNode *node, const json_t *params,
                          const char *creator, Arena *arena);
/* An emptyDir mounted at `path`, unless something is mounted there. `memory`: tmpfs, as large as
 * the container's memory. */
void pod_add_scratch(json_t *pod, json_t *container, const char *volume, const char *path,
                     bool memory);
