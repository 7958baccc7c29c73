/* SPDX-License-Identifier: Apache-2.0 */
#include "local/api.h"

#include "base/error.h"

ApiCall api_call(Api *api, const char *manager, const char *group, const char *plural,
                 const char *ns, const char *name) {
    Resource *resource = registry_find(&api->registry, group, plural);
    ASSERT(resource);
    return (ApiCall){
        .api = api,
        .resource = resource_ref(resource),
        .version = resource_storage(resource),
        .ns = ns ? ns : "",
        .name = name,
        .user = manager,
        .manager = manager,
        .validation = API_IGNORE,
    };
}

void api_call_done(ApiCall *call) {
    resource_unref(call->resource);
    call->resource = NULL;
    strlist_done(&call->warnings);
    json_decref(call->status);
    call->status = NULL;
}

StatusSubject api_subject(const ApiCall *call) {
    return (StatusSubject){ call->resource->group, call->resource->plural };
}

const char *api_call_text(const ApiCall *call, int r) {
    const char *message = json_str_at(call->status, "message");
    return r < 0 || !message ? error_text(r) : message;
}

Object *api_find(const ApiCall *call) {
    return call->name ? store_get(call->resource->table, call->ns, call->name) : NULL;
}

json_t *api_peek(Api *api, const char *group, const char *plural, const char *ns,
                 const char *name) {
    Resource *resource = registry_find(&api->registry, group, plural);
    Object *object = resource ? store_get(resource->table, ns, name) : NULL;
    return object ? object_value(object) : NULL;
}
