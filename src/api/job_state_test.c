/* SPDX-License-Identifier: Apache-2.0 */
#include "api/job_state.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/test.h"
#include "host/process.h"

static char *session_new(void) {
    char *dir = str_dup("/tmp/mobula-state-XXXXXX");
    CHECK(mkdtemp(dir));
    return dir;
}

static JobState state_of(const char *submission, pid_t pid, const char *status) {
    JobState state = { .submission = str_dup(submission), .pid = pid, .status = str_dup(status) };
    uint64_t ticks = 0;
    if (process_start_time(pid, &ticks) == 0)
        state.start_time = ticks;
    return state;
}

static void test_what_is_written_is_read(void **state) {
    _cleanup_free_ char *dir = session_new();
    _cleanup_(job_state_done) JobState out = state_of("a.b-c", 42, JOB_STATE_FAILED), in = { 0 };
    out.message = str_dup("exit \"7\"\n");
    out.error_type = str_dup("JOB_ENTRYPOINT_COMMAND_ERROR");
    out.has_exit_code = true;
    out.exit_code = -9;
    out.wall_ms = 1795000000123;
    out.driver_pid = 77;
    CHECK_OK(job_state_write(dir, &out));
    CHECK_OK(job_state_read(dir, "a.b-c", &in));
    CHECK_STR(in.message, out.message);
    CHECK_STR(in.error_type, out.error_type);
    CHECK(in.has_exit_code && !in.reported);
    CHECK_INT(in.exit_code, -9);
    CHECK_INT(in.wall_ms, out.wall_ms);
    CHECK_INT(in.driver_pid, 77);
    job_state_remove(dir, "a.b-c");
    CHECK_INT(job_state_read(dir, "a.b-c", &in), -ENOENT);
    CHECK_OK(dir_remove(dir));
}

static void count(void *ctx, const JobState *state) {
    StrList *seen = ctx;
    strlist_printf(seen, "%s %s", state->submission, state->status);
}

static void test_only_the_orphans_are_adopted(void **state) {
    _cleanup_free_ char *dir = session_new();
    _cleanup_strlist_ StrList seen = { 0 };
    pid_t dead = fork();
    if (dead == 0)
        _exit(0);
    waitpid(dead, NULL, 0);
    _cleanup_(job_state_done) JobState lives = state_of("lives", getpid(), JOB_STATE_RUNNING);
    _cleanup_(job_state_done) JobState orphan = state_of("orphan", dead, JOB_STATE_RUNNING);
    _cleanup_(job_state_done) JobState over = state_of("over", dead, JOB_STATE_SUCCEEDED);
    _cleanup_(job_state_done) JobState told = state_of("told", dead, JOB_STATE_SUCCEEDED);
    told.reported = true;
    CHECK_OK(job_state_write(dir, &lives));
    CHECK_OK(job_state_write(dir, &orphan));
    CHECK_OK(job_state_write(dir, &over));
    CHECK_OK(job_state_write(dir, &told));
    CHECK_OK(job_states_adopt(dir, 5, count, &seen));
    CHECK_INT(seen.len, 2);
    CHECK_STR(seen.items[0], "orphan FAILED");
    CHECK_STR(seen.items[1], "over SUCCEEDED");
    CHECK_OK(dir_remove(dir));
}

static void test_names(void **state) {
    CHECK(job_submission_valid("raysubmit_ABC"));
    CHECK(!job_submission_valid(""));
    CHECK(!job_submission_valid(".x"));
    CHECK(!job_submission_valid("../x"));
    CHECK(job_submission_valid("a b: 12"));
    CHECK(!job_submission_valid("a/b") && !job_submission_valid("a\nb"));
    CHECK(job_status_terminal("STOPPED") && !job_status_terminal("RUNNING"));
}

int main(void) {
    return TEST_RUN(TEST(test_what_is_written_is_read), TEST(test_only_the_orphans_are_adopted),
                    TEST(test_names));
}
