/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/vec.h"
#include "cmd/run_log.h"
#include "cmd/run_wait.h"
#include "kobj/meta.h"
#include "kube/informer.h"

#define LOG_PATIENCE (3 * USEC_PER_SEC)  /* for the rest of a log after the end */
#define TICK         (200 * USEC_PER_MSEC)
#define SUBMITTER    "ray-job-submitter" /* KubeRay's name for the container */

typedef enum Mark {
    MARK_APPLIED,
    MARK_CLUSTER, /* the RayCluster is ready */
    MARK_SUBMITTED,
    MARK_RUNNING,
    MARK_ENDED, /* Ray says so */
    MARK_COMPLETE,
    MARK_COUNT,
} Mark;

static const char *const PHASES[MARK_COUNT] = {
    NULL, "cluster", "submission", "start", "run", "completion",
};

typedef struct Followed {
    char *namespace_, *name;
    bool job;
    bool was_over;            /* had ended when it was applied: such a job is not run again */
    usec_t marks[MARK_COUNT]; /* 0: not reached */
    char *said;
    RunLog *log;
    char *log_of;           /* which try's: the submitter pod's uid, or the job's id */
    bool ended, gone;
    char *status, *message; /* jobStatus or state; why it failed */
} Followed;

/* Three informers a namespace. */
typedef struct FollowSpace {
    char *namespace_;
    KubeInformer *jobs, *clusters, *pods;
} FollowSpace;

struct Follow {
    KubeClient *client;
    Loop *loop;
    KubeInformer *nodes;
    bool local;
    usec_t begun;
    int log_fd;
    const FollowEvents *events;
    void *ctx;
    Vec(Followed) items;
    Vec(FollowSpace) spaces;
    LoopTask *task;
    LoopTimer *timer;
    bool told;
};

void follow_say(Loop *loop, usec_t begun, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    fprintf(stderr, "%7.2f s  %s\n", (double)(loop_now(loop) - begun) / (double)USEC_PER_SEC, text);
}

static const char *text_at(const char *text, const char *otherwise) {
    return str_empty(text) ? otherwise : text;
}

static void mark(Follow *follow, Followed *item, Mark which) {
    if (item->marks[which] == 0)
        item->marks[which] = loop_now(follow->loop);
}

static FollowSpace *space_of(Follow *follow, const char *namespace_) {
    VEC_EACH(space, &follow->spaces)
        if (str_eq(space->namespace_, namespace_))
            return space;
    return NULL;
}

/* "head ready, 1 of 2 workers ready; POD: why". */
static void describe_cluster(const Follow *follow, const FollowSpace *space, const char *cluster,
                             const json_t *object, Buf *out) {
    size_t pos = 0, ready = 0;
    const char *head = "no head pod yet";
    _cleanup_free_ char *why = NULL;
    json_t *pod;
    while ((pod = kube_informer_next(space->pods, &pos))) {
        if (!str_eq(obj_label(pod, "ray.io/cluster"), cluster) || obj_is_deleting(pod))
            continue;
        if (str_eq(obj_label(pod, "ray.io/node-type"), "head"))
            head = pod_is_ready_now(pod)                                    ? "head ready"
                   : str_eq(json_str_at(pod, "status", "phase"), "Running") ? "head started"
                                                                            : "head pending";
        else
            ready += pod_is_ready_now(pod);
        if (!why && !pod_is_ready_now(pod) &&
            (why = pod_wait_text(pod, follow->nodes, follow->local))) {
            char *longer = str_printf("; %s: %s", obj_name(pod), why);
            free(why);
            why = longer;
        }
    }
    int64_t wanted = json_int_at(object, 0, "status", "desiredWorkerReplicas");
    buf_printf(out, "%s", head);
    if (wanted > 0)
        buf_printf(out, ", %zu of %" PRId64 " workers ready", ready, wanted);
    buf_add_str(out, why ? why : "");
}

