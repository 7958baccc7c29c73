/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/head.h"

#include "base/log.h"
#include "operator/names.h"
#include "operator/stock.h"

#define ASK_PERIOD       (250 * USEC_PER_MSEC) /* while the head answers */
#define ASK_PERIOD_MAX   (3 * USEC_PER_SEC)    /* while it does not */
#define SUBMIT_PAUSE     USEC_PER_SEC          /* after one that failed; twice as long each time */
#define SUBMIT_PAUSE_MAX (30 * USEC_PER_SEC)
#define STRAIGHT_LIMIT   (2 * USEC_PER_SEC)
#define PROXY_LIMIT      (10 * USEC_PER_SEC)

enum {
    ANSWER_MAX = 4 << 20,
    COMPLAINT_MAX = 600 /* bytes of an answer that are shown */
};

struct Heads {
    KubeClient *client;
    HttpClient *http;
    bool proxy;
};

/* One request to a head, whichever way it goes. */
typedef struct HeadCall {
    KubeCall *kube;
    HttpCall *http;
    void (*fn)(HeadWatch *watch, int r, int status, Slice body, const char *message);
} HeadCall;

struct HeadWatch {
    Heads *heads;
    LoopFn *changed;
    void *ctx;
    char *namespace_, *service, *address, *secret, *job_id;
    char *token;
    bool on;
    LoopTimer *timer;
    usec_t period, submit_pause;
    HeadCall ask, act;
    KubeCall *secret_call;
    HeadDoneFn *act_fn;
    void *act_ctx;
    HeadAnswer answer;
    usec_t asking, asked; /* when the request under way, and the answered one, began */
    json_t *job;
    char *error;
};

Heads *heads_new(KubeClient *client, HttpClient *http, bool proxy) {
    Heads *heads = mem_new(Heads);
    *heads = (Heads){ .client = client, .http = http, .proxy = proxy };
    return heads;
}

Heads *heads_free(Heads *heads) {
    return mem_free(heads);
}

/* Only what plans look at, so that a change is a change of that. */
static json_t *essence(const json_t *record) {
    static const char *const KEYS[] = { "status", "message", "start_time", "end_time" };
    json_t *kept = json_object();
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        json_t *value = json_object_get(record, KEYS[i]);
        if (value && !json_is_null(value))
            json_object_set(kept, KEYS[i], value);
    }
    return kept;
}

/* Takes `job`. */
static void report(HeadWatch *watch, HeadAnswer answer, json_t *job, const char *error) {
    bool same = watch->answer == answer && (job == watch->job || json_equal(job, watch->job));
    json_decref(watch->job);
    watch->job = job;
    watch->answer = answer;
    watch->asked = watch->asking;
    str_set(&watch->error, error);
    if (!same)
        watch->changed(watch->ctx);
}

static void call_cancel(HeadCall *call) {
    call->kube = kube_call_free(call->kube);
    call->http = http_call_free(call->http);
}

static HeadCall *call_of(HeadWatch *watch, bool act) {
    return act ? &watch->act : &watch->ask;
}

static void on_kube(HeadWatch *watch, bool act, const KubeRawReply *reply) {
    HeadCall *call = call_of(watch, act);
    call->kube = NULL;
    call->fn(watch, reply->status ? 0 : -EHOSTUNREACH, reply->status, reply->body, reply->message);
}

static void on_http(HeadWatch *watch, bool act, const HttpResult *result) {
    HeadCall *call = call_of(watch, act);
    call->http = NULL;
    call->fn(watch, result->r, result->status, result->body, result->error);
}

static void on_kube_ask(void *ctx, const KubeRawReply *reply) {
    on_kube(ctx, false, reply);
}

static void on_kube_act(void *ctx, const KubeRawReply *reply) {
    on_kube(ctx, true, reply);
}

static void on_http_ask(void *ctx, const HttpResult *result) {
    on_http(ctx, false, result);
}

static void on_http_act(void *ctx, const HttpResult *result) {
    on_http(ctx, true, result);
}

