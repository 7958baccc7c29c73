/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Walks what a package contains, in a fixed order: names sorted, ignore rules applied. */

#include <sys/stat.h>

#include "base/base.h"
#include "env/package.h"

/* `path` is below the root; `full` can be opened. Directories come before their content; `empty`
 * says that nothing is in one. */
typedef int TreeVisitFn(void *ctx, const char *path, const char *full, const struct stat *st,
                        bool empty);

/* Links to files and directories are followed (64 levels deep, so a circle ends). Sockets, pipes,
 * devices and links to nowhere are skipped. -EFBIG beyond PACKAGE_FILES_MAX entries. */
_must_check_ int tree_walk(const char *root, const PackageOptions *options, TreeVisitFn *visit,
                           void *ctx);
