/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"
#include "local/strategy.h"

/* Jobs: the selector and the pod labels that tie pods to the Job by its uid. */

static void label_template(json_t *job) {
    json_t *template = json_make_object(json_make_object(job, "spec"), "template");
    json_t *labels = json_make_object(json_make_object(template, "metadata"), "labels");
    const char *uid = obj_uid(job), *name = obj_name(job);
    json_object_set_new(labels, "controller-uid", json_string(uid));
    json_object_set_new(labels, "batch.kubernetes.io/controller-uid", json_string(uid));
    json_object_set_new(labels, "job-name", json_string(name));
    json_object_set_new(labels, "batch.kubernetes.io/job-name", json_string(name));
}

static void prepare_create(ApiCall *call, json_t *job) {
    if (json_bool_at(job, false, "spec", "manualSelector"))
        return;
    label_template(job);
    json_set_at(
        job,
        json_pack("{s:{s:s}}", "matchLabels", "batch.kubernetes.io/controller-uid", obj_uid(job)),
        "spec", "selector");
}

static void check_same(const json_t *job, const json_t *old, const char *key, const char *field,
                       Faults *faults) {
    const json_t *fresh = json_at(job, "spec", key);
    if (!json_same(fresh, json_at(old, "spec", key)))
        faults_add_invalid(faults, field, fresh, "field is immutable");
}

static void validate(ApiCall *call, const json_t *job, const json_t *old, Faults *faults) {
    if (!old || call->subresource)
        return;
    check_same(job, old, "selector", "spec.selector", faults);
    check_same(job, old, "completionMode", "spec.completionMode", faults);
    /* A suspended Job that never ran may get other scheduling directives. */
    bool asleep =
        json_bool_at(old, false, "spec", "suspend") && !json_at(old, "status", "startTime");
    if (!asleep)
        check_same(job, old, "template", "spec.template", faults);
    if (!str_eq(json_str_at(job, "spec", "completionMode"), "Indexed"))
        check_same(job, old, "completions", "spec.completions", faults);
}

const Strategy strategy_job = {
    .plural = "jobs",
    .group = "batch",
    .prepare_create = prepare_create,
    .validate = validate,
};
