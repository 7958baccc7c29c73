/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "gcs/gcs_private.h"

/*
 * The table of actors: registered by their owner, created once their arguments are there
 * (actor_schedule.c), dead for good in the end.
 *
 *     DEPENDENCIES_UNREADY -> PENDING_CREATION -> ALIVE -> DEAD
 *                                   ^               |
 *                                   +- RESTARTING <-+
 */

static void actor_free(GcsActor *actor) {
    char *texts[] = { actor->name, actor->namespace_, actor->class_name,
                      actor->repr, actor->ip,         actor->death_text };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    list_remove(&actor->pending);
    buf_done(&actor->record);
    buf_done(&actor->create);
    buf_done(&actor->death_error);
    mem_free(actor->starting);
    resources_done(&actor->placement);
    resources_done(&actor->held);
    label_selector_done(&actor->labels);
    selectors_free(actor->fallback, actor->request.fallback_len);
    vec_done(&actor->subscribers);
    free(actor);
}

static char *full_name(const char *namespace_, const char *name) {
    return str_printf("%s/%s", namespace_, name);
}

/* ---- answers and the log ---- */

static int create_store(Gcs *gcs, const GcsActor *actor) {
    return gcs_store(gcs, "actor_create", ID_SLICE(&actor->id), &actor->create);
}

static KvSync actor_sync(const GcsActor *actor) {
    return actor->detached ? KV_SYNCED : KV_LOGGED;
}

static void actor_reply(Gcs *gcs, const GcsCall *call, const GcsActor *actor) {
    _cleanup_buf_ Buf body = { 0 };
    actor_message(actor, &body);
    gcs_reply_logged(gcs, call, MSG_ACTOR_INFO_REPLY, &body, actor_sync(actor));
}

#define EARLY_TIME (5 * USEC_PER_SEC) /* for a registration to come */

/* ---- transitions ---- */

void actor_set_worker(Gcs *gcs, GcsActor *actor, PeerId worker) {
    if (actor->worker)
        map_remove(&gcs->by_worker, &actor->worker);
    actor->worker = worker;
    if (worker)
        map_put(&gcs->by_worker, &worker, actor);
}

static void name_release(Gcs *gcs, GcsActor *actor) {
    if (str_empty(actor->name))
        return;
    _cleanup_free_ char *key = full_name(actor->namespace_, actor->name);
    if (strmap_get(&gcs->names, key) == actor)
        strmap_remove(&gcs->names, key);
}

/* Forgets dead actors that are too many, in no particular order. */
static void forget_old(Gcs *gcs) {
    if (gcs->actors_dead <= GCS_DEAD_ACTORS_KEPT)
        return;
    GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor) {
        if (actor->state != ACTOR_STATE_DEAD)
            continue;
        gcs_erase(gcs, "actor", ID_SLICE(&actor->id));
        map_remove(&gcs->actors, &actor->id);
        gcs->actors_dead--;
        actor_free(actor);
        if (gcs->actors_dead <= GCS_DEAD_ACTORS_KEPT)
            return;
    }
}

static void actor_die(Gcs *gcs, GcsActor *actor, DeathKind kind, const char *text) {
    if (actor->state == ACTOR_STATE_DEAD)
        return;
    actor_unschedule(gcs, actor);
    actor_set_worker(gcs, actor, 0);
    name_release(gcs, actor);
    actor->state = ACTOR_STATE_DEAD;
    actor->death_kind = kind;
    str_set(&actor->death_text, text);
    if (actor->create.len) {
        gcs_erase(gcs, "actor_create", ID_SLICE(&actor->id));
        buf_done(&actor->create);
    }
    actors_changed(gcs, actor);
    vec_done(&actor->subscribers); /* nothing can follow */
    gcs->actors_dead++;
    groups_actor_dead(gcs, &actor->id);
    forget_old(gcs);
}

