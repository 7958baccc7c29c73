/* SPDX-License-Identifier: Apache-2.0 */
#include "local/node_plan.h"

#include "local/meta.h"
#include "local/scheduler.h"

static const char not_ready[] = "node.kubernetes.io/not-ready";
static const char unreachable[] = "node.kubernetes.io/unreachable";

usec_t node_plan_due(const json_t *node, const json_t *lease, usec_t since, usec_t grace) {
    usec_t renewed = meta_time(json_at(lease, "spec", "renewTime"));
    usec_t beat = meta_time(json_object_get(obj_condition(node, "Ready"), "lastHeartbeatTime"));
    usec_t last = MAX(MAX(renewed, beat), MAX(meta_created(node), since));
    return last + grace;
}

static bool lose(json_t *node, usec_t now) {
    static const char *const types[] = { "Ready", "MemoryPressure", "DiskPressure", "PIDPressure" };
    json_t *status = json_make_object(node, "status");
    bool changed = false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const json_t *condition = obj_condition(node, types[i]);
        if (str_eq(json_str_at(condition, "status"), "Unknown"))
            continue;
        changed |= condition_set(status, types[i], "Unknown",
                                 condition ? "NodeStatusUnknown" : "NodeStatusNeverUpdated",
                                 condition ? "Kubelet stopped posting node status."
                                           : "Kubelet never posted node status.",
                                 now);
    }
    return changed;
}

static bool is_ours(const json_t *taint) {
    const char *key = json_str_at(taint, "key");
    return str_eq(key, not_ready) || str_eq(key, unreachable);
}

static bool has_taint(const json_t *taints, const char *key, const char *effect) {
    const json_t *taint;
    size_t i;
    json_array_foreach(taints, i, taint) {
        if (str_eq(json_str_at(taint, "key"), key) && str_eq(json_str_at(taint, "effect"), effect))
            return true;
    }
    return false;
}

static bool remove_taints(json_t *node, const char *but) {
    json_t *taints = json_at(node, "spec", "taints");
    bool changed = false;
    for (size_t i = json_array_size(taints); i-- > 0;) {
        const json_t *taint = json_array_get(taints, i);
        if (!is_ours(taint) || str_eq(json_str_at(taint, "key"), but))
            continue;
        json_array_remove(taints, i);
        changed = true;
    }
    if (changed && json_array_size(taints) == 0)
        json_remove_at(node, "spec", "taints");
    return changed;
}

static bool add_taint(json_t *node, const char *key, usec_t now) {
    static const char *const effects[] = { "NoSchedule", "NoExecute" };
    json_t *taints = json_make_array(json_make_object(node, "spec"), "taints");
    bool changed = false;
    for (size_t i = 0; i < ARRAY_LEN(effects); i++) {
        if (has_taint(taints, key, effects[i]))
            continue;
        json_array_append_new(taints, json_pack("{s:s, s:s, s:o}", "key", key, "effect", effects[i],
                                                "timeAdded", meta_time_json(now)));
        changed = true;
    }
    return changed;
}

/* kubectl cordon sets the field; the taint is what others see. */
static bool show_cordon(json_t *node, usec_t now) {
    static const char cordoned[] = "node.kubernetes.io/unschedulable";
    json_t *taints = json_at(node, "spec", "taints");
    bool wanted = json_bool_at(node, false, "spec", "unschedulable");
    if (wanted == has_taint(taints, cordoned, "NoSchedule"))
        return false;
    if (wanted) {
        taints = json_make_array(json_make_object(node, "spec"), "taints");
        json_array_append_new(taints, json_pack("{s:s, s:s, s:o}", "key", cordoned, "effect",
                                                "NoSchedule", "timeAdded", meta_time_json(now)));
        return true;
    }
    for (size_t i = json_array_size(taints); i-- > 0;)
        if (str_eq(json_str_at(json_array_get(taints, i), "key"), cordoned))
            json_array_remove(taints, i);
    if (json_array_size(taints) == 0)
        json_remove_at(node, "spec", "taints");
    return true;
}

bool node_plan_edit(json_t *node, bool lost, usec_t now) {
    bool changed = lost && lose(node, now);
    changed |= show_cordon(node, now);
    const char *ready = json_str_at(obj_condition(node, "Ready"), "status");
    if (!ready)
        return changed; /* one that nobody has spoken for yet: as it was made */
    const char *key = str_eq(ready, "True")    ? NULL
                      : str_eq(ready, "False") ? not_ready
                                               : unreachable;
    changed |= remove_taints(node, key);
    if (key)
        changed |= add_taint(node, key, now);
    return changed;
}

/* How long the pod stays with the taint: the least that one of its tolerations says; USEC_INFINITY
 * if they say nothing, 0 without any. */
static usec_t tolerated_for(const json_t *pod, const json_t *taint) {
    bool any = false;
    usec_t least = USEC_INFINITY;
    size_t i;
    json_t *toleration;
    json_array_foreach(json_at(pod, "spec", "tolerations"), i, toleration) {
        const json_t *seconds = json_object_get(toleration, "tolerationSeconds");
        if (!toleration_matches(toleration, taint))
            continue;
        any = true;
        if (json_is_integer(seconds))
            least = MIN(least,
                        CLAMP(json_integer_value(seconds), (json_int_t)0, (json_int_t)INT32_MAX) *
                            USEC_PER_SEC);
    }
    return any ? least : 0;
}

usec_t node_plan_eviction(const json_t *pod, const json_t *node) {
    usec_t due = USEC_INFINITY;
    size_t i;
    json_t *taint;
    json_array_foreach(json_at(node, "spec", "taints"), i, taint) {
        if (!str_eq(json_str_at(taint, "effect"), "NoExecute"))
            continue;
        usec_t stays = tolerated_for(pod, taint);
        usec_t added = meta_time(json_object_get(taint, "timeAdded"));
        if (stays != USEC_INFINITY)
            due = MIN(due, MAX(added, (usec_t)0) + stays);
    }
    return due;
}
