/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/objects_private.h"

/*
 * The node's object store: memory for the processes here, and where objects are that are not where
 * their owners wrote them. The raylet of an original remembers who has copies and passes the
 * owner's free on. transfer.c brings objects here, spill.c makes room.
 */

enum {
    TRIM_PERIOD_SEC = 10,
};

/* ---- life ------------------------------------------------------------------------------ */

static void trim_later(const Raylet *raylet) {
    loop_timer_at(raylet->objects->trim,
                  loop_deadline(raylet->loop, TRIM_PERIOD_SEC * USEC_PER_SEC));
}

static void on_trim(void *ctx) {
    Raylet *raylet = ctx;
    if (store_server_trim(raylet->objects->store))
        trim_later(raylet);
    else
        raylet->objects->freed = false;
}

void objects_room_made(Raylet *raylet) {
    Objects *o = raylet->objects;
    room_serve(raylet);
    if (o->freed)
        return;
    o->freed = true;
    trim_later(raylet);
}

int objects_init(Raylet *raylet, uint64_t bytes) {
    Objects *o = raylet->objects = mem_new(Objects);
    map_init(&o->places, sizeof(ObjectId));
    map_init(&o->copied, sizeof(ObjectId));
    map_init(&o->arrivals, sizeof(ObjectId));
    map_init(&o->sources, sizeof(PeerId));
    o->trim = loop_timer_new(raylet->loop, on_trim, raylet);
    spilling_init(raylet);
    if (!bytes)
        return 0;
    uint64_t disk_bytes = 0;
    int disk_fd = spilling_disk(raylet, &disk_bytes);
    return store_server_new(bytes, disk_fd, disk_bytes, &o->store);
}

void objects_done(Raylet *raylet) {
    Objects *o = raylet->objects;
    if (!o)
        return;
    void *each;
    MAP_EACH(&o->arrivals, pos, each)
        arrival_free(each);
    MAP_EACH(&o->places, pos, each) {
        if (((Place *)each)->file)
            spill_file_drop(NULL, ((Place *)each)->file);
        free(each);
    }
    MAP_EACH(&o->copied, pos, each) {
        vec_done(&((Copies *)each)->raylets);
        free(each);
    }
    sources_done(o);
    map_done(&o->arrivals);
    map_done(&o->places);
    map_done(&o->copied);
    spilling_done(raylet);
    loop_timer_free(o->trim);
    store_server_free(o->store);
    free(o);
    raylet->objects = NULL;
}

void objects_join(Raylet *raylet, PeerId peer, ObjectsDoor *ret_door) {
    StoreServer *store = raylet->objects->store;
    *ret_door = (ObjectsDoor){ .disk_fd = -1, .pins_fd = -1 };
    if (!store || store_server_join(store, peer, &ret_door->pins_fd) < 0)
        return;
    ret_door->arena_fd = store_server_fd(store);
    ret_door->bytes = store_server_bytes(store);
    ret_door->disk_fd = store_server_disk_fd(store);
    ret_door->disk_bytes = store_server_disk_bytes(store);
}

void objects_leave(Raylet *raylet, PeerId peer) {
    if (!raylet->objects->store)
        return;
    room_forget(raylet, peer);
    store_server_leave(raylet->objects->store, peer);
    objects_room_made(raylet);
}

uint64_t objects_used(const Raylet *raylet) {
    return raylet->objects->store ? store_server_used(raylet->objects->store) : 0;
}

void objects_count(const Raylet *raylet, uint64_t *ret_objects, uint64_t *ret_spilled,
                   uint64_t *ret_spilled_bytes) {
    uint64_t spilled = 0, bytes = 0;
    Place *place;
    MAP_EACH(&raylet->objects->places, pos, place) {
        spilled += place->file != NULL;
        bytes += place->file ? place->size : 0;
    }
    *ret_objects = map_len(&raylet->objects->places);
    *ret_spilled = spilled;
    *ret_spilled_bytes = bytes;
}

/* ---- places ---------------------------------------------------------------------------------- */

Place *place_get(const Objects *o, const ObjectId *object) {
    return map_get(&o->places, object->byte);
}

Place *place_add(Objects *o, const ObjectId *object, PeerId owner, uint64_t size) {
    Place *place = mem_new(Place);
    place->object = *object;
    place->owner = owner;
    place->size = size;
    map_put(&o->places, object->byte, place);
    return place;
}

