/* SPDX-License-Identifier: Apache-2.0 */
#include "api/logs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/test.h"

static void check_clean(const char *bytes, size_t len, const char *want) {
    _cleanup_buf_ Buf out = { 0 };
    utf8_clean((Slice){ bytes, len }, &out);
    CHECK_STR(out.data, want);
}

static void test_utf8(void **state) {
    check_clean("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 11,
                "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    check_clean("a\xff"
                "b",
                3,
                "a\xef\xbf\xbd"
                "b");
    check_clean("\xc3", 1, "\xef\xbf\xbd");
    check_clean("\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd");
    check_clean("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_clean("a\0b", 3,
                "a\xef\xbf\xbd"
                "b");
}

typedef struct Follower {
    Loop *loop;
    LogTail *tail;
    Buf seen;
    bool ended;
} Follower;

static void on_text(void *ctx, Slice text) {
    Follower *follower = ctx;
    buf_add(&follower->seen, text.data, text.len);
}

static void on_end(void *ctx) {
    Follower *follower = ctx;
    follower->ended = true;
    follower->tail = log_tail_free(follower->tail);
}

static void wait_for(Follower *follower, const char *want) {
    while (!str_eq(follower->seen.data, want))
        loop_tick(follower->loop, loop_deadline(follower->loop, USEC_PER_SEC));
}

static void append(const char *path, const char *text) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    CHECK_OK(fd_write_all(fd, text, strlen(text)));
}

static void test_a_file_is_followed_from_before_its_birth(void **state) {
    char dir[] = "/tmp/mobula-logs-XXXXXX";
    CHECK(mkdtemp(dir));
    _cleanup_free_ char *path = str_printf("%s/x.log", dir);
    Follower follower = { 0 };
    CHECK_OK(loop_new(&follower.loop));
    LogTails *tails = log_tails_new(follower.loop);
    CHECK_OK(log_tail_new(tails, path, 0, on_text, &follower, &follower.tail));
    log_tails_unref(tails);
    loop_tick(follower.loop, 0);
    append(path, "one\n");
    wait_for(&follower, "one\n");
    append(path, "caf\xc3");
    wait_for(&follower, "one\ncaf");
    append(path, "\xa9\n");
    wait_for(&follower, "one\ncaf\xc3\xa9\n");
    log_tail_pause(follower.tail, true);
    append(path, "end\n");
    log_tail_pause(follower.tail, false);
    log_tail_finish(follower.tail, on_end);
    loop_run(follower.loop);
    CHECK(follower.ended);
    CHECK_STR(follower.seen.data, "one\ncaf\xc3\xa9\nend\n");
    buf_done(&follower.seen);
    loop_free(follower.loop);
    CHECK_OK(dir_remove(dir));
}

static int descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_followers_are_bounded(void **state) {
    char dir[] = "/tmp/mobula-logs-XXXXXX";
    CHECK(mkdtemp(dir));
    _cleanup_free_ char *path = str_printf("%s/x.log", dir);
    Follower last = { 0 }, other = { 0 };
    LogTail *list[LOG_TAILS_MAX - 1], *more;
    CHECK_OK(loop_new(&last.loop));
    other.loop = last.loop;
    LogTails *tails = log_tails_new(last.loop);
    int before = descriptors();
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        CHECK_OK(log_tail_new(tails, path, 0, on_text, &other, &list[i]));
    CHECK_INT(descriptors(), before + 1);
    CHECK_OK(log_tail_new(tails, path, 0, on_text, &last, &last.tail));
    CHECK_INT(log_tail_new(tails, path, 0, on_text, &other, &more), -EBUSY);
    CHECK(strstr(error_text(-EBUSY), "256 logs are followed"));
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        log_tail_free(list[i]);
    append(path, "one\n"); /* the others' end has not taken its watch */
    wait_for(&last, "one\n");
    CHECK_OK(log_tail_new(tails, path, 4, on_text, &other, &more));
    append(path, "two\n");
    wait_for(&last, "one\ntwo\n");
    wait_for(&other, "two\n");
    log_tail_free(more);
    append(path, "three\n");
    wait_for(&last, "one\ntwo\nthree\n");
    log_tails_unref(tails);
    log_tail_free(last.tail);
    buf_done(&last.seen);
    buf_done(&other.seen);
    loop_free(last.loop);
    CHECK_OK(dir_remove(dir));
}

static void test_last_lines(void **state) {
    char dir[] = "/tmp/mobula-logs-XXXXXX";
    CHECK(mkdtemp(dir));
    _cleanup_free_ char *path = str_printf("%s/x.log", dir);
    append(path, "one\ntwo\nthree\n");
    _cleanup_free_ char *two = log_last_lines(path, 2, 1000), *all = log_last_lines(path, 9, 1000),
                        *cut = log_last_lines(path, 9, 4), *none = log_last_lines(dir, 9, 9);
    CHECK_STR(two, "two\nthree\n");
    CHECK_STR(all, "one\ntwo\nthree\n");
    CHECK_STR(cut, "ree\n");
    CHECK_STR(none, "");
    CHECK_OK(dir_remove(dir));
}

int main(void) {
    return TEST_RUN(TEST(test_utf8), TEST(test_a_file_is_followed_from_before_its_birth),
                    TEST(test_followers_are_bounded), TEST(test_last_lines));
}
