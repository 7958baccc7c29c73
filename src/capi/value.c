/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "capi/capi_private.h"

usec_t capi_timeout(int64_t timeout_us) {
    return timeout_us < 0 ? USEC_INFINITY : (usec_t)timeout_us;
}

int capi_answer(int r) {
    switch (r) {
    case CORE_TIMEOUT:
        return MOBULA_TIMEOUT;
    case CORE_EXISTS:
        return MOBULA_EXISTS;
    case CORE_NOT_FOUND:
        return MOBULA_NOT_FOUND;
    case CORE_FULL:
        return MOBULA_FULL;
    case CORE_DUPLICATE:
        return error_origin(-EINVAL, "the same reference is there twice");
    default:
        return r;
    }
}

const char *mobula_error_text(int code) {
    return error_text(code);
}

/* ---- values as bytes ---- */

size_t capi_value_head(size_t size, uint8_t out[static CAPI_HEAD_MAX]) {
    uint32_t narrow = (uint32_t)size;
    uint64_t wide = size;
    bool small = size <= UINT32_MAX;
    out[0] = small ? 'b' : 'B';
    memcpy(out + 1, small ? (void *)&narrow : (void *)&wide, small ? sizeof(narrow) : sizeof(wide));
    return 1 + (small ? sizeof(narrow) : sizeof(wide));
}

static int not_bytes(void) {
    return error_origin(-EPROTO, "the value is not bytes: code in another language made it");
}

int capi_value_decode(const uint8_t **at, const uint8_t *end, Slice *ret_bytes) {
    size_t left = (size_t)(end - *at);
    uint32_t narrow = 0;
    uint64_t size = 0;
    if (!left || (**at != 'b' && **at != 'B'))
        return not_bytes();
    size_t head = 1 + (**at == 'b' ? sizeof(narrow) : sizeof(size));
    if (left < head)
        return not_bytes();
    if (**at == 'b') {
        memcpy(&narrow, *at + 1, sizeof(narrow));
        size = narrow;
    } else {
        memcpy(&size, *at + 1, sizeof(size));
    }
    if (size > left - head)
        return not_bytes();
    *ret_bytes = (Slice){ (const char *)*at + head, (size_t)size };
    *at += head + size;
    return 0;
}

/* ---- errors as sentences ---- */

static const char *const kinds[] = {
    [ERROR_KIND_APPLICATION] = "the call failed",
    [ERROR_KIND_WORKER_CRASHED] = "the worker died while it ran the call",
    [ERROR_KIND_ACTOR_DIED] = "the actor is dead",
    [ERROR_KIND_ACTOR_UNAVAILABLE] = "the actor cannot be reached now",
    [ERROR_KIND_OBJECT_LOST] = "the object is lost: the node that held it is gone",
    [ERROR_KIND_OWNER_DIED] = "the object is lost: the process that owned it is gone",
    [ERROR_KIND_TASK_CANCELLED] = "the call was cancelled",
    [ERROR_KIND_OBJECT_FREED] = "the object was freed",
    [ERROR_KIND_ENV_SETUP] = "the runtime environment could not be made",
    [ERROR_KIND_OUT_OF_MEMORY] = "the worker was ended: its node ran out of memory",
    [ERROR_KIND_NODE_DIED] = "the node that ran the call is gone",
    [ERROR_KIND_TASK_UNSCHEDULABLE] = "no node can run the call",
    [ERROR_KIND_ACTOR_UNSCHEDULABLE] = "no node can hold the actor",
    [ERROR_KIND_STORE_FULL] = "the object store is full",
    [ERROR_KIND_OUT_OF_DISK] = "the disk is full",
    [ERROR_KIND_RAYLET_DIED] = "this node's raylet is gone",
    [ERROR_KIND_PENDING_CALLS] = "the actor has too many calls to do",
};

char *capi_error_sentence(const void *data, size_t size) {
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo info;
    if (error_info_decode(&info, data, size, &arena) < 0)
        return str_dup("an error that cannot be read");
    const char *kind = info.kind < ARRAY_LEN(kinds) ? kinds[info.kind] : NULL;
    kind = kind ? kind : "the runtime failed";
    if (info.kind == ERROR_KIND_APPLICATION && info.text.len)
        return str_dup_slice(info.text);
    ErrorInfo cause; /* what the constructor failed with */
    if (info.kind == ERROR_KIND_ACTOR_DIED && info.data.len &&
        error_info_decode(&cause, info.data.data, info.data.len, &arena) >= 0)
        info.text = cause.text;
    return info.text.len
               ? str_printf("%s: %.*s", kind, (int)MIN(info.text.len, 4096u), info.text.data)
               : str_dup(kind);
}

