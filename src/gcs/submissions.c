/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/job_state.h"
#include "api/jobs.h"
#include "base/error.h"
#include "base/log.h"
#include "codec/json.h"
#include "gcs/gcs_private.h"
#include "sched/devices.h"

/*
 * Submitted jobs: the record (the fields of the REST API's JobDetails, as JSON) is durable before
 * the submitter hears of it; then the raylet of a chosen node is asked to start job-run
 * (submission_place.c), which reports every later change.
 */

enum {
    ID_MAX = 255,
    TEXT_MAX = 1 << 20,
};

static void submission_free(GcsSubmission *s) {
    list_remove(&s->waiting);
    free(s->id);
    json_decref(s->record);
    resources_done(&s->resources);
    label_selector_done(&s->labels);
    free(s);
}

bool submission_ended(const GcsSubmission *s) {
    const char *status = json_str_at(s->record, "status");
    return str_eq(status, "SUCCEEDED") || str_eq(status, "FAILED") || str_eq(status, "STOPPED");
}

int submission_store(const GcsSubmission *s) {
    _cleanup_buf_ Buf text = { 0 };
    json_encode(s->record, 0, &text);
    return gcs_store(s->gcs, "submission", slice_str(s->id), &text);
}

void submission_stopped(GcsSubmission *s) {
    list_remove(&s->waiting);
    json_set_at(s->record, json_string("STOPPED"), "status");
    json_set_at(s->record, json_string("Job was intentionally stopped."), "message");
    json_set_at(s->record, json_integer((json_int_t)gcs_wall_ms(s->gcs)), "end_time");
}

static void submission_reply(const GcsSubmission *s, const GcsCall *call, bool logged) {
    _cleanup_buf_ Buf body = { 0 }, text = { 0 };
    json_encode(s->record, 0, &text);
    SubmittedJob message = { .submission = slice_str(s->id), .record = buf_slice(&text) };
    submitted_job_encode(&message, &body);
    if (logged)
        gcs_reply_logged(s->gcs, call, MSG_SUBMITTED_JOB, &body, KV_SYNCED);
    else
        gcs_reply(s->gcs, call, MSG_SUBMITTED_JOB, &body);
}

void submission_fail(GcsSubmission *s, const char *error_type, const char *message) {
    list_remove(&s->waiting);
    json_set_at(s->record, json_string("FAILED"), "status");
    json_set_at(s->record, json_string(message), "message");
    json_set_at(s->record, json_string(error_type), "error_type");
    json_set_at(s->record, json_integer((json_int_t)gcs_wall_ms(s->gcs)), "end_time");
    if (submission_store(s) == 0)
        gcs_log(s->gcs);
}

/* ---- submitting ---- */

static char *id_new(void) {
    static const char letters[] = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ123456789";
    uint8_t random[16];
    char text[17];
    mem_random(random, sizeof(random));
    for (size_t i = 0; i < 16; i++)
        text[i] = letters[random[i] % (sizeof(letters) - 1)];
    text[16] = 0;
    return str_printf("raysubmit_%s", text);
}

static int parse_object(Slice text, const char *field, json_t **ret_object) {
    if (text.len == 0) {
        *ret_object = json_object();
        return 0;
    }
    json_t *value;
    int r = json_parse(text.data, text.len, NULL, 0, &value);
    if (r < 0)
        return error_context(r, "%s", field);
    if (!json_is_object(value)) {
        json_decref(value);
        return error_origin(-EINVAL, "%s must be a JSON object", field);
    }
    *ret_object = value;
    return 0;
}

static int check_metadata(json_t *metadata) {
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
        if (!json_is_string(value))
            return error_origin(-EINVAL, "metadata.%s must be a string", key);
    return 0;
}

static json_t *resources_json(const ResourceSet *set) {
    json_t *object = json_object();
    const char *name;
    Quantity quantity;
    for (size_t i = 0; resources_at(set, i, &name, &quantity); i++)
        json_object_set_new(object, name, json_real(quantity_to_double(quantity)));
    return object;
}

static json_t *selector_json(const Pair *labels, size_t len) {
    json_t *object = json_object();
    for (size_t i = 0; i < len; i++) {
        _cleanup_free_ char *key = str_dup_slice(labels[i].key);
        json_object_set_new(object, key, json_stringn(labels[i].value.data, labels[i].value.len));
    }
    return object;
}

