/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/controller.h"

#include "base/log.h"
#include "base/map.h"
#include "kube/queue.h"
#include "operator/object.h"
#include "operator/spec.h"

#define BASE_DELAY (100 * USEC_PER_MSEC)
#define MAX_DELAY  (5 * USEC_PER_MIN)

/* What lasts from one look at an object to the next. */
typedef struct Subject {
    Controller *controller;
    char *key, *namespace_, *name;
    Restarts restarts; /* of a RayCluster's pods */
    HeadWatch *head;   /* of a RayJob's job */
    PlanRun *run;
    json_t *seen;      /* the object that the run is for */
    json_t *status;    /* that the run writes, or NULL */
    char *trouble;     /* told once */
    bool blocked;      /* by what the last plan found: it is not over when a run went well */
} Subject;

struct Controller {
    Resource resource;
    size_t at_once, active;
    ControllerDoors doors;
    Loop *loop;
    WorkQueue *queue;
    LoopTimer *timer;
    LoopTask *task;
    StrMap subjects;
    uint64_t done, failed, conflicts;
    ControllerStatusFn *on_status;
    void *on_status_ctx;
};

static void work(void *ctx);

static const char *kind_of(const Controller *controller) {
    return controller->resource == RESOURCE_RAYJOBS ? "RayJob" : "RayCluster";
}

void controller_add(Controller *controller, const char *namespace_, const char *name) {
    _cleanup_free_ char *key = str_printf("%s/%s", namespace_, name);
    work_queue_add(controller->queue, key, loop_now(controller->loop));
    loop_task_arm(controller->task);
}

static void subject_free(Subject *subject) {
    plan_run_free(subject->run);
    head_watch_free(subject->head);
    restarts_done(&subject->restarts);
    json_decref(subject->seen);
    json_decref(subject->status);
    free(subject->key);
    free(subject->namespace_);
    free(subject->name);
    free(subject->trouble);
    free(subject);
}

static void on_head_changed(void *ctx) {
    Subject *subject = ctx;
    controller_add(subject->controller, subject->namespace_, subject->name);
}

static Subject *subject_get(Controller *controller, const char *key) {
    Subject *subject = strmap_get(&controller->subjects, key);
    const char *slash = strchr(key, '/');
    if (subject)
        return subject;
    subject = mem_new(Subject);
    *subject = (Subject){
        .controller = controller,
        .key = str_dup(key),
        .namespace_ = str_dup_slice((Slice){ key, (size_t)(slash - key) }),
        .name = str_dup(slash + 1),
    };
    strmap_put(&controller->subjects, key, subject);
    return subject;
}

static void subject_forget(Subject *subject) {
    Controller *controller = subject->controller;
    work_queue_forget(controller->queue, subject->key);
    strmap_remove(&controller->subjects, subject->key);
    subject_free(subject);
}

/* The wall clock's time as the queue's. */
static usec_t queue_time(const Controller *controller, usec_t wall) {
    usec_t delay = wall - loop_wall_now(controller->loop);
    return loop_deadline(controller->loop, MAX(delay, 0));
}

/* A sentence for the log when it is a new one; says whether it is. */
static bool tell_trouble(Subject *subject, const char *trouble) {
    bool same = str_eq(trouble, subject->trouble);
    if (!same)
        log_warn("%s %s: %s", kind_of(subject->controller), subject->key, trouble);
    str_set(&subject->trouble, trouble);
    return !same;
}

/* What a plan cannot go on with; the user, who reads no logs of ours, learns of it too. */
static void tell_blocked(Subject *subject, const json_t *object, const Plan *plan) {
    subject->blocked = plan->trouble != NULL;
    if (subject->blocked && tell_trouble(subject, plan->trouble))
        event_record(subject->controller->doors.events, object, NULL, EVENT_WARNING,
                     plan->trouble_reason, "Reconcile", "%s", plan->trouble);
}

