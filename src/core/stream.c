/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Streams on the submitter's side: a streaming call's values become objects as they come, and are
 * kept until the reader takes them. A call that runs again yields again: what is there already
 * stays. Where each is, is a matter of its place alone, so nothing here depends on attempts.
 */

#include "base/error.h"
#include "core/core_private.h"

enum {
    FIRST_RETURN = 2, /* the object index of the value at place 0: 1 is the whole's */
};

void yields_begin(CoreRef *whole) {
    whole->stream = mem_new(CoreStream);
    whole->stream->end = UINT64_MAX;
}

static size_t stream_len(const CoreStream *s) {
    return s->items.len - s->head;
}

static void stream_drop_items(Core *core, CoreStream *s) {
    while (s->head < s->items.len)
        own_drop(&core->own, &s->items.items[s->head++]->own);
    vec_done(&s->items);
    s->head = 0;
}

void yields_free(Core *core, CoreRef *whole) {
    CoreStream *s = TAKE(whole->stream);
    if (!s)
        return;
    stream_drop_items(core, s);
    bytes_drop(s->why);
    mem_free(s);
}

static void set_beyond_end(CoreStream *s, Core *core, CoreRef *ref) {
    ErrorInfo end = { .kind = ERROR_KIND_END_OF_STREAM, .object = ref->own.id };
    if (s->why)
        ref_set_value(core, ref, VALUE_KIND_ERROR, bytes_hold(s->why));
    else
        ref_set_error(core, ref, &end);
}

/* The record at a place not before the reader's; made when there is none yet. */
static CoreRef *stream_at(Core *core, CoreRef *whole, uint64_t place) {
    CoreStream *s = whole->stream;
    TaskId task = object_id_task(&whole->own.id);
    while (s->next + stream_len(s) <= place) {
        uint64_t made = s->next + stream_len(s);
        ObjectId id = object_id_return(&task, (uint32_t)made + FIRST_RETURN);
        OwnRef *known = own_find(&core->own, &id); /* from before the stream was closed */
        CoreRef *ref = known ? ref_of(known) : ref_new(core, &id, core->info.peer, NULL);
        if (known)
            own_hold(known);
        vec_push(&s->items, ref);
        if ((made >= s->end || s->closed) && ref->kind == VALUE_KIND_PENDING)
            set_beyond_end(s, core, ref);
    }
    return s->items.items[s->head + (size_t)(place - s->next)];
}

/* ---- what comes ------------------------------------------------------------------------- */

static CoreRef *pending_whole(const CorePending *p) {
    CoreRef *whole = p->refs_len && p->refs[0] ? ref_of(p->refs[0]) : NULL;
    return whole && whole->stream ? whole : NULL;
}

uint64_t yields_read(const CorePending *p) {
    CoreRef *whole = pending_whole(p);
    return !whole || whole->stream->closed ? UINT64_MAX : whole->stream->next;
}

CoreRef *yields_find(const Core *core, const CorePending *p, uint64_t place) {
    if (p->t->num_returns >= 0)
        return NULL; /* whatever its worker says: those places are its results' */
    ObjectId id = object_id_return(&p->task, (uint32_t)place + FIRST_RETURN);
    OwnRef *own = own_find(&core->own, &id);
    return own ? ref_of(own) : NULL;
}

void yields_fail_lost(Core *core, const CorePending *p, uint64_t place, const ErrorInfo *error) {
    for (; p->yields_large && place < p->yields; place++) {
        CoreRef *ref = yields_find(core, p, place);
        if (ref && ref->kind == VALUE_KIND_PENDING)
            ref_set_error(core, ref, error);
    }
}

/* Of another run than the one that counts: what may be lost is not to be had at all, as in Ray. */
static void yields_disown(Core *core, const CorePending *p, uint64_t end) {
    _cleanup_free_ char *text = str_printf(
        "Streaming generator task %s was re-executed and produced %llu objects, expected %u. The "
        "generator output is non-deterministic, which can hang downstream consumers (when fewer "
        "objects are produced) or silently truncate their input (when more objects are produced).",
        ID_HEX(&p->task), (unsigned long long)end, p->yields);
    ErrorInfo error = { .kind = ERROR_KIND_REPLAY, .task = p->task, .text = slice_str(text) };
    for (uint64_t place = 0; place < p->yields; place++) {
        CoreRef *ref = yields_find(core, p, place);
        if (ref && ref->kind == VALUE_KIND_ARENA)
            ref_clear(core, ref);
        if (ref && ref->kind == VALUE_KIND_PENDING)
            ref_set_error(core, ref, &error);
    }
}

/* The reader's, or one from a run before that was lost since. Each attempt yields from place 0 on, one at
 * a time, in order: a place further on than any before is none of a stream's, whatever its worker says. So
 * there are no more places than values that have come. */
static void take_item(Core *core, CorePending *p, uint64_t place, const Value *value, PeerId from) {
    CoreRef *whole = pending_whole(p);
    CoreStream *s = whole ? whole->stream : NULL;
    if (place > p->yields || place > CALL_YIELDS_MAX) {
        ref_take_value(core, NULL, value, from);
        return;
    }
    bool ahead = s && !s->closed && place >= s->next && place <= s->next + stream_len(s);
    p->yields_large |= value->kind == VALUE_KIND_ARENA;
    if (!p->ended && place == p->yields)
        p->yields++;
    ref_take_value(core, ahead ? stream_at(core, whole, place) : yields_find(core, p, place), value,
                   from);
}

