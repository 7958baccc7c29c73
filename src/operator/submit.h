/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a RayJob's entrypoint reaches the head: a Kubernetes Job that runs `ray job submit` and
 * follows the log (K8sJobMode), the same as a container beside the head (SidecarMode), or one HTTP
 * request from here (HTTPMode); and the RayCluster that a RayJob makes. New references.
 */

#include "base/arena.h"
#include "codec/json.h"
#include "operator/settings.h"

/* "K8sJobMode" when the field is absent. */
const char *job_mode(const json_t *job);
bool job_is_mode(const json_t *job, const char *mode);
/* K8sJobMode or SidecarMode: somebody else submits and follows. */
bool job_has_submitter(const json_t *job);

/* The RayCluster of a RayJob, owned by it. -EINVAL as submit_build_job() (SidecarMode). */
_must_check_ int job_build_cluster(const json_t *job, const char *name,
                                   const OperatorSettings *settings, Arena *arena,
                                   json_t **ret_cluster);
/* The submitter, owned by the RayJob; `cluster` gives the image and the authentication.
 * -EINVAL: runtimeEnvYAML is no YAML, or metadata wants a newer Ray. */
_must_check_ int submit_build_job(const json_t *job, const json_t *cluster,
                                  const OperatorSettings *settings, Arena *arena, json_t **ret_job);
/* Body of POST /api/jobs/. -EINVAL as above, or entrypointResources is no JSON object. */
_must_check_ int submit_build_request(const json_t *job, json_t **ret_body);
