/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A process's side of the node's store: it writes objects into slabs of its own and reads any
 * object in place. libc only. Not thread-safe: the runtime's lock guards it, except that data of
 * a pinned object is read freely, and that of a block written.
 *
 * The memory of a slab that was full and given back stays mapped for writing while the raylet
 * grants it to nobody else, so that it can be written again without new page tables. A large
 * object whose memory has no pages yet is written by system calls: to fault pages in one by one,
 * zeroed first, takes twice as long.
 */

#include "base/map.h"
#include "base/vec.h"
#include "store/layout.h"

typedef struct StoreSlab {
    uint64_t offset, size, generation;
    bool warm; /* its memory has pages: mapping them is cheap */
} StoreSlab;

typedef struct StoreBlock { /* an object being written */
    uint64_t offset, generation, size;
    void *data;             /* writable until sealed; NULL: only by `fd` */
    int fd;                 /* the same bytes, at `at`; borrowed */
    uint64_t at;
} StoreBlock;

typedef struct StoreReturn {
    uint64_t offset;
    bool kept;    /* full and done with, but mapped still for when it is granted again */
    bool dropped; /* was returned as kept, and is not mapped any more */
} StoreReturn;

typedef struct StoreClient StoreClient;

enum {
    STORE_NEED_SLAB = 1,
};

/* What the raylet gives a process that joins. */
typedef struct StoreDoor {
    int arena_fd, disk_fd; /* disk_fd may be -1 */
    int pins_fd;
    uint64_t bytes, disk_bytes;
} StoreDoor;

/* Takes the fds, also on failure. */
_must_check_ int store_client_open(const StoreDoor *door, StoreClient **ret_client);
StoreClient *store_client_free(StoreClient *client);

/* What to ask the raylet for when store_client_alloc says STORE_NEED_SLAB. */
uint64_t store_client_slab_wanted(const StoreClient *client, uint64_t size);
/* A granted slab. -EPROTO: it can't be one. */
_must_check_ int store_client_add_slab(StoreClient *client, const StoreSlab *slab);
/* STORE_NEED_SLAB: ask for one, add it, call again. */
_must_check_ int store_client_alloc(StoreClient *client, uint64_t size, const ObjectId *id,
                                    PeerId owner, StoreBlock *ret_block);
/* From here on others may read it, and nobody may write. */
void store_client_seal(StoreClient *client, const StoreBlock *block);
/* It could not be written. */
void store_client_abort(StoreClient *client, const StoreBlock *block);
/* What the raylet must be told of slabs, in order. Drained by the caller. */
size_t store_client_returns(StoreClient *client, StoreReturn *ret_returns, size_t max);
/* The raylet wants the room that is kept: nothing of what was returned stays mapped for writing.
 * Whoever calls it tells what is to be told first, then that all is dropped. */
void store_client_drop_kept(StoreClient *client);

/* Pins and returns the data; NULL: it is not there any more (or the table is full). */
const void *store_client_pin(StoreClient *client, uint64_t offset, uint64_t generation,
                             const ObjectId *id, uint64_t *ret_size);
/* So many are pinned that no other can be. */
bool store_client_pins_full(const StoreClient *client);
/* True: the raylet waits for this and must be told (ObjectUnpin). */
_must_check_ bool store_client_unpin(StoreClient *client, uint64_t offset);
size_t store_client_pinned(const StoreClient *client);
