/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/job_run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "api/job_state.h"
#include "api/jobs.h"
#include "api/logs.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "env/hold.h"
#include "host/process.h"
#include "host/spawn.h"
#include "jobs/job_env.h"
#include "model/ids.h"
#include "rpc/dial.h"

enum {
    ANSWER_MAX = 1024 * 1024,
    LOG_LINES_ON_ERROR = 10,
    LOG_CHARS_ON_ERROR = 20000,
    STOP_WAIT_SECONDS = 3,
};
#define REPORT_TIMEOUT (10 * USEC_PER_SEC)
#define LINGER         (60 * USEC_PER_SEC) /* for a raylet that does not come back */
#define NODE_PATIENCE  (10 * USEC_PER_SEC) /* as long as the entrypoint runs without one */

typedef struct JobRunner {
    const JobRunSpec *spec;
    const char *submission; /* of the record */
    JobState state;
    Loop *loop;
    Dial *dial;
    LoopSignal *signals[2];
    LoopTimer *kill_timer, *linger_timer, *node_timer;
    char *log_path;
    int log;

    LoopChild *env_child; /* env-setup */
    pid_t env_pid;
    int env_answer;       /* a nameless file with its stdout */
    json_t *env;          /* the answer; NULL: none needed */
    EnvHold hold;

    LoopChild *driver;
    bool stopping;
    char *given_up; /* why, when nobody asked for the stop; else NULL */
} JobRunner;

/* ------------------------------------------------------------------------------- reports */

static void job_give_up(JobRunner *job, const char *why);

static void on_reported(void *argument, const RpcReply *reply) {
    JobRunner *job = argument;
    bool confirmed =
        reply->result == 0 || (reply->result == 1 && reply->status.code == STATUS_CODE_OK);
    if (!confirmed) {
        /* A lost connection is dialled again, and then everything is told again. */
        if (reply->result == 1 && reply->status.code == STATUS_CODE_DEAD) {
            _cleanup_free_ char *why = str_dup_slice(reply->status.text);
            job_give_up(job, why);
        } else if (reply->result == 1) {
            log_warn("report refused: %.*s", (int)reply->status.text.len, reply->status.text.data);
        }
        return;
    }
    if (!job_status_terminal(job->state.status))
        return;
    job->state.reported = true;
    if (job_state_write(job->spec->session_dir, &job->state) < 0)
        log_warn("the state file could not be written; the job is reported all the same");
    loop_stop(job->loop);
}

static void job_report(JobRunner *job) {
    _cleanup_buf_ Buf body = { 0 };
    const JobState *state = &job->state;
    const JobRunState message = {
        .submission = slice_str(state->submission),
        .status = slice_str(state->status),
        .message = slice_str(state->message),
        .exit_code = state->exit_code,
        .has_exit_code = state->has_exit_code,
        .driver_pid = (uint32_t)state->driver_pid,
        .error_type = slice_str(state->error_type),
        .wall_ms = state->wall_ms,
    };
    job_run_state_encode(&message, &body);
    dial_call(job->dial, PEER_GCS, MSG_JOB_RUN_STATE, &body, REPORT_TIMEOUT, on_reported, job);
}

static void on_ready(void *ctx, const Welcome *welcome) {
    JobRunner *job = ctx;
    loop_timer_stop(job->node_timer);
    job_report(job);
}

static void on_lost(void *ctx, int r, const char *sentence) {
    JobRunner *job = ctx;
    log_debug("raylet: %s", sentence);
    if (!loop_timer_armed(job->node_timer))
        loop_timer_after(job->node_timer, NODE_PATIENCE);
}

/* The node is dead to the cluster, and what it set aside for the job is gone with it. */
static void on_node_lost(void *ctx) {
    job_give_up(ctx, "The raylet of the job's node died and did not come back.");
}

/* On the disk first, then to gcs. */
static void job_enter(JobRunner *job, const char *status, const char *message) {
    _cleanup_free_ char *usual = message ? NULL : job_usual_message(job->spec->record, status);
    str_set(&job->state.status, status);
    str_set(&job->state.message, message ? message : usual);
    job->state.wall_ms = (uint64_t)(time_wall_now() / USEC_PER_MSEC);
    log_info("job %s is %s", job->submission, status);
    int r = job_state_write(job->spec->session_dir, &job->state);
    if (r < 0)
        log_error("state file: %s", error_text(r));
    if (job->dial && dial_is_ready(job->dial))
        job_report(job);
    if (job_status_terminal(status) && job->linger_timer)
        loop_timer_after(job->linger_timer, LINGER);
}

