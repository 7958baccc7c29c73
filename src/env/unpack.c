/* SPDX-License-Identifier: Apache-2.0 */
#include "env/unpack.h"

#include <locale.h>

#include "base/error.h"
#include "base/map.h"
#include "env/archive_load.h"

enum {
    CHUNK = 256 * 1024
};

typedef struct Unpack {
    struct archive *archive;
    const UnpackLimits *limits;
    const UnpackSink *sink;
    StrMap kinds;          /* path -> UnpackKind of everything the sink has */
    size_t names;          /* bytes of them */
    uint64_t extent, data; /* of all files; either may be the larger: holes, overlaps */
    char *top;             /* the first part of the paths so far */
    bool many;             /* they have several, or it is no directory */
    bool crosses;          /* a link leads from below the top to it or beyond */
} Unpack;

/* libarchive converts names by the thread's locale, and loses what that can't say. */
typedef struct Utf8 {
    locale_t own, former;
} Utf8;

static Utf8 utf8_begin(void) {
    Utf8 utf8 = { .own = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0) };
    if (utf8.own)
        utf8.former = uselocale(utf8.own);
    return utf8;
}

static void utf8_end(Utf8 *utf8) {
    if (!utf8->own)
        return;
    uselocale(utf8->former);
    freelocale(utf8->own);
}

static int broken(const Unpack *un) {
    const char *text = sym_archive_error_string(un->archive);
    return error_origin(-EBADMSG, "%s", text ? text : "it is no archive, or a broken one");
}

static int hostile(const char *path, const char *what) {
    return error_origin(-EPERM, "its entry '%s' %s", path, what);
}

/* -------------------------------------------------------------------------------- paths */

static bool part_is(Slice part, const char *text) {
    return slice_eq_str(part, text);
}

static Slice part_next(const char **at) {
    *at += strspn(*at, "/");
    Slice part = { *at, strcspn(*at, "/") };
    *at += part.len;
    return part;
}

/* The path as the sink gets it: "a/b" of "./a//b/". Empty for the top itself. */
static int path_clean(const char *raw, char **ret_path) {
    _cleanup_buf_ Buf path = { 0 };
    const char *at = raw;
    size_t parts = 0;
    if (!raw || !*raw)
        return error_origin(-EPERM, "it has an entry without a name");
    if (*raw == '/' || strchr(raw, '\\'))
        return hostile(raw, "leads out of the package");
    for (Slice part; (part = part_next(&at)).len;) {
        if (part_is(part, ".."))
            return hostile(raw, "leads out of the package");
        if (part_is(part, "."))
            continue;
        if (path.len)
            buf_add_char(&path, '/');
        buf_add(&path, part.data, part.len);
        if (part.len > 255 || ++parts > UNPACK_PARTS_MAX || path.len > UNPACK_PATH_MAX)
            return error_origin(-EFBIG, "its entry '%.80s...' has too long a path", raw);
    }
    *ret_path = buf_steal(&path);
    return 0;
}

/* How many directories a link climbs before it goes down; -1: it climbs after that, or is
 * absolute. Its own directory is none that another link stands for, so the count is exact. */
static int link_climbs(const char *target) {
    int climbs = 0;
    bool down = false;
    if (*target == '/' || !*target)
        return -1;
    for (Slice part; (part = part_next(&target)).len;) {
        bool up = part_is(part, "..");
        if (up && down)
            return -1;
        climbs += up;
        down = down || (!up && !part_is(part, "."));
    }
    return climbs;
}

static int path_depth(const char *path) {
    int depth = 0;
    while ((path = strchr(path, '/'))) {
        depth++;
        path++;
    }
    return depth;
}

static int check_symlink(Unpack *un, const char *path, const char *target) {
    int climbs = link_climbs(target), depth = path_depth(path);
    if (climbs < 0 || climbs > depth || strlen(target) > UNPACK_PATH_MAX)
        return hostile(path, "is a link out of the package");
    un->crosses = un->crosses || (climbs == depth && depth > 0);
    return 0;
}

/* ------------------------------------------------------------------------------ entries */

