/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"

#include "base/map.h"
#include "base/test.h"

static void test_ids_nest_as_in_ray(void **state) {
    UNUSED(state);
    JobId job = job_id_from_number(258);
    CHECK_STR(ID_HEX(&job), "02010000");
    TaskId driver = task_id_driver(&job);
    CHECK_STR(ID_HEX(&driver), "ffffffffffffffffffffffffffffffffffffffff02010000");
    ActorId actor = actor_id_make(&job);
    JobId back = actor_id_job(&actor);
    CHECK_INT(job_id_number(&back), 258);
    IdSource source;
    id_source_init(&source);
    TaskId task = task_id_make_actor(&source, &actor);
    ActorId of_task = task_id_actor(&task);
    CHECK(id_equal(&of_task, &actor));
    ObjectId object = object_id_return(&task, 1);
    TaskId of_object = object_id_task(&object);
    CHECK(id_equal(&of_object, &task));
    CHECK_INT(object_id_index(&object), 1);
    ObjectId put = object_id_put(&task, 1);
    CHECK(!id_equal(&put, &object));
}

static void test_task_ids_do_not_repeat(void **state) {
    UNUSED(state);
    IdSource source;
    id_source_init(&source);
    JobId job = job_id_from_number(1);
    Map seen;
    map_init(&seen, sizeof(TaskId));
    for (int i = 0; i < 100000; i++) {
        TaskId task = task_id_make(&source, &job);
        CHECK(map_put(&seen, task.byte, &seen) == NULL);
    }
    map_done(&seen);
}

static void test_peers(void **state) {
    UNUSED(state);
    PeerId peer = peer_make(3, 2, 77);
    CHECK_INT(peer_node(peer), 3);
    CHECK_INT(peer_incarnation(peer), 2);
    CHECK_INT(peer_worker(peer), 77);
    CHECK(peer_raylet(peer) == peer_make(3, 2, 0));
}

int main(void) {
    return TEST_RUN(TEST(test_ids_nest_as_in_ray), TEST(test_task_ids_do_not_repeat),
                    TEST(test_peers));
}
