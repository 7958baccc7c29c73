/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/error.h"
#include "codec/yaml.h"
#include "kobj/meta.h"
#include "kobj/patch.h"
#include "local/pod_doors.h"
#include "local/protobuf.h"
#include "local/scale.h"
#include "local/server_private.h"

/* POST, PUT, PATCH, DELETE: collect the body, decode it, call the verb. */

static int refuse_format(Rest *rest, const char *accepted) {
    return status_make(&rest->call.status, 415, "UnsupportedMediaType", NULL,
                       "the body of the request was in an unknown format - accepted media types "
                       "include: %s",
                       accepted);
}

static int decode_protobuf(Rest *rest, Slice text, json_t **ret_body) {
    int r = protobuf_decode(text, ret_body);
    if (r == PROTOBUF_UNKNOWN_KIND)
        return refuse_format(rest, "application/json, application/yaml");
    return r < 0 ? status_bad_request(&rest->call.status, "%s", error_text(r)) : 0;
}

/* JSON is YAML too, but most of what comes as YAML is JSON, and that reads in a tenth of the time and
 * memory, as CRDs show. */
static int decode_text(Slice text, bool may_be_yaml, json_t **ret_body, bool *ret_is_json) {
    bool looks = !may_be_yaml || (text.len > 0 && text.data[0] == '{');
    int r = looks ? json_parse(text.data, text.len, NULL, 0, ret_body) : -EINVAL;
    *ret_is_json = looks && r == 0;
    return r == -EINVAL && may_be_yaml ? yaml_parse(text.data, text.len, NULL, ret_body) : r;
}

static int decode_body(Rest *rest, Slice text, BodyKind kind, json_t **ret_body,
                       StrList *duplicates) {
    if (kind == BODY_PROTOBUF)
        return decode_protobuf(rest, text, ret_body);
    bool is_json;
    int r = decode_text(text, kind == BODY_YAML || kind == BODY_APPLY_PATCH, ret_body, &is_json);
    if (r == -E2BIG)
        return status_make(&rest->call.status, 413, "RequestEntityTooLarge", NULL, "%s",
                           error_text(r));
    if (r < 0)
        return status_bad_request(&rest->call.status, "error decoding the body: %s", error_text(r));
    if (is_json && rest->call.validation != API_IGNORE)
        json_find_duplicates(text.data, text.len, duplicates);
    return 0;
}

/* A deletion's answer: pods and what lives on are shown, the rest gets a Status of success. */
static json_t *deleted_status(const ApiCall *call, const json_t *object) {
    json_t *details = json_pack("{s:s, s:s, s:s}", "name", obj_name(object), "kind",
                                call->resource->plural, "uid", obj_uid(object));
    if (!str_empty(call->resource->group))
        json_object_set_new(details, "group", json_string(call->resource->group));
    return json_pack("{s:s, s:s, s:{}, s:s, s:o}", "kind", "Status", "apiVersion", "v1", "metadata",
                     "status", "Success", "details", details);
}

static void delete_one(Rest *rest, const ApiDelete *options) {
    ApiCall *call = &rest->call;
    json_t *object = NULL;
    bool gone = false;
    int r = api_delete(call, options, &object, &gone);
    bool is_pod = !call->resource->custom && str_eq(call->resource->plural, "pods");
    if (r == 0 && gone && !is_pod) {
        json_t *status = deleted_status(call, object);
        json_decref(object);
        rest_reply_value(rest, 200, status);
        return;
    }
    rest_reply_result(rest, r, 200, object);
}

static void delete_collection(Rest *rest, const ApiDelete *options) {
    ApiCall *call = &rest->call;
    ApiSelection selection = { 0 };
    ApiPage page = { 0 };
    int r = api_selection_parse(call, rest_query(rest, "labelSelector"),
                                rest_query(rest, "fieldSelector"), &selection);
    if (r == 0)
        r = api_list(call, &selection, &(ApiRange){ 0 }, &page);
    api_selection_done(&selection);
    const char *ns = call->ns;
    VEC_EACH(item, &page.objects) {
        _cleanup_json_ json_t *object = NULL;
        bool gone;
        if (r != 0)
            break;
        call->name = (*item)->name;
        call->ns = (*item)->ns;
        r = api_delete(call, options, &object, &gone);
    }
    call->name = NULL;
    call->ns = ns;
    if (r != 0) {
        api_page_done(&page);
        rest_reply_result(rest, r, 0, NULL);
        return;
    }
    _cleanup_json_ json_t *meta = json_object(), *items = api_page_items(call, &page);
    json_set_printf(meta, "resourceVersion", "%" PRIu64, page.revision);
    api_page_done(&page);
    rest_reply_value(rest, 200, rest_shape(rest, items, meta, true));
}

static void do_delete(Rest *rest, const json_t *body) {
    ApiDelete options;
    if (rest_read_delete_options(rest, body, &options) != 0)
        rest_reply_status(rest);
    else if (rest->call.subresource) {
        status_method_not_allowed(&rest->call.status);
        rest_reply_status(rest);
    } else if (rest->call.name)
        delete_one(rest, &options);
    else
        delete_collection(rest, &options);
}

static void do_post(Rest *rest, json_t *body, const StrList *duplicates) {
    ApiCall *call = &rest->call;
    if (pod_door_takes(call)) {
        json_t *answer = NULL;
        int r = pod_door_post(call, body, &answer);
        json_decref(body);
        if (r == 0)
            rest_reply_value(rest, 201, answer);
        else
            rest_reply_result(rest, r, 0, NULL);
        return;
    }
    if (call->name || call->subresource || (call->resource->namespaced && str_empty(call->ns))) {
        json_decref(body);
        status_method_not_allowed(&call->status);
        rest_reply_status(rest);
        return;
    }
    json_t *object = NULL;
    int r = api_create(call, body, duplicates, &object);
    rest_reply_result(rest, r, 201, object);
}

