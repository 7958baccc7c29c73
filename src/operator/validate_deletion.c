/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "operator/spec.h"
#include "operator/validate.h"

#define SPEC "The RayJob spec is invalid: "

static void add_line(Buf *out, const char *line) {
    buf_printf(out, "%s%s", out->len ? "\n" : "", line);
}

/* The one thing that a rule waits for: "JobStatus" or "JobDeploymentStatus", and its value. */
static const char *rule_condition(const json_t *rule, const char **ret_value) {
    const char *status = json_str_at(rule, "condition", "jobStatus");
    *ret_value = status ? status : json_str_at(rule, "condition", "jobDeploymentStatus");
    return status ? "JobStatus" : "JobDeploymentStatus";
}

static int64_t rule_ttl(const json_t *rule) {
    return json_int_at(rule, 0, "condition", "ttlSeconds");
}

static bool same_condition(const json_t *a, const json_t *b) {
    const char *value_a, *value_b;
    return str_eq(rule_condition(a, &value_a), rule_condition(b, &value_b)) &&
           str_eq(value_a, value_b);
}

static bool same_policy(const json_t *a, const json_t *b) {
    return str_eq(json_str_at(a, "policy"), json_str_at(b, "policy"));
}

static const char *check_condition(const json_t *rule) {
    bool status = json_at(rule, "condition", "jobStatus");
    bool deployment = json_at(rule, "condition", "jobDeploymentStatus");
    if (status && deployment)
        return "cannot set both JobStatus and JobDeploymentStatus at the same time";
    if (!status && !deployment)
        return "exactly one of JobStatus and JobDeploymentStatus must be set";
    return rule_ttl(rule) < 0 ? "TTLSeconds must be non-negative" : NULL;
}

/* Appends what is wrong with rule `index`; says whether it is good. `kept` are the good ones. */
static bool check_rule(const json_t *spec, const json_t *rule, size_t index, const json_t *kept,
                       Buf *errors) {
    const char *policy = json_str_at(rule, "policy"), *value;
    policy = policy ? policy : "";
    bool takes_pods = str_eq(policy, "DeleteCluster") || str_eq(policy, "DeleteWorkers");
    const char *condition = rule_condition(rule, &value), *said = check_condition(rule);
    _cleanup_free_ char *text = NULL;
    size_t i;
    json_t *other;
    if (said)
        text = str_printf("%s", said);
    else if (takes_pods && json_object_size(json_at(spec, "clusterSelector")) > 0)
        text =
            str_printf("DeletionPolicyType '%s' not supported when ClusterSelector is set", policy);
    else if (str_eq(policy, "DeleteWorkers") && spec_autoscaling(json_at(spec, "rayClusterSpec")))
        text = str_printf("DeletionPolicyType 'DeleteWorkers' not supported with autoscaling "
                          "enabled");
    json_array_foreach(kept, i, other) {
        if (!text && same_condition(other, rule) && same_policy(other, rule))
            text = str_printf("duplicate rule for DeletionPolicyType '%s' and %s '%s'", policy,
                              condition, value);
    }
    if (!text)
        return true;
    _cleanup_free_ char *line = str_printf("deletionRules[%zu]: %s", index, text);
    add_line(errors, line);
    return false;
}

/* For the condition of `first`: workers go no later than the cluster, the cluster no later than
 * the RayJob itself. */
static void check_order(const json_t *kept, const json_t *first, Buf *errors) {
    static const char *const ORDER[] = { "DeleteWorkers", "DeleteCluster", "DeleteSelf" };
    const json_t *before = NULL;
    const char *value, *condition = rule_condition(first, &value);
    for (size_t step = 0; step < ARRAY_LEN(ORDER); step++) {
        size_t i;
        json_t *rule;
        json_array_foreach(kept, i, rule) {
            if (!same_condition(rule, first) || !str_eq(json_str_at(rule, "policy"), ORDER[step]))
                continue;
            if (before && rule_ttl(rule) < rule_ttl(before)) {
                _cleanup_free_ char *line =
                    str_printf("for %s '%s': %s TTL (%" PRId64 ") must be >= %s TTL (%" PRId64 ")",
                               condition, value, ORDER[step], rule_ttl(rule),
                               json_str_at(before, "policy"), rule_ttl(before));
                add_line(errors, line);
            }
            before = rule;
        }
    }
}

