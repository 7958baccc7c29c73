/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "kobj/names.h"
#include "operator/names.h"
#include "operator/object.h"
#include "operator/spec.h"
#include "operator/validate.h"

#define V2_ENV "RAY_enable_autoscaler_v2"

/* Each check gives NULL or a sentence. */
#define CHECK_FIRST(check)                                                                         \
    do {                                                                                           \
        const char *said_ = (check);                                                               \
        if (said_)                                                                                 \
            return said_;                                                                          \
    } while (0)

static const char *check_resources(const char *group, const json_t *params, const json_t *resources,
                                   Arena *arena) {
    static const char *const PARAMS[] = { "num-cpus", "num-gpus", "memory", "resources" };
    bool given = false;
    for (size_t i = 0; i < ARRAY_LEN(PARAMS); i++)
        given |= !str_empty(json_str_at(params, PARAMS[i]));
    if (!given || json_object_size(resources) == 0)
        return NULL;
    return arena_printf(arena,
                        "resource fields should not be set in both rayStartParams and Resources "
                        "for %s group; please use only one",
                        group);
}

static const char *check_labels(const char *group, const json_t *params, const json_t *labels,
                                Arena *arena) {
    if (json_object_get(params, "labels"))
        return arena_printf(arena,
                            "rayStartParams['labels'] is not supported for %s group; please use "
                            "the top-level Labels field instead",
                            group);
    _cleanup_buf_ Buf all = { 0 };
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)labels, key, item) {
        const char *value = json_string_value(item) ? json_string_value(item) : "";
        const char *said = name_check_qualified(key);
        if (said)
            buf_printf(&all, "%sinvalid label key for %s group: '%s', error: %s",
                       all.len ? "; " : "", group, key, said);
        said = name_check_label_value(value);
        if (said)
            buf_printf(&all, "%sinvalid label value for key '%s' in %s group: '%s', error: %s",
                       all.len ? "; " : "", key, group, value, said);
    }
    return all.len ? arena_str(arena, all.data) : NULL;
}

static bool env_enables_v2(const json_t *spec) {
    const char *value = env_value(spec_head_container(spec), V2_ENV);
    return str_eq(value, "1") || str_eq(value, "true");
}

static bool is_v2(const json_t *spec) {
    return str_eq(spec_autoscaler_version(spec), "v2") || env_enables_v2(spec);
}

static const char *version_error(const char *version, Arena *arena) {
    const char *digits = version + (*version == 'v');
    if (*digits >= '0' && *digits <= '9')
        return arena_printf(arena, "illegal version string \"%s\"", version);
    return arena_printf(arena, "could not parse \"%s\" as version", version);
}

static const char *check_idle_timeout(const char *group, const json_t *worker, const json_t *spec,
                                      Arena *arena) {
    const json_t *timeout = json_object_get(worker, "idleTimeoutSeconds");
    if (!timeout)
        return NULL;
    if (json_integer_value(timeout) < 0)
        return arena_printf(arena,
                            "worker group %s: idleTimeoutSeconds must be non-negative, got "
                            "%" JSON_INTEGER_FORMAT,
                            group, json_integer_value(timeout));
    if (is_v2(spec))
        return NULL;
    return arena_printf(
        arena,
        "worker group %s: idleTimeoutSeconds is set, but autoscaler v2 is not "
        "enabled. Please set .spec.autoscalerOptions.version to 'v2' (or set " V2_ENV
        " environment variable to 'true' in the head pod if using "
        "KubeRay < 1.4.0)",
        group);
}

static const char *check_priority(const char *group, const json_t *worker, const json_t *spec,
                                  Arena *arena) {
    int64_t priority = json_int_at(worker, 0, "priority");
    const char *version = json_str_at(spec, "rayVersion");
    if (priority == 0)
        return NULL;
    if (str_empty(version))
        return arena_printf(arena,
                            "worker group %s: priority is set, but RayVersion was not specified. "
                            "Ray version 2.56.0 or later is required",
                            group);
    if (!ray_version_parse(version, NULL, NULL))
        return arena_printf(arena,
                            "worker group %s: priority is set, but RayVersion format is invalid: "
                            "%s, %s",
                            group, version, version_error(version, arena));
    if (!spec_ray_at_least(spec, 2, 56))
        return arena_printf(arena,
                            "worker group %s: priority is set, but minimum Ray version is 2.56.0, "
                            "got %s",
                            group, version);
    if (is_v2(spec))
        return NULL;
    return arena_printf(arena,
                        "worker group %s: priority is set to %" PRId64
                        ", but autoscaler v2 is not enabled. Priority is only supported with "
                        "autoscaler v2 enabled",
                        group, priority);
}

