/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "core/core_private.h"

enum {
    SPIN_MAX = 4000,
    SPIN_RETRY = 64
};

/* Counts the forks on the way to this process; a Core of before the last one is not usable. The
 * one fact about the process itself that every Core in it shares. */
static _Atomic uint32_t fork_generation;

static void on_fork_child(void) {
    atomic_fetch_add(&fork_generation, 1);
}

static void install_fork_handler(void) {
    pthread_atfork(NULL, NULL, on_fork_child);
}

static void watch_forks(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handler);
}

/* ---- the lock and waiting -------------------------------------------------------------- */

void core_lock(Core *core) {
    pthread_mutex_lock(&core->lock);
}

void core_happened(Core *core) {
    core->events++;
}

void core_unlock(Core *core) {
    bool news = core->events != core->events_told;
    core->events_told = core->events;
    if (UNLIKELY(news && core->over_fd >= 0))
        serve_tell(core);
    bool leader = core->leader, followers = core->followers > 0;
    pthread_mutex_unlock(&core->lock);
    if (UNLIKELY(news && followers))
        pthread_cond_broadcast(&core->changed);
    if (UNLIKELY(news && leader))
        doorbell_poke(&core->bell);
}

int core_usable(const Core *core) {
    if (UNLIKELY(core->generation != atomic_load_explicit(&fork_generation, memory_order_relaxed)))
        return error_origin(-ESTALE, "the connection belongs to the parent process of this fork");
    if (UNLIKELY(core->closed))
        return error_origin(-ESHUTDOWN, "the runtime was shut down");
    if (UNLIKELY(core->lost))
        return error_origin(-ECONNRESET, "the connection to the raylet was lost");
    return 0;
}

static int follow(Core *core, usec_t deadline) {
    usec_t until = time_mono_now() + SIGNAL_SLICE;
    bool sliced = until < deadline;
    usec_t wait = MIN(until, deadline);
    struct timespec ts = { .tv_sec = wait / USEC_PER_SEC, .tv_nsec = wait % USEC_PER_SEC * 1000 };
    core->followers++;
    int r = pthread_cond_timedwait(&core->changed, &core->lock, &ts);
    core->followers--;
    if (r == ETIMEDOUT)
        return sliced ? CORE_INTERRUPTED : CORE_TIMEOUT;
    return 0;
}

/* How long to spin: longer where spinning has paid lately, hardly where it has not. */
uint32_t core_spin_rounds(Core *core) {
    if (core->spin_budget)
        return core->spin_budget;
    return ++core->spin_skipped % SPIN_RETRY == 0 ? SPIN_MAX / 8 : 0;
}

void core_spin_learn(Core *core, uint32_t rounds, bool paid) {
    if (paid)
        core->spin_budget = MIN(core->spin_budget * 2 + SPIN_MAX / 8, (uint32_t)SPIN_MAX);
    else if (rounds)
        core->spin_budget /= 2;
}

uint32_t core_idle_mode(const Core *core) {
    return core->watches || core->server_sleeps ? DOORBELL_EVENT : DOORBELL_BUSY;
}

static int lead(Core *core, usec_t deadline) {
    uint64_t before = core->events;
    peers_drain_rings(core);
    if (core->events != before)
        return 0;
    uint32_t rounds = core_spin_rounds(core);
    doorbell_prepare(&core->bell, rounds ? DOORBELL_SPIN : DOORBELL_FUTEX);
    int r = 0;
    if (!peers_ring_waiting(core)) {
        bool signalled = false, rung = false;
        core->leader = true;
        core_unlock(core);
        if (rounds)
            rung = doorbell_spin(&core->bell, rounds, DOORBELL_FUTEX);
        bool paid = rung;
        if (!rung) {
            usec_t left = deadline == USEC_INFINITY ? USEC_INFINITY : deadline - time_mono_now();
            usec_t slice = MIN(left, (usec_t)LEAD_SLICE);
            rung = left > 0 && doorbell_sleep(&core->bell, slice, &signalled);
            signalled |= slice < left;
        }
        core_lock(core);
        core->leader = false;
        core_spin_learn(core, rounds, paid);
        r = rung ? 0 : signalled ? CORE_INTERRUPTED : CORE_TIMEOUT;
    }
    doorbell_prepare(&core->bell, core_idle_mode(core));
    before = core->events;
    peers_drain_rings(core);
    /* Whoever waits beside us takes the lead when we are done. */
    if (core->followers)
        pthread_cond_signal(&core->changed);
    return core->events != before ? 0 : r;
}

