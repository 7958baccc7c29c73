/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/plant.h"
#include "raylet/raylet_private.h"

/*
 * Leases: who wants a worker waits here until there are resources, on this node or another
 * (lease_place.c), and a worker process; then it deals with the worker directly until it returns it.
 *
 *     WAITING -> STARTING -> GRANTED        here
 *     WAITING -> SPILLED  -> answered       another node took it; or BUSY: WAITING again
 *
 * A request that another raylet passed on does not wait here: it is served or answered BUSY.
 */

/* ---- resources ---- */

bool lease_passed_on(const Lease *lease) {
    return lease->birth || lease->spilled > 0;
}

/* Who passed a lease on has counted it in: only a report sets its view right again. */
bool lease_take_resources(Lease *lease) {
    Raylet *raylet = lease->raylet;
    if (lease->in_group)
        return bundle_take(lease);
    if (!resources_fit(&raylet->here.available, &lease->resources) ||
        !devices_take(&raylet->gpus, lease->resources.known[RESOURCE_GPU], &lease->gpus))
        return false;
    resources_sub(&raylet->here.available, &lease->resources);
    if (lease_passed_on(lease))
        upstream_report_anew(raylet); /* what was given back meanwhile may make up for it here */
    else
        upstream_changed(raylet);
    return true;
}

static void cpus_lend(Lease *lease, bool lend) {
    ResourceSet *pool = lease->held ? &lease->held->available : &lease->raylet->here.available;
    pool->known[RESOURCE_CPU] += (lend ? 1 : -1) * lease->resources.known[RESOURCE_CPU];
    upstream_changed(lease->raylet);
}

static void resources_release(Lease *lease) {
    Raylet *raylet = lease->raylet;
    if (lease->blocked)
        cpus_lend(lease, false);
    lease->blocked = false;
    if (lease->held) {
        bundle_give(lease);
    } else {
        resources_add(&raylet->here.available, &lease->resources);
        devices_give(&raylet->gpus, &lease->gpus);
    }
    upstream_changed(raylet);
    loop_task_arm(raylet->dispatch_task);
}

static bool holds_resources(const Lease *lease) {
    return lease->state == LEASE_STARTING || lease->state == LEASE_GRANTED;
}

void lease_free(Lease *lease) {
    /* Also when it came and went between two reports. */
    if (lease_passed_on(lease) && !PLANTED(11))
        upstream_report_anew(lease->raylet);
    if (holds_resources(lease))
        resources_release(lease);
    if (lease->spill_call)
        raylet_forget(lease->raylet, lease->spill_call);
    if (lease->worker && lease->worker->lease == lease)
        lease->worker->lease = NULL;
    actor_birth_free(lease);
    map_remove(&lease->raylet->leases, &lease->id);
    list_remove(&lease->link);
    buf_done(&lease->request);
    resources_done(&lease->resources);
    label_selector_done(&lease->labels);
    selectors_free(lease->fallback, lease->sched.fallback_len);
    free(lease->name);
    workenv_unref(lease->env);
    free(lease->runtime_env);
    if (lease->in_group)
        bundle_lease_gone(lease->raylet, &lease->group);
    free(lease);
}

/* ---- answers ---- */

void lease_refuse(Lease *lease, StatusCode code, const char *text) {
    if (lease->birth) /* `text` may be its environment's, which is let go last */
        actor_lease_failed(lease, code, text);
    else
        raylet_reply_status(lease->raylet, &lease->call, code, "%s", text);
    lease_free(lease);
}

/* The node's numbers of its GPUs. */
static uint32_t *gpu_ids(const Lease *lease, Arena *arena) {
    uint32_t *ids = arena_array(arena, uint32_t, lease->gpus.len + 1);
    for (uint32_t i = 0; i < lease->gpus.len; i++) {
        uint32_t at = lease->gpus.index[i];
        ids[i] = lease->held ? lease->held->gpus.index[at] : at;
    }
    return ids;
}

static void assign_worker(Lease *lease, const Job *job) {
    Worker *worker = lease->worker;
    worker->job = lease->job;
    logfile_assign(worker->out, &lease->job, job->driver, worker->pid, lease->name);
    logfile_assign(worker->err, &lease->job, job->driver, worker->pid, lease->name);
    _cleanup_arena_ Arena arena = { 0 };
    TaskAssign message = {
        .lease = lease->id,
        .job = lease->job,
        .gpu_ids = gpu_ids(lease, &arena),
        .gpu_ids_len = lease->gpus.len,
        .group = lease->group,
        .capture = lease->capture,
        .job_config = slice_str(job->config),
        .namespace = slice_str(job->namespace_),
        .driver = job->driver,
    };
    message.resources = resources_to_wire(&lease->resources, &arena, &message.resources_len);
    _cleanup_buf_ Buf body = { 0 };
    task_assign_encode(&message, &body);
    local_send(worker->local, MSG_TASK_ASSIGN, &body);
}

