/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The embedded Kubernetes as processes of this machine: API server, node agent, operator, each with
 * its own folder and log below one run folder (run_folder.h).
 */

#include "base/str.h"
#include "loop/loop.h"

typedef struct LocalCluster LocalCluster;

typedef struct LocalOptions { /* borrowed for life */
    const char *dir;          /* the run folder */
    const char *nodes;        /* "3x8cpu,32Gi" */
    bool keep;                /* outlives this process */
    bool rootless;            /* in namespaces of its own (rootless.h) */
    pid_t helper;             /* that connects them; 0: none, or the record knows */
    /* One of the processes ended by itself: its name, how, and the end of its log. */
    void (*died)(void *ctx, const char *name, const char *how, const char *log);
    void *ctx;
} LocalOptions;

/* Starts the API server. Its kubeconfig appears at local_cluster_kubeconfig() when it serves. If a
 * cluster that is to stay lives in the folder, that one is taken over, and only what of it has died
 * is started again. */
_must_check_ int local_cluster_new(Loop *loop, const LocalOptions *options,
                                   LocalCluster **ret_cluster);
bool local_cluster_adopted(const LocalCluster *cluster);      /* taken over */
bool local_cluster_ready(const LocalCluster *cluster);        /* all of it runs */
const char *local_cluster_nodes(const LocalCluster *cluster); /* those it was started with */
const char *local_cluster_kubeconfig(const LocalCluster *cluster);
/* Once the API server answers. */
_must_check_ int local_cluster_join_nodes(LocalCluster *cluster);
/* Once it knows Ray's kinds. */
_must_check_ int local_cluster_join_operator(LocalCluster *cluster);
/* Does not end the processes; see local_end(). */
LocalCluster *local_cluster_free(LocalCluster *cluster);
DEFINE_CLEANUP(LocalCluster *, local_cluster_free);

/* Ends what runs in the folder: operator, pods, node agent, API server; blocks some seconds at
 * most. `remove`: the folder goes too. Positive LOCAL_NONE: nothing was there. After a failure the
 * folder and its record stay, so that it can be called again. */
enum {
    LOCAL_NONE = 2
};
_must_check_ int local_end(const char *dir, bool remove);