static void send_by_proxy(HeadWatch *watch, bool act, const char *method, const char *path,
                          Slice body) {
    _cleanup_free_ char *whole =
        kube_path_service_proxy(watch->namespace_, watch->service, "dashboard", path);
    KubeRawRequest request = {
        .method = method,
        .path = whole,
        .content_type = body.len ? "application/json" : NULL,
        .bearer = watch->token,
        .body = body,
        .timeout = PROXY_LIMIT,
    };
    call_of(watch, act)->kube =
        kube_raw(watch->heads->client, &request, act ? on_kube_act : on_kube_ask, watch);
}

static int send_straight(HeadWatch *watch, bool act, const char *method, const char *path,
                         Slice body) {
    _cleanup_free_ char *url = str_printf("http://%s%s", watch->address, path);
    HttpHeaders headers = { 0 };
    if (body.len)
        http_headers_add(&headers, "Content-Type", "application/json");
    if (watch->token) {
        _cleanup_free_ char *bearer = str_printf("Bearer %s", watch->token);
        http_headers_add(&headers, "X-Ray-Authorization", bearer);
        mem_wipe(bearer, strlen(bearer));
    }
    HttpCallSpec spec = {
        .method = method,
        .url = url,
        .headers = &headers,
        .body = body,
        .timeout = STRAIGHT_LIMIT,
        .body_max = ANSWER_MAX,
        .no_proxy = true,
    };
    HttpCallEvents events = { .done = act ? on_http_act : on_http_ask };
    int r = http_call_new(watch->heads->http, &spec, &events, watch, &call_of(watch, act)->http);
    http_headers_done(&headers);
    return r;
}

static int send(HeadWatch *watch, bool act, const char *method, const char *path, Slice body) {
    if (!watch->heads->proxy)
        return send_straight(watch, act, method, path, body);
    send_by_proxy(watch, act, method, path, body);
    return 0;
}

/* A Status is the API server's own answer: the head was not reached. */
static bool is_status(const json_t *answer) {
    return str_eq(json_str_at(answer, "kind"), "Status");
}

/* Of a Python traceback, which Ray's own dashboard answers with, the last line says what is wrong. */
static Slice essential_text(Slice body) {
    static const char TRACEBACK[] = "Traceback ";
    while (body.len && strchr(" \r\n", body.data[body.len - 1]))
        body.len--;
    if (body.len < strlen(TRACEBACK) || memcmp(body.data, TRACEBACK, strlen(TRACEBACK)) != 0)
        return body;
    const char *line = memrchr(body.data, '\n', body.len);
    size_t before = line ? (size_t)(line + 1 - body.data) : 0;
    return (Slice){ body.data + before, body.len - before };
}

/* A short sentence from an answer that is none of what was wanted. */
static char *complaint(int status, Slice body, const char *message) {
    if (message && *message && status == 0)
        return str_dup(message);
    Slice text = essential_text(body);
    return str_printf("HTTP status %d: %.*s", status, (int)MIN(text.len, (size_t)COMPLAINT_MAX),
                      text.data ? text.data : "");
}

static void ask_later(HeadWatch *watch, bool answered) {
    watch->period = answered ? ASK_PERIOD : MIN(watch->period * 2, ASK_PERIOD_MAX);
    if (watch->on)
        loop_timer_after(watch->timer, watch->period);
}

static void on_asked(HeadWatch *watch, int r, int status, Slice body, const char *message) {
    _cleanup_json_ json_t *answer = NULL;
    bool json = r == 0 && json_parse(body.data ? body.data : "", body.len, NULL, 0, &answer) == 0;
    bool status_object = is_status(answer);
    if (r == 0 && status == 200 && json && json_str_at(answer, "status") && !status_object) {
        ask_later(watch, true);
        report(watch, HEAD_JOB, essence(answer), NULL);
        return;
    }
    if (r == 0 && status == 404 && !status_object) {
        ask_later(watch, true);
        report(watch, HEAD_ABSENT, NULL, NULL);
        return;
    }
    if (status == 401 || status == 403)
        watch->token = mem_free(watch->token); /* read it again */
    _cleanup_free_ char *error = complaint(status, body, message);
    ask_later(watch, false);
    report(watch, HEAD_SILENT, NULL, error);
}

