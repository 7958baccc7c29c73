/* SPDX-License-Identifier: Apache-2.0 */
#include "store/server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"
#include "model/ids.h"
#include "store/room.h"

typedef struct Slab {
    StoreSlab slab;
    PeerId process;
    bool open;
    bool leaving; /* named as a victim */
    bool kept;    /* closed, and mapped for writing by its process still */
} Slab;

/* Free room of memory that a process has mapped for writing: its own to be granted again. */
typedef struct Kept {
    Extent extent;
    PeerId process;
} Kept;

typedef struct Process {
    PeerId peer;
    _Atomic uint64_t *pins;
    bool asked; /* to drop what it keeps */
} Process;

/* The memory, or the file behind it. */
typedef struct Part {
    int fd;
    uint64_t base, bytes, used;
    Room room;
} Part;

struct StoreServer {
    uint32_t count; /* holders */
    Part memory, disk;
    uint64_t generation;
    uint8_t *arena;  /* both parts, one behind the other */
    Vec(Slab) slabs; /* by offset */
    Vec(Kept) kept;
    Vec(Process) processes;
};

static int part_map(StoreServer *server, Part *part) {
    void *map = mmap(server->arena + part->base, part->bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_NORESERVE | MAP_FIXED, part->fd, 0);
    if (map == MAP_FAILED)
        return error_last("make an object store of %llu bytes", (unsigned long long)part->bytes);
    room_init(&part->room, part->base, part->bytes);
    return 0;
}

