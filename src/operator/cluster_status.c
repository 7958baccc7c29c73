/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "kobj/quantity.h"
#include "operator/cluster_pods.h"
#include "operator/object.h"
#include "operator/ray_start.h"
#include "operator/service.h"
#include "operator/spec.h"

typedef struct StatusWork {
    const ClusterView *view;
    const json_t *cluster, *spec;
    const PlanFailure *failure;
    usec_t now;
    json_t *status;
    json_t *conditions;
    const json_t *head; /* the one live head pod, or NULL */
    size_t pods, live;  /* owned pods; those not on their way out */
    bool all_ready;     /* there are live pods, and all run and are ready */
} StatusWork;

static void set_condition(StatusWork *work, const char *type, bool holds, const char *reason,
                          const char *message) {
    obj_set_condition(work->conditions, type, holds ? "True" : "False", reason, message, 0,
                      work->now);
}

/* A count; none is left out, as Go's marshalling does. */
static void set_count(StatusWork *work, const char *key, int64_t count) {
    if (count != 0)
        json_object_set_new(work->status, key, json_integer(count));
    else
        json_object_del(work->status, key);
}

static void look_at_pods(StatusWork *work) {
    int64_t ready = 0, running = 0;
    size_t i;
    json_t *pod;
    work->all_ready = true;
    json_array_foreach(work->view->pods, i, pod) {
        if (!object_owned_by(pod, work->cluster))
            continue;
        work->pods++;
        if (obj_is_deleting(pod))
            continue;
        work->live++;
        work->all_ready &= pod_is_ready(pod);
        if (pod_is_type(pod, NODE_HEAD)) {
            work->head = pod;
        } else if (pod_is_type(pod, NODE_WORKER)) {
            ready += pod_is_ready(pod);
            running += str_eq(pod_phase(pod), "Running");
        }
    }
    work->all_ready &= work->live > 0;
    set_count(work, "readyWorkerReplicas", ready);
    set_count(work, "availableWorkerReplicas", running);
}

static void set_replicas(StatusWork *work) {
    int64_t desired = 0, least = 0, most = 0;
    size_t i;
    json_t *group;
    json_array_foreach(json_at(work->spec, "workerGroupSpecs"), i, group) {
        desired += group_desired(group);
        if (group_suspended(group))
            continue;
        least += group_pods(group, group_min(group));
        most += group_pods(group, group_max(group));
    }
    set_count(work, "desiredWorkerReplicas", desired);
    set_count(work, "minWorkerReplicas", least);
    set_count(work, "maxWorkerReplicas", MIN(most, (int64_t)INT32_MAX));
}

static void add_amount(json_t *totals, const char *name, const json_t *amount, int64_t times) {
    Quantity one, sum = QUANTITY_ZERO;
    char text[QUANTITY_TEXT_MAX];
    if (quantity_from_json(amount, &one) < 0)
        return;
    json_t *before = json_object_get(totals, name);
    if (before && quantity_from_json(before, &sum) < 0)
        return;
    one.nano *= CLAMP(times, 0, (int64_t)INT32_MAX); /* 2^63 billion times 2^31: fits */
    quantity_format(quantity_add(sum, one), text);
    json_object_set_new(totals, name, json_string(text));
}

/* Requests of a template's containers, limits where there is no request, so many times. */
static void add_template(json_t *totals, const json_t *template, int64_t times) {
    size_t i;
    json_t *container;
    json_array_foreach(json_at(template, "spec", "containers"), i, container) {
        _cleanup_json_ json_t *amounts = json_object();
        object_merge(amounts, json_at(container, "resources", "requests"), false);
        object_merge(amounts, json_at(container, "resources", "limits"), true);
        const char *name;
        json_t *amount;
        json_object_foreach(amounts, name, amount)
            add_amount(totals, name, amount, times);
    }
}

static void set_total(StatusWork *work, const char *field, const json_t *totals,
                      const char *resource) {
    json_t *amount = json_object_get(totals, resource);
    json_object_set_new(work->status, field, amount ? json_incref(amount) : json_string("0"));
}

