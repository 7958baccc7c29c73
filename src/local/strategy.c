/* SPDX-License-Identifier: Apache-2.0 */
#include "local/strategy.h"

#include "base/error.h"
#include "kobj/meta.h"
#include "local/meta.h"

/* Namespaces. */

static void namespace_prepare(ApiCall *call, json_t *object) {
    json_set_at(object, json_string("Active"), "status", "phase");
}

/* Only the finalize subresource changes what holds a namespace. */
static void namespace_keep(ApiCall *call, const json_t *old, json_t *object) {
    const json_t *finalizers = json_at(old, "spec", "finalizers");
    if (str_eq(call->subresource, "finalize"))
        return;
    if (finalizers)
        json_set_at(object, json_deep_copy(finalizers), "spec", "finalizers");
    else
        json_remove_at(object, "spec", "finalizers");
}

static int namespace_admit_delete(ApiCall *call, const json_t *object) {
    static const char *const immortal[] = { "default", "kube-system", "kube-public" };
    for (size_t i = 0; i < ARRAY_LEN(immortal); i++)
        if (str_eq(call->name, immortal[i]))
            return status_forbidden(&call->status, api_subject(call), call->name,
                                    "this namespace may not be deleted");
    return 0;
}

static void make_in_namespace(Api *api, const char *plural, const char *ns, json_t *object) {
    _cleanup_call_ ApiCall call =
        api_call(api, "kube-controller-manager", "", plural, ns, obj_name(object));
    _cleanup_json_ json_t *made = NULL, *wanted = object;
    if (api_find(&call))
        return;
    /* Not possible while the namespace is deleted: good as well. */
    int r = api_create(&call, json_incref(wanted), NULL, &made);
    UNUSED(r);
}

void strategy_fill_namespace(Api *api, const char *ns) {
    make_in_namespace(api, "serviceaccounts", ns,
                      json_pack("{s:{s:s}}", "metadata", "name", "default"));
    if (api->ca_pem)
        make_in_namespace(api, "configmaps", ns,
                          json_pack("{s:{s:s, s:{s:s}}, s:{s:s}}", "metadata", "name",
                                    "kube-root-ca.crt", "annotations", "kubernetes.io/description",
                                    "Contains a CA bundle that can be used to verify the "
                                    "kube-apiserver when using internal endpoints such as the "
                                    "internal service IP or kubernetes.default.svc.",
                                    "data", "ca.crt", api->ca_pem));
}

/* What controllers elsewhere add a moment later is there at once: a pod may follow its namespace
 * in the same manifest. */
static void namespace_created(ApiCall *call, const json_t *object) {
    strategy_fill_namespace(call->api, obj_name(object));
}

static const Strategy STRATEGY_NAMESPACE = {
    .plural = "namespaces",
    .group = "",
    .prepare_create = namespace_prepare,
    .prepare_update = namespace_keep,
    .admit_delete = namespace_admit_delete,
    .created = namespace_created,
};

/* Who registers a node without saying that it is ready says so later. */
static void node_prepare(ApiCall *call, json_t *node) {
    if (str_eq(json_str_at(obj_condition(node, "Ready"), "status"), "True"))
        return;
    json_t *taints = json_make_array(json_make_object(node, "spec"), "taints"), *taint;
    size_t i;
    json_array_foreach(taints, i, taint)
        if (str_eq(json_str_at(taint, "key"), "node.kubernetes.io/not-ready"))
            return;
    json_array_append_new(taints, json_pack("{s:s, s:s}", "key", "node.kubernetes.io/not-ready",
                                            "effect", "NoSchedule"));
}

static const Strategy STRATEGY_NODE = {
    .plural = "nodes",
    .group = "",
    .keeps_status = true,
    .prepare_create = node_prepare,
};

/* Claims: bound at once to a directory that the node agent makes. */

static void claim_prepare(ApiCall *call, json_t *object) {
    _cleanup_free_ char *volume = str_printf("pvc-%s", obj_uid(object));
    const json_t *storage = json_at(object, "spec", "resources", "requests", "storage");
    const json_t *modes = json_at(object, "spec", "accessModes");
    if (str_empty(json_str_at(object, "spec", "volumeName")))
        json_set_at(object, json_string(volume), "spec", "volumeName");
    if (!json_at(object, "spec", "volumeMode"))
        json_set_at(object, json_string("Filesystem"), "spec", "volumeMode");
    json_t *status = json_pack("{s:s}", "phase", "Bound");
    if (modes)
        json_object_set_new(status, "accessModes", json_deep_copy(modes));
    if (storage)
        json_object_set_new(status, "capacity", json_pack("{s:O}", "storage", storage));
    json_object_set_new(object, "status", status);
}

static const Strategy STRATEGY_CLAIM = {
    .plural = "persistentvolumeclaims",
    .group = "",
    .prepare_create = claim_prepare,
};

static const Strategy STRATEGY_NONE = { 0 };

const Strategy *strategy_find(const Resource *resource) {
    static const Strategy *const all[] = { &strategy_pod, &strategy_service, &STRATEGY_NAMESPACE,
                                           &strategy_crd, &STRATEGY_NODE,    &STRATEGY_CLAIM };
    for (size_t i = 0; !resource->custom && i < ARRAY_LEN(all); i++)
        if (str_eq(all[i]->plural, resource->plural) && str_eq(all[i]->group, resource->group))
            return all[i];
    return &STRATEGY_NONE;
}
