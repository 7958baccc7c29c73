/* SPDX-License-Identifier: Apache-2.0 */
#include "store/server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"

typedef struct Extent { /* free room */
    uint64_t offset, size;
    bool dirty;         /* has pages */
} Extent;

typedef struct Slab {
    StoreSlab slab;
    PeerId process;
    bool open;
} Slab;

typedef struct Process {
    PeerId peer;
    int fd;
    _Atomic uint64_t *pins;
} Process;

struct StoreServer {
    int fd;
    uint64_t bytes, used, generation;
    uint8_t *arena;
    Vec(Extent) room; /* by offset, never two neighbours that touch */
    Vec(Slab) slabs;  /* by offset */
    Vec(Process) processes;
};

int store_server_new(uint64_t bytes, StoreServer **ret_server) {
    bytes = bytes / STORE_SLAB_UNIT * STORE_SLAB_UNIT;
    if (!bytes)
        return error_origin(-EINVAL, "an object store of less than %d bytes", STORE_SLAB_UNIT);
    StoreServer *server = mem_new(StoreServer);
    server->bytes = bytes;
    server->fd = memfd_create("object-store", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *map = MAP_FAILED;
    if (server->fd >= 0 && ftruncate(server->fd, (off_t)bytes) == 0 &&
        fcntl(server->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, server->fd, 0);
    if (map == MAP_FAILED) {
        int r = error_last("make an object store of %llu bytes", (unsigned long long)bytes);
        store_server_free(server);
        return r;
    }
    server->arena = map;
    vec_push(&server->room, (Extent){ 0, bytes, false });
    *ret_server = server;
    return 0;
}

static void process_done(Process *p) {
    munmap(p->pins, STORE_PINS * sizeof(uint64_t));
    fd_close(p->fd);
}

StoreServer *store_server_free(StoreServer *server) {
    if (!server)
        return NULL;
    if (server->arena)
        munmap(server->arena, server->bytes);
    fd_close(server->fd);
    VEC_EACH(p, &server->processes)
        process_done(p);
    vec_done(&server->processes);
    vec_done(&server->room);
    vec_done(&server->slabs);
    mem_free(server);
    return NULL;
}

int store_server_fd(const StoreServer *server) {
    return server->fd;
}

uint64_t store_server_bytes(const StoreServer *server) {
    return server->bytes;
}

uint64_t store_server_used(const StoreServer *server) {
    return server->used;
}

/* ---- room --------------------------------------------------------------------------------- */

/* The smallest that fits; of equals the one with pages, which is faster to write. */
static size_t room_find(const StoreServer *server, uint64_t size) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < server->room.len; i++) {
        const Extent *e = &server->room.items[i];
        if (e->size < size)
            continue;
        if (best == SIZE_MAX || e->size < server->room.items[best].size ||
            (e->size == server->room.items[best].size && e->dirty))
            best = i;
    }
    return best;
}

static void room_insert(StoreServer *server, size_t at, Extent e) {
    vec_push(&server->room, e);
    memmove(&server->room.items[at + 1], &server->room.items[at],
            (server->room.len - 1 - at) * sizeof(Extent));
    server->room.items[at] = e;
}

static void room_add(StoreServer *server, uint64_t offset, uint64_t size) {
    size_t at = 0;
    while (at < server->room.len && server->room.items[at].offset < offset)
        at++;
    room_insert(server, at, (Extent){ offset, size, true });
    Extent *items = server->room.items;
    if (at + 1 < server->room.len && offset + size == items[at + 1].offset) {
        items[at].size += items[at + 1].size;
        vec_remove(&server->room, at + 1);
    }
    if (at > 0 && items[at - 1].offset + items[at - 1].size == offset) {
        items[at - 1].size += items[at].size;
        items[at - 1].dirty = true;
        vec_remove(&server->room, at);
    }
}

int store_server_grant(StoreServer *server, PeerId process, uint64_t size, StoreSlab *ret_slab) {
    if (size > server->bytes)
        return STORE_FULL;
    size = ALIGN_UP(MAX(size, (uint64_t)STORE_SLAB_UNIT), (uint64_t)STORE_SLAB_UNIT);
    size_t i = room_find(server, size);
    if (i == SIZE_MAX)
        return STORE_FULL;
    Extent *e = &server->room.items[i];
    Slab slab = { { e->offset, size, ++server->generation }, process, true };
    e->offset += size;
    e->size -= size;
    if (!e->size)
        vec_remove(&server->room, i);
    server->used += size;
    /* An empty slab's walk ends at once, also when its process dies before the first object. */
    ((StoreHeader *)(void *)(server->arena + slab.slab.offset))->magic = 0;
    size_t at = 0;
    while (at < server->slabs.len && server->slabs.items[at].slab.offset < slab.slab.offset)
        at++;
    vec_push(&server->slabs, slab);
    memmove(&server->slabs.items[at + 1], &server->slabs.items[at],
            (server->slabs.len - 1 - at) * sizeof(Slab));
    server->slabs.items[at] = slab;
    *ret_slab = slab.slab;
    return 0;
}

