/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/run.h"

#include "base/log.h"
#include "operator/object.h"

#define RETRY_DELAY (200 * USEC_PER_MSEC)

enum {
    AT_ONCE = 64, /* requests of one run under way */
    TRIES = 4,    /* of a request that gets no answer */
};

typedef enum StepState {
    STEP_WAITING,
    STEP_STARTED,
    STEP_DONE,
    STEP_FAILED,
    STEP_CONFLICT,
} StepState;

/* One action under way. */
typedef struct Step {
    PlanRun *run;
    Action *action;
    StepState state;
    unsigned tries;
    KubeCall *call;
    LoopTimer *again;
    char *error;
} Step;

struct PlanRun {
    RunDoors doors;
    Resource resource;
    json_t *primary;
    Plan plan;
    Step *steps;
    unsigned stage;
    size_t next, active;
    bool changed;
    KubeCall *status_call;
    LoopTask *task;
    PlanRunFn *fn;
    void *ctx;
};

static void run_on(void *ctx);

/* Each RayCluster of a RayJob that is tried again is told of; a thousand worker pods are one series. */
static void tell(PlanRun *run, const Action *action, const PlanEvent *event, const char *error) {
    if (!event->reason)
        return;
    EventType type = event->warning ? EVENT_WARNING : EVENT_NORMAL;
    _cleanup_json_ json_t *related = NULL;
    if (action->resource == RESOURCE_RAYCLUSTERS)
        related = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "ray.io/v1", "kind",
                            "RayCluster", "metadata", "namespace", object_namespace(run->primary),
                            "name", action->name);
    event_record(run->doors.events, run->primary, related, type, event->reason, event->action,
                 "%s%s%s", event->note, error ? " " : "", error ? error : "");
}

static void step_end(Step *step, StepState state, const char *error) {
    PlanRun *run = step->run;
    step->state = state;
    str_set(&step->error, error); /* may be what it is already */
    run->active--;
    if (state == STEP_FAILED)
        tell(run, step->action, &step->action->failed, step->error);
    loop_task_arm(run->task);
}

static void step_succeed(Step *step, json_t *object) {
    PlanRun *run = step->run;
    const Action *action = step->action;
    if (object && action->resource < RESOURCE_COUNT && json_at(object, "metadata", "uid"))
        stock_observe(run->doors.stock, action->resource, object);
    if (action->type == ACTION_DELETE)
        stock_doom(run->doors.stock, action->uid);
    if (action->restart && run->doors.restarts)
        restarts_note(run->doors.restarts, action->restart,
                      loop_wall_now(kube_client_loop(run->doors.client)));
    run->changed |= action->type != ACTION_REQUIRE && action->type != ACTION_TELL;
    tell(run, action, &action->done, NULL);
    step_end(step, STEP_DONE, NULL);
}

static void step_send(Step *step);

static void on_again(void *ctx) {
    step_send(ctx);
}

static void step_retry(Step *step, usec_t delay) {
    if (!step->again)
        step->again = loop_timer_new(kube_client_loop(step->run->doors.client), on_again, step);
    loop_timer_after(step->again, delay);
}

/* Something of that name is there. If we own it, an earlier try of ours made it. */
static void on_found(void *ctx, const KubeReply *reply) {
    Step *step = ctx;
    step->call = NULL;
    if (reply->r == 0 && object_owned_by(reply->body, step->run->primary))
        step_succeed(step, reply->body);
    else
        step_end(step, STEP_FAILED, step->error ? step->error : reply->message);
}

static void look_at_existing(Step *step, const char *message) {
    PlanRun *run = step->run;
    str_set(&step->error, message);
    step->call = kube_get(run->doors.client, resource_gvr(step->action->resource),
                          object_namespace(run->primary), step->action->name, on_found, step);
}

/* What an answer means for its action. */
static void step_answer(Step *step, const KubeReply *reply) {
    ActionType type = step->action->type;
    switch (reply->r) {
    case KUBE_OK:
        step_succeed(step, reply->body);
        return;
    case KUBE_EXISTS:
        if (type == ACTION_ENSURE)
            step_end(step, STEP_DONE, NULL);
        else
            look_at_existing(step, reply->message);
        return;
    case KUBE_NOT_FOUND:
        if (type == ACTION_DELETE)
            step_end(step, STEP_DONE, NULL);
        else
            step_end(step, type == ACTION_REPLACE ? STEP_CONFLICT : STEP_FAILED, reply->message);
        return;
    case KUBE_CONFLICT:
        step_end(step, type == ACTION_DELETE ? STEP_DONE : STEP_CONFLICT, reply->message);
        return;
    case KUBE_BUSY:
        if (step->tries < TRIES) {
            step_retry(step, MAX(reply->retry_after, RETRY_DELAY << step->tries));
            return;
        }
        break;
    default:
        if (reply->r < 0 && step->tries < TRIES) {
            step_retry(step, RETRY_DELAY << step->tries);
            return;
        }
    }
    step_end(step, STEP_FAILED, reply->message);
}

static void on_reply(void *ctx, const KubeReply *reply) {
    Step *step = ctx;
    step->call = NULL;
    step_answer(step, reply);
}

static void on_head(void *ctx, int r, const char *message) {
    Step *step = ctx;
    if (r == 0 || step->action->type == ACTION_STOP)
        step_succeed(step, NULL);
    else { /* it is in the head's report; the next plan deals with it */
        tell(step->run, step->action, &step->action->failed, message);
        step_end(step, STEP_CONFLICT, message);
    }
}

