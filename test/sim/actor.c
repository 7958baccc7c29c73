/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "test/sim/proc.h"

/* Actors as their owner sees them: registered, created, called, let go or killed. */

#define ACTOR_PATIENCE (20 * USEC_PER_SEC) /* then its owner gives it up */

Actor *actor_find(const ActorId *id) {
    Actor *actor = map_get(&sim->actors, id);
    ASSERT(actor);
    return actor;
}

static bool is_open(const Actor *actor, const Proc *proc) {
    return actor->owner == proc && actor->state != ACTOR_STATE_DEAD && !actor->let_go;
}

/* ---- calls ------------------------------------------------------------------------------------------ */

static void call_send(Actor *actor, Task *task) {
    Proc *proc = actor->owner;
    task->phase = TASK_SENT;
    task->worker = actor->worker;
    Call call = { .task = task->id,
                  .kind = CALL_KIND_ACTOR_TASK,
                  .actor = actor->id,
                  .job = proc->job,
                  .attempt = task->sent++,
                  .num_returns = 1,
                  .sequence = ++actor->sequence,
                  .depth = task->depth,
                  .caller = proc->id };
    _cleanup_buf_ Buf body = { 0 };
    call_encode(&call, &body);
    proc_send(proc, actor->worker, MSG_CALL, &body);
}

/* What waits for it goes to it when it lives, and fails when it is dead. */
static void calls_serve(Actor *actor) {
    LIST_EACH_SAFE(item, &actor->owner->tasks) {
        Task *task = LIST_ITEM(item, Task, link);
        if (task->actor != actor || task->phase != TASK_QUEUED)
            continue;
        if (actor->state == ACTOR_STATE_DEAD || actor->let_go)
            task_over(task, TASK_FAILED);
        else if (actor->state == ACTOR_STATE_ALIVE && actor->worker)
            call_send(actor, task);
    }
}

void actor_ask(Proc *proc) {
    Actor *actor;
    MAP_EACH(&sim->actors, pos, actor) {
        if (!is_open(actor, proc) || !chance(2))
            continue;
        TaskId id = task_id_make_actor(&proc->ids, &actor->id);
        task_new(proc, &id, 1, NULL)->actor = actor;
        calls_serve(actor);
        return;
    }
}

/* ---- news -------------------------------------------------------------------------------------------- */

void actors_news(Proc *proc, const ActorInfo *info) {
    Actor *actor = map_get(&sim->actors, &info->actor);
    if (!actor || actor->owner != proc || actor->state == ACTOR_STATE_DEAD)
        return;
    if (info->restarts < actor->restarts && info->state != ACTOR_STATE_DEAD)
        return; /* old */
    /* Killed before a restart that it told of was logged, gcs does not count that one: dead is dead. */
    uint32_t restarts = MAX(info->restarts, actor->restarts);
    sim->did.restarts += restarts - actor->restarts;
    if (actor->max_restarts >= 0 && restarts > (uint32_t)actor->max_restarts)
        fault("actor %s is restarted the %u. time, %d are allowed", ID_HEX(&actor->id), restarts,
              actor->max_restarts);
    note("actor %s is in state %u", ID_HEX(&actor->id), info->state);
    actor->state = (ActorState)info->state;
    actor->restarts = restarts;
    actor->worker = actor->state == ACTOR_STATE_ALIVE ? info->worker : 0;
    calls_serve(actor);
}

void actors_cut_off(Proc *proc, const PeerDead *dead) {
    Actor *actor;
    MAP_EACH(&sim->actors, pos, actor)
        if (actor->owner == proc && actor->worker &&
            (dead->whole_node ? peer_raylet(actor->worker) : actor->worker) == dead->peer)
            actor->worker = 0; /* gcs tells what becomes of it */
}

void actors_serve(Proc *proc) {
    Actor *actor;
    MAP_EACH(&sim->actors, pos, actor)
        if (actor->owner == proc)
            calls_serve(actor);
}

/* ---- making one ----------------------------------------------------------------------------------------- */

static void on_subscribed(void *argument, const RpcReply *reply) {
    Actor *actor = argument;
    if (!actor->owner->alive || reply->result != 0)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfoReply message;
    ASSERT(actor_info_reply_decode(&message, reply->body, reply->len, &arena) == 0);
    actors_news(actor->owner, &message.info);
}

static void subscribe(Actor *actor) {
    _cleanup_buf_ Buf body = { 0 };
    actor_subscribe_encode(&(ActorSubscribe){ .actor = actor->id }, &body);
    proc_call(actor->owner, PEER_GCS, MSG_ACTOR_SUBSCRIBE, &body, on_subscribed, actor);
}

