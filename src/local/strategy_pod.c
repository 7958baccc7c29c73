/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "kobj/meta.h"
#include "local/meta.h"
#include "local/strategy.h"

/* Pods: priority, service account and its token. */

enum {
    TOKEN_SECONDS = 3607, /* as Kubernetes asks for in the projected volume */
};

#define TOKEN_MOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

static bool over(const json_t *pod) {
    const char *phase = json_str_at(pod, "status", "phase");
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

int64_t strategy_pod_grace(const json_t *pod, int64_t asked) {
    if (str_empty(json_str_at(pod, "spec", "nodeName")) || over(pod))
        return 0;
    if (asked >= 0)
        return asked;
    return json_int_at(pod, 30, "spec", "terminationGracePeriodSeconds");
}

static void prepare_create(ApiCall *call, json_t *pod) {
    json_set_at(pod, json_string("Pending"), "status", "phase");
}

/* Admission. */

static int resolve_priority(ApiCall *call, json_t *pod) {
    json_t *spec = json_object_get(pod, "spec");
    const char *name = json_str_at(spec, "priorityClassName");
    int64_t priority = 0;
    const char *preemption = "PreemptLowerPriority";
    _cleanup_json_ json_t *class = NULL;
    if (str_eq(name, "system-node-critical"))
        priority = 2000001000;
    else if (str_eq(name, "system-cluster-critical"))
        priority = 2000000000;
    else if (!str_empty(name)) {
        class = api_peek(call->api, "scheduling.k8s.io", "priorityclasses", "", name);
        if (!class)
            return status_forbidden(&call->status, api_subject(call), obj_name(pod),
                                    "no PriorityClass with name %s was found", name);
        priority = json_int_at(class, 0, "value");
        const char *policy = json_str_at(class, "preemptionPolicy");
        preemption = policy ? policy : preemption;
    }
    json_object_set_new(spec, "priority", json_integer(priority));
    if (!json_object_get(spec, "preemptionPolicy"))
        json_object_set_new(spec, "preemptionPolicy", json_string(preemption));
    return 0;
}

static json_t *token_volume(void) {
    return json_pack(
        "{s:{s:i, s:[{s:{s:i, s:s}}, {s:{s:s, s:[{s:s, s:s}]}}, {s:{s:[{s:s, s:{s:s, s:s}}]}}]}}",
        "projected", "defaultMode", 0644, "sources", "serviceAccountToken", "expirationSeconds",
        TOKEN_SECONDS, "path", "token", "configMap", "name", "kube-root-ca.crt", "items", "key",
        "ca.crt", "path", "ca.crt", "downwardAPI", "items", "path", "namespace", "fieldRef",
        "apiVersion", "v1", "fieldPath", "metadata.namespace");
}

static bool mounts_token(const json_t *container) {
    const json_t *mount;
    size_t i;
    json_array_foreach(json_object_get(container, "volumeMounts"), i, mount) {
        if (str_eq(json_str_at(mount, "mountPath"), TOKEN_MOUNT))
            return true;
    }
    return false;
}

static void mount_token(json_t *spec) {
    static const char *const lists[] = { "initContainers", "containers" };
    char uid[37], name[] = "kube-api-access-xxxxx";
    bool needed = false;
    meta_random_uid(uid);
    memcpy(name + sizeof(name) - 6, uid, 5);
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        json_t *container;
        size_t i;
        json_array_foreach(json_object_get(spec, lists[l]), i, container) {
            if (mounts_token(container))
                continue;
            needed = true;
            json_array_append_new(json_make_array(container, "volumeMounts"),
                                  json_pack("{s:s, s:b, s:s}", "name", name, "readOnly", 1,
                                            "mountPath", TOKEN_MOUNT));
        }
    }
    if (!needed)
        return;
    json_t *volume = token_volume();
    json_object_set_new(volume, "name", json_string(name));
    json_array_append_new(json_make_array(spec, "volumes"), volume);
}

static int resolve_account(ApiCall *call, json_t *pod) {
    json_t *spec = json_object_get(pod, "spec");
    const char *name = json_str_at(spec, "serviceAccountName");
    if (str_empty(name))
        name = json_str_at(spec, "serviceAccount");
    _cleanup_free_ char *account_name = str_dup(str_empty(name) ? "default" : name);
    json_object_set_new(spec, "serviceAccountName", json_string(account_name));
    json_object_set_new(spec, "serviceAccount", json_string(account_name));
    _cleanup_json_ json_t *account =
        api_peek(call->api, "", "serviceaccounts", call->ns, account_name);
    if (!account)
        return status_forbidden(&call->status, api_subject(call), obj_name(pod),
                                "error looking up service account %s/%s: serviceaccount \"%s\" not "
                                "found",
                                call->ns, account_name, account_name);
    bool wanted = json_bool_at(account, true, "automountServiceAccountToken");
    if (json_bool_at(spec, wanted, "automountServiceAccountToken"))
        mount_token(spec);
    const json_t *pull = json_object_get(account, "imagePullSecrets");
    if (pull && !json_object_get(spec, "imagePullSecrets"))
        json_object_set_new(spec, "imagePullSecrets", json_deep_copy(pull));
    return 0;
}

static int admit_create(ApiCall *call, json_t *pod) {
    int r = resolve_account(call, pod);
    if (r == 0)
        r = resolve_priority(call, pod);
    if (r != 0)
        return r;
    /* The volume that was added has defaults of its own. */
    schema_default(call->version->schema, pod);
    return 0;
}

const Strategy strategy_pod = {
    .plural = "pods",
    .group = "",
    .prepare_create = prepare_create,
    .admit_create = admit_create,
};
