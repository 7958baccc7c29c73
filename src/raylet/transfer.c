/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/objects_private.h"

/*
 * Objects that come into this store, for who asks for them here: from another node (pull.c), or read
 * back from the file they were spilled to.
 */

enum {
    ARRIVAL_CALLS_MAX = 100000,
};

/* ---- answering ---------------------------------------------------------------------------- */

static void answer_local(Raylet *raylet, const FrameHeader *call, const ObjectLocal *where) {
    _cleanup_buf_ Buf body = { 0 };
    object_local_encode(where, &body);
    raylet_reply(raylet, call, MSG_OBJECT_LOCAL, &body);
}

void answer_gone(Raylet *raylet, const FrameHeader *call) {
    raylet_reply_status(raylet, call, STATUS_CODE_NOT_FOUND, "the object is gone");
}

Arrival *arrival_new(Raylet *raylet, const ObjectFetch *what) {
    Arrival *arrival = mem_new(Arrival);
    arrival->raylet = raylet;
    arrival->what = *what;
    list_init(&arrival->turn);
    map_put(&raylet->objects->arrivals, what->object.byte, arrival);
    return arrival;
}

void arrival_free(Arrival *arrival) {
    map_remove(&arrival->raylet->objects->arrivals, arrival->what.object.byte);
    pulls_done(arrival);
    if (arrival->file)
        spill_file_drop(arrival->raylet, arrival->file);
    vec_done(&arrival->waiting);
    free(arrival);
}

static void arrival_keep(Arrival *arrival) {
    Objects *o = arrival->raylet->objects;
    const StoreBlock *block = &arrival->block;
    store_server_copy_seal(o->store, block);
    Place *place = place_get(o, &arrival->what.object);
    if (!place)
        place = place_add(o, &arrival->what.object, arrival->what.owner, block->size);
    place->offset = block->offset;
    place->generation = block->generation;
}

void arrival_end(Arrival *arrival) {
    Raylet *raylet = arrival->raylet;
    Objects *o = raylet->objects;
    bool kept = !arrival->failed && !arrival->dropped;
    if (kept)
        arrival_keep(arrival);
    else if (arrival->placed)
        store_server_copy_abort(o->store, &arrival->block);
    ObjectLocal where = { .object = arrival->what.object,
                          .offset = arrival->block.offset,
                          .generation = arrival->block.generation,
                          .size = arrival->block.size };
    VEC_EACH(call, &arrival->waiting) {
        if (kept)
            answer_local(raylet, call, &where);
        else if (!arrival->placed)
            raylet_reply_status(raylet, call, STATUS_CODE_FULL,
                                "neither the object store nor the disk has room");
        else
            answer_gone(raylet, call);
    }
    bool room = !kept && arrival->placed;
    arrival_free(arrival);
    if (room)
        objects_room_made(raylet);
}

/* ---- from disk -------------------------------------------------------------------------------- */

typedef struct Read {   /* of a file, on the loop's pool */
    Raylet *raylet;
    StoreServer *store; /* held: the arena stays mapped while the pool writes to it */
    SpillFile *file;    /* held */
    uint64_t at;
    void *data;
    size_t len;
    Arrival *arrival;   /* to be finished; or */
    FrameHeader answer; /* a part for another node */
    int r;
} Read;

static void read_run(void *ctx) {
    Read *read = ctx;
    read->r = spill_file_read(read->file->path, read->at, read->data, read->len);
}

static Read *read_new(Raylet *raylet, SpillFile *file, uint64_t at, void *data, size_t len) {
    Read *read = mem_new(Read);
    read->raylet = raylet;
    read->file = spill_file_hold(file);
    read->store = store_server_ref(raylet->objects->store);
    read->at = at;
    read->data = data;
    read->len = len;
    return read;
}

/* `alive`: the raylet is. */
static void read_free(Read *read, bool alive) {
    spill_file_drop(alive ? read->raylet : NULL, read->file);
    store_server_free(read->store);
    free(read);
}

static void restored(void *job, int r) {
    Read *read = job;
    Arrival *arrival = read->arrival;
    if (r == 0) {
        if (read->r < 0)
            log_warn("a spilled object could not be read back: %s", error_text(read->r));
        arrival->failed |= read->r < 0;
        arrival_end(arrival);
    }
    read_free(read, r == 0);
}

static void restore(Arrival *arrival) {
    Read *read = read_new(arrival->raylet, arrival->file, arrival->file_at, arrival->block.data,
                          arrival->block.size);
    read->arrival = arrival;
    loop_work(arrival->raylet->loop, read_run, restored, read);
}

static void part_read(void *job, int r) {
    Read *read = job;
    if (r == 0) {
        if (read->r == 0)
            send_chunk(read->raylet, &read->answer, read->data, read->len);
        else
            answer_gone(read->raylet, &read->answer);
    }
    free(read->data);
    read_free(read, r == 0);
}

void send_from_file(Raylet *raylet, const Place *place, uint64_t at, size_t len,
                    const FrameHeader *call) {
    Read *read = read_new(raylet, place->file, place->file_at + at, mem_alloc(len), len);
    read->answer = *call;
    loop_work(raylet->loop, read_run, part_read, read);
}

void arrival_placed(Arrival *arrival, const StoreBlock *block) {
    if (!block) {
        arrival->failed = true;
        arrival_end(arrival);
        return;
    }
    arrival->block = *block;
    arrival->placed = true;
    if (arrival->file)
        restore(arrival);
    else
        pull_begin(arrival);
}

/* ---- asked for by a process here ---------------------------------------------------------------- */

/* True: answered, it is in the store. */
static bool answer_present(Raylet *raylet, const FrameHeader *call, const ObjectFetch *m) {
    Objects *o = raylet->objects;
    const Place *place = place_get(o, &m->object);
    ObjectLocal where = { .object = m->object, .size = m->size };
    if (place && place->generation) {
        where.offset = place->offset;
        where.generation = place->generation;
    } else if (m->location == raylet->self) {
        where.offset = m->offset;
        where.generation = m->generation;
    }
    if (!where.generation ||
        !store_server_data(o->store, where.offset, where.generation, &m->object, &where.size))
        return false;
    answer_local(raylet, call, &where);
    return true;
}

void objects_on_fetch(Raylet *raylet, RayletCall *call) {
    ObjectFetch m;
    Objects *o = raylet->objects;
    RAYLET_DECODE(raylet, call, object_fetch_decode, &m);
    if (!o->store || m.size == 0) {
        answer_gone(raylet, call->header);
        return;
    }
    if (answer_present(raylet, call->header, &m))
        return;
    Arrival *arrival = map_get(&o->arrivals, m.object.byte);
    if (arrival && arrival->waiting.len >= ARRIVAL_CALLS_MAX) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_FULL,
                            "%d calls wait for this object, the most", ARRIVAL_CALLS_MAX);
        return;
    }
    if (arrival) {
        vec_push(&arrival->waiting, *call->header);
        return;
    }
    const Place *place = place_get(o, &m.object);
    SpillFile *file = place ? place->file : NULL;
    if (m.location == raylet->self && !file) {
        answer_gone(raylet, call->header);
        return;
    }
    arrival = arrival_new(raylet, &m);
    arrival->file = file ? spill_file_hold(file) : NULL;
    arrival->file_at = file ? place->file_at : 0;
    if (file)
        arrival->what.size = place->size;
    vec_push(&arrival->waiting, *call->header);
    room_for_arrival(raylet, arrival);
}
