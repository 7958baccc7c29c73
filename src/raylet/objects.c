/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"
#include "store/server.h"

/*
 * The node's object store: memory for the processes here, copies from and to other nodes. A copy is
 * pulled in parts, several at a time, by whoever needs it; the raylet of the original remembers
 * who has copies and passes the owner's free on.
 */

#define PULL_TIMEOUT (60 * USEC_PER_SEC)

enum {
    PULL_PART = 1 << 20,
    PULL_PARTS_OPEN = 4,
    TRIM_PERIOD_SEC = 10,
};

typedef struct Copy { /* of an object whose original lies elsewhere */
    ObjectId object;
    uint64_t offset, generation, size;
} Copy;

typedef struct Copies { /* who copied an object that lies here */
    Vec(PeerId) raylets;
} Copies;

typedef struct Pull {
    Raylet *raylet;
    ObjectFetch what;
    StoreBlock block;
    uint64_t asked, got;      /* bytes */
    uint32_t open;            /* parts on their way */
    bool failed;
    Vec(FrameHeader) waiting; /* calls to answer */
} Pull;

typedef struct Part {
    Pull *pull;
    uint64_t at, len;
} Part;

struct Objects {
    StoreServer *store;
    Map copies; /* ObjectId -> Copy */
    Map copied; /* ObjectId -> Copies */
    Map pulls;  /* ObjectId -> Pull */
    LoopTimer *trim;
    bool freed; /* since the last trim */
};

/* ---- life ------------------------------------------------------------------------------ */

static void on_trim(void *ctx) {
    Raylet *raylet = ctx;
    raylet->objects->freed = false;
    store_server_trim(raylet->objects->store);
}

static void trim_later(Raylet *raylet) {
    if (raylet->objects->freed)
        return;
    raylet->objects->freed = true;
    loop_timer_at(raylet->objects->trim,
                  loop_deadline(raylet->loop, TRIM_PERIOD_SEC * USEC_PER_SEC));
}

int objects_init(Raylet *raylet, uint64_t bytes) {
    Objects *o = raylet->objects = mem_new(Objects);
    map_init(&o->copies, sizeof(ObjectId));
    map_init(&o->copied, sizeof(ObjectId));
    map_init(&o->pulls, sizeof(ObjectId));
    o->trim = loop_timer_new(raylet->loop, on_trim, raylet);
    return bytes ? store_server_new(bytes, &o->store) : 0;
}

static void pull_free(Pull *pull) {
    map_remove(&pull->raylet->objects->pulls, pull->what.object.byte);
    vec_done(&pull->waiting);
    free(pull);
}

void objects_done(Raylet *raylet) {
    Objects *o = raylet->objects;
    if (!o)
        return;
    void *each;
    MAP_EACH(&o->pulls, pos, each)
        pull_free(each);
    MAP_EACH(&o->copies, pos, each)
        free(each);
    MAP_EACH(&o->copied, pos, each) {
        vec_done(&((Copies *)each)->raylets);
        free(each);
    }
    map_done(&o->pulls);
    map_done(&o->copies);
    map_done(&o->copied);
    loop_timer_free(o->trim);
    store_server_free(o->store);
    free(o);
    raylet->objects = NULL;
}

uint64_t objects_join(Raylet *raylet, PeerId peer, int *ret_arena_fd, int *ret_pins_fd) {
    StoreServer *store = raylet->objects->store;
    if (!store || store_server_join(store, peer, ret_pins_fd) < 0)
        return 0;
    *ret_arena_fd = store_server_fd(store);
    return store_server_bytes(store);
}

void objects_leave(Raylet *raylet, PeerId peer) {
    if (!raylet->objects->store)
        return;
    store_server_leave(raylet->objects->store, peer);
    trim_later(raylet);
}

void objects_owner_dead(Raylet *raylet, PeerId owner) {
    if (raylet->objects->store)
        store_server_owner_dead(raylet->objects->store, owner);
}

uint64_t objects_used(const Raylet *raylet) {
    return raylet->objects->store ? store_server_used(raylet->objects->store) : 0;
}

/* ---- memory for processes ------------------------------------------------------------------ */

void objects_on_slab(Raylet *raylet, RayletCall *call) {
    SlabRequest m;
    RAYLET_DECODE(raylet, call, slab_request_decode, &m);
    StoreSlab slab;
    StoreServer *store = raylet->objects->store;
    if (!call->local || !store || store_server_grant(store, call->local->peer, m.size, &slab)) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_FULL, "the object store is full");
        return;
    }
    SlabGrant grant = { .offset = slab.offset, .size = slab.size, .generation = slab.generation };
    _cleanup_buf_ Buf body = { 0 };
    slab_grant_encode(&grant, &body);
    raylet_reply(raylet, call->header, MSG_SLAB_GRANT, &body);
}

void objects_on_slab_return(Raylet *raylet, RayletCall *call) {
    SlabReturn m;
    RAYLET_DECODE(raylet, call, slab_return_decode, &m);
    if (call->local && raylet->objects->store)
        store_server_close_slab(raylet->objects->store, call->local->peer, m.offset);
}

