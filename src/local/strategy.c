/* SPDX-License-Identifier: Apache-2.0 */
#include "local/strategy.h"

#include "base/error.h"
#include "kobj/meta.h"
#include "kobj/names.h"
#include "local/meta.h"

static const Strategy STRATEGY_NONE = { .check_name = name_check_dns1123_subdomain };

/* RBAC names may hold colons. */
static const Strategy STRATEGY_RBAC = { .check_name = name_check_path_segment };

const Strategy *strategy_find(const Resource *resource) {
    static const Strategy *const all[] = {
        &strategy_pod,
        &strategy_service,
        &strategy_job,
        &strategy_namespace,
        &strategy_service_account,
        &strategy_crd,
        &strategy_secret,
        &strategy_node,
        &strategy_claim,
    };
    if (resource->custom)
        return &STRATEGY_NONE;
    if (str_eq(resource->group, "rbac.authorization.k8s.io"))
        return &STRATEGY_RBAC;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (str_eq(all[i]->plural, resource->plural) && str_eq(all[i]->group, resource->group))
            return all[i];
    return &STRATEGY_NONE;
}

/* Namespaces. */

static void namespace_prepare(ApiCall *call, json_t *object) {
    json_set_at(object, json_string("Active"), "status", "phase");
    json_set_at(object, json_pack("[s]", "kubernetes"), "spec", "finalizers");
    obj_set_label(object, "kubernetes.io/metadata.name", obj_name(object));
}

static void namespace_keep(ApiCall *call, const json_t *old, json_t *object) {
    const json_t *finalizers = json_at(old, "spec", "finalizers");
    bool finalizing = str_eq(call->subresource, "finalize");
    if (!finalizing && finalizers)
        json_set_at(object, json_deep_copy(finalizers), "spec", "finalizers");
    obj_set_label(object, "kubernetes.io/metadata.name", obj_name(object));
}

static void make_in_namespace(ApiCall *call, const char *plural, const char *ns, json_t *object) {
    _cleanup_call_ ApiCall inner =
        api_call(call->api, "kube-controller-manager", "", plural, ns, NULL);
    _cleanup_json_ json_t *made = NULL;
    /* One that is there already was made by the user: good as well. */
    int r = api_create(&inner, object, NULL, &made);
    UNUSED(r);
}

/* What controllers elsewhere add a moment later is there at once: a pod may follow its namespace
 * in the same manifest. */
static void namespace_created(ApiCall *call, const json_t *object) {
    const char *ns = obj_name(object);
    make_in_namespace(call, "serviceaccounts", ns,
                      json_pack("{s:{s:s}}", "metadata", "name", "default"));
    if (call->api->ca_pem)
        make_in_namespace(call, "configmaps", ns,
                          json_pack("{s:{s:s, s:{s:s}}, s:{s:s}}", "metadata", "name",
                                    "kube-root-ca.crt", "annotations", "kubernetes.io/description",
                                    "Contains a CA bundle that can be used to verify the "
                                    "kube-apiserver when using internal endpoints such as the "
                                    "internal service IP or kubernetes.default.svc.",
                                    "data", "ca.crt", call->api->ca_pem));
}

const Strategy strategy_namespace = {
    .plural = "namespaces",
    .group = "",
    .check_name = name_check_dns1123_label,
    .prepare_create = namespace_prepare,
    .prepare_update = namespace_keep,
    .created = namespace_created,
};

const Strategy strategy_service_account = {
    .plural = "serviceaccounts",
    .group = "",
};

/* Secrets: stringData is write-only and goes into data. */

static void secret_fold(ApiCall *call, json_t *object) {
    const char *key;
    json_t *value, *texts = json_object_get(object, "stringData");
    json_object_foreach(texts, key, value) {
        const char *text = json_string_value(value);
        _cleanup_free_ char *encoded = text ? base64_encode(text, strlen(text)) : NULL;
        if (encoded)
            json_object_set_new(json_make_object(object, "data"), key, json_string(encoded));
    }
    json_object_del(object, "stringData");
    if (str_empty(json_str_at(object, "type")))
        json_object_set_new(object, "type", json_string("Opaque"));
}

static void secret_update(ApiCall *call, const json_t *old, json_t *object) {
    secret_fold(call, object);
}

const Strategy strategy_secret = {
    .plural = "secrets",
    .group = "",
    .prepare_create = secret_fold,
    .prepare_update = secret_update,
};

const Strategy strategy_node = {
    .plural = "nodes",
    .group = "",
    .keeps_status = true,
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

const Strategy strategy_claim = {
    .plural = "persistentvolumeclaims",
    .group = "",
    .prepare_create = claim_prepare,
};

/* CRDs. */

static void crd_prepare_names(json_t *object) {
    json_t *names = json_make_object(json_make_object(object, "spec"), "names");
    const char *kind = json_str_at(names, "kind");
    if (!kind)
        return;
    if (!json_object_get(names, "singular")) {
        _cleanup_free_ char *singular = str_dup(kind);
        for (char *p = singular; *p; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        json_object_set_new(names, "singular", json_string(singular));
    }
    if (!json_object_get(names, "listKind"))
        json_set_printf(names, "listKind", "%sList", kind);
    if (!json_at(object, "spec", "conversion"))
        json_set_at(object, json_string("None"), "spec", "conversion", "strategy");
}

static void crd_add_stored_version(json_t *status, const json_t *versions) {
    json_t *stored = json_make_array(status, "storedVersions");
    const json_t *version, *item;
    size_t i, j;
    json_array_foreach(versions, i, version) {
        const char *name = json_str_at(version, "name");
        bool known = false;
        json_array_foreach(stored, j, item) known |= str_eq(json_string_value(item), name);
        if (json_bool_at(version, false, "storage") && !known)
            json_array_append_new(stored, json_string(name));
    }
}

/* Accepted and served within the same call: the conditions say so from the start. */
static void crd_prepare(ApiCall *call, json_t *object) {
    usec_t now = loop_wall_now(call->api->loop);
    crd_prepare_names(object);
    if (!obj_is_deleting(object))
        obj_add_finalizer(object, "customresourcecleanup.apiextensions.k8s.io");
    json_t *status = json_make_object(object, "status");
    condition_set(status, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
    condition_set(status, "Established", "True", "InitialNamesAccepted",
                  "the initial names have been accepted", now);
    json_object_set(status, "acceptedNames", json_at(object, "spec", "names"));
    crd_add_stored_version(status, json_at(object, "spec", "versions"));
}

static void crd_update(ApiCall *call, const json_t *old, json_t *object) {
    crd_prepare(call, object);
}

static void crd_check(ApiCall *call, const json_t *object, const json_t *old, Faults *faults) {
    crd_validate(object, faults);
}

const Strategy strategy_crd = {
    .plural = "customresourcedefinitions",
    .group = "apiextensions.k8s.io",
    .prepare_create = crd_prepare,
    .prepare_update = crd_update,
    .validate = crd_check,
};
