/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "gcs/gcs_world.h"

/* What users list: records of ended calls, and of ended processes. */

enum {
    DRIVER = 7
};

/* `count` records of a job's calls, numbered on from *next. */
static void tell(World *w, PeerId raylet, JobId job, const char *name, int count, uint64_t dropped,
                 int *next) {
    _cleanup_arena_ Arena arena = { 0 };
    TaskEvents m = { .job = job,
                     .dropped = dropped,
                     .tasks = arena_array(&arena, Slice, (size_t)count) };
    Buf *bodies = arena_array(&arena, Buf, (size_t)count);
    for (int i = 0; i < count; i++) {
        TaskEvent event = { .name = slice_str(name), .attempt = (uint32_t)(*next)++ };
        event.task = task_id_driver(&job);
        task_event_encode(&event, &bodies[i]);
        m.tasks[m.tasks_len++] = buf_slice(&bodies[i]);
    }
    _cleanup_buf_ Buf body = { 0 };
    task_events_encode(&m, &body);
    feed(w, 1, raylet | DRIVER, MSG_TASK_EVENTS, 0, &body);
    for (int i = 0; i < count; i++)
        buf_done(&bodies[i]);
}

static TaskEvents list(World *w, TaskList question) {
    ASK(w, 9, 0, MSG_TASK_LIST, task_list_encode, &question);
    TaskEvents answer;
    ANSWER(w, MSG_TASK_EVENTS, task_events_decode, &answer);
    return answer;
}

static uint32_t attempt_of(World *w, const TaskEvents *answer, size_t i) {
    TaskEvent event;
    CHECK_OK(task_event_decode(&event, answer->tasks[i].data, answer->tasks[i].len, &w->arena));
    return event.attempt;
}

static void test_the_newest_are_kept(void **state) {
    UNUSED(state);
    World w;
    int next = 0;
    setenv("RAY_task_events_max_num_task_in_gcs", "10", 1);
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 9, ROLE_DASHBOARD, SLICE("secret"));
    JobId one = job_id_from_number(1), two = job_id_from_number(2);
    tell(&w, raylet, one, "f", 4, 0, &next);
    tell(&w, raylet, two, "g", 4, 3, &next);
    TaskEvents all = list(&w, (TaskList){ 0 });
    CHECK_INT(all.tasks_len, 8);
    CHECK_INT(all.kept, 8);
    CHECK_INT(all.dropped, 3);
    CHECK_INT(attempt_of(&w, &all, 0), 7);
    CHECK_INT(attempt_of(&w, &all, 7), 0);
    tell(&w, raylet, one, "f", 4, 0, &next); /* twelve are too many: the first batch goes */
    all = list(&w, (TaskList){ 0 });
    CHECK_INT(all.kept, 8);
    CHECK_INT(all.dropped, 7);
    TaskEvents of_one = list(&w, (TaskList){ .job = one });
    CHECK_INT(of_one.tasks_len, 4);
    CHECK_INT(of_one.dropped, 4);
    CHECK_INT(attempt_of(&w, &of_one, 0), 11);
    world_done(&w);
    unsetenv("RAY_task_events_max_num_task_in_gcs");
}

static void test_filters(void **state) {
    UNUSED(state);
    World w;
    int next = 0;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 9, ROLE_DASHBOARD, SLICE("secret"));
    JobId one = job_id_from_number(1), two = job_id_from_number(2);
    tell(&w, raylet, one, "f", 3, 0, &next);
    tell(&w, raylet, two, "g", 2, 0, &next);
    CHECK_INT(list(&w, (TaskList){ .name = SLICE("F") }).tasks_len, 3);
    CHECK_INT(list(&w, (TaskList){ .name = SLICE("ff") }).tasks_len, 0);
    CHECK_INT(list(&w, (TaskList){ .task = task_id_driver(&two) }).tasks_len, 2);
    CHECK_INT(list(&w, (TaskList){ .limit = 1 }).tasks_len, 1);
    ActorId nobody = actor_id_make(&one);
    CHECK_INT(list(&w, (TaskList){ .actor = nobody }).tasks_len, 0);
    /* Only processes of nodes tell, and what can't be read is left out. */
    Slice junk = SLICE("\1\2\3");
    TaskEvents m = { .job = one, .tasks = &junk, .tasks_len = 1 };
    _cleanup_buf_ Buf body = { 0 };
    task_events_encode(&m, &body);
    feed(&w, 9, 0, MSG_TASK_EVENTS, 0, &body);
    CHECK_INT(list(&w, (TaskList){ 0 }).kept, 5);
    feed(&w, 1, raylet | DRIVER, MSG_TASK_EVENTS, 0, &body);
    CHECK_INT(list(&w, (TaskList){ 0 }).tasks_len, 5);
    world_done(&w);
}

static void test_dead_processes(void **state) {
    UNUSED(state);
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 9, ROLE_DASHBOARD, SLICE("secret"));
    PeerDead dead = { .peer = raylet | 5,
                      .pid = 77,
                      .role = ROLE_WORKER,
                      .exit_code = -9,
                      .text = SLICE("It was killed.") };
    ASK(&w, 1, raylet, MSG_PEER_DEAD, peer_dead_encode, &dead);
    WorkerList question = { 0 };
    ASK(&w, 9, 0, MSG_WORKER_LIST, worker_list_encode, &question);
    DeadWorkers answer;
    ANSWER(&w, MSG_DEAD_WORKERS, dead_workers_decode, &answer);
    CHECK_INT(answer.workers_len, 1);
    CHECK_INT(answer.workers[0].pid, 77);
    CHECK_INT(answer.workers[0].exit_code, -9);
    world_done(&w);
}

/* However long the sentences of their deaths are, they fit an answer; the oldest are counted only. */
static void test_many_long_deaths(void **state) {
    UNUSED(state);
    enum {
        DEATHS = 1200,
        TEXT = 60000
    };
    World w;
    world_init(&w);
    PeerId raylet = join(&w, 1, true);
    hello(&w, 9, ROLE_DASHBOARD, SLICE("secret"));
    _cleanup_free_ char *text = mem_zalloc(TEXT + 1);
    memset(text, 'x', TEXT);
    for (uint32_t i = 0; i < DEATHS; i++) {
        PeerDead dead = {
            .peer = raylet | (5 + i), .pid = i, .role = ROLE_WORKER, .text = { text, TEXT }
        };
        ASK(&w, 1, raylet, MSG_PEER_DEAD, peer_dead_encode, &dead);
    }
    WorkerList question = { 0 };
    ASK(&w, 9, 0, MSG_WORKER_LIST, worker_list_encode, &question);
    const Sent *sent = sent_of(&w, MSG_DEAD_WORKERS);
    CHECK(sent->body.len < (size_t)64 << 20);
    DeadWorkers answer;
    ANSWER(&w, MSG_DEAD_WORKERS, dead_workers_decode, &answer);
    CHECK_INT(answer.workers_len + answer.dropped, DEATHS);
    CHECK_INT(answer.workers[answer.workers_len - 1].pid, DEATHS - 1);
    world_done(&w);
}

int main(void) {
    return TEST_RUN(TEST(test_the_newest_are_kept), TEST(test_filters), TEST(test_dead_processes),
                    TEST(test_many_long_deaths));
}
