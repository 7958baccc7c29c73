/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/job_run.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/job_state.h"
#include "api/logs.h"
#include "base/arena.h"
#include "base/fd.h"
#include "base/test.h"
#include "model/ids.h"
#include "net/frame.h"
#include "net/listener.h"
#include "rpc/rpc.h"

/* A raylet that welcomes job-run, confirms each report and notes it. */
typedef struct Fake {
    char dir[64];
    char *socket, *program;
    Loop *loop;
    Listener *listener;
    FrameConn *conn;
    StrList statuses;    /* "STATUS: message" */
    const char *stop_at; /* status at which a stop is sent */
    const char *dead_at; /* status that is answered by DEAD */
    pid_t pid;
} Fake;

static void answer(FrameConn *conn, const FrameHeader *call, MessageType type, const Buf *body) {
    FrameHeader header = rpc_answer_header(call, type, body);
    frame_send(conn, &header, buf_slice(body));
}

static void send_stop(Fake *fake) {
    _cleanup_buf_ Buf body = { 0 };
    const JobRunStop stop = { .submission = SLICE("job") };
    job_run_stop_encode(&stop, &body);
    const FrameHeader header = { .type = MSG_JOB_RUN_STOP, .length = (uint32_t)body.len };
    frame_send(fake->conn, &header, buf_slice(&body));
}

static void on_state(Fake *fake, const FrameIn *frame) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    JobRunState state;
    CHECK_OK(job_run_state_decode(&state, frame->body.data, frame->body.len, &arena));
    strlist_printf(&fake->statuses, "%.*s: %.*s", (int)state.status.len, state.status.data,
                   (int)state.message.len, state.message.data);
    if (fake->stop_at && slice_eq_str(state.status, fake->stop_at))
        send_stop(fake);
    bool dead = fake->dead_at && slice_eq_str(state.status, fake->dead_at);
    FrameHeader header =
        dead ? rpc_answer_status(&frame->header, STATUS_CODE_DEAD, "The job was deleted.", &body)
             : rpc_answer_status(&frame->header, STATUS_CODE_OK, "", &body);
    frame_send(fake->conn, &header, buf_slice(&body));
}

static void on_frame(void *ctx, FrameConn *conn, FrameIn *frame) {
    _cleanup_buf_ Buf body = { 0 };
    if (frame->header.type == MSG_JOB_RUN_STATE) {
        on_state(ctx, frame);
        return;
    }
    CHECK_INT(frame->header.type, MSG_HELLO);
    const Welcome welcome = { .version = 1 };
    welcome_encode(&welcome, &body);
    answer(conn, &frame->header, MSG_WELCOME, &body);
}

static void on_closed(void *ctx, FrameConn *conn, int r) {
    Fake *fake = ctx;
    fake->conn = frame_conn_free(fake->conn);
    loop_stop(fake->loop);
}

static const FrameEvents events = { .frame = on_frame, .closed = on_closed };

static void on_accept(void *ctx, Stream *stream) {
    Fake *fake = ctx;
    fake->conn = frame_conn_new(stream, &events, fake);
}

static void fake_init(Fake *fake) {
    *fake = (Fake){ .dir = "/tmp/mobula-job-XXXXXX" };
    CHECK(mkdtemp(fake->dir));
    _cleanup_free_ char *logs = str_printf("%s/logs", fake->dir);
    CHECK_OK(dir_make(logs, 0755));
    fake->socket = str_printf("%s/raylet", fake->dir);
    fake->program = str_printf("%s/mobula", fake->dir);
    NetAddress address;
    CHECK_OK(net_address_unix(fake->socket, &address));
    CHECK_OK(loop_new(&fake->loop));
    CHECK_OK(listener_new(fake->loop, &address, 0, on_accept, fake, &fake->listener));
}

static void fake_done(Fake *fake) {
    frame_conn_free(fake->conn);
    listener_free(fake->listener);
    loop_free(fake->loop);
    CHECK_OK(dir_remove(fake->dir));
    strlist_done(&fake->statuses);
    free(fake->socket);
    free(fake->program);
}

/* Runs the job in a child and the raylet here until the child closed its connection. */
static void fake_run(Fake *fake, json_t *record) {
    _cleanup_json_ json_t *owned = record;
    const JobRunSpec spec = { fake->dir,        fake->socket,  "127.0.0.1",
                              "127.0.0.1:6379", fake->program, owned };
    int ready[2];
    CHECK_INT(pipe(ready), 0);
    fake->pid = fork();
    if (fake->pid == 0)
        _exit(job_run(&spec, ready[1]));
    close(ready[1]);
    char word = 'x';
    CHECK_INT(read(ready[0], &word, 1), 1);
    CHECK_INT(word, 0);
    close(ready[0]);
    loop_run(fake->loop);
    int status = -1;
    CHECK_INT(waitpid(fake->pid, &status, 0), fake->pid);
    CHECK_INT(status, 0);
}

