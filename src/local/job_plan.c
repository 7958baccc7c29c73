/* SPDX-License-Identifier: Apache-2.0 */
#include "local/job_plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "codec/json.h"
#include "local/meta.h"

/* A failed pod is replaced after this long, doubled with each further failure. */
#define BACKOFF_FIRST (10 * USEC_PER_SEC)
#define BACKOFF_MAX   (600 * USEC_PER_SEC)

typedef struct Tally {
    int64_t active, ready, terminating;
    int64_t new_succeeded, new_failed;
    int64_t failures_in_a_row;
    usec_t last_failure, last_success;
    int64_t restarts; /* of containers, where pods restart them */
} Tally;

typedef struct JobView {
    const json_t *job;
    json_t *const *pods;
    size_t len;
    usec_t now;
    bool indexed, suspended;
    int64_t parallelism, completions; /* -1: any success completes */
    Tally tally;
    json_t *status;                   /* the new one, being made */
    JobPlan *plan;
} JobView;

static bool pod_in_phase(const json_t *pod, const char *phase) {
    return str_eq(json_str_at(pod, "status", "phase"), phase);
}

static bool pod_succeeded(const json_t *pod) {
    return pod_in_phase(pod, "Succeeded");
}

static bool pod_failed(const json_t *pod) {
    return pod_in_phase(pod, "Failed") || (obj_is_deleting(pod) && !pod_succeeded(pod));
}

static usec_t pod_finished_at(const json_t *pod, usec_t otherwise) {
    const json_t *container;
    usec_t latest = 0;
    size_t i;
    json_array_foreach(json_at(pod, "status", "containerStatuses"), i, container) {
        usec_t at = meta_time(json_at(container, "state", "terminated", "finishedAt"));
        latest = MAX(latest, at);
    }
    if (latest == 0)
        latest = meta_time(json_at(pod, "metadata", "deletionTimestamp"));
    return latest ? latest : otherwise;
}

static int64_t pod_index(const json_t *pod) {
    const char *text =
        json_str_at(pod, "metadata", "annotations", "batch.kubernetes.io/job-completion-index");
    int64_t index = -1;
    return text && str_to_i64(text, &index) == 0 ? index : -1;
}

static bool is_finished(const json_t *job) {
    return condition_is_true(job, "Complete") || condition_is_true(job, "Failed");
}

static void add_event(JobPlan *plan, const char *type, const char *reason, char *message) {
    vec_push(&plan->events, (JobEvent){ type, reason, message });
}

static void count_pod(JobView *view, json_t *pod) {
    Tally *tally = &view->tally;
    bool tracked = obj_has_finalizer(pod, JOB_FINALIZER), over = true;
    if (pod_succeeded(pod)) {
        tally->new_succeeded += tracked;
        tally->last_success = MAX(tally->last_success, pod_finished_at(pod, view->now));
    } else if (pod_failed(pod)) {
        tally->new_failed += tracked;
        tally->terminating += !pod_in_phase(pod, "Failed");
        tally->last_failure = MAX(tally->last_failure, pod_finished_at(pod, view->now));
    } else {
        tally->active++;
        tally->ready += condition_is_true(pod, "Ready");
        over = false;
    }
    if (over && tracked)
        vec_push(&view->plan->releases, pod);
    const json_t *container;
    size_t i;
    json_array_foreach(json_at(pod, "status", "containerStatuses"), i, container)
        tally->restarts += json_int_at(container, 0, "restartCount");
}

static void count_pods(JobView *view) {
    for (size_t i = 0; i < view->len; i++)
        count_pod(view, view->pods[i]);
    for (size_t i = 0; i < view->len; i++)
        if (pod_failed(view->pods[i]) &&
            pod_finished_at(view->pods[i], view->now) > view->tally.last_success)
            view->tally.failures_in_a_row++;
}

static void set_count(json_t *status, const char *key, int64_t count) {
    if (count)
        json_object_set_new(status, key, json_integer(count));
    else
        json_object_del(status, key);
}

