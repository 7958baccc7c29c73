/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "python/value.h"

/* ray.get and what waits beside it. Waiting goes in slices: the core comes back at signals. */

enum {
    TAKEN_OUT_MAX = 16 /* so many ready ones are cut out of the list of all, one by one */
};

PyObject *raise_class(const char *name, const char *text) {
    _cleanup_py_ PyObject *exceptions = PyImport_ImportModule("ray.exceptions");
    _cleanup_py_ PyObject *type = exceptions ? PyObject_GetAttrString(exceptions, name) : NULL;
    if (type)
        PyErr_SetString(type, text);
    return NULL;
}

int timeout_argument(PyObject *timeout, usec_t *ret) {
    *ret = USEC_INFINITY;
    if (!timeout || timeout == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0) {
        if (PyErr_Occurred())
            return -1;
    } else if (seconds < 0)
        *ret = 0;
    else if (seconds < 1e9)
        *ret = (usec_t)(seconds * USEC_PER_SEC);
    return 0;
}

usec_t time_left(usec_t timeout, usec_t start) {
    if (timeout == USEC_INFINITY)
        return timeout;
    return MAX(timeout - (time_mono_now() - start), (usec_t)0);
}

int between_slices(State *state, uint64_t session) {
    if (PyErr_CheckSignals() < 0)
        return -1;
    if (state->core && state->session == session)
        return 0;
    raise_class("RaySystemError", "ray.shutdown() was called while this thread waited");
    return -1;
}

/* 0, CORE_TIMEOUT, or -1 with an exception. */
static int get_values(State *state, CoreRef *const *refs, size_t count, usec_t timeout,
                      CoreValue *values) {
    usec_t start = time_mono_now(), left = timeout;
    uint64_t session = state->session;
    for (;;) {
        int r;
        CORE_WAIT(state, r = core_get(core, refs, count, left, values));
        if (r < 0) {
            raise_error(r);
            return -1;
        }
        if (r != CORE_INTERRUPTED)
            return r;
        if (between_slices(state, session) < 0)
            return -1;
        left = time_left(timeout, start);
    }
}

static PyObject *finish(State *state, CoreValue *value, PyObject *ref) {
    bool error;
    PyObject *object = value_object(state, value, ref, &error);
    if (!object || !error)
        return object;
    PyErr_SetObject((PyObject *)Py_TYPE(object), object);
    Py_DECREF(object);
    return NULL;
}

static PyObject *timed_out(void) {
    return raise_class("GetTimeoutError", "Get timed out: some object(s) not ready.");
}

static PyObject *get_one(State *state, PyObject *object, usec_t timeout) {
    CoreRef *ref = ref_known(state, object);
    CoreValue value;
    if (!ref)
        return raise_unknown(&object, 1, false);
    if (!core_try_get(state->core, ref, &value)) {
        int r = get_values(state, &ref, 1, timeout, &value);
        if (r)
            return r < 0 ? NULL : timed_out();
    }
    return finish(state, &value, object);
}

static void release_from(CoreValue *values, size_t from, size_t count) {
    for (size_t i = from; i < count; i++)
        if (values[i].hold)
            core_value_release(&values[i]);
}

/* The first error of the list is raised; else all values. */
static PyObject *finish_all(State *state, PyObject *list, CoreValue *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (values[i].kind == VALUE_KIND_ERROR) {
            release_from(values, 0, i);
            release_from(values, i + 1, count);
            return finish(state, &values[i], PyList_GetItem(list, (Py_ssize_t)i));
        }
    PyObject *result = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        PyObject *ref = PyList_GetItem(list, (Py_ssize_t)i);
        PyObject *object = result ? finish(state, &values[i], ref) : NULL;
        if (!object) {
            Py_CLEAR(result);
            release_from(values, i + 1, count);
            break;
        }
        PyList_SetItem(result, (Py_ssize_t)i, object);
    }
    return result;
}

static void not_a_ref(PyObject *item, bool waits) {
    if (waits)
        PyErr_Format(PyExc_TypeError,
                     "wait() expected a list of ray.ObjectRef or ray.ObjectRefGenerator, got list "
                     "containing %R",
                     Py_TYPE(item));
    else
        PyErr_Format(PyExc_TypeError,
                     "Attempting to call `get` on the value %S, which is not an ray.ObjectRef.",
                     item);
}

