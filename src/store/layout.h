/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What lies in the arena of a node: slabs, each owned by one process at a time, which lays objects
 * one behind the other into it. Every object has a header that says what it is and whether it is
 * there, so a slab can be walked by the raylet after its process died.
 *
 * Readers pin: a process writes the object's offset into its own pin table, then looks at the
 * state. The raylet sets the state to FREEING, then looks at all pin tables. One of the two sees
 * the other, so nothing that is read is ever reused.
 *
 * Offsets below the arena's size are memory; those above lie in a file on disk, for what must be
 * had at once when memory is full and all of it is being read.
 */

#include <stdatomic.h>

#include "wire/ids.h"

enum {
    STORE_ALIGN = 64,
    STORE_HEADER = 128,
    STORE_PINS = 1 << 18,       /* slots of one process's table; slot 0 counts those ever used */
    STORE_SLAB_UNIT = 64 << 10, /* slabs are multiples of it */
    STORE_SLAB_USUAL = 8 << 20, /* what small objects share */
    STORE_SLAB_ALONE = 1 << 20, /* a larger object gets a slab of its own */
};

static const uint32_t STORE_MAGIC = 0x626f6a6d;

typedef enum StoreState {
    STORE_NONE = 0,
    STORE_WRITING = 1,
    STORE_SEALED = 2,
    STORE_FREEING = 3, /* not to be pinned any more; somebody still reads it */
    STORE_FREED = 4,
} StoreState;

typedef struct StoreHeader {
    uint32_t magic;
    _Atomic uint32_t state; /* StoreState */
    uint64_t size;          /* of the data, which follows the header */
    uint64_t generation;    /* of the slab's grant: an offset alone may be another object's later */
    PeerId owner;           /* whose death frees it */
    ObjectId id;
} StoreHeader;

_Static_assert(sizeof(StoreHeader) <= STORE_HEADER, "the header has its place");

/* Bytes that an object of `size` takes in a slab. */
static inline uint64_t store_footprint(uint64_t size) {
    return STORE_HEADER + ALIGN_UP(size, (uint64_t)STORE_ALIGN);
}
