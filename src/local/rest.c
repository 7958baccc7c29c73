/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "codec/yaml.h"
#include "local/server_private.h"
#include "local/token.h"
#include "net/stream.h"

/* From the head of a request to the handler that owes its answer, and the ways to answer. */

Rest *rest_free(Rest *rest) {
    if (!rest)
        return NULL;
    if (!loop_timer_armed(rest->server->tidy))
        loop_timer_after(rest->server->tidy, REST_TIDY_AFTER);
    store_forget(rest->server->api.store, rest);
    api_call_done(&rest->call);
    strlist_done(&rest->user.groups);
    buf_done(&rest->body);
    free(rest);
    return NULL;
}

const char *rest_query(const Rest *rest, const char *name) {
    return http_query_get(http_request_query(rest->http), name);
}

bool rest_query_flag(const Rest *rest, const char *name) {
    return query_true(http_request_query(rest->http), name);
}

/* Answers. */

static void add_warnings(Rest *rest) {
    const StrList *warnings = &rest->call.warnings;
    for (size_t i = 0; i < warnings->len && i < 50; i++) {
        _cleanup_buf_ Buf text = { 0 };
        buf_add_str(&text, "299 - \"");
        for (const char *p = warnings->items[i]; *p; p++) {
            if (*p == '"' || *p == '\\')
                buf_add_char(&text, '\\');
            buf_add_char(&text, (unsigned char)*p < 0x20 ? ' ' : *p);
        }
        buf_add_char(&text, '"');
        http_response_header(rest->http, "Warning", text.data);
    }
}

static void send_body(void *ctx) {
    Rest *rest = ctx;
    add_warnings(rest);
    http_respond(rest->http, rest->code, rest->content_type, buf_slice(&rest->body));
    rest_free(rest);
}

static void encode_value(Rest *rest, const json_t *value) {
    if (rest->accept.yaml) {
        yaml_encode(value, &rest->body);
        rest->content_type = "application/yaml";
        return;
    }
    json_encode(value, 0, &rest->body);
    buf_add_char(&rest->body, '\n');
    rest->content_type = "application/json";
}

void rest_reply_value(Rest *rest, int code, json_t *value) {
    encode_value(rest, value);
    json_decref(value);
    rest->code = code;
    store_when_durable(rest->server->api.store, send_body, rest);
}

void rest_reply_buffer(Rest *rest, int code, const char *content_type) {
    rest->content_type = content_type;
    rest->code = code;
    store_when_durable(rest->server->api.store, send_body, rest);
}

void rest_reply_typed(Rest *rest, json_t *value, const char *content_type) {
    json_encode(value, 0, &rest->body);
    json_decref(value);
    rest_reply_buffer(rest, 200, content_type);
}

bool rest_wants_stored(const Rest *rest) {
    return rest->accept.shape == ACCEPT_OBJECT && !rest->accept.yaml &&
           rest->call.version->storage && !str_eq(rest->call.resource->group, "events.k8s.io");
}

void rest_reply_text(Rest *rest, int code, const char *text) {
    http_respond_text(rest->http, code, "%s", text);
    rest_free(rest);
}

void rest_reply_status(Rest *rest) {
    int code = (int)json_int_at(rest->call.status, 500, "code");
    json_t *status = rest->call.status;
    rest->call.status = NULL;
    rest_reply_value(rest, code, status);
}

void rest_reply_failure(Rest *rest, int r) {
    /* The log is broken: the process ends soon; nothing may be promised any more. */
    http_respond_error(rest->http, r);
    rest_free(rest);
}

json_t *rest_metadata_of(const json_t *object) {
    return json_pack("{s:s, s:s, s:O}", "kind", "PartialObjectMetadata", "apiVersion",
                     "meta.k8s.io/v1", "metadata", json_object_get(object, "metadata"));
}

TableInclude rest_table_include(const Rest *rest) {
    const char *include = rest_query(rest, "includeObject");
    return str_eq(include, "None")     ? TABLE_NONE
           : str_eq(include, "Object") ? TABLE_OBJECT
                                       : TABLE_METADATA;
}

static json_t *metadata_list(const json_t *objects, const json_t *list_meta) {
    json_t *items = json_array(), *object;
    size_t i;
    json_array_foreach(objects, i, object)
        json_array_append_new(items, rest_metadata_of(object));
    return json_pack("{s:s, s:s, s:O, s:o}", "kind", "PartialObjectMetadataList", "apiVersion",
                     "meta.k8s.io/v1", "metadata", list_meta, "items", items);
}

