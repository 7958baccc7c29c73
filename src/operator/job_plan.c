/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "operator/job_work.h"
#include "operator/object.h"
#include "operator/service.h"
#include "operator/spec.h"
#include "operator/submit.h"
#include "operator/validate.h"

const char *job_state(const JobWork *work) {
    const char *state = json_str_at(work->status, "jobDeploymentStatus");
    return state ? state : "";
}

void job_set_text(JobWork *work, const char *key, const char *value) {
    if (str_empty(value))
        json_object_del(work->status, key);
    else
        json_object_set_new(work->status, key, json_string(value));
}

void job_set_state(JobWork *work, const char *state) {
    job_set_text(work, "jobDeploymentStatus", state);
}

void job_fail(JobWork *work, const char *reason, const char *format, ...) {
    job_set_state(work, "Failed");
    job_set_text(work, "reason", reason);
    if (!format)
        return;
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *message = str_vprintf(format, ap);
    va_end(ap);
    job_set_text(work, "message", message);
}

bool job_is_ended(const char *job_status) {
    return str_eq(job_status, "SUCCEEDED") || str_eq(job_status, "FAILED") ||
           str_eq(job_status, "STOPPED");
}

bool job_selects_cluster(const JobWork *work) {
    return json_object_size(json_at(work->spec, "clusterSelector")) > 0;
}

const char *job_time_text(JobWork *work, usec_t wall, bool zone) {
    char text[TIME_TEXT_MAX];
    time_format_rfc3339(wall, text);
    size_t date = strcspn(text, "T");
    return arena_printf(&work->plan->arena, "%.*s %.8s%s", (int)date, text, text + date + 1,
                        zone ? " +0000 UTC" : "");
}

bool job_plan_suspension(JobWork *work) {
    if (!json_bool_at(work->spec, false, "suspend"))
        return false;
    job_set_state(work, "Suspending");
    return true;
}

static bool check_deadline(JobWork *work, const char *field, const char *shown,
                           const char *reason) {
    int64_t seconds = json_int_at(work->spec, 0, field);
    usec_t start = object_time(json_object_get(work->status, "startTime"));
    if (seconds <= 0 || start < 0)
        return false;
    usec_t deadline = start + seconds * USEC_PER_SEC;
    if (work->now < deadline) {
        plan_due(work->plan, deadline);
        return false;
    }
    job_fail(work, reason, "The RayJob has passed the %s. StartTime: %s. %s: %" PRId64, field,
             job_time_text(work, start, true), shown, seconds);
    return true;
}

bool job_check_deadlines(JobWork *work, bool before_running) {
    if (!str_eq(job_state(work), "Waiting") &&
        check_deadline(work, "activeDeadlineSeconds", "ActiveDeadlineSeconds", "DeadlineExceeded"))
        return true;
    return before_running &&
           check_deadline(work, "preRunningDeadlineSeconds", "PreRunningDeadlineSeconds",
                          "PreRunningDeadlineExceeded");
}

static void set_events(Action *action, Arena *arena, const char *done, const char *failed,
                       const char *did, const char *failing, const char *where) {
    action->done = (PlanEvent){ .reason = done,
                                .action = "Create",
                                .note = arena_printf(arena, "Created %s %s", did, where) };
    action->failed =
        (PlanEvent){ .warning = true,
                     .reason = failed,
                     .action = "Create",
                     .note = arena_printf(arena, "Failed to create %s %s:", failing, where) };
}

bool job_plan_cluster(JobWork *work) {
    Plan *plan = work->plan;
    const char *name = json_str_at(work->status, "rayClusterName");
    name = name ? name : "";
    const char *where = arena_printf(&plan->arena, "%s/%s", work->namespace_, name);
    if (work->view->cluster)
        return true;
    if (job_selects_cluster(work)) {
        plan_tell(plan, true, "RayClusterNotFound", "Validate",
                  arena_printf(&plan->arena,
                               "RayCluster %s set in the clusterSelector is not found. It must be "
                               "created manually",
                               where));
        return false;
    }
    json_t *cluster;
    int r = job_build_cluster(work->job, name, work->settings, &plan->arena, &cluster);
    if (r < 0) {
        plan_trouble(plan, "FailedToCreateRayCluster", error_text(r));
        return false;
    }
    Action *action = plan_add(plan, ACTION_CREATE, RESOURCE_RAYCLUSTERS, STAGE_FIRST, cluster);
    set_events(action, &plan->arena, "CreatedRayCluster", "FailedToCreateRayCluster", "RayCluster",
               "RayCluster", where);
    return false;
}

