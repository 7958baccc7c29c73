/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "raylet/objects_private.h"

/*
 * Objects for other nodes. When many want a large one, the original's raylet serves the first
 * FANOUT and sends the others to those, and so on: a tree, in which parts are passed on as they come. Who
 * sends a call tells where its large arguments are needed; they are pushed there, beginning first,
 * unless the way there is crowded already.
 */

enum {
    FANOUT = 2,
    TREE_MIN = 4 * PULL_PART, /* smaller objects all come from the original */
    CROWDED = 4 << 20,     /* bytes on their way to a node beyond which nothing is pushed there */
    PUSHED_MAX = 64 << 20, /* held here until there is room for them */
    FORWARD_MAX = 100000,
};

void send_chunk(Raylet *raylet, const FrameHeader *call, const void *data, size_t len) {
    ObjectChunk chunk = { .data = { data, len } };
    _cleanup_buf_ Buf body = { 0 };
    object_chunk_encode(&chunk, &body);
    raylet_reply(raylet, call, MSG_OBJECT_CHUNK, &body);
}

/* ---- who has copies ------------------------------------------------------------------------ */

static Copies *copies_of(Objects *o, const ObjectId *object, PeerId owner) {
    Copies *copied = map_get(&o->copied, object->byte);
    if (!copied) {
        copied = mem_new(Copies);
        copied->owner = owner;
        map_put(&o->copied, object->byte, copied);
    }
    return copied;
}

/* The place of `who` in the order of those that copied the object. *ret_known: it had one. */
static size_t remember_copy(Objects *o, const ObjectId *object, PeerId owner, PeerId who,
                            bool *ret_known) {
    Copies *copied = copies_of(o, object, owner);
    size_t at = 0;
    while (at < copied->raylets.len && copied->raylets.items[at] != who)
        at++;
    *ret_known = at < copied->raylets.len;
    if (!*ret_known)
        vec_push(&copied->raylets, who);
    return at;
}

/* Whom to ask in our place; 0: nobody. */
static PeerId elsewhere(const Raylet *raylet, const ObjectId *object, size_t at) {
    const Copies *copied = map_get(&raylet->objects->copied, object->byte);
    PeerId above = at < FANOUT ? 0 : copied->raylets.items[at / FANOUT - 1];
    return above && peers_has(raylet, above) ? above : 0;
}

/* ---- pulled -------------------------------------------------------------------------------- */

/* An object that lies here, or is coming. */
typedef struct Found {
    const uint8_t *data; /* in memory; or */
    const Place *place;  /* in a file; or */
    Arrival *arrival;    /* in part */
    uint64_t size;
    PeerId owner;
} Found;

static bool find(Objects *o, const ObjectId *object, uint64_t offset, uint64_t generation,
                 Found *ret) {
    const Place *place = place_get(o, object);
    uint64_t size = 0;
    const uint8_t *data = store_server_data(o->store, offset, generation, object, &size);
    if (!data && place && place->generation)
        data = store_server_data(o->store, place->offset, place->generation, object, &size);
    *ret = (Found){ .data = data, .size = size };
    if (data) {
        ret->owner = store_server_owner(data);
    } else if (place && place->file) {
        *ret = (Found){ .place = place, .size = place->size, .owner = place->owner };
    } else {
        Arrival *arrival = map_get(&o->arrivals, object->byte);
        if (!arrival || arrival->file || arrival->forward.len >= FORWARD_MAX)
            return false;
        uint64_t all = arrival->placed ? arrival->block.size : arrival->what.size;
        *ret = (Found){ .arrival = arrival, .size = all, .owner = arrival->what.owner };
    }
    return true;
}

static void send_arrived(Arrival *arrival, const PartWait *wait) {
    send_chunk(arrival->raylet, &wait->call, (const uint8_t *)arrival->block.data + wait->at,
               wait->len);
}

static void give(Raylet *raylet, const Found *found, const PartWait *wait) {
    if (found->data)
        send_chunk(raylet, &wait->call, found->data + wait->at, wait->len);
    else if (found->place)
        send_from_file(raylet, found->place, wait->at, wait->len, &wait->call);
    else if (arrival_has(found->arrival, wait->at))
        send_arrived(found->arrival, wait);
    else
        vec_push(&found->arrival->forward, *wait);
}

