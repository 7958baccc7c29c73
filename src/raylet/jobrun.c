/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
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
};

typedef struct Launch {
    Raylet *raylet;
    FrameHeader call;
    Helper *helper;
    List link; /* in Raylet.launches */
} Launch;

static void launch_free(Launch *launch) {
    list_remove(&launch->link);
    helper_free(launch->helper);
    free(launch);
}

void jobrun_done(Raylet *raylet) {
    LIST_EACH_SAFE(item, &raylet->launches)
        launch_free(LIST_ITEM(item, Launch, link));
}

static char *state_path(const Raylet *raylet, const char *id) {
    return str_printf("%s/jobs/%s.json", raylet->session.dir, id);
}

static void on_launched(void *ctx, int status, Slice out, Slice err) {
    Launch *launch = ctx;
    UNUSED(out);
    if (status == 0)
        raylet_reply_status(launch->raylet, &launch->call, STATUS_CODE_OK, "%s", "");
    else
        raylet_reply_status(launch->raylet, &launch->call, STATUS_CODE_INTERNAL,
                            "job-run could not be started: %.*s", (int)(err.len ? err.len : 15),
                            err.len ? err.data : "it said nothing");
    launch_free(launch);
}

static int launch_input(const JobRun *message, Buf *out) {
    _cleanup_json_ json_t *record = NULL, *input = NULL;
    int r = json_parse(message->record.data, message->record.len, NULL, 0, &record);
    if (r < 0)
        return r;
    input = json_pack("{s:O, s:s%}", "record", record, "token",
                      message->token.data ? message->token.data : "", (size_t)message->token.len);
    if (!input)
        return error_origin(-EINVAL, "the job's token is not text");
    json_encode(input, 0, out);
    return 0;
}

static int launch(Raylet *raylet, const JobRun *message, const FrameHeader *call) {
    _cleanup_buf_ Buf input = { 0 };
    int r = launch_input(message, &input);
    if (r < 0)
        return r;
    Launch *self = mem_new(Launch);
    *self = (Launch){ .raylet = raylet, .call = *call };
    list_push(&raylet->launches, &self->link);
    r = helper_start(raylet,
                     SPAWN_LIST("mobula", "job-run", "--session-dir", raylet->session.dir,
                                "--raylet-socket", raylet->socket_path, "--node-ip",
                                raylet->node_ip, "--gcs-address", raylet->gcs_address),
                     buf_slice(&input), on_launched, self, &self->helper);
    if (r < 0)
        launch_free(self);
    return r;
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
