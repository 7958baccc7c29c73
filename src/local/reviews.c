/* SPDX-License-Identifier: Apache-2.0 */
#include "local/server_private.h"
#include "local/token.h"

/*
 * Questions that are answered and not stored. Authorization is simple here: who is known may do
 * everything (RBAC objects are stored and served, not enforced), and the answers say just that.
 */

bool rest_is_review(const Rest *rest) {
    const Route *route = &rest->route;
    if (!http_request_is(rest->http, "POST") || route->name || !str_eq(route->version, "v1"))
        return false;
    if (str_eq(route->group, "authorization.k8s.io"))
        return str_ends(route->resource, "accessreviews") ||
               str_ends(route->resource, "rulesreviews");
    return str_eq(route->group, "authentication.k8s.io") &&
           (str_eq(route->resource, "tokenreviews") ||
            str_eq(route->resource, "selfsubjectreviews"));
}

static json_t *groups_of(const Rest *rest) {
    json_t *groups = json_array();
    for (size_t i = 0; i < rest->user.groups.len; i++)
        json_array_append_new(groups, json_string(rest->user.groups.items[i]));
    return groups;
}

static void review_token(Rest *rest, json_t *body) {
    const char *token = json_str_at(body, "spec", "token");
    TokenSubject subject;
    if (!token || token_check(&rest->server->api, token, &subject) != 0) {
        json_object_set_new(
            body, "status",
            json_pack("{s:b, s:s}", "authenticated", 0, "error", "the token is not valid"));
        return;
    }
    _cleanup_free_ char *group = str_printf("system:serviceaccounts:%s", subject.ns);
    json_t *user = json_pack("{s:s, s:[s, s, s]}", "uid", subject.uid, "groups",
                             "system:serviceaccounts", group, "system:authenticated");
    json_set_printf(user, "username", "system:serviceaccount:%s:%s", subject.ns, subject.account);
    json_object_set_new(body, "status", json_pack("{s:b, s:o}", "authenticated", 1, "user", user));
    token_subject_done(&subject);
}

static void review_self(Rest *rest, json_t *body) {
    json_object_set_new(body, "status",
                        json_pack("{s:{s:s, s:o}}", "userInfo", "username", rest->user.name,
                                  "groups", groups_of(rest)));
}

static void review_rules(json_t *body) {
    json_object_set_new(body, "status",
                        json_pack("{s:[{s:[s], s:[s], s:[s]}], s:[{s:[s], s:[s]}], s:b}",
                                  "resourceRules", "verbs", "*", "apiGroups", "*", "resources", "*",
                                  "nonResourceRules", "verbs", "*", "nonResourceURLs", "*",
                                  "incomplete", 0));
}

void rest_review(Rest *rest, json_t *body) {
    if (!json_is_object(body)) {
        json_decref(body);
        status_bad_request(&rest->call.status, "the body is no JSON object");
        rest_reply_status(rest);
        return;
    }
    const char *resource = rest->route.resource;
    if (str_eq(resource, "tokenreviews"))
        review_token(rest, body);
    else if (str_eq(resource, "selfsubjectreviews"))
        review_self(rest, body);
    else if (str_ends(resource, "rulesreviews"))
        review_rules(body);
    else
        json_object_set_new(body, "status",
                            json_pack("{s:b, s:s}", "allowed", 1, "reason",
                                      "every known user may do everything here"));
    rest_reply_value(rest, 201, body);
}
