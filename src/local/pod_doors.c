/* SPDX-License-Identifier: Apache-2.0 */
#include "local/pod_doors.h"

#include "base/error.h"
#include "kobj/meta.h"
#include "local/meta.h"
#include "local/token.h"

static bool is_door(const ApiCall *call, const char *plural, const char *subresource) {
    return !call->resource->custom && str_eq(call->resource->plural, plural) &&
           str_eq(call->subresource, subresource);
}

bool pod_door_takes(const ApiCall *call) {
    return call->name && (is_door(call, "pods", "binding") || is_door(call, "pods", "eviction") ||
                          is_door(call, "serviceaccounts", "token"));
}

typedef struct Bind {
    const char *node;
    usec_t now;
} Bind;

static bool set_node(void *ctx, json_t *pod) {
    const Bind *bind = ctx;
    json_set_at(pod, json_string(bind->node), "spec", "nodeName");
    condition_set(json_make_object(pod, "status"), "PodScheduled", "True", NULL, NULL, bind->now);
    return true;
}

int pod_bind(ApiCall *call, const char *node) {
    Object *object = api_find(call);
    if (!object)
        return status_not_found(&call->status, api_subject(call), call->name);
    _cleanup_json_ json_t *pod = object_value(object);
    const char *bound = json_str_at(pod, "spec", "nodeName");
    if (!str_empty(bound)) {
        _cleanup_free_ char *why =
            str_printf("pod %s is already assigned to node \"%s\"", call->name, bound);
        return status_conflict(&call->status, (StatusSubject){ "", "pods/binding" }, call->name,
                               why);
    }
    if (obj_is_deleting(pod)) {
        _cleanup_free_ char *why =
            str_printf("pod %s is being deleted, cannot be assigned to a host", call->name);
        return status_conflict(&call->status, (StatusSubject){ "", "pods/binding" }, call->name,
                               why);
    }
    call->keeps_generation = true;
    Bind bind = { node, loop_wall_now(call->api->loop) };
    return api_change(call, set_node, &bind);
}

static json_t *success(int code) {
    return json_pack("{s:s, s:s, s:{}, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "metadata",
                     "status", "Success", "code", code);
}

static int post_binding(ApiCall *call, const json_t *body, json_t **ret_answer) {
    const char *node = json_str_at(body, "target", "name");
    if (str_empty(node))
        return status_bad_request(&call->status, "target.name: Required value");
    int r = pod_bind(call, node);
    if (r == 0)
        *ret_answer = success(201);
    return r;
}

static int post_eviction(ApiCall *call, const json_t *body, json_t **ret_answer) {
    ApiDelete options = API_DELETE_DEFAULT;
    const json_t *given = json_object_get(body, "deleteOptions");
    options.grace_seconds = json_int_at(given, -1, "gracePeriodSeconds");
    options.uid = json_str_at(given, "preconditions", "uid");
    _cleanup_json_ json_t *pod = NULL;
    bool gone;
    int r = api_delete(call, &options, &pod, &gone);
    if (r == 0)
        *ret_answer = success(201);
    return r;
}

int pod_door_post(ApiCall *call, const json_t *body, json_t **ret_answer) {
    if (is_door(call, "pods", "binding"))
        return post_binding(call, body, ret_answer);
    if (is_door(call, "pods", "eviction"))
        return post_eviction(call, body, ret_answer);
    return token_request(call, body, ret_answer);
}
