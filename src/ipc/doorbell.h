/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One doorbell a process: a shared page that says how its reader sleeps, and an eventfd. Whoever
 * wrote to one of its rings rings it; that costs a system call only when somebody sleeps.
 *
 *   BUSY   nobody sleeps: the reader looks at its rings before it sleeps. So that a reader which
 *          runs user code for long does not leave a message lying, the first ring in a busy
 *          period also writes the eventfd (`kicked`), and the process's pump looks after a moment.
 *   FUTEX  a thread sleeps on the page itself.
 *   EVENT  a loop sleeps on the eventfd.
 *   SPIN   a thread watches the page for a moment before it goes to FUTEX or EVENT: a ring is one store.
 *
 * The order that makes it safe: a writer publishes, fences, looks at the mode; a sleeper sets the
 * mode, fences, looks at its rings once more.
 */

#include "base/base.h"

enum {
    DOORBELL_BUSY = 0,
    DOORBELL_FUTEX = 1,
    DOORBELL_EVENT = 2,
    DOORBELL_SPIN = 3
};
enum {
    DOORBELL_PAGE = 4096
};

typedef struct DoorbellPage {
    _Alignas(64) _Atomic uint32_t mode;
    _Atomic uint32_t kicked;
} DoorbellPage;

typedef struct Doorbell {
    DoorbellPage *page;
    int memfd, eventfd; /* owned; memfd is -1 once mapped by a peer */
} Doorbell;

/* Makes the page and the eventfd (the raylet does, for each process). */
_must_check_ int doorbell_create(Doorbell *ret_bell);
/* Maps a page that came over a socket; takes both fds, also on failure. */
_must_check_ int doorbell_open(int memfd, int eventfd, Doorbell *ret_bell);
void doorbell_done(Doorbell *bell);

/* After publishing to a ring of this process. */
void doorbell_ring(Doorbell *bell);

/* The sleeper: prepare, look at the rings, then sleep or stay. `mode` FUTEX or EVENT. */
void doorbell_prepare(Doorbell *bell, uint32_t mode);
/* Back to BUSY, whether it slept or not. */
void doorbell_wake_up(Doorbell *bell);
/* Prepared with SPIN: watches the page for `rounds`, then goes on to `then`, FUTEX or EVENT. True when
 * it was rung. */
bool doorbell_spin(Doorbell *bell, uint32_t rounds, uint32_t then);
/* Sleeps while the mode is FUTEX, at most until `timeout`. True when it was rung; false when time
 * ran out; *ret_signal when a signal came. */
bool doorbell_sleep(Doorbell *bell, usec_t timeout, bool *ret_signal);
/* Wakes the process's sleeper without a message: for its own other threads. */
void doorbell_poke(Doorbell *bell);
/* Makes the eventfd readable, whatever the mode: for a loop that sleeps on it. */
void doorbell_call(Doorbell *bell);
/* Reads the eventfd empty and lets the next busy period kick again. */
void doorbell_clear_event(Doorbell *bell);
