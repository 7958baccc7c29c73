/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/kinds.h"

#include "base/map.h"
#include "base/test.h"
#include "kobj/meta.h"
#include "kobj/testdata.h"

static const KindInfo *kind_of(const json_t *object) {
    _cleanup_free_ char *group = NULL, *version = NULL;

    api_version_split(obj_api_version(object), &group, &version);
    return kinds_find(group, version, obj_kind(object));
}

/* The steps of a create, as the API server does them; a Status or the object. New reference. */
static json_t *create(const KindInfo *kind, json_t *object) {
    _cleanup_faults_ Faults faults = { 0 };

    if (kind->flags & KIND_NAMESPACED && !obj_namespace(object))
        json_set_at(object, json_string("default"), "metadata", "namespace");
    int r = schema_check_types(kind->schema, object);
    if (r < 0) {
        _cleanup_free_ char *text =
            str_printf("%s in version \"%s\" cannot be handled as a %s: %s", kind->kind,
                       kind->version, kind->kind, error_text(r));
        return status_new(400, "BadRequest", text, NULL, NULL, NULL);
    }
    schema_prune(kind->schema, object, NULL);
    kinds_default(kind, object);
    kinds_prepare(kind, object);
    kinds_validate(kind, object, NULL, &faults);
    if (faults.len == 0)
        return json_incref(object);
    return status_new_invalid(kind->group, kind->kind, obj_name(object), &faults);
}

/* What the server there adds by admission or has no part of kobj. */
static void strip(json_t *object) {
    static const char *const pod_fields[] = { "serviceAccount", "serviceAccountName" };
    json_t *lists[] = { json_at(object, "spec", "initContainers"),
                        json_at(object, "spec", "containers") };
    json_t *volumes = json_at(object, "spec", "volumes"), *container;
    size_t i;

    json_object_del(object, "metadata");
    if (!str_eq(obj_kind(object), "Pod"))
        return;
    for (i = 0; i < ARRAY_LEN(pod_fields); i++)
        json_remove_at(object, "spec", pod_fields[i]);
    for (i = 0; i < ARRAY_LEN(lists); i++) {
        size_t n;
        json_array_foreach(lists[i], n, container)
            json_object_del(container, "volumeMounts");
    }
    for (i = json_array_size(volumes); i > 0; i--)
        if (json_object_size(json_at(json_array_get(volumes, i - 1), "projected")) > 0)
            json_array_remove(volumes, i - 1);
    if (json_array_size(volumes) == 0)
        json_remove_at(object, "spec", "volumes");
}

/* Where this server means to differ; each has its reason. */
static const char *const differences[] = {
    "service",             /* no dual stack here */
    "node bad",            /* effect is told at spec.taints */
    "node",                /* the taint is admission's */
    "job selector",        /* written on create only */
    "job",
    "job indexed",         /* the uid is the API server's to give */
    "pod wrong namespace", /* the API server's */
    "crd bad",             /* Go's struct names in the value shown */
    "crd not structural",  /* PCRE2's words about the pattern */
    "crd defaults",        /* acceptedNames are the controller's */
    "pod full",            /* the token volume is admission's */

};

static bool differs(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(differences); i++)
        if (str_eq(differences[i], name))
            return true;
    return false;
}

static bool is_strict(const json_t *request) {
    return strstr(json_string_value(json_array_get(request, 1)), "fieldValidation") != NULL;
}

static void check_case(const json_t *item) {
    const json_t *request = json_array_get(json_object_get(item, "requests"), 0);
    const json_t *wanted = json_array_get(json_object_get(item, "answers"), 0);
    int64_t code = json_int_at(wanted, 0, "code");
    _cleanup_json_ json_t *object = json_deep_copy(json_array_get(request, 2));
    _cleanup_json_ json_t *want = json_deep_copy(json_object_get(wanted, "body"));

    if (!json_is_object(object) || is_strict(request) || differs(json_str_at(item, "name")))
        return;
    const KindInfo *kind = kind_of(object);
    ASSERT(kind);
    _cleanup_json_ json_t *body = create(kind, object);
    bool status = str_eq(obj_kind(body), "Status");
    int64_t came = status ? json_int_at(body, 0, "code") : 201;
    bool good = came == code;
    if (good && code == 422)
        good = testdata_same_causes(body, want);
    else if (good && code == 400)
        good = str_eq(json_str_at(body, "message"), json_str_at(want, "message"));
    else if (good) {
        strip(body);
        strip(want);
        good = json_same(body, want);
    }
    if (!good)
        testdata_fail(item, want, (int)came, body);
}

