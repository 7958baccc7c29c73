/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/state_client.h"

#include <stdio.h>

#include "base/error.h"
#include "cmd/say.h"

void state_query(Buf *target, const char *name, const char *value) {
    http_query_add(target, name, value);
}

static int open_client(const char *address, JobClient *ret_client) {
    const JobClientOptions options = { .address = address, .quiet = true };
    return job_client_open(&options, ret_client);
}

static int answer_of(const JobClient *client, const char *target, const JobResponse *response,
                     json_t **ret_result) {
    static const JsonLimits limits = { (size_t)512 << 20, 10000000, 256 };
    _cleanup_json_ json_t *answer = NULL;
    const char *text = response->body.data ? response->body.data : "";
    if (response->status == 401 || response->status == 403)
        return job_client_refused(response);
    if (json_parse(text, response->body.len, &limits, 0, &answer) < 0)
        return error_origin(
            -EREMOTEIO, "Failed to make request to %s%.*s. Response(status=%d, text='%.200s')",
            client->address, (int)strcspn(target, "?"), target, response->status, text);
    if (json_is_object(answer) && !json_bool_at(answer, true, "result"))
        return error_origin(-EREMOTEIO,
                            "API server internal error. See dashboard.log file for more details. "
                            "Error: %s",
                            json_str_at(answer, "msg"));
    json_t *result = json_is_object(answer) ? json_at(answer, "data", "result") : answer;
    *ret_result = result ? json_incref(result) : json_null();
    return 0;
}

static int call_api(JobClient *client, const char *target, const char *whole,
                    JobResponse *ret_response) {
    int r = job_client_call(client, "GET", whole, NULL, ret_response);
    if (r == 0)
        return 0;
    _cleanup_free_ char *sentence = str_dup(error_text(r));
    return error_origin(
        -EREMOTEIO, "Failed to make request to %s%.*s. Failed to connect to API server: %.*s",
        client->address, (int)strcspn(target, "?"), target, (int)strcspn(sentence, "\n"), sentence);
}

int state_get(const char *address, double timeout, const char *target, json_t **ret_result) {
    _cleanup_job_client_ JobClient client = { 0 };
    _cleanup_(job_response_done) JobResponse response = { 0 };
    _cleanup_buf_ Buf whole = { 0 };
    char seconds[32];
    snprintf(seconds, sizeof(seconds), "%g", timeout);
    buf_add_str(&whole, target);
    state_query(&whole, "timeout", seconds);
    int r = open_client(address, &client);
    if (r == 0)
        r = call_api(&client, target, whole.data, &response);
    if (r == 0)
        r = answer_of(&client, target, &response, ret_result);
    return r;
}

/* ---- streams ----------------------------------------------------------------------------------- */

typedef struct Streaming {
    int status, r;
    bool ended;
    Buf refusal;
    char *sentence;
} Streaming;

static void on_head(void *ctx, int status, const HttpHeaders *headers) {
    Streaming *s = ctx;
    UNUSED(headers);
    s->status = status;
}

static void on_chunk(void *ctx, Slice data) {
    Streaming *s = ctx;
    if (s->status == 200) {
        fwrite(data.data, 1, data.len, stdout);
        fflush(stdout);
    } else {
        buf_add(&s->refusal, data.data, data.len);
    }
}

static void on_done(void *ctx, const HttpResult *result) {
    Streaming *s = ctx;
    s->ended = true;
    s->r = result->r;
    if (result->r < 0)
        s->sentence = str_dup(result->error);
}

int state_stream(const char *address, double timeout, const char *target) {
    static const HttpCallEvents events = { .done = on_done, .head = on_head, .chunk = on_chunk };
    _cleanup_job_client_ JobClient client = { 0 };
    Streaming s = { 0 };
    HttpCall *call;
    int r = open_client(address, &client);
    if (r < 0)
        return r;
    _cleanup_free_ char *url = str_printf("%s%s", client.address, target);
    const HttpCallSpec spec = {
        .url = url,
        .bearer = client.token,
        .trust = &client.trust,
        .timeout = timeout > 0 ? (usec_t)(timeout * USEC_PER_SEC) : USEC_INFINITY,
    };
    r = http_call_new(client.http, &spec, &events, &s, &call);
    while (r == 0 && !s.ended)
        loop_tick(client.loop, USEC_INFINITY);
    if (r == 0 && s.r < 0)
        r = error_origin(s.r, "Failed to make request to %s. (%s)", client.address, s.sentence);
    else if (r == 0 && s.status != 200)
        r = error_origin(-EREMOTEIO, "%s", s.refusal.data ? s.refusal.data : "no answer");
    mem_free(s.sentence);
    buf_done(&s.refusal);
    return r;
}

int state_failed(int r) {
    return say_error("%s%s",
                     state_refused(r) ? "ray.util.state.exception.RayStateApiException: " : "",
                     error_text(r));
}

/* ---- warnings ------------------------------------------------------------------------------------ */

void state_warn(const char *resource, const json_t *answer, bool limited) {
    long long kept = json_int_at(answer, 0, "num_after_truncation");
    long long total = json_int_at(answer, 0, "total");
    long long filtered = json_int_at(answer, 0, "num_filtered");
    long long shown = (long long)json_array_size(json_object_get(answer, "result"));
    const char *partial = json_str_at(answer, "partial_failure_warning");
    const json_t *warnings = json_object_get(answer, "warnings");
    if (!str_empty(partial))
        fprintf(stderr, "UserWarning: %s\n", partial);
    if (total > kept)
        fprintf(stderr,
                "UserWarning: The returned data may contain incomplete result. %lld (%lld total "
                "from the cluster) %s are retrieved from the data source. %lld entries have been "
                "truncated. Max of %lld entries are retrieved from data source to prevent "
                "over-sized payloads.\n",
                kept, total, resource, total - kept, kept);
    if (limited && filtered > shown)
        fprintf(stderr,
                "UserWarning: Limit last %lld entries (Total %lld). Use `--filter` to reduce the "
                "amount of data to return or setting a higher limit with `--limit` to see all "
                "data. \n",
                shown, filtered);
    for (size_t i = 0; i < json_array_size(warnings); i++)
        fprintf(stderr, "UserWarning: %s\n", json_string_value(json_array_get(warnings, i)));
}