static void job_fail(JobRunner *job, const char *error_type, const char *message) {
    _cleanup_free_ char *line = str_printf("%s\n", message);
    if (fd_write_all(job->log, line, strlen(line)) < 0)
        log_warn("the job's log could not be written");
    str_set(&job->state.error_type, error_type);
    job_enter(job, JOB_STATE_FAILED, message);
}

static void job_stopped(JobRunner *job) {
    if (job->given_up)
        job_fail(job, "JOB_SUPERVISOR_ACTOR_DIED", job->given_up);
    else
        job_enter(job, JOB_STATE_STOPPED, NULL);
}

static void on_linger(void *ctx) {
    JobRunner *job = ctx;
    log_warn("nobody took the report of job %s; its state file keeps it", job->submission);
    loop_stop(job->loop);
}

/* -------------------------------------------------------------------------------- driver */

static void job_ended(JobRunner *job, const LoopExit *end) {
    job->state.has_exit_code = true;
    job->state.exit_code = end->signal ? -end->signal : end->code;
    if (job->state.exit_code == 0) {
        job_enter(job, JOB_STATE_SUCCEEDED, NULL);
        return;
    }
    _cleanup_free_ char *tail =
        log_last_lines(job->log_path, LOG_LINES_ON_ERROR, LOG_CHARS_ON_ERROR);
    _cleanup_free_ char *message =
        *tail ? str_printf("Job entrypoint command failed with exit code %d, last available logs "
                           "(truncated to 20,000 chars):\n%s",
                           job->state.exit_code, tail)
              : str_printf("Job entrypoint command failed with exit code %d. No logs available.",
                           job->state.exit_code);
    str_set(&job->state.error_type, "JOB_ENTRYPOINT_COMMAND_ERROR");
    job_enter(job, JOB_STATE_FAILED, message);
}

static void on_driver_exit(void *ctx, const LoopExit *end) {
    JobRunner *job = ctx;
    loop_timer_stop(job->kill_timer);
    /* What the entrypoint left running must not outlive the end that is told now. */
    process_kill_tree(job->state.driver_pid, SIGKILL);
    job_kill_left(job->spec->session_dir, &job->state);
    if (job->stopping)
        job_stopped(job);
    else
        job_ended(job, end);
}

static int driver_spawn(JobRunner *job, Child *ret_child) {
    _cleanup_strlist_ StrList env = { 0 };
    const json_t *cwd = json_object_get(job->env, "cwd");
    const char *entrypoint = json_str_at(job->spec->record, "entrypoint");
    const SpawnFd fds[] = { { job->log, 1 }, { job->log, 2 } };
    job_env_fill(job->spec, job->submission, job->env, &env);
    const SpawnSpec spec = {
        .argv = SPAWN_LIST("/bin/sh", "-c", entrypoint),
        .env = env.items,
        .cwd = json_is_string(cwd) ? json_string_value(cwd) : NULL,
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_SESSION,
        .death_signal = SIGKILL,
    };
    return spawn_start(&spec, ret_child);
}

static void driver_start(JobRunner *job) {
    _cleanup_free_ char *line = str_printf("Running entrypoint for job %s: %s\n", job->submission,
                                           json_str_at(job->spec->record, "entrypoint"));
    Child child = CHILD_NONE;
    int r = fd_write_all(job->log, line, strlen(line));
    if (r == 0)
        r = driver_spawn(job, &child);
    if (r == 0) {
        r = loop_child_new(job->loop, child.pidfd, on_driver_exit, job, &job->driver);
        if (r < 0)
            kill(child.pid, SIGKILL);
    }
    if (r < 0) {
        job_fail(job, "JOB_ENTRYPOINT_COMMAND_START_ERROR", error_text(r));
        return;
    }
    job->state.driver_pid = child.pid;
    job_enter(job, JOB_STATE_RUNNING, NULL);
}

/* --------------------------------------------------------------------------- environment */

static void env_fail(JobRunner *job, const char *why) {
    _cleanup_free_ char *message =
        str_printf("runtime_env setup failed: Failed to set up runtime environment.\n%s", why);
    job_fail(job, "RUNTIME_ENV_SETUP_FAILURE", message);
}