static int record_make(GcsSubmission *s, const SubmitJob *submit) {
    _cleanup_json_ json_t *env = NULL, *metadata = NULL;
    _cleanup_free_ char *entrypoint = NULL;
    int r = text_from_wire(submit->entrypoint, TEXT_MAX, "entrypoint", &entrypoint);
    if (r == 0)
        r = parse_object(submit->runtime_env, "runtime_env", &env);
    if (r == 0)
        r = parse_object(submit->metadata, "metadata", &metadata);
    if (r == 0)
        r = check_metadata(metadata);
    if (r == 0)
        r = resources_from_wire(&s->resources, submit->resources, submit->resources_len);
    if (r == 0)
        r = devices_check(s->resources.known[RESOURCE_GPU]);
    if (r == 0)
        r = label_selector_from_wire(&s->labels, submit->labels, submit->labels_len);
    if (r < 0)
        return r;
    if (str_empty(entrypoint))
        return error_origin(-EINVAL, "entrypoint must not be empty");
    s->placed = !resources_empty(&s->resources) || s->labels.len > 0;
    s->record = json_pack(
        "{s:s, s:n, s:s, s:n, s:s, s:s, s:s, s:n, s:I, s:n, s:O, s:O, s:n, s:n, s:n, s:o, s:o}",
        "type", "SUBMISSION", "job_id", "submission_id", s->id, "driver_info", "status", "PENDING",
        "entrypoint", entrypoint, "message", "", "error_type", "start_time",
        (json_int_t)gcs_wall_ms(s->gcs), "end_time", "metadata", metadata, "runtime_env", env,
        "driver_agent_http_address", "driver_node_id", "driver_exit_code", "entrypoint_resources",
        resources_json(&s->resources), "entrypoint_label_selector",
        selector_json(submit->labels, submit->labels_len));
    if (!s->record)
        return error_origin(-EINVAL, "entrypoint is not UTF-8");
    _cleanup_free_ char *message = job_usual_message(s->record, "PENDING");
    json_set_at(s->record, json_string(message), "message");
    return 0;
}

/* Makes room by forgetting the longest ended one. False: all are under way. */
static bool make_room(Gcs *gcs) {
    if (strmap_len(&gcs->submissions) < GCS_SUBMISSIONS_MAX)
        return true;
    GcsSubmission *s, *oldest = NULL;
    size_t pos = 0;
    while ((s = strmap_next(&gcs->submissions, &pos, NULL)))
        if (submission_ended(s) && (!oldest || json_int_at(s->record, 0, "end_time") <
                                                   json_int_at(oldest->record, 0, "end_time")))
            oldest = s;
    if (!oldest)
        return false;
    gcs_erase(gcs, "submission", slice_str(oldest->id));
    strmap_remove(&gcs->submissions, oldest->id);
    submission_free(oldest);
    return true;
}

void submissions_on_submit(Gcs *gcs, GcsCall *call) {
    SubmitJob submit;
    GCS_DECODE(gcs, call, submit_job_decode, &submit);
    _cleanup_free_ char *id = NULL;
    int r = text_from_wire(submit.submission, ID_MAX, "submission_id", &id);
    if (r == 0 && str_empty(id)) {
        free(id);
        id = id_new();
    }
    if (r == 0 && !job_submission_valid(id))
        r = error_origin(-EINVAL, "submission_id must be a file name of at most %d bytes", ID_MAX);
    if (r == 0 && strmap_get(&gcs->submissions, id))
        r = error_origin(-EEXIST,
                         "Job with submission_id %s already exists. Please use a different "
                         "submission_id.",
                         id);
    if (r == 0 && !make_room(gcs))
        r = error_origin(-ENOSPC, "%d jobs are under way, the most", GCS_SUBMISSIONS_MAX);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    GcsSubmission *s = mem_new(GcsSubmission);
    s->gcs = gcs;
    list_init(&s->waiting);
    s->id = TAKE(id);
    r = record_make(s, &submit);
    if (r == 0)
        r = submission_store(s);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        submission_free(s);
        return;
    }
    strmap_put(&gcs->submissions, s->id, s);
    submission_reply(s, call, true);
    submission_wait(s);
}

/* ---- the other requests ---- */

static GcsSubmission *find(Gcs *gcs, const GcsCall *call, Slice id) {
    _cleanup_free_ char *text = str_dup_slice(id);
    GcsSubmission *s = strmap_get(&gcs->submissions, text);
    if (!s)
        gcs_reply_status(gcs, call, STATUS_CODE_NOT_FOUND, "Job %s does not exist", text);
    return s;
}

