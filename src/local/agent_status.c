/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_status.h"

#include "base/clock.h"
#include "kobj/meta.h"

void run_view_done(RunView *view) {
    mem_free(view->reason);
    mem_free(view->message);
    *view = (RunView){ 0 };
}

void run_record_done(RunRecord *record) {
    run_view_done(&record->now);
    run_view_done(&record->last);
    *record = (RunRecord){ 0 };
}

bool status_init_done(const ContainerDef *def, const RunRecord *run) {
    if (def->kind == CONTAINER_SIDECAR)
        return run->started || run->ever_started;
    return run->now.state == RUN_TERMINATED && run->now.exit_code == 0;
}

const char *status_phase_name(PodPhase phase) {
    static const char *const names[] = { "Pending", "Running", "Succeeded", "Failed" };
    return names[phase];
}

typedef struct Tally {
    int init_pending, init_failed;
    int waiting, running, stopped, succeeded;
    int sidecars; /* that run */
} Tally;

static void count_init(const ContainerDef *def, const RunRecord *run, bool never, Tally *tally) {
    if (status_init_done(def, run))
        return;
    bool failed = def->kind == CONTAINER_INIT && never && run->now.state == RUN_TERMINATED;
    if (failed)
        tally->init_failed++;
    else
        tally->init_pending++;
}

static void count_main(const RunRecord *run, Tally *tally) {
    if (run->now.state == RUN_RUNNING) {
        tally->running++;
    } else if (run->now.state == RUN_TERMINATED) {
        tally->stopped++;
        tally->succeeded += run->now.exit_code == 0;
    } else if (run->has_last) {
        tally->stopped++;
    } else {
        tally->waiting++;
    }
}

PodPhase status_phase(const PodDef *def, const PodRecord *record) {
    Tally tally = { 0 };
    if (record->failed_reason)
        return POD_FAILED;
    for (size_t i = 0; i < def->containers.len; i++) {
        const ContainerDef *container = &def->containers.items[i];
        if (container->kind == CONTAINER_MAIN)
            count_main(&record->runs[i], &tally);
        else
            count_init(container, &record->runs[i], def->restart == RESTART_NEVER, &tally);
        if (container->kind == CONTAINER_SIDECAR && record->runs[i].now.state == RUN_RUNNING)
            tally.sidecars++;
    }
    if (tally.init_failed)
        return POD_FAILED;
    /* A pod that is let go while it was being made never ran; what it has is its last word. */
    if (record->finished && !tally.running)
        return tally.stopped && tally.stopped == tally.succeeded && !tally.waiting &&
                       !tally.init_pending
                   ? POD_SUCCEEDED
                   : POD_FAILED;
    if (tally.init_pending || tally.waiting)
        return POD_PENDING;
    if (tally.running)
        return POD_RUNNING;
    if (!tally.stopped)
        return POD_PENDING;
    if (def->restart == RESTART_ALWAYS || tally.sidecars)
        return POD_RUNNING;
    if (tally.stopped == tally.succeeded)
        return POD_SUCCEEDED;
    return def->restart == RESTART_NEVER ? POD_FAILED : POD_RUNNING;
}

static json_t *time_json(usec_t wall) {
    char text[TIME_TEXT_MAX];
    if (!wall)
        return json_null();
    time_format_rfc3339(wall, text);
    return json_string(text);
}

static json_t *container_id(const PodDef *def, const ContainerDef *container, int attempt) {
    return json_sprintf("mobula://%s/%s/%d", def->uid, container->name, attempt);
}

static json_t *view_json(const PodDef *def, const ContainerDef *container, const RunView *view) {
    json_t *inner = json_object();
    const char *kind = "waiting";
    if (view->state == RUN_RUNNING) {
        kind = "running";
        json_object_set_new(inner, "startedAt", time_json(view->started));
    } else {
        if (view->reason)
            json_object_set_new(inner, "reason", json_string(view->reason));
        if (view->message)
            json_object_set_new(inner, "message", json_string(view->message));
    }
    if (view->state == RUN_TERMINATED) {
        kind = "terminated";
        json_object_set_new(inner, "exitCode", json_integer(view->exit_code));
        json_object_set_new(inner, "startedAt", time_json(view->started));
        json_object_set_new(inner, "finishedAt", time_json(view->finished));
        json_object_set_new(inner, "containerID", container_id(def, container, view->attempt));
    }
    return json_pack("{s:o}", kind, inner);
}

