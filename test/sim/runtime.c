/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/wrap.h"
#include "core/core_forget.h"
#include "core/core_private.h"
#include "test/sim/proc.h"

#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/common_interface_defs.h>
#endif

/*
 * A process whose user runs on the shipped worker runtime (src/core, and with it src/own). Its main
 * thread is a stack of its own that runs until it sleeps (a doorbell, a poll, its own pause) and goes
 * on when it is rung or the time has come; its pump takes a turn whenever a frame has come or a timer of
 * its is due. Its socket is a connection of net.c. Rings cannot be mapped here: processes of one node
 * talk through their raylet, as they do where they have none left.
 */

enum {
    STACK_SIZE = 256 << 10,
    STACKS_KEPT = 64,
    FD_NONE = 1 << 30, /* a descriptor that nobody has */
};

typedef struct Frame { /* has come, and is not read yet */
    FrameHeader header;
    Buf body;
    int fds[4];
    size_t fds_len;
} Frame;

struct Runtime {
    Proc *proc;
    Core *core;
    ucontext_t inside, outside;
    void *stack;
    LoopTimer *wake_timer, *turn_timer;
    Vec(Frame) inbox;
    Frame in_hand; /* its body is borrowed until the next one */
    size_t bells;  /* descriptors of the doorbell that the welcome brings first */
    size_t fds_taken;
    bool cut;      /* no raylet any more */
    bool asleep, rung, over;
#ifdef __SANITIZE_ADDRESS__
    void *fake_inside, *fake_outside;
    const void *main_stack;
    size_t main_size;
#endif
};

static Runtime *running; /* whose code runs now; NULL: none of a process */

/* ---- stacks ------------------------------------------------------------------------------------ */

static void *stacks[STACKS_KEPT];
static size_t stacks_len;

static void *stack_get(void) {
    if (stacks_len)
        return stacks[--stacks_len];
    void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(stack != MAP_FAILED);
    return stack;
}

static void stack_put(void *stack) {
    if (stacks_len < STACKS_KEPT)
        stacks[stacks_len++] = stack;
    else
        munmap(stack, STACK_SIZE);
}

void runtimes_end(void) {
    while (stacks_len)
        munmap(stacks[--stacks_len], STACK_SIZE);
}

/* AddressSanitizer wants to know which stack it is on. */
static void enter_begin(Runtime *rt) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&rt->fake_outside, rt->stack, STACK_SIZE);
#endif
}

static void enter_end(Runtime *rt) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(rt->fake_inside, &rt->main_stack, &rt->main_size);
#endif
}

static void leave_begin(Runtime *rt, bool for_good) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(for_good ? NULL : &rt->fake_inside, rt->main_stack,
                                   rt->main_size);
#endif
}

static void leave_end(Runtime *rt) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(rt->fake_outside, NULL, NULL);
#endif
}

/* ---- its main thread --------------------------------------------------------------------------- */

/* Until it is rung (true), or `until`. */
static bool sleep_until(Runtime *rt, usec_t until) {
    if (!rt->proc->alive)
        return false;
    rt->rung = false;
    rt->asleep = true;
    loop_timer_at(rt->wake_timer, until);
    leave_begin(rt, false);
    swapcontext(&rt->inside, &rt->outside);
    enter_end(rt);
    rt->asleep = false;
    return rt->rung;
}

/* A sleeper takes a moment to wake up. */
static void ring(Runtime *rt) {
    if (!rt->asleep || rt->rung)
        return;
    rt->rung = true;
    loop_timer_after(rt->wake_timer, chance(3) ? rnd(200) : 0);
}

void runtime_pause(Proc *proc, usec_t time) {
    sleep_until(proc->runtime, loop_now(sim->loop) + time);
}

void runtime_crash(Proc *proc, int status) {
    proc_end(proc, status);
    while (proc->alive)
        sleep_until(proc->runtime, USEC_INFINITY);
}

static void stack_main(unsigned low, unsigned high) {
    Runtime *rt = (Runtime *)((uintptr_t)high << 32 | low);
    enter_end(rt);
    user_main(rt->proc);
    rt->over = true;
    leave_begin(rt, true);
    setcontext(&rt->outside);
}

/* After its user's turn: what it has to look at itself, as a pump that has just begun has. */
static void turn_arm(Runtime *rt) {
    usec_t now = loop_now(sim->loop), when = USEC_INFINITY;
    if (rt->core)
        when = rt->inbox.len || rt->cut ? now : MAX(rt->core->timer, now);
    if (when < loop_timer_deadline(rt->turn_timer))
        loop_timer_at(rt->turn_timer, when);
}

static void go_on(Runtime *rt) {
    ASSERT(!running);
    running = rt;
    enter_begin(rt);
    swapcontext(&rt->outside, &rt->inside);
    leave_end(rt);
    running = NULL;
    if (!rt->over) {
        turn_arm(rt);
        return;
    }
    loop_timer_stop(rt->wake_timer);
    loop_timer_stop(rt->turn_timer);
    stack_put(TAKE(rt->stack));
    proc_end(rt->proc, rt->proc->status);
}

