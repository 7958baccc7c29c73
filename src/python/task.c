/* SPDX-License-Identifier: Apache-2.0 */
#include "python/task.h"

#include "base/clock.h"
#include "model/ids.h"
#include "python/value.h"

/*
 * Running calls. The main thread takes them from the core one after the other. A sync task or
 * method runs here at once; methods of an async or threaded actor go to `dispatch`, which ends
 * them later, from another thread, by task_finish() or task_fail() with the token it was given.
 */

static PyObject *text_of(Slice slice) {
    return PyUnicode_DecodeUTF8(slice.data, (Py_ssize_t)slice.len, "replace");
}

PyObject *task_info(State *state, const CoreTask *task) {
    const Call *call = &task->call;
    return Py_BuildValue("{s:i,s:N,s:N,s:N,s:N,s:N,s:N,s:N,s:y#,s:I,s:i}", "kind", (int)call->kind,
                         "name", text_of(call->name), "method", text_of(call->method), "namespace",
                         text_of(call->namespace), "options", text_of(call->options), "task_id",
                         id_object(state->task_id, &call->task, sizeof(call->task)), "actor_id",
                         id_object(state->actor_id, &call->actor, sizeof(call->actor)), "job_id",
                         id_object(state->job_id, &call->job, sizeof(call->job)), "function",
                         call->function.byte, (Py_ssize_t)sizeof(call->function), "attempt",
                         call->attempt, "num_returns", (int)call->num_returns);
}

enum {
    TASKS_RAISED = INT_MAX,
};

/* ---- what to run ----------------------------------------------------------------------------- */

static PyObject *load_function(State *state, const Hash *hash) {
    if (state->last_function && memcmp(hash, &state->last_hash, sizeof(*hash)) == 0)
        return Py_NewRef(state->last_function);
    _cleanup_py_ PyObject *key = PyBytes_FromStringAndSize((const char *)hash->byte, sizeof(*hash));
    PyObject *known = key ? PyDict_GetItemWithError(state->functions, key) : NULL;
    PyObject *function = known              ? Py_NewRef(known)
                         : PyErr_Occurred() ? NULL
                                            : HOOK_CALL(state, HOOK_LOAD, key);
    if (!function || (!known && PyDict_SetItem(state->functions, key, function) < 0)) {
        Py_XDECREF(function);
        return NULL;
    }
    state->last_hash = *hash;
    py_set(&state->last_function, Py_NewRef(function));
    return function;
}

static PyObject *load_callable(State *state, const Call *call) {
    if (call->kind != CALL_KIND_ACTOR_TASK)
        return load_function(state, &call->function);
    if (!state->actor) {
        PyErr_SetString(PyExc_RuntimeError, "this worker is no actor");
        return NULL;
    }
    _cleanup_py_ PyObject *name = text_of(call->method);
    return name ? PyObject_GetAttr(state->actor, name) : NULL;
}

/* ---- with what ---------------------------------------------------------------------------------- */

typedef struct Unpacking {
    State *state;
    const CoreTask *task;
    Decoder decoder;
    uint64_t session;
    size_t next;      /* of the task's top-level values */
    PyObject *failed; /* the error that one of them is, not raised */
} Unpacking;

static PyObject *unpack_one(Unpacking *u) {
    Decoder *d = &u->decoder;
    if (u->state->session != u->session || !u->state->core) { /* by the code of one before */
        raise_class("RaySystemError", "ray.shutdown() was called while arguments were unpickled");
        return NULL;
    }
    if (d->at == d->end || *d->at != 'A')
        return decode_value(d);
    d->at++;
    if (u->next >= u->task->call.values_len) {
        PyErr_SetString(PyExc_ValueError, "malformed call: fewer values than references");
        return NULL;
    }
    bool error;
    PyObject *value = value_object(u->state, &u->task->values[u->next++], NULL, &error);
    if (!value || !error)
        return value;
    u->failed = value;
    PyErr_SetString(PyExc_RuntimeError, "an argument is an error");
    return NULL;
}

