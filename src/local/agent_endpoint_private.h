/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sessions of the endpoint: each frees itself when it is over, or with the endpoint. */

#include "base/list.h"
#include "local/agent_endpoint.h"
#include "net/http_router.h"
#include "net/websocket.h"

struct AgentEndpoint {
    Agent *agent;
    Loop *loop;
    char *token, *url;
    HttpServer *server;
    HttpRouter *router;
    List sessions;
};

typedef struct EndpointSession {
    List all;
    void (*free)(struct EndpointSession *session);
} EndpointSession;

/* The pod and container that the path names, or NULL after the answer has been given. */
AgentPod *endpoint_pod(AgentEndpoint *endpoint, HttpRequest *request, const char **ret_container);
bool endpoint_flag(HttpRequest *request, const char *name);

/* agent_endpoint_log.c, agent_endpoint_exec.c, agent_endpoint_forward.c */
void endpoint_logs(void *ctx, HttpRequest *request);
void endpoint_exec(void *ctx, HttpRequest *request);
void endpoint_attach(void *ctx, HttpRequest *request);
void endpoint_forward(void *ctx, HttpRequest *request);