/* Ends the process that runs it; a clean end lets it finish what it has. */
static void worker_end(Gcs *gcs, const GcsActor *actor, bool clean, const char *text) {
    if (!actor->worker)
        return;
    _cleanup_buf_ Buf body = { 0 };
    if (clean) {
        WorkerExit message = { .reason = slice_str(text) };
        worker_exit_encode(&message, &body);
        gcs_send(gcs, actor->worker, MSG_WORKER_EXIT, &body);
    } else {
        WorkerKill message = { .peer = actor->worker, .force = true, .text = slice_str(text) };
        worker_kill_encode(&message, &body);
        gcs_send(gcs, peer_raylet(actor->worker), MSG_WORKER_KILL, &body);
    }
}

void actor_kill(Gcs *gcs, GcsActor *actor, DeathKind kind, const char *text) {
    worker_end(gcs, actor, false, text);
    actor_die(gcs, actor, kind, text);
}

void actor_lost(Gcs *gcs, GcsActor *actor, bool may_restart, DeathKind kind, const char *text) {
    if (actor->state == ACTOR_STATE_DEAD)
        return;
    bool left = actor->max_restarts < 0 || actor->restarts < (uint32_t)actor->max_restarts;
    if (!may_restart || !left) {
        actor_die(gcs, actor, kind, text);
        return;
    }
    actor_unschedule(gcs, actor);
    actor_set_worker(gcs, actor, 0);
    memset(&actor->node, 0, sizeof(actor->node));
    actor->restarts++;
    actor->state = ACTOR_STATE_RESTARTING;
    actors_changed(gcs, actor);
    actor_schedule(gcs, actor);
}

/* ---- requests ---- */

static int actor_set(GcsActor *actor, const ActorInfo *info) {
    int r = text_from_wire(info->name, GCS_NAME_MAX, "the actor's name", &actor->name);
    if (r == 0)
        r = text_from_wire(info->namespace, GCS_NAME_MAX, "the namespace", &actor->namespace_);
    if (r == 0)
        r = text_from_wire(info->class_name, GCS_NAME_MAX, "the class's name", &actor->class_name);
    if (r < 0)
        return r;
    actor->id = info->actor;
    actor->job = info->job;
    actor->detached = info->detached;
    actor->owner = info->owner;
    actor->max_restarts = info->max_restarts;
    actor_info_encode(info, &actor->record);
    return 0;
}

static void actor_add(Gcs *gcs, GcsActor *actor) {
    map_put(&gcs->actors, &actor->id, actor);
    if (str_empty(actor->name) || actor->state == ACTOR_STATE_DEAD)
        return;
    _cleanup_free_ char *key = full_name(actor->namespace_, actor->name);
    strmap_put(&gcs->names, key, actor);
}

static GcsActor *find_named(Gcs *gcs, Slice namespace_, Slice name) {
    _cleanup_free_ char *n = str_dup_slice(namespace_), *m = str_dup_slice(name);
    _cleanup_free_ char *key = full_name(n, m);
    return name.len ? strmap_get(&gcs->names, key) : NULL;
}

/* ---- who comes before the registration ---- */

static void early_arm(Gcs *gcs) {
    loop_timer_at(gcs->early_timer, gcs->early.len ? gcs->early.items[0].until : USEC_INFINITY);
}

static void early_tick(void *userdata) {
    Gcs *gcs = userdata;
    size_t due = 0;
    while (due < gcs->early.len && gcs->early.items[due].until <= loop_now(gcs->loop)) {
        const GcsEarly *early = &gcs->early.items[due++];
        ActorInfoReply none = { .info = { .actor = early->actor,
                                          .state = ACTOR_STATE_DEAD,
                                          .death_text = SLICE("no such actor") } };
        _cleanup_buf_ Buf body = { 0 };
        actor_info_reply_encode(&none, &body);
        gcs_send(gcs, early->peer, MSG_ACTOR_INFO_REPLY, &body);
    }
    for (size_t i = due; i < gcs->early.len; i++)
        gcs->early.items[i - due] = gcs->early.items[i];
    gcs->early.len -= due;
    early_arm(gcs);
}

