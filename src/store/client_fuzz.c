/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A process's side of the store, beside a raylet that grants anything and processes that write anything
 * into the arena. The input is a row of steps: a byte says what, then its operands. What is written lies
 * in slabs that were granted, no two blocks in one place; what is read lies inside the arena.
 */

#include "store/client.h"

#include "base/error.h"
#include "base/fuzz_input.h"
#include "base/fuzz_world.h"
#include "base/wrap.h"
#include "store/store_fuzz.h"

enum {
    UNITS = 48, /* of memory: two large objects and some small ones */
    DISK_UNITS = 24,
    BYTES = UNITS * STORE_SLAB_UNIT,
    ALL_BYTES = BYTES + DISK_UNITS * STORE_SLAB_UNIT,
    SLABS = 8,  /* granted last */
    BLOCKS = 6,
    PLACES = 8, /* written last */
    PINS = 8,
    PIECE = 4 << 10,
};

enum Step {
    STEP_GRANT,    /* offset, units, generation and warm */
    STEP_ALLOC,    /* block, size (2), id and owner */
    STEP_FILL,     /* block, byte */
    STEP_SEAL,     /* block */
    STEP_ABORT,    /* block */
    STEP_RETURNS,  /* how many */
    STEP_DROP,
    STEP_PIN,      /* pin, place, how far off, generation, id */
    STEP_UNPIN,    /* pin */
    STEP_HEADER,   /* place, how far off, state, size (2), generation, id */
    STEP_SCRIBBLE, /* place, how far off, length, bytes */
    STEP_WANTED,   /* size (2) */
    STEPS,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Reading {
    uint64_t offset, size;
    const uint8_t *data;
} Reading;

typedef struct World {
    StoreClient *client;
    uint8_t *arena; /* as other processes have it: memory, then disk */
    int fds[2];
    StoreSlab slabs[SLABS];
    size_t slabs_len;
    StoreBlock blocks[BLOCKS];
    bool writing[BLOCKS];
    uint64_t places[PLACES];
    size_t places_len;
    Reading pins[PINS];
    uint64_t dirty[2]; /* units that somebody wrote to */
} World;

/* ---- the outside (meson.build: --wrap) ------------------------------------------------------- */

/* Pages are had when they are touched: all of a slab at once costs more than the rest. */
WRAPPED(void *, mmap64, void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    return __real_mmap64(at, len, prot, flags & ~MAP_POPULATE, fd, offset);
}

/* ---- operands --------------------------------------------------------------------------------- */

/* Small, or near a power of two, or beyond everything. */
static uint64_t take_size(Input *in) {
    uint8_t power = take(in), low = take(in);
    uint64_t base = power % 65 == 64 ? UINT64_MAX : 1ull << power % 65;
    return low & 0x80 ? base - (low & 0x7f) : base + low;
}

static uint64_t take_place(const World *world, Input *in) {
    uint8_t which = take(in), off = take(in);
    uint64_t place =
        which & 0x80 ? (uint64_t)(which & 0x7f) * STORE_SLAB_UNIT : world->places[which % PLACES];
    return off == 0xff ? UINT64_MAX - place : place + off % 4 * STORE_ALIGN + (off >> 7);
}

static void touch(World *world, uint64_t offset, uint64_t len) {
    for (uint64_t unit = offset / STORE_SLAB_UNIT;
         len && unit <= (offset + len - 1) / STORE_SLAB_UNIT; unit++)
        world->dirty[unit / 64] |= 1ull << unit % 64;
}

/* ---- steps ------------------------------------------------------------------------------------ */

static void step_grant(World *world, Input *in) {
    uint8_t offset = take(in), units = take(in), how = take(in);
    StoreSlab slab = { .offset = (uint64_t)(offset & 0x7f) * STORE_SLAB_UNIT,
                       .size = (uint64_t)(units & 0x7f) * STORE_SLAB_UNIT,
                       .generation = how & 3,
                       .warm = how & 4 };
    if (offset & 0x80)
        slab.offset = how & 8 ? UINT64_MAX - slab.offset + 1 : slab.offset + STORE_ALIGN;
    if (units & 0x80)
        slab.size = how & 16 ? UINT64_MAX - slab.size + 1 : slab.size + STORE_ALIGN;
    if (store_client_add_slab(world->client, &slab) != 0)
        return;
    ASSERT(slab.size <= ALL_BYTES && slab.offset <= ALL_BYTES - slab.size);
    ASSERT(slab.offset >= BYTES || slab.offset + slab.size <= BYTES);
    touch(world, slab.offset, slab.size);
    world->slabs[world->slabs_len++ % SLABS] = slab;
}

/* Nobody else of ours writes there, and the data is where the block says. */
static void check_block(const World *world, const StoreBlock *block) {
    uint64_t end = block->offset + store_footprint(block->size);
    ASSERT(end <= ALL_BYTES);
    for (size_t i = 0; i < BLOCKS; i++) {
        const StoreBlock *other = &world->blocks[i];
        ASSERT(!world->writing[i] || other->offset >= end ||
               block->offset >= other->offset + store_footprint(other->size));
    }
    uint64_t at = block->offset + STORE_HEADER - (block->offset >= BYTES ? BYTES : 0);
    ASSERT(block->at == at && block->fd == world->fds[block->offset >= BYTES]);
}

static void step_alloc(World *world, Input *in) {
    size_t which = take(in) % BLOCKS;
    uint64_t size = take_size(in);
    uint8_t name = take(in);
    ObjectId id = object_named(name);
    StoreBlock block;
    if (world->writing[which] ||
        store_client_alloc(world->client, size, &id, peer_make(1, 1, name >> 4), &block) != 0)
        return;
    ASSERT(block.size == size);
    check_block(world, &block);
    world->writing[which] = true;
    world->blocks[which] = block;
    world->places[world->places_len++ % PLACES] = block.offset;
}

/* Its ends: what is between them is there too. */
static void step_fill(World *world, Input *in) {
    size_t which = take(in) % BLOCKS;
    uint8_t piece[PIECE];
    const StoreBlock *block = &world->blocks[which];
    memset(piece, take(in), sizeof(piece));
    if (!world->writing[which] || !block->size)
        return;
    uint64_t len = MIN(block->size, (uint64_t)PIECE);
    uint8_t *data = block->data;
    if (data) {
        memcpy(data, piece, len);
        memcpy(data + block->size - len, piece, len);
    } else {
        ASSERT(pwrite(block->fd, piece, len, (off_t)block->at) == (ssize_t)len);
        ASSERT(pwrite(block->fd, piece, len, (off_t)(block->at + block->size - len)) ==
               (ssize_t)len);
    }
    ASSERT(world->arena[block->offset + STORE_HEADER + block->size - 1] == piece[0]);
}

static void step_end(World *world, Input *in, bool seal) {
    size_t which = take(in) % BLOCKS;
    if (!world->writing[which])
        return;
    world->writing[which] = false;
    if (seal)
        store_client_seal(world->client, &world->blocks[which]);
    else
        store_client_abort(world->client, &world->blocks[which]);
}

static void step_returns(World *world, uint8_t many) {
    StoreReturn returns[4];
    size_t n = store_client_returns(world->client, returns, many % ARRAY_LEN(returns));
    ASSERT(n < ARRAY_LEN(returns));
    for (size_t i = 0; i < n; i++)
        ASSERT(returns[i].offset < ALL_BYTES && !(returns[i].kept && returns[i].dropped));
}

static void read_ends(const Reading *reading) {
    volatile uint8_t ends = 0;
    if (reading->size)
        ends = (uint8_t)(reading->data[0] + reading->data[reading->size - 1]);
    UNUSED(ends);
}

static void step_pin(World *world, Input *in) {
    Reading *pin = &world->pins[take(in) % PINS], now = { 0 };
    now.offset = take_place(world, in);
    uint8_t generation = take(in);
    ObjectId id = object_named(take(in));
    if (pin->data)
        return;
    now.data = store_client_pin(world->client, now.offset, generation & 3, &id, &now.size);
    if (!now.data)
        return;
    ASSERT(now.offset + STORE_HEADER <= ALL_BYTES &&
           now.size <= ALL_BYTES - STORE_HEADER - now.offset);
    read_ends(&now);
    *pin = now;
}

static void step_unpin(World *world, uint8_t which) {
    Reading *pin = &world->pins[which % PINS];
    if (!pin->data)
        return;
    read_ends(pin); /* what its header says by now is another matter */
    bool told = store_client_unpin(world->client, pin->offset);
    UNUSED(told);
    *pin = (Reading){ 0 };
}

static void step_header(World *world, Input *in) {
    uint64_t offset = take_place(world, in) / STORE_ALIGN * STORE_ALIGN;
    if (offset > ALL_BYTES - STORE_HEADER)
        return;
    touch(world, offset, STORE_HEADER);
    StoreHeader *header = (StoreHeader *)(void *)(world->arena + offset);
    header->magic = STORE_MAGIC;
    atomic_store(&header->state, take(in) % 6);
    header->size = take_size(in);
    header->generation = take(in) & 3;
    header->id = object_named(take(in));
}

static void step_scribble(World *world, Input *in) {
    uint64_t offset = take_place(world, in);
    size_t len = take(in);
    len = MIN(len, in->size);
    if (offset > ALL_BYTES - len)
        return;
    touch(world, offset, len);
    memcpy(world->arena + offset, take_bytes(in, len).data, len);
}

static void step(World *world, Input *in) {
    enum Step what = take(in) % STEPS;
    switch (what) {
    case STEP_GRANT:
        step_grant(world, in);
        break;
    case STEP_ALLOC:
        step_alloc(world, in);
        break;
    case STEP_FILL:
        step_fill(world, in);
        break;
    case STEP_SEAL:
    case STEP_ABORT:
        step_end(world, in, what == STEP_SEAL);
        break;
    case STEP_RETURNS:
        step_returns(world, take(in));
        break;
    case STEP_DROP:
        store_client_drop_kept(world->client);
        break;
    case STEP_PIN:
        step_pin(world, in);
        break;
    case STEP_UNPIN:
        step_unpin(world, take(in));
        break;
    case STEP_HEADER:
        step_header(world, in);
        break;
    case STEP_SCRIBBLE:
        step_scribble(world, in);
        break;
    default:
        ASSERT(store_client_slab_wanted(world->client, take_size(in) % BYTES) > 0);
    }
}

/* ---- one input ------------------------------------------------------------------------------- */

static void *world_begin(void) {
    World *world = mem_new(World);
    StoreDoor door = { .arena_fd = memory_new("arena", BYTES),
                       .disk_fd = memory_new("disk", ALL_BYTES - BYTES),
                       .pins_fd = memory_new("pins", STORE_PINS * sizeof(uint64_t)),
                       .bytes = BYTES,
                       .disk_bytes = ALL_BYTES - BYTES };
    world->fds[0] = door.arena_fd;
    world->fds[1] = door.disk_fd;
    world->arena = arena_map(door.arena_fd, BYTES, door.disk_fd, ALL_BYTES - BYTES);
    ASSERT(store_client_open(&door, &world->client) == 0);
    return world;
}

static void world_clean(void *ctx) {
    const World *world = ctx;
    for (uint64_t unit = 0; unit < ALL_BYTES / STORE_SLAB_UNIT; unit++)
        if (world->dirty[unit / 64] >> unit % 64 & 1)
            madvise(world->arena + unit * STORE_SLAB_UNIT, STORE_SLAB_UNIT, MADV_REMOVE);
}

static void world_end(void *ctx) {
    World *world = ctx;
    store_client_free(world->client);
    munmap(world->arena, ALL_BYTES);
    mem_free(world);
}

static const FuzzWorld fuzz_world = { world_begin, world_end, world_clean };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    World *world = fuzz_world_begin(&fuzz_world);
    Input in = { data, MIN(size, 2000u) };
    while (in.size > 0)
        step(world, &in);
    for (uint8_t i = 0; i < PINS; i++)
        step_unpin(world, i);
    ASSERT(store_client_pinned(world->client) == 0);
    fuzz_world_end(&fuzz_world, world);
    return 0;
}