static int memory_open(Part *part) {
    part->fd = memfd_create("object-store", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (part->fd < 0 || ftruncate(part->fd, (off_t)part->bytes) < 0 ||
        fcntl(part->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_last("make an object store of %llu bytes", (unsigned long long)part->bytes);
    return 0;
}

int store_server_new(uint64_t bytes, int disk_fd, uint64_t disk_bytes, StoreServer **ret_server) {
    bytes = bytes / STORE_SLAB_UNIT * STORE_SLAB_UNIT;
    disk_bytes = disk_fd < 0 ? 0 : disk_bytes;
    StoreServer *server = mem_new(StoreServer);
    server->count = 1;
    server->memory = (Part){ .fd = -1, .bytes = bytes };
    server->disk = (Part){ .fd = disk_fd, .base = bytes, .bytes = disk_bytes };
    int r = 0;
    if (!bytes)
        r = error_origin(-EINVAL, "an object store of less than %d bytes", STORE_SLAB_UNIT);
    else
        r = memory_open(&server->memory);
    if (r == 0) {
        void *map = mmap(NULL, bytes + disk_bytes, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            r = error_last("make an object store of %llu bytes", (unsigned long long)bytes);
        else
            server->arena = map;
    }
    if (r == 0)
        r = part_map(server, &server->memory);
    if (r == 0 && disk_bytes)
        r = part_map(server, &server->disk);
    if (r < 0) {
        store_server_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

static void process_done(Process *p) {
    munmap(p->pins, STORE_PINS * sizeof(uint64_t));
}

StoreServer *store_server_ref(StoreServer *server) {
    server->count++;
    return server;
}

StoreServer *store_server_free(StoreServer *server) {
    if (!server || --server->count)
        return NULL;
    if (server->arena)
        munmap(server->arena, server->memory.bytes + server->disk.bytes);
    fd_close(server->memory.fd);
    fd_close(server->disk.fd);
    VEC_EACH(p, &server->processes)
        process_done(p);
    vec_done(&server->processes);
    room_done(&server->memory.room);
    room_done(&server->disk.room);
    vec_done(&server->kept);
    vec_done(&server->slabs);
    mem_free(server);
    return NULL;
}

int store_server_fd(const StoreServer *server) {
    return server->memory.fd;
}

int store_server_disk_fd(const StoreServer *server) {
    return server->disk.fd;
}

uint64_t store_server_bytes(const StoreServer *server) {
    return server->memory.bytes;
}

uint64_t store_server_disk_bytes(const StoreServer *server) {
    return server->disk.bytes;
}

uint64_t store_server_used(const StoreServer *server) {
    return server->memory.used;
}

uint64_t store_server_disk_used(const StoreServer *server) {
    return server->disk.used;
}

/* ---- granting ----------------------------------------------------------------------------- */

static void slab_insert(StoreServer *server, const Slab *slab) {
    /* An empty slab's walk ends at once, also when its process dies before the first object. */
    ((StoreHeader *)(void *)(server->arena + slab->slab.offset))->magic = 0;
    size_t at = 0;
    while (at < server->slabs.len && server->slabs.items[at].slab.offset < slab->slab.offset)
        at++;
    vec_push(&server->slabs, *slab);
    memmove(&server->slabs.items[at + 1], &server->slabs.items[at],
            (server->slabs.len - 1 - at) * sizeof(Slab));
    server->slabs.items[at] = *slab;
}

/* Disk that is promised must be there: a page of a file that finds none kills who touches it. */
static bool disk_reserve(const Part *part, uint64_t offset, uint64_t size) {
    return fallocate(part->fd, FALLOC_FL_KEEP_SIZE, (off_t)(offset - part->base), (off_t)size) == 0;
}

static void slab_grant(StoreServer *server, PeerId process, StoreSlab *slab) {
    slab->generation = ++server->generation;
    slab_insert(server, &(Slab){ .slab = *slab, .process = process, .open = true });
}

static uint64_t slab_size(uint64_t size) {
    return ALIGN_UP(MAX(size, (uint64_t)STORE_SLAB_UNIT), (uint64_t)STORE_SLAB_UNIT);
}

static int part_grant(StoreServer *server, Part *part, PeerId process, uint64_t size,
                      StoreSlab *ret_slab) {
    if (size > part->bytes)
        return STORE_FULL;
    StoreSlab slab = { .size = slab_size(size) };
    if (!room_take(&part->room, slab.size, &slab.offset, &slab.warm))
        return STORE_FULL;
    if (part == &server->disk && !disk_reserve(part, slab.offset, slab.size)) {
        room_give(&part->room, slab.offset, slab.size);
        return STORE_FULL;
    }
    part->used += slab.size;
    slab_grant(server, process, &slab);
    *ret_slab = slab;
    return 0;
}

static Process *process_find(const StoreServer *server, PeerId peer) {
    VEC_EACH(process, &server->processes)
        if (process->peer == peer)
            return process;
    return NULL;
}

/* Room of that size that the process has mapped already; the last that became free is the warmest. */
static bool kept_grant(StoreServer *server, PeerId process, uint64_t size, StoreSlab *ret_slab) {
    const Process *p = process_find(server, process);
    if (!p || p->asked)
        return false;
    for (size_t i = server->kept.len; i-- > 0;) {
        const Kept *kept = &server->kept.items[i];
        if (kept->process != process || kept->extent.size != size)
            continue;
        StoreSlab slab = { .offset = kept->extent.offset, .size = size };
        slab.warm = room_warm(&server->memory.room, slab.offset, size);
        room_forget_pages(&server->memory.room, slab.offset, size);
        vec_remove(&server->kept, i);
        server->memory.used += size;
        slab_grant(server, process, &slab);
        *ret_slab = slab;
        return true;
    }
    return false;
}

int store_server_grant(StoreServer *server, PeerId process, uint64_t size, StoreSlab *ret_slab) {
    if (size <= server->memory.bytes && kept_grant(server, process, slab_size(size), ret_slab))
        return 0;
    return part_grant(server, &server->memory, process, size, ret_slab);
}

int store_server_grant_disk(StoreServer *server, PeerId process, uint64_t size,
                            StoreSlab *ret_slab) {
    return part_grant(server, &server->disk, process, size, ret_slab);
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
 * the process wrote: its size is read once. */
static StoreHeader *slab_next(StoreServer *server, const Slab *slab, uint64_t *at,
                              uint64_t *ret_size) {
    if (*at > slab->slab.size - STORE_HEADER)
        return NULL;
    StoreHeader *h = (StoreHeader *)(void *)(server->arena + slab->slab.offset + *at);
    uint64_t size = *(volatile uint64_t *)&h->size;
    if (h->magic != STORE_MAGIC || h->generation != slab->slab.generation ||
        size > slab->slab.size - *at - STORE_HEADER)
        return NULL;
    *at += store_footprint(size);
    *ret_size = size;
    return h;
}

static uint64_t header_offset(const StoreServer *server, const StoreHeader *h) {
    return (uint64_t)((const uint8_t *)h - server->arena);
}

/* The number of slots that the process may have used, whatever it wrote there. */
static size_t pins_len(const Process *process) {
    size_t len = atomic_load(&process->pins[0]); /* once: it may change meanwhile */
    return MIN(len, (size_t)STORE_PINS);
}

static bool is_pinned(const StoreServer *server, uint64_t offset) {
    VEC_EACH(process, &server->processes) {
        size_t len = pins_len(process);
        for (size_t i = 1; i < len; i++)
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

static void part_punch(const Part *part, Extent e) {
    /* A file system that can't keeps the room; it is written again later. */
    (void)!fallocate(part->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(e.offset - part->base), (off_t)e.size);
}

/* A closed slab in which nothing lives is room again. */
static void slab_reclaim(StoreServer *server, Slab *slab) {
    if (slab->open)
        return;
    uint64_t at = 0, size;
    StoreHeader *h;
    while ((h = slab_next(server, slab, &at, &size)))
        if (atomic_load(&h->state) != STORE_FREED)
            return;
    Slab gone = *slab;
    Extent extent = { gone.slab.offset, gone.slab.size };
    Part *part = extent.offset >= server->disk.base ? &server->disk : &server->memory;
    vec_remove(&server->slabs, (size_t)(slab - server->slabs.items));
    part->used -= extent.size;
    if (gone.kept)
        vec_push(&server->kept, (Kept){ extent, gone.process });
    else
        room_give(&part->room, extent.offset, extent.size);
    if (part == &server->disk) /* what nobody reads any more need not be written */
        part_punch(part, extent);
    else
        room_used(&part->room, extent.offset, extent.size);
}

static StoreHeader *object_at(StoreServer *server, Slab *slab, uint64_t offset, uint64_t generation,
                              const ObjectId *id, uint64_t *ret_size) {
    if (!slab || slab->slab.generation != generation || offset % STORE_ALIGN)
        return NULL;
    uint64_t at = offset - slab->slab.offset;
    StoreHeader *h = slab_next(server, slab, &at, ret_size);
    return h && memcmp(&h->id, id, sizeof(*id)) == 0 ? h : NULL;
}

int store_server_free_object(StoreServer *server, uint64_t offset, uint64_t generation,
                             const ObjectId *id) {
    Slab *slab = slab_at(server, offset);
    uint64_t size;
    StoreHeader *h = object_at(server, slab, offset, generation, id, &size);
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
    uint64_t at = offset - slab->slab.offset, size;
    StoreHeader *h = slab_next(server, slab, &at, &size);
    if (!h || atomic_load(&h->state) != STORE_FREEING || is_pinned(server, offset))
        return;
    atomic_store(&h->state, STORE_FREED);
    slab_reclaim(server, slab);
}

void store_server_close_slab(StoreServer *server, PeerId process, uint64_t offset, bool kept) {
    Slab *slab = slab_at(server, offset);
    if (!slab || slab->slab.offset != offset || slab->process != process || !slab->open)
        return;
    slab->open = false;
    slab->kept = kept && offset < server->disk.base && process_find(server, process);
    slab_reclaim(server, slab);
}

/* ---- what processes keep ----------------------------------------------------------------------- */

bool store_server_recall(StoreServer *server, PeerId *ret_process) {
    VEC_EACH(kept, &server->kept) {
        Process *process = process_find(server, kept->process);
        if (process->asked)
            continue;
        process->asked = true;
        *ret_process = process->peer;
        return true;
    }
    return false;
}

bool store_server_recalling(const StoreServer *server) {
    VEC_EACH(process, &server->processes)
        if (process->asked)
            return true;
    return false;
}

void store_server_dropped(StoreServer *server, PeerId process, uint64_t offset, bool all) {
    VEC_EACH(slab, &server->slabs)
        if (slab->process == process && (all || slab->slab.offset == offset))
            slab->kept = false;
    for (size_t i = server->kept.len; i-- > 0;) {
        Kept kept = server->kept.items[i];
        if (kept.process != process || (!all && kept.extent.offset != offset))
            continue;
        vec_remove(&server->kept, i);
        room_give(&server->memory.room, kept.extent.offset, kept.extent.size);
    }
    Process *p = process_find(server, process);
    if (p && all)
        p->asked = false;
}

/* ---- processes -------------------------------------------------------------------------------------- */

int store_server_join(StoreServer *server, PeerId peer, int *ret_pins_fd) {
    size_t size = STORE_PINS * sizeof(uint64_t);
    _cleanup_close_ int fd = memfd_create("pins", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return error_last("make a pin table");
    vec_push(&server->processes, ((Process){ .peer = peer, .pins = map }));
    *ret_pins_fd = fd;
    fd = -1;
    return 0;
}

/* Frees what `owner` owned; with `dead` also what it was still writing, and its pins' victims. */
static void sweep(StoreServer *server, PeerId owner, bool left) {
    for (size_t i = server->slabs.len; i-- > 0;) {
        Slab *slab = &server->slabs.items[i];
        uint64_t at = 0, size;
        StoreHeader *h;
        if (left && slab->process == owner)
            slab->open = false;
        while ((h = slab_next(server, slab, &at, &size))) {
            uint32_t state = atomic_load(&h->state);
            bool unfinished = left && slab->process == owner && state == STORE_WRITING;
            bool released = left && state == STORE_FREEING;
            if (unfinished || released ||
                (peer_died_with(h->owner, owner) && state == STORE_SEALED))
                header_free(server, h);
        }
        slab_reclaim(server, slab);
    }
}

void store_server_leave(StoreServer *server, PeerId peer) {
    store_server_dropped(server, peer, 0, true);
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
    StoreHeader *h = object_at(server, slab_at(server, offset), offset, generation, id, ret_size);
    if (!h || atomic_load(&h->state) != STORE_SEALED)
        return NULL;
    return (const uint8_t *)h + STORE_HEADER;
}

PeerId store_server_owner(const void *data) {
    return ((const StoreHeader *)(const void *)((const uint8_t *)data - STORE_HEADER))->owner;
}

int store_server_copy_begin(StoreServer *server, uint64_t size, const ObjectId *id, PeerId owner,
                            bool disk, StoreBlock *ret_block) {
    StoreSlab slab;
    uint64_t need = store_footprint(size);
    if (need < size)
        return STORE_FULL;
    int r = part_grant(server, disk ? &server->disk : &server->memory, 0, need, &slab);
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
    const Part *part = disk ? &server->disk : &server->memory;
    *ret_block = (StoreBlock){ .offset = slab.offset,
                               .generation = slab.generation,
                               .size = size,
                               .data = server->arena + slab.offset + STORE_HEADER,
                               .fd = part->fd,
                               .at = slab.offset - part->base + STORE_HEADER };
    return 0;
}

/* The slab is ours until here: it stays open, so no sweep can have taken it. */
static void copy_end(StoreServer *server, const StoreBlock *block, StoreState state) {
    StoreHeader *h = (StoreHeader *)(void *)(server->arena + block->offset);
    Slab *slab = slab_at(server, block->offset);
    atomic_store_explicit(&h->state, state, memory_order_release);
    slab->open = false;
    slab_reclaim(server, slab);
}

void store_server_copy_seal(StoreServer *server, const StoreBlock *block) {
    copy_end(server, block, STORE_SEALED);
}

void store_server_copy_abort(StoreServer *server, const StoreBlock *block) {
    copy_end(server, block, STORE_FREED);
}

bool store_server_trim(StoreServer *server) {
    Room *room = &server->memory.room;
    Extent old;
    for (uint64_t at = room->base; room_next_old(room, &at, &old);) {
        part_punch(&server->memory, old);
        room_forget_pages(room, old.offset, old.size);
    }
    return room_age(room);
}

/* ---- making room ------------------------------------------------------------------------------------- */

static int compare_offsets(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

typedef Vec(uint64_t) Offsets;

/* What is read in any process now, in order. */
static Offsets pinned_offsets(const StoreServer *server) {
    Offsets all = { 0 };
    VEC_EACH(process, &server->processes) {
        size_t len = pins_len(process);
        for (size_t i = 1; i < len; i++) {
            uint64_t pin = atomic_load(&process->pins[i]);
            if (pin)
                vec_push(&all, pin - 1);
        }
    }
    if (all.len)
        qsort(all.items, all.len, sizeof(uint64_t), compare_offsets);
    return all;
}

static bool any_in(const Offsets *sorted, uint64_t from, uint64_t to) {
    size_t lo = 0, hi = sorted->len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (sorted->items[mid] < from)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < sorted->len && sorted->items[lo] < to;
}

/* Closed, in memory, all of it written, none of it read. */
static bool slab_evictable(StoreServer *server, const Slab *slab, const Offsets *pinned) {
    if (slab->open || slab->leaving || slab->slab.offset >= server->disk.base ||
        any_in(pinned, slab->slab.offset, slab->slab.offset + slab->slab.size))
        return false;
    uint64_t at = 0, size;
    StoreHeader *h;
    while ((h = slab_next(server, slab, &at, &size))) {
        uint32_t state = atomic_load(&h->state);
        if (state != STORE_SEALED && state != STORE_FREED)
            return false;
    }
    return true;
}

bool store_server_victim(StoreServer *server, StoreVictim *ret_victim) {
    Offsets pinned = pinned_offsets(server);
    Slab *oldest = NULL;
    VEC_EACH(slab, &server->slabs) {
        if ((!oldest || slab->slab.generation < oldest->slab.generation) &&
            slab_evictable(server, slab, &pinned))
            oldest = slab;
    }
    vec_done(&pinned);
    if (!oldest)
        return false;
    oldest->leaving = true;
    *ret_victim = (StoreVictim){ .slab = oldest->slab };
    uint64_t at = 0, size;
    StoreHeader *h;
    while ((h = slab_next(server, oldest, &at, &size))) {
        if (atomic_load(&h->state) != STORE_SEALED)
            continue;
        StoreObject object = { h->id,
                               h->owner,
                               header_offset(server, h),
                               oldest->slab.generation,
                               size,
                               (const uint8_t *)h + STORE_HEADER };
        vec_push(&ret_victim->objects, object);
    }
    return true;
}

void store_server_victim_end(StoreServer *server, StoreVictim *victim) {
    Slab *slab = slab_at(server, victim->slab.offset);
    if (slab && slab->slab.generation == victim->slab.generation)
        slab->leaving = false;
    vec_done(&victim->objects);
}

int store_server_evict(StoreServer *server, const StoreObject *object) {
    Slab *slab = slab_at(server, object->offset);
    uint64_t size;
    StoreHeader *h =
        object_at(server, slab, object->offset, object->generation, &object->id, &size);
    if (!h || atomic_load(&h->state) != STORE_SEALED)
        return STORE_ABSENT;
    atomic_store(&h->state, STORE_FREEING);
    if (is_pinned(server, object->offset)) {
        /* Whoever looked in between asks the raylet, and finds it here. */
        atomic_store(&h->state, STORE_SEALED);
        return STORE_PINNED;
    }
    atomic_store(&h->state, STORE_FREED);
    slab_reclaim(server, slab);
    return 0;
}