int core_wait_event(Core *core, usec_t deadline) {
    if (core->lost || core->closed)
        return error_origin(-ECONNRESET, "the connection to the raylet was lost");
    if (UNLIKELY(core->signalled)) {
        core->signalled = false;
        return CORE_INTERRUPTED;
    }
    return core->leader ? follow(core, deadline) : lead(core, deadline);
}

void core_timer_at(Core *core, usec_t when) {
    if (when >= core->timer)
        return;
    core->timer = when;
    uint64_t one = 1;
    if (!pthread_equal(pthread_self(), core->pump)) {
        ssize_t n = write(core->wake_fd, &one, sizeof(one));
        UNUSED(n);
    }
}

/* ---- what the ownership machine wants done ----------------------------------------------- */

static void act_borrow(Core *core, const OwnAction *a) {
    ObjectId object = a->object;
    Borrow m = { .ack = a->ack, .got = a->got, .sequence = a->sequence };
    if (a->kind == OWN_BORROW_ADD) {
        m.add = &object;
        m.add_len = 1;
    } else {
        m.remove = &object;
        m.remove_len = 1;
    }
    _cleanup_buf_ Buf body = { 0 };
    borrow_encode(&m, &body);
    peer_send(core, a->peer, MSG_BORROW, 0, 0, body.data, body.len);
}

static void act_got(Core *core, const OwnAction *a) {
    if (!peer_worker(a->peer)) {
        execute_owner_knows(core);
        return;
    }
    ObjectId object = a->object;
    Got m = { .objects = &object, .objects_len = 1 };
    _cleanup_buf_ Buf body = { 0 };
    got_encode(&m, &body);
    peer_send(core, a->peer, MSG_GOT, 0, 0, body.data, body.len);
}

void core_run_actions(Core *core) {
    if (LIKELY(core->own.actions.len == 0) || core->acting)
        return;
    core->acting = true; /* an action may cause others: one loop takes them all, in order */
    for (size_t i = 0; i < core->own.actions.len; i++) {
        OwnAction a = core->own.actions.items[i];
        if (a.kind == OWN_GONE)
            ref_gone(core, ref_of(a.ref));
        else if (a.kind == OWN_RELEASE)
            lineage_release(core, ref_of(a.ref));
        else if (a.kind == OWN_GOT)
            act_got(core, &a);
        else
            act_borrow(core, &a);
    }
    vec_clear(&core->own.actions);
    core->acting = false;
}

/* ---- the pump ------------------------------------------------------------------------------- */

static void pump_lost(Core *core) {
    if (core->lost)
        return;
    core->lost = true;
    core_fail_all(core);
    core_happened(core);
}

void core_fail_all(Core *core) {
    rpc_peer_lost(core->rpc, 0);
    ErrorInfo error = { .kind = ERROR_KIND_RAYLET_DIED,
                        .text = slice_str("The node's raylet died or was stopped.") };
    CorePending *p;
    MAP_EACH(&core->tasks, pos, p)
        submit_fail(core, p, &error);
    OwnRef *own;
    MAP_EACH(&core->own.refs, at, own) {
        CoreRef *ref = ref_of(own);
        if (ref->kind == VALUE_KIND_PENDING && !ref->is_actor)
            ref_set_error(core, ref, &error);
    }
}

static usec_t pump_timers(Core *core) {
    usec_t now = time_mono_now();
    core->timer = USEC_INFINITY;
    while (core->unreachable.len)
        rpc_peer_lost(core->rpc, vec_pop(&core->unreachable));
    usec_t next = rpc_expire(core->rpc, now);
    leases_tick(core, now);
    execute_tick(core, now);
    events_tick(core, now);
    core_run_actions(core);
    return MIN(next, core->timer);
}

/* Somebody rang while nobody slept. Leaves the rings to the busy reader for a moment, then looks.
 * Returns when to look again, or USEC_INFINITY when there is nothing more to watch for. */