static void say_state(Follow *follow, Followed *item, const Buf *text) {
    if (str_eq(item->said, text->data))
        return;
    str_set(&item->said, text->data);
    follow_say(follow->loop, follow->begun, "%s %s/%s: %s", item->job ? "RayJob" : "RayCluster",
               item->namespace_, item->name, text->data);
}

static bool submits(const json_t *pod, const json_t *job) {
    if (str_eq(json_str_at(job, "spec", "submissionMode"), "SidecarMode"))
        return str_eq(obj_label(pod, "ray.io/node-type"), "head") &&
               str_eq(obj_label(pod, "ray.io/cluster"),
                      json_str_at(job, "status", "rayClusterName"));
    return str_eq(obj_label(pod, "job-name"), obj_name(job));
}

/* The submitter's pod once it has something to say; the newest, when there were several tries. */
static const json_t *find_submitter(const FollowSpace *space, const json_t *job) {
    size_t pos = 0;
    const json_t *found = NULL;
    const char *latest = "";
    json_t *pod;
    while ((pod = kube_informer_next(space->pods, &pos))) {
        const char *phase = json_str_at(pod, "status", "phase");
        const char *made = text_at(json_str_at(pod, "metadata", "creationTimestamp"), "");
        if (!submits(pod, job) || str_empty(phase) || str_eq(phase, "Pending") ||
            strcmp(made, latest) < 0)
            continue;
        found = pod;
        latest = made;
    }
    return found;
}

/* The first container, or the sidecar behind Ray's. */
static const char *submitter_container(const json_t *pod) {
    size_t i;
    json_t *container;
    json_array_foreach(json_at(pod, "spec", "containers"), i, container)
        if (str_eq(json_str_at(container, "name"), SUBMITTER))
            return SUBMITTER;
    return text_at(json_str_at(json_array_get(json_at(pod, "spec", "containers"), 0), "name"),
                   SUBMITTER);
}

/* Each try has its own log. The former one is written to its end first. */
static bool is_next_log(Followed *item, const char *of) {
    if (str_empty(of) || str_eq(item->log_of, of))
        return false;
    if (item->log && !run_log_ended(item->log)) {
        run_log_finish(item->log);
        return false;
    }
    item->log = run_log_free(item->log);
    str_set(&item->log_of, of);
    return true;
}

static void begin_head_log(Follow *follow, Followed *item, const FollowSpace *space,
                           const json_t *job) {
    const char *id = json_str_at(job, "status", "jobId");
    const char *cluster = json_str_at(job, "status", "rayClusterName");
    const json_t *object =
        kube_informer_get(space->clusters, item->namespace_, text_at(cluster, "?"));
    const char *service = json_str_at(object, "status", "head", "serviceName");
    if (service && json_str_at(job, "status", "jobStatus") && is_next_log(item, id))
        item->log = run_log_head(follow->client, follow->log_fd, item->namespace_, service, id);
}

static void begin_log(Follow *follow, Followed *item, const FollowSpace *space, const json_t *job) {
    const char *mode = json_str_at(job, "spec", "submissionMode");
    if (str_eq(mode, "HTTPMode") || str_eq(mode, "InteractiveMode")) {
        begin_head_log(follow, item, space, job);
        return;
    }
    const json_t *pod = find_submitter(space, job);
    if (pod && is_next_log(item, obj_uid(pod)))
        item->log = run_log_container(follow->client, follow->log_fd, item->namespace_,
                                      obj_name(pod), submitter_container(pod));
}

static bool is_over(const char *state) {
    return str_eq(state, "Complete") || str_eq(state, "Failed") ||
           str_eq(state, "ValidationFailed");
}

static void mark_job(Follow *follow, Followed *item, const json_t *job, const json_t *cluster) {
    const char *status = json_str_at(job, "status", "jobStatus");
    if (str_eq(json_str_at(cluster, "status", "state"), "ready"))
        mark(follow, item, MARK_CLUSTER);
    if (!str_empty(status))
        mark(follow, item, MARK_SUBMITTED);
    if (!str_empty(status) && !str_eq(status, "PENDING"))
        mark(follow, item, MARK_RUNNING);
    if (str_eq(status, "SUCCEEDED") || str_eq(status, "FAILED") || str_eq(status, "STOPPED"))
        mark(follow, item, MARK_ENDED);
}

