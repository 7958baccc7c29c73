/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A job's log, followed to standard output: the submitter's container, or the head's Jobs API. */

#include "kube/client.h"

typedef struct RunLog RunLog;

/* A container's log, from its beginning until the container has ended. A broken connection is
 * taken up again where it broke. */
RunLog *run_log_container(KubeClient *client, int fd, const char *namespace_, const char *pod,
                          const char *container);
/* The job's log at the head's Service (HTTPMode: there is no submitter). */
RunLog *run_log_head(KubeClient *client, int fd, const char *namespace_, const char *service,
                     const char *job_id);
/* The job has ended: nothing more is to come than what is there. */
void run_log_finish(RunLog *log);
/* All of it has been written (or cannot be had). */
bool run_log_ended(const RunLog *log);
RunLog *run_log_free(RunLog *log);
DEFINE_CLEANUP(RunLog *, run_log_free);
