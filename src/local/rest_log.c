/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/rest_node.h"

/* pods/log: the agent's bytes, passed on as they come and held back when the client is slow. */

typedef struct LogCall {
    Rest *rest;
    HttpCall *call;
    Buf failure; /* what the agent said instead of a log */
    int status;
} LogCall;

static void log_free(LogCall *log) {
    http_call_free(log->call);
    buf_done(&log->failure);
    rest_free(log->rest);
    free(log);
}

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    LogCall *log = ctx;
    log->status = status;
    if (status == 200)
        http_response_start(log->rest->http, 200, "text/plain", -1);
}

static void on_chunk(void *ctx, Slice data) {
    LogCall *log = ctx;
    if (log->status != 200) {
        buf_add(&log->failure, data.data, MIN(data.len, (size_t)4096 - log->failure.len));
        return;
    }
    http_response_write(log->rest->http, data);
    if (http_response_congested(log->rest->http))
        http_call_pause(log->call, true);
}

static void on_drained(void *ctx) {
    LogCall *log = ctx;
    if (log->call)
        http_call_pause(log->call, false);
}

static int failure_status(LogCall *log, const HttpResult *result) {
    Rest *rest = log->rest;
    const char *text = log->failure.data ? log->failure.data : "";
    if (result->r < 0)
        return status_internal(&rest->call.status, "the node agent did not answer: %s",
                               result->error);
    if (result->status == 404)
        return status_not_found(&rest->call.status, api_subject(&rest->call), rest->call.name);
    if (result->status == 400)
        return status_bad_request(&rest->call.status, "%s", text);
    return status_internal(&rest->call.status, "%s", text);
}

static void on_done(void *ctx, const HttpResult *result) {
    LogCall *log = ctx;
    Rest *rest = log->rest;
    log->call = NULL; /* frees itself */
    if (http_response_started(rest->http)) {
        if (result->r < 0)
            http_response_abort(rest->http);
        else
            http_response_end(rest->http);
        log_free(log);
        return;
    }
    failure_status(log, result);
    log->rest = NULL;
    log_free(log);
    rest_reply_status(rest);
}

static void on_gone(void *ctx) {
    LogCall *log = ctx;
    log->call = http_call_free(log->call);
    if (http_response_started(log->rest->http))
        http_response_end(log->rest->http);
    else
        http_respond_text(log->rest->http, 500, "the client left");
    log_free(log);
}

static char *target_url(const Rest *rest, const char *agent, const char *container) {
    static const char *const passed[] = { "follow",       "timestamps", "previous",  "tailLines",
                                          "sinceSeconds", "sinceTime",  "limitBytes" };
    _cleanup_free_ char *ns = http_encode(rest->call.ns, false);
    _cleanup_free_ char *pod = http_encode(rest->call.name, false);
    _cleanup_free_ char *name = http_encode(container, false);
    _cleanup_buf_ Buf url = { 0 };
    buf_printf(&url, "%s/containerLogs/%s/%s/%s", agent, ns, pod, name);
    for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
        const char *value = rest_query(rest, passed[i]);
        if (value)
            http_query_add(&url, passed[i], value);
    }
    return buf_steal(&url);
}

static void check_number(const Rest *rest, const char *name, int64_t least, Faults *faults) {
    const char *text = rest_query(rest, name);
    int64_t number;
    if (str_empty(text) || (str_to_i64(text, &number) == 0 && number >= least))
        return;
    _cleanup_json_ json_t *value =
        str_to_i64(text, &number) == 0 ? json_integer(number) : json_string(text);
    faults_add_invalid(faults, name, value,
                       least ? "must be greater than 0" : "must be greater than or equal to 0");
}

static int check_options(Rest *rest) {
    _cleanup_faults_ Faults faults = { 0 };
    check_number(rest, "tailLines", 0, &faults);
    check_number(rest, "limitBytes", 1, &faults);
    if (rest_query(rest, "sinceSeconds") && rest_query(rest, "sinceTime"))
        faults_add_forbidden(&faults, "[]",
                             "at most one of `sinceTime` or `sinceSeconds` may be specified");
    check_number(rest, "sinceSeconds", 1, &faults);
    if (faults.len == 0)
        return 0;
    return status_invalid(&rest->call.status, "", "PodLogOptions", rest->call.name, &faults);
}

static void start(Rest *rest, const char *url) {
    LogCall *log = mem_new(LogCall);
    log->rest = rest;
    bool follow = rest_query_flag(rest, "follow");
    HttpCallSpec spec = { .url = url,
                          .bearer = rest->server->agent_token,
                          .timeout = follow ? USEC_INFINITY : 300 * USEC_PER_SEC,
                          .no_proxy = true };
    HttpCallEvents events = { .done = on_done, .head = on_head, .chunk = on_chunk };
    int r = http_call_new(rest->server->client, &spec, &events, log, &log->call);
    if (r < 0) {
        status_internal(&rest->call.status, "%s", error_text(r));
        log->rest = NULL;
        log_free(log);
        rest_reply_status(rest);
        return;
    }
    http_request_on_gone(rest->http, on_gone, log);
    http_response_on_drain(rest->http, on_drained, log);
}

void rest_log(Rest *rest) {
    ApiCall *call = &rest->call;
    Object *object = api_find(call);
    _cleanup_json_ json_t *pod = object ? object_value(object) : NULL;
    _cleanup_free_ char *agent = NULL, *url = NULL;
    const char *container = NULL;
    int r = pod ? agent_pick_container(call, pod, rest_query(rest, "container"), &container)
                : status_not_found(&call->status, api_subject(call), call->name);
    if (r == 0)
        r = check_options(rest);
    /* Nothing was said yet where nothing runs yet. */
    if (r == 0 && str_empty(json_str_at(pod, "spec", "nodeName"))) {
        rest_reply_text(rest, 200, "");
        return;
    }
    if (r == 0)
        r = agent_url(call, pod, &agent);
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    url = target_url(rest, agent, container);
    start(rest, url);
}
