/* SPDX-License-Identifier: Apache-2.0 */
#include "store/client.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"

typedef struct OwnSlab {
    StoreSlab slab;
    uint8_t *map;     /* writable */
    uint64_t used;
    uint32_t writing; /* objects not sealed yet */
    bool full;
} OwnSlab;

typedef struct Pin {
    uint32_t slot, count;
} Pin;

/* Mappings of slabs that were given back, read-only: a slab is often granted again to who had it
 * last, and then its pages need not be faulted in once more. */
typedef struct OldMap {
    uint64_t offset, size;
    uint8_t *map;
} OldMap;

enum {
    OLD_MAPS_MAX = 8,
    SLAB_REST = 2 * STORE_SLAB_UNIT /* with less room than that a slab is done with */
};

struct StoreClient {
    int fd, disk_fd;
    uint64_t bytes, all_bytes; /* in memory; with the file behind it */
    const uint8_t *arena;      /* read-only */
    _Atomic uint64_t *pins;
    uint32_t slots_used;       /* ever; those below that are free again: */
    Vec(uint32_t) free_slots;
    Map pinned;                /* offset -> Pin */
    Vec(OwnSlab *) slabs;
    Vec(uint64_t) returns;
    Vec(OldMap) old; /* oldest first */
};

static int map_pins(StoreClient *client, int fd) {
    struct stat st;
    size_t size = STORE_PINS * sizeof(uint64_t);
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)size)
        return error_origin(-EPROTO, "a pin table has the wrong size");
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return error_last("map the pin table");
    client->pins = map;
    return 0;
}

static int map_part(StoreClient *client, int fd, uint64_t bytes, uint64_t at) {
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)bytes)
        return error_origin(-EPROTO, "the store's arena has the wrong size");
    void *to = (uint8_t *)(uintptr_t)client->arena + at;
    if (mmap(to, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) == MAP_FAILED)
        return error_last("map the store's arena of %llu bytes", (unsigned long long)bytes);
    return 0;
}

