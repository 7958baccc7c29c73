/* SPDX-License-Identifier: Apache-2.0 */
#include "host/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/test.h"
#include "host/process.h"

#define ARGV SPAWN_LIST

static ChildExit run(const SpawnSpec *spec) {
    Child child;
    ChildExit end;
    CHECK_OK(spawn_start(spec, &child));
    CHECK_OK(child_wait(&child, 10 * USEC_PER_SEC, &end));
    CHECK_INT(child.pid, 0);
    return end;
}

static void test_exit_codes(void **state) {
    UNUSED(state);
    char text[CHILD_EXIT_TEXT_MAX];
    ChildExit end = run(&(SpawnSpec){ .argv = ARGV("sh", "-c", "exit 3") });
    CHECK_INT(child_exit_code(end), 3);
    end = run(&(SpawnSpec){ .argv = ARGV("sh", "-c", "kill -9 $$") });
    CHECK_INT(child_exit_code(end), 137);
    child_exit_text(end, text);
    CHECK_STR(text, "signal 9 (Killed)");
}

static void test_exec_error_comes_back(void **state) {
    UNUSED(state);
    Child child;
    CHECK_INT(spawn_start(&(SpawnSpec){ .argv = ARGV("no-such-program-x") }, &child), -ENOENT);
    CHECK_INT(spawn_start(&(SpawnSpec){ .argv = ARGV("/etc/passwd") }, &child), -EACCES);
    CHECK(strstr(error_text(-EACCES), "/etc/passwd") != NULL);
    CHECK_INT(spawn_start(&(SpawnSpec){ .argv = ARGV("sh"), .cwd = "/nowhere/x" }, &child),
              -ENOENT);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
}