/* Whether the container counts for the pod's readiness. */
static bool run_ready(const ContainerDef *container, const RunRecord *run) {
    if (container->kind == CONTAINER_INIT)
        return status_init_done(container, run);
    return run->now.state == RUN_RUNNING && run->started && run->ready;
}

static json_t *run_json(const PodDef *def, const ContainerDef *container, const RunRecord *run) {
    bool ran = run->now.state != RUN_WAITING;
    json_t *json = json_object();
    json_object_set_new(json, "name", json_string(container->name));
    json_object_set_new(json, "state", view_json(def, container, &run->now));
    json_object_set_new(json, "lastState",
                        run->has_last ? view_json(def, container, &run->last) : json_object());
    json_object_set_new(json, "ready", json_boolean(run_ready(container, run)));
    json_object_set_new(json, "restartCount", json_integer(run->restarts));
    json_object_set_new(json, "image", json_string(container->image ? container->image : ""));
    json_object_set_new(json, "imageID", json_string(""));
    if (ran || run->has_last)
        json_object_set_new(
            json, "containerID",
            container_id(def, container, ran ? run->now.attempt : run->last.attempt));
    json_object_set_new(json, "started",
                        json_boolean(run->now.state == RUN_RUNNING && run->started));
    return json;
}

static const json_t *condition_find(const json_t *conditions, const char *type) {
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)conditions, i, item)
        if (str_eq(json_str_at(item, "type"), type))
            return item;
    return NULL;
}

typedef struct Conditions {
    const json_t *before;
    json_t *list;
    const PodDef *def;
    usec_t now;
} Conditions;

static void condition_add(Conditions *conditions, const char *type, bool value, const char *reason,
                          const char *message) {
    const json_t *old = condition_find(conditions->before, type);
    const char *status = value ? "True" : "False";
    json_t *since = str_eq(json_str_at(old, "status"), status)
                        ? json_object_get(old, "lastTransitionTime")
                        : NULL;
    json_t *json = json_object();
    json_object_set_new(json, "type", json_string(type));
    json_object_set_new(json, "status", json_string(status));
    if (obj_generation(conditions->def->json))
        json_object_set_new(json, "observedGeneration",
                            json_integer(obj_generation(conditions->def->json)));
    json_object_set_new(json, "lastProbeTime", json_null());
    json_object_set_new(json, "lastTransitionTime",
                        since ? json_incref(since) : time_json(conditions->now));
    if (reason)
        json_object_set_new(json, "reason", json_string(reason));
    if (message)
        json_object_set_new(json, "message", json_string(message));
    json_array_append_new(conditions->list, json);
}

/* "containers with unready status: [a b]", or NULL if there is none. */
static char *named_list(const PodDef *def, const PodRecord *record, bool init, const char *words) {
    Buf names = { 0 };
    for (size_t i = 0; i < def->containers.len; i++) {
        const ContainerDef *container = &def->containers.items[i];
        bool counts = init ? container->kind != CONTAINER_MAIN : container->kind != CONTAINER_INIT;
        bool good = init ? status_init_done(container, &record->runs[i])
                         : run_ready(container, &record->runs[i]);
        if (counts && !good)
            buf_printf(&names, "%s%s", names.len ? " " : "", container->name);
    }
    char *text = names.len ? str_printf("%s: [%s]", words, names.data) : NULL;
    buf_done(&names);
    return text;
}

/* Conditions that others set stay; those of readiness gates decide with us. */
static const char *gate_missing(const Conditions *conditions) {
    size_t i;
    json_t *gate;
    json_array_foreach(json_at(conditions->def->json, "spec", "readinessGates"), i, gate) {
        const char *type = json_str_at(gate, "conditionType");
        const json_t *condition = type ? condition_find(conditions->before, type) : NULL;
        if (!str_eq(json_str_at(condition, "status"), "True"))
            return type;
    }
    return NULL;
}

