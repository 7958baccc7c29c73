/* SPDX-License-Identifier: Apache-2.0 */
#include "store/room.h"

#include "base/mem.h"

enum {
    WORD = 64
};

/* ---- a bit a unit ------------------------------------------------------------------------- */

static size_t room_units(const Room *room) {
    return (size_t)(room->size / STORE_SLAB_UNIT);
}

static size_t room_words(const Room *room) {
    return (room_units(room) + WORD - 1) / WORD;
}

static size_t unit_of(const Room *room, uint64_t offset) {
    return (size_t)((offset - room->base) / STORE_SLAB_UNIT);
}

/* The bits of word `i` that belong to units [from, to). */
static uint64_t word_mask(size_t i, size_t from, size_t to) {
    size_t low = MAX(from, i * WORD) - i * WORD, high = MIN(to, (i + 1) * WORD) - i * WORD;
    uint64_t below = high == WORD ? UINT64_MAX : ((uint64_t)1 << high) - 1;
    return below & ~(((uint64_t)1 << low) - 1);
}

static void bits_change(uint64_t *bits, size_t from, size_t to, bool set) {
    for (size_t i = from / WORD; i * WORD < to; i++) {
        uint64_t mask = word_mask(i, from, to);
        bits[i] = set ? bits[i] | mask : bits[i] & ~mask;
    }
}

/* ---- free room ---------------------------------------------------------------------------- */

void room_init(Room *room, uint64_t base, uint64_t size) {
    *room = (Room){ .base = base, .size = size };
    room->recent = mem_array(uint64_t, room_words(room) + 1);
    room->old = mem_array(uint64_t, room_words(room) + 1);
    vec_push(&room->free, (Extent){ base, size });
}

void room_done(Room *room) {
    mem_free(room->recent);
    mem_free(room->old);
    vec_done(&room->free);
}

/* The smallest that fits, and of those the first. */
static size_t room_find(const Room *room, uint64_t size) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < room->free.len; i++) {
        uint64_t has = room->free.items[i].size;
        if (has >= size && (best == SIZE_MAX || has < room->free.items[best].size))
            best = i;
    }
    return best;
}

bool room_take(Room *room, uint64_t size, uint64_t *ret_offset, bool *ret_warm) {
    size_t i = room_find(room, size);
    if (i == SIZE_MAX)
        return false;
    Extent *extent = &room->free.items[i];
    uint64_t offset = extent->offset;
    *extent = (Extent){ offset + size, extent->size - size };
    if (!extent->size)
        vec_remove(&room->free, i);
    *ret_warm = room_warm(room, offset, size);
    room_forget_pages(room, offset, size);
    *ret_offset = offset;
    return true;
}

static void extent_insert(Room *room, size_t at, Extent extent) {
    vec_push(&room->free, extent);
    memmove(&room->free.items[at + 1], &room->free.items[at],
            (room->free.len - 1 - at) * sizeof(Extent));
    room->free.items[at] = extent;
}

void room_give(Room *room, uint64_t offset, uint64_t size) {
    size_t at = 0;
    while (at < room->free.len && room->free.items[at].offset < offset)
        at++;
    extent_insert(room, at, (Extent){ offset, size });
    Extent *items = room->free.items;
    if (at + 1 < room->free.len && offset + size == items[at + 1].offset) {
        items[at].size += items[at + 1].size;
        vec_remove(&room->free, at + 1);
    }
    if (at > 0 && items[at - 1].offset + items[at - 1].size == offset) {
        items[at - 1].size += items[at].size;
        vec_remove(&room->free, at);
    }
}

/* ---- pages -------------------------------------------------------------------------------- */

void room_used(Room *room, uint64_t offset, uint64_t size) {
    bits_change(room->recent, unit_of(room, offset), unit_of(room, offset + size), true);
}

void room_forget_pages(Room *room, uint64_t offset, uint64_t size) {
    bits_change(room->recent, unit_of(room, offset), unit_of(room, offset + size), false);
    bits_change(room->old, unit_of(room, offset), unit_of(room, offset + size), false);
}

bool room_warm(const Room *room, uint64_t offset, uint64_t size) {
    size_t from = unit_of(room, offset), to = unit_of(room, offset + size), warm = 0;
    for (size_t i = from / WORD; i * WORD < to; i++) {
        uint64_t has = (room->recent[i] | room->old[i]) & word_mask(i, from, to);
        warm += (size_t)__builtin_popcountll(has);
    }
    return 2 * warm > to - from;
}

static bool unit_old(const Room *room, size_t unit) {
    return room->old[unit / WORD] >> (unit % WORD) & 1;
}

bool room_next_old(Room *room, uint64_t *at, Extent *ret_range) {
    size_t unit = unit_of(room, *at), units = room_units(room);
    while (unit < units && !unit_old(room, unit))
        unit += room->old[unit / WORD] ? 1 : WORD - unit % WORD;
    if (unit >= units)
        return false;
    size_t from = unit;
    while (unit < units && unit_old(room, unit))
        unit++;
    *ret_range = (Extent){ room->base + from * (uint64_t)STORE_SLAB_UNIT,
                           (unit - from) * (uint64_t)STORE_SLAB_UNIT };
    *at = ret_range->offset + ret_range->size;
    return true;
}

bool room_age(Room *room) {
    uint64_t left = 0;
    for (size_t i = 0; i < room_words(room); i++) {
        room->old[i] |= room->recent[i];
        room->recent[i] = 0;
        left |= room->old[i];
    }
    return left != 0;
}
