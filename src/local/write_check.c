/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "kobj/meta.h"
#include "kobj/names.h"
#include "local/write_private.h"

int write_check_identity(ApiCall *call, json_t *body) {
    const ResourceVersion *version = call->version;
    const char *name = obj_name(body);
    const char *api_version = obj_api_version(body), *kind = obj_kind(body);
    if (!json_is_object(body))
        return status_bad_request(&call->status, "the body is no JSON object");
    if (kind && !str_eq(kind, call->resource->kind))
        return status_bad_request(
            &call->status, "%s in version \"%s\" cannot be handled as a %s: no kind \"%s\" here",
            kind, api_version ? api_version : "", call->resource->kind, kind);
    if (!str_empty(api_version) && !str_eq(api_version, version->api_version))
        return status_bad_request(&call->status,
                                  "the API version in the data (%s) does not match the expected "
                                  "API version (%s)",
                                  api_version, version->api_version);
    json_object_set_new(body, "apiVersion", json_string(version->api_version));
    json_object_set_new(body, "kind", json_string(call->resource->kind));
    json_t *metadata = json_object_get(body, "metadata");
    if (metadata && !json_is_object(metadata) && !json_is_null(metadata))
        return status_bad_request(&call->status, "metadata is no JSON object");
    metadata = json_make_object(body, "metadata");
    if (call->name && !str_empty(name) && !str_eq(name, call->name))
        return status_bad_request(&call->status,
                                  "the name of the object (%s) does not match the name on the URL "
                                  "(%s)",
                                  name, call->name);
    const char *ns = json_str_at(metadata, "namespace");
    if (!call->resource->namespaced) {
        json_object_del(metadata, "namespace");
        return 0;
    }
    if (!str_empty(ns) && !str_eq(ns, call->ns))
        return status_bad_request(&call->status, "the namespace of the provided object does not "
                                                 "match the namespace sent on the request");
    json_object_set_new(metadata, "namespace", json_string(call->ns));
    return 0;
}

/* What strict validation refuses and the default one warns about. */
static int judge_fields(ApiCall *call, const StrList *unknown, const StrList *duplicates) {
    _cleanup_strlist_ StrList found = { 0 };
    for (size_t i = 0; duplicates && i < duplicates->len; i++)
        strlist_printf(&found, "duplicate field \"%s\"", duplicates->items[i]);
    for (size_t i = 0; i < unknown->len; i++)
        strlist_printf(&found, "unknown field \"%s\"", unknown->items[i]);
    if (call->validation == API_WARN)
        for (size_t i = 0; i < found.len; i++)
            strlist_add(&call->warnings, found.items[i]);
    if (found.len == 0 || call->validation != API_STRICT)
        return 0;
    _cleanup_buf_ Buf text = { 0 };
    for (size_t i = 0; i < found.len; i++)
        buf_printf(&text, "%s%s", i ? ", " : "", found.items[i]);
    return status_bad_request(&call->status,
                              "%s in version \"%s\" cannot be handled as a %s: strict decoding "
                              "error: %s",
                              call->resource->kind, call->version->version, call->resource->kind,
                              text.data);
}

int write_check_duplicates(ApiCall *call, const StrList *duplicates) {
    static const StrList none = { 0 };
    return judge_fields(call, &none, duplicates);
}

int write_check_fields(ApiCall *call, json_t *body, const StrList *duplicates) {
    const Schema *schema = call->version->schema;
    _cleanup_strlist_ StrList unknown = { 0 };
    int r =
        call->resource->custom ? kinds_check_meta_types(body) : schema_check_types(schema, body);
    if (r < 0)
        return status_bad_request(
            &call->status, "%s in version \"%s\" cannot be handled as a %s: %s",
            call->resource->kind, call->version->version, call->resource->kind, error_text(r));
    schema_prune(schema, body, call->validation == API_IGNORE ? NULL : &unknown);
    return judge_fields(call, &unknown, duplicates);
}

void write_default(ApiCall *call, json_t *object) {
    if (call->version->info)
        kinds_default(call->version->info, object);
    else
        schema_default(call->version->schema, object);
}

void write_prepare(ApiCall *call, json_t *object) {
    if (call->version->info)
        kinds_prepare(call->version->info, object);
}

int write_validate(ApiCall *call, const json_t *object, const json_t *old) {
    _cleanup_faults_ Faults faults = { 0 };
    const Strategy *strategy = strategy_find(call->resource);
    if (call->version->info) {
        kinds_validate(call->version->info, object, old, &faults);
    } else {
        kinds_validate_meta(object, call->resource->namespaced, name_check_dns1123_subdomain,
                            &faults);
        schema_validate(call->version->schema, object, old, &faults);
    }
    if (old)
        kinds_validate_meta_update(object, old, &faults);
    if (strategy->validate)
        strategy->validate(call, object, old, &faults);
    if (faults.len == 0)
        return 0;
    return status_invalid(&call->status, call->resource->group, call->resource->kind,
                          obj_name(object), &faults);
}
