/* SPDX-License-Identifier: Apache-2.0 */
#include "env/env.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"

static char *canonical(const char *text) {
    _cleanup_json_ json_t *env = NULL;
    CHECK_OK(env_parse(text, 0, &env));
    return env_canonical(env);
}

static void check_canonical(const char *text, const char *want) {
    _cleanup_free_ char *got = canonical(text);
    CHECK_STR(got, want);
}

static void test_canonical_form(void **state) {
    check_canonical("", "");
    check_canonical("{}", "");
    check_canonical("null", "");
    check_canonical("{\"pip\":null,\"env_vars\":{},\"excludes\":[]}", "");
    check_canonical("{\"pip\":[\"b\",\"a\",\"b\"],\"env_vars\":{\"Z\":\"1\",\"A\":\"2\"}}",
                    "{\"env_vars\":{\"A\":\"2\",\"Z\":\"1\"},"
                    "\"pip\":{\"packages\":[\"b\",\"a\"],\"pip_check\":false}}");
    check_canonical("{\"pip\":{\"packages\":[\"x\"],\"pip_check\":true},"
                    "\"config\":{\"setup_timeout_seconds\":5}}",
                    "{\"pip\":{\"packages\":[\"x\"],\"pip_check\":true}}");
    check_canonical("{\"working_dir\":\"gcs://_ray_pkg_ab.zip\"}",
                    "{\"working_dir\":\"gcs://_ray_pkg_ab.zip\"}");
}

static void test_hash_ignores_order_and_config(void **state) {
    _cleanup_json_ json_t *a = NULL, *b = NULL, *none = NULL;
    CHECK_OK(env_parse("{\"pip\":[\"x\"],\"env_vars\":{\"A\":\"1\"}}", 0, &a));
    CHECK_OK(env_parse("{\"config\":{\"eager_install\":true},\"env_vars\":{\"A\":\"1\"},"
                       "\"pip\":{\"packages\":[\"x\"]}}",
                       0, &b));
    CHECK_OK(env_parse("{}", 0, &none));
    CHECK(env_hash(a) == env_hash(b));
    CHECK(env_hash(a) != 0);
    CHECK(env_hash(none) == 0);
}

static void test_how_long_building_may_take(void **state) {
    static const struct {
        const char *text;
        usec_t timeout;
    } cases[] = {
        { "{}", 600 * USEC_PER_SEC },
        { "{\"config\":{\"eager_install\":true}}", 600 * USEC_PER_SEC },
        { "{\"config\":{\"setup_timeout_seconds\":5}}", 5 * USEC_PER_SEC },
        { "{\"config\":{\"setup_timeout_seconds\":-1}}", USEC_INFINITY },
        { "{\"config\":{\"setup_timeout_seconds\":9000000000000000000}}", USEC_INFINITY },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_json_ json_t *env = NULL;
        CHECK_OK(env_parse(cases[i].text, 0, &env));
        CHECK_INT(env_setup_timeout(env), cases[i].timeout);
    }
}

