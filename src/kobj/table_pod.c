/* SPDX-License-Identifier: Apache-2.0 */

/* A pod's line: how many containers are ready, and the one word that says how it is. */

#include "base/clock.h"
#include "kobj/meta.h"
#include "kobj/table_private.h"

typedef struct PodLine {
    char *reason;        /* owned */
    int64_t ready, total, restarts;
    usec_t last_restart; /* 0: unknown */
    bool initializing;
} PodLine;

static bool condition_true(const json_t *pod, const char *type) {
    return str_eq(json_str_at(obj_condition(pod, type), "status"), "True");
}

static void reason_set(PodLine *line, char *reason) {
    mem_free(line->reason);
    line->reason = reason;
}

static void note_restarts(PodLine *line, const json_t *status) {
    const char *finished = json_str_at(status, "lastState", "terminated", "finishedAt");
    usec_t at;

    line->restarts += json_int_at(status, 0, "restartCount");
    if (finished && time_parse_rfc3339(finished, &at) == 0)
        line->last_restart = MAX(line->last_restart, at);
}

/* "Error", "ExitCode:3", "Signal:9". */
static char *ended_reason(const json_t *terminated, const char *prefix) {
    const char *reason = json_str_at(terminated, "reason");
    int64_t signal = json_int_at(terminated, 0, "signal");

    if (!str_empty(reason))
        return str_printf("%s%s", prefix, reason);
    if (signal != 0)
        return str_printf("%sSignal:%lld", prefix, (long long)signal);
    return str_printf("%sExitCode:%lld", prefix, (long long)json_int_at(terminated, 0, "exitCode"));
}

/* Init containers with restartPolicy Always run beside the others. */
static bool is_sidecar(const json_t *pod, const char *name) {
    size_t i;
    json_t *container;

    json_array_foreach(json_at(pod, "spec", "initContainers"), i, container)
        if (str_eq(json_str_at(container, "name"), name))
            return str_eq(json_str_at(container, "restartPolicy"), "Always");
    return false;
}

/* Says whether this init container holds the pod up. */
static bool init_holds(PodLine *line, const json_t *pod, const json_t *status, size_t index) {
    const json_t *ended = json_at(status, "state", "terminated");
    const char *waiting = json_str_at(status, "state", "waiting", "reason");
    bool sidecar = is_sidecar(pod, json_str_at(status, "name"));

    if (ended && json_int_at(ended, 0, "exitCode") == 0)
        return false;
    if (sidecar && json_bool_at(status, false, "started")) {
        line->ready += json_bool_at(status, false, "ready");
        return false;
    }
    if (ended)
        reason_set(line, ended_reason(ended, "Init:"));
    else if (!str_empty(waiting) && !str_eq(waiting, "PodInitializing"))
        reason_set(line, str_printf("Init:%s", waiting));
    else
        reason_set(line, str_printf("Init:%zu/%zu", index,
                                    json_array_size(json_at(pod, "spec", "initContainers"))));
    return true;
}

static void init_containers(PodLine *line, const json_t *pod) {
    size_t i;
    json_t *status;

    json_array_foreach(json_at(pod, "status", "initContainerStatuses"), i, status) {
        note_restarts(line, status);
        line->initializing = init_holds(line, pod, status, i);
        if (line->initializing)
            return;
    }
}

/* Says whether the container runs and is ready. */
static bool container_state(PodLine *line, const json_t *status) {
    const json_t *ended = json_at(status, "state", "terminated");
    const char *waiting = json_str_at(status, "state", "waiting", "reason");

    note_restarts(line, status);
    if (!str_empty(waiting))
        reason_set(line, str_dup(waiting));
    else if (ended)
        reason_set(line, ended_reason(ended, ""));
    else if (json_bool_at(status, false, "ready") && json_at(status, "state", "running")) {
        line->ready++;
        return true;
    }
    return false;
}

static void containers(PodLine *line, const json_t *pod) {
    const json_t *list = json_at(pod, "status", "containerStatuses");
    bool running = false;

    line->restarts = 0;
    line->last_restart = 0;
    for (size_t i = json_array_size(list); i > 0; i--)
        running = container_state(line, json_array_get(list, i - 1)) || running;
    if (running && str_eq(line->reason, "Completed"))
        reason_set(line, str_dup(condition_true(pod, "Ready") ? "Running" : "NotReady"));
}

static void count_total(PodLine *line, const json_t *pod) {
    size_t i;
    json_t *container;

    line->total = (int64_t)json_array_size(json_at(pod, "spec", "containers"));
    json_array_foreach(json_at(pod, "spec", "initContainers"), i, container)
        line->total += str_eq(json_str_at(container, "restartPolicy"), "Always");
}

static void pod_line(const json_t *pod, PodLine *line) {
    const char *phase = json_str_at(pod, "status", "phase");
    const char *reason = json_str_at(pod, "status", "reason");

    reason_set(line, str_dup(!str_empty(reason) ? reason : phase ? phase : ""));
    if (str_eq(json_str_at(obj_condition(pod, "PodScheduled"), "reason"), "SchedulingGated"))
        reason_set(line, str_dup("SchedulingGated"));
    count_total(line, pod);
    init_containers(line, pod);
    if (!line->initializing || condition_true(pod, "Initialized"))
        containers(line, pod);
    if (!obj_is_deleting(pod))
        return;
    if (str_eq(reason, "NodeLost"))
        reason_set(line, str_dup("Unknown"));
    else if (!str_eq(phase, "Succeeded") && !str_eq(phase, "Failed"))
        reason_set(line, str_dup("Terminating"));
}

static char *restarts_text(const PodLine *line, usec_t now) {
    if (line->restarts == 0 || line->last_restart == 0)
        return str_printf("%lld", (long long)line->restarts);
    _cleanup_free_ char *ago = table_age(now - line->last_restart);
    return str_printf("%lld (%s ago)", (long long)line->restarts, ago);
}

static char *gates_text(const json_t *pod) {
    const json_t *gates = json_at(pod, "spec", "readinessGates");
    size_t count = json_array_size(gates), met = 0;

    for (size_t i = 0; i < count; i++) {
        const char *type = json_str_at(json_array_get(gates, i), "conditionType");
        met += type && condition_true(pod, type);
    }
    return count ? str_printf("%zu/%zu", met, count) : str_dup("<none>");
}

void pod_cells(const json_t *pod, usec_t now, json_t *cells) {
    const json_t *first_ip = json_array_get(json_at(pod, "status", "podIPs"), 0);
    const char *ip = json_str_at(first_ip, "ip");
    PodLine line = { 0 };

    pod_line(pod, &line);
    cell_text(cells, obj_name(pod), "");
    cell_take(cells, str_printf("%lld/%lld", (long long)line.ready, (long long)line.total));
    cell_take(cells, TAKE(line.reason));
    cell_take(cells, restarts_text(&line, now));
    cell_since(cells, json_at(pod, "metadata", "creationTimestamp"), now);
    cell_text(cells, or_none(ip ? ip : json_str_at(pod, "status", "podIP")), "");
    cell_text(cells, or_none(json_str_at(pod, "spec", "nodeName")), "");
    cell_text(cells, or_none(json_str_at(pod, "status", "nominatedNodeName")), "");
    cell_take(cells, gates_text(pod));
}