/* A handle travels from process to process, its registration by way of two daemons. */
static void early_subscribe(Gcs *gcs, GcsCall *call, const ActorId *id) {
    PeerId peer = call->header->source;
    vec_push(&gcs->early, (GcsEarly){ *id, peer, loop_now(gcs->loop) + EARLY_TIME });
    early_arm(gcs);
    ActorInfoReply reply = { .info = { .actor = *id, .state = ACTOR_STATE_DEPENDENCIES_UNREADY } };
    _cleanup_buf_ Buf body = { 0 };
    actor_info_reply_encode(&reply, &body);
    gcs_reply(gcs, call, MSG_ACTOR_INFO_REPLY, &body);
}

/* Takes out those of `actor`, or of `peer` where there is no actor. */
static void early_take(Gcs *gcs, GcsActor *actor, PeerId peer) {
    size_t kept = 0;
    for (size_t i = 0; i < gcs->early.len; i++) {
        const GcsEarly early = gcs->early.items[i];
        bool match = actor ? id_equal(&early.actor, &actor->id) : early.peer == peer;
        if (!match)
            gcs->early.items[kept++] = early;
        else if (actor)
            vec_push(&actor->subscribers, early.peer);
    }
    gcs->early.len = kept;
    early_arm(gcs);
}

static void early_join(Gcs *gcs, GcsActor *actor) {
    if (gcs->early.len)
        early_take(gcs, actor, 0);
}

void actors_on_register(Gcs *gcs, GcsCall *call) {
    ActorRegister message;
    GCS_DECODE(gcs, call, actor_register_decode, &message);
    ActorInfo *info = &message.info;
    info->owner = call->header->source;
    GcsActor *actor = map_get(&gcs->actors, &info->actor);
    if (actor) { /* a resend */
        actor_reply(gcs, call, actor);
        return;
    }
    actor = find_named(gcs, info->namespace, info->name);
    if (actor && message.get_if_exists) {
        actor_reply(gcs, call, actor);
        return;
    }
    if (actor) {
        gcs_reply_status(gcs, call, STATUS_CODE_EXISTS,
                         "The name %s (namespace=%s) is already taken. Please use a different "
                         "name or get the existing actor using ray.get_actor('%s', "
                         "namespace='%s')",
                         actor->name, actor->namespace_, actor->name, actor->namespace_);
        return;
    }
    if (map_len(&gcs->actors) - gcs->actors_dead >= GCS_ACTORS_MAX) {
        gcs_reply_status(gcs, call, STATUS_CODE_FULL, "the cluster has %d actors, its most",
                         GCS_ACTORS_MAX);
        return;
    }
    actor = mem_new(GcsActor);
    list_init(&actor->pending);
    int r = actor_set(actor, info);
    if (r == 0)
        r = actor_store(gcs, actor);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        actor_free(actor);
        return;
    }
    actor_add(gcs, actor);
    early_join(gcs, actor);
    actor_reply(gcs, call, actor);
}

void actors_on_create(Gcs *gcs, GcsCall *call) {
    ActorCreate create;
    GCS_DECODE(gcs, call, actor_create_decode, &create);
    GcsActor *actor = map_get(&gcs->actors, &create.actor);
    if (!actor || actor->state == ACTOR_STATE_DEAD) {
        gcs_reply_status(gcs, call, actor ? STATUS_CODE_DEAD : STATUS_CODE_NOT_FOUND, "%s",
                         actor ? actor->death_text : "no such actor was registered");
        return;
    }
    if (actor->created) { /* a resend */
        gcs_ok_logged(gcs, call, actor_sync(actor));
        return;
    }
    int r = actor_set_create(actor, &create);
    if (r == 0) {
        buf_add(&actor->create, call->body.data, call->body.len);
        r = create_store(gcs, actor);
    }
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        actor_die(gcs, actor, DEATH_KIND_UNSCHEDULABLE, error_text(r));
        return;
    }
    actor->created = true;
    actor->state = ACTOR_STATE_PENDING_CREATION;
    actors_changed(gcs, actor);
    gcs_ok_logged(gcs, call, actor_sync(actor));
    actor_schedule(gcs, actor);
}

static void not_found(Gcs *gcs, const GcsCall *call) {
    gcs_reply_status(gcs, call, STATUS_CODE_NOT_FOUND, "no such actor");
}

