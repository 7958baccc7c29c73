/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "kobj/apply.h"
#include "local/server_private.h"

/*
 * The options in a request's query and, for a deletion, in its body: read into the call, and refused
 * as Kubernetes refuses them, as an object CreateOptions, ListOptions ... with faulty fields.
 */

enum {
    MANAGER_MAX = 128
};

static int refuse(ApiCall *call, const char *kind, const Faults *faults) {
    return faults->len == 0 ? 0 : status_invalid(&call->status, "meta.k8s.io", kind, "", faults);
}

static void unsupported(Faults *faults, const char *field, json_t *value, json_t *known) {
    faults_add_unsupported(faults, field, value, known);
    json_decref(value);
    json_decref(known);
}

static int number(ApiCall *call, const char *text, int64_t *ret_value) {
    if (str_to_i64(text, ret_value) == 0)
        return 0;
    return status_bad_request(&call->status, "strconv.ParseInt: parsing \"%s\": invalid syntax",
                              text);
}

/* Writing. */

static const char *options_kind(const Rest *rest) {
    return http_request_is(rest->http, "POST")    ? "CreateOptions"
           : http_request_is(rest->http, "PUT")   ? "UpdateOptions"
           : http_request_is(rest->http, "PATCH") ? "PatchOptions"
                                                  : "DeleteOptions";
}

static void read_validation(Rest *rest, Faults *faults) {
    const char *text = rest_query(rest, "fieldValidation");
    ApiCall *call = &rest->call;
    if (str_eq(text, "Strict"))
        call->validation = API_STRICT;
    else if (str_eq(text, "Ignore"))
        call->validation = API_IGNORE;
    else if (!str_empty(text) && !str_eq(text, "Warn"))
        unsupported(faults, "fieldValidation", json_string(text),
                    json_pack("[s,s,s,s]", "", "Ignore", "Strict", "Warn"));
}

static void read_manager(Rest *rest, Faults *faults) {
    const char *given = rest_query(rest, "fieldManager");
    if (!str_empty(given)) {
        if (strlen(given) > MANAGER_MAX)
            faults_add_too_long(faults, "fieldManager", MANAGER_MAX);
        rest->call.manager = given;
        return;
    }
    const char *agent = http_request_header(rest->http, "User-Agent");
    _cleanup_free_ char *made = apply_manager_from_user_agent(agent ? agent : "");
    rest->call.manager = arena_str(http_request_arena(rest->http), made ? made : "unknown");
}

static void read_apply(Rest *rest, Faults *faults) {
    const char *type = http_request_header(rest->http, "Content-Type");
    BodyKind kind;
    rest->call.force = rest_query_flag(rest, "force");
    if (!http_request_is(rest->http, "PATCH") || body_kind_parse(type, &kind) != 0)
        return;
    bool applies = kind == BODY_APPLY_PATCH;
    if (applies && str_empty(rest_query(rest, "fieldManager")))
        faults_add_required(faults, "fieldManager", "is required for apply patch");
    if (!applies && rest_query(rest, "force"))
        faults_add_forbidden(faults, "force", "may not be specified for non-apply patch");
}

int rest_read_write_options(Rest *rest) {
    const char *dry_run = rest_query(rest, "dryRun");
    _cleanup_faults_ Faults faults = { 0 };
    if (!str_empty(dry_run) && !str_eq(dry_run, "All"))
        unsupported(&faults, "dryRun", json_pack("[s]", dry_run), json_pack("[s]", "All"));
    rest->call.dry_run = !str_empty(dry_run);
    read_manager(rest, &faults);
    read_validation(rest, &faults);
    read_apply(rest, &faults);
    return refuse(&rest->call, options_kind(rest), &faults);
}

/* Deleting. */

static int read_policy(Rest *rest, const char *policy, bool orphans, ApiDelete *options) {
    _cleanup_faults_ Faults faults = { 0 };
    _cleanup_json_ json_t *value = json_string(policy ? policy : "");
    if (orphans && policy)
        faults_add_invalid(&faults, "propagationPolicy", value,
                           "orphanDependents and deletionPropagation cannot be both set");
    options->propagation = orphans                        ? API_ORPHAN
                           : !policy                      ? API_DEFAULT
                           : str_eq(policy, "Orphan")     ? API_ORPHAN
                           : str_eq(policy, "Foreground") ? API_FOREGROUND
                           : str_eq(policy, "Background") ? API_BACKGROUND
                                                          : API_DEFAULT;
    if (policy && options->propagation == API_DEFAULT)
        unsupported(&faults, "propagationPolicy", json_string(policy),
                    json_pack("[s,s,s,s]", "Foreground", "Background", "Orphan", "nil"));
    return refuse(&rest->call, "DeleteOptions", &faults);
}

