/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "operator/cluster_pods.h"
#include "operator/object.h"
#include "operator/pod.h"
#include "operator/rbac.h"
#include "operator/service.h"
#include "operator/spec.h"
#include "operator/validate.h"

enum {
    REDIS_TIMEOUT_S = 300
};

static const json_t *find(const json_t *list, const char *kind, const char *name) {
    size_t i;
    json_t *object;
    json_array_foreach(list, i, object) {
        if (str_eq(obj_kind(object), kind) && str_eq(object_name(object), name))
            return object;
    }
    return NULL;
}

/* Makes what pods need, once. `what` is its name in events. */
static Action *make(ClusterWork *work, ActionType type, Resource resource, json_t *object,
                    const char *created, const char *failed, const char *what) {
    Arena *arena = &work->plan->arena;
    Action *action = plan_add(work->plan, type, resource, STAGE_FIRST, object);
    if (!created)
        return action;
    action->done = (PlanEvent){ .reason = created,
                                .action = "Create",
                                .note = arena_printf(arena, "Created %s %s/%s", what,
                                                     work->namespace_, action->name) };
    action->failed = (PlanEvent){ .warning = true,
                                  .reason = failed,
                                  .action = "Create",
                                  .note = arena_printf(arena, "Failed creating %s %s/%s,", what,
                                                       work->namespace_, action->name) };
    return action;
}

/* A ServiceAccount that the user names is the user's to make. */
static void require_account(ClusterWork *work, const char *name) {
    Arena *arena = &work->plan->arena;
    Action *action = plan_add(work->plan, ACTION_REQUIRE, RESOURCE_ACCOUNTS, STAGE_FIRST, NULL);
    action->name = arena_str(arena, name);
    action->failed = (PlanEvent){
        .warning = true,
        .reason = "AutoscalerServiceAccountNotFound",
        .action = "Validate",
        .note = arena_printf(
            arena,
            "Failed to reconcile RayCluster %s/%s. If users specify ServiceAccountName for the "
            "head Pod, they need to create a ServiceAccount themselves. However, ServiceAccount "
            "%s is not found. Please create one. See the PR description of "
            "https://github.com/ray-project/kuberay/pull/1128 for more details.",
            work->namespace_, work->name, name),
    };
}

static bool has_head(const ClusterWork *work) {
    size_t i;
    json_t *pod;
    json_array_foreach(work->view->pods, i, pod) {
        if (pod_is_type(pod, NODE_HEAD) && object_owned_by(pod, work->cluster))
            return true;
    }
    return false;
}

static void plan_rights(ClusterWork *work) {
    const json_t *others = work->view->others;
    Arena *arena = &work->plan->arena;
    if (!spec_autoscaling(work->spec))
        return;
    const char *own =
        json_str_at(work->spec, "headGroupSpec", "template", "spec", "serviceAccountName");
    const char *short_name = name_short(arena, work->name);
    if (!str_empty(own)) {
        if (!has_head(work))
            require_account(work, own);
    } else if (!find(others, "ServiceAccount", short_name)) {
        make(work, ACTION_ENSURE, RESOURCE_ACCOUNTS, rbac_build_account(work->cluster, arena),
             "CreatedServiceAccount", "FailedToCreateServiceAccount", "service account");
    }
    if (!find(others, "Role", short_name))
        make(work, ACTION_ENSURE, RESOURCE_ROLES, rbac_build_role(work->cluster, arena),
             "CreatedRole", "FailedToCreateRole", "role");
    if (!find(others, "RoleBinding", short_name))
        make(work, ACTION_ENSURE, RESOURCE_BINDINGS, rbac_build_binding(work->cluster, arena),
             "CreatedRoleBinding", "FailedToCreateRoleBinding", "role binding");
}

