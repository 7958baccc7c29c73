/* SPDX-License-Identifier: Apache-2.0 */

/* `ray job submit`: gathers the runtime environment, uploads what is local, submits, follows. */

#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/job_state.h"
#include "base/error.h"
#include "base/fd.h"
#include "cmd/ray_job.h"
#include "cmd/say.h"
#include "codec/yaml.h"
#include "env/env.h"
#include "env/package.h"

enum {
    ENV_FILE_MAX = 1024 * 1024
};

typedef struct SubmitArgs {
    JobClientOptions client;
    SayStyle style;
    const char *job_id, *submission_id, *runtime_env, *runtime_env_json, *working_dir, *metadata;
    const char *resources, *labels;
    double cpus, gpus;
    int64_t memory;
    bool has_cpus, has_gpus, has_memory, no_wait;
} SubmitArgs;

/* ------------------------------------------------------------------------------- request */

/* One word as shlex.quote() writes it. */
static void add_quoted(const char *word, Buf *out) {
    static const char safe[] = "@%+=:,./-_";
    bool plain = *word != 0;
    for (const char *p = word; *p; p++)
        plain &= isalnum((unsigned char)*p) || strchr(safe, *p);
    if (plain) {
        buf_add_str(out, word);
        return;
    }
    buf_add_char(out, '\'');
    for (const char *p = word; *p; p++) {
        if (*p == '\'')
            buf_add_str(out, "'\"'\"'");
        else
            buf_add_char(out, *p);
    }
    buf_add_char(out, '\'');
}

static char *join_words(int argc, char **argv) {
    _cleanup_buf_ Buf out = { 0 };
    for (int i = 0; i < argc; i++) {
        if (i)
            buf_add_char(&out, ' ');
        add_quoted(argv[i], &out);
    }
    return buf_steal(&out);
}

/* `or_null`: null is as good, and is what it gives then. */
static int parse_object(const char *text, const char *option, bool or_null, json_t **ret_object) {
    _cleanup_json_ json_t *value = NULL;
    int r = json_parse(text, strlen(text), NULL, 0, &value);
    if (r < 0 || !(json_is_object(value) || (or_null && json_is_null(value))))
        return error_origin(-EINVAL, "`--%s=%s` is not a valid JSON string%s%s", option, text,
                            r < 0 ? ", detailed error: " : " of an object",
                            r < 0 ? error_text(r) : "");
    *ret_object = TAKE(value);
    return 0;
}

static int read_env_file(const char *path, json_t **ret_env) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read(path, ENV_FILE_MAX, &text);
    if (r == 0)
        r = yaml_parse_or_null(text.data ? text.data : "", text.len, NULL, ret_env);
    return r < 0 ? error_context(r, "--runtime-env %s", path) : 0;
}

static int gather_env(const SubmitArgs *args, json_t **ret_env) {
    _cleanup_json_ json_t *env = NULL;
    int r = 0;
    if (args->runtime_env && args->runtime_env_json)
        return error_origin(-EINVAL, "ValueError: Only one of --runtime_env and --runtime-env-json "
                                     "can be provided.");
    if (args->runtime_env)
        r = read_env_file(args->runtime_env, &env);
    else if (args->runtime_env_json)
        r = parse_object(args->runtime_env_json, "runtime-env-json", true, &env);
    if (r < 0)
        return r;
    if (!env || json_is_null(env)) {
        json_decref(env);
        env = json_object();
    }
    if (args->working_dir) {
        if (json_object_get(env, "working_dir"))
            say_warning("Overriding runtime_env working_dir with --working-dir option");
        json_object_set_new(env, "working_dir", json_string(args->working_dir));
    }
    return env_normalize(env, ENV_LOCAL_PATHS, ret_env);
}

/* -------------------------------------------------------------------------------- upload */

typedef struct Uploader {
    JobClient *client;
    StrList excludes;
    PackageOptions options;
} Uploader;

static int upload_if_missing(Uploader *up, const char *name, const char *source, bool archive) {
    _cleanup_free_ char *target = str_printf("/api/packages/gcs/%s", name);
    _cleanup_(job_response_done) JobResponse question = { 0 }, answer = { 0 };
    char temp[] = "/tmp/mobula-package-XXXXXX";
    int r = job_client_call(up->client, "GET", target, NULL, &question);
    if (r < 0 || question.status == 200)
        return r;
    if (question.status != 404)
        return job_client_refused(&question);
    if (archive) {
        r = job_client_put_file(up->client, target, source, &answer);
    } else {
        int fd = mkstemp(temp);
        if (fd < 0)
            return error_last("temporary file");
        fd_close(fd);
        r = package_create(source, &up->options, temp);
        if (r == 0)
            r = job_client_put_file(up->client, target, temp, &answer);
        unlink(temp);
    }
    return r < 0 || answer.status == 200 ? r : job_client_refused(&answer);
}

