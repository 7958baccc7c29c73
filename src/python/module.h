/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the files of the extension share: the module's state, the types, the few helpers that the
 * Limited API lacks. Objects carry a pointer to the state, so there are no globals.
 *
 * The state outlives every object of the module: objects hold a reference to the module.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdio.h>
#include <structmember.h>
#include <unistd.h>

#include "base/error.h"
#include "core/core.h"

typedef struct State State;

/* Functions of ray._private that C calls, by name; set once by `_mobula.install()`. */
typedef enum Hook {
    HOOK_DUMPS,    /* (value) -> (bytes, [buffers], [ObjectRef]): pickle 5 */
    HOOK_LOADS,    /* (bytes, [buffers]) -> value */
    HOOK_ERROR,    /* (ref or None, dict of an ErrorInfo) -> exception */
    HOOK_PREPARE,  /* (RemoteCall): called before its first use in a session; fills it */
    HOOK_BIND,     /* (RemoteCall, args, kwargs): raises TypeError if they do not fit */
    HOOK_ARGUMENT, /* (RemoteCall, value, error): raises the TypeError of an unpicklable argument */
    HOOK_REF_ESCAPE, /* (ObjectRef): it is being pickled */
    HOOK_LOAD,       /* (hash bytes) -> function or actor class */
    HOOK_CREATE,     /* (class, args, kwargs, options text) -> instance */
    HOOK_TASK_DONE,  /* (hash bytes, options text) -> True if the worker must end (max_calls) */
    HOOK_FAILED,     /* (exception, info dict) -> (kind, data, text, retry, exiting) */
    HOOK_DEPENDENCY, /* (error of an argument, info dict) -> the same */
    HOOK_GENERATOR,  /* (ObjectRef of a streaming call) -> ObjectRefGenerator */
    HOOK_ASSIGNED,   /* (): this worker has a new lease: its devices and threads are set */
    HOOK_FLATTENED,  /* (generator, options text) -> generator: see _num_objects_per_yield */
    HOOK_AUTO_INIT,  /* (): ray.init() where that is allowed, else raises */
    HOOK_COUNT,
} Hook;

struct State {
    PyObject *module;
    PyObject *hooks[HOOK_COUNT];
    PyObject *functions; /* hash bytes -> what HOOK_LOAD gave */

    PyTypeObject *base_id, *unique_id, *job_id, *actor_id, *task_id, *group_id;
    PyTypeObject *object_ref, *remote_call, *actor_handle, *actor_method, *pinned, *token;
    PyTypeObject *handle_class, *method_class; /* Python's subclasses, which C makes */

    Core *core;                                /* NULL while not connected */
    uint64_t session;     /* counts connections, so that prepared calls know that they are old */
    unsigned users;       /* threads inside the core without the GIL; disconnect waits for them */

    const CoreTask *task; /* what the main thread runs now */
    bool interruptible;   /* and its user's code: a cancellation may raise */
    uint32_t assigned_count; /* leases that HOOK_ASSIGNED has heard of */
    PyObject *actor;         /* the instance that this worker is, or NULL */
    PyObject *dispatch;      /* of an async or threaded actor: takes lists of calls */
    PyObject *batch;         /* likewise: calls for it, or NULL */
    bool serves;             /* likewise: its event loop takes the calls itself */
    PyObject *cancel;        /* likewise: (task id), for a dispatched call */
    PyObject *context; /* likewise: () -> the id of the task that the calling code is part of */
    Hash last_hash;    /* the function that ran last, found without a dict */
    PyObject *last_function;
};

/* The state of a module object. */
State *state_of(PyObject *module);
/* Raises RaySystemError's "not started" unless connected; 0 when connected. */
int state_need_core(State *state);
/* A call into the core that may wait: `CORE_WAIT(state, r = core_get(core, ..))`. The GIL is free
 * meanwhile; `core` is the state's, and stays valid for the call. */
#define CORE_WAIT(state, ...)                                                                      \
    do {                                                                                           \
        Core *core = (state)->core;                                                                \
        (state)->users++;                                                                          \
        Py_BEGIN_ALLOW_THREADS __VA_ARGS__;                                                        \
        Py_END_ALLOW_THREADS(state)->users--;                                                      \
    } while (0)

/* Calls a hook; NULL and an exception if it is not installed. Steals nothing. */
PyObject *state_call(State *state, Hook hook, PyObject *const *args, size_t len);
#define HOOK_CALL(state, hook, ...)                                                                \
    state_call((state), (hook), (PyObject *const[]){ __VA_ARGS__ },                                \
               sizeof((PyObject *const[]){ __VA_ARGS__ }) / sizeof(PyObject *))

/* Raises a class of ray.exceptions; always returns NULL. */
PyObject *raise_class(const char *name, const char *text);
/* Turns a negative code into a Python exception; always returns NULL. */
PyObject *raise_error(int code);

/* Replaces what `slot` holds; takes `value`. */
static inline void py_set(PyObject **slot, PyObject *value) {
    PyObject *former = *slot;
    *slot = value;
    Py_XDECREF(former);
}
static inline void py_decref_cleanup(PyObject **object) {
    Py_XDECREF(*object);
}
#define _cleanup_py_ _cleanup_(py_decref_cleanup)

/* ---- ids (ids.c) ------------------------------------------------------------------------- */

enum {
    ID_MAX = 28
};

/* Any id: its bytes, `size` of them. The beginning of ObjectRef as well. */
typedef struct IdObject {
    PyObject_HEAD uint8_t size;
    uint8_t byte[ID_MAX];
} IdObject;

int ids_init(PyObject *module, State *state);
PyObject *id_object(PyTypeObject *type, const void *bytes, size_t size);

/* ---- references (ref.c) ------------------------------------------------------------------ */

typedef struct RefObject {
    IdObject id;
    CoreRef *ref; /* owned; NULL when made from bytes by hand */
    State *state; /* NULL likewise */
    PyObject *weak;
} RefObject;

int ref_init(PyObject *module, State *state);
/* Takes `ref`. */
PyObject *ref_object(State *state, CoreRef *ref);
/* What the core counts of an ObjectRef; NULL: it was made from bytes by hand, or is of an earlier
 * session, so nobody here knows whose object it is. */
CoreRef *ref_known(const State *state, PyObject *object);
/* The same, or NULL with an exception. */
CoreRef *ref_needed(const State *state, PyObject *object);
/* Raises what get() says of those that are not known, or wait(); always returns NULL. */
PyObject *raise_unknown(PyObject *const *objects, size_t len, bool waits);
static inline bool ref_check(const State *state, PyObject *object) {
    return Py_TYPE(object) == state->object_ref || PyObject_TypeCheck(object, state->object_ref);
}

/* ---- module functions, by file -------------------------------------------------------------- */

int call_init(PyObject *module, State *state);
int actor_init(PyObject *module, State *state);
int value_init(PyObject *module, State *state);

extern PyMethodDef get_functions[], task_functions[], concurrent_functions[], runtime_functions[],
    query_functions[], actor_functions[], value_functions[], stream_functions[], group_functions[],
    metrics_functions[];
/* After a slice of waiting: are we to go on? -1 with an exception if not. */
int between_slices(State *state, uint64_t session);
/* None and -1: no limit. -1 with an exception if it is no number. */
int timeout_argument(PyObject *timeout, usec_t *ret);
/* What is left of `timeout` that began at `start`. */
usec_t time_left(usec_t timeout, usec_t start);
