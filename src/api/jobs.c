/* SPDX-License-Identifier: Apache-2.0 */
#include "api/jobs.h"

#include "api/job_state.h"
#include "base/error.h"
#include "codec/pyrepr.h"

/* -------------------------------------------------------------------------------- request */

static int want_string(const json_t *request, const char *field, const char *if_provided) {
    const json_t *value = json_object_get(request, field);
    if (!value || json_is_null(value) || json_is_string(value))
        return 0;
    return error_origin(-EINVAL, "%s must be a string%s, got %s", field, if_provided,
                        pyrepr_class(value));
}

static int want_number(const json_t *request, const char *field, bool integer) {
    const json_t *value = json_object_get(request, field);
    if (!value || json_is_null(value) || json_is_integer(value) ||
        (!integer && json_is_real(value))) {
        if (value && json_number_value(value) < 0)
            return error_origin(-EINVAL, "%s must not be negative", field);
        return 0;
    }
    return error_origin(-EINVAL, "%s must be %s, got %s", field,
                        integer ? "an integer" : "a number", pyrepr_class(value));
}

static int want_dict(const json_t *request, const char *field, bool numbers, bool any) {
    const json_t *value = json_object_get(request, field);
    const char *key;
    json_t *member;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return error_origin(-EINVAL, "%s must be a dict, got %s", field, pyrepr_class(value));
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        if (!any && !(numbers ? json_is_number(member) : json_is_string(member)))
            return error_origin(-EINVAL, "%s values must be %s, got %s", field,
                                numbers ? "numbers" : "strings", pyrepr_class(member));
    }
    return 0;
}

static int check_known_fields(const json_t *request) {
    static const char *const known[] = {
        "entrypoint",
        "submission_id",
        "job_id",
        "runtime_env",
        "metadata",
        "entrypoint_num_cpus",
        "entrypoint_num_gpus",
        "entrypoint_memory",
        "entrypoint_resources",
        "entrypoint_label_selector",
    };
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)request, key, member) {
        bool found = json_is_null(member);
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found |= str_eq(known[i], key);
        if (!found)
            return error_origin(
                -EINVAL, "JobSubmitRequest.__init__() got an unexpected keyword argument '%s'",
                key);
    }
    return 0;
}

int job_request_check(const json_t *request) {
    if (!json_is_object(request))
        return error_origin(-EINVAL, "a job submission is a JSON object, got %s",
                            pyrepr_class(request));
    const json_t *entrypoint = json_object_get(request, "entrypoint");
    if (!entrypoint || json_is_null(entrypoint))
        return error_origin(-EINVAL, "JobSubmitRequest.__init__() missing 1 required positional "
                                     "argument: 'entrypoint'");
    int r = check_known_fields(request);
    if (r == 0)
        r = want_string(request, "entrypoint", "");
    if (r == 0)
        r = want_string(request, "submission_id", " if provided");
    if (r == 0)
        r = want_string(request, "job_id", " if provided");
    if (r == 0)
        r = want_dict(request, "runtime_env", false, true);
    if (r == 0)
        r = want_dict(request, "metadata", false, false);
    if (r == 0)
        r = want_number(request, "entrypoint_num_cpus", false);
    if (r == 0)
        r = want_number(request, "entrypoint_num_gpus", false);
    if (r == 0)
        r = want_number(request, "entrypoint_memory", true);
    if (r == 0)
        r = want_dict(request, "entrypoint_resources", true, false);
    if (r == 0)
        r = want_dict(request, "entrypoint_label_selector", false, false);
    if (r < 0)
        return r;
    const char *submission = job_request_submission(request);
    if (submission && !job_submission_valid(submission))
        return error_origin(-EINVAL,
                            "submission_id '%.200s' can't be used, since files are named after "
                            "it: it has at most 200 bytes, no '/' and no control character, and "
                            "does not begin with '.'",
                            submission);
    return 0;
}

const char *job_request_submission(const json_t *request) {
    const char *submission = json_string_value(json_object_get(request, "submission_id"));
    if (str_empty(submission))
        submission = json_string_value(json_object_get(request, "job_id"));
    return str_empty(submission) ? NULL : submission;
}

/* ---------------------------------------------------------------------------------- record */

static void copy_or_null(json_t *to, const char *key, const json_t *from) {
    json_t *value = json_object_get(from, key);
    json_object_set_new(to, key, value ? json_incref(value) : json_null());
}

static bool wants_resources(const json_t *record) {
    return json_object_size(json_object_get(record, "entrypoint_resources")) > 0;
}

