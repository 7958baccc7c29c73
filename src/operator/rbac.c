/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/rbac.h"

#include "base/mem.h"
#include "operator/names.h"
#include "operator/object.h"

enum {
    TOKEN_BYTES = 32
};

#define RBAC_GROUP "rbac.authorization.k8s.io"

static json_t *begin(const json_t *cluster, const char *api_version, const char *kind,
                     const char *name) {
    json_t *object = object_make(api_version, kind, object_namespace(cluster), name);
    obj_set_label(object, LABEL_CLUSTER, object_name(cluster));
    obj_set_label(object, LABEL_APP_NAME, APP_NAME);
    obj_set_label(object, LABEL_CREATED_BY, CREATED_BY);
    object_own(object, cluster);
    return object;
}

json_t *rbac_build_account(const json_t *cluster, Arena *arena) {
    return begin(cluster, "v1", "ServiceAccount", name_short(arena, name_head_account(cluster)));
}

static json_t *words(const char *const *list) {
    json_t *array = json_array();
    for (; *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static void add_rule(json_t *rules, const char *group, const char *resource,
                     const char *const *verbs) {
    json_t *rule = json_object();
    json_object_set_new(rule, "apiGroups", words((const char *const[]){ group, NULL }));
    json_object_set_new(rule, "resources", words((const char *const[]){ resource, NULL }));
    json_object_set_new(rule, "verbs", words(verbs));
    json_array_append_new(rules, rule);
}

json_t *rbac_build_role(const json_t *cluster, Arena *arena) {
    json_t *role =
        begin(cluster, RBAC_GROUP "/v1", "Role", name_short(arena, object_name(cluster)));
    json_t *rules = json_make_array(role, "rules");
    add_rule(rules, "", "pods", (const char *const[]){ "get", "list", "watch", "patch", NULL });
    add_rule(rules, "", "pods/resize", (const char *const[]){ "patch", NULL });
    add_rule(rules, "ray.io", "rayclusters", (const char *const[]){ "get", "patch", NULL });
    return role;
}

json_t *rbac_build_binding(const json_t *cluster, Arena *arena) {
    json_t *binding =
        begin(cluster, RBAC_GROUP "/v1", "RoleBinding", name_short(arena, object_name(cluster)));
    json_t *subject = json_object();
    json_object_set_new(subject, "kind", json_string("ServiceAccount"));
    json_object_set_new(subject, "name",
                        json_string(name_short(arena, name_head_account(cluster))));
    json_object_set_new(subject, "namespace", json_string(object_namespace(cluster)));
    json_array_append_new(json_make_array(binding, "subjects"), subject);
    json_set_at(binding, json_string(RBAC_GROUP), "roleRef", "apiGroup");
    json_set_at(binding, json_string("Role"), "roleRef", "kind");
    json_set_at(binding, json_string(name_short(arena, object_name(cluster))), "roleRef", "name");
    return binding;
}

json_t *auth_build_secret(const json_t *cluster, Arena *arena) {
    uint8_t token[TOKEN_BYTES];
    mem_random(token, sizeof(token));
    _cleanup_free_ char *text = base64_encode(token, sizeof(token));
    json_t *secret = object_make("v1", "Secret", object_namespace(cluster),
                                 name_short(arena, object_name(cluster)));
    obj_set_label(secret, LABEL_CLUSTER, object_name(cluster));
    object_own(secret, cluster);
    json_set_at(secret, json_string(text), "stringData", AUTH_SECRET_KEY);
    mem_wipe(text, strlen(text));
    mem_wipe(token, sizeof(token));
    return secret;
}
