/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "base/error.h"
#include "test/sim/truth.h"

/*
 * What runs on the worker runtime: a driver's and a worker's program, straight on, as a user's would
 * be. They make references, hand them on as arguments and inside values, keep what they were given, read,
 * drop, and wait; what they read is judged by truth.c.
 *
 * Nothing waits in a circle: a worker, which may have been handed anything, waits a limited time.
 */

#define SMALL_WAIT (2 * USEC_PER_SEC)
#define PATIENCE   (300 * USEC_PER_SEC) /* after the last fault no wait takes longer */

enum {
    HELD_MAX = 8,
    KINDS = 3,
    STEPS_LEAST = 40,
    ARGS_MAX = 2,
};

typedef struct Kind { /* of calls */
    CoreTemplate *template;
    uint32_t retries;
    int32_t returns;
    bool lends; /* it may wait: what it takes is lent out meanwhile */
} Kind;

typedef struct User {
    Proc *proc;
    Core *core;
    CoreRef *held[HELD_MAX];
    size_t held_len;
    Thing *runs; /* the first result of the call that runs; NULL: a driver */
    Kind kinds[KINDS];
} User;

typedef struct Request { /* the bytes of a call */
    ObjectId top[ARGS_MAX];
    uint32_t top_len;
    bool lends;
} Request;

static bool goes_on(const User *u) {
    return runtime_alive(u->proc);
}

/* ---- references ------------------------------------------------------------------------------- */

static CoreRef *held_some(const User *u) {
    return u->held_len ? u->held[rnd((uint32_t)u->held_len)] : NULL;
}

static void drop_at(User *u, size_t i) {
    CoreRef *ref = u->held[i];
    u->held[i] = u->held[--u->held_len];
    core_ref_drop(ref);
}

/* Takes the reference. */
static void keep(User *u, CoreRef *ref) {
    if (u->held_len == HELD_MAX)
        drop_at(u, rnd(HELD_MAX));
    u->held[u->held_len++] = ref;
}

static void drop_all(User *u) {
    while (u->held_len)
        drop_at(u, u->held_len - 1);
}

static size_t some_held(const User *u, const Place *before, CoreRef *out[static ARGS_MAX]) {
    size_t len = 0;
    for (uint32_t i = u->held_len ? rnd(ARGS_MAX + 1) : 0; i > 0; i--) {
        CoreRef *ref = held_some(u);
        if (place_before(&thing_find(core_ref_id(ref))->place, before))
            out[len++] = ref;
    }
    return len;
}

