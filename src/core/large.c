/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values in the store. Who writes one lays it into a slab of its own without asking anybody (but
 * for a new slab); who reads one pins it and reads in place. One that lies on another node is
 * copied here by the raylets first. The owner of the object frees it.
 */

#include <stdatomic.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

enum {
    RETURNS_MAX = 16,
    MISSES_MAX = 100 /* how often a value may go again between its arrival and its pin */
};

typedef struct Fetching { /* a copy on its way, and the bytes that wait for it */
    Core *core;
    ObjectId object;
    PeerId location; /* where from: the value may have been made anew since */
    uint64_t there;  /* its generation there */
    bool done, lost, no_room;
    uint64_t offset, generation;
} Fetching;

static CoreBytes *large_new(Core *core, const ObjectId *object, size_t size) {
    CoreBytes *bytes = mem_new(CoreBytes);
    atomic_init(&bytes->count, 1);
    bytes->in_store = true;
    bytes->core = core;
    bytes->object = *object;
    bytes->size = size;
    return bytes;
}

CoreBytes *large_from_wire(Core *core, const Value *value) {
    CoreBytes *bytes = large_new(core, &value->object, value->size);
    core->outstanding++;
    bytes->location = value->location;
    bytes->offset = value->offset;
    bytes->generation = value->generation;
    return bytes;
}

void large_to_wire(const CoreBytes *bytes, Value *value) {
    value->kind = VALUE_KIND_ARENA;
    value->data = (Slice){ 0 };
    value->object = bytes->object;
    value->location = bytes->location;
    value->offset = bytes->offset;
    value->generation = bytes->generation;
    value->size = bytes->size;
}

static void tell_unpinned(Core *core, uint64_t offset) {
    ObjectUnpin m = { .offset = offset };
    _cleanup_buf_ Buf body = { 0 };
    object_unpin_encode(&m, &body);
    raylet_send(core, MSG_OBJECT_UNPIN, &body);
}

void large_unpin(CoreBytes *bytes) {
    Core *core = bytes->core;
    if (!bytes->data || !core->store)
        return;
    bytes->data = NULL;
    if (store_client_unpin(core->store, bytes->here_offset) && !core->closed)
        tell_unpinned(core, bytes->here_offset);
}

void large_free(Core *core, const CoreBytes *bytes) {
    ObjectFree m = { .object = bytes->object,
                     .offset = bytes->offset,
                     .generation = bytes->generation };
    _cleanup_buf_ Buf body = { 0 };
    object_free_encode(&m, &body);
    peer_send(core, bytes->location, MSG_OBJECT_FREE, 0, 0, body.data, body.len);
}

void large_push(Core *core, CoreBytes *bytes, PeerId raylet) {
    if (bytes->location == raylet || bytes->pushed_to == raylet)
        return;
    bytes->pushed_to = raylet;
    ObjectSend m = { .object = bytes->object,
                     .offset = bytes->offset,
                     .generation = bytes->generation,
                     .to = raylet };
    _cleanup_buf_ Buf body = { 0 };
    object_send_encode(&m, &body);
    peer_send(core, bytes->location, MSG_OBJECT_SEND, 0, 0, body.data, body.len);
}

/* ---- reading ----------------------------------------------------------------------------- */

static int large_pin(Core *core, CoreBytes *bytes, uint64_t offset, uint64_t generation) {
    uint64_t size = 0;
    bytes->data = store_client_pin(core->store, offset, generation, &bytes->object, &size);
    if (!bytes->data) /* that no more can be read here at once is no loss */
        return store_client_pins_full(core->store) ? -ENOSPC : -ENOENT;
    bytes->here_offset = offset;
    bytes->here_generation = generation;
    bytes->size = size;
    return 0;
}

static void on_local(void *argument, const RpcReply *reply) {
    Fetching *f = argument;
    Core *core = f->core;
    _cleanup_arena_ Arena arena = { 0 };
    ObjectLocal m;
    f->done = true;
    if (reply->result == 0 && object_local_decode(&m, reply->body, reply->len, &arena) == 0) {
        f->offset = m.offset;
        f->generation = m.generation;
    } else {
        f->lost = true;
        f->no_room = reply->result == 1 && reply->status.code == STATUS_CODE_FULL;
    }
    core->readable++;
    core_happened(core);
}

static void fetch_start(Core *core, const CoreBytes *bytes, PeerId owner) {
    Fetching *f = mem_new(Fetching);
    f->core = core;
    f->object = bytes->object;
    f->location = bytes->location;
    f->there = bytes->generation;
    map_put(&core->fetches, f->object.byte, f);
    ObjectFetch m = { .object = bytes->object,
                      .location = bytes->location,
                      .offset = bytes->offset,
                      .generation = bytes->generation,
                      .size = bytes->size,
                      .owner = owner };
    _cleanup_buf_ Buf body = { 0 };
    object_fetch_encode(&m, &body);
    rpc_call(core->rpc, peer_raylet(core->info.peer), MSG_OBJECT_FETCH, &body, USEC_INFINITY,
             on_local, f);
}

/* Not where its owner wrote it: copied here, or read back. It may go again before it is pinned. */
static int large_follow(Core *core, CoreBytes *bytes, Fetching *f) {
    int r = f->no_room ? -ENOSPC : f->lost ? -ENOENT : 0;
    if (f->location != bytes->location || f->there != bytes->generation)
        r = 1;
    uint64_t offset = f->offset, generation = f->generation;
    map_remove(&core->fetches, bytes->object.byte);
    mem_free(f);
    if (r != 0)
        return r;
    r = large_pin(core, bytes, offset, generation);
    if (r != -ENOENT)
        return r;
    return bytes->missed++ < MISSES_MAX ? 1 : -ENOENT;
}