static const char *check_bounds(const char *group, const json_t *worker, bool autoscaling,
                                Arena *arena) {
    const json_t *min = json_object_get(worker, "minReplicas");
    const json_t *max = json_object_get(worker, "maxReplicas");
    if (!autoscaling && (!min || !max))
        return arena_printf(arena,
                            "worker group %s must set both minReplicas and maxReplicas when "
                            "autoscaling is disabled",
                            group);
    if (group_min(worker) < 0)
        return arena_printf(arena, "worker group %s has negative minReplicas %" PRId64, group,
                            group_min(worker));
    if (group_max(worker) < 0)
        return arena_printf(arena, "worker group %s has negative maxReplicas %" PRId64, group,
                            group_max(worker));
    if (min && max && group_min(worker) > group_max(worker))
        return arena_printf(
            arena, "worker group %s has minReplicas %" PRId64 " greater than maxReplicas %" PRId64,
            group, group_min(worker), group_max(worker));
    return NULL;
}

static const char *check_worker(const json_t *worker, const json_t *spec, Arena *arena) {
    const char *group = json_str_at(worker, "groupName");
    const json_t *params = json_object_get(worker, "rayStartParams");
    group = group ? group : "";
    if (!pod_ray_container(json_object_get(worker, "template")))
        return "workerGroupSpec should have at least one container";
    CHECK_FIRST(check_bounds(group, worker, spec_autoscaling(spec), arena));
    CHECK_FIRST(check_resources(group, params, json_object_get(worker, "resources"), arena));
    CHECK_FIRST(check_labels(group, params, json_object_get(worker, "labels"), arena));
    CHECK_FIRST(check_idle_timeout(group, worker, spec, arena));
    return check_priority(group, worker, spec, arena);
}

/* Pods are told apart by their group's name: of two groups of one name each would take the other's
 * for its own. */
static const char *check_group_names(const json_t *spec, Arena *arena) {
    const json_t *groups = json_at(spec, "workerGroupSpecs");
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group) {
        const char *name = json_str_at(group, "groupName");
        for (size_t k = 0; name && k < i; k++)
            if (str_eq(json_str_at(json_array_get(groups, k), "groupName"), name))
                return arena_printf(
                    arena, "worker group names must be unique, got %s more than once", name);
    }
    return NULL;
}

static const char *check_redis_options(const json_t *spec, const json_t *object) {
    const json_t *head = spec_head_container(spec);
    const json_t *options = json_at(spec, "gcsFaultToleranceOptions");
    if (!str_empty(json_str_at(spec, "headGroupSpec", "rayStartParams", "redis-password")))
        return "cannot set `redis-password` in rayStartParams when GcsFaultToleranceOptions is "
               "enabled - use GcsFaultToleranceOptions.RedisPassword instead";
    if (env_has(head, "REDIS_PASSWORD"))
        return "cannot set `REDIS_PASSWORD` env var in head Pod when GcsFaultToleranceOptions is "
               "enabled - use GcsFaultToleranceOptions.RedisPassword instead";
    if (env_has(head, "RAY_REDIS_ADDRESS"))
        return "cannot set `RAY_REDIS_ADDRESS` env var in head Pod when GcsFaultToleranceOptions "
               "is enabled - use GcsFaultToleranceOptions.RedisAddress instead";
    if (!str_empty(obj_annotation(object, ANNOTATION_STORAGE_NAMESPACE)))
        return "cannot set `ray.io/external-storage-namespace` annotation when "
               "GcsFaultToleranceOptions is enabled - use "
               "GcsFaultToleranceOptions.ExternalStorageNamespace instead";
    if (spec_uses_rocksdb(spec))
        return "the embedded RocksDB GCS fault tolerance backend "
               "(GcsFaultToleranceOptions.Backend: 'rocksdb') requires the "
               "GCSFaultToleranceEmbeddedStorage feature gate to be enabled";
    if (json_at(options, "storage"))
        return "cannot set GcsFaultToleranceOptions.Storage when backend is 'redis' - it only "
               "applies to the 'rocksdb' backend";
    return NULL;
}

static const char *check_fault_tolerance(const json_t *spec, const json_t *object) {
    const json_t *options = json_at(spec, "gcsFaultToleranceOptions");
    const json_t *head = spec_head_container(spec);
    if (options && !str_empty(obj_annotation(object, ANNOTATION_FT_ENABLED)))
        return ANNOTATION_FT_ENABLED
            " annotation and GcsFaultToleranceOptions are both set. Please use only "
            "GcsFaultToleranceOptions to configure GCS fault tolerance";
    if (!cluster_fault_tolerant(spec, object) && env_has(head, "RAY_REDIS_ADDRESS"))
        return "RAY_REDIS_ADDRESS is set which implicitly enables GCS fault tolerance, but "
               "GcsFaultToleranceOptions is not set. Please set GcsFaultToleranceOptions to "
               "enable GCS fault tolerance";
    if (options)
        CHECK_FIRST(check_redis_options(spec, object));
    if (!str_empty(json_str_at(spec, "headGroupSpec", "rayStartParams", "redis-username")) ||
        env_has(head, "REDIS_USERNAME"))
        return "cannot set redis username in rayStartParams or environment variables - use "
               "GcsFaultToleranceOptions.RedisUsername instead";
    return NULL;
}

