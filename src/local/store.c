/* SPDX-License-Identifier: Apache-2.0 */
#include "local/store.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/map.h"

/*
 * The log is two tables of the Kv: "objects", `table/ns/name` to the text, and "meta" with the
 * revision, which must never be given twice, not even when the last write was a deletion.
 *
 *     events   [ . . . . . . . | . . . ]
 *               ^ window start  ^ durable
 * Events behind `durable` wait for their commit; they are never dropped from the window.
 */

typedef struct Waiter {
    List link;
    uint64_t revision;
    void (*call)(void *userdata);
    void *userdata;
} Waiter;

struct Store {
    Kv *kv;
    StoreLimits limits;
    StrMap tables;
    uint64_t revision, durable, oldest;
    int failure;
    StoreBroken *broken;
    void *broken_ctx;
    size_t bytes;

    StoreEvent *ring; /* capacity is a power of two, grown when full of undurable events */
    size_t ring_cap, ring_head, ring_len, ring_bytes;

    List watches;
    List waiters; /* in order of revision */
    List cursor;  /* marks the place while watches are called */
};

static int key_compare(const Object *object, const char *ns, const char *name) {
    int order = strcmp(object->ns, ns);
    return order ? order : strcmp(object->name, name);
}

size_t store_find(Object *const *items, size_t len, const char *ns, const char *name) {
    size_t low = 0, high = len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_compare(items[middle], ns, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t store_lower_bound(const StoreTable *table, const char *ns, const char *name) {
    return store_find(table->objects.items, table->objects.len, ns, name);
}

Object *store_get(const StoreTable *table, const char *ns, const char *name) {
    size_t at = store_lower_bound(table, ns, name);
    if (at == table->objects.len || key_compare(table->objects.items[at], ns, name) != 0)
        return NULL;
    return table->objects.items[at];
}

StoreTable *store_table(Store *store, const char *name) {
    StoreTable *table = strmap_get(&store->tables, name);
    if (table)
        return table;
    table = mem_new(StoreTable);
    table->name = str_dup(name);
    strmap_put(&store->tables, name, table);
    return table;
}

static void table_insert(Store *store, StoreTable *table, Object *object) {
    size_t at = store_lower_bound(table, object->ns, object->name);
    vec_reserve(&table->objects, table->objects.len + 1);
    Object **slot = table->objects.items + at;
    memmove(slot + 1, slot, (table->objects.len - at) * sizeof(*slot));
    *slot = object;
    table->objects.len++;
    table->bytes += object->len;
    store->bytes += object->len;
}

/* Loading. */

static int load_object(void *userdata, Slice key, Slice text) {
    Store *store = userdata;
    _cleanup_free_ char *path = str_dup_slice(key);
    char *ns = strchr(path, '/'), *name = ns ? strchr(ns + 1, '/') : NULL;
    if (!name)
        return error_origin(-EBADMSG, "the log has an object with the key \"%s\"", path);
    *ns++ = 0;
    *name++ = 0;
    json_error_t error;
    json_t *value = json_loadb(text.data, text.len, 0, &error);
    if (!value)
        return error_origin(-EBADMSG, "the log's %s %s/%s is no JSON: %s", path, ns, name,
                            error.text);
    uint64_t revision = 0;
    const char *version =
        json_string_value(json_object_get(json_object_get(value, "metadata"), "resourceVersion"));
    int r = version ? str_to_u64(version, &revision) : -EINVAL;
    json_decref(value);
    if (r < 0)
        return error_origin(-EBADMSG, "the log's %s %s/%s has no resourceVersion", path, ns, name);
    table_insert(store, store_table(store, path),
                 object_new_text(revision, ns, name, text.data, text.len));
    store->revision = MAX(store->revision, revision);
    return 0;
}

static int load(Store *store) {
    _cleanup_buf_ Buf text = { 0 };
    int r = kv_get(store->kv, "meta", SLICE("revision"), &text);
    if (r < 0)
        return r;
    if (r == 0) {
        r = str_to_u64(text.data, &store->revision);
        if (r < 0)
            return error_origin(-EBADMSG, "the log's revision \"%s\" is no number", text.data);
    }
    r = kv_scan(store->kv, "objects", (Slice){ 0 }, (Slice){ 0 }, load_object, store);
    if (r < 0)
        return r;
    store->durable = store->oldest = store->revision;
    return 0;
}

int store_open(Kv *kv, const StoreLimits *limits, Store **ret_store) {
    ASSERT(limits->window_events > 0);
    _cleanup_(store_closep) Store *store = mem_new(Store);
    store->kv = kv;
    store->limits = *limits;
    store->ring_cap = 64;
    store->ring = mem_array(StoreEvent, store->ring_cap);
    list_init(&store->watches);
    list_init(&store->waiters);
    list_init(&store->cursor);
    int r = load(store);
    if (r < 0)
        return r;
    *ret_store = TAKE(store);
    return 0;
}

/* The window. */

static StoreEvent *ring_at(const Store *store, size_t index) {
    return &store->ring[(store->ring_head + index) & (store->ring_cap - 1)];
}

static size_t event_cost(const StoreEvent *event) {
    return sizeof(*event) + event->now->len + (event->before ? event->before->len : 0);
}

static void ring_drop_first(Store *store) {
    StoreEvent *event = ring_at(store, 0);
    store->oldest = event->revision;
    store->ring_bytes -= event_cost(event);
    object_unref(event->now);
    object_unref(event->before);
    store->ring_head = (store->ring_head + 1) & (store->ring_cap - 1);
    store->ring_len--;
}

static void ring_trim(Store *store) {
    while (store->ring_len > 0 && ring_at(store, 0)->revision <= store->durable &&
           (store->ring_len > store->limits.window_events ||
            store->ring_bytes > store->limits.window_bytes))
        ring_drop_first(store);
}

static void ring_grow(Store *store) {
    StoreEvent *ring = mem_array(StoreEvent, store->ring_cap * 2);
    for (size_t i = 0; i < store->ring_len; i++)
        ring[i] = *ring_at(store, i);
    free(store->ring);
    store->ring = ring;
    store->ring_head = 0;
    store->ring_cap *= 2;
}

static void ring_push(Store *store, StoreEvent event) {
    if (store->ring_len == store->ring_cap)
        ring_grow(store);
    object_ref(event.now);
    if (event.before)
        object_ref(event.before);
    *ring_at(store, store->ring_len++) = event;
    store->ring_bytes += event_cost(&event);
}

Store *store_close(Store *store) {
    if (!store)
        return NULL;
    const char *name;
    StoreTable *table;
    for (size_t pos = 0; (table = strmap_next(&store->tables, &pos, &name));) {
        VEC_EACH(object, &table->objects)
            object_unref(*object);
        vec_done(&table->objects);
        free(table->name);
        free(table);
    }
    strmap_done(&store->tables);
    while (store->ring_len > 0)
        ring_drop_first(store);
    free(store->ring);
    LIST_EACH_SAFE(item, &store->waiters)
        free(LIST_ITEM(item, Waiter, link));
    LIST_EACH_SAFE(watch, &store->watches)
        list_remove(watch);
    free(store);
    return NULL;
}

void store_rest(Store *store) {
    StoreTable *table;
    for (size_t pos = 0; (table = strmap_next(&store->tables, &pos, NULL));)
        VEC_EACH(object, &table->objects)
            object_rest(*object);
}

uint64_t store_revision(const Store *store) {
    return store->revision;
}

uint64_t store_durable(const Store *store) {
    return store->durable;
}

uint64_t store_oldest(const Store *store) {
    return store->oldest;
}

size_t store_bytes(const Store *store) {
    return store->bytes;
}

int store_failure(const Store *store) {
    return store->failure;
}

void store_on_broken(Store *store, StoreBroken *broken, void *ctx) {
    store->broken = broken;
    store->broken_ctx = ctx;
}

/* Durability: one commit callback a write, so that events go out in order. */

static void tell_watches(Store *store, const StoreEvent *event) {
    for (List *item = store->watches.next; item != &store->watches;) {
        StoreWatch *watch = LIST_ITEM(item, StoreWatch, link);
        /* The callback may remove any watch: a cursor in the list keeps the place. */
        list_push_front(item, &store->cursor);
        if ((!watch->table || watch->table == event->table) && event->revision > watch->after)
            watch->on_event(watch, event);
        item = store->cursor.next;
        list_remove(&store->cursor);
    }
}

static void run_waiters(Store *store) {
    while (!list_empty(&store->waiters)) {
        Waiter *waiter = LIST_ITEM(store->waiters.next, Waiter, link);
        if (waiter->revision > store->durable)
            break;
        list_remove(&waiter->link);
        waiter->call(waiter->userdata);
        free(waiter);
    }
}

static void on_commit(void *userdata, int result) {
    Store *store = userdata;
    if (store->failure)
        return;
    if (result < 0) {
        store->failure = result;
        if (store->broken)
            store->broken(store->broken_ctx, result);
        return;
    }
    uint64_t done = store->durable + 1;
    size_t index = store->ring_len - (size_t)(store->revision - store->durable);
    StoreEvent event = *ring_at(store, index);
    ASSERT(event.revision == done);
    store->durable = done;
    object_ref(event.now);
    tell_watches(store, &event);
    object_unref(event.now);
    run_waiters(store);
    ring_trim(store);
}

static void on_nothing_pending(void *userdata, int result) {
    Store *store = userdata;
    if (result == 0 && !store->failure)
        run_waiters(store);
}

void store_when_durable(Store *store, void (*call)(void *userdata), void *userdata) {
    Waiter *waiter = mem_new(Waiter);
    *waiter = (Waiter){ .revision = store->revision, .call = call, .userdata = userdata };
    list_init(&waiter->link);
    list_push(&store->waiters, &waiter->link);
    if (waiter->revision == store->durable)
        kv_commit(store->kv, KV_LOGGED, on_nothing_pending, store);
}

void store_forget(Store *store, void *userdata) {
    LIST_EACH_SAFE(item, &store->waiters) {
        Waiter *waiter = LIST_ITEM(item, Waiter, link);
        if (waiter->userdata != userdata)
            continue;
        list_remove(item);
        free(waiter);
    }
}

/* Writing. */

static int log_write_object(Store *store, const StoreTable *table, const Object *object,
                            bool is_delete, uint64_t revision) {
    _cleanup_buf_ Buf key = { 0 };
    buf_printf(&key, "%s/%s/%s", table->name, object->ns, object->name);
    int r = is_delete ? kv_del(store->kv, "objects", buf_slice(&key))
                      : kv_put(store->kv, "objects", buf_slice(&key),
                               (Slice){ object->text, object->len });
    if (r < 0)
        return r;
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, revision);
    return kv_put(store->kv, "meta", SLICE("revision"), slice_str(text));
}

static void publish(Store *store, StoreEvent event) {
    store->revision = event.revision;
    ring_push(store, event);
    kv_commit(store->kv, KV_LOGGED, on_commit, store);
}

int store_create(Store *store, StoreTable *table, const char *ns, const char *name, json_t *value,
                 Object **ret_object) {
    if (store_get(table, ns, name)) {
        json_decref(value);
        return STORE_EXISTS;
    }
    uint64_t revision = store->revision + 1;
    Object *object = object_new(revision, ns, name, value);
    int r = log_write_object(store, table, object, false, revision);
    if (r < 0) {
        object_unref(object);
        return r;
    }
    table_insert(store, table, object);
    publish(store, (StoreEvent){ STORE_ADDED, revision, table, object, NULL });
    *ret_object = object;
    return 0;
}

int store_update(Store *store, StoreTable *table, Object *old, json_t *value, Object **ret_object) {
    size_t at = store_lower_bound(table, old->ns, old->name);
    ASSERT(at < table->objects.len && table->objects.items[at] == old);
    uint64_t revision = store->revision + 1;
    Object *object = object_new(revision, old->ns, old->name, value);
    int r = log_write_object(store, table, object, false, revision);
    if (r < 0) {
        object_unref(object);
        return r;
    }
    table->objects.items[at] = object;
    table->bytes += object->len - old->len;
    store->bytes += object->len - old->len;
    publish(store, (StoreEvent){ STORE_MODIFIED, revision, table, object, old });
    object_retire(old);
    object_unref(old);
    *ret_object = object;
    return 0;
}

int store_delete(Store *store, StoreTable *table, Object *old, Object **ret_object) {
    size_t at = store_lower_bound(table, old->ns, old->name);
    ASSERT(at < table->objects.len && table->objects.items[at] == old);
    uint64_t revision = store->revision + 1;
    int r = log_write_object(store, table, old, true, revision);
    if (r < 0)
        return r;
    json_t *shared = object_value(old);
    Object *last = object_new(revision, old->ns, old->name, json_deep_copy(shared));
    json_decref(shared);
    vec_remove(&table->objects, at);
    table->bytes -= old->len;
    store->bytes -= old->len;
    publish(store, (StoreEvent){ STORE_DELETED, revision, table, last, old });
    object_retire(old);
    object_unref(old);
    if (ret_object)
        *ret_object = last; /* the window holds it until the next write at least */
    object_unref(last);
    return 0;
}

/* Watching. */

void store_watch(Store *store, StoreWatch *watch) {
    ASSERT(watch->on_event);
    list_init(&watch->link);
    list_push(&store->watches, &watch->link);
}

void store_unwatch(StoreWatch *watch) {
    if (watch->link.next)
        list_remove(&watch->link);
}

int store_replay(Store *store, StoreTable *table, uint64_t since,
                 void (*visit)(void *userdata, const StoreEvent *event), void *userdata) {
    if (since < store->oldest)
        return STORE_GONE;
    for (size_t i = 0; i < store->ring_len; i++) {
        const StoreEvent *event = ring_at(store, i);
        if (event->revision > store->durable)
            break;
        if (event->revision > since && event->table == table)
            visit(userdata, event);
    }
    return 0;
}

/* The past. */

void store_snapshot_done(StoreSnapshot *snapshot) {
    VEC_EACH(object, snapshot)
        object_unref(*object);
    vec_done(snapshot);
}

static void snapshot_insert(StoreSnapshot *snapshot, size_t at, Object *object) {
    vec_reserve(snapshot, snapshot->len + 1);
    Object **slot = snapshot->items + at;
    memmove(slot + 1, slot, (snapshot->len - at) * sizeof(*slot));
    *slot = object_ref(object);
    snapshot->len++;
}

static void snapshot_undo(StoreSnapshot *snapshot, const StoreEvent *event) {
    const Object *object = event->now;
    size_t at = store_find(snapshot->items, snapshot->len, object->ns, object->name);
    if (event->type == STORE_DELETED) {
        snapshot_insert(snapshot, at, event->before);
        return;
    }
    ASSERT(at < snapshot->len && snapshot->items[at] == object);
    object_unref(snapshot->items[at]);
    if (event->type == STORE_MODIFIED)
        snapshot->items[at] = object_ref(event->before);
    else
        vec_remove(snapshot, at);
}

int store_snapshot(Store *store, StoreTable *table, uint64_t revision,
                   StoreSnapshot *ret_snapshot) {
    StoreSnapshot snapshot = { 0 };
    if (revision < store->oldest)
        return STORE_GONE;
    vec_reserve(&snapshot, table->objects.len);
    VEC_EACH(object, &table->objects)
        snapshot.items[snapshot.len++] = object_ref(*object);
    for (size_t i = store->ring_len; i-- > 0 && ring_at(store, i)->revision > revision;)
        if (ring_at(store, i)->table == table)
            snapshot_undo(&snapshot, ring_at(store, i));
    *ret_snapshot = snapshot;
    return 0;
}
