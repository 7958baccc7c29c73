/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/kv.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/list.h"
#include "kv/file.h"
#include "kv/tree.h"
#include "loop/loop.h"

/*
 * The memory store is one tree. The file store is layered: the open batch over the batch that is
 * being written over the file; a read asks them in this order. The batch in flight is not changed
 * until its transaction is over, so the pool thread and reads share it without a lock.
 *
 * A physical key is the table's name, a NUL, the key.
 */

typedef struct Waiter {
    List link;
    KvCommitted callback;
    void *userdata;
} Waiter;

typedef struct Batch {
    KvTree tree;
    List waiters;
    bool sync;
} Batch;

/* What the pool works on. It outlives the store if that is closed meanwhile. */
typedef struct Flight {
    Kv *kv; /* NULL once the store is closed */
    KvFile *file;
    Batch batch;
    bool over;      /* applied, by the pool or by kv_close(); under the file's lock */
    int result;
    char *sentence; /* of a failure: error slots belong to threads */
} Flight;

struct Kv {
    Loop *loop;
    LoopTask *flush;
    KvFile *file;  /* NULL: memory */
    bool always_sync;
    bool unsynced; /* something was written since the last synced transaction */
    KvTree memory;
    Batch open;
    Flight *flight; /* at most one, so that batches keep their order */
    int broken;     /* the first failure */
    char *broken_sentence;
};

static void batch_init(Batch *batch) {
    *batch = (Batch){ 0 };
    list_init(&batch->waiters);
}

static void batch_done(Batch *batch) {
    kv_tree_done(&batch->tree);
    List *link;
    while ((link = list_pop(&batch->waiters)))
        free(LIST_ITEM(link, Waiter, link));
}

static void batch_move(Batch *to, Batch *from) {
    batch_init(to);
    to->tree = from->tree;
    to->sync = from->sync;
    list_splice(&to->waiters, &from->waiters);
    batch_init(from);
}

/* Calls back in the order of the commits; the callbacks may write and commit, not close. */
static void waiters_call(List *waiters, int result, const char *sentence) {
    List ours;
    list_init(&ours);
    list_splice(&ours, waiters);
    List *link;
    while ((link = list_pop(&ours))) {
        Waiter waiter = *LIST_ITEM(link, Waiter, link);
        free(LIST_ITEM(link, Waiter, link));
        if (result < 0)
            error_origin(result, "%s", sentence);
        waiter.callback(waiter.userdata, result);
    }
}

static void flight_run(void *ctx) {
    Flight *flight = ctx;
    kv_file_lock(flight->file);
    if (!flight->over) {
        flight->result = kv_file_apply(flight->file, &flight->batch.tree, flight->batch.sync);
        if (flight->result < 0)
            flight->sentence = str_dup(error_text(flight->result));
        flight->over = true;
    }
    kv_file_unlock(flight->file);
}

static void flight_free(Flight *flight) {
    kv_file_unref(flight->file);
    batch_done(&flight->batch);
    free(flight->sentence);
    free(flight);
}

static void kv_break(Kv *kv, int result, const char *sentence) {
    if (kv->broken == 0) {
        kv->broken = result;
        str_set(&kv->broken_sentence, sentence);
    }
}

static bool kv_has_work(const Kv *kv) {
    return kv->open.tree.len > 0 || !list_empty(&kv->open.waiters);
}

static void flight_landed(void *ctx, int r) {
    Flight *flight = ctx;
    Kv *kv = flight->kv;
    if (!kv) {
        flight_free(flight);
        return;
    }
    if (r < 0 && flight->result == 0) { /* the loop was freed with the work not done */
        flight->result = r;
        str_set(&flight->sentence, "the store's loop ended");
    }
    kv->flight = NULL;
    if (flight->result < 0)
        kv_break(kv, flight->result, flight->sentence);
    else
        kv->unsynced = !flight->batch.sync;
    if (kv_has_work(kv))
        loop_task_arm(kv->flush);
    waiters_call(&flight->batch.waiters, flight->result, flight->sentence);
    flight_free(flight);
}

/* Nothing to write, and nothing that still has to be synced: no transaction is due. */
static bool batch_is_durable(const Kv *kv, const Batch *batch) {
    return batch->tree.len == 0 && !(batch->sync && kv->unsynced);
}

