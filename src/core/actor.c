/* SPDX-License-Identifier: Apache-2.0 */

/*
 * This process's way to actors. gcs says where an actor lives; calls go to it directly, in the
 * order of submission (the first whose arguments are missing holds the others up, unless the
 * actor takes calls in any order). A handle's life is counted by the reference that stands for it.
 */

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

static CoreActor *actor_new(Core *core, const ActorId *id) {
    CoreActor *actor = mem_new(CoreActor);
    actor->core = core;
    actor->id = *id;
    actor->count = 1;
    actor->state = ACTOR_STATE_DEPENDENCIES_UNREADY;
    actor->max_pending_calls = -1;
    list_init(&actor->queue);
    list_init(&actor->in_flight);
    map_put(&core->actors, id->byte, actor);
    core->outstanding++;
    return actor;
}

/* Its creation will not be sent (again): the arguments are let go. The record does not count as a
 * handle, else an actor that may restart would live for ever. */
static void actor_creation_end(Core *core, CoreActor *actor) {
    CorePending *p = TAKE(actor->creation);
    if (!p)
        return;
    p->actor = NULL;
    submit_end(core, p);
}

static void actor_release_ref(CoreActor *actor) {
    CoreRef *ref = TAKE(actor->ref);
    if (!ref)
        return;
    ref->actor = NULL;
    own_drop(&actor->core->own, &ref->own);
}

/* Weak handles do not keep an actor alive; calls that were sent do. */
static void actor_check_scope(CoreActor *actor) {
    if (!actor->strong && !actor->queued && !actor->flying)
        actor_release_ref(actor);
}

static void actor_unref(CoreActor *actor) {
    if (--actor->count)
        return;
    Core *core = actor->core;
    ASSERT(list_empty(&actor->queue) && list_empty(&actor->in_flight));
    actor_creation_end(core, actor);
    map_remove(&core->actors, actor->id.byte);
    actor_release_ref(actor);
    buf_done(&actor->death);
    mem_free(actor->class_name);
    mem_free(actor->name);
    mem_free(actor->namespace_);
    mem_free(actor);
    core->outstanding--; /* the caller holds one of its own */
}

/* The last handle of an actor of ours went, here and everywhere. */
void actor_ref_gone(Core *core, CoreRef *ref) {
    if (ref->own.owner != core->info.peer)
        return;
    TaskId task = object_id_task(&ref->own.id);
    ActorOutOfScope m = { .actor = task_id_actor(&task) };
    _cleanup_buf_ Buf body = { 0 };
    actor_out_of_scope_encode(&m, &body);
    peer_send(core, PEER_GCS, MSG_ACTOR_OUT_OF_SCOPE, 0, 0, body.data, body.len);
}

const ActorId *core_actor_id(const CoreActor *actor) {
    return &actor->id;
}

CoreRef *core_actor_ref(CoreActor *actor) {
    return actor->ref;
}

CoreActor *core_actor_hold(CoreActor *actor) {
    core_lock(actor->core);
    actor->count++;
    actor->strong++;
    core_unlock(actor->core);
    return actor;
}

static void handle_drop(CoreActor *actor, bool weak) {
    if (!actor)
        return;
    Core *core = actor->core;
    if (core_usable(core) == -ESTALE)
        return;
    core_lock(core);
    core->outstanding++;
    if (!weak) {
        actor->strong--;
        actor_check_scope(actor);
    }
    actor_unref(actor);
    core_run_actions(core);
    bool last = core->outstanding == 1;
    if (!last)
        core->outstanding--;
    core_unlock(core);
    if (last)
        core_release(core);
}

void core_actor_drop(CoreActor *actor) {
    handle_drop(actor, false);
}

void core_actor_drop_weak(CoreActor *actor) {
    handle_drop(actor, true);
}

size_t core_actor_pending(const CoreActor *actor) {
    core_lock(actor->core);
    size_t n = actor->queued + actor->flying;
    core_unlock(actor->core);
    return n;
}

/* ---- its end ----------------------------------------------------------------------------- */

static void actor_fail_list(Core *core, List *list, const ErrorInfo *error) {
    while (!list_empty(list))
        submit_fail(core, LIST_ITEM(list->next, CorePending, link), error);
}

