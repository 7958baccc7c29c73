/* SPDX-License-Identifier: Apache-2.0 */

/* What a pod does next: one look at the whole state, after whatever happened. */

#include "base/clock.h"
#include "kobj/meta.h"
#include "local/agent_pod_private.h"

static PodRecord pod_record(AgentPod *pod) {
    for (size_t i = 0; i < pod->def.containers.len; i++)
        pod->runs[i] = pod->containers[i].run;
    bool up = pod->stage == STAGE_UP || pod->stage == STAGE_ENDING;
    bool over = pod->stage >= STAGE_STOPPING; /* a pod has not failed while something of it runs */
    return (PodRecord){ .runs = pod->runs,
                        .start_time = pod->start_time,
                        .sandbox_ready = up,
                        .pod_ip = agent_pod_address(pod),
                        .host_ip = pod->host->host_ip,
                        .failed_reason = over ? pod->failed_reason : NULL,
                        .failed_message = over ? pod->failed_message : NULL,
                        .finished = pod->stage == STAGE_DOWN && pod->finished };
}

static void publish(AgentPod *pod) {
    PodRecord record = pod_record(pod);
    const json_t *before = json_object_get(pod->def.json, "status");
    json_t *status = status_compute(&pod->def, &record, pod->published ? pod->published : before,
                                    loop_wall_now(pod->host->loop));
    if (pod->published && json_equal(pod->published, status)) {
        json_decref(status);
        return;
    }
    json_decref(pod->published);
    pod->published = status;
    pod->host->status(pod->host->ctx, pod, status);
}

static bool deleting(const AgentPod *pod) {
    return pod->vanished || obj_is_deleting(pod->def.json);
}

static void begin_ending(AgentPod *pod, usec_t grace, usec_t now) {
    pod->end_by = now + grace;
    pod->finished = true;
    pod->stage = pod->keeper ? STAGE_ENDING : STAGE_DOWN;
}

/* The main containers first, then the sidecars, the last one first. */
static void end_containers(AgentPod *pod, usec_t now) {
    bool mains = false;
    for (size_t i = 0; i < pod->def.containers.len; i++) {
        PodContainer *container = &pod->containers[i];
        if (container->def->kind == CONTAINER_SIDECAR || !container_alive(container))
            continue;
        mains = true;
        container_kill(container, pod->end_by - now, NULL, now);
    }
    for (size_t i = pod->def.containers.len; !mains && i-- > 0;)
        if (container_alive(&pod->containers[i])) {
            container_kill(&pod->containers[i], MAX(pod->end_by - now, (usec_t)0), NULL, now);
            return;
        }
}

static bool any_alive(const AgentPod *pod) {
    for (size_t i = 0; i < pod->def.containers.len; i++)
        if (container_alive(&pod->containers[i]))
            return true;
    return false;
}

static void stop_keeper(AgentPod *pod) {
    int r = keeper_stop(pod->keeper);
    UNUSED(r); /* gone already: on_gone() follows */
    pod->stage = STAGE_STOPPING;
}

/* Brings init containers forward. True when the main containers may start. */
static bool advance_init(AgentPod *pod, usec_t now) {
    for (size_t i = 0; i < pod->def.containers.len; i++) {
        PodContainer *container = &pod->containers[i];
        if (container->def->kind == CONTAINER_MAIN)
            return true;
        if (container->def->kind == CONTAINER_INIT &&
            status_init_done(container->def, &container->run))
            continue;
        if (!container_alive(container)) {
            if (container->run.now.state == RUN_TERMINATED && !container_restarts(container)) {
                begin_ending(pod, pod->def.grace, now);
                return false;
            }
            container_try_start(container, now);
        }
        if (container->def->kind == CONTAINER_INIT ||
            !status_init_done(container->def, &container->run))
            return false;
    }
    return true;
}

