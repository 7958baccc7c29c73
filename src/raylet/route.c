/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * Frames go by the destination in their header: to a process here, to another raylet, to gcs; the
 * body is looked at only when the destination is this daemon, or when it may do itself what gcs is
 * asked for (group.c).
 */

static bool is_self(const Raylet *raylet, PeerId peer) {
    return peer == 0 || peer == raylet->self;
}

static bool is_here(const Raylet *raylet, PeerId peer) {
    return peer_raylet(peer) == raylet->self && raylet->self != 0;
}

enum {
    EARLY_BYTES_MAX = 16 << 20,
};
#define EARLY_WAIT (30 * USEC_PER_SEC) /* longer than gcs keeps a node that it does not hear */

/* The frame can't be delivered. The sender of a call is answered; the sender of anything else is
 * told that the peer is dead, if it is. */
static void undeliverable(Raylet *raylet, const FrameHeader *header) {
    if (header->flags & FRAME_REPLY || header->type == MSG_PEER_DEAD || header->source == 0)
        return;
    if (header->flags & FRAME_CALL) {
        raylet_reply_status(raylet, header, STATUS_CODE_DEAD, "the process is gone");
        return;
    }
    if (peer_node(header->destination) == 0 || is_self(raylet, header->source))
        return;
    PeerDead dead = { .peer = header->destination,
                      .text = SLICE("The worker process is gone."),
                      .exit_code = 0 };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    raylet_send(raylet, header->source, MSG_PEER_DEAD, &body);
}

/* ---- frames that come before the news of their node ---------------------------------------- */

/* gcs counts the nodes up: one that died has a number that was heard of. */
static bool unheard(const Raylet *raylet, PeerId peer) {
    return raylet->self && peer_node(peer) > raylet->newest_node;
}

void route_heard(Raylet *raylet, uint32_t node) {
    raylet->newest_node = MAX(raylet->newest_node, node);
}

static void early_push(Raylet *raylet, const EarlyFrame *frame) {
    raylet->early_bytes += sizeof(*frame) + frame->body.len;
    vec_push(&raylet->early, *frame);
    loop_timer_at(raylet->early_timer, raylet->early.items[0].until);
}

static bool early_keep(Raylet *raylet, const FrameHeader *header, Slice body) {
    if (!unheard(raylet, header->destination) || raylet->early_bytes + body.len > EARLY_BYTES_MAX)
        return false;
    EarlyFrame frame = { .header = *header, .until = loop_now(raylet->loop) + EARLY_WAIT };
    buf_add(&frame.body, body.data, body.len);
    early_push(raylet, &frame);
    return true;
}

/* Those whose node is known by now go there; those that have waited for too long come to nothing. */
void route_early(Raylet *raylet) {
    usec_t now = loop_now(raylet->loop);
    EarlyFrames frames = raylet->early;
    raylet->early = (EarlyFrames){ 0 };
    raylet->early_bytes = 0;
    loop_timer_stop(raylet->early_timer);
    VEC_EACH(frame, &frames) {
        if (frame->until > now && unheard(raylet, frame->header.destination)) {
            early_push(raylet, frame);
            continue;
        }
        if (frame->until > now)
            route_frame(raylet, &frame->header, buf_slice(&frame->body));
        else
            undeliverable(raylet, &frame->header);
        buf_done(&frame->body);
    }
    vec_done(&frames);
}

static void on_early_timer(void *ctx) {
    route_early(ctx);
}

void route_init(Raylet *raylet) {
    raylet->early_timer = loop_timer_new(raylet->loop, on_early_timer, raylet);
}

void route_done(Raylet *raylet) {
    VEC_EACH(frame, &raylet->early)
        buf_done(&frame->body);
    vec_done(&raylet->early);
    loop_timer_free(raylet->early_timer);
}

/* ---- routing -------------------------------------------------------------------------------- */

void route_frame(Raylet *raylet, const FrameHeader *header, Slice body) {
    PeerId to = header->destination;
    if (peer_node(to) == 0) {
        if (!bundles_make_group(raylet, header, body))
            upstream_send(raylet, header, body);
        return;
    }
    if (is_here(raylet, to)) {
        Local *local = local_get(raylet, to);
        if (!local || !local->frames) {
            undeliverable(raylet, header);
            return;
        }
        frame_send(local->frames, header, body);
        if (peer_worker(header->source))
            local_heard_from(local, header->source);
        return;
    }
    if (!peers_send(raylet, header, body) && !early_keep(raylet, header, body))
        undeliverable(raylet, header);
}

void raylet_send(Raylet *raylet, PeerId to, MessageType type, const Buf *body) {
    FrameHeader header = { .type = (uint16_t)type, .source = raylet->self, .destination = to };
    route_frame(raylet, &header, body ? buf_slice(body) : (Slice){ 0 });
}

static void send_answer(Raylet *raylet, FrameHeader *header, const Buf *body) {
    if (header->source == 0)
        header->source = raylet->self;
    route_frame(raylet, header, body ? buf_slice(body) : (Slice){ 0 });
}

void raylet_reply(Raylet *raylet, const FrameHeader *call, MessageType type, const Buf *body) {
    if (!(call->flags & FRAME_CALL))
        return;
    FrameHeader header = rpc_answer_header(call, type, body);
    send_answer(raylet, &header, body);
}

