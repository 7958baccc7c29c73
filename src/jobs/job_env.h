/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The environment of an entrypoint. */

#include "base/base.h"
#include "base/str.h"
#include "jobs/job_run.h"

/* Ours, then the runtime environment's (`env`: env-setup's answer, may be NULL), then what Ray
 * promises to a job. Each name once. */
void job_env_fill(const JobRunSpec *spec, const char *submission, const json_t *env, StrList *out);