static bool seen_before(const json_t *kept, size_t index) {
    for (size_t i = 0; i < index; i++)
        if (same_condition(json_array_get(kept, i), json_array_get(kept, index)))
            return true;
    return false;
}

static const char *check_rules(const json_t *spec, Arena *arena) {
    _cleanup_json_ json_t *kept = json_array();
    _cleanup_buf_ Buf errors = { 0 };
    size_t i;
    json_t *rule;
    json_array_foreach(json_at(spec, "deletionStrategy", "deletionRules"), i, rule) {
        if (check_rule(spec, rule, i, kept, &errors))
            json_array_append(kept, rule);
    }
    json_array_foreach(kept, i, rule) {
        if (!seen_before(kept, i))
            check_order(kept, rule, &errors);
    }
    return errors.len ? arena_str(arena, errors.data) : NULL;
}

static const char *selector_error(const char *policy, const char *when, Arena *arena) {
    if (!str_eq(policy, "DeleteCluster") && !str_eq(policy, "DeleteWorkers"))
        return NULL;
    return arena_printf(arena, "the ClusterSelector mode doesn't support DeletionStrategy=%s on %s",
                        policy, when);
}

static const char *check_legacy(const json_t *spec, Arena *arena) {
    const json_t *strategy = json_at(spec, "deletionStrategy");
    const char *success = json_str_at(strategy, "onSuccess", "policy");
    const char *failure = json_str_at(strategy, "onFailure", "policy");
    if (!json_at(strategy, "onSuccess") || !json_at(strategy, "onFailure"))
        return "both DeletionStrategy.OnSuccess and DeletionStrategy.OnFailure must be set when "
               "using the legacy deletion policy fields of DeletionStrategy";
    if (!success)
        return "the DeletionPolicyType field of DeletionStrategy.OnSuccess cannot be unset when "
               "DeletionStrategy is enabled";
    if (!failure)
        return "the DeletionPolicyType field of DeletionStrategy.OnFailure cannot be unset when "
               "DeletionStrategy is enabled";
    if (json_object_size(json_at(spec, "clusterSelector")) > 0) {
        const char *said = selector_error(success, "success", arena);
        said = said ? said : selector_error(failure, "failure", arena);
        if (said)
            return said;
    }
    bool workers = str_eq(success, "DeleteWorkers") || str_eq(failure, "DeleteWorkers");
    if (workers && spec_autoscaling(json_at(spec, "rayClusterSpec")))
        return "DeletionStrategy=DeleteWorkers currently does not support RayCluster with "
               "autoscaling enabled";
    bool none = str_eq(success, "DeleteNone") || str_eq(failure, "DeleteNone");
    if (none && json_bool_at(spec, false, "shutdownAfterJobFinishes"))
        return SPEC "shutdownAfterJobFinshes is set to 'true' while deletion policy is "
                    "'DeleteNone'";
    return NULL;
}

const char *deletion_check(const json_t *job_spec, Arena *arena) {
    const json_t *strategy = json_at(job_spec, "deletionStrategy");
    bool shutdown = json_bool_at(job_spec, false, "shutdownAfterJobFinishes");
    if (!shutdown && json_int_at(job_spec, 0, "ttlSecondsAfterFinished") > 0)
        return SPEC "a RayJob with shutdownAfterJobFinishes set to false cannot have "
                    "TTLSecondsAfterFinished";
    if (!strategy)
        return NULL;
    bool legacy = json_at(strategy, "onSuccess") || json_at(strategy, "onFailure");
    bool rules = json_array_size(json_at(strategy, "deletionRules")) > 0;
    if (rules && shutdown)
        return SPEC "spec.shutdownAfterJobFinishes and spec.deletionStrategy.deletionRules are "
                    "mutually exclusive";
    if (rules && legacy)
        return SPEC "Cannot use both legacy onSuccess/onFailure fields and deletionRules "
                    "simultaneously";
    if (legacy)
        return check_legacy(job_spec, arena);
    if (rules)
        return check_rules(job_spec, arena);
    return SPEC "DeletionStrategy requires either BOTH onSuccess and onFailure, OR the "
                "deletionRules field (cannot be empty)";
}
