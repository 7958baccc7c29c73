/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an agent has to do that takes long: folders to be removed, pods of former agents to be ended.
 * One chore after another runs on a thread, and the loop goes on meanwhile.
 */

#include "loop/loop.h"

typedef struct Chores Chores;

Chores *chores_new(Loop *loop);
/* Waits until all are done: not from a callback of the loop. */
Chores *chores_free(Chores *chores);

/* `run` is called on a thread and touches `job` alone; then `done` on the loop, with what `run` gave
 * and its sentence. `done` frees the job. */
typedef int ChoreFn(void *job);
typedef void ChoreDoneFn(void *job, int r);
void chores_add(Chores *chores, ChoreFn *run, ChoreDoneFn *done, void *job);
/* Removes a folder that nobody uses any more; what can't be removed is logged. Asked for twice, it is
 * removed once. */
void chores_remove(Chores *chores, const char *folder);

bool chores_busy(const Chores *chores);
/* When the one under way began, by loop_now(); 0: none is. */
usec_t chores_since(const Chores *chores);
