/* SPDX-License-Identifier: Apache-2.0 */

/* `ray job`: status, logs, list, stop, delete. Submitting is in ray_job_submit.c. */

#include "cmd/ray_job.h"

#include <stdio.h>

#include "api/job_state.h"
#include "base/error.h"
#include "cmd/job_client.h"
#include "cmd/say.h"
#include "codec/pyrepr.h"

#define STOP_POLL (200 * USEC_PER_MSEC)
#define STOP_TELL USEC_PER_SEC

static char *job_target(const char *job, const char *rest) {
    _cleanup_free_ char *id = http_encode(job, false);
    return str_printf("/api/jobs/%s%s", id, rest);
}

int ray_job_say_status(JobClient *client, const char *job, char **ret_status) {
    _cleanup_free_ char *target = job_target(job, "");
    _cleanup_json_ json_t *details = NULL;
    int r = job_client_get(client, "GET", target, NULL, &details);
    if (r < 0)
        return r;
    const char *status = json_str_at(details, "status"), *message = json_str_at(details, "message");
    if (str_eq(status, JOB_STATE_SUCCEEDED)) {
        say_box(false, "Job '%s' succeeded", job);
    } else if (str_eq(status, JOB_STATE_STOPPED)) {
        say_warning("Job '%s' was stopped", job);
    } else {
        if (str_eq(status, JOB_STATE_FAILED))
            say_box(true, "Job '%s' failed", job);
        else
            say(0, "Status for job '%s': %s", job, status ? status : "");
        if (message)
            say(0, "Status message: %s", message);
    }
    if (ret_status)
        *ret_status = str_dup(status);
    return 0;
}

/* What the simple subcommands share: an id, the client's options, the console's. */
typedef struct JobArgs {
    JobClientOptions client;
    SayStyle style;
    bool no_wait, follow;
    const char *job;
} JobArgs;

/* 0 and an open client; 1 and the exit status, when everything is said; else negative. */
static int job_begin(JobArgs *args, const Option *options, size_t n_options, const char *command,
                     const char *about, const char *argument, int argc, char **argv,
                     JobClient *client, int *ret_status) {
    const OptionTable table = { command, argument, about, options, n_options };
    int first = 0, r = options_parse(&table, argc, argv, &first);
    if (r > 0) {
        *ret_status = options_exit(r);
        return 1;
    }
    if (argument && first >= argc) {
        *ret_status = options_fail(&table, "Missing argument '%s'.", argument);
        return 1;
    }
    if (argument && first + 1 < argc) {
        *ret_status = options_fail(&table, "Got unexpected extra argument (%s)", argv[first + 1]);
        return 1;
    }
    args->job = argument ? argv[first] : NULL;
    say_setup(&args->style);
    return job_client_open(&args->client, client);
}

static int job_end(int r) {
    return r < 0 ? say_error("%s", error_text(r)) : 0;
}

#define JOB_BEGIN(args, client, options, command, about, argument)                                 \
    do {                                                                                           \
        int status_ = 0;                                                                           \
        int r_ = job_begin((args), (options), ARRAY_LEN(options), (command), (about), (argument),  \
                           argc, argv, (client), &status_);                                        \
        if (r_ != 0)                                                                               \
            return r_ > 0 ? status_ : job_end(r_);                                                 \
    } while (0)

static int job_status(int argc, char **argv) {
    JobArgs args = { 0 };
    _cleanup_job_client_ JobClient client = { 0 };
    const Option options[] = { JOB_CLIENT_OPTIONS(&args.client), SAY_OUTPUT_OPTION(&args.style),
                               SAY_OPTIONS(&args.style) };
    JOB_BEGIN(&args, &client, options, "ray job status", "Queries for the current status of a job.",
              "JOB_ID");
    if (str_eq(args.style.output, "json")) {
        _cleanup_free_ char *target = job_target(args.job, "");
        _cleanup_json_ json_t *details = NULL;
        int r = job_client_get(&client, "GET", target, NULL, &details);
        if (r == 0)
            say_json(details);
        return job_end(r);
    }
    return job_end(ray_job_say_status(&client, args.job, NULL));
}

