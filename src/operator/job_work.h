/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of a RayJob's plan share. */

#include "operator/plan.h"

typedef struct JobWork {
    const JobView *view;
    const OperatorSettings *settings;
    NameRandom *random;
    usec_t now;
    Plan *plan;
    const json_t *spec;
    const char *namespace_, *name;
    json_t *job;    /* a shallow copy of view->job, with `status` in it */
    json_t *status; /* what is to be written */
} JobWork;

/* status.jobDeploymentStatus; "" is New. */
const char *job_state(const JobWork *work);
void job_set_state(JobWork *work, const char *state);
/* Failed, for a reason. `format` NULL leaves the message. */
void job_fail(JobWork *work, const char *reason, const char *format, ...) _printf_(3, 4);
void job_set_text(JobWork *work, const char *key, const char *value); /* "" removes */
bool job_is_ended(const char *job_status); /* STOPPED, SUCCEEDED, FAILED */
bool job_selects_cluster(const JobWork *work);
/* "2026-11-22 09:49:00"; with `zone` " +0000 UTC" behind it, as Go prints times. */
const char *job_time_text(JobWork *work, usec_t wall, bool zone);

/* Begins suspension if spec.suspend is set; says whether it did. */
bool job_plan_suspension(JobWork *work);
/* Fails the RayJob when a deadline counted from its start has passed; says whether it did. */
bool job_check_deadlines(JobWork *work, bool before_running);
/* Makes the RayCluster if it is not there; says whether it is. */
bool job_plan_cluster(JobWork *work);
/* The submitter, if it is not there. False: it cannot be made, `trouble` says why. */
bool job_plan_submitter(JobWork *work);

void job_plan_running(JobWork *work);
/* Deletes the cluster and the submitter; says whether both are gone. */
bool job_plan_release(JobWork *work);
/* What is to go after the end, and when. */
void job_plan_cleanup(JobWork *work);