static json_t *record_of(const char *entrypoint) {
    json_t *record = json_object();
    json_object_set_new(record, "submission_id", json_string("job"));
    json_object_set_new(record, "entrypoint", json_string(entrypoint));
    return record;
}

static const char *last_status(const Fake *fake) {
    return fake->statuses.len ? fake->statuses.items[fake->statuses.len - 1] : "";
}

static char *job_log(const Fake *fake) {
    _cleanup_free_ char *path = job_log_path(fake->dir, "job");
    _cleanup_buf_ Buf text = { 0 };
    CHECK_OK(file_read(path, 100000, &text));
    return buf_steal(&text);
}

static void test_success(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    fake_run(&fake, record_of("echo $RAY_ADDRESS $RAY_JOB_CONFIG_JSON_ENV_VAR"));
    CHECK_STR(last_status(&fake), "SUCCEEDED: Job finished successfully.");
    _cleanup_free_ char *log = job_log(&fake);
    CHECK(strstr(log, "Runtime env is setting up.\n"));
    CHECK(strstr(log, "Running entrypoint for job job: echo"));
    CHECK(strstr(log, "127.0.0.1:6379 {\"runtime_env\":{},\"metadata\":{\"job_submission_id\":"));
    _cleanup_(job_state_done) JobState end = { 0 };
    CHECK_OK(job_state_read(fake.dir, "job", &end));
    CHECK(end.reported && end.has_exit_code);
    CHECK_INT(end.exit_code, 0);
}

static void test_a_failure_carries_the_log(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    fake_run(&fake, record_of("echo boom; exit 7"));
    CHECK(str_starts(last_status(&fake),
                     "FAILED: Job entrypoint command failed with exit code 7, last available logs "
                     "(truncated to 20,000 chars):\n"));
    CHECK(strstr(last_status(&fake), "boom\n"));
}

static void test_a_signal_is_a_negative_code(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    fake_run(&fake, record_of("kill -9 $$"));
    CHECK(strstr(last_status(&fake), "failed with exit code -9"));
}

static void test_a_stop_ends_every_process(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    fake.stop_at = JOB_STATE_RUNNING;
    setenv("RAY_JOB_STOP_WAIT_TIME_S", "0", 1);
    fake_run(&fake, record_of("trap '' TERM; (setsid sleep 1000 &) ; sleep 1000"));
    CHECK_STR(last_status(&fake), "STOPPED: Job was intentionally stopped.");
}

static void test_a_job_that_is_given_up_says_why(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    fake.dead_at = JOB_STATE_RUNNING;
    fake_run(&fake, record_of("sleep 1000"));
    CHECK_STR(last_status(&fake), "FAILED: The job was deleted.");
    _cleanup_free_ char *log = job_log(&fake);
    CHECK(strstr(log, "The job was deleted.\n") && !strstr(log, "raylet"));
}

static void with_env_setup(const Fake *fake, const char *script) {
    CHECK_OK(file_write_atomic(fake->program, script, strlen(script), 0755));
}

static json_t *record_with_env(const char *entrypoint) {
    json_t *record = record_of(entrypoint);
    json_set_at(record, json_string("1"), "runtime_env", "env_vars", "A");
    return record;
}

static void test_the_environment_comes_first(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    with_env_setup(&fake, "#!/bin/sh\ngrep -q '\"A\":\"1\"' && echo '{\"env_vars\":{\"A\":\"one\"},"
                          "\"cwd\":\"/usr\",\"holds\":[]}'\n");
    fake_run(&fake, record_with_env("echo $A in $(pwd)"));
    _cleanup_free_ char *log = job_log(&fake);
    CHECK(strstr(log, "\none in /usr\n"));
}

static void test_a_broken_environment_fails_the_job(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    with_env_setup(&fake, "#!/bin/sh\necho '{\"error\":\"pip could not install x\"}'; exit 1\n");
    fake_run(&fake, record_with_env("echo never"));
    CHECK_STR(last_status(&fake), "FAILED: runtime_env setup failed: Failed to set up runtime "
                                  "environment.\npip could not install x");
    _cleanup_free_ char *log = job_log(&fake);
    CHECK(strstr(log, "pip could not install x") && !strstr(log, "never"));
}

static void test_a_stop_reaches_the_environment(void **state) {
    _cleanup_(fake_done) Fake fake;
    fake_init(&fake);
    with_env_setup(&fake, "#!/bin/sh\nexec sleep 1000\n");
    fake.stop_at = JOB_STATE_PENDING;
    fake_run(&fake, record_with_env("echo never"));
    CHECK_STR(last_status(&fake), "STOPPED: Job was intentionally stopped.");
}

int main(void) {
    return TEST_RUN(
        TEST(test_success), TEST(test_a_failure_carries_the_log),
        TEST(test_a_signal_is_a_negative_code), TEST(test_a_stop_ends_every_process),
        TEST(test_a_job_that_is_given_up_says_why), TEST(test_the_environment_comes_first),
        TEST(test_a_broken_environment_fails_the_job), TEST(test_a_stop_reaches_the_environment));
}
