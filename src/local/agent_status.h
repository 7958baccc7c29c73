/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A pod's status as the kubelet would report it: a pure function of the pod, of what was seen of
 * its containers, and of the time. */

#include "local/agent_pod_spec.h"

typedef enum RunState {
    RUN_WAITING,
    RUN_RUNNING,
    RUN_TERMINATED
} RunState;

/* One state of a container. Times are wall time; texts are owned. */
typedef struct RunView {
    RunState state;
    char *reason, *message; /* waiting, terminated */
    usec_t started, finished;
    int exit_code;
    int attempt; /* which start this was: part of the container's id */
} RunView;

typedef struct RunRecord {
    RunView now, last; /* last: the termination before, if `has_last` */
    bool has_last;
    bool started;      /* startup probe and postStart are behind it */
    bool ever_started; /* was so once, in this start or an earlier one */
    bool ready;        /* readiness, where it runs */
    int restarts;
} RunRecord;

typedef struct PodRecord {
    const RunRecord *runs;                      /* one for each of def->containers */
    usec_t start_time;                          /* wall; 0: the agent has not looked at it yet */
    bool sandbox_ready;
    const char *pod_ip, *host_ip;               /* NULL: none yet */
    const char *failed_reason, *failed_message; /* set: the pod failed as a whole (Evicted, ...) */
    bool finished; /* the sandbox was let go: containers will not be started again */
} PodRecord;

typedef enum PodPhase {
    POD_PENDING,
    POD_RUNNING,
    POD_SUCCEEDED,
    POD_FAILED
} PodPhase;

PodPhase status_phase(const PodDef *def, const PodRecord *record);
const char *status_phase_name(PodPhase phase);

/* Whether init container `index` (or a sidecar before the main ones) is behind us. */
bool status_init_done(const ContainerDef *def, const RunRecord *run);

/* New reference. `before`: the status it replaces (may be NULL); transition times are kept where a
 * condition stays as it was, and conditions of others (PodScheduled, readiness gates) stay. */
json_t *status_compute(const PodDef *def, const PodRecord *record, const json_t *before,
                       usec_t now_wall);

/* "Guaranteed", "Burstable" or "BestEffort". */
const char *status_qos(const PodDef *def);

void run_view_done(RunView *view);
void run_record_done(RunRecord *record);
