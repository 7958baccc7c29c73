/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HTTP surface of a node (:52365), served by its raylet: health for KubeRay's probes, and the
 * logs of jobs whose entrypoint runs there, which the dashboard passes on.
 *     GET /api/healthz                     200 "raylet: success\ngcs: success"; 503 names what fails
 *     GET /api/local_raylet_healthz        200 "success"
 *     GET /api/agent/logs?glob=, /api/agent/logs/file?filename=   see log_files.h
 *     GET /api/job_agent/jobs/{id}/logs        {"logs": "…"}
 *     GET /api/job_agent/jobs/{id}/logs/tail   WebSocket: text until the job has ended
 */

#include "api/auth.h"
#include "net/http_router.h"

typedef struct AgentHooks {
    void *ctx;
    /* Whether gcs answered within its keep-alive; on a head also that it runs here. NULL sentence:
     * it is well. */
    const char *(*gcs_problem)(void *ctx);
    bool head;               /* gcs is part of this node's health */
    const char *session_dir; /* borrowed for life, like all of this */
    const Auth *auth;
    Loop *loop;
} AgentHooks;

/* The handler to give to http_server_new(), ctx is the Agent: authentication, then the routes. */
typedef struct ApiAgent ApiAgent;
ApiAgent *api_agent_new(const AgentHooks *hooks);
ApiAgent *api_agent_free(ApiAgent *agent);
DEFINE_CLEANUP(ApiAgent *, api_agent_free);
void api_agent_handle(void *agent, HttpRequest *request);