static void set_resources(StatusWork *work) {
    _cleanup_json_ json_t *totals = json_object(), *gpus = json_object();
    add_template(totals, json_at(work->spec, "headGroupSpec", "template"), 1);
    size_t i;
    json_t *group;
    json_array_foreach(json_at(work->spec, "workerGroupSpecs"), i, group) {
        if (!group_suspended(group))
            add_template(totals, json_object_get(group, "template"),
                         group_pods(group, MAX(json_int_at(group, 0, "replicas"), 0)));
    }
    const char *name;
    json_t *amount;
    json_object_foreach(totals, name, amount) {
        if (resource_is_gpu(name))
            add_amount(gpus, "gpu", amount, 1);
    }
    set_total(work, "desiredCPU", totals, "cpu");
    set_total(work, "desiredMemory", totals, "memory");
    set_total(work, "desiredTPU", totals, "google.com/tpu");
    set_total(work, "desiredGPU", gpus, "gpu");
}

static const json_t *head_service(const StatusWork *work) {
    size_t i;
    json_t *service;
    json_array_foreach(work->view->services, i, service) {
        if (service_is_head_of(service, work->cluster))
            return service;
    }
    return NULL;
}

/* Where the head can be reached: node ports where there are any, else the container's. */
static void set_endpoints(StatusWork *work, const json_t *service) {
    size_t i;
    json_t *port;
    json_array_foreach(json_at(service, "spec", "ports"), i, port) {
        const char *name = json_str_at(port, "name");
        const char *target = json_str_at(port, "targetPort");
        int64_t number = json_int_at(port, 0, "nodePort");
        if (number == 0)
            number = json_int_at(port, 0, "targetPort");
        if (number == 0 && !target) /* an API server without this default */
            number = json_int_at(port, 0, "port");
        if (str_empty(name))
            continue;
        json_t *endpoints = json_make_object(work->status, "endpoints");
        if (number != 0)
            json_set_printf(endpoints, name, "%" PRId64, number);
        else
            json_object_set_new(endpoints, name, json_string(target));
    }
}

static void set_text(json_t *object, const char *key, const char *text) {
    if (str_empty(text))
        json_object_del(object, key);
    else
        json_object_set_new(object, key, json_string(text));
}

/* A headless Service has no address; the head pod's stands for it. */
static void set_head(StatusWork *work, const json_t *service) {
    json_t *head = json_make_object(work->status, "head");
    const char *pod_ip = json_str_at(work->head, "status", "podIP");
    const char *service_ip = json_str_at(service, "spec", "clusterIP");
    set_text(head, "podIP", pod_ip);
    set_text(head, "podName", work->head ? object_name(work->head) : NULL);
    set_text(head, "serviceIP", str_eq(service_ip, "None") ? pod_ip : service_ip);
    set_text(head, "serviceName", service ? object_name(service) : NULL);
}

/* Why a container is not ready, from the first one that says. */
static const json_t *unready_reason(const json_t *pod, const char **ret_container) {
    size_t i;
    json_t *status;
    json_array_foreach(json_at(pod, "status", "containerStatuses"), i, status) {
        const json_t *state = json_at(status, "state", "waiting");
        if (!state)
            state = json_at(status, "state", "terminated");
        if (state) {
            *ret_container = json_str_at(status, "name");
            return state;
        }
    }
    return NULL;
}

static void set_head_ready(StatusWork *work) {
    if (!work->head) {
        set_condition(work, "HeadPodReady", false, "HeadPodNotFound", "Head Pod not found");
        return;
    }
    const json_t *ready = condition_find(json_at(work->head, "status", "conditions"), "Ready");
    const char *status = json_str_at(ready, "status"), *reason = json_str_at(ready, "reason");
    const char *message = json_str_at(ready, "message"), *container = NULL;
    _cleanup_free_ char *longer = NULL;
    message = message ? message : "";
    if (str_empty(reason))
        reason = str_eq(status, "True") ? "HeadPodRunningAndReady" : "Unknown";
    if (str_eq(reason, "ContainersNotReady")) {
        const json_t *state = unready_reason(work->head, &container);
        const char *why = json_str_at(state, "reason"), *text = json_str_at(state, "message");
        if (state) {
            longer = str_printf("%s%s%s: %s", message, *message ? "; " : "", container,
                                text ? text : "");
            message = longer;
            reason = str_empty(why) ? reason : why;
        }
    }
    obj_set_condition(work->conditions, "HeadPodReady", status ? status : "False", reason, message,
                      0, work->now);
}

