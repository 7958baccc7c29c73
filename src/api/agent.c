/* SPDX-License-Identifier: Apache-2.0 */
#include "api/agent.h"

#include "api/job_state.h"
#include "api/log_files.h"
#include "api/log_http.h"
#include "api/logs.h"
#include "base/error.h"

#define STATE_PERIOD (200 * USEC_PER_MSEC)

struct ApiAgent {
    AgentHooks hooks;
    HttpRouter *router;
    LogTails *tails;
};

static void on_raylet_health(void *ctx, HttpRequest *request) {
    http_respond_text(request, 200, "success");
}

static void on_health(void *ctx, HttpRequest *request) {
    const ApiAgent *agent = ctx;
    const char *problem =
        agent->hooks.gcs_problem ? agent->hooks.gcs_problem(agent->hooks.ctx) : NULL;
    if (!agent->hooks.head)
        http_respond_text(request, 200, "raylet: success\ngcs: success (no local gcs)");
    else if (!problem)
        http_respond_text(request, 200, "raylet: success\ngcs: success");
    else
        http_respond_text(request, 503, "raylet: success\ngcs: %s", problem);
}

static const char *job_of(HttpRequest *request) {
    const char *submission = http_request_param(request, "id");
    if (submission && job_submission_valid(submission))
        return submission;
    http_respond_text(request, 404, "Job %s does not exist", submission ? submission : "");
    return NULL;
}

static void on_logs(void *ctx, HttpRequest *request) {
    const ApiAgent *agent = ctx;
    const char *submission = job_of(request);
    if (!submission)
        return;
    _cleanup_free_ char *path = job_log_path(agent->hooks.session_dir, submission);
    log_json_respond(request, path);
}

/* gcs has confirmed the end: then its record is final as well. */
static bool job_over(void *ctx, const char *submission) {
    const ApiAgent *agent = ctx;
    _cleanup_(job_state_done) JobState state = { 0 };
    return job_state_read(agent->hooks.session_dir, submission, &state) == 0 && state.reported;
}

static void on_tail(void *ctx, HttpRequest *request) {
    ApiAgent *agent = ctx;
    const char *submission = job_of(request);
    if (!submission)
        return;
    _cleanup_free_ char *path = job_log_path(agent->hooks.session_dir, submission);
    log_socket_serve(request, agent->tails, path, submission, STATE_PERIOD, job_over, agent);
}

static void on_files(void *ctx, HttpRequest *request) {
    const ApiAgent *agent = ctx;
    _cleanup_free_ char *folder = str_printf("%s/logs", agent->hooks.session_dir);
    log_files_respond(request, folder);
}

static void on_file(void *ctx, HttpRequest *request) {
    const ApiAgent *agent = ctx;
    _cleanup_free_ char *folder = str_printf("%s/logs", agent->hooks.session_dir);
    log_file_respond(request, folder, agent->tails);
}

ApiAgent *api_agent_new(const AgentHooks *hooks) {
    ApiAgent *agent = mem_new(ApiAgent);
    agent->hooks = *hooks;
    agent->router = http_router_new();
    agent->tails = log_tails_new(hooks->loop);
    http_router_add(agent->router, "GET", "/api/healthz", on_health, agent);
    http_router_add(agent->router, "GET", "/api/local_raylet_healthz", on_raylet_health, agent);
    http_router_add(agent->router, "GET", "/api/agent/logs", on_files, agent);
    http_router_add(agent->router, "GET", "/api/agent/logs/file", on_file, agent);
    http_router_add(agent->router, "GET", "/api/job_agent/jobs/{id}/logs", on_logs, agent);
    http_router_add(agent->router, "GET", "/api/job_agent/jobs/{id}/logs/tail", on_tail, agent);
    return agent;
}

ApiAgent *api_agent_free(ApiAgent *agent) {
    if (!agent)
        return NULL;
    http_router_free(agent->router);
    log_tails_unref(agent->tails);
    return mem_free(agent);
}

void api_agent_handle(void *ctx, HttpRequest *request) {
    ApiAgent *agent = ctx;
    if (auth_admit(agent->hooks.auth, request))
        http_router_handle(agent->router, request);
}