static void on_wake(void *ctx) {
    Runtime *rt = ctx;
    if (!rt->over && rt->asleep)
        go_on(rt);
}

/* ---- its pump ---------------------------------------------------------------------------------- */

static void take_turn(Runtime *rt) {
    Core *core = rt->core;
    running = rt;
    core_lock(core);
    usec_t when = core_turn(core, false);
    core_unlock(core);
    running = NULL;
    loop_timer_at(rt->turn_timer, MAX(when, loop_now(sim->loop) + 1));
}

static void on_turn(void *ctx) {
    Runtime *rt = ctx;
    if (rt->over)
        return;
    if (rt->core)
        take_turn(rt);
    else
        ring(rt); /* it waits for its welcome */
}

void runtime_frame(Proc *proc, FrameIn *in) {
    Runtime *rt = proc->runtime;
    Frame frame = { .header = in->header };
    buf_add(&frame.body, in->body.data, in->body.len);
    if (in->header.type == MSG_WELCOME) {
        frame.header.flags |= FRAME_FDS;
        for (size_t i = 0; i < in->fd_count && i < ARRAY_LEN(frame.fds); i++) {
            frame.fds[frame.fds_len++] = in->fds[i];
            in->fds[i] = -1; /* ours */
        }
    }
    vec_push(&rt->inbox, frame);
    loop_timer_at(rt->turn_timer, loop_now(sim->loop));
}

void runtime_cut(Proc *proc) {
    proc->runtime->cut = true;
    loop_timer_at(proc->runtime->turn_timer, loop_now(sim->loop));
}

/* ---- life -------------------------------------------------------------------------------------- */

void runtime_begin(Proc *proc) {
    Runtime *rt = proc->runtime;
    rt->stack = stack_get();
    getcontext(&rt->inside);
    rt->inside.uc_stack.ss_sp = rt->stack;
    rt->inside.uc_stack.ss_size = STACK_SIZE;
    uintptr_t it = (uintptr_t)rt;
    makecontext(&rt->inside, (void (*)(void))(void *)stack_main, 2, (unsigned)it,
                (unsigned)(it >> 32));
    go_on(rt);
}

/* What it held and was holding for others dies with it; what runs on comes to its end where it sleeps,
 * and nobody hears of that. */
void runtime_end(Proc *proc) {
    Runtime *rt = proc->runtime;
    rt->cut = true;
    if (!rt->stack)
        return;
    if (rt->core) {
        truth_process_ended(proc, &rt->core->own);
        take_turn(rt);
    }
    go_on(rt);
    ASSERT(rt->over);
}

Core *runtime_connect(Proc *proc) {
    CoreOptions options = { .role = proc->role,
                            .raylet_socket = proc->machine->socket,
                            .worker = proc->id,
                            .startup_token = proc->token,
                            .job_config = "{}",
                            .timeout = 300 * USEC_PER_SEC };
    Runtime *rt = proc->runtime;
    Core *core;
    if (core_connect(&options, &core) < 0)
        return NULL;
    const CoreInfo *info = core_info(core);
    rt->core = core;
    proc->welcomed = true;
    proc->peer = info->peer;
    proc->id = info->worker;
    proc->job = info->job;
    proc->node = info->node;
    return core;
}

void runtime_disconnect(Proc *proc) {
    Core *core = proc->runtime->core;
    if (proc->alive)
        truth_process_ended(proc, &core->own);
    core_keep(core);
    core_disconnect(core, proc->status);
    proc->runtime->core = NULL;
    core_forget(core);
}

bool runtime_alive(const Proc *proc) {
    return proc->alive && proc->runtime->core && core_alive(proc->runtime->core);
}

void runtime_tell(const Proc *proc) {
    const Core *core = proc->runtime->core;
    const OwnRef *ref;
    if (!core || !sim->verbose)
        return;
    MAP_EACH(&core->own.refs, pos, ref)
        note("    %s (%llx) has %s of %llx: %u held, %u used, %u inside others, %u for calls that "
             "may run again, %zu borrowers",
             proc_name(proc), (unsigned long long)proc->peer, ID_HEX(&ref->id),
             (unsigned long long)ref->owner, ref->local, ref->uses, ref->inside, ref->again,
             own_borrowers(ref));
}

uint64_t runtime_leases(const Proc *proc) {
    return proc->runtime->core ? proc->runtime->core->counts.leases : 0;
}

Runtime *runtime_new(Proc *proc) {
    Runtime *rt = mem_new(Runtime);
    rt->proc = proc;
    rt->wake_timer = loop_timer_new(sim->loop, on_wake, rt);
    rt->turn_timer = loop_timer_new(sim->loop, on_turn, rt);
    return rt;
}

static void frame_done(Frame *frame) {
    for (size_t i = 0; i < frame->fds_len; i++)
        fd_close(frame->fds[i]);
    buf_done(&frame->body);
    *frame = (Frame){ 0 };
}