/* Labels, annotations and spec follow the RayCluster; a class that the API server chose stays. */
static void update_ingress(ClusterWork *work, const json_t *there, const json_t *wanted) {
    static const char *const METADATA[] = { "labels", "annotations" };
    Arena *arena = &work->plan->arena;
    json_t *changed = json_deep_copy(there);
    for (size_t i = 0; i < ARRAY_LEN(METADATA); i++) {
        json_t *value = json_at(wanted, "metadata", METADATA[i]);
        json_set_at(changed, json_deep_copy(value), "metadata", METADATA[i]);
    }
    json_t *spec = json_deep_copy(json_object_get(wanted, "spec"));
    json_t *class = json_at(there, "spec", "ingressClassName");
    if (class && !json_object_get(spec, "ingressClassName"))
        json_object_set(spec, "ingressClassName", class);
    json_object_set_new(changed, "spec", spec);
    if (json_same(changed, there)) {
        json_decref(changed);
        return;
    }
    const char *name = arena_str(arena, object_name(there));
    Action *action = plan_add(work->plan, ACTION_REPLACE, RESOURCE_INGRESSES, STAGE_FIRST, changed);
    action->done =
        (PlanEvent){ .reason = "UpdatedIngress",
                     .action = "Update",
                     .note = arena_printf(arena, "Updated ingress %s/%s", work->namespace_, name) };
    action->failed = (PlanEvent){ .warning = true,
                                  .reason = "FailedToUpdateIngress",
                                  .action = "Update",
                                  .note = arena_printf(arena, "Failed updating ingress %s/%s,",
                                                       work->namespace_, name) };
}

static void plan_ingress(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    if (!json_bool_at(work->spec, false, "headGroupSpec", "enableIngress"))
        return;
    _cleanup_json_ json_t *ingress = ingress_build(work->cluster, arena);
    object_own(ingress, work->cluster);
    const json_t *there = find(work->view->others, "Ingress", object_name(ingress));
    if (!there)
        make(work, ACTION_ENSURE, RESOURCE_INGRESSES, TAKE(ingress), "CreatedIngress",
             "FailedToCreateIngress", "ingress");
    else if (object_owned_by(there, work->cluster))
        update_ingress(work, there, ingress);
    else
        plan_tell(work->plan, true, "FailedToCreateIngress", "Create",
                  arena_printf(arena,
                               "Ingress %s/%s already exists and is not owned by this RayCluster; "
                               "not modifying it",
                               work->namespace_, object_name(there)));
}

static void plan_secret(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    if (!spec_token_auth(work->spec) || spec_kubernetes_auth(work->spec) ||
        !str_empty(json_str_at(work->spec, "authOptions", "secretName")))
        return;
    if (!find(work->view->others, "Secret", name_short(arena, work->name)))
        make(work, ACTION_ENSURE, RESOURCE_SECRETS, auth_build_secret(work->cluster, arena), NULL,
             NULL, NULL);
}

static void create_service(ClusterWork *work, json_t *service, bool told) {
    object_own(service, work->cluster);
    make(work, ACTION_CREATE, RESOURCE_SERVICES, service, told ? "CreatedService" : NULL,
         "FailedToCreateService", "service");
}

static void plan_head_service(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    size_t i, count = 0;
    json_t *service;
    json_array_foreach(work->view->services, i, service)
        count += service_is_head_of(service, work->cluster);
    if (count > 1)
        plan_trouble(work->plan, "TooManyHeadServices",
                     arena_printf(arena, "%zu head service found", count));
    else if (count == 0)
        create_service(work, service_build_head(work->cluster, work->settings, arena), true);
}

static void plan_services(ClusterWork *work) {
    Arena *arena = &work->plan->arena;
    const json_t *there = work->view->services;
    plan_head_service(work);
    json_t *headless = service_build_headless(work->cluster, arena);
    if (headless && !find(there, "Service", object_name(headless)))
        create_service(work, headless, true);
    else
        json_decref(headless);
    if (!service_wants_serve(work->cluster) ||
        find(there, "Service", arena_printf(arena, "%s-serve-svc", work->name)))
        return;
    json_t *serve = NULL;
    int r = service_build_serve(work->cluster, arena, &serve);
    if (r < 0)
        plan_trouble(work->plan, "FailedToCreateService", error_text(r));
    else
        create_service(work, serve, false);
}

static usec_t redis_timeout(const json_t *cluster) {
    int64_t seconds;
    const char *text = obj_annotation(cluster, ANNOTATION_FT_TIMEOUT);
    if (!text || str_to_i64(text, &seconds) < 0 || seconds <= 0 || seconds > INT32_MAX)
        seconds = REDIS_TIMEOUT_S;
    return seconds * USEC_PER_SEC;
}

static bool job_finished(const json_t *job) {
    const json_t *conditions = json_at(job, "status", "conditions");
    return condition_holds(conditions, "Complete") || condition_holds(conditions, "Failed") ||
           condition_holds(conditions, "FailureTarget");
}

static const json_t *find_cleanup(const ClusterWork *work) {
    size_t i;
    json_t *object;
    json_array_foreach(work->view->others, i, object) {
        if (str_eq(obj_kind(object), "Job") && pod_is_type(object, NODE_REDIS) &&
            object_owned_by(object, work->cluster))
            return object;
    }
    return NULL;
}