static void kv_flush(void *ctx) {
    Kv *kv = ctx;
    if (kv->flight || !kv_has_work(kv))
        return;
    if (kv->broken < 0) {
        waiters_call(&kv->open.waiters, kv->broken, kv->broken_sentence);
    } else if (!kv->file || batch_is_durable(kv, &kv->open)) {
        kv->open.sync = false;
        waiters_call(&kv->open.waiters, 0, NULL);
    } else {
        kv->flight = mem_new(Flight);
        kv->flight->kv = kv;
        kv->flight->file = kv_file_ref(kv->file);
        batch_move(&kv->flight->batch, &kv->open);
        loop_work(kv->loop, flight_run, flight_landed, kv->flight);
    }
}

int kv_open(Loop *loop, const KvOptions *options, Kv **ret_kv) {
    _cleanup_kv_ Kv *kv = mem_new(Kv);
    kv->loop = loop;
    kv->always_sync = options->always_sync;
    kv->unsynced = true; /* of a file we know nothing */
    batch_init(&kv->open);
    kv->flush = loop_task_new(loop, kv_flush, kv);
    if (options->path) {
        int r = kv_file_open(options->path, options->reserve, &kv->file);
        if (r < 0)
            return r;
    }
    *ret_kv = TAKE(kv);
    return 0;
}

/* What kv_close() still owes to the file. Failures find nobody who would hear of them: their
 * callbacks never came, so nothing was promised. */
static void kv_write_rest(Kv *kv) {
    Flight *flight = kv->flight;
    kv_file_lock(kv->file); /* waits for a transaction that is under way */
    int r = kv->broken;
    if (r == 0 && flight && !flight->over) {
        r = kv_file_apply(kv->file, &flight->batch.tree, flight->batch.sync);
        flight->over = true;
    } else if (r == 0 && flight) {
        r = flight->result;
    }
    if (r == 0 && kv->open.tree.len > 0)
        (void)!kv_file_apply(kv->file, &kv->open.tree, kv->open.sync);
    kv_file_unlock(kv->file);
    kv_file_close(kv->file);
}

Kv *kv_close(Kv *kv) {
    if (!kv)
        return NULL;
    if (kv->file)
        kv_write_rest(kv);
    if (kv->flight)
        kv->flight->kv = NULL;
    loop_task_free(kv->flush);
    kv_file_unref(kv->file);
    kv_tree_done(&kv->memory);
    batch_done(&kv->open);
    free(kv->broken_sentence);
    free(kv);
    return NULL;
}

/* The physical key, owned by the caller. */
static int physical_key(const char *table, Slice key, char **ret_data, Slice *ret_key) {
    size_t table_len = strlen(table) + 1, len = table_len + key.len;
    if (key.len > KV_KEY_MAX || len > KV_KEY_MAX)
        return error_origin(-EMSGSIZE, "a key of table %s has %zu bytes; at most %d fit", table,
                            key.len, KV_KEY_MAX - (int)table_len);
    char *data = mem_alloc(len);
    memcpy(data, table, table_len);
    if (key.len)
        memcpy(data + table_len, key.data, key.len);
    *ret_data = data;
    *ret_key = (Slice){ data, len };
    return 0;
}

static int kv_write(Kv *kv, const char *table, Slice key, Slice value, bool deleted) {
    if (value.len > KV_VALUE_MAX)
        return error_origin(-EMSGSIZE, "a value of table %s has %zu bytes; at most %d fit", table,
                            value.len, KV_VALUE_MAX);
    _cleanup_free_ char *data = NULL;
    Slice physical;
    int r = physical_key(table, key, &data, &physical);
    if (r < 0)
        return r;
    if (kv->file) {
        kv_tree_put(&kv->open.tree, physical, value, deleted);
        loop_task_arm(kv->flush);
    } else if (deleted) {
        kv_tree_remove(&kv->memory, physical);
    } else {
        kv_tree_put(&kv->memory, physical, value, false);
    }
    return 0;
}

int kv_put(Kv *kv, const char *table, Slice key, Slice value) {
    return kv_write(kv, table, key, value, false);
}

int kv_del(Kv *kv, const char *table, Slice key) {
    return kv_write(kv, table, key, (Slice){ 0 }, true);
}

void kv_commit(Kv *kv, KvSync sync, KvCommitted callback, void *userdata) {
    Waiter *waiter = mem_new(Waiter);
    waiter->callback = callback;
    waiter->userdata = userdata;
    list_push(&kv->open.waiters, &waiter->link);
    kv->open.sync |= sync == KV_SYNCED || kv->always_sync;
    loop_task_arm(kv->flush);
}

size_t kv_pending_bytes(const Kv *kv) {
    return kv->open.tree.bytes + (kv->flight ? kv->flight->batch.tree.bytes : 0);
}

/* The trees over the file (or instead of it), the newest first. */
static size_t kv_layers(const Kv *kv, const KvTree *ret_layers[static 2]) {
    size_t count = 0;
    ret_layers[count++] = kv->file ? &kv->open.tree : &kv->memory;
    if (kv->flight)
        ret_layers[count++] = &kv->flight->batch.tree;
    return count;
}

