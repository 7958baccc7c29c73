/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>

#include "api/job_state.h"
#include "base/error.h"
#include "base/log.h"
#include "codec/json.h"
#include "raylet/raylet_private.h"

/*
 * Starting job-run for gcs (the contract is in src/jobs/README.md): the command forks twice and
 * ends with 0 once the real job-run is on its own; what it was given is held until that is gone. A job whose state file
 * is there was started already.
 */

#define REPORT_TIMEOUT (10 * USEC_PER_SEC)
#define LAUNCH_TIMEOUT USEC_PER_MIN
#define DYING_PAUSE    (100 * USEC_PER_MSEC) /* a killed process closes its files before it is gone */
#define AGAIN_PAUSE    (2 * USEC_PER_SEC)

typedef struct Launch {
    Raylet *raylet;
    FrameHeader call;
    char *id;
    Helper *helper;
    JobHold *hold; /* NULL: it asks for nothing */
    bool stop;     /* asked for meanwhile */
    List link;     /* in Raylet.launches */
} Launch;

static void launch_free(Launch *launch) {
    list_remove(&launch->link);
    helper_free(launch->helper);
    free(launch->id);
    free(launch);
}

void jobrun_done(Raylet *raylet) {
    raylet->orphan_timer = loop_timer_free(raylet->orphan_timer);
    LIST_EACH_SAFE(item, &raylet->launches)
        launch_free(LIST_ITEM(item, Launch, link));
    job_holds_done(raylet);
}

static Launch *launch_find(const Raylet *raylet, const char *id) {
    LIST_EACH(item, &raylet->launches) {
        Launch *launch = LIST_ITEM(item, Launch, link);
        if (str_eq(launch->id, id))
            return launch;
    }
    return NULL;
}

/* job-run that is not connected just now is told by a signal. */
static void stop_by_state(Raylet *raylet, const char *id) {
    _cleanup_(job_state_done) JobState state = { 0 };
    if (job_state_read(raylet->session.dir, id, &state) < 0)
        return;
    Child child;
    int r = child_open(state.pid, state.start_time, &child);
    if (r < 0)
        return; /* it has ended, and its end was written or will be found out */
    if (child_signal(&child, SIGTERM) < 0)
        log_warn("job-run of %s can't be signalled", id);
    child_release(&child);
}

static void hold_on(Launch *launch) {
    _cleanup_(job_state_done) JobState state = { 0 };
    JobHold *hold = TAKE(launch->hold);
    int r = job_state_read(launch->raylet->session.dir, launch->id, &state);
    if (r == 0) {
        job_hold_until_exit(hold, state.pid, state.start_time);
        return;
    }
    log_warn("what job %s was given is free again: %s", launch->id, error_text(r));
    job_hold_give_back(hold);
}

static void on_launched(void *ctx, int status, Slice out, Slice err) {
    Launch *launch = ctx;
    UNUSED(out);
    if (status == 0 && launch->hold)
        hold_on(launch);
    if (status == 0 && launch->stop)
        stop_by_state(launch->raylet, launch->id);
    launch->hold = job_hold_give_back(launch->hold);
    if (status == 0)
        raylet_reply_status(launch->raylet, &launch->call, STATUS_CODE_OK, "%s", "");
    else
        raylet_reply_status(launch->raylet, &launch->call, STATUS_CODE_INTERNAL,
                            "job-run could not be started: %.*s", (int)(err.len ? err.len : 15),
                            err.len ? err.data : "it said nothing");
    launch_free(launch);
}

static int launch_input(const JobRun *message, const JobHold *hold, Buf *out) {
    _cleanup_json_ json_t *record = NULL, *input = NULL;
    int r = json_parse(message->record.data, message->record.len, NULL, 0, &record);
    if (r < 0)
        return r;
    json_t *gpus = json_array();
    const DeviceShare *share = hold ? job_hold_gpus(hold) : NULL;
    for (uint32_t i = 0; share && i < share->len; i++)
        json_array_append_new(gpus, json_integer(share->index[i]));
    input = json_pack("{s:O, s:s%, s:o}", "record", record, "token",
                      message->token.data ? message->token.data : "", (size_t)message->token.len,
                      "gpus", gpus);
    if (!input)
        return error_origin(-EINVAL, "the job's token is not text");
    json_encode(input, 0, out);
    return 0;
}

/* `hold` is the caller's still on failure. */
static int launch(Raylet *raylet, const JobRun *message, const FrameHeader *call, JobHold *hold) {
    _cleanup_buf_ Buf input = { 0 };
    int r = launch_input(message, hold, &input);
    if (r < 0)
        return r;
    Launch *self = mem_new(Launch);
    *self = (Launch){
        .raylet = raylet, .call = *call, .id = str_dup_slice(message->submission), .hold = hold
    };
    list_push(&raylet->launches, &self->link);
    r = helper_start(raylet,
                     SPAWN_LIST("mobula", "job-run", "--session-dir", raylet->session.dir,
                                "--raylet-socket", raylet->socket_path, "--node-ip",
                                raylet->node_ip, "--gcs-address", raylet->gcs_address),
                     buf_slice(&input), LAUNCH_TIMEOUT, on_launched, self, &self->helper);
    if (r < 0)
        launch_free(self);
    return r;
}