char *job_usual_message(const json_t *record, const char *status) {
    static const char *const messages[][2] = {
        { JOB_STATE_RUNNING, "Job is currently running." },
        { JOB_STATE_STOPPED, "Job was intentionally stopped." },
        { JOB_STATE_SUCCEEDED, "Job finished successfully." },
        { JOB_STATE_FAILED, "Job failed." },
    };
    for (size_t i = 0; i < ARRAY_LEN(messages); i++)
        if (str_eq(messages[i][0], status))
            return str_dup(messages[i][1]);
    return str_printf("Job has not started yet.%s%s",
                      wants_resources(record)
                          ? " It may be waiting for resources (CPUs, GPUs, memory, custom "
                            "resources) to become available."
                          : "",
                      json_object_size(json_object_get(record, "runtime_env")) > 0
                          ? " It may be waiting for the runtime environment to be set up."
                          : "");
}

/* --------------------------------------------------------------------------------- details */

static const char *const detail_fields[] = {
    "status",         "entrypoint",       "message",
    "error_type",     "start_time",       "end_time",
    "metadata",       "runtime_env",      "driver_agent_http_address",
    "driver_node_id", "driver_exit_code",
};

json_t *job_details(const json_t *record) {
    json_t *details = json_object();
    json_object_set_new(details, "type", json_string("SUBMISSION"));
    copy_or_null(details, "job_id", record);
    copy_or_null(details, "submission_id", record);
    copy_or_null(details, "driver_info", record);
    for (size_t i = 0; i < ARRAY_LEN(detail_fields); i++)
        copy_or_null(details, detail_fields[i], record);
    if (json_is_null(json_object_get(details, "message"))) {
        _cleanup_free_ char *message =
            job_usual_message(record, json_string_value(json_object_get(record, "status")));
        json_object_set_new(details, "message", json_string(message));
    }
    return details;
}

json_t *job_driver_details(const JobDriver *driver) {
    _cleanup_json_ json_t *facts = json_object();
    json_object_set_new(facts, "status",
                        json_string(driver->finished ? JOB_STATE_SUCCEEDED : JOB_STATE_RUNNING));
    json_object_set_new(facts, "entrypoint", json_string(driver->entrypoint));
    json_object_set_new(facts, "start_time", json_integer((json_int_t)driver->start_ms));
    json_object_set_new(facts, "end_time", json_integer((json_int_t)driver->end_ms));
    json_object_set_new(facts, "metadata",
                        driver->metadata ? json_deep_copy(driver->metadata) : json_object());
    json_object_set_new(facts, "runtime_env",
                        driver->runtime_env ? json_deep_copy(driver->runtime_env) : json_object());

    json_t *details = json_object();
    json_t *info = json_object();
    json_object_set_new(info, "id", json_string(driver->id));
    json_object_set_new(info, "node_ip_address", json_string(driver->ip));
    json_set_printf(info, "pid", "%u", driver->pid);
    json_object_set_new(details, "type", json_string("DRIVER"));
    json_object_set_new(details, "job_id", json_string(driver->id));
    json_object_set_new(details, "submission_id", json_null());
    json_object_set_new(details, "driver_info", info);
    for (size_t i = 0; i < ARRAY_LEN(detail_fields); i++)
        copy_or_null(details, detail_fields[i], facts);
    return details;
}

/* A copy of a runtime_env without the values of its env_vars. */
static json_t *env_redacted(const json_t *env) {
    json_t *copy = json_deep_copy(env), *vars = json_object_get(copy, "env_vars"), *value;
    const char *key;
    json_object_foreach(vars, key, value) {
        json_object_set_new(vars, key, json_string("<redacted>"));
    }
    return copy;
}

/* The same of one that is told as a text; nobody knows what is in a text that is none. */
static json_t *env_text_redacted(const json_t *text) {
    _cleanup_json_ json_t *env = NULL, *hidden = NULL;
    if (json_parse(json_string_value(text), json_string_length(text), NULL, 0, &env) < 0)
        return json_string("<redacted>");
    hidden = env_redacted(env);
    _cleanup_free_ char *shown = json_text(hidden, 0);
    return json_string(shown);
}

static void redact_at(json_t *details, const char *field) {
    json_t *env = json_object_get(details, field);
    if (json_is_object(env))
        json_object_set_new(details, field, env_redacted(env));
    else if (json_is_string(env) && json_string_length(env))
        json_object_set_new(details, field, env_text_redacted(env));
}

void job_redact(json_t *details) {
    redact_at(details, "runtime_env");
    redact_at(details, "serialized_runtime_env");
    json_t *info = json_object_get(details, "runtime_env_info");
    if (!json_is_object(info))
        return;
    info = json_deep_copy(info);
    redact_at(info, "serialized_runtime_env");
    json_object_set_new(details, "runtime_env_info", info);
}