/* 0, or negative with the sentence of env-setup. */
static int env_take_answer(JobRunner *job, const LoopExit *end) {
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_free_ char *path = str_printf("/proc/self/fd/%d", job->env_answer);
    int r = file_read(path, ANSWER_MAX, &text);
    if (r < 0)
        return r;
    r = json_parse(text.data ? text.data : "", text.len, NULL, 0, &job->env);
    const char *problem = r == 0 ? json_str_at(job->env, "error") : NULL;
    if (problem)
        return error_origin(-EINVAL, "%s", problem);
    if (r < 0 || end->code != 0 || end->signal != 0)
        return error_origin(-EIO, "env-setup ended with %s %d; see runtime_env_setup-%s.log",
                            end->signal ? "signal" : "status",
                            end->signal ? end->signal : end->code, job->submission);
    return env_hold(job->env, &job->hold);
}

static void on_env_exit(void *ctx, const LoopExit *end) {
    JobRunner *job = ctx;
    job->env_child = loop_child_free(job->env_child);
    if (job->stopping) {
        job_stopped(job);
        return;
    }
    int r = env_take_answer(job, end);
    if (r < 0)
        env_fail(job, error_text(r));
    else
        driver_start(job);
}

static int nameless_file(const char *session_dir, int *ret_fd) {
    int fd = open(session_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_last("temporary file in %s", session_dir);
    *ret_fd = fd;
    return 0;
}

static int env_request(JobRunner *job, int fd) {
    _cleanup_json_ json_t *request = json_object();
    json_object_set(request, "runtime_env", json_object_get(job->spec->record, "runtime_env"));
    json_object_set_new(request, "session_dir", json_string(job->spec->session_dir));
    json_object_set_new(request, "gcs_address", json_string(job->spec->gcs_address));
    json_set_printf(request, "log", "%s/logs/runtime_env_setup-%s.log", job->spec->session_dir,
                    job->submission);
    if (job->spec->token.len)
        json_object_set_new(request, "token",
                            json_stringn(job->spec->token.data, job->spec->token.len));
    _cleanup_free_ char *text = json_text(request, 0);
    int r = fd_write_all(fd, text, strlen(text));
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = error_last("seek");
    return r;
}

static int env_spawn(JobRunner *job) {
    _cleanup_close_ int request = -1;
    int r = nameless_file(job->spec->session_dir, &request);
    if (r == 0)
        r = nameless_file(job->spec->session_dir, &job->env_answer);
    if (r == 0)
        r = env_request(job, request);
    if (r < 0)
        return r;
    const SpawnFd fds[] = { { request, 0 }, { job->env_answer, 1 }, { 2, 2 } };
    const SpawnSpec spec = {
        .argv = SPAWN_LIST("mobula", "env-setup"),
        .program = job->spec->program,
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_SESSION,
        .death_signal = SIGKILL,
    };
    Child child;
    r = spawn_start(&spec, &child);
    if (r < 0)
        return r;
    job->env_pid = child.pid;
    return loop_child_new(job->loop, child.pidfd, on_env_exit, job, &job->env_child);
}

static void log_head_line(JobRunner *job) {
    char stamp[32], line[128];
    usec_t now = time_wall_now();
    time_t seconds = (time_t)(now / USEC_PER_SEC);
    struct tm parts;
    localtime_r(&seconds, &parts);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &parts);
    int len = snprintf(line, sizeof(line),
                       "%s,%03d\tINFO job_manager.py:581 -- Runtime env is setting up.\n", stamp,
                       (int)(now / USEC_PER_MSEC % 1000));
    if (fd_write_all(job->log, line, (size_t)len) < 0)
        log_warn("the job's log could not be written");
}

static void job_begin(JobRunner *job) {
    log_head_line(job);
    if (json_object_size(json_object_get(job->spec->record, "runtime_env")) == 0) {
        driver_start(job);
        return;
    }
    int r = env_spawn(job);
    if (r < 0)
        env_fail(job, error_text(r));
}

/* ---------------------------------------------------------------------------------- stop */

static void on_kill(void *ctx) {
    JobRunner *job = ctx;
    log_warn("job %s did not end in time and is killed", job->submission);
    process_kill_tree(job->state.driver_pid, SIGKILL);
}

