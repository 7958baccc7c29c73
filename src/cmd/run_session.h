/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One `mobula run`: a cluster (ours or an outside one), the manifests applied to it, and following
 * them to their end. */

#include "cmd/rootless.h"
#include "codec/json.h"
#include "loop/loop.h"

typedef struct RunOptions {           /* borrowed */
    json_t *documents;
    const char *kubeconfig, *context; /* either: an outside cluster */
    const char *namespace_;
    const char *nodes;
    bool nodes_given;    /* by the user: else the default */
    const char *run_dir; /* of a local cluster */
    bool rootless;       /* in namespaces of rootless.h */
    RootlessNet *net;    /* how those are connected, if they are new */
    bool keep, json;
} RunOptions;

/* Runs it to its end; gives the exit status. */
int run_session(const RunOptions *options);

/* For `-o json`: on standard output. Takes the reference. */
void run_print_summary(json_t *summary);
