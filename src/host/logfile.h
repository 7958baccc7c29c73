/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log files that cannot grow without bound. A file that would pass `max_size` is renamed to
 * PATH.1, PATH.1 to PATH.2 and so on; what would become PATH.`max_files` is removed. So at most
 * max_files * max_size bytes lie on the disk, one write more or less. max_files 1: the file is
 * emptied instead. A write is never split over two files.
 */

#include <sys/types.h>

#include "base/base.h"

typedef struct LogFile {
    char *path;
    int fd;
    uint64_t size, max_size;
    unsigned max_files;
} LogFile;

/* Appends to what is there. max_size 0: never rotates. */
_must_check_ int logfile_open(const char *path, uint64_t max_size, unsigned max_files,
                              LogFile *ret_file);
/* Writes all of it, rotating first if it would not fit. */
_must_check_ int logfile_write(LogFile *file, const void *data, size_t len);
void logfile_done(LogFile *file);

/*
 * The same for files that a child writes by itself through an inherited fd (stdout of a worker):
 * `logfile_trim` copies the file to PATH.1 and empties it once it is larger than `max_size`. Call it
 * from a timer. The child must have opened it with O_APPEND (logfile_open_for_child does).
 * Answers 1 if it rotated.
 */
_must_check_ int logfile_open_for_child(const char *path, int *ret_fd);
_must_check_ int logfile_trim(const char *path, uint64_t max_size, unsigned max_files);
