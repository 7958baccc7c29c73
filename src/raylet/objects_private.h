/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What objects.c, transfer.c and spill.c share. */

#include "raylet/raylet_private.h"
#include "store/server.h"

/* A file of spilled objects, deleted with the last of them. */
typedef struct SpillFile {
    char *path;
    uint32_t count; /* places and readers */
} SpillFile;

/* Of an object that is not (only) where its owner wrote it: copied from another node, or spilled. */
typedef struct Place {
    ObjectId object;
    PeerId owner;
    uint64_t size;
    uint64_t offset, generation; /* in this store; generation 0: not in it now */
    SpillFile *file;             /* NULL: another node has the original */
    uint64_t file_at;
} Place;

typedef struct Copies { /* who copied an object that lies here */
    PeerId owner;
    Vec(PeerId) raylets;
} Copies;

enum {
    PULL_PART = 1 << 20, /* bytes of an object that travel at a time */
    PARTS_OPEN = 4,      /* of one object, asked for and not here yet */
};

/* Another node that parts of a value wait for: it is answered when they are here. */
typedef struct PartWait {
    FrameHeader call;
    uint64_t at, len;
} PartWait;

/* A raylet that parts are asked of. It has no more of them on their way to us than we can take, so what
 * it keeps for us is bounded, however many objects we want of it. */
typedef struct Source {
    PeerId peer;
    uint32_t open; /* parts */
    List turns;    /* Arrival.turn: may ask for one when one has come */
} Source;

/* An object on its way into this store, from another node or from a file. */
typedef struct Arrival {
    Raylet *raylet;
    ObjectFetch what;
    SpillFile *file; /* held; NULL: from another node */
    uint64_t file_at;
    StoreBlock block;
    bool placed;              /* `block` is there */
    PeerId from;              /* who is asked: what.location, or who has a copy */
    bool settled;             /* it has not sent us elsewhere */
    bool direct;              /* elsewhere was of no help */
    uint8_t *parts;           /* a PartState each */
    size_t parts_len, next;   /* no part before `next` is to be asked for */
    size_t have;              /* parts that are here */
    uint32_t open;            /* parts on their way */
    List turn;                /* in Source.turns */
    char *pushed;             /* its beginning, until there is room */
    size_t pushed_len;
    bool failed, dropped;     /* dropped: its owner freed it meanwhile */
    Vec(FrameHeader) waiting; /* calls to answer */
    Vec(PartWait) forward;    /* to other nodes */
} Arrival;

typedef struct Spilling Spilling;

struct Objects {
    StoreServer *store;
    Map places;          /* ObjectId -> Place */
    Map copied;          /* ObjectId -> Copies */
    Map arrivals;        /* ObjectId -> Arrival */
    Map sources;         /* PeerId -> Source */
    size_t pushed_bytes; /* held until there is room for them */
    LoopTimer *trim;
    bool freed;          /* something was, and the trim is due */
    Spilling *spilling;
};

/* ---- objects.c ---- */
Place *place_get(const Objects *o, const ObjectId *object);
Place *place_add(Objects *o, const ObjectId *object, PeerId owner, uint64_t size);
/* Forgets it, in memory and on disk. */
void place_drop(Raylet *raylet, Place *place);
/* Memory was given back: whoever waits for some may go on. */
void objects_room_made(Raylet *raylet);

/* ---- transfer.c ---- */
Arrival *arrival_new(Raylet *raylet, const ObjectFetch *what);
/* There is room; NULL: and there will be none. */
void arrival_placed(Arrival *arrival, const StoreBlock *block);
/* All of it is here, or nothing more comes: whoever waits is answered. */
void arrival_end(Arrival *arrival);
void arrival_free(Arrival *arrival);
void answer_gone(Raylet *raylet, const FrameHeader *call);
/* Answers a pull with a part of what is in a file. */
void send_from_file(Raylet *raylet, const Place *place, uint64_t at, size_t len,
                    const FrameHeader *call);

/* ---- pull.c ---- */
/* There is room: asks another node for it, part by part. */
void pull_begin(Arrival *arrival);
/* The arrival ends. */
void pulls_done(Arrival *arrival);
void sources_done(Objects *o);
bool arrival_has(const Arrival *arrival, uint64_t at);

/* ---- give.c ---- */
void send_chunk(Raylet *raylet, const FrameHeader *call, const void *data, size_t len);
/* A part has come: to those that wait for it. */
void give_part(Arrival *arrival, uint64_t at);
/* No more parts come. */
void give_none(Arrival *arrival);

/* ---- spill.c ---- */
void spilling_init(Raylet *raylet);
void spilling_done(Raylet *raylet);
/* A file for what finds no place in memory: -1 when there is no disk to use. */
int spilling_disk(const Raylet *raylet, uint64_t *ret_bytes);
/* Room for a process's slab (answers `call`), or for an arrival: now, when something was spilled or
 * freed, or on disk. */
void room_for_slab(Raylet *raylet, const Local *local, const FrameHeader *call, uint64_t size);
void room_for_arrival(Raylet *raylet, Arrival *arrival);
/* Nobody waits any more for what this process asked for. */
void room_forget(Raylet *raylet, PeerId process);
/* Looks at those who wait again. */
void room_serve(Raylet *raylet);
static inline SpillFile *spill_file_hold(SpillFile *file) {
    file->count++;
    return file;
}
/* Deletes it with the last holder; `raylet` NULL: the whole folder goes anyway. */
void spill_file_drop(Raylet *raylet, SpillFile *file);
/* Reads a part of a file; blocking, for the loop's pool. */
_must_check_ int spill_file_read(const char *path, uint64_t at, void *data, size_t len);