static bool restarts(const json_t *template) {
    const char *policy = json_str_at(template, "spec", "restartPolicy");
    return !str_empty(policy) && !str_eq(policy, "Never");
}

static const char *check_autoscaler(const json_t *spec, Arena *arena) {
    const json_t *groups = json_at(spec, "workerGroupSpecs");
    const char *version = spec_autoscaler_version(spec);
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group) {
        if (group_suspended(group))
            return arena_printf(arena,
                                "worker group %s cannot be suspended with Autoscaler enabled",
                                json_str_at(group, "groupName"));
    }
    if (version && env_has(spec_head_container(spec), V2_ENV))
        return "both .spec.autoscalerOptions.version and head Pod env var " V2_ENV
               " are set, please only use the former";
    if (!str_eq(version, "v2"))
        return NULL;
    if (restarts(json_at(spec, "headGroupSpec", "template")))
        return "restartPolicy for head Pod should be Never or unset when using autoscaler V2";
    json_array_foreach(groups, i, group) {
        if (restarts(json_object_get(group, "template")))
            return arena_printf(arena,
                                "restartPolicy for worker group %s should be Never or unset when "
                                "using autoscaler V2",
                                json_str_at(group, "groupName"));
    }
    return NULL;
}

static const char *check_autoscaling(const json_t *spec, Arena *arena) {
    if (spec_autoscaling(spec))
        CHECK_FIRST(check_autoscaler(spec, arena));
    else if (env_enables_v2(spec))
        return arena_printf(arena,
                            "environment variable " V2_ENV " cannot be set to '%s' when "
                            "enableInTreeAutoscaling is false. Please set "
                            "enableInTreeAutoscaling: true to use autoscaler v2",
                            env_value(spec_head_container(spec), V2_ENV));
    const json_t *options = json_at(spec, "autoscalerOptions");
    int64_t idle = json_int_at(options, 0, "idleTimeoutSeconds");
    if (idle < 0)
        return arena_printf(arena,
                            "autoscalerOptions.idleTimeoutSeconds must be non-negative, got "
                            "%" PRId64,
                            idle);
    if (env_has(options, "KUBERAY_GEN_AUTOSCALER_START_CMD"))
        return "autoscalerOptions.env must not contain KUBERAY_GEN_AUTOSCALER_START_CMD: it is "
               "managed by KubeRay and injected automatically into the autoscaler container";
    return NULL;
}

static const char *check_auth(const json_t *spec, Arena *arena) {
    const char *version = json_str_at(spec, "rayVersion");
    bool kubernetes = spec_kubernetes_auth(spec);
    if (!spec_token_auth(spec))
        return kubernetes ? "authOptions.enableK8sTokenAuth is enabled but authOptions.mode not "
                            "set to 'token'"
                          : NULL;
    if (str_empty(version))
        return "authOptions.mode is 'token' but RayVersion was not specified. Ray version 2.52.0 "
               "or later is required";
    if (!ray_version_parse(version, NULL, NULL))
        return arena_printf(arena,
                            "authOptions.mode is 'token' but RayVersion format is invalid: %s, %s",
                            version, version_error(version, arena));
    if (!spec_ray_at_least(spec, 2, 52))
        return arena_printf(arena,
                            "authOptions.mode is 'token' but minimum Ray version is 2.52.0, got %s",
                            version);
    if (!kubernetes)
        return NULL;
    if (!spec_ray_at_least(spec, 2, 55))
        return arena_printf(arena,
                            "authOptions.enableK8sTokenAuth is enabled but minimum Ray version is "
                            "2.55.0, got %s",
                            version);
    if (!str_empty(json_str_at(spec, "authOptions", "secretName")))
        return "authOptions.enableK8sTokenAuth is enabled and authOptions.secretName is also set";
    return NULL;
}

