/* SPDX-License-Identifier: Apache-2.0 */

/* References and the values behind them: put, watch, and serving borrowers. */

#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

/* ---- bytes ------------------------------------------------------------------------------ */

static CoreBytes *bytes_alloc(size_t size, uint8_t **ret_data) {
    enum {
        BEFORE = offsetof(CoreBytes, core)
    };
    _Static_assert(BEFORE % 16 == 0, "data are aligned as memory of malloc() is");
    CoreBytes *bytes = mem_alloc(BEFORE + size);
    atomic_init(&bytes->count, 1);
    bytes->in_store = false;
    bytes->size = size;
    bytes->aside = NULL;
    *ret_data = (uint8_t *)bytes + BEFORE;
    bytes->data = *ret_data;
    return bytes;
}

CoreBytes *bytes_new(const void *data, size_t size) {
    uint8_t *to;
    CoreBytes *bytes = bytes_alloc(size, &to);
    if (size)
        memcpy(to, data, size);
    return bytes;
}

CoreBytes *bytes_gather(const struct iovec *parts, size_t parts_len) {
    size_t size = 0;
    for (size_t i = 0; i < parts_len; i++)
        size += parts[i].iov_len;
    uint8_t *to;
    CoreBytes *bytes = bytes_alloc(size, &to);
    for (size_t i = 0; i < parts_len; i++) {
        if (parts[i].iov_len)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    return bytes;
}

CoreBytes *bytes_hold(CoreBytes *bytes) {
    atomic_fetch_add_explicit(&bytes->count, 1, memory_order_relaxed);
    return bytes;
}

/* Holding the lock where the bytes lie in the store. */
void bytes_drop(CoreBytes *bytes) {
    if (!bytes || atomic_fetch_sub_explicit(&bytes->count, 1, memory_order_acq_rel) != 1)
        return;
    if (bytes->in_store) {
        large_unpin(bytes);
        bytes->core->outstanding--; /* the caller holds one of its own */
    }
    mem_free(bytes);
}

void core_value_release(CoreValue *value) {
    CoreBytes *bytes = value->hold;
    value->hold = NULL;
    if (!bytes)
        return;
    Core *core = bytes->in_store ? bytes->core : NULL;
    if (core && core_usable(core) == -ESTALE)
        return;
    if (!core) {
        bytes_drop(bytes);
        return;
    }
    core_lock(core);
    core->outstanding++;
    if (bytes->readers && --bytes->readers == 0)
        large_unpin(bytes); /* it may go to disk, if there is a reference to it still */
    bytes_drop(bytes);
    bool last = core->outstanding == 1;
    if (last) {
        pthread_mutex_unlock(&core->lock);
        core_release(core);
        return;
    }
    core->outstanding--;
    core_unlock(core);
}

/* ---- records ------------------------------------------------------------------------------- */

CoreRef *ref_new(Core *core, const ObjectId *id, PeerId owner, const WorkerId *worker) {
    CoreRef *ref = mem_new(CoreRef);
    ref->core = core;
    atomic_init(&ref->kind, VALUE_KIND_PENDING);
    core->outstanding++;
    own_add(&core->own, &ref->own, id, owner, worker);
    return ref;
}

RefWaiters *ref_waiters(CoreRef *ref) {
    if (!ref->waiters)
        ref->waiters = mem_new(RefWaiters);
    return ref->waiters;
}

static void waiters_free(CoreRef *ref) {
    RefWaiters *waiters = ref->waiters;
    if (!waiters)
        return;
    vec_done(&waiters->watches);
    vec_done(&waiters->remote);
    vec_done(&waiters->dependents);
    ref->waiters = mem_free(waiters);
}

/* The ownership machine let it go: nobody here or elsewhere needs it. */
void ref_gone(Core *core, CoreRef *ref) {
    if (ref->maker) {
        for (uint32_t i = 0; i < ref->maker->refs_len; i++)
            if (ref->maker->refs[i] == &ref->own)
                ref->maker->refs[i] = NULL;
    }
    lineage_ref_gone(core, ref);
    if (ref->is_actor)
        actor_ref_gone(core, ref);
    yields_free(core, ref);
    ASSERT(!ref->waiters || ref->waiters->dependents.len == 0);
    if (ref->value)
        core->counts.values_bytes -= ref->value->size;
    CoreBytes *aside = ref->value ? TAKE(ref->value->aside) : NULL;
    const CoreBytes *made = aside ? aside : ref->value;
    if (made && made->in_store && ref->own.owner == core->info.peer)
        large_free(core, made);
    bytes_drop(aside);
    bytes_drop(ref->value);
    waiters_free(ref);
    mem_free(ref);
    core_release(core);
}

const ObjectId *core_ref_id(const CoreRef *ref) {
    return &ref->own.id;
}

bool core_ref_belongs(const Core *core, const CoreRef *ref) {
    return ref->core == core;
}

PeerId core_ref_owner(const CoreRef *ref, WorkerId *ret_owner_worker) {
    if (ret_owner_worker)
        *ret_owner_worker = ref->own.owner == ref->core->info.peer ? ref->core->info.worker
                                                                   : own_owner_worker(&ref->own);
    return ref->own.owner;
}

CoreRef *core_ref_hold(CoreRef *ref) {
    core_lock(ref->core);
    own_hold(&ref->own);
    core_unlock(ref->core);
    return ref;
}

void core_ref_drop(CoreRef *ref) {
    if (!ref)
        return;
    Core *core = ref->core;
    if (core_usable(core) == -ESTALE)
        return;
    core_lock(core);
    core->outstanding++; /* the last record may take the Core with it */
    own_drop(&core->own, &ref->own);
    core_run_actions(core);
    bool last = core->outstanding == 1;
    if (last) {
        pthread_mutex_unlock(&core->lock);
        core_release(core);
        return;
    }
    core->outstanding--;
    core_unlock(core);
}

CoreRef *core_ref_import(Core *core, const ObjectId *object, PeerId owner, const WorkerId *worker) {
    core_lock(core);
    OwnRef *own = own_find(&core->own, object);
    CoreRef *ref = own ? ref_of(own) : NULL;
    if (ref)
        own_hold(own);
    else
        ref = ref_new(core, object, owner, worker);
    core_unlock(core);
    return ref;
}

bool core_ref_ready(const CoreRef *ref) {
    return atomic_load_explicit(&ref->kind, memory_order_acquire) != VALUE_KIND_PENDING;
}

bool core_ref_place(const CoreRef *ref, CorePlace *ret_place) {
    core_lock(ref->core);
    bool known = ref->kind != VALUE_KIND_PENDING;
    if (known)
        *ret_place =
            (CorePlace){ ref->value->size, ref->value->in_store ? ref->value->location : 0 };
    core_unlock(ref->core);
    return known;
}

/* ---- becoming ready ---------------------------------------------------------------------------- */

static void tell_watches(Core *core, RefWaiters *waiters) {
    if (!waiters->watches.len)
        return;
    VEC_EACH(cookie, &waiters->watches)
        vec_push(&core->watch_done, *cookie);
    core->watches -= (uint32_t)waiters->watches.len;
    vec_done(&waiters->watches);
    uint64_t one = 1;
    ssize_t n = write(core->watch_fd, &one, sizeof(one));
    UNUSED(n);
}

/* One that ends tells nobody why its calls fail now: its borrowers hear that their owner died. */
static void answer_remote(Core *core, CoreRef *ref, const RemoteGet *get) {
    if (core->closed)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    ObjectValue m = { .object = ref->own.id,
                      .value = ref_wire_value(core, ref, get->peer, &arena) };
    _cleanup_buf_ Buf body = { 0 };
    object_value_encode(&m, &body);
    peer_send(core, get->peer, MSG_OBJECT_VALUE, FRAME_REPLY, get->stream, body.data, body.len);
}

static void tell_waiters(Core *core, CoreRef *ref) {
    RefWaiters *waiters = ref->waiters;
    tell_watches(core, waiters);
    VEC_EACH(get, &waiters->remote)
        answer_remote(core, ref, get);
    vec_done(&waiters->remote);
    /* A dependent holds a use of this reference, so the record stays during the loop. */
    while (waiters->dependents.len) {
        CorePending *p = vec_pop(&waiters->dependents);
        ASSERT(p->missing > 0);
        if (--p->missing == 0)
            submit_dependency_ready(core, p);
    }
    waiters_free(ref);
}

void ref_set_value(Core *core, CoreRef *ref, ValueKind kind, CoreBytes *value) {
    ASSERT(ref->kind == VALUE_KIND_PENDING && kind != VALUE_KIND_PENDING);
    ref->value = value;
    ref->maker = NULL;
    ref->fetching = false;
    core->counts.values_bytes += value->size;
    atomic_store_explicit(&ref->kind, (uint8_t)kind, memory_order_release);
    core->readable++;
    core->failed += kind == VALUE_KIND_ERROR;
    if (ref->waiters)
        tell_waiters(core, ref);
    core_happened(core);
}

void ref_set_error(Core *core, CoreRef *ref, const ErrorInfo *error) {
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(error, &body);
    ref_set_value(core, ref, VALUE_KIND_ERROR, bytes_new(body.data, body.len));
}

static void take_contents(Core *core, CoreRef *ref, const Value *value, PeerId from) {
    if (!value->refs_len)
        return;
    OwnRef **contents = mem_array(OwnRef *, value->refs_len);
    for (size_t i = 0; i < value->refs_len; i++) {
        const Ref *r = &value->refs[i];
        OwnRef *own = own_find(&core->own, &r->object);
        if (own)
            own_hold(own);
        else
            own = &ref_new(core, &r->object, r->owner, &r->owner_worker)->own;
        contents[i] = own;
        own_received(&core->own, own, from);
    }
    if (ref)
        own_set_contents(&ref->own, contents, value->refs_len);
    for (size_t i = 0; i < value->refs_len; i++)
        own_drop(&core->own, contents[i]);
    mem_free(contents);
}

/* A value that our call made and nobody waits for: its memory goes, unless the reference has just
 * this one. */
static void drop_unwanted(Core *core, const Value *value, CoreBytes *bytes) {
    OwnRef *own = own_find(&core->own, &value->object);
    if (!own || !ref_is_at(ref_of(own), value->location, value->generation))
        large_free(core, bytes);
}

/* Its call ran again for another of its values: the one of before may be lost as well, though nobody
 * has looked. One that is read here is not. */
static bool outdated(const CoreRef *ref, const Value *value) {
    return ref->kind == VALUE_KIND_ARENA && value->kind == VALUE_KIND_ARENA && !ref->value->data &&
           !ref_is_at(ref, value->location, value->generation);
}

static void take_value(Core *core, CoreRef *ref, const Value *value, PeerId from, bool ours) {
    if (ref && ours && outdated(ref, value))
        ref_clear(core, ref);
    if (ref && ref->kind != VALUE_KIND_PENDING)
        ref = NULL;
    take_contents(core, ref, value, from);
    if (value->kind == VALUE_KIND_ARENA) {
        CoreBytes *bytes = large_from_wire(core, value);
        if (ref)
            ref_set_value(core, ref, VALUE_KIND_ARENA, bytes);
        else if (ours)
            drop_unwanted(core, value, bytes);
        if (!ref)
            bytes_drop(bytes);
        return;
    }
    if (!ref)
        return;
    if (value->kind == VALUE_KIND_INLINE || value->kind == VALUE_KIND_ERROR) {
        ref_set_value(core, ref, value->kind, bytes_new(value->data.data, value->data.len));
        return;
    }
    ErrorInfo error = { .kind = ERROR_KIND_OBJECT_LOST, .object = ref->own.id };
    ref_set_error(core, ref, &error);
}

/* `ref` NULL: the value is not wanted any more, but what it contains must be confirmed. */
void ref_take_value(Core *core, CoreRef *ref, const Value *value, PeerId from) {
    take_value(core, ref, value, from, true);
}

void ref_take_borrowed(Core *core, CoreRef *ref, const Value *value, PeerId from) {
    take_value(core, ref, value, from, false);
}

Ref *refs_wire(Core *core, OwnRef *const *refs, size_t len, Arena *arena) {
    Ref *out = arena_array(arena, Ref, len);
    for (size_t i = 0; i < len; i++) {
        out[i].object = refs[i]->id;
        out[i].owner = core_ref_owner(ref_of(refs[i]), &out[i].owner_worker);
    }
    return out;
}

Value ref_wire_value(Core *core, CoreRef *ref, PeerId to, Arena *arena) {
    OwnRef *const *contents;
    size_t len = own_contents(&ref->own, &contents);
    Value value = { .kind = ref->kind,
                    .data = { (const char *)ref->value->data, ref->value->size },
                    .refs = refs_wire(core, contents, len, arena),
                    .refs_len = len };
    if (ref->value->in_store)
        large_to_wire(ref->value, &value);
    for (size_t i = 0; to && i < len; i++)
        peer_hand_over(core, contents[i], to);
    return value;
}

/* ---- borrowing ------------------------------------------------------------------------------------- */

typedef struct Fetch {
    Core *core;
    ObjectId object;
} Fetch;

static void on_fetched(void *argument, const RpcReply *reply) {
    Fetch *fetch = argument;
    Core *core = fetch->core;
    OwnRef *own = own_find(&core->own, &fetch->object);
    CoreRef *ref = own ? ref_of(own) : NULL;
    _cleanup_arena_ Arena arena = { 0 };
    ObjectValue m;
    if (reply->result == 0 && object_value_decode(&m, reply->body, reply->len, &arena) == 0) {
        ref_take_borrowed(core, ref, &m.value, reply->header->source);
    } else if (ref && ref->kind == VALUE_KIND_PENDING && reply->result != -ECANCELED) {
        bool gone = reply->result == 1;
        ErrorInfo error = { .kind = gone ? ERROR_KIND_OBJECT_LOST : ERROR_KIND_OWNER_DIED,
                            .object = fetch->object };
        ref_set_error(core, ref, &error);
    }
    mem_free(fetch);
}

/* Asks the owner of a borrowed object for its value; the answer comes when there is one. */
void ref_fetch(Core *core, CoreRef *ref) {
    if (ref->kind != VALUE_KIND_PENDING || ref->fetching)
        return;
    if (ref->own.owner == core->info.peer) {
        if (ref->released && !ref->maker)
            lineage_make(core, ref);
        return;
    }
    ref->fetching = true;
    Fetch *fetch = mem_new(Fetch);
    fetch->core = core;
    fetch->object = ref->own.id;
    ObjectGet m = { .object = ref->own.id,
                    .lost_location = ref->lost_location,
                    .lost_generation = ref->lost_generation };
    _cleanup_buf_ Buf body = { 0 };
    object_get_encode(&m, &body);
    rpc_call(core->rpc, ref->own.owner, MSG_OBJECT_GET, &body, USEC_INFINITY, on_fetched, fetch);
}

static void answer_status(Core *core, const FrameHeader *h, StatusCode code, const char *text) {
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader answer = rpc_answer_status(h, code, text, &body);
    peer_send(core, h->source, answer.type, answer.flags, answer.stream, body.data, body.len);
}

void on_object_get(Core *core, const FrameHeader *h, const ObjectGet *m) {
    OwnRef *own = own_find(&core->own, &m->object);
    if (!own) {
        answer_status(core, h, STATUS_CODE_NOT_FOUND, "the object was freed");
        return;
    }
    CoreRef *ref = ref_of(own);
    RemoteGet get = { h->source, h->stream };
    if (m->lost_generation && ref_is_at(ref, m->lost_location, m->lost_generation))
        ref_lost(core, ref);
    else
        ref_fetch(core, ref);
    if (ref->kind != VALUE_KIND_PENDING)
        answer_remote(core, ref, &get);
    else
        vec_push(&ref_waiters(ref)->remote, get);
}

void on_borrow(Core *core, const FrameHeader *h, const Borrow *m) {
    for (size_t i = 0; i < m->add_len; i++)
        own_borrow_add(&core->own, &m->add[i], h->source, m->got);
    for (size_t i = 0; i < m->remove_len; i++)
        own_borrow_remove(&core->own, &m->remove[i], h->source);
    if (!m->ack)
        return;
    /* The acknowledgement names what was added: it travels as a Borrow of the same set. */
    Borrow answer = { .add = m->add, .add_len = m->add_len, .sequence = m->sequence };
    _cleanup_buf_ Buf body = { 0 };
    borrow_encode(&answer, &body);
    peer_send(core, h->source, MSG_BORROW, FRAME_REPLY, 0, body.data, body.len);
}

void refs_owner_dead(Core *core, const PeerDead *dead) {
    Vec(OwnRef *) lost = { 0 };
    OwnRef *own;
    MAP_EACH(&core->own.refs, pos, own)
        if (own->owner == dead->peer && ref_of(own)->kind == VALUE_KIND_PENDING &&
            !ref_of(own)->is_actor)
            vec_push(&lost, own);
    VEC_EACH(each, &lost) {
        ErrorInfo error = { .kind = ERROR_KIND_OWNER_DIED,
                            .object = (*each)->id,
                            .text = dead->text };
        ref_set_error(core, ref_of(*each), &error);
    }
    vec_done(&lost);
}

/* ---- watch --------------------------------------------------------------------------------------------------- */

void core_watch(Core *core, CoreRef *ref, uint64_t cookie) {
    core_lock(core);
    vec_push(&ref_waiters(ref)->watches, cookie);
    core->watches++;
    if (ref->kind != VALUE_KIND_PENDING) {
        tell_watches(core, ref->waiters);
    } else {
        ref_fetch(core, ref);
        if (!core->leader) {
            /* Nobody may be reading: the pump is woken by each ring while there are watches. */
            doorbell_prepare(&core->bell, DOORBELL_EVENT);
            peers_drain_rings(core);
        }
    }
    core_unlock(core);
}

int core_watch_fd(Core *core) {
    return core->watch_fd;
}

size_t core_watch_take(Core *core, uint64_t *ret_cookies, size_t max) {
    core_lock(core);
    size_t n = MIN(core->watch_done.len, max);
    if (n) {
        memcpy(ret_cookies, core->watch_done.items, n * sizeof(*ret_cookies));
        core->watch_done.len -= n;
        memmove(core->watch_done.items, core->watch_done.items + n,
                core->watch_done.len * sizeof(uint64_t));
    }
    if (!core->watch_done.len) {
        uint64_t count;
        ssize_t r = read(core->watch_fd, &count, sizeof(count));
        UNUSED(r);
    }
    core_unlock(core);
    return n;
}

/* ---- put -------------------------------------------------------------------------------------------------------- */

int core_put(Core *core, const CoreBlob *blob, usec_t timeout, CoreRef **ret_ref) {
    int r = core_usable(core);
    if (r < 0)
        return r;
    size_t size = 0;
    for (size_t i = 0; i < blob->parts_len; i++)
        size += blob->parts[i].iov_len;
    core_lock(core);
    TaskId task;
    core_task_id(core, &task);
    ObjectId id = object_id_put(&task, ++core->put_index);
    core_unlock(core);
    CoreBytes *bytes = NULL;
    if (size <= CORE_INLINE_MAX || !core->store)
        bytes = bytes_gather(blob->parts, blob->parts_len);
    else if ((r = large_write(core, blob, size, &id, core->info.peer, timeout, &bytes)) != 0)
        return r;
    core_lock(core);
    CoreRef *ref = ref_new(core, &id, core->info.peer, NULL);
    own_set_contents(&ref->own, (OwnRef *const *)(const void *)blob->refs, blob->refs_len);
    ref_set_value(core, ref, bytes->in_store ? VALUE_KIND_ARENA : VALUE_KIND_INLINE, bytes);
    core_unlock(core);
    *ret_ref = ref;
    return 0;
}