static void import_inside(User *u, const Inside *inside) {
    for (size_t i = 0; i < inside->len; i++) {
        const Ref *r = &inside->refs[i];
        keep(u, core_ref_import(u->core, &r->object, r->owner, &r->owner_worker));
    }
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static void wait_begin(const User *u, const char *for_what) {
    u->proc->waits_since = loop_now(sim->loop);
    u->proc->waits_for = for_what;
}

static void wait_end(const User *u) {
    u->proc->waits_since = 0;
}

void user_look(const Proc *proc) {
    if (!proc->alive || !proc->waits_since || !sim->closing)
        return;
    if (loop_now(sim->loop) - MAX(proc->waits_since, sim->healed_at) <= PATIENCE)
        return;
    runtime_tell(proc);
    fault("%s waits for ever for %s", proc_name(proc), proc->waits_for);
}

static void wait_while_calm(const User *u) {
    while (sim->calm && goes_on(u))
        runtime_pause(u->proc, CALM_PAUSE);
}

static void read_it(User *u, CoreRef *ref, usec_t timeout) {
    ObjectId id = *core_ref_id(ref);
    usec_t deadline = loop_deadline(sim->loop, timeout);
    CoreValue value = { 0 };
    Inside inside;
    int r;
    core_ref_hold(ref);
    wait_begin(u, ID_HEX(&id));
    do {
        usec_t now = loop_now(sim->loop);
        r = core_get(u->core, &ref, 1,
                     deadline == USEC_INFINITY ? deadline : MAX(deadline - now, 0), &value);
    } while (r == CORE_INTERRUPTED && goes_on(u) && loop_now(sim->loop) < deadline);
    wait_end(u);
    if (r == 0) {
        thing_seen(u->proc, &id, &value, &inside);
        if (!chance(4)) /* else the language does not look inside */
            import_inside(u, &inside);
        core_value_release(&value);
    }
    core_ref_drop(ref);
}

static void wait_some(User *u) {
    CoreRef *refs[2];
    bool ready[2];
    size_t len = MIN(u->held_len, (size_t)2);
    if (!len)
        return;
    for (size_t i = 0; i < len; i++)
        refs[i] = core_ref_hold(u->held[i]);
    (void)!core_wait(u->core, refs, len, 1, rnd(2) * SMALL_WAIT, chance(2), ready);
    for (size_t i = 0; i < len; i++)
        core_ref_drop(refs[i]);
}

/* ---- making ------------------------------------------------------------------------------------- */

static size_t size_random(void) {
    return chance(3) ? CORE_INLINE_MAX + rnd(100000) : 1 + rnd(300);
}

static uint64_t tag_random(void) {
    return (uint64_t)rnd(UINT32_MAX) << 32 | rnd(UINT32_MAX);
}

static void put(User *u) {
    CoreRef *refs[ARGS_MAX], *made;
    Place place = place_next(u->runs);
    size_t len = some_held(u, &place, refs);
    uint64_t tag = tag_random();
    ThingBytes bytes;
    for (size_t i = 0; i < len; i++)
        core_ref_hold(refs[i]);
    thing_bytes(tag, refs, len, size_random(), &bytes);
    if (core_put(u->core, &bytes.blob, SMALL_WAIT, &made) == 0) {
        thing_new(u->proc, core_ref_id(made), NULL, tag, &place);
        keep(u, made);
    }
    thing_bytes_done(&bytes);
    for (size_t i = 0; i < len; i++)
        core_ref_drop(refs[i]);
}

static Kind *kind_some(User *u) {
    Kind *kind = &u->kinds[rnd(KINDS)];
    if (kind->template)
        return kind;
    Resource resources[3];
    bool nested = u->proc->role == ROLE_WORKER;
    int shape = nested ? SHAPE_NESTED : (int)rnd(SHAPES);
    kind->retries = rnd(4);
    kind->returns = 1 + (int32_t)rnd(RETURNS_MAX);
    kind->lends = shape_lends(shape);
    CoreTemplateSpec spec = { .kind = CALL_KIND_TASK,
                              .name = "m.f",
                              .num_returns = kind->returns,
                              .max_retries = (int32_t)kind->retries,
                              .resources = resources };
    spec.resources_len = shape_fill(shape, resources, &spec.strategy, &spec.runtime_env);
    if (!*spec.runtime_env)
        spec.runtime_env = NULL;
    kind->template = core_template_new(u->core, &spec);
    return kind;
}

/* Calls something with some of what is held, and holds what it makes; the first also for the caller. */
static CoreRef *call(User *u) {
    Kind *kind = kind_some(u);
    CoreRef *top[ARGS_MAX], *nested[ARGS_MAX], *made[RETURNS_MAX];
    Request request = { .lends = kind->lends };
    CoreArgs args = {
        .bytes = &request, .bytes_len = sizeof(request), .top = top, .nested = nested
    };
    Place place = place_next(u->runs);
    args.top_len = some_held(u, &place, top);
    args.nested_len = some_held(u, &place, nested);
    request.top_len = (uint32_t)args.top_len;
    for (size_t i = 0; i < args.top_len; i++)
        request.top[i] = *core_ref_id(top[i]);
    if (core_submit(u->core, kind->template, &args, made) < 0)
        return NULL;
    TaskId id = object_id_task(core_ref_id(made[0]));
    Task *task = task_of_runtime(u->proc, &id, kind->retries, kind->returns);
    core_ref_hold(made[0]);
    for (int32_t i = 0; i < kind->returns; i++) {
        thing_new(u->proc, core_ref_id(made[i]), task, tag_random(), &place);
        keep(u, made[i]);
    }
    return made[0];
}

static void cancel_some(User *u) {
    CoreRef *ref = held_some(u);
    const Thing *thing = ref ? thing_find(core_ref_id(ref)) : NULL;
    if (!thing || !thing->task || thing->owner != u->proc)
        return;
    thing->task->cancelled = true;
    (void)!core_cancel(u->core, ref, chance(4), false);
}

/* ---- a driver ---------------------------------------------------------------------------------- */

static void act(User *u) {
    CoreRef *ref = held_some(u);
    switch (rnd(12)) {
    case 0:
    case 1:
        put(u);
        break;
    case 2:
    case 3:
        if (ref)
            read_it(u, ref, chance(3) ? USEC_INFINITY : rnd(3) * SMALL_WAIT / 2);
        break;
    case 4:
        wait_some(u);
        break;
    case 5:
    case 6:
        if (ref)
            drop_at(u, rnd((uint32_t)u->held_len));
        break;
    case 7:
        if (chance(3))
            cancel_some(u);
        break;
    default:
        core_ref_drop(call(u));
        if (u->held_len && chance(2)) /* perhaps what it was called with */
            drop_at(u, rnd((uint32_t)u->held_len));
    }
}

static bool all_gone(const User *u, CoreCounts *counts) {
    core_counts(u->core, counts);
    return counts->refs_owned + counts->refs_borrowed + counts->tasks_pending + counts->leases +
               counts->values_bytes ==
           0;
}

/* When it has dropped all that it holds, nothing may stay: not here, and not elsewhere. */
static void settle(User *u) {
    CoreCounts counts;
    char what[NAME_MAX_LEN * 4];
    drop_all(u);
    wait_begin(u, what);
    while (goes_on(u) && !all_gone(u, &counts)) {
        snprintf(what, sizeof(what),
                 "nothing to be left: %llu own and %llu borrowed references, %llu calls, %llu "
                 "leases, %llu bytes",
                 (unsigned long long)counts.refs_owned, (unsigned long long)counts.refs_borrowed,
                 (unsigned long long)counts.tasks_pending, (unsigned long long)counts.leases,
                 (unsigned long long)counts.values_bytes);
        runtime_pause(u->proc, 100 * USEC_PER_MSEC);
    }
    wait_end(u);
}

static void drive(User *u) {
    for (uint32_t left = STEPS_LEAST + rnd(STEPS_LEAST); left > 0 && goes_on(u); left--) {
        wait_while_calm(u);
        act(u);
        runtime_pause(u->proc, chance(3) ? rnd(20) * USEC_PER_MSEC : rnd(1000));
    }
    settle(u);
}

/* ---- a worker ---------------------------------------------------------------------------------- */

static void end_by_error(User *u, CoreTask *task, ErrorKind kind) {
    ErrorInfo error = { .kind = (uint8_t)kind, .text = SLICE("so it is") };
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&error, &body);
    Task *known = map_get(&sim->tasks, &task->call.task);
    if (known)
        known->raised = true;
    core_task_done(u->core, task, &(CoreTaskEnd){ .error = body.data, .error_len = body.len });
}

