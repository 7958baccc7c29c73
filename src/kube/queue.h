/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys that want work. Pure: callers pass `now` and ask when to come again.
 *   - A key waits at most once; added while it is being worked on, it waits again after.
 *   - A key that fails comes back later each time: base, base*2, ... up to max, until forgotten.
 *   - Keys are handed out in the order in which they became ready.
 */

#include "base/base.h"

typedef struct WorkQueue WorkQueue;

/* 0: 5 ms and 1000 s, as controller-runtime has them. */
WorkQueue *work_queue_new(usec_t base_delay, usec_t max_delay);
WorkQueue *work_queue_free(WorkQueue *queue);
DEFINE_CLEANUP(WorkQueue *, work_queue_free);

void work_queue_add(WorkQueue *queue, const char *key, usec_t now);
/* Not before `when`; an earlier time that is set already stays. */
void work_queue_add_at(WorkQueue *queue, const char *key, usec_t when);
/* After a failure: with this key's next delay. */
void work_queue_add_failed(WorkQueue *queue, const char *key, usec_t now);
/* It went well: the next failure starts from the base again. */
void work_queue_forget(WorkQueue *queue, const char *key);

/* The next ready key, which is then being worked on until work_queue_done(). NULL: none is ready.
 * Borrowed until done. */
const char *work_queue_take(WorkQueue *queue, usec_t now);
void work_queue_done(WorkQueue *queue, const char *key);

/* When to ask again: `now` or before if a key is ready, USEC_INFINITY if none waits. */
usec_t work_queue_next(const WorkQueue *queue);
size_t
work_queue_waiting(const WorkQueue *queue); /* ready and delayed, not those being worked on */
unsigned work_queue_failures(const WorkQueue *queue, const char *key);
