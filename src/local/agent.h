/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The node agent as a client of an API server: registers its nodes and keeps their leases, runs the
 * pods bound to them, reports, keeps service addresses and names working, and serves logs, exec and
 * port-forward (local/agent_endpoint.h).
 */

#include "local/agent_host.h"

typedef struct AgentOptions {
    const char *kubeconfig, *context;
    const char *nodes;      /* "3x8cpu,32Gi" */
    const char *token_file; /* of the endpoint; NULL: STATE/agent.token */
    int64_t port;           /* of the endpoint on loopback, to 65535; 0: a free one */
} AgentOptions;

typedef struct Agent Agent;

/* `host` is borrowed for life; its callbacks are the agent's from now on. */
_must_check_ int agent_new(AgentHost *host, const AgentOptions *options, Agent **ret_agent);
/* Ends the agent, not the pods: a new one goes on with them. */
Agent *agent_free(Agent *agent);
DEFINE_CLEANUP(Agent *, agent_free);

/* The pod, or NULL. `agent` is what serves (agent_endpoint.c asks). */
AgentPod *agent_find_pod(Agent *agent, const char *ns, const char *name);