void give_part(Arrival *arrival, uint64_t at) {
    for (size_t i = arrival->forward.len; i-- > 0;) {
        PartWait wait = arrival->forward.items[i];
        if (wait.at / PULL_PART != at / PULL_PART)
            continue;
        vec_remove_swap(&arrival->forward, i);
        send_arrived(arrival, &wait);
    }
}

void give_none(Arrival *arrival) {
    VEC_EACH(wait, &arrival->forward)
        answer_gone(arrival->raylet, &wait->call);
    vec_done(&arrival->forward);
}

/* A part lies in one part of ours. */
static bool part_valid(const ObjectPull *m, uint64_t size) {
    return m->at <= size && m->len <= size - m->at && m->at % PULL_PART + m->len <= PULL_PART;
}

void objects_on_pull(Raylet *raylet, RayletCall *call) {
    ObjectPull m;
    Objects *o = raylet->objects;
    Found found;
    RAYLET_DECODE(raylet, call, object_pull_decode, &m);
    if (!o->store || !find(o, &m.object, m.offset, m.generation, &found) ||
        !part_valid(&m, found.size)) {
        answer_gone(raylet, call->header);
        return;
    }
    if (m.at == 0 && !found.arrival) {
        bool known;
        size_t at = remember_copy(o, &m.object, found.owner, call->header->source, &known);
        PeerId above = m.direct || found.size < TREE_MIN ? 0 : elsewhere(raylet, &m.object, at);
        if (above) {
            ObjectChunk chunk = { .elsewhere = above };
            _cleanup_buf_ Buf body = { 0 };
            object_chunk_encode(&chunk, &body);
            raylet_reply(raylet, call->header, MSG_OBJECT_CHUNK, &body);
            return;
        }
    }
    give(raylet, &found, &(PartWait){ *call->header, m.at, m.len });
}

/* ---- pushed -------------------------------------------------------------------------------- */

/* The caller of something on another node says that it will want this there. What is on disk, and
 * what many want, it asks for itself. */
void objects_on_send(Raylet *raylet, RayletCall *call) {
    ObjectSend m;
    Objects *o = raylet->objects;
    Found found;
    bool known;
    RAYLET_DECODE(raylet, call, object_send_decode, &m);
    if (!o->store || m.to == raylet->self || peer_worker(m.to) || !peers_has(raylet, m.to) ||
        peers_queued(raylet, m.to) > CROWDED ||
        !find(o, &m.object, m.offset, m.generation, &found) || !found.data)
        return;
    const Copies *copied = map_get(&o->copied, m.object.byte);
    if (copied && copied->raylets.len >= FANOUT && found.size >= TREE_MIN)
        return;
    (void)remember_copy(o, &m.object, found.owner, m.to, &known);
    if (known)
        return;
    ObjectPush push = { .object = m.object,
                        .offset = m.offset,
                        .generation = m.generation,
                        .size = found.size,
                        .owner = found.owner,
                        .data = { (const char *)found.data,
                                  MIN(found.size, (uint64_t)PULL_PART) } };
    _cleanup_buf_ Buf body = { 0 };
    object_push_encode(&push, &body);
    raylet_send(raylet, m.to, MSG_OBJECT_PUSH, &body);
}

/* Without room for it or with it here already it is dropped: who wants it asks. */
void objects_on_push(Raylet *raylet, RayletCall *call) {
    ObjectPush m;
    Objects *o = raylet->objects;
    RAYLET_DECODE(raylet, call, object_push_decode, &m);
    if (!o->store || call->local || m.size == 0 || m.data.len > PULL_PART ||
        place_get(o, &m.object) || map_get(&o->arrivals, m.object.byte) ||
        o->pushed_bytes + m.data.len > PUSHED_MAX)
        return;
    ObjectFetch what = { .object = m.object,
                         .location = call->header->source,
                         .offset = m.offset,
                         .generation = m.generation,
                         .size = m.size,
                         .owner = m.owner };
    Arrival *arrival = arrival_new(raylet, &what);
    arrival->pushed = mem_dup(m.data.data, m.data.len);
    arrival->pushed_len = m.data.len;
    o->pushed_bytes += m.data.len;
    room_for_arrival(raylet, arrival);
}
