/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/openapi.h"

#include <inttypes.h>
#include <stdio.h>

#include "local/server_private.h"

/*
 * /openapi/v3 and one document a group version, for `kubectl explain` and its validation. The
 * documents are made when asked for and not kept (clients do, by hash); only the index stays until
 * what is served changes. /openapi/v2 is an empty document: kubectl wants one before it sends a
 * `kind: List`, and leaves checking what it does not name to the server.
 */

typedef Vec(OpenapiKind) Kinds;

static void collect_kinds(const Registry *registry, const char *group, const char *version,
                          Kinds *out) {
    VEC_EACH(item, &registry->all) {
        const Resource *resource = *item;
        const ResourceVersion *served = resource_version(resource, version);
        if (!served || !str_eq(resource->group, group))
            continue;
        vec_push(out, (OpenapiKind){ .group = group,
                                     .version = version,
                                     .kind = resource->kind,
                                     .list_kind = resource->list_kind,
                                     .plural = resource->plural,
                                     .namespaced = resource->namespaced,
                                     .has_status = served->has_status,
                                     .schema = served->schema });
    }
}

/* Empty when nothing of that group version is served. */
static void encode_document(const Registry *registry, const char *group, const char *version,
                            Buf *out) {
    Kinds kinds = { 0 };
    collect_kinds(registry, group, version, &kinds);
    if (kinds.len > 0) {
        _cleanup_json_ json_t *document = openapi_document(kinds.items, kinds.len);
        json_encode(document, 0, out);
    }
    vec_done(&kinds);
}

/* The hash names the content: clients keep documents on disk by it, so it must not depend on the
 * process (as base_hash() does). */
static uint64_t hash_text(Slice text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * 0x100000001b3;
    return hash;
}

static void index_version(const Registry *registry, json_t *index, const char *group,
                          const char *version) {
    _cleanup_buf_ Buf text = { 0 };
    char hash[17];
    encode_document(registry, group, version, &text);
    snprintf(hash, sizeof(hash), "%016" PRIX64, hash_text(buf_slice(&text)));
    openapi_index_add(index, group, version, hash);
}

static json_t *index_now(ApiServer *server) {
    const Registry *registry = &server->api.registry;
    if (server->openapi_index && server->openapi_generation == registry->generation)
        return json_incref(server->openapi_index);
    _cleanup_strlist_ StrList seen = { 0 };
    json_t *index = json_object();
    VEC_EACH(item, &registry->all) {
        const Resource *resource = *item;
        for (size_t i = 0; i < resource->version_count; i++) {
            const ResourceVersion *version = &resource->versions[i];
            if (!version->served || strlist_has(&seen, version->api_version))
                continue;
            strlist_add(&seen, version->api_version);
            index_version(registry, index, resource->group, version->version);
        }
    }
    json_decref(server->openapi_index);
    server->openapi_index = index;
    server->openapi_generation = registry->generation;
    return json_incref(index);
}

static void serve_document(Rest *rest, const char *path) {
    _cleanup_free_ char *text = str_dup(path);
    char *group = NULL, *version = NULL;
    if (str_starts(text, "api/")) {
        version = text + strlen("api/");
    } else if (str_starts(text, "apis/")) {
        group = text + strlen("apis/");
        version = strchr(group, '/');
        if (version)
            *version++ = 0;
    }
    if (version)
        encode_document(&rest->server->api.registry, group ? group : "", version, &rest->body);
    if (rest->body.len == 0) {
        status_no_such_path(&rest->call.status);
        rest_reply_status(rest);
        return;
    }
    http_respond(rest->http, 200, "application/json", buf_slice(&rest->body));
    rest_free(rest);
}

/* openapi.v2.Document { 1 swagger "2.0", 2 Info { 1 title, 2 version } }, as kubectl asks for it. */
static const char V2_PROTOBUF[] = "\n\x03"
                                  "2.0\x12\x15\n\nKubernetes\x12\x07v1.34.0";

static void serve_v2(Rest *rest) {
    const char *accept = http_request_header(rest->http, "Accept");
    if (accept && strstr(accept, "protobuf")) {
        http_respond(rest->http, 200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
                     (Slice){ V2_PROTOBUF, sizeof(V2_PROTOBUF) - 1 });
        rest_free(rest);
        return;
    }
    rest_reply_value(rest, 200,
                     json_pack("{s:s, s:{s:s, s:s}, s:{}, s:{}}", "swagger", "2.0", "info", "title",
                               "Kubernetes", "version", "v1.34.0", "paths", "definitions"));
}

void rest_openapi(Rest *rest) {
    const char *path = rest->route.path;
    rest->accept = (Accept){ 0 };
    if (str_eq(path, "/openapi/v2")) {
        serve_v2(rest);
    } else if (str_eq(path, "/openapi/v3") || str_eq(path, "/openapi/v3/")) {
        rest_reply_value(rest, 200, index_now(rest->server));
    } else if (str_starts(path, "/openapi/v3/")) {
        serve_document(rest, path + strlen("/openapi/v3/"));
    } else {
        status_no_such_path(&rest->call.status);
        rest_reply_status(rest);
    }
}