static int unpack(Unpacking *u, PyObject **ret_args, PyObject **ret_kwargs) {
    uint32_t counts[2];
    Decoder *d = &u->decoder;
    if (decode_take(d, counts, sizeof(counts)))
        return -1;
    if (counts[0] > (size_t)(d->end - d->at) || counts[1] > (size_t)(d->end - d->at)) {
        PyErr_SetString(PyExc_ValueError, "malformed call: more arguments than bytes");
        return -1;
    }
    _cleanup_py_ PyObject *args = PyTuple_New(counts[0]);
    for (uint32_t i = 0; args && i < counts[0]; i++) {
        PyObject *value = unpack_one(u);
        if (!value)
            return -1;
        PyTuple_SetItem(args, i, value);
    }
    _cleanup_py_ PyObject *kwargs = counts[1] ? PyDict_New() : NULL;
    for (uint32_t i = 0; kwargs && i < counts[1]; i++) {
        _cleanup_py_ PyObject *name = decode_value(d);
        _cleanup_py_ PyObject *value = name ? unpack_one(u) : NULL;
        if (!value || PyDict_SetItem(kwargs, name, value) < 0)
            return -1;
    }
    if (!args || (counts[1] && !kwargs))
        return -1;
    *ret_args = TAKE(args);
    *ret_kwargs = TAKE(kwargs);
    return 0;
}

int task_arguments(State *state, const CoreTask *task, PyObject **ret_args, PyObject **ret_kwargs,
                   PyObject **ret_failed) {
    Slice packed = task->call.args;
    const uint8_t *bytes = (const uint8_t *)packed.data;
    Unpacking u = { .state = state,
                    .task = task,
                    .decoder = { state, bytes, bytes, bytes + packed.len, NULL, 0 },
                    .session = state->session };
    int r = unpack(&u, ret_args, ret_kwargs);
    *ret_failed = u.failed;
    return r;
}

/* ---- how it ended -------------------------------------------------------------------------------- */

static int send_blob(Core *core, CoreTask *task, uint32_t index, const CoreBlob *blob) {
    return index == YIELD ? core_task_yield(core, task, blob)
                          : core_task_return(core, task, index, blob);
}

bool running_lost(const Running *run) {
    return !run->state->core || run->state->session != run->session;
}

static int raise_if_lost(const Running *run) {
    if (LIKELY(!running_lost(run)))
        return 0;
    raise_class("RaySystemError", "ray.shutdown() was called while this call ran");
    return -1;
}

int return_one(Running *run, uint32_t index, PyObject *value) {
    _cleanup_encoder_ Encoder e;
    encoder_init(&e, run->state);
    if (encode_value(&e, value) != 0 || raise_if_lost(run) < 0)
        return -1;
    struct iovec small[8], *iov = small;
    _cleanup_free_ struct iovec *many = NULL;
    if (encoder_iov_len(&e) > ARRAY_LEN(small))
        iov = many = mem_array(struct iovec, encoder_iov_len(&e));
    CoreBlob blob = encoder_blob(&e, iov);
    int r;
    if (blob.parts_len == 1 && iov[0].iov_len <= CORE_INLINE_MAX)
        r = send_blob(run->state->core, run->task, index, &blob); /* does not wait */
    else
        CORE_WAIT(run->state, r = send_blob(core, run->task, index, &blob));
    if (r < 0)
        raise_error(r);
    return r < 0 ? -1 : 0;
}

int await_room(Running *run) {
    uint64_t session = run->session;
    int r = CORE_INTERRUPTED;
    if (raise_if_lost(run) < 0)
        return -1;
    while (r == CORE_INTERRUPTED) {
        CORE_WAIT(run->state, r = core_task_room(core, run->task, USEC_INFINITY));
        if (r < 0)
            raise_error(r);
        if (r < 0 || (r == CORE_INTERRUPTED && between_slices(run->state, session) < 0))
            return -1;
    }
    return 0;
}

/* What the body's `yield` gives: libraries measure themselves by it. */
static PyObject *stream_stats(usec_t took) {
    _cleanup_py_ PyObject *module = PyImport_ImportModule("ray._raylet");
    return module ? PyObject_CallMethod(module, "StreamingGeneratorStats", "d",
                                        (double)took / USEC_PER_SEC)
                  : NULL;
}

/* Does the generator take what is sent? In `yield from` the inner one gets it, and other iterators
 * than generators take nothing. */
static bool takes_stats(PyObject *generator) {
    _cleanup_py_ PyObject *inner = PyObject_GetAttrString(generator, "gi_yieldfrom");
    PyErr_Clear();
    return inner && (inner == Py_None || takes_stats(inner));
}

