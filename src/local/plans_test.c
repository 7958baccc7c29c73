/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "kobj/meta.h"
#include "local/endpoints_plan.h"
#include "local/job_plan.h"
#include "local/meta.h"
#include "local/node_plan.h"
#include "local/scheduler.h"

static json_t *yaml(const char *text) {
    json_t *value;
    CHECK_OK(yaml_parse(text, strlen(text), NULL, &value));
    return value;
}

/* The scheduler. */

static json_t *node(const char *name, const char *cpu, const char *extra) {
    _cleanup_free_ char *text =
        str_printf("metadata: {name: %s, labels: {zone: %s}}\n"
                   "status: {allocatable: {cpu: '%s', memory: 8Gi, pods: '9'}}\n"
                   "%s",
                   name, name, cpu, extra);
    return yaml(text);
}

static json_t *pod(const char *spec) {
    _cleanup_free_ char *text = str_printf("metadata: {name: p, namespace: d}\nspec: %s", spec);
    return yaml(text);
}

static const char ONE_CPU[] = "{containers: [{name: c, resources: {requests: {cpu: '1'}}}]}";

static void test_places_on_the_emptiest(void **state) {
    _cleanup_json_ json_t *a = node("a", "2", ""), *b = node("b", "4", ""), *p = pod(ONE_CPU);
    _cleanup_(placement_freep) Placement *placement = placement_new();
    _cleanup_buf_ Buf why = { 0 };
    const char *where;
    placement_add_node(placement, a);
    placement_add_node(placement, b);
    const char *const wanted[] = { "b", "a", "b", "b", "a", "b" };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        CHECK_OK(placement_choose(placement, p, &where, &why));
        CHECK_STR(where, wanted[i]);
    }
    CHECK_INT(placement_choose(placement, p, &where, &why), PLACEMENT_NOWHERE);
    CHECK_STR(why.data, "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are "
                        "available: 2 No preemption victims found for incoming pod.");
}

static void test_says_why_not(void **state) {
    _cleanup_json_ json_t *a = node("a", "2", ""),
                          *b = node("b", "2", "spec: {unschedulable: true}");
    _cleanup_json_ json_t *c =
        node("c", "2", "spec: {taints: [{key: k, value: v, effect: NoSchedule}]}");
    _cleanup_json_ json_t *p = pod("{nodeSelector: {zone: x}, containers: []}");
    _cleanup_(placement_freep) Placement *placement = placement_new();
    _cleanup_buf_ Buf why = { 0 };
    const char *where;
    CHECK_INT(placement_choose(placement, p, &where, &why), PLACEMENT_NOWHERE);
    CHECK_STR(why.data, "no nodes available to schedule pods");
    placement_add_node(placement, a);
    placement_add_node(placement, b);
    placement_add_node(placement, c);
    CHECK_INT(placement_choose(placement, p, &where, &why), PLACEMENT_NOWHERE);
    CHECK_STR(why.data,
              "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 "
              "node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable. preemption: 0/3 "
              "nodes are available: 3 Preemption is not helpful for scheduling.");
}

static void add(void *ctx, const char *name, int64_t milli) {
    if (str_eq(name, "cpu"))
        *(int64_t *)ctx += milli;
}

static void test_counts_init_containers(void **state) {
    _cleanup_json_ json_t *p = pod(
        "{containers: [{resources: {requests: {cpu: 500m}}}, {resources: {requests: {cpu: 1}}}],"
        " initContainers: [{resources: {requests: {cpu: 2}}}, {resources: {requests: {cpu: 1}}}]}");
    int64_t cpu = 0;
    pod_requests_each(p, add, &cpu);
    CHECK_INT(cpu, 2000);
}

static void test_tolerates(void **state) {
    _cleanup_json_ json_t *n = node("w", "2", "spec: {taints: [{key: k, effect: NoSchedule}]}");
    _cleanup_json_ json_t *p = pod("{containers: [], tolerations: [{key: k, operator: Exists}]}");
    _cleanup_(placement_freep) Placement *placement = placement_new();
    _cleanup_buf_ Buf why = { 0 };
    const char *where;
    placement_add_node(placement, n);
    CHECK_OK(placement_choose(placement, p, &where, &why));
}

