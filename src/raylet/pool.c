/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * Worker processes: forked by a zygote, idle until a lease takes them, of one job from then on.
 * Idle ones are kept for a while up to a bound, so that bursts find them warm.
 */

enum {
    START_FAILURES_MAX = 3, /* in a row; then who waits is told */
};
#define START_TIMEOUT  (60 * USEC_PER_SEC)
#define PRESTART_PAUSE (100 * USEC_PER_MSEC)
#define IDLE_TIMEOUT   (60 * USEC_PER_SEC)
#define EXIT_GRACE     (5 * USEC_PER_SEC)
#define STATUS_GRACE   (200 * USEC_PER_MSEC) /* the zygote tells the status after the pidfd */

static size_t idle_bound(const Raylet *raylet) {
    size_t cpus = (size_t)(raylet->here.total.known[RESOURCE_CPU] / QUANTITY_ONE);
    return MAX(cpus, (size_t)raylet->prestart);
}

/* ---- the end of one ---- */

static void worker_free(Worker *worker) {
    Raylet *raylet = worker->raylet;
    if (worker->state == WORKER_IDLE)
        raylet->idle_len--;
    if (worker->state == WORKER_FORKING || worker->state == WORKER_STARTING)
        raylet->starting_len--;
    list_remove(&worker->link);
    list_remove(&worker->idle);
    raylet->workers_len--;
    map_remove(&raylet->worker_by_token, &worker->token);
    loop_child_free(worker->exit);
    loop_timer_free(worker->timer);
    logfile_free(worker->out);
    logfile_free(worker->err);
    workenv_unref(worker->env);
    free(worker->death_text);
    free(worker);
}

static char *death_sentence(const Worker *worker) {
    if (worker->death_text)
        return str_dup(worker->death_text);
    if (worker->local && worker->local->goodbye)
        return str_printf("Worker exits unexpectedly. Worker exits with an exit code %d.",
                          (int)worker->local->exit_code);
    /* Users' code matches the peer's words, which know of no exit status: the log has that. */
    return str_dup(
        "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes "
        "include: (1) the process was killed by the OOM killer due to high memory usage, (2) ray "
        "stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another "
        "unexpected error. If the process was killed by the kernel OOM killer (verifiable by "
        "checking for OOM in dmesg of the OOMing node), consider enabling resource isolation via "
        "--enable-resource-isolation to prevent node deaths by resource contention and "
        "significant loss of progress by uninformed kernel OOM killing.");
}

static void log_death(const Worker *worker) {
    if (worker->intended || worker->death_text || !worker->have_status)
        return;
    if (WIFSIGNALED(worker->status))
        log_info("worker %d was killed by signal %d", (int)worker->pid, WTERMSIG(worker->status));
    else
        log_info("worker %d exited with %d", (int)worker->pid, WEXITSTATUS(worker->status));
}

static void worker_dead(Worker *worker) {
    Raylet *raylet = worker->raylet;
    bool starting = worker->state == WORKER_STARTING || worker->state == WORKER_FORKING;
    _cleanup_free_ char *text = death_sentence(worker);
    log_death(worker);
    Lease *lease = worker->lease;
    if (worker->local)
        local_gone(worker->local, text);
    if (lease) {
        worker->lease = NULL;
        lease_worker_gone(lease);
    }
    worker_free(worker);
    if (starting && !raylet->ending)
        raylet->start_failures++;
    loop_task_arm(raylet->dispatch_task);
}

static void leave_idle(Worker *worker) {
    if (worker->state != WORKER_IDLE)
        return;
    worker->raylet->idle_len--;
    list_remove(&worker->idle);
}

/* The process is a zombie or gone: no ring of it will be written any more, nobody may get it. */
static void on_process_end(void *ctx, const LoopExit *end) {
    Worker *worker = ctx;
    if (worker->local)
        rings_drop(worker->local);
    if (!worker->zygote) { /* our own child */
        worker->have_status = true;
        worker->status = end->signal ? end->signal : W_EXITCODE(end->code, 0);
    }
    if (worker->have_status) {
        worker_dead(worker);
        return;
    }
    leave_idle(worker);
    if (worker->state == WORKER_IDLE || worker->state == WORKER_LEASED)
        worker->state = WORKER_ENDING;
    loop_timer_after(worker->timer, STATUS_GRACE);
}

void worker_exited(Worker *worker, int status) {
    worker->have_status = true;
    worker->status = status;
    worker_dead(worker);
}

