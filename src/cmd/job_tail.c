/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "cmd/job_client.h"
#include "net/websocket.h"

#define CONNECT_TIMEOUT (10 * USEC_PER_SEC)
#define RETRY_PAUSE     (500 * USEC_PER_MSEC)
#define PATIENCE        (60 * USEC_PER_SEC)
#define PING_INTERVAL   (15 * USEC_PER_SEC)

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
    const WebSocketOptions options = { .ping_interval = PING_INTERVAL };
    tail->closed = tail->opened = false;
    tail->skip = tail->printed;
    int r = websocket_connect(client->loop, &target, &options, &events, tail, &tail->ws);
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

/* Negative when the job is unknown, or not for us. Once it is followed, a server that is away or has
 * lost its gcs says nothing about the job: no failure then. */
static int check_job(JobClient *client, const char *job, bool followed) {
    _cleanup_free_ char *id = http_encode(job, false);
    _cleanup_free_ char *target = str_printf("/api/jobs/%s", id);
    _cleanup_(job_response_done) JobResponse response = { 0 };
    int r = job_client_call(client, "GET", target, NULL, &response);
    if (followed && (r < 0 || response.status >= 500))
        return 0;
    return r == 0 && response.status != 200 ? job_client_refused(&response) : r;
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

static int load_trust(Tail *tail) {
    const JobClient *client = tail->client;
    const TlsOptions options = { .ca_pem = client->trust.ca_pem,
                                 .insecure = client->trust.insecure };
    return str_starts(client->address, "https://") ? tls_context_new(&options, &tail->tls) : 0;
}

int job_client_tail(JobClient *client, const char *job) {
    _cleanup_(tail_done) Tail tail = { .client = client };
    client->reached |= is_own_submission(job);
    int r = check_job(client, job, false);
    if (r == 0)
        r = load_trust(&tail);
    usec_t give_up = loop_deadline(client->loop, PATIENCE);
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
        r = check_job(client, job, true);
    }
    return r;
}
