/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lineage: calls that have ended and may run again. A call whose result lies in a store keeps its
 * record, and the records (not the values) of what it used, while somebody needs the result. When
 * the value turns out to be lost the call is queued again, after those that make its own lost
 * arguments. Losses are found by whoever reads: nothing is done for a value that nobody reads again.
 */

#include <stdlib.h>

#include "base/error.h"
#include "core/core_private.h"

static const size_t LINEAGE_MAX = 1ull << 30; /* bytes of all kept calls together */

/* Reasons, as Ray names them. */
#define REASON(name) "OBJECT_UNRECONSTRUCTABLE_" name

static size_t lineage_bytes(const CorePending *p) {
    return sizeof(*p) + p->refs_len * sizeof(OwnRef *) + p->uses_len * sizeof(OwnRef *) +
           p->args->size;
}

/* Users bound the memory by an environment variable of the driver, as with Ray. */
void lineage_init(Core *core) {
    const char *text = getenv("RAY_max_lineage_bytes");
    list_init(&core->lineage);
    core->lineage_max = text ? strtoull(text, NULL, 10) : LINEAGE_MAX;
}

/* ---- what a call made ------------------------------------------------------------------- */

/* Its values, and behind them those that it yielded. */
static uint64_t made_len(const CorePending *p) {
    return p->refs_len + (p->ended ? p->yields : 0);
}

/* NULL: nobody needs it any more. */
static CoreRef *made_at(const Core *core, const CorePending *p, uint64_t i) {
    if (i < p->refs_len)
        return p->refs[i] ? ref_of(p->refs[i]) : NULL;
    return yields_find(core, p, i - p->refs_len);
}

/* ---- keeping ------------------------------------------------------------------------------ */

bool lineage_wanted(const Core *core, const CorePending *p) {
    if (p->t->kind == CALL_KIND_ACTOR_CREATE || p->cancelled || p->t->max_retries == 0)
        return false;
    if (p->t->num_returns < 0 && !p->yields_large)
        return false; /* they may be very many */
    for (uint64_t i = 0; i < made_len(p); i++) {
        const CoreRef *ref = made_at(core, p, i);
        if (ref && (ref->kind == VALUE_KIND_ARENA || ref->kind == VALUE_KIND_PENDING))
            return true;
    }
    return false;
}

static void lineage_drop(Core *core, CorePending *p) {
    core->lineage_bytes -= lineage_bytes(p);
    for (uint32_t i = 0; i < p->uses_len; i++)
        own_unkeep(&core->own, p->uses[i]);
    actor_forget(p);
    pending_free(p);
}

static void lineage_evict(Core *core) {
    CorePending *p = LIST_ITEM(core->lineage.next, CorePending, link);
    for (uint64_t i = 0; i < made_len(p); i++) {
        CoreRef *ref = made_at(core, p, i);
        if (!ref)
            continue;
        ref->lineage = NULL;
        ref->lineage_gone = true;
    }
    list_remove(&p->link);
    lineage_drop(core, p);
}

static void make_lost_yields(Core *core, const CorePending *p);

void lineage_keep(Core *core, CorePending *p) {
    p->state = PENDING_KEPT;
    p->missing = 0;
    p->keepers = 0;
    for (uint64_t i = 0; i < made_len(p); i++) {
        CoreRef *ref = made_at(core, p, i);
        if (ref) {
            ref->lineage = p;
            p->keepers++;
        }
    }
    for (uint32_t i = 0; i < p->uses_len; i++) {
        own_keep(p->uses[i]);
        own_unuse(&core->own, p->uses[i]);
    }
    list_push(&core->lineage, &p->link);
    core->lineage_bytes += lineage_bytes(p);
    make_lost_yields(core, p);
    while (core->lineage_bytes > core->lineage_max && !list_empty(&core->lineage))
        lineage_evict(core);
}

void lineage_ref_gone(Core *core, CoreRef *ref) {
    CorePending *p = TAKE(ref->lineage);
    if (!p)
        return;
    for (uint32_t i = 0; i < p->refs_len; i++)
        if (p->refs[i] == &ref->own)
            p->refs[i] = NULL;
    if (--p->keepers > 0)
        return;
    list_remove(&p->link);
    lineage_drop(core, p);
}

void lineage_done(Core *core) {
    while (!list_empty(&core->lineage))
        lineage_evict(core);
}

/* ---- running again --------------------------------------------------------------------------- */

void ref_clear(Core *core, CoreRef *ref) {
    CoreBytes *value = TAKE(ref->value);
    core->counts.values_bytes -= value->size;
    if (value->in_store && ref->own.owner == core->info.peer)
        large_free(core, value);
    atomic_store(&ref->kind, VALUE_KIND_PENDING);
    ref->fetching = false;
    bytes_drop(value);
    own_forget_contents(&core->own, &ref->own);
}

