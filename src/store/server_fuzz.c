/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The raylet's store among processes that write anything into the arena they share. The input is a
 * row of steps: a byte says what, then its operands. Slabs never overlap, what is used adds up, and
 * what is read lies inside.
 */

#include "store/server.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/fuzz_input.h"
#include "base/fuzz_world.h"
#include "base/wrap.h"
#include "store/store_fuzz.h"

enum {
    ARENA = 4 * STORE_SLAB_UNIT,
    SLABS = 8,
    BLOCKS = 4,
    PAGE = 4096,
    PAGES = ARENA / PAGE, /* and as many on disk */
    PINS_FD = 1 << 20,    /* of the first pin table; nobody else has such numbers */
    TABLES = 8,
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
    uint8_t *arena;                 /* as processes have it: memory, then disk */
    uint64_t dirty[2 * PAGES / 64]; /* pages that somebody wrote to */
    StoreSlab slabs[SLABS];
    _Atomic uint64_t *pins[4];
    StoreBlock blocks[BLOCKS];
} World;

/* ---- the outside (meson.build: --wrap) ------------------------------------------------------- */

/* Pin tables are made with each process that joins, and pages are had with each slab: by the system
 * that costs more than all the rest. Tables lie here, pages come when they are touched. */
static struct {
    uint64_t pins[TABLES][STORE_PINS];
    int held[TABLES]; /* by its descriptor and mappings; 0: free */
} outside;

static uint64_t *table_of(int fd) {
    return fd >= PINS_FD ? outside.pins[fd - PINS_FD] : NULL;
}

WRAPPED(int, memfd_create, const char *name, unsigned flags) {
    if (!str_eq(name, "pins"))
        return __real_memfd_create(name, flags);
    for (int i = 0; i < TABLES; i++) {
        if (outside.held[i])
            continue;
        outside.held[i] = 1;
        memset(outside.pins[i], 0, PAGE);
        return PINS_FD + i;
    }
    return -1;
}

WRAPPED(int, fd_close, int fd) {
    if (!table_of(fd))
        return __real_fd_close(fd);
    outside.held[fd - PINS_FD]--;
    return -1;
}

WRAPPED(int, ftruncate64, int fd, off_t len) {
    return table_of(fd) ? 0 : __real_ftruncate64(fd, len);
}

WRAPPED(int, fcntl64, int fd, int what, int how) {
    return table_of(fd) ? 0 : __real_fcntl64(fd, what, how);
}

WRAPPED(void *, mmap64, void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    uint64_t *table = table_of(fd);
    if (!table)
        return __real_mmap64(at, len, prot, flags, fd, offset);
    outside.held[fd - PINS_FD]++;
    return table;
}

WRAPPED(int, munmap, void *at, size_t len) {
    uintptr_t offset = (uintptr_t)at - (uintptr_t)outside.pins;
    if (offset >= sizeof(outside.pins))
        return __real_munmap(at, len);
    outside.held[offset / sizeof(outside.pins[0])]--;
    return 0;
}

WRAPPED(int, fallocate64, int fd, int mode, off_t offset, off_t len) {
    return mode & FALLOC_FL_PUNCH_HOLE ? __real_fallocate64(fd, mode, offset, len) : 0;
}

/* ---- steps ------------------------------------------------------------------------------------ */

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

static void touch(World *world, uint64_t offset, uint64_t len) {
    uint64_t end = MIN((offset + len + PAGE - 1) / PAGE, (uint64_t)2 * PAGES);
    for (uint64_t page = offset / PAGE; page < end; page++)
        world->dirty[page / 64] |= 1ull << page % 64;
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
    fd_close(fd);
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
    touch(world, offset, STORE_HEADER);
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
    touch(world, offset, len);
    memcpy(world->arena + offset, take_bytes(in, len).data, len);
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

/* Its ends: what is between them is there too. The server writes a header before and one behind. */
static void block_write(World *world, const StoreBlock *block, uint8_t byte) {
    uint8_t *data = block->data;
    uint64_t end = block->offset + store_footprint(block->size);
    touch(world, block->offset, STORE_HEADER + 1);
    touch(world, end - STORE_ALIGN, STORE_ALIGN + STORE_HEADER);
    if (block->size)
        data[0] = data[block->size - 1] = byte;
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
    block_write(world, block, 1);
}

static void step_copy_end(World *world, Input *in, bool seal) {
    StoreBlock *block = &world->blocks[take(in) % BLOCKS];
    if (!block->data)
        return;
    block_write(world, block, 2);
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

/* ---- one input ------------------------------------------------------------------------------- */

static void *world_begin(void) {
    World *world = mem_new(World);
    int disk = memory_new("disk", ARENA);
    ASSERT(store_server_new(ARENA, disk, ARENA, &world->server) == 0);
    world->arena = arena_map(store_server_fd(world->server), ARENA, disk, ARENA);
    return world;
}

static void world_clean(void *ctx) {
    World *world = ctx;
    for (uint64_t page = 0; page < 2 * PAGES; page++)
        if (world->dirty[page / 64] >> page % 64 & 1)
            memset(world->arena + page * PAGE, 0, PAGE);
    for (uint64_t slab = 0; slab < 2 * ARENA; slab += STORE_SLAB_UNIT)
        memset(world->arena + slab, 0, sizeof(StoreHeader));
}

static void world_end(void *ctx) {
    World *world = ctx;
    munmap(world->arena, 2 * ARENA);
    store_server_free(world->server);
    mem_free(world);
}

static const FuzzWorld fuzz_world = { world_begin, world_end, world_clean };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    World *world = fuzz_world_begin(&fuzz_world);
    Input in = { data, MIN(size, 2000u) };
    while (in.size > 0)
        step(world, &in);
    for (uint8_t i = 0; i < ARRAY_LEN(world->pins); i++)
        step_leave(world, i);
    fuzz_world_end(&fuzz_world, world);
    return 0;
}
