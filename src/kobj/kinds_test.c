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

/* Checks what the user is told of an object with that spec (' for "); NULL: nothing is wrong. */
static void check_wrong(const char *kind_name, const char *spec, const char *wanted) {
    const KindInfo *kind = kinds_find("", "v1", kind_name);
    _cleanup_free_ char *text = str_dup(spec);
    _cleanup_faults_ Faults faults = { 0 };
    json_t *tree = NULL;

    for (char *quote = text; (quote = strchr(quote, '\''));)
        *quote = '"';
    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &tree));
    _cleanup_json_ json_t *object =
        json_pack("{s:{s:s,s:s},s:o}", "metadata", "name", "x", "namespace", "d", "spec", tree);
    CHECK_OK(schema_check_types(kind->schema, object));
    kinds_default(kind, object);
    kinds_validate(kind, object, NULL, &faults);
    _cleanup_free_ char *came = faults_text(&faults);
    CHECK_STR(faults.len ? came : "", wanted ? wanted : "");
}

static void test_volumes_stay_within_themselves(void **state) {
#define V     "spec.volumes[0]."
#define MODES "must be a number between 0 and 0777 (octal), both inclusive"
    static const struct {
        const char *source, *wrong;
    } cases[] = {
        { "'hostPath':{'path':'/a/..b/c..'}", NULL },
        { "'hostPath':{'path':'/a/../b'}",
          V "hostPath.path: Invalid value: \"/a/../b\": must not contain '..'" },
        { "'configMap':{'name':'m','items':[{'key':'k','path':'a/..b','mode':511}]}", NULL },
        { "'configMap':{'name':'m','items':[{'key':'k','path':'a'},{'key':'k','path':'../x'}]}",
          V "configMap.items[1].path: Invalid value: \"../x\": must not contain '..'" },
        { "'configMap':{'name':'m','items':[{'key':'k','path':'/x'}]}",
          V "configMap.items[0].path: Invalid value: \"/x\": must be a relative path" },
        { "'configMap':{'name':'m','items':[{'key':'k','path':'..data'}]}",
          V "configMap.items[0].path: Invalid value: \"..data\": must not start with '..'" },
        { "'configMap':{'name':'m','defaultMode':99999}",
          V "configMap.defaultMode: Invalid value: 99999: " MODES },
        { "'secret':{'secretName':'s','items':[{'key':'k','path':'a/..','mode':-1}]}",
          "[" V "secret.items[0].path: Invalid value: \"a/..\": must not contain '..', " V
          "secret.items[0].mode: Invalid value: -1: " MODES "]" },
        { "'secret':{'secretName':'s','defaultMode':512}",
          V "secret.defaultMode: Invalid value: 512: " MODES },
        { "'downwardAPI':{'defaultMode':-1}",
          V "downwardAPI.defaultMode: Invalid value: -1: " MODES },
        { "'downwardAPI':{'items':[{'path':'../x','fieldRef':{'fieldPath':'metadata.name'}}]}",
          V "downwardAPI.path: Invalid value: \"../x\": must not contain '..'" },
        { "'projected':{'defaultMode':512,'sources':["
          "{'secret':{'name':'s','items':[{'key':'k','path':'/x'}]}},"
          "{'configMap':{'name':'m','items':[{'key':'k','path':'x','mode':512}]}},"
          "{'downwardAPI':{'items':[{'path':'a/../b','fieldRef':{'fieldPath':'metadata.uid'}}]}},"
          "{'serviceAccountToken':{'path':'../t'}}]}",
          "[" V "projected.defaultMode: Invalid value: 512: " MODES ", " V
          "projected.sources[0].secret.items[0].path: Invalid value: \"/x\": must be a relative "
          "path, " V "projected.sources[1].configMap.items[0].mode: Invalid value: 512: " MODES
          ", " V
          "projected.sources[2].downwardAPI.path: Invalid value: \"a/../b\": must not contain "
          "'..', " V "projected.path: Invalid value: \"../t\": must not contain '..']" },
        { "'emptyDir':{'sizeLimit':'0'}", NULL },
        { "'emptyDir':{'sizeLimit':'-1'}",
          V "emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *spec =
            str_printf("{'containers':[{'name':'c','image':'i'}],'volumes':[{'name':'v',%s}]}",
                       cases[i].source);
        check_wrong("Pod", spec, cases[i].wrong);
    }
#undef V
#undef MODES
}

static void test_mounts_stay_within_their_volume(void **state) {
#define M "spec.containers[0].volumeMounts"
    static const struct {
        const char *fields, *wrong;
    } cases[] = {
        { "'subPath':'a/..b'", NULL },
        { "'subPath':'../../etc'",
          M ".subPath: Invalid value: \"../../etc\": must not contain '..'" },
        { "'subPath':'/etc'", M ".subPath: Invalid value: \"/etc\": must be a relative path" },
        { "'subPathExpr':'$(A)/..'",
          M ".subPathExpr: Invalid value: \"$(A)/..\": must not contain '..'" },
        { "'subPath':'a','subPathExpr':'b'",
          M "[0].subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually "
            "exclusive" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *spec =
            str_printf("{'containers':[{'name':'c','image':'i','volumeMounts':[{'name':'v',"
                       "'mountPath':'/v',%s}]}],'volumes':[{'name':'v'}]}",
                       cases[i].fields);
        check_wrong("Pod", spec, cases[i].wrong);
    }
#undef M
}

static void test_a_claim_asks_for_room(void **state) {
    static const char SPEC[] = "{'accessModes':['ReadWriteOnce'],"
                               "'resources':{'requests':{'storage':'%s'}}}";
    static const char *const none[] = { "-1", "0" };

    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        _cleanup_free_ char *spec = str_printf(SPEC, none[i]);
        _cleanup_free_ char *wrong = str_printf(
            "spec.resources[storage]: Invalid value: \"%s\": must be greater than zero", none[i]);
        check_wrong("PersistentVolumeClaim", spec, wrong);
    }
    _cleanup_free_ char *spec = str_printf(SPEC, "1Gi");
    check_wrong("PersistentVolumeClaim", spec, NULL);
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
                    TEST(test_pod_updates_are_narrow), TEST(test_volumes_stay_within_themselves),
                    TEST(test_mounts_stay_within_their_volume), TEST(test_a_claim_asks_for_room),
                    TEST(test_ray_crds_are_structural), TEST(test_tables_are_sorted));
}
