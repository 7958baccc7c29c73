/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Runtime environments as values: checking what a user wrote, one canonical form, its hash, and
 * how a child's environment combines with its parent's. Pure; building one is env/setup.h.
 *
 * Canonical: nulls and empty fields dropped, `pip` as {"packages": […], "pip_check": bool, …} with
 * repeats removed, keys sorted, compact. Two environments that are equal for a worker process have
 * the same canonical text and hash (`config` takes no part in either).
 */

#include "base/base.h"
#include "codec/json.h"

enum {
    ENV_TEXT_MAX = 1024 * 1024, /* one environment as JSON */
};

/* Fields of a runtime environment hold paths of this machine (a driver's, before its upload)… */
#define ENV_LOCAL_PATHS (1u << 0)

/* -EINVAL with the peer's sentence, which names the field. NULL and JSON null are the empty
 * environment. *ret_env is a new reference to an object. With ENV_LOCAL_PATHS requirement files are
 * read and directories may stand in `working_dir` and `py_modules`; without it only URIs may. */
_must_check_ int env_normalize(const json_t *env, unsigned flags, json_t **ret_env);

/* Parses and normalises. "" and NULL are the empty environment. */
_must_check_ int env_parse(const char *text, unsigned flags, json_t **ret_env);

/* The canonical text of a normalised environment, owned; "" for the empty one. */
char *env_canonical(const json_t *env);

/* Of the canonical text; 0 for the empty one. */
uint64_t env_hash(const json_t *env);

/* How long building a normalised one may take: `config`'s setup_timeout_seconds, [600 s]; USEC_INFINITY
 * for -1. */
usec_t env_setup_timeout(const json_t *env);

enum {
    ENV_E_CONFLICT = 1, /* both set the same field or variable and `child_wins` is false */
};

/* Field by field; `env_vars` variable by variable. What a task's or actor's environment means inside
 * its job's is child_wins = true; a driver's inside its submission's is false. */
_must_check_ int env_merge(const json_t *parent, const json_t *child, bool child_wins,
                           json_t **ret_env);

/* --------------------------------------------------------------------------------- URIs */

typedef enum EnvScheme {
    ENV_PATH,  /* no scheme: a path */
    ENV_GCS,   /* gcs://NAME: a package in the head's store */
    ENV_HTTP,  /* http or https */
    ENV_FILE,  /* file:///…: an archive every node sees */
    ENV_LOCAL, /* local:///…: a directory every node has; used in place */
    ENV_CLOUD, /* s3, gs, azure, abfss: known, needs a library we do not carry */
    ENV_OTHER,
} EnvScheme;

EnvScheme env_uri_scheme(const char *uri);

/* A package's name as the dashboard and gcs take it: no slash, no dot in front, at most 200
 * characters, an archive's ending. */
bool env_package_name_ok(const char *name);