static void grant_send(Lease *lease, LeaseGrant *grant, const int *fds) {
    Raylet *raylet = lease->raylet;
    grant->has_ring = fds != NULL;
    _cleanup_buf_ Buf body = { 0 };
    lease_grant_encode(grant, &body);
    if (!fds) {
        raylet_reply(raylet, &lease->call, MSG_LEASE_GRANT, &body);
        return;
    }
    FrameHeader header = rpc_answer_header(&lease->call, MSG_LEASE_GRANT, &body);
    header.source = raylet->self;
    Local *asker = local_get(raylet, lease->asked_by);
    int r = frame_send_fds(asker->frames, &header, buf_slice(&body), fds, 3);
    if (r < 0)
        log_warn("a lease could not be handed out: %s", error_text(r));
}

static void grant(Lease *lease) {
    Raylet *raylet = lease->raylet;
    Worker *worker = lease->worker;
    _cleanup_arena_ Arena arena = { 0 };
    LeaseGrant message = {
        .lease = lease->id,
        .worker = worker->local->peer,
        .worker_id = worker->id,
        .node = raylet->id,
        .node_ip = slice_str(raylet->node_ip),
        .pid = (uint32_t)worker->pid,
        .gpu_ids = gpu_ids(lease, &arena),
        .gpu_ids_len = lease->gpus.len,
    };
    message.resources = resources_to_wire(&lease->resources, &arena, &message.resources_len);
    Local *asker = local_get(raylet, lease->asked_by);
    if (asker)
        local_knows(asker, worker->local->peer);
    int fds[3];
    int r = asker && asker->frames && asker->bell.page ? ring_make(asker, worker->local, fds) : 1;
    if (r < 0)
        log_warn("no ring for a lease, frames are relayed: %s", error_text(r));
    grant_send(lease, &message, r == 0 ? fds : NULL);
    if (r == 0)
        fd_close(fds[0]);
}

void lease_worker_ready(Lease *lease, Worker *worker) {
    Raylet *raylet = lease->raylet;
    const Job *job = job_cache_find(raylet, &lease->job);
    lease->worker = worker;
    worker->lease = lease;
    if (!job) { /* it ended meanwhile */
        lease_refuse(lease, STATUS_CODE_DEAD, "the job has ended");
        pool_give_back(worker);
        return;
    }
    list_remove(&lease->link);
    list_push(&raylet->granted, &lease->link);
    raylet->recalled = false;
    lease->state = LEASE_GRANTED;
    lease->granted_at = loop_now(raylet->loop);
    assign_worker(lease, job);
    if (lease->birth)
        actor_lease_ready(lease);
    else
        grant(lease);
}

void lease_worker_failed(Lease *lease, StatusCode code, const char *text) {
    lease->worker = NULL;
    lease_refuse(lease, code, text);
}

void lease_wait_again(Lease *lease) {
    if (lease->worker)
        lease->worker->lease = NULL; /* it will be idle */
    lease->worker = NULL;
    resources_release(lease);
    lease->state = LEASE_WAITING;
    list_remove(&lease->link);
    list_push_front(&lease->raylet->waiting, &lease->link);
}

void lease_worker_gone(Lease *lease) {
    lease->worker = NULL;
    if (lease->state == LEASE_GRANTED) { /* who holds it hears of the worker's death */
        if (lease->birth)
            actor_worker_gone(lease);
        lease_free(lease);
        return;
    }
    lease_wait_again(lease);
}

/* ---- requests ---- */

static SchedKind sched_kind(const Strategy *strategy) {
    switch (strategy->kind) {
    case STRATEGY_KIND_SPREAD:
        return SCHED_SPREAD;
    case STRATEGY_KIND_NODE_AFFINITY:
        return SCHED_AFFINITY;
    default:
        return SCHED_DEFAULT;
    }
}

