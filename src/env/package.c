/* SPDX-License-Identifier: Apache-2.0 */
#include "env/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/library.h"
#include "env/tree.h"

enum {
    CHUNK = 256 * 1024
};

#define ARCHIVE_FUNCTIONS(X)                                                                       \
    X(archive_entry_filetype)                                                                      \
    X(archive_entry_free)                                                                          \
    X(archive_entry_hardlink)                                                                      \
    X(archive_entry_new)                                                                           \
    X(archive_entry_pathname)                                                                      \
    X(archive_entry_perm)                                                                          \
    X(archive_entry_set_filetype)                                                                  \
    X(archive_entry_set_hardlink)                                                                  \
    X(archive_entry_set_mtime)                                                                     \
    X(archive_entry_set_pathname)                                                                  \
    X(archive_entry_set_pathname_utf8)                                                             \
    X(archive_entry_set_perm)                                                                      \
    X(archive_entry_set_size)                                                                      \
    X(archive_entry_size)                                                                          \
    X(archive_entry_size_is_set)                                                                   \
    X(archive_entry_symlink)                                                                       \
    X(archive_error_string)                                                                        \
    X(archive_filter_bytes)                                                                        \
    X(archive_read_data_block)                                                                     \
    X(archive_read_free)                                                                           \
    X(archive_read_new)                                                                            \
    X(archive_read_next_header)                                                                    \
    X(archive_read_open_filename)                                                                  \
    X(archive_read_support_filter_bzip2)                                                           \
    X(archive_read_support_filter_gzip)                                                            \
    X(archive_read_support_filter_xz)                                                              \
    X(archive_read_support_format_tar)                                                             \
    X(archive_read_support_format_zip)                                                             \
    X(archive_write_close)                                                                         \
    X(archive_write_data)                                                                          \
    X(archive_write_data_block)                                                                    \
    X(archive_write_disk_new)                                                                      \
    X(archive_write_disk_set_options)                                                              \
    X(archive_write_finish_entry)                                                                  \
    X(archive_write_free)                                                                          \
    X(archive_write_header)                                                                        \
    X(archive_write_new)                                                                           \
    X(archive_write_open_filename)                                                                 \
    X(archive_write_set_format_zip)                                                                \
    X(archive_write_set_options)

ARCHIVE_FUNCTIONS(LIBRARY_DEFINE)

static int load_archive(void) {
    static const LibrarySymbol symbols[] = { ARCHIVE_FUNCTIONS(LIBRARY_SYMBOL) };
    return library_load("libarchive.so.13", "libarchive13", symbols, ARRAY_LEN(symbols));
}

/* -------------------------------------------------------------------------------- names */

static int hash_file(XXH3_state_t *hash, const char *full) {
    _cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *chunk = mem_alloc(CHUNK);
    if (fd < 0)
        return error_last("open %s", full);
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0)
            return error_last("read %s", full);
        if (n == 0)
            return 0;
        XXH3_128bits_update(hash, chunk, (size_t)n);
    }
}

static int hash_entry(void *ctx, const char *path, const char *full, const struct stat *st,
                      bool empty) {
    XXH3_state_t *hash = ctx;
    int64_t size = S_ISREG(st->st_mode) ? st->st_size : -1;
    XXH3_128bits_update(hash, path, strlen(path) + 1);
    XXH3_128bits_update(hash, &size, sizeof(size));
    return S_ISREG(st->st_mode) ? hash_file(hash, full) : 0;
}

static void digest_hex(const XXH3_state_t *hash, char out[static 33]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
    hex_encode(canonical.digest, sizeof(canonical.digest), out);
}

static void state_freep(XXH3_state_t **state) {
    XXH3_freeState(*state);
}

int package_name(const char *dir, const PackageOptions *options,
                 char ret_name[static PACKAGE_NAME_MAX]) {
    _cleanup_(state_freep) XXH3_state_t *hash = XXH3_createState();
    char digest[33];
    struct stat st;
    int r;
    XXH3_128bits_reset(hash);
    if (options && options->include_parent) {
        const char *slash = strrchr(dir, '/');
        const char *name = slash ? slash + 1 : dir;
        XXH3_128bits_update(hash, name, strlen(name) + 1);
    }
    if (stat(dir, &st) == 0 && S_ISREG(st.st_mode))
        r = hash_file(hash, dir);
    else
        r = tree_walk(dir, options, hash_entry, hash);
    if (r < 0)
        return r;
    digest_hex(hash, digest);
    snprintf(ret_name, PACKAGE_NAME_MAX, "_ray_pkg_%s.zip", digest);
    return 0;
}

