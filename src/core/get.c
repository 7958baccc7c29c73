/* SPDX-License-Identifier: Apache-2.0 */

/* Waiting for values: get and wait. */

#include <errno.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/error.h"
#include "core/core_private.h"

static void ref_replace(Core *core, CoreRef *ref, ValueKind kind, CoreBytes *value) {
    core->counts.values_bytes += value->size - ref->value->size;
    ref->value = value;
    atomic_store_explicit(&ref->kind, (uint8_t)kind, memory_order_release);
}

/* It can't be brought here: now, when there is no room for it, or at all. */
static void ref_unreadable(Core *core, CoreRef *ref, ErrorKind kind) {
    ErrorInfo error = { .kind = (uint8_t)kind, .object = ref->own.id };
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&error, &body);
    CoreBytes *value = ref->value, *text = bytes_new(body.data, body.len);
    ref_replace(core, ref, VALUE_KIND_ERROR, text);
    if (kind == ERROR_KIND_STORE_FULL)
        text->aside = value;
    else
        bytes_drop(value);
}

/* Those that found no room are tried anew by each get. */
static void try_again(Core *core, CoreRef *const *refs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        CoreBytes *error = refs[i]->value;
        if (refs[i]->kind != VALUE_KIND_ERROR || !error->aside)
            continue;
        ref_replace(core, refs[i], VALUE_KIND_ARENA, TAKE(error->aside));
        bytes_drop(error);
    }
}

/* Readable now? Starts what is missing: asks the owner for the value, the raylet for a copy. A value
 * that is gone from the store becomes an error. */
static bool ref_readable(Core *core, CoreRef *ref) {
    if (ref->kind == VALUE_KIND_PENDING) {
        ref_fetch(core, ref);
        return false;
    }
    if (ref->kind != VALUE_KIND_ARENA || ref->value->data)
        return true;
    int r = large_localize(core, ref->value, ref->own.owner);
    if (r == -ENOENT) {
        ref_lost(core, ref);
        return ref->kind != VALUE_KIND_PENDING;
    }
    if (r < 0)
        ref_unreadable(core, ref, r == -ENOSPC ? ERROR_KIND_STORE_FULL : ERROR_KIND_OBJECT_LOST);
    return r <= 0;
}

static void value_of(CoreRef *ref, CoreValue *ret_value) {
    ret_value->kind = atomic_load_explicit(&ref->kind, memory_order_acquire);
    ret_value->hold = bytes_hold(ref->value);
    if (ref->value->in_store)
        ref->value->readers++;
    ret_value->data = ref->value->data;
    ret_value->size = ref->value->size;
}

bool core_try_get(Core *core, CoreRef *ref, CoreValue *ret_value) {
    UNUSED(core);
    uint8_t kind = atomic_load_explicit(&ref->kind, memory_order_acquire);
    if (kind != VALUE_KIND_INLINE)
        return false;
    value_of(ref, ret_value);
    return true;
}

/* Counts those that can be read now (`read`) or are ready anywhere. *ret_error: one is an error. */
static size_t count_ready(Core *core, CoreRef *const *refs, size_t count, size_t from, bool read,
                          bool *ret_error) {
    size_t ready = 0;
    for (size_t i = from; i < count; i++) {
        bool readable =
            read || refs[i]->kind == VALUE_KIND_PENDING ? ref_readable(core, refs[i]) : true;
        ready += readable;
        if (readable && refs[i]->kind == VALUE_KIND_ERROR)
            *ret_error = true;
    }
    return ready;
}

static usec_t deadline_after(usec_t timeout) {
    return timeout == USEC_INFINITY ? USEC_INFINITY : time_mono_now() + timeout;
}

static int wait_more(Core *core, usec_t deadline, bool *blocked) {
    if (!*blocked && core->role == ROLE_WORKER && !list_empty(&core->active)) {
        *blocked = true;
        execute_blocked(core, true);
    }
    return core_wait_event(core, deadline);
}

/*
 * Who waits for many must not look at all of them whenever one has come. A get looks at the first that is
 * not readable, and at all of them again when as many have come as make that worth it, or one failed. A wait looks
 * again when as many have come as it still wants.
 */
typedef struct Look { /* of the last look at all of them */
    uint64_t readable, failed;
    bool done;
} Look;

static void look(Look *at, const Core *core) {
    *at = (Look){ core->readable, core->failed, true };
}

