/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/job_work.h"
#include "operator/object.h"
#include "operator/spec.h"
#include "operator/submit.h"

static void set_delete_events(JobWork *work, Action *action, const char *done, const char *failed,
                              const char *what, const char *name) {
    Arena *arena = &work->plan->arena;
    action->done = (PlanEvent){ .reason = done,
                                .action = "Delete",
                                .note = arena_printf(arena, "Deleted %s %s/%s", what,
                                                     work->namespace_, name) };
    action->failed = (PlanEvent){ .warning = true,
                                  .reason = failed,
                                  .action = "Delete",
                                  .note = arena_printf(arena, "Failed to delete %s %s/%s:", what,
                                                       work->namespace_, name) };
}

/* Says whether the cluster is gone (or was never this RayJob's to delete). */
static bool release_cluster(JobWork *work) {
    const json_t *cluster = work->view->cluster;
    if (job_selects_cluster(work) || !cluster || !object_owned_by(cluster, work->view->job))
        return true;
    if (!obj_is_deleting(cluster))
        set_delete_events(work, plan_delete(work->plan, RESOURCE_RAYCLUSTERS, STAGE_FIRST, cluster),
                          "DeletedRayCluster", "FailedToDeleteRayCluster", "cluster",
                          object_name(cluster));
    return false;
}

static bool release_submitter(JobWork *work) {
    const json_t *submitter = work->view->submitter;
    if (!submitter || !object_owned_by(submitter, work->view->job))
        return true;
    if (!obj_is_deleting(submitter))
        set_delete_events(work, plan_delete(work->plan, RESOURCE_JOBS, STAGE_FIRST, submitter),
                          "DeletedRayJobSubmitter", "FailedToDeleteRayJobSubmitter",
                          "submitter K8s Job", object_name(submitter));
    return false;
}

bool job_plan_release(JobWork *work) {
    bool cluster = release_cluster(work), submitter = release_submitter(work);
    return cluster && submitter;
}

static bool workers_suspended(const json_t *cluster) {
    size_t i;
    json_t *group;
    json_array_foreach(json_at(cluster, "spec", "workerGroupSpecs"), i, group) {
        if (!group_suspended(group))
            return false;
    }
    return true;
}

static void suspend_workers(JobWork *work) {
    Arena *arena = &work->plan->arena;
    json_t *changed = json_deep_copy(work->view->cluster);
    const char *name = arena_str(arena, object_name(changed));
    size_t i;
    json_t *group;
    json_array_foreach(json_at(changed, "spec", "workerGroupSpecs"), i, group)
        json_object_set_new(group, "suspend", json_true());
    Action *action =
        plan_add(work->plan, ACTION_REPLACE, RESOURCE_RAYCLUSTERS, STAGE_FIRST, changed);
    action->done = (PlanEvent){
        .reason = "UpdatedRayCluster",
        .action = "Update",
        .note = arena_printf(arena,
                             "Set the `suspend` field to true for all worker groups in cluster "
                             "%s/%s",
                             work->namespace_, name),
    };
    action->failed = (PlanEvent){
        .warning = true,
        .reason = "FailedToUpdateRayCluster",
        .action = "Update",
        .note = arena_printf(
            arena, "Failed to suspend worker groups in cluster %s/%s:", work->namespace_, name),
    };
}

typedef enum Policy { /* the more it deletes, the higher */
    POLICY_NONE,
    POLICY_WORKERS,
    POLICY_CLUSTER,
    POLICY_SELF,
} Policy;

static Policy policy_of(const char *text) {
    if (str_eq(text, "DeleteWorkers"))
        return POLICY_WORKERS;
    if (str_eq(text, "DeleteCluster"))
        return POLICY_CLUSTER;
    return str_eq(text, "DeleteSelf") ? POLICY_SELF : POLICY_NONE;
}

static bool policy_is_done(const JobWork *work, Policy policy) {
    const json_t *cluster = work->view->cluster;
    bool gone = !cluster || obj_is_deleting(cluster);
    if (policy == POLICY_WORKERS)
        return gone || workers_suspended(cluster);
    return policy == POLICY_NONE || (policy == POLICY_CLUSTER && gone);
}

static void apply(JobWork *work, Policy policy) {
    if (policy_is_done(work, policy))
        return;
    if (policy == POLICY_SELF)
        plan_delete(work->plan, RESOURCE_RAYJOBS, STAGE_FIRST, work->view->job);
    else if (policy == POLICY_CLUSTER)
        (void)release_cluster(work);
    else
        suspend_workers(work);
}

/* So many seconds after the end; false: not yet, look again then. */
static bool time_has_come(JobWork *work, int64_t seconds) {
    usec_t end = object_time(json_object_get(work->status, "endTime"));
    usec_t then = (end < 0 ? work->now : end) + seconds * USEC_PER_SEC;
    if (work->now >= then)
        return true;
    plan_due(work->plan, then);
    return false;
}

static bool rule_applies(const JobWork *work, const json_t *rule) {
    const char *job_status = json_str_at(rule, "condition", "jobStatus");
    if (job_status)
        return str_eq(job_status, json_str_at(work->status, "jobStatus"));
    return str_eq(json_str_at(rule, "condition", "jobDeploymentStatus"), job_state(work));
}

/* Of the rules whose time has come, the one that deletes most. */
static void apply_rules(JobWork *work, const json_t *rules) {
    Policy most = POLICY_NONE;
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule) {
        if (!rule_applies(work, rule) ||
            !time_has_come(work, json_int_at(rule, 0, "condition", "ttlSeconds")))
            continue;
        Policy policy = policy_of(json_str_at(rule, "policy"));
        if (!policy_is_done(work, policy))
            most = MAX(most, policy);
    }
    apply(work, most);
}

static void apply_legacy(JobWork *work, const json_t *strategy) {
    const char *job_status = json_str_at(work->status, "jobStatus");
    const char *text = NULL;
    if (str_eq(job_status, "SUCCEEDED"))
        text = json_str_at(strategy, "onSuccess", "policy");
    else if (str_eq(job_status, "FAILED"))
        text = json_str_at(strategy, "onFailure", "policy");
    Policy policy = policy_of(text);
    if (policy != POLICY_NONE &&
        time_has_come(work, json_int_at(work->spec, 0, "ttlSecondsAfterFinished")))
        apply(work, policy);
}

void job_plan_cleanup(JobWork *work) {
    const json_t *strategy = json_at(work->spec, "deletionStrategy");
    const json_t *rules = json_at(strategy, "deletionRules");
    if (job_selects_cluster(work))
        return; /* it was there before and stays */
    if (rules)
        apply_rules(work, rules);
    else if (strategy)
        apply_legacy(work, strategy);
    else if (json_bool_at(work->spec, false, "shutdownAfterJobFinishes") &&
             time_has_come(work, json_int_at(work->spec, 0, "ttlSecondsAfterFinished")))
        apply(work, work->settings->delete_job ? POLICY_SELF : POLICY_CLUSTER);
}