void worker_disconnected(Worker *worker) {
    /* Alive or not, it can't work any more. Its real end says with which status. */
    worker->local->frames = frame_conn_free(worker->local->frames);
    if (worker->exit && loop_child_gone(worker->exit))
        return;
    if (worker->state == WORKER_FORKING) { /* the zygote's word of it is still on its way */
        str_set(&worker->death_text, "The worker process ended while it started.");
        return;
    }
    leave_idle(worker);
    worker->state = WORKER_ENDING;
    loop_timer_after(worker->timer, EXIT_GRACE);
}

void worker_end(Worker *worker, bool kill, bool intended, const char *text) {
    Raylet *raylet = worker->raylet;
    worker->intended |= intended;
    if (!worker->death_text && text)
        worker->death_text = str_dup(text);
    leave_idle(worker);
    if (worker->state == WORKER_FORKING)
        return; /* ended as soon as it is there: worker_forked() */
    if (kill || !worker->local || !worker->local->frames) {
        loop_child_kill(worker->exit, SIGKILL);
    } else {
        WorkerExit message = { .reason = slice_str(text) };
        _cleanup_buf_ Buf body = { 0 };
        worker_exit_encode(&message, &body);
        local_send(worker->local, MSG_WORKER_EXIT, &body);
    }
    if (worker->state == WORKER_STARTING)
        raylet->starting_len--;
    worker->state = WORKER_ENDING;
    loop_timer_after(worker->timer, EXIT_GRACE);
}

static void on_timer(void *ctx) {
    Worker *worker = ctx;
    switch (worker->state) {
    case WORKER_FORKING: /* it fails with its zygote, which would name it otherwise when it is no more */
        if (!worker->zygote) {
            worker_fork_failed(worker, "no process was forked in time");
            break;
        }
        zygote_stuck(worker->zygote);
        loop_timer_after(worker->timer, EXIT_GRACE);
        break;
    case WORKER_STARTING:
        worker_end(worker, true, false, "The worker process did not start in time.");
        break;
    case WORKER_IDLE:
        if (worker->raylet->idle_len > worker->raylet->prestart)
            worker_end(worker, false, true, "idle");
        break;
    case WORKER_LEASED:
    case WORKER_ENDING:
        if (!worker->exit || loop_child_gone(worker->exit)) {
            worker_dead(worker); /* its status never came */
        } else {
            loop_child_kill(worker->exit, SIGKILL);
            loop_timer_after(worker->timer, EXIT_GRACE);
        }
        break;
    }
}

/* ---- the start of one ---- */

static Worker *worker_new(Raylet *raylet) {
    Worker *worker = mem_new(Worker);
    worker->raylet = raylet;
    worker->state = WORKER_FORKING;
    mem_random(&worker->id, sizeof(worker->id));
    mem_random(&worker->token, sizeof(worker->token));
    worker->number = peer_worker(local_number(raylet));
    list_init(&worker->idle);
    list_push(&raylet->workers, &worker->link);
    raylet->workers_len++;
    raylet->starting_len++;
    map_put(&raylet->worker_by_token, &worker->token, worker);
    worker->timer = loop_timer_new(raylet->loop, on_timer, worker);
    loop_timer_after(worker->timer, START_TIMEOUT);
    return worker;
}

static int worker_spawn(Worker *worker, int out, int err) {
    Child child;
    int r = native_start(worker, out, err, &child);
    if (r < 0)
        return r;
    r = loop_child_new(worker->raylet->loop, child.pidfd, on_process_end, worker, &worker->exit);
    if (r < 0) {
        child_signal(&child, SIGKILL);
        child_release(&child);
        return r;
    }
    worker->pid = child.pid;
    worker->state = WORKER_STARTING;
    return 0;
}

static int fork_by_zygote(Worker *worker, int out, int err) {
    Zygote *zygote;
    int r = zygote_get(worker->raylet, worker->env, &zygote);
    return r < 0 ? r : zygote_fork(zygote, worker, out, err);
}

static int worker_fork(Worker *worker) {
    _cleanup_close_ int out = -1, err = -1;
    int r = logfile_new(worker->raylet, &worker->id, false, &worker->out, &out);
    if (r == 0)
        r = logfile_new(worker->raylet, &worker->id, true, &worker->err, &err);
    if (r == 0 && workenv_native(worker->env))
        return worker_spawn(worker, out, err);
    if (r == 0)
        r = fork_by_zygote(worker, out, err);
    if (r == -EPIPE) /* it has just ended: the next one is a new one */
        r = fork_by_zygote(worker, out, err);
    return r;
}

