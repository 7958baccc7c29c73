/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "kobj/apply.h"
#include "kobj/meta.h"
#include "kobj/names.h"
#include "kobj/patch.h"
#include "local/meta.h"
#include "local/write_private.h"

enum {
    GENERATE_TRIES = 8
};

static ApplyWho who(const ApiCall *call) {
    return (ApplyWho){
        .manager = call->manager,
        .api_version = call->version->api_version,
        .subresource = call->subresource ? call->subresource : "",
        .now = loop_wall_now(call->api->loop),
    };
}

/* Creating. */

static int check_namespace(ApiCall *call, const json_t *object) {
    if (!call->resource->namespaced)
        return 0;
    StatusSubject namespaces = { "", "namespaces" };
    _cleanup_json_ json_t *ns = api_peek(call->api, "", "namespaces", "", call->ns);
    if (!ns)
        return status_not_found(&call->status, namespaces, call->ns);
    if (!obj_is_deleting(ns))
        return 0;
    int code = status_forbidden(&call->status, api_subject(call), obj_name(object),
                                "unable to create new content in namespace %s because it is being "
                                "terminated",
                                call->ns);
    json_t *causes = json_make_array(json_make_object(call->status, "details"), "causes");
    json_t *cause =
        json_pack("{s:s, s:s}", "reason", "NamespaceTerminating", "field", "metadata.namespace");
    json_set_printf(cause, "message", "namespace %s is being terminated", call->ns);
    json_array_append_new(causes, cause);
    return code;
}

static void stamp_metadata(ApiCall *call, json_t *metadata) {
    static const char *const dropped[] = { "resourceVersion", "deletionTimestamp", "selfLink",
                                           "deletionGracePeriodSeconds", "generation" };
    char uid[37];
    for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
        json_object_del(metadata, dropped[i]);
    meta_random_uid(uid);
    json_object_set_new(metadata, "uid", json_string(uid));
    json_object_set_new(metadata, "creationTimestamp",
                        meta_time_json(loop_wall_now(call->api->loop)));
    if (call->resource->counts_generation)
        json_object_set_new(metadata, "generation", json_integer(1));
}

static void generate_name(json_t *metadata) {
    uint64_t random;
    mem_random(&random, sizeof(random));
    _cleanup_free_ char *name = name_generate(json_str_at(metadata, "generateName"), random);
    json_object_set_new(metadata, "name", json_string(name));
}

static int check_new_metadata(ApiCall *call, json_t *metadata, bool *ret_generated) {
    const char *name = json_str_at(metadata, "name");
    *ret_generated = false;
    if (!str_empty(json_str_at(metadata, "resourceVersion")))
        return status_bad_request(&call->status,
                                  "resourceVersion should not be set on objects to be created");
    if (!str_empty(name))
        return 0;
    if (str_empty(json_str_at(metadata, "generateName"))) {
        _cleanup_faults_ Faults faults = { 0 };
        faults_add_required(&faults, "metadata.name", "name or generateName is required");
        return status_invalid(&call->status, call->resource->group, call->resource->kind, "",
                              &faults);
    }
    generate_name(metadata);
    *ret_generated = true;
    return 0;
}

static int put_new(ApiCall *call, json_t *object, bool generated, json_t **ret_object) {
    StoreTable *table = call->resource->table;
    for (int tries = 0;; tries++) {
        const char *name = obj_name(object);
        bool taken = store_get(table, call->ns, name) != NULL;
        if (taken && (!generated || tries == GENERATE_TRIES))
            return status_already_exists(&call->status, api_subject(call), name);
        if (!taken)
            break;
        generate_name(json_object_get(object, "metadata"));
    }
    json_t *stored = resource_absorb(call->resource, call->version, object);
    if (call->dry_run) {
        *ret_object = stored;
        return 0;
    }
    Object *made;
    int r = store_create(call->api->store, table, call->ns, obj_name(object),
                         json_deep_copy(stored), &made);
    json_decref(stored);
    if (r != 0)
        return r;
    *ret_object = object_value(made);
    return 0;
}