static void ask(HeadWatch *watch) {
    _cleanup_free_ char *id = http_encode(watch->job_id, false);
    _cleanup_free_ char *path = str_printf("/api/jobs/%s", id);
    watch->ask.fn = on_asked;
    int r = send(watch, false, "GET", path, (Slice){ 0 });
    if (r < 0) {
        ask_later(watch, false);
        report(watch, HEAD_SILENT, NULL, error_text(r));
    }
}

static void on_secret(void *ctx, const KubeReply *reply) {
    HeadWatch *watch = ctx;
    watch->secret_call = NULL;
    const char *encoded = reply->r == 0 ? json_str_at(reply->body, "data", AUTH_SECRET_KEY) : NULL;
    void *token = NULL;
    size_t len;
    if (!encoded || base64_decode(encoded, strlen(encoded), &token, &len) < 0) {
        _cleanup_free_ char *error =
            str_printf("no token in Secret %s/%s: %s", watch->namespace_, watch->secret,
                       reply->r ? reply->message : "it has no key " AUTH_SECRET_KEY);
        ask_later(watch, false);
        report(watch, HEAD_SILENT, NULL, error);
        return;
    }
    watch->token = str_dup_slice((Slice){ token, len });
    mem_wipe(token, len);
    free(token);
    ask(watch);
}

static void on_timer(void *ctx) {
    HeadWatch *watch = ctx;
    if (!watch->on || !watch->job_id || watch->ask.kube || watch->ask.http || watch->secret_call)
        return;
    watch->asking = loop_wall_now(kube_client_loop(watch->heads->client));
    if (watch->secret && !watch->token)
        watch->secret_call = kube_get(watch->heads->client, resource_gvr(RESOURCE_SECRETS),
                                      watch->namespace_, watch->secret, on_secret, watch);
    else
        ask(watch);
}

HeadWatch *head_watch_new(Heads *heads, LoopFn *changed, void *ctx) {
    HeadWatch *watch = mem_new(HeadWatch);
    *watch = (HeadWatch){ .heads = heads,
                          .changed = changed,
                          .ctx = ctx,
                          .period = ASK_PERIOD,
                          .submit_pause = SUBMIT_PAUSE };
    watch->timer = loop_timer_new(kube_client_loop(heads->client), on_timer, watch);
    return watch;
}

static void forget(HeadWatch *watch) {
    call_cancel(&watch->ask);
    watch->secret_call = kube_call_free(watch->secret_call);
    json_decref(watch->job);
    watch->job = NULL;
    watch->answer = HEAD_UNASKED;
    watch->error = mem_free(watch->error);
    watch->submit_pause = SUBMIT_PAUSE;
    if (watch->token)
        mem_wipe(watch->token, strlen(watch->token));
    watch->token = mem_free(watch->token);
}

HeadWatch *head_watch_free(HeadWatch *watch) {
    if (!watch)
        return NULL;
    forget(watch);
    call_cancel(&watch->act);
    loop_timer_free(watch->timer);
    free(watch->namespace_);
    free(watch->service);
    free(watch->address);
    free(watch->secret);
    free(watch->job_id);
    free(watch);
    return NULL;
}

void head_watch_aim(HeadWatch *watch, const HeadTarget *target) {
    if (str_eq(watch->namespace_, target->namespace_) && str_eq(watch->service, target->service) &&
        str_eq(watch->address, target->address) && str_eq(watch->secret, target->secret) &&
        str_eq(watch->job_id, target->job_id))
        return;
    forget(watch);
    str_set(&watch->namespace_, target->namespace_);
    str_set(&watch->service, target->service);
    str_set(&watch->address, target->address);
    str_set(&watch->secret, target->secret);
    str_set(&watch->job_id, target->job_id);
    if (watch->on)
        loop_timer_after(watch->timer, 0);
}

void head_watch_ask(HeadWatch *watch, bool on) {
    if (on == watch->on)
        return;
    watch->on = on;
    if (on)
        loop_timer_after(watch->timer, 0);
    else
        loop_timer_stop(watch->timer);
}

