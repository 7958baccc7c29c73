/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the API server asks of the agent: logs, exec, attach, port-forward, over HTTP on loopback
 * with a token. local/README.md has the paths. */

#include "local/agent.h"

typedef struct AgentEndpoint AgentEndpoint;

/* Reads the token, or makes one (0600) if there is none. */
_must_check_ int agent_endpoint_new(Agent *agent, Loop *loop, const char *token_file, uint16_t port,
                                    AgentEndpoint **ret_endpoint);
AgentEndpoint *agent_endpoint_free(AgentEndpoint *endpoint);
DEFINE_CLEANUP(AgentEndpoint *, agent_endpoint_free);
/* "http://127.0.0.1:PORT"; borrowed for life. */
const char *agent_endpoint_url(const AgentEndpoint *endpoint);