/* `error` must not point into the actor. */
static void actor_dead(Core *core, CoreActor *actor, const ErrorInfo *error) {
    actor->count++; /* the calls' ends may let go of the last handle */
    actor->state = ACTOR_STATE_DEAD;
    actor->peer = NULL;
    buf_clear(&actor->death);
    error_info_encode(error, &actor->death);
    if (actor->creation && error->never_started && error->death_kind != DEATH_KIND_INIT_FAILED)
        events_ended(core, actor->creation, NULL, 0, core->now, error);
    actor_creation_end(core, actor);
    actor_fail_list(core, &actor->in_flight, error);
    actor_fail_list(core, &actor->queue, error);
    actor_unref(actor);
    core_happened(core);
}

static void actor_dead_by_info(Core *core, CoreActor *actor, const ActorInfo *info) {
    ErrorInfo error = {
        .kind = info->death_kind == DEATH_KIND_UNSCHEDULABLE ? ERROR_KIND_ACTOR_UNSCHEDULABLE
                : info->death_kind == DEATH_KIND_ENV_FAILED  ? ERROR_KIND_ENV_SETUP
                : info->death_kind == DEATH_KIND_OOM         ? ERROR_KIND_OUT_OF_MEMORY
                                                             : ERROR_KIND_ACTOR_DIED,
        .text = info->death_text,
        .data = info->death_error,
        .actor = info->actor,
        .pid = info->pid,
        .ip = info->ip,
        .node = info->node,
        .death_kind = info->death_kind,
        .class_name = info->class_name,
        .namespace = info->namespace,
        .actor_name = info->name,
        .never_started = id_is_zero(info->worker_id.byte, sizeof(info->worker_id.byte)),
    };
    actor_dead(core, actor, &error);
}

/* ---- sending -------------------------------------------------------------------------------- */

static void actor_send(Core *core, CoreActor *actor, CorePending *p) {
    list_remove(&p->link);
    actor->queued--;
    list_push(&actor->in_flight, &p->link);
    actor->flying++;
    p->state = PENDING_SENT;
    p->sequence = actor->next_sequence++;
    p->sent_at = core->now;
    _cleanup_arena_ Arena arena = { 0 };
    buf_clear(&core->scratch);
    pending_encode(core, p, actor->peer->id, &arena, &core->scratch);
    peer_send(core, actor->peer->id, MSG_CALL, 0, 0, core->scratch.data, core->scratch.len);
}

/* Sends what can go. Returns a call whose arguments got lost while it waited, or NULL. */
static CorePending *actor_send_ready(Core *core, CoreActor *actor) {
    LIST_EACH_SAFE(item, &actor->queue) {
        if (actor->flying >= WINDOW_ACTOR || !actor->peer)
            break;
        CorePending *p = LIST_ITEM(item, CorePending, link);
        if (p->missing) {
            if (actor->unordered)
                continue;
            break;
        }
        if (!pending_has_arguments(p))
            return p;
        actor_send(core, actor, p);
    }
    return NULL;
}

void actor_pump(Core *core, CoreActor *actor) {
    CorePending *p;
    if (!actor->peer)
        return;
    actor->count++;
    while ((p = actor_send_ready(core, actor)))
        lineage_requeue(core, p);
    actor_unref(actor);
}

void actor_take_back(CorePending *p) {
    CoreActor *actor = p->actor;
    p->state = PENDING_DEPS;
    actor->flying--;
    actor->queued++;
    list_remove(&p->link);
    /* Behind those that were sent before it and have come back as well. */
    List *before = actor->queue.next;
    while (before != &actor->queue) {
        const CorePending *other = LIST_ITEM(before, CorePending, link);
        if (!other->sent_at || other->sequence > p->sequence)
            break;
        before = before->next;
    }
    list_push(before, &p->link);
}

void actor_requeue(Core *core, CorePending *p) {
    actor_take_back(p);
    actor_pump(core, p->actor);
}

void actor_queue_again(CorePending *p) {
    list_push(&p->actor->queue, &p->link);
    p->actor->queued++;
}

bool actor_fail_dead(Core *core, CorePending *p) {
    CoreActor *actor = p->actor;
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo error;
    if (actor->state != ACTOR_STATE_DEAD || !actor->death.len)
        return false;
    int r = error_info_decode(&error, actor->death.data, actor->death.len, &arena);
    ASSERT(r == 0);
    actor->count++; /* the error's text is its */
    submit_fail(core, p, &error);
    actor_unref(actor);
    return true;
}

void actor_remember(CoreActor *actor, CorePending *p) {
    actor->count++;
    p->actor = actor;
}

