/* SPDX-License-Identifier: Apache-2.0 */
/* A watch: lines of JSON, for as long as the server lets it run. */
#include <stdio.h>

#include "kobj/meta.h"
#include "kube/client_private.h"

enum {
    LINE_BYTES_MAX = 16 * 1024 * 1024,
    ERROR_BODY_MAX = 64 * 1024,
    WATCH_SECONDS = 300,
    WATCH_SECONDS_SPREAD = 300, /* so that not all come back at once */
    SILENCE_SECONDS = 60        /* beyond its time: the server is gone */
};

static const JsonLimits line_limits = { LINE_BYTES_MAX, 5 * 1000 * 1000, 500 };

struct KubeWatch {
    List link;
    KubeClient *client;
    HttpCall *http;
    LoopTask *task; /* tells what was wrong from the start */
    const KubeWatchEvents *events;
    void *ctx;
    int status;
    Buf input;      /* an unfinished line, or the body of a refusal */
    size_t scanned; /* so much of it has no line's end */
    int r;          /* decided by an event in the stream */
    char *message;
    int depth;
    bool freed;
};

static void watch_memory_free(KubeWatch *watch) {
    buf_done(&watch->input);
    mem_free(watch->message);
    mem_free(watch);
}

KubeWatch *kube_watch_free(KubeWatch *watch) {
    if (!watch)
        return NULL;
    ASSERT(!watch->freed);
    watch->http = http_call_free(watch->http);
    list_remove(&watch->link);
    loop_task_free(watch->task);
    watch->freed = true;
    if (watch->depth == 0)
        watch_memory_free(watch);
    return NULL;
}

static void end(KubeWatch *watch, int r, const char *message) {
    const KubeWatchEvents *events = watch->events;
    void *ctx = watch->ctx;
    _cleanup_free_ char *text = str_dup(message);
    kube_watch_free(watch);
    events->ended(ctx, r, text);
}

static void note(KubeWatch *watch, int r, const char *message) {
    if (watch->r != 0)
        return;
    watch->r = r;
    str_set(&watch->message, message);
}

static void take_error(KubeWatch *watch, const json_t *status) {
    const char *message = json_str_at(status, "message");
    int r = kube_verdict_of_status((int)json_int_at(status, 500, "code"),
                                   json_str_at(status, "reason"));
    if (str_eq(json_str_at(status, "reason"), "Expired"))
        r = KUBE_GONE;
    note(watch, r, message ? message : "the watch failed");
}

static void take_line(KubeWatch *watch, Slice line) {
    _cleanup_json_ json_t *event = NULL;
    if (line.len == 0 || watch->r != 0)
        return;
    int r = json_parse(line.data, line.len, &line_limits, 0, &event);
    const char *type = json_str_at(event, "type");
    json_t *object = json_at(event, "object");
    if (r < 0 || !type || !json_is_object(object)) {
        note(watch, -EPROTO, "the watch's stream is no sequence of events");
        return;
    }
    if (str_eq(type, "ERROR")) {
        take_error(watch, object);
        return;
    }
    json_incref(object);
    json_object_del(event, "object"); /* ours alone: the receiver may change it */
    watch->events->event(watch->ctx, type, object);
    json_decref(object);
}

/* Nothing good comes any more: it is ended from our side. */
static void stop_reading(KubeWatch *watch) {
    watch->http = http_call_free(watch->http);
    loop_task_arm(watch->task);
}

