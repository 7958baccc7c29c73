/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/spec.h"

#include <stdlib.h>

#include "operator/names.h"
#include "operator/object.h"

bool spec_autoscaling(const json_t *spec) {
    return json_bool_at(spec, false, "enableInTreeAutoscaling");
}

const char *spec_autoscaler_version(const json_t *spec) {
    return json_str_at(spec, "autoscalerOptions", "version");
}

bool spec_token_auth(const json_t *spec) {
    return str_eq(json_str_at(spec, "authOptions", "mode"), "token");
}

bool spec_kubernetes_auth(const json_t *spec) {
    return json_bool_at(spec, false, "authOptions", "enableK8sTokenAuth");
}

bool spec_suspended(const json_t *spec) {
    return json_bool_at(spec, false, "suspend");
}

json_t *spec_head_container(const json_t *spec) {
    return pod_ray_container(json_at(spec, "headGroupSpec", "template"));
}

bool ray_version_parse(const char *text, int64_t *ret_major, int64_t *ret_minor) {
    if (!text)
        return false;
    text += *text == 'v';
    int64_t part[2] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        if (*text < '0' || *text > '9')
            return false;
        char *end;
        part[i] = strtoll(text, &end, 10);
        text = end;
        if (i == 0 && *text++ != '.')
            return false;
    }
    if (ret_major)
        *ret_major = part[0];
    if (ret_minor)
        *ret_minor = part[1];
    return true;
}

bool spec_ray_at_least(const json_t *spec, int64_t major, int64_t minor) {
    int64_t has_major, has_minor;
    if (!ray_version_parse(json_str_at(spec, "rayVersion"), &has_major, &has_minor))
        return false;
    return has_major > major || (has_major == major && has_minor >= minor);
}

/* Counts are int32 by their schema. */
static int64_t count_clamp(int64_t count) {
    return CLAMP(count, (int64_t)INT32_MIN, (int64_t)INT32_MAX);
}

static int64_t count_at(const json_t *group, int64_t otherwise, const char *key) {
    return count_clamp(json_int_at(group, otherwise, key));
}

int64_t group_hosts(const json_t *group) {
    return MAX(count_at(group, 1, "numOfHosts"), 1);
}

int64_t group_pods(const json_t *group, int64_t replicas) {
    return count_clamp(count_clamp(replicas) * group_hosts(group));
}

int64_t group_min(const json_t *group) {
    return count_at(group, 0, "minReplicas");
}

int64_t group_max(const json_t *group) {
    return count_at(group, INT32_MAX, "maxReplicas");
}

bool group_suspended(const json_t *group) {
    return json_bool_at(group, false, "suspend");
}

int64_t group_desired(const json_t *group) {
    if (group_suspended(group))
        return 0;
    int64_t least = group_min(group);
    int64_t replicas = count_at(group, least, "replicas");
    return group_pods(group, replicas < least ? least : MIN(replicas, group_max(group)));
}

const char *cluster_creator(const json_t *cluster) {
    const char *kind = obj_label(cluster, LABEL_ORIGIN_KIND);
    return str_eq(kind, "RayJob") || str_eq(kind, "RayService") ? kind : "RayCluster";
}

bool managed_elsewhere(const json_t *object) {
    const char *manager = json_str_at(object, "spec", "managedBy");
    return manager && !str_eq(manager, "ray.io/kuberay-operator");
}

bool cluster_fault_tolerant(const json_t *spec, const json_t *object) {
    const char *enabled = obj_annotation(object, ANNOTATION_FT_ENABLED);
    return (enabled && str_eq_nocase(enabled, "true")) || json_at(spec, "gcsFaultToleranceOptions");
}

bool spec_uses_rocksdb(const json_t *spec) {
    return str_eq(json_str_at(spec, "gcsFaultToleranceOptions", "backend"), "rocksdb");
}

const char *spec_gcs_port(const json_t *spec) {
    const char *port = json_str_at(spec, "headGroupSpec", "rayStartParams", "port");
    return port ? port : "6379";
}
