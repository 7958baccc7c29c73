/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/kinds.h"

#include "kobj/kinds_private.h"
#include "kobj/names.h"
#include "kobj/schema_private.h"

enum {
    ANNOTATIONS_BYTES_MAX = 256 << 10
};

size_t kinds_count(void) {
    return kinds_table_len;
}

const KindInfo *kinds_at(size_t index) {
    ASSERT(index < kinds_table_len);
    return &kinds_table[index];
}

const KindInfo *kinds_find(const char *group, const char *version, const char *kind) {
    for (size_t i = 0; i < kinds_table_len; i++) {
        const KindInfo *info = &kinds_table[i];
        if (str_eq(info->kind, kind) && str_eq(info->group, group) &&
            str_eq(info->version, version))
            return info;
    }
    return NULL;
}

const KindInfo *kinds_find_resource(const char *group, const char *version, const char *plural) {
    for (size_t i = 0; i < kinds_table_len; i++) {
        const KindInfo *info = &kinds_table[i];
        if (str_eq(info->plural, plural) && str_eq(info->group, group) &&
            str_eq(info->version, version))
            return info;
    }
    return NULL;
}

const char *const *kinds_ray_crd_list(void) {
    return kinds_ray_crd_texts;
}

json_t *kinds_ray_crds(void) {
    json_t *crds = json_array();

    for (const char *const *text = kinds_ray_crd_texts; *text; text++) {
        json_t *crd = NULL;
        ASSERT(json_parse(*text, strlen(*text), NULL, 0, &crd) == 0);
        json_array_append_new(crds, crd);
    }
    return crds;
}

size_t place_key(Place *place, const char *key) {
    return schema_path_key(&place->path, key);
}

size_t place_index(Place *place, size_t index) {
    return schema_path_index(&place->path, index);
}

size_t place_map_key(Place *place, const char *key) {
    size_t len = place->path.len;

    buf_printf(&place->path, "[%s]", key);
    return len;
}

void place_pop(Place *place, size_t len) {
    schema_path_pop(&place->path, len);
}

/* --- metadata --- */

int kinds_check_meta_types(const json_t *object) {
    const Schema *pod = kinds_find("", "v1", "Pod")->schema;

    const json_t *meta = json_object_get(object, "metadata");
    return meta ? schema_check_types(schema_member(pod, "metadata"), meta) : 0;
}

static void check_text(Faults *faults, const char *field, const char *text,
                       const char *(*check)(const char *text)) {
    const char *why = check(text);

    if (!why)
        return;
    _cleanup_json_ json_t *value = json_string(text);
    faults_add_invalid(faults, field, value, why);
}

static void check_name(const json_t *meta, const char *(*check)(const char *name), Faults *faults) {
    const char *name = json_str_at(meta, "name"), *base = json_str_at(meta, "generateName");

    if (!str_empty(name))
        check_text(faults, "metadata.name", name, check);
    else if (str_empty(base))
        faults_add_required(faults, "metadata.name", "name or generateName is required");
}

static void check_namespace(const json_t *meta, bool namespaced, Faults *faults) {
    const char *space = json_str_at(meta, "namespace");

    if (!namespaced && !str_empty(space))
        faults_add_forbidden(faults, "metadata.namespace", "not allowed on this type");
    else if (namespaced && str_empty(space))
        faults_add_required(faults, "metadata.namespace", "");
    else if (namespaced)
        check_text(faults, "metadata.namespace", space, name_check_dns1123_label);
}

static void check_labels(const json_t *meta, Faults *faults) {
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(meta, "labels"), key, value) {
        check_text(faults, "metadata.labels", key, name_check_qualified);
        check_text(faults, "metadata.labels", json_is_string(value) ? json_string_value(value) : "",
                   name_check_label_value);
    }
}

static void check_annotations(const json_t *meta, Faults *faults) {
    size_t total = 0;
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(meta, "annotations"), key, value) {
        check_text(faults, "metadata.annotations", key, name_check_qualified);
        total += strlen(key) + json_string_length(value);
    }
    if (total > ANNOTATIONS_BYTES_MAX)
        faults_add_too_long(faults, "metadata.annotations", ANNOTATIONS_BYTES_MAX);
}