/* A new object's status is never its maker's, also where it is kept. */
static void track_new(ApiCall *call, json_t *object) {
    ApplyWho by = who(call);
    _cleanup_json_ json_t *status =
        call->version->has_status ? json_incref(json_object_get(object, "status")) : NULL;
    if (status)
        json_object_del(object, "status");
    apply_track_update(call->version->schema, NULL, object, &by);
    if (status)
        json_object_set(object, "status", status);
}

int write_new(ApiCall *call, json_t *body, bool tracked, json_t **ret_object) {
    _cleanup_json_ json_t *object = body;
    const Strategy *strategy = strategy_find(call->resource);
    json_t *metadata = json_make_object(object, "metadata");
    bool generated;
    int r = check_new_metadata(call, metadata, &generated);
    if (r != 0)
        return r;
    r = check_namespace(call, object);
    if (r != 0)
        return r;
    stamp_metadata(call, metadata);
    if (call->version->has_status && !strategy->keeps_status)
        json_object_del(object, "status");
    write_default(call, object);
    if (!tracked)
        track_new(call, object);
    write_prepare(call, object);
    if (strategy->prepare_create)
        strategy->prepare_create(call, object);
    r = strategy->admit_create ? strategy->admit_create(call, object) : 0;
    if (r == 0)
        r = write_validate(call, object, NULL);
    if (r != 0)
        return r;
    r = put_new(call, object, generated, ret_object);
    if (r == 0 && !call->dry_run && strategy->created)
        strategy->created(call, *ret_object);
    call->created = r == 0;
    return r;
}

int api_create(ApiCall *call, json_t *body, const StrList *duplicates, json_t **ret_object) {
    int r = write_check_identity(call, body);
    if (r == 0)
        r = write_check_fields(call, body, duplicates);
    if (r != 0) {
        json_decref(body);
        return r;
    }
    return write_new(call, body, false, ret_object);
}

/* Replacing. */

/* Fields of metadata that no client changes. */
static void keep_metadata(json_t *object, const json_t *old) {
    static const char *const kept[] = { "uid",
                                        "creationTimestamp",
                                        "deletionTimestamp",
                                        "generation",
                                        "deletionGracePeriodSeconds",
                                        "generateName",
                                        "selfLink",
                                        "resourceVersion",
                                        "name",
                                        "namespace" };
    json_t *to = json_make_object(object, "metadata");
    const json_t *from = json_object_get(old, "metadata");
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        json_t *value = json_object_get(from, kept[i]);
        if (value)
            json_object_set(to, kept[i], value);
        else
            json_object_del(to, kept[i]);
    }
}

/* An empty list of managers says what one of an empty manager says; the normal form leaves it out.
 */
static void keep_reset(json_t *object) {
    json_t *managers = json_at(object, "metadata", "managedFields");
    if (json_is_array(managers) && json_array_size(managers) == 0)
        json_array_append_new(managers, json_object());
}

static int check_revision(ApiCall *call, const json_t *object, const json_t *old) {
    const char *revision = obj_resource_version(object), *uid = obj_uid(object);
    if (!str_empty(uid) && !str_eq(uid, obj_uid(old))) {
        _cleanup_free_ char *why =
            str_printf("Precondition failed: UID in precondition: %s, UID in object meta: %s", uid,
                       obj_uid(old));
        return status_conflict(&call->status, api_subject(call), obj_name(old), why);
    }
    if (str_empty(revision) || str_eq(revision, "0") || str_eq(revision, obj_resource_version(old)))
        return 0;
    return status_conflict(&call->status, api_subject(call), obj_name(old), NULL);
}

/* The object with only what its status subresource may change. A built-in kind's status update may
 * carry labels, annotations and finalizers along, a custom one's may not. */