static int worker_start(Raylet *raylet, WorkEnv *env, Worker **ret_worker) {
    if (raylet->workers_len >= RAYLET_WORKERS_MAX)
        return error_origin(-EMFILE, "no worker process could be started: there are %d",
                            RAYLET_WORKERS_MAX);
    Worker *worker = worker_new(raylet);
    worker->env = workenv_ref(env);
    int r = worker_fork(worker);
    if (r < 0) {
        r = error_context(r, "no worker process could be started");
        log_error("%s", error_text(r));
        raylet->start_failures++;
        worker_free(worker);
        return r;
    }
    *ret_worker = worker;
    return 0;
}

static void worker_idle(Worker *worker) {
    Raylet *raylet = worker->raylet;
    worker->state = WORKER_IDLE;
    worker->lease = NULL;
    list_push(&raylet->idle, &worker->idle);
    raylet->idle_len++;
    loop_timer_after(worker->timer, IDLE_TIMEOUT);
    if (raylet->idle_len > idle_bound(raylet)) {
        Worker *oldest = LIST_ITEM(raylet->idle.next, Worker, idle);
        worker_end(oldest, false, true, "more idle workers than the node keeps");
    }
}

/* Forked and connected: both are known. */
static void worker_started(Worker *worker) {
    Raylet *raylet = worker->raylet;
    raylet->start_failures = 0;
    raylet->starting_len--;
    loop_timer_stop(worker->timer);
    loop_task_arm(raylet->dispatch_task); /* another one may be started */
    if (worker->lease) {
        worker->state = WORKER_LEASED;
        lease_worker_ready(worker->lease, worker);
        return;
    }
    worker_idle(worker);
}

void worker_forked(Worker *worker, pid_t pid, int pidfd) {
    worker->pid = pid;
    worker->state = WORKER_STARTING;
    int r = loop_child_new(worker->raylet->loop, pidfd, on_process_end, worker, &worker->exit);
    if (r < 0) {
        log_error("worker %d can't be watched: %s", (int)pid, error_text(r));
        fd_close(pidfd);
        kill(pid, SIGKILL); /* not reaped by the zygote before it told us: the pid is right */
        worker_fork_failed(worker, error_text(r));
        return;
    }
    if (worker->death_text)
        worker_end(worker, true, false, NULL);
    else if (worker->local)
        worker_started(worker);
}

void worker_fork_failed(Worker *worker, const char *text) {
    log_error("a worker could not be forked: %s", text);
    Raylet *raylet = worker->raylet;
    raylet->start_failures++;
    if (worker->local) /* it came, but nobody can say which process it is */
        local_gone(worker->local, text);
    Lease *lease = worker->lease;
    worker->lease = NULL;
    if (lease && raylet->start_failures < START_FAILURES_MAX) {
        lease_worker_gone(lease);   /* another one is tried */
    } else if (lease) {
        raylet->start_failures = 0; /* the next request tries again */
        lease_worker_failed(lease, STATUS_CODE_INTERNAL, text);
    }
    worker_free(worker);
    loop_task_arm(raylet->dispatch_task);
}

Worker *pool_by_token(const Raylet *raylet, uint64_t token) {
    return map_get(&raylet->worker_by_token, &token);
}

void worker_connected(Worker *worker, Local *local) {
    worker->local = local;
    if (worker->state == WORKER_STARTING) /* else the zygote's word of it is still on its way */
        worker_started(worker);
}

/* ---- lending ---- */

static bool suits(const Worker *worker, const Lease *lease) {
    if (worker->env != lease->env)
        return false;
    if (worker->local && worker->local->peer == lease->requester)
        return false; /* it has asked for what it left behind: nobody is his own worker */
    return id_is_unset(&worker->job) || id_equal(&worker->job, &lease->job);
}

Worker *pool_take(Raylet *raylet, const Lease *lease) {
    /* The one that was used last is the warmest; one of the job's own before a fresh one. */
    Worker *fresh = NULL;
    for (List *item = raylet->idle.prev; item != &raylet->idle; item = item->prev) {
        Worker *worker = LIST_ITEM(item, Worker, idle);
        if (!suits(worker, lease))
            continue;
        if (!id_is_unset(&worker->job)) {
            fresh = worker;
            break;
        }
        fresh = fresh ? fresh : worker;
    }
    if (!fresh)
        return NULL;
    list_remove(&fresh->idle);
    raylet->idle_len--;
    loop_timer_stop(fresh->timer);
    fresh->state = WORKER_LEASED;
    return fresh;
}