/* Sends what a generator yields, as it comes. -1 with the exception of its code. */
static int stream_values(Running *run, PyObject *given) {
    const Call *call = &run->task->call;
    _cleanup_py_ PyObject *options = call->options.len ? text_of(call->options) : NULL;
    _cleanup_py_ PyObject *generator =
        options ? HOOK_CALL(run->state, HOOK_FLATTENED, given, options) : Py_NewRef(given);
    if (!generator)
        return -1;
    _cleanup_py_ PyObject *sent = Py_NewRef(Py_None);
    run->partial = true;
    for (;;) {
        PyObject *value = NULL;
        PySendResult result = PyIter_Send(generator, sent, &value);
        _cleanup_py_ PyObject *item = value;
        if (result != PYGEN_NEXT)
            return result == PYGEN_RETURN ? 0 : -1;
        usec_t start = time_mono_now();
        if (return_one(run, YIELD, item) < 0)
            return -1;
        bool takes = takes_stats(generator);
        py_set(&sent, takes ? stream_stats(time_mono_now() - start) : Py_NewRef(Py_None));
        if (!sent || await_room(run) < 0)
            return -1;
    }
}

/* The value of a CORE_DYNAMIC call: what lists the references of all that it yielded. */
static int return_listed(Running *run, uint32_t count) {
    _cleanup_py_ PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list && i < count; i++) {
        CoreRef *core_ref = core_task_yielded(run->state->core, run->task, i);
        _cleanup_py_ PyObject *ref = ref_object(run->state, core_ref);
        if (!ref || PyList_Append(list, ref) < 0)
            return -1;
    }
    _cleanup_py_ PyObject *module = list ? PyImport_ImportModule("ray._raylet") : NULL;
    _cleanup_py_ PyObject *value =
        module ? PyObject_CallMethod(module, "DynamicObjectRefGenerator", "O", list) : NULL;
    return value ? return_one(run, 0, value) : -1;
}

/* The value of a streaming call as a whole; `failed`: an error is its last item. */
static int return_whole(Running *run, bool failed) {
    if (raise_if_lost(run) < 0)
        return -1;
    if (run->task->call.num_returns == CORE_STREAMING)
        return return_one(run, 0, Py_None);
    return return_listed(run, core_task_yields(run->task) + failed);
}

/* What a generator yields, for a fixed number of values. */
static int return_iterated(Running *run, PyObject *generator, int32_t count) {
    run->partial = true;
    for (int32_t i = 0; i < count; i++) {
        _cleanup_py_ PyObject *item = PyIter_Next(generator);
        if (!item && !PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "Task returned %d objects, but num_returns=%d.", (int)i,
                         (int)count);
        if (!item || return_one(run, (uint32_t)i, item) < 0)
            return -1;
    }
    return 0;
}

/* A generator, sync: neither list nor tuple, which know their length. */
static bool is_generator(PyObject *value) {
    return PyIter_Check(value) && PyObject_HasAttrString(value, "gi_frame");
}

static int return_many(Running *run, PyObject *value, int32_t count) {
    if (is_generator(value))
        return return_iterated(run, value, count);
    Py_ssize_t len = PyObject_Size(value);
    if (len < 0)
        return -1;
    if (len != count) {
        PyErr_Format(PyExc_ValueError, "Task returned %zd objects, but num_returns=%d.", len,
                     (int)count);
        return -1;
    }
    _cleanup_py_ PyObject *items = PySequence_List(value);
    if (!items)
        return -1;
    for (int32_t i = 0; i < count; i++)
        if (return_one(run, (uint32_t)i, PyList_GetItem(items, i)) < 0)
            return -1;
    return 0;
}

int store_result(Running *run, PyObject *value) {
    const Call *call = &run->task->call;
    if (call->kind == CALL_KIND_ACTOR_CREATE)
        return 0;
    if (call->num_returns < 0) /* None: an async generator, whose values are sent already */
        return value != Py_None && stream_values(run, value) < 0 ? -1 : return_whole(run, false);
    if (call->num_returns == 1 && !is_generator(value))
        return return_one(run, 0, value);
    return call->num_returns > 0 ? return_many(run, value, call->num_returns) : 0;
}

static Slice slice_of(PyObject *object) {
    Slice slice = { "", 0 };
    if (PyBytes_Check(object))
        slice = (Slice){ PyBytes_AsString(object), (size_t)PyBytes_Size(object) };
    else if (PyUnicode_Check(object)) {
        Py_ssize_t len = 0;
        const char *text = PyUnicode_AsUTF8AndSize(object, &len);
        if (text)
            slice = (Slice){ text, (size_t)len };
        else
            PyErr_Clear();
    }
    return slice;
}

