/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "env/package.h"
#include "env/unpack.h"

/* The sink that writes into a directory. Names come checked (unpack.h), and nobody else writes here: no part of a path is a link. */

typedef struct UnpackWriter {
    int root, file;
    int64_t mtime; /* of the file */
} UnpackWriter;

static void writer_done(UnpackWriter *writer) {
    fd_close(writer->file);
    fd_close(writer->root);
}

static int make_file(UnpackWriter *writer, const UnpackEntry *entry) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    writer->file = fd_close(writer->file);
    writer->file = openat(writer->root, entry->path, flags, entry->mode);
    writer->mtime = entry->mtime;
    return writer->file;
}

static int write_entry(void *ctx, const UnpackEntry *entry) {
    UnpackWriter *writer = ctx;
    int r = -1;
    if (entry->replaces && unlinkat(writer->root, entry->path, 0) < 0)
        return error_last("replace %s", entry->path);
    switch (entry->kind) {
    case UNPACK_DIRECTORY:
        r = mkdirat(writer->root, entry->path, entry->mode);
        break;
    case UNPACK_FILE:
        r = make_file(writer, entry);
        break;
    case UNPACK_SYMLINK:
        r = symlinkat(entry->target, writer->root, entry->path);
        break;
    case UNPACK_HARDLINK:
        r = linkat(writer->root, entry->target, writer->root, entry->path, 0);
        break;
    }
    return r < 0 ? error_last("unpack %s", entry->path) : 0;
}

static int write_data(void *ctx, Slice data, uint64_t offset) {
    UnpackWriter *writer = ctx;
    while (data.len > 0) {
        ssize_t n = pwrite(writer->file, data.data, data.len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_last("write a file of the package");
        data = (Slice){ data.data + n, data.len - (size_t)n };
        offset += (uint64_t)n;
    }
    return 0;
}

static int write_end(void *ctx, uint64_t size) {
    UnpackWriter *writer = ctx;
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = writer->mtime } };
    /* A hole at the end has no data; a time that the file system can't keep is no failure. */
    if (ftruncate(writer->file, (off_t)size) < 0)
        return error_last("write a file of the package");
    (void)!futimens(writer->file, times);
    writer->file = fd_close(writer->file);
    return 0;
}

static int unpack_into(const char *archive, const char *into, char **ret_top) {
    static const UnpackLimits limits = {
        .bytes = PACKAGE_UNPACKED_MAX,
        .files = PACKAGE_FILES_MAX,
        .names = PACKAGE_NAMES_MAX,
    };
    _cleanup_(writer_done) UnpackWriter writer = { -1, -1 };
    const UnpackSink sink = { &writer, write_entry, write_data, write_end };
    if (mkdir(into, 0755) < 0)
        return error_last("make %s", into);
    writer.root = open(into, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (writer.root < 0)
        return error_last("open %s", into);
    int r = unpack_archive(archive, (Slice){ 0 }, &limits, &sink, ret_top);
    return r < 0 ? error_context(r, "package %s", archive) : 0;
}

/* Puts what lies in `into`/`top` in the place of `into`. */
static int lift_top(const char *into, const char *top) {
    _cleanup_free_ char *from = str_printf("%s/%s", into, top);
    _cleanup_free_ char *aside = str_printf("%s.top", into);
    if (rename(from, aside) < 0)
        return error_last("rename %s", from);
    int r = dir_remove(into);
    if (r == 0 && rename(aside, into) < 0)
        r = error_last("rename %s", aside);
    return r;
}

int package_unpack(const char *archive, const char *into, bool strip_top) {
    _cleanup_free_ char *top = NULL;
    int r = unpack_into(archive, into, &top);
    return r == 0 && strip_top && top ? lift_top(into, top) : r;
}
