/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/cluster_pods.h"

#include <inttypes.h>

#include "operator/object.h"
#include "operator/pod.h"
#include "operator/spec.h"

const char *pod_phase(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return phase ? phase : "";
}

bool pod_is_type(const json_t *pod, const char *node_type) {
    return str_eq(obj_label(pod, LABEL_NODE_TYPE), node_type);
}

bool pod_is_live(const json_t *pod, const json_t *cluster) {
    return object_owned_by(pod, cluster) && !obj_is_deleting(pod);
}

const json_t *pod_ray_terminated(const json_t *pod) {
    const char *name = json_str_at(pod_ray_container(pod), "name");
    size_t i;
    json_t *status;
    json_array_foreach(json_at(pod, "status", "containerStatuses"), i, status) {
        if (name && str_eq(json_str_at(status, "name"), name))
            return json_at(status, "state", "terminated");
    }
    return NULL;
}

bool pod_has_failed(const json_t *pod) {
    const char *phase = pod_phase(pod);
    if (str_eq(phase, "Failed") || str_eq(phase, "Succeeded"))
        return true;
    return str_eq(phase, "Running") && pod_ray_terminated(pod) &&
           str_eq(json_str_at(pod, "spec", "restartPolicy"), "Never");
}

const char *pod_end_text(const json_t *pod, Arena *arena) {
    const char *policy = json_str_at(pod, "spec", "restartPolicy");
    const json_t *ended = pod_ray_terminated(pod);
    const char *why = json_str_at(ended, "reason");
    const char *how = "nil";
    if (ended)
        how = arena_printf(arena, "exit code %" PRId64 ", %s", json_int_at(ended, 0, "exitCode"),
                           why ? why : "no reason given");
    return arena_printf(
        arena, "Pod status: %s; Pod restart policy: %s; Ray container terminated status: %s",
        pod_phase(pod), policy ? policy : "Always", how);
}

bool pod_is_ready(const json_t *pod) {
    return str_eq(pod_phase(pod), "Running") &&
           condition_holds(json_at(pod, "status", "conditions"), "Ready");
}

void cluster_create_pod(ClusterWork *work, json_t *pod, bool head) {
    Arena *arena = &work->plan->arena;
    const char *prefix = json_str_at(pod, "metadata", "generateName");
    if (prefix) /* the name is ours, so that a repeated request cannot make a second pod */
        json_set_at(pod, json_string(name_random(arena, work->random, prefix)), "metadata", "name");
    Action *action = plan_add(work->plan, ACTION_CREATE, RESOURCE_PODS, STAGE_PODS, pod);
    const char *kind = head ? "head" : "worker";
    action->failure = head ? "FailedCreateHeadPod" : "FailedCreateWorkerPod";
    action->done = (PlanEvent){ .reason = head ? "CreatedHeadPod" : "CreatedWorkerPod",
                                .action = "Create",
                                .note = arena_printf(arena, "Created %s Pod %s/%s", kind,
                                                     work->namespace_, action->name) };
    action->failed = (PlanEvent){
        .warning = true,
        .reason = head ? "FailedToCreateHeadPod" : "FailedToCreateWorkerPod",
        .action = "Create",
        .note = head ? arena_printf(arena, "Failed to create head Pod %s/%s,", work->namespace_,
                                    action->name)
                     : arena_printf(arena, "Failed to create worker Pod for the cluster %s/%s,",
                                    work->namespace_, work->name),
    };
}

void cluster_delete_pod(ClusterWork *work, const json_t *pod, bool head, const char *note) {
    Arena *arena = &work->plan->arena;
    Action *action = plan_delete(work->plan, RESOURCE_PODS, STAGE_PODS, pod);
    action->failure = head ? "FailedDeleteHeadPod" : "FailedDeleteWorkerPod";
    action->done = (PlanEvent){ .reason = head ? "DeletedHeadPod" : "DeletedWorkerPod",
                                .action = "Delete",
                                .note = arena_printf(arena, "Deleted %s", note) };
    action->failed =
        (PlanEvent){ .warning = true,
                     .reason = head ? "FailedToDeleteHeadPod" : "FailedToDeleteWorkerPod",
                     .action = "Delete",
                     .note = arena_printf(arena, "Failed deleting %s,", note) };
}

/* Deletes every live pod; one event, `note`, tells it, also when there was none. */
static void delete_all(ClusterWork *work, const char *why) {
    Arena *arena = &work->plan->arena;
    size_t i;
    json_t *pod;
    json_array_foreach(work->view->pods, i, pod) {
        if (!pod_is_live(pod, work->cluster))
            continue;
        Action *action = plan_delete(work->plan, RESOURCE_PODS, STAGE_PODS, pod);
        action->failure = "FailedDeleteAllPods";
        action->failed = (PlanEvent){
            .warning = true,
            .reason = "FailedToDeletePodCollection",
            .action = "Delete",
            .note = arena_printf(arena, "Failed deleting Pods due to %s for RayCluster %s/%s,", why,
                                 work->namespace_, work->name),
        };
    }
}

