/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Intrusive doubly linked list. A head is a List that points to itself; so is an unlinked item. */

#include "base/base.h"

typedef struct List List;
struct List {
    List *next, *prev;
};

#define LIST_INIT(name)       ((List){ &(name), &(name) })
#define LIST_EACH(item, head) for (List *item = (head)->next; item != (head); item = item->next)
#define LIST_EACH_SAFE(item, head)                                                                 \
    for (List *item = (head)->next, *item##_next = item->next; item != (head);                     \
         item = item##_next, item##_next = item->next)
#define LIST_ITEM(item, type, field) CONTAINER_OF(item, type, field)

static inline void list_init(List *list) {
    list->next = list->prev = list;
}
static inline bool list_empty(const List *list) {
    return list->next == list;
}
static inline void list_push(List *head, List *item) { /* at the end */
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}
static inline void list_push_front(List *head, List *item) {
    list_push(head->next, item);
}
/* Safe to call twice. */
static inline void list_remove(List *item) {
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}
static inline List *list_pop(List *head) { /* the first, or NULL */
    if (list_empty(head))
        return NULL;
    List *item = head->next;
    list_remove(item);
    return item;
}
/* Moves everything from `from` to the end of `to`. */
static inline void list_splice(List *to, List *from) {
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
