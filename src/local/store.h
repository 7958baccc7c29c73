/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All objects, in memory, with a revision that counts writes, a log that is durable before anyone
 * is told, and a bounded window of past events for watches.
 *
 * A write takes effect at once for later reads. Whoever answers a client does so from
 * store_when_durable(), since what was read may not be logged yet. Events reach watches when
 * they are durable, in order of revision, one for each write.
 */

#include "base/list.h"
#include "base/vec.h"
#include "kv/kv.h"
#include "local/object.h"

typedef struct Store Store;
typedef struct StoreTable StoreTable;

/* Positive answers. */
enum {
    STORE_EXISTS = 1, /* an object of that name is there */
    STORE_GONE,       /* the window no longer reaches back to that revision */
};

typedef enum StoreEventType {
    STORE_ADDED,
    STORE_MODIFIED,
    STORE_DELETED,
} StoreEventType;

typedef struct StoreEvent {
    StoreEventType type;
    uint64_t revision;
    StoreTable *table;
    Object *now;    /* for a deletion: the last state, with the revision of the deletion */
    Object *before; /* NULL when added */
} StoreEvent;

/* Embedded by its owner. Events with revisions up to `after` are not delivered. */
typedef struct StoreWatch StoreWatch;
struct StoreWatch {
    List link;
    StoreTable *table; /* NULL: every table */
    uint64_t after;
    void (*on_event)(StoreWatch *watch, const StoreEvent *event);
};

/* A table is the objects of one resource, "pods" or "rayclusters.ray.io", sorted by namespace and
 * name. */
struct StoreTable {
    char *name;
    Vec(Object *) objects;
    size_t bytes; /* of all texts */
};

typedef struct StoreLimits {
    size_t window_events; /* past events kept for watches */
    size_t window_bytes;
} StoreLimits;

/* The log can't be written any more: memory and log differ from now on, the process has to end. */
typedef void StoreBroken(void *ctx, int r);

/* Loads what the log holds. `kv` is borrowed and closed before the store, so that no callback is
 * left. */
_must_check_ int store_open(Kv *kv, const StoreLimits *limits, Store **ret_store);
Store *store_close(Store *store); /* takes NULL; no callback comes afterwards */
DEFINE_CLEANUP(Store *, store_close);

/* Drops the trees of objects that nobody asked for since the last call. */
void store_rest(Store *store);

uint64_t store_revision(const Store *store);
uint64_t store_durable(const Store *store); /* up to here watches were told */
size_t store_bytes(const Store *store);     /* texts of all live objects */
/* Not 0: the log failed for good; the process has to end. */
int store_failure(const Store *store);
void store_on_broken(Store *store, StoreBroken *broken, void *ctx);

/* Made on first use; lives as long as the store. */
StoreTable *store_table(Store *store, const char *name);
/* Borrowed until the next write; NULL when absent. */
Object *store_get(const StoreTable *table, const char *ns, const char *name);
/* Position of the first object at or after (ns, name), for walking a namespace or a page. */
size_t store_lower_bound(const StoreTable *table, const char *ns, const char *name);
/* The same in any list of objects in order. */
size_t store_find(Object *const *items, size_t len, const char *ns, const char *name);

/* Writes take `value` over in every case. The result is borrowed until the next write. */
_must_check_ int store_create(Store *store, StoreTable *table, const char *ns, const char *name,
                              json_t *value, Object **ret_object);
_must_check_ int store_update(Store *store, StoreTable *table, Object *old, json_t *value,
                              Object **ret_object);
_must_check_ int store_delete(Store *store, StoreTable *table, Object *old, Object **ret_object);

/* Calls back once everything written until now is logged: at once from the loop, never from
 * inside. When the log failed it is not called. */
void store_when_durable(Store *store, void (*call)(void *userdata), void *userdata);
/* Forgets calls with that userdata. */
void store_forget(Store *store, void *userdata);

void store_watch(Store *store, StoreWatch *watch);
void store_unwatch(StoreWatch *watch); /* may be called twice and from inside an event */
/* Visits the events of `table` after `since` that are durable. STORE_GONE, nothing visited, if
 * the window starts later. */
_must_check_ int store_replay(Store *store, StoreTable *table, uint64_t since,
                              void (*visit)(void *userdata, const StoreEvent *event),
                              void *userdata);
/* The objects of `table` as they were at `revision`, in order: new references. STORE_GONE if the
 * window starts later. */
typedef struct StoreSnapshot {
    Object **items;
    size_t len, cap;
} StoreSnapshot;
_must_check_ int store_snapshot(Store *store, StoreTable *table, uint64_t revision,
                                StoreSnapshot *ret_snapshot);
void store_snapshot_done(StoreSnapshot *snapshot);
/* The oldest revision a watch can start from. */
uint64_t store_oldest(const Store *store);
