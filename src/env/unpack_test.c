/* SPDX-License-Identifier: Apache-2.0 */
#include "env/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "env/package.h"

typedef struct Entry {
    const char *name;
    unsigned type; /* AE_IFREG and a link: a hard link */
    const char *link, *content;
} Entry;

enum {
    ARCHIVE_MAX = 1 << 16,
    ENTRIES_MAX = 4
};

static void add(struct archive *a, const Entry *from) {
    struct archive_entry *entry = archive_entry_new();
    const char *content = from->content ? from->content : "";
    archive_entry_set_pathname(entry, from->name);
    archive_entry_set_filetype(entry, from->type);
    archive_entry_set_perm(entry, 04755);
    if (from->type == AE_IFLNK)
        archive_entry_set_symlink(entry, from->link);
    else if (from->link)
        archive_entry_set_hardlink(entry, from->link);
    else if (from->type == AE_IFREG)
        archive_entry_set_size(entry, (la_int64_t)strlen(content));
    CHECK(archive_write_header(a, entry) == ARCHIVE_OK);
    CHECK(archive_write_data(a, content, strlen(content)) == (la_ssize_t)strlen(content));
    archive_entry_free(entry);
}

static Buf make_tar(const Entry *entries) {
    Buf tar = { 0 };
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    CHECK(archive_write_open_memory(a, buf_reserve(&tar, ARCHIVE_MAX), ARCHIVE_MAX, &tar.len) ==
          ARCHIVE_OK);
    for (size_t i = 0; i < ENTRIES_MAX && entries[i].name; i++)
        add(a, &entries[i]);
    archive_write_close(a);
    archive_write_free(a);
    return tar;
}

static int count_entry(void *ctx, const UnpackEntry *entry) {
    ++*(size_t *)ctx;
    return 0;
}

static int skip_data(void *ctx, Slice data, uint64_t offset) {
    return 0;
}

static int skip_end(void *ctx, uint64_t size) {
    return 0;
}

/* How often the sink is called, if at all. */
static int unpack_limited(const Entry *entries, const UnpackLimits *limits, size_t *ret_count,
                          char **ret_top) {
    _cleanup_buf_ Buf tar = make_tar(entries);
    const UnpackSink sink = { ret_count, count_entry, skip_data, skip_end };
    *ret_count = 0;
    return unpack_archive(NULL, buf_slice(&tar), limits, &sink, ret_top);
}

static const UnpackLimits wide = { 1 << 20, 1000, 10000 };

static void check_refused(const Entry *entries, int code, const char *sentence) {
    size_t count;
    char *top = NULL;
    CHECK_INT(unpack_limited(entries, &wide, &count, &top), code);
    CHECK(strstr(error_text(code), sentence));
}

static void test_nothing_leads_out(void **state) {
    static const Entry hostile[][ENTRIES_MAX] = {
        { { "../evil", AE_IFREG } },
        { { "/tmp/mobula-evil", AE_IFREG } },
        { { "a/../../evil", AE_IFREG } },
        { { "a/../evil", AE_IFREG } },
        { { "a\\..\\evil", AE_IFREG } },
        { { "link", AE_IFLNK, "/etc" } },
        { { "link", AE_IFLNK, ".." } },
        { { "d/link", AE_IFLNK, "../../outside" } },
        { { "d/link", AE_IFLNK, "x/../../.." } },
        /* Each looks harmless alone: the second leads through the first. */
        { { "a/b/up", AE_IFLNK, ".." }, { "out", AE_IFLNK, "a/b/up/../.." } },
        { { "hard", AE_IFREG, "../../etc/passwd" } },
        { { "hard", AE_IFREG, "/etc/passwd" } },
    };
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
        check_refused(hostile[i], -EPERM, "out of the package");
}

static void test_links_carry_nothing(void **state) {
    static const Entry through[] = { { "d", AE_IFLNK, "." }, { "d/x", AE_IFREG }, { 0 } };
    static const Entry moved[] = { { "a/b/up", AE_IFLNK, "../.." },
                                   { "up", AE_IFREG, "a/b/up" },
                                   { 0 } };
    static const Entry early[] = { { "x", AE_IFREG, "y" }, { "y", AE_IFREG }, { 0 } };
    static const Entry itself[] = { { "x", AE_IFREG }, { "x", AE_IFREG, "x" }, { 0 } };
    static const Entry pipe[] = { { "pipe", AE_IFIFO }, { 0 } };
    check_refused(through, -EPERM, "below something that is no directory");
    check_refused(moved, -EPERM, "link to no file of the package");
    check_refused(early, -EPERM, "link to no file of the package");
    check_refused(itself, -EPERM, "link to no file of the package");
    check_refused(pipe, -EPERM, "no file, directory or link");
}

static void test_names_that_meet(void **state) {
    static const Entry file_then_dir[] = { { "x", AE_IFREG }, { "x/y", AE_IFREG }, { 0 } };
    static const Entry dir_then_file[] = { { "x/y", AE_IFREG }, { "x", AE_IFREG }, { 0 } };
    static const Entry dir_then_link[] = { { "x/y", AE_IFREG }, { "x", AE_IFLNK, "z" }, { 0 } };
    check_refused(file_then_dir, -EPERM, "below something that is no directory");
    check_refused(dir_then_file, -EPERM, "is a directory and something else");
    check_refused(dir_then_link, -EPERM, "is a directory and something else");
}

