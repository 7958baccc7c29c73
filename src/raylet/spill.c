/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "raylet/objects_private.h"

/*
 * Room in the store. Slabs that were written longest ago and that nobody reads go to disk when more
 * than SPILL_THRESHOLD is in use, one file a slab; copies of other nodes' objects and what is in a
 * file already just go. Who finds no room waits, in order of arrival, until something was spilled
 * or freed; when nothing more can be, it gets its room in the file that continues the arena.
 * Objects are told from each other by their ids only: owners know nothing of all this.
 */

#define SPILL_THRESHOLD 0.8
#define DISK_LIMIT      0.95 /* of the file system: more is not used */
#define FAILED_PAUSE    (5 * USEC_PER_SEC)
#define RECALL_TIME     (1 * USEC_PER_SEC)
#define FOLDER_PREFIX   "ray_spilled_objects_"

enum {
    JOBS_MAX = 2,       /* files written at a time */
    WAITS_MAX = 100000, /* for room; more are refused */
};

static const uint64_t DISK_ARENA_MAX = 256ull << 30;

typedef struct RoomWait {
    List link;
    uint64_t size;
    PeerId process; /* a slab of its own, to be answered; or */
    FrameHeader call;
    Arrival *arrival;
} RoomWait;

struct Spilling {
    List waits;    /* RoomWait */
    size_t waits_len;
    uint32_t jobs; /* files being written */
    uint64_t files, bytes;
    usec_t failed_until;
    LoopTimer *recall; /* processes that were asked for what they keep are waited for until then */
    char *folder;      /* NULL until the first file */
    int folder_fd;
    bool serving;
};

static void on_recall_late(void *ctx) {
    room_serve(ctx);
}

void spilling_init(Raylet *raylet) {
    Spilling *s = raylet->objects->spilling = mem_new(Spilling);
    s->folder_fd = -1;
    list_init(&s->waits);
    s->recall = loop_timer_new(raylet->loop, on_recall_late, raylet);
}

void spilling_done(Raylet *raylet) {
    Spilling *s = raylet->objects->spilling;
    while (!list_empty(&s->waits))
        free(LIST_ITEM(list_pop(&s->waits), RoomWait, link));
    if (s->folder && dir_remove(s->folder) < 0)
        log_warn("spilled objects stay in %s", s->folder);
    loop_timer_free(s->recall);
    fd_close(s->folder_fd);
    free(s->folder);
    free(s);
}

static const char *root_folder(const Raylet *raylet) {
    if (raylet->spill_folder)
        return raylet->spill_folder;
    return raylet->session.dir ? raylet->session.dir : raylet->temp_dir;
}

/* Bytes that may still be written to the folder's file system. */
static uint64_t disk_left(const char *folder) {
    struct statvfs fs;
    if (statvfs(folder, &fs) < 0)
        return 0;
    double keep = (double)fs.f_blocks * (1 - DISK_LIMIT);
    double left = (double)fs.f_bavail - keep;
    return left > 0 ? (uint64_t)left * fs.f_frsize : 0;
}

int spilling_disk(const Raylet *raylet, uint64_t *ret_bytes) {
    const char *folder = root_folder(raylet);
    struct statvfs fs;
    if (dir_make(folder, 0755) < 0 || statvfs(folder, &fs) < 0)
        return -1;
    uint64_t bytes = MIN((uint64_t)fs.f_blocks * fs.f_frsize, DISK_ARENA_MAX);
    bytes = bytes / STORE_SLAB_UNIT * STORE_SLAB_UNIT;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        return fd_close(fd);
    *ret_bytes = bytes;
    return fd;
}

/* ---- files -------------------------------------------------------------------------------- */

static void unlink_run(void *path) {
    unlink(path);
}

static void unlinked(void *path, int r) {
    UNUSED(r);
    free(path);
}

void spill_file_drop(Raylet *raylet, SpillFile *file) {
    if (--file->count)
        return;
    if (raylet)
        loop_work(raylet->loop, unlink_run, unlinked, TAKE(file->path));
    free(file->path);
    free(file);
}