static usec_t pump_kicked(Core *core, usec_t now) {
    if (!core->grace_until) {
        core->grace_until = now + (core->watches ? 0 : GRACE_TIME);
        core->grace_progress = core->progress;
    }
    if (now < core->grace_until)
        return core->grace_until;
    doorbell_clear_event(&core->bell);
    core->grace_until = 0;
    if (core->over_fd >= 0)
        serve_tell(core); /* it may not have got so far as to see that */
    if (!peers_ring_waiting(core))
        return USEC_INFINITY;
    if (core->progress != core->grace_progress && !core->watches) {
        core->grace_until = now + GRACE_TIME;
        core->grace_progress = core->progress;
        return core->grace_until;
    }
    peers_drain_rings(core);
    return peers_ring_waiting(core) ? now : USEC_INFINITY;
}

usec_t core_turn(Core *core, bool rung) {
    if (!core->lost && peers_drain_sock(core) < 0)
        pump_lost(core);
    usec_t when = pump_timers(core), now = time_mono_now();
    if (rung || core->grace_until) {
        usec_t look = pump_kicked(core, now);
        when = MIN(when, look);
    }
    core_run_actions(core);
    if (!core->lost && sock_flush(&core->sock) < 0)
        pump_lost(core);
    return MIN(when, core->timer);
}

static int poll_timeout(usec_t when) {
    if (when == USEC_INFINITY)
        return -1;
    usec_t left = when - time_mono_now();
    return (int)CLAMP((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC, 0, 60 * 1000);
}

static void *pump_main(void *data) {
    Core *core = data;
    bool rung = false;
    core_lock(core);
    while (!core->stopping) {
        usec_t when = core_turn(core, rung);
        struct pollfd fds[3] = {
            { .fd = core->lost ? -1 : core->sock.fd,
              .events = (short)(POLLIN | (sock_wants_write(&core->sock) ? POLLOUT : 0)) },
            { .fd = core->wake_fd, .events = POLLIN },
            { .fd = core->grace_until ? -1 : core->bell.eventfd, .events = POLLIN },
        };
        core_unlock(core);
        poll(fds, ARRAY_LEN(fds), poll_timeout(when));
        rung = fds[2].revents != 0;
        if (fds[1].revents) {
            uint64_t count;
            ssize_t n = read(core->wake_fd, &count, sizeof(count));
            UNUSED(n);
        }
        core_lock(core);
    }
    core_unlock(core);
    return NULL;
}

static int pump_start(Core *core) {
    /* The user's signals are for the user's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    int r = pthread_create(&core->pump, &attr, pump_main, core);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return error_origin_errno(-r, "start the runtime's thread");
    core->pump_runs = true;
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int say_hello(Core *core, const CoreOptions *o) {
    Hello hello = {
        .version_low = WIRE_VERSION_LOW,
        .version_high = WIRE_VERSION_HIGH,
        .role = (uint8_t)o->role,
        .token = { o->token, o->token_len },
        .pid = (uint32_t)getpid(),
        .worker = core->info.worker,
        .startup_token = o->startup_token,
        .job_config = slice_str(o->job_config),
        .namespace = slice_str(o->namespace_),
        .submission = slice_str(o->submission),
    };
    _cleanup_buf_ Buf body = { 0 };
    hello_encode(&hello, &body);
    FrameHeader h = {
        .length = (uint32_t)body.len, .type = MSG_HELLO, .flags = FRAME_CALL, .stream = 1
    };
    return sock_send(&core->sock, &h, &(struct iovec){ body.data, body.len }, 1);
}

static int open_doorbell(Core *core) {
    int page = sock_take_fd(&core->sock), event = sock_take_fd(&core->sock);
    if (page < 0 || event < 0) {
        fd_close(page);
        return error_origin(-EPROTO, "the raylet's welcome came without a doorbell");
    }
    return doorbell_open(page, event, &core->bell);
}

static int open_store(Core *core, const Welcome *w) {
    StoreDoor door = { .bytes = w->arena_bytes, .disk_bytes = w->disk_bytes };
    door.arena_fd = sock_take_fd(&core->sock);
    door.pins_fd = sock_take_fd(&core->sock);
    door.disk_fd = w->disk_bytes ? sock_take_fd(&core->sock) : -1;
    if (door.arena_fd >= 0 && door.pins_fd >= 0 && (door.disk_fd >= 0 || !w->disk_bytes))
        return store_client_open(&door, &core->store);
    fd_close(door.arena_fd);
    fd_close(door.pins_fd);
    return error_origin(-EPROTO, "the raylet's welcome came without its store");
}

static int take_welcome(Core *core, const FrameHeader *h, const void *data) {
    Arena *a = &core->info_arena;
    if (h->flags & FRAME_ERROR) {
        Status status;
        int r = status_decode(&status, data, h->length, a);
        return r < 0 ? r : rpc_status_error(&status);
    }
    if (h->type != MSG_WELCOME)
        return error_origin(-EPROTO, "the raylet answered the hello with %s",
                            message_name(h->type));
    Welcome w;
    int r = welcome_decode(&w, data, h->length, a);
    if (r < 0)
        return r;
    if (w.version < WIRE_VERSION_LOW || w.version > WIRE_VERSION_HIGH)
        return error_origin(-EPROTO, "the raylet speaks protocol version %u", w.version);
    CoreInfo *info = &core->info;
    info->peer = w.peer;
    info->node = w.node;
    info->job = w.job;
    info->cluster = w.cluster;
    info->metrics_port = w.metrics_port;
    info->raylet_port = w.raylet_port;
#define TEXT(field) arena_dup(a, w.field.data, w.field.len)
    info->session_dir = TEXT(session_dir);
    info->session_name = TEXT(session_name);
    info->node_ip = TEXT(node_ip);
    info->gcs_address = TEXT(gcs_address);
    info->dashboard_url = TEXT(dashboard_url);
    info->namespace_ = TEXT(namespace);
    info->raylet_socket = TEXT(raylet_socket);
    info->settings = TEXT(settings);
    info->node_name = TEXT(node_name);
    info->hostname = TEXT(hostname);
#undef TEXT
    r = open_doorbell(core);
    return r == 0 && w.arena_bytes ? open_store(core, &w) : r;
}

static int await_welcome(Core *core, usec_t deadline) {
    for (;;) {
        FrameHeader h;
        const void *body;
        int r = sock_recv(&core->sock, &h, &body);
        if (r < 0)
            return r;
        if (r == 1)
            return take_welcome(core, &h, body);
        if (sock_flush(&core->sock) < 0)
            return error_origin(-ECONNRESET, "the raylet closed the connection");
        usec_t left = deadline - time_mono_now();
        if (left <= 0)
            return error_origin(-ETIMEDOUT, "the raylet did not answer in time");
        struct pollfd p = { .fd = core->sock.fd, .events = POLLIN };
        poll(&p, 1, (int)MIN(left / USEC_PER_MSEC + 1, 1000));
    }
}

static void rpc_transport(void *context, const FrameHeader *h, const Buf *body) {
    Core *core = context;
    const CorePeer *peer = peer_find(core, h->destination);
    if (peer && peer->state == PEER_GONE) { /* nobody answers: the pump says so */
        vec_push(&core->unreachable, peer->id);
        core_timer_at(core, 0);
        return;
    }
    peer_send(core, h->destination, h->type, h->flags, h->stream, body ? body->data : NULL,
              body ? body->len : 0);
}