HeadReport head_watch_report(const HeadWatch *watch) {
    return (HeadReport){
        .answer = watch->answer,
        .asked = watch->asked,
        .job = watch->job,
        .error = watch->error,
    };
}

static void act_done(HeadWatch *watch, int r, const char *message) {
    HeadDoneFn *fn = watch->act_fn;
    watch->act_fn = NULL;
    fn(watch->act_ctx, r, message);
}

/* A request whose answer was lost, asked again. */
static bool is_there_already(Slice body) {
    static const char SAYS[] = "Please use a different submission_id";
    return body.data && memmem(body.data, body.len, SAYS, strlen(SAYS));
}

/* The head itself says that something is wrong with the job; trying again would not mend it. */
static bool is_refusal(int status, Slice body) {
    if (status != 400 && status != 413 && status != 422)
        return false;
    _cleanup_json_ json_t *answer = NULL;
    return json_parse(body.data ? body.data : "", body.len, NULL, 0, &answer) < 0 ||
           !is_status(answer);
}

/* An answer to an earlier question must not make the job absent again, and so submitted again. */
static void stop_asking(HeadWatch *watch) {
    call_cancel(&watch->ask);
    watch->secret_call = kube_call_free(watch->secret_call);
    loop_timer_stop(watch->timer);
}

static void pause_submission(HeadWatch *watch) {
    stop_asking(watch);
    if (watch->on)
        loop_timer_after(watch->timer, watch->submit_pause);
    watch->submit_pause = MIN(watch->submit_pause * 2, SUBMIT_PAUSE_MAX);
}

static void on_submitted(HeadWatch *watch, int r, int status, Slice body, const char *message) {
    if (r == 0 && ((status >= 200 && status < 300) || is_there_already(body))) {
        call_cancel(&watch->ask);
        watch->answer = HEAD_UNASKED; /* what was absent is there now */
        watch->submit_pause = SUBMIT_PAUSE;
        loop_timer_after(watch->timer, 0);
        act_done(watch, 0, NULL);
        return;
    }
    bool refused = r == 0 && is_refusal(status, body);
    if (refused)
        stop_asking(watch);
    else
        pause_submission(watch);
    if (status == 401 || status == 403)
        watch->token = mem_free(watch->token); /* read it again */
    _cleanup_free_ char *error = complaint(status, body, message);
    report(watch, refused ? HEAD_REFUSED : HEAD_BUSY, NULL, error);
    act_done(watch, r < 0 ? r : -EPROTO, error);
}

static void on_stopped(HeadWatch *watch, int r, int status, Slice body, const char *message) {
    act_done(watch, r, message);
}

static int act(HeadWatch *watch, const char *path, Slice body, HeadDoneFn *fn, void *ctx) {
    ASSERT(!watch->act_fn);
    call_cancel(&watch->act);
    int r = send(watch, true, "POST", path, body);
    if (r < 0)
        return r;
    watch->act_fn = fn;
    watch->act_ctx = ctx;
    return 0;
}

int head_watch_submit(HeadWatch *watch, const json_t *body, HeadDoneFn *fn, void *ctx) {
    _cleanup_buf_ Buf text = { 0 };
    json_encode(body, 0, &text);
    watch->act.fn = on_submitted;
    int r = act(watch, "/api/jobs/", buf_slice(&text), fn, ctx);
    if (r < 0) {
        watch->answer = HEAD_BUSY;
        str_set(&watch->error, error_text(r));
        pause_submission(watch);
    }
    return r;
}

int head_watch_stop(HeadWatch *watch, const char *job_id, HeadDoneFn *fn, void *ctx) {
    _cleanup_free_ char *id = http_encode(job_id, false);
    _cleanup_free_ char *path = str_printf("/api/jobs/%s/stop", id);
    watch->act.fn = on_stopped;
    return act(watch, path, (Slice){ 0 }, fn, ctx);
}

void head_watch_cancel(HeadWatch *watch) {
    call_cancel(&watch->act);
    watch->act_fn = NULL;
}