static UnpackKind kind_of(const Unpack *un, const char *path) {
    return (UnpackKind)(uintptr_t)strmap_get(&un->kinds, path);
}

static int give_entry(Unpack *un, const UnpackEntry *entry) {
    size_t len = strlen(entry->path);
    if (!entry->replaces) {
        un->names += len;
        if (strmap_len(&un->kinds) >= un->limits->files || un->names > un->limits->names)
            return error_origin(-EFBIG, "it has more than %zu files", strmap_len(&un->kinds));
    }
    /* A hard link is the file from here on. */
    UnpackKind kind = entry->kind == UNPACK_HARDLINK ? UNPACK_FILE : entry->kind;
    strmap_put(&un->kinds, entry->path, (void *)(uintptr_t)kind);
    return un->sink->entry(un->sink->ctx, entry);
}

/* Tells of the directories above `path` that no entry was for. */
static int make_parents(Unpack *un, const char *path) {
    _cleanup_free_ char *parent = str_dup(path);
    for (char *slash = parent; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        UnpackKind kind = kind_of(un, parent);
        if (kind == UNPACK_DIRECTORY)
            continue;
        if (kind)
            return hostile(path, "lies below something that is no directory");
        int r = give_entry(
            un, &(UnpackEntry){ .kind = UNPACK_DIRECTORY, .path = parent, .mode = 0755 });
        if (r < 0)
            return r;
    }
    return 0;
}

static void note_top(Unpack *un, const char *path, UnpackKind kind) {
    Slice first = { path, strcspn(path, "/") };
    if (part_is(first, "__MACOSX"))
        return;
    if (!un->top)
        un->top = str_dup_slice(first);
    bool directory = path[first.len] == '/' || kind == UNPACK_DIRECTORY;
    un->many = un->many || !directory || !part_is(first, un->top);
}

static int entry_kind(struct archive_entry *entry, const char *path, UnpackKind *ret_kind) {
    if (sym_archive_entry_hardlink(entry))
        *ret_kind = UNPACK_HARDLINK;
    else if (sym_archive_entry_filetype(entry) == AE_IFREG)
        *ret_kind = UNPACK_FILE;
    else if (sym_archive_entry_filetype(entry) == AE_IFDIR)
        *ret_kind = UNPACK_DIRECTORY;
    else if (sym_archive_entry_filetype(entry) == AE_IFLNK && sym_archive_entry_symlink(entry))
        *ret_kind = UNPACK_SYMLINK;
    else
        return hostile(path, "is no file, directory or link");
    return 0;
}

/* What it links to, owned; NULL for what is no link. */
static int entry_target(Unpack *un, struct archive_entry *entry, const char *path, UnpackKind kind,
                        char **ret_target) {
    _cleanup_free_ char *target = NULL;
    if (kind == UNPACK_SYMLINK) {
        target = str_dup(sym_archive_entry_symlink(entry));
        int r = check_symlink(un, path, target);
        if (r < 0)
            return r;
    } else if (kind == UNPACK_HARDLINK) {
        int r = path_clean(sym_archive_entry_hardlink(entry), &target);
        if (r < 0)
            return r;
        if (kind_of(un, target) != UNPACK_FILE || str_eq(target, path))
            return hostile(path, "is a link to no file of the package");
    }
    *ret_target = TAKE(target);
    return 0;
}

/* ------------------------------------------------------------------------------ content */

static int charge(Unpack *un, uint64_t *counter, uint64_t more) {
    if (more > un->limits->bytes - *counter)
        return error_origin(-EFBIG, "it unpacks to more than %llu MiB",
                            (unsigned long long)(un->limits->bytes >> 20));
    *counter += more;
    return 0;
}

/* One block at `offset` of a file that is `*size` bytes long so far. */
static int give_data(Unpack *un, Slice data, int64_t offset, uint64_t *size) {
    uint64_t end;
    if (offset < 0 || __builtin_add_overflow((uint64_t)offset, data.len, &end))
        return error_origin(-EBADMSG, "a file's content lies nowhere");
    int r = charge(un, &un->data, data.len);
    if (r == 0 && end > *size) {
        r = charge(un, &un->extent, end - *size);
        *size = end;
    }
    return r < 0 || data.len == 0 ? r : un->sink->data(un->sink->ctx, data, (uint64_t)offset);
}

