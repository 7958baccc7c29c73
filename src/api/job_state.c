/* SPDX-License-Identifier: Apache-2.0 */
#include "api/job_state.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "codec/json.h"
#include "host/process.h"

enum {
    SUBMISSION_MAX = 200,
    FILE_MAX = 1024 * 1024,
};

void job_state_done(JobState *state) {
    free(state->submission);
    free(state->status);
    free(state->message);
    free(state->error_type);
    *state = (JobState){ 0 };
}

bool job_status_terminal(const char *status) {
    return str_eq(status, JOB_STATE_STOPPED) || str_eq(status, JOB_STATE_SUCCEEDED) ||
           str_eq(status, JOB_STATE_FAILED);
}

bool job_submission_valid(const char *submission) {
    size_t len = strlen(submission);
    if (len == 0 || len > SUBMISSION_MAX || submission[0] == '.')
        return false;
    for (const char *p = submission; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '/' || *p == '\\')
            return false;
    return true;
}

static char *state_path(const char *session_dir, const char *submission) {
    return str_printf("%s/jobs/%s.json", session_dir, submission);
}

static void set_text(json_t *object, const char *key, const char *value) {
    if (value)
        json_object_set_new(object, key, json_string(value));
}

int job_state_write(const char *session_dir, const JobState *state) {
    _cleanup_json_ json_t *json = json_object();
    set_text(json, "submission", state->submission);
    json_object_set_new(json, "pid", json_integer(state->pid));
    json_object_set_new(json, "start_time", json_integer((json_int_t)state->start_time));
    json_object_set_new(json, "driver_pid", json_integer(state->driver_pid));
    set_text(json, "status", state->status);
    set_text(json, "message", state->message);
    set_text(json, "error_type", state->error_type);
    if (state->has_exit_code)
        json_object_set_new(json, "exit_code", json_integer(state->exit_code));
    json_object_set_new(json, "wall_ms", json_integer((json_int_t)state->wall_ms));
    json_object_set_new(json, "reported", json_boolean(state->reported));

    _cleanup_free_ char *path = state_path(session_dir, state->submission);
    _cleanup_free_ char *dir = str_printf("%s/jobs", session_dir);
    _cleanup_free_ char *text = json_text(json, 0);
    int r = dir_make(dir, 0700);
    return r < 0 ? r : file_write_atomic(path, text, strlen(text), 0600);
}

static char *get_text(const json_t *json, const char *key) {
    return str_dup(json_string_value(json_object_get(json, key)));
}

int job_state_read(const char *session_dir, const char *submission, JobState *ret_state) {
    _cleanup_free_ char *path = state_path(session_dir, submission);
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *json = NULL;
    int r = file_read(path, FILE_MAX, &text);
    if (r < 0)
        return r;
    if (json_parse(text.data ? text.data : "", text.len, NULL, 0, &json) < 0)
        return error_origin(-EBADMSG, "%s is no job state", path);
    _cleanup_(job_state_done) JobState state = {
        .submission = get_text(json, "submission"),
        .pid = (pid_t)json_int_at(json, 0, "pid"),
        .start_time = (uint64_t)json_int_at(json, 0, "start_time"),
        .driver_pid = (pid_t)json_int_at(json, 0, "driver_pid"),
        .status = get_text(json, "status"),
        .message = get_text(json, "message"),
        .error_type = get_text(json, "error_type"),
        .has_exit_code = json_object_get(json, "exit_code") != NULL,
        .exit_code = (int)json_int_at(json, 0, "exit_code"),
        .wall_ms = (uint64_t)json_int_at(json, 0, "wall_ms"),
        .reported = json_bool_at(json, false, "reported"),
    };
    if (!str_eq(state.submission, submission) || !state.status)
        return error_origin(-EBADMSG, "%s is no state of job %s", path, submission);
    *ret_state = state;
    state = (JobState){ 0 };
    return 0;
}

void job_state_remove(const char *session_dir, const char *submission) {
    _cleanup_free_ char *path = state_path(session_dir, submission);
    unlink(path);
}

char *job_env_entry(const char *session_dir, const char *submission) {
    const char *name = strrchr(session_dir, '/');
    return str_printf("MOBULA_SUBMISSION_ID=%s/%s", name ? name + 1 : session_dir, submission);
}

void job_kill_left(const char *session_dir, const JobState *state) {
    _cleanup_free_ char *entry = job_env_entry(session_dir, state->submission);
    PidList pids = { 0 };
    if (process_find_by_env(entry, &pids) == 0) {
        VEC_EACH(pid, &pids)
            kill(*pid, SIGKILL);
    }
    vec_done(&pids);
}

int job_states_each(const char *session_dir, JobStateFn *fn, void *ctx) {
    _cleanup_free_ char *path = str_printf("%s/jobs", session_dir);
    _cleanup_strlist_ StrList names = { 0 };
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : error_last("read directory %s", path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (str_ends(entry->d_name, ".json"))
            strlist_take(&names, str_dup_slice((Slice){ entry->d_name,
                                                        strlen(entry->d_name) - strlen(".json") }));
    closedir(dir);
    strlist_sort(&names);
    for (size_t i = 0; i < names.len; i++) {
        _cleanup_(job_state_done) JobState state = { 0 };
        if (job_submission_valid(names.items[i]) &&
            job_state_read(session_dir, names.items[i], &state) == 0)
            fn(ctx, &state);
    }
    return 0;
}

typedef struct Adoption {
    const char *session_dir;
    uint64_t wall_ms;
    JobStateFn *fn;
    void *ctx;
    int r;
} Adoption;

static bool job_run_lives(const JobState *state) {
    uint64_t start_time;
    return process_alive(state->pid) && process_start_time(state->pid, &start_time) == 0 &&
           start_time == state->start_time;
}

static void adopt_one(void *ctx, const JobState *found) {
    Adoption *adoption = ctx;
    if (found->reported || job_run_lives(found))
        return;
    if (job_status_terminal(found->status)) {
        adoption->fn(adoption->ctx, found);
        return;
    }
    job_kill_left(adoption->session_dir, found);
    JobState state = *found; /* borrows the texts it does not replace */
    state.status = (char *)(uintptr_t)JOB_STATE_FAILED;
    state.message = (char *)(uintptr_t)"The process that ran the job, job-run, died; the job's "
                                       "processes were ended. Submit the job again.";
    state.error_type = (char *)(uintptr_t)"JOB_SUPERVISOR_ACTOR_DIED";
    state.wall_ms = adoption->wall_ms;
    int r = job_state_write(adoption->session_dir, &state);
    if (r < 0)
        adoption->r = r;
    adoption->fn(adoption->ctx, &state);
}

int job_states_adopt(const char *session_dir, uint64_t wall_ms, JobStateFn *fn, void *ctx) {
    Adoption adoption = { session_dir, wall_ms, fn, ctx, 0 };
    int r = job_states_each(session_dir, adopt_one, &adoption);
    return r < 0 ? r : adoption.r;
}