static int job_logs(int argc, char **argv) {
    JobArgs args = { 0 };
    _cleanup_job_client_ JobClient client = { 0 };
    const Option options[] = {
        { "follow", OPTION_FLAG, &args.follow, "If set, follow the logs (like `tail -f`).",
          .letter = 'f' },
        JOB_CLIENT_OPTIONS(&args.client),
        SAY_OPTIONS(&args.style),
    };
    JOB_BEGIN(&args, &client, options, "ray job logs", "Gets the logs of a job.", "JOB_ID");
    if (args.follow) {
        int r = job_client_tail(&client, args.job);
        return job_end(r < 0 ? r : ray_job_say_status(&client, args.job, NULL));
    }
    _cleanup_free_ char *target = job_target(args.job, "/logs");
    _cleanup_json_ json_t *answer = NULL;
    int r = job_client_get(&client, "GET", target, NULL, &answer);
    const json_t *logs = json_object_get(answer, "logs");
    if (r == 0 && json_is_string(logs))
        fwrite(json_string_value(logs), 1, json_string_length(logs), stdout);
    return job_end(r);
}

/* ---------------------------------------------------------------------------------- stop */

static int wait_for_end(JobClient *client, const char *job) {
    _cleanup_free_ char *target = job_target(job, "");
    usec_t tell = 0;
    for (;;) {
        _cleanup_json_ json_t *details = NULL;
        int r = job_client_get(client, "GET", target, NULL, &details);
        if (r < 0)
            return r;
        const char *status = json_str_at(details, "status");
        if (job_status_terminal(status))
            return ray_job_say_status(client, job, NULL);
        if (loop_now(client->loop) >= tell) {
            say(0, "Job has not exited yet. Status: %s", status ? status : "");
            tell = loop_deadline(client->loop, STOP_TELL);
        }
        usec_t next = loop_deadline(client->loop, STOP_POLL);
        while (loop_now(client->loop) < next)
            loop_tick(client->loop, next);
    }
}

static int job_stop(int argc, char **argv) {
    JobArgs args = { 0 };
    _cleanup_job_client_ JobClient client = { 0 };
    const Option options[] = {
        { "no-wait", OPTION_FLAG, &args.no_wait, "If set, will not wait for the job to exit." },
        JOB_CLIENT_OPTIONS(&args.client),
        SAY_OPTIONS(&args.style),
    };
    JOB_BEGIN(&args, &client, options, "ray job stop", "Attempts to stop a job.", "JOB_ID");
    _cleanup_free_ char *target = job_target(args.job, "/stop");
    _cleanup_json_ json_t *version = NULL, *answer = NULL;
    int r = job_client_get(&client, "GET", "/api/version", NULL, &version);
    if (r < 0)
        return job_end(r);
    say(0, "Attempting to stop job '%s'", args.job);
    r = job_client_get(&client, "POST", target, NULL, &answer);
    if (r < 0 || args.no_wait)
        return job_end(r);
    say(0, "Waiting for job '%s' to exit (disable with --no-wait):", args.job);
    return job_end(wait_for_end(&client, args.job));
}

static int job_delete(int argc, char **argv) {
    JobArgs args = { 0 };
    _cleanup_job_client_ JobClient client = { 0 };
    const Option options[] = { JOB_CLIENT_OPTIONS(&args.client), SAY_OPTIONS(&args.style) };
    JOB_BEGIN(&args, &client, options, "ray job delete",
              "Deletes a stopped job and its associated data from memory.\n\nOnly supported for "
              "jobs that are already in a terminal state. Fails with exit code 1 if the job is not "
              "already stopped. Does not delete job logs from disk.",
              "JOB_ID");
    _cleanup_free_ char *target = job_target(args.job, "");
    _cleanup_json_ json_t *answer = NULL;
    int r = job_client_get(&client, "DELETE", target, NULL, &answer);
    if (r == 0)
        say(0, "Job '%s' deleted successfully", args.job);
    return job_end(r);
}