static int64_t succeeded(const JobView *view) {
    return json_int_at(view->status, 0, "succeeded");
}

static int64_t failed(const JobView *view) {
    return json_int_at(view->status, 0, "failed");
}

/* Indexes that succeeded, from "0-2,5". */
static bool index_is_complete(const char *list, int64_t index) {
    while (list && *list) {
        char *end;
        int64_t first = strtoll(list, &end, 10), last = first;
        if (*end == '-')
            last = strtoll(end + 1, &end, 10);
        if (index >= first && index <= last)
            return true;
        list = *end == ',' ? end + 1 : NULL;
    }
    return false;
}

static void merge_completed_indexes(JobView *view) {
    _cleanup_buf_ Buf text = { 0 };
    const char *before = json_str_at(view->status, "completedIndexes");
    bool *done = mem_array(bool, (size_t)view->completions + 1);
    int64_t count = 0;
    for (int64_t i = 0; i < view->completions; i++)
        done[i] = index_is_complete(before, i);
    for (size_t i = 0; i < view->len; i++) {
        int64_t index = pod_index(view->pods[i]);
        if (pod_succeeded(view->pods[i]) && index >= 0 && index < view->completions)
            done[index] = true;
    }
    for (int64_t i = 0; i < view->completions; i++) {
        int64_t last = i;
        if (!done[i])
            continue;
        while (last + 1 < view->completions && done[last + 1])
            last++;
        count += last - i + 1;
        buf_printf(&text, "%s%" PRId64, text.len ? "," : "", i);
        if (last > i)
            buf_printf(&text, "-%" PRId64, last);
        i = last;
    }
    free(done);
    set_count(view->status, "succeeded", count);
    if (text.len)
        json_object_set_new(view->status, "completedIndexes", json_string(text.data));
}

static void write_counts(JobView *view) {
    const Tally *tally = &view->tally;
    if (view->indexed)
        merge_completed_indexes(view);
    else
        set_count(view->status, "succeeded", succeeded(view) + tally->new_succeeded);
    set_count(view->status, "failed", failed(view) + tally->new_failed);
    json_object_set_new(view->status, "uncountedTerminatedPods", json_object());
}

static void delete_active(JobView *view, size_t limit) {
    for (size_t i = 0; i < view->len && limit > 0; i++) {
        json_t *pod = view->pods[i];
        if (pod_succeeded(pod) || pod_failed(pod))
            continue;
        vec_push(&view->plan->deletes, pod);
        view->tally.active--;
        view->tally.ready -= condition_is_true(pod, "Ready");
        view->tally.terminating++;
        limit--;
    }
}

/* The last word, when no pod is left that could still say something. */
static void finish(JobView *view, bool success, const char *reason, const char *message) {
    const char *early = success ? "SuccessCriteriaMet" : "FailureTarget";
    condition_set(view->status, early, "True", reason, message, view->now);
    delete_active(view, SIZE_MAX);
    if (view->tally.terminating > 0)
        return;
    condition_set(view->status, success ? "Complete" : "Failed", "True", reason, message,
                  view->now);
    if (success)
        json_object_set_new(view->status, "completionTime", meta_time_json(view->now));
    if (success)
        add_event(view->plan, "Normal", "Completed", str_dup("Job completed"));
    else
        add_event(view->plan, "Warning", reason, str_dup(message));
}

static bool is_complete(const JobView *view) {
    if (view->completions >= 0)
        return succeeded(view) >= view->completions;
    return succeeded(view) > 0 && view->tally.active == 0;
}

static const json_t *decided(const JobView *view, const char *type) {
    const json_t *condition = obj_condition(view->job, type);
    return str_eq(json_str_at(condition, "status"), "True") ? condition : NULL;
}

