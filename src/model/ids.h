/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ids and how they nest, as Ray's: an actor id ends in its job's, a task id in its actor's (zero
 * but for the job when there is none), an object id is its task's id and a 4-byte index: returns
 * count from 1, puts from 100,000,001. Numbers are little-endian. Nil is all 0xff.
 */

#include "wire/ids.h"

#define id_equal(a, b)  (memcmp((a)->byte, (b)->byte, sizeof(*(a))) == 0)
#define id_is_nil(id)   id_bytes_are((id)->byte, sizeof(*(id)), 0xff)
#define id_is_unset(id) id_bytes_are((id)->byte, sizeof(*(id)), 0)
#define id_set_nil(id)  ((void)memset((id)->byte, 0xff, sizeof(*(id))))
#define id_random(id)   mem_random((id)->byte, sizeof(*(id)))

bool id_bytes_are(const uint8_t *byte, size_t len, uint8_t value);

enum {
    ID_HEX_MAX = 2 * 28 + 1
};
/* Formats into `out`, returns it. */
const char *id_hex(const void *id, size_t len, char out[static ID_HEX_MAX]);
#define ID_HEX(id) id_hex((id), sizeof(*(id)), (char[ID_HEX_MAX]){ 0 })

/* Peers. */
static inline PeerId peer_make(uint16_t node, uint16_t incarnation, uint32_t worker) {
    return (uint64_t)node << 48 | (uint64_t)incarnation << 32 | worker;
}
static inline uint16_t peer_node(PeerId peer) {
    return (uint16_t)(peer >> 48);
}
static inline uint16_t peer_incarnation(PeerId peer) {
    return (uint16_t)(peer >> 32);
}
static inline uint32_t peer_worker(PeerId peer) {
    return (uint32_t)peer;
}
/* The raylet of the peer's node. */
static inline PeerId peer_raylet(PeerId peer) {
    return peer & ~(uint64_t)UINT32_MAX;
}
/* Did the peer die with this one: is it the same, or of the node whose raylet that is? */
static inline bool peer_died_with(PeerId peer, PeerId dead) {
    return peer == dead || (peer_worker(dead) == 0 && peer_raylet(peer) == dead);
}
#define PEER_GCS ((PeerId)1 << 32) /* node 0, incarnation 1, worker 0 */

/* Derivation. */
JobId job_id_from_number(uint32_t number);
uint32_t job_id_number(const JobId *job);
/* A process's source of unique numbers: a random start and a counter, no system call each. */
typedef struct IdSource {
    uint64_t key, count;
} IdSource;
void id_source_init(IdSource *source);

ActorId actor_id_make(const JobId *job);                 /* random but for its job */
TaskId task_id_driver(const JobId *job);                 /* the driver's own "task" */
TaskId task_id_make(IdSource *source, const JobId *job); /* a normal task */
TaskId task_id_make_actor(IdSource *source, const ActorId *actor);
TaskId task_id_actor_creation(const ActorId *actor);
ObjectId object_id_return(const TaskId *task, uint32_t index); /* index from 1 */
ObjectId object_id_put(const TaskId *task, uint32_t index);
bool object_id_is_put(const ObjectId *object);
TaskId object_id_task(const ObjectId *object);
uint32_t object_id_index(const ObjectId *object);
ActorId task_id_actor(const TaskId *task);
JobId actor_id_job(const ActorId *actor);
JobId task_id_job(const TaskId *task);
/* The reference that stands for an actor handle in reference counting. */
ObjectId object_id_actor_handle(const ActorId *actor);
