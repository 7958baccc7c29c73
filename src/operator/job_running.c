/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "operator/job_work.h"
#include "operator/object.h"
#include "operator/service.h"
#include "operator/submit.h"

enum {
    SUBMITTER_GRACE_S = 30, /* for the job to be over, too */
    SILENCE_S = 5           /* for a head that does not answer when its submitter has failed */
};

#define ASK_AGAIN (250 * USEC_PER_MSEC)

/* How the submitter ended, if it did. */
typedef struct Submitter {
    usec_t finished;     /* -1: not yet */
    bool failed;
    const char *message; /* of the failure */
} Submitter;

static Submitter look_at_job(JobWork *work) {
    const json_t *conditions = json_at(work->view->submitter, "status", "conditions");
    const json_t *failed =
        condition_holds(conditions, "Failed") ? condition_find(conditions, "Failed") : NULL;
    const json_t *ended = failed;
    if (!ended && condition_holds(conditions, "Complete"))
        ended = condition_find(conditions, "Complete");
    Submitter submitter = { .finished = -1, .failed = failed };
    if (!ended)
        return submitter;
    submitter.finished = object_time(json_object_get(ended, "lastTransitionTime"));
    if (submitter.finished < 0)
        submitter.finished = work->now;
    const char *reason = json_str_at(failed, "reason"), *message = json_str_at(failed, "message");
    submitter.message =
        arena_printf(&work->plan->arena, "Job submission has failed. Reason: %s. Message: %s",
                     reason ? reason : "", message ? message : "");
    return submitter;
}

static Submitter look_at_sidecar(JobWork *work) {
    Submitter submitter = { .finished = -1 };
    size_t i;
    json_t *status;
    json_array_foreach(json_at(work->view->head_pod, "status", "containerStatuses"), i, status) {
        const json_t *ended = json_at(status, "state", "terminated");
        if (!ended || !str_eq(json_str_at(status, "name"), CONTAINER_SUBMIT))
            continue;
        int64_t code = json_int_at(ended, 0, "exitCode");
        const char *reason = json_str_at(ended, "reason");
        submitter.finished = object_time(json_object_get(ended, "finishedAt"));
        if (submitter.finished < 0)
            submitter.finished = work->now;
        submitter.failed = code != 0;
        submitter.message = arena_printf(&work->plan->arena,
                                         "Ray head pod container " CONTAINER_SUBMIT
                                         " terminated with exit code %" PRId64 ": %s",
                                         code, reason ? reason : "");
    }
    return submitter;
}

/* The RayJob's own head Service, which outlives retries. */
static void plan_service(JobWork *work) {
    Arena *arena = &work->plan->arena;
    const json_t *there = work->view->service;
    if (job_selects_cluster(work))
        return;
    json_t *service = service_build_job_head(work->job, work->view->cluster, work->settings, arena);
    const char *cluster = json_str_at(service, "spec", "selector", LABEL_CLUSTER);
    if (there && str_eq(cluster, json_str_at(there, "spec", "selector", LABEL_CLUSTER))) {
        json_decref(service);
        return;
    }
    const char *where = arena_printf(arena, "%s/%s", work->namespace_, object_name(service));
    const char *did = there ? "Updated" : "Created";
    Action *action;
    if (there) {
        json_t *changed = json_deep_copy(there);
        json_t *address = json_at(there, "spec", "clusterIP");
        if (address)
            json_set_at(service, json_incref(address), "spec", "clusterIP");
        json_object_set(changed, "spec", json_object_get(service, "spec"));
        json_decref(service);
        action = plan_add(work->plan, ACTION_REPLACE, RESOURCE_SERVICES, STAGE_FIRST, changed);
    } else {
        object_own(service, work->view->job);
        action = plan_add(work->plan, ACTION_CREATE, RESOURCE_SERVICES, STAGE_FIRST, service);
    }
    action->done = (PlanEvent){ .reason = there ? "UpdatedService" : "CreatedService",
                                .action = there ? "Update" : "Create",
                                .note = arena_printf(arena, "%s the service %s", did, where) };
    action->failed = (PlanEvent){
        .warning = true,
        .reason = there ? "FailedToUpdateService" : "FailedToCreateService",
        .action = there ? "Update" : "Create",
        .note =
            arena_printf(arena, "Failed to %s the service %s,", there ? "update" : "create", where),
    };
}

