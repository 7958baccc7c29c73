/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "python/module.h"

/* The reader's side of a stream: what ray.ObjectRefGenerator is made of. The handle of a stream is the
 * reference of the whole call. */

static CoreRef *stream_argument(State *state, PyObject *object) {
    CoreRef *ref = ref_check(state, object) ? ref_known(state, object) : NULL;
    if (ref && core_ref_streams(state->core, ref))
        return ref;
    if (state_need_core(state) == 0)
        PyErr_SetString(PyExc_TypeError, "not the reference of a streaming call");
    return NULL;
}

/* Waits for the value at the reader's place. 0 (also when the stream ends there), CORE_TIMEOUT, or
 * -1 with an exception. */
static int await_next(State *state, CoreRef *stream, usec_t timeout) {
    usec_t start = time_mono_now(), left = timeout;
    uint64_t session = state->session;
    CoreRef *next = core_stream_peek(state->core, stream, 0);
    int r = CORE_INTERRUPTED;
    while (r == CORE_INTERRUPTED) {
        bool ready;
        CORE_WAIT(state, r = core_wait(core, &next, 1, 1, left, false, &ready));
        if (r < 0)
            raise_error(r);
        else if (r == CORE_INTERRUPTED && between_slices(state, session) < 0)
            r = -1;
        left = time_left(timeout, start);
    }
    core_ref_drop(next);
    return r < 0 ? -1 : r;
}

/* stream_next(stream, timeout) -> ObjectRef; None: not in time; False: the stream has ended. */
static PyObject *stream_next(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *object, *timeout_value;
    usec_t timeout;
    if (!PyArg_ParseTuple(args, "OO", &object, &timeout_value) ||
        timeout_argument(timeout_value, &timeout) < 0)
        return NULL;
    CoreRef *stream = stream_argument(state, object), *ref = NULL;
    if (!stream)
        return NULL;
    for (;;) {
        int r = core_stream_next(state->core, stream, &ref);
        if (r == 0)
            return ref_object(state, ref);
        if (r < 0)
            return raise_error(r);
        if (r == CORE_END)
            Py_RETURN_FALSE;
        r = await_next(state, stream, timeout);
        if (r)
            return r < 0 ? NULL : Py_NewRef(Py_None);
    }
}

enum {
    AHEAD_MAX = 1 << 20
};

/* stream_peek(stream, ahead) -> ObjectRef */
static PyObject *stream_peek(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *object;
    unsigned ahead;
    if (!PyArg_ParseTuple(args, "OI", &object, &ahead))
        return NULL;
    CoreRef *stream = stream_argument(state, object);
    if (stream && ahead >= AHEAD_MAX) {
        PyErr_Format(PyExc_ValueError, "%u values ahead are too many", ahead);
        return NULL;
    }
    return stream ? ref_object(state, core_stream_peek(state->core, stream, ahead)) : NULL;
}

static PyObject *stream_finished(PyObject *module, PyObject *object) {
    State *state = state_of(module);
    CoreRef *stream = stream_argument(state, object);
    return stream ? PyBool_FromLong(core_stream_finished(state->core, stream)) : NULL;
}

/* stream_close(stream): no error where the session is over. */
static PyObject *stream_close(PyObject *module, PyObject *object) {
    State *state = state_of(module);
    CoreRef *ref = ref_check(state, object) ? ref_known(state, object) : NULL;
    if (ref && core_ref_streams(state->core, ref))
        core_stream_close(state->core, ref);
    Py_RETURN_NONE;
}

PyMethodDef stream_functions[] = {
    { "stream_next", stream_next, METH_VARARGS, NULL },
    { "stream_peek", stream_peek, METH_VARARGS, NULL },
    { "stream_finished", stream_finished, METH_O, NULL },
    { "stream_close", stream_close, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};
