/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looking at and ending processes that need not be our children. */

#include <sys/types.h>

#include "base/base.h"
#include "base/vec.h"

/* When the process began, in kernel ticks since boot: with the pid it names one process for good.
 * -ESRCH if there is none (a zombie counts as one). */
_must_check_ int process_start_time(pid_t pid, uint64_t *ret_ticks);

bool process_alive(pid_t pid); /* exists and is no zombie */

typedef Vec(pid_t) PidList;

/* The process and all its descendants at this moment, children after parents. A process that was
 * left by its parent (double fork) is found only through the session or group it kept. */
_must_check_ int process_tree(pid_t root, PidList *ret_pids);

/* Signals every process of `root`'s tree, its group and its session, over and over until a pass
 * finds nobody new, so that a forking tree cannot outrun it. Never signals pid 1 or ourselves. */
int process_kill_tree(pid_t root, int signal);

/* Processes one of whose environment strings is `entry` ("NAME=value"), except ourselves: those a
 * session or pod started, however they daemonised. Only the same PID namespace, and only where
 * /proc lets us read. */
_must_check_ int process_find_by_env(const char *entry, PidList *ret_pids);