/* "; POD: why" for a submitter that does not start. */
static void describe_submitter(const Follow *follow, const FollowSpace *space, const json_t *job,
                               Buf *out) {
    size_t pos = 0;
    json_t *pod;
    while ((pod = kube_informer_next(space->pods, &pos))) {
        if (!str_eq(obj_label(pod, "job-name"), obj_name(job)))
            continue;
        _cleanup_free_ char *why = pod_wait_text(pod, follow->nodes, follow->local);
        if (why)
            buf_printf(out, "; %s: %s", obj_name(pod), why);
    }
}

static void describe_job(const Follow *follow, const FollowSpace *space, const json_t *job,
                         const json_t *cluster, Buf *out) {
    const char *state = text_at(json_str_at(job, "status", "jobDeploymentStatus"), "");
    const char *status = json_str_at(job, "status", "jobStatus");
    const char *name = json_str_at(job, "status", "rayClusterName");
    if (str_empty(state)) {
        buf_add_str(out, "waits for the operator");
    } else if (str_eq(state, "Suspended")) {
        buf_add_str(out, "Suspended until spec.suspend is false");
    } else if (str_eq(state, "Initializing")) {
        buf_printf(out, "Initializing: RayCluster %s", text_at(name, "not made yet"));
        if (cluster) {
            buf_add_str(out, ", ");
            describe_cluster(follow, space, name, cluster, out);
        }
    } else if (str_eq(state, "Waiting")) {
        buf_add_str(out, "Waiting for spec.jobId of a job that you submit");
    } else {
        buf_printf(out, "%s%s%s", state, str_empty(status) ? "" : ": job ", text_at(status, ""));
        if (str_eq(state, "Running") && str_empty(status)) {
            buf_add_str(out, ": the job is being submitted");
            describe_submitter(follow, space, job, out);
        }
    }
}

static void end_job(Follow *follow, Followed *item, const json_t *job) {
    const char *reason = json_str_at(job, "status", "reason");
    const char *message = json_str_at(job, "status", "message");
    if (item->was_over)
        follow_say(follow->loop, follow->begun,
                   "RayJob %s/%s had ended before and was not run again: delete it first, or let "
                   "metadata.generateName name a new one",
                   item->namespace_, item->name);
    mark(follow, item, MARK_COMPLETE);
    str_set(&item->status, text_at(json_str_at(job, "status", "jobStatus"),
                                   text_at(json_str_at(job, "status", "jobDeploymentStatus"), "")));
    if (!str_eq(item->status, "SUCCEEDED")) {
        item->message =
            str_printf("%s%s%s", text_at(reason, ""),
                       str_empty(reason) || str_empty(message) ? "" : ": ", text_at(message, ""));
        follow_say(follow->loop, follow->begun, "RayJob %s/%s: %s", item->namespace_, item->name,
                   item->message);
    }
    if (item->log)
        run_log_finish(item->log);
    item->ended = true;
}

static void look_at_job(Follow *follow, Followed *item, FollowSpace *space) {
    const json_t *job = kube_informer_get(space->jobs, item->namespace_, item->name);
    const char *name = json_str_at(job, "status", "rayClusterName");
    const json_t *cluster =
        str_empty(name) ? NULL : kube_informer_get(space->clusters, item->namespace_, name);
    _cleanup_buf_ Buf text = { 0 };
    if (item->ended)
        return;
    if (!job) {
        item->ended = item->gone = true;
        str_set(&item->status, "DELETED");
        follow_say(follow->loop, follow->begun, "RayJob %s/%s was deleted", item->namespace_,
                   item->name);
        return;
    }
    mark_job(follow, item, job, cluster);
    describe_job(follow, space, job, cluster, &text);
    say_state(follow, item, &text);
    begin_log(follow, item, space, job);
    if (is_over(json_str_at(job, "status", "jobDeploymentStatus")))
        end_job(follow, item, job);
}

