/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One daemon's world: a thread, its file descriptors, timers, signals, children and time.
 *
 * The contract, for everything below and for all that is built on it:
 *   - A Loop and what belongs to it are touched from one thread, the one that runs it. The two
 *     exceptions are loop_wake_send() and the `run` half of loop_work().
 *   - A callback is never called from inside the call that registers or arms it; a registration
 *     that fails never calls back.
 *   - x_free() (NULL is fine) is the cancel: when it has returned, its callback does not come any
 *     more. It may be called from inside any callback, also from its own. Nothing needs to be
 *     waited for. (loop_work is different and says so.)
 *   - A tick is: descriptors, signals, children and wakes that are ready; timers that are due; then
 *     everything deferred until nothing is; then the before-sleep hooks in the order of their
 *     making; then sleep. Whatever a hook defers or arms runs before the sleep.
 *   - loop_now() stands still inside a tick. With a virtual clock it stands still until nothing
 *     is left to do, then jumps to the next timer: hours of a simulated cluster pass in
 *     milliseconds. Many simulated nodes share one Loop.
 */

#include <signal.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/error.h"

typedef struct Loop Loop;
typedef void LoopFn(void *ctx);

/* Life. Free what belongs to a loop before the loop; loop_free() asserts that nothing is left but
 * work, which it waits for (its `done` gets -ECANCELED). */
_must_check_ int loop_new(Loop **ret_loop);
_must_check_ int loop_new_virtual(usec_t now, usec_t wall_now, Loop **ret_loop);
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop *, loop_free);

/* Runs ticks until loop_stop(), or until nothing is left that could ever happen (no timer armed,
 * no descriptor watched, no child, no signal, no wake, no work). */
void loop_run(Loop *loop);
void loop_stop(Loop *loop);
/* One tick that sleeps no longer than until `deadline` (0: not at all). For tests and for callers
 * with a loop of their own around: `while (!done && loop_now(loop) < deadline) loop_tick(...)`. */
void loop_tick(Loop *loop, usec_t deadline);
/* Virtual clock only: runs all that happens up to `until`, then stands at `until`. */
void loop_run_until(Loop *loop, usec_t until);

/* Time: monotonic microseconds, and the wall clock; both as of the start of the tick. */
usec_t loop_now(const Loop *loop);
usec_t loop_wall_now(const Loop *loop);
/* now + delay without overflow; USEC_INFINITY stays that. */
usec_t loop_deadline(const Loop *loop, usec_t delay);

/* Calls `fn` once after the callback that is running, before the loop sleeps. No way back: use a
 * LoopTask where `ctx` can go away. */
void loop_defer(Loop *loop, LoopFn *fn, void *ctx);

/* A deferred call with an owner: armed at most once at a time. */
typedef struct LoopTask LoopTask;
LoopTask *loop_task_new(Loop *loop, LoopFn *fn, void *ctx);
void loop_task_arm(LoopTask *task); /* armed already: nothing happens */
void loop_task_disarm(LoopTask *task);
bool loop_task_armed(const LoopTask *task);
LoopTask *loop_task_free(LoopTask *task);
DEFINE_CLEANUP(LoopTask *, loop_task_free);

/* Called at the end of each tick: where the tick's writes are grouped into one commit. */
typedef struct LoopHook LoopHook;
LoopHook *loop_hook_new(Loop *loop, LoopFn *before_sleep, void *ctx);
LoopHook *loop_hook_free(LoopHook *hook);
DEFINE_CLEANUP(LoopHook *, loop_hook_free);

/* Called once when the loop is freed: lets go of what lives by itself on it (a connection that only
 * lingers to send its last bytes). It must free the final. */
typedef struct LoopFinal LoopFinal;
LoopFinal *loop_final_new(Loop *loop, LoopFn *fn, void *ctx);
LoopFinal *loop_final_free(LoopFinal *final);

/* Timers. Made disarmed. Exact to a microsecond by a virtual clock, to a millisecond (late, never
 * early) by the real one. Equal deadlines fire in the order in which they were armed. */