/* Jobs. */

static const usec_t NOW = 1700000000 * USEC_PER_SEC;

static json_t *job(const char *spec, const char *status) {
    _cleanup_free_ char *text =
        str_printf("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: d, uid: u}\n"
                   "spec: %s\nstatus: %s",
                   spec, status);
    return yaml(text);
}

static json_t *job_pod(const char *name, const char *phase, bool tracked) {
    _cleanup_free_ char *text =
        str_printf("metadata: {name: %s, namespace: d%s}\nstatus: {phase: %s}", name,
                   tracked ? ", finalizers: [" JOB_FINALIZER "]" : "", phase);
    return yaml(text);
}

static void test_job_starts(void **state) {
    _cleanup_json_ json_t *j = job("{parallelism: 2, completions: 3, backoffLimit: 1}", "{}");
    JobPlan plan;
    job_plan_make(j, NULL, 0, NOW, &plan);
    CHECK_INT(plan.creates.len, 2);
    CHECK_INT(json_int_at(plan.status, 0, "active"), 2);
    CHECK(json_str_at(plan.status, "startTime") != NULL);
    job_plan_done(&plan);
}

static void test_job_counts_once_and_completes(void **state) {
    _cleanup_json_ json_t *j = job("{parallelism: 1, completions: 1, backoffLimit: 1}",
                                   "{startTime: '2023-11-14T22:00:00Z', active: 1}");
    _cleanup_json_ json_t *p = job_pod("p", "Succeeded", true);
    JobPlan plan;
    job_plan_make(j, &p, 1, NOW, &plan);
    CHECK_INT(plan.releases.len, 1);
    CHECK_INT(plan.creates.len, 0);
    CHECK_INT(json_int_at(plan.status, 0, "succeeded"), 1);
    json_object_set(j, "status", plan.status);
    CHECK(condition_is_true(j, "Complete"));
    CHECK_INT(plan.events.len, 1);
    CHECK_STR(plan.events.items[0].reason, "Completed");
    job_plan_done(&plan);
    job_plan_make(j, &p, 1, NOW, &plan);
    CHECK(plan.status == NULL); /* nothing more to say */
    job_plan_done(&plan);
}

static void test_job_backs_off_then_fails(void **state) {
    _cleanup_json_ json_t *j = job("{parallelism: 1, completions: 1, backoffLimit: 1}",
                                   "{startTime: '2023-11-14T22:00:00Z', active: 1}");
    json_t *pods[] = { job_pod("a", "Failed", true), job_pod("b", "Failed", true) };
    JobPlan plan;
    job_plan_make(j, pods, 1, NOW, &plan);
    CHECK_INT(json_int_at(plan.status, 0, "failed"), 1);
    CHECK_INT(plan.creates.len, 0);
    CHECK_INT(plan.look_at, NOW + 10 * USEC_PER_SEC);
    json_object_set(j, "status", plan.status);
    job_plan_done(&plan);
    obj_remove_finalizer(pods[0], JOB_FINALIZER);
    job_plan_make(j, pods, 2, NOW, &plan);
    json_object_set(j, "status", plan.status);
    CHECK_INT(json_int_at(plan.status, 0, "failed"), 2);
    CHECK(condition_is_true(j, "Failed"));
    CHECK_STR(json_str_at(obj_condition(j, "Failed"), "reason"), "BackoffLimitExceeded");
    job_plan_done(&plan);
    json_decref(pods[0]);
    json_decref(pods[1]);
}

