/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A driver or worker among a raylet, a gcs and processes that say anything in any order. The input is
 * a row of steps: a byte says what (below), then its operands; some steps are the user's, so that
 * there are calls and values for the others to speak of. Sockets, rings, doorbells, the store and the
 * clock are lists here (meson.build: --wrap): their own bytes are ipc_ring's and store_server's. The
 * pump has no thread but turns after each step. Where the user waits, the next steps are taken.
 */

#include "core/core_fuzz.h"

#include "base/error.h"
#include "core/core_forget.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the user's ------------------------------------------------------------------------------ */

static void ref_set(uint8_t slot, CoreRef *ref) {
    core_ref_drop(world.refs[slot % REFS]);
    world.refs[slot % REFS] = ref;
}

static CoreTemplate *template_at(uint8_t which) {
    static const CoreTemplateSpec specs[TEMPLATES] = {
        { .kind = CALL_KIND_TASK, .name = "m.f", .num_returns = 1, .max_retries = 1 },
        { .kind = CALL_KIND_TASK,
          .name = "m.g",
          .num_returns = 2,
          .max_retries = -1,
          .retry_exceptions = true },
        { .kind = CALL_KIND_TASK, .name = "m.s", .num_returns = CORE_STREAMING, .stream_limit = 1 },
        { .kind = CALL_KIND_TASK, .name = "m.d", .num_returns = CORE_DYNAMIC, .max_retries = 1 },
        { .kind = CALL_KIND_ACTOR_TASK, .name = "A.f", .method = "f", .num_returns = 1 },
        { .kind = CALL_KIND_ACTOR_TASK,
          .name = "A.s",
          .method = "s",
          .num_returns = CORE_STREAMING,
          .max_retries = 1 },
        { .kind = CALL_KIND_ACTOR_CREATE, .name = "A.__init__" },
    };
    CoreTemplate **t = &world.templates[which];
    if (!*t)
        *t = core_template_new(world.core, &specs[which]);
    return *t;
}

typedef struct Arguments {
    CoreRef *top[1], *nested[1];
    CoreArgs args;
} Arguments;

static const CoreArgs *take_args(Input *in, Arguments *to) {
    uint8_t how = take(in);
    to->args = (CoreArgs){ .bytes = "a", .bytes_len = 1, .top = to->top, .nested = to->nested };
    to->top[0] = world.refs[how % REFS];
    to->nested[0] = world.refs[(how >> 3) % REFS];
    to->args.top_len = how & 0x40 && to->top[0] ? 1 : 0;
    to->args.nested_len = how & 0x80 && to->nested[0] ? 1 : 0;
    return &to->args;
}

static void step_submit(Input *in, enum Step what) {
    uint8_t slot = take(in), which = take(in);
    CoreActor *actor = world.actors[slot % ACTORS];
    CoreRef *refs[2] = { NULL, NULL };
    Arguments arguments;
    const CoreArgs *args = take_args(in, &arguments);
    int r = -EINVAL;
    if (what == STEP_SUBMIT)
        r = core_submit(world.core, template_at(which % 4), args, refs);
    else if (actor)
        r = core_actor_submit(world.core, actor, template_at(4 + which % 2), args, refs);
    if (r != 0)
        return;
    ref_set(slot >> 2, refs[0]);
    if (refs[1])
        ref_set((uint8_t)((slot >> 2) + 1), refs[1]);
}