static void test_everything_is_counted(void **state) {
    static const Entry deep[] = { { "a/b/c/d", AE_IFREG, NULL, "12345678" }, { 0 } };
    size_t count;
    char *top = NULL;
    CHECK_INT(unpack_limited(deep, &(UnpackLimits){ 1 << 20, 3, 10000 }, &count, &top), -EFBIG);
    CHECK_INT(count, 3);
    CHECK_INT(unpack_limited(deep, &(UnpackLimits){ 1 << 20, 4, 15 }, &count, &top), -EFBIG);
    CHECK_INT(unpack_limited(deep, &(UnpackLimits){ 7, 4, 100 }, &count, &top), -EFBIG);
    CHECK_OK(unpack_limited(deep, &(UnpackLimits){ 8, 4, 100 }, &count, &top));
    CHECK_INT(count, 4);
    CHECK_STR(top, "a");
    free(top);

    _cleanup_buf_ Buf name = { 0 };
    for (int i = 0; i <= UNPACK_PARTS_MAX; i++)
        buf_add_str(&name, "d/");
    const Entry too_deep[] = { { name.data, AE_IFDIR }, { 0 } };
    check_refused(too_deep, -EFBIG, "too long a path");
}

static void check_top(const Entry *entries, const char *wanted) {
    _cleanup_free_ char *top = NULL;
    size_t count;
    CHECK_OK(unpack_limited(entries, &wide, &count, &top));
    CHECK(str_eq(top, wanted));
}

static void test_the_single_top(void **state) {
    static const Entry plain[] = { { "./top/", AE_IFDIR }, { "./top/x", AE_IFREG }, { 0 } };
    static const Entry finder[] = { { "t/x", AE_IFREG }, { "__MACOSX/t/._x", AE_IFREG }, { 0 } };
    static const Entry two[] = { { "t/x", AE_IFREG }, { "u/x", AE_IFREG }, { 0 } };
    static const Entry file[] = { { "t", AE_IFREG }, { 0 } };
    static const Entry inner[] = { { "t/d/l", AE_IFLNK, "../x" }, { 0 } };
    /* It stays inside as long as t is there, and would lead out without. */
    static const Entry outer[] = { { "t/d/l", AE_IFLNK, "../../t/x" }, { 0 } };
    check_top(plain, "top");
    check_top(finder, "t");
    check_top(two, NULL);
    check_top(file, NULL);
    check_top(inner, "t");
    check_top(outer, NULL);
}

/* ------------------------------------------------------------------------- into a folder */

typedef struct Box {
    char dir[64];
    char *tar, *out;
} Box;

static Box box_new(const Entry *entries) {
    Box box = { "/tmp/mobula-unpack-XXXXXX" };
    CHECK(mkdtemp(box.dir));
    box.tar = str_printf("%s/a.tar", box.dir);
    box.out = str_printf("%s/out", box.dir);
    _cleanup_buf_ Buf tar = make_tar(entries);
    CHECK_OK(file_write_atomic(box.tar, tar.data, tar.len, 0600));
    return box;
}

static void box_done(Box *box) {
    CHECK_OK(dir_remove(box->dir));
    free(box->tar);
    free(box->out);
}

static void check_file(const Box *box, const char *name, const char *wanted) {
    _cleanup_free_ char *path = str_printf("%s/%s", box->out, name);
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(file_read(path, 1000, &text));
    CHECK_STR(text.data ? text.data : "", wanted);
}

static void test_a_folder_is_written(void **state) {
    static const Entry entries[] = {
        { "t/a.py", AE_IFREG, NULL, "first" },
        { "t/d/link", AE_IFLNK, "../a.py" },
        { "t/hard.py", AE_IFREG, "t/a.py" },
        { "t/a.py", AE_IFREG, NULL, "second" },
    };
    _cleanup_(box_done) Box box = box_new(entries);
    struct stat st;
    CHECK_OK(package_unpack(box.tar, box.out, true));
    check_file(&box, "a.py", "second");
    check_file(&box, "d/link", "second");
    check_file(&box, "hard.py", "first");
    _cleanup_free_ char *path = str_printf("%s/a.py", box.out);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 07000) == 0 && (st.st_mode & 0700) == 0700);
}

static void test_broken_content_is_refused(void **state) {
    static const Entry entries[] = { { "a", AE_IFREG, NULL, "0123456789" }, { 0 } };
    _cleanup_buf_ Buf tar = make_tar(entries);
    const UnpackSink sink = { &(size_t){ 0 }, count_entry, skip_data, skip_end };
    char *top = NULL;
    CHECK_INT(unpack_archive(NULL, (Slice){ tar.data, 516 }, &wide, &sink, &top), -EBADMSG);
    CHECK_INT(unpack_archive(NULL, SLICE("PK\003\004 no zip"), &wide, &sink, &top), -EBADMSG);
    CHECK_INT(unpack_archive(NULL, SLICE(""), &wide, &sink, &top), -EBADMSG);
}

int main(void) {
    return TEST_RUN(TEST(test_nothing_leads_out), TEST(test_links_carry_nothing),
                    TEST(test_names_that_meet), TEST(test_everything_is_counted),
                    TEST(test_the_single_top), TEST(test_a_folder_is_written),
                    TEST(test_broken_content_is_refused));
}
