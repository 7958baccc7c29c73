/* SPDX-License-Identifier: Apache-2.0 */
#include "env/lock.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/vec.h"
#include "env/deadline.h"

#define POLL_PERIOD (50 * USEC_PER_MSEC)

static void pause_briefly(void) {
    struct timespec period = { 0, POLL_PERIOD * 1000 };
    nanosleep(&period, NULL);
}

static int open_lock(const char *lock_path, int *ret_fd) {
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_last("open %s", lock_path);
    *ret_fd = fd;
    return 0;
}

/* A build can take minutes and flock has no deadline, so it is asked again and again. */
static int lock_patiently(int fd, const char *path, usec_t deadline) {
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_last("lock %s", path);
        if (access(path, F_OK) == 0)
            return 0; /* the builder is done; the caller takes a shared lock */
        if (time_left(deadline) == 0)
            return error_origin(-ETIMEDOUT, "%s: another process is still building it", path);
        pause_briefly();
    }
    return 0;
}

static int share_if_there(int fd, const char *path) {
    if (flock(fd, LOCK_SH) < 0)
        return error_last("lock %s", path);
    return access(path, F_OK) == 0 ? 0 : CACHE_ABSENT;
}

int cache_lock(const char *path, usec_t deadline, CacheLock *ret_lock) {
    _cleanup_free_ char *lock_path = str_printf("%s.lock", path);
    _cleanup_close_ int fd = -1;
    int r = open_lock(lock_path, &fd);
    while (r == 0) {
        if (access(path, F_OK) == 0) {
            r = share_if_there(fd, path);
            if (r != CACHE_ABSENT)
                break;
        }
        r = lock_patiently(fd, path, deadline);
        if (r == 0 && access(path, F_OK) < 0) {
            r = CACHE_ABSENT;
            break;
        }
    }
    if (r < 0)
        return r;
    futimens(fd, NULL); /* the sweep's order of use */
    *ret_lock = (CacheLock){ str_dup(path), fd };
    fd = -1;
    return r;
}

int cache_lock_share(CacheLock *lock) {
    return share_if_there(lock->fd, lock->path) == 0
               ? 0
               : error_origin(-ENOENT, "%s was removed while it was built", lock->path);
}

int cache_lock_take(CacheLock *lock) {
    int fd = lock->fd;
    lock->fd = -1;
    return fd;
}

void cache_lock_done(CacheLock *lock) {
    lock->fd = fd_close(lock->fd);
    lock->path = mem_free(lock->path);
}

int cache_hold(const char *lock_path, int *ret_fd) {
    _cleanup_free_ char *path = str_dup(lock_path);
    _cleanup_close_ int fd = -1;
    if (!str_ends(path, ".lock"))
        return error_origin(-EINVAL, "%s is no lock of the cache", lock_path);
    path[strlen(path) - strlen(".lock")] = 0;
    int r = open_lock(lock_path, &fd);
    if (r == 0)
        r = share_if_there(fd, path);
    if (r != 0)
        return r < 0 ? r : error_origin(-ENOENT, "%s is not in the cache any more", path);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* -------------------------------------------------------------------------------- sweep */

uint64_t tree_bytes(const char *path) {
    char *roots[] = { (char *)(uintptr_t)path, NULL };
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    uint64_t sum = 0;
    if (!tree)
        return 0;
    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info == FTS_F)
            sum += (uint64_t)entry->fts_statp->st_blocks * 512;
    fts_close(tree);
    return sum;
}

typedef struct Entry {
    char *path;
    uint64_t bytes;
    int64_t used; /* seconds */
} Entry;

typedef Vec(Entry) EntryList;

static void entries_done(EntryList *list) {
    VEC_EACH(entry, list)
        free(entry->path);
    vec_done(list);
}

static int older_first(const void *a, const void *b) {
    const Entry *left = a, *right = b;
    return left->used < right->used ? -1 : left->used > right->used;
}

/* Removes if nobody holds it; says whether it did. It loses its name first, so that nobody finds
 * the half of it. */
static bool remove_unheld(const char *path) {
    _cleanup_free_ char *lock_path = str_printf("%s.lock", path);
    _cleanup_free_ char *aside = str_printf("%s.building", path);
    _cleanup_close_ int fd = -1;
    if (open_lock(lock_path, &fd) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    if (dir_remove(aside) < 0)
        return false;
    return rename(path, aside) == 0 ? dir_remove(aside) == 0 : errno == ENOENT;
}

static void consider(const char *folder, const char *name, EntryList *list) {
    _cleanup_free_ char *path = str_printf("%s/%s", folder, name);
    _cleanup_free_ char *lock_path = str_printf("%s.lock", path);
    struct stat st;
    if (str_ends(name, ".building")) {
        path[strlen(path) - strlen(".building")] = 0;
        _cleanup_close_ int fd = -1;
        if (access(path, F_OK) < 0)
            remove_unheld(path);
        return;
    }
    if (stat(lock_path, &st) < 0)
        return; /* a lock itself, or nothing of ours */
    Entry entry = { NULL, tree_bytes(path), st.st_mtim.tv_sec };
    entry.path = TAKE(path);
    vec_push(list, entry);
}

int cache_sweep(const char *folder, uint64_t max_bytes) {
    _cleanup_(entries_done) EntryList list = { 0 };
    uint64_t sum = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? 0 : error_last("read directory %s", folder);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            consider(folder, entry->d_name, &list);
    closedir(dir);
    if (list.len > 0)
        qsort(list.items, list.len, sizeof(Entry), older_first);
    VEC_EACH(entry, &list)
        sum += entry->bytes;
    VEC_EACH(entry, &list) {
        if (sum <= max_bytes)
            break;
        if (remove_unheld(entry->path))
            sum -= entry->bytes;
    }
    return 0;
}
