/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The pods of a RayCluster. A pod is its group's template, completed: `ray start` in front of the
 * user's command, environment in a fixed order, labels, annotations, shared memory, probes, the
 * wait for the head (workers), the autoscaler (head). Pure: same input, same pod. A name is not
 * given here; generateName is the rule it follows.
 */

#include "base/arena.h"
#include "codec/json.h"
#include "operator/settings.h"

/* Where a worker stands in its group. */
typedef struct WorkerSlot {
    int64_t replica;          /* lowest free index */
    int64_t host;             /* within the replica */
    const char *replica_name; /* "{group}-xxxxx", for groups of several hosts; else NULL */
} WorkerSlot;

/* New references, owned by the cluster. The spec has passed validation. */
json_t *pod_build_head(const json_t *cluster, const OperatorSettings *settings, Arena *arena);
json_t *pod_build_worker(const json_t *cluster, const json_t *group, const WorkerSlot *slot,
                         const OperatorSettings *settings, Arena *arena);
/* The Job that empties the Redis namespace of a deleted cluster: the head, reduced. */
json_t *pod_build_redis_cleanup(const json_t *cluster, const OperatorSettings *settings,
                                Arena *arena);

/* {"/bin/bash", "-c", "--"}; `options` are put behind the c ("e": stop at the first error). */
json_t *bash_command(const OperatorSettings *settings, const char *options);
/* "{head service}.{namespace}.svc.{domain}" */
const char *head_host(const json_t *cluster, const OperatorSettings *settings, Arena *arena);

/* What the head pod remembers of the spec, so that upgradeStrategy Recreate sees a change: all of
 * it but the parts that the autoscaler and queues write. 32 hex digits. */
const char *cluster_spec_hash(const json_t *spec, Arena *arena);
