/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "test/sim/proc.h"

/*
 * A process that submits tasks, as the worker runtime does: a lease for what it needs, the call to the leased
 * worker, the result back; again when the worker died and a retry is left. A lease serves the
 * tasks of its shape one after the other and is returned when there are none.
 */

static Vec(Shape) shapes;

int shape_add(const Shape *shape) {
    vec_push(&shapes, *shape);
    return (int)shapes.len - 1;
}

static Shape shape_random(void) {
    static const char *const envs[] = {
        "", "", "", "", "{\"env_vars\": {\"A\": \"b\"}}", "{\"worker\": \"c\"}"
    };
    Shape shape = { .cpu = QUANTITY_ONE / 2 * (1 + rnd(3)), .bundle = -1 };
    shape.gpu = chance(2) ? QUANTITY_ONE / 2 * (1 + rnd(2)) : 0;
    shape.custom = chance(2) ? QUANTITY_ONE : 0;
    shape.kind = chance(4) ? STRATEGY_KIND_SPREAD : STRATEGY_KIND_DEFAULT;
    shape.env = envs[rnd(ARRAY_LEN(envs))];
    return shape;
}

/* The last one is for what others wait for: they lend out their CPUs only, so it takes nothing else. */
void shapes_begin(void) {
    for (int i = 0; i < SHAPES; i++) {
        Shape shape = shape_random();
        if (i == SHAPE_NESTED)
            shape = (Shape){ .cpu = QUANTITY_ONE / 2, .bundle = -1 };
        shape_add(&shape);
    }
}

void shapes_end(void) {
    vec_done(&shapes);
}

/* Of those by chance one is bound to a node. */
static int shape_pick(int wanted) {
    if (wanted >= 0 || !chance(8))
        return wanted >= 0 ? wanted : (int)rnd(SHAPES);
    Shape shape = shapes.items[rnd(SHAPES)];
    const Proc *there = proc_some(ROLE_DRIVER);
    if (!there)
        return (int)rnd(SHAPES);
    shape.kind = STRATEGY_KIND_NODE_AFFINITY;
    shape.soft = chance(2);
    shape.gpu = shape.custom = 0;
    shape.node = there->node;
    return shape_add(&shape);
}

/* ---- the end of a task ------------------------------------------------------------------------------ */

void task_over(Task *task, TaskPhase phase) {
    Run *parent = TAKE(task->parent);
    task->phase = phase;
    task->worker = 0;
    list_remove(&task->link);
    sim->did.failed += phase == TASK_FAILED;
    note("task %s is %s", ID_HEX(&task->id), phase == TASK_DONE ? "done" : "given up");
    if (parent)
        work_child_over(parent);
}

/* The worker is gone that had it, or may have had it. */
static void task_lost(Task *task) {
    task->worker = 0;
    if (task->sent > task->retries) {
        task_over(task, TASK_FAILED);
        return;
    }
    task->phase = TASK_QUEUED;
    sim->did.retried++;
}

/* ---- leases -------------------------------------------------------------------------------------------- */

static void hold_free(Hold *hold) {
    list_remove(&hold->link);
    free(hold);
}

static void lease_return(Hold *hold, bool kill) {
    LeaseReturn message = { .lease = hold->id, .worker = hold->worker, .kill = kill };
    _cleanup_buf_ Buf body = { 0 };
    lease_return_encode(&message, &body);
    proc_send(hold->proc, peer_raylet(hold->proc->peer), MSG_LEASE_RETURN, &body);
    hold_free(hold);
}

static Task *task_waiting(Proc *proc, int shape) {
    LIST_EACH(item, &proc->tasks) {
        Task *task = LIST_ITEM(item, Task, link);
        if (task->phase == TASK_QUEUED && task->shape == shape && !task->actor)
            return task;
    }
    return NULL;
}

static void task_send(Task *task, Hold *hold) {
    Proc *proc = task->submitter;
    task->phase = TASK_SENT;
    task->worker = hold->worker;
    hold->task = task;
    Call call = { .task = task->id,
                  .kind = CALL_KIND_TASK,
                  .lease = hold->id,
                  .job = proc->job,
                  .attempt = task->sent++,
                  .num_returns = 1,
                  .depth = task->depth,
                  .caller = proc->id };
    _cleanup_buf_ Buf body = { 0 };
    call_encode(&call, &body);
    proc_send(proc, hold->worker, MSG_CALL, &body);
}