static bool worth_a_look(const Look *last, const Core *core, size_t left) {
    return !last->done || last->failed != core->failed ||
           (core->readable - last->readable) * 8 >= left;
}

/* While we waited another thread may have let go of a value that we had seen. */
static size_t first_unpinned(CoreRef *const *refs, size_t count) {
    size_t i = 0;
    while (i < count && (refs[i]->kind != VALUE_KIND_ARENA || refs[i]->value->data))
        i++;
    return i;
}

int core_get(Core *core, CoreRef *const *refs, size_t count, usec_t timeout,
             CoreValue *ret_values) {
    int r = core_usable(core);
    if (r < 0 && r != -ECONNRESET)
        return r;
    usec_t deadline = deadline_after(timeout);
    bool error = false, blocked = false;
    size_t first = 0; /* all before it are readable */
    Look last = { 0 };
    core_lock(core);
    try_again(core, refs, count);
    for (r = 0;;) {
        while (first < count && ref_readable(core, refs[first]))
            error |= refs[first++]->kind == VALUE_KIND_ERROR;
        if (error)
            break;
        if (first == count) {
            first = first_unpinned(refs, count);
            if (first == count)
                break;
            continue;
        }
        uint64_t events = core->events;
        if (worth_a_look(&last, core, count - first)) {
            look(&last, core);
            if (count_ready(core, refs, count, first, true, &error) == count - first)
                continue;
            if (error)
                break;
        }
        core_run_actions(core);
        if (timeout == 0) {
            peers_drain_rings(core);
            if (core->events != events)
                continue;
            r = CORE_TIMEOUT;
            break;
        }
        r = wait_more(core, deadline, &blocked);
        if (r != 0)
            break;
    }
    if (blocked)
        execute_blocked(core, false);
    for (size_t i = 0; r == 0 && i < count; i++) {
        ret_values[i] = (CoreValue){ .kind = VALUE_KIND_PENDING };
        if (refs[i]->kind != VALUE_KIND_PENDING && refs[i]->value->data)
            value_of(refs[i], &ret_values[i]);
    }
    core_unlock(core);
    return r;
}

static bool any_twice(Core *core, CoreRef *const *refs, size_t count) {
    uint32_t mark = ++core->mark;
    for (size_t i = 0; i < count; i++) {
        if (refs[i]->mark == mark)
            return true;
        refs[i]->mark = mark;
    }
    return false;
}

/* Sets the flags of the first `wanted` that are ready; looks no further. Asks for the others. */
static size_t flag_ready(Core *core, CoreRef *const *refs, size_t count, size_t wanted, bool read,
                         bool *ret_ready) {
    size_t ready = 0;
    for (size_t i = 0; i < count && ready < wanted; i++) {
        bool here =
            read || refs[i]->kind == VALUE_KIND_PENDING ? ref_readable(core, refs[i]) : true;
        ret_ready[i] = here;
        ready += here;
    }
    return ready;
}

int core_wait(Core *core, CoreRef *const *refs, size_t count, size_t wanted, usec_t timeout,
              bool fetch_local, bool *ret_ready) {
    int r = core_usable(core);
    if (r < 0 && r != -ECONNRESET)
        return r;
    usec_t deadline = deadline_after(timeout);
    bool blocked = false;
    memset(ret_ready, 0, count * sizeof(*ret_ready));
    core_lock(core);
    if (any_twice(core, refs, count)) {
        core_unlock(core);
        return CORE_DUPLICATE;
    }
    Look last = { 0 };
    size_t ready = 0;
    for (r = 0;;) {
        if (!last.done || core->readable - last.readable >= wanted - ready) {
            look(&last, core);
            ready = flag_ready(core, refs, count, wanted, fetch_local, ret_ready);
        }
        if (ready >= wanted)
            break;
        core_run_actions(core);
        uint64_t events = core->events;
        peers_drain_rings(core);
        if (core->events != events)
            continue;
        if (timeout == 0) {
            r = CORE_TIMEOUT;
            break;
        }
        r = wait_more(core, deadline, &blocked);
        if (r != 0)
            break;
    }
    if (r == CORE_TIMEOUT && core->readable != last.readable)
        flag_ready(core, refs, count, wanted, fetch_local, ret_ready);
    if (blocked)
        execute_blocked(core, false);
    core_unlock(core);
    return r;
}
