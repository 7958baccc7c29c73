/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "test/sim/proc.h"

/* The drivers' script: steps drawn from the seed, then all is let go, then the end. */

#define STEP_PAUSE_MS 40
#define DRIVER_PAUSE  (2 * USEC_PER_SEC)
#define PATIENCE      (300 * USEC_PER_SEC) /* after the last fault no wait takes longer */

enum {
    STEPS_MAX = 60,
    ALIVE_MAX = 3,
};

/* ---- the key-value store: what was acknowledged is read --------------------------------------------- */

typedef struct Ask {
    Proc *proc;
    uint64_t number; /* put: the value; get: the least that must come */
} Ask;

static void on_put(void *argument, const RpcReply *reply) {
    Ask *ask = argument;
    if (reply->result == 0 && ask->proc->key_acked < ask->number)
        ask->proc->key_acked = ask->number;
    free(ask);
}

static void on_got(void *argument, const RpcReply *reply) {
    Ask *ask = argument;
    _cleanup_arena_ Arena arena = { 0 };
    KvReply message;
    uint64_t number = 0;
    if (reply->result == 0) {
        ASSERT(kv_reply_decode(&message, reply->body, reply->len, &arena) == 0);
        if (message.value.len == sizeof(number))
            memcpy(&number, message.value.data, sizeof(number));
        if (number < ask->number || number > ask->proc->key_sent)
            fault("%s reads %llu where %llu was acknowledged", proc_name(ask->proc),
                  (unsigned long long)number, (unsigned long long)ask->number);
    }
    free(ask);
}

static Ask *ask_new(Proc *proc, uint64_t number) {
    Ask *ask = mem_new(Ask);
    *ask = (Ask){ proc, number };
    return ask;
}

static void use_keys(Proc *proc) {
    _cleanup_buf_ Buf body = { 0 };
    Slice key = { (const char *)&proc->pid, sizeof(proc->pid) };
    if (chance(2)) {
        uint64_t number = ++proc->key_sent;
        KvPut put = { .space = SLICE("sim"),
                      .key = key,
                      .value = { (const char *)&number, sizeof(number) },
                      .overwrite = true };
        kv_put_encode(&put, &body);
        proc_call(proc, PEER_GCS, MSG_KV_PUT, &body, on_put, ask_new(proc, number));
    } else {
        kv_get_encode(&(KvGet){ .space = SLICE("sim"), .key = key }, &body);
        proc_call(proc, PEER_GCS, MSG_KV_GET, &body, on_got, ask_new(proc, proc->key_acked));
    }
}

/* ---- steps ----------------------------------------------------------------------------------------------- */

static void act(Proc *proc) {
    switch (rnd(22)) {
    case 0:
        actor_make(proc, -1);
        break;
    case 1:
    case 2:
    case 3:
        actor_ask(proc);
        break;
    case 4:
    case 16:
        group_make(proc);
        break;
    case 5:
    case 6:
        group_use(proc);
        break;
    case 7:
    case 8:
        use_keys(proc);
        break;
    case 17:
    case 18:
        object_make(proc);
        break;
    case 19:
    case 20:
        object_read();
        break;
    case 21:
        objects_drop(proc, false);
        break;
    case 9:
        tasks_cancel_some(proc);
        break;
    default:
        task_submit(proc, -1, 0, NULL);
    }
    actors_tick(proc);
    groups_tick(proc);
}

static void say_what_waits(const Proc *proc) {
    _cleanup_buf_ Buf text = { 0 };
    size_t tasks = 0, asked = 0;
    LIST_EACH(item, &proc->tasks) {
        const Task *task = LIST_ITEM(item, Task, link);
        if (tasks++ < 2)
            buf_printf(&text, ", task %s (%s, shape %d, peer %llx)", ID_HEX(&task->id),
                       task->actor                ? "actor's"
                       : task->phase == TASK_SENT ? "sent"
                                                  : "queued",
                       task->shape, (unsigned long long)task->worker);
    }
    LIST_EACH(item, &proc->holds)
        asked += !LIST_ITEM(item, Hold, link)->granted;
    fault("%s waits for ever: %zu calls, %zu tasks, %zu leases%s", proc_name(proc),
          rpc_pending(proc->rpc), tasks, asked, text.data ? text.data : "");
}

