/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is true of the values that users of the worker runtime make: one record for the whole cluster
 * says what each of them is and whether it may be gone, so that any process that reads one, or gets
 * an error in its place, can be judged. */

#include "core/core.h"
#include "test/sim/proc.h"

/* When it was made: a driver's things one after the other, and what a call makes in the place of that
 * call, before its results. What a thing contains, or is made from, must be before it: references in
 * a circle are their users' fault and stay for ever, also such that close by what a call was given. */
typedef struct Place {
    uint32_t at[4];
    uint8_t len;
} Place;

typedef struct Thing {
    ObjectId id;
    Place place;
    uint32_t places; /* inside of it that are taken: by what its call has made */
    uint64_t tag;    /* what its bytes say */
    Proc *owner;
    Task *task;      /* that makes it; NULL: it was put */
    bool detached;   /* one that had its reference has ended: what kept it may have gone too */
} Thing;

/* The bytes of a value of this thing, with references inside; `size` is the least. */
typedef struct ThingBytes {
    Buf head;
    struct iovec parts[2];
    CoreBlob blob;
} ThingBytes;

/* The next one in that of a call that runs; NULL: of a driver's. */
Place place_next(Thing *parent);
bool place_before(const Place *a, const Place *b);
Thing *thing_new(Proc *owner, const ObjectId *id, Task *task, uint64_t tag, const Place *place);
Thing *thing_find(const ObjectId *id);
void thing_bytes(uint64_t tag, CoreRef *const *refs, size_t refs_len, size_t size,
                 ThingBytes *ret_bytes);
/* One without references, for who does not run on src/core: the return of a call. */
void thing_small(const TaskId *task, uint32_t index, Buf *out);
void thing_bytes_done(ThingBytes *bytes);
enum {
    INSIDE_MAX = 4 /* references in one value */
};
typedef struct Inside {
    Ref refs[INSIDE_MAX];
    size_t len;
} Inside;

/* `proc` reads it: it must be what was written; an error must have its reason. */
void thing_seen(Proc *proc, const ObjectId *id, const CoreValue *value, Inside *ret_inside);
