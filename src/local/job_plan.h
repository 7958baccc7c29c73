/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The Job controller's decision: from a Job, its pods and the time to what has to happen. Pure.
 *
 * A pod carries the finalizer batch.kubernetes.io/job-tracking until its end is counted in the
 * Job's status. The plan's status and the releases are written in one commit, so that an end is
 * counted once, whatever dies in between.
 */

#include <jansson.h>

#include "base/base.h"
#include "base/vec.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"

typedef struct JobEvent {
    const char *type, *reason;
    char *message; /* owned */
} JobEvent;

typedef struct JobPlan {
    json_t *status;         /* the new status (owned), or NULL if it stays */
    Vec(int64_t) creates;   /* one entry a new pod: its completion index, -1 without indexes */
    Vec(json_t *) deletes;  /* pods to delete; borrowed from the caller's list */
    Vec(json_t *) releases; /* pods whose finalizer goes; borrowed */
    Vec(JobEvent) events;
    bool expired;           /* ttlSecondsAfterFinished is over: delete the Job */
    usec_t look_at; /* wall time of the next decision without a change; USEC_INFINITY: none */
} JobPlan;

void job_plan_make(const json_t *job, json_t *const *pods, size_t len, usec_t now_wall,
                   JobPlan *ret_plan);
void job_plan_done(JobPlan *plan);

/* The pod of a Job, a new reference: name by generateName, labels, owner, finalizer. */
json_t *job_make_pod(const json_t *job, int64_t index);
