/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A durable, ordered key-value store for one daemon: in memory, or one SQLite file. A service
 * keeps its objects in its own tables and uses a Kv as their log, or reads from it directly.
 *
 * Keys and values are bytes. A table is a name; keys of a table are ordered as memcmp orders them.
 *
 * Writing: kv_put() and kv_del() take effect at once for every read, and join the open batch.
 * kv_commit() asks to be told when everything written so far is durable. The open batch is
 * executed as one transaction on the loop's pool at the end of the tick; what is written
 * meanwhile forms the next batch, so commits group under load. Nothing is durable, and so no
 * reply that promises it may leave, before the callback. Callbacks come in the order of their
 * kv_commit() calls, always from the loop and never from inside kv_commit().
 *
 * Failure: a batch that can't be written (disk full, I/O error) breaks the store for good: its
 * callbacks and all later ones get the same negative code. A service ends itself then; memory
 * and log must not drift apart.
 */

#include "base/base.h"
#include "base/str.h"
#include "loop/loop.h"

typedef struct Kv Kv;

typedef enum KvSync {
    KV_LOGGED, /* survives kill -9 of this process */
    KV_SYNCED, /* survives the machine: fsync before the callback */
} KvSync;

enum {
    KV_KEY_MAX = 4096,                /* table name and key together */
    KV_VALUE_MAX = 513 * 1024 * 1024, /* one value */
    KV_ABSENT = 1,                    /* positive answer of kv_get() */
};

typedef struct KvOptions {
    const char *path; /* SQLite file, made if missing; NULL keeps everything in memory */
    bool always_sync; /* every commit as KV_SYNCED (--durable) */
    /* Bytes of the disk kept free for the file and for its log, each: what others do to the disk does
     * not break the store at once. */
    uint64_t reserve;
} KvOptions;

/* -EBADMSG if the file is no store of ours or of a newer format; -EBUSY if another process has it
 * open. `options` is read during the call only. */
_must_check_ int kv_open(Loop *loop, const KvOptions *options, Kv **ret_kv);
/* Writes what is pending, waits for it, drops callbacks that were not called. Takes NULL. Not to be
 * called from a KvCommitted. */
Kv *kv_close(Kv *kv);

/* Copies key and value in. -EMSGSIZE beyond the bounds above, nothing is written then. Deleting
 * an absent key is fine. `table` is a short name without NUL. */
_must_check_ int kv_put(Kv *kv, const char *table, Slice key, Slice value);
_must_check_ int kv_del(Kv *kv, const char *table, Slice key);

typedef void (*KvCommitted)(void *userdata, int result);

/* Calls back once everything written until now is durable as `sync` says; `result` is 0 or the
 * failure. A commit with nothing pending calls back at the end of the tick. */
void kv_commit(Kv *kv, KvSync sync, KvCommitted callback, void *userdata);

/* Bytes written but not yet durable: a service stops taking requests above its own bound. */
size_t kv_pending_bytes(const Kv *kv);

/* Replaces what `value` holds. 0, KV_ABSENT, or a failure. May read the disk: meant for start-up
 * and for small values. */
_must_check_ int kv_get(Kv *kv, const char *table, Slice key, Buf *value);

/* 0 goes on, anything else ends the scan and is its result. Slices are borrowed during the call.
 * The store must not be written from inside. */
typedef int (*KvVisit)(void *userdata, Slice key, Slice value);

/* Every entry of `table` whose key begins with `prefix`, in order, from `start` (inclusive, may
 * be empty) on. */
_must_check_ int kv_scan(Kv *kv, const char *table, Slice prefix, Slice start, KvVisit visit,
                         void *userdata);
DEFINE_CLEANUP(Kv *, kv_close);
#define _cleanup_kv_ _cleanup_(kv_closep)
