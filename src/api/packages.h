/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a package gcs://NAME lies in gcs's key-value store: pieces under "gcs://NAME#000000" and so on
 * in the space "packages", and under "gcs://NAME", written last, the number of pieces in decimal. So
 * what has the plain key is whole, and no frame is larger than a piece. A driver that puts a small
 * package itself (ray.init with a working_dir) may put it as one value under "gcs://NAME" of the
 * default space ""; readers look there second.
 */

#include "base/base.h"
#include "base/str.h"

#define PACKAGE_SPACE "packages"

enum {
    PACKAGE_PIECE = 4 * 1024 * 1024,
    PACKAGE_PIECES_MAX = 128, /* 512 MiB */
};

static inline char *package_key(const char *name) {
    return str_printf("gcs://%s", name);
}
static inline char *package_piece_key(const char *name, uint64_t piece) {
    return str_printf("gcs://%s#%06llu", name, (unsigned long long)piece);
}