void actor_forget(CorePending *p) {
    if (p->actor)
        actor_unref(TAKE(p->actor));
}

/* Before the record ends: takes the call out of the actor's counts. */
void actor_on_result(Core *core, CorePending *p, CorePeer *from) {
    CoreActor *actor = TAKE(p->actor);
    UNUSED(from);
    list_remove(&p->link);
    if (p->t->kind == CALL_KIND_ACTOR_CREATE) {
        if (actor->creation == p)
            actor->creation = NULL;
        return;
    }
    if (p->state == PENDING_SENT)
        actor->flying--;
    else
        actor->queued--;
    if (!list_empty(&actor->queue))
        actor_pump(core, actor);
    actor_check_scope(actor);
    actor_unref(actor);
}

bool actor_lives_at(const Core *core, const CorePeer *peer) {
    const CoreActor *actor;
    MAP_EACH(&core->actors, pos, actor)
        if (actor->peer == peer)
            return true;
    return false;
}

/* Its process died. What may be tried again goes back in front, in order; the rest waits for gcs to
 * say whether the actor is dead or restarts. */
void actor_peer_dead(Core *core, const PeerDead *dead) {
    CoreActor *actor;
    MAP_EACH(&core->actors, pos, actor) {
        if (!actor->peer || actor->peer->id != dead->peer)
            continue;
        actor->peer = NULL;
        ErrorInfo error = { .kind = ERROR_KIND_ACTOR_DIED, .text = dead->text };
        List again;
        list_init(&again);
        LIST_EACH_SAFE(item, &actor->in_flight) {
            CorePending *p = LIST_ITEM(item, CorePending, link);
            int32_t max = p->t->max_retries;
            if (p->cancelled || (max >= 0 && p->attempt >= (uint32_t)max))
                continue;
            events_ended(core, p, peer_find(core, dead->peer), 0, core->now, &error);
            p->attempt++;
            p->state = PENDING_DEPS;
            actor->flying--;
            actor->queued++;
            list_remove(&p->link);
            list_push(&again, &p->link);
        }
        list_splice(&again, &actor->queue);
        list_splice(&actor->queue, &again);
    }
}

static void actor_moved(Core *core, CoreActor *actor, const ActorInfo *info) {
    ErrorInfo error = { .kind = ERROR_KIND_ACTOR_UNAVAILABLE,
                        .actor = actor->id,
                        .text = info->death_text,
                        .class_name = info->class_name };
    actor_fail_list(core, &actor->in_flight, &error);
    actor->restarts = info->restarts;
}

void actor_on_info(Core *core, const ActorInfo *info) {
    CoreActor *actor = map_get(&core->actors, info->actor.byte);
    if (!actor || actor->state == ACTOR_STATE_DEAD)
        return;
    if (info->state == ACTOR_STATE_DEAD) {
        actor_dead_by_info(core, actor, info);
        return;
    }
    actor->count++;
    actor->state = info->state;
    if (info->state == ACTOR_STATE_RESTARTING || info->restarts > actor->restarts) {
        actor->peer = NULL;
        actor_moved(core, actor, info);
    }
    if (info->state == ACTOR_STATE_ALIVE && info->worker) {
        /* Its arguments are needed again only if it may restart. */
        if (info->max_restarts == 0)
            actor_creation_end(core, actor);
        CorePeer *peer = peer_get(core, info->worker);
        if (peer->state != PEER_GONE)
            actor->peer = peer;
        actor_pump(core, actor);
    }
    actor_unref(actor);
    core_happened(core);
}

/* ---- making and finding ------------------------------------------------------------------------ */

typedef struct ActorAsk {
    Core *core;
    ActorId id;
} ActorAsk;

static void on_actor_answer(void *argument, const RpcReply *reply) {
    ActorAsk *ask = argument;
    Core *core = ask->core;
    CoreActor *actor = map_get(&core->actors, ask->id.byte);
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfoReply m;
    int r = reply->result;
    bool info = r == 0 && reply->header->type == MSG_ACTOR_INFO_REPLY;
    if (info)
        r = actor_info_reply_decode(&m, reply->body, reply->len, &arena);
    if (info && r == 0) {
        actor_on_info(core, &m.info);
    } else if (r != 0 && r != -ECANCELED && actor && actor->state != ACTOR_STATE_DEAD) {
        ErrorInfo error = { .kind = ERROR_KIND_ACTOR_DIED,
                            .actor = ask->id,
                            .never_started = true,
                            .text =
                                r == 1 ? reply->status.text : SLICE("gcs could not be asked.") };
        actor_dead(core, actor, &error);
    }
    mem_free(ask);
}

