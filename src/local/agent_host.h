/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the pods of one agent find on the machine: the state folder, the network, the environment
 * that stands for the image's, and the programs that an image would have and the machine has not.
 */

#include "base/str.h"
#include "host/cgroup.h"
#include "local/agent_network.h"
#include "local/agent_pod.h"

typedef struct HostOptions { /* texts are borrowed for life; NULL or 0 means the default */
    const char *state_dir;
    const char *bin_dir;     /* our own programs; [beside this program] */
    const char *python;      /* [python3 of the usual folders] */
    const char *cache_dir;   /* shared with all pods [$MOBULA_CACHE_DIR or ~/.cache/mobula] */
    const char *home;        /* HOME of pods [/home/ray] */
    const char *pod_range, *service_range, *cluster_domain;
    const StrList *env;      /* NAME=value for all pods */
    int64_t max_pids;        /* processes and threads of one container [8192] */
    bool no_network;         /* pods without a bridge */
} HostOptions;

typedef struct AgentHost {
    PodHost pods; /* the caller fills in the callbacks */
    AgentNetwork network;
    bool has_network;
    StrList base_env, hide, keep;
    char *state_dir, *claims_dir, *links_dir, *cgroup_root, *bin_dir, *cache_dir, *host_ip;
    char *notes; /* what this machine lacks, in sentences; NULL: nothing */
    int lock;    /* of the state folder */
} AgentHost;

/* -EBUSY if another agent has the state folder. */
_must_check_ int agent_host_init(Loop *loop, int launcher, const HostOptions *options,
                                 AgentHost *ret_host);
void agent_host_done(AgentHost *host);
/* Ends every pod under the state folder and removes network and cgroups: for `--purge`. -EBUSY: a pod, or
 * something of one, is left. */
_must_check_ int agent_host_purge(AgentHost *host);