static void test_job_expires(void **state) {
    _cleanup_json_ json_t *j =
        job("{ttlSecondsAfterFinished: 10}",
            "{conditions: [{type: Complete, status: 'True', lastTransitionTime: "
            "'2023-11-14T22:13:15Z'}]}");
    JobPlan plan;
    job_plan_make(j, NULL, 0, NOW, &plan); /* 22:13:20 */
    CHECK(!plan.expired);
    CHECK_INT(plan.look_at, NOW + 5 * USEC_PER_SEC);
    job_plan_done(&plan);
    job_plan_make(j, NULL, 0, NOW + 5 * USEC_PER_SEC, &plan);
    CHECK(plan.expired);
    job_plan_done(&plan);
}

static void test_job_suspends(void **state) {
    _cleanup_json_ json_t *j = job("{suspend: true, parallelism: 1}", "{active: 1}");
    _cleanup_json_ json_t *p = job_pod("p", "Running", true);
    JobPlan plan;
    job_plan_make(j, &p, 1, NOW, &plan);
    CHECK_INT(plan.deletes.len, 1);
    CHECK_INT(json_int_at(plan.status, 0, "active"), 0);
    job_plan_done(&plan);
}

static void test_indexed_job(void **state) {
    _cleanup_json_ json_t *j =
        job("{completionMode: Indexed, parallelism: 3, completions: 5}", "{}");
    json_t *p = job_pod("p", "Succeeded", true);
    obj_set_annotation(p, "batch.kubernetes.io/job-completion-index", "1");
    JobPlan plan;
    job_plan_make(j, &p, 1, NOW, &plan);
    CHECK_STR(json_str_at(plan.status, "completedIndexes"), "1");
    CHECK_INT(plan.creates.len, 3);
    CHECK_INT(plan.creates.items[0], 0);
    CHECK_INT(plan.creates.items[1], 2);
    job_plan_done(&plan);
    json_decref(p);
}

/* EndpointSlices. */

static void test_endpoints(void **state) {
    _cleanup_json_ json_t *service =
        yaml("apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: d, uid: u}\n"
             "spec: {clusterIP: 10.96.0.9, ports: [{name: web, port: 80, targetPort: http}]}");
    _cleanup_json_ json_t *ready =
        yaml("metadata: {name: a, namespace: d, uid: x}\n"
             "spec: {nodeName: n, containers: [{ports: [{name: http, containerPort: 8000}]}]}\n"
             "status: {podIP: 10.1.0.2, conditions: [{type: Ready, status: 'True'}]}");
    _cleanup_json_ json_t *unready =
        yaml("metadata: {name: b, namespace: d, uid: y}\n"
             "spec: {nodeName: n, containers: [{ports: [{name: http, containerPort: 9000}]}]}\n"
             "status: {podIP: 10.1.0.3}");
    json_t *pods[] = { ready, unready };
    _cleanup_json_ json_t *slices = endpoints_plan_make(service, pods, 2);
    CHECK_INT(json_array_size(slices), 2); /* the name stands for different numbers */
    const json_t *first = json_array_get(slices, 0);
    CHECK_INT(json_int_at(json_array_get(json_object_get(first, "ports"), 0), 0, "port"), 8000);
    const json_t *endpoint = json_array_get(json_object_get(first, "endpoints"), 0);
    CHECK(json_bool_at(endpoint, false, "conditions", "ready"));
    CHECK_STR(json_str_at(endpoint, "targetRef", "name"), "a");
    CHECK(endpoints_same(first, first));
    CHECK(!endpoints_same(first, json_array_get(slices, 1)));
    _cleanup_json_ json_t *none = endpoints_plan_make(service, NULL, 0);
    CHECK_INT(json_array_size(none), 1);
}

/* Nodes. */

static void test_node_is_heard_of(void **state) {
    const usec_t second = USEC_PER_SEC, grace = 40 * second;
    _cleanup_json_ json_t *made = yaml("metadata: {creationTimestamp: '1970-01-01T00:00:10Z'}");
    _cleanup_json_ json_t *lease = yaml("spec: {renewTime: '1970-01-01T00:00:30.000000Z'}");
    CHECK_INT(node_plan_due(made, NULL, 0, grace), 50 * second);
    CHECK_INT(node_plan_due(made, lease, 0, grace), 70 * second);
    CHECK_INT(node_plan_due(made, lease, 60 * second, grace), 100 * second);
}