static void on_created(void *argument, const RpcReply *reply) {
    Actor *actor = argument;
    actor->created |=
        reply->result == 0 || (reply->result == 1 && reply->status.code == STATUS_CODE_OK);
}

static void create(Actor *actor) {
    Proc *proc = actor->owner;
    Resource resources[3];
    const char *env;
    Call call = { .task = task_id_actor_creation(&actor->id),
                  .kind = CALL_KIND_ACTOR_CREATE,
                  .actor = actor->id,
                  .job = proc->job,
                  .num_returns = 1,
                  .depth = 1 };
    ActorCreate message = { .actor = actor->id, .resources = resources };
    message.resources_len = shape_fill(actor->shape, resources, &message.strategy, &env);
    message.runtime_env = slice_str(env);
    _cleanup_buf_ Buf inner = { 0 }, body = { 0 };
    call_encode(&call, &inner);
    message.call = buf_slice(&inner);
    actor_create_encode(&message, &body);
    proc_call(proc, PEER_GCS, MSG_ACTOR_CREATE, &body, on_created, actor);
}

static void on_registered(void *argument, const RpcReply *reply) {
    Actor *actor = argument;
    if (reply->result < 0 || !actor->owner->alive)
        return;
    if (reply->result != 0) { /* its name is taken */
        actor->state = ACTOR_STATE_DEAD;
        calls_serve(actor);
        return;
    }
    actor->registered = true;
    create(actor);
    subscribe(actor);
}

void actor_make(Proc *proc, int shape) {
    Actor *actor = mem_new(Actor);
    actor->id = actor_id_make(&proc->job);
    actor->owner = proc;
    actor->shape = shape >= 0 ? shape : (int)rnd(SHAPES);
    actor->max_restarts = chance(2) ? (int32_t)rnd(3) : chance(3) ? -1 : 0;
    actor->detached = chance(6);
    actor->asked_at = loop_now(sim->loop);
    map_put(&sim->actors, &actor->id, actor);
    sim->did.actors++;
    _cleanup_free_ char *name = chance(3) ? str_printf("name%u", rnd(4)) : NULL;
    ActorRegister message = { .info = { .actor = actor->id,
                                        .job = proc->job,
                                        .name = slice_str(name),
                                        .namespace = SLICE("ns"),
                                        .class_name = SLICE("C"),
                                        .max_restarts = actor->max_restarts,
                                        .detached = actor->detached } };
    _cleanup_buf_ Buf body = { 0 };
    actor_register_encode(&message, &body);
    proc_call(proc, PEER_GCS, MSG_ACTOR_REGISTER, &body, on_registered, actor);
}

/* ---- its end ----------------------------------------------------------------------------------------------- */

static void on_killed(void *argument, const RpcReply *reply) {
    Actor *actor = argument;
    actor->killed |=
        reply->result == 0 || (reply->result == 1 && reply->status.code == STATUS_CODE_OK);
}

void actor_kill_it(Proc *proc, Actor *actor, bool no_restart) {
    ActorKill message = { .actor = actor->id, .no_restart = no_restart };
    _cleanup_buf_ Buf body = { 0 };
    actor_kill_encode(&message, &body);
    static Actor nobody;
    proc_call(proc, PEER_GCS, MSG_ACTOR_KILL, &body, on_killed, no_restart ? actor : &nobody);
}

static void on_let_go(void *argument, const RpcReply *reply) {
}

void actor_let_go(Actor *actor) {
    Proc *proc = actor->owner;
    actor->let_go = true;
    if (actor->detached || chance(3)) {
        actor_kill_it(proc, actor, true);
    } else {
        ActorOutOfScope message = { .actor = actor->id };
        _cleanup_buf_ Buf body = { 0 };
        actor_out_of_scope_encode(&message, &body);
        proc_call(proc, PEER_GCS, MSG_ACTOR_OUT_OF_SCOPE, &body, on_let_go, actor);
    }
    calls_serve(actor);
}

/* Kills one, or lets one go; what has found no place for long is given up. */
void actors_tick(Proc *proc) {
    usec_t now = loop_now(sim->loop);
    Actor *actor;
    MAP_EACH(&sim->actors, pos, actor) {
        if (!is_open(actor, proc))
            continue;
        bool late = actor->state != ACTOR_STATE_ALIVE && now - actor->asked_at > ACTOR_PATIENCE;
        if (actor->state == ACTOR_STATE_ALIVE)
            actor->asked_at = now;
        if (late || chance(60))
            actor_let_go(actor);
        else if (chance(60))
            actor_kill_it(proc, actor, false);
    }
}

void actors_drop(Proc *proc) {
    Actor *actor;
    MAP_EACH(&sim->actors, pos, actor)
        if (is_open(actor, proc) && !actor->detached)
            actor_let_go(actor);
}
