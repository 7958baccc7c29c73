/* SPDX-License-Identifier: Apache-2.0 */
#include "env/setup.h"

#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "env/deadline.h"
#include "env/download.h"
#include "env/package.h"

typedef struct Box {
    char dir[64];
} Box;

static Box box_new(void) {
    Box box = { "/tmp/mobula-setup-XXXXXX" };
    CHECK(mkdtemp(box.dir));
    return box;
}

static void box_done(Box *box) {
    CHECK_OK(dir_remove(box->dir));
}

static int setup(const Box *box, json_t *runtime_env, json_t **ret_answer) {
    _cleanup_json_ json_t *owned = runtime_env;
    const EnvSetup setup = { .runtime_env = owned, .session_dir = box->dir };
    return env_setup(&setup, ret_answer);
}

static void test_variables_refer_to_earlier_ones(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_json_ json_t *answer = NULL;
    CHECK_OK(setup(&box,
                   json_pack("{s:{s:s,s:s,s:s,s:s}}", "env_vars", "A", "x", "B", "$A-${A}", "C",
                             "${MOBULA_UNSET}|$MOBULA_UNSET", "D", "$|${A|${}|100$"),
                   &answer));
    const json_t *vars = json_object_get(answer, "env_vars");
    CHECK_STR(json_str_at(vars, "B"), "x-x");
    CHECK_STR(json_str_at(vars, "C"), "|$MOBULA_UNSET");
    CHECK_STR(json_str_at(vars, "D"), "$|${A|${}|100$");
}

static void test_variables_that_double_end(void **state) {
    _cleanup_(box_done) Box box = box_new();
    json_t *vars = json_pack("{s:s}", "V0", "0123456789abcdef"), *answer = NULL;
    for (int i = 1; i < 40; i++) {
        char name[8];
        snprintf(name, sizeof(name), "V%d", i);
        json_set_printf(vars, name, "$V%d$V%d", i - 1, i - 1);
    }
    int r = setup(&box, json_pack("{s:o}", "env_vars", vars), &answer);
    CHECK_INT(r, -E2BIG);
    CHECK(strstr(error_text(r), "runtime_env['env_vars'] is more than 1024 KiB"));
}

/* A URI's directory is its own, whatever the file is called at its end. */
static void test_archives_of_one_name_are_two(void **state) {
    _cleanup_(box_done) Box box = box_new();
    char *dirs[2];
    for (int i = 0; i < 2; i++) {
        _cleanup_free_ char *dir = str_printf("%s/%d/top", box.dir, i);
        _cleanup_free_ char *file = str_printf("%s/which.py", dir);
        _cleanup_free_ char *zip = str_printf("%s/%d/code.zip", box.dir, i);
        CHECK_OK(dir_make(dir, 0755));
        CHECK_OK(file_write_atomic(file, i ? "1" : "0", 1, 0644));
        CHECK_OK(package_create(dir, &(PackageOptions){ .include_parent = true }, zip));
        _cleanup_free_ char *uri = str_printf("file://%s", zip);
        _cleanup_json_ json_t *answer = NULL;
        CHECK_OK(setup(&box, json_pack("{s:s}", "working_dir", uri), &answer));
        dirs[i] = str_dup(json_str_at(answer, "cwd"));
    }
    for (int i = 0; i < 2; i++) {
        _cleanup_free_ char *file = str_printf("%s/which.py", dirs[i]);
        _cleanup_buf_ Buf text = { 0 };
        CHECK_OK(file_read(file, 10, &text));
        CHECK_STR(text.data, i ? "1" : "0");
        free(dirs[i]);
    }
}

static void test_names_that_lead_elsewhere(void **state) {
    static const char *const uris[] = { "https://host/.whl", "https://host/...whl",
                                        "gcs://../x.zip", "gcs://.zip", "file:///etc/passwd" };
    _cleanup_(box_done) Box box = box_new();
    for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
        json_t *answer = NULL;
        CHECK_INT(setup(&box, json_pack("{s:s}", "working_dir", uris[i]), &answer), -EINVAL);
    }
}

/* The head has all the time there is; who waits for it has one second for everything. */
static int late_fetch(void *ctx, const char *name, usec_t deadline, const char *path) {
    usec_t *ret_left = ctx;
    *ret_left = time_left(deadline);
    while (time_left(deadline) > 0)
        (void)usleep(1000);
    return error_origin(-ETIMEDOUT, "%s did not come to %s", name, strrchr(path, '/') + 1);
}

static void test_all_of_it_has_one_deadline(void **state) {
    _cleanup_(box_done) Box box = box_new();
    json_t *answer = NULL;
    usec_t left = 0;
    _cleanup_json_ json_t *env = json_pack("{s:s, s:{s:i}}", "working_dir", "gcs://_ray_pkg_a.zip",
                                           "config", "setup_timeout_seconds", 1);
    const EnvSetup spec = {
        .runtime_env = env, .session_dir = box.dir, .fetch = late_fetch, .fetch_ctx = &left
    };
    int r = env_setup(&spec, &answer);
    CHECK_INT(r, -ETIMEDOUT);
    CHECK(left > 0 && left <= USEC_PER_SEC);
    CHECK(strstr(error_text(r), "Failed to install runtime_env within the timeout of 1 seconds: "
                                "_ray_pkg_a.zip did not come to _ray_pkg_a.zip. "));
}

/* Nobody listens there: who still asked would be refused. */
static void test_a_download_after_the_deadline_is_not_begun(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_free_ char *path = str_printf("%s/file", box.dir);
    int r = download("http://127.0.0.1:1/a.zip?secret", path, 1024, time_mono_now());
    CHECK_INT(r, -ETIMEDOUT);
    CHECK_STR(error_text(r), "download http://127.0.0.1:1/a.zip: it had not begun");
}

int main(void) {
    return TEST_RUN(TEST(test_variables_refer_to_earlier_ones),
                    TEST(test_variables_that_double_end), TEST(test_archives_of_one_name_are_two),
                    TEST(test_names_that_lead_elsewhere), TEST(test_all_of_it_has_one_deadline),
                    TEST(test_a_download_after_the_deadline_is_not_begun));
}
