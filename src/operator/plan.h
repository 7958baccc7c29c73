/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Decisions. A plan function looks at a snapshot of what exists, at the settings and at `now`, and
 * says what to do; it touches nothing and knows no history but what it is given. So a crash between
 * any two actions is only another snapshot, and the next plan goes on from there.
 *
 * Actions of one stage are independent and run at once; a stage begins when the one before it is
 * done. The first failure of a stage (in the order of the actions) ends the plan after that stage.
 * The new status is written after the last action. All strings live in the plan's arena.
 */

#include "base/arena.h"
#include "base/vec.h"
#include "codec/json.h"
#include "operator/names.h"
#include "operator/settings.h"

typedef enum Resource {
    RESOURCE_RAYCLUSTERS,
    RESOURCE_RAYJOBS,
    RESOURCE_PODS,
    RESOURCE_SERVICES,
    RESOURCE_JOBS,
    RESOURCE_SECRETS,
    RESOURCE_ACCOUNTS,
    RESOURCE_ROLES,
    RESOURCE_BINDINGS,
    RESOURCE_INGRESSES,
    RESOURCE_COUNT,
} Resource;

typedef enum ActionType {
    ACTION_CREATE,  /* `object`; one of that name is in the way: a failure */
    ACTION_ENSURE,  /* `object`; one of that name is as good, and no event is due */
    ACTION_REPLACE, /* `object`, which carries the resourceVersion it was made from */
    ACTION_PATCH,   /* merge patch `object` into `name` */
    ACTION_DELETE,  /* `name`, if it still has `uid`; gone already is as good */
    ACTION_REQUIRE, /* `name` has to exist */
    ACTION_SUBMIT,  /* `object` is the body for the head's POST /api/jobs/ */
    ACTION_STOP,    /* stop job `name` at the head; whatever comes of it is fine */
    ACTION_TELL,    /* only the event */
} ActionType;

typedef struct PlanEvent {
    const char *reason; /* NULL: none */
    const char *action; /* "Create", "Delete", "Update", "Validate", "Cleanup" */
    const char *note;
    bool warning;
} PlanEvent;

typedef struct Action {
    ActionType type;
    Resource resource;
    unsigned stage;
    json_t *object; /* the plan's reference */
    const char *name, *uid;
    PlanEvent done;
    PlanEvent failed;    /* its note gets the error behind it */
    const char *failure; /* reason of the RayCluster's condition ReplicaFailure, or NULL */
    const char *restart; /* group of a pod that goes because it failed: counts for its back-off */
} Action;

typedef struct Plan {
    Arena arena;
    Vec(Action) actions;
    json_t *status;      /* the whole new status, or NULL: leave it */
    usec_t due;          /* wall clock: plan again then, even if nothing is seen to change */
    bool ask_head;       /* keep asking the head for the RayJob's job */
    const char *trouble; /* what a human has to mend; NULL: nothing. See plan_trouble() */
    const char *trouble_reason;
} Plan;

enum {
    STAGE_FIRST, /* finalizers, services, rights: what pods need */
    STAGE_PODS,
    STAGE_LAST,
};

void plan_init(Plan *plan);
void plan_done(Plan *plan);
#define _cleanup_plan_ _cleanup_(plan_done)

/* Brings the next look forward. */
void plan_due(Plan *plan, usec_t wall);
/* Appends an action; the result is good until the next one is appended. Takes `object`. */
Action *plan_add(Plan *plan, ActionType type, Resource resource, unsigned stage, json_t *object);
void plan_tell(Plan *plan, bool warning, const char *reason, const char *action, const char *note);
/* What stands in the way of the plan until a human mends it: a Warning event of this reason and a
 * line of the log, once for as long as it stays the same. `sentence` is copied. */
void plan_trouble(Plan *plan, const char *reason, const char *sentence);
/* Deletes exactly this object. */
Action *plan_delete(Plan *plan, Resource resource, unsigned stage, const json_t *object);
/* The object with or without a finalizer. */
void plan_finalizer(Plan *plan, Resource resource, unsigned stage, const json_t *object,
                    const char *finalizer, bool present);

/* How often pods of a group failed lately: memory that the executor keeps and plans only read. */
typedef struct Restarts {
    Vec(struct Restart) groups;
} Restarts;
typedef struct Restart {
    char *group;
    unsigned count;
    usec_t last; /* wall */
} Restart;

void restarts_done(Restarts *restarts);
void restarts_note(Restarts *restarts, const char *group, usec_t now);
/* When the next pod of the group may be made: at once after one failure, later and later (up to
 * five minutes) after more; ten quiet minutes forget all. */
usec_t restarts_allow(const Restarts *restarts, const char *group, usec_t now);

/* All arrays hold what the API server has, corrected by what we know we did since. */
typedef struct ClusterView {
    const json_t *cluster;
    const json_t *pods;       /* labelled with the cluster's name: owned by it or not */
    const json_t *services;   /* labelled with the cluster's name or owned by it */
    const json_t *others;     /* accounts, roles, bindings, secrets, ingresses, jobs: the same */
    const Restarts *restarts; /* NULL: none */
} ClusterView;

/* An action that did not work, or NULL. */
typedef struct PlanFailure {
    const char *condition; /* reason of ReplicaFailure; NULL when it is about something else */
    const char *message;
} PlanFailure;

void cluster_plan(const ClusterView *view, const OperatorSettings *settings, NameRandom *random,
                  usec_t now, Plan *plan);
/* The status to write; NULL when it is as it should be (but for the time of the last look). A plan
 * has it for the case that all goes well; after a failure it is asked for anew. New reference. */
json_t *cluster_status(const ClusterView *view, const PlanFailure *failure, usec_t now);

/* What the head last said about the RayJob's job. */
typedef enum HeadAnswer {
    HEAD_UNASKED,
    HEAD_JOB,     /* `job` is its record */
    HEAD_ABSENT,  /* it answers and knows no such job */
    HEAD_SILENT,  /* it does not answer, or not sensibly */
    HEAD_BUSY,    /* it did not take the job this time; it is asked again later */
    HEAD_REFUSED, /* it will not take the job, however often it is sent */
} HeadAnswer;

typedef struct HeadReport {
    HeadAnswer answer;
    usec_t asked;      /* when what it answers was asked */
    const json_t *job;
    const char *error; /* why it is none of the others; NULL for those */
} HeadReport;

typedef struct JobView {
    const json_t *job;
    const json_t *cluster;      /* the RayCluster that status names, or NULL */
    const json_t *head_service; /* that cluster's, or NULL */
    const json_t *head_pod;     /* that cluster's, or NULL */
    const json_t *service;      /* the RayJob's own head Service, or NULL */
    const json_t *submitter;    /* the Kubernetes Job of the RayJob's name, or NULL */
    HeadReport report;
} JobView;

void job_plan(const JobView *view, const OperatorSettings *settings, NameRandom *random, usec_t now,
              Plan *plan);