/* The key is free again; a change while it was worked on brings it back by itself. */
static void look_ended(Subject *subject, bool failed) {
    Controller *controller = subject->controller;
    usec_t now = loop_now(controller->loop);
    if (failed) {
        controller->failed++;
        work_queue_add_failed(controller->queue, subject->key, now);
    } else {
        controller->done++;
        work_queue_forget(controller->queue, subject->key);
        if (!subject->blocked)
            subject->trouble = mem_free(subject->trouble);
    }
    controller->active--;
    work_queue_done(controller->queue, subject->key);
    loop_task_arm(controller->task);
}

static void on_failure_written(void *ctx, const RunResult *result) {
    Subject *subject = ctx;
    subject->run = NULL;
    look_ended(subject, true);
}

/* A RayCluster's failure is a condition of it. */
static bool write_failure(Subject *subject, const RunDoors *doors, const RunResult *result);

static void on_run(void *ctx, const RunResult *result) {
    Subject *subject = ctx;
    Controller *controller = subject->controller;
    subject->run = NULL;
    if (result->failed)
        (void)tell_trouble(subject, result->failed);
    if (result->conflict)
        controller->conflicts++;
    else if (!result->failed && subject->status && controller->on_status)
        controller->on_status(controller->on_status_ctx, subject->seen,
                              json_object_get(subject->seen, "status"), subject->status);
    if ((result->changed && !result->failed) || result->conflict)
        controller_add(controller, subject->namespace_, subject->name);
    RunDoors doors = { .client = controller->doors.client,
                       .stock = controller->doors.stock,
                       .events = controller->doors.events };
    if (result->failed && write_failure(subject, &doors, result))
        return;
    look_ended(subject, result->failed != NULL);
}

static void start_run(Subject *subject, json_t *object, Plan *plan, PlanRunFn *fn) {
    Controller *controller = subject->controller;
    RunDoors doors = {
        .client = controller->doors.client,
        .stock = controller->doors.stock,
        .events = controller->doors.events,
        .head = subject->head,
        .restarts = controller->resource == RESOURCE_RAYCLUSTERS ? &subject->restarts : NULL,
    };
    json_decref(subject->seen);
    json_decref(subject->status);
    subject->seen = json_incref(object);
    subject->status = json_incref(plan->status);
    subject->run = plan_run_new(&doors, controller->resource, object, plan, fn, subject);
}

/* Carries a plan out, if there is anything in it. */
static void carry_out(Subject *subject, json_t *object, Plan *plan) {
    Controller *controller = subject->controller;
    if (plan->due != USEC_INFINITY)
        work_queue_add_at(controller->queue, subject->key, queue_time(controller, plan->due));
    tell_blocked(subject, object, plan);
    if (plan->actions.len == 0 && !plan->status) {
        look_ended(subject, plan->trouble != NULL);
        return;
    }
    start_run(subject, object, plan, on_run);
}

static json_t *related(const Controller *controller, Resource first, Resource last,
                       const json_t *cluster) {
    json_t *all = json_array();
    for (Resource i = first; i <= last; i++) {
        _cleanup_json_ json_t *list = stock_of_cluster(controller->doors.stock, i, cluster);
        json_array_extend(all, list);
    }
    return all;
}

static bool write_failure(Subject *subject, const RunDoors *doors, const RunResult *result) {
    Controller *controller = subject->controller;
    PlanFailure failure = { .condition = result->condition, .message = result->failed };
    if (controller->resource != RESOURCE_RAYCLUSTERS || !result->condition)
        return false;
    _cleanup_json_ json_t *cluster = stock_get(controller->doors.stock, RESOURCE_RAYCLUSTERS,
                                               subject->namespace_, subject->name);
    if (!cluster)
        return false;
    _cleanup_json_ json_t *pods = related(controller, RESOURCE_PODS, RESOURCE_PODS, cluster);
    _cleanup_json_ json_t *services =
        related(controller, RESOURCE_SERVICES, RESOURCE_SERVICES, cluster);
    ClusterView view = { .cluster = cluster, .pods = pods, .services = services };
    _cleanup_plan_ Plan plan;
    plan_init(&plan);
    plan.status = cluster_status(&view, &failure, loop_wall_now(controller->loop));
    if (!plan.status)
        return false;
    start_run(subject, cluster, &plan, on_failure_written);
    return true;
}

