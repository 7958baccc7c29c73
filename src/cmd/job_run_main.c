/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula job-run`: the record comes on stdin, the real job-run is a grandchild. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "jobs/job_run.h"

enum {
    INPUT_MAX = 8 * 1024 * 1024
};

static int read_input(json_t **ret_input) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read("/proc/self/fd/0", INPUT_MAX, &text);
    if (r < 0)
        return r;
    const JsonLimits limits = { INPUT_MAX, 100000, 64 };
    return json_parse(text.data ? text.data : "", text.len, &limits, 0, ret_input);
}

/* The log of job-run itself, beside the job's. */
static int redirect(const char *session_dir, const char *submission) {
    _cleanup_free_ char *dir = str_printf("%s/logs/jobs", session_dir);
    _cleanup_free_ char *path = str_printf("%s/supervisor-%s.log", dir, submission);
    int r = dir_make(dir, 0755);
    if (r < 0)
        return r;
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    _cleanup_close_ int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        return error_last("open %s", path);
    return 0;
}

int cmd_job_run(int argc, char **argv) {
    JobRunSpec spec = { .program = "/proc/self/exe" };
    const Option options[] = {
        { "session-dir", OPTION_TEXT, &spec.session_dir, "The session's folder." },
        { "raylet-socket", OPTION_TEXT, &spec.raylet_socket, "Where to report." },
        { "node-ip", OPTION_TEXT, &spec.node_ip, "This node's address." },
        { "gcs-address", OPTION_TEXT, &spec.gcs_address, "Becomes the job's RAY_ADDRESS." },
    };
    const OptionTable table = { "mobula job-run", NULL, "Runs one submitted job.", options,
                                ARRAY_LEN(options) };
    int first, ready = -1, status = 1, r = options_parse(&table, argc, argv, &first);
    if (r > 0)
        return options_exit(r);
    if (!spec.session_dir || !spec.raylet_socket || !spec.gcs_address)
        return options_fail(&table, "--session-dir, --raylet-socket and --gcs-address are needed");
    log_setup("job-run", LOG_INFO, false);
    signal(SIGPIPE, SIG_IGN);

    _cleanup_json_ json_t *input = NULL;
    r = read_input(&input);
    if (r < 0) {
        fprintf(stderr, "job-run: stdin: %s\n", error_text(r));
        return 1;
    }
    spec.record = json_object_get(input, "record");
    spec.token = slice_str(json_str_at(input, "token"));
    spec.gpus = json_object_get(input, "gpus");
    r = job_run_detach(&ready, &status);
    if (r == JOB_RUN_PARENT)
        return status;
    const char *submission = json_str_at(spec.record, "submission_id");
    if (r == 0)
        r = redirect(spec.session_dir, submission ? submission : "unknown");
    if (r < 0) {
        if (ready >= 0)
            job_run_ready(ready, error_text(r));
        return 1;
    }
    return job_run(&spec, ready);
}
