/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "base/wrap.h"
#include "raylet/raylet_private.h"
#include "test/sim/proc.h"

/*
 * What a raylet would start, watch or read of the machine: processes are scripts, forked by a zygote
 * that is not there or started as children of its own; the clock is the loop's; random bytes are the
 * seed's; the disk is as large and as full as the seed says.
 */

/* ---- randomness, the disk ------------------------------------------------------------------------ */

WRAPPED(void, mem_random, void *p, size_t len) {
    uint8_t *to = p;
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)rnd(256);
}

WRAPPED(int, statvfs, const char *path, struct statvfs *fs) {
    *fs = (struct statvfs){ .f_frsize = 4096, .f_bsize = 4096, .f_blocks = (32 << 20) / 4096 };
    fs->f_bavail = fs->f_bfree = sim->disk_full ? 0 : fs->f_blocks;
    return 0;
}

WRAPPED(int, session_open, const char *temp_dir, const char *name, Session *ret_session) {
    *ret_session = (Session){ .name = str_dup(name),
                              .dir = str_dup(temp_dir),
                              .logs = str_dup(temp_dir),
                              .sockets = str_dup(temp_dir),
                              .resources = str_dup(temp_dir) };
    return 0;
}

/* ---- blocking work: it takes its time -------------------------------------------------------------- */

struct LoopWork {
    List link; /* in World.works, in their order */
    LoopFn *run;
    LoopWorkDoneFn *done;
    void *job;
    LoopTimer *timer;
};

static void work_finish(void *ctx) {
    LoopWork work = *(LoopWork *)ctx;
    list_remove(&((LoopWork *)ctx)->link);
    loop_timer_free(work.timer);
    free(ctx);
    work.run(work.job);
    work.done(work.job, 0);
}

WRAPPED(LoopWork *, loop_work, Loop *loop, LoopFn *run, LoopWorkDoneFn *done, void *job) {
    LoopWork *work = mem_new(LoopWork);
    *work = (LoopWork){ .run = run, .done = done, .job = job };
    work->timer = loop_timer_new(loop, work_finish, work);
    list_push(&sim->works, &work->link);
    if (sim->head.doomed)
        loop_timer_after(sim->head.down_timer, rnd(100));
    sim->head.doomed = false;
    loop_timer_after(work->timer, chance(20) ? rnd(20000) : rnd(200));
    return work;
}

void outside_finish_works(void) {
    while (!list_empty(&sim->works))
        work_finish(LIST_ITEM(sim->works.next, LoopWork, link));
}

/* ---- logs, HTTP: not simulated ----------------------------------------------------------------- */

WRAPPED(int, logs_init, Raylet *raylet) {
    return 0;
}

WRAPPED(int, http_init, Raylet *raylet) {
    return 0;
}

WRAPPED(void, jobrun_look_for_orphans, Raylet *raylet) {
}

WRAPPED(int, logfile_new, Raylet *raylet, const WorkerId *id, bool is_err, LogFile **ret, int *fd) {
    *ret = NULL;
    *fd = -1;
    return 0;
}

WRAPPED(void, logfile_assign, LogFile *file, const JobId *job, PeerId driver, pid_t pid,
        const char *name) {
}

WRAPPED(LogFile *, logfile_free, LogFile *file) {
    return NULL;
}

/* ---- processes -------------------------------------------------------------------------------------- */

struct LoopChild {
    LoopChildFn *fn;
    void *ctx;
    Proc *proc;
    bool gone;
};

static Proc *proc_of_pidfd(int pidfd) {
    size_t i = (size_t)(pidfd - PIDFD_FIRST);
    return pidfd >= PIDFD_FIRST && i < sim->procs.len ? sim->procs.items[i] : NULL;
}

static int pidfd_of(const Proc *proc) {
    return PIDFD_FIRST + (proc->pid - PID_FIRST);
}

WRAPPED(int, pidfd_open, pid_t pid, unsigned flags) {
    size_t i = (size_t)(pid - PID_FIRST);
    bool there = pid >= PID_FIRST && i < sim->procs.len && sim->procs.items[i]->alive;
    return there ? pidfd_of(sim->procs.items[i]) : -1;
}

