/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compares what the builders make with what KubeRay made of the same RayClusters and RayJobs
 * (test/golden/kuberay, with its README). Both sides are stripped of the API server's defaults;
 * what then differs has to be in differences.txt, and every line there has to be needed.
 */

#include <fnmatch.h>

#include "base/fd.h"
#include "base/test.h"
#include "base/vec.h"
#include "operator/names.h"
#include "operator/object.h"
#include "operator/plan.h"
#include "operator/pod.h"
#include "operator/rbac.h"
#include "operator/service.h"
#include "operator/submit.h"

typedef struct Difference {
    char *pattern;
    bool used;
} Difference;

static Vec(Difference) allowed;
static unsigned unexpected;

static json_t *load(const char *name) {
    _cleanup_free_ char *path = str_printf("%s/%s", getenv("GOLDEN_DIR"), name);
    _cleanup_buf_ Buf text = { 0 };
    json_t *value;
    JsonLimits limits = JSON_LIMITS_DEFAULT;
    limits.bytes = 16u << 20;
    CHECK_OK(file_read(path, limits.bytes, &text));
    CHECK_OK(json_parse(text.data, text.len, &limits, 0, &value));
    return value;
}

static void load_differences(void) {
    _cleanup_free_ char *path = str_printf("%s/differences.txt", getenv("GOLDEN_DIR"));
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(file_read(path, 1u << 20, &text));
    for (char *rest, *line = strtok_r(text.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (*line != '#' && *line != ' ')
            vec_push(&allowed, (Difference){ str_dup(line), false });
    }
}

static void differs(const char *path, const json_t *wanted, const json_t *got) {
    for (size_t i = 0; i < allowed.len; i++) {
        if (fnmatch(allowed.items[i].pattern, path, 0) == 0) {
            allowed.items[i].used = true;
            return;
        }
    }
    _cleanup_free_ char *a = wanted ? json_text(wanted, JSON_SORTED) : str_dup("(absent)");
    _cleanup_free_ char *b = got ? json_text(got, JSON_SORTED) : str_dup("(absent)");
    fprintf(stderr, "%s\n  KubeRay: %s\n  ours:    %s\n", path, a, b);
    unexpected++;
}

static void compare(const char *path, const json_t *wanted, const json_t *got) {
    if (wanted && got && json_is_object(wanted) && json_is_object(got)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)wanted, key, value) {
            _cleanup_free_ char *inner = str_printf("%s.%s", path, key);
            compare(inner, value, json_object_get(got, key));
        }
        json_object_foreach((json_t *)(uintptr_t)got, key, value) {
            _cleanup_free_ char *inner = str_printf("%s.%s", path, key);
            if (!json_object_get(wanted, key))
                compare(inner, NULL, value);
        }
        return;
    }
    if (wanted && got && json_is_array(wanted) && json_is_array(got)) {
        size_t len = MAX(json_array_size(wanted), json_array_size(got));
        for (size_t i = 0; i < len; i++) {
            _cleanup_free_ char *inner = str_printf("%s.%zu", path, i);
            compare(inner, json_array_get(wanted, i), json_array_get(got, i));
        }
        return;
    }
    if (!wanted || !got || !json_same(wanted, got))
        differs(path, wanted, got);
}