int rest_read_delete_options(Rest *rest, const json_t *body, ApiDelete *options) {
    const char *grace = rest_query(rest, "gracePeriodSeconds");
    const char *policy = rest_query(rest, "propagationPolicy");
    const json_t *in_body = json_object_get(body, "gracePeriodSeconds");
    bool orphans = rest_query_flag(rest, "orphanDependents");
    *options = API_DELETE_DEFAULT;
    int r = grace ? number(&rest->call, grace, &options->grace_seconds) : 0;
    if (r == 0 && in_body && !json_is_null(in_body) && !json_is_integer(in_body))
        r = status_bad_request(&rest->call.status,
                               "json: cannot unmarshal %s into Go struct field "
                               "DeleteOptions.gracePeriodSeconds of type int64",
                               json_type_name(in_body));
    if (r != 0)
        return r;
    options->grace_seconds = json_int_at(body, options->grace_seconds, "gracePeriodSeconds");
    options->uid = json_str_at(body, "preconditions", "uid");
    options->revision = json_str_at(body, "preconditions", "resourceVersion");
    if (json_array_size(json_object_get(body, "dryRun")) > 0)
        rest->call.dry_run = true;
    if (json_str_at(body, "propagationPolicy"))
        policy = json_str_at(body, "propagationPolicy");
    orphans = json_bool_at(body, orphans, "orphanDependents");
    return read_policy(rest, str_empty(policy) ? NULL : policy, orphans, options);
}

/* Listing and watching. */

static void check_list_match(const char *match, const char *revision, Faults *faults) {
    if (str_empty(match))
        return;
    if (str_empty(revision))
        faults_add_forbidden(
            faults, "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (!str_eq(match, "Exact") && !str_eq(match, "NotOlderThan"))
        unsupported(faults, "resourceVersionMatch", json_string(match),
                    json_pack("[s,s,s]", "Exact", "NotOlderThan", ""));
    if (str_eq(match, "Exact") && str_eq(revision, "0"))
        faults_add_forbidden(
            faults, "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
}

static void check_watch_match(const char *match, bool initial, Faults *faults) {
    if (initial && !str_eq(match, "NotOlderThan"))
        faults_add_forbidden(
            faults, "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (str_empty(match))
        return;
    if (!initial)
        faults_add_forbidden(
            faults, "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (!str_eq(match, "NotOlderThan"))
        unsupported(faults, "resourceVersionMatch", json_string(match),
                    json_pack("[s]", "NotOlderThan"));
}

static int read_revision(ApiCall *call, const char *text, uint64_t *ret_revision) {
    *ret_revision = 0;
    if (str_empty(text) || str_to_u64(text, ret_revision) == 0)
        return 0;
    return status_bad_request(&call->status,
                              "resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing "
                              "\"%s\": invalid syntax",
                              text, text);
}

int rest_read_list_options(Rest *rest, RestList *ret_options) {
    ApiCall *call = &rest->call;
    const char *match = rest_query(rest, "resourceVersionMatch");
    const char *revision = rest_query(rest, "resourceVersion");
    const char *initial = rest_query(rest, "sendInitialEvents");
    const char *limit = rest_query(rest, "limit"), *timeout = rest_query(rest, "timeoutSeconds");
    const char *token = rest_query(rest, "continue");
    RestList options = { .watches = rest_query_flag(rest, "watch"), .timeout_seconds = -1 };
    _cleanup_faults_ Faults faults = { 0 };
    int r = str_empty(limit) ? 0 : number(call, limit, &options.limit);
    if (r == 0 && !str_empty(timeout))
        r = number(call, timeout, &options.timeout_seconds);
    if (r == 0)
        r = read_revision(call, revision, &options.revision);
    if (r != 0)
        return r;
    if (options.watches)
        check_watch_match(match, !str_empty(initial), &faults);
    else
        check_list_match(match, revision, &faults);
    if (!options.watches && !str_empty(initial))
        faults_add_forbidden(&faults, "sendInitialEvents",
                             "sendInitialEvents is forbidden for list");
    if (!str_empty(match) && !str_empty(token))
        faults_add_forbidden(&faults, "resourceVersionMatch",
                             "resourceVersionMatch is forbidden when continue is provided");
    options.token = str_empty(token) ? NULL : token;
    options.exact = str_eq(match, "Exact");
    options.initial_events = rest_query_flag(rest, "sendInitialEvents");
    options.has_revision = !str_empty(revision);
    *ret_options = options;
    return refuse(call, "ListOptions", &faults);
}
