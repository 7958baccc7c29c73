/* SPDX-License-Identifier: Apache-2.0 */
#include "dashboard/follow.h"

#include <unistd.h>

#include "api/job_state.h"
#include "api/logs.h"
#include "base/error.h"
#include "net/websocket.h"

#define POLL_PERIOD     (100 * USEC_PER_MSEC)
#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)
#define AGENT_GRACE     (2 * USEC_PER_SEC) /* for the rest of a log after its job's end */

typedef struct Follow {
    Dashboard *dashboard;
    char *submission, *path;
    WebSocket *client;
    LogTail *local;
    WebSocket *agent;
    LoopTimer *poll;
    LoopFinal *final;
    bool asking;     /* a question to gcs is under way; it keeps this alive */
    bool gone;       /* the client is */
    bool over;       /* gcs knows the job's end */
    bool begun;      /* the log was found */
    bool agent_done; /* had its say */
    usec_t deadline; /* after the end */
} Follow;

static void follow_free(Follow *follow) {
    follow->client = websocket_free(follow->client);
    follow->local = log_tail_free(follow->local);
    follow->agent = websocket_free(follow->agent);
    follow->poll = loop_timer_free(follow->poll);
    follow->final = loop_final_free(follow->final);
    follow->gone = true;
    if (follow->asking)
        return;
    mem_free(follow->submission);
    mem_free(follow->path);
    mem_free(follow);
}

/* -------------------------------------------------------------------------------- client */

static void on_client_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    follow_free(ctx);
}

static void on_client_drained(void *ctx, WebSocket *ws) {
    Follow *follow = ctx;
    if (follow->local)
        log_tail_pause(follow->local, false);
    if (follow->agent)
        websocket_pause(follow->agent, false);
}

static const WebSocketEvents client_events = { .drained = on_client_drained,
                                               .closed = on_client_closed };

static void follow_close(Follow *follow) {
    loop_timer_stop(follow->poll);
    websocket_close(follow->client, WEBSOCKET_NORMAL, "");
}

/* Not a normal close: the client sees that it did not get all of the log. */
static void follow_fail(Follow *follow, const char *why) {
    loop_timer_stop(follow->poll);
    websocket_close(follow->client, WEBSOCKET_INTERNAL, why);
}

/* --------------------------------------------------------------------------------- local */

static void on_local_text(void *ctx, Slice text) {
    Follow *follow = ctx;
    websocket_send(follow->client, WEBSOCKET_TEXT, text);
    if (websocket_congested(follow->client))
        log_tail_pause(follow->local, true);
}

static void on_local_end(void *ctx) {
    follow_close(ctx);
}

/* --------------------------------------------------------------------------------- agent */

static void on_agent_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    Follow *follow = ctx;
    websocket_send(follow->client, kind, data);
    if (websocket_congested(follow->client))
        websocket_pause(follow->agent, true);
}

static void on_agent_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    Follow *follow = ctx;
    follow->agent = websocket_free(follow->agent);
    follow->agent_done = true;
    if (code != WEBSOCKET_NORMAL && !follow->over)
        follow_fail(follow, "the node that has the log is lost, or lets nobody follow it now");
}

static const WebSocketEvents agent_events = { .message = on_agent_message,
                                              .closed = on_agent_closed };

static void follow_agent(Follow *follow, const char *agent) {
    _cleanup_free_ char *id = http_encode(follow->submission, false);
    _cleanup_free_ char *url = str_printf("%s/api/job_agent/jobs/%s/logs/tail", agent, id);
    const WebSocketTarget target = { .url = url,
                                     .bearer = follow->dashboard->auth->token,
                                     .timeout = CONNECT_TIMEOUT };
    follow->agent_done = false;
    int r = websocket_connect(follow->dashboard->loop, &target, NULL, &agent_events, follow,
                              &follow->agent);
    follow->agent_done = r < 0;
}

/* ------------------------------------------------------------------------------- deciding */

/* Whether the file here is this job's: while it waits for its place, a log and a state of its id are
 * those of a deleted job. */
static bool log_is_here(const Follow *follow, bool pending) {
    JobState state = { 0 };
    if (access(follow->path, F_OK) < 0)
        return false;
    int r =
        pending ? job_state_read(follow->dashboard->session_dir, follow->submission, &state) : 0;
    bool fresh = r == 0 && !(pending && state.reported);
    job_state_done(&state);
    return fresh;
}

/* A job that waits for its place has no log; one that runs has it here or at its agent. */
static void follow_begin(Follow *follow, const json_t *record) {
    const char *agent = json_str_at(record, "driver_agent_http_address");
    bool pending = str_eq(json_str_at(record, "status"), JOB_STATE_PENDING);
    follow->begun = true;
    if (log_is_here(follow, pending)) {
        int r = log_tail_new(follow->dashboard->tails, follow->path, 0, on_local_text, follow,
                             &follow->local);
        if (r < 0)
            follow_fail(follow, error_text(r));
    } else if (!pending && !str_empty(agent)) {
        follow_agent(follow, agent);
    } else {
        follow->begun = false;
        follow->agent_done = true; /* nothing to read yet; the end may be all there is */
    }
}

static void follow_end(Follow *follow) {
    usec_t now = loop_now(follow->dashboard->loop);
    if (!follow->over) {
        follow->over = true;
        follow->deadline = loop_deadline(follow->dashboard->loop, AGENT_GRACE);
        if (follow->local)
            log_tail_finish(follow->local, on_local_end);
    }
    if (!follow->local && (follow->agent_done || now >= follow->deadline))
        follow_close(follow);
}

static void on_record(void *argument, const RpcReply *reply) {
    Follow *follow = argument;
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_json_ json_t *record = NULL;
    SubmittedJob job;
    follow->asking = false;
    if (follow->gone) {
        follow_free(follow);
        return;
    }
    bool deleted = reply_is(reply, STATUS_CODE_NOT_FOUND);
    if (!deleted &&
        (!reply_ok(reply) || submitted_job_decode(&job, reply->body, reply->len, &arena) < 0 ||
         json_parse(job.record.data, job.record.len, NULL, 0, &record) < 0))
        return; /* gcs is away for a moment: asked again */
    if (record && !follow->begun)
        follow_begin(follow, record);
    if (deleted || job_status_terminal(json_str_at(record, "status")))
        follow_end(follow);
}

static void on_poll(void *ctx) {
    Follow *follow = ctx;
    _cleanup_buf_ Buf body = { 0 };
    if (follow->asking)
        return;
    const SubmissionGet get = { .submission = slice_str(follow->submission) };
    submission_get_encode(&get, &body);
    follow->asking = true;
    dial_call(follow->dashboard->gcs, PEER_GCS, MSG_SUBMISSION_GET, &body, CALL_TIMEOUT, on_record,
              follow);
}

static void on_final(void *ctx) {
    follow_free(ctx);
}

void follow_serve(Dashboard *dashboard, HttpRequest *request, const char *submission) {
    Follow *follow = mem_new(Follow);
    follow->dashboard = dashboard;
    follow->submission = str_dup(submission);
    follow->path = job_log_path(dashboard->session_dir, submission);
    follow->final = loop_final_new(dashboard->loop, on_final, follow);
    int r = websocket_accept(request, NULL, NULL, &client_events, follow, &follow->client);
    if (r != 0) {
        follow_free(follow);
        return;
    }
    follow->poll = loop_timer_new(dashboard->loop, on_poll, follow);
    loop_timer_every(follow->poll, POLL_PERIOD);
    on_poll(follow);
}