/* Values that the API server puts where nothing is said. */
static bool is_default(const char *key, const json_t *value) {
    static const char *const TEXTS[][2] = {
        { "protocol", "TCP" },
        { "imagePullPolicy", "IfNotPresent" },
        { "imagePullPolicy", "Always" }, /* of images without a tag */
        { "terminationMessagePath", "/dev/termination-log" },
        { "terminationMessagePolicy", "File" },
        { "dnsPolicy", "ClusterFirst" },
        { "schedulerName", "default-scheduler" },
        { "restartPolicy", "Always" },
        { "internalTrafficPolicy", "Cluster" },
        { "externalTrafficPolicy", "Cluster" },
        { "sessionAffinity", "None" },
        { "type", "ClusterIP" },
        { "type", "Opaque" },
        { "value", "" },
        { "scheme", "HTTP" },
        { "completionMode", "NonIndexed" },
        { "podReplacementPolicy", "TerminatingOrFailed" },
    };
    static const struct {
        const char *key;
        int64_t value;
    } NUMBERS[] = {
        { "terminationGracePeriodSeconds", 30 },
        { "successThreshold", 1 },
        { "completions", 1 },
        { "parallelism", 1 },
        { "defaultMode", 420 },
        { "expirationSeconds", 3600 },
        { "timeoutSeconds", 1 },
        { "periodSeconds", 10 },
        { "failureThreshold", 3 },
    };
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
        if (str_eq(key, TEXTS[i][0]) && str_eq(json_string_value(value), TEXTS[i][1]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++)
        if (str_eq(key, NUMBERS[i].key) && json_integer_value(value) == NUMBERS[i].value)
            return true;
    if ((str_eq(key, "enableServiceLinks") || str_eq(key, "allocateLoadBalancerNodePorts")) &&
        json_is_true(value))
        return true;
    if ((str_eq(key, "manualSelector") || str_eq(key, "suspend")) && json_is_false(value))
        return true;
    if (json_is_null(value) || str_eq(key, "serviceAccount"))
        return true;
    return (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0 && !str_eq(key, "emptyDir") &&
            !str_eq(key, "rayStartParams"));
}

static int compare_names(const void *a, const void *b) {
    const char *x = json_str_at(*(json_t *const *)a, "name");
    const char *y = json_str_at(*(json_t *const *)b, "name");
    return strcmp(x ? x : "", y ? y : "");
}

/* KubeRay writes a Service's ports in the random order of a Go map. */
static void sort_by_name(json_t *list) {
    json_t *items[64];
    size_t len = json_array_size(list);
    CHECK(len <= ARRAY_LEN(items));
    for (size_t i = 0; i < len; i++)
        items[i] = json_incref(json_array_get(list, i));
    qsort(items, len, sizeof(*items), compare_names);
    json_array_clear(list);
    for (size_t i = 0; i < len; i++)
        json_array_append_new(list, items[i]);
}

static void strip(json_t *value) {
    size_t i;
    json_t *item;
    const char *key;
    void *next;
    json_array_foreach(value, i, item)
        strip(item);
    sort_by_name(json_at(value, "spec", "ports"));
    if (!json_is_object(value))
        return;
    json_t *limits = json_object_get(value, "limits");
    if (limits) /* a limit is a request too */
        object_merge(json_make_object(value, "requests"), limits, true);
    if (json_object_get(value, "fieldPath"))
        json_object_del(value, "apiVersion");
    const char *text = json_str_at(value, "value");
    if (text && str_starts(text, "kuberay_version=")) /* ...VERSION;kuberay_crd=KIND */
        json_object_set_new(value, "value", json_string(text + strcspn(text, ";")));
    if (json_object_get(value, "targetPort") &&
        json_equal(json_object_get(value, "targetPort"), json_object_get(value, "port")))
        json_object_del(value, "targetPort");
    json_object_foreach_safe(value, next, key, item) {
        strip(item);
        if (is_default(key, item))
            json_object_del(value, key);
    }
}

static int64_t label_number(const json_t *object, const char *key) {
    int64_t number;
    const char *text = obj_label(object, key);
    return text && str_to_i64(text, &number) == 0 ? number : 0;
}

/* What our builders make where KubeRay made `recorded`. */
static json_t *build_for_cluster(const json_t *cluster, const char *resource,
                                 const json_t *recorded, Arena *arena) {
    OperatorSettings settings;
    settings_default(&settings);
    const char *name = object_name(recorded);
    if (str_eq(resource, "serviceaccounts"))
        return rbac_build_account(cluster, arena);
    if (str_eq(resource, "roles"))
        return rbac_build_role(cluster, arena);
    if (str_eq(resource, "rolebindings"))
        return rbac_build_binding(cluster, arena);
    if (str_eq(resource, "secrets"))
        return auth_build_secret(cluster, arena);
    if (str_eq(resource, "jobs"))
        return pod_build_redis_cleanup(cluster, &settings, arena);
    json_t *made = NULL;
    if (str_eq(resource, "ingresses")) {
        made = ingress_build(cluster, arena);
    } else if (str_eq(resource, "services")) {
        if (str_ends(name, "-headless"))
            made = service_build_headless(cluster, arena);
        else if (str_ends(name, "-serve-svc"))
            CHECK_OK(service_build_serve(cluster, arena, &made));
        else
            made = service_build_head(cluster, &settings, arena);
    }
    if (made) {
        object_own(made, cluster);
        return made;
    }
    const char *group = obj_label(recorded, LABEL_GROUP);
    if (str_eq(group, GROUP_HEAD))
        return pod_build_head(cluster, &settings, arena);
    WorkerSlot slot = {
        .replica = label_number(recorded, LABEL_REPLICA_INDEX),
        .host = label_number(recorded, LABEL_HOST_INDEX),
        .replica_name = obj_label(recorded, LABEL_REPLICA_NAME),
    };
    size_t i;
    json_t *spec;
    json_array_foreach(json_at(cluster, "spec", "workerGroupSpecs"), i, spec) {
        if (str_eq(json_str_at(spec, "groupName"), group))
            return pod_build_worker(cluster, spec, &slot, &settings, arena);
    }
    return NULL;
}

static json_t *build_for_job(json_t *job, const char *resource, const json_t *recorded,
                             const json_t *plain, Arena *arena) {
    OperatorSettings settings;
    settings_default(&settings);
    _cleanup_json_ json_t *cluster = NULL;
    json_t *made = NULL;
    const char *name = json_str_at(job, "status", "rayClusterName");
    if (json_at(job, "spec", "clusterSelector"))
        cluster = json_incref((json_t *)(uintptr_t)plain);
    else
        CHECK_OK(job_build_cluster(job, name, &settings, arena, &cluster));
    if (str_eq(resource, "rayclusters"))
        return TAKE(cluster);
    if (str_eq(resource, "jobs")) {
        CHECK_OK(submit_build_job(job, cluster, &settings, arena, &made));
    } else {
        made = service_build_job_head(job, cluster, &settings, arena);
        object_own(made, job);
    }
    return made;
}

static void check_case(const char *key, json_t *item, const json_t *plain) {
    json_t *input = json_object_get(item, "input");
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(item, "objects"), i, entry) {
        Arena arena = { 0 };
        const char *resource = json_str_at(entry, "resource");
        json_t *recorded = json_object_get(entry, "object");
        json_t *made;
        if (str_starts(key, "RayCluster/")) {
            made = build_for_cluster(input, resource, recorded, &arena);
        } else {
            json_object_set_new(input, "status", json_deep_copy(json_object_get(item, "status")));
            if (str_eq(resource, "rayclusters")) /* made before the address is known */
                json_remove_at(input, "status", "dashboardURL");
            made = build_for_job(input, resource, recorded, plain, &arena);
        }
        if (!made)
            fail_msg("%s: nothing built for %s", key, resource);
        _cleanup_free_ char *path = str_printf("%s:%s", key, resource);
        strip(made);
        strip(recorded);
        compare(path, recorded, made);
        json_decref(made);
        arena_done(&arena);
    }
}

