/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_forget.h"

#include "core/core_private.h"

void core_keep(Core *core) {
    core_lock(core);
    core->outstanding++;
    core_unlock(core);
}

static void ref_forget(CoreRef *ref) {
    bytes_drop(ref->value ? ref->value->aside : NULL);
    bytes_drop(ref->value);
    if (ref->waiters) {
        vec_done(&ref->waiters->watches);
        vec_done(&ref->waiters->remote);
        vec_done(&ref->waiters->dependents);
        mem_free(ref->waiters);
    }
    if (ref->stream) {
        bytes_drop(ref->stream->why);
        vec_done(&ref->stream->items);
        mem_free(ref->stream);
    }
    mem_free(ref);
}

void core_forget(Core *core) {
    Vec(OwnRef *) left = { 0 };
    OwnRef *own;
    MAP_EACH(&core->own.refs, pos, own)
        vec_push(&left, own);
    own_reset(&core->own);
    VEC_EACH(each, &left) {
        ref_forget(ref_of(*each));
        core->outstanding--;
    }
    vec_done(&left);
    ASSERT(core->outstanding == 1);
    core_release(core);
}