static void actor_ask(Core *core, const ActorId *id, MessageType type, const Buf *body) {
    ActorAsk *ask = mem_new(ActorAsk);
    ask->core = core;
    ask->id = *id;
    rpc_call(core->rpc, PEER_GCS, type, body, USEC_INFINITY, on_actor_answer, ask);
}

static void actor_subscribe(Core *core, CoreActor *actor) {
    if (actor->subscribed)
        return;
    actor->subscribed = true;
    ActorSubscribe m = { .actor = actor->id };
    _cleanup_buf_ Buf body = { 0 };
    actor_subscribe_encode(&m, &body);
    actor_ask(core, &actor->id, MSG_ACTOR_SUBSCRIBE, &body);
}

/* The creation's arguments are there: gcs gets it, and keeps it for restarts. */
void actor_create_ready(Core *core, CorePending *p) {
    CoreActor *actor = p->actor;
    CoreTemplate *t = p->t;
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf call = { 0 }, body = { 0 };
    pending_encode(core, p, 0, &arena, &call);
    Hash env_hash;
    core_hash(t->runtime_env, t->runtime_env ? strlen(t->runtime_env) : 0, &env_hash);
    ActorCreate m = {
        .actor = actor->id,
        .call = buf_slice(&call),
        .resources = t->resources,
        .resources_len = t->resources_len,
        .placement = t->placement_len ? t->placement : t->resources,
        .placement_len = t->placement_len ? t->placement_len : t->resources_len,
        .strategy = t->strategy,
        .runtime_env = slice_str(t->runtime_env),
    };
    if (t->runtime_env)
        memcpy(&m.env_hash, env_hash.byte, sizeof(m.env_hash));
    actor_create_encode(&m, &body);
    leases_give_back(core);
    actor_ask(core, &actor->id, MSG_ACTOR_CREATE, &body);
    p->state = PENDING_SENT;
}

static void register_body(Core *core, CoreTemplate *t, const CoreActorSpec *spec, const ActorId *id,
                          Buf *out) {
    ActorRegister m = {
        .get_if_exists = spec->get_if_exists,
        .info = { .actor = *id,
                  .name = slice_str(spec->name),
                  .namespace =
                      slice_str(spec->namespace_ ? spec->namespace_ : core->info.namespace_),
                  .class_name = slice_str(spec->class_name),
                  .job = core->info.job,
                  .max_restarts = spec->max_restarts,
                  .max_task_retries = spec->max_task_retries,
                  .detached = spec->detached,
                  .owner = core->info.peer,
                  .meta = { spec->meta, spec->meta_len },
                  .function = t->function },
    };
    actor_register_encode(&m, out);
}

static CoreActor *actor_make(Core *core, const ActorId *id, const CoreActorSpec *spec) {
    CoreActor *actor = actor_new(core, id);
    actor->owner = true;
    actor->strong = 1;
    actor->unordered = spec->unordered;
    actor->max_pending_calls = spec->max_pending_calls;
    actor->class_name = str_dup(spec->class_name);
    if (!spec->detached) {
        ObjectId handle = object_id_actor_handle(id);
        actor->ref = ref_new(core, &handle, core->info.peer, NULL);
        actor->ref->is_actor = true;
        actor->ref->actor = actor;
    }
    return actor;
}

/* Named: asks gcs first. CORE_EXISTS with *ret_existing set when get_if_exists found one. */
static int register_named(Core *core, const Buf *body, const CoreActorSpec *spec, const ActorId *id,
                          usec_t timeout, CoreActor **ret_existing) {
    _cleanup_buf_ Buf out = { 0 };
    int r = core_call(core, PEER_GCS, MSG_ACTOR_REGISTER, body, timeout, &out);
    if (r != 0)
        return r;
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfoReply reply;
    r = actor_info_reply_decode(&reply, out.data, out.len, &arena);
    if (r < 0 || id_equal(&reply.info.actor, id))
        return r;
    *ret_existing = core_actor_import(core, &reply.info.actor, NULL, spec->unordered);
    return CORE_EXISTS;
}

