/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "codec/yaml.h"
#include "kobj/names.h"
#include "operator/names.h"
#include "operator/object.h"
#include "operator/spec.h"
#include "operator/submit.h"
#include "operator/validate.h"

#define CHECK_FIRST(check)                                                                         \
    do {                                                                                           \
        const char *said_ = (check);                                                               \
        if (said_)                                                                                 \
            return said_;                                                                          \
    } while (0)

#define SPEC "The RayJob spec is invalid: "

static const char *check_metadata(const json_t *job, Arena *arena) {
    const char *name = object_name(job);
    if (strlen(name) > NAME_JOB_MAX)
        return arena_printf(arena,
                            "The RayJob metadata is invalid: RayJob name should be no more than "
                            "%d characters",
                            NAME_JOB_MAX);
    const char *said = name_check_dns1035_label(name);
    if (said)
        return arena_printf(arena,
                            "The RayJob metadata is invalid: RayJob name should be a valid "
                            "DNS1035 label: [%s]",
                            said);
    return NULL;
}

const char *runtime_env_check(const char *yaml, Arena *arena) {
    if (str_empty(yaml))
        return NULL;
    _cleanup_json_ json_t *env = NULL;
    int r = yaml_parse_or_null(yaml, strlen(yaml), NULL, &env);
    if (r < 0)
        return arena_printf(arena,
                            "failed to unmarshal RuntimeEnvYAML: %s: error converting YAML to "
                            "JSON: %s",
                            yaml, error_text(r));
    if (!json_is_object(env) && !json_is_null(env))
        return arena_printf(arena,
                            "failed to unmarshal RuntimeEnvYAML: %s: error unmarshaling JSON: "
                            "wanted a mapping, got %s",
                            yaml, json_type_name(env));
    return NULL;
}

static bool suspends(const json_t *spec) {
    return json_bool_at(spec, false, "suspend");
}

static const char *check_selector(const json_t *spec, const json_t *job) {
    if (suspends(spec))
        return SPEC "the ClusterSelector mode doesn't support the suspend operation";
    if (str_empty(json_str_at(spec, "clusterSelector", LABEL_CLUSTER)))
        return "cluster name in ClusterSelector should not be empty";
    if (job_is_mode(job, "SidecarMode"))
        return "ClusterSelector is not supported in SidecarMode";
    if (json_int_at(spec, 0, "backoffLimit") > 0)
        return SPEC "BackoffLimit is incompatible with ClusterSelector mode";
    return NULL;
}

static const char *check_mode(const json_t *spec, const json_t *job) {
    if (job_is_mode(job, "InteractiveMode") && json_int_at(spec, 0, "backoffLimit") > 0)
        return SPEC "BackoffLimit is incompatible with InteractiveMode";
    if (!job_is_mode(job, "SidecarMode"))
        return NULL;
    if (json_at(spec, "submitterPodTemplate"))
        return "Currently, SidecarMode doesn't support SubmitterPodTemplate";
    if (json_at(spec, "submitterConfig"))
        return "Currently, SidecarMode doesn't support SubmitterConfig";
    const char *policy =
        json_str_at(spec, "rayClusterSpec", "headGroupSpec", "template", "spec", "restartPolicy");
    if (!str_empty(policy) && !str_eq(policy, "Never"))
        return "restartPolicy for head Pod should be Never or unset when using SidecarMode";
    return NULL;
}

static const char *check_cluster(const json_t *spec, const json_t *job, Arena *arena) {
    const json_t *cluster = json_at(spec, "rayClusterSpec");
    if (!cluster)
        return NULL;
    if (spec_kubernetes_auth(cluster))
        return SPEC "K8s token auth mode is currently not supported for RayJob";
    const char *said = spec_check(cluster, job, arena);
    return said ? arena_printf(arena, SPEC "%s", said) : NULL;
}

static const char *check_resources(const json_t *spec, Arena *arena) {
    const char *text = json_str_at(spec, "entrypointResources");
    if (str_empty(text))
        return NULL;
    _cleanup_json_ json_t *amounts = NULL;
    int r = json_parse(text, strlen(text), NULL, 0, &amounts);
    if (r < 0)
        return arena_printf(arena, SPEC "entrypointResources must be a JSON object of numbers: %s",
                            error_text(r));
    if (!json_is_object(amounts))
        return arena_printf(arena,
                            SPEC "entrypointResources must be a JSON object of numbers, got %s",
                            json_type_name(amounts));
    const char *name;
    json_t *amount;
    json_object_foreach(amounts, name, amount) {
        if (!json_is_number(amount))
            return arena_printf(arena,
                                SPEC "entrypointResources must be a JSON object of numbers, got %s "
                                     "for %s",
                                json_type_name(amount), name);
    }
    return NULL;
}

static const char *check_numbers(const json_t *spec) {
    if (json_int_at(spec, 1, "activeDeadlineSeconds") <= 0)
        return SPEC "activeDeadlineSeconds must be a positive integer";
    if (json_int_at(spec, 1, "preRunningDeadlineSeconds") <= 0)
        return SPEC "preRunningDeadlineSeconds must be a positive integer";
    if (json_int_at(spec, 0, "backoffLimit") < 0)
        return SPEC "backoffLimit must be a positive integer";
    return NULL;
}

static const char *check_spec(const json_t *job, Arena *arena) {
    const json_t *spec = json_at(job, "spec");
    bool selects = json_object_size(json_at(spec, "clusterSelector")) > 0;
    if (suspends(spec) && !json_bool_at(spec, false, "shutdownAfterJobFinishes"))
        return SPEC "a RayJob with shutdownAfterJobFinishes set to false is not allowed to be "
                    "suspended";
    if (json_int_at(spec, 0, "ttlSecondsAfterFinished") < 0)
        return SPEC "TTLSecondsAfterFinished must be a non-negative integer";
    CHECK_FIRST(deletion_check(spec, arena));
    if (!selects && !json_at(spec, "rayClusterSpec"))
        return SPEC "one of RayClusterSpec or ClusterSelector must be set";
    if (selects)
        CHECK_FIRST(check_selector(spec, job));
    CHECK_FIRST(check_mode(spec, job));
    CHECK_FIRST(check_cluster(spec, job, arena));
    CHECK_FIRST(runtime_env_check(json_str_at(spec, "runtimeEnvYAML"), arena));
    CHECK_FIRST(check_resources(spec, arena));
    if (json_at(spec, "submitterPodTemplate") &&
        !pod_ray_container(json_at(spec, "submitterPodTemplate")))
        return SPEC "submitterPodTemplate should have at least one container";
    return check_numbers(spec);
}

static const char *check_status(const json_t *job) {
    if (str_eq(json_str_at(job, "status", "jobDeploymentStatus"), "Waiting") &&
        !job_is_mode(job, "InteractiveMode"))
        return "The RayJob status is invalid: JobDeploymentStatus cannot be `Waiting` when "
               "SubmissionMode is not InteractiveMode";
    return NULL;
}

int rayjob_validate(const json_t *job, Arena *arena, Invalid *ret_invalid) {
    const char *reason = "InvalidRayJobMetadata", *said = check_metadata(job, arena);
    if (!said) {
        reason = "InvalidRayJobSpec";
        said = check_spec(job, arena);
    }
    if (!said) {
        reason = "InvalidRayJobStatus";
        said = check_status(job);
    }
    if (!said)
        return 0;
    *ret_invalid = (Invalid){
        .reason = reason,
        .note = arena_printf(arena, "%s/%s: %s", object_namespace(job), object_name(job), said),
        .message = said,
    };
    return VALIDATE_INVALID;
}