bool job_plan_submitter(JobWork *work) {
    Plan *plan = work->plan;
    const json_t *there = work->view->submitter;
    const char *where = arena_printf(&plan->arena, "%s/%s", work->namespace_, work->name);
    if (there && object_owned_by(there, work->view->job) && !obj_is_deleting(there))
        return true;
    if (there) {
        if (!obj_is_deleting(there))
            plan_trouble(plan, "FailedToCreateRayJobSubmitter",
                         arena_printf(&plan->arena,
                                      "Kubernetes Job %s is there and is not this RayJob's",
                                      where));
        return false; /* one that goes makes room */
    }
    json_t *submitter;
    int r =
        submit_build_job(work->job, work->view->cluster, work->settings, &plan->arena, &submitter);
    if (r < 0) {
        plan_trouble(plan, "FailedToCreateRayJobSubmitter", error_text(r));
        return false;
    }
    Action *action = plan_add(plan, ACTION_CREATE, RESOURCE_JOBS, STAGE_FIRST, submitter);
    set_events(action, &plan->arena, "CreatedRayJobSubmitter", "FailedToCreateRayJobSubmitter",
               "Kubernetes Job", "new Kubernetes Job", where);
    return true;
}

/* The names of what will be made are written down before it is made. */
static void plan_new(JobWork *work) {
    Arena *arena = &work->plan->arena;
    if (!obj_has_finalizer(work->view->job, FINALIZER_JOB)) {
        plan_finalizer(work->plan, RESOURCE_RAYJOBS, STAGE_FIRST, work->view->job, FINALIZER_JOB,
                       true);
        return;
    }
    const char *id = json_str_at(work->spec, "jobId");
    const char *cluster = json_str_at(work->spec, "clusterSelector", LABEL_CLUSTER);
    if (!job_is_mode(work->job, "InteractiveMode") && str_empty(json_str_at(work->status, "jobId")))
        job_set_text(work, "jobId",
                     str_empty(id) ? name_random(arena, work->random, work->name) : id);
    if (str_empty(json_str_at(work->status, "rayClusterName")))
        job_set_text(work, "rayClusterName",
                     str_empty(cluster) ? name_random(arena, work->random, work->name) : cluster);
    job_set_state(work, "Initializing");
    json_object_set_new(work->status, "startTime", object_time_text(work->now));
}

static bool find_dashboard(JobWork *work) {
    const json_t *service = work->view->head_service;
    int64_t port = service_port(service, "dashboard");
    if (port == 0) {
        plan_trouble(work->plan, "DashboardNotFound",
                     service ? "dashboard port is not found" : "the head Service is not found");
        return false;
    }
    json_set_printf(work->status, "dashboardURL", "%s.%s.svc.%s:%" PRId64, object_name(service),
                    object_namespace(service), work->settings->cluster_domain, port);
    return true;
}

static void plan_initializing(JobWork *work) {
    const json_t *cluster = work->view->cluster;
    if (job_plan_suspension(work) || job_check_deadlines(work, true) || !job_plan_cluster(work))
        return;
    if (str_empty(json_str_at(work->status, "dashboardURL"))) {
        if (!str_eq(json_str_at(cluster, "status", "state"), "ready")) {
            if (json_at(cluster, "status"))
                json_object_set(work->status, "rayClusterStatus", json_at(cluster, "status"));
            return;
        }
        if (!find_dashboard(work))
            return;
    }
    if (job_is_mode(work->job, "InteractiveMode"))
        job_set_state(work, "Waiting");
    else if (!job_is_mode(work->job, "K8sJobMode") || job_plan_submitter(work))
        job_set_state(work, "Running");
}

/* The user submits and tells the id. */
static void plan_waiting(JobWork *work) {
    const char *id = json_str_at(work->spec, "jobId");
    if (job_check_deadlines(work, true) || str_empty(id))
        return;
    job_set_text(work, "jobId", id);
    job_set_state(work, "Running");
}

static void plan_restart(JobWork *work, const char *next) {
    static const char *const FORGET[] = { "rayClusterStatus",
                                          "rayClusterName",
                                          "dashboardURL",
                                          "jobId",
                                          "message",
                                          "reason",
                                          "rayJobInfo",
                                          "jobStatus",
                                          "jobStatusCheckFailureStartTime" };
    if (!job_plan_release(work))
        return;
    for (size_t i = 0; i < ARRAY_LEN(FORGET); i++)
        json_object_del(work->status, FORGET[i]);
    job_set_state(work, next);
}