void submissions_on_get(Gcs *gcs, GcsCall *call) {
    SubmissionGet get;
    GCS_DECODE(gcs, call, submission_get_decode, &get);
    GcsSubmission *s = find(gcs, call, get.submission);
    if (s)
        submission_reply(s, call, false);
}

void submissions_on_list(Gcs *gcs, GcsCall *call) {
    size_t count = strmap_len(&gcs->submissions);
    Submissions message = { .records = arena_array(call->arena, Slice, count + 1) };
    GcsSubmission *s;
    size_t pos = 0;
    while ((s = strmap_next(&gcs->submissions, &pos, NULL))) {
        _cleanup_buf_ Buf text = { 0 };
        json_encode(s->record, 0, &text);
        message.records[message.records_len++] =
            (Slice){ arena_dup(call->arena, text.data, text.len), text.len };
    }
    _cleanup_buf_ Buf body = { 0 };
    submissions_encode(&message, &body);
    gcs_reply(gcs, call, MSG_SUBMISSIONS, &body);
}

void submissions_on_stop(Gcs *gcs, GcsCall *call) {
    SubmissionStop stop;
    GCS_DECODE(gcs, call, submission_stop_decode, &stop);
    GcsSubmission *s = find(gcs, call, stop.submission);
    if (!s)
        return;
    if (submission_ended(s)) {
        gcs_reply_status(gcs, call, STATUS_CODE_BUSY, "the job has ended already");
        return;
    }
    bool placed = nodes_get(gcs, &s->node) != NULL;
    if (placed) /* what is promised here holds for a gcs that starts again as well */
        json_set_at(s->record, json_true(), "stop_requested");
    else        /* nobody was asked to run it yet */
        submission_stopped(s);
    int r = submission_store(s);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    if (placed)
        submission_stop(s);
    gcs_ok_logged(gcs, call, KV_SYNCED);
}

void submissions_on_delete(Gcs *gcs, GcsCall *call) {
    SubmissionDelete message;
    GCS_DECODE(gcs, call, submission_delete_decode, &message);
    GcsSubmission *s = find(gcs, call, message.submission);
    if (!s)
        return;
    if (!submission_ended(s)) {
        gcs_reply_status(gcs, call, STATUS_CODE_BUSY,
                         "Attempted to delete job '%s', but it is in a non-terminal state %s.",
                         s->id, json_str_at(s->record, "status"));
        return;
    }
    gcs_erase(gcs, "submission", slice_str(s->id));
    strmap_remove(&gcs->submissions, s->id);
    if (s->run_call)
        rpc_forget(gcs->rpc, s->run_call);
    submission_free(s);
    gcs_ok_logged(gcs, call, KV_SYNCED);
}

static bool status_valid(Slice status) {
    static const char *const known[] = { "PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED" };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq_str(status, known[i]))
            return true;
    return false;
}

/* NULL for what is not UTF-8, or holds a NUL, with which the record could not be read again. */
static json_t *text_json(Slice text) {
    if (text.len == 0)
        return json_string("");
    return memchr(text.data, 0, text.len) ? NULL : json_stringn(text.data, text.len);
}

/* To a job-run that is late: why nobody waits for its job any more. NULL: it was deleted. */
static void refuse_ended(Gcs *gcs, const GcsCall *call, const GcsSubmission *s) {
    const char *status = s ? json_str_at(s->record, "status") : NULL;
    const char *message = s ? json_str_at(s->record, "message") : NULL;
    if (!s)
        gcs_reply_status(gcs, call, STATUS_CODE_DEAD, "The job was deleted.");
    else
        gcs_reply_status(gcs, call, STATUS_CODE_DEAD, "To the cluster the job is %s already: %s",
                         status, message ? message : "");
}