static void step_actor_new(Input *in) {
    uint8_t slot = take(in), how = take(in);
    CoreActor **actor = &world.actors[slot % ACTORS];
    CoreActorSpec spec = { .name = how & 1 ? "a" : NULL,
                           .namespace_ = "n",
                           .class_name = "A",
                           .detached = how & 2,
                           .get_if_exists = how & 4,
                           .unordered = how & 8,
                           .max_restarts = how & 16 ? 1 : 0,
                           .max_pending_calls = how & 32 ? 1 : -1 };
    Arguments arguments;
    const CoreArgs *args = take_args(in, &arguments);
    if (*actor)
        return;
    if (how & 0x80) {
        ActorId id = actor_at(how);
        *actor = core_actor_import(world.core, &id, NULL, how & 8);
        core_lock(world.core);
        (*actor)->strong++; /* so that all of ours are dropped alike */
        core_unlock(world.core);
        return;
    }
    CoreActor *made;
    if (args->top_len) /* the wait that a name brings may not free what it was given */
        spec.name = NULL;
    if (args->nested_len)
        spec.name = NULL;
    if (core_actor_create(world.core, template_at(6), &spec, args, USEC_PER_SEC, &made) != 0)
        return;
    if (*actor) /* while we waited */
        core_actor_drop(made);
    else
        *actor = made;
}

static void step_put(Input *in) {
    uint8_t slot = take(in), how = take(in);
    const CoreActor *actor = world.actors[how % ACTORS];
    CoreRef *inside = how & 0x40 ? world.refs[(how >> 2) % REFS] : NULL, *made;
    if (!inside && how & 0x20 && actor)
        inside = core_actor_ref((CoreActor *)(uintptr_t)actor);
    struct iovec part = { block, how & 0x80 ? LARGE : 1 };
    if (inside)
        core_ref_hold(inside);
    CoreBlob blob = { .parts = &part, .parts_len = 1, .refs = &inside, .refs_len = inside ? 1 : 0 };
    if (core_put(world.core, &blob, USEC_PER_SEC, &made) == 0)
        ref_set(slot, made);
    core_ref_drop(inside);
}

static void step_get(Input *in) {
    uint8_t slot = take(in), how = take(in);
    CoreRef *refs[2] = { world.refs[slot % REFS], world.refs[(slot >> 3) % REFS] };
    usec_t timeout = how & 1 ? USEC_PER_SEC : 0;
    size_t count = refs[1] && refs[1] != refs[0] ? 2 : 1;
    if (!refs[0])
        return;
    for (size_t i = 0; i < count; i++)
        core_ref_hold(refs[i]);
    if (how & 2) {
        bool ready[2];
        (void)!core_wait(world.core, refs, count, 1 + (how >> 2) % count, timeout, how & 8, ready);
    } else if (how & 4) {
        core_watch(world.core, refs[0], how);
    } else {
        CoreValue values[2];
        int r = core_get(world.core, refs, count, timeout, values);
        for (size_t i = 0; r == 0 && i < count; i++)
            core_value_release(&values[i]);
    }
    for (size_t i = 0; i < count; i++)
        core_ref_drop(refs[i]);
}

static void step_stream(Input *in) {
    uint8_t slot = take(in), how = take(in);
    CoreRef *stream = world.refs[slot % REFS], *item = NULL;
    if (!stream || !core_ref_streams(world.core, stream))
        return;
    switch (how % 4) {
    case 0:
        if (core_stream_next(world.core, stream, &item) == 0)
            ref_set(slot >> 3, item);
        break;
    case 1:
        ref_set(slot >> 3, core_stream_peek(world.core, stream, how >> 2));
        break;
    case 2:
        (void)core_stream_finished(world.core, stream);
        break;
    default:
        core_stream_close(world.core, stream);
    }
}

static void step_take(Input *in) {
    uint8_t slot = take(in) % TASKS;
    TaskId cancelled;
    while (core_task_take_cancelled(world.core, &cancelled))
        ;
    if (!world.tasks[slot] && core_task_next(world.core, 0, &world.tasks[slot]) == 0)
        world.returned[slot] = world.detached[slot] = false;
}

static void run_end(uint8_t slot, uint8_t how) {
    ErrorInfo error = { .kind = ERROR_KIND_APPLICATION };
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&error, &body);
    CoreTaskEnd end = { .partial = how & 8, .retry = how & 16, .exiting = how & 32 };
    if (how & 4) {
        end.error = body.data;
        end.error_len = body.len;
    } else {
        end.partial = false;
    }
    CoreTask *task = TAKE(world.tasks[slot]);
    core_task_done(world.core, task, &end);
    if (world.detached[slot])
        core_task_forget(world.core, task);
}