/* The reference of what may be waited for instead of one, a generator; else an exception. */
static PyObject *waitable_ref(State *state, PyObject *item, PyObject *kept) {
    _cleanup_py_ PyObject *ref = NULL;
    if (kept && PyObject_HasAttrString(item, "_ray_waitable"))
        ref = PyObject_CallMethod(item, "_ray_waitable", NULL);
    else
        not_a_ref(item, kept != NULL);
    if (!ref || !ref_check(state, ref) || PyList_Append(kept, ref) < 0)
        return NULL;
    return ref; /* borrowed from `kept` */
}

/* The core's references of a list of ObjectRefs. NULL with an exception. `kept`: generators may be
 * among them, and it takes the references that stand for those; NULL where they may not. */
static CoreRef **refs_of(State *state, PyObject *list, size_t count, PyObject *kept) {
    _cleanup_free_ CoreRef **refs = mem_array(CoreRef *, count + 1);
    _cleanup_free_ PyObject **unknown = NULL;
    size_t unknown_len = 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        if (item && !ref_check(state, item))
            item = waitable_ref(state, item, kept);
        if (!item)
            return NULL;
        refs[i] = ref_known(state, item);
        if (refs[i])
            continue;
        if (!unknown)
            unknown = mem_array(PyObject *, count);
        unknown[unknown_len++] = item;
    }
    if (unknown)
        raise_unknown(unknown, unknown_len, kept != NULL);
    return unknown ? NULL : TAKE(refs);
}

static PyObject *get_list(State *state, PyObject *list, usec_t timeout) {
    _cleanup_py_ PyObject *copy = PyList_GetSlice(list, 0, PyList_Size(list));
    if (!copy) /* a copy: user code may change the list while we wait */
        return NULL;
    size_t count = (size_t)PyList_Size(copy);
    _cleanup_free_ CoreRef **refs = refs_of(state, copy, count, NULL);
    _cleanup_free_ CoreValue *values = mem_array(CoreValue, count + 1);
    if (!refs)
        return NULL;
    int r = count ? get_values(state, refs, count, timeout, values) : 0;
    if (r == 0)
        return finish_all(state, copy, values, count);
    if (r == CORE_TIMEOUT)
        release_from(values, 0, count);
    return r < 0 ? NULL : timed_out();
}

/* Values of other kinds that get() knows: generators are given back. */
static PyObject *get_other(PyObject *object) {
    _cleanup_py_ PyObject *raylet = PyImport_ImportModule("ray._raylet");
    _cleanup_py_ PyObject *generator =
        raylet ? PyObject_GetAttrString(raylet, "ObjectRefGenerator") : NULL;
    int is_generator = generator ? PyObject_IsInstance(object, generator) : -1;
    if (is_generator > 0)
        return Py_NewRef(object);
    if (is_generator == 0)
        PyErr_Format(PyExc_ValueError,
                     "Invalid type of object refs, %R, is given. 'object_refs' must either be an "
                     "ObjectRef or a list of ObjectRefs. ",
                     Py_TYPE(object));
    return NULL;
}

static int connected_or_init(State *state) {
    if (LIKELY(state->core != NULL))
        return 0;
    _cleanup_py_ PyObject *done = state_call(state, HOOK_AUTO_INIT, NULL, 0);
    return done ? state_need_core(state) : -1;
}

/* The keyword arguments of get(); -1 with an exception. */
static int get_keywords(PyObject *const *values, PyObject *names, PyObject **ret_timeout) {
    Py_ssize_t count = names ? PyTuple_Size(names) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0)
            *ret_timeout = values[i];
        else if (PyUnicode_CompareWithASCIIString(name, "_use_object_store") != 0) {
            PyErr_Format(PyExc_TypeError, "get() got an unexpected keyword argument '%U'", name);
            return -1;
        }
    }
    return 0;
}

static PyObject *get(PyObject *module, PyObject *const *args, Py_ssize_t len, PyObject *names) {
    State *state = state_of(module);
    PyObject *object = len == 1 ? args[0] : NULL, *timeout_value = NULL;
    if (!object && len == 0 && names && PyTuple_Size(names) > 0 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "object_refs") == 0) {
        _cleanup_py_ PyObject *rest = PyTuple_GetSlice(names, 1, PyTuple_Size(names));
        if (!rest || get_keywords(args + 1, rest, &timeout_value) < 0)
            return NULL;
        object = args[0];
    } else if (!object) {
        PyErr_Format(PyExc_TypeError, "get() takes 1 positional argument but %zd were given", len);
        return NULL;
    } else if (get_keywords(args + 1, names, &timeout_value) < 0)
        return NULL;
    usec_t timeout;
    if (timeout_argument(timeout_value, &timeout) < 0 || connected_or_init(state) < 0)
        return NULL;
    if (LIKELY(ref_check(state, object)))
        return get_one(state, object, timeout);
    if (PyList_Check(object))
        return get_list(state, object, timeout);
    return get_other(object);
}