json_t *rest_shape(Rest *rest, json_t *objects, const json_t *list_meta, bool is_list) {
    Resource *resource = rest->call.resource;
    if (rest->accept.shape == ACCEPT_TABLE)
        return table_render(resource_printer(resource, rest->call.version), objects, list_meta,
                            rest_table_include(rest), false, loop_wall_now(rest->server->loop));
    if (rest->accept.shape == ACCEPT_METADATA)
        return is_list ? metadata_list(objects, list_meta)
                       : rest_metadata_of(json_array_get(objects, 0));
    if (!is_list)
        return json_incref(json_array_get(objects, 0));
    return json_pack("{s:s, s:s, s:O, s:O}", "kind", resource->list_kind, "apiVersion",
                     rest->call.version->api_version, "metadata", list_meta, "items", objects);
}

void rest_reply_object(Rest *rest, int code, json_t *stored) {
    json_t *value = resource_present(rest->call.resource, rest->call.version, stored);
    json_decref(stored);
    _cleanup_json_ json_t *one = json_pack("[o]", value);
    _cleanup_json_ json_t *meta =
        json_pack("{s:O?}", "resourceVersion", json_at(value, "metadata", "resourceVersion"));
    rest_reply_value(rest, code, rest_shape(rest, one, meta, false));
}

void rest_reply_result(Rest *rest, int r, int code, json_t *object) {
    if (r == 0)
        rest_reply_object(rest, code, object);
    else if (r < 0)
        rest_reply_failure(rest, r);
    else
        rest_reply_status(rest);
}

/* Who asks. */

static bool authenticate_certificate(Rest *rest) {
    Stream *stream = http_request_stream_of(rest->http);
    const TlsPeer *peer = stream ? stream_tls_peer(stream) : NULL;
    if (!peer || str_empty(peer->common_name))
        return false;
    rest->user.name = arena_str(http_request_arena(rest->http), peer->common_name);
    for (size_t i = 0; i < peer->organizations.len; i++)
        strlist_add(&rest->user.groups, peer->organizations.items[i]);
    strlist_add(&rest->user.groups, "system:authenticated");
    return true;
}

static bool authenticate_token(Rest *rest) {
    const char *token = http_bearer(http_request_headers(rest->http));
    TokenSubject subject;
    if (!token || token_check(&rest->server->api, token, &subject) != 0)
        return false;
    Arena *arena = http_request_arena(rest->http);
    rest->user.name =
        arena_printf(arena, "system:serviceaccount:%s:%s", subject.ns, subject.account);
    rest->user.uid = arena_str(arena, subject.uid);
    strlist_add(&rest->user.groups, "system:serviceaccounts");
    strlist_printf(&rest->user.groups, "system:serviceaccounts:%s", subject.ns);
    strlist_add(&rest->user.groups, "system:authenticated");
    token_subject_done(&subject);
    return true;
}

/* kubectl --as: who may do everything may be anybody. */
static void impersonate(Rest *rest) {
    const HttpHeaders *headers = http_request_headers(rest->http);
    const char *name = http_request_header(rest->http, "Impersonate-User");
    if (str_empty(name))
        return;
    const char *uid = http_request_header(rest->http, "Impersonate-Uid");
    rest->user.name = arena_str(http_request_arena(rest->http), name);
    rest->user.uid = uid ? arena_str(http_request_arena(rest->http), uid) : NULL;
    strlist_done(&rest->user.groups);
    rest->user.groups = (StrList){ 0 };
    for (size_t i = 0; i < headers->len; i++)
        if (str_eq_nocase(headers->items[i].name, "Impersonate-Group"))
            strlist_add(&rest->user.groups, headers->items[i].value);
    strlist_add(&rest->user.groups, "system:authenticated");
}

bool rest_authenticate(Rest *rest) {
    if (!authenticate_certificate(rest) && !authenticate_token(rest))
        return false;
    impersonate(rest);
    return true;
}

/* Which handler. */

/* "/readyz", "/livez/ping": the door, and behind it the one check that is asked for. NULL: none. */
static const char *health_door(const char *path, const char **ret_check) {
    static const char *const doors[] = { "/healthz", "/livez", "/readyz" };
    for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
        const char *behind = path + strlen(doors[i]);
        if (!str_starts(path, doors[i]) || (*behind && *behind != '/'))
            continue;
        *ret_check = *behind ? behind + 1 : "";
        return doors[i] + 1;
    }
    return NULL;
}

/* A log that can't be written ends the process: who answers is well. */
static void reply_health(Rest *rest, const char *door, const char *check) {
    if (*check && !str_eq(check, "ping") && !str_eq(check, "log"))
        rest_reply_text(rest, 404, "404 page not found");
    else if (*check || !rest_query(rest, "verbose"))
        rest_reply_text(rest, 200, "ok");
    else {
        _cleanup_free_ char *text = str_printf("[+]ping ok\n[+]log ok\n%s check passed\n", door);
        rest_reply_text(rest, 200, text);
    }
}

