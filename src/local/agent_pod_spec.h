/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A pod as the agent sees it: the API object, and of it as values what decisions are made of.
 * Containers point into `json`, which is a copy of our own: what identifies and runs the pod stays
 * as it was first seen, only the metadata follows the API.
 */

#include "base/vec.h"
#include "codec/json.h"

typedef enum ContainerKind {
    CONTAINER_INIT,    /* runs to its end before the next one starts */
    CONTAINER_SIDECAR, /* an init container with restartPolicy Always */
    CONTAINER_MAIN
} ContainerKind;

typedef enum RestartPolicy {
    RESTART_ALWAYS,
    RESTART_ON_FAILURE,
    RESTART_NEVER
} RestartPolicy;

typedef enum ProbeAction {
    PROBE_EXEC,
    PROBE_HTTP,
    PROBE_TCP
} ProbeAction;

/* Of a probe or a lifecycle hook. */
typedef struct ActionSpec {
    ProbeAction kind;
    const json_t *command; /* exec: an array of strings */
    const char *host;      /* NULL: the pod's address */
    const char *path, *scheme;
    const json_t *headers; /* httpHeaders */
    uint16_t port;
} ActionSpec;

typedef struct ProbeSpec {
    bool present;
    ActionSpec action;
    usec_t initial_delay, period, timeout;
    int success_threshold, failure_threshold;
    usec_t grace; /* terminationGracePeriodSeconds of the probe; negative: the pod's */
} ProbeSpec;

typedef struct ContainerDef {
    const json_t *json;
    const char *name, *image;
    ContainerKind kind;
    RestartPolicy restart;
    ProbeSpec startup, liveness, readiness;
    bool has_post_start, has_pre_stop;
    ActionSpec post_start, pre_stop;
    int64_t pre_stop_sleep; /* seconds; negative: none */
} ContainerDef;

typedef struct PodDef {
    json_t *json;
    char *ns, *name, *uid, *node;
    RestartPolicy restart;
    usec_t grace;
    bool host_network;
    Vec(ContainerDef) containers; /* init containers first, in order */
} PodDef;

/* -EINVAL with the path of the field: the API server checked the pod, but not for us alone. */
_must_check_ int pod_def_parse(const json_t *pod, PodDef *ret_def);
/* Takes over metadata (labels, annotations, deletion) of a newer version of the same pod. */
void pod_def_update(PodDef *def, const json_t *pod);
void pod_def_done(PodDef *def);
#define _cleanup_pod_def_ _cleanup_(pod_def_done)

/* terminationGracePeriodSeconds as it now counts: deletionGracePeriodSeconds once it is deleted. */
usec_t pod_def_grace(const PodDef *def);