/* The gcs:// URI of a local directory, .py file or archive, once it is uploaded. */
static int upload(Uploader *up, const char *path, const char *field, json_t **ret_uri) {
    struct stat st;
    _cleanup_free_ char *name = NULL, *real = realpath(path, NULL);
    int r = 0;
    if (!real || stat(real, &st) < 0)
        return error_origin(-EINVAL, "ValueError: %s %s does not exist", field, path);
    bool module_file = S_ISREG(st.st_mode) && up->options.include_parent && str_ends(real, ".py");
    if (S_ISDIR(st.st_mode) || module_file) {
        name = mem_alloc(PACKAGE_NAME_MAX);
        r = package_name(real, &up->options, name);
    } else if (env_package_name_ok(strrchr(real, '/') + 1)) {
        r = package_name_of_archive(real, &name);
    } else {
        r = error_origin(-EINVAL,
                         "ValueError: directory %s must be an existing directory or a "
                         "supported archive (.zip, .tar.gz, .tgz, .tar.xz)",
                         path);
    }
    if (r == 0)
        r = upload_if_missing(up, name, real, S_ISREG(st.st_mode) && !module_file);
    if (r < 0)
        return r;
    _cleanup_free_ char *uri = str_printf("gcs://%s", name);
    *ret_uri = json_string(uri);
    return 0;
}

static int upload_modules(Uploader *up, json_t *env) {
    json_t *modules = json_object_get(env, "py_modules");
    up->options.include_parent = true;
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const char *module = json_string_value(json_array_get(modules, i));
        json_t *uri;
        if (env_uri_scheme(module) != ENV_PATH)
            continue;
        int r = upload(up, module, "py_modules", &uri);
        if (r < 0)
            return r;
        json_array_set_new(modules, i, uri);
    }
    return 0;
}

static int upload_code(JobClient *client, json_t *env) {
    Uploader up = { .client = client };
    const char *dir = json_str_at(env, "working_dir"), *ignore;
    size_t i;
    json_t *item, *uri;
    int r = 0;
    json_array_foreach(json_object_get(env, "excludes"), i, item) {
        strlist_add(&up.excludes, json_string_value(item));
    }
    ignore = getenv("RAY_RUNTIME_ENV_IGNORE_GITIGNORE");
    up.options = (PackageOptions){
        .excludes = &up.excludes,
        .no_gitignore = str_eq(ignore, "1"),
        .defaults = getenv("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES"),
    };
    if (dir && env_uri_scheme(dir) == ENV_PATH) {
        r = upload(&up, dir, "working_dir", &uri);
        if (r == 0)
            json_object_set_new(env, "working_dir", uri);
    }
    if (r == 0)
        r = upload_modules(&up, env);
    strlist_done(&up.excludes);
    return r;
}

/* -------------------------------------------------------------------------------- submit */

static int make_request(const SubmitArgs *args, const char *entrypoint, json_t *env,
                        json_t **ret_request) {
    _cleanup_json_ json_t *request = json_object(), *metadata = NULL, *resources = NULL,
                          *labels = NULL;
    const char *id = args->submission_id ? args->submission_id : args->job_id;
    int r = args->metadata ? parse_object(args->metadata, "metadata-json", false, &metadata) : 0;
    if (r == 0 && args->resources)
        r = parse_object(args->resources, "entrypoint-resources", false, &resources);
    if (r == 0 && args->labels)
        r = parse_object(args->labels, "entrypoint-label-selector", false, &labels);
    if (r < 0)
        return r;
    json_object_set_new(request, "entrypoint", json_string(entrypoint));
    if (id)
        json_object_set_new(request, "submission_id", json_string(id));
    json_object_set(request, "runtime_env", env);
    json_object_set_new(request, "metadata", metadata ? json_incref(metadata) : json_object());
    if (args->has_cpus)
        json_object_set_new(request, "entrypoint_num_cpus", json_real(args->cpus));
    if (args->has_gpus)
        json_object_set_new(request, "entrypoint_num_gpus", json_real(args->gpus));
    if (args->has_memory)
        json_object_set_new(request, "entrypoint_memory", json_integer(args->memory));
    if (resources)
        json_object_set(request, "entrypoint_resources", resources);
    if (labels)
        json_object_set(request, "entrypoint_label_selector", labels);
    *ret_request = TAKE(request);
    return 0;
}

