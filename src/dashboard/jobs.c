/* SPDX-License-Identifier: Apache-2.0 */
#include "api/jobs.h"

#include "base/error.h"
#include "dashboard/dashboard_private.h"
#include "env/env.h"
#include "model/ids.h"

enum {
    REQUEST_MAX = 4 * 1024 * 1024
};
#define AMOUNT_MAX 1e14 /* of one resource: 100 TB, where it is bytes */

/* ---------------------------------------------------------------------------------- find */

static int record_of(const RpcReply *reply, json_t **ret_record) {
    _cleanup_arena_ Arena arena = { 0 };
    SubmittedJob job;
    int r = submitted_job_decode(&job, reply->body, reply->len, &arena);
    return r < 0 ? r : json_parse(job.record.data, job.record.len, NULL, 0, ret_record);
}

static void ask_submission(Dashboard *dashboard, HttpRequest *request, MessageType type,
                           const char *submission, AskFn *then, void *more) {
    _cleanup_buf_ Buf body = { 0 };
    /* The three questions have one shape: the submission's id. */
    const SubmissionGet get = { .submission = slice_str(submission) };
    submission_get_encode(&get, &body);
    ask(dashboard, request, type, &body, then, more);
}

static void respond_unknown(HttpRequest *request) {
    http_respond_text(request, 404, "Job %s does not exist", http_request_param(request, "id"));
}

static void give_submission(Ask *ask, const RpcReply *reply) {
    FoundFn *then = *(FoundFn **)ask->more;
    _cleanup_json_ json_t *record = NULL, *details = NULL;
    if (reply_is(reply, STATUS_CODE_NOT_FOUND)) {
        respond_unknown(ask->request);
        return;
    }
    if (!reply_ok(reply)) {
        respond_failure(ask->request, reply);
        return;
    }
    int r = record_of(reply, &record);
    if (r < 0) {
        http_respond_error(ask->request, r);
        return;
    }
    details = job_details(record);
    then(ask->dashboard, ask->request, details);
}

static const char *config_submission(const json_t *config) {
    return json_str_at(config, "metadata", "job_submission_id");
}

static json_t *config_of(const JobInfo *info) {
    json_t *config = NULL;
    int r = json_parse(info->config.data, info->config.len, NULL, 0, &config);
    return r < 0 ? json_object() : config;
}

json_t *driver_details(const JobInfo *info) {
    _cleanup_json_ json_t *config = config_of(info);
    _cleanup_free_ char *ip = str_dup_slice(info->ip),
                        *entrypoint = str_dup_slice(info->entrypoint),
                        *namespace = str_dup_slice(info->namespace);
    char id[2 * sizeof(info->job) + 1];
    if (info->submission.len || config_submission(config) ||
        str_starts(namespace, "_ray_internal_"))
        return NULL;
    hex_encode(info->job.byte, sizeof(info->job), id);
    const JobDriver driver = {
        .id = id,
        .ip = ip,
        .entrypoint = entrypoint,
        .pid = info->pid,
        .finished = info->finished,
        .start_ms = info->started_wall,
        .end_ms = info->ended_wall,
        .metadata = json_object_get(config, "metadata"),
        .runtime_env = json_object_get(config, "runtime_env"),
    };
    return job_driver_details(&driver);
}

static const JobInfo *job_by_hex(const JobTable *table, const char *id) {
    JobId wanted;
    if (strlen(id) != 2 * sizeof(wanted) || hex_decode(id, wanted.byte, sizeof(wanted)) < 0)
        return NULL;
    for (size_t i = 0; i < table->jobs_len; i++)
        if (memcmp(&table->jobs[i].job, &wanted, sizeof(wanted)) == 0)
            return &table->jobs[i];
    return NULL;
}

static void give_driver(Ask *ask, const RpcReply *reply) {
    FoundFn *then = *(FoundFn **)ask->more;
    _cleanup_arena_ Arena arena = { 0 };
    JobTable table;
    if (!reply_ok(reply)) {
        respond_failure(ask->request, reply);
        return;
    }
    int r = job_table_decode(&table, reply->body, reply->len, &arena);
    if (r < 0) {
        http_respond_error(ask->request, r);
        return;
    }
    const JobInfo *info = job_by_hex(&table, http_request_param(ask->request, "id"));
    _cleanup_json_ json_t *details = info ? driver_details(info) : NULL;
    if (details) {
        then(ask->dashboard, ask->request, details);
    } else if (info && info->submission.len) {
        _cleanup_free_ char *submission = str_dup_slice(info->submission);
        ask_submission(ask->dashboard, ask->request, MSG_SUBMISSION_GET, submission,
                       give_submission, ask->more);
    } else {
        respond_unknown(ask->request);
    }
}