/* Sticky: says whether all was ready once, until the cluster is suspended. */
static void set_provisioned(StatusWork *work) {
    if (condition_holds(work->conditions, "RayClusterProvisioned") ||
        condition_holds(work->conditions, "RayClusterSuspended"))
        return;
    if (work->all_ready)
        set_condition(work, "RayClusterProvisioned", true, "AllPodRunningAndReadyFirstTime",
                      "All Ray Pods are ready for the first time");
    else
        set_condition(work, "RayClusterProvisioned", false, "RayClusterPodsProvisioning",
                      "RayCluster Pods are being provisioned for first time");
}

/* Suspending is written before the first pod goes and holds until the last one has gone, whatever
 * spec.suspend says meanwhile; only then is the cluster Suspended. */
static void set_suspension(StatusWork *work) {
    bool wanted = spec_suspended(work->spec);
    if (condition_holds(work->conditions, "RayClusterSuspending")) {
        if (work->pods > 0)
            return;
        set_condition(work, "RayClusterProvisioned", false, "RayClusterPodsProvisioning",
                      "RayCluster has been suspended");
        set_condition(work, "RayClusterSuspending", false, "RayClusterSuspending", "");
        set_condition(work, "RayClusterSuspended", true, "RayClusterSuspended", "");
    } else if (condition_holds(work->conditions, "RayClusterSuspended")) {
        if (!wanted)
            set_condition(work, "RayClusterSuspended", false, "RayClusterSuspended", "");
    } else {
        set_condition(work, "RayClusterSuspended", false, "RayClusterSuspended", "");
        set_condition(work, "RayClusterSuspending", wanted, "RayClusterSuspending", "");
    }
}

static void set_failure(StatusWork *work) {
    const PlanFailure *failure = work->failure;
    if (!failure) {
        condition_remove(work->conditions, "ReplicaFailure");
    } else if (failure->condition) {
        _cleanup_free_ char *message = str_printf("%s\n%s", failure->condition, failure->message);
        set_condition(work, "ReplicaFailure", true, failure->condition, message);
    }
}

/* "ready" once all pods are; it stays so until the cluster is suspended, as KubeRay has it. */
static void set_state(StatusWork *work) {
    int64_t desired = json_int_at(work->status, 0, "desiredWorkerReplicas");
    const char *before = json_str_at(work->status, "state");
    const char *state = before;
    if (!work->failure && work->live == (size_t)desired + 1 && work->all_ready) {
        state = "ready";
        json_object_del(work->status, "reason");
    }
    if (spec_suspended(work->spec) && work->pods == 0)
        state = "suspended";
    if (str_eq(state, before))
        return;
    json_object_set_new(work->status, "state", json_string(state));
    json_object_set_new(json_make_object(work->status, "stateTransitionTimes"), state,
                        object_time_text(work->now));
}

json_t *cluster_status(const ClusterView *view, const PlanFailure *failure, usec_t now) {
    const json_t *before = json_at(view->cluster, "status");
    StatusWork work = {
        .view = view,
        .cluster = view->cluster,
        .spec = json_at(view->cluster, "spec"),
        .failure = failure,
        .now = now,
        .status = json_is_object(before) ? json_deep_copy(before) : json_object(),
    };
    work.conditions = json_make_array(work.status, "conditions");
    const json_t *service = head_service(&work);
    set_failure(&work);
    set_count(&work, "observedGeneration", obj_generation(view->cluster));
    look_at_pods(&work);
    set_replicas(&work);
    set_resources(&work);
    set_state(&work);
    set_head_ready(&work);
    set_provisioned(&work);
    set_suspension(&work);
    set_endpoints(&work, service);
    set_head(&work, service);
    if (before && json_same(before, work.status)) {
        json_decref(work.status);
        return NULL;
    }
    json_object_set_new(work.status, "lastUpdateTime", object_time_text(now));
    return work.status;
}