/* Success, failure or deadline: says whether the Job's fate is decided. */
static bool decide_end(JobView *view) {
    const json_t *verdict = decided(view, "FailureTarget");
    if (verdict) {
        finish(view, false, json_str_at(verdict, "reason"), json_str_at(verdict, "message"));
        return true;
    }
    bool restarts =
        str_eq(json_str_at(view->job, "spec", "template", "spec", "restartPolicy"), "OnFailure");
    int64_t limit = json_int_at(view->job, 6, "spec", "backoffLimit");
    if (is_complete(view)) {
        finish(view, true, "CompletionsReached", "Reached expected number of succeeded pods");
        return true;
    }
    if (failed(view) > limit || (restarts && view->tally.restarts > limit)) {
        finish(view, false, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
        return true;
    }
    usec_t start = meta_time(json_object_get(view->status, "startTime"));
    int64_t seconds = json_int_at(view->job, -1, "spec", "activeDeadlineSeconds");
    if (seconds < 0 || start == 0 || view->suspended)
        return false;
    usec_t deadline = start + seconds * USEC_PER_SEC;
    if (view->now >= deadline) {
        finish(view, false, "DeadlineExceeded", "Job was active longer than specified deadline");
        return true;
    }
    view->plan->look_at = MIN(view->plan->look_at, deadline);
    return false;
}

static void suspend(JobView *view) {
    delete_active(view, SIZE_MAX);
    bool was = condition_is_true(view->job, "Suspended");
    condition_set(view->status, "Suspended", "True", "JobSuspended", "Job suspended", view->now);
    json_object_del(view->status, "startTime");
    if (!was)
        add_event(view->plan, "Normal", "Suspended", str_dup("Job suspended"));
}

static void resume(JobView *view) {
    if (!condition_is_true(view->job, "Suspended"))
        return;
    condition_set(view->status, "Suspended", "False", "JobResumed", "Job resumed", view->now);
    json_object_set_new(view->status, "startTime", meta_time_json(view->now));
    add_event(view->plan, "Normal", "Resumed", str_dup("Job resumed"));
}

static bool index_is_running(const JobView *view, int64_t index) {
    for (size_t i = 0; i < view->len; i++) {
        const json_t *pod = view->pods[i];
        if (pod_index(pod) == index && !pod_failed(pod))
            return true;
    }
    return false;
}

static void create_pods(JobView *view, int64_t count) {
    const char *complete = json_str_at(view->status, "completedIndexes");
    int64_t made = 0;
    for (int64_t i = 0; view->indexed && i < view->completions && made < count; i++) {
        if (index_is_complete(complete, i) || index_is_running(view, i))
            continue;
        vec_push(&view->plan->creates, i);
        made++;
    }
    for (; !view->indexed && made < count; made++)
        vec_push(&view->plan->creates, -1);
    view->tally.active += made;
}

static usec_t backoff_until(const JobView *view) {
    int64_t failures = view->tally.failures_in_a_row;
    if (failures == 0)
        return 0;
    usec_t delay = failures > 7 ? BACKOFF_MAX : BACKOFF_FIRST << (failures - 1);
    return view->tally.last_failure + MIN(delay, BACKOFF_MAX);
}

static void match_parallelism(JobView *view) {
    int64_t want = view->parallelism;
    if (view->completions >= 0)
        want = MIN(want, view->completions - succeeded(view));
    else if (succeeded(view) > 0)
        want = view->tally.active;
    int64_t missing = want - view->tally.active;
    if (missing < 0) {
        delete_active(view, (size_t)-missing);
        return;
    }
    usec_t earliest = backoff_until(view);
    if (missing == 0)
        return;
    if (view->now < earliest)
        view->plan->look_at = MIN(view->plan->look_at, earliest);
    else
        create_pods(view, missing);
}

static void plan_finished(JobView *view) {
    const json_t *ttl = json_at(view->job, "spec", "ttlSecondsAfterFinished");
    const json_t *end = obj_condition(view->job, "Complete");
    if (!end)
        end = obj_condition(view->job, "Failed");
    if (!json_is_integer(ttl))
        return;
    usec_t expiry = meta_time(json_object_get(end, "lastTransitionTime")) +
                    json_integer_value(ttl) * USEC_PER_SEC;
    view->plan->expired = view->now >= expiry;
    if (!view->plan->expired)
        view->plan->look_at = expiry;
}

static void plan_running(JobView *view) {
    if (!json_object_get(view->status, "startTime") && !view->suspended)
        json_object_set_new(view->status, "startTime", meta_time_json(view->now));
    if (!decide_end(view)) {
        if (view->suspended) {
            suspend(view);
        } else {
            resume(view);
            match_parallelism(view);
        }
    }
    set_count(view->status, "active", view->tally.active);
    json_object_set_new(view->status, "ready", json_integer(view->tally.ready));
    json_object_set_new(view->status, "terminating", json_integer(view->tally.terminating));
}

void job_plan_make(const json_t *job, json_t *const *pods, size_t len, usec_t now_wall,
                   JobPlan *ret_plan) {
    const json_t *old = json_object_get(job, "status");
    *ret_plan = (JobPlan){ .look_at = USEC_INFINITY };
    JobView view = {
        .job = job,
        .pods = pods,
        .len = len,
        .now = now_wall,
        .indexed = str_eq(json_str_at(job, "spec", "completionMode"), "Indexed"),
        .suspended = json_bool_at(job, false, "spec", "suspend"),
        .parallelism = json_int_at(job, 1, "spec", "parallelism"),
        .completions = json_int_at(job, -1, "spec", "completions"),
        .status = old ? json_deep_copy(old) : json_object(),
        .plan = ret_plan,
    };
    count_pods(&view);
    if (obj_is_deleting(job)) {
        /* Its pods go by their owner reference; only the finalizers are ours. */
        write_counts(&view);
    } else if (is_finished(job)) {
        plan_finished(&view);
    } else {
        write_counts(&view);
        plan_running(&view);
    }
    if (json_same(view.status, old))
        json_decref(view.status);
    else
        ret_plan->status = view.status;
}

void job_plan_done(JobPlan *plan) {
    json_decref(plan->status);
    VEC_EACH(event, &plan->events)
        free(event->message);
    vec_done(&plan->events);
    vec_done(&plan->creates);
    vec_done(&plan->deletes);
    vec_done(&plan->releases);
}

json_t *job_make_pod(const json_t *job, int64_t index) {
    const json_t *template = json_at(job, "spec", "template");
    json_t *pod = json_object();
    json_object_set_new(pod, "apiVersion", json_string("v1"));
    json_object_set_new(pod, "kind", json_string("Pod"));
    json_t *metadata = json_make_object(pod, "metadata");
    const json_t *labels = json_at(template, "metadata", "labels");
    const json_t *annotations = json_at(template, "metadata", "annotations");
    if (labels)
        json_object_set_new(metadata, "labels", json_deep_copy(labels));
    if (annotations)
        json_object_set_new(metadata, "annotations", json_deep_copy(annotations));
    json_object_set_new(pod, "spec", json_deep_copy(json_object_get(template, "spec")));
    json_object_set_new(metadata, "namespace", json_string(obj_namespace(job)));
    json_object_set_new(metadata, "ownerReferences",
                        json_pack("[o]", obj_make_controller_ref(job)));
    json_object_set_new(metadata, "finalizers", json_pack("[s]", JOB_FINALIZER));
    if (index < 0) {
        json_set_printf(metadata, "generateName", "%s-", obj_name(job));
        return pod;
    }
    json_set_printf(metadata, "generateName", "%s-%" PRId64 "-", obj_name(job), index);
    json_set_printf(json_make_object(metadata, "annotations"),
                    "batch.kubernetes.io/job-completion-index", "%" PRId64, index);
    json_set_printf(json_make_object(metadata, "labels"),
                    "batch.kubernetes.io/job-completion-index", "%" PRId64, index);
    return pod;
}