static void advance(AgentPod *pod, usec_t now) {
    bool open = false;
    if (!advance_init(pod, now))
        return;
    for (size_t i = 0; i < pod->def.containers.len; i++) {
        PodContainer *container = &pod->containers[i];
        if (container->def->kind != CONTAINER_MAIN)
            continue;
        bool over = container->run.now.state == RUN_TERMINATED && !container->starting;
        if (over && !container_restarts(container))
            continue;
        open = true;
        if (!container_alive(container))
            container_try_start(container, now);
    }
    if (!open)
        begin_ending(pod, pod->def.grace, now);
}

static void end_down(AgentPod *pod) {
    if (!deleting(pod) || pod->told_gone)
        return;
    pod->told_gone = true;
    chores_remove(pod->host->chores, pod->dir);
    pod->host->gone(pod->host->ctx, pod);
}

/* When activeDeadlineSeconds are over, in the loop's time. */
static usec_t deadline(const AgentPod *pod, usec_t now) {
    int64_t seconds = json_int_at(pod->def.json, 0, "spec", "activeDeadlineSeconds");
    if (seconds <= 0 || seconds > INT32_MAX)
        return USEC_INFINITY;
    return now + pod->start_time + seconds * USEC_PER_SEC - loop_wall_now(pod->host->loop);
}

/* Ends it as failed. */
static void fail(AgentPod *pod, const char *reason, const char *why, usec_t grace) {
    pod->failed_reason = str_dup(reason);
    pod->failed_message = str_dup(why);
    begin_ending(pod, grace, loop_now(pod->host->loop));
}

bool agent_pod_ending(const AgentPod *pod) {
    return pod->stage >= STAGE_ENDING;
}

void agent_pod_evict(AgentPod *pod, const char *why) {
    if (agent_pod_ending(pod))
        return;
    pod_event(pod, NULL, "Warning", "Evicted", "%s", why);
    fail(pod, "Evicted", why, 0);
    pod_wake(pod);
}

static void check_deadline(AgentPod *pod, usec_t now) {
    static const char why[] = "Pod was active on the node longer than the specified deadline";
    if (pod->stage >= STAGE_ENDING || deadline(pod, now) > now)
        return;
    pod_event(pod, NULL, "Normal", "DeadlineExceeded", "%s", why);
    fail(pod, "DeadlineExceeded", why, pod->def.grace);
}

static void step(AgentPod *pod, usec_t now) {
    bool delete_now = deleting(pod);
    usec_t grace = pod->vanished ? 0 : pod_def_grace(&pod->def);
    if (delete_now && pod->stage < STAGE_ENDING)
        begin_ending(pod, grace, now);
    else if (delete_now && pod->stage == STAGE_ENDING && grace < pod->end_by - now)
        pod->end_by = now + grace;
    check_deadline(pod, now);
    if (pod->stage == STAGE_NEW)
        sandbox_try(pod, now);
    if (pod->stage == STAGE_UP)
        advance(pod, now);
    if (pod->stage == STAGE_ENDING) {
        end_containers(pod, now);
        if (!any_alive(pod))
            stop_keeper(pod);
    }
    for (size_t i = 0; i < pod->def.containers.len; i++)
        container_step(&pod->containers[i], now);
}

static void arm(AgentPod *pod, usec_t now) {
    usec_t next = pod->stage < STAGE_ENDING ? deadline(pod, now) : USEC_INFINITY;
    if (pod->stage == STAGE_NEW)
        next = MIN(next, pod->retry_at);
    if (pod->stage == STAGE_UP || pod->stage == STAGE_ENDING)
        for (size_t i = 0; i < pod->def.containers.len; i++)
            next = MIN(next, container_next(&pod->containers[i]));
    loop_timer_at(pod->timer, next);
}

void pod_sync(void *ctx) {
    AgentPod *pod = ctx;
    usec_t now = loop_now(pod->host->loop);
    step(pod, now);
    if (pod->stage == STAGE_DOWN && pod->address[0])
        sandbox_release(pod);
    publish(pod);
    arm(pod, now);
    if (pod->stage == STAGE_DOWN)
        end_down(pod); /* last: the pod may be gone after it */
}
