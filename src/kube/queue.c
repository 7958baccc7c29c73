/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/queue.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define BASE_DELAY (5 * USEC_PER_MSEC)
#define MAX_DELAY  (1000 * USEC_PER_SEC)

typedef struct Item {
    List link;   /* in WorkQueue.ready, or in .delayed ordered by `when` */
    char *key;
    usec_t when; /* USEC_INFINITY: does not wait */
    unsigned failures;
    bool working;
} Item;

struct WorkQueue {
    StrMap items;
    List ready;   /* wait for a worker, in order */
    List delayed; /* wait for their time, soonest first */
    size_t waiting;
    usec_t base_delay, max_delay;
};

WorkQueue *work_queue_new(usec_t base_delay, usec_t max_delay) {
    WorkQueue *queue = mem_new(WorkQueue);
    list_init(&queue->ready);
    list_init(&queue->delayed);
    queue->base_delay = base_delay ? base_delay : BASE_DELAY;
    queue->max_delay = max_delay ? max_delay : MAX_DELAY;
    return queue;
}

static void item_free(Item *item) {
    mem_free(item->key);
    mem_free(item);
}

WorkQueue *work_queue_free(WorkQueue *queue) {
    if (!queue)
        return NULL;
    size_t pos = 0;
    for (Item *item; (item = strmap_next(&queue->items, &pos, NULL));)
        item_free(item);
    strmap_done(&queue->items);
    return mem_free(queue);
}

static Item *item_get(WorkQueue *queue, const char *key) {
    Item *item = strmap_get(&queue->items, key);
    if (item)
        return item;
    item = mem_new(Item);
    item->key = str_dup(key);
    item->when = USEC_INFINITY;
    list_init(&item->link);
    strmap_put(&queue->items, key, item);
    return item;
}

/* A key is remembered as long as it waits, is worked on, or has failed. */
static void item_drop_idle(WorkQueue *queue, Item *item) {
    if (item->working || item->when != USEC_INFINITY || item->failures)
        return;
    strmap_remove(&queue->items, item->key);
    item_free(item);
}

static void delay(WorkQueue *queue, Item *item) {
    List *at = queue->delayed.prev;
    while (at != &queue->delayed && LIST_ITEM(at, Item, link)->when > item->when)
        at = at->prev;
    list_push_front(at, &item->link);
}

static void wait_until(WorkQueue *queue, Item *item, usec_t when) {
    if (item->when <= when)
        return; /* waits already, and no longer than that */
    if (item->when == USEC_INFINITY)
        queue->waiting++;
    item->when = when;
    if (item->working)
        return; /* work_queue_done() puts it into a list */
    list_remove(&item->link);
    delay(queue, item);
}

void work_queue_add(WorkQueue *queue, const char *key, usec_t now) {
    wait_until(queue, item_get(queue, key), now);
}

void work_queue_add_at(WorkQueue *queue, const char *key, usec_t when) {
    if (when != USEC_INFINITY)
        wait_until(queue, item_get(queue, key), when);
}

void work_queue_add_failed(WorkQueue *queue, const char *key, usec_t now) {
    Item *item = item_get(queue, key);
    usec_t after = queue->base_delay;
    for (unsigned i = 0; i < item->failures && after < queue->max_delay; i++)
        after *= 2;
    item->failures++;
    wait_until(queue, item, now + MIN(after, queue->max_delay));
}

void work_queue_forget(WorkQueue *queue, const char *key) {
    Item *item = strmap_get(&queue->items, key);
    if (!item)
        return;
    item->failures = 0;
    item_drop_idle(queue, item);
}

static void wake_due(WorkQueue *queue, usec_t now) {
    while (!list_empty(&queue->delayed)) {
        Item *first = LIST_ITEM(queue->delayed.next, Item, link);
        if (first->when > now)
            break;
        list_remove(&first->link);
        list_push(&queue->ready, &first->link);
    }
}

const char *work_queue_take(WorkQueue *queue, usec_t now) {
    wake_due(queue, now);
    List *link = list_pop(&queue->ready);
    if (!link)
        return NULL;
    Item *item = LIST_ITEM(link, Item, link);
    item->when = USEC_INFINITY;
    item->working = true;
    queue->waiting--;
    return item->key;
}

void work_queue_done(WorkQueue *queue, const char *key) {
    Item *item = strmap_get(&queue->items, key);
    ASSERT(item && item->working);
    item->working = false;
    if (item->when != USEC_INFINITY)
        delay(queue, item);
    else
        item_drop_idle(queue, item);
}

usec_t work_queue_next(const WorkQueue *queue) {
    if (!list_empty(&queue->ready))
        return LIST_ITEM(queue->ready.next, Item, link)->when;
    return list_empty(&queue->delayed) ? USEC_INFINITY
                                       : LIST_ITEM(queue->delayed.next, Item, link)->when;
}

size_t work_queue_waiting(const WorkQueue *queue) {
    return queue->waiting;
}

unsigned work_queue_failures(const WorkQueue *queue, const char *key) {
    const Item *item = strmap_get(&queue->items, key);
    return item ? item->failures : 0;
}
