/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Carrying out a plan: its actions stage by stage, those of a stage at once, their events, then the
 * status. A request whose answer was lost is sent again, and finds what it made by its owner.
 */

#include "kube/client.h"
#include "kube/event.h"
#include "operator/head.h"
#include "operator/plan.h"
#include "operator/stock.h"

/* What a run works with; borrowed for its life. */
typedef struct RunDoors {
    KubeClient *client;
    Stock *stock;
    EventRecorder *events;
    HeadWatch *head;    /* of the RayJob; NULL: none */
    Restarts *restarts; /* of the RayCluster; NULL: none */
} RunDoors;

typedef struct RunResult {
    bool changed;       /* something was done: look again */
    bool conflict;      /* somebody else was faster: look again, no failure */
    const char *failed; /* a sentence; NULL: all went well. Borrowed for the call */
    const char *condition;
} RunResult;

typedef struct PlanRun PlanRun;
typedef void PlanRunFn(void *ctx, const RunResult *result);

/* Takes what is in `plan`. `primary` is the RayCluster or RayJob (`resource`) that the plan is
 * for. `fn` is called once, never from inside this call; the run is gone after it. */
PlanRun *plan_run_new(const RunDoors *doors, Resource resource, const json_t *primary, Plan *plan,
                      PlanRunFn *fn, void *ctx);
PlanRun *plan_run_free(PlanRun *run); /* `fn` does not come; requests under way may still work */
DEFINE_CLEANUP(PlanRun *, plan_run_free);
