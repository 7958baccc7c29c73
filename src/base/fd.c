/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

int fd_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return -1;
}

int fd_set_nonblock(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_last("make fd %d non-blocking", fd);
    return 0;
}

int fd_write_all(int fd, const void *data, size_t len) {
    const char *at = data;
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_last("write");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_read(const char *path, size_t max, Buf *out) {
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_last("open %s", path);
    size_t start = out->len;
    for (;;) {
        size_t room = MIN((size_t)65536, max - (out->len - start) + 1);
        char *at = buf_reserve(out, room);
        ssize_t n = read(fd, at, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_last("read %s", path);
        out->len += (size_t)n;
        out->data[out->len] = 0;
        if (n == 0)
            return 0;
        if (out->len - start > max)
            return error_origin(-EFBIG, "%s is larger than %zu bytes", path, max);
    }
}

int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode) {
    _cleanup_free_ char *beside = str_printf("%s.XXXXXX", path);
    _cleanup_close_ int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return error_last("create %s", beside);
    int r = fd_write_all(fd, data, len);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = error_last("chmod %s", beside);
    if (r == 0 && fsync(fd) < 0)
        r = error_last("fsync %s", beside);
    if (r == 0 && rename(beside, path) < 0)
        r = error_last("rename %s to %s", beside, path);
    if (r < 0)
        unlink(beside);
    return r;
}

int dir_make(const char *path, unsigned mode) {
    _cleanup_free_ char *copy = str_dup(path);
    for (char *at = copy + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return error_last("mkdir %s", copy);
        *at = '/';
    }
    struct stat st;
    if (mkdir(copy, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return error_last("mkdir %s", copy);
    if (stat(copy, &st) < 0)
        return error_last("look at %s", copy);
    return S_ISDIR(st.st_mode) ? 0 : error_origin(-ENOTDIR, "mkdir %s: it is no folder", copy);
}