/* The one that starts for nobody since longest. Those that start are the newest: of thousands few are
 * looked at. */
static Worker *find_starting(const Raylet *raylet, const Lease *lease) {
    Worker *found = NULL;
    size_t left = raylet->starting_len;
    for (List *item = raylet->workers.prev; item != &raylet->workers && left; item = item->prev) {
        Worker *worker = LIST_ITEM(item, Worker, link);
        bool starts = worker->state == WORKER_FORKING || worker->state == WORKER_STARTING;
        if (starts && !worker->lease && !worker->death_text && suits(worker, lease))
            found = worker;
        left -= starts;
    }
    return found;
}

static void worker_for(Worker *worker, Lease *lease) {
    worker->lease = lease;
    lease->worker = worker;
}

/* A worker that starts for nobody yet, or a new one. */
void pool_start_for(Raylet *raylet, Lease *lease) {
    Worker *worker = find_starting(raylet, lease);
    if (worker) {
        worker_for(worker, lease);
        return;
    }
    if (raylet->start_failures >= START_FAILURES_MAX) {
        raylet->start_failures = 0; /* the next request tries again */
        lease_worker_failed(lease, STATUS_CODE_INTERNAL,
                            "worker processes do not start on this node: look at the newest "
                            "zygote.err and worker-*.err in the session's logs folder");
        return;
    }
    int r = worker_start(raylet, lease->env, &worker);
    if (r == 0) {
        worker_for(worker, lease);
        return;
    }
    _cleanup_free_ char *text = str_dup(error_text(r));
    lease_worker_failed(lease, STATUS_CODE_FULL, text);
}

void pool_give_back(Worker *worker) {
    worker->lease = NULL;
    if (worker->state == WORKER_LEASED && worker->local && worker->local->frames)
        worker_idle(worker);
}

void pool_on_kill(Raylet *raylet, RayletCall *call) {
    WorkerKill message;
    RAYLET_DECODE(raylet, call, worker_kill_decode, &message);
    Local *local = local_get(raylet, message.peer);
    if (!local || !local->worker)
        return;
    _cleanup_free_ char *text = str_dup_slice(message.text);
    worker_end(local->worker, message.force, call->header->source == PEER_GCS, text);
}

void pool_on_job_finished(Raylet *raylet, const JobId *job) {
    LIST_EACH_SAFE(item, &raylet->workers) {
        Worker *worker = LIST_ITEM(item, Worker, link);
        if (id_is_unset(&worker->job) || !id_equal(&worker->job, job))
            continue;
        /* gcs ends the job's actors; detached ones stay. */
        if (worker->lease && !id_is_unset(&worker->lease->actor))
            continue;
        if (worker->state == WORKER_IDLE)
            worker_end(worker, false, true, "The job has ended.");
        else if (worker->state == WORKER_LEASED)
            worker_end(worker, true, true, "The worker is killed because its job has ended.");
    }
}

/* ---- life ---- */

/* Keeps some ready, so that the first task finds one: one after the other, as the first of them may be
 * waited for. */
static void prestart(void *ctx) {
    Raylet *raylet = ctx;
    if (raylet->ending || raylet->start_failures || raylet->workers_len >= raylet->prestart)
        return;
    Worker *worker;
    if (worker_start(raylet, NULL, &worker) == 0)
        loop_timer_after(raylet->pool_timer, PRESTART_PAUSE);
}

void pool_init(Raylet *raylet) {
    list_init(&raylet->workers);
    list_init(&raylet->idle);
    map_init(&raylet->worker_by_token, sizeof(uint64_t));
    raylet->pool_timer = loop_timer_new(raylet->loop, prestart, raylet);
}

void pool_done(Raylet *raylet) {
    LIST_EACH_SAFE(item, &raylet->workers) {
        Worker *worker = LIST_ITEM(item, Worker, link);
        if (worker->exit)
            loop_child_kill(worker->exit, SIGKILL);
        if (worker->local)
            worker->local->worker = NULL;
        worker_free(worker);
    }
    zygotes_done(raylet);
    map_done(&raylet->worker_by_token);
    loop_timer_free(raylet->pool_timer);
}
