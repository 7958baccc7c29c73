/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "api/job_state.h"
#include "base/error.h"
#include "cmd/job_client.h"
#include "net/websocket.h"

#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)
#define RETRY_PAUSE     (500 * USEC_PER_MSEC)
#define PATIENCE        (60 * USEC_PER_SEC)

typedef struct Tail {
    JobClient *client;
    WebSocket *ws;
    TlsContext *tls;
    uint64_t printed, skip; /* bytes; `skip`: still to come again of what was printed */
    int code;
    char *reason;
    bool closed, opened;
} Tail;

static void on_open(void *ctx, WebSocket *ws) {
    Tail *tail = ctx;
    tail->opened = true;
}

static void on_message(void *ctx, WebSocket *ws, WebSocketKind kind, Slice data) {
    Tail *tail = ctx;
    size_t again = (size_t)MIN(tail->skip, (uint64_t)data.len);
    tail->skip -= again;
    fwrite(data.data + again, 1, data.len - again, stdout);
    fflush(stdout);
    tail->printed += data.len - again;
}

static void on_closed(void *ctx, WebSocket *ws, int code, const char *reason) {
    Tail *tail = ctx;
    tail->closed = true;
    tail->code = code;
    str_set(&tail->reason, reason);
}

static const WebSocketEvents events = { .open = on_open,
                                        .message = on_message,
                                        .closed = on_closed };

static int tail_once(Tail *tail, const char *job) {
    JobClient *client = tail->client;
    _cleanup_free_ char *id = http_encode(job, false);
    _cleanup_free_ char *url = str_printf("%s/api/jobs/%s/logs/tail", client->address, id);
    const WebSocketTarget target = {
        .url = url,
        .headers = &client->headers,
        .bearer = client->token,
        .tls = tail->tls,
        .timeout = CONNECT_TIMEOUT,
    };
    tail->closed = tail->opened = false;
    tail->skip = tail->printed;
    int r = websocket_connect(client->loop, &target, NULL, &events, tail, &tail->ws);
    while (r == 0 && !tail->closed)
        loop_tick(client->loop, USEC_INFINITY);
    tail->ws = websocket_free(tail->ws);
    return r;
}

static void pause_for(Loop *loop, usec_t delay) {
    usec_t deadline = loop_deadline(loop, delay);
    do
        loop_tick(loop, deadline);
    while (loop_now(loop) < deadline);
}

/* Whether the job still needs following; a job that is unknown is a failure. */
static int job_goes_on(JobClient *client, const char *job, bool *ret_goes_on) {
    _cleanup_free_ char *id = http_encode(job, false);
    _cleanup_free_ char *target = str_printf("/api/jobs/%s", id);
    _cleanup_json_ json_t *details = NULL;
    int r = job_client_get(client, "GET", target, NULL, &details);
    if (r == 0)
        *ret_goes_on = !job_status_terminal(json_str_at(details, "status"));
    return r;
}

static void tail_done(Tail *tail) {
    tls_context_unref(tail->tls);
    mem_free(tail->reason);
}

/* A RayJob's submitter asks for the job it has submitted a moment ago. */
static bool is_own_submission(const char *job) {
    const char *own = getenv("RAY_JOB_SUBMISSION_ID");
    return own && str_eq(own, job);
}

int job_client_tail(JobClient *client, const char *job) {
    _cleanup_(tail_done) Tail tail = { .client = client };
    client->reached |= is_own_submission(job);
    usec_t give_up = loop_deadline(client->loop, PATIENCE);
    bool goes_on = true;
    int r = job_goes_on(client, job, &goes_on);
    if (r == 0 && str_starts(client->address, "https://"))
        r = tls_context_new(
            &(TlsOptions){ .ca_pem = client->trust.ca_pem, .insecure = client->trust.insecure },
            &tail.tls);
    while (r == 0) {
        r = tail_once(&tail, job);
        if (r < 0 || tail.code == WEBSOCKET_NORMAL)
            return r;
        if (tail.opened)
            give_up = loop_deadline(client->loop, PATIENCE);
        if (loop_now(client->loop) >= give_up)
            return error_origin(-ECONNRESET,
                                "RuntimeError: WebSocket connection closed "
                                "unexpectedly with close code %d",
                                tail.code);
        pause_for(client->loop, RETRY_PAUSE);
        int asked = job_goes_on(client, job, &goes_on);
        if (asked == -EREMOTEIO || asked == -EACCES)
            return asked;
    }
    return r;
}
