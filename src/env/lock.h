/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A folder of built things that processes share: NAME is whole, NAME.building is not, NAME.lock is
 * locked exclusively by who builds and shared by who uses. Locks are flock(2): the kernel drops
 * them with the process, so nothing has to be counted or repaired.
 */

#include "base/base.h"

typedef struct CacheLock {
    char *path; /* of what is locked, without ".lock" */
    int fd;
} CacheLock;
#define CACHE_LOCK_NONE ((CacheLock){ NULL, -1 })

enum {
    CACHE_ABSENT = 1, /* the lock is exclusive: build it, then cache_lock_share() */
};

/* 0: `path` is there and held by a shared lock. Waits for who builds it until the deadline
 * (monotonic): -ETIMEDOUT. */
_must_check_ int cache_lock(const char *path, usec_t deadline, CacheLock *ret_lock);
/* After building. */
_must_check_ int cache_lock_share(CacheLock *lock);
/* The fd that holds it; the caller closes. */
int cache_lock_take(CacheLock *lock);
void cache_lock_done(CacheLock *lock);

/* A shared lock on something that must be there already: -ENOENT if it went. */
_must_check_ int cache_hold(const char *lock_path, int *ret_fd);

/* Removes what nobody holds: unfinished builds, and whole entries, least recently used first, until
 * the rest is within `max_bytes`. A missing folder is fine. */
_must_check_ int cache_sweep(const char *folder, uint64_t max_bytes);

/* Bytes of all files below; 0 if it can't be read. */
uint64_t tree_bytes(const char *path);