static void check_owner(const json_t *owner, Faults *faults) {
    static const char *const fields[][2] = { { "apiVersion", "version must not be empty" },
                                             { "kind", "must not be empty" },
                                             { "name", "must not be empty" },
                                             { "uid", "must not be empty" } };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *value = json_object_get(owner, fields[i][0]);
        _cleanup_json_ json_t *empty = json_string("");
        _cleanup_free_ char *field = str_printf("metadata.ownerReferences.%s", fields[i][0]);
        if (str_empty(json_string_value(value)))
            faults_add_invalid(faults, field, empty, fields[i][1]);
    }
}

static void check_owners(const json_t *meta, Faults *faults) {
    json_t *owners = json_object_get(meta, "ownerReferences"), *owner;
    _cleanup_free_ char *first = NULL;
    size_t i;

    json_array_foreach(owners, i, owner) {
        check_owner(owner, faults);
        if (!json_bool_at(owner, false, "controller"))
            continue;
        const char *kind = json_str_at(owner, "kind"), *name = json_str_at(owner, "name");
        if (first) {
            _cleanup_free_ char *detail = str_printf(
                "Only one reference can have Controller set to true. Found \"true\" in references "
                "for %s and %s/%s",
                first, kind ? kind : "", name ? name : "");
            faults_add_invalid(faults, "metadata.ownerReferences", owners, detail);
            return;
        }
        first = str_printf("%s/%s", kind ? kind : "", name ? name : "");
    }
}

void kinds_validate_meta(const json_t *object, bool namespaced,
                         const char *(*check)(const char *name), Faults *faults) {
    const json_t *meta = json_object_get(object, "metadata");
    size_t i;
    json_t *item;

    check_name(meta, check, faults);
    check_namespace(meta, namespaced, faults);
    check_labels(meta, faults);
    check_annotations(meta, faults);
    check_owners(meta, faults);
    json_array_foreach(json_object_get(meta, "finalizers"), i, item)
        check_text(faults, "metadata.finalizers",
                   json_is_string(item) ? json_string_value(item) : "", name_check_qualified);
}

/* As Go prints the strings of `list` that are not in `known`; NULL if there are none. */
static char *new_strings(const json_t *list, const json_t *known) {
    _cleanup_buf_ Buf text = { 0 };
    size_t i, k;
    json_t *item, *other;

    json_array_foreach((json_t *)(uintptr_t)list, i, item) {
        bool found = false;
        json_array_foreach((json_t *)(uintptr_t)known, k, other)
            found |= json_equal(item, other);
        if (found)
            continue;
        buf_add_str(&text, text.len ? ", " : "[]string{");
        json_encode(item, JSON_GO, &text);
    }
    if (text.len == 0)
        return NULL;
    buf_add_char(&text, '}');
    return buf_steal(&text);
}

void kinds_validate_meta_update(const json_t *object, const json_t *old, Faults *faults) {
    const json_t *meta = json_object_get(object, "metadata"),
                 *before = json_object_get(old, "metadata");

    if (!json_object_get(before, "deletionTimestamp"))
        return;
    _cleanup_free_ char *added =
        new_strings(json_object_get(meta, "finalizers"), json_object_get(before, "finalizers"));
    _cleanup_free_ char *why =
        added ? str_printf("no new finalizers can be added if the object is being deleted, found "
                           "new finalizers %s",
                           added)
              : NULL;
    if (why)
        faults_add_forbidden(faults, "metadata.finalizers", why);
}

/* Built-in kinds take finalizers of a domain and their own three. */
static void check_builtin_finalizers(const json_t *meta, Faults *faults) {
    static const char *const standard[] = { "kubernetes", "orphan", "foregroundDeletion" };
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(meta, "finalizers"), i, item) {
        bool known = !json_is_string(item) || strchr(json_string_value(item), '/');
        for (size_t s = 0; s < ARRAY_LEN(standard); s++)
            known |= str_eq(json_string_value(item), standard[s]);
        _cleanup_free_ char *field = str_printf("metadata.finalizers[%zu]", i);
        if (!known)
            faults_add_invalid(faults, field, item,
                               "name is neither a standard finalizer name nor is it fully "
                               "qualified");
    }
}

