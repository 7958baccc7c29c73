/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The Jobs REST API's shapes: what a submission must look like, JobDetails, the usual messages.
 * Pure. A *record* is gcs's: an object with JobDetails' fields.
 */

#include "base/base.h"
#include "codec/json.h"

/* The request of POST /api/jobs/: -EINVAL with the peer's sentence ("entrypoint must be a string,
 * got <class 'int'>"). Null fields count as absent, unknown fields are an error. `job_id` is the
 * old name of `submission_id`. */
_must_check_ int job_request_check(const json_t *request);

/* The id a request wants, borrowed; NULL if gcs shall make one up. */
const char *job_request_submission(const json_t *request);

/* The message of a status when there is no better one. Owned. */
char *job_usual_message(const json_t *record, const char *status);

/* JobDetails of a submission: every field of it and no other, null when unknown. New reference. */
json_t *job_details(const json_t *record);

/* JobDetails of a driver that nobody submitted. */
typedef struct JobDriver {
    const char *id, *ip, *entrypoint;
    uint32_t pid;
    bool finished;
    uint64_t start_ms, end_ms;            /* end 0: none */
    const json_t *metadata, *runtime_env; /* may be NULL */
} JobDriver;
json_t *job_driver_details(const JobDriver *driver);

/* Replaces the values of env_vars by "<redacted>" in what a browser gets (a User-Agent that starts with
 * "Mozilla", as for the peer): in runtime_env, serialized_runtime_env (a text) and runtime_env_info. */
void job_redact(json_t *details);