/* Has the function run here as often as its max_calls allows? */
static bool is_last_call(Running *run) {
    const Call *call = &run->task->call;
    if (call->kind != CALL_KIND_TASK || !call->options.len)
        return false;
    _cleanup_py_ PyObject *hash =
        PyBytes_FromStringAndSize((const char *)call->function.byte, sizeof(call->function));
    _cleanup_py_ PyObject *options = text_of(call->options);
    _cleanup_py_ PyObject *last =
        hash && options ? HOOK_CALL(run->state, HOOK_TASK_DONE, hash, options) : NULL;
    PyErr_Clear();
    return last == Py_True;
}

/* Ends the call with what a hook answered:
 * (kind, data, text, retry, exiting, class name, namespace). */
static void end_with_error(Running *run, PyObject *answer) {
    const Call *call = &run->task->call;
    int kind, retry, exiting;
    PyObject *data, *text, *class_name, *namespace_;
    CoreTaskEnd end = { 0 };
    ErrorInfo info = { .task = call->task, .actor = call->actor, .name = call->name };
    if (PyArg_ParseTuple(answer, "iOOppOO", &kind, &data, &text, &retry, &exiting, &class_name,
                         &namespace_)) {
        info.kind = (uint8_t)kind;
        info.data = slice_of(data);
        info.text = slice_of(text);
        info.class_name = slice_of(class_name);
        info.namespace = slice_of(namespace_);
        end.retry = retry;
        end.exiting = exiting || is_last_call(run);
    } else {
        PyErr_Clear();
        info.kind = ERROR_KIND_SYSTEM;
        info.text = SLICE("the error of the task could not be described");
    }
    const CoreInfo *self = core_info(run->state->core);
    info.pid = (uint32_t)getpid();
    info.ip = slice_str(self->node_ip);
    info.node = self->node;
    _cleanup_buf_ Buf body = { 0 };
    error_info_encode(&info, &body);
    end.error = body.data;
    end.error_len = body.len;
    bool own_error = info.kind == ERROR_KIND_APPLICATION && !core_task_cancelled(run->task);
    if (run->partial && own_error) {
        end.partial = call->num_returns >= 0 || return_whole(run, true) == 0;
        PyErr_Clear();
    }
    if (!running_lost(run))
        core_task_done(run->state->core, run->task, &end);
}

int end_failed(Running *run, Hook hook, PyObject *argument_error) {
    if (running_lost(run)) {
        PyErr_Clear();
        return 0;
    }
    PyObject *type = NULL, *error = NULL, *trace = NULL;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (error && trace)
        PyException_SetTraceback(error, trace);
    _cleanup_py_ PyObject *info = task_info(run->state, run->task);
    _cleanup_py_ PyObject *answer = NULL;
    if (info)
        answer = HOOK_CALL(run->state, hook, argument_error ? argument_error : error, info);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    if (!answer)
        return -1;
    if (!running_lost(run))
        end_with_error(run, answer);
    return 0;
}

int end_well(Running *run, PyObject *value) {
    const Call *call = &run->task->call;
    CoreTaskEnd end = { 0 };
    _cleanup_py_ PyObject *repr = NULL;
    if (call->kind == CALL_KIND_ACTOR_CREATE && PyObject_HasAttrString(value, "__repr__")) {
        _cleanup_py_ PyObject *worker = PyImport_ImportModule("ray._private.execution");
        repr = worker ? PyObject_CallMethod(worker, "log_name", "O", value) : NULL;
        if (repr && repr != Py_None)
            end.repr = PyUnicode_AsUTF8AndSize(repr, NULL);
        PyErr_Clear();
    }
    end.exiting = is_last_call(run);
    if (!running_lost(run)) /* its hooks are Python */
        core_task_done(run->state->core, run->task, &end);
    return 0;
}

/* ---- one call -------------------------------------------------------------------------------------- */

static PyObject *call_it(State *state, const Call *call, PyObject *callable, PyObject *args,
                         PyObject *kwargs) {
    if (call->kind != CALL_KIND_ACTOR_CREATE)
        return PyObject_Call(callable, args, kwargs);
    _cleanup_py_ PyObject *options = text_of(call->options);
    _cleanup_py_ PyObject *none = kwargs ? NULL : PyDict_New();
    if (!options || (!kwargs && !none))
        return NULL;
    PyObject *instance =
        HOOK_CALL(state, HOOK_CREATE, callable, args, kwargs ? kwargs : none, options);
    if (instance)
        py_set(&state->actor, Py_NewRef(instance));
    return instance;
}