int large_localize(Core *core, CoreBytes *bytes, PeerId owner) {
    if (bytes->data)
        return 0;
    if (!core->store || core->closed)
        return -ESHUTDOWN;
    int r = -ENOENT;
    if (bytes->location == peer_raylet(core->info.peer))
        r = large_pin(core, bytes, bytes->offset, bytes->generation);
    if (r == -ENOENT && bytes->here_generation)
        r = large_pin(core, bytes, bytes->here_offset, bytes->here_generation);
    if (r != -ENOENT)
        return r;
    Fetching *f = map_get(&core->fetches, bytes->object.byte);
    if (f && f->done) {
        r = large_follow(core, bytes, f);
        if (r <= 0)
            return r;
        f = NULL;
    }
    if (!f)
        fetch_start(core, bytes, owner);
    return 1;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void slab_tell(Core *core, const SlabReturn *m) {
    _cleanup_buf_ Buf body = { 0 };
    slab_return_encode(m, &body);
    raylet_send(core, MSG_SLAB_RETURN, &body);
}

static void return_slabs(Core *core) {
    StoreReturn returns[RETURNS_MAX];
    size_t n;
    while ((n = store_client_returns(core->store, returns, ARRAY_LEN(returns))) > 0) {
        for (size_t i = 0; i < n; i++)
            slab_tell(core, &(SlabReturn){ .offset = returns[i].offset,
                                           .kept = returns[i].kept,
                                           .dropped = returns[i].dropped });
    }
}

void large_on_recall(Core *core) {
    if (!core->store)
        return;
    store_client_drop_kept(core->store);
    return_slabs(core);
    slab_tell(core, &(SlabReturn){ .dropped = true, .all = true });
}

void large_on_late_grant(Core *core, const FrameHeader *h, const void *body) {
    _cleanup_arena_ Arena arena = { 0 };
    SlabGrant grant;
    if (slab_grant_decode(&grant, body, h->length, &arena) == 0)
        slab_tell(core, &(SlabReturn){ .offset = grant.offset });
}

/* Asks for a slab without the lock. 1: the store is full now. */
static int ask_slab(Core *core, uint64_t size, usec_t deadline) {
    SlabRequest m = { .size = size };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    slab_request_encode(&m, &body);
    usec_t left = deadline == USEC_INFINITY ? USEC_INFINITY : MAX(deadline - time_mono_now(), 0);
    int r = core_call(core, peer_raylet(core->info.peer), MSG_SLAB_REQUEST, &body,
                      MAX(left, USEC_PER_SEC), &out);
    if (r == -ENOSPC)
        return 1;
    if (r != 0)
        return r < 0 ? r : error_origin(-ETIMEDOUT, "the raylet did not grant a slab in time");
    SlabGrant grant;
    r = slab_grant_decode(&grant, out.data, out.len, &arena);
    if (r < 0)
        return r;
    if (grant.size < size)
        return error_origin(-EPROTO, "the raylet granted a slab of %llu bytes instead of %llu",
                            (unsigned long long)grant.size, (unsigned long long)size);
    core_lock(core);
    StoreSlab slab = { grant.offset, grant.size, grant.generation, grant.warm };
    r = core->store ? store_client_add_slab(core->store, &slab) : -ESHUTDOWN;
    core_unlock(core);
    return r;
}

static int alloc_block(Core *core, size_t size, const ObjectId *id, PeerId owner, usec_t deadline,
                       StoreBlock *ret_block) {
    for (;;) {
        core_lock(core);
        int r =
            core->store ? store_client_alloc(core->store, size, id, owner, ret_block) : -ESHUTDOWN;
        uint64_t wanted = r == STORE_NEED_SLAB ? store_client_slab_wanted(core->store, size) : 0;
        if (core->store)
            return_slabs(core);
        core_unlock(core);
        if (r != STORE_NEED_SLAB)
            return r;
        r = ask_slab(core, wanted, deadline);
        if (r < 0)
            return r;
        if (r == 1)
            return error_origin(-ENOSPC, "the object store has no room for %zu bytes", size);
    }
}

int large_write(Core *core, const CoreBlob *blob, size_t size, const ObjectId *id, PeerId owner,
                usec_t timeout, CoreBytes **ret_bytes) {
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    StoreBlock block;
    int r = alloc_block(core, size, id, owner, deadline, &block);
    if (r != 0)
        return r;
    r = large_copy(&block, blob->parts, blob->parts_len);
    if (r < 0) {
        core_lock(core);
        store_client_abort(core->store, &block);
        return_slabs(core);
        core_unlock(core);
        return r;
    }
    CoreBytes *bytes = large_new(core, id, size);
    bytes->location = peer_raylet(core->info.peer);
    bytes->offset = block.offset;
    bytes->generation = block.generation;
    core_lock(core);
    core->outstanding++;
    store_client_seal(core->store, &block);
    return_slabs(core);
    core_unlock(core);
    *ret_bytes = bytes;
    return 0;
}

/* Arrays that the user still holds point into the arena: then its mapping stays for the life of
 * the process. */
void large_done(Core *core) {
    Fetching *f;
    MAP_EACH(&core->fetches, pos, f)
        mem_free(f);
    map_clear(&core->fetches);
    if (core->store && store_client_pinned(core->store) == 0)
        core->store = store_client_free(core->store);
}