static void add_ready(Conditions *conditions, const PodRecord *record, PodPhase phase) {
    _cleanup_free_ char *unready =
        named_list(conditions->def, record, false, "containers with unready status");
    const char *reason = unready ? "ContainersNotReady" : NULL;
    bool ready = !unready;
    if (phase == POD_SUCCEEDED || phase == POD_FAILED) {
        ready = false;
        reason = phase == POD_SUCCEEDED ? "PodCompleted" : "PodFailed";
        unready = mem_free(unready);
    }
    const char *gate = ready ? gate_missing(conditions) : NULL;
    _cleanup_free_ char *gate_text =
        gate ? str_printf("corresponding condition of pod readiness gate \"%s\" does not exist or "
                          "is not true.",
                          gate)
             : NULL;
    condition_add(conditions, "Ready", ready && !gate, gate ? "ReadinessGatesNotReady" : reason,
                  gate ? gate_text : unready);
    condition_add(conditions, "ContainersReady", ready, reason, unready);
}

static void keep_foreign(Conditions *conditions) {
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)conditions->before, i, item) {
        const char *type = json_str_at(item, "type");
        if (type && !condition_find(conditions->list, type))
            json_array_append(conditions->list, item);
    }
}

static json_t *conditions_json(const PodDef *def, const PodRecord *record, PodPhase phase,
                               const json_t *before, usec_t now) {
    Conditions conditions = { .before = json_object_get(before, "conditions"),
                              .list = json_array(),
                              .def = def,
                              .now = now };
    condition_add(&conditions, "PodReadyToStartContainers", record->sandbox_ready, NULL, NULL);
    _cleanup_free_ char *incomplete =
        named_list(def, record, true, "containers with incomplete status");
    const char *reason = incomplete               ? "ContainersNotInitialized"
                         : phase == POD_SUCCEEDED ? "PodCompleted"
                                                  : NULL;
    condition_add(&conditions, "Initialized", !incomplete, reason, incomplete);
    add_ready(&conditions, record, phase);
    if (!condition_find(conditions.before, "PodScheduled"))
        condition_add(&conditions, "PodScheduled", true, NULL, NULL);
    keep_foreign(&conditions);
    return conditions.list;
}

const char *status_qos(const PodDef *def) {
    static const char *const names[] = { "cpu", "memory" };
    bool any = false, all = true;
    VEC_EACH(container, &def->containers) {
        const json_t *resources = json_object_get(container->json, "resources");
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            json_t *limit = json_at(resources, "limits", names[i]);
            json_t *request = json_at(resources, "requests", names[i]);
            any |= limit || request;
            all &= limit && (!request || json_equal(limit, request));
        }
    }
    return any && all ? "Guaranteed" : any ? "Burstable" : "BestEffort";
}

json_t *status_compute(const PodDef *def, const PodRecord *record, const json_t *before,
                       usec_t now_wall) {
    PodPhase phase = status_phase(def, record);
    json_t *status = json_object(), *inits = json_array(), *mains = json_array();
    if (obj_generation(def->json))
        json_object_set_new(status, "observedGeneration", json_integer(obj_generation(def->json)));
    json_object_set_new(status, "phase", json_string(status_phase_name(phase)));
    if (record->failed_reason)
        json_object_set_new(status, "reason", json_string(record->failed_reason));
    if (record->failed_message)
        json_object_set_new(status, "message", json_string(record->failed_message));
    json_object_set_new(status, "conditions",
                        conditions_json(def, record, phase, before, now_wall));
    if (record->host_ip) {
        json_object_set_new(status, "hostIP", json_string(record->host_ip));
        json_object_set_new(status, "hostIPs", json_pack("[{s:s}]", "ip", record->host_ip));
    }
    if (record->pod_ip) {
        json_object_set_new(status, "podIP", json_string(record->pod_ip));
        json_object_set_new(status, "podIPs", json_pack("[{s:s}]", "ip", record->pod_ip));
    }
    if (record->start_time)
        json_object_set_new(status, "startTime", time_json(record->start_time));
    for (size_t i = 0; i < def->containers.len; i++) {
        const ContainerDef *container = &def->containers.items[i];
        json_array_append_new(container->kind == CONTAINER_MAIN ? mains : inits,
                              run_json(def, container, &record->runs[i]));
    }
    if (json_array_size(inits))
        json_object_set(status, "initContainerStatuses", inits);
    json_decref(inits);
    json_object_set_new(status, "containerStatuses", mains);
    json_object_set_new(status, "qosClass", json_string(status_qos(def)));
    return status;
}
