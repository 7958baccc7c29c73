/* SPDX-License-Identifier: Apache-2.0 */

/* Arguments of calls to run here: they come with the call, or lie in a store and are brought to this
 * node before it runs. */

#include <errno.h>

#include "core/core_private.h"

void run_values(RunTask *run) {
    size_t len = run->task.call.values_len;
    if (!len)
        return;
    run->values = mem_array(CoreValue, len);
    for (size_t i = 0; i < len; i++) {
        const Value *v = &run->task.call.values[i];
        bool large = v->kind == VALUE_KIND_ARENA;
        CoreBytes *hold = large ? large_from_wire(run->core, v) : bytes_hold(run->body);
        run->values[i] = (CoreValue){ v->kind, large ? NULL : v->data.data, v->data.len, hold };
        if (large) /* fetched while the calls before it run */
            UNUSED(large_localize(run->core, hold, run->caller));
    }
    run->task.values = run->values;
}

static void argument_error(CoreValue *value, const ObjectId *object, ErrorKind kind) {
    ErrorInfo error = { .kind = (uint8_t)kind, .object = *object };
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&error, &body);
    bytes_drop(value->hold);
    CoreBytes *bytes = bytes_new(body.data, body.len);
    *value = (CoreValue){ VALUE_KIND_ERROR, bytes->data, bytes->size, bytes };
}

typedef struct ArgumentGet { /* the caller is asked again for a value that is gone */
    Core *core;
    TaskId task;
    uint32_t index;
    ObjectId object;
} ArgumentGet;

/* The call that waits for it: another attempt of the same task may have come in its place. */
static RunTask *run_waiting(Core *core, const ArgumentGet *get) {
    LIST_EACH(item, &core->calls) {
        RunTask *run = LIST_ITEM(item, RunTask, link);
        const Call *call = &run->task.call;
        if (id_equal(&call->task, &get->task) && get->index < call->values_len &&
            id_equal(&call->values[get->index].object, &get->object) &&
            run->values[get->index].kind == VALUE_KIND_PENDING)
            return run;
    }
    return NULL;
}

static void on_argument(void *argument, const RpcReply *reply) {
    ArgumentGet *get = argument;
    Core *core = get->core;
    RunTask *run = reply->result == -ECANCELED ? NULL : run_waiting(core, get);
    uint32_t index = get->index;
    mem_free(get);
    if (!run)
        return;
    CoreValue *value = &run->values[index];
    _cleanup_arena_ Arena arena = { 0 };
    ObjectValue m;
    if (reply->result != 0 || object_value_decode(&m, reply->body, reply->len, &arena) < 0) {
        argument_error(value, &run->task.call.values[index].object, ERROR_KIND_OBJECT_LOST);
    } else {
        bool large = m.value.kind == VALUE_KIND_ARENA;
        CoreBytes *bytes = large ? large_from_wire(core, &m.value)
                                 : bytes_new(m.value.data.data, m.value.data.len);
        bytes_drop(value->hold);
        *value = (CoreValue){ m.value.kind, large ? NULL : bytes->data, bytes->size, bytes };
        ref_take_borrowed(core, NULL, &m.value, reply->header->source);
    }
    core_happened(core);
}

/* An actor's call keeps its place: its caller says where the value is once it is there again. */
static void argument_ask(Core *core, RunTask *run, uint32_t index) {
    CoreValue *value = &run->values[index];
    const CoreBytes *bytes = value->hold;
    ArgumentGet *get = mem_new(ArgumentGet);
    const Call *call = &run->task.call;
    *get = (ArgumentGet){ core, call->task, index, call->values[index].object };
    ObjectGet m = { .object = bytes->object,
                    .lost_location = bytes->location,
                    .lost_generation = bytes->generation };
    _cleanup_buf_ Buf body = { 0 };
    object_get_encode(&m, &body);
    value->kind = VALUE_KIND_PENDING;
    rpc_call(core->rpc, run->caller, MSG_OBJECT_GET, &body, USEC_INFINITY, on_argument, get);
}

int run_localize(Core *core, RunTask *run) {
    int on_the_way = 0;
    bool lost = false;
    for (uint32_t i = 0; i < run->task.call.values_len; i++) {
        CoreValue *value = &run->values[i];
        CoreBytes *bytes = value->hold;
        on_the_way |= value->kind == VALUE_KIND_PENDING;
        if (value->kind != VALUE_KIND_ARENA || value->data)
            continue;
        int r = large_localize(core, bytes, run->caller);
        if (r == -ENOENT && run->task.call.kind == CALL_KIND_TASK) {
            value->kind = VALUE_KIND_FREED;
            lost = true;
        } else if (r == -ENOENT && !run->is_call)
            argument_ask(core, run, i);
        else if (r < 0)
            argument_error(value, &bytes->object,
                           r == -ENOSPC ? ERROR_KIND_STORE_FULL : ERROR_KIND_OBJECT_LOST);
        else if (r == 0)
            *value = (CoreValue){ value->kind, bytes->data, bytes->size, bytes };
        on_the_way |= value->kind == VALUE_KIND_PENDING || r > 0;
    }
    return lost ? -ENOENT : on_the_way;
}
