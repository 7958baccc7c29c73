/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "raylet/objects_private.h"

/*
 * Bringing an object from another node: in parts, several at a time of one object, and not more than
 * SOURCE_OPEN from one raylet for all objects together; objects take turns. So what a slow reader
 * makes its source hold is bounded, and a large object does not shut out a small one. The source may
 * send us elsewhere, to who copies the same object (give.c); when that is of no help it is asked again.
 */

#define PULL_TIMEOUT (60 * USEC_PER_SEC)

enum {
    SOURCE_OPEN = 8,
};

typedef enum PartState {
    PART_WANTED = 0,
    PART_ASKED = 1,
    PART_HERE = 2,
} PartState;

/* ---- sources ------------------------------------------------------------------------------- */

static Source *source_get(Objects *o, PeerId peer) {
    Source *source = map_get(&o->sources, &peer);
    if (!source) {
        source = mem_new(Source);
        source->peer = peer;
        list_init(&source->turns);
        map_put(&o->sources, &peer, source);
    }
    return source;
}

static void source_done_with(Objects *o, Source *source) {
    if (source->open || !list_empty(&source->turns))
        return;
    map_remove(&o->sources, &source->peer);
    free(source);
}

void sources_done(Objects *o) {
    Source *source;
    MAP_EACH(&o->sources, pos, source)
        free(source);
    map_done(&o->sources);
}

/* ---- parts --------------------------------------------------------------------------------- */

typedef struct Part {
    Arrival *arrival;
    size_t index;
    PeerId from;
} Part;

static uint64_t part_len(const Arrival *arrival, size_t index) {
    return MIN((uint64_t)PULL_PART, arrival->block.size - index * (uint64_t)PULL_PART);
}

bool arrival_has(const Arrival *arrival, uint64_t at) {
    size_t index = (size_t)(at / PULL_PART);
    return arrival->parts && index < arrival->parts_len && arrival->parts[index] == PART_HERE;
}

/* By a system call: pages that have none yet need not be zeroed first. */
static bool part_write(const StoreBlock *block, uint64_t at, const void *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(block->fd, (const char *)data + done, len - done,
                           (off_t)(block->at + at + done));
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void part_here(Arrival *arrival, size_t index, const void *data) {
    uint64_t at = index * (uint64_t)PULL_PART;
    if (!part_write(&arrival->block, at, data, part_len(arrival, index))) {
        arrival->failed = true;
        return;
    }
    arrival->parts[index] = PART_HERE;
    arrival->have++;
    give_part(arrival, at);
}

/* It is asked for again: of the original, if somebody else did not have it. */
static void part_missing(Arrival *arrival, size_t index, PeerId from) {
    arrival->parts[index] = PART_WANTED;
    arrival->next = MIN(arrival->next, index);
    if (from == arrival->what.location) {
        arrival->failed = true;
        return;
    }
    arrival->from = arrival->what.location;
    arrival->direct = true;
}

static void go_elsewhere(Arrival *arrival, size_t index, PeerId elsewhere) {
    arrival->parts[index] = PART_WANTED;
    arrival->next = MIN(arrival->next, index);
    arrival->direct = elsewhere == arrival->raylet->self;
    if (!arrival->direct)
        arrival->from = elsewhere;
}

static void take_answer(const Part *part, const RpcReply *reply) {
    Arrival *arrival = part->arrival;
    _cleanup_arena_ Arena arena = { 0 };
    ObjectChunk chunk;
    bool good =
        reply->result == 0 && object_chunk_decode(&chunk, reply->body, reply->len, &arena) == 0;
    arrival->settled = true;
    if (good && chunk.elsewhere && !arrival->direct && part->from == arrival->what.location)
        go_elsewhere(arrival, part->index, chunk.elsewhere);
    else if (good && !chunk.elsewhere && chunk.data.len == part_len(arrival, part->index))
        part_here(arrival, part->index, chunk.data.data);
    else
        part_missing(arrival, part->index, part->from);
}

static void pull_on(Arrival *arrival, bool turn);

/* Those that wait for a turn at the source, one part each. */
static void turns_serve(Objects *o, Source *source) {
    while (source->open < SOURCE_OPEN && !list_empty(&source->turns))
        pull_on(LIST_ITEM(list_pop(&source->turns), Arrival, turn), true);
    source_done_with(o, source);
}

static void on_part(void *argument, const RpcReply *reply) {
    Part part = *(Part *)argument;
    free(argument);
    if (reply->result == -ECANCELED)
        return; /* the raylet ends; objects_done() frees the arrival */
    Objects *o = part.arrival->raylet->objects;
    part.arrival->open--;
    Source *source = source_get(o, part.from);
    source->open--;
    take_answer(&part, reply);
    if (list_empty(&part.arrival->turn))
        pull_on(part.arrival, false);
    turns_serve(o, source_get(o, part.from));
}

static void part_ask(Arrival *arrival, Source *source, size_t index) {
    Part *part = mem_new(Part);
    *part = (Part){ arrival, index, source->peer };
    arrival->parts[index] = PART_ASKED;
    arrival->open++;
    source->open++;
    ObjectPull m = { .object = arrival->what.object,
                     .offset = arrival->what.offset,
                     .generation = arrival->what.generation,
                     .at = index * (uint64_t)PULL_PART,
                     .len = part_len(arrival, index),
                     .direct = arrival->direct };
    _cleanup_buf_ Buf body = { 0 };
    object_pull_encode(&m, &body);
    raylet_call(arrival->raylet, source->peer, MSG_OBJECT_PULL, &body, PULL_TIMEOUT, on_part, part);
}

static bool wants_more(Arrival *arrival) {
    if (arrival->failed || arrival->dropped || arrival->open >= PARTS_OPEN)
        return false;
    if (!arrival->settled && arrival->open > 0)
        return false; /* the first answer says who has the others */
    while (arrival->next < arrival->parts_len && arrival->parts[arrival->next] != PART_WANTED)
        arrival->next++;
    return arrival->next < arrival->parts_len;
}

/* Asks for what may be asked for. Where others wait for the source it is one part a turn. To ask ends
 * calls whose time is over, of the same arrival too: it may wait for its turn already. */
static void pull_on(Arrival *arrival, bool turn) {
    Source *source = source_get(arrival->raylet->objects, arrival->from);
    while (list_empty(&arrival->turn) && wants_more(arrival)) {
        bool others = !list_empty(&source->turns) && !turn;
        if (others || source->open >= SOURCE_OPEN) {
            list_push(&source->turns, &arrival->turn);
            break;
        }
        part_ask(arrival, source, arrival->next);
        turn = false;
    }
    source_done_with(arrival->raylet->objects, source);
    bool over = arrival->failed || arrival->dropped || arrival->have == arrival->parts_len;
    if (over && arrival->open == 0)
        arrival_end(arrival);
}

void pull_begin(Arrival *arrival) {
    arrival->from = arrival->what.location;
    arrival->parts_len = (size_t)((arrival->block.size + PULL_PART - 1) / PULL_PART);
    arrival->parts = mem_array(uint8_t, arrival->parts_len);
    if (arrival->pushed) {
        arrival->settled = true;
        if (arrival->pushed_len == part_len(arrival, 0))
            part_here(arrival, 0, arrival->pushed);
    }
    pull_on(arrival, false);
}

void pulls_done(Arrival *arrival) {
    list_remove(&arrival->turn);
    give_none(arrival);
    arrival->raylet->objects->pushed_bytes -= arrival->pushed_len;
    free(arrival->pushed);
    free(arrival->parts);
}
