/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One submitted job, from its record to its reported end. README.md has the contract. */

#include "base/base.h"
#include "base/str.h"
#include "codec/json.h"

typedef struct JobRunSpec { /* borrowed for life */
    const char *session_dir;
    const char *raylet_socket;
    const char *node_ip;
    const char *gcs_address; /* becomes RAY_ADDRESS */
    const char *program;     /* this binary, for env-setup */
    const json_t *record;
    Slice token;             /* of the cluster; empty: none */
    const json_t *gpus;      /* the node's numbers of those it was given */
} JobRunSpec;

/* Leaves the caller behind: in the child of a child, the leader of a new session, it returns 0 and
 * *ret_ready, to which it owes one job_run_ready(). In the caller it does not return before that:
 * then with 1 and the exit status for this process. */
enum {
    JOB_RUN_PARENT = 1
};
_must_check_ int job_run_detach(int *ret_ready, int *ret_status);
/* NULL: it runs. Else what went wrong; the caller prints it. */
void job_run_ready(int ready, const char *problem);

/* Runs the job to its end; `ready` is told once the state file is there. The exit status: 0 also
 * for a job that failed. */
int job_run(const JobRunSpec *spec, int ready);
