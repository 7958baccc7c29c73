/* SPDX-License-Identifier: Apache-2.0 */

/* Manifests that KubeRay refused, and its sentences (test/golden/kuberay/invalid.json). */

#include "operator/validate.h"

#include "base/fd.h"
#include "base/test.h"
#include "operator/object.h"
#include "operator/spec.h"
#include "operator/submit.h"

/* Where the sentence ends in the words of a Go library, only its beginning is compared. */
static bool same_sentence(const char *key, const char *wanted, const char *got) {
    static const char GO_YAML[] = ": error ";
    if (str_starts(key, "RayJob/yaml-")) {
        const char *end = strstr(wanted, GO_YAML);
        return end && strncmp(wanted, got, (size_t)(end - wanted) + strlen(GO_YAML)) == 0;
    }
    return str_eq(wanted, got);
}

static bool was_refused(const char *note) {
    return !strstr(note, "spec warning") && !strstr(note, "is not found");
}

static void check_case(const char *key, const json_t *item) {
    Arena arena = { 0 };
    Invalid invalid = { 0 };
    const json_t *input = json_object_get(item, "input");
    const json_t *event = json_array_get(json_object_get(item, "events"), 0);
    const char *note = json_string_value(json_array_get(event, 3));
    bool cluster = str_starts(key, "RayCluster/");
    int r = managed_elsewhere(input) ? 0
            : cluster                ? cluster_validate(input, &arena, &invalid)
                                     : rayjob_validate(input, &arena, &invalid);
    if (!note || !was_refused(note)) {
        CHECK_INT(r, 0);
        if (note && strstr(note, "spec warning"))
            CHECK_STR(cluster_warning(input, &arena), note);
    } else {
        if (r != VALIDATE_INVALID)
            fail_msg("%s: accepted, but KubeRay said: %s", key, note);
        CHECK_STR(invalid.reason, json_string_value(json_array_get(event, 1)));
        if (!same_sentence(key, note, invalid.note))
            fail_msg("%s\nKubeRay: %s\nours:    %s", key, note, invalid.note);
    }
    arena_done(&arena);
}

static void test_invalid(void **state) {
    _cleanup_free_ char *path = str_printf("%s/invalid.json", getenv("GOLDEN_DIR"));
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *cases = NULL;
    CHECK_OK(file_read(path, 8u << 20, &text));
    CHECK_OK(json_parse(text.data, text.len, NULL, 0, &cases));
    const char *key;
    json_t *item;
    json_object_foreach(cases, key, item)
        check_case(key, item);
}

#define GROUP(name)                                                                                \
    "{'groupName':'" name "','minReplicas':0,'maxReplicas':1,"                                     \
    "'template':{'spec':{'containers':[{'name':'w'}]}}}"

/* What KubeRay's API server refuses before its operator sees it, and what never came up there. */
static void test_unseen(void **state) {
    static const struct {
        const char *job, *said;
    } CASES[] = {
        { "{'entrypoint':'x','deletionStrategy':{}}",
          "The RayJob spec is invalid: DeletionStrategy requires either BOTH onSuccess and "
          "onFailure, OR the deletionRules field (cannot be empty)" },
        { "{'entrypoint':'x','clusterSelector':{'a':'b'}}",
          "cluster name in ClusterSelector should not be empty" },
        { "{'clusterSelector':{'ray.io/cluster':'b'},'submitterPodTemplate':{'spec':{"
          "'containers':[]}}}",
          "The RayJob spec is invalid: submitterPodTemplate should have at least one container" },
        { "{'clusterSelector':{'ray.io/cluster':'b'},'entrypointResources':'[1]'}",
          "The RayJob spec is invalid: entrypointResources must be a JSON object of numbers, got "
          "array" },
        { "{'clusterSelector':{'ray.io/cluster':'b'},'entrypointResources':'{\\'a\\':\\'1\\'}'}",
          "The RayJob spec is invalid: entrypointResources must be a JSON object of numbers, got "
          "string for a" },
        { "{'rayClusterSpec':{'headGroupSpec':{'template':{'spec':{'containers':[{'name':'h'}]}}},"
          "'workerGroupSpecs':[" GROUP("a") "," GROUP("b") "," GROUP("a") "]}}",
          "The RayJob spec is invalid: worker group names must be unique, got a more than once" },
        { "{'clusterSelector':{'ray.io/cluster':'b'},'preRunningDeadlineSeconds':0}",
          "The RayJob spec is invalid: preRunningDeadlineSeconds must be a positive integer" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        Arena arena = { 0 };
        Invalid invalid = { 0 };
        _cleanup_free_ char *text = str_dup(CASES[i].job);
        for (char *c = text; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        json_t *spec;
        CHECK_OK(json_parse(text, strlen(text), NULL, 0, &spec));
        _cleanup_json_ json_t *job = object_make("ray.io/v1", "RayJob", "default", "j");
        json_object_set_new(job, "spec", spec);
        CHECK_INT(rayjob_validate(job, &arena, &invalid), VALIDATE_INVALID);
        CHECK_STR(invalid.message, CASES[i].said);
        arena_done(&arena);
    }
}

/* What says nothing is as good as nothing. */
static void test_empty(void **state) {
    static const char *const YAMLS[] = { "", "# pip: [x]\n", "null", "---\n" };
    for (size_t i = 0; i < ARRAY_LEN(YAMLS); i++) {
        Arena arena = { 0 };
        _cleanup_json_ json_t *job = object_make("ray.io/v1", "RayJob", "default", "j");
        _cleanup_json_ json_t *body = NULL;
        Invalid invalid = { 0 };
        json_set_at(job, json_string("b"), "spec", "clusterSelector", "ray.io/cluster");
        json_set_at(job, json_string(YAMLS[i]), "spec", "runtimeEnvYAML");
        json_set_at(job, json_string("{\"a\": 1.5}"), "spec", "entrypointResources");
        CHECK_INT(rayjob_validate(job, &arena, &invalid), 0);
        CHECK_OK(submit_build_request(job, &body));
        CHECK(!json_object_get(body, "runtime_env"));
        CHECK(json_real_value(json_at(body, "entrypoint_resources", "a")) == 1.5);
        arena_done(&arena);
    }
}

int main(void) {
    return TEST_RUN(TEST(test_invalid), TEST(test_unseen), TEST(test_empty));
}
