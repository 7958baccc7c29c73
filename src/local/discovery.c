/* SPDX-License-Identifier: Apache-2.0 */
#include "local/server_private.h"

/*
 * What is served: /api, /apis, /api/v1, /apis/GROUP, /apis/GROUP/VERSION, and the aggregated form
 * that kubectl reads in two requests. Beside the stored resources there are a few that only
 * answer (reviews) and the doors of pods and services.
 */

typedef struct Door { /* a subresource that is no view of the object */
    const char *group, *plural, *subresource, *kind, *kind_group, *kind_version;
    const char *verbs;
} Door;

static const Door DOORS[] = {
    { "", "pods", "attach", "PodAttachOptions", "", "v1", "create,get" },
    { "", "pods", "binding", "Binding", "", "v1", "create" },
    { "", "pods", "eviction", "Eviction", "policy", "v1", "create" },
    { "", "pods", "exec", "PodExecOptions", "", "v1", "create,get" },
    { "", "pods", "log", "Pod", "", "v1", "get" },
    { "", "pods", "portforward", "PodPortForwardOptions", "", "v1", "create,get" },
    { "", "pods", "proxy", "PodProxyOptions", "", "v1", "create,delete,get,patch,update" },
    { "", "services", "proxy", "ServiceProxyOptions", "", "v1", "create,delete,get,patch,update" },
    { "", "serviceaccounts", "token", "TokenRequest", "authentication.k8s.io", "v1", "create" },
    { "", "namespaces", "finalize", "Namespace", "", "v1", "update" },
};

/* Asked and answered, never stored. */
typedef struct Review {
    const char *group, *plural, *singular, *kind;
    bool namespaced;
} Review;

static const Review REVIEWS[] = {
    { "authentication.k8s.io", "tokenreviews", "tokenreview", "TokenReview", false },
    { "authentication.k8s.io", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview",
      false },
    { "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectaccessreview",
      "SelfSubjectAccessReview", false },
    { "authorization.k8s.io", "selfsubjectrulesreviews", "selfsubjectrulesreview",
      "SelfSubjectRulesReview", false },
    { "authorization.k8s.io", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview",
      false },
    { "authorization.k8s.io", "localsubjectaccessreviews", "localsubjectaccessreview",
      "LocalSubjectAccessReview", true },
};

static json_t *split_words(const char *words) {
    json_t *list = json_array();
    while (*words) {
        size_t len = strcspn(words, ",");
        json_array_append_new(list, json_stringn(words, len));
        words += len + (words[len] == ',');
    }
    return list;
}

static json_t *string_list(const char *const *strings) {
    json_t *list = json_array();
    for (size_t i = 0; strings[i]; i++)
        json_array_append_new(list, json_string(strings[i]));
    return list;
}

static const char ALL_VERBS[] = "create,delete,deletecollection,get,list,patch,update,watch";

static bool is_review_only(const Resource *resource) {
    for (size_t i = 0; i < ARRAY_LEN(REVIEWS); i++)
        if (str_eq(REVIEWS[i].plural, resource->plural) &&
            str_eq(REVIEWS[i].group, resource->group))
            return true;
    return false;
}

/* Groups in the order kubectl prefers short names: core, then as registered. */
static void collect_versions(const Registry *registry, const char *group, StrList *out) {
    VEC_EACH(item, &registry->all) {
        const Resource *resource = *item;
        if (!str_eq(resource->group, group))
            continue;
        for (size_t i = 0; i < resource->version_count; i++)
            if (resource->versions[i].served && !strlist_has(out, resource->versions[i].version))
                strlist_add(out, resource->versions[i].version);
    }
    for (size_t i = 0; i < ARRAY_LEN(REVIEWS); i++)
        if (str_eq(REVIEWS[i].group, group) && !strlist_has(out, "v1"))
            strlist_add(out, "v1");
}

static void collect_groups(const Registry *registry, StrList *out) {
    VEC_EACH(item, &registry->all) {
        if (!str_empty((*item)->group) && !strlist_has(out, (*item)->group))
            strlist_add(out, (*item)->group);
    }
    for (size_t i = 0; i < ARRAY_LEN(REVIEWS); i++)
        if (!strlist_has(out, REVIEWS[i].group))
            strlist_add(out, REVIEWS[i].group);
}

/* The plain form. */