static Core *core_new(const CoreOptions *o) {
    Core *core = mem_new(Core);
    pthread_mutex_init(&core->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&core->changed, &attr);
    pthread_condattr_destroy(&attr);
    core->generation = atomic_load(&fork_generation);
    core->role = o->role;
    core->interrupted = o->interrupted;
    core->interrupted_context = o->interrupted_context;
    core->cancel_signal = o->cancel_signal;
    core->info.worker = o->worker;
    if (id_is_unset(&core->info.worker))
        id_random(&core->info.worker);
    core->sock.fd = core->bell.memfd = core->bell.eventfd = -1;
    core->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    core->watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    core->log_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    core->over_fd = -1;
    core->outstanding = 1;
    core->timer = USEC_INFINITY;
    core->spin_budget = SPIN_MAX / 4;
    id_source_init(&core->ids);
    if (o->role == ROLE_WORKER) { /* a call that runs again, elsewhere, puts objects of its own */
        mem_random(&core->put_index, sizeof(core->put_index));
        core->put_index /= 2;
    }
    map_init(&core->peers, sizeof(PeerId));
    map_init_inside(&core->tasks, sizeof(TaskId), offsetof(CorePending, task));
    map_init(&core->actors, sizeof(ActorId));
    map_init(&core->exported, sizeof(Hash));
    map_init(&core->groups, sizeof(GroupId));
    map_init(&core->fetches, sizeof(ObjectId));
    list_init(&core->calls);
    lineage_init(core);
    events_init(core);
    core->pid = (uint32_t)getpid();
    list_init(&core->active);
    core->rpc = rpc_new(rpc_transport, core);
    return core;
}

