/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Follows RayJobs and RayClusters to their end: says on standard error what they do and what they
 * wait for, writes the jobs' logs to standard output, and takes the time of each phase.
 */

#include "kube/client.h"

typedef struct Follow Follow;

typedef struct FollowEvents { /* borrowed for life */
    /* Everything has come to its end: jobs ended, clusters (without a job) are ready. */
    void (*done)(void *ctx);
} FollowEvents;

typedef struct FollowOptions {
    usec_t begun;       /* when the command began (loop time): times are told from there */
    bool log_to_stderr; /* keeps standard output free */
    bool local;         /* the cluster is one of this machine's */
} FollowOptions;

/* `objects` as the API server answered them; other kinds than RayJob and RayCluster are passed
 * over. */
Follow *follow_new(KubeClient *client, const json_t *objects, const FollowOptions *options,
                   const FollowEvents *events, void *ctx);
Follow *follow_free(Follow *follow);
DEFINE_CLEANUP(Follow *, follow_free);

/* Whether there is anything to follow. */
bool follow_any(const Follow *follow);
/* 0: all jobs SUCCEEDED; 1 else. */
int follow_status(const Follow *follow);
/* The phases: a table on standard error, or a JSON object. */
void follow_print_phases(const Follow *follow);
json_t *follow_summary(const Follow *follow);

/* One line on standard error with the time since `begun` in front. */
void follow_say(Loop *loop, usec_t begun, const char *format, ...) _printf_(3, 4);
