/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An archive of unknown origin, taken apart. Every name and link is checked against what came
 * before it and every byte is counted here; a sink only writes, and may do so without looking.
 *
 * What a sink gets: paths of parts that are neither empty nor "." nor "..", whose directories it
 * was told of before and that are directories for good; links that resolve to something inside,
 * through whatever links they lead; hard links to files that it has.
 */

#include "base/base.h"
#include "base/str.h"

enum {
    UNPACK_PATH_MAX = 4000,
    UNPACK_PARTS_MAX = 128,
};

typedef struct UnpackLimits {
    uint64_t bytes; /* of all files, holes counted */
    size_t files;   /* and directories and links */
    size_t names;   /* bytes of all paths */
} UnpackLimits;

typedef enum UnpackKind {
    UNPACK_DIRECTORY = 1,
    UNPACK_FILE,
    UNPACK_SYMLINK,
    UNPACK_HARDLINK,
} UnpackKind;

/* All borrowed for the call. */
typedef struct UnpackEntry {
    UnpackKind kind;
    const char *path;
    const char *target; /* of links: as it is written; of hard links: a path */
    unsigned mode;      /* permissions; the owner's are always there */
    int64_t mtime;
    bool replaces;      /* a file or link of this name came before: the later one counts */
} UnpackEntry;

typedef struct UnpackSink {
    void *ctx;
    int (*entry)(void *ctx, const UnpackEntry *entry);
    /* Of the last entry, a file: some of its bytes, and its end. */
    int (*data)(void *ctx, Slice data, uint64_t offset);
    int (*end)(void *ctx, uint64_t size);
} UnpackSink;

/* Of the file `path` or, when that is NULL, of `bytes`. zip, and tar as it is or in gzip, xz or
 * bzip2. -EBADMSG: no archive, or a broken one; -EPERM: a hostile one; -EFBIG: beyond a limit. What
 * the sink was given before a failure stays with it.
 * *ret_top is owned: the one directory that holds everything (__MACOSX, which the Finder adds,
 * apart) and that no link inside leads out of; NULL when there is none. */
_must_check_ int unpack_archive(const char *path, Slice bytes, const UnpackLimits *limits,
                                const UnpackSink *sink, char **ret_top);