void core_release(Core *core) {
    if (--core->outstanding)
        return;
    pthread_mutex_destroy(&core->lock);
    pthread_cond_destroy(&core->changed);
    own_done(&core->own);
    if (core->store)
        store_client_free(core->store);
    mem_free(core);
}

static void core_destroy(Core *core) {
    execute_done(core);
    lineage_done(core);
    events_done(core);
    actors_done(core);
    core_run_actions(core);
    rpc_free(core->rpc); /* while what its callbacks know is still there */
    core->rpc = NULL;
    leases_done(core);
    peers_done(core);
    large_done(core);
    sock_done(&core->sock);
    doorbell_done(&core->bell);
    fd_close(core->wake_fd);
    fd_close(core->watch_fd);
    fd_close(core->log_fd);
    fd_close(core->over_fd);
    VEC_EACH(log, &core->logs)
        bytes_drop(*log);
    vec_done(&core->logs);
    vec_done(&core->watch_done);
    vec_done(&core->rings);
    vec_done(&core->unreachable);
    vec_done(&core->died);
    vec_done(&core->cancelled);
    map_done(&core->peers);
    map_done(&core->tasks);
    map_done(&core->actors);
    map_done(&core->exported);
    groups_done(core);
    map_done(&core->fetches);
    buf_done(&core->scratch);
    buf_done(&core->created.result);
    buf_done(&core->assigned);
    arena_done(&core->assigned_arena);
    arena_done(&core->info_arena);
}

int core_connect(const CoreOptions *options, Core **ret_core) {
    watch_forks();
    Core *core = core_new(options);
    usec_t deadline = time_mono_now() + options->timeout;
    int r = sock_connect(options->raylet_socket, options->timeout, &core->sock);
    if (r == 0)
        r = say_hello(core, options);
    if (r == 0)
        r = await_welcome(core, deadline);
    if (r == 0) {
        own_init(&core->own, core->info.peer);
        core->main_task = task_id_driver(&core->info.job);
        r = pump_start(core);
    }
    if (r < 0) {
        core_destroy(core);
        core_release(core);
        return r;
    }
    *ret_core = core;
    return 0;
}

const CoreInfo *core_info(const Core *core) {
    return &core->info;
}

bool core_alive(const Core *core) {
    return !core->lost && !core->closed;
}

/* Gives the last frames a chance to leave: at most a second. */
static void core_farewell(Core *core, int exit_code) {
    events_leave(core);
    Goodbye goodbye = { .exit_code = exit_code };
    _cleanup_buf_ Buf body = { 0 };
    goodbye_encode(&goodbye, &body);
    raylet_send(core, MSG_GOODBYE, &body);
    usec_t deadline = time_mono_now() + USEC_PER_SEC;
    while (sock_flush(&core->sock) == 1 && time_mono_now() < deadline) {
        struct pollfd p = { .fd = core->sock.fd, .events = POLLOUT };
        poll(&p, 1, 100);
    }
}

void core_disconnect(Core *core, int exit_code) {
    if (core_usable(core) == -ESTALE)
        return; /* a fork's copy: the parent's threads and locks are not here */
    core_lock(core);
    if (core->closed) {
        core_unlock(core);
        return;
    }
    core->closed = true;
    core->stopping = true;
    core_happened(core);
    core_unlock(core);
    uint64_t one = 1;
    ssize_t n = write(core->wake_fd, &one, sizeof(one));
    UNUSED(n);
    if (core->pump_runs)
        pthread_join(core->pump, NULL);
    core_lock(core);
    if (!core->lost)
        core_farewell(core, exit_code);
    core_fail_all(core);
    core_run_actions(core);
    core_destroy(core);
    pthread_mutex_unlock(&core->lock);
    core_release(core);
}

void core_counts(Core *core, CoreCounts *ret_counts) {
    core_lock(core);
    CoreCounts c = core->counts;
    c.refs_owned = core->own.owned;
    c.refs_borrowed = core->own.borrowed;
    c.tasks_pending = map_len(&core->tasks);
    c.peers = map_len(&core->peers);
    c.calls_waiting = core->calls_len;
    *ret_counts = c;
    core_unlock(core);
}
