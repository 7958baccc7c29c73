/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The SQLite file of a store. Two connections: kv_file_apply() may run on a pool thread, while the
 * loop's thread reads through the other one.
 */

#include "kv/tree.h"

typedef struct KvFile KvFile;

/* `reserve`: see KvOptions. */
_must_check_ int kv_file_open(const char *path, uint64_t reserve, KvFile **ret_file);
KvFile *kv_file_ref(KvFile *file);
KvFile *kv_file_unref(KvFile *file); /* takes NULL; ref and unref on the loop's thread only */
/* Closes the file at once; what other references are left with is the lock. */
void kv_file_close(KvFile *file);

/* Around kv_file_apply(), on any thread. */
void kv_file_lock(KvFile *file);
void kv_file_unlock(KvFile *file);
/* One transaction with everything in `batch`. With `sync` what earlier batches wrote is on the
 * disk too. */
_must_check_ int kv_file_apply(KvFile *file, const KvTree *batch, bool sync);

/* 0, KV_ABSENT, failure. Replaces what `value` holds. */
_must_check_ int kv_file_get(KvFile *file, Slice key, Buf *value);

/* One cursor at a time: starts at the first key at or after `from`. kv_file_next() answers 1 when
 * there is an entry (borrowed until the next call), 0 at the end. kv_file_end() always follows. */
_must_check_ int kv_file_begin(KvFile *file, Slice from);
_must_check_ int kv_file_next(KvFile *file, Slice *ret_key, Slice *ret_value);
void kv_file_end(KvFile *file);
DEFINE_CLEANUP(KvFile *, kv_file_unref);
