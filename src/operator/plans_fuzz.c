/* SPDX-License-Identifier: Apache-2.0 */

/*
 * {"cluster": …, "job": …, "pods": […], "services": […], "others": […], "head": …}: whatever these
 * objects hold, they are refused or planned for, and only what the cluster or job owns is deleted.
 */

#include "base/error.h"
#include "operator/object.h"
#include "operator/plan.h"
#include "operator/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const usec_t NOW = 1800000000 * USEC_PER_SEC;

static const json_t *list_at(const json_t *input, const char *key) {
    const json_t *list = json_object_get(input, key);
    return json_is_array(list) ? list : NULL;
}

static const json_t *named(const json_t *list, const Action *action) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        if (str_eq(object_name(object), action->name) && str_eq(object_uid(object), action->uid))
            return object;
    }
    return NULL;
}

static void check_actions(const Plan *plan, const json_t *input, const json_t *owner) {
    VEC_EACH(action, &plan->actions) {
        ASSERT(action->type != ACTION_DELETE || action->name);
        ASSERT(action->type != ACTION_CREATE || json_is_object(action->object));
        if (action->type != ACTION_DELETE || action->resource != RESOURCE_PODS)
            continue;
        const json_t *pod = named(list_at(input, "pods"), action);
        ASSERT(pod && object_owned_by(pod, owner));
    }
}

static void try_cluster(const json_t *input, const json_t *pods, const json_t *services,
                        const json_t *others) {
    ClusterView view = { json_object_get(input, "cluster"), pods, services, others, NULL };
    OperatorSettings settings;
    NameRandom random = { 7 };
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_plan_ Plan plan;
    Invalid invalid;
    plan_init(&plan);
    if (!json_is_object(view.cluster))
        return;
    settings_default(&settings);
    if (cluster_validate(view.cluster, &arena, &invalid) != 0)
        ASSERT(invalid.message && invalid.reason);
    (void)cluster_warning(view.cluster, &arena);
    cluster_plan(&view, &settings, &random, NOW, &plan);
    check_actions(&plan, input, view.cluster);
    json_decref(cluster_status(&view, NULL, NOW));
}

static void try_job(const json_t *input, const json_t *pods, const json_t *services,
                    const json_t *others) {
    JobView view = {
        .job = json_object_get(input, "job"),
        .cluster = json_object_get(input, "cluster"),
        .head_service = json_array_get(services, 0),
        .head_pod = json_array_get(pods, 0),
        .service = json_array_get(services, 1),
        .submitter = json_array_get(others, 0),
        .report = { .job = json_object_get(input, "head"),
                    .asked = json_int_at(input, NOW, "asked") },
    };
    OperatorSettings settings;
    NameRandom random = { 7 };
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_plan_ Plan plan;
    Invalid invalid;
    plan_init(&plan);
    if (!json_is_object(view.job))
        return;
    view.report.answer = json_is_object(view.report.job)  ? HEAD_JOB
                         : json_is_null(view.report.job)  ? HEAD_ABSENT
                         : json_is_true(view.report.job)  ? HEAD_REFUSED
                         : json_is_false(view.report.job) ? HEAD_BUSY
                                                          : HEAD_SILENT;
    view.report.error = view.report.answer >= HEAD_SILENT ? "no route" : NULL;
    settings_default(&settings);
    if (rayjob_validate(view.job, &arena, &invalid) != 0)
        ASSERT(invalid.message && invalid.reason);
    job_plan(&view, &settings, &random, NOW, &plan);
    check_actions(&plan, input, view.job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const JsonLimits limits = { .bytes = 1u << 14, .values = 2000, .depth = 60 };
    _cleanup_json_ json_t *input = NULL, *none = json_array();
    if (json_parse(data, size, &limits, 0, &input) < 0 || !json_is_object(input))
        return 0;
    const json_t *pods = list_at(input, "pods"), *services = list_at(input, "services"),
                 *others = list_at(input, "others");
    pods = pods ? pods : none;
    services = services ? services : none;
    others = others ? others : none;
    _cleanup_json_ json_t *before = json_deep_copy(input);
    try_cluster(input, pods, services, others);
    try_job(input, pods, services, others);
    ASSERT(json_equal(before, input)); /* plans touch nothing */
    return 0;
}