static void count_end(JobWork *work, const char *state) {
    int64_t failed = json_int_at(work->status, 0, "failed");
    int64_t succeeded = json_int_at(work->status, 0, "succeeded");
    const char *job_status = json_str_at(work->status, "jobStatus");
    const char *reason = json_str_at(work->status, "reason");
    failed += str_eq(state, "Failed");
    succeeded += str_eq(state, "Complete") && str_eq(job_status, "SUCCEEDED");
    json_object_set_new(work->status, "failed", json_integer(failed));
    json_object_set_new(work->status, "succeeded", json_integer(succeeded));
    if (str_eq(state, "Failed") && failed <= json_int_at(work->spec, -1, "backoffLimit") &&
        !str_eq(reason, "DeadlineExceeded") && !str_eq(reason, "JobStatusCheckTimeoutExceeded"))
        job_set_state(work, "Retrying");
}

static void plan_state(JobWork *work) {
    const char *state = job_state(work);
    if (str_eq(state, "ValidationFailed")) { /* the spec has been mended */
        job_set_text(work, "reason", NULL);
        job_set_text(work, "message", NULL);
        job_set_state(work, "");
    } else if (str_empty(state))
        plan_new(work);
    else if (str_eq(state, "Initializing"))
        plan_initializing(work);
    else if (str_eq(state, "Waiting"))
        plan_waiting(work);
    else if (str_eq(state, "Running"))
        job_plan_running(work);
    else if (str_eq(state, "Suspending"))
        plan_restart(work, "Suspended");
    else if (str_eq(state, "Retrying"))
        plan_restart(work, "");
    else if (str_eq(state, "Suspended") && !json_bool_at(work->spec, false, "suspend"))
        job_set_state(work, "");
}

static bool is_over(const char *state) {
    return str_eq(state, "Complete") || str_eq(state, "Failed");
}

static void plan_deletion(JobWork *work) {
    const char *id = json_str_at(work->status, "jobId");
    if (!obj_has_finalizer(work->view->job, FINALIZER_JOB))
        return;
    if (!job_is_ended(json_str_at(work->status, "jobStatus")) && !str_empty(id) &&
        json_at(work->status, "dashboardURL") && work->view->cluster) {
        Action *stop = plan_add(work->plan, ACTION_STOP, RESOURCE_COUNT, STAGE_FIRST, NULL);
        stop->name = arena_str(&work->plan->arena, id);
    }
    plan_finalizer(work->plan, RESOURCE_RAYJOBS, STAGE_LAST, work->view->job, FINALIZER_JOB, false);
}

static void plan_valid(JobWork *work) {
    if (is_over(job_state(work))) {
        job_plan_cleanup(work);
        return;
    }
    _cleanup_free_ char *before = str_dup(job_state(work));
    plan_state(work);
    if (work->plan->trouble)
        return;
    if (!str_eq(before, job_state(work)))
        count_end(work, job_state(work));
    if (is_over(job_state(work)))
        json_object_set_new(work->status, "endTime", object_time_text(work->now));
    work->plan->ask_head = str_eq(job_state(work), "Running");
}

void job_plan(const JobView *view, const OperatorSettings *settings, NameRandom *random, usec_t now,
              Plan *plan) {
    const json_t *before = json_at(view->job, "status");
    _cleanup_json_ json_t *status = before ? json_deep_copy(before) : json_object();
    _cleanup_json_ json_t *job = json_copy((json_t *)(uintptr_t)view->job);
    Invalid invalid;
    JobWork work = {
        .view = view,
        .settings = settings,
        .random = random,
        .now = now,
        .plan = plan,
        .spec = json_at(view->job, "spec"),
        .namespace_ = object_namespace(view->job),
        .name = object_name(view->job),
        .job = job,
        .status = status,
    };
    json_object_set(job, "status", status);
    if (managed_elsewhere(view->job))
        return;
    if (obj_is_deleting(view->job)) {
        plan_deletion(&work);
        return;
    }
    if (rayjob_validate(view->job, &plan->arena, &invalid) != 0) {
        job_set_state(&work, "ValidationFailed");
        job_set_text(&work, "reason", "ValidationFailed");
        job_set_text(&work, "message", invalid.message);
        if (!before || !json_same(before, status))
            plan_tell(plan, true, invalid.reason, "Validate", invalid.note);
    } else {
        plan_valid(&work);
    }
    if (!json_same(before, status) && !plan->trouble)
        plan->status = json_incref(status);
}
