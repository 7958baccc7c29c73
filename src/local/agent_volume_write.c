/* SPDX-License-Identifier: Apache-2.0 */

/* Volumes whose content is replaced as a whole, in one step. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "local/agent_volume.h"

void volume_files_done(VolumeFiles *files) {
    VEC_EACH(file, files) {
        mem_free(file->path);
        mem_free(file->data);
    }
    vec_done(files);
}

/* Whether `path` stays below the folder it is joined to. */
static bool path_inside(const char *path) {
    if (!*path || *path == '/')
        return false;
    for (const char *at = path; at;) {
        if (strncmp(at, "..", 2) == 0 && (!at[2] || at[2] == '/'))
            return false;
        at = strchr(at, '/');
        at = at ? at + 1 : NULL;
    }
    return true;
}

static int write_file(const char *dir, const VolumeFile *file, int64_t gid) {
    _cleanup_free_ char *path = str_printf("%s/%s", dir, file->path);
    char *slash = strrchr(path, '/');
    *slash = 0;
    int r = dir_make(path, 0755);
    *slash = '/';
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_last("create %s", path);
    r = fd_write_all(fd, file->data, file->len);
    if (r < 0)
        return error_context(r, "%s", path);
    if (gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)gid) < 0)
        return error_last("give %s to group %lld", path, (long long)gid);
    return fchmod(fd, file->mode) < 0 ? error_last("chmod %s", path) : 0;
}

static bool file_same(const char *dir, const VolumeFile *file) {
    _cleanup_free_ char *path = str_printf("%s/..data/%s", dir, file->path);
    _cleanup_buf_ Buf text = { 0 };
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & 0777) == file->mode &&
           (size_t)st.st_size == file->len && file_read(path, file->len, &text) == 0 &&
           slice_eq(buf_slice(&text), (Slice){ file->data, file->len });
}

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

static bool is_top(const VolumeFiles *files, const char *name) {
    size_t len = strlen(name);
    VEC_EACH(file, files)
        if (strncmp(file->path, name, len) == 0 && (file->path[len] == '/' || !file->path[len]))
            return true;
    return false;
}

/* Whether what is visible is `files` and nothing else, with the same bytes. */
static bool all_same(const char *dir, const VolumeFiles *files) {
    _cleanup_(closedir_p) DIR *handle = opendir(dir);
    if (!handle)
        return false;
    bool data = false;
    for (struct dirent *entry; (entry = readdir(handle));) {
        data |= str_eq(entry->d_name, "..data");
        if (strncmp(entry->d_name, "..", 2) != 0 && !str_eq(entry->d_name, ".") &&
            !is_top(files, entry->d_name))
            return false;
    }
    VEC_EACH(file, files)
        if (!file_same(dir, file))
            return false;
    return data;
}

static int link_replace(const char *dir, const char *name, const char *target) {
    _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
    _cleanup_free_ char *beside = str_printf("%s/..%s_tmp", dir, name);
    unlink(beside);
    if (symlink(target, beside) < 0 || rename(beside, path) < 0)
        return error_last("link %s", path);
    return 0;
}

static int link_tops(const char *dir, const VolumeFiles *files) {
    VEC_EACH(file, files) {
        _cleanup_free_ char *top = str_dup_slice((Slice){ file->path, strcspn(file->path, "/") });
        _cleanup_free_ char *target = str_printf("..data/%s", top);
        _cleanup_free_ char *path = str_printf("%s/%s", dir, top);
        struct stat st;
        int r = lstat(path, &st) == 0 ? 0 : link_replace(dir, top, target);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Names that went away, and the folders of former contents. */
static void sweep(const char *dir, const VolumeFiles *files, const char *current) {
    _cleanup_(closedir_p) DIR *handle = opendir(dir);
    if (!handle)
        return;
    for (struct dirent *entry; (entry = readdir(handle));) {
        const char *name = entry->d_name;
        _cleanup_free_ char *path = str_printf("%s/%s", dir, name);
        bool old = strncmp(name, "..2", 3) == 0 && !str_eq(name, current);
        if (old)
            (void)!dir_remove(path);
        else if (name[0] != '.' && !is_top(files, name))
            unlink(path);
    }
}

int volume_write(const char *dir, const VolumeFiles *files, int64_t gid) {
    VEC_EACH(file, files)
        if (!path_inside(file->path))
            return error_origin(-EINVAL, "volume: invalid path %s", file->path);
    if (all_same(dir, files))
        return 0;
    int r = dir_make(dir, 0755);
    char stamp[64];
    snprintf(stamp, sizeof(stamp), "..2%018lld", (long long)time_wall_now());
    _cleanup_free_ char *data = str_printf("%s/%s", dir, stamp);
    if (r == 0)
        r = dir_make(data, 0755);
    VEC_EACH(file, files)
        if (r == 0)
            r = write_file(data, file, gid);
    if (r == 0)
        r = link_replace(dir, "..data", stamp);
    if (r == 0)
        r = link_tops(dir, files);
    if (r == 0)
        sweep(dir, files, stamp);
    else
        (void)!dir_remove(data);
    return r;
}