/* What it was called with. False: one argument is an error, and so is the call. */
static bool look_at_arguments(User *u, const CoreTask *task, const Request *request) {
    bool well = true;
    Inside inside;
    for (uint32_t i = 0; i < request->top_len; i++) {
        well &= task->values[i].kind != VALUE_KIND_ERROR;
        thing_seen(u->proc, &request->top[i], &task->values[i], &inside);
        import_inside(u, &inside);
    }
    for (size_t i = 0; i < task->call.refs_len; i++) {
        const Ref *r = &task->call.refs[i];
        keep(u, core_ref_import(u->core, &r->object, r->owner, &r->owner_worker));
    }
    return well;
}

/* It reads, and calls others and waits for them. */
static void do_something(User *u, const CoreTask *task, bool may_wait) {
    CoreRef *ref;
    if (chance(8))
        put(u);
    ref = held_some(u);
    if (ref && chance(2))
        read_it(u, ref, SMALL_WAIT);
    if (task->call.depth < 2 && may_wait && chance(6) && (ref = call(u))) {
        read_it(u, ref, SMALL_WAIT);
        core_ref_drop(ref);
    }
    runtime_pause(u->proc, work_time());
    if (rnd(2) < sim->stay)
        wait_while_calm(u);
    if (sim->faults.workers && faulty() && chance(25))
        runtime_crash(u->proc, chance(2) ? -SIGSEGV : 1);
}