void lineage_release(Core *core, CoreRef *ref) {
    if (!own_released(&ref->own) || ref->kind != VALUE_KIND_ARENA)
        return;
    ref_clear(core, ref);
    ref->released = true;
}

/* Why it can't be made again; NULL: it can. */
static const char *obstacle(const CoreRef *ref) {
    const CorePending *p = ref->lineage;
    if (object_id_is_put(&ref->own.id))
        return REASON("PUT");
    if (!p)
        return ref->lineage_gone ? REASON("LINEAGE_EVICTED") : REASON("RETRIES_DISABLED");
    if (p->t->max_retries >= 0 && p->attempt >= (uint32_t)p->t->max_retries)
        return REASON("MAX_ATTEMPTS_EXCEEDED");
    return NULL;
}

typedef Vec(CorePending *) PendingList;

/* `ref` is ours and has no value: its call is queued again (and goes to `again`), or it fails. One that
 * is under way, for another value or for the first time, makes this one as well. */
static void make_again(Core *core, CoreRef *ref, PendingList *again) {
    TaskId task = object_id_task(&ref->own.id);
    if (!object_id_is_put(&ref->own.id) && map_get(&core->tasks, task.byte))
        return;
    const char *reason = obstacle(ref);
    if (reason) {
        ErrorInfo error = { .kind = ERROR_KIND_RECONSTRUCTION,
                            .object = ref->own.id,
                            .text = slice_str(reason) };
        ref_set_error(core, ref, &error);
        return;
    }
    CorePending *p = ref->lineage;
    list_remove(&p->link);
    core->lineage_bytes -= lineage_bytes(p);
    for (uint64_t i = 0; i < made_len(p); i++) {
        CoreRef *made = made_at(core, p, i);
        if (made)
            made->lineage = NULL;
        if (made && i < p->refs_len)
            made->maker = p;
    }
    p->attempt++;
    p->state = PENDING_DEPS;
    if (p->actor)
        actor_queue_again(p);
    map_put(&core->tasks, p->task.byte, p);
    for (uint32_t i = 0; i < p->uses_len; i++) {
        own_use(p->uses[i]);
        own_unkeep(&core->own, p->uses[i]);
    }
    vec_push(again, p);
}

/* Queued, or waiting for its arguments; those that are gone are made again first. */
static void wait_for_arguments(Core *core, CorePending *p, PendingList *again) {
    if (p->actor && actor_fail_dead(core, p))
        return;
    p->missing = 1; /* ours, until all are looked at: one may come at once */
    for (uint32_t i = 0; i < p->top_len; i++) {
        CoreRef *ref = ref_of(p->uses[i]);
        bool ours = ref->own.owner == core->info.peer;
        if (ref->kind == VALUE_KIND_PENDING && ours && !ref->maker)
            make_again(core, ref, again);
        if (ref->kind != VALUE_KIND_PENDING)
            continue;
        p->missing++;
        vec_push(&ref_waiters(ref)->dependents, p);
        ref_fetch(core, ref);
    }
    if (--p->missing == 0)
        submit_dependency_ready(core, p);
}

/* Without recursion: a chain of lost values may be long. */
static void wait_for_all(Core *core, PendingList *again) {
    for (size_t i = 0; i < again->len; i++)
        wait_for_arguments(core, again->items[i], again);
    vec_done(again);
}

void lineage_make(Core *core, CoreRef *ref) {
    PendingList again = { 0 };
    make_again(core, ref, &again);
    wait_for_all(core, &again);
}

/* A value that it had yielded before may have been lost while it ran. */
static void make_lost_yields(Core *core, const CorePending *p) {
    PendingList again = { 0 };
    for (uint64_t i = p->refs_len; i < made_len(p) && !again.len; i++) {
        CoreRef *ref = made_at(core, p, i);
        if (ref && ref->kind == VALUE_KIND_PENDING)
            make_again(core, ref, &again);
    }
    wait_for_all(core, &again);
}

void lineage_requeue(Core *core, CorePending *p) {
    PendingList again = { 0 };
    vec_push(&again, p);
    wait_for_all(core, &again);
}

/* ---- losses -------------------------------------------------------------------------------------- */

void ref_lost(Core *core, CoreRef *ref) {
    ASSERT(ref->kind == VALUE_KIND_ARENA);
    if (core->closed || core->lost || ref->losses++ == LOSSES_MAX) {
        ref_clear(core, ref);
        ErrorInfo error = { .kind = ERROR_KIND_OBJECT_LOST, .object = ref->own.id };
        ref_set_error(core, ref, &error);
        return;
    }
    ref->lost_location = ref->value->location;
    ref->lost_generation = ref->value->generation;
    ref_clear(core, ref);
    if (ref->own.owner == core->info.peer)
        lineage_make(core, ref);
    else
        ref_fetch(core, ref);
}

bool ref_is_at(const CoreRef *ref, PeerId location, uint64_t generation) {
    return ref->kind == VALUE_KIND_ARENA && ref->value->location == location &&
           ref->value->generation == generation;
}