/* Few clusters need these; what none needs is not watched. */
static void want_others(Stock *stock, const json_t *spec) {
    if (spec_autoscaling(spec)) {
        stock_want(stock, RESOURCE_ACCOUNTS);
        stock_want(stock, RESOURCE_ROLES);
        stock_want(stock, RESOURCE_BINDINGS);
    }
    if (spec_token_auth(spec))
        stock_want(stock, RESOURCE_SECRETS);
    if (json_bool_at(spec, false, "headGroupSpec", "enableIngress"))
        stock_want(stock, RESOURCE_INGRESSES);
}

static void look_at_cluster(Subject *subject, json_t *cluster) {
    Controller *controller = subject->controller;
    want_others(controller->doors.stock, json_at(cluster, "spec"));
    _cleanup_json_ json_t *pods = related(controller, RESOURCE_PODS, RESOURCE_PODS, cluster);
    _cleanup_json_ json_t *services =
        related(controller, RESOURCE_SERVICES, RESOURCE_SERVICES, cluster);
    _cleanup_json_ json_t *others = related(controller, RESOURCE_JOBS, RESOURCE_INGRESSES, cluster);
    ClusterView view = {
        .cluster = cluster,
        .pods = pods,
        .services = services,
        .others = others,
        .restarts = &subject->restarts,
    };
    _cleanup_plan_ Plan plan;
    plan_init(&plan);
    cluster_plan(&view, controller->doors.settings, controller->doors.random,
                 loop_wall_now(controller->loop), &plan);
    carry_out(subject, cluster, &plan);
}

static json_t *find_head_pod(const json_t *pods, const json_t *cluster) {
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod) {
        if (str_eq(obj_label(pod, LABEL_NODE_TYPE), NODE_HEAD) && !obj_is_deleting(pod) &&
            object_owned_by(pod, cluster))
            return json_incref(pod);
    }
    return NULL;
}

static json_t *find_head_service(const Stock *stock, const json_t *cluster) {
    Arena arena = { 0 };
    json_t *service = stock_get(stock, RESOURCE_SERVICES, object_namespace(cluster),
                                name_head_service(&arena, cluster));
    arena_done(&arena);
    return service;
}

/* Points the job's watch to the head that runs it now. */
static void aim_head(Subject *subject, const json_t *job, const json_t *cluster,
                     const json_t *service) {
    Controller *controller = subject->controller;
    const json_t *spec = json_at(cluster, "spec");
    const char *id = json_str_at(job, "status", "jobId");
    const char *address = json_str_at(job, "status", "dashboardURL");
    if (!service || str_empty(id) || str_empty(address)) {
        subject->head = head_watch_free(subject->head);
        return;
    }
    if (!subject->head)
        subject->head = head_watch_new(controller->doors.heads, on_head_changed, subject);
    Arena arena = { 0 };
    bool secret = spec_token_auth(spec) && !spec_kubernetes_auth(spec);
    HeadTarget target = {
        .namespace_ = subject->namespace_,
        .service = object_name(service),
        .address = address,
        .secret = secret
                      ? name_auth_secret(&arena, object_name(cluster), json_at(spec, "authOptions"))
                      : NULL,
        .job_id = id,
    };
    head_watch_aim(subject->head, &target);
    arena_done(&arena);
}