static void add_plain(json_t *list, const Resource *resource, const char *subresource,
                      const char *kind, const char *kind_group, const char *kind_version,
                      const char *verbs) {
    json_t *entry = json_object();
    json_set_printf(entry, "name", "%s%s%s", resource->plural, subresource ? "/" : "",
                    subresource ? subresource : "");
    json_object_set_new(entry, "singularName", json_string(subresource ? "" : resource->singular));
    json_object_set_new(entry, "namespaced", json_boolean(resource->namespaced));
    if (kind_group && !str_eq(kind_group, resource->group)) {
        json_object_set_new(entry, "group", json_string(kind_group));
        json_object_set_new(entry, "version", json_string(kind_version));
    }
    json_object_set_new(entry, "kind", json_string(kind));
    json_object_set_new(entry, "verbs", split_words(verbs));
    if (!subresource && resource->short_names[0])
        json_object_set_new(entry, "shortNames", string_list(resource->short_names));
    if (!subresource && resource->categories[0])
        json_object_set_new(entry, "categories", string_list(resource->categories));
    json_array_append_new(list, entry);
}

static void add_plain_resource(json_t *list, const Resource *resource,
                               const ResourceVersion *version) {
    add_plain(list, resource, NULL, resource->kind, NULL, NULL, ALL_VERBS);
    for (size_t i = 0; i < ARRAY_LEN(DOORS); i++) {
        const Door *door = &DOORS[i];
        if (!resource->custom && str_eq(door->plural, resource->plural) &&
            str_eq(door->group, resource->group))
            add_plain(list, resource, door->subresource, door->kind, door->kind_group,
                      door->kind_version, door->verbs);
    }
    if (version->has_scale)
        add_plain(list, resource, "scale", "Scale", "autoscaling", "v1", "get,patch,update");
    if (version->has_status)
        add_plain(list, resource, "status", resource->kind, NULL, NULL, "get,patch,update");
}

static json_t *plain_resources(const Registry *registry, const char *group, const char *version) {
    json_t *list = json_array();
    VEC_EACH(item, &registry->all) {
        const Resource *resource = *item;
        const ResourceVersion *served = resource_version(resource, version);
        if (served && str_eq(resource->group, group) && !is_review_only(resource))
            add_plain_resource(list, resource, served);
    }
    for (size_t i = 0; str_eq(version, "v1") && i < ARRAY_LEN(REVIEWS); i++) {
        const Review *review = &REVIEWS[i];
        if (str_eq(review->group, group))
            json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:[s]}", "name",
                                                  review->plural, "singularName", review->singular,
                                                  "namespaced", review->namespaced, "kind",
                                                  review->kind, "verbs", "create"));
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    json_t *answer = json_pack("{s:s, s:s, s:o}", "kind", "APIResourceList", "apiVersion", "v1",
                               "resources", list);
    json_set_printf(answer, "groupVersion", "%s%s%s", group, *group ? "/" : "", version);
    return answer;
}

static json_t *plain_group(const Registry *registry, const char *group) {
    _cleanup_strlist_ StrList versions = { 0 };
    collect_versions(registry, group, &versions);
    if (versions.len == 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < versions.len; i++) {
        json_t *entry = json_pack("{s:s}", "version", versions.items[i]);
        json_set_printf(entry, "groupVersion", "%s/%s", group, versions.items[i]);
        json_array_append_new(list, entry);
    }
    return json_pack("{s:s, s:s, s:s, s:O, s:o}", "kind", "APIGroup", "apiVersion", "v1", "name",
                     group, "preferredVersion", json_array_get(list, 0), "versions", list);
}

static json_t *plain_groups(const Registry *registry) {
    _cleanup_strlist_ StrList groups = { 0 };
    json_t *list = json_array();
    collect_groups(registry, &groups);
    for (size_t i = 0; i < groups.len; i++) {
        json_t *group = plain_group(registry, groups.items[i]);
        json_object_del(group, "kind");
        json_object_del(group, "apiVersion");
        json_array_append_new(list, group);
    }
    return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", list);
}

/* The aggregated form is made of the plain one: subresources move below their resource. */

static json_t *response_kind(const json_t *plain, const char *group, const char *version) {
    const char *own_group = json_str_at(plain, "group"),
               *own_version = json_str_at(plain, "version");
    return json_pack("{s:s, s:s, s:s}", "group", own_version ? (own_group ? own_group : "") : group,
                     "version", own_version ? own_version : version, "kind",
                     json_str_at(plain, "kind"));
}

static void add_subresource(json_t *resources, const json_t *plain, const char *group,
                            const char *version) {
    const char *name = json_str_at(plain, "name"), *slash = strchr(name, '/');
    json_t *owner = json_array_get(resources, json_array_size(resources) - 1);
    json_array_append_new(json_make_array(owner, "subresources"),
                          json_pack("{s:s, s:o, s:O}", "subresource", slash + 1, "responseKind",
                                    response_kind(plain, group, version), "verbs",
                                    json_object_get(plain, "verbs")));
}

