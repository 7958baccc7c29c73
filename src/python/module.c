/* SPDX-License-Identifier: Apache-2.0 */
#include "python/task.h"

/* The module `ray._mobula`: puts the files' types and functions together. */

State *state_of(PyObject *module) {
    return PyModule_GetState(module);
}

int state_need_core(State *state) {
    if (LIKELY(state->core != NULL))
        return 0;
    _cleanup_py_ PyObject *exceptions = PyImport_ImportModule("ray.exceptions");
    _cleanup_py_ PyObject *type =
        exceptions ? PyObject_GetAttrString(exceptions, "RaySystemError") : NULL;
    if (type)
        PyErr_SetString(type, "Ray has not been started yet. You can start Ray with 'ray.init()'.");
    return -1;
}

PyObject *state_call(State *state, Hook hook, PyObject *const *args, size_t len) {
    if (!state->hooks[hook]) {
        PyErr_SetString(PyExc_RuntimeError, "ray._mobula.install() has not been called");
        return NULL;
    }
    _cleanup_py_ PyObject *tuple = PyTuple_New((Py_ssize_t)len);
    for (size_t i = 0; tuple && i < len; i++)
        PyTuple_SetItem(tuple, (Py_ssize_t)i, Py_NewRef(args[i]));
    return tuple ? PyObject_Call(state->hooks[hook], tuple, NULL) : NULL;
}

/* In the order of Hook. */
static const char *const hook_names[HOOK_COUNT] = {
    [HOOK_DUMPS] = "dumps",
    [HOOK_LOADS] = "loads",
    [HOOK_ERROR] = "error",
    [HOOK_PREPARE] = "prepare",
    [HOOK_BIND] = "bind",
    [HOOK_ARGUMENT] = "argument",
    [HOOK_REF_ESCAPE] = "ref_escape",
    [HOOK_LOAD] = "load",
    [HOOK_CREATE] = "create",
    [HOOK_TASK_DONE] = "task_done",
    [HOOK_FAILED] = "failed",
    [HOOK_DEPENDENCY] = "dependency",
    [HOOK_ASSIGNED] = "assigned",
    [HOOK_AUTO_INIT] = "auto_init",
    [HOOK_GENERATOR] = "generator",
    [HOOK_FLATTENED] = "flattened",
};

/* install(**hooks): sets the functions that C calls. */
static PyObject *install(PyObject *module, PyObject *args, PyObject *hooks) {
    UNUSED(args);
    State *state = state_of(module);
    PyObject *name, *function;
    for (Py_ssize_t pos = 0; hooks && PyDict_Next(hooks, &pos, &name, &function);) {
        size_t hook = 0;
        while (hook < HOOK_COUNT && PyUnicode_CompareWithASCIIString(name, hook_names[hook]) != 0)
            hook++;
        if (hook == HOOK_COUNT) {
            PyErr_Format(PyExc_TypeError, "there is no hook %R", name);
            return NULL;
        }
        py_set(&state->hooks[hook], Py_NewRef(function));
    }
    Py_RETURN_NONE;
}

/* actor_classes(ActorHandle, ActorMethod): the subclasses to make. */
static PyObject *actor_classes(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *handle, *method;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &handle, &PyType_Type, &method))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)handle, state->actor_handle) ||
        !PyType_IsSubtype((PyTypeObject *)method, state->actor_method)) {
        PyErr_SetString(PyExc_TypeError, "wanted subclasses of ActorHandle and ActorMethod");
        return NULL;
    }
    py_set((PyObject **)&state->handle_class, Py_NewRef(handle));
    py_set((PyObject **)&state->method_class, Py_NewRef(method));
    Py_RETURN_NONE;
}

static PyMethodDef module_functions[] = {
    { "install", (PyCFunction)(void (*)(void))install, METH_VARARGS | METH_KEYWORDS, NULL },
    { "actor_classes", actor_classes, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};

static int module_exec(PyObject *module) {
    State *state = state_of(module);
    state->module = module; /* borrowed: it holds the state */
    state->functions = PyDict_New();
    if (!state->functions || ids_init(module, state) < 0 || ref_init(module, state) < 0 ||
        value_init(module, state) < 0 || call_init(module, state) < 0 ||
        actor_init(module, state) < 0 || concurrent_init(module, state) < 0)
        return -1;
    PyMethodDef *const tables[] = { module_functions, runtime_functions,    query_functions,
                                    group_functions,  metrics_functions,    get_functions,
                                    task_functions,   concurrent_functions, actor_functions,
                                    value_functions,  stream_functions };
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (PyModule_AddFunctions(module, tables[i]) < 0)
            return -1;
    return 0;
}

/* The objects that the state holds, for the collector. */
#define STATE_EACH(state, object)                                                                  \
    PyObject **const all_[] = { &(state)->functions,                                               \
                                &(state)->actor,                                                   \
                                &(state)->dispatch,                                                \
                                &(state)->batch,                                                   \
                                &(state)->cancel,                                                  \
                                &(state)->context,                                                 \
                                &(state)->last_function,                                           \
                                (PyObject **)&(state)->base_id,                                    \
                                (PyObject **)&(state)->unique_id,                                  \
                                (PyObject **)&(state)->job_id,                                     \
                                (PyObject **)&(state)->actor_id,                                   \
                                (PyObject **)&(state)->task_id,                                    \
                                (PyObject **)&(state)->group_id,                                   \
                                (PyObject **)&(state)->object_ref,                                 \
                                (PyObject **)&(state)->remote_call,                                \
                                (PyObject **)&(state)->actor_handle,                               \
                                (PyObject **)&(state)->actor_method,                               \
                                (PyObject **)&(state)->pinned,                                     \
                                (PyObject **)&(state)->token,                                      \
                                (PyObject **)&(state)->handle_class,                               \
                                (PyObject **)&(state)->method_class };                             \
    for (PyObject **const *object = all_; object < all_ + ARRAY_LEN(all_); object++)

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = state_of(module);
    if (!state)
        return 0;
    STATE_EACH(state, object)
    Py_VISIT(**object);
    for (size_t i = 0; i < HOOK_COUNT; i++)
        Py_VISIT(state->hooks[i]);
    return 0;
}

static int module_clear(PyObject *module) {
    State *state = state_of(module);
    if (!state)
        return 0;
    STATE_EACH(state, object)
    Py_CLEAR(**object);
    for (size_t i = 0; i < HOOK_COUNT; i++)
        Py_CLEAR(state->hooks[i]);
    return 0;
}

static void module_free(void *module) {
    (void)module_clear(module);
}

static PyModuleDef_Slot module_slots[] = { { Py_mod_exec, module_exec }, { 0, NULL } };
static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,   .m_name = "ray._mobula", .m_doc = "The runtime below `ray`: use that.",
    .m_size = sizeof(State), .m_slots = module_slots, .m_traverse = module_traverse,
    .m_clear = module_clear, .m_free = module_free,
};

PyMODINIT_FUNC PyInit__mobula(void);
PyMODINIT_FUNC PyInit__mobula(void) {
    return PyModuleDef_Init(&module_def);
}