void actors_on_get(Gcs *gcs, GcsCall *call) {
    ActorGet get;
    GCS_DECODE(gcs, call, actor_get_decode, &get);
    GcsActor *actor =
        get.name.len ? find_named(gcs, get.namespace, get.name) : map_get(&gcs->actors, &get.actor);
    if (actor)
        actor_reply(gcs, call, actor);
    else
        not_found(gcs, call);
}

void actors_on_subscribe(Gcs *gcs, GcsCall *call) {
    ActorSubscribe subscribe;
    GCS_DECODE(gcs, call, actor_subscribe_decode, &subscribe);
    GcsActor *actor = map_get(&gcs->actors, &subscribe.actor);
    if (!actor) {
        if ((call->header->flags & FRAME_CALL) && gcs->early.len < GCS_EARLY_MAX)
            early_subscribe(gcs, call, &subscribe.actor);
        else
            not_found(gcs, call);
        return;
    }
    bool have = false;
    VEC_EACH(peer, &actor->subscribers)
        have |= *peer == call->header->source;
    if (!have && actor->state != ACTOR_STATE_DEAD)
        vec_push(&actor->subscribers, call->header->source);
    if (call->header->flags & FRAME_CALL) {
        _cleanup_buf_ Buf body = { 0 };
        actor_message(actor, &body);
        gcs_reply_logged(gcs, call, MSG_ACTOR_INFO_REPLY, &body, KV_LOGGED);
        return;
    }
    actor_tell(gcs, actor, call->header->source); /* subscribed before, with a gcs that is gone */
}

void actors_on_kill(Gcs *gcs, GcsCall *call) {
    ActorKill kill;
    GCS_DECODE(gcs, call, actor_kill_decode, &kill);
    GcsActor *actor = map_get(&gcs->actors, &kill.actor);
    if (!actor) {
        not_found(gcs, call);
        return;
    }
    _cleanup_free_ char *text =
        kill.text.len ? str_dup_slice(kill.text)
                      : str_dup("The actor is dead because it was killed by `ray.kill`.");
    if (kill.no_restart)
        actor_kill(gcs, actor, DEATH_KIND_KILLED, text);
    else if (actor->worker)
        worker_end(gcs, actor, false, text); /* its death comes back and restarts it */
    gcs_ok_logged(gcs, call, actor_sync(actor));
}

void actors_on_out_of_scope(Gcs *gcs, GcsCall *call) {
    ActorOutOfScope message;
    GCS_DECODE(gcs, call, actor_out_of_scope_decode, &message);
    GcsActor *actor = map_get(&gcs->actors, &message.actor);
    if (actor && !actor->detached && call->header->source == actor->owner) {
        const char *text = "The actor is dead because all references to the actor were removed.";
        worker_end(gcs, actor, true, text);
        actor_die(gcs, actor, DEATH_KIND_OUT_OF_SCOPE, text);
    }
    gcs_ok_logged(gcs, call, KV_LOGGED);
}

void actors_on_exited(Gcs *gcs, GcsCall *call) {
    ActorExited message;
    GCS_DECODE(gcs, call, actor_exited_decode, &message);
    GcsActor *actor = map_get(&gcs->actors, &message.actor);
    if (actor && actor->worker == call->header->source) {
        _cleanup_free_ char *text = str_dup_slice(message.text);
        actor_die(gcs, actor, DEATH_KIND_EXITED, text);
    }
    gcs_ok_logged(gcs, call, KV_LOGGED);
}

/* What only lists tell: how it was asked for. */
static void add_creation(const GcsActor *actor, Arena *arena, ActorInfo *info) {
    ActorCreate create;
    if (!actor->created ||
        actor_create_decode(&create, actor->create.data, actor->create.len, arena) < 0)
        return;
    info->resources = create.resources;
    info->resources_len = create.resources_len;
    info->runtime_env = create.runtime_env;
    info->group = create.strategy.group;
    info->labels = create.strategy.labels;
    info->labels_len = create.strategy.labels_len;
}

