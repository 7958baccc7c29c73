/* SPDX-License-Identifier: Apache-2.0 */
#include "api/logs.h"

#include <unistd.h>

#include "api/job_state.h"
#include "api/log_files.h"
#include "base/error.h"
#include "dashboard/dashboard_private.h"
#include "dashboard/follow.h"

/* The submission whose log is wanted, or NULL and an answer. */
static const char *log_owner(HttpRequest *request, const json_t *details) {
    if (str_eq(json_str_at(details, "type"), "SUBMISSION"))
        return json_str_at(details, "submission_id");
    http_respond_text(request, 400, "Can only get logs of submission type jobs");
    return NULL;
}

/* The URL of the log at the agent of the node that has it, owned; NULL when it lies here, or
 * nowhere yet. */
static char *remote_log(const char *path, const json_t *details) {
    const char *agent = json_str_at(details, "driver_agent_http_address");
    if (access(path, F_OK) == 0 || str_empty(agent))
        return NULL;
    _cleanup_free_ char *id = http_encode(json_str_at(details, "submission_id"), false);
    return str_printf("%s/api/job_agent/jobs/%s/logs", agent, id);
}

static void give_logs(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    const char *submission = log_owner(request, details);
    if (!submission)
        return;
    _cleanup_free_ char *path = job_log_path(dashboard->session_dir, submission);
    _cleanup_free_ char *url = remote_log(path, details);
    if (url && !str_eq(json_str_at(details, "status"), JOB_STATE_PENDING))
        proxy_get(dashboard, request, url, (ProxySpec){ 0 });
    else
        log_json_respond(request, path);
}

static void on_logs(void *ctx, HttpRequest *request) {
    job_find(ctx, request, give_logs);
}

static void give_tail(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    const char *submission = log_owner(request, details);
    if (submission)
        follow_serve(dashboard, request, submission);
}

static void on_tail(void *ctx, HttpRequest *request) {
    job_find(ctx, request, give_tail);
}

void logs_routes(Dashboard *dashboard) {
    http_router_add(dashboard->router, "GET", "/api/jobs/{id}/logs", on_logs, dashboard);
    http_router_add(dashboard->router, "GET", "/api/jobs/{id}/logs/tail", on_tail, dashboard);
}