static json_t *status_only(const ApiCall *call, const json_t *old, json_t *object) {
    static const char *const carried[] = { "labels", "annotations", "finalizers" };
    json_t *merged = json_copy((json_t *)(uintptr_t)old);
    json_t *metadata = json_copy(json_object_get(old, "metadata"));
    const json_t *fresh = json_object_get(object, "metadata");
    json_object_set_new(merged, "metadata", metadata);
    for (size_t i = 0; !call->resource->custom && i < ARRAY_LEN(carried); i++) {
        json_t *value = json_object_get(fresh, carried[i]);
        if (value)
            json_object_set(metadata, carried[i], value);
        else
            json_object_del(metadata, carried[i]);
    }
    json_t *managed = json_object_get(fresh, "managedFields");
    if (managed)
        json_object_set(metadata, "managedFields", managed);
    json_t *status = json_object_get(object, "status");
    if (status)
        json_object_set(merged, "status", status);
    else
        json_object_del(merged, "status");
    json_decref(object);
    json_t *own = json_deep_copy(merged);
    json_decref(merged);
    return own;
}

/* Everything but metadata and status. */
static bool same_spec(const json_t *a, const json_t *b) {
    _cleanup_json_ json_t *left = json_copy((json_t *)(uintptr_t)a);
    _cleanup_json_ json_t *right = json_copy((json_t *)(uintptr_t)b);
    json_object_del(left, "metadata");
    json_object_del(left, "status");
    json_object_del(right, "metadata");
    json_object_del(right, "status");
    return json_same(left, right);
}

static void count_generation(const ApiCall *call, json_t *object, const json_t *old) {
    if (!call->resource->counts_generation || call->keeps_generation || same_spec(object, old))
        return;
    json_set_at(object, json_integer(obj_generation(old) + 1), "metadata", "generation");
}

/* Ownership records aside, did anything change? */
static bool same_content(const json_t *a, const json_t *b) {
    _cleanup_json_ json_t *left = json_copy((json_t *)(uintptr_t)a);
    _cleanup_json_ json_t *right = json_copy((json_t *)(uintptr_t)b);
    json_t *ours[] = { left, right };
    for (size_t i = 0; i < 2; i++) {
        json_t *metadata = json_copy(json_object_get(ours[i], "metadata"));
        json_object_del(metadata, "managedFields");
        json_object_set_new(ours[i], "metadata", metadata);
    }
    return json_same(left, right);
}

/* Only times differ: apply again of the same configuration writes nothing. */
static bool same_ownership(const json_t *a, const json_t *b) {
    const json_t *left = json_at(a, "metadata", "managedFields");
    const json_t *right = json_at(b, "metadata", "managedFields");
    if (json_array_size(left) != json_array_size(right))
        return false;
    for (size_t i = 0; i < json_array_size(left); i++) {
        _cleanup_json_ json_t *l = json_copy(json_array_get(left, i));
        _cleanup_json_ json_t *r = json_copy(json_array_get(right, i));
        json_object_del(l, "time");
        json_object_del(r, "time");
        if (!json_same(l, r))
            return false;
    }
    return true;
}

static bool is_finished_deletion(const json_t *stored) {
    return obj_is_deleting(stored) &&
           json_array_size(json_at(stored, "metadata", "finalizers")) == 0 &&
           json_int_at(stored, 0, "metadata", "deletionGracePeriodSeconds") == 0 &&
           json_array_size(json_at(stored, "spec", "finalizers")) == 0;
}

int write_stored(ApiCall *call, Object *old, json_t *stored, json_t **ret_object) {
    Store *store = call->api->store;
    StoreTable *table = call->resource->table;
    if (call->dry_run) {
        *ret_object = stored;
        return 0;
    }
    bool ends = is_finished_deletion(stored);
    Object *made;
    int r = store_update(store, table, old, stored, &made);
    if (r == 0 && ends)
        r = store_delete(store, table, made, &made);
    if (r == 0)
        *ret_object = object_value(made);
    return r;
}