static void test_lost_node(void **state) {
    _cleanup_json_ json_t *lost = yaml("spec: {taints: [{key: mine, effect: NoSchedule}]}\n"
                                       "status: {conditions: [{type: Ready, status: 'True'}]}");
    const json_t *taints = json_at(lost, "spec", "taints");
    CHECK(!node_plan_edit(lost, false, 1));
    CHECK(node_plan_edit(lost, true, 1));
    CHECK_STR(json_str_at(obj_condition(lost, "Ready"), "status"), "Unknown");
    CHECK_STR(json_str_at(obj_condition(lost, "Ready"), "reason"), "NodeStatusUnknown");
    CHECK_STR(json_str_at(obj_condition(lost, "DiskPressure"), "reason"), "NodeStatusNeverUpdated");
    CHECK_INT(json_array_size(taints), 3);
    CHECK_STR(json_str_at(json_array_get(taints, 2), "key"), "node.kubernetes.io/unreachable");
    CHECK_STR(json_str_at(json_array_get(taints, 2), "effect"), "NoExecute");
    CHECK(!node_plan_edit(lost, true, 2));
}

static void test_node_comes_back(void **state) {
    _cleanup_json_ json_t *back = yaml("status: {conditions: [{type: Ready, status: 'Unknown'}]}");
    CHECK(node_plan_edit(back, false, 1));
    CHECK_INT(json_array_size(json_at(back, "spec", "taints")), 2);
    json_object_set_new(obj_condition(back, "Ready"), "status", json_string("False"));
    CHECK(node_plan_edit(back, false, 1));
    CHECK_STR(json_str_at(json_array_get(json_at(back, "spec", "taints"), 0), "key"),
              "node.kubernetes.io/not-ready");
    json_object_set_new(obj_condition(back, "Ready"), "status", json_string("True"));
    CHECK(node_plan_edit(back, false, 1));
    CHECK(!json_at(back, "spec", "taints"));
    CHECK(!node_plan_edit(back, false, 1));
}

static void test_pods_leave_lost_nodes(void **state) {
    const usec_t second = USEC_PER_SEC;
    _cleanup_json_ json_t *node =
        yaml("spec: {taints: [{key: mine, effect: NoSchedule},\n"
             " {key: lost, effect: NoExecute, timeAdded: '1970-01-01T00:01:40Z'}]}");
    _cleanup_json_ json_t *stranger = yaml("spec: {}");
    _cleanup_json_ json_t *patient = yaml("spec: {tolerations: [{key: lost, operator: Exists}]}");
    _cleanup_json_ json_t *usual =
        yaml("spec: {tolerations: [{key: lost, operator: Exists, tolerationSeconds: 300},\n"
             " {operator: Exists}, {key: lost, operator: Exists, tolerationSeconds: 20}]}");
    CHECK_INT(node_plan_eviction(stranger, node), 100 * second);
    CHECK(node_plan_eviction(patient, node) == USEC_INFINITY);
    CHECK_INT(node_plan_eviction(usual, node), 120 * second);
    json_array_remove(json_at(node, "spec", "taints"), 1);
    CHECK(node_plan_eviction(stranger, node) == USEC_INFINITY);
}

int main(void) {
    return TEST_RUN(TEST(test_places_on_the_emptiest), TEST(test_says_why_not),
                    TEST(test_counts_init_containers), TEST(test_tolerates), TEST(test_job_starts),
                    TEST(test_job_counts_once_and_completes), TEST(test_job_backs_off_then_fails),
                    TEST(test_job_expires), TEST(test_job_suspends), TEST(test_indexed_job),
                    TEST(test_endpoints), TEST(test_node_is_heard_of), TEST(test_lost_node),
                    TEST(test_node_comes_back), TEST(test_pods_leave_lost_nodes));
}
