/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "kobj/meta.h"
#include "local/meta.h"
#include "local/write_private.h"

/*
 * Deleting. An object goes at once when nothing holds it: no finalizer, no grace period of a pod
 * that runs, no contents of a namespace. Else it gets a deletionTimestamp, and the write that
 * takes the last hold away removes it (write_stored).
 */

static int check_preconditions(ApiCall *call, const json_t *object, const ApiDelete *options) {
    StatusSubject kind = { call->resource->group, call->resource->kind };
    if (options->uid && !str_eq(options->uid, obj_uid(object))) {
        _cleanup_free_ char *why =
            str_printf("the UID in the precondition (%s) does not match the UID in record (%s). "
                       "The object might have been deleted and then recreated",
                       options->uid, obj_uid(object));
        return status_conflict(&call->status, kind, call->name, why);
    }
    if (options->revision && !str_eq(options->revision, obj_resource_version(object))) {
        _cleanup_free_ char *why = str_printf(
            "the ResourceVersion in the precondition (%s) does not match the ResourceVersion in "
            "record (%s). The object might have been modified",
            options->revision, obj_resource_version(object));
        return status_conflict(&call->status, kind, call->name, why);
    }
    return 0;
}

/* Finalizers that the garbage collector works off, as the deletion's policy wants them. */
static void set_propagation(const ApiCall *call, json_t *object, ApiPropagation propagation) {
    bool is_job = str_eq(call->resource->group, "batch") && str_eq(call->resource->plural, "jobs");
    if (propagation == API_DEFAULT && obj_is_deleting(object))
        return;
    if (propagation == API_DEFAULT)
        propagation = obj_has_finalizer(object, "orphan")               ? API_ORPHAN
                      : obj_has_finalizer(object, "foregroundDeletion") ? API_FOREGROUND
                      : is_job                                          ? API_ORPHAN
                                                                        : API_BACKGROUND;
    obj_remove_finalizer(object, "orphan");
    obj_remove_finalizer(object, "foregroundDeletion");
    if (propagation == API_ORPHAN)
        obj_add_finalizer(object, "orphan");
    else if (propagation == API_FOREGROUND)
        obj_add_finalizer(object, "foregroundDeletion");
}

static void set_deadline(ApiCall *call, json_t *object, int64_t grace) {
    json_t *metadata = json_object_get(object, "metadata");
    usec_t now = loop_wall_now(call->api->loop);
    if (!obj_is_deleting(object)) {
        json_object_set_new(metadata, "deletionTimestamp",
                            meta_time_json(now + grace * USEC_PER_SEC));
        json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace));
        if (call->resource->counts_generation)
            json_object_set_new(metadata, "generation", json_integer(obj_generation(object) + 1));
        return;
    }
    /* A second deletion may only shorten the grace. */
    int64_t left = json_int_at(metadata, 0, "deletionGracePeriodSeconds");
    if (grace >= left)
        return;
    usec_t start = meta_time(json_object_get(metadata, "deletionTimestamp")) - left * USEC_PER_SEC;
    usec_t deadline = MAX(start + grace * USEC_PER_SEC, now);
    json_object_set_new(metadata, "deletionTimestamp", meta_time_json(deadline));
    json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace));
}

static int64_t grace_of(const ApiCall *call, const json_t *object, int64_t asked) {
    if (call->resource->custom || !str_eq(call->resource->plural, "pods"))
        return 0;
    return strategy_pod_grace(object, asked);
}

static void terminate_namespace(json_t *object) {
    json_set_at(object, json_string("Terminating"), "status", "phase");
}

static int remove_now(ApiCall *call, Object *old, json_t **ret_object, bool *ret_gone) {
    *ret_gone = true;
    if (call->dry_run) {
        *ret_object = object_value(old);
        return 0;
    }
    Object *last;
    int r = store_delete(call->api->store, call->resource->table, old, &last);
    if (r == 0)
        *ret_object = object_value(last);
    return r;
}

int api_delete(ApiCall *call, const ApiDelete *options, json_t **ret_object, bool *ret_gone) {
    Object *old = api_find(call);
    if (!old)
        return status_not_found(&call->status, api_subject(call), call->name);
    _cleanup_json_ json_t *before = object_value(old);
    const Strategy *strategy = strategy_find(call->resource);
    int r = strategy->admit_delete ? strategy->admit_delete(call, before) : 0;
    if (r == 0)
        r = check_preconditions(call, before, options);
    if (r != 0)
        return r;
    _cleanup_json_ json_t *after = json_deep_copy(before);
    int64_t grace = grace_of(call, before, options->grace_seconds);
    bool is_namespace = !call->resource->custom && str_eq(call->resource->plural, "namespaces");
    set_propagation(call, after, options->propagation);
    bool held = json_array_size(json_at(after, "metadata", "finalizers")) > 0;
    bool filled = is_namespace && json_array_size(json_at(after, "spec", "finalizers")) > 0;
    if (!held && !filled && grace == 0)
        return remove_now(call, old, ret_object, ret_gone);
    set_deadline(call, after, grace);
    if (is_namespace)
        terminate_namespace(after);
    *ret_gone = false;
    if (json_same(before, after)) {
        *ret_object = json_incref(before);
        return 0;
    }
    return write_stored(call, old, json_incref(after), ret_object);
}
