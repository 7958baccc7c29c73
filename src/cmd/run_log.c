/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_log.h"

#include "base/fd.h"

#define AGAIN (300 * USEC_PER_MSEC)

enum {
    TRIES = 20 /* failures in a row, without anything new */
};

struct RunLog {
    KubeClient *client;
    int fd;
    char *path;
    bool head;      /* answers are {"logs": all so far} */
    bool finishing, ended;
    bool last;      /* the present answer was asked for when the job had ended */
    size_t written; /* bytes of the log on our output */
    size_t seen;    /* bytes of the present answer */
    unsigned tries;
    KubeCall *call;
    LoopTimer *timer;
};

/* Bytes that an earlier connection brought are passed over. */
static void take(RunLog *log, Slice data) {
    size_t old = log->written > log->seen ? log->written - log->seen : 0;
    log->seen += data.len;
    if (old >= data.len)
        return;
    if (fd_write_all(log->fd, data.data + old, data.len - old) < 0)
        log->ended = true; /* nobody reads */
    log->written = log->seen;
    log->tries = 0;
}

static void on_chunk(void *ctx, Slice data) {
    take(ctx, data);
}

static void take_answer(RunLog *log, Slice body) {
    json_t *answer = NULL;
    if (json_parse(body.data ? body.data : "", body.len, NULL, 0, &answer) < 0)
        return;
    const char *logs = json_str_at(answer, "logs");
    if (logs)
        take(log, slice_str(logs));
    json_decref(answer);
}

static void on_end(void *ctx, const KubeRawReply *reply) {
    RunLog *log = ctx;
    log->call = NULL;
    bool well = reply->r == 0;
    if (well && log->head)
        take_answer(log, reply->body);
    if (well)
        log->tries = 0; /* a job may be silent as long as it likes */
    bool complete = well && (!log->head || log->last);
    if (complete || (log->last && !well) || ++log->tries > TRIES)
        log->ended = true;
    else
        loop_timer_after(log->timer, log->finishing ? 0 : AGAIN);
}

static void begin(void *ctx) {
    RunLog *log = ctx;
    if (log->call || log->ended)
        return;
    KubeRawRequest request = {
        .method = "GET",
        .path = log->path,
        .timeout = log->head ? 0 : USEC_INFINITY,
        .chunk = log->head ? NULL : on_chunk,
    };
    log->seen = 0;
    log->last = log->finishing;
    log->call = kube_raw(log->client, &request, on_end, log);
}

static RunLog *log_new(KubeClient *client, int fd, char *path, bool head) {
    RunLog *log = mem_new(RunLog);
    *log = (RunLog){ .client = client, .fd = fd, .path = path, .head = head };
    log->timer = loop_timer_new(kube_client_loop(client), begin, log);
    begin(log);
    return log;
}

RunLog *run_log_container(KubeClient *client, int fd, const char *namespace_, const char *pod,
                          const char *container) {
    return log_new(client, fd, kube_path_pod_log(namespace_, pod, container, true, false, -1),
                   false);
}

RunLog *run_log_head(KubeClient *client, int fd, const char *namespace_, const char *service,
                     const char *job_id) {
    _cleanup_free_ char *rest = str_printf("/api/jobs/%s/logs", job_id);
    return log_new(client, fd, kube_path_service_proxy(namespace_, service, "dashboard", rest),
                   true);
}

void run_log_finish(RunLog *log) {
    if (log->finishing)
        return;
    log->finishing = true;
    if (!log->call && !log->ended)
        begin(log);
}

bool run_log_ended(const RunLog *log) {
    return log->ended;
}

RunLog *run_log_free(RunLog *log) {
    if (!log)
        return NULL;
    kube_call_free(log->call);
    loop_timer_free(log->timer);
    free(log->path);
    free(log);
    return NULL;
}
