/* SPDX-License-Identifier: Apache-2.0 */
#include "host/session.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"
#include "host/logfile.h"

static char *temp(void) {
    char *dir = str_dup("/tmp/session_test.XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    return dir;
}

static void test_names(void **state) {
    UNUSED(state);
    setenv("TZ", "UTC", 1);
    _cleanup_free_ char *name = session_name_new(1763805093 * USEC_PER_SEC + 42, 4711);
    CHECK_STR(name, "session_2025-11-22_09-51-33_000042_4711");
    CHECK(session_name_valid(name));
    CHECK(!session_name_valid("session_../../etc"));
    CHECK(!session_name_valid("session_latest"));
    CHECK(!session_name_valid("other"));
}

static void test_folders_and_latest(void **state) {
    UNUSED(state);
    _cleanup_free_ char *parent = temp(), *dir = str_printf("%s/ray", parent);
    _cleanup_session_ Session first = { 0 }, second = { 0 }, third = { 0 }, latest = { 0 },
                              made = { 0 };
    CHECK_INT(session_latest(dir, &latest), -ENOENT);
    CHECK_OK(session_open(dir, "session_a", &first));
    CHECK_OK(session_open(dir, "session_b", &second));
    CHECK_INT(session_open(dir, "a/b", &latest), -EINVAL);
    CHECK_OK(session_make(dir, "session_c", &made)); /* leaves session_latest */
    CHECK(access(made.sockets, F_OK) == 0);
    struct stat st;
    CHECK(stat(first.logs, &st) == 0 && stat(first.sockets, &st) == 0);
    CHECK(stat(dir, &st) == 0 && (st.st_mode & 07777) == 01777);
    CHECK_OK(session_latest(dir, &latest));
    CHECK_STR(latest.dir, second.dir);

    /* A folder that was there keeps its rights, a file is refused and keeps its own. */
    _cleanup_free_ char *file = str_printf("%s/file", parent);
    CHECK_OK(session_open(parent, "session_a", &third));
    CHECK(stat(parent, &st) == 0 && (st.st_mode & 07777) == 0700);
    CHECK_OK(file_write_atomic(file, "", 0, 0644));
    CHECK_INT(session_open(file, "session_a", &latest), -ENOTDIR);
    CHECK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0644);
    CHECK_OK(dir_remove(parent));
}

static void test_current_cluster(void **state) {
    UNUSED(state);
    _cleanup_free_ char *dir = temp(), *address = NULL, *none = NULL;
    CHECK_INT(session_address_read(dir, &none), 1);
    CHECK_OK(session_address_write(dir, "10.0.0.1:6379\n"));
    CHECK_OK(session_address_read(dir, &address));
    CHECK_STR(address, "10.0.0.1:6379");
    CHECK_OK(session_address_clear(dir, "10.0.0.2:6379"));
    CHECK_OK(session_address_clear(dir, "10.0.0.1:6379"));
    CHECK_INT(session_address_read(dir, &none), 1);
    CHECK_OK(dir_remove(dir));
}

static bool file_is(const char *path, const char *suffix, const char *text) {
    _cleanup_free_ char *full = str_printf("%s%s", path, suffix);
    _cleanup_buf_ Buf content = { 0 };
    if (file_read(full, 1000, &content) < 0)
        return text == NULL;
    return text && slice_eq_str(buf_slice(&content), text);
}

static void test_log_rotation(void **state) {
    UNUSED(state);
    _cleanup_free_ char *dir = temp(), *path = str_printf("%s/a.log", dir);
    LogFile file;
    CHECK_OK(logfile_open(path, 10, 3, &file));
    const char *lines[] = { "11111\n", "22222\n", "33333\n", "44444\n" };
    for (int i = 0; i < 4; i++)
        CHECK_OK(logfile_write(&file, lines[i], 6));
    CHECK(file_is(path, "", "44444\n") && file_is(path, ".1", "33333\n"));
    CHECK(file_is(path, ".2", "22222\n") && file_is(path, ".3", NULL));
    CHECK_OK(logfile_write(&file, "a line longer than a file\n", 26)); /* is not split */
    CHECK(file_is(path, "", "a line longer than a file\n"));
    logfile_done(&file);
    CHECK_OK(logfile_open(path, 10, 3, &file)); /* goes on where it was */
    CHECK_INT(file.size, 26);
    logfile_done(&file);
    CHECK_OK(dir_remove(dir));
}

static void test_trim_under_a_writer(void **state) {
    UNUSED(state);
    _cleanup_free_ char *dir = temp(), *path = str_printf("%s/a.out", dir);
    int fd;
    CHECK_OK(logfile_open_for_child(path, &fd));
    CHECK_OK(fd_write_all(fd, "0123456789", 10));
    CHECK_INT(logfile_trim(path, 10, 2), 0);
    CHECK_OK(fd_write_all(fd, "x", 1));
    CHECK_INT(logfile_trim(path, 10, 2), 1);
    CHECK_OK(fd_write_all(fd, "next", 4));
    CHECK(file_is(path, "", "next") && file_is(path, ".1", "0123456789x"));
    CHECK_INT(logfile_trim("/nowhere/x", 10, 2), 0);
    close(fd);
    CHECK_OK(dir_remove(dir));
}

int main(void) {
    return TEST_RUN(TEST(test_names), TEST(test_folders_and_latest), TEST(test_current_cluster),
                    TEST(test_log_rotation), TEST(test_trim_under_a_writer));
}