static void add_aggregated(json_t *resources, const json_t *plain, const char *group,
                           const char *version) {
    const char *name = json_str_at(plain, "name");
    if (strchr(name, '/')) {
        add_subresource(resources, plain, group, version);
        return;
    }
    bool namespaced = json_bool_at(plain, false, "namespaced");
    json_t *entry =
        json_pack("{s:s, s:o, s:s, s:O, s:O}", "resource", name, "responseKind",
                  response_kind(plain, group, version), "scope",
                  namespaced ? "Namespaced" : "Cluster", "singularResource",
                  json_object_get(plain, "singularName"), "verbs", json_object_get(plain, "verbs"));
    static const char *const copied[] = { "shortNames", "categories" };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        if (json_object_get(plain, copied[i]))
            json_object_set(entry, copied[i], json_object_get(plain, copied[i]));
    json_array_append_new(resources, entry);
}

static json_t *aggregated_group(const Registry *registry, const char *group) {
    _cleanup_strlist_ StrList versions = { 0 };
    json_t *list = json_array();
    collect_versions(registry, group, &versions);
    for (size_t i = 0; i < versions.len; i++) {
        _cleanup_json_ json_t *plain = plain_resources(registry, group, versions.items[i]);
        json_t *resources = json_array(), *item;
        size_t j;
        json_array_foreach(json_object_get(plain, "resources"), j, item)
            add_aggregated(resources, item, group, versions.items[i]);
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "version", versions.items[i],
                                              "freshness", "Current", "resources", resources));
    }
    json_t *metadata = json_pack("{s:n}", "creationTimestamp");
    if (*group)
        json_object_set_new(metadata, "name", json_string(group));
    return json_pack("{s:o, s:o}", "metadata", metadata, "versions", list);
}

static json_t *aggregated(const Registry *registry, bool core, const char *version) {
    _cleanup_strlist_ StrList groups = { 0 };
    json_t *items = json_array();
    if (core)
        strlist_add(&groups, "");
    else
        collect_groups(registry, &groups);
    for (size_t i = 0; i < groups.len; i++)
        json_array_append_new(items, aggregated_group(registry, groups.items[i]));
    json_t *answer =
        json_pack("{s:s, s:{}, s:o}", "kind", "APIGroupDiscoveryList", "metadata", "items", items);
    json_set_printf(answer, "apiVersion", "apidiscovery.k8s.io/%s", version);
    return answer;
}

/* Paths. */

static json_t *answer_for(const Rest *rest, StrList *parts) {
    const Registry *registry = &rest->server->api.registry;
    bool core = str_eq(parts->items[0], "api");
    if (parts->len == 1 && core)
        return json_pack("{s:s, s:[s], s:[{s:s, s:s}]}", "kind", "APIVersions", "versions", "v1",
                         "serverAddressByClientCIDRs", "clientCIDR", "0.0.0.0/0", "serverAddress",
                         rest->server->url + strlen("https://"));
    if (parts->len == 1)
        return plain_groups(registry);
    if (core)
        return parts->len == 2 ? plain_resources(registry, "", parts->items[1]) : NULL;
    if (parts->len == 2)
        return plain_group(registry, parts->items[1]);
    return parts->len == 3 ? plain_resources(registry, parts->items[1], parts->items[2]) : NULL;
}

static void split_path(const char *path, StrList *out) {
    while (*path) {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len > 0)
            strlist_take(out, str_dup_slice((Slice){ path, len }));
        path += len;
    }
}

bool rest_is_discovery(const Rest *rest) {
    const char *path = rest->route.path;
    bool api = str_starts(path, "/api") && (path[4] == 0 || path[4] == '/');
    bool apis = str_starts(path, "/apis") && (path[5] == 0 || path[5] == '/');
    return (api || apis) && !rest->route.is_resource;
}

void rest_discovery(Rest *rest) {
    _cleanup_strlist_ StrList parts = { 0 };
    split_path(rest->route.path, &parts);
    if (parts.len == 1 && rest->accept.shape == ACCEPT_DISCOVERY) {
        const char *version = rest->accept.discovery_version;
        json_t *answer =
            aggregated(&rest->server->api.registry, str_eq(parts.items[0], "api"), version);
        rest_reply_typed(
            rest, answer,
            str_eq(version, "v2")
                ? "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
                : "application/json;g=apidiscovery.k8s.io;v=v2beta1;as="
                  "APIGroupDiscoveryList");
        return;
    }
    json_t *answer = answer_for(rest, &parts);
    if (answer) {
        rest_reply_value(rest, 200, answer);
        return;
    }
    status_no_such_path(&rest->call.status);
    rest_reply_status(rest);
}