void place_drop(Raylet *raylet, Place *place) {
    Objects *o = raylet->objects;
    map_remove(&o->places, place->object.byte);
    if (place->generation)
        store_server_free_object(o->store, place->offset, place->generation, &place->object);
    if (place->file)
        spill_file_drop(raylet, place->file);
    free(place);
}

/* Those that copied it let go as well. */
static void copies_drop(Raylet *raylet, const ObjectId *object) {
    Copies *copied = map_remove(&raylet->objects->copied, object->byte);
    if (!copied)
        return;
    ObjectFree pass = { .object = *object };
    _cleanup_buf_ Buf body = { 0 };
    object_free_encode(&pass, &body);
    VEC_EACH(to, &copied->raylets)
        raylet_send(raylet, *to, MSG_OBJECT_FREE, &body);
    vec_done(&copied->raylets);
    free(copied);
}

void objects_owner_dead(Raylet *raylet, PeerId owner) {
    Objects *o = raylet->objects;
    if (!o->store)
        return;
    Arrival *arrival;
    MAP_EACH(&o->arrivals, at, arrival)
        if (peer_died_with(arrival->what.owner, owner))
            arrival->dropped = true;
    Vec(Place *) places = { 0 };
    Place *place;
    MAP_EACH(&o->places, pos, place)
        if (peer_died_with(place->owner, owner))
            vec_push(&places, place);
    VEC_EACH(each, &places)
        place_drop(raylet, *each);
    vec_done(&places);
    Vec(ObjectId) orphans = { 0 };
    const uint8_t *id;
    Copies *copied;
    for (size_t pos = 0; (copied = map_next(&o->copied, &pos, (const void **)&id)) != NULL;)
        if (peer_died_with(copied->owner, owner))
            vec_push(&orphans, *(const ObjectId *)(const void *)id);
    VEC_EACH(each, &orphans)
        copies_drop(raylet, each); /* their raylets hear of the death themselves as well */
    vec_done(&orphans);
    store_server_owner_dead(o->store, owner);
    objects_room_made(raylet);
}

/* ---- memory for processes ------------------------------------------------------------------ */

void objects_on_slab(Raylet *raylet, RayletCall *call) {
    SlabRequest m;
    RAYLET_DECODE(raylet, call, slab_request_decode, &m);
    if (!call->local || !raylet->objects->store)
        raylet_reply_status(raylet, call->header, STATUS_CODE_FULL, "there is no object store");
    else
        room_for_slab(raylet, call->local, call->header, m.size);
}

void objects_on_slab_return(Raylet *raylet, RayletCall *call) {
    SlabReturn m;
    RAYLET_DECODE(raylet, call, slab_return_decode, &m);
    if (!call->local || !raylet->objects->store)
        return;
    if (m.dropped)
        store_server_dropped(raylet->objects->store, call->local->peer, m.offset, m.all);
    else
        store_server_close_slab(raylet->objects->store, call->local->peer, m.offset, m.kept);
    objects_room_made(raylet); /* with pages in it, maybe, that nobody wants for long */
}

void objects_on_unpin(Raylet *raylet, RayletCall *call) {
    ObjectUnpin m;
    RAYLET_DECODE(raylet, call, object_unpin_decode, &m);
    if (call->local && raylet->objects->store) {
        store_server_unpinned(raylet->objects->store, m.offset);
        objects_room_made(raylet);
    }
}

/* The owner lets go: of the original here, and through us of the copies elsewhere; or the
 * original's raylet passes that on (offset 0 and generation 0: our copy). */
void objects_on_free(Raylet *raylet, RayletCall *call) {
    ObjectFree m;
    Objects *o = raylet->objects;
    RAYLET_DECODE(raylet, call, object_free_decode, &m);
    if (!o->store)
        return;
    Arrival *arrival = map_get(&o->arrivals, m.object.byte);
    if (arrival)
        arrival->dropped = true;
    Place *place = place_get(o, &m.object);
    if (place)
        place_drop(raylet, place);
    if (m.generation)
        store_server_free_object(o->store, m.offset, m.generation, &m.object);
    copies_drop(raylet, &m.object);
    objects_room_made(raylet);
}
