/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_wait.h"

#include "kobj/meta.h"
#include "local/scheduler.h"

bool pod_is_ready_now(const json_t *pod) {
    return str_eq(json_str_at(obj_condition(pod, "Ready"), "status"), "True");
}

/* What the first container that waits says about it. */
static char *container_wait(const json_t *statuses) {
    size_t i;
    json_t *status;
    json_array_foreach(statuses, i, status) {
        const char *reason = json_str_at(status, "state", "waiting", "reason");
        const char *message = json_str_at(status, "state", "waiting", "message");
        if (reason && !str_eq(reason, "PodInitializing") && !str_eq(reason, "ContainerCreating"))
            return str_printf("%s%s%s", reason, str_empty(message) ? "" : ": ",
                              str_empty(message) ? "" : message);
    }
    return NULL;
}

/* Whether some node could hold the pod if it had nothing else to do. */
static bool fits_an_empty_node(const json_t *pod, const KubeInformer *nodes) {
    _cleanup_(placement_freep) Placement *placement = placement_new();
    _cleanup_buf_ Buf why = { 0 };
    _cleanup_json_ json_t *copy = json_deep_copy(pod);
    const char *where;
    size_t pos = 0;
    for (json_t *node; (node = kube_informer_next(nodes, &pos));)
        placement_add_node(placement, node);
    return placement_choose(placement, copy, &where, &why) == 0;
}

static char *place_wait(const json_t *pod, const json_t *scheduled, const KubeInformer *nodes,
                        bool local) {
    const char *reason = json_str_at(scheduled, "reason");
    const char *message = json_str_at(scheduled, "message");
    const char *advice = "";
    if (!str_eq(reason, "Unschedulable") || !kube_informer_synced(nodes))
        advice = "";
    else if (fits_an_empty_node(pod, nodes))
        advice = " It will fit when other pods have ended.";
    else if (local)
        advice = " No node could hold it even when empty: let the pod ask for less, or give the "
                 "cluster other nodes with --nodes, as in --nodes 2x16cpu,64Gi,nvidia.com/gpu=1.";
    else
        advice = " No node could hold it even when empty: let the pod ask for less, or add nodes.";
    return str_printf("%s: %s%s", str_empty(reason) ? "not scheduled" : reason,
                      str_empty(message) ? "" : message, advice);
}

char *pod_wait_text(const json_t *pod, const KubeInformer *nodes, bool local) {
    const json_t *scheduled = obj_condition(pod, "PodScheduled");
    if (str_eq(json_str_at(scheduled, "status"), "False"))
        return place_wait(pod, scheduled, nodes, local);
    char *why = container_wait(json_at(pod, "status", "initContainerStatuses"));
    return why ? why : container_wait(json_at(pod, "status", "containerStatuses"));
}