/* ---------------------------------------------------------------------------------- list */

static void add_field(const json_t *job, const char *field, const char *enum_type, Buf *out) {
    const json_t *value = json_object_get(job, field);
    buf_printf(out, ", %s=", field);
    if (enum_type && json_is_string(value))
        buf_printf(out, "<%s.%s: '%s'>", enum_type, json_string_value(value),
                   json_string_value(value));
    else
        pyrepr(value, out);
}

static void add_driver(const json_t *job, Buf *out) {
    const json_t *driver = json_object_get(job, "driver_info");
    buf_add_str(out, ", driver_info=");
    if (!json_is_object(driver)) {
        buf_add_str(out, "None");
        return;
    }
    static const char *const fields[] = { "id", "node_ip_address", "pid" };
    buf_add_str(out, "DriverInfo(");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        buf_printf(out, "%s%s=", i ? ", " : "", fields[i]);
        pyrepr(json_object_get(driver, fields[i]), out);
    }
    buf_add_char(out, ')');
}

static void add_job(const json_t *job, Buf *out) {
    static const char *const rest[] = { "entrypoint",     "message",
                                        "error_type",     "start_time",
                                        "end_time",       "metadata",
                                        "runtime_env",    "driver_agent_http_address",
                                        "driver_node_id", "driver_exit_code" };
    const char *type = json_str_at(job, "type");
    buf_printf(out, "JobDetails(type=<JobType.%s: '%s'>", type ? type : "", type ? type : "");
    add_field(job, "job_id", NULL, out);
    add_field(job, "submission_id", NULL, out);
    add_driver(job, out);
    add_field(job, "status", "JobStatus", out);
    for (size_t i = 0; i < ARRAY_LEN(rest); i++)
        add_field(job, rest[i], NULL, out);
    buf_add_char(out, ')');
}

static int job_list(int argc, char **argv) {
    JobArgs args = { 0 };
    _cleanup_job_client_ JobClient client = { 0 };
    const Option options[] = { JOB_CLIENT_OPTIONS(&args.client), SAY_OUTPUT_OPTION(&args.style),
                               SAY_OPTIONS(&args.style) };
    JOB_BEGIN(&args, &client, options, "ray job list",
              "Lists all running jobs and their information.", NULL);
    _cleanup_json_ json_t *jobs = NULL;
    _cleanup_buf_ Buf text = { 0 };
    int r = job_client_get(&client, "GET", "/api/jobs/", NULL, &jobs);
    if (r < 0)
        return job_end(r);
    if (str_eq(args.style.output, "json")) {
        say_json(jobs);
        return 0;
    }
    buf_add_char(&text, '[');
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        if (i)
            buf_add_str(&text, ",\n ");
        add_job(json_array_get(jobs, i), &text);
    }
    buf_add_char(&text, ']');
    say(0, "%s", text.data);
    return 0;
}

int ray_job(int argc, char **argv) {
    static const Command commands[] = {
        { "submit", ray_job_submit, "Submits a job to be run on the cluster." },
        { "status", job_status, "Queries for the current status of a job." },
        { "logs", job_logs, "Gets the logs of a job." },
        { "list", job_list, "Lists all running jobs and their information." },
        { "stop", job_stop, "Attempts to stop a job." },
        { "delete", job_delete, "Deletes a stopped job and its associated data." },
    };
    const CommandGroup group = { "ray job", "Submit, stop, delete, or list Ray jobs.", NULL,
                                 commands, ARRAY_LEN(commands) };
    return commands_run(&group, argc, argv);
}
