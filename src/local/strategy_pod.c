/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "kobj/meta.h"
#include "kobj/quantity.h"
#include "local/meta.h"
#include "local/strategy.h"

/* Pods: quality of service, priority, service account with its token, default tolerations. */

enum {
    TOKEN_SECONDS = 3607, /* as Kubernetes asks for in the projected volume */
    TOLERATION_SECONDS = 300,
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

static bool is_positive(const json_t *amount) {
    Quantity quantity;
    return amount && quantity_from_json(amount, &quantity) == 0 &&
           quantity_compare(quantity, QUANTITY_ZERO) > 0;
}

static bool same_amount(const json_t *a, const json_t *b) {
    Quantity left, right;
    return a && b && quantity_from_json(a, &left) == 0 && quantity_from_json(b, &right) == 0 &&
           quantity_compare(left, right) == 0;
}

static const char *qos_class(const json_t *pod) {
    static const char *const lists[] = { "containers", "initContainers" };
    static const char *const names[] = { "cpu", "memory" };
    bool any = false, guaranteed = true;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        const json_t *container;
        size_t i;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container) {
            for (size_t n = 0; n < ARRAY_LEN(names); n++) {
                const json_t *request = json_at(container, "resources", "requests", names[n]);
                const json_t *limit = json_at(container, "resources", "limits", names[n]);
                any |= is_positive(request) || is_positive(limit);
                guaranteed &= is_positive(limit) && (!request || same_amount(request, limit));
            }
        }
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static void prepare_create(ApiCall *call, json_t *pod) {
    json_t *status = json_pack("{s:s, s:s}", "phase", "Pending", "qosClass", qos_class(pod));
    json_object_set_new(pod, "status", status);
}

/* Of a pod's spec only images, deadlines and tolerations may change; scheduling gates go; and the
 * node is set by a binding. What may not change is checked by validate(). */
static void prepare_update(ApiCall *call, const json_t *old, json_t *pod) {
    if (str_eq(call->subresource, "status") && !json_at(pod, "status", "qosClass"))
        json_set_at(pod, json_string(qos_class(pod)), "status", "qosClass");
}

static json_t *without_mutable(const json_t *spec) {
    static const char *const mutable_fields[] = { "activeDeadlineSeconds", "tolerations",
                                                  "terminationGracePeriodSeconds",
                                                  "schedulingGates", "nodeName" };
    json_t *rest = json_deep_copy(spec);
    for (size_t i = 0; i < ARRAY_LEN(mutable_fields); i++)
        json_object_del(rest, mutable_fields[i]);
    static const char *const lists[] = { "containers", "initContainers" };
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        json_t *container;
        size_t i;
        json_array_foreach(json_object_get(rest, lists[l]), i, container)
            json_object_del(container, "image");
    }
    return rest;
}

static void validate(ApiCall *call, const json_t *pod, const json_t *old, Faults *faults) {
    if (!old || call->subresource)
        return;
    _cleanup_json_ json_t *before = without_mutable(json_object_get(old, "spec"));
    _cleanup_json_ json_t *after = without_mutable(json_object_get(pod, "spec"));
    if (!json_same(before, after) ||
        !json_same(json_at(old, "spec", "nodeName"), json_at(pod, "spec", "nodeName")))
        faults_add_forbidden(
            faults, "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
            "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
            "be set to 1 if it was previously negative)");
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

static void add_default_toleration(json_t *spec, const char *key) {
    const json_t *toleration;
    size_t i;
    json_array_foreach(json_object_get(spec, "tolerations"), i, toleration) {
        const char *its = json_str_at(toleration, "key"),
                   *effect = json_str_at(toleration, "effect");
        bool any_key = str_empty(its) && str_eq(json_str_at(toleration, "operator"), "Exists");
        if ((any_key || str_eq(its, key)) && (str_empty(effect) || str_eq(effect, "NoExecute")))
            return;
    }
    json_array_append_new(json_make_array(spec, "tolerations"),
                          json_pack("{s:s, s:s, s:s, s:i}", "key", key, "operator", "Exists",
                                    "effect", "NoExecute", "tolerationSeconds",
                                    TOLERATION_SECONDS));
}

static int admit_create(ApiCall *call, json_t *pod) {
    json_t *spec = json_make_object(pod, "spec");
    int r = resolve_account(call, pod);
    if (r == 0)
        r = resolve_priority(call, pod);
    if (r != 0)
        return r;
    add_default_toleration(spec, "node.kubernetes.io/not-ready");
    add_default_toleration(spec, "node.kubernetes.io/unreachable");
    /* The volume that was added has defaults of its own. */
    schema_default(call->version->schema, pod);
    return 0;
}

const Strategy strategy_pod = {
    .plural = "pods",
    .group = "",
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .admit_create = admit_create,
    .validate = validate,
};
