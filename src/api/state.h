/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The state API (`/api/v0/…`, `ray list`, ray.util.state): which columns each resource has, rows from
 * what gcs and raylets tell, filters, summaries. Pure; rows are JSON objects that have every column.
 */

#include "base/arena.h"
#include "base/base.h"
#include "codec/json.h"
#include "net/http.h"
#include "wire/messages.h"

typedef enum StateType {
    STATE_TEXT,
    STATE_INT,
    STATE_BOOL,
    STATE_OTHER, /* or one of several: a filter's value is compared by the type of the row's */
} StateType;

/* How a value is shown to people. */
typedef enum StateShown {
    SHOWN_AS_IS,
    SHOWN_TIME,          /* ms since 1970 */
    SHOWN_TIME_IF_KNOWN, /* -1: "" */
    SHOWN_MEMORY,        /* bytes */
    SHOWN_DURATION,      /* ms */
    SHOWN_EVENTS,        /* created_ms of each is a time */
    SHOWN_RESOURCES,     /* those with "memory" in their name are memory */
} StateShown;

typedef struct StateColumn {
    const char *name;
    StateType type;
    bool filter, detail;
    StateShown shown;
} StateColumn;

typedef struct StateSchema {
    const char *name; /* "placement_groups" */
    const char *id;   /* the column that names one; rows are sorted by it */
    const StateColumn *columns;
    size_t len;
} StateSchema;

/* NULL: there is no such resource. Dashes stand for underscores. */
const StateSchema *state_schema(const char *name);
const StateSchema *state_schemas(size_t *ret_len);

enum {
    STATE_LIMIT_DEFAULT = 100,
    STATE_LIMIT_MAX = 10000,
};

typedef struct StateFilter {
    const char *column, *value;
    bool unequal;
} StateFilter;

typedef struct StateOptions { /* all borrowed */
    int64_t limit;
    double timeout;           /* of the client, in s */
    bool detail, exclude_driver;
    const char *summary_by, *job_id;
    StateFilter *filters;
    size_t filters_len;
} StateOptions;

/* From a request's query; -EINVAL with the peer's sentence. Lists are the arena's. */
_must_check_ int state_options(const HttpQuery *query, Arena *arena, StateOptions *ret_options);

/* What a listing says beside its rows. */
typedef struct StateTotals {
    uint64_t total;         /* in the cluster, also those that were dropped */
    const char *partial;    /* who did not answer; NULL: all did */
    bool no_partial_column; /* the peer says null, not "" */
    const char *warning;    /* one for the user; NULL */
} StateTotals;

/* Filters, sorts, limits and cuts the rows to their columns. *ret_result is the response's "result".
 * -EINVAL: a filter that can't be. Takes `rows`. */
_must_check_ int state_list(const StateSchema *schema, json_t *rows, const StateOptions *options,
                            const StateTotals *totals, json_t **ret_result);

/* ---- rows; new references ---- */

/* Everything that may be asked for; what was not is empty. */
typedef struct StateWorld {
    const NodeInfo *nodes;
    size_t nodes_len;
    NodeDetails *details; /* of nodes that answered */
    size_t details_len;
    TaskEvents ended;
    Actors actors;
    DeadWorkers dead;
    JobTable jobs;
    Groups groups;
    const char *logs; /* the folder of log files, as users see it */
} StateWorld;

json_t *state_nodes(const StateWorld *world);
json_t *state_actors(const StateWorld *world);
json_t *state_workers(const StateWorld *world);
json_t *state_objects(const StateWorld *world);
json_t *state_groups(const StateWorld *world);
json_t *state_runtime_envs(const StateWorld *world);
/* With the drivers' own "tasks" when they are wanted. */
json_t *state_tasks(const StateWorld *world, const StateOptions *options);
/* How many calls there are, dropped ones and those beyond a process's limit too. */
uint64_t state_tasks_total(const StateWorld *world, size_t listed);

/* Id of the node a peer is of, or was; false: not known. */
bool state_node_of(const StateWorld *world, PeerId peer, NodeId *ret_node);
json_t *state_id(const void *id, size_t len); /* hex; null for an unset or nil one */
json_t *state_text(Slice text);

const char *state_task_state(unsigned state); /* "RUNNING" */

/* ---- summaries of rows (borrowed) ---- */

json_t *state_summarize_actors(const json_t *rows);
json_t *state_summarize_objects(const json_t *rows);
/* -EINVAL: `by` is none of func_name, task_name, lineage. */
_must_check_ int state_summarize_tasks(const json_t *rows, const json_t *actors, const char *by,
                                       json_t **ret_summary);
/* Chrome's trace events of task rows with details. */
json_t *state_timeline(const json_t *rows);