static void test_only_named_fds(void **state) {
    UNUSED(state);
    int leak = open("/dev/null", O_RDONLY); /* not CLOEXEC on purpose */
    int out[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    SpawnFd fds[] = { { out[1], 1 }, { leak, 9 } };
    const char *script =
        "for i in 0 1 2 3 4 5 6 7 8 9 10 11; do [ -e /proc/$$/fd/$i ] && echo -n $i,; done";
    run(&(SpawnSpec){ .argv = ARGV("sh", "-c", script), .fds = fds, .fd_count = 2 });
    char text[64] = { 0 };
    CHECK(read(out[0], text, sizeof(text) - 1) > 0);
    CHECK_STR(text, "0,1,2,9,");
    close(leak);
    close(out[0]);
    close(out[1]);
}

static void test_fds_may_swap(void **state) {
    UNUSED(state);
    int a[2], b[2];
    CHECK(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0);
    SpawnFd fds[] = { { a[1], b[1] }, { b[1], a[1] } };
    char script[64], text[8] = { 0 };
    snprintf(script, sizeof(script), "echo a >&%d; echo b >&%d", b[1], a[1]);
    run(&(SpawnSpec){ .argv = ARGV("bash", "-c", script), .fds = fds, .fd_count = 2 });
    CHECK(read(a[0], text, 7) == 2 && text[0] == 'a');
    CHECK(read(b[0], text, 7) == 2 && text[0] == 'b');
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void test_environment_folder_limits(void **state) {
    UNUSED(state);
    int out[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    SpawnFd fds[] = { { out[1], 1 } };
    SpawnLimit limits[] = { { RLIMIT_NOFILE, 77, 77 } };
    ChildExit end = run(&(SpawnSpec){ .argv = ARGV("sh", "-c", "pwd; echo $X; ulimit -n; env"),
                                      .env = ARGV("X=1 2", "PATH=/usr/bin:/bin"),
                                      .cwd = "/usr",
                                      .limits = limits,
                                      .limit_count = 1,
                                      .fds = fds,
                                      .fd_count = 1 });
    CHECK_INT(child_exit_code(end), 0);
    char text[256] = { 0 };
    CHECK(read(out[0], text, sizeof(text) - 1) > 0);
    CHECK(str_starts(text, "/usr\n1 2\n77\n"));
    CHECK(strstr(text, "HOME=") == NULL);
    close(out[0]);
    close(out[1]);
}

static void test_session_and_signals(void **state) {
    UNUSED(state);
    signal(SIGTERM, SIG_IGN);
    Child child;
    CHECK_OK(spawn_start(&(SpawnSpec){ .argv = ARGV("sleep", "100"), .group = SPAWN_NEW_SESSION },
                         &child));
    CHECK_INT(getsid(child.pid), child.pid);
    ChildExit end;
    CHECK_INT(child_reap(&child, &end), 1);
    CHECK_OK(child_signal(&child, SIGTERM)); /* our SIG_IGN was not inherited */
    CHECK_OK(child_wait(&child, 5 * USEC_PER_SEC, &end));
    CHECK_INT(child_exit_code(end), 128 + SIGTERM);
    signal(SIGTERM, SIG_DFL);
}

static void test_run_feeds_and_collects(void **state) {
    UNUSED(state);
    _cleanup_buf_ Buf output = { 0 };
    CHECK_OK(spawn_run(ARGV("cat"), "hello", USEC_PER_SEC * 5, &output));
    CHECK_STR(output.data, "hello");
    CHECK_INT(spawn_run(ARGV("sh", "-c", "echo words >&2; exit 4"), NULL, USEC_PER_SEC * 5, NULL),
              -EIO);
    CHECK(strstr(error_text(-EIO), "exit status 4: words") != NULL);
    CHECK_INT(spawn_run(ARGV("sleep", "100"), NULL, 50 * USEC_PER_MSEC, NULL), -ETIMEDOUT);
}

static void test_kill_tree_finds_daemons(void **state) {
    UNUSED(state);
    int out[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    SpawnFd fds[] = { { out[1], 1 } };
    Child child;
    /* One child of the shell, one left behind by a subshell that is gone. */
    CHECK_OK(spawn_start(&(SpawnSpec){ .argv = ARGV("sh", "-c",
                                                    "(sleep 100 & echo $!); sleep 100 & echo $!; "
                                                    "echo; wait"),
                                       .group = SPAWN_NEW_SESSION,
                                       .fds = fds,
                                       .fd_count = 1 },
                         &child));
    close(out[1]);
    char text[128] = { 0 };
    for (size_t len = 0; !strstr(text, "\n\n");)
        len += (size_t)read(out[0], text + len, sizeof(text) - 1 - len);
    int orphan = 0, kid = 0;
    CHECK_INT(sscanf(text, "%d %d", &orphan, &kid), 2);
    PidList tree;
    CHECK_OK(process_tree(child.pid, &tree));
    CHECK_INT(tree.len, 2);
    vec_done(&tree);
    CHECK(process_alive(orphan) && process_alive(kid));
    CHECK_OK(process_kill_tree(child.pid, SIGKILL));
    ChildExit end;
    CHECK_OK(child_wait(&child, 5 * USEC_PER_SEC, &end));
    CHECK(read(out[0], text, 1) == 0); /* every holder of the pipe is gone */
    close(out[0]);
}

static void test_find_by_environment(void **state) {
    UNUSED(state);
    int in[2], out[2];
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    SpawnFd fds[] = { { in[0], 0 }, { out[1], 1 } };
    Child child;
    _cleanup_free_ char *mark = str_printf("SPAWN_TEST_MARK=%d", getpid());
    CHECK_OK(spawn_start(&(SpawnSpec){ .argv = ARGV("sh", "-c", "echo; read x"),
                                       .env = ARGV(mark, "PATH=/bin"),
                                       .fds = fds,
                                       .fd_count = 2 },
                         &child));
    char byte;
    CHECK(read(out[0], &byte, 1) == 1); /* the new program runs, so its environment is in place */
    PidList found;
    CHECK_OK(process_find_by_env(mark, &found));
    CHECK(found.len == 1 && found.items[0] == child.pid);
    vec_done(&found);
    uint64_t ticks;
    CHECK_OK(process_start_time(child.pid, &ticks));
    Child same;
    CHECK_OK(child_open(child.pid, ticks, &same));
    CHECK_INT(child_open(child.pid, ticks + 1, &(Child){ 0 }), -ESRCH);
    CHECK_OK(child_signal(&same, SIGKILL));
    child_release(&same);
    ChildExit end;
    CHECK_OK(child_wait(&child, 5 * USEC_PER_SEC, &end));
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

int main(void) {
    return TEST_RUN(TEST(test_exit_codes), TEST(test_exec_error_comes_back),
                    TEST(test_only_named_fds), TEST(test_fds_may_swap),
                    TEST(test_environment_folder_limits), TEST(test_session_and_signals),
                    TEST(test_run_feeds_and_collects), TEST(test_kill_tree_finds_daemons),
                    TEST(test_find_by_environment));
}