int package_name_of_archive(const char *path, char **ret_name) {
    static const struct {
        const char *ending, *kept;
    } endings[] = {
        { ".tar.gz", ".tar.gz" },
        { ".tgz", ".tar.gz" },
        { ".tar.xz", ".tar.xz" },
        { "", ".zip" },
    };
    if (str_ends(path, ".whl")) {
        const char *slash = strrchr(path, '/');
        *ret_name = str_dup(slash ? slash + 1 : path);
        return 0;
    }
    _cleanup_(state_freep) XXH3_state_t *hash = XXH3_createState();
    char digest[33];
    XXH3_128bits_reset(hash);
    int r = hash_file(hash, path);
    if (r < 0)
        return r;
    digest_hex(hash, digest);
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        if (str_ends(path, endings[i].ending)) {
            *ret_name = str_printf("_ray_pkg_%s%s", digest, endings[i].kept);
            break;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------- create */

static void archive_write_freep(struct archive **a) {
    if (*a)
        sym_archive_write_free(*a);
}
static void archive_read_freep(struct archive **a) {
    if (*a)
        sym_archive_read_free(*a);
}
static void entry_freep(struct archive_entry **entry) {
    if (*entry)
        sym_archive_entry_free(*entry);
}

typedef struct Zip {
    struct archive *archive;
    const char *top; /* a directory put above everything, or NULL */
} Zip;

static int fail_archive(int code, struct archive *a, const char *what) {
    const char *text = sym_archive_error_string(a);
    return error_origin(code, "%s: %s", what, text ? text : "no reason given");
}

static int zip_content(struct archive *a, const char *full) {
    _cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC);
    _cleanup_free_ char *chunk = mem_alloc(CHUNK);
    if (fd < 0)
        return error_last("open %s", full);
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0)
            return error_last("read %s", full);
        if (n == 0)
            return 0;
        if (sym_archive_write_data(a, chunk, (size_t)n) < 0)
            return fail_archive(-EIO, a, full);
    }
}

static int zip_check_size(struct archive *a) {
    if ((uint64_t)sym_archive_filter_bytes(a, -1) < PACKAGE_SIZE_MAX)
        return 0;
    return error_origin(-EFBIG,
                        "Package size exceeds the maximum size of %.2fMiB. To exclude large files, "
                        "add them to '.gitignore' or '.rayignore' files, or use the 'excludes' "
                        "option in the runtime_env, or provide a URI of a remote zip file.",
                        (double)PACKAGE_SIZE_MAX / (1 << 20));
}

static int zip_entry(void *ctx, const char *path, const char *full, const struct stat *st,
                     bool empty) {
    Zip *zip = ctx;
    bool directory = S_ISDIR(st->st_mode);
    if (directory && !empty)
        return 0;
    _cleanup_(entry_freep) struct archive_entry *entry = sym_archive_entry_new();
    _cleanup_free_ char *name = str_printf("%s%s%s%s", zip->top ? zip->top : "",
                                           zip->top ? "/" : "", path, directory ? "/" : "");
    sym_archive_entry_set_pathname_utf8(entry, name);
    sym_archive_entry_set_filetype(entry, directory ? AE_IFDIR : AE_IFREG);
    sym_archive_entry_set_perm(entry, st->st_mode & 0777);
    sym_archive_entry_set_mtime(entry, st->st_mtime, 0);
    if (!directory)
        sym_archive_entry_set_size(entry, st->st_size);
    if (sym_archive_write_header(zip->archive, entry) != ARCHIVE_OK)
        return fail_archive(-EIO, zip->archive, full);
    int r = directory ? 0 : zip_content(zip->archive, full);
    return r < 0 ? r : zip_check_size(zip->archive);
}

static int zip_source(Zip *zip, const char *source, const PackageOptions *options) {
    struct stat st;
    const char *slash = strrchr(source, '/');
    const char *base = slash ? slash + 1 : source;
    if (stat(source, &st) == 0 && S_ISREG(st.st_mode))
        return zip_entry(zip, base, source, &st, false);
    if (options && options->include_parent)
        zip->top = base;
    return tree_walk(source, options, zip_entry, zip);
}