static void look_at_job(Subject *subject, json_t *job) {
    Controller *controller = subject->controller;
    const Stock *stock = controller->doors.stock;
    const char *cluster_name = json_str_at(job, "status", "rayClusterName");
    _cleanup_free_ char *service_name = str_printf("%s-head-svc", subject->name);
    _cleanup_json_ json_t *cluster = NULL, *pods = NULL, *head_pod = NULL, *head_service = NULL;
    if (!str_empty(cluster_name))
        cluster = stock_get(stock, RESOURCE_RAYCLUSTERS, subject->namespace_, cluster_name);
    if (cluster) {
        pods = stock_of_cluster(stock, RESOURCE_PODS, cluster);
        head_pod = find_head_pod(pods, cluster);
        head_service = find_head_service(stock, cluster);
    }
    _cleanup_json_ json_t *service =
        stock_get(stock, RESOURCE_SERVICES, subject->namespace_, service_name);
    _cleanup_json_ json_t *submitter =
        stock_get(stock, RESOURCE_JOBS, subject->namespace_, subject->name);
    aim_head(subject, job, cluster, head_service);
    JobView view = {
        .job = job,
        .cluster = cluster,
        .head_service = head_service,
        .head_pod = head_pod,
        .service = service,
        .submitter = submitter,
    };
    if (subject->head)
        view.report = head_watch_report(subject->head);
    _cleanup_plan_ Plan plan;
    plan_init(&plan);
    job_plan(&view, controller->doors.settings, controller->doors.random,
             loop_wall_now(controller->loop), &plan);
    if (subject->head)
        head_watch_ask(subject->head, plan.ask_head);
    carry_out(subject, job, &plan);
}

static void look(Controller *controller, const char *key) {
    Subject *subject = subject_get(controller, key);
    _cleanup_json_ json_t *object = stock_get(controller->doors.stock, controller->resource,
                                              subject->namespace_, subject->name);
    controller->active++;
    if (!object) {
        controller->active--;
        work_queue_done(controller->queue, key);
        subject_forget(subject);
    } else if (controller->resource == RESOURCE_RAYJOBS) {
        look_at_job(subject, object);
    } else {
        look_at_cluster(subject, object);
    }
}

static void work(void *ctx) {
    Controller *controller = ctx;
    usec_t now = loop_now(controller->loop);
    const char *key;
    while (controller->active < controller->at_once &&
           (key = work_queue_take(controller->queue, now)))
        look(controller, key);
    if (controller->active < controller->at_once)
        loop_timer_at(controller->timer, work_queue_next(controller->queue));
}

Controller *controller_new(Resource resource, size_t at_once, const ControllerDoors *doors) {
    Controller *controller = mem_new(Controller);
    Loop *loop = kube_client_loop(doors->client);
    *controller = (Controller){
        .resource = resource,
        .at_once = at_once,
        .doors = *doors,
        .loop = loop,
        .queue = work_queue_new(BASE_DELAY, MAX_DELAY),
        .timer = loop_timer_new(loop, work, controller),
        .task = loop_task_new(loop, work, controller),
    };
    return controller;
}

Controller *controller_free(Controller *controller) {
    if (!controller)
        return NULL;
    size_t pos = 0;
    Subject *subject;
    while ((subject = strmap_next(&controller->subjects, &pos, NULL)))
        subject_free(subject);
    strmap_done(&controller->subjects);
    loop_timer_free(controller->timer);
    loop_task_free(controller->task);
    work_queue_free(controller->queue);
    free(controller);
    return NULL;
}

ControllerStats controller_stats(const Controller *controller) {
    return (ControllerStats){
        .done = controller->done,
        .failed = controller->failed,
        .conflicts = controller->conflicts,
        .waiting = work_queue_waiting(controller->queue),
        .active = controller->active,
    };
}

void controller_on_status(Controller *controller, ControllerStatusFn *fn, void *ctx) {
    controller->on_status = fn;
    controller->on_status_ctx = ctx;
}
