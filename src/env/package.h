/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Packages: a directory as a zip under a name made of its content, and archives unpacked where the
 * bytes come from somebody else. Ignore rules are git's, from .gitignore and .rayignore.
 */

#include "base/base.h"
#include "base/str.h"

enum {
    PACKAGE_NAME_MAX = 64,         /* "_ray_pkg_<32 hex>.zip" */
    PACKAGE_FILES_MAX = 500000,
    PACKAGE_NAMES_MAX = 128 << 20, /* bytes of all paths of an archive */
};

#define PACKAGE_SIZE_MAX     ((uint64_t)512 << 20) /* an upload, as the peer's default */
#define PACKAGE_UNPACKED_MAX ((uint64_t)16 << 30)  /* a bomb ends here */

typedef struct PackageOptions {
    const StrList *excludes; /* patterns beside the default ones; may be NULL */
    bool no_gitignore;       /* RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1 */
    bool include_parent;     /* py_modules: the directory itself is the top entry */
    const char *defaults;    /* comma-separated; NULL: .git,.venv,venv,__pycache__ */
} PackageOptions;

/* The name that the content of `dir` (or of one .py file) gives: equal trees, equal names.
 * -ENOTDIR if there is no such directory. */
_must_check_ int package_name(const char *dir, const PackageOptions *options,
                              char ret_name[static PACKAGE_NAME_MAX]);

/* The name for an archive that exists already: by its bytes, ending kept; a wheel keeps its name. */
_must_check_ int package_name_of_archive(const char *path, char **ret_name);

/* Writes the zip. -EFBIG beyond PACKAGE_SIZE_MAX, with the peer's sentence. */
_must_check_ int package_create(const char *dir, const PackageOptions *options, const char *zip);

/* Unpacks zip, tar.gz, tgz, tar.xz or tar.bz2 as the directory `into`, which it makes. No entry
 * leaves it: absolute names, "..", links that lead out and devices are refused. Bounded by
 * PACKAGE_FILES_MAX and PACKAGE_UNPACKED_MAX. With `strip_top`, a single directory at the top
 * disappears (remote archives). -EBADMSG: no archive; -EPERM: hostile; -EFBIG: too large. What was
 * unpacked before a failure is left to the caller. */
_must_check_ int package_unpack(const char *archive, const char *into, bool strip_top);