int run_task(State *state, CoreTask *task) {
    Running run = { .state = state, .task = task, .session = state->session };
    const Call *call = &task->call;
    _cleanup_py_ PyObject *args = NULL, *kwargs = NULL, *result = NULL, *failed = NULL;
    state->task = task;
    _cleanup_py_ PyObject *callable = load_callable(state, call);
    state->interruptible = true;
    bool early = call->kind == CALL_KIND_TASK && core_task_cancelled(task);
    if (early)
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    else if (callable && call->kind == CALL_KIND_ACTOR_TASK && state->dispatch) {
        if (dispatch_add(state, task, callable) == 0) {
            state->task = NULL;
            return 0;
        }
    } else if (callable && task_arguments(state, task, &args, &kwargs, &failed) == 0)
        result = call_it(state, call, callable, args, kwargs);
    bool well = result && !running_lost(&run) && store_result(&run, result) == 0;
    state->interruptible = false;
    int r;
    if (well && !running_lost(&run))
        r = end_well(&run, result);
    else
        r = end_failed(&run, failed ? HOOK_DEPENDENCY : HOOK_FAILED, failed);
    state->task = NULL;
    return r;
}

/* The first call of a lease: its GPUs are shown to user code. */
static int see_assigned(State *state) {
    uint32_t count = core_assigned_count(state->core);
    if (LIKELY(count == state->assigned_count))
        return 0;
    state->assigned_count = count;
    _cleanup_py_ PyObject *done = state_call(state, HOOK_ASSIGNED, NULL, 0);
    return done ? 0 : -1;
}

/* The next call. Those of a concurrent actor are collected as long as there are some, without letting
 * go of the interpreter: its threads then find all of them. */
static int next_task(State *state, CoreTask **ret_task) {
    int r;
    if (state->batch) {
        r = core_task_next(state->core, 0, ret_task);
        if (r == 0 && PyList_Size(state->batch) < DISPATCH_MAX)
            return 0;
        if (dispatch_flush(state) < 0)
            return TASKS_RAISED;
        if (r == 0)
            return 0;
    }
    if (state->serves)
        CORE_WAIT(state, r = core_serve_wait(core));
    else
        CORE_WAIT(state, r = core_task_next(core, USEC_INFINITY, ret_task));
    if (PyErr_CheckSignals() < 0)
        return TASKS_RAISED;
    return r;
}

/* run_tasks(): until the raylet says that it is over. */
static PyObject *run_tasks(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    if (state_need_core(state) < 0)
        return NULL;
    const Running session = { .state = state, .session = state->session };
    while (!running_lost(&session)) {
        CoreTask *task = NULL;
        int r = next_task(state, &task);
        if (r == -ECONNRESET || running_lost(&session))
            Py_RETURN_NONE;
        if (r < 0)
            return raise_error(r);
        if (r == TASKS_RAISED || (r == CORE_CANCELLED && dispatch_cancelled(state) < 0))
            return NULL;
        if (task && (see_assigned(state) < 0 || run_task(state, task) < 0))
            return NULL;
    }
    Py_RETURN_NONE;
}

/* May a signal that says so interrupt the code that the main thread runs? */
static PyObject *task_interrupted(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return PyBool_FromLong(state->interruptible && state->task && core_task_cancelled(state->task));
}

/* What the main thread runs, or None. */
static PyObject *current_task(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return state->task ? task_info(state, state->task) : Py_NewRef(Py_None);
}

/* Its name, for the log: cheaper than all of it. */
static PyObject *task_name(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return state->task ? text_of(state->task->call.name) : Py_NewRef(Py_None);
}

static PyObject *actor_instance(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return Py_NewRef(state->actor ? state->actor : Py_None);
}

PyMethodDef task_functions[] = {
    { "run_tasks", run_tasks, METH_NOARGS, NULL },
    { "task_interrupted", task_interrupted, METH_NOARGS, NULL },
    { "current_task", current_task, METH_NOARGS, NULL },
    { "task_name", task_name, METH_NOARGS, NULL },
    { "actor_instance", actor_instance, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};
