/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Two controllers, one of RayClusters and one of RayJobs: which objects want a look, and one look
 * after the other for each. Different objects are worked on at once; none waits for another.
 */

#include "operator/head.h"
#include "operator/run.h"
#include "operator/stock.h"

typedef struct Controller Controller;

typedef struct ControllerDoors { /* borrowed for life */
    KubeClient *client;
    Stock *stock;
    EventRecorder *events;
    Heads *heads;
    const OperatorSettings *settings;
    NameRandom *random;
} ControllerDoors;

typedef struct ControllerStats {
    uint64_t done, failed, conflicts;
    size_t waiting, active;
} ControllerStats;

/* RESOURCE_RAYCLUSTERS or RESOURCE_RAYJOBS. At most `at_once` objects are worked on at a time. */
Controller *controller_new(Resource resource, size_t at_once, const ControllerDoors *doors);
Controller *controller_free(Controller *controller);
DEFINE_CLEANUP(Controller *, controller_free);

/* This object wants a look. */
void controller_add(Controller *controller, const char *namespace_, const char *name);
ControllerStats controller_stats(const Controller *controller);

/* Tells metrics of a status that is written: before (may be NULL) and after. */
typedef void ControllerStatusFn(void *ctx, const json_t *object, const json_t *before,
                                const json_t *after);
void controller_on_status(Controller *controller, ControllerStatusFn *fn, void *ctx);