static size_t count_owned(const ClusterWork *work, bool live) {
    size_t i, count = 0;
    json_t *pod;
    json_array_foreach(work->view->pods, i, pod)
        count += object_owned_by(pod, work->cluster) && obj_is_deleting(pod) != live;
    return count;
}

static void plan_suspension(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    bool waits_only = count_owned(work, true) == 0 && count_owned(work, false) > 0;
    delete_all(work, "suspension");
    if (!waits_only)
        plan_tell(work->plan, false, "DeletedPod", "Delete",
                  arena_printf(arena, "Deleted Pods for RayCluster %s/%s due to suspension",
                               work->namespace_, work->name));
}

static const json_t *first_live_head(const ClusterWork *work) {
    size_t i;
    json_t *pod;
    json_array_foreach(work->view->pods, i, pod) {
        if (pod_is_type(pod, NODE_HEAD) && pod_is_live(pod, work->cluster))
            return pod;
    }
    return NULL;
}

static bool recreates(const ClusterWork *work) {
    return str_eq(json_str_at(work->spec, "upgradeStrategy", "type"), "Recreate");
}

/* upgradeStrategy Recreate: the head remembers the spec it was made from. One that another version
 * or operator made gets our hash; it is not taken for a change. */
static bool plan_recreation(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    const json_t *head = first_live_head(work);
    if (!head || !recreates(work))
        return false;
    const char *hash = cluster_spec_hash(work->spec, arena);
    const char *version = obj_annotation(head, ANNOTATION_VERSION);
    const char *made_from = obj_annotation(head, ANNOTATION_HASH);
    if (!str_empty(version) && !str_eq(version, OPERATOR_VERSION)) {
        json_t *patch = json_object();
        obj_set_annotation(patch, ANNOTATION_HASH, hash);
        obj_set_annotation(patch, ANNOTATION_VERSION, OPERATOR_VERSION);
        Action *action = plan_add(work->plan, ACTION_PATCH, RESOURCE_PODS, STAGE_PODS, patch);
        action->name = arena_str(arena, object_name(head));
        return false;
    }
    if (str_empty(made_from) || str_eq(made_from, hash))
        return false;
    delete_all(work, "spec change with Recreate upgradeStrategy");
    plan_tell(work->plan, false, "DeletedPod", "Delete",
              arena_printf(arena,
                           "Deleted all Pods for RayCluster %s/%s due to spec change with "
                           "Recreate upgradeStrategy",
                           work->namespace_, work->name));
    return true;
}

static bool keeps_head_down(const ClusterWork *work) {
    return str_eq(obj_annotation(work->cluster, ANNOTATION_NO_HEAD_RESTART), "true") &&
           condition_holds(json_at(work->cluster, "status", "conditions"), "RayClusterProvisioned");
}

/* Whether it does. */
static bool create_head(ClusterWork *work) {
    usec_t allowed = restarts_allow(work->view->restarts, GROUP_HEAD, work->now);
    if (allowed > work->now) {
        plan_due(work->plan, allowed);
        return false;
    }
    if (keeps_head_down(work))
        return false;
    cluster_create_pod(work, pod_build_head(work->cluster, work->settings, &work->plan->arena),
                       true);
    return true;
}

/* There is one head at a time: a new one waits until the old one is gone, even one of a former
 * cluster of this name, because the head Service would choose either. Whether workers may be made:
 * with Recreate none is made before its head, which remembers the spec for all of them. */
static bool plan_head(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    const json_t *head = NULL;
    size_t i, live = 0, leaving = 0;
    json_t *pod;
    _cleanup_buf_ Buf names = { 0 };
    json_array_foreach(work->view->pods, i, pod) {
        if (!pod_is_type(pod, NODE_HEAD))
            continue;
        if (obj_is_deleting(pod)) {
            leaving++;
        } else if (object_owned_by(pod, work->cluster)) {
            head = pod;
            buf_printf(&names, "%s%s", live++ ? " " : "", object_name(pod));
        }
    }
    if (live > 1) {
        plan_trouble(work->plan, "TooManyHeadPods",
                     arena_printf(arena, "%zu head pods found [%s]. Please delete extra head pods",
                                  live, names.data));
        return false;
    }
    if (head && pod_has_failed(head)) {
        cluster_delete_pod(work, head, true,
                           arena_printf(arena, "head Pod %s/%s; %s", work->namespace_,
                                        object_name(head), pod_end_text(head, arena)));
        work->plan->actions.items[work->plan->actions.len - 1].restart = GROUP_HEAD;
        head = NULL;
    } else if (!head && leaving == 0 && create_head(work)) {
        return true;
    }
    return head || !recreates(work);
}

void cluster_plan_pods(ClusterWork *work) {
    const json_t *conditions = json_at(work->cluster, "status", "conditions");
    if (condition_holds(conditions, "RayClusterSuspending")) {
        plan_suspension(work); /* to its end, even if spec.suspend is false again */
        return;
    }
    if (condition_holds(conditions, "RayClusterSuspended") || spec_suspended(work->spec))
        return;
    if (plan_recreation(work))
        return;
    if (plan_head(work))
        cluster_plan_workers(work);
}
