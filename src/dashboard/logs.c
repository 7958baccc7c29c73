/* SPDX-License-Identifier: Apache-2.0 */
#include "api/logs.h"

#include <unistd.h>

#include "api/job_state.h"
#include "api/log_http.h"
#include "base/error.h"
#include "dashboard/dashboard_private.h"
#include "dashboard/tail_relay.h"

#define OVER_PERIOD (100 * USEC_PER_MSEC)

/* Whether gcs knows the end of a job whose log is followed. The log's socket closes only then, so
 * that the client's next question, for the status, gets the final one. */
typedef struct Watched {
    Dashboard *dashboard;
    bool asking, over;
} Watched;

void watched_done(Dashboard *dashboard) {
    size_t pos = 0;
    for (Watched *watched; (watched = strmap_next(&dashboard->watched, &pos, NULL));)
        mem_free(watched);
    strmap_done(&dashboard->watched);
}

static void on_watched(void *argument, const RpcReply *reply) {
    Watched *watched = argument;
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_json_ json_t *record = NULL;
    SubmittedJob job;
    watched->asking = false;
    if (reply_is(reply, STATUS_CODE_NOT_FOUND))
        watched->over = true; /* deleted: nothing will be written any more */
    if (!reply_ok(reply) || submitted_job_decode(&job, reply->body, reply->len, &arena) < 0 ||
        json_parse(job.record.data, job.record.len, NULL, 0, &record) < 0)
        return;
    watched->over = job_status_terminal(json_str_at(record, "status"));
}

static bool job_over(void *ctx, const char *submission) {
    Dashboard *dashboard = ctx;
    Watched *watched = strmap_get(&dashboard->watched, submission);
    if (!watched) {
        watched = mem_new(Watched);
        watched->dashboard = dashboard;
        strmap_put(&dashboard->watched, submission, watched);
    }
    if (watched->over && !watched->asking) {
        strmap_remove(&dashboard->watched, submission);
        mem_free(watched);
        return true;
    }
    if (!watched->asking) {
        _cleanup_buf_ Buf body = { 0 };
        const SubmissionGet get = { .submission = slice_str(submission) };
        submission_get_encode(&get, &body);
        watched->asking = true;
        dial_call(dashboard->gcs, PEER_GCS, MSG_SUBMISSION_GET, &body, CALL_TIMEOUT, on_watched,
                  watched);
    }
    return false;
}

/* The submission whose log is wanted, or NULL and an answer. */
static const char *log_owner(HttpRequest *request, const json_t *details) {
    if (str_eq(json_str_at(details, "type"), "SUBMISSION"))
        return json_str_at(details, "submission_id");
    http_respond_text(request, 400, "Can only get logs of submission type jobs");
    return NULL;
}

/* The URL of the log at the agent of the node that has it, owned; NULL when it lies here, or
 * nowhere yet. */
static char *remote_log(const char *path, const json_t *details, const char *tail) {
    const char *agent = json_str_at(details, "driver_agent_http_address");
    if (access(path, F_OK) == 0 || str_empty(agent))
        return NULL;
    _cleanup_free_ char *id = http_encode(json_str_at(details, "submission_id"), false);
    return str_printf("%s/api/job_agent/jobs/%s/logs%s", agent, id, tail);
}

static void give_logs(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    const char *submission = log_owner(request, details);
    if (!submission)
        return;
    _cleanup_free_ char *path = job_log_path(dashboard->session_dir, submission);
    char *url = remote_log(path, details, "");
    if (url && !str_eq(json_str_at(details, "status"), JOB_STATE_PENDING))
        proxy_get(dashboard, request, url);
    else {
        mem_free(url);
        log_respond(request, path);
    }
}

static void on_logs(void *ctx, HttpRequest *request) {
    job_find(ctx, request, give_logs);
}

static void give_tail(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    const char *submission = log_owner(request, details);
    if (!submission)
        return;
    _cleanup_free_ char *path = job_log_path(dashboard->session_dir, submission);
    _cleanup_free_ char *url = remote_log(path, details, "/tail");
    bool remote = url && !str_eq(json_str_at(details, "driver_node_id"), "") &&
                  str_eq(json_str_at(details, "status"), JOB_STATE_RUNNING);
    if (remote)
        tail_relay_serve(request, url, dashboard->auth->token);
    else
        log_socket_serve(request, path, submission, OVER_PERIOD, job_over, dashboard);
}

static void on_tail(void *ctx, HttpRequest *request) {
    job_find(ctx, request, give_tail);
}

void logs_routes(Dashboard *dashboard) {
    http_router_add(dashboard->router, "GET", "/api/jobs/{id}/logs", on_logs, dashboard);
    http_router_add(dashboard->router, "GET", "/api/jobs/{id}/logs/tail", on_tail, dashboard);
}