int write_over(ApiCall *call, Object *old_object, json_t *object, bool tracked,
               json_t **ret_object) {
    const Strategy *strategy = strategy_find(call->resource);
    _cleanup_json_ json_t *old_stored = object_value(old_object);
    _cleanup_json_ json_t *old = resource_present(call->resource, call->version, old_stored);
    bool is_status = str_eq(call->subresource, "status");
    int r = check_revision(call, object, old);
    if (r != 0) {
        json_decref(object);
        return r;
    }
    keep_metadata(object, old);
    if (is_status)
        object = status_only(call, old, object);
    else if (call->version->has_status && json_object_get(old, "status"))
        json_object_set_new(object, "status", json_deep_copy(json_object_get(old, "status")));
    else if (call->version->has_status)
        json_object_del(object, "status");
    _cleanup_json_ json_t *fresh = object;
    keep_reset(fresh);
    write_default(call, fresh);
    ApplyWho by = who(call);
    if (!tracked)
        apply_track_update(call->version->schema, old, fresh, &by);
    write_prepare(call, fresh);
    if (strategy->prepare_update)
        strategy->prepare_update(call, old, fresh);
    count_generation(call, fresh, old);
    r = write_validate(call, fresh, old);
    if (r != 0)
        return r;
    if (same_content(fresh, old) && same_ownership(fresh, old)) {
        *ret_object = json_incref(old_stored);
        return 0;
    }
    json_t *stored = resource_absorb(call->resource, call->version, fresh);
    json_t *own = json_deep_copy(stored);
    json_decref(stored);
    return write_stored(call, old_object, own, ret_object);
}

static int check_update_metadata(ApiCall *call, const json_t *body) {
    if (str_empty(obj_name(body)))
        return status_bad_request(&call->status,
                                  "the name of the object (%s based on URL) was undeterminable: "
                                  "name must be provided",
                                  call->name);
    if (!call->resource->custom || !str_empty(obj_resource_version(body)))
        return 0;
    _cleanup_faults_ Faults faults = { 0 };
    _cleanup_json_ json_t *none = json_integer(0);
    faults_add_invalid(&faults, "metadata.resourceVersion", none,
                       "must be specified for an update");
    return status_invalid(&call->status, call->resource->group, call->resource->kind, call->name,
                          &faults);
}

int api_update(ApiCall *call, json_t *body, const StrList *duplicates, json_t **ret_object) {
    Object *old = api_find(call);
    int r = write_check_identity(call, body);
    if (r == 0)
        r = write_check_fields(call, body, duplicates);
    if (r == 0 && !old)
        r = status_not_found(&call->status, api_subject(call), call->name);
    if (r == 0)
        r = check_update_metadata(call, body);
    if (r != 0) {
        json_decref(body);
        return r;
    }
    return write_over(call, old, body, false, ret_object);
}

int api_change(ApiCall *call, ApiChange *change, void *ctx) {
    Object *old = api_find(call);
    if (!old)
        return status_not_found(&call->status, api_subject(call), call->name);
    _cleanup_json_ json_t *before = object_value(old);
    _cleanup_json_ json_t *after = json_deep_copy(before), *result = NULL;
    if (!change(ctx, after))
        return 0;
    count_generation(call, after, before);
    ApplyWho by = who(call);
    apply_track_update(call->version->schema, before, after, &by);
    return write_stored(call, old, json_incref(after), &result);
}

/* Patching. */

/* What apply_merge() said, as an answer. */
static int apply_status(ApiCall *call, int r) {
    if (r == APPLY_CONFLICT)
        return 409;
    if (r == -EBADMSG)
        return status_make(&call->status, 500, NULL, NULL, "%s", error_text(r));
    return r < 0 ? status_bad_request(&call->status, "%s", error_text(r)) : 0;
}

/* A configuration has to say what it is; unknown fields and wrong types are apply_merge()'s. */
static int check_applied(ApiCall *call, json_t *applied, const StrList *duplicates) {
    const char *api_version = obj_api_version(applied), *kind = obj_kind(applied);
    if (json_is_object(applied) && (str_empty(api_version) || str_empty(kind)))
        return status_bad_request(&call->status, "invalid object type: %s%s, Kind=%s",
                                  api_version && strchr(api_version, '/') ? "" : "/",
                                  api_version ? api_version : "", kind ? kind : "");
    int r = write_check_identity(call, applied);
    return r == 0 ? write_check_duplicates(call, duplicates) : r;
}

