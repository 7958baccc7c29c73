/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs_world.h"

/* Submitted jobs: who starts them, waits, stops them. */

/* A node that has joined, and a client on connection 50. */
static PeerId begin(World *w) {
    world_init(w);
    PeerId raylet = join(w, 1, true);
    hello(w, 50, ROLE_CLI, SLICE("secret"));
    return raylet;
}

static void stop(World *w) {
    SubmissionStop message = { .submission = SLICE("j1") };
    ASK(w, 50, 0, MSG_SUBMISSION_STOP, submission_stop_encode, &message);
}

static void submit(World *w, const char *id, const char *entrypoint) {
    SubmitJob message = { .submission = slice_str(id), .entrypoint = slice_str(entrypoint) };
    ASK(w, 50, 0, MSG_SUBMIT_JOB, submit_job_encode, &message);
}

static const char *record(World *w, const char *id) {
    SubmissionGet get = { .submission = slice_str(id) };
    ASK(w, 50, 0, MSG_SUBMISSION_GET, submission_get_encode, &get);
    SubmittedJob job;
    ANSWER(w, MSG_SUBMITTED_JOB, submitted_job_decode, &job);
    return arena_dup(&w->arena, job.record.data, job.record.len);
}

static void report_state(World *w, PeerId raylet, const char *status, int code) {
    JobRunState message = { .submission = SLICE("j1"),
                            .status = slice_str(status),
                            .message = SLICE("as it is"),
                            .exit_code = code,
                            .has_exit_code = true };
    ASK(w, 1, raylet, MSG_JOB_RUN_STATE, job_run_state_encode, &message);
}

static void run_state(World *w, PeerId raylet, const char *status, int code) {
    report_state(w, raylet, status, code);
    check_status(w, STATUS_CODE_OK);
}

static void test_submission(void **state) {
    World w;
    world_init(&w);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit(&w, "j1", "python x.py");
    sent_of(&w, MSG_SUBMITTED_JOB);
    CHECK(!find_sent(&w, MSG_JOB_RUN)); /* no head yet */
    submit(&w, "j1", "python x.py");
    check_status(&w, STATUS_CODE_EXISTS);
    submit(&w, "a/b", "x");
    check_status(&w, STATUS_CODE_INVALID);
    submit(&w, "", "");
    check_status(&w, STATUS_CODE_INVALID);
    restart(&w);
    PeerId raylet = join(&w, 1, true);
    CHECK_INT(sent_of(&w, MSG_JOB_RUN)->conn, 1);
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    CHECK(strstr(record(&w, "j1"), "\"status\":\"PENDING\""));
    run_state(&w, raylet, "RUNNING", 0);
    SubmissionDelete del = { .submission = SLICE("j1") };
    ASK(&w, 50, 0, MSG_SUBMISSION_DELETE, submission_delete_encode, &del);
    check_status(&w, STATUS_CODE_BUSY);
    stop(&w);
    CHECK_INT(sent_of(&w, MSG_JOB_RUN_STOP)->conn, 1);
    run_state(&w, raylet, "FAILED", 3);
    report_state(&w, raylet, "RUNNING", 0); /* over is over */
    check_status(&w, STATUS_CODE_DEAD);
    Status late;
    ANSWER(&w, MSG_STATUS, status_decode, &late);
    _cleanup_free_ char *why = str_dup_slice(late.text);
    CHECK(str_starts(why, "To the cluster the job is FAILED already: "));
    const char *text = record(&w, "j1");
    CHECK(strstr(text, "\"status\":\"FAILED\"") && strstr(text, "\"driver_exit_code\":3"));
    stop(&w);
    check_status(&w, STATUS_CODE_BUSY);
    ASK(&w, 50, 0, MSG_SUBMISSION_DELETE, submission_delete_encode, &del);
    check_status(&w, STATUS_CODE_OK);
    world_done(&w);
}

static void test_submission_node_dies(void **state) {
    World w;
    begin(&w);
    submit(&w, "j1", "python x.py");
    gcs_disconnected(w.gcs, 1);
    pass(&w, 2 * USEC_PER_SEC);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"FAILED\""));
    world_done(&w);
}

static void submit_cpus(World *w, const char *id, double cpus) {
    Resource cpu = { SLICE("CPU"), (int64_t)(cpus * (double)QUANTITY_ONE) };
    SubmitJob message = { .submission = slice_str(id),
                          .entrypoint = SLICE("python x.py"),
                          .resources = &cpu,
                          .resources_len = 1 };
    ASK(w, 50, 0, MSG_SUBMIT_JOB, submit_job_encode, &message);
}

/* The raylet's answer to the newest JobRun, as if from it, on a connection. */
static void answer_run_on(World *w, GcsConnId conn, PeerId raylet, StatusCode code) {
    const Sent *run = sent_of(w, MSG_JOB_RUN);
    Status status = { .code = code, .text = SLICE("no room") };
    _cleanup_buf_ Buf body = { 0 };
    status_encode(&status, &body);
    FrameHeader header = { .type = MSG_STATUS,
                           .flags = FRAME_REPLY | FRAME_ERROR,
                           .length = (uint32_t)body.len,
                           .stream = run->header.stream,
                           .source = raylet,
                           .destination = PEER_GCS };
    sent_clear(w);
    give(w, conn, &header, &body);
    pass(w, 0);
}

static void answer_run(World *w, PeerId raylet, StatusCode code) {
    answer_run_on(w, 1, raylet, code);
}