/* ---- get, put, wait ---- */

int mobula_put(Mobula *mobula, const void *data, size_t size, MobulaRef **ret_ref) {
    uint8_t head[CAPI_HEAD_MAX];
    const struct iovec parts[] = { { head, capi_value_head(size, head) },
                                   { (void *)(uintptr_t)data, size } };
    CoreRef *ref = NULL;
    int r = core_put(mobula->core, &(CoreBlob){ .parts = parts, .parts_len = size ? 2 : 1 },
                     CAPI_TIMEOUT, &ref);
    if (r == CORE_TIMEOUT)
        r = error_origin(-ENOSPC, "the object store has no room for %zu bytes", size);
    if (r == 0)
        *ret_ref = ref_public(ref);
    return capi_answer(r);
}

static void value_fill(CoreValue *from, MobulaValue *out) {
    *out = (MobulaValue){ .hold = { from->hold } };
    const uint8_t *at = from->data;
    Slice bytes = { 0 };
    char *error = NULL;
    if (from->kind == VALUE_KIND_ERROR)
        error = capi_error_sentence(from->data, from->size);
    else if (capi_value_decode(&at, at + from->size, &bytes) < 0)
        error = str_dup(error_text(-EPROTO));
    out->data = bytes.data;
    out->size = bytes.len;
    out->error = out->hold[1] = error;
}

void mobula_value_release(MobulaValue *value) {
    CoreValue core = { .hold = value->hold[0] };
    if (value->hold[0])
        core_value_release(&core);
    free(value->hold[1]);
    *value = (MobulaValue){ 0 };
}

static usec_t time_left(usec_t deadline) {
    usec_t now = time_mono_now();
    return deadline == USEC_INFINITY ? USEC_INFINITY : deadline > now ? deadline - now : 0;
}

/* core_get() until it has an answer: it comes back now and then for users who watch signals. */
static int get_some(Mobula *mobula, CoreRef *const *refs, size_t count, usec_t deadline,
                    CoreValue *values) {
    int r;
    do
        r = core_get(mobula->core, refs, count, time_left(deadline), values);
    while (r == CORE_INTERRUPTED);
    return r;
}

int mobula_get(Mobula *mobula, MobulaRef *const *refs, size_t count, int64_t timeout_us,
               MobulaValue *ret_values) {
    usec_t timeout = capi_timeout(timeout_us);
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    CoreRef *const *cores = (CoreRef *const *)refs;
    CoreValue one, *values = count == 1 ? &one : mem_array(CoreValue, MAX(count, (size_t)1));
    memset(values, 0, count * sizeof(*values));
    int r = get_some(mobula, cores, count, deadline, values);
    /* It stopped at the first error: the others are waited for all the same. */
    for (size_t i = 0; r == 0 && i < count; i++)
        if (values[i].kind == VALUE_KIND_PENDING)
            r = get_some(mobula, cores + i, 1, deadline, &values[i]);
    for (size_t i = 0; i < count; i++)
        if (r == 0)
            value_fill(&values[i], &ret_values[i]);
        else if (values[i].hold)
            core_value_release(&values[i]);
    if (values != &one)
        free(values);
    return capi_answer(r);
}

int mobula_wait(Mobula *mobula, MobulaRef *const *refs, size_t count, size_t wanted,
                int64_t timeout_us, bool *ret_ready) {
    usec_t timeout = capi_timeout(timeout_us);
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    int r;
    do
        r = core_wait(mobula->core, (CoreRef *const *)refs, count, wanted, time_left(deadline),
                      true, ret_ready);
    while (r == CORE_INTERRUPTED);
    return r == CORE_TIMEOUT ? 0 : capi_answer(r);
}

MobulaRef *mobula_ref_hold(MobulaRef *ref) {
    return ref_public(core_ref_hold(ref_core(ref)));
}

void mobula_ref_drop(MobulaRef *ref) {
    if (ref)
        core_ref_drop(ref_core(ref));
}