static void hold_serve(Hold *hold) {
    Task *task = task_waiting(hold->proc, hold->shape);
    if (task)
        task_send(task, hold);
    else
        lease_return(hold, chance(10));
}

/* It can't be had: one task that needs it fails. */
static void refused(Hold *hold, const Status *status) {
    Proc *proc = hold->proc;
    Task *task = task_waiting(proc, hold->shape);
    int shape = hold->shape;
    hold_free(hold);
    bool for_good = status->code == STATUS_CODE_INFEASIBLE || status->code == STATUS_CODE_REMOVED;
    if (!for_good && status->code != STATUS_CODE_CANCELLED && status->code != STATUS_CODE_DEAD &&
        status->code != STATUS_CODE_INTERNAL && status->code != STATUS_CODE_FULL)
        fault("a lease of shape %d is refused with %u: %.*s", shape, status->code,
              (int)status->text.len, status->text.data);
    if (task && for_good)
        task_over(task, TASK_FAILED);
    lease_ensure(proc);
}

static void on_lease(void *argument, const RpcReply *reply) {
    Hold *hold = argument;
    Proc *proc = hold->proc;
    if (!proc->alive) {
        hold_free(hold);
        return;
    }
    if (reply->result < 0) {
        hold_free(hold);
        lease_ensure(proc);
        return;
    }
    if (reply->result > 0) {
        refused(hold, &reply->status);
        return;
    }
    _cleanup_arena_ Arena arena = { 0 };
    LeaseGrant grant;
    ASSERT(lease_grant_decode(&grant, reply->body, reply->len, &arena) == 0);
    hold->granted = true;
    hold->worker = grant.worker;
    hold_serve(hold);
}

static void strategy_of(const Shape *shape, Strategy *ret_strategy) {
    *ret_strategy = (Strategy){ .kind = (uint8_t)shape->kind,
                                .node = shape->node,
                                .soft = shape->soft,
                                .group = shape->group,
                                .bundle = shape->bundle,
                                .capture = shape->capture };
}

size_t shape_fill(int index, Resource out[static 3], Strategy *ret_strategy, const char **ret_env) {
    const Shape *shape = &shapes.items[index];
    size_t len = 0;
    if (shape->cpu)
        out[len++] = (Resource){ SLICE("CPU"), shape->cpu };
    if (shape->gpu)
        out[len++] = (Resource){ SLICE("GPU"), shape->gpu };
    if (shape->custom)
        out[len++] = (Resource){ SLICE("x"), shape->custom };
    strategy_of(shape, ret_strategy);
    *ret_env = shape->env ? shape->env : "";
    return len;
}

bool shape_lends(int index) {
    const Shape *shape = &shapes.items[index];
    return !shape->gpu && !shape->custom && shape->kind != STRATEGY_KIND_PLACEMENT_GROUP;
}

static void lease_ask(Proc *proc, int shape) {
    Hold *hold = mem_new(Hold);
    hold->proc = proc;
    hold->shape = shape;
    id_random(&hold->id);
    list_push(&proc->holds, &hold->link);
    Resource resources[3];
    const char *env;
    LeaseRequest request = { .lease = hold->id,
                             .job = proc->job,
                             .resources = resources,
                             .name = SLICE("f"),
                             .retriable = true };
    request.resources_len = shape_fill(shape, resources, &request.strategy, &env);
    request.runtime_env = slice_str(env);
    _cleanup_buf_ Buf body = { 0 };
    lease_request_encode(&request, &body);
    proc_call(proc, peer_raylet(proc->peer), MSG_LEASE_REQUEST, &body, on_lease, hold);
}

/* As many requests under way as tasks wait. */
void lease_ensure(Proc *proc) {
    for (int shape = 0; shape < (int)shapes.len; shape++) {
        int waiting = 0;
        LIST_EACH(item, &proc->tasks) {
            const Task *task = LIST_ITEM(item, Task, link);
            waiting += task->shape == shape && task->phase == TASK_QUEUED && !task->actor;
        }
        LIST_EACH(item, &proc->holds) {
            const Hold *hold = LIST_ITEM(item, Hold, link);
            waiting -= hold->shape == shape && !hold->granted && !hold->cancelled;
        }
        for (; waiting > 0; waiting--)
            lease_ask(proc, shape);
    }
}

