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
    STORE_ABSENT = 2
};

_must_check_ int store_server_new(uint64_t bytes, StoreServer **ret_server);
StoreServer *store_server_free(StoreServer *server);
int store_server_fd(const StoreServer *server);        /* borrowed; given to each process */
uint64_t store_server_bytes(const StoreServer *server);
uint64_t store_server_used(const StoreServer *server); /* in granted slabs */

/* A process joins: *ret_pins_fd is its pin table, borrowed until it leaves. */
_must_check_ int store_server_join(StoreServer *server, PeerId process, int *ret_pins_fd);
/* It is gone: its slabs are closed, its unfinished objects and those it owned are freed. */
void store_server_leave(StoreServer *server, PeerId process);
/* A process that may own objects here died, on any node. */
void store_server_owner_dead(StoreServer *server, PeerId owner);

/* STORE_FULL: nothing that large is free now. */
_must_check_ int store_server_grant(StoreServer *server, PeerId process, uint64_t size,
                                    StoreSlab *ret_slab);
/* The process will not write to the slab at `offset` any more. */
void store_server_close_slab(StoreServer *server, PeerId process, uint64_t offset);
/* The owner lets go. What somebody has pinned goes when the pin goes. STORE_ABSENT: not there. */
int store_server_free_object(StoreServer *server, uint64_t offset, uint64_t generation,
                             const ObjectId *id);
void store_server_unpinned(StoreServer *server, uint64_t offset);

/* The bytes of a sealed object, borrowed until this process returns to its loop. NULL: absent. */
const void *store_server_data(StoreServer *server, uint64_t offset, uint64_t generation,
                              const ObjectId *id, uint64_t *ret_size);
/* Room for a copy that comes from another node: an object of the raylet's own, written in place. */
_must_check_ int store_server_copy_begin(StoreServer *server, uint64_t size, const ObjectId *id,
                                         PeerId owner, StoreBlock *ret_block);
void store_server_copy_seal(StoreServer *server, const StoreBlock *block);
void store_server_copy_abort(StoreServer *server, const StoreBlock *block);

/* Gives the memory of free room back to the system. */
void store_server_trim(StoreServer *server);
