/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Builds a runtime environment on this node and says what a process in it needs. Blocking: it runs
 * in a process of its own, `mobula env-setup`, which reads one request and prints one answer.
 *
 * Request (JSON on stdin):
 *     {"runtime_env": {…}, "session_dir": "/tmp/ray/session_x", "python": "/usr/bin/python3",
 *      "gcs_address": "10.0.0.1:6379", "log": "/…/runtime_env_setup-01000000.log"}
 * `python`, `log` may be absent. Answer (JSON on stdout, exit status 0; or 1 and an error):
 *     {"env_vars": {"K": "V"}, "python": "/…/bin/python", "cwd": "/…", "sys_path": ["/…"],
 *      "holds": ["/…/KEY.lock"], "bytes": n}
 *     {"error": "sentence"}
 * Absent: nothing to change. `env_vars` holds PYTHONPATH when working_dir or py_modules need it
 * (for an entrypoint); `sys_path` is the same list for a forked worker, first entry first.
 *
 * Use is counted by the kernel: whoever runs processes in the environment keeps a shared lock on
 * each file of `holds` (env_hold) as long as it does; env-setup sweeps what nobody holds.
 */

#include "base/base.h"
#include "codec/json.h"

/* Fetches gcs://NAME into the file `path`, by the deadline (monotonic). -ENOENT when the head has no
 * such package. */
typedef int EnvFetchFn(void *ctx, const char *name, usec_t deadline, const char *path);

typedef struct EnvSetup {
    const json_t *runtime_env; /* normalised */
    const char *session_dir;
    const char *cache_dir;     /* of pip; NULL: env_cache_dir() */
    const char *python;        /* NULL: python3 of PATH */
    const char *log;
    EnvFetchFn *fetch;         /* NULL: no gcs:// packages */
    void *fetch_ctx;
} EnvSetup;

/* *ret_answer is a new reference, as above without "error". -ETIMEDOUT once env_setup_timeout() is
 * over. */
_must_check_ int env_setup(const EnvSetup *setup, json_t **ret_answer);

/* $MOBULA_CACHE_DIR, else $XDG_CACHE_HOME/mobula, else $HOME/.cache/mobula. Owned. It outlives
 * sessions and is shared by all nodes of a machine. */
char *env_cache_dir(void);