/* --- kinds with more to them --- */

typedef struct KindRules {
    const char *group, *kind;
    const char *(*check_name)(const char *name);
    void (*fill)(json_t *object);    /* part of reading: the client's word */
    void (*prepare)(json_t *object); /* the server's: nobody owns it */
    void (*validate)(Place *place, const json_t *object);
    void (*validate_update)(Place *place, const json_t *object, const json_t *old);
} KindRules;

static const KindRules rules[] = {
    { "", "Pod", name_check_dns1123_subdomain, pod_fill, pod_prepare, pod_validate,
      pod_validate_update },
    { "", "Service", name_check_dns1035_label, service_fill, service_prepare, service_validate,
      NULL },
    { "", "ConfigMap", name_check_dns1123_subdomain, NULL, NULL, configmap_validate,
      configmap_validate_update },
    { "", "Secret", name_check_dns1123_subdomain, secret_fill, NULL, secret_validate,
      secret_validate_update },
    { "", "Namespace", name_check_dns1123_label, namespace_fill, namespace_prepare, NULL, NULL },
    { "", "Node", name_check_dns1123_subdomain, node_fill, NULL, node_validate, NULL },
    { "", "Event", name_check_dns1123_subdomain, NULL, event_prepare, event_validate, NULL },
    { "", "PersistentVolumeClaim", name_check_dns1123_subdomain, NULL, NULL, claim_validate,
      claim_validate_update },
    { "batch", "Job", name_check_dns1123_subdomain, job_fill, job_prepare, job_validate,
      job_validate_update },
    { "rbac.authorization.k8s.io", "Role", name_check_path_segment, NULL, NULL, role_validate,
      NULL },
    { "rbac.authorization.k8s.io", "ClusterRole", name_check_path_segment, NULL, NULL,
      role_validate, NULL },
    { "rbac.authorization.k8s.io", "RoleBinding", name_check_path_segment, binding_fill, NULL,
      binding_validate, binding_validate_update },
    { "rbac.authorization.k8s.io", "ClusterRoleBinding", name_check_path_segment, binding_fill,
      NULL, binding_validate, binding_validate_update },
    { "discovery.k8s.io", "EndpointSlice", name_check_dns1123_subdomain, NULL, NULL, slice_validate,
      NULL },
    { "apiextensions.k8s.io", "CustomResourceDefinition", name_check_dns1123_subdomain, crd_fill,
      NULL, crd_validate, crd_validate_update },
};

static const KindRules *rules_of(const KindInfo *kind) {
    static const KindRules plain = { .check_name = name_check_dns1123_subdomain };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (str_eq(rules[i].kind, kind->kind) && str_eq(rules[i].group, kind->group))
            return &rules[i];
    return &plain;
}

void kinds_default(const KindInfo *kind, json_t *object) {
    const KindRules *own = rules_of(kind);

    schema_normalize(kind->schema, object);
    schema_default(kind->schema, object);
    if (own->fill)
        own->fill(object);
}

void kinds_prepare(const KindInfo *kind, json_t *object) {
    const KindRules *own = rules_of(kind);

    if (own->prepare)
        own->prepare(object);
}

void kinds_validate(const KindInfo *kind, const json_t *object, const json_t *old, Faults *faults) {
    const KindRules *own = rules_of(kind);
    Place place = { .faults = faults };

    /* What a status says is its controller's word: Kubernetes checks its types only. */
    _cleanup_json_ json_t *stated = json_copy((json_t *)(uintptr_t)object);
    json_object_del(stated, "status");
    kinds_validate_meta(object, kind->flags & KIND_NAMESPACED, own->check_name, faults);
    if (!str_eq(kind->group, "apiextensions.k8s.io")) /* which has a finalizer of its own */
        check_builtin_finalizers(json_object_get(object, "metadata"), faults);
    schema_validate(kind->schema, stated, old, faults);
    if (own->validate)
        own->validate(&place, object);
    if (old && own->validate_update)
        own->validate_update(&place, object, old);
    buf_done(&place.path);
}