void actors_on_list(Gcs *gcs, GcsCall *call) {
    ActorList list;
    GCS_DECODE(gcs, call, actor_list_decode, &list);
    Actors actors = {
        .actors = arena_array(call->arena, ActorInfo, map_len(&gcs->actors) + 1),
    };
    GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor) {
        bool named = !str_empty(actor->name) && actor->state != ACTOR_STATE_DEAD;
        if (list.name_only && !named)
            continue;
        if (!list.all_namespaces && !slice_eq_str(list.namespace, actor->namespace_))
            continue;
        ActorInfo *info = &actors.actors[actors.actors_len++];
        actor_info(actor, call->arena, info);
        if (!list.name_only)
            add_creation(actor, call->arena, info);
    }
    _cleanup_buf_ Buf body = { 0 };
    actors_encode(&actors, &body);
    gcs_reply(gcs, call, MSG_ACTORS, &body);
}

/* ---- what happens elsewhere ---- */

static void subscribers_remove(Gcs *gcs, PeerId peer) {
    GcsActor *actor;
    if (gcs->early.len)
        early_take(gcs, NULL, peer);
    MAP_EACH(&gcs->actors, pos, actor)
        for (size_t i = 0; i < actor->subscribers.len;) {
            if (actor->subscribers.items[i] == peer)
                vec_remove_swap(&actor->subscribers, i);
            else
                i++;
        }
}

/* Calls `fn` for each living actor that `match` picks; `fn` may change the table. */
typedef bool Match(const GcsActor *actor, const void *what);

static void each_match(Gcs *gcs, Match *match, const void *what, DeathKind kind, const char *text) {
    Vec(ActorId) ids = { 0 };
    GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor)
        if (actor->state != ACTOR_STATE_DEAD && match(actor, what))
            vec_push(&ids, actor->id);
    VEC_EACH(id, &ids) {
        actor = map_get(&gcs->actors, id);
        if (actor)
            actor_kill(gcs, actor, kind, text);
    }
    vec_done(&ids);
}

static bool owned_by(const GcsActor *actor, const void *what) {
    const PeerId *peer = what;
    return !actor->detached && actor->owner == *peer;
}

void actors_peer_dead(Gcs *gcs, const PeerDead *dead) {
    subscribers_remove(gcs, dead->peer);
    GcsActor *actor = map_get(&gcs->by_worker, &dead->peer);
    if (actor) {
        bool crashed = !dead->intended && !dead->oom;
        _cleanup_free_ char *text = str_printf(
            "%s%.*s",
            crashed ? "The actor is dead because its worker process has died. Worker exit "
                      "type: SYSTEM_ERROR Worker exit detail: "
                    : "",
            (int)dead->text.len, dead->text.data);
        DeathKind kind = dead->oom        ? DEATH_KIND_OOM
                         : dead->intended ? DEATH_KIND_EXITED
                                          : DEATH_KIND_WORKER_DIED;
        actor->pid = dead->pid ? dead->pid : actor->pid;
        actor_lost(gcs, actor, true, kind, text);
    }
    each_match(gcs, owned_by, &dead->peer, DEATH_KIND_OWNER_DIED,
               "The actor is dead because its owner has died.");
}

static bool of_job(const GcsActor *actor, const void *what) {
    return !actor->detached && id_equal(&actor->job, (const JobId *)what);
}

void actors_job_ended(Gcs *gcs, const JobId *job) {
    each_match(gcs, of_job, job, DEATH_KIND_JOB_ENDED,
               "The actor is dead because its job has ended.");
}

static bool owner_on(const GcsActor *actor, const void *what) {
    const GcsNode *node = what;
    return !actor->detached && peer_node(actor->owner) == node->index &&
           peer_incarnation(actor->owner) == node->incarnation;
}

void actors_node_dead(Gcs *gcs, const GcsNode *node, const char *reason) {
    each_match(gcs, owner_on, node, DEATH_KIND_OWNER_DIED,
               "The actor is dead because its owner's node has died.");
    Vec(GcsActor *) there = { 0 };
    GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor) {
        for (size_t i = 0; i < actor->subscribers.len;)
            if (peer_node(actor->subscribers.items[i]) == node->index)
                vec_remove_swap(&actor->subscribers, i);
            else
                i++;
        if (actor->state != ACTOR_STATE_DEAD && id_equal(&actor->node, &node->sched.id))
            vec_push(&there, actor);
    }
    _cleanup_free_ char *text =
        str_printf("The actor died because its node has died. Node Id: %s. the actor's node was "
                   "terminated: %s",
                   ID_HEX(&node->sched.id), reason);
    VEC_EACH(lost, &there) {
        if ((*lost)->state == ACTOR_STATE_ALIVE)
            actor_lost(gcs, *lost, true, DEATH_KIND_NODE_DIED, text);
        else
            actor_start_elsewhere(gcs, *lost);
    }
    vec_done(&there);
}