static uint64_t shape_of(const Lease *lease) {
    uint64_t parts[8] = { resources_hash(&lease->resources),
                          (uint64_t)lease->sched.kind,
                          base_hash(&lease->sched.node, sizeof(NodeId)),
                          lease->sched.soft | lease->sched.spill_on_unavailable << 1 |
                              lease->sched.fail_on_unavailable << 2 | lease->capture << 3,
                          0,
                          base_hash(lease->runtime_env, strlen(lease->runtime_env)),
                          base_hash(&lease->group, sizeof(GroupId)),
                          (uint64_t)(int64_t)lease->bundle };
    parts[4] = label_selector_hash(&lease->labels);
    for (size_t i = 0; i < lease->sched.fallback_len; i++)
        parts[4] = parts[4] * 31 + label_selector_hash(&lease->fallback[i]);
    return base_hash(parts, sizeof(parts));
}

static int lease_set(Lease *lease, const LeaseRequest *request) {
    const Strategy *strategy = &request->strategy;
    int r = resources_from_wire(&lease->resources, request->resources, request->resources_len);
    if (r == 0)
        r = devices_check(lease->resources.known[RESOURCE_GPU]);
    if (r == 0)
        r = label_selector_from_wire(&lease->labels, strategy->labels, strategy->labels_len);
    if (r == 0)
        r = selectors_from_wire(strategy->fallback, strategy->fallback_len, &lease->fallback);
    if (r < 0)
        return r;
    r = text_from_wire(request->name, 4096, "the task's name", &lease->name);
    if (r == 0)
        r = text_from_wire(request->runtime_env, 1 << 20, "runtime_env", &lease->runtime_env);
    lease->in_group = strategy->kind == STRATEGY_KIND_PLACEMENT_GROUP;
    if (lease->in_group)
        lease->group = strategy->group;
    lease->bundle = strategy->bundle;
    lease->capture = strategy->capture;
    const Remote *near = request->near ? peers_of(lease->raylet, request->near) : NULL;
    lease->near = request->near;
    lease->sched = (SchedRequest){
        .kind = sched_kind(strategy),
        .resources = &lease->resources,
        .labels = &lease->labels,
        .fallback = lease->fallback,
        .fallback_len = strategy->fallback_len,
        .node = strategy->node,
        .soft = strategy->soft,
        .spill_on_unavailable = strategy->spill_on_unavailable,
        .fail_on_unavailable = strategy->fail_on_unavailable,
    };
    if (near)
        lease->sched.near = near->sched.id;
    return r;
}

int lease_add(Raylet *raylet, const LeaseRequest *request, const FrameHeader *call,
              Lease **ret_lease) {
    if (map_get(&raylet->leases, &request->lease))
        return error_origin(-EEXIST, "this lease was asked for already");
    if (map_len(&raylet->leases) >= RAYLET_LEASES_MAX)
        return error_origin(-ENOSPC, "%d leases wait on this node, its most", RAYLET_LEASES_MAX);
    Lease *lease = mem_new(Lease);
    lease->raylet = raylet;
    lease->id = request->lease;
    lease->call = *call;
    lease->asked_by = call->source;
    lease->requester = request->requester;
    lease->job = request->job;
    lease->actor = request->actor;
    lease->retriable = request->retriable;
    lease->spilled = request->spilled;
    list_init(&lease->link);
    int r = lease_set(lease, request);
    if (r < 0) {
        lease_free(lease);
        return r;
    }
    lease->shape = shape_of(lease);
    map_put(&raylet->leases, &lease->id, lease);
    list_push(&raylet->waiting, &lease->link);
    loop_task_arm(raylet->dispatch_task);
    *ret_lease = lease;
    return 0;
}

void lease_on_request(Raylet *raylet, RayletCall *call) {
    LeaseRequest request;
    RAYLET_DECODE(raylet, call, lease_request_decode, &request);
    if (call->local) {
        request.requester = call->header->source;
        request.spilled = 0;
        memset(&request.actor, 0, sizeof(request.actor));
    } else {
        request.spilled = MAX(request.spilled, (uint8_t)1);
    }
    Lease *lease;
    int r = lease_add(raylet, &request, call->header, &lease);
    if (r < 0) {
        raylet_reply_status(raylet, call->header,
                            r == -ENOSPC ? STATUS_CODE_FULL : STATUS_CODE_INVALID, "%s",
                            error_text(r));
        return;
    }
    buf_add(&lease->request, call->body.data, call->body.len);
}