/* False: there is no room for what it returns. */
static bool give_results(User *u, CoreTask *task) {
    for (int32_t i = 0; i < task->call.num_returns; i++) {
        CoreRef *refs[ARGS_MAX];
        ObjectId id = object_id_return(&task->call.task, (uint32_t)i + 1);
        const Thing *thing = thing_find(&id);
        size_t len = some_held(u, &thing->place, refs);
        ThingBytes bytes;
        for (size_t at = 0; at < len; at++)
            core_ref_hold(refs[at]);
        thing_bytes(thing->tag, refs, len, size_random(), &bytes);
        int r = core_task_return(u->core, task, (uint32_t)i, &bytes.blob);
        thing_bytes_done(&bytes);
        for (size_t at = 0; at < len; at++)
            core_ref_drop(refs[at]);
        if (r != 0)
            return false;
    }
    return true;
}

static void run_users(User *u, CoreTask *task) {
    Request request;
    ObjectId first = object_id_return(&task->call.task, 1);
    u->runs = thing_find(&first);
    memcpy(&request, task->call.args.data, sizeof(request));
    bool well = look_at_arguments(u, task, &request);
    do_something(u, task, request.lends);
    if (!well || chance(25))
        end_by_error(u, task, ERROR_KIND_APPLICATION);
    else if (give_results(u, task))
        core_task_done(u->core, task, &(CoreTaskEnd){ 0 });
    else
        end_by_error(u, task, ERROR_KIND_STORE_FULL);
    while (u->held_len && !chance(3)) /* the rest it keeps for a while */
        drop_at(u, rnd((uint32_t)u->held_len));
}

/* A script's call, which says nothing. */
static void run_scripts(User *u, CoreTask *task) {
    bool creation = task->call.kind == CALL_KIND_ACTOR_CREATE;
    runtime_pause(u->proc, work_time());
    if (creation && chance(12)) {
        end_by_error(u, task, ERROR_KIND_APPLICATION);
        return;
    }
    char byte = 'v';
    struct iovec part = { &byte, 1 };
    (void)!core_task_return(u->core, task, 0, &(CoreBlob){ .parts = &part, .parts_len = 1 });
    core_task_done(u->core, task, &(CoreTaskEnd){ 0 });
    if (creation)
        u->proc->born = loop_now(sim->loop);
}

static void run(User *u, CoreTask *task) {
    CoreCurrent current;
    core_current(u->core, &current);
    u->proc->lease = current.lease;
    work_check(u->proc, &task->call);
    if (task->call.args.len == sizeof(Request))
        run_users(u, task);
    else
        run_scripts(u, task);
}

/* What it has kept for so long must be there still. */
static void look_and_drop(User *u) {
    read_it(u, u->held[0], SMALL_WAIT);
    drop_at(u, 0);
}

static void work(User *u) {
    CoreTask *task;
    TaskId cancelled;
    int r = 0;
    while (r >= 0) {
        r = core_task_next(u->core, u->held_len ? rnd(SMALL_WAIT / 8) : USEC_INFINITY, &task);
        if (r == 0)
            run(u, task);
        else if (r == CORE_CANCELLED)
            core_task_take_cancelled(u->core, &cancelled);
        else if (r == CORE_TIMEOUT && u->held_len)
            look_and_drop(u);
    }
}

/* ---- life -------------------------------------------------------------------------------------- */

void user_main(Proc *proc) {
    User u = { .proc = proc, .core = runtime_connect(proc) };
    if (!u.core) {
        proc->status = 1;
        return;
    }
    if (proc->role == ROLE_DRIVER)
        drive(&u);
    else
        work(&u);
    if (proc->alive && !goes_on(&u))
        proc->status = 1; /* its raylet is gone */
    drop_all(&u);
    for (size_t i = 0; i < KINDS; i++)
        core_template_free(u.kinds[i].template);
    runtime_disconnect(proc);
}