static bool may_change(Rest *rest) {
    ApiCall *call = &rest->call;
    const char *sub = call->subresource;
    bool known = !sub || (str_eq(sub, "status") && call->version->has_status) ||
                 (str_eq(sub, "scale") && call->version->has_scale) ||
                 (str_eq(sub, "finalize") && str_eq(call->resource->plural, "namespaces")) ||
                 (str_eq(sub, "resize") && str_eq(call->resource->plural, "pods"));
    if (!known)
        status_no_such_path(&call->status);
    else if (!call->name)
        status_method_not_allowed(&call->status);
    return known && call->name;
}

/* Through the scale subresource: a PUT of a Scale, or a patch of the one that stands. */
static void write_scale(Rest *rest, json_t *body, bool is_patch) {
    ApiCall *call = &rest->call;
    Object *old = api_find(call);
    _cleanup_json_ json_t *given = body, *object = NULL;
    if (!old) {
        status_not_found(&call->status, api_subject(call), call->name);
        rest_reply_status(rest);
        return;
    }
    _cleanup_json_ json_t *stored = object_value(old);
    _cleanup_json_ json_t *present = scale_of(call, stored);
    _cleanup_json_ json_t *scale = is_patch ? patch_merge(present, given) : json_incref(given);
    call->subresource = NULL;
    int r = api_update(call, scale_apply(call, stored, scale), NULL, &object);
    if (r == 0)
        rest_reply_value(rest, 200, scale_of(call, object));
    else
        rest_reply_result(rest, r, 0, NULL);
}

static void do_put(Rest *rest, json_t *body, const StrList *duplicates) {
    if (!may_change(rest)) {
        json_decref(body);
        rest_reply_status(rest);
        return;
    }
    if (str_eq(rest->call.subresource, "scale")) {
        write_scale(rest, body, false);
        return;
    }
    json_t *object = NULL;
    int r = api_update(&rest->call, body, duplicates, &object);
    rest_reply_result(rest, r, 200, object);
}

static void do_patch(Rest *rest, json_t *body, BodyKind kind, const StrList *duplicates) {
    static const ApiPatch kinds[] = {
        [BODY_JSON_PATCH] = API_PATCH_JSON,
        [BODY_MERGE_PATCH] = API_PATCH_MERGE,
        [BODY_STRATEGIC_PATCH] = API_PATCH_STRATEGIC,
        [BODY_APPLY_PATCH] = API_PATCH_APPLY,
    };
    if (!may_change(rest)) {
        json_decref(body);
        rest_reply_status(rest);
        return;
    }
    if (str_eq(rest->call.subresource, "scale") && kind != BODY_JSON_PATCH) {
        write_scale(rest, body, true);
        return;
    }
    json_t *object = NULL;
    int r = api_patch(&rest->call, kinds[kind], body, duplicates, &object);
    rest_reply_result(rest, r, rest->call.created ? 201 : 200, object);
}

static int check_kind(Rest *rest, BodyKind *ret_kind) {
    const char *type = http_request_header(rest->http, "Content-Type");
    bool is_patch = http_request_is(rest->http, "PATCH");
    const char *accepted =
        is_patch ? "application/json-patch+json, application/merge-patch+json, "
                   "application/strategic-merge-patch+json, application/apply-patch+yaml"
                 : "application/json, application/yaml, " PROTOBUF_CONTENT_TYPE;
    if (body_kind_parse(type, ret_kind) != 0 || is_patch != (*ret_kind >= BODY_JSON_PATCH) ||
        (*ret_kind == BODY_STRATEGIC_PATCH && rest->call.resource && rest->call.resource->custom))
        return refuse_format(rest, accepted);
    return 0;
}

static void on_body(void *ctx, HttpRequest *request, int r, Slice text) {
    Rest *rest = ctx;
    BodyKind kind = BODY_JSON;
    json_t *body = NULL;
    _cleanup_strlist_ StrList duplicates = { 0 };
    bool is_delete = http_request_is(request, "DELETE");
    if (r == -EFBIG) {
        status_make(&rest->call.status, 413, "RequestEntityTooLarge", NULL,
                    "Request entity too large: limit is %d", REST_BODY_MAX);
        rest_reply_status(rest);
        return;
    }
    if (r < 0) {
        rest_reply_failure(rest, r);
        return;
    }
    if (!(is_delete && text.len == 0)) {
        r = check_kind(rest, &kind);
        if (r == 0)
            r = decode_body(rest, text, kind, &body, &duplicates);
    }
    if (r != 0)
        rest_reply_status(rest);
    else if (is_delete) {
        _cleanup_json_ json_t *options = body;
        do_delete(rest, options);
    } else if (rest_is_review(rest)) {
        rest_review(rest, body);
    } else if (http_request_is(request, "POST"))
        do_post(rest, body, &duplicates);
    else if (http_request_is(request, "PUT"))
        do_put(rest, body, &duplicates);
    else
        do_patch(rest, body, kind, &duplicates);
}

void rest_write(Rest *rest) {
    static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE" };
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (!http_request_is(rest->http, methods[i]))
            continue;
        http_request_read(rest->http, REST_BODY_MAX, on_body, rest);
        return;
    }
    status_method_not_allowed(&rest->call.status);
    rest_reply_status(rest);
}
