/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* `mobula node-agent --pod FILE`: runs the pods of a file on this machine without an API server.
 * FILE is JSON: a Pod, or a List of Pods and the ConfigMaps, Secrets and claims they mount. Shows
 * statuses, events and logs. For trying things out, and for tests of the pod runtime. */

#include "local/agent_host.h"

typedef struct OnceOptions {
    const char *file;
    bool keep; /* leave finished pods (and what runs when interrupted) for the next call */
} OnceOptions;

/* Runs until every pod is over or SIGINT/SIGTERM came (then they are deleted with their grace).
 * *ret_status: 0 if all pods succeeded, else 1. */
_must_check_ int agent_once(AgentHost *host, const OnceOptions *options, int *ret_status);