static void run_value(CoreTask *task, uint8_t slot, uint8_t how) {
    CoreRef *inside = how & 0x40 ? world.refs[(how >> 3) % REFS] : NULL;
    struct iovec part = { block, how & 0x80 ? LARGE : 1 };
    CoreBlob blob = { .parts = &part, .parts_len = 1, .refs = &inside, .refs_len = inside ? 1 : 0 };
    if (inside)
        core_ref_hold(inside);
    if (how & 4 && task->call.num_returns < 0)
        (void)!core_task_yield(world.core, task, &blob);
    else if (!world.returned[slot])
        world.returned[slot] = core_task_return(world.core, task, 0, &blob) == 0;
    core_ref_drop(inside);
}

static void step_run(Input *in) {
    uint8_t slot = take(in) % TASKS, how = take(in);
    CoreTask *task = world.tasks[slot];
    if (!task || world.depth > 0) /* nobody ends what another thread still runs */
        return;
    if (how % 4 == 0) {
        run_end(slot, how);
    } else if (how % 4 == 1) {
        run_value(task, slot, how);
    } else if (how % 4 == 2) {
        if (how & 4) {
            core_task_detach(world.core, task);
            world.detached[slot] = true;
        } else
            (void)!core_task_room(world.core, task, how & 8 ? USEC_PER_SEC : 0);
    } else if (task->call.refs_len) {
        const Ref *ref = &task->call.refs[0];
        ref_set(how >> 2,
                core_ref_import(world.core, &ref->object, ref->owner, &ref->owner_worker));
    }
}

static void step_group(Input *in) {
    uint8_t how = take(in);
    GroupInfo info = { .group = group_at(how & 0x80 ? how : world.groups),
                       .name = how & 4 ? SLICE("g") : (Slice){ 0 } };
    struct iovec part = { block, 1 };
    CoreBlob blob = { .parts = &part, .parts_len = 1 };
    CoreRef *ref;
    switch (how >> 4 & 3) {
    case 0:
        info.group = group_at(++world.groups); /* a new one has a new id */
        (void)!core_group_create(world.core, &info, USEC_PER_SEC);
        break;
    case 1:
        if (core_group_ready(world.core, &info.group, &blob, &ref) == 0)
            ref_set(how, ref);
        break;
    case 2:
        (void)!core_group_wait(world.core, &info.group, USEC_PER_SEC);
        break;
    default:
        (void)!core_group_remove(world.core, &info.group);
    }
}

static void step_ask(Input *in) {
    uint8_t how = take(in);
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf out = { 0 };
    Hash hash = NAMED(Hash, how);
    ActorId id = actor_at(how);
    CoreActor *actor;
    ActorInfo info;
    switch (how >> 2 & 3) {
    case 0:
        (void)!core_export(world.core, &hash, "x", 1, USEC_PER_SEC);
        break;
    case 1:
        (void)!core_import(world.core, &hash, USEC_PER_SEC, &out);
        break;
    case 2:
        (void)!core_actor_kill(world.core, &id, how & 0x80);
        break;
    default:
        if (core_actor_find(world.core, "a", NULL, USEC_PER_SEC, &arena, &info, &actor) == 0)
            core_actor_drop_weak(actor);
    }
    while (core_log_take(world.core, &out))
        ;
    mem_free(core_assigned(world.core));
}

