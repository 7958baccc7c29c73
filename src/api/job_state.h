/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The state file of a submitted job, SESSION/jobs/ID.json: job-run writes it before it reports
 * anything, a raylet that starts learns from it what went on without it.
 */

#include <sys/types.h>

#include "base/base.h"

#define JOB_STATE_PENDING   "PENDING"
#define JOB_STATE_RUNNING   "RUNNING"
#define JOB_STATE_STOPPED   "STOPPED"
#define JOB_STATE_SUCCEEDED "SUCCEEDED"
#define JOB_STATE_FAILED    "FAILED"

typedef struct JobState {
    char *submission;
    pid_t pid;           /* of job-run */
    uint64_t start_time; /* of it, see process_start_time() */
    pid_t driver_pid;    /* of the entrypoint's shell; 0 before it runs */
    char *status;        /* JOB_STATE_* */
    char *message;       /* NULL: the status's usual one */
    char *error_type;    /* NULL: none */
    bool has_exit_code;
    int exit_code;
    uint64_t wall_ms; /* when the status began */
    bool reported;    /* gcs has confirmed it */
} JobState;

void job_state_done(JobState *state);

bool job_status_terminal(const char *status);

/* An id that files can be named after: 1 to 200 bytes, no slash, no control character, no dot in
 * front. */
bool job_submission_valid(const char *submission);

_must_check_ int job_state_write(const char *session_dir, const JobState *state);
/* -ENOENT, -EBADMSG (with a sentence). */
_must_check_ int job_state_read(const char *session_dir, const char *submission,
                                JobState *ret_state);
void job_state_remove(const char *session_dir, const char *submission);

/* The environment string by which all processes of a job are found: MOBULA_SUBMISSION_ID=SESSION/ID, as
 * another session on this machine may have a job of that name. Owned. */
char *job_env_entry(const char *session_dir, const char *submission);

/* Kills what still runs of a job. */
void job_kill_left(const char *session_dir, const JobState *state);

/* For each state file. What is no state file is skipped. */
typedef void JobStateFn(void *ctx, const JobState *state);
_must_check_ int job_states_each(const char *session_dir, JobStateFn *fn, void *ctx);

/* For a raylet that starts: for each job whose job-run is gone without having been confirmed. A
 * status that was not terminal is FAILED by then (written so), its processes are killed. */
_must_check_ int job_states_adopt(const char *session_dir, uint64_t wall_ms, JobStateFn *fn,
                                  void *ctx);