/* 1.33: what kubectl 1.32 to 1.34 take for no further away than one version. */
static void reply_version(Rest *rest) {
    rest_reply_value(rest, 200,
                     json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "major", "1",
                               "minor", "33", "gitVersion", "v1.33.0+mobula", "gitCommit", "",
                               "gitTreeState", "clean", "buildDate", "1970-01-01T00:00:00Z",
                               "goVersion", "", "compiler", "gcc", "platform", "linux/amd64"));
}

static int find_resource(Rest *rest) {
    ApiCall *call = &rest->call;
    const Route *route = &rest->route;
    Resource *resource = registry_find(&rest->server->api.registry, route->group, route->resource);
    ResourceVersion *version = resource ? resource_version(resource, route->version) : NULL;
    if (!version)
        return status_no_such_path(&call->status);
    /* A cluster-wide list of a namespaced kind has no namespace; an object always has its own. */
    if (resource->namespaced ? (str_empty(route->ns) && route->name) : !str_empty(route->ns))
        return status_no_such_path(&call->status);
    call->resource = resource_ref(resource);
    call->version = version;
    call->ns = route->ns;
    call->name = route->name;
    call->subresource = route->subresource;
    return 0;
}

static bool is_pod_door(const Rest *rest, const char *subresource) {
    return str_empty(rest->route.group) && str_eq(rest->route.resource, "pods") &&
           str_eq(rest->route.subresource, subresource);
}

static bool is_proxy(const Rest *rest) {
    return str_empty(rest->route.group) && str_eq(rest->route.subresource, "proxy") &&
           (str_eq(rest->route.resource, "pods") || str_eq(rest->route.resource, "services"));
}

void rest_resource(Rest *rest) {
    if (rest_is_review(rest)) {
        rest_write(rest);
        return;
    }
    bool is_get = http_request_is(rest->http, "GET") || http_request_is(rest->http, "HEAD");
    int r = find_resource(rest);
    if (r == 0 && !is_get)
        r = rest_read_write_options(rest);
    if (r != 0) {
        rest_reply_status(rest);
        return;
    }
    if (rest->call.version->deprecation)
        strlist_add(&rest->call.warnings, rest->call.version->deprecation);
    if (is_proxy(rest))
        rest_proxy(rest);
    else if (is_pod_door(rest, "log") && is_get)
        rest_log(rest);
    else if (is_pod_door(rest, "exec") || is_pod_door(rest, "attach"))
        rest_exec(rest);
    else if (is_pod_door(rest, "portforward"))
        rest_port_forward(rest);
    else if (is_get && !rest->route.name && rest_query_flag(rest, "watch"))
        rest_watch(rest);
    else if (is_get)
        rest_read(rest);
    else
        rest_write(rest);
}

static void reply_unacceptable(Rest *rest) {
    status_make(&rest->call.status, 406, "NotAcceptable", NULL,
                "only the following media types are accepted: application/json, application/yaml");
    rest->accept = (Accept){ 0 };
    rest_reply_status(rest);
}

static void dispatch(Rest *rest) {
    const char *path = rest->route.path;
    bool raw = is_proxy(rest) || is_pod_door(rest, "log");
    if (str_eq(path, "/version") || str_eq(path, "/version/"))
        reply_version(rest);
    else if (!raw && accept_parse(http_request_header(rest->http, "Accept"), &rest->accept) != 0 &&
             !str_starts(path, "/openapi/"))
        reply_unacceptable(rest);
    else if (str_starts(path, "/openapi/"))
        rest_openapi(rest);
    else if (rest_is_discovery(rest))
        rest_discovery(rest);
    else if (rest->route.is_resource)
        rest_resource(rest);
    else
        rest_reply_text(rest, 404, "404 page not found");
}

/* The server's HttpHandlerFn. */
void rest_handle(void *ctx, HttpRequest *request) {
    ApiServer *server = ctx;
    Rest *rest = mem_new(Rest);
    rest->server = server;
    rest->http = request;
    rest->call.api = &server->api;
    const char *check;
    int r = route_parse(http_request_arena(request), http_request_target(request), &rest->route);
    const char *door = r == 0 ? health_door(rest->route.path, &check) : NULL;
    if (r < 0) {
        status_bad_request(&rest->call.status, "%s", error_text(r));
        rest_reply_status(rest);
    } else if (door) {
        reply_health(rest, door, check);
    } else if (!rest_authenticate(rest)) {
        status_unauthorized(&rest->call.status);
        rest_reply_status(rest);
    } else {
        rest->call.user = rest->user.name;
        dispatch(rest);
    }
}
