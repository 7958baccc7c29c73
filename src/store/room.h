/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Free room of a part of the store, in whole units, and which of its units have pages: to write
 * where there are some costs a third of writing where there are none.
 */

#include "base/vec.h"
#include "store/layout.h"

typedef struct Extent {
    uint64_t offset, size;
} Extent;

typedef struct Room {
    uint64_t base, size;
    Vec(Extent) free; /* by offset, never two neighbours that touch */
    uint64_t *recent; /* a bit a unit: has pages, was used since the last room_age() */
    uint64_t *old;    /* has pages, was not */
} Room;

/* All of [base, base + size) is free, without pages. */
void room_init(Room *room, uint64_t base, uint64_t size);
void room_done(Room *room);
/* Takes `size` bytes, of whole units; false: no extent is that large. *ret_warm: most of it has
 * pages. */
_must_check_ bool room_take(Room *room, uint64_t size, uint64_t *ret_offset, bool *ret_warm);
/* What was taken is free again. */
void room_give(Room *room, uint64_t offset, uint64_t size);
/* [offset, offset + size) has pages now, used just now. */
void room_used(Room *room, uint64_t offset, uint64_t size);
/* It has none, or is in use: not to be punched. */
void room_forget_pages(Room *room, uint64_t offset, uint64_t size);
/* Most of it has pages. */
bool room_warm(const Room *room, uint64_t offset, uint64_t size);
/* The next range from *at on whose pages lay unused between two room_age(); *at moves behind it. */
bool room_next_old(Room *room, uint64_t *at, Extent *ret_range);
/* A period has passed. True: pages are left to get old. */
bool room_age(Room *room);