/* Ray says that the job has ended, but the RayJob is still Running: the submitter hangs. */
static bool check_transition(JobWork *work) {
    const char *job_status = json_str_at(work->status, "jobStatus");
    usec_t end = object_time(json_at(work->status, "rayJobInfo", "endTime"));
    if (!job_is_ended(job_status) || end < 0)
        return false;
    if (work->now < end + work->settings->job_grace) {
        plan_due(work->plan, end + work->settings->job_grace);
        return false;
    }
    job_set_state(work, str_eq(job_status, "FAILED") ? "Failed" : "Complete");
    job_set_text(work, "reason", "JobDeploymentStatusTransitionGracePeriodExceeded");
    job_set_text(work, "message",
                 "JobDeploymentStatus does not transition to Complete or Failed within the grace "
                 "period after JobStatus reaches a terminal state.");
    return true;
}

static bool check_silence(JobWork *work) {
    usec_t since = object_time(json_object_get(work->status, "jobStatusCheckFailureStartTime"));
    usec_t timeout = work->settings->job_check_timeout;
    if (since < 0)
        return false;
    if (work->now < since + timeout) {
        plan_due(work->plan, since + timeout);
        return false;
    }
    if (work->view->report.answer == HEAD_ABSENT && job_is_mode(work->job, "HTTPMode"))
        return false; /* it answers; whether it takes the job is about to be seen */
    if (work->view->report.answer == HEAD_BUSY) {
        job_fail(work, "SubmissionFailed", "Job submission has been failing since %s: %s",
                 job_time_text(work, since, false), work->view->report.error);
        return true;
    }
    job_fail(work, "JobStatusCheckTimeoutExceeded",
             "Job status checks have been failing since %s; exceeded timeout of %llds",
             job_time_text(work, since, false), (long long)(timeout / USEC_PER_SEC));
    return true;
}

/* Whether the head was asked after the submitter had ended: what it said before is no answer to
 * how the job ended. Kubernetes' times are whole seconds. */
static bool is_answered(JobWork *work, const Submitter *submitter) {
    const HeadReport *report = &work->view->report;
    usec_t wait = submitter->failed && report->answer == HEAD_SILENT ? SILENCE_S : 1;
    if (report->asked >= submitter->finished + wait * USEC_PER_SEC)
        return true;
    plan_due(work->plan, work->now + ASK_AGAIN);
    return false;
}

/* A submitter that ended says nothing about a job of which Ray itself says how it is; only where
 * Ray does not know (any more) does its end decide. */
static bool check_submitter(JobWork *work, const Submitter *submitter) {
    HeadAnswer answer = work->view->report.answer;
    if (submitter->finished < 0 || answer == HEAD_JOB || answer == HEAD_UNASKED ||
        !is_answered(work, submitter))
        return false;
    bool app_failed = str_eq(json_str_at(work->status, "jobStatus"), "FAILED");
    if (submitter->failed) {
        if (app_failed)
            job_fail(work, "AppFailed", NULL);
        else
            job_fail(work, "SubmissionFailed", "%s", submitter->message);
        return true;
    }
    if (answer == HEAD_ABSENT) {
        job_fail(work, "AppFailed", "Submitter completed but Ray job not found in RayCluster.");
        return true;
    }
    usec_t deadline = submitter->finished + SUBMITTER_GRACE_S * USEC_PER_SEC;
    if (work->now < deadline) {
        plan_due(work->plan, deadline);
        return false;
    }
    job_set_text(work, "jobStatus", "FAILED");
    job_fail(work, "JobDeploymentStatusTransitionGracePeriodExceeded",
             "The RayJob submitter finished at %s but the ray job did not reach terminal state "
             "within %ds",
             job_time_text(work, submitter->finished, false), SUBMITTER_GRACE_S);
    return true;
}