KeptActor *actors_kept(const Gcs *gcs, const GcsNode *node, Arena *arena, size_t *ret_len) {
    KeptActor *kept = arena_array(arena, KeptActor, map_len(&gcs->actors) - gcs->actors_dead + 1);
    size_t len = 0;
    const GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor)
        if (actor->state != ACTOR_STATE_DEAD && id_equal(&actor->node, &node->sched.id))
            kept[len++] = (KeptActor){ .actor = actor->id, .restarts = actor->restarts };
    *ret_len = len;
    return kept;
}

/* ---- life ---- */

void actors_init(Gcs *gcs) {
    map_init(&gcs->actors, sizeof(ActorId));
    map_init(&gcs->by_worker, sizeof(PeerId));
    list_init(&gcs->pending);
    list_init(&gcs->actor_news);
    gcs->schedule_task = loop_task_new(gcs->loop, actors_schedule_pending, gcs);
    gcs->early_timer = loop_timer_new(gcs->loop, early_tick, gcs);
}

/* What was under way when the former gcs ended is begun again: the raylet knows a repeated start
 * of the same actor and number of restarts. */
static int load_create(Gcs *gcs, GcsActor *actor) {
    int r = kv_get(gcs->kv, "actor_create", ID_SLICE(&actor->id), &actor->create);
    if (r != 0)
        return MIN(r, 0);
    _cleanup_arena_ Arena arena = { 0 };
    ActorCreate create;
    r = actor_create_decode(&create, actor->create.data, actor->create.len, &arena);
    if (r == 0)
        r = actor_set_create(actor, &create);
    if (r < 0)
        return r;
    actor->created = true;
    if (actor->state == ACTOR_STATE_PENDING_CREATION || actor->state == ACTOR_STATE_RESTARTING)
        actor_schedule(gcs, actor);
    return 0;
}

static int load_one(void *userdata, Slice key, Slice value) {
    Gcs *gcs = userdata;
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfo info;
    int r = actor_info_decode(&info, value.data, value.len, &arena);
    if (r < 0)
        return r;
    GcsActor *actor = mem_new(GcsActor);
    list_init(&actor->pending);
    r = actor_set(actor, &info);
    if (r < 0) {
        actor_free(actor);
        return r;
    }
    actor->state = (ActorState)info.state;
    actor->restarts = info.restarts;
    actor->pid = info.pid;
    actor->worker_id = info.worker_id;
    actor->node = info.node;
    actor->ip = str_dup_slice(info.ip);
    actor->repr = str_dup_slice(info.repr);
    actor->death_text = str_dup_slice(info.death_text);
    actor->death_kind = (DeathKind)info.death_kind;
    buf_add(&actor->death_error, info.death_error.data, info.death_error.len);
    actor_add(gcs, actor);
    actor_set_worker(gcs, actor, info.worker);
    gcs->actors_dead += actor->state == ACTOR_STATE_DEAD;
    return 0;
}

int actors_load(Gcs *gcs) {
    int r = kv_scan(gcs->kv, "actor", (Slice){ 0 }, (Slice){ 0 }, load_one, gcs);
    GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor)
        if (r == 0 && actor->state != ACTOR_STATE_DEAD)
            r = load_create(gcs, actor);
    return r;
}

void actors_done(Gcs *gcs) {
    actor_news_done(gcs);
    GcsActor *actor;
    MAP_EACH(&gcs->actors, pos, actor)
        actor_free(actor);
    map_done(&gcs->actors);
    map_done(&gcs->by_worker);
    strmap_done(&gcs->names);
    loop_task_free(gcs->schedule_task);
    loop_timer_free(gcs->early_timer);
    vec_done(&gcs->early);
}