static void look_at_cluster(Follow *follow, Followed *item, FollowSpace *space) {
    const json_t *cluster = kube_informer_get(space->clusters, item->namespace_, item->name);
    const char *state = json_str_at(cluster, "status", "state");
    _cleanup_buf_ Buf text = { 0 };
    if (item->ended)
        return;
    if (state)
        buf_printf(&text, "%s: ", state);
    describe_cluster(follow, space, item->name, cluster, &text);
    say_state(follow, item, &text);
    if (!cluster || str_eq(state, "ready") || str_eq(state, "suspended")) {
        mark(follow, item, MARK_CLUSTER);
        str_set(&item->status, cluster ? state : "DELETED");
        item->gone = !cluster;
        item->ended = true;
    }
}

static bool log_is_out(const Follow *follow, const Followed *item) {
    return !item->log || run_log_ended(item->log) ||
           loop_now(follow->loop) > item->marks[MARK_COMPLETE] + LOG_PATIENCE;
}

static void look(void *ctx) {
    Follow *follow = ctx;
    bool over = true;
    VEC_EACH(space, &follow->spaces)
        if (!kube_informer_synced(space->jobs) || !kube_informer_synced(space->clusters) ||
            !kube_informer_synced(space->pods))
            return;
    VEC_EACH(item, &follow->items) {
        FollowSpace *space = space_of(follow, item->namespace_);
        if (item->job)
            look_at_job(follow, item, space);
        else
            look_at_cluster(follow, item, space);
        over &= item->ended && log_is_out(follow, item);
    }
    if (over && !follow->told) {
        follow->told = true;
        follow->events->done(follow->ctx);
    }
}

static void on_object(void *ctx, json_t *object) {
    loop_task_arm(((Follow *)ctx)->task);
}

static void on_updated(void *ctx, json_t *old, json_t *object) {
    loop_task_arm(((Follow *)ctx)->task);
}

static void on_synced(void *ctx) {
    loop_task_arm(((Follow *)ctx)->task);
}

static const KubeInformerEvents INFORMER_EVENTS = {
    .added = on_object,
    .updated = on_updated,
    .deleted = on_object,
    .synced = on_synced,
};

static KubeInformer *inform(Follow *follow, const char *namespace_, const char *group,
                            const char *resource) {
    KubeInformerSpec spec = { .gvr = { group, "v1", resource }, .namespace = namespace_ };
    KubeInformer *informer = kube_informer_new(follow->client, &spec, &INFORMER_EVENTS, follow);
    kube_informer_start(informer);
    return informer;
}

static void add_space(Follow *follow, const char *namespace_) {
    if (space_of(follow, namespace_))
        return;
    vec_push(&follow->spaces,
             (FollowSpace){ .namespace_ = str_dup(namespace_),
                            .jobs = inform(follow, namespace_, "ray.io", "rayjobs"),
                            .clusters = inform(follow, namespace_, "ray.io", "rayclusters"),
                            .pods = inform(follow, namespace_, "", "pods") });
}

static void add_item(Follow *follow, const json_t *object) {
    bool job = str_eq(obj_kind(object), "RayJob");
    if (!job && !str_eq(obj_kind(object), "RayCluster"))
        return;
    const char *namespace_ = text_at(obj_namespace(object), "default");
    const char *state = json_str_at(object, "status", "jobDeploymentStatus");
    Followed item = {
        .namespace_ = str_dup(namespace_),
        .name = str_dup(obj_name(object)),
        .job = job,
        .was_over = job && (str_eq(state, "Complete") || str_eq(state, "Failed")),
    };
    item.marks[MARK_APPLIED] = loop_now(follow->loop);
    vec_push(&follow->items, item);
    add_space(follow, namespace_);
}