void objects_on_unpin(Raylet *raylet, RayletCall *call) {
    ObjectUnpin m;
    RAYLET_DECODE(raylet, call, object_unpin_decode, &m);
    if (call->local && raylet->objects->store) {
        store_server_unpinned(raylet->objects->store, m.offset);
        trim_later(raylet);
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
    Copy *copy = m.generation == 0 ? map_remove(&o->copies, m.object.byte) : NULL;
    if (copy)
        store_server_free_object(o->store, copy->offset, copy->generation, &m.object);
    free(copy);
    if (m.generation)
        store_server_free_object(o->store, m.offset, m.generation, &m.object);
    Copies *copied = map_remove(&o->copied, m.object.byte);
    if (copied) {
        ObjectFree pass = { .object = m.object };
        _cleanup_buf_ Buf body = { 0 };
        object_free_encode(&pass, &body);
        VEC_EACH(to, &copied->raylets)
            raylet_send(raylet, *to, MSG_OBJECT_FREE, &body);
        vec_done(&copied->raylets);
        free(copied);
    }
    trim_later(raylet);
}

/* ---- copies -------------------------------------------------------------------------------------- */

void objects_on_pull(Raylet *raylet, RayletCall *call) {
    ObjectPull m;
    Objects *o = raylet->objects;
    RAYLET_DECODE(raylet, call, object_pull_decode, &m);
    uint64_t size = 0;
    const uint8_t *data =
        o->store ? store_server_data(o->store, m.offset, m.generation, &m.object, &size) : NULL;
    if (!data || m.at > size || m.len > size - m.at || m.len > PULL_PART) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_NOT_FOUND, "the object is gone");
        return;
    }
    if (m.at == 0) {
        Copies *copied = map_get(&o->copied, m.object.byte);
        if (!copied) {
            copied = mem_new(Copies);
            map_put(&o->copied, m.object.byte, copied);
        }
        vec_push(&copied->raylets, call->header->source);
    }
    ObjectChunk chunk = { .data = { (const char *)data + m.at, m.len } };
    _cleanup_buf_ Buf body = { 0 };
    object_chunk_encode(&chunk, &body);
    raylet_reply(raylet, call->header, MSG_OBJECT_CHUNK, &body);
}

static void answer_local(Raylet *raylet, const FrameHeader *call, const ObjectId *object,
                         const Copy *copy) {
    ObjectLocal m = { .object = *object,
                      .offset = copy->offset,
                      .generation = copy->generation,
                      .size = copy->size };
    _cleanup_buf_ Buf body = { 0 };
    object_local_encode(&m, &body);
    raylet_reply(raylet, call, MSG_OBJECT_LOCAL, &body);
}

static void pull_end(Pull *pull) {
    Raylet *raylet = pull->raylet;
    Objects *o = raylet->objects;
    Copy done = { pull->what.object, pull->block.offset, pull->block.generation, pull->block.size };
    if (pull->failed) {
        store_server_copy_abort(o->store, &pull->block);
    } else {
        store_server_copy_seal(o->store, &pull->block);
        map_put(&o->copies, done.object.byte, mem_dup(&done, sizeof(done)));
    }
    VEC_EACH(call, &pull->waiting) {
        if (pull->failed)
            raylet_reply_status(raylet, call, STATUS_CODE_NOT_FOUND,
                                "the object could not be copied from its node");
        else
            answer_local(raylet, call, &done.object, &done);
    }
    pull_free(pull);
}

static void pull_more(Pull *pull);

static void on_part(void *argument, const RpcReply *reply) {
    Part *part = argument;
    Pull *pull = part->pull;
    uint64_t at = part->at, len = part->len;
    free(part);
    if (reply->result == -ECANCELED)
        return; /* the raylet ends; objects_done() frees the pull */
    pull->open--;
    _cleanup_arena_ Arena arena = { 0 };
    ObjectChunk chunk;
    if (reply->result == 0 && object_chunk_decode(&chunk, reply->body, reply->len, &arena) == 0 &&
        chunk.data.len == len) {
        memcpy((uint8_t *)pull->block.data + at, chunk.data.data, len);
        pull->got += len;
    } else {
        pull->failed = true;
    }
    pull_more(pull);
}

static void pull_more(Pull *pull) {
    uint64_t size = pull->block.size;
    while (!pull->failed && pull->asked < size && pull->open < PULL_PARTS_OPEN) {
        Part *part = mem_new(Part);
        part->pull = pull;
        part->at = pull->asked;
        part->len = MIN((uint64_t)PULL_PART, size - pull->asked);
        pull->asked += part->len;
        pull->open++;
        ObjectPull m = { .object = pull->what.object,
                         .offset = pull->what.offset,
                         .generation = pull->what.generation,
                         .at = part->at,
                         .len = part->len };
        _cleanup_buf_ Buf body = { 0 };
        object_pull_encode(&m, &body);
        raylet_call(pull->raylet, pull->what.location, MSG_OBJECT_PULL, &body, PULL_TIMEOUT,
                    on_part, part);
    }
    if (pull->open == 0 && (pull->failed || pull->got == size))
        pull_end(pull);
}

void objects_on_fetch(Raylet *raylet, RayletCall *call) {
    ObjectFetch m;
    Objects *o = raylet->objects;
    RAYLET_DECODE(raylet, call, object_fetch_decode, &m);
    Copy *copy = map_get(&o->copies, m.object.byte);
    if (copy) {
        answer_local(raylet, call->header, &m.object, copy);
        return;
    }
    Pull *pull = map_get(&o->pulls, m.object.byte);
    if (pull) {
        vec_push(&pull->waiting, *call->header);
        return;
    }
    StoreBlock block;
    if (!o->store || m.location == raylet->self || m.size == 0 ||
        store_server_copy_begin(o->store, m.size, &m.object, m.owner, &block)) {
        raylet_reply_status(raylet, call->header, STATUS_CODE_FULL,
                            "the object store has no room for the copy");
        return;
    }
    pull = mem_new(Pull);
    pull->raylet = raylet;
    pull->what = m;
    pull->block = block;
    vec_push(&pull->waiting, *call->header);
    map_put(&o->pulls, m.object.byte, pull);
    pull_more(pull);
}