static void test_submission_waits_for_room(void **state) {
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true); /* 2 CPUs */
    hello(&w, 50, ROLE_CLI, SLICE("secret"));
    submit_cpus(&w, "j1", 2);
    JobRun run;
    ANSWER(&w, MSG_JOB_RUN, job_run_decode, &run);
    CHECK_INT(run.resources_len, 1);
    CHECK_INT(run.resources[0].amount, 2 * QUANTITY_ONE);
    answer_run(&w, raylet, STATUS_CODE_OK);
    submit_cpus(&w, "j2", 1); /* the first is counted in although the node has not said so yet */
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    CHECK(strstr(record(&w, "j2"), "It may be waiting for resources (CPUs, GPUs, memory, custom "
                                   "resources) to become available.\""));
    sent_clear(&w);
    report(&w, 1, raylet, 2);
    CHECK(sent_of(&w, MSG_JOB_RUN));
    answer_run(&w, raylet, STATUS_CODE_BUSY); /* the view was old */
    CHECK(strstr(record(&w, "j2"), "\"driver_node_id\":null"));
    report(&w, 1, raylet, 0);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    restart(&w); /* it waits on */
    raylet = join(&w, 1, true);
    CHECK(sent_of(&w, MSG_JOB_RUN));
    world_done(&w);
}

static void test_submission_asked_for_is_asked_again(void **state) {
    World w;
    begin(&w);
    submit(&w, "j1", "python x.py");
    sent_of(&w, MSG_JOB_RUN);
    restart(&w); /* without the answer */
    PeerId raylet = join(&w, 1, true);
    answer_run(&w, raylet, STATUS_CODE_OK);
    run_state(&w, raylet, "RUNNING", 0);
    restart(&w);
    join(&w, 1, true);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    world_done(&w);
}

static void test_submission_answered_by_a_stranger(void **state) {
    World w;
    PeerId raylet = begin(&w);
    submit(&w, "j1", "python x.py");
    answer_run_on(&w, 50, raylet, STATUS_CODE_INVALID);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"PENDING\""));
    world_done(&w);
}

static void test_submission_stopped_before_it_began(void **state) {
    World w;
    PeerId raylet = begin(&w);
    submit_cpus(&w, "j1", 1);
    SubmissionStop message = { .submission = SLICE("j1") };
    _cleanup_buf_ Buf body = { 0 };
    submission_stop_encode(&message, &body);
    feed(&w, 50, 0, MSG_SUBMISSION_STOP, FRAME_CALL, &body);
    answer_run(&w, raylet, STATUS_CODE_BUSY);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"STOPPED\""));
    world_done(&w);
}

static void test_submission_stop_is_told_again(void **state) {
    World w;
    PeerId raylet = begin(&w);
    submit(&w, "j1", "python x.py");
    answer_run(&w, raylet, STATUS_CODE_OK);
    run_state(&w, raylet, "RUNNING", 0);
    stop(&w);
    sent_of(&w, MSG_JOB_RUN_STOP);
    gcs_disconnected(w.gcs, 1); /* and it was on its way */
    raylet = join(&w, 1, true);
    sent_of(&w, MSG_JOB_RUN_STOP);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    run_state(&w, raylet, "STOPPED", 0);
    CHECK(strstr(record(&w, "j1"), "\"status\":\"STOPPED\""));
    world_done(&w);
}

/* A gcs that starts again tells it to the node that comes back; nobody who lists jobs sees how it knows. */
static void test_submission_stop_outlives_gcs(void **state) {
    World w;
    PeerId raylet = begin(&w);
    submit(&w, "j1", "python x.py");
    answer_run(&w, raylet, STATUS_CODE_OK);
    run_state(&w, raylet, "RUNNING", 0);
    stop(&w);
    check_status(&w, STATUS_CODE_OK);
    restart(&w); /* before the node had it */
    raylet = join(&w, 1, true);
    sent_of(&w, MSG_JOB_RUN_STOP);
    CHECK(!find_sent(&w, MSG_JOB_RUN));
    run_state(&w, raylet, "STOPPED", 0);
    restart(&w);
    join(&w, 1, true);
    CHECK(!find_sent(&w, MSG_JOB_RUN_STOP));
    world_done(&w);
}

/* Its node's connection broke with the question on its way: a stop before the question says nothing. */
static void test_submission_stop_follows_the_question(void **state) {
    World w;
    begin(&w);
    submit(&w, "j1", "python x.py");
    sent_of(&w, MSG_JOB_RUN);
    gcs_disconnected(w.gcs, 1);
    stop(&w);
    sent_clear(&w);
    join(&w, 1, true);
    const Sent *run = sent_of(&w, MSG_JOB_RUN), *told = sent_of(&w, MSG_JOB_RUN_STOP);
    CHECK(told > run); /* as they were sent */
    world_done(&w);
}

static void test_submission_that_nothing_can_take(void **state) {
    World w;
    PeerId raylet = begin(&w);
    submit_cpus(&w, "j1", 64);
    CHECK(strstr(record(&w, "j1"), "The entrypoint needs 64.0 CPU where no node has more than 2.0: "
                                   "add a node that has it, or stop the job and ask for less."));
    for (int i = 0; i < 16 * 60; i++) {
        pass(&w, USEC_PER_SEC);
        feed(&w, 1, raylet, MSG_PING, FRAME_CALL, NULL);
    }
    CHECK(strstr(record(&w, "j1"), "\"status\":\"FAILED\""));
    CHECK(strstr(record(&w, "j1"), "failed to start within 900 seconds."));
    world_done(&w);
}

int main(void) {
    return TEST_RUN(
        TEST(test_submission), TEST(test_submission_node_dies),
        TEST(test_submission_waits_for_room), TEST(test_submission_asked_for_is_asked_again),
        TEST(test_submission_answered_by_a_stranger), TEST(test_submission_stopped_before_it_began),
        TEST(test_submission_stop_is_told_again), TEST(test_submission_stop_follows_the_question),
        TEST(test_submission_stop_outlives_gcs), TEST(test_submission_that_nothing_can_take));
}
