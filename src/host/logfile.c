/* SPDX-License-Identifier: Apache-2.0 */
#include "host/logfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"

static int open_append(const char *path, int *ret_fd, uint64_t *ret_size) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_last("open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int r = error_last("stat %s", path);
        fd_close(fd);
        return r;
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

/* PATH.1 -> PATH.2 ... ; the last one falls off. Leaves PATH.1 free. */
static void shift_old(const char *path, unsigned max_files) {
    for (unsigned i = max_files - 1; i >= 1; i--) {
        _cleanup_free_ char *from = str_printf("%s.%u", path, i);
        if (i == max_files - 1) {
            unlink(from);
            continue;
        }
        _cleanup_free_ char *to = str_printf("%s.%u", path, i + 1);
        rename(from, to); /* a gap in the row is fine */
    }
}

int logfile_open(const char *path, uint64_t max_size, unsigned max_files, LogFile *ret_file) {
    ASSERT(max_files >= 1);
    LogFile file = { .max_size = max_size, .max_files = max_files };
    int r = open_append(path, &file.fd, &file.size);
    if (r < 0)
        return r;
    file.path = str_dup(path);
    *ret_file = file;
    return 0;
}

static int rotate(LogFile *file) {
    if (file->max_files == 1) {
        if (ftruncate(file->fd, 0) < 0)
            return error_last("empty %s", file->path);
        file->size = 0;
        return 0;
    }
    shift_old(file->path, file->max_files);
    _cleanup_free_ char *first = str_printf("%s.1", file->path);
    if (rename(file->path, first) < 0 && errno != ENOENT)
        return error_last("rename %s", file->path);
    int fd = -1;
    int r = open_append(file->path, &fd, &file->size);
    if (r < 0)
        return r;
    fd_close(file->fd);
    file->fd = fd;
    return 0;
}

int logfile_write(LogFile *file, const void *data, size_t len) {
    if (file->max_size && file->size && file->size + len > file->max_size) {
        int r = rotate(file);
        if (r < 0)
            return r;
    }
    int r = fd_write_all(file->fd, data, len);
    if (r < 0)
        return error_context(r, "%s", file->path);
    file->size += len;
    return 0;
}

void logfile_done(LogFile *file) {
    if (file->path)
        fd_close(file->fd);
    mem_free(file->path);
    *file = (LogFile){ .fd = -1 };
}

int logfile_open_for_child(const char *path, int *ret_fd) {
    uint64_t size;
    return open_append(path, ret_fd, &size);
}

static int copy_bytes(int from, int to, uint64_t len) {
    for (uint64_t left = len; left;) {
        ssize_t n = sendfile(to, from, NULL, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_last("copy a log file");
        if (n == 0)
            break;
        left -= (uint64_t)n;
    }
    return 0;
}

int logfile_trim(const char *path, uint64_t max_size, unsigned max_files) {
    ASSERT(max_files >= 1);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_last("open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_last("stat %s", path);
    if ((uint64_t)st.st_size <= max_size)
        return 0;
    if (max_files > 1) {
        shift_old(path, max_files);
        _cleanup_free_ char *first = str_printf("%s.1", path);
        _cleanup_close_ int to = open(first, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (to < 0)
            return error_last("create %s", first);
        int r = copy_bytes(fd, to, (uint64_t)st.st_size);
        if (r < 0)
            return r;
    }
    if (ftruncate(fd, 0) < 0)
        return error_last("empty %s", path);
    return 1;
}