Follow *follow_new(KubeClient *client, const json_t *objects, const FollowOptions *options,
                   const FollowEvents *events, void *ctx) {
    Follow *follow = mem_new(Follow);
    Loop *loop = kube_client_loop(client);
    *follow = (Follow){
        .client = client,
        .loop = loop,
        .local = options->local,
        .begun = options->begun,
        .log_fd = options->log_to_stderr ? STDERR_FILENO : STDOUT_FILENO,
        .events = events,
        .ctx = ctx,
        .task = loop_task_new(loop, look, follow),
        .timer = loop_timer_new(loop, look, follow),
    };
    size_t i;
    json_t *object;
    follow->nodes = inform(follow, NULL, "", "nodes");
    json_array_foreach(objects, i, object)
        add_item(follow, object);
    loop_timer_every(follow->timer, TICK); /* for the end of logs */
    return follow;
}

Follow *follow_free(Follow *follow) {
    if (!follow)
        return NULL;
    VEC_EACH(space, &follow->spaces) {
        kube_informer_free(space->jobs);
        kube_informer_free(space->clusters);
        kube_informer_free(space->pods);
        free(space->namespace_);
    }
    VEC_EACH(item, &follow->items) {
        run_log_free(item->log);
        free(item->log_of);
        free(item->namespace_);
        free(item->name);
        free(item->said);
        free(item->status);
        free(item->message);
    }
    kube_informer_free(follow->nodes);
    vec_done(&follow->spaces);
    vec_done(&follow->items);
    loop_task_free(follow->task);
    loop_timer_free(follow->timer);
    free(follow);
    return NULL;
}

bool follow_any(const Follow *follow) {
    return follow->items.len > 0;
}

int follow_status(const Follow *follow) {
    VEC_EACH(item, &follow->items)
        if (item->gone || (item->job && !str_eq(item->status, "SUCCEEDED")))
            return 1;
    return 0;
}

/* Seconds from the last mark that was reached before; -1 when this one was not. */
static double phase_seconds(const Followed *item, Mark which) {
    usec_t before = item->marks[MARK_APPLIED];
    for (Mark i = MARK_APPLIED; i < which; i++)
        before = MAX(before, item->marks[i]);
    if (item->marks[which] == 0)
        return -1;
    return (double)MAX(item->marks[which] - before, 0) / (double)USEC_PER_SEC;
}

/* When it ended; now, for what has not. */
static usec_t last_moment(const Follow *follow, const Followed *item) {
    usec_t last = item->ended ? 0 : loop_now(follow->loop);
    for (Mark i = MARK_APPLIED; i < MARK_COUNT; i++)
        last = MAX(last, item->marks[i]);
    return last;
}

void follow_print_phases(const Follow *follow) {
    VEC_EACH(item, &follow->items) {
        fprintf(stderr, "%s %s/%s %s:", item->job ? "RayJob" : "RayCluster", item->namespace_,
                item->name, text_at(item->status, "unfinished"));
        for (Mark i = MARK_CLUSTER; i < MARK_COUNT; i++) {
            double seconds = phase_seconds(item, i);
            if (seconds >= 0)
                fprintf(stderr, " %s %.2f s,", PHASES[i], seconds);
        }
        usec_t last = last_moment(follow, item);
        fprintf(stderr, " from applied %.2f s, in all %.2f s\n",
                (double)(last - item->marks[MARK_APPLIED]) / (double)USEC_PER_SEC,
                (double)(last - follow->begun) / (double)USEC_PER_SEC);
    }
}

json_t *follow_summary(const Follow *follow) {
    json_t *summary = json_object();
    VEC_EACH(item, &follow->items) {
        json_t *entry = json_object();
        json_object_set_new(entry, "namespace", json_string(item->namespace_));
        json_object_set_new(entry, "name", json_string(item->name));
        json_object_set_new(entry, "status", json_string(text_at(item->status, "")));
        if (item->message)
            json_object_set_new(entry, "message", json_string(item->message));
        for (Mark i = MARK_CLUSTER; i < MARK_COUNT; i++) {
            double seconds = phase_seconds(item, i);
            if (seconds >= 0)
                json_object_set_new(json_make_object(entry, "seconds"), PHASES[i],
                                    json_real(seconds));
        }
        json_array_append_new(json_make_array(summary, item->job ? "rayJobs" : "rayClusters"),
                              entry);
    }
    return summary;
}