/* ---- walking a slab --------------------------------------------------------------------------- */

static Slab *slab_at(StoreServer *server, uint64_t offset) {
    size_t lo = 0, hi = server->slabs.len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        Slab *s = &server->slabs.items[mid];
        if (offset < s->slab.offset)
            hi = mid;
        else if (offset >= s->slab.offset + s->slab.size)
            lo = mid + 1;
        else
            return s;
    }
    return NULL;
}

/* The object at *at, which then moves behind it; NULL at the end. Bounds are the slab's, whatever
 * the process wrote. */
static StoreHeader *slab_next(StoreServer *server, const Slab *slab, uint64_t *at) {
    if (*at > slab->slab.size - STORE_HEADER)
        return NULL;
    StoreHeader *h = (StoreHeader *)(void *)(server->arena + slab->slab.offset + *at);
    uint64_t size = h->size;
    if (h->magic != STORE_MAGIC || h->generation != slab->slab.generation ||
        size > slab->slab.size - *at - STORE_HEADER)
        return NULL;
    *at += store_footprint(size);
    return h;
}

static uint64_t header_offset(const StoreServer *server, const StoreHeader *h) {
    return (uint64_t)((const uint8_t *)h - server->arena);
}

static bool is_pinned(const StoreServer *server, uint64_t offset) {
    for (size_t p = 0; p < server->processes.len; p++) {
        const Process *process = &server->processes.items[p];
        for (size_t i = 0; i < STORE_PINS; i++)
            if (atomic_load(&process->pins[i]) == offset + 1)
                return true;
    }
    return false;
}

static void header_free(StoreServer *server, StoreHeader *h) {
    atomic_store(&h->state, STORE_FREEING);
    if (!is_pinned(server, header_offset(server, h)))
        atomic_store(&h->state, STORE_FREED);
}

/* A closed slab in which nothing lives is room again. */
static void slab_reclaim(StoreServer *server, Slab *slab) {
    if (slab->open)
        return;
    uint64_t at = 0;
    StoreHeader *h;
    while ((h = slab_next(server, slab, &at)))
        if (atomic_load(&h->state) != STORE_FREED)
            return;
    StoreSlab gone = slab->slab;
    vec_remove(&server->slabs, (size_t)(slab - server->slabs.items));
    server->used -= gone.size;
    room_add(server, gone.offset, gone.size);
}

static StoreHeader *object_at(StoreServer *server, Slab *slab, uint64_t offset, uint64_t generation,
                              const ObjectId *id) {
    if (!slab || slab->slab.generation != generation || offset % STORE_ALIGN)
        return NULL;
    uint64_t at = offset - slab->slab.offset;
    StoreHeader *h = slab_next(server, slab, &at);
    return h && memcmp(&h->id, id, sizeof(*id)) == 0 ? h : NULL;
}

int store_server_free_object(StoreServer *server, uint64_t offset, uint64_t generation,
                             const ObjectId *id) {
    Slab *slab = slab_at(server, offset);
    StoreHeader *h = object_at(server, slab, offset, generation, id);
    if (!h || atomic_load(&h->state) != STORE_SEALED)
        return STORE_ABSENT;
    header_free(server, h);
    slab_reclaim(server, slab);
    return 0;
}

void store_server_unpinned(StoreServer *server, uint64_t offset) {
    Slab *slab = slab_at(server, offset);
    if (!slab || offset % STORE_ALIGN)
        return;
    uint64_t at = offset - slab->slab.offset;
    StoreHeader *h = slab_next(server, slab, &at);
    if (!h || atomic_load(&h->state) != STORE_FREEING || is_pinned(server, offset))
        return;
    atomic_store(&h->state, STORE_FREED);
    slab_reclaim(server, slab);
}

void store_server_close_slab(StoreServer *server, PeerId process, uint64_t offset) {
    Slab *slab = slab_at(server, offset);
    if (!slab || slab->slab.offset != offset || slab->process != process)
        return;
    slab->open = false;
    slab_reclaim(server, slab);
}