static void give_up_redis(ClusterWork *work, usec_t age) {
    const char *space = obj_annotation(work->cluster, ANNOTATION_STORAGE_NAMESPACE);
    plan_finalizer(work->plan, RESOURCE_RAYCLUSTERS, STAGE_PODS, work->cluster, FINALIZER_REDIS,
                   false);
    plan_tell(work->plan, true, "ForceDeletedStuckCluster", "Cleanup",
              arena_printf(&work->plan->arena,
                           "Force-removed GCS FT finalizer after %llds due to Redis cleanup "
                           "timeout; Redis storage namespace \"%s\" may need manual cleanup",
                           (long long)(age / USEC_PER_SEC), space ? space : ""));
}

/* A deleted cluster with state in Redis: first its pods (they write there), then a Job that empties
 * its namespace, then the finalizer goes, whether the Job worked or not. */
static void plan_redis_cleanup(ClusterWork *work) {
    bool head_is_there = false;
    size_t i;
    json_t *pod;
    json_array_foreach(work->view->pods, i, pod) {
        if (pod_is_live(pod, work->cluster))
            plan_delete(work->plan, RESOURCE_PODS, STAGE_FIRST, pod);
        head_is_there |= pod_is_type(pod, NODE_HEAD) && object_owned_by(pod, work->cluster);
    }
    usec_t since = object_time(json_at(work->cluster, "metadata", "deletionTimestamp"));
    usec_t timeout = redis_timeout(work->cluster);
    if (work->now - since >= timeout) {
        give_up_redis(work, work->now - since);
        return;
    }
    plan_due(work->plan, since + timeout);
    if (head_is_there)
        return;
    const json_t *cleanup = find_cleanup(work);
    if (!cleanup)
        make(work, ACTION_ENSURE, RESOURCE_JOBS,
             pod_build_redis_cleanup(work->cluster, work->settings, &work->plan->arena),
             "CreatedRedisCleanupJob", "FailedToCreateRedisCleanupJob", "Redis cleanup Job");
    else if (job_finished(cleanup))
        plan_finalizer(work->plan, RESOURCE_RAYCLUSTERS, STAGE_PODS, work->cluster, FINALIZER_REDIS,
                       false);
}

static bool uses_redis(const ClusterWork *work) {
    return work->settings->redis_cleanup && cluster_fault_tolerant(work->spec, work->cluster) &&
           !spec_uses_rocksdb(work->spec);
}

static void plan_deletion(ClusterWork *work) {
    if (!obj_has_finalizer(work->cluster, FINALIZER_REDIS))
        return; /* the garbage collector does the rest */
    if (uses_redis(work))
        plan_redis_cleanup(work);
    else
        plan_finalizer(work->plan, RESOURCE_RAYCLUSTERS, STAGE_FIRST, work->cluster,
                       FINALIZER_REDIS, false);
}

void cluster_plan(const ClusterView *view, const OperatorSettings *settings, NameRandom *random,
                  usec_t now, Plan *plan) {
    Invalid invalid;
    ClusterWork work = {
        .view = view,
        .settings = settings,
        .random = random,
        .now = now,
        .plan = plan,
        .cluster = view->cluster,
        .spec = json_at(view->cluster, "spec"),
        .namespace_ = object_namespace(view->cluster),
        .name = object_name(view->cluster),
    };
    if (managed_elsewhere(view->cluster))
        return;
    if (obj_is_deleting(view->cluster)) {
        plan_deletion(&work);
        return;
    }
    if (cluster_validate(view->cluster, &plan->arena, &invalid) != 0) {
        plan_tell(plan, true, invalid.reason, "Validate", invalid.note);
        return;
    }
    const char *warning = cluster_warning(view->cluster, &plan->arena);
    if (warning)
        plan_tell(plan, true, "InvalidRayClusterSpec", "Validate", warning);
    if (uses_redis(&work) && !obj_has_finalizer(view->cluster, FINALIZER_REDIS)) {
        plan_finalizer(plan, RESOURCE_RAYCLUSTERS, STAGE_FIRST, view->cluster, FINALIZER_REDIS,
                       true);
        return; /* nothing is made before it is sure to be cleaned up */
    }
    plan_rights(&work);
    plan_ingress(&work);
    plan_secret(&work);
    plan_services(&work);
    if (!plan->trouble)
        cluster_plan_pods(&work);
    PlanFailure trouble = { .message = plan->trouble };
    plan->status = cluster_status(view, plan->trouble ? &trouble : NULL, now);
}