void raylet_reply_status(Raylet *raylet, const FrameHeader *call, StatusCode code,
                         const char *format, ...) {
    if (!(call->flags & FRAME_CALL))
        return;
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader header = rpc_answer_status(call, code, text, &body);
    send_answer(raylet, &header, &body);
}

uint32_t raylet_call(Raylet *raylet, PeerId to, MessageType type, const Buf *body, usec_t timeout,
                     RpcDone done, void *argument) {
    if (peer_node(to) && !is_here(raylet, to) && !peers_has(raylet, to) && !unheard(raylet, to))
        timeout = USEC_PER_MSEC; /* nobody would answer; never from within this call */
    uint32_t call =
        rpc_call(raylet->rpc, to, type, body, loop_deadline(raylet->loop, timeout), done, argument);
    raylet_arm_rpc(raylet);
    return call;
}

void raylet_arm_rpc(Raylet *raylet) {
    loop_timer_at(raylet->rpc_timer, rpc_expire(raylet->rpc, loop_now(raylet->loop)));
}

void raylet_forget(Raylet *raylet, uint32_t call) {
    if (call)
        rpc_forget(raylet->rpc, call);
    raylet_arm_rpc(raylet);
}

/* ---- for this daemon ---- */

static void on_ping(Raylet *raylet, RayletCall *call) {
    raylet_reply_status(raylet, call->header, STATUS_CODE_OK, "%s", "");
}

static void on_job_finished(Raylet *raylet, RayletCall *call) {
    JobFinished message;
    RAYLET_DECODE(raylet, call, job_finished_decode, &message);
    pool_on_job_finished(raylet, &message.job);
    job_cache_forget(raylet, &message.job); /* asked for anew if a detached actor starts again */
}

typedef void Handler(Raylet *raylet, RayletCall *call);

/* What processes here and raylets may ask for. */
static Handler *handler_of(unsigned type) {
    switch (type) {
    case MSG_PING:
        return on_ping;
    case MSG_GOODBYE:
        return local_on_goodbye;
    case MSG_LEASE_REQUEST:
        return lease_on_request;
    case MSG_LEASE_RETURN:
        return lease_on_return;
    case MSG_LEASE_CANCEL:
        return lease_on_cancel;
    case MSG_BLOCKED:
        return lease_on_blocked;
    case MSG_PEER_CONNECT:
        return ring_on_connect;
    case MSG_WORKER_KILL:
        return pool_on_kill;
    case MSG_SLAB_REQUEST:
        return objects_on_slab;
    case MSG_SLAB_RETURN:
        return objects_on_slab_return;
    case MSG_OBJECT_UNPIN:
        return objects_on_unpin;
    case MSG_OBJECT_FREE:
        return objects_on_free;
    case MSG_OBJECT_FETCH:
        return objects_on_fetch;
    case MSG_OBJECT_PULL:
        return objects_on_pull;
    case MSG_OBJECT_SEND:
        return objects_on_send;
    case MSG_OBJECT_PUSH:
        return objects_on_push;
    case MSG_METRICS_REPORT:
        return metrics_on_report;
    case MSG_STATE_GET:
        return state_on_get;
    case MSG_BUNDLE_FREED:
        return bundles_on_freed;
    case MSG_GROUP_REMOVE:
        return bundles_on_group_remove;
    default:
        return NULL;
    }
}

/* What only gcs may say. */
static Handler *gcs_handler_of(unsigned type) {
    switch (type) {
    case MSG_ACTOR_START:
        return actor_on_start;
    case MSG_NODE_VIEW:
        return peers_on_view;
    case MSG_PEER_DEAD:
        return peers_on_dead;
    case MSG_JOB_FINISHED:
        return on_job_finished;
    case MSG_BUNDLES_RESERVE:
        return bundles_on_reserve;
    case MSG_BUNDLES_COMMIT:
        return bundles_on_commit;
    case MSG_BUNDLES_RETURN:
        return bundles_on_return;
    case MSG_GROUP_INFO_REPLY:
        return bundles_on_group;
    case MSG_JOB_RUN:
        return jobrun_on_run;
    case MSG_JOB_RUN_STOP:
        return jobrun_on_stop;
    default:
        return NULL;
    }
}

void route_in(Raylet *raylet, Local *local, const FrameHeader *header, Slice body) {
    if (!is_self(raylet, header->destination)) {
        route_frame(raylet, header, body);
        return;
    }
    if (header->flags & FRAME_REPLY) {
        rpc_reply(raylet->rpc, header, body.data);
        raylet_arm_rpc(raylet);
        return;
    }
    _cleanup_arena_ Arena arena = { 0 };
    RayletCall call = { local, header, body, &arena };
    if (header->type == MSG_RESULT && actor_on_result(raylet, &call))
        return;
    Handler *handler = handler_of(header->type);
    if (!handler && header->source == PEER_GCS)
        handler = gcs_handler_of(header->type);
    if (handler)
        handler(raylet, &call);
    else
        raylet_reply_status(raylet, header, STATUS_CODE_UNSUPPORTED, "a raylet does not answer %s",
                            message_name(header->type));
}