int kv_get(Kv *kv, const char *table, Slice key, Buf *value) {
    _cleanup_free_ char *data = NULL;
    Slice physical;
    int r = physical_key(table, key, &data, &physical);
    if (r < 0)
        return r;
    const KvTree *layers[2];
    size_t count = kv_layers(kv, layers);
    for (size_t i = 0; i < count; i++) {
        const KvNode *node = kv_tree_get(layers[i], physical);
        if (!node)
            continue;
        if (node->deleted)
            return KV_ABSENT;
        buf_clear(value);
        buf_add(value, node->value, node->value_len);
        return 0;
    }
    return kv->file ? kv_file_get(kv->file, physical, value) : KV_ABSENT;
}

/* A merge of the layers in key order; of equal keys the newest layer's counts. */
typedef struct Merge {
    size_t count;
    const KvTree *layers[2];
    const KvNode *at[2];
    KvFile *file; /* NULL: none, or at its end */
    Slice file_key, file_value;
} Merge;

static int merge_file_step(Merge *merge) {
    int r = kv_file_next(merge->file, &merge->file_key, &merge->file_value);
    if (r == 0)
        merge->file = NULL;
    return MIN(r, 0);
}

static int merge_begin(Merge *merge, Kv *kv, Slice from) {
    *merge = (Merge){ .file = kv->file };
    merge->count = kv_layers(kv, merge->layers);
    for (size_t i = 0; i < merge->count; i++)
        merge->at[i] = kv_tree_seek(merge->layers[i], from, false);
    if (!merge->file)
        return 0;
    int r = kv_file_begin(merge->file, from);
    return r < 0 ? r : merge_file_step(merge);
}

/* The smallest key of all, or false at the end. *ret_node is NULL if the file has it. */
static bool merge_top(const Merge *merge, Slice *ret_key, const KvNode **ret_node) {
    bool any = false;
    *ret_node = NULL;
    for (size_t i = 0; i < merge->count; i++) {
        const KvNode *node = merge->at[i];
        if (node && (!any || kv_key_compare(kv_node_key(node), *ret_key) < 0)) {
            any = true;
            *ret_key = kv_node_key(node);
            *ret_node = node;
        }
    }
    if (merge->file && (!any || kv_key_compare(merge->file_key, *ret_key) < 0)) {
        any = true;
        *ret_key = merge->file_key;
        *ret_node = NULL;
    }
    return any;
}

/* Steps every layer that stands at `key` (which may be borrowed from the file: it goes last). */
static int merge_pass(Merge *merge, Slice key) {
    for (size_t i = 0; i < merge->count; i++)
        if (merge->at[i] && kv_key_compare(kv_node_key(merge->at[i]), key) == 0)
            merge->at[i] = kv_tree_seek(merge->layers[i], key, true);
    if (merge->file && kv_key_compare(merge->file_key, key) == 0)
        return merge_file_step(merge);
    return 0;
}

static bool key_has_prefix(Slice key, Slice prefix) {
    return key.len >= prefix.len && memcmp(key.data, prefix.data, prefix.len) == 0;
}

static int merge_visit(Merge *merge, Slice prefix, size_t table_len, KvVisit visit,
                       void *userdata) {
    Slice key;
    const KvNode *node;
    while (merge_top(merge, &key, &node) && key_has_prefix(key, prefix)) {
        if (!node || !node->deleted) {
            Slice value = node ? kv_node_value(node) : merge->file_value;
            int r = visit(userdata, (Slice){ key.data + table_len, key.len - table_len }, value);
            if (r != 0)
                return r;
        }
        int r = merge_pass(merge, key);
        if (r < 0)
            return r;
    }
    return 0;
}

int kv_scan(Kv *kv, const char *table, Slice prefix, Slice start, KvVisit visit, void *userdata) {
    _cleanup_free_ char *prefix_data = NULL, *start_data = NULL;
    Slice physical_prefix, physical_start;
    int r = physical_key(table, prefix, &prefix_data, &physical_prefix);
    if (r < 0)
        return r;
    r = physical_key(table, start, &start_data, &physical_start);
    if (r < 0)
        return r;
    bool later = kv_key_compare(physical_start, physical_prefix) > 0;
    Merge merge;
    r = merge_begin(&merge, kv, later ? physical_start : physical_prefix);
    if (r == 0)
        r = merge_visit(&merge, physical_prefix, strlen(table) + 1, visit, userdata);
    if (kv->file)
        kv_file_end(kv->file);
    return r;
}
