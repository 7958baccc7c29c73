/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `ray job`. */

#include "cmd/job_client.h"

int ray_job(int argc, char **argv);
int ray_job_submit(int argc, char **argv);

/* Prints how it stands with a job; *ret_status (may be NULL) is owned. */
_must_check_ int ray_job_say_status(JobClient *client, const char *job, char **ret_status);
