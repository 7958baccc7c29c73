/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The pod worker's own state, shared by agent_pod*.c. */

#include "base/list.h"
#include "base/map.h"
#include "local/agent_action.h"
#include "local/agent_container.h"
#include "local/agent_env.h"
#include "local/agent_pod.h"
#include "local/agent_probe.h"
#include "local/agent_volume.h"

typedef enum PodStage {
    STAGE_NEW,      /* nothing on the machine yet */
    STAGE_SANDBOX,  /* the keeper makes it */
    STAGE_UP,
    STAGE_ENDING,   /* containers are being ended */
    STAGE_STOPPING, /* the keeper is ending */
    STAGE_DOWN      /* nothing is left but logs */
} PodStage;

typedef enum ProbeIndex {
    PROBE_STARTUP,
    PROBE_LIVENESS,
    PROBE_READINESS,
    PROBE_COUNT
} ProbeIndex;

typedef struct PodProbe {
    struct PodContainer *container;
    ProbeIndex index;
    const ProbeSpec *spec;
    ProbeState state;
    Action *action;
} PodProbe;

typedef struct PodContainer {
    AgentPod *pod;
    const ContainerDef *def;
    RunRecord run;
    int attempt;         /* of the running or last start; -1: never started */
    bool starting;       /* told the keeper, no answer yet */
    usec_t started_mono; /* of the running one, once its keeper has told of it; 0: not yet */
    usec_t backoff;      /* memory of backoff_wait() */
    usec_t restart_at;   /* not before */
    usec_t retry_at;     /* a start that could not be prepared is tried again */
    PodProbe probes[PROBE_COUNT];
    Action *hook;        /* postStart or preStop */
    bool killing;        /* being ended */
    bool term_sent;
    usec_t kill_at;      /* SIGKILL then */
    usec_t term_at;      /* preStop is over by then */
    const char *kill_reason;
} PodContainer;

struct AgentPod {
    const PodHost *host;
    PodDef def;
    char *dir, *cgroup;
    char address[16]; /* "" : none */
    PodStage stage;
    Keeper *keeper;
    PodContainer *containers; /* one for each of def.containers */
    RunRecord *runs;          /* the view that a status is computed from */
    LoopTask *sync;
    LoopTimer *timer;
    usec_t start_time; /* wall */
    usec_t end_by;     /* while ending */
    usec_t retry_at;   /* of the setup */
    bool finished, vanished, told_gone, said_image;
    char *failed_reason, *failed_message, *setup_error;
    json_t *published; /* the last status */
    List requests;     /* execs and sockets asked of the keeper */
    uint64_t next_id;
};

/* agent_pod.c */
void pod_event(AgentPod *pod, const PodContainer *container, const char *type, const char *reason,
               const char *format, ...) _printf_(5, 6);
void pod_wake(AgentPod *pod);
EnvSource pod_env_source(AgentPod *pod, StrList *services);
VolumeContext pod_volume_context(AgentPod *pod, const EnvSource *env);
uint64_t pod_exec_id(AgentPod *pod);

extern const KeeperEvents pod_keeper_events;

/* agent_pod_sandbox.c */
void sandbox_try(AgentPod *pod, usec_t now);
void sandbox_failed(AgentPod *pod, int r); /* r: of a failure whose text stands */
void sandbox_release(AgentPod *pod);       /* after the keeper's end; logs stay */

/* agent_pod_step.c */
void pod_sync(void *ctx);

/* agent_pod_container.c */
char *container_dir(const PodContainer *container, int attempt);
void container_adopt(PodContainer *container);
void container_try_start(PodContainer *container, usec_t now);
void container_event(PodContainer *container, const json_t *event, usec_t now);
void container_lost(PodContainer *container, usec_t now); /* the keeper is gone */
bool container_alive(const PodContainer *container);
bool container_restarts(const PodContainer *container);   /* if it ended now */
void container_kill(PodContainer *container, usec_t grace, const char *why, usec_t now);
void container_step(PodContainer *container, usec_t now); /* kill deadlines, probes */
usec_t container_next(const PodContainer *container);     /* when to step again */
void container_done(PodContainer *container);

/* agent_pod_probe.c */
void probes_begin(PodContainer *container, usec_t now);
void probes_end(PodContainer *container);
void probes_step(PodContainer *container, usec_t now);
usec_t probes_next(const PodContainer *container);
void hook_post_start(PodContainer *container);
bool hook_pre_stop(PodContainer *container, usec_t grace); /* false: there is none */
bool probes_exec_ended(PodContainer *container, uint64_t id, int code, const char *error);