int spill_file_read(const char *path, uint64_t at, void *data, size_t len) {
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_last("open %s", path);
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(fd, (uint8_t *)data + got, len - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_last("read %s", path);
        if (n == 0)
            return error_origin(-EIO, "%s is shorter than what was written to it", path);
        got += (size_t)n;
    }
    return 0;
}

/* A live raylet holds a lock on its folder; what nobody holds was left by one that was killed. */
static int folder_lock(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 ? fd_close(fd) : fd;
}

static void remove_stale(const char *root) {
    DIR *dir = opendir(root);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) != 0)
            continue;
        _cleanup_free_ char *path = str_printf("%s/%s", root, entry->d_name);
        _cleanup_close_ int fd = folder_lock(path);
        if (fd >= 0 && dir_remove(path) < 0)
            log_warn("spilled objects of a dead raylet stay in %s", path);
    }
    if (dir)
        closedir(dir);
}

static int folder_make(Raylet *raylet) {
    Spilling *s = raylet->objects->spilling;
    if (s->folder)
        return 0;
    const char *root = root_folder(raylet);
    remove_stale(root);
    _cleanup_free_ char *folder = str_printf("%s/" FOLDER_PREFIX "%s", root, raylet->id_hex);
    int r = dir_make(folder, 0700);
    if (r < 0)
        return r;
    s->folder_fd = folder_lock(folder);
    s->folder = TAKE(folder);
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct SpillJob {
    Raylet *raylet;
    StoreServer *store; /* held: the arena stays mapped */
    StoreVictim victim; /* only what is not in a file yet */
    char *path;
    int r;
} SpillJob;

static int write_objects(const SpillJob *job) {
    _cleanup_close_ int fd = open(job->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_last("make %s", job->path);
    VEC_EACH(object, &job->victim.objects) {
        int r = fd_write_all(fd, object->data, object->size);
        if (r < 0)
            return r;
    }
    return 0;
}

static void spill_run(void *ctx) {
    SpillJob *job = ctx;
    job->r = write_objects(job);
    if (job->r < 0)
        unlink(job->path);
}

/* It is in the file: its memory goes, unless somebody began to read it, or it was freed. */
static void keep_in_file(Raylet *raylet, const StoreObject *object, SpillFile *file, uint64_t at) {
    Objects *o = raylet->objects;
    int r = store_server_evict(o->store, object);
    if (r == STORE_ABSENT)
        return;
    Place *place = place_get(o, &object->id);
    if (!place)
        place = place_add(o, &object->id, object->owner, object->size);
    place->file = spill_file_hold(file);
    place->file_at = at;
    place->offset = object->offset;
    place->generation = r == STORE_PINNED ? object->generation : 0;
    o->spilling->bytes += object->size;
}

static void spill_failed(Raylet *raylet, int r) {
    Spilling *s = raylet->objects->spilling;
    if (time_mono_now() >= s->failed_until)
        log_warn("objects can't be spilled: %s", error_text(r));
    s->failed_until = time_mono_now() + FAILED_PAUSE;
}

static void spill_end(SpillJob *job) {
    Raylet *raylet = job->raylet;
    Spilling *s = raylet->objects->spilling;
    s->jobs--;
    if (job->r < 0) {
        spill_failed(raylet, job->r);
    } else {
        SpillFile *file = mem_new(SpillFile);
        file->path = TAKE(job->path);
        file->count = 1;
        s->files++;
        uint64_t at = 0;
        VEC_EACH(object, &job->victim.objects) {
            keep_in_file(raylet, object, file, at);
            at += object->size;
        }
        spill_file_drop(raylet, file);
    }
    store_server_victim_end(job->store, &job->victim);
    objects_room_made(raylet);
}

static void spill_done(void *ctx, int r) {
    SpillJob *job = ctx;
    if (r == 0)
        spill_end(job);
    vec_done(&job->victim.objects);
    store_server_free(job->store);
    free(job->path);
    free(job);
}

/* What is elsewhere as well needs no writing. Returns false when nothing else is left. */
static bool evict_places(Raylet *raylet, StoreVictim *victim) {
    Objects *o = raylet->objects;
    size_t kept = 0;
    VEC_EACH(object, &victim->objects) {
        Place *place = place_get(o, &object->id);
        if (!place || place->generation != object->generation) {
            victim->objects.items[kept++] = *object;
            continue;
        }
        if (store_server_evict(o->store, object) == STORE_PINNED)
            continue;
        place->generation = 0;
        if (!place->file)
            place_drop(raylet, place);
    }
    victim->objects.len = kept;
    return kept > 0;
}

typedef enum Progress {
    PROGRESS_NONE,    /* nothing can go */
    PROGRESS_WORKING, /* a file is being written */
    PROGRESS_MADE,    /* something went */
} Progress;

/* The disk takes no more: what is in a file already goes. */
static bool evict_unwritten(Raylet *raylet) {
    StoreServer *store = raylet->objects->store;
    Vec(StoreVictim) victims = { 0 }; /* held, so that each is named once */
    StoreVictim victim;
    bool made = false;
    while (!made && store_server_victim(store, &victim)) {
        made = !evict_places(raylet, &victim);
        vec_push(&victims, victim);
    }
    VEC_EACH(each, &victims)
        store_server_victim_end(store, each);
    vec_done(&victims);
    return made;
}

static Progress make_room(Raylet *raylet) {
    Objects *o = raylet->objects;
    Spilling *s = o->spilling;
    StoreVictim victim;
    if (s->jobs >= JOBS_MAX)
        return PROGRESS_WORKING;
    if (!store_server_victim(o->store, &victim))
        return s->jobs ? PROGRESS_WORKING : PROGRESS_NONE;
    if (!evict_places(raylet, &victim)) {
        store_server_victim_end(o->store, &victim);
        return PROGRESS_MADE;
    }
    bool may = time_mono_now() >= s->failed_until;
    int r = may ? folder_make(raylet) : 0;
    if (may && r == 0 && disk_left(s->folder) < victim.slab.size)
        r = error_origin(-ENOSPC, "the disk of %s is full", s->folder);
    if (r < 0)
        spill_failed(raylet, r);
    if (r < 0 || !may) {
        bool made = evict_unwritten(raylet);
        store_server_victim_end(o->store, &victim);
        return made ? PROGRESS_MADE : s->jobs ? PROGRESS_WORKING : PROGRESS_NONE;
    }
    SpillJob *job = mem_new(SpillJob);
    job->raylet = raylet;
    job->store = store_server_ref(o->store);
    job->victim = victim;
    job->path = str_printf("%s/%" PRIu64, s->folder, victim.slab.generation);
    s->jobs++;
    loop_work(raylet->loop, spill_run, spill_done, job);
    return PROGRESS_WORKING;
}

/* ---- who waits for room ---------------------------------------------------------------------------- */

static void answer_slab(Raylet *raylet, const RoomWait *wait, const StoreSlab *slab) {
    SlabGrant grant = { .offset = slab->offset,
                        .size = slab->size,
                        .generation = slab->generation,
                        .warm = slab->warm };
    _cleanup_buf_ Buf body = { 0 };
    slab_grant_encode(&grant, &body);
    raylet_reply(raylet, &wait->call, MSG_SLAB_GRANT, &body);
}

/* STORE_FULL: not there. */
static int try_room(Raylet *raylet, RoomWait *wait, bool disk) {
    StoreServer *store = raylet->objects->store;
    if (disk && (store_server_disk_fd(store) < 0 || disk_left(root_folder(raylet)) < wait->size))
        return STORE_FULL;
    if (!wait->arrival) {
        StoreSlab slab;
        int r = disk ? store_server_grant_disk(store, wait->process, wait->size, &slab)
                     : store_server_grant(store, wait->process, wait->size, &slab);
        if (r == 0)
            answer_slab(raylet, wait, &slab);
        return r;
    }
    StoreBlock block;
    const ObjectFetch *what = &wait->arrival->what;
    int r = store_server_copy_begin(store, what->size, &what->object, what->owner, disk, &block);
    if (r == 0)
        arrival_placed(wait->arrival, &block);
    return r;
}

static void refuse(Raylet *raylet, RoomWait *wait) {
    if (wait->arrival)
        arrival_placed(wait->arrival, NULL);
    else
        raylet_reply_status(raylet, &wait->call, STATUS_CODE_FULL,
                            "neither the object store nor the disk has room");
}

/* Free room that processes keep for themselves. True: some of it may come. */
static bool recall_room(Raylet *raylet) {
    Objects *o = raylet->objects;
    PeerId process;
    while (store_server_recall(o->store, &process)) {
        SlabRecall m = { 0 };
        _cleanup_buf_ Buf body = { 0 };
        slab_recall_encode(&m, &body);
        raylet_send(raylet, process, MSG_SLAB_RECALL, &body);
        loop_timer_after(o->spilling->recall, RECALL_TIME);
    }
    return store_server_recalling(o->store) && loop_timer_armed(o->spilling->recall);
}

/* False: it has to wait. */
static bool serve_one(Raylet *raylet, RoomWait *wait) {
    for (;;) {
        if (try_room(raylet, wait, false) == 0)
            return true;
        if (recall_room(raylet))
            return false;
        bool fits = wait->size <= store_server_bytes(raylet->objects->store);
        Progress progress = fits ? make_room(raylet) : PROGRESS_NONE;
        if (progress == PROGRESS_WORKING)
            return false;
        if (progress == PROGRESS_NONE)
            break;
    }
    if (try_room(raylet, wait, true) != 0)
        refuse(raylet, wait);
    return true;
}

/* Beyond the threshold room is made before anybody waits for it. */
static void keep_below(Raylet *raylet) {
    StoreServer *store = raylet->objects->store;
    double limit = SPILL_THRESHOLD * (double)store_server_bytes(store);
    while ((double)store_server_used(store) > limit && raylet->objects->spilling->jobs == 0 &&
           make_room(raylet) == PROGRESS_MADE)
        ;
}

void room_serve(Raylet *raylet) {
    Spilling *s = raylet->objects->spilling;
    if (s->serving)
        return; /* whoever got room may give some back at once: the loop below sees it */
    s->serving = true;
    while (!list_empty(&s->waits)) {
        RoomWait *wait = LIST_ITEM(s->waits.next, RoomWait, link);
        list_remove(&wait->link);
        if (!serve_one(raylet, wait)) {
            list_push_front(&s->waits, &wait->link);
            break;
        }
        s->waits_len--;
        free(wait);
    }
    s->serving = false;
    keep_below(raylet);
}

static void wait_add(Raylet *raylet, RoomWait *from) {
    Spilling *s = raylet->objects->spilling;
    if (s->waits_len >= WAITS_MAX) {
        refuse(raylet, from);
        return;
    }
    RoomWait *wait = mem_dup(from, sizeof(*from));
    list_push(&s->waits, &wait->link);
    s->waits_len++;
    room_serve(raylet);
}

void room_for_slab(Raylet *raylet, const Local *local, const FrameHeader *call, uint64_t size) {
    wait_add(raylet, &(RoomWait){ .size = size, .process = local->peer, .call = *call });
}

void room_for_arrival(Raylet *raylet, Arrival *arrival) {
    wait_add(raylet, &(RoomWait){ .size = arrival->what.size, .arrival = arrival });
}

void room_forget(Raylet *raylet, PeerId process) {
    LIST_EACH_SAFE(item, &raylet->objects->spilling->waits) {
        RoomWait *wait = LIST_ITEM(item, RoomWait, link);
        if (wait->arrival || wait->process != process)
            continue;
        list_remove(&wait->link);
        raylet->objects->spilling->waits_len--;
        free(wait);
    }
}