static void test_objects(void **state) {
    _cleanup_json_ json_t *cases = load("objects.json");
    load_differences();
    const json_t *plain = json_at(cases, "RayCluster/plain", "input");
    const char *key;
    json_t *item;
    json_object_foreach(cases, key, item)
        check_case(key, item, plain);
    for (size_t i = 0; i < allowed.len; i++) {
        if (!allowed.items[i].used) {
            fprintf(stderr, "differences.txt: not needed any more: %s\n", allowed.items[i].pattern);
            unexpected++;
        }
        free(allowed.items[i].pattern);
    }
    vec_done(&allowed);
    CHECK_INT(unexpected, 0);
}

/* From the same pods and Services, with no status before, the status that KubeRay had written. */
static void test_statuses(void **state) {
    _cleanup_json_ json_t *cases = load("statuses.json");
    const char *key;
    json_t *item, *condition;
    unexpected = 0;
    json_object_foreach(cases, key, item) {
        json_t *cluster = json_object_get(item, "cluster");
        _cleanup_json_ json_t *wanted = json_incref(json_object_get(cluster, "status"));
        json_object_set_new(cluster, "status", json_object());
        ClusterView view = {
            .cluster = cluster,
            .pods = json_object_get(item, "pods"),
            .services = json_object_get(item, "services"),
        };
        _cleanup_json_ json_t *got = cluster_status(&view, NULL, 1700000000 * USEC_PER_SEC);
        size_t i;
        json_object_del(got, "lastUpdateTime");
        json_object_del(got, "stateTransitionTimes");
        json_array_foreach(json_object_get(got, "conditions"), i, condition)
            json_object_del(condition, "lastTransitionTime");
        compare(key, wanted, got);
    }
    CHECK_INT(unexpected, 0);
}

int main(void) {
    return TEST_RUN(TEST(test_objects), TEST(test_statuses));
}
