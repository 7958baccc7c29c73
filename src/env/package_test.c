/* SPDX-License-Identifier: Apache-2.0 */
#include "env/package.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"

typedef struct Box {
    char dir[64];
} Box;

static Box box_new(void) {
    Box box = { "/tmp/mobula-package-XXXXXX" };
    CHECK(mkdtemp(box.dir));
    return box;
}

static void box_done(Box *box) {
    CHECK_OK(dir_remove(box->dir));
}

static char *box_path(const Box *box, const char *name) {
    return str_printf("%s/%s", box->dir, name);
}

static void box_write(const Box *box, const char *name, const char *text) {
    _cleanup_free_ char *path = box_path(box, name), *dir = str_dup(path);
    *strrchr(dir, '/') = 0;
    CHECK_OK(dir_make(dir, 0755));
    CHECK_OK(file_write_atomic(path, text, strlen(text), 0644));
}

static bool box_has(const Box *box, const char *name, const char *want) {
    _cleanup_free_ char *path = box_path(box, name);
    _cleanup_buf_ Buf text = { 0 };
    if (access(path, F_OK) < 0)
        return false;
    if (!want)
        return true;
    CHECK_OK(file_read(path, 1000, &text));
    return str_eq(text.data ? text.data : "", want);
}

static void fill(const Box *box) {
    box_write(box, "app/main.py", "print(1)");
    box_write(box, "app/lib/util.py", "x = 1");
    box_write(box, "app/big.bin", "0000");
    box_write(box, "app/lib/__pycache__/util.pyc", "no");
    box_write(box, "app/.git/config", "no");
    box_write(box, "app/.gitignore", "*.bin\n");
    box_write(box, "app/lib/.rayignore", "secret*\n");
    box_write(box, "app/lib/secret.txt", "no");
    box_write(box, "app/secret.txt", "yes");
}

static void test_a_directory_survives_the_way(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_free_ char *app = box_path(&box, "app"), *zip = box_path(&box, "a.zip"),
                        *out = box_path(&box, "out");
    fill(&box);
    CHECK_OK(package_create(app, NULL, zip));
    CHECK_OK(package_unpack(zip, out, false));
    CHECK(box_has(&box, "out/main.py", "print(1)"));
    CHECK(box_has(&box, "out/lib/util.py", "x = 1"));
    CHECK(box_has(&box, "out/secret.txt", "yes"));
    CHECK(!box_has(&box, "out/lib/secret.txt", NULL));
    CHECK(!box_has(&box, "out/big.bin", NULL));
    CHECK(!box_has(&box, "out/.git", NULL));
    CHECK(!box_has(&box, "out/lib/__pycache__", NULL));
}

static void test_the_name_is_the_content(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_free_ char *app = box_path(&box, "app");
    char first[PACKAGE_NAME_MAX], second[PACKAGE_NAME_MAX];
    fill(&box);
    CHECK_OK(package_name(app, NULL, first));
    CHECK(str_starts(first, "_ray_pkg_") && str_ends(first, ".zip"));
    box_write(&box, "app/big.bin", "ignored, so nothing changes");
    CHECK_OK(package_name(app, NULL, second));
    CHECK_STR(first, second);
    box_write(&box, "app/main.py", "print(2)");
    CHECK_OK(package_name(app, NULL, second));
    CHECK(!str_eq(first, second));
    CHECK_INT(package_name("/nonexistent", NULL, second), -ENOTDIR);
}

static void test_parent_and_excludes(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_free_ char *app = box_path(&box, "app"), *zip = box_path(&box, "a.zip"),
                        *out = box_path(&box, "out"), *top = box_path(&box, "top");
    _cleanup_strlist_ StrList excludes = { 0 };
    fill(&box);
    strlist_add(&excludes, "main.py");
    const PackageOptions options = { .excludes = &excludes, .include_parent = true };
    CHECK_OK(package_create(app, &options, zip));
    CHECK_OK(package_unpack(zip, out, false));
    CHECK(box_has(&box, "out/app/lib/util.py", "x = 1"));
    CHECK(!box_has(&box, "out/app/main.py", NULL));
    CHECK_OK(package_unpack(zip, top, true));
    CHECK(box_has(&box, "top/lib/util.py", "x = 1"));
}

/* Names are bytes: neither our locale nor the machine's counts. */
static void test_names_beyond_ascii(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_free_ char *app = box_path(&box, "app"), *zip = box_path(&box, "a.zip"),
                        *out = box_path(&box, "out");
    box_write(&box, "app/gr\303\274n/\346\227\245.py", "x = 1");
    CHECK_OK(package_create(app, NULL, zip));
    CHECK_OK(package_unpack(zip, out, false));
    CHECK(box_has(&box, "out/gr\303\274n/\346\227\245.py", "x = 1"));
}

static void test_garbage_is_refused(void **state) {
    _cleanup_(box_done) Box box = box_new();
    _cleanup_free_ char *zip = box_path(&box, "a.zip"), *out = box_path(&box, "out");
    box_write(&box, "a.zip", "PK\003\004 this is no zip at all");
    CHECK_INT(package_unpack(zip, out, false), -EBADMSG);
    CHECK_INT(package_unpack(zip, out, false), -EEXIST);
}

int main(void) {
    return TEST_RUN(TEST(test_a_directory_survives_the_way), TEST(test_the_name_is_the_content),
                    TEST(test_parent_and_excludes), TEST(test_names_beyond_ascii),
                    TEST(test_garbage_is_refused));
}
