/* SPDX-License-Identifier: Apache-2.0 */
#include "env/package.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/fd.h"
#include "env/archive_load.h"
#include "env/tree.h"

enum {
    CHUNK = 256 * 1024
};

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
    int r = archive_load();
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