static void on_chunk(void *ctx, Slice data) {
    KubeWatch *watch = ctx;
    bool good = watch->status >= 200 && watch->status < 300;
    size_t max = good ? LINE_BYTES_MAX : ERROR_BODY_MAX;
    if (watch->input.len + data.len > max && !memchr(data.data, '\n', data.len)) {
        note(watch, -EFBIG,
             good ? "a watch event is larger than 16 MiB"
                  : "a watch was refused with more than 64 KiB");
        stop_reading(watch);
        return;
    }
    buf_add(&watch->input, data.data, data.len);
    if (!good)
        return;
    watch->depth++;
    size_t at = 0;
    while (!watch->freed) {
        const char *start = watch->input.data + at, *from = start + watch->scanned;
        const char *end_of = memchr(from, '\n', watch->input.len - at - watch->scanned);
        watch->scanned = end_of ? 0 : watch->input.len - at;
        if (!end_of)
            break;
        at += (size_t)(end_of - start) + 1;
        take_line(watch, (Slice){ start, (size_t)(end_of - start) });
    }
    watch->depth--;
    if (watch->freed) {
        if (watch->depth == 0)
            watch_memory_free(watch);
        return;
    }
    buf_drop(&watch->input, at);
    if (watch->r != 0)
        stop_reading(watch);
}

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    UNUSED(headers);
    ((KubeWatch *)ctx)->status = status;
}

static void on_done(void *ctx, const HttpResult *result) {
    KubeWatch *watch = ctx;
    watch->http = NULL;
    HttpResult whole = *result;
    _cleanup_json_ json_t *body = NULL;
    KubeVerdict verdict;
    if (result->r == 0 && result->status >= 300 && watch->input.len) {
        whole.body = buf_slice(&watch->input);
        (void)!json_parse(whole.body.data, whole.body.len, NULL, 0, &body);
    }
    if (result->status == 401)
        watch->client->config.token_read = 0;
    kube_verdict(&verdict, &whole, body);
    end(watch, verdict.r, verdict.message);
}

static void tell_end(void *ctx) {
    KubeWatch *watch = ctx;
    if (watch->r < 0)
        error_origin(watch->r, "%s", watch->message);
    _cleanup_free_ char *message = TAKE(watch->message);
    end(watch, watch->r, message);
}

static int start(KubeWatch *watch, const KubeRequest *request, const char **ret_message) {
    static const HttpCallEvents events = { .done = on_done, .head = on_head, .chunk = on_chunk };
    _cleanup_buf_ Buf url = { 0 };
    /* One object is watched as a list with a selector, as the API wants it now. */
    KubeRequest list = *request;
    _cleanup_free_ char *by_name =
        request->name ? str_printf("metadata.name=%s", request->name) : NULL;
    list.verb = KUBE_GET;
    list.name = NULL;
    list.limit = 0;
    if (by_name)
        list.field_selector = by_name;
    int r = kube_url(watch->client, &list, true, &url, ret_message);
    if (r != 0)
        return r;
    uint16_t random;
    char seconds[16];
    mem_random(&random, sizeof(random));
    int time = WATCH_SECONDS + random % WATCH_SECONDS_SPREAD;
    snprintf(seconds, sizeof(seconds), "%d", time);
    http_query_add(&url, "timeoutSeconds", seconds);
    HttpHeaders headers = { 0 };
    http_headers_add(&headers, "Accept", "application/json");
    HttpCallSpec spec = { .url = url.data,
                          .timeout = USEC_INFINITY,
                          .idle_timeout = (time + SILENCE_SECONDS) * USEC_PER_SEC };
    r = kube_http_start(watch->client, &spec, &headers, &events, watch, &watch->http);
    http_headers_done(&headers);
    if (r < 0)
        *ret_message = error_text(r);
    return r;
}

KubeWatch *kube_watch(KubeClient *client, const KubeRequest *request, const KubeWatchEvents *events,
                      void *ctx) {
    KubeWatch *watch = mem_new(KubeWatch);
    *watch = (KubeWatch){ .client = client, .events = events, .ctx = ctx };
    list_push(&client->watches, &watch->link);
    watch->task = loop_task_new(client->loop, tell_end, watch);
    const char *message = NULL;
    int r = start(watch, request, &message);
    if (r != 0) {
        note(watch, r, message);
        loop_task_arm(watch->task);
    }
    return watch;
}