int package_create(const char *dir, const PackageOptions *options, const char *zip_path) {
    _cleanup_(archive_write_freep) struct archive *a = NULL;
    int r = load_archive();
    if (r < 0)
        return r;
    a = sym_archive_write_new();
    Zip zip = { a };
    sym_archive_write_set_format_zip(a);
    sym_archive_write_set_options(a, "zip:compression-level=1");
    if (sym_archive_write_open_filename(a, zip_path) != ARCHIVE_OK)
        return fail_archive(-EIO, a, zip_path);
    r = zip_source(&zip, dir, options);
    if (r == 0 && sym_archive_write_close(a) != ARCHIVE_OK)
        r = fail_archive(-EIO, a, zip_path);
    if (r < 0)
        unlink(zip_path);
    return r;
}

/* ------------------------------------------------------------------------------- unpack */

static int open_archive(const char *path, struct archive **ret_archive) {
    _cleanup_(archive_read_freep) struct archive *a = NULL;
    int r = load_archive();
    if (r < 0)
        return r;
    a = sym_archive_read_new();
    sym_archive_read_support_format_zip(a);
    sym_archive_read_support_format_tar(a);
    sym_archive_read_support_filter_gzip(a);
    sym_archive_read_support_filter_xz(a);
    sym_archive_read_support_filter_bzip2(a);
    if (sym_archive_read_open_filename(a, path, CHUNK) != ARCHIVE_OK)
        return fail_archive(-EBADMSG, a, path);
    *ret_archive = TAKE(a);
    return 0;
}

static int next_entry(struct archive *a, const char *path, struct archive_entry **ret_entry) {
    int r = sym_archive_read_next_header(a, ret_entry);
    if (r == ARCHIVE_EOF)
        return 1;
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return fail_archive(-EBADMSG, a, path);
    return 0;
}

/* Whether `target`, read from the directory of `path`, stays below the top. */
static bool stays_inside(const char *path, const char *target) {
    int depth = 0;
    if (target[0] == '/')
        return false;
    for (const char *p = path; (p = strchr(p, '/')); p++)
        depth++;
    for (const char *p = target; *p;) {
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.')
            depth--;
        else if (len && !(len == 1 && p[0] == '.'))
            depth++;
        if (depth < 0)
            return false;
        p += len + (p[len] == '/');
    }
    return true;
}

