/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What several daemons know, put together for one request: gcs' tables, and what each node's raylet
 * tells of its processes. Raylets are reached through gcs. Those that don't answer in the client's time
 * are counted, the rest is given.
 */

#include "api/state.h"
#include "dashboard/dashboard_private.h"

enum { /* what is wanted */
    GATHER_NODES = 1 << 0,
    GATHER_ACTORS = 1 << 1,
    GATHER_JOBS = 1 << 2,
    GATHER_SUBMISSIONS = 1 << 3,
    GATHER_GROUPS = 1 << 4,
    GATHER_DEAD = 1 << 5,      /* processes that have ended */
    GATHER_PROCESSES = 1 << 6, /* living ones, by their nodes; with nodes */
    GATHER_OBJECTS = 1 << 7,   /* these with their references */
    GATHER_TASKS = 1 << 8,     /* these with their calls, and the calls that have ended */
};

typedef struct Gathered {
    Dashboard *dashboard;
    HttpRequest *request;
    void *more; /* of `then` */
    StateOptions options;
    StateWorld world;
    Submissions submissions;
    size_t raylets, silent; /* asked; of these without an answer */
    bool gcs_failed;
} Gathered;

/* `then` owes the response; all of it is gone when it returns. */
typedef void GatheredFn(Gathered *gathered);
/* Reads the request's options; answers it itself when they are wrong. `filter` narrows what is asked for
 * (may be NULL, copied but for its texts). */
void gather(Dashboard *dashboard, HttpRequest *request, unsigned wanted, const TaskList *filter,
            GatheredFn *then, void *more);
/* 400 or 500 in the state API's envelope. */
void respond_state_error(HttpRequest *request, int status, const char *message);
