/* SPDX-License-Identifier: Apache-2.0 */
#include "store/client.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"

typedef struct OwnSlab {
    StoreSlab slab;
    uint8_t *map;     /* writable */
    uint64_t mapped;  /* all of it, or just its first page */
    uint64_t used;
    uint32_t writing; /* objects not sealed yet */
    bool full;
} OwnSlab;

/* An object that is read here. What its header said is kept: it lies where its writer may write. */
typedef struct Pin {
    uint32_t slot, count;
    uint64_t size, generation;
} Pin;

/* A writable mapping of a slab that was given back. */
typedef struct KeptMap {
    uint64_t offset, size;
    uint8_t *map;
} KeptMap;

enum {
    KEPT_MAX = 8,
    HEAD_BYTES = 4096,              /* what is mapped of a slab that is written by system calls */
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
    Vec(StoreReturn) returns;
    Vec(KeptMap) kept; /* oldest first */
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
    int r = 0;
    if (door->bytes < STORE_SLAB_UNIT || client->all_bytes < door->bytes)
        r = error_origin(-EPROTO, "the raylet has an object store of %llu bytes and %llu on disk",
                         (unsigned long long)door->bytes, (unsigned long long)door->disk_bytes);
    if (r == 0)
        r = map_arena(client);
    if (r == 0)
        r = map_pins(client, pins);
    if (r < 0) {
        store_client_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

static void kept_unmap(StoreClient *client, size_t i) {
    munmap(client->kept.items[i].map, client->kept.items[i].size);
    vec_remove(&client->kept, i);
}

void store_client_drop_kept(StoreClient *client) {
    while (client->kept.len)
        kept_unmap(client, client->kept.len - 1);
}

static bool slab_on_disk(const StoreClient *client, const OwnSlab *own) {
    return own->slab.offset >= client->bytes;
}

static int slab_file(const StoreClient *client, const OwnSlab *own, uint64_t *ret_at) {
    bool disk = slab_on_disk(client, own);
    *ret_at = own->slab.offset - (disk ? client->bytes : 0);
    return disk ? client->disk_fd : client->fd;
}

/* Done with: to be mapped no more, or kept so. */
static void slab_return(StoreClient *client, OwnSlab *own) {
    bool keep = own->mapped == own->slab.size && !slab_on_disk(client, own);
    if (keep && client->kept.len == KEPT_MAX) {
        vec_push(&client->returns,
                 (StoreReturn){ .offset = client->kept.items[0].offset, .dropped = true });
        kept_unmap(client, 0);
    }
    if (keep)
        vec_push(&client->kept, (KeptMap){ own->slab.offset, own->slab.size, own->map });
    else
        munmap(own->map, own->mapped);
    vec_push(&client->returns, (StoreReturn){ .offset = own->slab.offset, .kept = keep });
    mem_free(own);
}

/* A kept mapping of just that slab. One that overlaps it is none of ours any more. */
static uint8_t *kept_take(StoreClient *client, const StoreSlab *slab) {
    uint8_t *map = NULL;
    for (size_t i = client->kept.len; i-- > 0;) {
        const KeptMap *kept = &client->kept.items[i];
        if (kept->offset >= slab->offset + slab->size || slab->offset >= kept->offset + kept->size)
            continue;
        if (!map && slab->warm && kept->offset == slab->offset && kept->size == slab->size) {
            map = kept->map;
            vec_remove(&client->kept, i);
        } else {
            kept_unmap(client, i);
        }
    }
    return map;
}

/* For any objects; else for one large object, whose writer may just not have come to it yet. */
static bool slab_shared(const StoreClient *client, const StoreSlab *slab) {
    return slab->size < STORE_SLAB_ALONE || slab->size == store_client_slab_wanted(client, 0);
}

static int slab_map(StoreClient *client, OwnSlab *own) {
    const StoreSlab *slab = &own->slab;
    own->mapped = slab->size;
    own->map = kept_take(client, slab);
    if (own->map)
        return 0;
    if (!slab_shared(client, slab) && (!slab->warm || slab_on_disk(client, own)))
        own->mapped = HEAD_BYTES;
    uint64_t at;
    int fd = slab_file(client, own, &at);
    int populate = slab->warm && own->mapped == slab->size ? MAP_POPULATE : 0;
    void *map =
        mmap(NULL, own->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | populate, fd, (off_t)at);
    if (map == MAP_FAILED)
        return error_last("map a slab of %llu bytes", (unsigned long long)slab->size);
    own->map = map;
    return 0;
}

StoreClient *store_client_free(StoreClient *client) {
    if (!client)
        return NULL;
    VEC_EACH(own, &client->slabs) {
        munmap((*own)->map, (*own)->mapped);
        mem_free(*own);
    }
    store_client_drop_kept(client);
    vec_done(&client->kept);
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

static bool slab_overlaps(const StoreClient *client, const StoreSlab *slab) {
    VEC_EACH(own, &client->slabs) {
        const StoreSlab *other = &(*own)->slab;
        if (slab->offset < other->offset + other->size && other->offset < slab->offset + slab->size)
            return true;
    }
    return false;
}

int store_client_add_slab(StoreClient *client, const StoreSlab *slab) {
    uint64_t end = slab->offset < client->bytes ? client->bytes : client->all_bytes;
    if (slab->size == 0 || slab->offset > end || slab->size > end - slab->offset ||
        slab->offset % STORE_SLAB_UNIT || slab->size % STORE_SLAB_UNIT)
        return error_origin(-EPROTO, "the raylet granted a slab outside the arena");
    if (slab_overlaps(client, slab))
        return error_origin(-EPROTO, "the raylet granted a slab that is ours already");
    _cleanup_free_ OwnSlab *own = mem_new(OwnSlab);
    own->slab = *slab;
    int r = slab_map(client, own);
    if (r == 0)
        vec_push(&client->slabs, TAKE(own));
    return r;
}

static StoreHeader *slab_header(OwnSlab *own, uint64_t at) {
    return (StoreHeader *)(void *)(own->map + at);
}

static void slab_retire_if_done(StoreClient *client, size_t i) {
    OwnSlab *own = client->slabs.items[i];
    if (!own->full || own->writing)
        return;
    vec_remove_swap(&client->slabs, i);
    slab_return(client, own);
}

/* A slab with room: newest first; one that has too little left is done with. */
static OwnSlab *slab_with_room(StoreClient *client, uint64_t need) {
    for (size_t i = client->slabs.len; i-- > 0;) {
        OwnSlab *own = client->slabs.items[i];
        if (own->full)
            continue;
        bool meant = slab_shared(client, &own->slab) || need > own->slab.size / 2;
        if (own->slab.size - own->used >= need && meant)
            return own;
        if (own->slab.size - own->used < SLAB_REST) {
            own->full = true;
            slab_retire_if_done(client, i);
        }
    }
    return NULL;
}

/* A walk ends at a header without magic: what lies behind may be an earlier slab's. */
static int slab_end_walk(const StoreClient *client, OwnSlab *own, uint64_t used) {
    static const uint32_t no_magic = 0;
    if (own->slab.size - used < STORE_HEADER)
        return 0;
    if (used + STORE_HEADER <= own->mapped) {
        slab_header(own, used)->magic = no_magic;
        return 0;
    }
    uint64_t at;
    int fd = slab_file(client, own, &at);
    if (pwrite(fd, &no_magic, sizeof(no_magic), (off_t)(at + used)) != sizeof(no_magic))
        return error_last("write to the object store");
    return 0;
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
    int r = slab_end_walk(client, own, own->used + need);
    if (r < 0)
        return r;
    uint64_t at = own->used;
    own->used += need;
    /* Given back once it is sealed: a large object can be spilled. */
    own->full = own->slab.size - own->used < SLAB_REST || own->mapped < own->slab.size;
    StoreHeader *h = slab_header(own, at);
    atomic_store(&h->state, STORE_WRITING);
    h->size = size;
    h->generation = own->slab.generation;
    h->owner = owner;
    h->id = *id;
    __atomic_store_n(&h->magic, STORE_MAGIC, __ATOMIC_RELEASE);
    own->writing++;
    *ret_block = (StoreBlock){ .offset = own->slab.offset + at,
                               .generation = own->slab.generation,
                               .size = size };
    ret_block->fd = slab_file(client, own, &ret_block->at);
    ret_block->at += at + STORE_HEADER;
    ret_block->data = at + need <= own->mapped ? own->map + at + STORE_HEADER : NULL;
    return 0;
}

static void block_end(StoreClient *client, const StoreBlock *block, StoreState state) {
    for (size_t i = 0; i < client->slabs.len; i++) {
        OwnSlab *own = client->slabs.items[i];
        if (block->offset < own->slab.offset || block->offset >= own->slab.offset + own->slab.size)
            continue;
        StoreHeader *h = slab_header(own, block->offset - own->slab.offset);
        atomic_store_explicit(&h->state, state, memory_order_release);
        own->writing--;
        slab_retire_if_done(client, i);
        return;
    }
}

void store_client_seal(StoreClient *client, const StoreBlock *block) {
    block_end(client, block, STORE_SEALED);
}

void store_client_abort(StoreClient *client, const StoreBlock *block) {
    block_end(client, block, STORE_FREED);
}

size_t store_client_returns(StoreClient *client, StoreReturn *ret_returns, size_t max) {
    size_t n = MIN(max, client->returns.len);
    if (n == 0)
        return 0;
    memcpy(ret_returns, client->returns.items, n * sizeof(StoreReturn));
    client->returns.len -= n;
    memmove(client->returns.items, client->returns.items + n,
            client->returns.len * sizeof(StoreReturn));
    return n;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static const StoreHeader *arena_header(const StoreClient *client, uint64_t offset) {
    if (offset % STORE_ALIGN || offset > client->all_bytes - STORE_HEADER)
        return NULL;
    return (const StoreHeader *)(const void *)(client->arena + offset);
}

/* The state is looked at after the pin is written: see layout.h. The size is read once. */
static bool header_readable(const StoreClient *client, const StoreHeader *h, uint64_t offset,
                            uint64_t generation, const ObjectId *id, uint64_t *ret_size) {
    _Atomic uint32_t *state = (_Atomic uint32_t *)(uintptr_t)&h->state;
    if (atomic_load(state) != STORE_SEALED)
        return false;
    *ret_size = *(const volatile uint64_t *)&h->size;
    return h->magic == STORE_MAGIC && h->generation == generation &&
           memcmp(&h->id, id, sizeof(*id)) == 0 &&
           *ret_size <= client->all_bytes - offset - STORE_HEADER;
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
        uint64_t size = 0;
        uint32_t slot = slot_take(client);
        if (!slot)
            return NULL;
        atomic_store(&client->pins[slot], offset + 1); /* 0 is a free slot */
        if (!header_readable(client, h, offset, generation, id, &size)) {
            slot_give(client, slot);
            return NULL;
        }
        pin = mem_new(Pin);
        *pin = (Pin){ .slot = slot, .size = size, .generation = generation };
        map_put(&client->pinned, &offset, pin);
    } else if (pin->generation != generation) {
        return NULL;
    }
    pin->count++;
    *ret_size = pin->size;
    return (const uint8_t *)h + STORE_HEADER;
}

bool store_client_pins_full(const StoreClient *client) {
    return !client->free_slots.len && client->slots_used == STORE_PINS;
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