static void give_found(Ask *ask_, const RpcReply *reply) {
    if (reply_is(reply, STATUS_CODE_NOT_FOUND))
        ask(ask_->dashboard, ask_->request, MSG_JOB_TABLE_GET, NULL, give_driver, ask_->more);
    else
        give_submission(ask_, reply);
}

void job_find(Dashboard *dashboard, HttpRequest *request, FoundFn *then) {
    /* Kept as long as the request: a function pointer is no object pointer. */
    FoundFn **kept = arena_new(http_request_arena(request), FoundFn *);
    *kept = then;
    ask_submission(dashboard, request, MSG_SUBMISSION_GET, http_request_param(request, "id"),
                   give_found, kept);
}

/* -------------------------------------------------------------------------------- submit */

static void on_submitted(Ask *ask, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    SubmittedJob job;
    if (!reply_ok(reply)) {
        respond_failure(ask->request, reply);
        return;
    }
    int r = submitted_job_decode(&job, reply->body, reply->len, &arena);
    if (r < 0) {
        http_respond_error(ask->request, r);
        return;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "job_id", json_stringn(job.submission.data, job.submission.len));
    json_object_set_new(answer, "submission_id",
                        json_stringn(job.submission.data, job.submission.len));
    respond_json(ask->request, 200, answer);
}

typedef struct Wanted {
    Resource items[64];
    size_t len;
    bool too_many;
} Wanted;

static void want(Wanted *wanted, const char *name, const json_t *amount) {
    double value = json_number_value(amount);
    if (value <= 0)
        return;
    if (wanted->len == ARRAY_LEN(wanted->items)) {
        wanted->too_many = true;
        return;
    }
    wanted->items[wanted->len++] = (Resource){ slice_str(name), (int64_t)(value * 10000 + 0.5) };
}

static int resources_of(const json_t *request, Wanted *wanted) {
    const char *name;
    json_t *amount;
    static const char *const amounts[] = { "entrypoint_num_cpus", "entrypoint_num_gpus",
                                           "entrypoint_memory" };
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
        if (json_number_value(json_object_get(request, amounts[i])) > AMOUNT_MAX)
            return error_origin(-EINVAL, "%s is out of range", amounts[i]);
    want(wanted, "CPU", json_object_get(request, "entrypoint_num_cpus"));
    want(wanted, "GPU", json_object_get(request, "entrypoint_num_gpus"));
    want(wanted, "memory", json_object_get(request, "entrypoint_memory"));
    json_object_foreach(json_object_get(request, "entrypoint_resources"), name, amount) {
        if (json_number_value(amount) < 0 || json_number_value(amount) > AMOUNT_MAX)
            return error_origin(-EINVAL, "entrypoint_resources.%s is out of range", name);
        want(wanted, name, amount);
    }
    if (wanted->too_many)
        return error_origin(-EINVAL, "entrypoint_resources has more than 60 entries");
    return 0;
}

static Slice text_of(const json_t *value, char **keep) {
    if (!value || json_is_null(value))
        return (Slice){ 0 };
    *keep = json_text(value, 0);
    return slice_str(*keep);
}

static int send_submission(Dashboard *dashboard, HttpRequest *request, const json_t *json) {
    Wanted wanted = { 0 };
    _cleanup_json_ json_t *env = NULL;
    _cleanup_free_ char *env_text = NULL, *metadata_text = NULL;
    _cleanup_buf_ Buf body = { 0 };
    const char *key;
    json_t *value;
    int r = job_request_check(json);
    if (r == 0)
        r = env_normalize(json_object_get(json, "runtime_env"), 0, &env);
    if (r == 0)
        r = resources_of(json, &wanted);
    if (r < 0)
        return r;
    const json_t *selector = json_object_get(json, "entrypoint_label_selector");
    Pair *labels = arena_array(http_request_arena(request), Pair, json_object_size(selector) + 1);
    size_t n_labels = 0;
    json_object_foreach((json_t *)(uintptr_t)selector, key, value) {
        labels[n_labels++] = (Pair){ slice_str(key), slice_str(json_string_value(value)) };
    }
    const SubmitJob message = {
        .submission = slice_str(job_request_submission(json)),
        .entrypoint = slice_str(json_str_at(json, "entrypoint")),
        .runtime_env = text_of(json_object_get(json, "runtime_env"), &env_text),
        .metadata = text_of(json_object_get(json, "metadata"), &metadata_text),
        .resources = wanted.items,
        .resources_len = wanted.len,
        .labels = labels,
        .labels_len = n_labels,
    };
    submit_job_encode(&message, &body);
    ask(dashboard, request, MSG_SUBMIT_JOB, &body, on_submitted, NULL);
    return 0;
}

