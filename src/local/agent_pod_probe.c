/* SPDX-License-Identifier: Apache-2.0 */

/* Probes and lifecycle hooks of a running container. */

#include <stdio.h>

#include "local/agent_pod_private.h"

enum {
    EVENT_TEXT_MAX = 1000
};

static const char *const probe_names[PROBE_COUNT] = { "Startup", "Liveness", "Readiness" };

static ActionPlace action_place(PodContainer *container) {
    AgentPod *pod = container->pod;
    return (ActionPlace){ .loop = pod->host->loop,
                          .keeper = pod->keeper,
                          .container = container->def->name,
                          .pod_ip = pod->def.host_network ? pod->host->host_ip : pod->address,
                          .exec_id = pod_exec_id(pod) };
}

static void gate(PodContainer *container, usec_t now);

void probes_begin(PodContainer *container, usec_t now) {
    const ContainerDef *def = container->def;
    const ProbeSpec *specs[PROBE_COUNT] = { &def->startup, &def->liveness, &def->readiness };
    for (int i = 0; i < PROBE_COUNT; i++) {
        PodProbe *probe = &container->probes[i];
        probe->action = action_free(probe->action);
        *probe = (PodProbe){ .container = container, .index = (ProbeIndex)i, .spec = specs[i] };
        probe_begin(&probe->state, specs[i], PROBE_UNKNOWN, now);
        if (i != PROBE_STARTUP)
            probe_stop(&probe->state); /* until the gate opens */
    }
    container->run.started = false;
    container->run.ready = false;
    gate(container, now);
}

/* Once startup is behind it: the container counts as started, the other probes begin. */
static void gate(PodContainer *container, usec_t now) {
    const ProbeSpec *startup = &container->def->startup;
    bool passed =
        !startup->present || container->probes[PROBE_STARTUP].state.verdict == PROBE_SUCCESS;
    if (!passed || container->run.started || (container->hook && !container->killing))
        return;
    container->run.started = container->run.ever_started = true;
    container->run.ready = !container->def->readiness.present;
    for (int i = PROBE_LIVENESS; i < PROBE_COUNT; i++)
        if (container->probes[i].spec->present) {
            usec_t since = startup->present ? now : container->started_mono;
            probe_begin(&container->probes[i].state, container->probes[i].spec,
                        i == PROBE_LIVENESS ? PROBE_SUCCESS : PROBE_FAILURE, since);
        }
    pod_wake(container->pod);
}

void probes_end(PodContainer *container) {
    for (int i = 0; i < PROBE_COUNT; i++) {
        container->probes[i].action = action_free(container->probes[i].action);
        if (container->probes[i].spec)
            probe_stop(&container->probes[i].state);
        container->probes[i].state.asking = false;
    }
}

static void verdict_changed(PodProbe *probe, usec_t now) {
    PodContainer *container = probe->container;
    bool ok = probe->state.verdict == PROBE_SUCCESS;
    if (probe->index == PROBE_READINESS) {
        container->run.ready = ok;
        return;
    }
    if (ok) {
        probe->index == PROBE_STARTUP ? gate(container, now) : (void)0;
        if (probe->index == PROBE_STARTUP)
            probe_stop(&probe->state);
        return;
    }
    char why[256];
    snprintf(why, sizeof(why), "Container %s failed %s probe, will be restarted",
             container->def->name, probe->index == PROBE_STARTUP ? "startup" : "liveness");
    usec_t grace = probe->spec->grace >= 0 ? probe->spec->grace : container->pod->def.grace;
    container_kill(container, grace, why, now);
}

static void probe_answered(void *ctx, bool ok, const char *text) {
    PodProbe *probe = ctx;
    PodContainer *container = probe->container;
    usec_t now = loop_now(container->pod->host->loop);
    if (!ok)
        pod_event(container->pod, container, "Warning", "Unhealthy", "%s probe failed: %.*s",
                  probe_names[probe->index], EVENT_TEXT_MAX, text);
    bool changed = probe_answer(&probe->state, probe->spec, ok, now);
    probe->action = action_free(probe->action);
    if (changed && container->run.now.state == RUN_RUNNING && !container->killing)
        verdict_changed(probe, now);
    pod_wake(container->pod);
}

void probes_step(PodContainer *container, usec_t now) {
    if (!container->started_mono || container->killing || !container->pod->keeper)
        return;
    gate(container, now);
    for (int i = 0; i < PROBE_COUNT; i++) {
        PodProbe *probe = &container->probes[i];
        if (!probe->spec || !probe->spec->present || !probe_due(&probe->state, now))
            continue;
        ActionPlace place = action_place(container);
        probe_asked(&probe->state);
        probe->action =
            action_start(&place, &probe->spec->action, probe->spec->timeout, probe_answered, probe);
    }
}

usec_t probes_next(const PodContainer *container) {
    usec_t next = USEC_INFINITY;
    if (!container->started_mono || container->killing)
        return next;
    for (int i = 0; i < PROBE_COUNT; i++)
        if (container->probes[i].spec && container->probes[i].spec->present &&
            !container->probes[i].state.asking)
            next = MIN(next, container->probes[i].state.next);
    return next;
}

static void post_start_done(void *ctx, bool ok, const char *text) {
    PodContainer *container = ctx;
    AgentPod *pod = container->pod;
    container->hook = action_free(container->hook);
    if (!ok) {
        pod_event(pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed: %.*s",
                  EVENT_TEXT_MAX, text);
        container_kill(container, pod->def.grace, "FailedPostStartHook", loop_now(pod->host->loop));
    }
    pod_wake(pod);
}

void hook_post_start(PodContainer *container) {
    if (!container->def->has_post_start)
        return;
    ActionPlace place = action_place(container);
    container->hook = action_start(&place, &container->def->post_start, 10 * 60 * USEC_PER_SEC,
                                   post_start_done, container);
}

static void pre_stop_done(void *ctx, bool ok, const char *text) {
    PodContainer *container = ctx;
    container->hook = action_free(container->hook);
    if (!ok && container->run.now.state == RUN_RUNNING)
        pod_event(container->pod, container, "Warning", "FailedPreStopHook",
                  "PreStopHook failed: %.*s", EVENT_TEXT_MAX, text);
    container->term_at = 0;
    pod_wake(container->pod);
}

bool hook_pre_stop(PodContainer *container, usec_t grace) {
    const ContainerDef *def = container->def;
    container->hook = action_free(container->hook);
    if (!def->has_pre_stop || def->pre_stop_sleep >= 0 || grace <= 0 || !container->pod->keeper)
        return false;
    ActionPlace place = action_place(container);
    container->hook = action_start(&place, &def->pre_stop, grace, pre_stop_done, container);
    return true;
}

bool probes_exec_ended(PodContainer *container, uint64_t id, int code, const char *error) {
    Action *actions[PROBE_COUNT + 1] = { container->hook };
    for (int i = 0; i < PROBE_COUNT; i++)
        actions[i + 1] = container->probes[i].action;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (actions[i] && action_exec_id(actions[i]) == id) {
            action_exec_ended(actions[i], code, error);
            return true;
        }
    return false;
}
