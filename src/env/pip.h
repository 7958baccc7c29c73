/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A cache of virtual environments: one directory per (requirements, interpreter, platform), built
 * aside under a lock and renamed, so what has the final name is whole. Layout:
 *     CACHE/pip/KEY/            the virtual environment: bin/python, lib/…
 *     CACHE/pip/KEY.building/   of a build that runs, or was killed; swept by the next one
 *     CACHE/pip/KEY.lock        exclusive while building, shared while in use (env/setup.h)
 * A hit starts no process and touches no network.
 */

#include "base/base.h"
#include "codec/json.h"

typedef struct PipSetup {
    const char *python;      /* the interpreter that workers run; absolute, or found in PATH */
    const char *cache_dir;   /* CACHE */
    const json_t *env_vars;  /* of the environment: pip sees them; may be NULL */
    const char *working_dir; /* for ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}; may be NULL */
    const char *log;         /* pip's whole output is appended here; may be NULL */
    usec_t deadline;         /* of the whole, monotonic; 0: none */
} PipSetup;

/* `pip` is normalised. On success the directory (owned) is there and *ret_lock holds it: shared
 * lock, the caller closes. -EINVAL: pip refused, the sentence names the requirement and ends with
 * pip's last lines. -ETIMEDOUT. */
_must_check_ int pip_ensure(const json_t *pip, const PipSetup *setup, char **ret_dir,
                            int *ret_lock);

/* Removes unused environments, least recently used first, until the rest is within `max_bytes`;
 * also builds that were killed. Never one that is locked. */
_must_check_ int pip_sweep(const char *cache_dir, uint64_t max_bytes);