static void leave(Proc *proc) {
    sim->tidied |= proc->janitor;
    if (!chance(4)) { /* else it just exits */
        _cleanup_buf_ Buf body = { 0 };
        goodbye_encode(&(Goodbye){ .reason = SLICE("done") }, &body);
        proc_send(proc, peer_raylet(proc->peer), MSG_GOODBYE, &body);
        stream_flush(frame_conn_stream(proc->conn));
    }
    proc_end(proc, 0);
}

static void wait_for_end(Proc *proc) {
    usec_t now = loop_now(sim->loop);
    if (!proc->done_at || !sim->closing)
        proc->done_at = now;
    actors_tick(proc); /* gives up what found no place */
    groups_tick(proc);
    if (list_empty(&proc->tasks) && list_empty(&proc->holds) && rpc_pending(proc->rpc) == 0)
        leave(proc);
    else if (now - proc->done_at > PATIENCE)
        say_what_waits(proc);
}

/* Not before gcs knows of it: what comes after its removal would be there for ever. `all`: also what
 * its maker was not told of, since nothing is under way any more. */
static void end_detached(Proc *proc, bool all) {
    Actor *actor;
    Group *group;
    MAP_EACH(&sim->actors, pos, actor)
        if (actor->detached && !actor->killed && (all || actor->registered))
            actor_kill_it(proc, actor, true);
    MAP_EACH(&sim->groups, again, group)
        if (group->detached && !group->removed && (all || group->made))
            group_remove_it(proc, group);
}

/* Ends what is detached, until it is the last. */
static void janitor_step(Proc *proc) {
    bool last = sim->drivers_alive == 1;
    bool calm = loop_now(sim->loop) > sim->healed_at + 60 * USEC_PER_SEC;
    if (last ? !proc->done_at : proc->steps++ % 64 == 0 && rpc_pending(proc->rpc) == 0)
        end_detached(proc, last || calm);
    if (last)
        wait_for_end(proc);
}

void driver_step(Proc *proc) {
    loop_timer_after(proc->timer, (1 + rnd(STEP_PAUSE_MS)) * USEC_PER_MSEC);
    if (sim->calm)
        return;
    if (proc->janitor) {
        janitor_step(proc);
        return;
    }
    if (proc->steps > 0) {
        proc->steps--;
        act(proc);
        return;
    }
    if (!proc->done_at) {
        objects_drop(proc, true);
        actors_drop(proc);
        groups_drop(proc);
    }
    wait_for_end(proc);
    loop_timer_after(proc->timer, 100 * USEC_PER_MSEC);
}

void driver_welcomed(Proc *proc) {
    note("%s is job %u", proc_name(proc), job_id_number(&proc->job));
    driver_step(proc);
}

/* ---- one after the other ----------------------------------------------------------------------------------- */

static bool driver_new(bool janitor) {
    Machine *machine = machine_some_up();
    if (!machine)
        return false;
    Proc *proc = proc_new(machine, ROLE_DRIVER);
    proc->steps = STEPS_MAX / 2 + rnd(STEPS_MAX / 2);
    proc->janitor = janitor;
    proc->runtime = !janitor && rnd(4) < sim->runtimes ? runtime_new(proc) : NULL;
    sim->drivers_alive++;
    if (!janitor)
        sim->drivers_started++;
    loop_timer_after(proc->timer, rnd(2000));
    return true;
}

static void on_driver_timer(void *ctx) {
    if (sim->drivers_started < DRIVERS && sim->drivers_alive < ALIVE_MAX && faulty())
        driver_new(false);
    loop_timer_after(sim->driver_timer, rnd(1000) * USEC_PER_MSEC);
}

void drivers_begin(void) {
    sim->driver_timer = loop_timer_new(sim->loop, on_driver_timer, NULL);
    loop_timer_after(sim->driver_timer, 200 * USEC_PER_MSEC);
}

void drivers_end(void) {
    loop_timer_free(sim->driver_timer);
}

void janitor_start(void) {
    sim->janitor = driver_new(true);
}