/* Memory and file one behind the other, so that one offset says where anything is. */
static int map_arena(StoreClient *client) {
    void *map = mmap(NULL, client->all_bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return error_last("reserve %llu bytes for the object store",
                          (unsigned long long)client->all_bytes);
    client->arena = map;
    int r = map_part(client, client->fd, client->bytes, 0);
    if (r == 0 && client->disk_fd >= 0)
        r = map_part(client, client->disk_fd, client->all_bytes - client->bytes, client->bytes);
    return r;
}

int store_client_open(const StoreDoor *door, StoreClient **ret_client) {
    _cleanup_close_ int pins = door->pins_fd;
    StoreClient *client = mem_new(StoreClient);
    client->fd = door->arena_fd;
    client->disk_fd = door->disk_fd;
    client->bytes = door->bytes;
    client->all_bytes = door->bytes + (door->disk_fd >= 0 ? door->disk_bytes : 0);
    client->slots_used = 1;
    map_init(&client->pinned, sizeof(uint64_t));
    int r = map_arena(client);
    if (r == 0)
        r = map_pins(client, pins);
    if (r < 0) {
        store_client_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

static void old_drop(StoreClient *client, size_t i) {
    munmap(client->old.items[i].map, client->old.items[i].size);
    vec_remove(&client->old, i);
}

static void slab_free(StoreClient *client, OwnSlab *own) {
    if (mprotect(own->map, own->slab.size, PROT_READ) < 0) {
        munmap(own->map, own->slab.size);
    } else {
        vec_push(&client->old, (OldMap){ own->slab.offset, own->slab.size, own->map });
        if (client->old.len > OLD_MAPS_MAX)
            old_drop(client, 0);
    }
    mem_free(own);
}

/* A writable mapping of the slab: an old one of the same place, or a new one. */
static void *slab_map(StoreClient *client, const StoreSlab *slab) {
    for (size_t i = client->old.len; i-- > 0;) {
        OldMap *old = &client->old.items[i];
        if (old->offset != slab->offset || old->size != slab->size)
            continue;
        uint8_t *map = old->map;
        if (mprotect(map, slab->size, PROT_READ | PROT_WRITE) < 0)
            break;
        vec_remove(&client->old, i);
        return map;
    }
    bool disk = slab->offset >= client->bytes;
    return mmap(NULL, slab->size, PROT_READ | PROT_WRITE, MAP_SHARED,
                disk ? client->disk_fd : client->fd,
                (off_t)(disk ? slab->offset - client->bytes : slab->offset));
}

StoreClient *store_client_free(StoreClient *client) {
    if (!client)
        return NULL;
    VEC_EACH(own, &client->slabs)
        slab_free(client, *own);
    while (client->old.len)
        old_drop(client, 0);
    vec_done(&client->old);
    vec_done(&client->slabs);
    vec_done(&client->returns);
    Pin *pin;
    MAP_EACH(&client->pinned, pos, pin)
        mem_free(pin);
    map_done(&client->pinned);
    if (client->pins)
        munmap(client->pins, STORE_PINS * sizeof(uint64_t));
    if (client->arena)
        munmap((void *)(uintptr_t)client->arena, client->all_bytes);
    vec_done(&client->free_slots);
    fd_close(client->fd);
    fd_close(client->disk_fd);
    mem_free(client);
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------ */

uint64_t store_client_slab_wanted(const StoreClient *client, uint64_t size) {
    uint64_t need = ALIGN_UP(store_footprint(size), (uint64_t)STORE_SLAB_UNIT);
    uint64_t usual = MIN((uint64_t)STORE_SLAB_USUAL, client->bytes / 16);
    return size >= STORE_SLAB_ALONE ? need : MAX(need, usual / STORE_SLAB_UNIT * STORE_SLAB_UNIT);
}

int store_client_add_slab(StoreClient *client, const StoreSlab *slab) {
    uint64_t end = slab->offset < client->bytes ? client->bytes : client->all_bytes;
    if (slab->size == 0 || slab->offset > end || slab->size > end - slab->offset ||
        slab->offset % STORE_SLAB_UNIT)
        return error_origin(-EPROTO, "the raylet granted a slab outside the arena");
    void *map = slab_map(client, slab);
    if (map == MAP_FAILED)
        return error_last("map a slab of %llu bytes", (unsigned long long)slab->size);
    OwnSlab *own = mem_new(OwnSlab);
    own->slab = *slab;
    own->map = map;
    vec_push(&client->slabs, own);
    return 0;
}

static StoreHeader *slab_header(OwnSlab *own, uint64_t at) {
    return (StoreHeader *)(void *)(own->map + at);
}

static void slab_retire_if_done(StoreClient *client, size_t i) {
    OwnSlab *own = client->slabs.items[i];
    if (!own->full || own->writing)
        return;
    vec_push(&client->returns, own->slab.offset);
    slab_free(client, own);
    vec_remove_swap(&client->slabs, i);
}

/* A slab with room: newest first; one that has too little left is done with. */
static OwnSlab *slab_with_room(StoreClient *client, uint64_t need) {
    for (size_t i = client->slabs.len; i-- > 0;) {
        OwnSlab *own = client->slabs.items[i];
        if (own->full)
            continue;
        if (own->slab.size - own->used >= need)
            return own;
        if (own->slab.size - own->used < SLAB_REST) {
            own->full = true;
            slab_retire_if_done(client, i);
        }
    }
    return NULL;
}

int store_client_alloc(StoreClient *client, uint64_t size, const ObjectId *id, PeerId owner,
                       StoreBlock *ret_block) {
    uint64_t need = store_footprint(size);
    if (need < size || need > MAX(client->bytes, client->all_bytes - client->bytes))
        return error_origin(-ENOSPC, "an object of %llu bytes is larger than the store",
                            (unsigned long long)size);
    OwnSlab *own = slab_with_room(client, need);
    if (!own)
        return STORE_NEED_SLAB;
    uint64_t at = own->used;
    own->used += need;
    /* A walk ends at a header without magic: what lies behind may be an earlier slab's. */
    uint64_t left = own->slab.size - own->used;
    if (left >= STORE_HEADER)
        slab_header(own, own->used)->magic = 0;
    own->full = left < SLAB_REST; /* given back once it is sealed: a large object can be spilled */
    StoreHeader *h = slab_header(own, at);
    atomic_store(&h->state, STORE_WRITING);
    h->size = size;
    h->generation = own->slab.generation;
    h->owner = owner;
    h->id = *id;
    __atomic_store_n(&h->magic, STORE_MAGIC, __ATOMIC_RELEASE);
    own->writing++;
    *ret_block = (StoreBlock){ own->slab.offset + at, own->slab.generation, size,
                               own->map + at + STORE_HEADER };
    return 0;
}

void store_client_seal(StoreClient *client, const StoreBlock *block) {
    for (size_t i = 0; i < client->slabs.len; i++) {
        OwnSlab *own = client->slabs.items[i];
        if (block->offset < own->slab.offset || block->offset >= own->slab.offset + own->slab.size)
            continue;
        StoreHeader *h = slab_header(own, block->offset - own->slab.offset);
        atomic_store_explicit(&h->state, STORE_SEALED, memory_order_release);
        own->writing--;
        slab_retire_if_done(client, i);
        return;
    }
}

size_t store_client_returns(StoreClient *client, uint64_t *ret_offsets, size_t max) {
    size_t n = MIN(max, client->returns.len);
    for (size_t i = 0; i < n; i++)
        ret_offsets[i] = vec_pop(&client->returns);
    return n;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static const StoreHeader *arena_header(const StoreClient *client, uint64_t offset) {
    if (offset % STORE_ALIGN || offset > client->all_bytes - STORE_HEADER)
        return NULL;
    return (const StoreHeader *)(const void *)(client->arena + offset);
}

/* The state is looked at after the pin is written: see layout.h. */
static bool header_readable(const StoreClient *client, const StoreHeader *h, uint64_t offset,
                            uint64_t generation, const ObjectId *id) {
    _Atomic uint32_t *state = (_Atomic uint32_t *)(uintptr_t)&h->state;
    if (atomic_load(state) != STORE_SEALED)
        return false;
    return h->magic == STORE_MAGIC && h->generation == generation &&
           memcmp(&h->id, id, sizeof(*id)) == 0 &&
           h->size <= client->all_bytes - offset - STORE_HEADER;
}

/* Slots are used from the bottom, so that the raylet has few to look at. */
static uint32_t slot_take(StoreClient *client) {
    if (client->free_slots.len)
        return vec_pop(&client->free_slots);
    if (client->slots_used == STORE_PINS)
        return 0;
    uint32_t slot = client->slots_used++;
    atomic_store(&client->pins[0], client->slots_used);
    return slot;
}

static void slot_give(StoreClient *client, uint32_t slot) {
    atomic_store(&client->pins[slot], 0);
    vec_push(&client->free_slots, slot);
}

const void *store_client_pin(StoreClient *client, uint64_t offset, uint64_t generation,
                             const ObjectId *id, uint64_t *ret_size) {
    const StoreHeader *h = arena_header(client, offset);
    if (!h)
        return NULL;
    Pin *pin = map_get(&client->pinned, &offset);
    if (!pin) {
        uint32_t slot = slot_take(client);
        if (!slot)
            return NULL;
        atomic_store(&client->pins[slot], offset + 1); /* 0 is a free slot */
        if (!header_readable(client, h, offset, generation, id)) {
            slot_give(client, slot);
            return NULL;
        }
        pin = mem_new(Pin);
        pin->slot = slot;
        map_put(&client->pinned, &offset, pin);
    } else if (h->generation != generation) {
        return NULL;
    }
    pin->count++;
    *ret_size = h->size;
    return (const uint8_t *)h + STORE_HEADER;
}

bool store_client_unpin(StoreClient *client, uint64_t offset) {
    Pin *pin = map_get(&client->pinned, &offset);
    ASSERT(pin && pin->count);
    if (--pin->count)
        return false;
    map_remove(&client->pinned, &offset);
    slot_give(client, pin->slot);
    mem_free(pin);
    const StoreHeader *h = arena_header(client, offset);
    _Atomic uint32_t *state = (_Atomic uint32_t *)(uintptr_t)&h->state;
    return atomic_load(state) == STORE_FREEING;
}

size_t store_client_pinned(const StoreClient *client) {
    return map_len(&client->pinned);
}
