/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The raylet's side of the node's store: the only one that grants and takes back memory. It
 * learns nothing of single objects until one is freed: their headers say what they are.
 */

#include "store/client.h"

typedef struct StoreServer StoreServer;

enum {
    STORE_FULL = 1,
    STORE_ABSENT = 2,
    STORE_PINNED = 3
};

/* `disk_fd` (-1: none; taken, also on failure) is an empty file of `disk_bytes`, which is used where
 * memory can't be had. */
_must_check_ int store_server_new(uint64_t bytes, int disk_fd, uint64_t disk_bytes,
                                  StoreServer **ret_server);
/* One holder more: who still copies to or from it on another thread. */
StoreServer *store_server_ref(StoreServer *server);
StoreServer *store_server_free(StoreServer *server); /* one holder less */
int store_server_fd(const StoreServer *server);      /* borrowed; given to each process */
int store_server_disk_fd(const StoreServer *server); /* the same; -1: none */
uint64_t store_server_bytes(const StoreServer *server);
uint64_t store_server_disk_bytes(const StoreServer *server);
uint64_t store_server_used(const StoreServer *server); /* in granted slabs of memory */
uint64_t store_server_disk_used(const StoreServer *server);

/* A process joins: *ret_pins_fd is its pin table, the caller's to pass on and to close. */
_must_check_ int store_server_join(StoreServer *server, PeerId process, int *ret_pins_fd);
/* It is gone: its slabs are closed, its unfinished objects and those it owned are freed. */
void store_server_leave(StoreServer *server, PeerId process);
/* A process that may own objects here died, on any node; a raylet: with all of its node. */
void store_server_owner_dead(StoreServer *server, PeerId owner);

/* STORE_FULL: nothing that large is free now; see store_server_recall(). */
_must_check_ int store_server_grant(StoreServer *server, PeerId process, uint64_t size,
                                    StoreSlab *ret_slab);
/* The same in the file on disk. STORE_FULL: neither. */
_must_check_ int store_server_grant_disk(StoreServer *server, PeerId process, uint64_t size,
                                         StoreSlab *ret_slab);
/* The process will not write to the slab at `offset` any more. `kept`: it has it mapped for writing
 * still, so that once free it is granted to nobody else. */
void store_server_close_slab(StoreServer *server, PeerId process, uint64_t offset, bool kept);
/* A process that keeps free room and was not asked for it yet: it shall drop all that it keeps, and is
 * granted none of it again before it has. False: there is no such process. */
bool store_server_recall(StoreServer *server, PeerId *ret_process);
/* One that was asked has not answered yet. */
bool store_server_recalling(const StoreServer *server);
/* The process has no mapping any more of the closed slab at `offset`, or (`all`) of any. */
void store_server_dropped(StoreServer *server, PeerId process, uint64_t offset, bool all);
/* The owner lets go. What somebody has pinned goes when the pin goes. STORE_ABSENT: not there. */
int store_server_free_object(StoreServer *server, uint64_t offset, uint64_t generation,
                             const ObjectId *id);
void store_server_unpinned(StoreServer *server, uint64_t offset);

/* The bytes of a sealed object, borrowed until this process returns to its loop. NULL: absent. */
const void *store_server_data(StoreServer *server, uint64_t offset, uint64_t generation,
                              const ObjectId *id, uint64_t *ret_size);
/* Of data that it returned: who owns the object. */
PeerId store_server_owner(const void *data);
/* Room for a copy that comes from another node or from disk: an object that the raylet writes in
 * place, in memory or in the file on `disk`. */
_must_check_ int store_server_copy_begin(StoreServer *server, uint64_t size, const ObjectId *id,
                                         PeerId owner, bool disk, StoreBlock *ret_block);
void store_server_copy_seal(StoreServer *server, const StoreBlock *block);
void store_server_copy_abort(StoreServer *server, const StoreBlock *block);

/* Gives memory back to the system that was free for the whole time since the last call. True: there
 * is more, for a later call. */
bool store_server_trim(StoreServer *server);

/* Making room: the raylet copies a victim's objects to where they are found again, then evicts them. */
typedef struct StoreObject {
    ObjectId id;
    PeerId owner;
    uint64_t offset, generation, size;
    const void *data; /* valid while the object is not freed */
} StoreObject;
typedef struct StoreVictim {
    StoreSlab slab;
    Vec(StoreObject) objects;
} StoreVictim;
/* The slab written longest ago of which all is written and nothing is read. It is not named again
 * before its end. False: there is none. */
bool store_server_victim(StoreServer *server, StoreVictim *ret_victim);
void store_server_victim_end(StoreServer *server, StoreVictim *victim);
/* STORE_PINNED: somebody reads it again, it stays. STORE_ABSENT: it was freed meanwhile. */
int store_server_evict(StoreServer *server, const StoreObject *object);
