/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "codec/json.h"
#include "host/process.h"
#include "raylet/raylet_private.h"

/*
 * Starting job-run for gcs (the contract is in src/jobs/README.md): the command forks twice and
 * ends with 0 once the real job-run is on its own; it survives this daemon. A job whose state file
 * is there was started already.
 */

enum {
    STATE_MAX = 4 << 20,
    WORDS_MAX = 4096,
};

typedef struct Launch {
    Raylet *raylet;
    FrameHeader call;
    LoopChild *child;
    int output; /* the command's stderr */
} Launch;

static char *state_path(const Raylet *raylet, const char *id) {
    return str_printf("%s/jobs/%s.json", raylet->session.dir, id);
}

static void on_launched(void *ctx, const LoopExit *end) {
    Launch *launch = ctx;
    if (end->known && end->signal == 0 && end->code == 0) {
        raylet_reply_status(launch->raylet, &launch->call, STATUS_CODE_OK, "%s", "");
    } else {
        char words[WORDS_MAX + 1];
        ssize_t n = pread(launch->output, words, WORDS_MAX, 0);
        words[MAX(n, 0)] = 0;
        raylet_reply_status(launch->raylet, &launch->call, STATUS_CODE_INTERNAL,
                            "job-run could not be started: %s", n > 0 ? words : "it said nothing");
    }
    loop_child_free(launch->child);
    fd_close(launch->output);
    free(launch);
}

static int memory_file(const char *name, Slice content, int *ret_fd) {
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return error_last("memfd_create");
    int r = fd_write_all(fd, content.data, content.len);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_last("lseek");
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int launch_input(const JobRun *message, int *ret_fd) {
    _cleanup_json_ json_t *record = NULL, *input = NULL;
    int r = json_parse(message->record.data, message->record.len, NULL, 0, &record);
    if (r < 0)
        return r;
    input = json_pack("{s:O, s:s%}", "record", record, "token",
                      message->token.data ? message->token.data : "", (size_t)message->token.len);
    if (!input)
        return error_origin(-EINVAL, "the job's token is not text");
    _cleanup_buf_ Buf text = { 0 };
    json_encode(input, 0, &text);
    return memory_file("job-run-input", buf_slice(&text), ret_fd);
}

static int launch(Raylet *raylet, const JobRun *message, const FrameHeader *call) {
    _cleanup_close_ int input = -1, output = -1;
    int r = launch_input(message, &input);
    if (r == 0)
        r = memory_file("job-run-words", (Slice){ 0 }, &output);
    if (r < 0)
        return r;
    SpawnFd fds[] = { { input, 0 }, { output, 2 } };
    SpawnSpec spec = {
        .program = "/proc/self/exe",
        .argv = SPAWN_LIST("mobula", "job-run", "--session-dir", raylet->session.dir,
                           "--raylet-socket", raylet->socket_path, "--node-ip", raylet->node_ip,
                           "--gcs-address", raylet->gcs_address),
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_GROUP,
    };
    Child child;
    r = spawn_start(&spec, &child);
    if (r < 0)
        return r;
    Launch *self = mem_new(Launch);
    *self = (Launch){ .raylet = raylet, .call = *call, .output = output };
    r = loop_child_new(raylet->loop, child.pidfd, on_launched, self, &self->child);
    if (r < 0) {
        free(self);
        return r;
    }
    output = -1;
    return 0;
}

void jobrun_on_run(Raylet *raylet, RayletCall *call) {
    JobRun message;
    RAYLET_DECODE(raylet, call, job_run_decode, &message);
    _cleanup_free_ char *id = str_dup_slice(message.submission);
    _cleanup_free_ char *path = state_path(raylet, id);
    if (access(path, F_OK) == 0) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_OK, "%s", "");
        return;
    }
    int r = launch(raylet, &message, call->header);
    if (r < 0)
        raylet_reply_status(raylet, call->header, STATUS_CODE_INTERNAL,
                            "job-run could not be started: %s", error_text(r));
}

/* job-run that is not connected just now is told by a signal. */
static void signal_by_state(Raylet *raylet, const char *id) {
    _cleanup_free_ char *path = state_path(raylet, id);
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *state = NULL;
    if (file_read(path, STATE_MAX, &text) < 0 ||
        json_parse(text.data, text.len, NULL, 0, &state) < 0)
        return;
    Child child;
    int r = child_open((pid_t)json_int_at(state, 0, "pid"),
                       (uint64_t)json_int_at(state, 0, "start_time"), &child);
    if (r < 0)
        return; /* it has ended, and its end was written or will be found out */
    if (child_signal(&child, SIGTERM) < 0)
        log_warn("job-run of %s can't be signalled", id);
    child_release(&child);
}

void jobrun_on_stop(Raylet *raylet, RayletCall *call) {
    JobRunStop message;
    RAYLET_DECODE(raylet, call, job_run_stop_decode, &message);
    _cleanup_free_ char *id = str_dup_slice(message.submission);
    LIST_EACH(item, &raylet->locals) {
        Local *local = LIST_ITEM(item, Local, link);
        if (local->role != ROLE_JOB_RUN || !local->welcomed || !str_eq(local->submission, id))
            continue;
        FrameHeader header = *call->header;
        header.destination = local->peer;
        frame_send(local->frames, &header, call->body);
        return;
    }
    signal_by_state(raylet, id);
}