/* Takes the flagged items out of `list`, which nobody else has. */
static int take_out(PyObject *list, size_t count, const bool *ready, size_t many) {
    for (size_t end = count; many;) {
        while (!ready[end - 1])
            end--;
        size_t from = end;
        while (from && ready[from - 1])
            from--;
        if (PyList_SetSlice(list, (Py_ssize_t)from, (Py_ssize_t)end, NULL) < 0)
            return -1;
        many -= end - from;
        end = from;
    }
    return 0;
}

/* The same for many: each run that is taken out moves all that lie behind it. */
static PyObject *rest_of(PyObject *list, size_t count, const bool *ready, size_t many) {
    PyObject *rest = PyList_New((Py_ssize_t)(count - many));
    Py_ssize_t at = 0;
    for (size_t i = 0; rest && i < count; i++)
        if (!ready[i])
            PyList_SetItem(rest, at++, Py_NewRef(PyList_GetItem(list, (Py_ssize_t)i)));
    return rest;
}

/* Those that are flagged, and the rest, each in order. `list` is nobody else's. */
static PyObject *split(PyObject *list, size_t count, const bool *ready) {
    size_t many = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        many += ready[i];
    _cleanup_py_ PyObject *first = PyList_New((Py_ssize_t)many), *rest = NULL;
    if (!first)
        return NULL;
    for (size_t i = 0; at < many; i++)
        if (ready[i])
            PyList_SetItem(first, (Py_ssize_t)at++, Py_NewRef(PyList_GetItem(list, (Py_ssize_t)i)));
    if (many > TAKEN_OUT_MAX)
        rest = rest_of(list, count, ready, many);
    else if (take_out(list, count, ready, many) == 0)
        rest = Py_NewRef(list);
    return rest ? PyTuple_Pack(2, first, rest) : NULL;
}

static PyObject *wait_twice(void) {
    PyErr_SetString(PyExc_ValueError, "Wait requires a list of unique ray_waitables.");
    return NULL;
}

/* wait_refs(list, wanted, timeout, fetch_local) -> (ready, rest). The caller checked the rest. */
static PyObject *wait_refs(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *list, *timeout_value;
    Py_ssize_t wanted;
    int fetch_local, r;
    if (!PyArg_ParseTuple(args, "O!nOp", &PyList_Type, &list, &wanted, &timeout_value,
                          &fetch_local))
        return NULL;
    size_t count = (size_t)PyList_Size(list);
    usec_t timeout;
    if (timeout_argument(timeout_value, &timeout) < 0 || state_need_core(state) < 0)
        return NULL;
    _cleanup_py_ PyObject *copy = PyList_GetSlice(list, 0, (Py_ssize_t)count);
    _cleanup_py_ PyObject *kept = PyList_New(0);
    _cleanup_free_ CoreRef **refs = copy && kept ? refs_of(state, copy, count, kept) : NULL;
    if (!refs)
        return NULL;
    _cleanup_free_ bool *ready = mem_array(bool, count + 1);
    usec_t start = time_mono_now(), left = timeout;
    uint64_t session = state->session;
    for (;;) {
        CORE_WAIT(state,
                  r = core_wait(core, refs, count, (size_t)wanted, left, fetch_local, ready));
        if (r < 0)
            return raise_error(r);
        if (r == CORE_DUPLICATE)
            return wait_twice();
        if (r != CORE_INTERRUPTED)
            break;
        if (between_slices(state, session) < 0)
            return NULL;
        left = time_left(timeout, start);
    }
    return split(copy, count, ready);
}

static PyObject *put(PyObject *module, PyObject *value) {
    State *state = state_of(module);
    if (connected_or_init(state) < 0)
        return NULL;
    CoreRef *ref = put_value(state, value);
    return ref ? ref_object(state, ref) : NULL;
}