void submissions_on_state(Gcs *gcs, GcsCall *call) {
    JobRunState state;
    GCS_DECODE(gcs, call, job_run_state_decode, &state);
    _cleanup_free_ char *id = str_dup_slice(state.submission);
    GcsSubmission *s = strmap_get(&gcs->submissions, id);
    if (!status_valid(state.status)) {
        gcs_reply_status(gcs, call, STATUS_CODE_INVALID, "no such job status");
        return;
    }
    /* An ended one stays as it ended; one that was deleted is nobody's any more. What still runs of
     * them is told so; its end is taken, since the reporter repeats itself until then. */
    if (!s || submission_ended(s)) {
        if (slice_eq_str(state.status, "PENDING") || slice_eq_str(state.status, "RUNNING"))
            refuse_ended(gcs, call, s);
        else
            gcs_ok_logged(gcs, call, KV_SYNCED);
        return;
    }
    json_t *message = text_json(state.message);
    json_set_at(s->record, json_stringn(state.status.data, state.status.len), "status");
    json_set_at(s->record, message ? message : json_string("(the message is no text)"), "message");
    if (state.error_type.len) {
        json_t *type = text_json(state.error_type);
        json_set_at(s->record, type ? type : json_null(), "error_type");
    }
    if (state.has_exit_code)
        json_set_at(s->record, json_integer(state.exit_code), "driver_exit_code");
    if (submission_ended(s))
        json_set_at(s->record,
                    json_integer((json_int_t)(state.wall_ms ? state.wall_ms : gcs_wall_ms(gcs))),
                    "end_time");
    int r = submission_store(s);
    if (r < 0)
        gcs_reply_error(gcs, call, r);
    else
        gcs_ok_logged(gcs, call, KV_SYNCED);
}

/* ---- what happens elsewhere ---- */

void submissions_driver_joined(Gcs *gcs, const GcsJob *job) {
    GcsSubmission *s = job->submission ? strmap_get(&gcs->submissions, job->submission) : NULL;
    if (!s)
        return;
    char pid[16];
    snprintf(pid, sizeof(pid), "%u", job->pid);
    json_set_at(s->record, json_string(ID_HEX(&job->id)), "job_id");
    json_set_at(s->record,
                json_pack("{s:s, s:s, s:s}", "id", ID_HEX(&job->id), "node_ip_address",
                          job->ip ? job->ip : "", "pid", pid),
                "driver_info");
    if (submission_store(s) == 0)
        gcs_log(gcs);
}

void submissions_node_dead(Gcs *gcs, const GcsNode *node) {
    GcsSubmission *s;
    size_t pos = 0;
    while ((s = strmap_next(&gcs->submissions, &pos, NULL))) {
        if (submission_ended(s) || !id_equal(&s->node, &node->sched.id))
            continue;
        _cleanup_free_ char *message =
            str_printf("The node the job's driver ran on (%s) died: %s", node->ip ? node->ip : "?",
                       node->death_reason ? node->death_reason : "");
        submission_fail(s, "JOB_SUPERVISOR_ACTOR_DIED", message);
    }
}

/* ---- life ---- */

static int load_one(void *userdata, Slice key, Slice value) {
    Gcs *gcs = userdata;
    GcsSubmission *s = mem_new(GcsSubmission);
    s->gcs = gcs;
    list_init(&s->waiting);
    s->id = str_dup_slice(key);
    int r = json_parse(value.data, value.len, NULL, 0, &s->record);
    if (r < 0) {
        submission_free(s);
        return r;
    }
    const char *node = json_str_at(s->record, "driver_node_id");
    if (node && hex_decode(node, &s->node, sizeof(s->node)) < 0)
        memset(&s->node, 0, sizeof(s->node));
    s->asked = !id_is_unset(&s->node);
    s->stopping = json_is_true(json_at(s->record, "stop_requested"));
    const char *name;
    json_t *amount;
    json_object_foreach(json_at(s->record, "entrypoint_resources"), name, amount) {
        Quantity quantity;
        if (quantity_from_double(json_number_value(amount), &quantity) == 0 &&
            resources_set(&s->resources, name, quantity) < 0)
            log_warn("resource %s of job %s is ignored", name, s->id);
    }
    json_object_foreach(json_at(s->record, "entrypoint_label_selector"), name, amount) {
        if (label_selector_add(&s->labels, name, json_string_value(amount)) < 0)
            log_warn("label %s of job %s is ignored", name, s->id);
    }
    s->placed = !resources_empty(&s->resources) || s->labels.len > 0;
    strmap_put(&gcs->submissions, s->id, s);
    if (id_is_unset(&s->node) && !submission_ended(s))
        submission_wait(s);
    return 0;
}

int submissions_load(Gcs *gcs) {
    return kv_scan(gcs->kv, "submission", (Slice){ 0 }, (Slice){ 0 }, load_one, gcs);
}

void submissions_done(Gcs *gcs) {
    GcsSubmission *s;
    size_t pos = 0;
    while ((s = strmap_next(&gcs->submissions, &pos, NULL)))
        submission_free(s);
    strmap_done(&gcs->submissions);
    loop_timer_free(gcs->submission_timer);
}
