/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/vec.h"

/*
 * Removing a tree of any depth and width with two descriptors and no path: one folder is open at a
 * time, its children are named relative to it, and the way up is "..", taken only if it is the folder
 * that we came from (somebody may move what we are in). What is removed is not seen again, so a
 * folder is simply read from its beginning whenever we are back in it.
 */

typedef struct Place {
    dev_t device;
    ino_t inode;
} Place;

typedef struct Removal {
    const char *path; /* for sentences */
    int here;
    Vec(Place) above; /* the folders between the top and here */
    Place now;
} Removal;

static int place_of(int fd, Place *ret_place) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    *ret_place = (Place){ st.st_dev, st.st_ino };
    return 0;
}

static int open_folder(int at, const char *name) {
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* 0: it is gone; 1: a folder with something in it. */
static int remove_child(const Removal *removal, const struct dirent *entry) {
    if (entry->d_type != DT_DIR && unlinkat(removal->here, entry->d_name, 0) == 0)
        return 0;
    if (entry->d_type == DT_DIR || errno == EISDIR || errno == EPERM) {
        if (unlinkat(removal->here, entry->d_name, AT_REMOVEDIR) == 0)
            return 0;
        if (errno == ENOTEMPTY || errno == EEXIST)
            return 1;
    }
    if (errno == ENOENT)
        return 0;
    return error_last("remove %s: %s", removal->path, entry->d_name);
}

static void here_take(Removal *removal, int *folder) {
    fd_close(removal->here);
    removal->here = *folder;
    *folder = -1;
}

static int go_down(Removal *removal, const char *name) {
    Place place = { 0 };
    _cleanup_close_ int down = open_folder(removal->here, name);
    if (down < 0)
        return error_last("remove %s: %s", removal->path, name);
    int r = place_of(down, &place);
    if (r == 0 && place.device != removal->now.device)
        r = error_origin(-EXDEV, "remove %s: %s is another file system", removal->path, name);
    if (r < 0)
        return r;
    vec_push(&removal->above, removal->now);
    removal->now = place;
    here_take(removal, &down);
    return 0;
}

static int go_up(Removal *removal) {
    Place place = { 0 }, wanted = removal->above.items[--removal->above.len];
    _cleanup_close_ int up = open_folder(removal->here, "..");
    if (up < 0 || place_of(up, &place) < 0)
        return error_last("remove %s: ..", removal->path);
    if (place.device != wanted.device || place.inode != wanted.inode)
        return error_origin(-EBUSY, "remove %s: a folder in it was moved meanwhile", removal->path);
    removal->now = place;
    here_take(removal, &up);
    return 0;
}

/* Empties the open folder. 1: it is now in a child that must be emptied first. */
static int empty_here(Removal *removal) {
    int copy = open_folder(removal->here, "."), r = 0;
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    if (!folder) {
        r = error_last("remove %s", removal->path);
        fd_close(copy);
        return r;
    }
    for (struct dirent *entry; r == 0 && (entry = readdir(folder));) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
            continue;
        r = remove_child(removal, entry);
        if (r > 0) {
            r = go_down(removal, entry->d_name);
            r = r == 0 ? 1 : r;
        }
    }
    closedir(folder);
    return r;
}

int dir_remove(const char *path) {
    if (rmdir(path) == 0 || errno == ENOENT || (errno == ENOTDIR && unlink(path) == 0))
        return 0;
    Removal removal = { .path = path, .here = open_folder(AT_FDCWD, path) };
    if (removal.here < 0)
        return error_last("remove %s", path);
    int r = place_of(removal.here, &removal.now);
    while (r >= 0) {
        r = empty_here(&removal);
        if (r == 0 && removal.above.len == 0)
            break;
        if (r == 0)
            r = go_up(&removal);
    }
    fd_close(removal.here);
    vec_done(&removal.above);
    if (r == 0 && rmdir(path) < 0 && errno != ENOENT)
        r = error_last("remove %s", path);
    return r;
}