static void say_next_steps(const char *job) {
    say_box(false, "Job '%s' submitted successfully", job);
    say(0, "Next steps");
    say(1, "Query the logs of the job:");
    say(2, "ray job logs %s", job);
    say(1, "Query the status of the job:");
    say(2, "ray job status %s", job);
    say(1, "Request the job to be stopped:");
    say(2, "ray job stop %s", job);
    say_blank();
    fflush(stdout); /* whoever reads a pipe wants the id now */
}

/* The exit status: 1 for a job that failed. */
static int follow(JobClient *client, const char *job) {
    _cleanup_free_ char *status = NULL;
    say(0, "Tailing logs until the job exits (disable with --no-wait):");
    fflush(stdout);
    int r = job_client_tail(client, job);
    if (r == 0)
        r = ray_job_say_status(client, job, &status);
    if (r < 0)
        return say_error("%s", error_text(r));
    return str_eq(status, JOB_STATE_FAILED);
}

static int submit(const SubmitArgs *args, JobClient *client, const char *entrypoint) {
    _cleanup_json_ json_t *env = NULL, *request = NULL, *answer = NULL;
    int r = gather_env(args, &env);
    if (r == 0)
        r = upload_code(client, env);
    if (r == 0)
        r = make_request(args, entrypoint, env, &request);
    if (r == 0)
        r = job_client_get(client, "POST", "/api/jobs/", request, &answer);
    if (r < 0)
        return say_error("%s", error_text(r));
    const char *job = json_str_at(answer, "submission_id");
    if (!job)
        return say_error("RuntimeError: the server's answer has no submission_id");
    say_next_steps(job);
    return args->no_wait ? 0 : follow(client, job);
}

int ray_job_submit(int argc, char **argv) {
    SubmitArgs args = { 0 };
    const Option options[] = {
        JOB_CLIENT_OPTIONS(&args.client),
        { "job-id", OPTION_TEXT, &args.job_id, "DEPRECATED: Use `--submission-id` instead." },
        { "submission-id", OPTION_TEXT, &args.submission_id,
          "Submission ID to specify for the job. If not provided, one will be generated." },
        { "runtime-env", OPTION_TEXT, &args.runtime_env,
          "Path to a local YAML file containing a runtime_env definition." },
        { "runtime-env-json", OPTION_TEXT, &args.runtime_env_json,
          "JSON-serialized runtime_env dictionary." },
        { "working-dir", OPTION_TEXT, &args.working_dir,
          "Directory containing files that your job will run in. Can be a local directory or a "
          "remote URI to a .zip file. If specified, this overrides the option in "
          "`--runtime-env`." },
        { "metadata-json", OPTION_TEXT, &args.metadata,
          "JSON-serialized dictionary of metadata to attach to the job." },
        { "entrypoint-num-cpus", OPTION_NUMBER, &args.cpus,
          "the quantity of CPU cores to reserve for the entrypoint command",
          .given = &args.has_cpus },
        { "entrypoint-num-gpus", OPTION_NUMBER, &args.gpus,
          "the quantity of GPUs to reserve for the entrypoint command", .given = &args.has_gpus },
        { "entrypoint-memory", OPTION_INT, &args.memory,
          "the amount of memory to reserve for the entrypoint command", .given = &args.has_memory },
        { "entrypoint-resources", OPTION_TEXT, &args.resources,
          "a JSON-serialized dictionary mapping resource name to resource quantity" },
        { "entrypoint-label-selector", OPTION_TEXT, &args.labels,
          "a JSON-serialized dictionary mapping label keys to selector strings" },
        { "no-wait", OPTION_FLAG, &args.no_wait,
          "If set, will not stream logs and wait for the job to exit." },
        SAY_OPTIONS(&args.style),
    };
    const OptionTable table = {
        "ray job submit", "ENTRYPOINT...",
        "Submits a job to be run on the cluster.\n\nBy default (if --no-wait is not set), streams "
        "logs to stdout until the job finishes. If the job succeeded, exits with 0. If it failed, "
        "exits with 1.\n\nExample: `ray job submit -- python my_script.py --arg=val`",
        options, ARRAY_LEN(options)
    };
    int first = 0, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (first >= argc)
        return options_fail(&table, "Missing argument 'ENTRYPOINT...'.");
    say_setup(&args.style);
    if (args.job_id)
        say_warning("--job-id option is deprecated. Please use --submission-id instead.");
    _cleanup_job_client_ JobClient client = { 0 };
    r = job_client_open(&args.client, &client);
    if (r < 0)
        return say_error("%s", error_text(r));
    _cleanup_free_ char *entrypoint = join_words(argc - first, argv + first);
    return submit(&args, &client, entrypoint);
}
