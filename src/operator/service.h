/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Services and the Ingress of a RayCluster, and the RayJob's own head Service. Each function
 * gives a new object without an owner. A Service is made once and never changed (its address would
 * change with it), so what it exposes is what the head container declared at that time. */

#include "base/arena.h"
#include "codec/json.h"
#include "operator/settings.h"

/* `{c}-head-svc`: headless unless another type is asked for. */
json_t *service_build_head(const json_t *cluster, const OperatorSettings *settings, Arena *arena);
/* `{c}-headless`: DNS among the hosts of multi-host groups. NULL when no group has several. */
json_t *service_build_headless(const json_t *cluster, Arena *arena);
/* `{c}-serve-svc`: when the annotation asks for it. -EINVAL: no port named serve or serve-*. */
bool service_wants_serve(const json_t *cluster);
_must_check_ int service_build_serve(const json_t *cluster, Arena *arena, json_t **ret_service);
/* `{j}-head-svc`, pointing to the head of the RayJob's present cluster. */
json_t *service_build_job_head(const json_t *job, const json_t *cluster,
                               const OperatorSettings *settings, Arena *arena);
/* `{c}-head-ingress` for the dashboard. */
json_t *ingress_build(const json_t *cluster, Arena *arena);

/* The labels by which a cluster's head Service is found, beside its owner. */
bool service_is_head_of(const json_t *service, const json_t *cluster);
/* The port of a Service by name; 0 when absent. */
int64_t service_port(const json_t *service, const char *name);
