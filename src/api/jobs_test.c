/* SPDX-License-Identifier: Apache-2.0 */
#include "api/jobs.h"

#include "base/test.h"

static int check(const char *text) {
    _cleanup_json_ json_t *request = NULL;
    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &request));
    return job_request_check(request);
}

static void test_requests(void **state) {
    CHECK_OK(check("{\"entrypoint\":\"x\"}"));
    CHECK_OK(check("{\"entrypoint\":\"x\",\"submission_id\":null,\"unknown\":null}"));
    CHECK_OK(
        check("{\"entrypoint\":\"x\",\"runtime_env\":{\"pip\":[\"a\"]},\"metadata\":{\"a\":\"b\"},"
              "\"entrypoint_num_cpus\":0.5,\"entrypoint_resources\":{\"r\":1}}"));
    static const char *const bad[][2] = {
        { "{}",
          "JobSubmitRequest.__init__() missing 1 required positional argument: 'entrypoint'" },
        { "{\"entrypoint\":1}", "entrypoint must be a string, got <class 'int'>" },
        { "{\"entrypoint\":\"x\",\"submission_id\":1}",
          "submission_id must be a string if provided, got <class 'int'>" },
        { "{\"entrypoint\":\"x\",\"metadata\":{\"a\":1}}",
          "metadata values must be strings, got <class 'int'>" },
        { "{\"entrypoint\":\"x\",\"runtime_env\":[]}",
          "runtime_env must be a dict, got <class 'list'>" },
        { "{\"entrypoint\":\"x\",\"entrypoint_num_cpus\":\"1\"}",
          "entrypoint_num_cpus must be a number, got <class 'str'>" },
        { "{\"entrypoint\":\"x\",\"nope\":1}",
          "JobSubmitRequest.__init__() got an unexpected keyword argument 'nope'" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int r = check(bad[i][0]);
        CHECK_INT(r, -EINVAL);
        CHECK_STR(error_text(r), bad[i][1]);
    }
    CHECK_INT(check("{\"entrypoint\":\"x\",\"submission_id\":\"../y\"}"), -EINVAL);
    CHECK_INT(check("[]"), -EINVAL);
}

static void test_details_have_every_field_and_no_other(void **state) {
    static const char text[] =
        "{\"submission_id\":\"s\",\"status\":\"RUNNING\",\"entrypoint\":\"x\","
        "\"secret\":1,\"runtime_env\":{\"env_vars\":{\"A\":\"1\"}}}";
    _cleanup_json_ json_t *record = NULL, *details = NULL;
    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &record));
    details = job_details(record);
    CHECK_INT(json_object_size(details), 15);
    CHECK(!json_object_get(details, "secret"));
    CHECK_STR(json_str_at(details, "type"), "SUBMISSION");
    CHECK_STR(json_str_at(details, "message"), "Job is currently running.");
    CHECK(json_is_null(json_object_get(details, "end_time")));
    job_redact(details);
    CHECK_STR(json_str_at(details, "runtime_env", "env_vars", "A"), "<redacted>");
    CHECK_STR(json_str_at(record, "runtime_env", "env_vars", "A"), "1");
}

static void test_secrets_are_hidden_in_every_form(void **state) {
    static const char text[] =
        "{\"runtime_env\":\"{\\\"env_vars\\\":{\\\"A\\\":\\\"s3cret\\\"}}\","
        "\"serialized_runtime_env\":\"{\\\"env_vars\\\":{\\\"B\\\":\\\"s3cret\\\"}}\","
        "\"runtime_env_info\":{\"serialized_runtime_env\":"
        "\"{\\\"pip\\\":[],\\\"env_vars\\\":{\\\"C\\\":\\\"s3cret\\\"}}\"}}";
    _cleanup_json_ json_t *row = NULL, *torn = NULL;
    CHECK_OK(json_parse(text, strlen(text), NULL, 0, &row));
    job_redact(row);
    _cleanup_free_ char *shown = json_text(row, 0);
    CHECK(!strstr(shown, "s3cret"));
    CHECK_STR(json_str_at(row, "serialized_runtime_env"), "{\"env_vars\":{\"B\":\"<redacted>\"}}");
    CHECK(strstr(json_str_at(row, "runtime_env_info", "serialized_runtime_env"), "\"pip\":[]"));

    torn = json_pack("{s:s}", "serialized_runtime_env", "{\"env_vars\":{\"A\":\"s3c");
    job_redact(torn);
    CHECK_STR(json_str_at(torn, "serialized_runtime_env"), "<redacted>");
}

int main(void) {
    return TEST_RUN(TEST(test_requests), TEST(test_details_have_every_field_and_no_other),
                    TEST(test_secrets_are_hidden_in_every_form));
}