static PyObject *cancel(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *object;
    int force, recursive, r;
    if (!PyArg_ParseTuple(args, "O!pp", state->object_ref, &object, &force, &recursive) ||
        state_need_core(state) < 0)
        return NULL;
    CoreRef *ref = ref_known(state, object);
    if (!ref) {
        PyErr_SetString(PyExc_TypeError, "No owner found for object.");
        return NULL;
    }
    CORE_WAIT(state, r = core_cancel(core, ref, force, recursive));
    if (r < 0)
        return raise_error(r);
    Py_RETURN_NONE;
}

/* rebuild_ref(id, owner): what a pickled reference becomes. */
static PyObject *rebuild_ref(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *id_bytes, *owner_bytes;
    Py_ssize_t id_len, owner_len;
    if (!PyArg_ParseTuple(args, "y#y#", &id_bytes, &id_len, &owner_bytes, &owner_len) ||
        state_need_core(state) < 0)
        return NULL;
    ObjectId id;
    PeerId owner;
    WorkerId worker;
    if (id_len != sizeof(id) || owner_len != sizeof(owner) + sizeof(worker)) {
        PyErr_SetString(PyExc_ValueError, "malformed reference");
        return NULL;
    }
    memcpy(&id, id_bytes, sizeof(id));
    memcpy(&owner, owner_bytes, sizeof(owner));
    memcpy(&worker, owner_bytes + sizeof(owner), sizeof(worker));
    return ref_object(state, core_ref_import(state->core, &id, owner, &worker));
}

/* ---- for event loops ----------------------------------------------------------------------- */

/* watch(ref, cookie): the number comes out of watch_take() once the value is there. */
static PyObject *watch(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *object;
    unsigned long long cookie;
    if (!PyArg_ParseTuple(args, "O!K", state->object_ref, &object, &cookie) ||
        state_need_core(state) < 0)
        return NULL;
    CoreRef *ref = ref_needed(state, object);
    if (!ref)
        return NULL;
    core_watch(state->core, ref, cookie);
    Py_RETURN_NONE;
}

static PyObject *watch_fd(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return state_need_core(state) < 0 ? NULL : PyLong_FromLong(core_watch_fd(state->core));
}

static PyObject *watch_take(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    uint64_t cookies[256];
    size_t count = state->core ? core_watch_take(state->core, cookies, ARRAY_LEN(cookies)) : 0;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++)
        PyList_SetItem(list, (Py_ssize_t)i, PyLong_FromUnsignedLongLong(cookies[i]));
    return list;
}

/* object_place(ref) -> (owned here, bytes or None, number of the node whose store has it or 0) */
static PyObject *object_place(PyObject *module, PyObject *object) {
    State *state = state_of(module);
    if (!ref_check(state, object) || state_need_core(state) < 0)
        return NULL;
    CoreRef *ref = ref_needed(state, object);
    if (!ref)
        return NULL;
    PyObject *mine = core_ref_owner(ref, NULL) == core_info(state->core)->peer ? Py_True : Py_False;
    CorePlace place;
    if (!core_ref_place(ref, &place))
        return Py_BuildValue("(OOi)", mine, Py_None, 0);
    return Py_BuildValue("(Oni)", mine, (Py_ssize_t)place.size, (int)peer_node(place.raylet));
}

static PyObject *is_ready(PyObject *module, PyObject *object) {
    State *state = state_of(module);
    CoreRef *ref = ref_check(state, object) ? ref_needed(state, object) : NULL;
    return ref ? PyBool_FromLong(core_ref_ready(ref)) : NULL;
}

PyMethodDef get_functions[] = {
    { "get", (PyCFunction)(void (*)(void))get, METH_FASTCALL | METH_KEYWORDS,
      "get(object_refs, *, timeout=None, _use_object_store=False)\n--\n\n"
      "The value of a reference, or the list of the values of a list of references. Waits for "
      "them, "
      "at most `timeout` seconds." },
    { "wait_refs", wait_refs, METH_VARARGS, NULL },
    { "put", put, METH_O, NULL },
    { "cancel", cancel, METH_VARARGS, NULL },
    { "rebuild_ref", rebuild_ref, METH_VARARGS, NULL },
    { "watch", watch, METH_VARARGS, NULL },
    { "watch_fd", watch_fd, METH_NOARGS, NULL },
    { "watch_take", watch_take, METH_NOARGS, NULL },
    { "is_ready", is_ready, METH_O, NULL },
    { "object_place", object_place, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};