static int patched_missing(ApiCall *call, ApiPatch kind, json_t *patch, json_t **ret_object) {
    if (kind != API_PATCH_APPLY || call->subresource)
        return status_not_found(&call->status, api_subject(call), call->name);
    ApplyWho by = who(call);
    json_t *object;
    json_set_at(patch, json_string(call->name), "metadata", "name");
    int r =
        apply_merge(call->version->schema, NULL, patch, &by, call->force, &object, &call->status);
    r = apply_status(call, r);
    if (r != 0)
        return r;
    r = write_check_fields(call, object, NULL);
    if (r != 0) {
        json_decref(object);
        return r;
    }
    return write_new(call, object, true, ret_object);
}

/* Kubernetes gives no reason, and kubectl would show ours in place of the sentence. */
static int unprocessable(ApiCall *call) {
    return status_make(&call->status, 422, "Invalid", json_object(),
                       "the server rejected our request due to an error in our request");
}

static int apply_patch(ApiCall *call, ApiPatch kind, const json_t *live, const json_t *patch,
                       json_t **ret_object) {
    ApplyWho by = who(call);
    int r = 0;
    switch (kind) {
    case API_PATCH_MERGE:
        *ret_object = patch_merge(live, patch);
        return 0;
    case API_PATCH_JSON:
        r = patch_json(live, patch, ret_object);
        return r == 0 ? 0 : unprocessable(call);
    case API_PATCH_STRATEGIC:
        r = patch_strategic(call->version->schema, live, patch, ret_object);
        return r == 0 ? 0 : status_bad_request(&call->status, "%s", error_text(r));
    case API_PATCH_APPLY:
        r = apply_merge(call->version->schema, live, patch, &by, call->force, ret_object,
                        &call->status);
        return apply_status(call, r);
    }
    return status_bad_request(&call->status, "no such patch");
}

/* A patch may state the uid, but not another one. */
static int check_patched(ApiCall *call, const json_t *live, json_t *patched) {
    const char *uid = obj_uid(patched);
    int r = write_check_identity(call, patched);
    if (r != 0 || str_empty(uid) || str_eq(uid, obj_uid(live)))
        return r;
    _cleanup_faults_ Faults faults = { 0 };
    faults_add_invalid(&faults, "metadata.uid", json_at(patched, "metadata", "uid"),
                       "field is immutable");
    return status_invalid(&call->status, call->resource->group, call->resource->kind, call->name,
                          &faults);
}

int api_patch(ApiCall *call, ApiPatch kind, json_t *body, const StrList *duplicates,
              json_t **ret_object) {
    _cleanup_json_ json_t *patch = body;
    Object *old = api_find(call);
    int r = 0;
    if (kind == API_PATCH_APPLY) {
        r = check_applied(call, patch, duplicates);
    } else if (kind == API_PATCH_JSON ? !json_is_array(patch) : !json_is_object(patch)) {
        r = status_bad_request(&call->status, "the patch is no JSON %s",
                               kind == API_PATCH_JSON ? "array" : "object");
    }
    if (r != 0)
        return r;
    if (!old)
        return patched_missing(call, kind, patch, ret_object);
    _cleanup_json_ json_t *stored = object_value(old);
    _cleanup_json_ json_t *live = resource_present(call->resource, call->version, stored);
    json_t *object;
    r = apply_patch(call, kind, live, patch, &object);
    if (r != 0)
        return r;
    json_t *own = json_deep_copy(object); /* what the patch left alone is shared with `live` */
    json_decref(object);
    bool applies = kind == API_PATCH_APPLY;
    if (!applies)
        r = check_patched(call, live, own);
    if (r == 0)
        r = write_check_fields(call, own, applies ? NULL : duplicates);
    if (r != 0) {
        json_decref(own);
        return r;
    }
    return write_over(call, old, own, applies, ret_object);
}