static void lease_given_back(Lease *lease, bool kill) {
    Raylet *raylet = lease->raylet;
    Worker *worker = lease->worker;
    raylet->gcs.freed = true;
    lease_free(lease);
    if (kill)
        worker_end(worker, true, true, "The worker was returned as not usable any more.");
    else
        pool_give_back(worker);
}

void lease_on_return(Raylet *raylet, RayletCall *call) {
    LeaseReturn message;
    RAYLET_DECODE(raylet, call, lease_return_decode, &message);
    Lease *lease = map_get(&raylet->leases, &message.lease);
    if (!lease) {
        PeerId there = peer_raylet(message.worker);
        if (call->local && there != raylet->self && peer_node(there) != 0) {
            FrameHeader header = *call->header;
            header.destination = there;
            route_frame(raylet, &header, call->body);
        }
        return;
    }
    if (lease->requester == call->header->source && lease->state == LEASE_GRANTED)
        lease_given_back(lease, message.kill);
}

void lease_on_cancel(Raylet *raylet, RayletCall *call) {
    LeaseCancel message;
    RAYLET_DECODE(raylet, call, lease_cancel_decode, &message);
    Lease *lease = map_get(&raylet->leases, &message.lease);
    PeerId from = call->header->source;
    if (!lease || (from != lease->requester && from != lease->asked_by))
        return;
    if (lease->birth) {
        actor_lease_end(lease, "The actor was given up.");
        return;
    }
    if (lease->state == LEASE_GRANTED) {
        /* The node that passed it on drops the grant, a requester gets it and gives it back. */
        if (from != lease->requester)
            lease_given_back(lease, false);
        return;
    }
    if (lease->state == LEASE_SPILLED)
        lease_spill_cancel(lease);
    lease_refuse(lease, STATUS_CODE_CANCELLED, "the lease request was cancelled");
}

void lease_on_blocked(Raylet *raylet, RayletCall *call) {
    Blocked message;
    RAYLET_DECODE(raylet, call, blocked_decode, &message);
    Worker *worker = call->local ? call->local->worker : NULL;
    Lease *lease = worker ? worker->lease : NULL;
    if (!lease || lease->state != LEASE_GRANTED || lease->blocked == message.blocked)
        return;
    lease->blocked = message.blocked;
    cpus_lend(lease, message.blocked);
    if (message.blocked && lease->held)
        bundle_has_room(lease);
    loop_task_arm(raylet->dispatch_task);
}

/* Nobody waits for its answer or holds it any more. */
static void lease_orphaned(Lease *lease) {
    Worker *worker = lease->state == LEASE_GRANTED ? lease->worker : NULL;
    if (lease->state == LEASE_SPILLED)
        lease_spill_cancel(lease);
    lease_free(lease);
    if (worker)
        worker_end(worker, true, true,
                   "The worker is killed because the process it worked for has died.");
}

static bool is_of(PeerId peer, PeerId dead, bool whole_node) {
    return whole_node ? peer_raylet(peer) == dead : peer == dead;
}

/* By id, since ending one may change what else there is. */
static void leases_orphan(Raylet *raylet, PeerId dead, bool whole_node) {
    Vec(LeaseId) ids = { 0 };
    Lease *lease;
    MAP_EACH(&raylet->leases, pos, lease)
        if (is_of(lease->requester, dead, whole_node) || is_of(lease->asked_by, dead, whole_node))
            vec_push(&ids, lease->id);
    VEC_EACH(id, &ids) {
        lease = map_get(&raylet->leases, id);
        if (lease)
            lease_orphaned(lease);
    }
    vec_done(&ids);
}

void leases_requester_dead(Raylet *raylet, PeerId peer) {
    leases_orphan(raylet, peer, false);
}

void leases_node_dead(Raylet *raylet, const Remote *remote) {
    PeerId there = remote_peer(remote);
    rpc_peer_lost(raylet->rpc, there);
    leases_orphan(raylet, there, true);
}

/* ---- life ---- */

void leases_init(Raylet *raylet) {
    map_init(&raylet->leases, sizeof(LeaseId));
    list_init(&raylet->waiting);
    list_init(&raylet->granted);
    raylet->dispatch_task = loop_task_new(raylet->loop, leases_dispatch, raylet);
}

void leases_done(Raylet *raylet) {
    for (;;) {
        size_t pos = 0;
        Lease *lease = map_next(&raylet->leases, &pos, NULL);
        if (!lease)
            break;
        lease_free(lease);
    }
    map_done(&raylet->leases);
    loop_task_free(raylet->dispatch_task);
}