static void test_refusals_name_the_field(void **state) {
    static const char *const bad[][2] = {
        { "[]", "runtime_env must be a dictionary (a JSON object), got <class 'list'>" },
        { "{\"env_vars\":{\"A\":1}}", "runtime_env['env_vars'] must be of type Dict[str, str], but "
                                      "the value 1 is of type <class 'int'>" },
        { "{\"env_vars\":[\"a\"]}",
          "runtime_env['env_vars'] must be of type Dict[str, str], got <class 'list'>" },
        { "{\"working_dir\":3}", "`working_dir` must be a string, got <class 'int'>" },
        { "{\"pip\":7}", "runtime_env['pip'] must be of type str or List[str], got <class 'int'>" },
        { "{\"pip\":{\"packages\":[\"a\"],\"x\":1}}",
          "runtime_env['pip'] can only have these fields: packages, pip_check, pip_install_options "
          "and pip_version, but got: ['packages', 'x']" },
        { "{\"pip\":{}}", "runtime_env['pip'] must include field 'packages', but got {}" },
        { "{\"config\":{\"setup_timeout_seconds\":0}}",
          "setup_timeout_seconds must be greater than zero or equals to -1, got: 0" },
        { "{\"excludes\":\"x\"}",
          "runtime_env['excludes'] must be of type List[str], got <class 'str'>" },
        { "{\"py_modules\":\"x\"}", "`py_modules` must be a list of strings, got <class 'str'>" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *env = NULL;
        int r = env_parse(bad[i][0], 0, &env);
        CHECK_INT(r, -EINVAL);
        CHECK_STR(error_text(r), bad[i][1]);
        CHECK(env == NULL);
    }
    static const char *const refused[] = {
        "{\"working_dir\":\"/tmp\"}",
        "{\"working_dir\":\"gcs://x\"}",
        "{\"working_dir\":\"s3://b/x.zip\"}",
        "{\"py_modules\":[1]}",
        "{\"conda\":\"x\"}",
        "{\"conda\":\"x\",\"pip\":[\"y\"]}",
        "{\"env_vars\":{\"A=B\":\"1\"}}",
        "{\"pip\":\"requirements.txt\"}",
        "{\"working_dir\":\"local://rel\"}",
        "{",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        json_t *env = NULL;
        CHECK_INT(env_parse(refused[i], 0, &env), -EINVAL);
    }
}

static void test_requirement_files(void **state) {
    char path[] = "/tmp/mobula-requirements-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    _cleanup_free_ char *request = str_printf("{\"pip\":\"%s\"}", path);
    _cleanup_json_ json_t *env = NULL, *none = NULL;
    CHECK_INT(write(fd, "a==1\r\nb\rc\na==1\n\n", 16), 16);
    CHECK_OK(env_parse(request, ENV_LOCAL_PATHS, &env));
    _cleanup_free_ char *text = env_canonical(env);
    CHECK_STR(text, "{\"pip\":{\"packages\":[\"a==1\",\"b\",\"c\"],\"pip_check\":false}}");
    CHECK_INT(write(fd, "\377", 1), 1);
    CHECK_INT(env_parse(request, ENV_LOCAL_PATHS, &none), -EINVAL);
    CHECK(strstr(error_text(-EINVAL), "line 6 of /tmp/mobula-requirements-"));
    CHECK_INT(ftruncate(fd, 2), 0);
    CHECK_INT(ftruncate(fd, 4), 0); /* two zero bytes */
    CHECK_INT(env_parse(request, ENV_LOCAL_PATHS, &none), -EINVAL);
    close(fd);
    unlink(path);
}

static void check_merge(const char *parent, const char *child, bool child_wins, const char *want) {
    _cleanup_json_ json_t *a = NULL, *b = NULL, *merged = NULL;
    CHECK_OK(env_parse(parent, 0, &a));
    CHECK_OK(env_parse(child, 0, &b));
    int r = env_merge(a, b, child_wins, &merged);
    CHECK_INT(r, want ? 0 : ENV_E_CONFLICT);
    if (want) {
        _cleanup_free_ char *text = env_canonical(merged);
        CHECK_STR(text, want);
    }
}

static void test_merge(void **state) {
    const char *job = "{\"env_vars\":{\"A\":\"1\",\"B\":\"1\"},\"working_dir\":\"gcs://a.zip\"}";
    check_merge(job, "{\"env_vars\":{\"B\":\"2\"}}", true,
                "{\"env_vars\":{\"A\":\"1\",\"B\":\"2\"},\"working_dir\":\"gcs://a.zip\"}");
    check_merge(job, "{\"env_vars\":{\"B\":\"2\"}}", false, NULL);
    check_merge(job, "{\"env_vars\":{\"C\":\"2\"}}", false,
                "{\"env_vars\":{\"A\":\"1\",\"B\":\"1\",\"C\":\"2\"},"
                "\"working_dir\":\"gcs://a.zip\"}");
    check_merge(job, "{\"working_dir\":\"gcs://b.zip\"}", false, NULL);
    check_merge("{}", job, true,
                "{\"env_vars\":{\"A\":\"1\",\"B\":\"1\"},\"working_dir\":\"gcs://a.zip\"}");
}

static void test_uris(void **state) {
    CHECK(env_uri_scheme("gcs://x") == ENV_GCS);
    CHECK(env_uri_scheme("https://x") == ENV_HTTP);
    CHECK(env_uri_scheme("./x") == ENV_PATH);
    CHECK(env_uri_scheme("://") == ENV_PATH);
    CHECK(env_uri_scheme("ftp://x") == ENV_OTHER);
    CHECK(env_package_name_ok("_ray_pkg_0123.zip"));
    CHECK(!env_package_name_ok("../x.zip"));
    CHECK(!env_package_name_ok(".x.zip"));
    CHECK(!env_package_name_ok("x"));
    CHECK(!env_package_name_ok(""));
}

int main(void) {
    return TEST_RUN(TEST(test_canonical_form), TEST(test_hash_ignores_order_and_config),
                    TEST(test_how_long_building_may_take), TEST(test_refusals_name_the_field),
                    TEST(test_requirement_files), TEST(test_merge), TEST(test_uris));
}
