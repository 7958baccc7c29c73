/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/controllers_private.h"
#include "local/job_plan.h"

/* Executes job_plan: gathers a Job's pods, then writes what the plan says, all in one tick and so
 * in one commit. */

#define COMPONENT "job-controller"
/* Stands for the pods of a namespace that no Job counts any more; no Job has that name. */
#define ORPHANS ""

static void on_event(Controller *controller, const StoreEvent *event) {
    if (str_eq(event->table->name, "jobs.batch")) {
        controller_mark(controller, event->now->ns, event->now->name);
        return;
    }
    if (!str_eq(event->table->name, "pods"))
        return;
    _cleanup_json_ json_t *pod = object_value(event->now);
    const json_t *owner = obj_controller_ref(pod);
    if (owner && str_eq(json_str_at(owner, "kind"), "Job"))
        controller_mark(controller, event->now->ns, json_str_at(owner, "name"));
    else if (event->type != STORE_DELETED && obj_has_finalizer(pod, JOB_FINALIZER))
        controller_mark(controller, event->now->ns, ORPHANS);
}

typedef Vec(json_t *) Pods;

static void collect_pods(Api *api, const char *ns, const char *uid, Pods *pods) {
    const StoreTable *table = store_table(api->store, "pods");
    size_t at = store_lower_bound(table, ns, "");
    for (; at < table->objects.len && str_eq(table->objects.items[at]->ns, ns); at++) {
        json_t *pod = object_value(table->objects.items[at]);
        const json_t *owner = obj_controller_ref(pod);
        if (owner && str_eq(json_str_at(owner, "uid"), uid))
            vec_push(pods, pod);
        else
            json_decref(pod);
    }
}

static bool release(void *ctx, json_t *pod) {
    return obj_remove_finalizer(pod, JOB_FINALIZER);
}

static void release_pods(Controller *controller, const JobPlan *plan) {
    VEC_EACH(pod, &plan->releases) {
        _cleanup_call_ ApiCall call =
            controller_call(controller, "", "pods", obj_namespace(*pod), obj_name(*pod));
        controller_report(controller, &call, api_change(&call, release, NULL), "releasing");
    }
}

static void delete_pods(Controller *controller, const json_t *job, const JobPlan *plan) {
    VEC_EACH(pod, &plan->deletes) {
        _cleanup_call_ ApiCall call =
            controller_call(controller, "", "pods", obj_namespace(*pod), obj_name(*pod));
        ApiDelete options = { .grace_seconds = -1, .uid = obj_uid(*pod) };
        _cleanup_json_ json_t *last = NULL;
        bool gone;
        int r = api_delete(&call, &options, &last, &gone);
        controller_report(controller, &call, r, "deleting");
        if (r == 0)
            component_event(controller->api, COMPONENT, job, "Normal", "SuccessfulDelete",
                            "Deleted pod: %s", obj_name(*pod));
    }
}

static void create_pods(Controller *controller, const json_t *job, const JobPlan *plan) {
    VEC_EACH(index, &plan->creates) {
        _cleanup_call_ ApiCall call =
            controller_call(controller, "", "pods", obj_namespace(job), NULL);
        _cleanup_json_ json_t *pod = NULL;
        int r = api_create(&call, job_make_pod(job, *index), NULL, &pod);
        controller_report(controller, &call, r, "creating");
        if (r == 0)
            component_event(controller->api, COMPONENT, job, "Normal", "SuccessfulCreate",
                            "Created pod: %s", obj_name(pod));
        else
            component_event(controller->api, COMPONENT, job, "Warning", "FailedCreate",
                            "Error creating: %s", api_call_text(&call, r));
    }
}

static bool set_status(void *ctx, json_t *job) {
    const JobPlan *plan = ctx;
    json_object_set(job, "status", plan->status);
    return true;
}

static void delete_expired(Controller *controller, const json_t *job) {
    _cleanup_call_ ApiCall call =
        controller_call(controller, "batch", "jobs", obj_namespace(job), obj_name(job));
    ApiDelete options = { .grace_seconds = -1, .propagation = API_FOREGROUND, .uid = obj_uid(job) };
    _cleanup_json_ json_t *last = NULL;
    bool gone;
    controller_report(controller, &call, api_delete(&call, &options, &last, &gone), "expiring");
}

static void execute(Controller *controller, const json_t *job, JobPlan *plan) {
    const char *ns = obj_namespace(job), *name = obj_name(job);
    release_pods(controller, plan);
    delete_pods(controller, job, plan);
    create_pods(controller, job, plan);
    if (plan->status) {
        _cleanup_call_ ApiCall call = controller_call(controller, "batch", "jobs", ns, name);
        call.subresource = "status";
        controller_report(controller, &call, api_change(&call, set_status, plan), "updating");
    }
    VEC_EACH(event, &plan->events)
        component_event(controller->api, COMPONENT, job, event->type, event->reason, "%s",
                        event->message);
    if (plan->expired && !obj_is_deleting(job))
        delete_expired(controller, job);
    if (plan->look_at != USEC_INFINITY)
        controller_mark_at(controller, ns, name, plan->look_at);
}

static bool has_job(Api *api, const json_t *pod) {
    const json_t *owner = obj_controller_ref(pod);
    const char *name = json_str_at(owner, "name");
    _cleanup_json_ json_t *job =
        name ? api_peek(api, "batch", "jobs", obj_namespace(pod), name) : NULL;
    return job && str_eq(obj_uid(job), json_str_at(owner, "uid"));
}

/* Pods whose Job is gone are counted by nobody: nothing holds them any more. */
static void release_orphans(Controller *controller, const char *ns) {
    const StoreTable *table = store_table(controller->api->store, "pods");
    /* From the end: a release may be a pod's last hold and take it out of the table. */
    for (size_t at = store_lower_bound(table, ns, "\xff"); at-- > 0;) {
        Object *object = table->objects.items[at];
        if (!str_eq(object->ns, ns))
            break;
        _cleanup_json_ json_t *pod = object_value(object);
        if (!obj_has_finalizer(pod, JOB_FINALIZER) || has_job(controller->api, pod))
            continue;
        _cleanup_call_ ApiCall call = controller_call(controller, "", "pods", ns, obj_name(pod));
        controller_report(controller, &call, api_change(&call, release, NULL), "releasing");
    }
}

static void work_on(Controller *controller, const char *ns, const char *name) {
    _cleanup_json_ json_t *job = api_peek(controller->api, "batch", "jobs", ns, name);
    if (!job) {
        release_orphans(controller, ns);
        return;
    }
    if (!str_empty(json_str_at(job, "spec", "managedBy")))
        return;
    Pods pods = { 0 };
    JobPlan plan;
    collect_pods(controller->api, ns, obj_uid(job), &pods);
    job_plan_make(job, pods.items, pods.len, loop_wall_now(controller->api->loop), &plan);
    execute(controller, job, &plan);
    job_plan_done(&plan);
    VEC_EACH(pod, &pods)
        json_decref(*pod);
    vec_done(&pods);
}

Controller *job_controller_new(Api *api) {
    Controller *controller = mem_new(Controller);
    controller_init(controller, api, "kube-controller-manager", on_event, work_on);
    controller_mark_all(controller, "batch", "jobs");
    return controller;
}
