/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The raylet's store among processes that write anything into the arena they share. The input is a
 * row of steps: a byte says what, then its operands. Slabs never overlap, what is used adds up, and
 * what is read lies inside.
 */

#include "store/server.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "model/ids.h"

enum {
    ARENA = 4 * STORE_SLAB_UNIT,
    SLABS = 8,
    BLOCKS = 4,
};

enum Step {
    STEP_JOIN,   /* process */
    STEP_LEAVE,  /* process */
    STEP_DEAD,   /* owner */
    STEP_GRANT,  /* process, units */
    STEP_CLOSE,  /* process and whether it keeps it, slab */
    STEP_OBJECT, /* slab, place, owner, state, size (2) */
    STEP_WRITE,  /* slab, place, length, bytes */
    STEP_FREE,   /* slab, place, id */
    STEP_UNPIN,  /* slab, place */
    STEP_PIN,    /* process, slab, place */
    STEP_READ,   /* slab, place, id */
    STEP_COPY,   /* block, size (2), owner */
    STEP_SEAL,   /* block */
    STEP_ABORT,  /* block */
    STEP_TRIM,
    STEP_VICTIM, /* how many of its objects go */
    STEP_RECALL,
    STEP_DROP,   /* process and whether all, slab */
    STEPS,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct World {
    StoreServer *server;
    uint8_t *arena; /* as processes have it */
    StoreSlab slabs[SLABS];
    _Atomic uint64_t *pins[4];
    StoreBlock blocks[BLOCKS];
} World;

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static uint8_t take(Input *in) {
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static ObjectId object_named(uint8_t which) {
    ObjectId id;
    memset(&id, which % 4, sizeof(id));
    return id;
}

static uint64_t take_place(World *world, Input *in, StoreSlab *ret_slab) {
    uint8_t slab = take(in), place = take(in);
    *ret_slab = world->slabs[slab % SLABS];
    return ret_slab->offset + place * (uint64_t)STORE_ALIGN + (slab & 0x80 ? 1 : 0);
}

static size_t process_at(uint8_t which) {
    return which % 4;
}

static PeerId peer_named(uint8_t which) {
    return peer_make(1, 1, 1 + (uint32_t)process_at(which));
}

static void step_join(World *world, uint8_t which) {
    int fd;
    size_t at = process_at(which);
    if (world->pins[at])
        return;
    ASSERT(store_server_join(world->server, peer_named(which), &fd) == 0);
    void *map =
        mmap(NULL, STORE_PINS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT(map != MAP_FAILED);
    world->pins[at] = map;
}

static void step_leave(World *world, uint8_t which) {
    size_t at = process_at(which);
    if (world->pins[at])
        munmap((void *)(uintptr_t)world->pins[at], STORE_PINS * sizeof(uint64_t));
    world->pins[at] = NULL;
    store_server_leave(world->server, peer_named(which));
}

static void step_grant(World *world, Input *in) {
    PeerId process = peer_named(take(in));
    uint8_t units = take(in);
    StoreSlab slab;
    int r =
        store_server_grant(world->server, process, units * (uint64_t)STORE_SLAB_UNIT / 8, &slab);
    if (r != 0)
        return;
    ASSERT(slab.offset <= ARENA && slab.size <= ARENA - slab.offset);
    world->slabs[slab.generation % SLABS] = slab;
}

static void step_object(World *world, Input *in) {
    StoreSlab slab;
    uint64_t offset = take_place(world, in, &slab) / STORE_ALIGN * STORE_ALIGN;
    uint8_t owner = take(in), state = take(in);
    if (offset + STORE_HEADER > ARENA)
        return;
    StoreHeader *header = (StoreHeader *)(void *)(world->arena + offset);
    header->magic = STORE_MAGIC;
    header->owner = peer_named(owner);
    header->generation = slab.generation;
    header->id = object_named(owner >> 4);
    header->size = (uint64_t)take(in) << 8;
    header->size |= take(in);
    atomic_store(&header->state, state % 6);
}

static void step_write(World *world, Input *in) {
    StoreSlab slab;
    uint64_t offset = take_place(world, in, &slab);
    size_t len = take(in);
    len = MIN(len, in->size);
    if (offset + len > ARENA)
        return;
    memcpy(world->arena + offset, in->data, len);
    in->data += len;
    in->size -= len;
}

static void step_read(World *world, Input *in) {
    StoreSlab slab;
    uint64_t offset = take_place(world, in, &slab), size;
    ObjectId id = object_named(take(in));
    const uint8_t *data = store_server_data(world->server, offset, slab.generation, &id, &size);
    if (!data)
        return;
    ASSERT(size <= slab.size);
    volatile uint8_t last = size ? data[size - 1] : 0;
    UNUSED(last);
}

static void step_copy(World *world, Input *in) {
    uint8_t which = take(in);
    StoreBlock *block = &world->blocks[which % BLOCKS];
    uint64_t size = (uint64_t)take(in) << 10;
    size |= take(in);
    uint8_t owner = take(in);
    ObjectId id = object_named(owner >> 4);
    size = owner == 0xff ? UINT64_MAX - size : size;
    if (block->data ||
        store_server_copy_begin(world->server, size, &id, peer_named(owner), which & 8, block))
        return;
    memset(block->data, 1, block->size);
}

static void step_copy_end(World *world, Input *in, bool seal) {
    StoreBlock *block = &world->blocks[take(in) % BLOCKS];
    if (!block->data)
        return;
    memset(block->data, 2, block->size);
    if (seal)
        store_server_copy_seal(world->server, block);
    else
        store_server_copy_abort(world->server, block);
    *block = (StoreBlock){ 0 };
}

static void step_victim(World *world, uint8_t count) {
    StoreVictim victim;
    if (!store_server_victim(world->server, &victim))
        return;
    VEC_EACH(object, &victim.objects) {
        const uint8_t *end = object->data;
        end += object->size;
        ASSERT(object->size <= victim.slab.size);
        volatile uint8_t last = object->size ? end[-1] : 0;
        UNUSED(last);
        if (count-- == 0)
            break;
        (void)store_server_evict(world->server, object);
    }
    store_server_victim_end(world->server, &victim);
}

static void step_place(World *world, Input *in, enum Step what) {
    uint8_t process = what == STEP_PIN ? take(in) : 0;
    StoreSlab slab;
    uint64_t offset = take_place(world, in, &slab);
    ObjectId id = object_named(what == STEP_FREE ? take(in) : 0);
    if (what == STEP_FREE)
        (void)store_server_free_object(world->server, offset, slab.generation, &id);
    else if (what == STEP_UNPIN)
        store_server_unpinned(world->server, offset);
    else if (world->pins[process_at(process)])
        atomic_store(&world->pins[process_at(process)][process >> 4], process & 8 ? 0 : offset + 1);
}

static void step(World *world, Input *in) {
    enum Step what = take(in) % STEPS;
    switch (what) {
    case STEP_JOIN:
        step_join(world, take(in));
        break;
    case STEP_LEAVE:
        step_leave(world, take(in));
        break;
    case STEP_DEAD:
        store_server_owner_dead(world->server, peer_named(take(in)));
        break;
    case STEP_GRANT:
        step_grant(world, in);
        break;
    case STEP_CLOSE: {
        uint8_t process = take(in);
        store_server_close_slab(world->server, peer_named(process),
                                world->slabs[take(in) % SLABS].offset, process & 0x80);
        break;
    }
    case STEP_RECALL: {
        PeerId process;
        while (store_server_recall(world->server, &process))
            ASSERT(store_server_recalling(world->server));
        break;
    }
    case STEP_DROP: {
        uint8_t process = take(in);
        store_server_dropped(world->server, peer_named(process),
                             world->slabs[take(in) % SLABS].offset, process & 0x80);
        break;
    }
    case STEP_OBJECT:
        step_object(world, in);
        break;
    case STEP_WRITE:
        step_write(world, in);
        break;
    case STEP_READ:
        step_read(world, in);
        break;
    case STEP_COPY:
        step_copy(world, in);
        break;
    case STEP_SEAL:
    case STEP_ABORT:
        step_copy_end(world, in, what == STEP_SEAL);
        break;
    case STEP_TRIM:
        store_server_trim(world->server);
        break;
    case STEP_VICTIM:
        step_victim(world, take(in));
        break;
    default:
        step_place(world, in, what);
    }
    ASSERT(store_server_used(world->server) <= ARENA);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    World world = { 0 };
    int disk = memfd_create("disk", MFD_CLOEXEC);
    ASSERT(disk >= 0 && ftruncate(disk, ARENA) == 0);
    ASSERT(store_server_new(ARENA, disk, ARENA, &world.server) == 0);
    world.arena =
        mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, store_server_fd(world.server), 0);
    ASSERT(world.arena != MAP_FAILED);
    Input in = { data, MIN(size, 2000u) };
    while (in.size > 0)
        step(&world, &in);
    for (uint8_t i = 0; i < ARRAY_LEN(world.pins); i++)
        step_leave(&world, i);
    munmap(world.arena, ARENA);
    store_server_free(world.server);
    return 0;
}
