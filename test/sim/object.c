/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "test/sim/proc.h"

/*
 * Values in the nodes' stores: written by their owners, read by any process through the raylet of its
 * node, which brings them there, and freed by their owners or with them. Where memory is full they go to
 * files or wait; where the disk is full as well an error says so.
 */

typedef struct Object {
    ObjectId id;
    Proc *owner;
    Machine *machine; /* where it was written, in that life of it */
    uint32_t life;
    PeerId location;
    uint64_t offset, generation, size;
    bool written, freed;
} Object;

typedef struct Read { /* one fetch on its way */
    Proc *proc;
    Object *object;
} Read;

static uint8_t byte_of(const Object *object) {
    return object->id.byte[0];
}

/* ---- writing --------------------------------------------------------------------------------------- */

static void slab_tell(Proc *proc, const SlabReturn *message) {
    _cleanup_buf_ Buf body = { 0 };
    slab_return_encode(message, &body);
    proc_send(proc, peer_raylet(proc->peer), MSG_SLAB_RETURN, &body);
}

static void give_back_slabs(Proc *proc) {
    StoreReturn returns[16];
    size_t len;
    while ((len = store_client_returns(proc->store, returns, ARRAY_LEN(returns))) > 0)
        for (size_t i = 0; i < len; i++)
            slab_tell(proc, &(SlabReturn){ .offset = returns[i].offset,
                                           .kept = returns[i].kept,
                                           .dropped = returns[i].dropped });
}

void objects_recall(Proc *proc) {
    if (!proc->store)
        return;
    store_client_drop_kept(proc->store);
    give_back_slabs(proc);
    slab_tell(proc, &(SlabReturn){ .dropped = true, .all = true });
}

/* False: it needs a slab. */
static bool write_it(Object *object) {
    Proc *proc = object->owner;
    StoreBlock block;
    int r = store_client_alloc(proc->store, object->size, &object->id, proc->peer, &block);
    if (r != 0)
        return false;
    memset(block.data, byte_of(object), object->size);
    store_client_seal(proc->store, &block);
    object->offset = block.offset;
    object->generation = block.generation;
    object->location = peer_raylet(proc->peer);
    object->written = true;
    sim->did.objects++;
    give_back_slabs(proc);
    return true;
}

static void on_slab(void *argument, const RpcReply *reply) {
    Object *object = argument;
    Proc *proc = object->owner;
    _cleanup_arena_ Arena arena = { 0 };
    SlabGrant grant;
    if (!proc->alive || reply->result != 0)
        return; /* FULL: an error that says so */
    ASSERT(slab_grant_decode(&grant, reply->body, reply->len, &arena) == 0);
    StoreSlab slab = { grant.offset, grant.size, grant.generation };
    int r = store_client_add_slab(proc->store, &slab);
    if (r < 0 || !write_it(object))
        fault("%s can't write to the slab that it was granted", proc_name(proc));
}

void object_make(Proc *proc) {
    Object *object = mem_new(Object);
    TaskId task = task_id_make(&proc->ids, &proc->job);
    object->id = object_id_put(&task, 1);
    object->owner = proc;
    object->machine = proc->machine;
    object->life = proc->life;
    object->size = 1 + rnd(chance(4) ? 400000 : 20000);
    map_put(&sim->objects, object->id.byte, object);
    if (!proc->store || write_it(object))
        return;
    SlabRequest message = { .size = store_client_slab_wanted(proc->store, object->size) };
    _cleanup_buf_ Buf body = { 0 };
    slab_request_encode(&message, &body);
    proc_call(proc, peer_raylet(proc->peer), MSG_SLAB_REQUEST, &body, on_slab, object);
}

/* ---- reading --------------------------------------------------------------------------------------- */

/* Freed, or with its owner or its node: whoever reads it gets an error. */
static bool may_be_gone(const Object *object) {
    return object->freed || !object->owner->alive || object->machine->lives != object->life ||
           !object->machine->raylet;
}

static void look(Proc *proc, const Object *object, const ObjectLocal *where) {
    uint64_t size = 0;
    const uint8_t *data =
        store_client_pin(proc->store, where->offset, where->generation, &object->id, &size);
    if (!data)
        return; /* freed or put away since: it is asked for again */
    if (size != object->size || data[0] != byte_of(object) || data[size - 1] != byte_of(object))
        fault("object %s is not what was written", ID_HEX(&object->id));
    sim->did.copies += object->location != peer_raylet(proc->peer);
    if (!store_client_unpin(proc->store, where->offset))
        return;
    _cleanup_buf_ Buf body = { 0 };
    object_unpin_encode(&(ObjectUnpin){ .offset = where->offset }, &body);
    proc_send(proc, peer_raylet(proc->peer), MSG_OBJECT_UNPIN, &body);
}

static void on_fetched(void *argument, const RpcReply *reply) {
    Read read = *(Read *)argument;
    free(argument);
    if (!read.proc->alive || reply->result < 0)
        return;
    if (reply->result > 0) {
        bool full = reply->status.code == STATUS_CODE_FULL;
        if (!full && !may_be_gone(read.object))
            fault("object %s is lost without a reason: %.*s", ID_HEX(&read.object->id),
                  (int)reply->status.text.len, reply->status.text.data);
        return;
    }
    _cleanup_arena_ Arena arena = { 0 };
    ObjectLocal where;
    ASSERT(object_local_decode(&where, reply->body, reply->len, &arena) == 0);
    look(read.proc, read.object, &where);
}

/* Some process, of any node, reads some object. */
void object_read(void) {
    Proc *proc = proc_some(chance(2) ? ROLE_DRIVER : ROLE_WORKER);
    Object *object;
    if (!proc || !proc->store)
        return;
    MAP_EACH(&sim->objects, pos, object) {
        if (!object->written || may_be_gone(object) || !chance(3))
            continue;
        Read *read = mem_new(Read);
        *read = (Read){ proc, object };
        ObjectFetch message = { .object = object->id,
                                .location = object->location,
                                .offset = object->offset,
                                .generation = object->generation,
                                .size = object->size,
                                .owner = object->owner->peer };
        _cleanup_buf_ Buf body = { 0 };
        object_fetch_encode(&message, &body);
        proc_call(proc, peer_raylet(proc->peer), MSG_OBJECT_FETCH, &body, on_fetched, read);
        return;
    }
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void let_go(Object *object) {
    ObjectFree message = { .object = object->id,
                           .offset = object->offset,
                           .generation = object->generation };
    _cleanup_buf_ Buf body = { 0 };
    object->freed = true;
    object_free_encode(&message, &body);
    proc_send(object->owner, object->location, MSG_OBJECT_FREE, &body);
}

void objects_drop(Proc *proc, bool all) {
    Object *object;
    MAP_EACH(&sim->objects, pos, object)
        if (object->owner == proc && object->written && !object->freed && (all || chance(8)))
            let_go(object);
}