static void test_as_recorded(void **state) {
    _cleanup_json_ json_t *data = testdata_load("kinds.json");
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(data, "cases"), i, item)
        check_case(item);
}

static void test_job_gets_its_selector(void **state) {
    const KindInfo *kind = kinds_find("batch", "v1", "Job");
    _cleanup_json_ json_t *job = json_pack("{s:{s:s,s:s}}", "metadata", "name", "j", "uid", "u");

    kinds_default(kind, job);
    CHECK(!json_at(job, "spec", "selector"));
    kinds_prepare(kind, job);
    CHECK_STR(
        json_str_at(job, "spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"),
        "u");
    CHECK_STR(json_str_at(job, "spec", "template", "metadata", "labels", "job-name"), "j");
}

static void test_pod_updates_are_narrow(void **state) {
    const KindInfo *kind = kinds_find("", "v1", "Pod");
    _cleanup_json_ json_t *old =
        json_pack("{s:{s:s,s:s},s:{s:[{s:s,s:s}]}}", "metadata", "name", "p", "namespace", "d",
                  "spec", "containers", "name", "c", "image", "i");
    kinds_default(kind, old);
    _cleanup_json_ json_t *pod = json_deep_copy(old);
    _cleanup_faults_ Faults faults = { 0 };

    json_set_at(pod, json_string("n1"), "spec", "nodeName");
    json_set_at(json_array_get(json_at(pod, "spec", "containers"), 0), json_string("j"), "image");
    kinds_validate(kind, pod, old, &faults);
    CHECK_INT(faults.len, 0);
    json_set_at(pod, json_string("h"), "spec", "hostname");
    kinds_validate(kind, pod, old, &faults);
    CHECK_INT(faults.len, 1);
    CHECK_STR(faults.items[0].field, "spec");
}

static void test_ray_crds_are_structural(void **state) {
    const KindInfo *kind = kinds_find("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    _cleanup_json_ json_t *crds = kinds_ray_crds();
    size_t i;
    json_t *crd;

    CHECK_INT(json_array_size(crds), 4);
    json_array_foreach(crds, i, crd) {
        _cleanup_faults_ Faults faults = { 0 };
        _cleanup_strlist_ StrList unknown = { 0 };
        _cleanup_free_ char *text = json_text(crd, 0);
        if (strlen(text) > 262144 - 1024)
            fail_msg("%s is too large for kubectl apply: %zu", obj_name(crd), strlen(text));
        CHECK_OK(schema_check_types(kind->schema, crd));
        schema_find_unknown(kind->schema, crd, &unknown);
        if (unknown.len > 0)
            fail_msg("%s", unknown.items[0]);
        kinds_default(kind, crd);
        kinds_validate(kind, crd, NULL, &faults);
        _cleanup_free_ char *why = faults_text(&faults);
        if (faults.len > 0)
            fail_msg("%s: %s", obj_name(crd), why);
    }
}

static void test_tables_are_sorted(void **state) {
    for (size_t i = 0; i < kinds_count(); i++) {
        const KindInfo *kind = kinds_at(i);
        CHECK(kinds_find_resource(kind->group, kind->version, kind->plural) == kind);
        const Schema *schema = kind->schema;
        for (size_t f = 1; f < schema->field_count; f++)
            CHECK(strcmp(schema->fields[f - 1].name, schema->fields[f].name) < 0);
    }
}

int main(void) {
    return TEST_RUN(TEST(test_as_recorded), TEST(test_job_gets_its_selector),
                    TEST(test_pod_updates_are_narrow), TEST(test_ray_crds_are_structural),
                    TEST(test_tables_are_sorted));
}