static int check_entry(struct archive_entry *entry) {
    const char *path = sym_archive_entry_pathname(entry);
    if (!path || !*path)
        return error_origin(-EPERM, "it has an entry without a name");
    if (strchr(path, '\\') || !stays_inside("", path))
        return error_origin(-EPERM, "its entry '%s' leads out of the package", path);
    const char *hard = sym_archive_entry_hardlink(entry), *soft = sym_archive_entry_symlink(entry);
    if (hard && !stays_inside("", hard))
        return error_origin(-EPERM, "its entry '%s' is a link out of the package", path);
    if (soft && !stays_inside(path, soft))
        return error_origin(-EPERM, "its entry '%s' is a link out of the package", path);
    unsigned type = sym_archive_entry_filetype(entry);
    if (!hard && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
        return error_origin(-EPERM, "its entry '%s' is no file, directory or link", path);
    return 0;
}

static bool is_mac_leftover(const char *path) {
    return str_starts(path, "__MACOSX/") || str_eq(path, "__MACOSX");
}

/* The name all entries are below, owned; NULL when there is no single one. */
static int find_top(const char *path, char **ret_top) {
    _cleanup_(archive_read_freep) struct archive *a = NULL;
    _cleanup_free_ char *top = NULL;
    struct archive_entry *entry;
    int r = open_archive(path, &a);
    while (r == 0 && (r = next_entry(a, path, &entry)) == 0) {
        const char *name = sym_archive_entry_pathname(entry);
        size_t len = name ? strcspn(name, "/") : 0;
        if (!name || is_mac_leftover(name))
            continue;
        bool below = name[len] == '/' && len > 0 && name[0] != '.';
        if (!below || (top && !slice_eq_str((Slice){ name, len }, top))) {
            *ret_top = NULL;
            return 0;
        }
        if (!top)
            top = str_dup_slice((Slice){ name, len });
    }
    if (r < 0)
        return r;
    *ret_top = TAKE(top);
    return 0;
}

static int copy_content(struct archive *in, struct archive *out, const char *path, uint64_t *left) {
    for (;;) {
        const void *data;
        size_t len;
        la_int64_t offset;
        int r = sym_archive_read_data_block(in, &data, &len, &offset);
        if (r == ARCHIVE_EOF)
            return 0;
        if (r < ARCHIVE_WARN)
            return fail_archive(-EBADMSG, in, path);
        if (offset < 0 || (uint64_t)offset > PACKAGE_UNPACKED_MAX || len > *left)
            return error_origin(-EFBIG, "it unpacks to more than %llu GiB",
                                (unsigned long long)(PACKAGE_UNPACKED_MAX >> 30));
        *left -= len;
        if (sym_archive_write_data_block(out, data, len, offset) < ARCHIVE_WARN)
            return fail_archive(-EIO, out, path);
    }
}

/* Moves the entry below `top` up; false: nothing of it is left. */
static bool strip_entry(struct archive_entry *entry, const char *top) {
    const char *path = sym_archive_entry_pathname(entry), *hard = sym_archive_entry_hardlink(entry);
    if (is_mac_leftover(path) || strlen(path) <= strlen(top) + 1)
        return false;
    if (hard && strlen(hard) > strlen(top) + 1) {
        _cleanup_free_ char *target = str_dup(hard + strlen(top) + 1);
        sym_archive_entry_set_hardlink(entry, target);
    }
    _cleanup_free_ char *rest = str_dup(path + strlen(top) + 1);
    sym_archive_entry_set_pathname(entry, rest);
    return *rest != 0;
}

static int unpack_entry(struct archive *in, struct archive *out, struct archive_entry *entry,
                        uint64_t *left) {
    bool directory = sym_archive_entry_filetype(entry) == AE_IFDIR;
    _cleanup_free_ char *path = str_dup(sym_archive_entry_pathname(entry));
    sym_archive_entry_set_perm(entry,
                               (sym_archive_entry_perm(entry) & 0777) | (directory ? 0700 : 0600));
    if (sym_archive_entry_size_is_set(entry) && (uint64_t)sym_archive_entry_size(entry) > *left)
        return error_origin(-EFBIG, "it unpacks to more than %llu GiB",
                            (unsigned long long)(PACKAGE_UNPACKED_MAX >> 30));
    if (sym_archive_write_header(out, entry) < ARCHIVE_WARN)
        return fail_archive(-EIO, out, path);
    int r = copy_content(in, out, path, left);
    if (r == 0 && sym_archive_write_finish_entry(out) < ARCHIVE_WARN)
        r = fail_archive(-EIO, out, path);
    return r;
}

static int unpack_here(struct archive *in, const char *archive, const char *top) {
    _cleanup_(archive_write_freep) struct archive *out = sym_archive_write_disk_new();
    struct archive_entry *entry;
    uint64_t left = PACKAGE_UNPACKED_MAX;
    size_t files = 0;
    int r;
    sym_archive_write_disk_set_options(out, ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                                                ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
    while ((r = next_entry(in, archive, &entry)) == 0) {
        if (++files > PACKAGE_FILES_MAX)
            return error_origin(-EFBIG, "it has more than %d files", PACKAGE_FILES_MAX);
        r = check_entry(entry);
        if (r < 0)
            return r;
        if (top && !strip_entry(entry, top))
            continue;
        r = unpack_entry(in, out, entry, &left);
        if (r < 0)
            return r;
    }
    if (r > 0 && sym_archive_write_close(out) != ARCHIVE_OK)
        return fail_archive(-EIO, out, archive);
    return r < 0 ? r : 0;
}

int package_unpack(const char *archive, const char *into, bool strip_top) {
    _cleanup_(archive_read_freep) struct archive *in = NULL;
    _cleanup_free_ char *top = NULL;
    int r = open_archive(archive, &in);
    if (r == 0 && strip_top)
        r = find_top(archive, &top);
    if (r == 0)
        r = dir_make(into, 0755);
    if (r < 0)
        return r;
    /* libarchive's guards hold for relative names, so the work happens inside the target. */
    _cleanup_close_ int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (here < 0 || chdir(into) < 0)
        return error_last("enter %s", into);
    r = unpack_here(in, archive, top);
    if (fchdir(here) < 0)
        r = error_last("return from %s", into);
    return r < 0 ? error_context(r, "package %s", archive) : 0;
}
