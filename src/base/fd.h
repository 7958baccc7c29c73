/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* File descriptors and whole files. Every fd is CLOEXEC from birth. */

#include "base/base.h"
#include "base/str.h"

/* Closes if >= 0; returns -1. Keeps errno. */
int fd_close(int fd);
static inline void fd_closep(int *fd) {
    *fd = fd_close(*fd);
}
#define _cleanup_close_ _cleanup_(fd_closep)

_must_check_ int fd_set_nonblock(int fd);
/* Writes all of it to a blocking fd. */
_must_check_ int fd_write_all(int fd, const void *data, size_t len);
/* Reads a whole file of at most `max` bytes into `out` (appended). -EFBIG beyond. */
_must_check_ int file_read(const char *path, size_t max, Buf *out);
/* Writes a new file beside and renames it over `path`, so a reader sees old or new, never half. */
_must_check_ int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode);
/* mkdir -p; parents get 0755, the last one `mode` (less the umask); what is there stays as it is.
 * -ENOTDIR where a file is in the way. */
_must_check_ int dir_make(const char *path, unsigned mode);
/* rm -rf, however deep, without following symbolic links or crossing file systems; a missing path is done. */
_must_check_ int dir_remove(const char *path);
