/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What KubeRay refuses beyond the CRD's schema, in its words: users and their tests know them.
 * The gates that are off there (NetworkPolicy, mTLS, history server, RocksDB) are refused as there.
 */

#include "base/arena.h"
#include "codec/json.h"

typedef struct Invalid {
    const char *reason;  /* of the event: "InvalidRayClusterSpec" */
    const char *note;    /* of the event: with namespace and name in front */
    const char *message; /* the bare sentence: a RayJob's status.message */
} Invalid;

enum {
    VALIDATE_INVALID = 1, /* *ret_invalid says why, in the arena */
};

_must_check_ int cluster_validate(const json_t *cluster, Arena *arena, Invalid *ret_invalid);
_must_check_ int rayjob_validate(const json_t *job, Arena *arena, Invalid *ret_invalid);

/* A warning that stops nothing (restart policies under autoscaler v1); NULL when there is none. */
const char *cluster_warning(const json_t *cluster, Arena *arena);

/* The checks of a RayCluster's spec alone; `object` has the annotations. NULL when it is good. */
const char *spec_check(const json_t *spec, const json_t *object, Arena *arena);
/* runtimeEnvYAML has to be a YAML mapping, or nothing. NULL when it is good. */
const char *runtime_env_check(const char *yaml, Arena *arena);
/* shutdownAfterJobFinishes, ttlSecondsAfterFinished, deletionStrategy. NULL when they are good. */
const char *deletion_check(const json_t *job_spec, Arena *arena);
