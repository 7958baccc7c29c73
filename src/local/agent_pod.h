/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One pod on this machine, from its binding to its end: what the kubelet's pod worker does. It
 * drives a keeper, and is driven by the pod's API object and by what its containers do; each event
 * leads to one look at the whole state (pod_sync), which takes the next steps. It knows nothing of
 * an API server: it asks PodHost for objects and hands it statuses and events.
 *
 * On disk, STATE/pods/UID/ (see agent_keeper.h) so that a new agent can go on: the address in
 * pod.json, each start of a container in containers/NAME/N. The log of start N is
 * containers/NAME/N/log; those of the last two starts are kept.
 */

#include "host/cgroup.h"
#include "local/agent_chores.h"
#include "local/agent_keeper.h"
#include "local/agent_status.h"

/* Where pods find programs and settings of ours; first in their PATH. */
#define AGENT_POD_LINKS "/run/mobula/pod"

typedef struct AgentPod AgentPod;

typedef struct PodNetwork { /* how pods are connected; all texts borrowed for life */
    const char *bridge;     /* NULL: pods have a network of their own that leads nowhere */
    const char *gateway;    /* the bridge's address */
    const char *dns;        /* nameserver of pods */
    unsigned mtu;
    int (*take)(void *ctx, const char *wanted, char ret_address[static 16]); /* wanted: or NULL */
    void (*release)(void *ctx, const char *address);
    void *ctx;
} PodNetwork;

/* What all pods of an agent share, and whom they tell. Borrowed for life. */
typedef struct PodHost {
    Loop *loop;
    int launcher;
    Chores *chores;
    const char *state_dir, *claims_dir, *share_dir; /* share_dir: one folder all pods may write */
    const char *links_dir; /* what the machine lacks, mounted at AGENT_POD_LINKS */
    const char *host_ip, *cluster_domain, *cgroup_root;
    const StrList *base_env, *hide;
    const StrList *keep; /* folders of the machine's /tmp that show in a pod's own, read-only */
    PodNetwork network;
    uint64_t node_memory, node_cpu_milli; /* of the machine */
    uint64_t pids_max; /* processes and threads of one container: a fork bomb ends there */

    const json_t *(*object)(void *ctx, const char *kind, const char *ns, const char *name);
    int (*token)(void *ctx, AgentPod *pod, const char *audience, int64_t seconds, char **ret_token);
    void (*services)(void *ctx, const char *ns, StrList *env);
    void (*status)(void *ctx, AgentPod *pod, const json_t *status);
    /* `container` may be NULL. type "Normal" or "Warning". */
    void (*event)(void *ctx, AgentPod *pod, const char *container, const char *type,
                  const char *reason, const char *message);
    /* A deleted pod has left the machine; free it (not before this call returns). */
    void (*gone)(void *ctx, AgentPod *pod);
    void *ctx;
} PodHost;

/* Finds and adopts what is on the machine of this pod, or starts it. -EINVAL: not a pod that can
 * be run. */
_must_check_ int agent_pod_new(const PodHost *host, const json_t *pod, AgentPod **ret_pod);
AgentPod *agent_pod_free(AgentPod *pod); /* leaves what runs alone */
DEFINE_CLEANUP(AgentPod *, agent_pod_free);

/* A newer version of the object. Deletion with its grace period is seen here. */
void agent_pod_update(AgentPod *pod, const json_t *object);
/* The object is gone from the API: ends at once. */
void agent_pod_vanished(AgentPod *pod);
/* A ConfigMap, Secret, claim or token that pods may wait for or mount has changed. */
void agent_pod_objects_changed(AgentPod *pod);

/* It uses more of the node than it may: ends at once, as failed, with this message. */
void agent_pod_evict(AgentPod *pod, const char *why);
bool agent_pod_ending(const AgentPod *pod); /* or at its end */

/* The last status did not arrive: `status` is called again with what stands. */
void agent_pod_say_again(AgentPod *pod);

const PodDef *agent_pod_def(const AgentPod *pod);
const char *agent_pod_address(const AgentPod *pod); /* NULL: none */
Keeper *agent_pod_keeper(AgentPod *pod);            /* NULL: no sandbox now */
bool agent_pod_has_container(const AgentPod *pod, const char *container);
bool agent_pod_running(const AgentPod *pod, const char *container);
/* The log of the running (or last) start, or the one before. Owned; NULL if there is none. */
char *agent_pod_log(const AgentPod *pod, const char *container, bool previous);

/* For exec and port-forward: ids of the keeper are handed out here, answers come back. */
typedef void PodExecFn(void *ctx, int code, const char *error);
typedef void PodSocketFn(void *ctx, int fd);
_must_check_ int agent_pod_exec(AgentPod *pod, const char *container, json_t *argv, bool tty,
                                const int fds[static 3], PodExecFn *fn, void *ctx,
                                uint64_t *ret_id);
/* The container's own streams: a copy of its output from now on, and its input if it has one. */
_must_check_ int agent_pod_attach(AgentPod *pod, const char *container, const int fds[static 3],
                                  PodExecFn *fn, void *ctx, uint64_t *ret_id);
void agent_pod_detach(AgentPod *pod, uint64_t id); /* `fn` does not come */
void agent_pod_resize(AgentPod *pod, const char *container, int columns, int rows);
bool agent_pod_has_terminal(const AgentPod *pod, const char *container);
/* Kills the program; `fn` does not come. */
void agent_pod_exec_cancel(AgentPod *pod, uint64_t id);
_must_check_ int agent_pod_socket(AgentPod *pod, PodSocketFn *fn, void *ctx, uint64_t *ret_id);
void agent_pod_socket_cancel(AgentPod *pod, uint64_t id);

/* Takes the addresses of all pods that are on disk, before new ones are handed out. */
void agent_pods_reserve(const PodHost *host);
/* Ends keepers and removes folders of pods on disk that `known` does not name, as chores; logs what
 * is left of them. */
void agent_pods_sweep(const PodHost *host, bool (*known)(void *ctx, const char *uid), void *ctx);
/* The same, of all pods and now; says of how many something is left. */
size_t agent_pods_end(const PodHost *host);