static int give_content(Unpack *un, struct archive_entry *entry) {
    uint64_t size = 0;
    if (sym_archive_entry_size_is_set(entry) && sym_archive_entry_size(entry) > 0)
        size = (uint64_t)sym_archive_entry_size(entry);
    int r = charge(un, &un->extent, size);
    while (r == 0) {
        const void *data;
        size_t len;
        la_int64_t offset;
        int code = sym_archive_read_data_block(un->archive, &data, &len, &offset);
        if (code == ARCHIVE_EOF)
            return un->sink->end(un->sink->ctx, size);
        if (code != ARCHIVE_OK) /* a mere warning says that the checksum is wrong */
            return broken(un);
        r = give_data(un, (Slice){ data, len }, offset, &size);
    }
    return r;
}

static int unpack_entry(Unpack *un, struct archive_entry *raw) {
    _cleanup_free_ char *path = NULL, *target = NULL;
    UnpackEntry entry = { 0 };
    int r = path_clean(sym_archive_entry_pathname(raw), &path);
    if (r == 0 && *path)
        r = entry_kind(raw, path, &entry.kind);
    if (r < 0 || !*path)
        return r;
    r = make_parents(un, path);
    if (r == 0)
        r = entry_target(un, raw, path, entry.kind, &target);
    if (r < 0)
        return r;
    UnpackKind before = kind_of(un, path);
    note_top(un, path, entry.kind);
    if (before == UNPACK_DIRECTORY && entry.kind == UNPACK_DIRECTORY)
        return 0;
    if (before == UNPACK_DIRECTORY || (before && entry.kind == UNPACK_DIRECTORY))
        return hostile(path, "is a directory and something else");
    entry.path = path;
    entry.target = target;
    entry.mode =
        (sym_archive_entry_perm(raw) & 0777) | (entry.kind == UNPACK_DIRECTORY ? 0700 : 0600);
    entry.mtime = sym_archive_entry_mtime(raw);
    entry.replaces = before != 0;
    r = give_entry(un, &entry);
    return r == 0 && entry.kind == UNPACK_FILE ? give_content(un, raw) : r;
}

static int unpack_all(Unpack *un) {
    for (;;) {
        struct archive_entry *entry;
        int code = sym_archive_read_next_header(un->archive, &entry);
        if (code == ARCHIVE_EOF)
            return 0;
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
            return broken(un);
        int r = unpack_entry(un, entry);
        if (r < 0)
            return r;
    }
}

static int open_archive(Unpack *un, const char *path, Slice bytes) {
    int r = archive_load();
    if (r < 0)
        return r;
    struct archive *a = un->archive = sym_archive_read_new();
    sym_archive_read_support_format_zip(a);
    sym_archive_read_support_format_tar(a);
    sym_archive_read_support_filter_gzip(a);
    sym_archive_read_support_filter_xz(a);
    sym_archive_read_support_filter_bzip2(a);
    int code = path ? sym_archive_read_open_filename(a, path, CHUNK)
                    : sym_archive_read_open_memory(a, bytes.data, bytes.len);
    return code == ARCHIVE_OK ? 0 : broken(un);
}

int unpack_archive(const char *path, Slice bytes, const UnpackLimits *limits,
                   const UnpackSink *sink, char **ret_top) {
    Unpack un = { .limits = limits, .sink = sink };
    _cleanup_(utf8_end) Utf8 utf8 = utf8_begin();
    int r = open_archive(&un, path, bytes);
    if (r == 0)
        r = unpack_all(&un);
    if (r == 0)
        *ret_top = un.many || un.crosses ? NULL : TAKE(un.top);
    if (un.archive)
        sym_archive_read_free(un.archive);
    strmap_done(&un.kinds);
    free(un.top);
    return r;
}
