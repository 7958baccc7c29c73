/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A root folder for isolated processes: this machine's own system, seen through an overlay so that
 * nothing a pod writes reaches the machine and any path can be made. The caller is in a mount
 * namespace of its own. Paths "inside" are absolute in the new root and resolved there: a symbolic
 * link cannot lead out of it.
 */

#include "base/base.h"

typedef struct RootFs {
    const char *root; /* where it is built: an empty folder */
    const char
        *upper;       /* what is written goes here; `work` is the overlay's own, on the same file */
    const char *work; /* system. Both empty folders */
    int fd;           /* the root, once mounted */
} RootFs;

/* Stops mounts from travelling between this namespace and the host's. */
_must_check_ int mount_isolate(void);

/* Before rootfs_mount(): something will be made at `inside`. In a user namespace the machine's
 * folders are nobody's and nothing can be made in them; those above `inside` become ours by being
 * on the upper side too. */
_must_check_ int rootfs_claim(const RootFs *rootfs, const char *inside);

/* The overlay, and over it what the host has mounted beyond its root (as far as it holds data):
 * each again as an overlay on a tmpfs, or read-only where that cannot be. */
_must_check_ int rootfs_mount(RootFs *rootfs);

/* /proc (this PID namespace's), /sys read-only, /dev with the usual ten devices, its own pts and
 * shm of `shm_size` bytes, /run empty; the parts of /proc that reach into the machine are masked
 * unless `privileged`. */
_must_check_ int rootfs_mount_system(RootFs *rootfs, uint64_t shm_size, bool privileged);

/* Mounts the host's `source` (file or folder) at `inside`, made if missing. */
_must_check_ int rootfs_bind(RootFs *rootfs, const char *source, const char *inside,
                             bool read_only);
/* The same of what `sub` (relative, made as a folder if missing) is below `base`: links in there
 * belong to whoever writes there, and must not lead out of it. -EXDEV if they do. */
_must_check_ int rootfs_bind_below(RootFs *rootfs, const char *base, const char *sub,
                                   const char *inside, bool read_only);
_must_check_ int rootfs_tmpfs(RootFs *rootfs, const char *inside, uint64_t size, unsigned mode);
/* An empty folder that cannot be written, over `inside`, if that exists. */
_must_check_ int rootfs_hide(RootFs *rootfs, const char *inside);
/* A folder, as mkdir -p; what is there stays as it is. */
_must_check_ int rootfs_mkdir(RootFs *rootfs, const char *inside, unsigned mode);

/* Makes it the root of this process; the host's tree is not reachable any more. */
_must_check_ int rootfs_enter(RootFs *rootfs);
