/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/meta.h"

#include "base/test.h"
#include "kobj/fault.h"
#include "kobj/names.h"

static void test_finalizers_and_owners(void **state) {
    _cleanup_json_ json_t *owner = json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion", "v1", "kind",
                                             "Pod", "metadata", "name", "p", "uid", "u1");
    _cleanup_json_ json_t *object = json_object();

    CHECK(obj_add_finalizer(object, "a/b"));
    CHECK(!obj_add_finalizer(object, "a/b"));
    CHECK(obj_has_finalizer(object, "a/b"));
    CHECK(obj_remove_finalizer(object, "a/b"));
    CHECK(json_at(object, "metadata", "finalizers") == NULL);
    json_t *refs = json_make_array(json_object_get(object, "metadata"), "ownerReferences");
    json_array_append_new(refs, obj_make_controller_ref(owner));
    CHECK(obj_is_owned_by(object, "u1"));
    CHECK(!obj_is_owned_by(object, "u2"));
    CHECK_STR(json_str_at(obj_controller_ref(object), "name"), "p");
}

static void test_condition_time_moves_with_status(void **state) {
    _cleanup_json_ json_t *list = json_array();

    CHECK(obj_set_condition(list, "Ready", "False", "Wait", "m", 2, 0));
    CHECK(!obj_set_condition(list, "Ready", "False", "Wait", "m", 2, USEC_PER_SEC));
    CHECK(obj_set_condition(list, "Ready", "False", "Other", "m", 2, USEC_PER_SEC));
    CHECK_STR(json_str_at(json_array_get(list, 0), "lastTransitionTime"), "1970-01-01T00:00:00Z");
    CHECK(obj_set_condition(list, "Ready", "True", "Other", "m", 3, USEC_PER_SEC));
    CHECK_STR(json_str_at(json_array_get(list, 0), "lastTransitionTime"), "1970-01-01T00:00:01Z");
    CHECK_INT(json_array_size(list), 1);
}

static void test_names(void **state) {
    CHECK(name_check_dns1123_label("a-1") == NULL);
    CHECK_STR(name_check_dns1123_label("a.b"), "must not contain dots");
    CHECK(strstr(name_check_dns1123_label("A"), "a lowercase RFC 1123 label"));
    CHECK(name_check_dns1123_subdomain("a.b-1.c") == NULL);
    CHECK(name_check_dns1123_subdomain("a..b") != NULL);
    CHECK(name_check_dns1123_subdomain("") != NULL);
    CHECK(name_check_dns1035_label("1a") != NULL);
    CHECK(name_check_qualified("ray.io/cluster") == NULL);
    CHECK_STR(name_check_qualified("/x"), "prefix part must be non-empty");
    CHECK_STR(name_check_qualified("x/"), "name part must be non-empty");
    CHECK(name_check_label_value("") == NULL);
    CHECK(name_check_label_value("a b") != NULL);
    CHECK(name_check_env_var("a.b c") == NULL);
    CHECK(name_check_env_var("a=b") != NULL);
    CHECK_STR(name_check_port_name("123", 0), "must contain at least one letter (a-z)");
    CHECK_STR(name_check_port_name("UP-", 2), "must not begin or end with a hyphen");
    CHECK(name_check_port_name("web-1", 0) == NULL);
    CHECK_STR(name_check_config_key(".."), "must not be '..'");
    _cleanup_free_ char *name = name_generate("job-", 0x123456789abcdef);
    CHECK_INT(strlen(name), 9);
}

static void test_invalid_status(void **state) {
    _cleanup_faults_ Faults faults = { 0 };
    _cleanup_json_ json_t *supported = json_pack("[s,s]", "a", "b"), *x = json_string("x");

    faults_add_required(&faults, "spec.a", "");
    faults_add_unsupported(&faults, "spec.b", x, supported);
    _cleanup_json_ json_t *status = status_new_invalid("ray.io", "RayJob", "j", &faults);
    CHECK_STR(json_str_at(status, "message"),
              "RayJob.ray.io \"j\" is invalid: [spec.a: Required value, spec.b: Unsupported value: "
              "\"x\": supported values: \"a\", \"b\"]");
    CHECK_STR(json_str_at(json_array_get(json_at(status, "details", "causes"), 1), "reason"),
              "FieldValueNotSupported");
    CHECK_INT(json_int_at(status, 0, "code"), 422);
}

int main(void) {
    return TEST_RUN(TEST(test_finalizers_and_owners), TEST(test_condition_time_moves_with_status),
                    TEST(test_names), TEST(test_invalid_status));
}