Runtime *runtime_free(Runtime *rt) {
    if (!rt)
        return NULL;
    ASSERT(!rt->core && !rt->stack);
    VEC_EACH(frame, &rt->inbox)
        frame_done(frame);
    frame_done(&rt->in_hand);
    vec_done(&rt->inbox);
    loop_timer_free(rt->wake_timer);
    loop_timer_free(rt->turn_timer);
    return mem_free(rt);
}

/* ---- its socket -------------------------------------------------------------------------------- */

WRAPPED(int, sock_connect, const char *path, usec_t timeout, Sock *ret_sock) {
    *ret_sock = (Sock){ .fd = FD_NONE };
    if (!running->proc->alive)
        return error_origin(-ECONNREFUSED, "it is over");
    proc_dial(running->proc);
    return 0;
}

WRAPPED(void, sock_done, Sock *sock) {
    sock->fd = -1;
}

/* What is sent has left the process. */
WRAPPED(int, sock_send, Sock *sock, const FrameHeader *h, const struct iovec *body, size_t len) {
    FrameConn *conn = running->proc->conn;
    ASSERT(frame_check(h) == 0 && len <= 1 && (len == 0 || body->iov_len == h->length));
    if (running->cut || !conn)
        return error_origin(-ECONNRESET, "the connection to the raylet was lost");
    frame_send(conn, h, len ? (Slice){ body->iov_base, body->iov_len } : (Slice){ 0 });
    stream_flush(frame_conn_stream(conn));
    return 0;
}

WRAPPED(int, sock_flush, Sock *sock) {
    return 0;
}

WRAPPED(int, sock_recv, Sock *sock, FrameHeader *ret_header, const void **ret_body) {
    Runtime *rt = running;
    frame_done(&rt->in_hand);
    rt->fds_taken = 0;
    if (rt->inbox.len == 0 || !rt->proc->alive)
        return rt->cut ? error_origin(-ECONNRESET, "the connection to the raylet was lost") : 0;
    rt->in_hand = rt->inbox.items[0];
    vec_remove(&rt->inbox, 0);
    rt->bells = rt->in_hand.header.type == MSG_WELCOME ? 2 : 0;
    *ret_header = rt->in_hand.header;
    *ret_body = rt->in_hand.body.data;
    return 1;
}

WRAPPED(int, sock_take_fd, Sock *sock) {
    Runtime *rt = running;
    if (rt->bells) {
        rt->bells--;
        return FD_NONE;
    }
    if (rt->fds_taken == rt->in_hand.fds_len)
        return -1;
    int *fd = &rt->in_hand.fds[rt->fds_taken++], it = *fd;
    *fd = -1;
    return it;
}

/* ---- what else it sleeps on, and its clock ----------------------------------------------------- */

WRAPPED(int, poll, struct pollfd *fds, nfds_t len, int timeout) {
    if (!running)
        return __real_poll(fds, len, timeout);
    if (running->inbox.len == 0 && !running->cut)
        sleep_until(running, loop_now(sim->loop) + timeout * USEC_PER_MSEC);
    return 1;
}

WRAPPED(int, doorbell_open, int memfd, int eventfd, Doorbell *ret_bell) {
    *ret_bell = (Doorbell){ .memfd = -1, .eventfd = -1 };
    return 0;
}

WRAPPED(void, doorbell_prepare, Doorbell *bell, uint32_t mode) {
}

WRAPPED(void, doorbell_clear_event, Doorbell *bell) {
}

WRAPPED(bool, doorbell_spin, Doorbell *bell, uint32_t rounds, uint32_t then) {
    return false;
}

WRAPPED(bool, doorbell_sleep, Doorbell *bell, usec_t timeout, bool *ret_signal) {
    *ret_signal = false;
    return sleep_until(running, loop_deadline(sim->loop, timeout));
}

WRAPPED(void, doorbell_poke, Doorbell *bell) {
    ring(running);
}

WRAPPED(int, eventfd, unsigned count, int flags) {
    return running ? -1 : __real_eventfd(count, flags);
}

WRAPPED(usec_t, time_mono_now, void) {
    return sim && sim->loop ? loop_now(sim->loop) : __real_time_mono_now();
}

WRAPPED(usec_t, time_mono_coarse, void) {
    return loop_now(sim->loop);
}

WRAPPED(usec_t, time_wall_now, void) {
    return running ? loop_wall_now(sim->loop) : __real_time_wall_now();
}

WRAPPED(pid_t, getpid, void) {
    return running ? running->proc->pid : __real_getpid();
}

WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
        void *arg) {
    if (!running)
        return __real_pthread_create(thread, attr, fn, arg);
    *thread = pthread_self(); /* the pump: its turns are taken above */
    return 0;
}

WRAPPED(int, pthread_join, pthread_t thread, void **ret) {
    return running ? 0 : __real_pthread_join(thread, ret);
}

/* ---- the store: of the dead nothing is undone --------------------------------------------------- */

WRAPPED(bool, store_client_unpin, StoreClient *client, uint64_t offset) {
    return running && !running->proc->alive ? false : __real_store_client_unpin(client, offset);
}