static void step_user(Input *in, enum Step what) {
    uint8_t slot = take(in), how = take(in);
    CoreRef *ref = world.refs[slot % REFS];
    ObjectId object = object_at(how);
    WorkerId worker = NAMED(WorkerId, 1);
    uint64_t cookies[4];
    if (what == STEP_DROP) {
        ref_set(slot, NULL);
    } else if (what == STEP_IMPORT) {
        ref_set(slot, core_ref_import(world.core, &object, someone(slot >> 3), &worker));
    } else if (what == STEP_CANCEL && ref) {
        (void)!core_cancel(world.core, ref, how & 1, how & 2);
        (void)core_watch_take(world.core, cookies, ARRAY_LEN(cookies));
    } else if (what == STEP_ACTOR_DROP) {
        core_actor_drop(world.actors[slot % ACTORS]);
        world.actors[slot % ACTORS] = NULL;
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step(Input *in) {
    enum Step what = take(in) % STEPS;
    switch (what) {
    case STEP_WAIT:
        world.now += USEC_PER_MSEC << take(in) % 20;
        break;
    case STEP_LOST:
        world.lost |= take(in) >= 250;
        break;
    case STEP_SUBMIT:
    case STEP_ACTOR_SUBMIT:
        step_submit(in, what);
        break;
    case STEP_ACTOR_NEW:
        step_actor_new(in);
        break;
    case STEP_PUT:
        step_put(in);
        break;
    case STEP_GET:
        step_get(in);
        break;
    case STEP_STREAM:
        step_stream(in);
        break;
    case STEP_TAKE:
        step_take(in);
        break;
    case STEP_RUN:
        step_run(in);
        break;
    case STEP_GROUP:
        step_group(in);
        break;
    case STEP_ASK:
        step_ask(in);
        break;
    case STEP_DROP:
    case STEP_IMPORT:
    case STEP_CANCEL:
    case STEP_ACTOR_DROP:
        step_user(in, what);
        break;
    default:
        step_others(in, what);
    }
}

void steps(Input *in, int max) {
    while (max-- > 0 && in->size > 0 && world.steps++ < STEPS_MAX) {
        step(in);
        core_lock(world.core);
        (void)core_turn(world.core, true);
        peers_drain_rings(world.core);
        core_unlock(world.core);
    }
}

/* ---- one input ------------------------------------------------------------------------------- */

static void begin(Input *in) {
    uint8_t how = take(in);
    Welcome welcome = { .version = WIRE_VERSION_LOW,
                        .peer = self(),
                        .job = NAMED(JobId, 0),
                        .namespace = SLICE("n"),
                        .arena_bytes = how & 1 ? 4096 : 0 };
    CoreOptions options = { .role = how & 2 ? ROLE_WORKER : ROLE_DRIVER,
                            .raylet_socket = "",
                            .timeout = USEC_PER_SEC };
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&welcome, &body);
    FrameHeader h = { .length = (uint32_t)body.len,
                      .type = MSG_WELCOME,
                      .flags = FRAME_REPLY | FRAME_FDS,
                      .stream = 1,
                      .source = peer_raylet(self()) };
    vec_push(&world.sock, ((Frame){ h, bytes_new(body.data, body.len), true }));
    world.connecting = true;
    ASSERT(core_connect(&options, &world.core) == 0);
    world.connecting = false;
}

static void end(bool refs_last) {
    for (uint8_t i = 0; i < REFS && !refs_last; i++)
        ref_set(i, NULL);
    for (size_t i = 0; i < ACTORS; i++)
        core_actor_drop(world.actors[i]);
    for (size_t i = 0; i < TEMPLATES; i++)
        core_template_free(world.templates[i]);
    core_keep(world.core);
    core_disconnect(world.core, 0);
    for (uint8_t i = 0; i < REFS && refs_last; i++)
        ref_set(i, NULL);
    for (size_t i = 0; i < TASKS; i++)
        if (world.tasks[i] && world.detached[i])
            core_task_forget(NULL, world.tasks[i]);
    core_forget(world.core);
    frame_free(&world.in_hand);
    VEC_EACH(frame, &world.sock)
        frame_free(frame);
    vec_done(&world.sock);
    for (size_t i = 0; i < ARRAY_LEN(world.ways); i++) {
        frame_free(&world.ways[i].in_hand);
        VEC_EACH(frame, &world.ways[i].in)
            frame_free(frame);
        vec_done(&world.ways[i].in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = { data, size };
    world = (World){ .in = &in, .now = 1000 * USEC_PER_SEC, .random = 1 };
    begin(&in);
    steps(&in, STEPS_MAX);
    end(size % 2);
    ASSERT(world.pins == 0);
    return 0;
}
