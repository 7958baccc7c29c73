/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"

#include "base/mem.h"
#include "base/str.h"

enum {
    JOB_SIZE = 4,
    ACTOR_UNIQUE = 12,
    TASK_UNIQUE = 8,
    OBJECT_TASK = 24
};

static const uint32_t PUT_FIRST = 100 * 1000 * 1000; /* as in Ray */

bool id_bytes_are(const uint8_t *byte, size_t len, uint8_t value) {
    for (size_t i = 0; i < len; i++)
        if (byte[i] != value)
            return false;
    return true;
}

const char *id_hex(const void *id, size_t len, char out[static ID_HEX_MAX]) {
    ASSERT(len <= 28);
    hex_encode(id, len, out);
    return out;
}

JobId job_id_from_number(uint32_t number) {
    JobId job;
    memcpy(job.byte, &number, JOB_SIZE);
    return job;
}

uint32_t job_id_number(const JobId *job) {
    uint32_t number;
    memcpy(&number, job->byte, JOB_SIZE);
    return number;
}

void id_source_init(IdSource *source) {
    mem_random(source, sizeof(*source));
}

/* A bijection of the counter (splitmix64's finisher), so numbers of one source never repeat. */
static uint64_t id_source_next(IdSource *source) {
    uint64_t z = source->key + ++source->count * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

ActorId actor_id_make(const JobId *job) {
    ActorId actor;
    mem_random(actor.byte, ACTOR_UNIQUE);
    memcpy(actor.byte + ACTOR_UNIQUE, job->byte, JOB_SIZE);
    return actor;
}

TaskId task_id_driver(const JobId *job) {
    TaskId task;
    memset(task.byte, 0xff, sizeof(task.byte));
    memcpy(task.byte + TASK_UNIQUE + ACTOR_UNIQUE, job->byte, JOB_SIZE);
    return task;
}

TaskId task_id_make(IdSource *source, const JobId *job) {
    TaskId task = task_id_driver(job);
    uint64_t unique = id_source_next(source);
    memcpy(task.byte, &unique, TASK_UNIQUE);
    return task;
}

TaskId task_id_make_actor(IdSource *source, const ActorId *actor) {
    TaskId task;
    uint64_t unique = id_source_next(source);
    memcpy(task.byte, &unique, TASK_UNIQUE);
    memcpy(task.byte + TASK_UNIQUE, actor->byte, sizeof(actor->byte));
    return task;
}

TaskId task_id_actor_creation(const ActorId *actor) {
    TaskId task;
    memset(task.byte, 0xff, TASK_UNIQUE);
    memcpy(task.byte + TASK_UNIQUE, actor->byte, sizeof(actor->byte));
    return task;
}

static ObjectId object_id_make(const TaskId *task, uint32_t index) {
    ObjectId object;
    memcpy(object.byte, task->byte, OBJECT_TASK);
    memcpy(object.byte + OBJECT_TASK, &index, sizeof(index));
    return object;
}

ObjectId object_id_return(const TaskId *task, uint32_t index) {
    ASSERT(index > 0 && index < PUT_FIRST);
    return object_id_make(task, index);
}

ObjectId object_id_put(const TaskId *task, uint32_t index) {
    ObjectId id = object_id_make(task, PUT_FIRST + index);
    TaskId driver = *task;
    memset(driver.byte, 0xff, TASK_UNIQUE + ACTOR_UNIQUE);
    if (memcmp(&driver, task, sizeof(driver)) == 0)
        id.byte[0] = 0; /* as Ray tells a driver's objects from its task */
    return id;
}

bool object_id_is_put(const ObjectId *object) {
    return object_id_index(object) > PUT_FIRST;
}

TaskId object_id_task(const ObjectId *object) {
    TaskId task;
    memcpy(task.byte, object->byte, OBJECT_TASK);
    return task;
}

uint32_t object_id_index(const ObjectId *object) {
    uint32_t index;
    memcpy(&index, object->byte + OBJECT_TASK, sizeof(index));
    return index;
}

ActorId task_id_actor(const TaskId *task) {
    ActorId actor;
    memcpy(actor.byte, task->byte + TASK_UNIQUE, sizeof(actor.byte));
    return actor;
}

JobId actor_id_job(const ActorId *actor) {
    JobId job;
    memcpy(job.byte, actor->byte + ACTOR_UNIQUE, JOB_SIZE);
    return job;
}

JobId task_id_job(const TaskId *task) {
    ActorId actor = task_id_actor(task);
    return actor_id_job(&actor);
}

/* The creation task's first return: nobody else makes that id. */
ObjectId object_id_actor_handle(const ActorId *actor) {
    TaskId task = task_id_actor_creation(actor);
    return object_id_return(&task, 1);
}