typedef struct LoopTimer LoopTimer;
LoopTimer *loop_timer_new(Loop *loop, LoopFn *fn, void *ctx);
void loop_timer_at(LoopTimer *timer, usec_t deadline); /* USEC_INFINITY disarms */
void loop_timer_after(LoopTimer *timer, usec_t delay);
/* First after one period. Periods that were missed (a long tick) are skipped, not made up for. */
void loop_timer_every(LoopTimer *timer, usec_t period);
void loop_timer_stop(LoopTimer *timer);
bool loop_timer_armed(const LoopTimer *timer);
usec_t loop_timer_deadline(const LoopTimer *timer); /* USEC_INFINITY when disarmed */
LoopTimer *loop_timer_free(LoopTimer *timer);
DEFINE_CLEANUP(LoopTimer *, loop_timer_free);

/* File descriptors: level-triggered. `fd` is borrowed and made non-blocking; free the watch before
 * you close it. At most one watch a descriptor. -EPERM for what cannot be polled (plain files). */
enum {
    LOOP_READABLE = 1, /* also: the other side closed, or an error is there to be read */
    LOOP_WRITABLE = 2,
    LOOP_HANGUP = 4    /* the peer shut its sending side (sockets); comes beside LOOP_READABLE */
};
typedef struct LoopFd LoopFd;
typedef void LoopFdFn(void *ctx, unsigned events);
_must_check_ int loop_fd_new(Loop *loop, int fd, unsigned events, LoopFdFn *fn, void *ctx,
                             LoopFd **ret_watch);
void loop_fd_set(LoopFd *watch, unsigned events); /* 0 pauses */
LoopFd *loop_fd_free(LoopFd *watch);
DEFINE_CLEANUP(LoopFd *, loop_fd_free);

/* Signals: the whole process's, delivered on the loop. */
typedef struct LoopSignal LoopSignal;
typedef void LoopSignalFn(void *ctx, int signo);
_must_check_ int loop_signal_new(Loop *loop, int signo, LoopSignalFn *fn, void *ctx,
                                 LoopSignal **ret_signal);
LoopSignal *loop_signal_free(LoopSignal *signal);
DEFINE_CLEANUP(LoopSignal *, loop_signal_free);

/* Process exit by pidfd, once. For a child its status is collected (no zombie stays) and known;
 * for another process only its end is. */
typedef struct LoopExit {
    bool known;  /* false: not our child, or somebody else collected it */
    int code;    /* exit code; 0 if it died by a signal */
    int signal;  /* 0 if it exited */
    bool dumped; /* left a core */
} LoopExit;
typedef struct LoopChild LoopChild;
typedef void LoopChildFn(void *ctx, const LoopExit *exit);
/* Takes `pidfd` on success (it is closed by loop_child_free()). Freeing before the exit leaves the
 * process alone; a child then becomes a zombie until somebody waits for it. */
_must_check_ int loop_child_new(Loop *loop, int pidfd, LoopChildFn *fn, void *ctx,
                                LoopChild **ret_child);
/* Sends a signal to exactly this process. 0 also when it is gone already. */
int loop_child_kill(LoopChild *child, int signo);
bool loop_child_gone(const LoopChild *child);
LoopChild *loop_child_free(LoopChild *child);
DEFINE_CLEANUP(LoopChild *, loop_child_free);

/* A door for other threads (and signal handlers): `fn` is called on the loop at least once after
 * each send; several sends may be one call. Free it only when no thread can send any more. */
typedef struct LoopWake LoopWake;
_must_check_ int loop_wake_new(Loop *loop, LoopFn *fn, void *ctx, LoopWake **ret_wake);
void loop_wake_send(LoopWake *wake); /* any thread */
LoopWake *loop_wake_free(LoopWake *wake);
DEFINE_CLEANUP(LoopWake *, loop_wake_free);

/* Blocking work (fsync, unzip, DNS) on a pool of threads. `run` touches nothing but `job` and must
 * end by itself. `done` is called exactly once, on the loop: with 0 after `run`; with -ECANCELED if
 * loop_work_cancel() came (then `run` may or may not have happened, but is not running any more).
 * `job` belongs to the work until `done`, which frees it; the LoopWork is gone after `done`.
 * With a virtual clock `run` happens inside the next defer round, so that runs repeat exactly. */
typedef struct LoopWork LoopWork;
typedef void LoopWorkDoneFn(void *job, int r);
LoopWork *loop_work(Loop *loop, LoopFn *run, LoopWorkDoneFn *done, void *job);
void loop_work_cancel(LoopWork *work);
