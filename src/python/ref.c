/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"
#include "python/module.h"

/* ray.ObjectRef: an id and what the core counts. Its death tells the core, once. */

PyObject *ref_object(State *state, CoreRef *ref) {
    RefObject *object = (RefObject *)PyType_GenericAlloc(state->object_ref, 0);
    if (!object) {
        core_ref_drop(ref);
        return NULL;
    }
    object->id.size = sizeof(ObjectId);
    memcpy(object->id.byte, core_ref_id(ref)->byte, sizeof(ObjectId));
    object->ref = ref;
    object->state = state;
    Py_INCREF(state->module);
    return (PyObject *)object;
}

static void ref_dealloc(PyObject *self) {
    RefObject *object = (RefObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (object->weak)
        PyObject_ClearWeakRefs(self);
    if (object->ref)
        core_ref_drop(object->ref);
    if (object->state)
        Py_DECREF(object->state->module);
    PyObject_Free(self);
    Py_DECREF(type);
}

CoreRef *ref_known(const State *state, PyObject *object) {
    CoreRef *ref = ((RefObject *)object)->ref;
    return ref && state->core && core_ref_belongs(state->core, ref) ? ref : NULL;
}

#define UNKNOWN_OWNER                                                                              \
    "Please make sure that all Ray objects you are trying to access are part of the current Ray "  \
    "session. Note that object IDs generated randomly (ObjectID.from_random()) or out-of-band "    \
    "(ObjectID.from_binary(...)) cannot be passed as a task argument because Ray does not know "   \
    "which task created them. If this was not how your object ID was generated, please file an "   \
    "issue at https://github.com/ray-project/ray/issues/"

static ObjectId ref_id(PyObject *self) {
    ObjectId id;
    memcpy(&id, ((IdObject *)self)->byte, sizeof(id));
    return id;
}

static PyObject *raise_owner_unknown(const char *ids) {
    return PyErr_Format(PyExc_ValueError,
                        "An application is trying to access a Ray object whose owner is "
                        "unknown(%s). " UNKNOWN_OWNER,
                        ids);
}

CoreRef *ref_needed(const State *state, PyObject *object) {
    CoreRef *ref = ref_known(state, object);
    ObjectId id = ref_id(object);
    if (!ref)
        raise_owner_unknown(ID_HEX(&id));
    return ref;
}

PyObject *raise_unknown(PyObject *const *objects, size_t len, bool waits) {
    _cleanup_buf_ Buf ids = { 0 };
    for (size_t i = 0; i < len; i++) {
        ObjectId id = ref_id(objects[i]);
        buf_printf(&ids, waits ? "%s " : "%s, ", ID_HEX(&id));
    }
    if (waits)
        return raise_owner_unknown(ids.data);
    return PyErr_Format(
        PyExc_ValueError,
        "You are trying to access Ray objects whose owner is unknown. " UNKNOWN_OWNER
        ". Owners not found for objects [%s].",
        ids.data);
}

static State *type_state(PyObject *self) {
    return PyType_GetModuleState(Py_TYPE(self));
}

static PyObject *ref_task(PyObject *self, PyObject *none) {
    UNUSED(none);
    ObjectId id = ref_id(self);
    TaskId task = object_id_task(&id);
    State *state = type_state(self);
    return state ? id_object(state->task_id, &task, sizeof(task)) : NULL;
}

static PyObject *ref_job(PyObject *self, PyObject *none) {
    UNUSED(none);
    ObjectId id = ref_id(self);
    TaskId task = object_id_task(&id);
    JobId job = task_id_job(&task);
    State *state = type_state(self);
    return state ? id_object(state->job_id, &job, sizeof(job)) : NULL;
}

static PyObject *ref_owner(PyObject *self, PyObject *none) {
    UNUSED(none);
    RefObject *object = (RefObject *)self;
    struct __attribute__((packed)) {
        PeerId peer;
        WorkerId worker;
    } owner;
    if (!object->ref)
        return PyBytes_FromStringAndSize(NULL, 0);
    owner.peer = core_ref_owner(object->ref, &owner.worker);
    return PyBytes_FromStringAndSize((const char *)&owner, sizeof(owner));
}

static PyObject *ref_call_site(PyObject *self, PyObject *none) {
    UNUSED(self);
    UNUSED(none);
    return PyUnicode_FromString("");
}

static PyObject *ref_transport(PyObject *self, PyObject *none) {
    UNUSED(self);
    UNUSED(none);
    Py_RETURN_NONE;
}

static PyObject *no_hex(PyObject *cls, PyObject *text) {
    UNUSED(cls);
    UNUSED(text);
    PyErr_SetNone(PyExc_NotImplementedError);
    return NULL;
}

static PyObject *from_random(PyObject *cls, PyObject *none) {
    UNUSED(none);
    ObjectId id;
    id_random(&id);
    return id_object((PyTypeObject *)cls, &id, sizeof(id));
}

/* What loops and threads need of a reference lives in Python: ray._private.futures. */
static PyObject *futures_call(const char *name, PyObject *self, PyObject *argument) {
    _cleanup_py_ PyObject *futures = PyImport_ImportModule("ray._private.futures");
    _cleanup_py_ PyObject *function = futures ? PyObject_GetAttrString(futures, name) : NULL;
    return function ? PyObject_CallFunctionObjArgs(function, self, argument, NULL) : NULL;
}

static PyObject *ref_future(PyObject *self, PyObject *none) {
    UNUSED(none);
    return futures_call("future", self, NULL);
}

static PyObject *ref_as_future(PyObject *self, PyObject *args, PyObject *kwargs) {
    UNUSED(args);
    UNUSED(kwargs);
    return futures_call("as_future", self, NULL);
}

static PyObject *ref_await(PyObject *self) {
    return futures_call("await_ref", self, NULL);
}

static PyObject *ref_on_completed(PyObject *self, PyObject *callback) {
    return futures_call("on_completed", self, callback);
}

static PyObject *ref_on_ready(PyObject *self, PyObject *callback) {
    return futures_call("on_ready", self, callback);
}

static PyObject *ref_ready(PyObject *self, PyObject *none) {
    UNUSED(none);
    return futures_call("ready", self, NULL);
}

/* Pickled inside a value the reference is listed there; anywhere else nobody can know when the
 * copy dies, so it is kept. The hook does either. */
static PyObject *ref_reduce(PyObject *self, PyObject *none) {
    UNUSED(none);
    State *state = type_state(self);
    RefObject *object = (RefObject *)self;
    if (!state)
        return NULL;
    _cleanup_py_ PyObject *bytes =
        PyBytes_FromStringAndSize((const char *)object->id.byte, sizeof(ObjectId));
    _cleanup_py_ PyObject *done = HOOK_CALL(state, HOOK_REF_ESCAPE, self);
    /* Peers of an earlier session have the numbers of others by now. */
    if (done && !ref_known(state, self))
        return Py_BuildValue("(O(O))", Py_TYPE(self), bytes);
    _cleanup_py_ PyObject *owner = done ? ref_owner(self, NULL) : NULL;
    _cleanup_py_ PyObject *rebuild =
        owner ? PyObject_GetAttrString(state->module, "rebuild_ref") : NULL;
    return rebuild ? Py_BuildValue("(O(OO))", rebuild, bytes, owner) : NULL;
}

static PyMethodDef ref_methods[] = {
    { "from_hex", no_hex, METH_O | METH_CLASS, NULL },
    { "from_random", from_random, METH_NOARGS | METH_CLASS, NULL },
    { "task_id", ref_task, METH_NOARGS, NULL },
    { "job_id", ref_job, METH_NOARGS, NULL },
    { "owner_address", ref_owner, METH_NOARGS, NULL },
    { "call_site", ref_call_site, METH_NOARGS, NULL },
    { "tensor_transport", ref_transport, METH_NOARGS, NULL },
    { "future", ref_future, METH_NOARGS, "A concurrent.futures.Future of the value." },
    { "as_future", (PyCFunction)(void (*)(void))ref_as_future, METH_VARARGS | METH_KEYWORDS,
      "An asyncio.Future of the value." },
    { "_on_completed", ref_on_completed, METH_O, NULL },
    { "_on_ready", ref_on_ready, METH_O, NULL },
    { "_ready", ref_ready, METH_NOARGS, NULL },
    { "__reduce__", ref_reduce, METH_NOARGS, NULL },
    { "__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyMemberDef ref_members[] = {
    { "__weaklistoffset__", T_PYSSIZET, offsetof(RefObject, weak), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};
static char ref_doc[] = "A promise of a value that some process of the cluster makes or has.";
static PyType_Slot ref_slots[] = {
    { Py_tp_dealloc, ref_dealloc }, { Py_tp_methods, ref_methods }, { Py_tp_members, ref_members },
    { Py_am_await, ref_await },     { Py_tp_doc, ref_doc },         { 0, NULL },
};
static PyType_Spec ref_spec = {
    .name = "ray.ObjectRef",
    .basicsize = sizeof(RefObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = ref_slots,
};

int ref_init(PyObject *module, State *state) {
    PyObject *type = PyType_FromModuleAndSpec(module, &ref_spec, (PyObject *)state->base_id);
    _cleanup_py_ PyObject *size = PyLong_FromLong(sizeof(ObjectId));
    state->object_ref = (PyTypeObject *)type;
    if (!type || !size || PyObject_SetAttrString(type, "_size", size) < 0)
        return -1;
    return PyModule_AddType(module, state->object_ref);
}