/* ---- processes -------------------------------------------------------------------------------------- */

int store_server_join(StoreServer *server, PeerId peer, int *ret_pins_fd) {
    size_t size = STORE_PINS * sizeof(uint64_t);
    Process p = { .peer = peer, .fd = memfd_create("pins", MFD_CLOEXEC | MFD_ALLOW_SEALING) };
    void *map = MAP_FAILED;
    if (p.fd >= 0 && ftruncate(p.fd, (off_t)size) == 0 &&
        fcntl(p.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        map = mmap(NULL, size, PROT_READ, MAP_SHARED, p.fd, 0);
    if (map == MAP_FAILED) {
        int r = error_last("make a pin table");
        fd_close(p.fd);
        return r;
    }
    p.pins = map;
    vec_push(&server->processes, p);
    *ret_pins_fd = p.fd;
    return 0;
}

/* Frees what `owner` owned; with `dead` also what it was still writing, and its pins' victims. */
static void sweep(StoreServer *server, PeerId owner, bool left) {
    for (size_t i = server->slabs.len; i-- > 0;) {
        Slab *slab = &server->slabs.items[i];
        uint64_t at = 0;
        StoreHeader *h;
        if (left && slab->process == owner)
            slab->open = false;
        while ((h = slab_next(server, slab, &at))) {
            uint32_t state = atomic_load(&h->state);
            bool unfinished = left && slab->process == owner && state == STORE_WRITING;
            bool released = left && state == STORE_FREEING;
            if (unfinished || released || (h->owner == owner && state == STORE_SEALED))
                header_free(server, h);
        }
        slab_reclaim(server, slab);
    }
}

void store_server_leave(StoreServer *server, PeerId peer) {
    for (size_t i = 0; i < server->processes.len; i++) {
        if (server->processes.items[i].peer != peer)
            continue;
        process_done(&server->processes.items[i]);
        vec_remove_swap(&server->processes, i);
        break;
    }
    sweep(server, peer, true);
}

void store_server_owner_dead(StoreServer *server, PeerId owner) {
    sweep(server, owner, false);
}

/* ---- copies from and to other nodes --------------------------------------------------------------------- */

const void *store_server_data(StoreServer *server, uint64_t offset, uint64_t generation,
                              const ObjectId *id, uint64_t *ret_size) {
    StoreHeader *h = object_at(server, slab_at(server, offset), offset, generation, id);
    if (!h || atomic_load(&h->state) != STORE_SEALED)
        return NULL;
    *ret_size = h->size;
    return (const uint8_t *)h + STORE_HEADER;
}

int store_server_copy_begin(StoreServer *server, uint64_t size, const ObjectId *id, PeerId owner,
                            StoreBlock *ret_block) {
    StoreSlab slab;
    uint64_t need = store_footprint(size);
    if (need < size)
        return STORE_FULL;
    int r = store_server_grant(server, 0, need, &slab);
    if (r != 0)
        return r;
    StoreHeader *h = (StoreHeader *)(void *)(server->arena + slab.offset);
    atomic_store(&h->state, STORE_WRITING);
    h->size = size;
    h->generation = slab.generation;
    h->owner = owner;
    h->id = *id;
    if (slab.size - need >= STORE_HEADER)
        ((StoreHeader *)(void *)(server->arena + slab.offset + need))->magic = 0;
    h->magic = STORE_MAGIC;
    slab_at(server, slab.offset)->open = false;
    *ret_block = (StoreBlock){ slab.offset, slab.generation, size,
                               server->arena + slab.offset + STORE_HEADER };
    return 0;
}

void store_server_copy_seal(StoreServer *server, const StoreBlock *block) {
    StoreHeader *h = (StoreHeader *)(void *)(server->arena + block->offset);
    atomic_store_explicit(&h->state, STORE_SEALED, memory_order_release);
}

void store_server_copy_abort(StoreServer *server, const StoreBlock *block) {
    StoreHeader *h = (StoreHeader *)(void *)(server->arena + block->offset);
    atomic_store(&h->state, STORE_FREED);
    slab_reclaim(server, slab_at(server, block->offset));
}

void store_server_trim(StoreServer *server) {
    VEC_EACH(e, &server->room) {
        if (!e->dirty)
            continue;
        if (fallocate(server->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)e->offset,
                      (off_t)e->size) == 0)
            e->dirty = false;
    }
}
