/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the tests of the runtime share: workers, as threads, and a driver against a raylet in miniature.
 * Several Cores live in one process, so the thread sanitizer sees both ends of every ring.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/test.h"
#include "core/core_private.h"
#include "core/mini_raylet.h"

/* Echoes its arguments, or does what their first byte says. */
typedef struct Worker {
    Core *core;
    pthread_t thread;
    _Atomic(CoreRef *) kept; /* a reference it retained */
    _Atomic int ran, yielded;
    _Atomic bool left;       /* by who read its stream */
    bool die_on_x, mad_on_x; /* mad: it says what can't be read, and does not end its call */
} Worker;

Core *connect_as(Mini *mini, Role role);
void worker_run(Worker *w, CoreTask *task);

typedef struct World {
    Mini mini;
    Worker workers[2];  /* the newest gets the first lease */
    size_t workers_len;
    Core *core;         /* a driver */
    CoreTemplate *echo; /* its: one result, three retries, a CPU */
} World;

void world_start(World *it, size_t workers);
void world_stop(World *it);

/* A call with these arguments. */
CoreRef *submit(Core *core, CoreTemplate *t, const void *bytes, size_t len);
/* These wait for the value, 20 s at most. */
void wait_for(Core *core, CoreRef *ref);
void check_echo(Core *core, CoreRef *ref, const void *bytes, size_t len);
void check_error(Core *core, CoreRef *ref);
/* Everything is let go soon. */
void counts_go_to_zero(Core *core);