void yields_on_item(Core *core, CorePending *p, const Result *m, PeerId from) {
    for (size_t i = 0; i < m->values_len; i++)
        take_item(core, p, m->index + i, &m->values[i], from);
}

/* Places from `end` on that somebody waits for already are errors. */
static void stream_set_end(Core *core, CoreRef *whole, uint64_t end) {
    CoreStream *s = whole->stream;
    s->end = MAX(end, s->next);
    for (size_t i = 0; i < stream_len(s); i++) {
        CoreRef *ref = s->items.items[s->head + i];
        if (s->next + i >= s->end && ref->kind == VALUE_KIND_PENDING)
            set_beyond_end(s, core, ref);
    }
}

/* It has run to its end: again, if it had before. What an earlier attempt yielded beyond that, and was
 * lost, will not come. */
static void take_end(Core *core, CorePending *p, uint64_t end) {
    ErrorInfo lost = { .kind = ERROR_KIND_OBJECT_LOST, .task = p->task };
    if (p->ended && end != p->yields)
        yields_disown(core, p, end);
    else if (end < p->yields)
        yields_fail_lost(core, p, end, &lost);
    if (!p->ended)
        p->yields = (uint32_t)end;
    p->ended = true;
}

void yields_on_end(Core *core, CorePending *p, const Result *m, PeerId from) {
    CoreRef *whole = pending_whole(p);
    bool again = whole && whole->kind != VALUE_KIND_PENDING;
    uint64_t end = m->index;
    if (m->values_len > 1)
        take_item(core, p, end++, &m->values[1], from);
    if (!p->ended)
        end = MIN(end, (uint64_t)p->yields); /* what did not come will not */
    ref_take_value(core, whole, &m->values[0], from);
    take_end(core, p, end);
    if (!whole || again)
        return;
    if (whole->kind == VALUE_KIND_ERROR)
        yields_fail(core, whole);
    else
        stream_set_end(core, whole, end);
    if (p->t->num_returns == CORE_DYNAMIC) { /* the value has them now */
        whole->stream->closed = true;
        stream_drop_items(core, whole->stream);
    }
}

/* The call did not run to its end: the whole has its error; what came before it stays. */
void yields_fail(Core *core, CoreRef *whole) {
    CoreStream *s = whole->stream;
    uint64_t end = s->next;
    for (size_t i = 0; i < stream_len(s); i++, end++)
        if (s->items.items[s->head + i]->kind == VALUE_KIND_PENDING)
            break;
    s->why = bytes_hold(whole->value);
    stream_set_end(core, whole, end);
}

/* ---- the reader --------------------------------------------------------------------------- */

/* Lets the worker go on where it waits for the reader. */
static void stream_tell_read(Core *core, const CoreRef *whole, uint64_t read) {
    const CorePending *p = whole->maker;
    if (!p || !p->t->stream_limit || p->state != PENDING_SENT)
        return;
    const CorePeer *peer = p->worker ? p->worker->peer : p->actor ? p->actor->peer : NULL;
    if (!peer)
        return;
    StreamRead m = { .task = p->task, .read = read };
    _cleanup_buf_ Buf body = { 0 };
    stream_read_encode(&m, &body);
    peer_send(core, peer->id, MSG_STREAM_READ, 0, 0, body.data, body.len);
}

static CoreRef *stream_take(CoreStream *s) {
    CoreRef *ref = s->items.items[s->head++];
    s->next++;
    if (s->head * 2 >= s->items.len) {
        memmove(s->items.items, s->items.items + s->head, stream_len(s) * sizeof(CoreRef *));
        s->items.len -= s->head;
        s->head = 0;
    }
    return ref;
}

bool core_ref_streams(const Core *core, const CoreRef *ref) {
    return ref->core == core && ref->stream;
}

int core_stream_next(Core *core, CoreRef *stream, CoreRef **ret_ref) {
    core_lock(core);
    CoreStream *s = stream->stream;
    ASSERT(s);
    int r = 0;
    if (s->next >= s->end || s->closed)
        r = CORE_END;
    else if (!stream_len(s) || s->items.items[s->head]->kind == VALUE_KIND_PENDING)
        r = CORE_TIMEOUT;
    else {
        *ret_ref = stream_take(s);
        stream_tell_read(core, stream, s->next);
    }
    core_unlock(core);
    return r;
}

CoreRef *core_stream_peek(Core *core, CoreRef *stream, uint32_t ahead) {
    core_lock(core);
    ASSERT(stream->stream);
    CoreRef *ref = stream_at(core, stream, stream->stream->next + ahead);
    own_hold(&ref->own);
    core_unlock(core);
    return ref;
}

bool core_stream_finished(Core *core, CoreRef *stream) {
    core_lock(core);
    bool finished = stream->stream->next >= stream->stream->end;
    core_unlock(core);
    return finished;
}

/* Who waits for a place that will not come is told. */
static void stream_free_pending(Core *core, CoreStream *s) {
    for (size_t i = s->head; i < s->items.len; i++) {
        CoreRef *ref = s->items.items[i];
        ErrorInfo error = { .kind = ERROR_KIND_OBJECT_FREED, .object = ref->own.id };
        if (ref->kind == VALUE_KIND_PENDING)
            ref_set_error(core, ref, &error);
    }
}

void core_stream_close(Core *core, CoreRef *stream) {
    core_lock(core);
    CoreStream *s = stream->stream;
    if (!s->closed) {
        s->closed = true;
        stream_tell_read(core, stream, UINT64_MAX);
        stream_free_pending(core, s);
        stream_drop_items(core, s);
        core_run_actions(core);
    }
    core_unlock(core);
}