const char *spec_check(const json_t *spec, const json_t *object, Arena *arena) {
    const json_t *head = json_at(spec, "headGroupSpec");
    const json_t *params = json_object_get(head, "rayStartParams");
    if (!spec_head_container(spec))
        return "headGroupSpec should have at least one container";
    CHECK_FIRST(check_resources("Head", params, json_object_get(head, "resources"), arena));
    CHECK_FIRST(check_labels("Head", params, json_object_get(head, "labels"), arena));
    size_t i;
    json_t *worker;
    json_array_foreach(json_at(spec, "workerGroupSpecs"), i, worker)
        CHECK_FIRST(check_worker(worker, spec, arena));
    CHECK_FIRST(check_group_names(spec, arena));
    CHECK_FIRST(check_fault_tolerance(spec, object));
    CHECK_FIRST(check_autoscaling(spec, arena));
    if (json_at(spec, "historyServerOptions"))
        return "RayClusterHistoryServer feature gate is not enabled";
    CHECK_FIRST(check_auth(spec, arena));
    if (json_at(spec, "networkPolicy"))
        return "spec.networkPolicy requires the RayClusterNetworkPolicy feature gate to be enabled";
    if (json_at(spec, "tlsOptions"))
        return "spec.tlsOptions requires the RayClusterMTLS feature gate to be enabled";
    return NULL;
}

static const char *check_metadata(const json_t *cluster, Arena *arena) {
    const char *name = object_name(cluster);
    if (strlen(name) > NAME_CLUSTER_MAX)
        return arena_printf(arena, "RayCluster name should be no more than %d characters",
                            NAME_CLUSTER_MAX);
    const char *said = name_check_dns1035_label(name);
    if (said)
        return arena_printf(arena, "RayCluster name should be a valid DNS1035 label: [%s]", said);
    return NULL;
}

static const char *check_upgrade(const json_t *cluster, Arena *arena) {
    const char *type = json_str_at(cluster, "spec", "upgradeStrategy", "type");
    const char *creator = cluster_creator(cluster);
    if (!type)
        return NULL;
    if (!str_eq(type, "Recreate") && !str_eq(type, "None"))
        return arena_printf(arena,
                            "The RayCluster spec is invalid: Spec.UpgradeStrategy.Type value %s "
                            "is invalid, valid options are Recreate or None",
                            type);
    if (!str_eq(creator, "RayCluster"))
        return arena_printf(arena, "upgradeStrategy cannot be set when RayCluster is created by %s",
                            creator);
    return NULL;
}

static const char *check_status(const json_t *cluster) {
    const json_t *conditions = json_at(cluster, "status", "conditions");
    if (condition_holds(conditions, "RayClusterSuspending") &&
        condition_holds(conditions, "RayClusterSuspended"))
        return "invalid RayCluster State: rayv1.RayClusterSuspending and rayv1.RayClusterSuspended "
               "conditions should not be both true";
    return NULL;
}

static int invalid(const json_t *cluster, const char *reason, const char *what, const char *joint,
                   const char *message, Arena *arena, Invalid *ret_invalid) {
    *ret_invalid = (Invalid){
        .reason = reason,
        .note = arena_printf(arena, "The RayCluster %s is invalid %s/%s%s %s", what,
                             object_namespace(cluster), object_name(cluster), joint, message),
        .message = message,
    };
    return VALIDATE_INVALID;
}

int cluster_validate(const json_t *cluster, Arena *arena, Invalid *ret_invalid) {
    const char *said = check_metadata(cluster, arena);
    if (said)
        return invalid(cluster, "InvalidRayClusterMetadata", "metadata", ":", said, arena,
                       ret_invalid);
    said = spec_check(json_at(cluster, "spec"), cluster, arena);
    if (said)
        return invalid(cluster, "InvalidRayClusterSpec", "spec", ":", said, arena, ret_invalid);
    said = check_upgrade(cluster, arena);
    if (said)
        return invalid(cluster, "InvalidRayClusterSpec", "UpgradeStrategy", ":", said, arena,
                       ret_invalid);
    said = check_status(cluster);
    if (said)
        return invalid(cluster, "InvalidRayClusterStatus", "status", ",", said, arena, ret_invalid);
    return 0;
}

const char *cluster_warning(const json_t *cluster, Arena *arena) {
    const json_t *spec = json_at(cluster, "spec");
    if (!spec_autoscaling(spec) || !str_eq(spec_autoscaler_version(spec), "v1"))
        return NULL;
    _cleanup_buf_ Buf names = { 0 };
    size_t i;
    json_t *group;
    json_array_foreach(json_at(spec, "workerGroupSpecs"), i, group) {
        if (restarts(json_object_get(group, "template")))
            buf_printf(&names, "%s%s", names.len ? ", " : "", json_str_at(group, "groupName"));
    }
    if (names.len == 0)
        return NULL;
    return arena_printf(arena,
                        "RayCluster spec warning %s/%s: restartPolicy for worker groups [%s] "
                        "should be Never or unset when using autoscaler V1",
                        object_namespace(cluster), object_name(cluster), names.data);
}
