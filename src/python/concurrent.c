/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls of an async or threaded actor. The main thread takes them and hands them over, as many at
 * once as are there, or the one event loop that runs them takes them itself (`serve_calls`); another
 * thread ends each later by task_finish() or task_fail() with its token. Who runs a call unpickles its
 * arguments when it begins: what they do then, and the memory they take, is not ahead of the calls before
 * it. A token also says what the call is, to whatever runs in its context, for as long as that lives.
 */

#include "base/mem.h"
#include "python/task.h"
#include "python/value.h"

typedef struct TokenObject {
    PyObject_HEAD State *state;
    CoreTask *task;
    uint64_t session;
    PyObject *info; /* made when it is asked for */
    bool ended;
} TokenObject;

/* ---- tokens ---------------------------------------------------------------------------- */

static PyObject *token_new(State *state, CoreTask *task) {
    TokenObject *token = PyObject_New(TokenObject, state->token);
    if (!token)
        return NULL;
    token->state = state;
    Py_INCREF(state->module);
    token->task = task;
    token->session = state->session;
    token->info = NULL;
    token->ended = false;
    core_task_detach(state->core, task);
    return (PyObject *)token;
}

static void token_dealloc(PyObject *self) {
    TokenObject *token = (TokenObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    core_task_forget(token->session == token->state->session ? token->state->core : NULL,
                     token->task);
    Py_CLEAR(token->info);
    Py_DECREF(token->state->module);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *token_info(PyObject *self, void *unused) {
    UNUSED(unused);
    TokenObject *token = (TokenObject *)self;
    if (!token->info)
        token->info = task_info(token->state, token->task);
    return Py_XNewRef(token->info);
}

static PyObject *token_task_id(PyObject *self, void *unused) {
    UNUSED(unused);
    TokenObject *token = (TokenObject *)self;
    const TaskId *id = &token->task->call.task;
    return id_object(token->state->task_id, id, sizeof(*id));
}

/* The options of the call's own, as JSON; None: it has none. */
static PyObject *token_options(PyObject *self, void *unused) {
    UNUSED(unused);
    Slice options = ((TokenObject *)self)->task->call.options;
    return options.len ? PyUnicode_DecodeUTF8(options.data, (Py_ssize_t)options.len, "replace")
                       : Py_NewRef(Py_None);
}

static CoreTask *token_task(State *state, PyObject *object);

/* arguments() -> (args, kwargs or None), or None: one of them is an error, which has ended the call. */
static PyObject *token_arguments(PyObject *self, PyObject *none) {
    UNUSED(none);
    TokenObject *token = (TokenObject *)self;
    State *state = token->state;
    Running run = { .state = state, .task = token_task(state, self), .session = state->session };
    _cleanup_py_ PyObject *args = NULL, *kwargs = NULL, *failed = NULL;
    if (!run.task)
        return NULL;
    if (task_arguments(state, run.task, &args, &kwargs, &failed) == 0)
        return PyTuple_Pack(2, args, kwargs ? kwargs : Py_None);
    if (!failed)
        return NULL;
    token->ended = true;
    return end_failed(&run, HOOK_DEPENDENCY, failed) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef token_methods[] = {
    { "arguments", token_arguments, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyGetSetDef token_getters[] = {
    { "info", token_info, NULL, NULL, NULL },
    { "task_id", token_task_id, NULL, NULL, NULL },
    { "options", token_options, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot token_slots[] = {
    { Py_tp_dealloc, token_dealloc },
    { Py_tp_methods, token_methods },
    { Py_tp_getset, token_getters },
    { 0, NULL },
};
static PyType_Spec token_spec = {
    .name = "ray._mobula.Token",
    .basicsize = sizeof(TokenObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = token_slots,
};

int concurrent_init(PyObject *module, State *state) {
    state->token = (PyTypeObject *)PyType_FromModuleAndSpec(module, &token_spec, NULL);
    return state->token ? 0 : -1;
}

/* Its task, which has not ended; NULL with an exception. */
static CoreTask *token_task(State *state, PyObject *object) {
    TokenObject *token = Py_TYPE(object) == state->token ? (TokenObject *)object : NULL;
    if (!token || token->ended || token->session != state->session) {
        PyErr_SetString(PyExc_ValueError, "not the token of a call that runs");
        return NULL;
    }
    return token->task;
}

/* ---- handing over ------------------------------------------------------------------------ */

int dispatch_add(State *state, CoreTask *task, PyObject *method) {
    if (!state->batch)
        state->batch = PyList_New(0);
    if (!state->batch)
        return -1;
    _cleanup_py_ PyObject *token = token_new(state, task);
    _cleanup_py_ PyObject *call = token ? PyTuple_Pack(2, token, method) : NULL;
    if (!call || PyList_Append(state->batch, call) < 0)
        Py_FatalError("out of memory while a call is handed over");
    return 0;
}

int dispatch_flush(State *state) {
    _cleanup_py_ PyObject *batch = TAKE(state->batch);
    _cleanup_py_ PyObject *done =
        batch ? PyObject_CallFunctionObjArgs(state->dispatch, batch, NULL) : Py_NewRef(Py_None);
    return done ? 0 : -1;
}

int dispatch_cancelled(State *state) {
    TaskId id;
    while (state->core && core_task_take_cancelled(state->core, &id)) {
        _cleanup_py_ PyObject *task = id_object(state->task_id, &id, sizeof(id));
        _cleanup_py_ PyObject *done =
            task ? PyObject_CallFunctionObjArgs(state->cancel, task, NULL) : NULL;
        if (!done)
            return -1;
    }
    return 0;
}

/* set_dispatch(dispatch, cancel, context): this worker is a concurrent actor from now on. dispatch
 * gets lists of (token, method), cancel a task's id. */
static PyObject *set_dispatch(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *dispatch, *cancel, *context;
    if (!PyArg_ParseTuple(args, "OOO", &dispatch, &cancel, &context))
        return NULL;
    py_set(&state->dispatch, Py_NewRef(dispatch));
    py_set(&state->cancel, Py_NewRef(cancel));
    py_set(&state->context, Py_NewRef(context));
    Py_RETURN_NONE;
}

/* ---- an event loop that takes them itself -------------------------------------------------- */

/* serve_calls() -> a descriptor to sleep on. After set_dispatch(), whose `dispatch` is not asked. */
static PyObject *serve_calls(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    int fd;
    if (state_need_core(state) < 0)
        return NULL;
    int r = core_serve(state->core, &fd);
    if (r < 0)
        return raise_error(r);
    state->serves = true;
    return PyLong_FromLong(fd);
}

/* calls_sleep() -> True: there are none, sleep and then say calls_woken(). */
static PyObject *calls_sleep(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    bool sleeps = false;
    if (state->core)
        CORE_WAIT(state, sleeps = core_serve_sleep(core));
    return PyBool_FromLong(sleeps);
}

/* calls_woken(rung): `rung` when the descriptor was readable. */
static PyObject *calls_woken(PyObject *module, PyObject *rung) {
    State *state = state_of(module);
    if (state->core)
        core_serve_woken(state->core, rung == Py_True);
    Py_RETURN_NONE;
}

/* calls_take() -> those that have come: [(token, method)], or None. */
static PyObject *calls_take(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    CoreTask *task;
    int r = 0;
    for (size_t i = 0; i < DISPATCH_MAX && state->core && r == 0; i++) {
        r = core_task_next(state->core, 0, &task);
        if ((r == CORE_CANCELLED && dispatch_cancelled(state) < 0) ||
            (r == 0 && run_task(state, task) < 0))
            return NULL;
    }
    return state->batch ? TAKE(state->batch) : Py_NewRef(Py_None);
}

/* ---- their ends -------------------------------------------------------------------------- */

/* task_finish(token, result) */
static PyObject *task_finish(PyObject *module, PyObject *const *args, Py_ssize_t len) {
    State *state = state_of(module);
    if (len != 2 || state_need_core(state) < 0)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "task_finish() takes 2");
    Running run = { .state = state, .task = token_task(state, args[0]), .session = state->session };
    if (!run.task)
        return NULL;
    ((TokenObject *)args[0])->ended = true;
    int r = store_result(&run, args[1]) == 0 ? end_well(&run, args[1])
                                             : end_failed(&run, HOOK_FAILED, NULL);
    if (r < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* task_fail(token, exception, partial) */
static PyObject *task_fail(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *token, *error;
    int partial;
    if (!PyArg_ParseTuple(args, "OOp", &token, &error, &partial) || state_need_core(state) < 0)
        return NULL;
    Running run = { .state = state,
                    .task = token_task(state, token),
                    .session = state->session,
                    .partial = partial };
    if (!run.task)
        return NULL;
    ((TokenObject *)token)->ended = true;
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    if (end_failed(&run, HOOK_FAILED, NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* task_yield(token, value) -> is there room for another one? */
static PyObject *task_yield(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *token, *value;
    if (!PyArg_ParseTuple(args, "OO", &token, &value) || state_need_core(state) < 0)
        return NULL;
    Running run = { .state = state, .task = token_task(state, token), .session = state->session };
    if (!run.task || return_one(&run, YIELD, value) < 0)
        return NULL;
    if (running_lost(&run)) /* by the value's own code */
        Py_RETURN_TRUE;
    return PyBool_FromLong(core_task_room(state->core, run.task, 0) == 0);
}

/* task_room(token): waits until there is. */
static PyObject *task_room(PyObject *module, PyObject *token) {
    State *state = state_of(module);
    Running run = { .state = state, .task = token_task(state, token), .session = state->session };
    if (!run.task || state_need_core(state) < 0 || await_room(&run) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* task_cancelled(token): None is for what the main thread runs. */
static PyObject *task_cancelled(PyObject *module, PyObject *token) {
    State *state = state_of(module);
    const CoreTask *task = state->task;
    if (token != Py_None && !(task = token_task(state, token)))
        return NULL;
    return PyBool_FromLong(task && core_task_cancelled(task));
}

PyMethodDef concurrent_functions[] = {
    { "set_dispatch", set_dispatch, METH_VARARGS, NULL },
    { "serve_calls", serve_calls, METH_NOARGS, NULL },
    { "calls_sleep", calls_sleep, METH_NOARGS, NULL },
    { "calls_woken", calls_woken, METH_O, NULL },
    { "calls_take", calls_take, METH_NOARGS, NULL },
    { "task_finish", (PyCFunction)(void (*)(void))task_finish, METH_FASTCALL, NULL },
    { "task_fail", task_fail, METH_VARARGS, NULL },
    { "task_yield", task_yield, METH_VARARGS, NULL },
    { "task_room", task_room, METH_O, NULL },
    { "task_cancelled", task_cancelled, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};
