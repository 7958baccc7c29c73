/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls for an event loop. Its thread reads the rings like any other, but sleeps in a poll of its own:
 * then the doorbell is in EVENT mode, unless another thread leads; that one, or the pump, makes the eventfd
 * readable when it has found a call.
 */

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "core/core_private.h"

int core_serve(Core *core, int *ret_fd) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return error_last("make an eventfd");
    core_lock(core);
    ASSERT(core->over_fd < 0);
    core->over_fd = fd;
    core_happened(core); /* what was asked before is seen now */
    core_unlock(core);
    *ret_fd = core->bell.eventfd;
    return 0;
}

static bool serve_over(const Core *core) {
    return core->lost || core->closed || core->leaving || core->exiting ||
           (core->exit_asked && list_empty(&core->calls));
}

/* A ring that has just been attached may have had frames in it. */
static bool serve_wanted(const Core *core) {
    return core->calls_len || core->cancelled.len || (!core->leader && peers_ring_waiting(core));
}

void serve_tell(Core *core) {
    if (core->server_sleeps && serve_wanted(core))
        doorbell_call(&core->bell);
    if (!serve_over(core))
        return;
    uint64_t one = 1;
    ssize_t n = write(core->over_fd, &one, sizeof(one));
    UNUSED(n);
}

static bool serve_ready(Core *core) {
    return core->cancelled.len || execute_ready(core);
}

/* Nobody leads: this thread does, for as long as it spins. True: it was rung. */
static bool serve_spin(Core *core) {
    uint32_t rounds = core_spin_rounds(core);
    doorbell_prepare(&core->bell, rounds ? DOORBELL_SPIN : DOORBELL_EVENT);
    if (peers_ring_waiting(core))
        return true;
    if (!rounds)
        return false;
    core->leader = true;
    core_unlock(core);
    bool rung = doorbell_spin(&core->bell, rounds, DOORBELL_EVENT);
    core_lock(core);
    core->leader = false;
    core_spin_learn(core, rounds, rung);
    if (core->followers)
        pthread_cond_signal(&core->changed);
    return rung;
}

static void serve_awake(Core *core) {
    core->server_sleeps = false;
    if (!core->leader)
        doorbell_prepare(&core->bell, core_idle_mode(core));
    peers_drain_rings(core);
}

bool core_serve_sleep(Core *core) {
    core_lock(core);
    peers_drain_rings(core);
    bool sleeps = !serve_ready(core);
    if (sleeps) {
        core->server_sleeps = true; /* from here on news ring */
        if (!core->leader && !core->lost && serve_spin(core)) {
            serve_awake(core);
            sleeps = false;
        }
    }
    core_unlock(core);
    return sleeps;
}

void core_serve_woken(Core *core, bool rung) {
    core_lock(core);
    if (rung)
        doorbell_clear_event(&core->bell);
    serve_awake(core);
    core_unlock(core);
}

/* It was over, and is not any more: a call came to a worker that was asked to end. Else the descriptor
 * would stay readable until that has run. Who makes it over again says so under the lock. */
static void serve_untell(const Core *core) {
    uint64_t count;
    ssize_t n = read(core->over_fd, &count, sizeof(count));
    UNUSED(n);
}

int core_serve_wait(Core *core) {
    for (;;) {
        core_lock(core);
        bool over = serve_over(core);
        if (!over)
            serve_untell(core);
        core_unlock(core);
        if (over)
            return error_origin(-ECONNRESET, "the raylet told this worker to end");
        struct pollfd fd = { .fd = core->over_fd, .events = POLLIN };
        if (poll(&fd, 1, LEAD_SLICE / USEC_PER_MSEC) <= 0)
            return CORE_INTERRUPTED;
    }
}
