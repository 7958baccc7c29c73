/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Questions to a RayCluster's spec that more than one file asks. `spec` is spec of a RayCluster,
 * spec.rayClusterSpec of a RayJob; all results are borrowed. */

#include "base/base.h"
#include "codec/json.h"

bool spec_autoscaling(const json_t *spec);
/* autoscalerOptions.version is "v1" or "v2"; NULL when not given. */
const char *spec_autoscaler_version(const json_t *spec);
bool spec_token_auth(const json_t *spec);
bool spec_kubernetes_auth(const json_t *spec);
bool spec_suspended(const json_t *spec);
json_t *spec_head_container(const json_t *spec); /* NULL when there is none */

/* Ray's version is at least `major.minor`. False for one that is absent or unreadable. */
bool spec_ray_at_least(const json_t *spec, int64_t major, int64_t minor);
/* Reads "2.52", "v2.52.0", "2.52.0rc1". Says whether it is a version; the outputs may be NULL. */
bool ray_version_parse(const char *text, int64_t *ret_major, int64_t *ret_minor);

/* A group's pods: clamp(replicas, min, max) times hosts; none while the group is suspended. */
int64_t group_hosts(const json_t *group); /* numOfHosts; 1 in objects from before the field */
int64_t group_pods(const json_t *group, int64_t replicas); /* times hosts; no more than an int32 */
int64_t group_desired(const json_t *group);
int64_t group_min(const json_t *group);
int64_t group_max(const json_t *group); /* int32's maximum when not given */
bool group_suspended(const json_t *group);

/* The kind that made this RayCluster: "RayCluster" (a user), "RayJob" or "RayService". */
const char *cluster_creator(const json_t *cluster);
/* Another controller than KubeRay's owns it: hands off. */
bool managed_elsewhere(const json_t *object);
/* GCS fault tolerance by options or annotation, and whether its store is Redis. */
bool cluster_fault_tolerant(const json_t *spec, const json_t *object);
bool spec_uses_rocksdb(const json_t *spec);
/* rayStartParams.port, or 6379. Borrowed. */
const char *spec_gcs_port(const json_t *spec);