void tasks_cancel_some(Proc *proc) {
    LIST_EACH(item, &proc->holds) {
        Hold *hold = LIST_ITEM(item, Hold, link);
        if (hold->granted || hold->cancelled || !chance(3))
            continue;
        hold->cancelled = true;
        Task *task = task_waiting(proc, hold->shape);
        if (task)
            task_over(task, TASK_FAILED);
        _cleanup_buf_ Buf body = { 0 };
        lease_cancel_encode(&(LeaseCancel){ .lease = hold->id }, &body);
        proc_send(proc, peer_raylet(proc->peer), MSG_LEASE_CANCEL, &body);
        return;
    }
}

/* ---- tasks ----------------------------------------------------------------------------------------------- */

Task *task_new(Proc *proc, const TaskId *id, uint8_t depth, Run *parent) {
    Task *task = mem_new(Task);
    task->id = *id;
    task->submitter = proc;
    task->retries = rnd(4);
    task->depth = depth;
    task->parent = parent;
    list_push(&proc->tasks, &task->link);
    map_put(&sim->tasks, &task->id, task);
    sim->did.tasks++;
    return task;
}

Task *task_of_runtime(Proc *proc, const TaskId *id, uint32_t retries, int32_t returns) {
    Task *task = mem_new(Task);
    task->id = *id;
    task->submitter = proc;
    task->by_runtime = true;
    task->retries = retries;
    task->returns = returns;
    list_init(&task->link);
    map_put(&sim->tasks, &task->id, task);
    sim->did.tasks++;
    return task;
}

Task *task_submit(Proc *proc, int shape, uint8_t depth, Run *parent) {
    TaskId id = task_id_make(&proc->ids, &proc->job);
    shape = shape_pick(shape);
    Task *task = task_new(proc, &id, depth, parent);
    task->shape = shape;
    lease_ensure(proc);
    return task;
}

static Hold *hold_of(Proc *proc, const Task *task) {
    LIST_EACH(item, &proc->holds)
        if (LIST_ITEM(item, Hold, link)->task == task)
            return LIST_ITEM(item, Hold, link);
    return NULL;
}

void tasks_result(Proc *proc, const Result *result, PeerId from) {
    Task *task = map_get(&sim->tasks, &result->task);
    if (!task || task->submitter != proc || task->phase != TASK_SENT || task->worker != from)
        return; /* of an attempt that was given up */
    Hold *hold = hold_of(proc, task);
    task_over(task, TASK_DONE);
    if (!hold)
        return;
    hold->task = NULL;
    hold_serve(hold);
}

/* The worker is busy still with a call of somebody else: these have not run. */
void tasks_taken_back(Proc *proc, const TakenBack *back, PeerId from) {
    for (size_t i = 0; i < back->tasks_len; i++) {
        Task *task = map_get(&sim->tasks, &back->tasks[i]);
        if (!task || task->submitter != proc || task->phase != TASK_SENT || task->worker != from)
            continue;
        Hold *hold = hold_of(proc, task);
        task->phase = TASK_QUEUED;
        task->worker = 0;
        task->sent--;
        if (hold)
            lease_return(hold, false);
    }
    lease_ensure(proc);
}

void tasks_peer_dead(Proc *proc, const PeerDead *dead) {
    LIST_EACH_SAFE(item, &proc->holds) {
        Hold *hold = LIST_ITEM(item, Hold, link);
        bool gone =
            dead->whole_node ? peer_raylet(hold->worker) == dead->peer : hold->worker == dead->peer;
        if (hold->granted && gone)
            hold_free(hold);
    }
    LIST_EACH_SAFE(item, &proc->tasks) {
        Task *task = LIST_ITEM(item, Task, link);
        bool gone =
            dead->whole_node ? peer_raylet(task->worker) == dead->peer : task->worker == dead->peer;
        if (task->phase == TASK_SENT && gone)
            task_lost(task);
    }
    actors_serve(proc); /* what it is that died may be known already */
    lease_ensure(proc);
}

/* The process is gone: what it has asked for concerns nobody. */
void tasks_end(Proc *proc) {
    LIST_EACH_SAFE(item, &proc->tasks) {
        Task *task = LIST_ITEM(item, Task, link);
        list_remove(&task->link);
        task->phase = TASK_FAILED;
        task->parent = NULL;
    }
    LIST_EACH_SAFE(item, &proc->holds) {
        Hold *hold = LIST_ITEM(item, Hold, link);
        if (hold->granted)
            hold_free(hold);
        else
            list_remove(&hold->link); /* the end of its call frees it */
    }
}