int core_actor_create(Core *core, CoreTemplate *t, const CoreActorSpec *spec, const CoreArgs *args,
                      usec_t timeout, CoreActor **ret_actor) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    ASSERT(t->kind == CALL_KIND_ACTOR_CREATE);
    ActorId id = actor_id_make(&core->info.job);
    _cleanup_buf_ Buf body = { 0 };
    register_body(core, t, spec, &id, &body);
    if (!str_empty(spec->name)) {
        CoreActor *existing = NULL;
        r = register_named(core, &body, spec, &id, timeout, &existing);
        if (existing) {
            core_lock(core);
            existing->strong++; /* whoever creates gets a handle that counts */
            core_unlock(core);
            *ret_actor = existing;
            return 0;
        }
        if (r != 0)
            return r;
    }
    core_lock(core);
    CoreActor *actor = actor_make(core, &id, spec);
    if (str_empty(spec->name))
        actor_ask(core, &id, MSG_ACTOR_REGISTER, &body);
    CorePending *p = pending_new(core, t, args, 0);
    p->task = task_id_actor_creation(&id);
    pending_set_parent(core, p, args->parent);
    p->actor = actor;
    actor->creation = p;
    map_put(&core->tasks, p->task.byte, p);
    if (p->missing == 0)
        submit_dependency_ready(core, p);
    actor_subscribe(core, actor);
    core_run_actions(core);
    core_unlock(core);
    *ret_actor = actor;
    return 0;
}

CoreActor *core_actor_import(Core *core, const ActorId *id, CoreRef *ref, bool unordered) {
    core_lock(core);
    CoreActor *actor = map_get(&core->actors, id->byte);
    if (actor) {
        actor->count++;
    } else {
        actor = actor_new(core, id);
    }
    actor->unordered |= unordered;
    if (ref)
        actor->strong++;
    if (ref && !actor->ref) {
        own_hold(&ref->own);
        ref->is_actor = true;
        ref->actor = actor;
        actor->ref = ref;
    }
    actor_subscribe(core, actor);
    core_unlock(core);
    return actor;
}

int core_actor_find(Core *core, const char *name, const char *namespace_, usec_t timeout,
                    Arena *arena, ActorInfo *ret_info, CoreActor **ret_actor) {
    ActorGet m = { .name = slice_str(name),
                   .namespace = slice_str(namespace_ ? namespace_ : core->info.namespace_) };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    actor_get_encode(&m, &body);
    int r = core_call(core, PEER_GCS, MSG_ACTOR_GET, &body, timeout, &out);
    if (r != 0)
        return r;
    char *kept = arena_dup(arena, out.data, out.len);
    ActorInfoReply reply;
    r = actor_info_reply_decode(&reply, kept, out.len, arena);
    if (r < 0)
        return r;
    *ret_info = reply.info;
    *ret_actor = core_actor_import(core, &reply.info.actor, NULL, false);
    return 0;
}

int core_actor_submit(Core *core, CoreActor *actor, CoreTemplate *t, const CoreArgs *args,
                      CoreRef **ret_refs) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    ASSERT(t->kind == CALL_KIND_ACTOR_TASK);
    core_lock(core);
    if (actor->max_pending_calls >= 0 &&
        actor->queued + actor->flying >= (size_t)actor->max_pending_calls) {
        core_unlock(core);
        return CORE_FULL;
    }
    TaskId task = task_id_make_actor(&core->ids, &actor->id);
    CorePending *p = pending_returning(core, t, args, &task, ret_refs);
    p->actor = actor;
    actor->count++;
    list_push(&actor->queue, &p->link);
    actor->queued++;
    if (!actor_fail_dead(core, p) && p->missing == 0)
        actor_pump(core, actor);
    core_run_actions(core);
    core_unlock(core);
    return 0;
}

int core_actor_kill(Core *core, const ActorId *id, bool no_restart) {
    ActorKill m = { .actor = *id,
                    .no_restart = no_restart,
                    .text = SLICE("The actor is dead because it was killed by `ray.kill`.") };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    actor_kill_encode(&m, &body);
    int r = core_call(core, PEER_GCS, MSG_ACTOR_KILL, &body, 30 * USEC_PER_SEC, &out);
    return r == CORE_NOT_FOUND ? 0 : r;
}

/* After core_fail_all(): the handles that the user still holds stay valid to drop. */
void actors_done(Core *core) {
    CoreActor *actor;
    MAP_EACH(&core->actors, pos, actor) {
        actor->peer = NULL;
        actor->state = ACTOR_STATE_DEAD;
    }
}