static usec_t stop_wait(void) {
    const char *text = getenv("RAY_JOB_STOP_WAIT_TIME_S");
    int64_t seconds = STOP_WAIT_SECONDS;
    if (text && (str_to_i64(text, &seconds) < 0 || seconds < 0 || seconds > 86400))
        seconds = STOP_WAIT_SECONDS;
    return seconds * USEC_PER_SEC;
}

static void job_stop(JobRunner *job) {
    if (job->stopping || job_status_terminal(job->state.status))
        return;
    job->stopping = true;
    if (job->env_child) {
        process_kill_tree(job->env_pid, SIGKILL);
        return;
    }
    const char *wanted = getenv("RAY_JOB_STOP_SIGNAL");
    process_kill_tree(job->state.driver_pid, str_eq(wanted, "SIGINT") ? SIGINT : SIGTERM);
    loop_timer_after(job->kill_timer, stop_wait());
}

static void job_give_up(JobRunner *job, const char *why) {
    if (job->stopping || job_status_terminal(job->state.status))
        return;
    log_warn("job %s is ended: %s", job->submission, why);
    job->given_up = str_dup(why);
    job_stop(job);
}

static void on_signal(void *ctx, int signo) {
    job_stop(ctx);
}

static void on_frame(void *ctx, const FrameHeader *header, Slice body) {
    if (header->type == MSG_JOB_RUN_STOP)
        job_stop(ctx);
}

/* ---------------------------------------------------------------------------------- life */

static const DialEvents dial_events = { on_ready, on_frame, on_lost };

static void job_done(JobRunner *job) {
    dial_free(job->dial);
    for (size_t i = 0; i < ARRAY_LEN(job->signals); i++)
        loop_signal_free(job->signals[i]);
    loop_timer_free(job->kill_timer);
    loop_timer_free(job->linger_timer);
    loop_timer_free(job->node_timer);
    loop_child_free(job->env_child);
    loop_child_free(job->driver);
    env_hold_done(&job->hold);
    json_decref(job->env);
    fd_close(job->env_answer);
    fd_close(job->log);
    free(job->log_path);
    free(job->given_up);
    job_state_done(&job->state);
    loop_free(job->loop);
}

static int job_open(JobRunner *job) {
    const JobRunSpec *spec = job->spec;
    job->submission = json_str_at(spec->record, "submission_id");
    if (!job->submission || !job_submission_valid(job->submission) ||
        !json_str_at(spec->record, "entrypoint"))
        return error_origin(-EINVAL, "the record lacks a usable submission_id or an entrypoint");
    job->state.submission = str_dup(job->submission);
    job->state.pid = getpid();
    job->log_path = job_log_path(spec->session_dir, job->submission);
    int r = process_start_time(getpid(), &job->state.start_time);
    if (r < 0)
        return r;
    /* A log of that name is of a job that was deleted. */
    job->log = open(job->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (job->log < 0)
        return error_last("open %s", job->log_path);
    job->state.status = str_dup(JOB_STATE_PENDING);
    job->state.message = job_usual_message(spec->record, JOB_STATE_PENDING);
    job->state.wall_ms = (uint64_t)(time_wall_now() / USEC_PER_MSEC);
    return job_state_write(spec->session_dir, &job->state);
}

static int job_connect(JobRunner *job) {
    static const int signals[] = { SIGTERM, SIGINT };
    const DialSpec dial = {
        .address = job->spec->raylet_socket,
        .role = ROLE_JOB_RUN,
        .token = job->spec->token,
        .submission = job->submission,
    };
    int r = loop_new(&job->loop);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(signals); i++)
        r = loop_signal_new(job->loop, signals[i], on_signal, job, &job->signals[i]);
    if (r < 0)
        return r;
    job->kill_timer = loop_timer_new(job->loop, on_kill, job);
    job->linger_timer = loop_timer_new(job->loop, on_linger, job);
    job->node_timer = loop_timer_new(job->loop, on_node_lost, job);
    return dial_new(job->loop, &dial, &dial_events, job, &job->dial);
}

int job_run(const JobRunSpec *spec, int ready) {
    JobRunner job = { .spec = spec, .log = -1, .env_answer = -1 };
    int r = job_open(&job);
    if (r == 0)
        r = job_connect(&job);
    job_run_ready(ready, r < 0 ? error_text(r) : NULL);
    if (r == 0) {
        job_begin(&job);
        loop_run(job.loop);
    }
    job_done(&job);
    return r < 0;
}