static void step_head(Step *step) {
    HeadWatch *head = step->run->doors.head;
    int r = -ENOTCONN;
    if (head && step->action->type == ACTION_SUBMIT)
        r = head_watch_submit(head, step->action->object, on_head, step);
    else if (head)
        r = head_watch_stop(head, step->action->name, on_head, step);
    if (r < 0)
        on_head(step, r, error_text(r));
}

static void step_send(Step *step) {
    static const KubeVerb VERBS[] = {
        [ACTION_CREATE] = KUBE_CREATE,  [ACTION_ENSURE] = KUBE_CREATE,
        [ACTION_REPLACE] = KUBE_UPDATE, [ACTION_PATCH] = KUBE_PATCH,
        [ACTION_DELETE] = KUBE_DELETE,  [ACTION_REQUIRE] = KUBE_GET,
    };
    const Action *action = step->action;
    PlanRun *run = step->run;
    step->tries++;
    if (action->type == ACTION_TELL) {
        step_succeed(step, NULL);
        return;
    }
    if (action->type == ACTION_SUBMIT || action->type == ACTION_STOP) {
        step_head(step);
        return;
    }
    bool creates = action->type == ACTION_CREATE || action->type == ACTION_ENSURE;
    KubeRequest request = {
        .verb = VERBS[action->type],
        .gvr = resource_gvr(action->resource),
        .namespace = object_namespace(run->primary),
        .name = creates ? NULL : action->name,
        .body = action->object,
        .patch = KUBE_PATCH_MERGE,
        .propagation = action->type == ACTION_DELETE ? "Background" : NULL,
        .if_uid = action->type == ACTION_DELETE ? action->uid : NULL,
    };
    step->call = kube_call(run->doors.client, &request, on_reply, step);
}

static const Step *first_in(const PlanRun *run, StepState state) {
    for (size_t i = 0; i < run->plan.actions.len; i++)
        if (run->steps[i].state == state)
            return &run->steps[i];
    return NULL;
}

static void finish(PlanRun *run, bool conflict, const char *failed, const char *condition) {
    RunResult result = {
        .changed = run->changed,
        .conflict = conflict,
        .failed = failed,
        .condition = condition,
    };
    run->fn(run->ctx, &result);
    plan_run_free(run);
}

static void on_status(void *ctx, const KubeReply *reply) {
    PlanRun *run = ctx;
    run->status_call = NULL;
    if (reply->r == 0) {
        run->changed = true;
        stock_observe(run->doors.stock, run->resource, reply->body);
    }
    bool conflict = reply->r == KUBE_CONFLICT || reply->r == KUBE_NOT_FOUND;
    finish(run, conflict, reply->r == 0 || conflict ? NULL : reply->message, NULL);
}

static void write_status(PlanRun *run) {
    if (!run->plan.status) {
        finish(run, false, NULL, NULL);
        return;
    }
    _cleanup_json_ json_t *object = json_copy(run->primary);
    json_object_set(object, "status", run->plan.status);
    run->status_call =
        kube_update_status(run->doors.client, resource_gvr(run->resource), object, on_status, run);
}

/* Starts what may start of the present stage; says whether any of it is still under way. */
static bool advance_stage(PlanRun *run) {
    for (; run->next < run->plan.actions.len && run->active < AT_ONCE; run->next++) {
        Step *step = &run->steps[run->next];
        if (step->action->stage != run->stage)
            continue;
        step->state = STEP_STARTED;
        run->active++;
        step_send(step);
    }
    return run->active > 0 || run->next < run->plan.actions.len;
}

static void run_on(void *ctx) {
    PlanRun *run = ctx;
    while (run->stage <= STAGE_LAST) {
        if (advance_stage(run))
            return;
        const Step *failed = first_in(run, STEP_FAILED);
        if (failed) {
            finish(run, false, failed->error, failed->action->failure);
            return;
        }
        if (first_in(run, STEP_CONFLICT)) {
            finish(run, true, NULL, NULL);
            return;
        }
        run->stage++;
        run->next = 0;
    }
    loop_task_disarm(run->task);
    write_status(run);
}

PlanRun *plan_run_new(const RunDoors *doors, Resource resource, const json_t *primary, Plan *plan,
                      PlanRunFn *fn, void *ctx) {
    PlanRun *run = mem_new(PlanRun);
    *run = (PlanRun){
        .doors = *doors,
        .resource = resource,
        .primary = json_deep_copy(primary),
        .plan = *plan,
        .steps = mem_array(Step, plan->actions.len + 1),
        .fn = fn,
        .ctx = ctx,
    };
    plan_init(plan);
    for (size_t i = 0; i < run->plan.actions.len; i++)
        run->steps[i] = (Step){ .run = run, .action = &run->plan.actions.items[i] };
    run->task = loop_task_new(kube_client_loop(doors->client), run_on, run);
    loop_task_arm(run->task);
    return run;
}

PlanRun *plan_run_free(PlanRun *run) {
    if (!run)
        return NULL;
    for (size_t i = 0; i < run->plan.actions.len; i++) {
        ActionType type = run->steps[i].action->type;
        if (run->steps[i].state == STEP_STARTED && (type == ACTION_SUBMIT || type == ACTION_STOP) &&
            run->doors.head)
            head_watch_cancel(run->doors.head);
        kube_call_free(run->steps[i].call);
        loop_timer_free(run->steps[i].again);
        free(run->steps[i].error);
    }
    free(run->steps);
    kube_call_free(run->status_call);
    loop_task_free(run->task);
    plan_done(&run->plan);
    json_decref(run->primary);
    free(run);
    return NULL;
}