static void set_job_time(JobWork *work, const char *key, const char *field) {
    int64_t ms = json_int_at(work->view->report.job, 0, field);
    if (ms > 0 && ms < INT64_MAX / USEC_PER_MSEC)
        json_set_at(work->status, object_time_text(ms * USEC_PER_MSEC), "rayJobInfo", key);
}

static void take_report(JobWork *work, const Submitter *submitter) {
    const json_t *record = work->view->report.job;
    const char *job_status = json_str_at(record, "status");
    const json_t *cluster_status = json_at(work->view->cluster, "status");
    bool over =
        job_is_ended(job_status) && (submitter->finished >= 0 || !job_has_submitter(work->job));
    bool failed = over && str_eq(job_status, "FAILED");
    json_object_del(work->status, "jobStatusCheckFailureStartTime");
    if (cluster_status)
        json_object_set(work->status, "rayClusterStatus", (json_t *)(uintptr_t)cluster_status);
    job_set_text(work, "jobStatus", job_status);
    job_set_text(work, "message", json_str_at(record, "message"));
    job_set_text(work, "reason", failed ? "AppFailed" : "");
    set_job_time(work, "startTime", "start_time");
    set_job_time(work, "endTime", "end_time");
    if (over)
        job_set_state(work, failed ? "Failed" : "Complete");
    else if (job_is_ended(job_status))
        (void)check_transition(work);
}

static void submit_by_http(JobWork *work) {
    const char *id = json_str_at(work->status, "jobId");
    json_t *body;
    int r = submit_build_request(work->job, &body);
    if (r < 0) {
        plan_trouble(work->plan, "FailedToSubmitRayJob", error_text(r));
        return;
    }
    Action *action = plan_add(work->plan, ACTION_SUBMIT, RESOURCE_COUNT, STAGE_LAST, body);
    action->failed = (PlanEvent){
        .warning = true,
        .reason = "FailedToSubmitRayJob",
        .action = "Submit",
        .note = arena_printf(&work->plan->arena,
                             "Failed to submit the Ray job %s to the head:", id ? id : ""),
    };
}

static void use_report(JobWork *work, const Submitter *submitter) {
    switch (work->view->report.answer) {
    case HEAD_UNASKED:
        break;
    case HEAD_JOB:
        take_report(work, submitter);
        break;
    case HEAD_ABSENT:
        json_object_del(work->status, "jobStatusCheckFailureStartTime");
        if (job_is_mode(work->job, "HTTPMode"))
            submit_by_http(work);
        break;
    case HEAD_REFUSED:
        job_fail(work, "SubmissionFailed", "The head refused the job: %s",
                 work->view->report.error);
        break;
    case HEAD_SILENT:
    case HEAD_BUSY:
        if (!json_object_get(work->status, "jobStatusCheckFailureStartTime")) {
            json_object_set_new(work->status, "jobStatusCheckFailureStartTime",
                                object_time_text(work->now));
            plan_due(work->plan, work->now + work->settings->job_check_timeout);
        }
        break;
    }
}

void job_plan_running(JobWork *work) {
    Submitter submitter = { .finished = -1 };
    if (job_plan_suspension(work) || job_check_deadlines(work, false) || check_transition(work) ||
        check_silence(work) || !job_plan_cluster(work))
        return;
    plan_service(work);
    if (job_is_mode(work->job, "K8sJobMode")) {
        if (!job_plan_submitter(work))
            return;
        submitter = look_at_job(work);
    } else if (job_is_mode(work->job, "SidecarMode")) {
        if (!work->view->head_pod) {
            job_fail(work, "AppFailed", "Ray head pod not found.");
            return;
        }
        submitter = look_at_sidecar(work);
    }
    if (!check_submitter(work, &submitter))
        use_report(work, &submitter);
}
