/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * Starting an actor for gcs: a lease like any other, then the creation call is sent to the worker
 * and its result answers gcs. The lease is held for the actor's life. A repeated start (gcs came
 * back and begins again) takes the place of the former one's answer.
 */

struct ActorBirth {
    uint32_t restarts;
    Buf call;     /* the encoded Call */
    TaskId task;
    bool running; /* sent, its result has not come */
    bool answered;
    Buf answer;   /* the ActorStarted, for a repeated start */
};

void actor_birth_free(Lease *lease) {
    struct ActorBirth *birth = lease->birth;
    if (!birth)
        return;
    if (birth->running)
        map_remove(&lease->raylet->births, &birth->task);
    buf_done(&birth->call);
    buf_done(&birth->answer);
    lease->birth = mem_free(birth);
}

void actor_lease_failed(Lease *lease, StatusCode code, const char *text) {
    if (!lease->birth->answered)
        raylet_reply_status(lease->raylet, &lease->call, code, "%s", text);
}

void actor_lease_ready(Lease *lease) {
    struct ActorBirth *birth = lease->birth;
    birth->running = true;
    map_put(&lease->raylet->births, &birth->task, lease);
    local_send(lease->worker->local, MSG_CALL, &birth->call);
}

void actor_worker_gone(Lease *lease) {
    if (!lease->birth->answered)
        raylet_reply_status(lease->raylet, &lease->call, STATUS_CODE_DEAD,
                            "The worker process died while it created the actor.");
}

/* gcs has given it up: whatever it made ends. */
void actor_lease_end(Lease *lease, const char *text) {
    Worker *worker = lease->state == LEASE_GRANTED ? lease->worker : NULL;
    lease_free(lease);
    if (worker)
        worker_end(worker, true, true, text);
}

static bool is_kept(const Lease *lease, const KeptActor *kept, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (id_equal(&kept[i].actor, &lease->actor))
            return kept[i].restarts == lease->birth->restarts;
    return false;
}

void actors_registered(Raylet *raylet, const KeptActor *kept, size_t len) {
    Vec(LeaseId) gone = { 0 };
    Lease *lease;
    MAP_EACH(&raylet->leases, pos, lease)
        if (lease->birth && !is_kept(lease, kept, len))
            vec_push(&gone, lease->id);
    VEC_EACH(id, &gone) {
        lease = map_get(&raylet->leases, id);
        if (lease)
            actor_lease_end(lease, "The actor was given up.");
    }
    vec_done(&gone);
}

/* The one start of this actor that is known; true if `call` was answered or will be by it. */
static bool join_former(Raylet *raylet, const ActorStart *message, RayletCall *call) {
    Lease *lease = map_get(&raylet->leases, &message->lease.lease);
    if (!lease || !lease->birth)
        return false;
    if (lease->birth->restarts == message->restarts) {
        lease->call = *call->header;
        if (lease->birth->answered)
            raylet_reply(raylet, call->header, MSG_ACTOR_STARTED, &lease->birth->answer);
        return true;
    }
    actor_lease_end(lease, "The actor is started anew."); /* an older one */
    return false;
}

void actor_on_start(Raylet *raylet, RayletCall *call) {
    ActorStart message;
    Call creation;
    RAYLET_DECODE(raylet, call, actor_start_decode, &message);
    int r = call_decode(&creation, message.call.data, message.call.len, call->arena);
    if (r < 0) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_INVALID, "%s", error_text(r));
        return;
    }
    if (join_former(raylet, &message, call))
        return;
    Lease *lease;
    message.lease.requester = PEER_GCS;
    r = lease_add(raylet, &message.lease, call->header, &lease);
    if (r < 0) {
        raylet_reply_status(raylet, call->header,
                            r == -ENOSPC ? STATUS_CODE_BUSY : STATUS_CODE_INVALID, "%s",
                            error_text(r));
        return;
    }
    lease->birth = mem_new(struct ActorBirth);
    lease->birth->restarts = message.restarts;
    lease->birth->task = creation.task;
    buf_add(&lease->birth->call, message.call.data, message.call.len);
}

static void answer(Lease *lease, const Result *result) {
    Raylet *raylet = lease->raylet;
    Worker *worker = lease->worker;
    bool failed = result->values_len > 0 && result->values[0].kind == VALUE_KIND_ERROR;
    ActorStarted message = {
        .worker = worker->local->peer,
        .worker_id = worker->id,
        .pid = (uint32_t)worker->pid,
        .failed = failed,
        .error = failed ? result->values[0].data : (Slice){ 0 },
        .repr = result->repr,
    };
    struct ActorBirth *birth = lease->birth;
    actor_started_encode(&message, &birth->answer);
    raylet_reply(raylet, &lease->call, MSG_ACTOR_STARTED, &birth->answer);
    birth->answered = true;
    if (!failed)
        return;
    lease_free(lease);
    worker_end(worker, false, true, "The actor's creation failed.");
}

bool actor_on_result(Raylet *raylet, RayletCall *call) {
    Result result;
    int r = result_decode(&result, call->body.data, call->body.len, call->arena);
    if (r < 0) {
        log_warn("a result could not be read: %s", error_text(r));
        return true;
    }
    Lease *lease = map_get(&raylet->births, &result.task);
    if (!lease || !call->local || lease->worker != call->local->worker)
        return true;
    map_remove(&raylet->births, &result.task);
    lease->birth->running = false;
    answer(lease, &result);
    return true;
}
