/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/job_env.h"

#include <stdlib.h>

#include "api/job_state.h"

extern char **environ;

static void set(json_t *vars, const char *name, const char *value) {
    json_object_set_new(vars, name, json_string(value));
}

/* What ray.init() in the job finds: the job's environment and metadata. */
static void set_job_config(const JobRunSpec *spec, const char *submission, json_t *vars) {
    _cleanup_json_ json_t *config = json_object();
    json_t *metadata = json_object(), *given = json_object_get(spec->record, "metadata");
    json_t *env = json_object_get(spec->record, "runtime_env");
    json_object_set_new(metadata, "job_submission_id", json_string(submission));
    json_object_set_new(metadata, "job_name", json_string(submission));
    if (json_is_object(given))
        json_object_update(metadata, given);
    json_object_set_new(config, "runtime_env",
                        json_is_object(env) ? json_incref(env) : json_object());
    json_object_set_new(config, "metadata", metadata);
    _cleanup_free_ char *text = json_text(config, 0);
    set(vars, "RAY_JOB_CONFIG_JSON_ENV_VAR", text);
}

static void set_authentication(const JobRunSpec *spec, json_t *vars) {
    if (!spec->token.len)
        return;
    _cleanup_free_ char *token = str_dup_slice(spec->token);
    set(vars, "RAY_AUTH_MODE", "token");
    set(vars, "RAY_AUTH_TOKEN", token);
}

/* The GPUs that the entrypoint was given, by the names that this node's are called by. */
static void set_visible_devices(const JobRunSpec *spec, json_t *vars) {
    const char *keep = json_str_at(vars, "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES");
    if (json_array_size(spec->gpus) == 0 || (!str_empty(keep) && !str_eq(keep, "0")))
        return;
    _cleanup_strlist_ StrList names = { 0 };
    _cleanup_buf_ Buf text = { 0 };
    const char *outer = getenv("CUDA_VISIBLE_DEVICES");
    for (const char *p = outer; !str_empty(p); p += *p == ',') {
        size_t len = strcspn(p, ",");
        strlist_take(&names, str_dup_slice((Slice){ p, len }));
        p += len;
    }
    for (size_t i = 0; i < json_array_size(spec->gpus); i++) {
        size_t at = (size_t)json_integer_value(json_array_get(spec->gpus, i));
        buf_printf(&text, "%s", i ? "," : "");
        if (at < names.len)
            buf_printf(&text, "%s", names.items[at]);
        else
            buf_printf(&text, "%zu", at);
    }
    buf_add_char(&text, 0);
    set(vars, "CUDA_VISIBLE_DEVICES", text.data);
}

void job_env_fill(const JobRunSpec *spec, const char *submission, const json_t *env, StrList *out) {
    _cleanup_json_ json_t *vars = json_object();
    json_t *given = json_object_get(env, "env_vars");
    const char *name;
    json_t *value;
    for (char **entry = environ; *entry; entry++) {
        _cleanup_free_ char *key = str_dup_slice((Slice){ *entry, strcspn(*entry, "=") });
        json_t *text = json_string((*entry)[strlen(key)] ? *entry + strlen(key) + 1 : "");
        if (text) /* not UTF-8: nothing that we or Ray set */
            json_object_set_new(vars, key, text);
    }
    if (json_is_object(given))
        json_object_update(vars, given);
    set_job_config(spec, submission, vars);
    set_authentication(spec, vars);
    set_visible_devices(spec, vars);
    set(vars, "RAY_ADDRESS", spec->gcs_address);
    set(vars, "PYTHONUNBUFFERED", "1");
    json_object_foreach(vars, name, value) {
        strlist_printf(out, "%s=%s", name, json_string_value(value));
    }
    strlist_take(out, job_env_entry(spec->session_dir, submission));
}