WRAPPED(int, loop_child_new, Loop *loop, int pidfd, LoopChildFn *fn, void *ctx, LoopChild **ret) {
    LoopChild *child = mem_new(LoopChild);
    *child = (LoopChild){ fn, ctx, proc_of_pidfd(pidfd), false };
    ASSERT(child->proc);
    child->proc->watch = child;
    if (!child->proc->alive)
        outside_exited(child->proc);
    *ret = child;
    return 0;
}

WRAPPED(LoopChild *, loop_child_free, LoopChild *child) {
    if (child && child->proc->watch == child)
        child->proc->watch = NULL;
    return mem_free(child);
}

WRAPPED(int, loop_child_kill, LoopChild *child, int signo) {
    if (child)
        proc_end(child->proc, -signo);
    return 0;
}

WRAPPED(bool, loop_child_gone, const LoopChild *child) {
    return child->gone;
}

/* The machine's raylet, if it is still the one of the process's birth. */
static Raylet *raylet_of(const Proc *proc) {
    return proc->machine->lives == proc->life ? proc->machine->raylet : NULL;
}

static Worker *worker_of(const Proc *proc) {
    Raylet *raylet = raylet_of(proc);
    return raylet && proc->role == ROLE_WORKER ? pool_by_token(raylet, proc->token) : NULL;
}

void outside_exit_seen(void *ctx) {
    Proc *proc = ctx;
    LoopChild *child = proc->watch;
    if (!child || child->gone)
        return;
    child->gone = true;
    LoopExit end = { .known = !proc->by_zygote,
                     .code = proc->status >= 0 ? proc->status : 0,
                     .signal = proc->status < 0 ? -proc->status : 0 };
    child->fn(child->ctx, &end);
}

void outside_status_told(void *ctx) {
    Proc *proc = ctx;
    Worker *worker = worker_of(proc);
    if (worker && worker->state != WORKER_FORKING)
        worker_exited(worker, proc->status < 0 ? -proc->status : proc->status << 8);
}

void outside_exited(Proc *proc) {
    loop_timer_after(proc->exit_timer, rnd(3000));
    if (proc->by_zygote && !chance(50)) /* now and then the zygote says nothing */
        loop_timer_after(proc->status_timer, rnd(5000));
}

/* ---- workers --------------------------------------------------------------------------------------- */

static Proc *worker_proc(const Worker *worker) {
    Machine *machine = NULL;
    for (int i = 0; i < NODES; i++)
        if (sim->machines[i].raylet == worker->raylet)
            machine = &sim->machines[i];
    ASSERT(machine);
    Proc *proc = proc_new(machine, ROLE_WORKER);
    proc->id = worker->id;
    proc->token = worker->token;
    proc->runtime = rnd(4) < sim->runtimes ? runtime_new(proc) : NULL;
    return proc;
}

void outside_forked(void *ctx) {
    Proc *proc = ctx;
    Worker *worker = worker_of(proc);
    if (!worker || worker->state != WORKER_FORKING) {
        proc_end(proc, -SIGKILL);
        return;
    }
    if (sim->faults.workers && faulty() && chance(60)) {
        worker_fork_failed(worker, "so it is");
        proc_end(proc, -SIGKILL);
        return;
    }
    worker_forked(worker, proc->pid, pidfd_of(proc));
}

static struct Zygote *the_zygote(void) {
    static char zygote; /* nobody looks into it */
    return (struct Zygote *)(void *)&zygote;
}

WRAPPED(int, zygote_get, Raylet *raylet, const WorkEnv *env, Zygote **ret) {
    *ret = the_zygote();
    return 0;
}

/* The child may be faster than the word of it. */
WRAPPED(int, zygote_fork, Zygote *zygote, Worker *worker, int out_fd, int err_fd) {
    Proc *proc = worker_proc(worker);
    proc->by_zygote = true;
    worker->zygote = zygote;
    loop_timer_after(proc->fork_timer, rnd(4000));
    loop_timer_after(proc->timer, rnd(4000));
    return 0;
}

WRAPPED(int, native_start, const Worker *worker, int out_fd, int err_fd, Child *ret_child) {
    Proc *proc = worker_proc(worker);
    loop_timer_after(proc->timer, rnd(4000));
    *ret_child = (Child){ .pid = proc->pid, .pidfd = pidfd_of(proc) };
    return 0;
}