/* A state whose end gcs has confirmed is of a job that was deleted since: the id is free again. */
static bool was_started(const Raylet *raylet, const char *id) {
    JobState state = { 0 };
    int r = job_state_read(raylet->session.dir, id, &state);
    bool over = r == 0 && state.reported;
    job_state_done(&state);
    if (over)
        job_state_remove(raylet->session.dir, id);
    return r != -ENOENT && !over;
}

/* 0; 1: no room. */
static int take_hold(Raylet *raylet, const JobRun *message, JobHold **ret_hold) {
    _cleanup_resources_ ResourceSet want = { 0 };
    int r = resources_from_wire(&want, message->resources, message->resources_len);
    if (r == 0)
        r = devices_check(want.known[RESOURCE_GPU]);
    if (r < 0 || resources_empty(&want))
        return r;
    *ret_hold = job_hold_take(raylet, &want);
    return *ret_hold ? 0 : 1;
}

static void begin(Raylet *raylet, const JobRun *message, const FrameHeader *call) {
    JobHold *hold = NULL;
    int r = take_hold(raylet, message, &hold);
    if (r == 0)
        r = launch(raylet, message, call, hold);
    if (r == 0)
        return;
    job_hold_give_back(hold);
    if (r < 0) {
        raylet_reply_status(raylet, call, STATUS_CODE_INTERNAL, "job-run could not be started: %s",
                            error_text(r));
        return;
    }
    raylet_reply_status(raylet, call, STATUS_CODE_BUSY, "no room on this node now");
    upstream_report_anew(raylet); /* gcs has counted it in */
}

void jobrun_on_run(Raylet *raylet, RayletCall *call) {
    JobRun message;
    RAYLET_DECODE(raylet, call, job_run_decode, &message);
    _cleanup_free_ char *id = str_dup_slice(message.submission);
    Launch *under_way = launch_find(raylet, id);
    if (under_way) /* asked again, since its answer could not be sent: it goes to this call */
        under_way->call = *call->header;
    else if (was_started(raylet, id))
        raylet_reply_status(raylet, call->header, STATUS_CODE_OK, "%s", "");
    else
        begin(raylet, &message, call->header);
}

void jobrun_on_stop(Raylet *raylet, RayletCall *call) {
    JobRunStop message;
    RAYLET_DECODE(raylet, call, job_run_stop_decode, &message);
    _cleanup_free_ char *id = str_dup_slice(message.submission);
    Launch *under_way = launch_find(raylet, id);
    if (under_way) {
        under_way->stop = true;
        return;
    }
    LIST_EACH(item, &raylet->locals) {
        Local *local = LIST_ITEM(item, Local, link);
        if (local->role != ROLE_JOB_RUN || !local->welcomed || !str_eq(local->submission, id))
            continue;
        FrameHeader header = *call->header;
        header.destination = local->peer;
        frame_send(local->frames, &header, call->body);
        return;
    }
    stop_by_state(raylet, id);
}

/* ---- jobs whose job-run is gone ---- */

typedef struct Orphan {
    Raylet *raylet;
    char *id;
} Orphan;

static void on_orphan_reported(void *argument, const RpcReply *reply) {
    Orphan *orphan = argument;
    Raylet *raylet = orphan->raylet;
    JobState state = { 0 };
    bool taken = reply->result == 0 || (reply->result == 1 && reply->status.code == STATUS_CODE_OK);
    if (taken && job_state_read(raylet->session.dir, orphan->id, &state) == 0) {
        state.reported = true;
        if (job_state_write(raylet->session.dir, &state) < 0)
            log_warn("the state file of job %s can't be written", orphan->id);
    } else if (reply->result != -ECANCELED) {
        loop_timer_after(raylet->orphan_timer, AGAIN_PAUSE);
    }
    job_state_done(&state);
    free(orphan->id);
    free(orphan);
}

static void report_orphan(void *ctx, const JobState *state) {
    Raylet *raylet = ctx;
    Orphan *orphan = mem_new(Orphan);
    *orphan = (Orphan){ raylet, str_dup(state->submission) };
    log_warn("job-run of %s is gone; the job is %s", state->submission, state->status);
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
    _cleanup_buf_ Buf body = { 0 };
    job_run_state_encode(&message, &body);
    raylet_call(raylet, PEER_GCS, MSG_JOB_RUN_STATE, &body, REPORT_TIMEOUT, on_orphan_reported,
                orphan);
}

static void on_orphan_timer(void *ctx) {
    Raylet *raylet = ctx;
    uint64_t wall_ms = (uint64_t)(loop_wall_now(raylet->loop) / USEC_PER_MSEC);
    int r = job_states_adopt(raylet->session.dir, wall_ms, report_orphan, raylet);
    if (r < 0)
        log_warn("states of jobs: %s", error_text(r));
}

void jobrun_look_for_orphans(Raylet *raylet) {
    if (!raylet->orphan_timer)
        raylet->orphan_timer = loop_timer_new(raylet->loop, on_orphan_timer, raylet);
    loop_timer_after(raylet->orphan_timer, DYING_PAUSE);
}