static void on_submit_body(void *ctx, HttpRequest *request, int r, Slice body) {
    static const JsonLimits limits = { REQUEST_MAX, 100000, 64 };
    _cleanup_json_ json_t *json = NULL;
    if (r == 0)
        r = json_parse(body.data, body.len, &limits, 0, &json);
    if (r == 0)
        r = send_submission(ctx, request, json);
    if (r < 0)
        http_respond_error(request, r);
}

static void on_submit(void *ctx, HttpRequest *request) {
    http_request_read(request, REQUEST_MAX, on_submit_body, ctx);
}

/* ---------------------------------------------------------------------------- get, list */

static void give_details(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    json_t *copy = json_copy((json_t *)(uintptr_t)details);
    if (http_from_browser(request))
        job_redact(copy);
    respond_json(request, 200, copy);
}

static void on_get(void *ctx, HttpRequest *request) {
    job_find(ctx, request, give_details);
}

static void add_listed(HttpRequest *request, json_t *list, json_t *details) {
    if (details && http_from_browser(request))
        job_redact(details);
    if (details)
        json_array_append_new(list, details);
}

static void give_drivers(Ask *ask, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    json_t *list = ask->more;
    JobTable table = { 0 };
    int r = reply_ok(reply) ? job_table_decode(&table, reply->body, reply->len, &arena) : 0;
    if (!reply_ok(reply) || r < 0) {
        json_decref(list);
        if (r < 0)
            http_respond_error(ask->request, r);
        else
            respond_failure(ask->request, reply);
        return;
    }
    for (size_t i = 0; i < table.jobs_len; i++)
        add_listed(ask->request, list, driver_details(&table.jobs[i]));
    respond_json(ask->request, 200, list);
}

static void give_submissions(Ask *ask_, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    Submissions submissions;
    if (!reply_ok(reply)) {
        respond_failure(ask_->request, reply);
        return;
    }
    int r = submissions_decode(&submissions, reply->body, reply->len, &arena);
    if (r < 0) {
        http_respond_error(ask_->request, r);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < submissions.records_len; i++) {
        _cleanup_json_ json_t *record = NULL;
        const Slice *text = &submissions.records[i];
        if (json_parse(text->data, text->len, NULL, 0, &record) == 0)
            add_listed(ask_->request, list, job_details(record));
    }
    ask(ask_->dashboard, ask_->request, MSG_JOB_TABLE_GET, NULL, give_drivers, list);
}

static void on_list(void *ctx, HttpRequest *request) {
    ask(ctx, request, MSG_SUBMISSION_LIST, NULL, give_submissions, NULL);
}

/* -------------------------------------------------------------------------- stop, delete */

/* The submission's id, or NULL and an answer: drivers can't be stopped from here. */
static const char *submission_of(HttpRequest *request, const json_t *details, const char *verb) {
    const char *submission = json_str_at(details, "submission_id");
    if (submission && str_eq(json_str_at(details, "type"), "SUBMISSION"))
        return submission;
    http_respond_text(request, 400, "Can only %s submission type jobs", verb);
    return NULL;
}

static void respond_flag(HttpRequest *request, const char *name, bool value) {
    json_t *answer = json_object();
    json_object_set_new(answer, name, json_boolean(value));
    respond_json(request, 200, answer);
}

static void on_stopped(Ask *ask, const RpcReply *reply) {
    if (reply_ok(reply) || reply_is(reply, STATUS_CODE_BUSY))
        respond_flag(ask->request, "stopped", reply_ok(reply));
    else
        respond_failure(ask->request, reply);
}

static void stop_found(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    const char *submission = submission_of(request, details, "stop");
    if (submission)
        ask_submission(dashboard, request, MSG_SUBMISSION_STOP, submission, on_stopped, NULL);
}

static void on_stop(void *ctx, HttpRequest *request) {
    job_find(ctx, request, stop_found);
}

static void on_deleted(Ask *ask, const RpcReply *reply) {
    if (reply_ok(reply))
        respond_flag(ask->request, "deleted", true);
    else
        respond_failure(ask->request, reply);
}

static void delete_found(Dashboard *dashboard, HttpRequest *request, const json_t *details) {
    const char *submission = submission_of(request, details, "delete");
    if (submission)
        ask_submission(dashboard, request, MSG_SUBMISSION_DELETE, submission, on_deleted, NULL);
}

static void on_delete(void *ctx, HttpRequest *request) {
    job_find(ctx, request, delete_found);
}

void jobs_routes(Dashboard *dashboard) {
    HttpRouter *router = dashboard->router;
    http_router_add(router, "POST", "/api/jobs/", on_submit, dashboard);
    http_router_add(router, "GET", "/api/jobs/", on_list, dashboard);
    http_router_add(router, "GET", "/api/jobs/{id}", on_get, dashboard);
    http_router_add(router, "DELETE", "/api/jobs/{id}", on_delete, dashboard);
    http_router_add(router, "POST", "/api/jobs/{id}/stop", on_stop, dashboard);
}
