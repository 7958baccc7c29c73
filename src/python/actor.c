/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"
#include "python/call.h"
#include "python/value.h"

/*
 * ActorHandle and ActorMethod, the bases of the classes in ray.actor. `handle.method` makes an
 * ActorMethod, `.remote()` on it sends: neither runs Python code. A method does not live in the
 * handle, which would be a cycle and keep the actor alive until the collector comes by.
 */

typedef struct HandleObject {
    PyObject_HEAD State *state;
    CoreActor *actor;  /* valid in `session` only */
    uint64_t session;
    bool weak_handle;  /* does not keep the actor alive */
    ActorId id;
    PyObject *meta;    /* Python's description of the class */
    PyObject *methods; /* its dict: name -> RemoteCall, or a callable that takes the handle */
    PyObject *dict, *weak;
} HandleObject;

typedef struct MethodObject {
    PyObject_HEAD HandleObject *handle;
    CallObject *call;
} MethodObject;

/* ---- handles ---------------------------------------------------------------------------------- */

static PyObject *not_by_hand(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    UNUSED(args);
    UNUSED(kwargs);
    PyErr_Format(PyExc_TypeError, "%R is not made by calling it", type);
    return NULL;
}

/* Takes `actor`. */
static PyObject *handle_object(State *state, CoreActor *actor, bool weak, PyObject *meta) {
    _cleanup_py_ PyObject *methods = PyObject_GetAttrString(meta, "methods");
    HandleObject *handle = NULL;
    if (methods && PyDict_Check(methods) && state->handle_class)
        handle = (HandleObject *)PyType_GenericAlloc(state->handle_class, 0);
    else if (methods)
        PyErr_SetString(PyExc_TypeError, "an actor's methods are a dict");
    if (!handle) {
        weak ? core_actor_drop_weak(actor) : core_actor_drop(actor);
        return NULL;
    }
    handle->state = state;
    handle->weak_handle = weak;
    Py_INCREF(state->module);
    handle->actor = actor;
    handle->session = state->session;
    handle->id = *core_actor_id(actor);
    handle->meta = Py_NewRef(meta);
    handle->methods = TAKE(methods);
    return (PyObject *)handle;
}

static int handle_traverse(PyObject *self, visitproc visit, void *arg) {
    HandleObject *handle = (HandleObject *)self;
    Py_VISIT(handle->meta);
    Py_VISIT(handle->methods);
    Py_VISIT(handle->dict);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int handle_clear(PyObject *self) {
    HandleObject *handle = (HandleObject *)self;
    Py_CLEAR(handle->meta);
    Py_CLEAR(handle->methods);
    Py_CLEAR(handle->dict);
    return 0;
}

static void handle_dealloc(PyObject *self) {
    HandleObject *handle = (HandleObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (handle->weak)
        PyObject_ClearWeakRefs(self);
    if (handle->actor && handle->session == handle->state->session && handle->state->core)
        handle->weak_handle ? core_actor_drop_weak(handle->actor) : core_actor_drop(handle->actor);
    handle->actor = NULL;
    (void)handle_clear(self);
    Py_XDECREF(handle->state ? handle->state->module : NULL);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *method_object(HandleObject *handle, PyObject *call) {
    State *state = handle->state;
    if (Py_TYPE(call) != state->remote_call)
        return PyObject_CallFunctionObjArgs(call, (PyObject *)handle, NULL);
    MethodObject *method = (MethodObject *)PyType_GenericAlloc(state->method_class, 0);
    if (method) {
        method->handle = (HandleObject *)Py_NewRef((PyObject *)handle);
        method->call = (CallObject *)Py_NewRef(call);
    }
    return (PyObject *)method;
}

/* Methods first unless the name begins with an underscore: those may be the handle's own. */
static PyObject *handle_getattro(PyObject *self, PyObject *name) {
    HandleObject *handle = (HandleObject *)self;
    bool ours = !handle->methods || PyUnicode_ReadChar(name, 0) == '_';
    if (ours) {
        PyObject *found = PyObject_GenericGetAttr(self, name);
        if (found || !handle->methods || !PyErr_ExceptionMatches(PyExc_AttributeError))
            return found;
    }
    PyObject *call = handle->methods ? PyDict_GetItemWithError(handle->methods, name) : NULL;
    if (call) {
        PyErr_Clear();
        return method_object(handle, call);
    }
    return ours ? NULL : PyObject_GenericGetAttr(self, name);
}

static Py_hash_t handle_hash(PyObject *self) {
    uint64_t hash;
    memcpy(&hash, ((HandleObject *)self)->id.byte, sizeof(hash));
    return hash == UINT64_MAX ? -2 : (Py_hash_t)hash;
}

static PyObject *handle_compare(PyObject *a, PyObject *b, int op) {
    HandleObject *x = (HandleObject *)a, *y = (HandleObject *)b;
    if ((op != Py_EQ && op != Py_NE) || !x->state || !PyObject_TypeCheck(b, x->state->actor_handle))
        Py_RETURN_NOTIMPLEMENTED;
    return PyBool_FromLong(id_equal(&x->id, &y->id) == (op == Py_EQ));
}

static PyObject *handle_actor_id(PyObject *self, void *closure) {
    UNUSED(closure);
    HandleObject *handle = (HandleObject *)self;
    return id_object(handle->state->actor_id, &handle->id, sizeof(handle->id));
}

/* The reference that counts it, or None for a weak or stale handle. */
static PyObject *handle_ref(PyObject *self, PyObject *none) {
    UNUSED(none);
    HandleObject *handle = (HandleObject *)self;
    CoreRef *ref = NULL;
    if (handle->state->core && handle->session == handle->state->session && !handle->weak_handle)
        ref = core_actor_ref(handle->actor);
    return ref ? ref_object(handle->state, core_ref_hold(ref)) : Py_NewRef(Py_None);
}

static PyObject *handle_pending(PyObject *self, PyObject *none) {
    UNUSED(none);
    HandleObject *handle = (HandleObject *)self;
    bool live = handle->state->core && handle->session == handle->state->session;
    return PyLong_FromSize_t(live ? core_actor_pending(handle->actor) : 0);
}

static PyMethodDef handle_methods[] = {
    { "_ray_counting_ref", handle_ref, METH_NOARGS, NULL },
    { "_ray_pending_calls", handle_pending, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyMemberDef handle_members[] = {
    { "__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weak), READONLY, NULL },
    { "__dictoffset__", T_PYSSIZET, offsetof(HandleObject, dict), READONLY, NULL },
    { "_ray_meta", T_OBJECT, offsetof(HandleObject, meta), READONLY, NULL },
    { "_ray_session", T_ULONGLONG, offsetof(HandleObject, session), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};
static PyGetSetDef handle_getset[] = {
    { "_actor_id", handle_actor_id, NULL, NULL, NULL },
    { "_ray_actor_id", handle_actor_id, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot handle_slots[] = {
    { Py_tp_dealloc, handle_dealloc },
    { Py_tp_traverse, handle_traverse },
    { Py_tp_clear, handle_clear },
    { Py_tp_getattro, handle_getattro },
    { Py_tp_hash, handle_hash },
    { Py_tp_richcompare, handle_compare },
    { Py_tp_methods, handle_methods },
    { Py_tp_members, handle_members },
    { Py_tp_getset, handle_getset },
    { Py_tp_new, not_by_hand },
    { 0, NULL },
};
static PyType_Spec handle_spec = {
    .name = "ray._mobula.ActorHandle",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

/* ---- methods ------------------------------------------------------------------------------------ */

static PyObject *method_send(MethodObject *method, CallObject *call, const Arguments *a) {
    HandleObject *handle = method->handle;
    State *state = handle->state;
    if (UNLIKELY(!state->core || handle->session != state->session)) {
        _cleanup_py_ PyObject *actor = PyImport_ImportModule("ray.actor");
        _cleanup_py_ PyObject *stale =
            actor ? PyObject_CallMethod(actor, "_raise_stale_handle", "O", handle) : NULL;
        return NULL;
    }
    return call_send(call, handle->actor, a);
}

static PyObject *method_remote(PyObject *self, PyObject *const *args, Py_ssize_t len,
                               PyObject *names) {
    MethodObject *method = (MethodObject *)self;
    Arguments a = { .vector = args, .len = (size_t)len, .names = names };
    return method_send(method, method->call, &a);
}

/* _send(call, args, kwargs): the same with another template, for .options(). */
static PyObject *method_send_with(PyObject *self, PyObject *args) {
    MethodObject *method = (MethodObject *)self;
    PyObject *call, *tuple, *dict;
    if (!PyArg_ParseTuple(args, "O!O!O!", method->handle->state->remote_call, &call, &PyTuple_Type,
                          &tuple, &PyDict_Type, &dict))
        return NULL;
    Arguments a = { .tuple = tuple, .len = (size_t)PyTuple_Size(tuple), .dict = dict };
    return method_send(method, (CallObject *)call, &a);
}

static int method_traverse(PyObject *self, visitproc visit, void *arg) {
    MethodObject *method = (MethodObject *)self;
    Py_VISIT(method->handle);
    Py_VISIT(method->call);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void method_dealloc(PyObject *self) {
    MethodObject *method = (MethodObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(method->handle);
    Py_CLEAR(method->call);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef method_methods[] = {
    { "remote", (PyCFunction)(void (*)(void))method_remote, METH_FASTCALL | METH_KEYWORDS,
      "remote($self, /, *args, **kwargs)\n--\n\n"
      "Calls the method; returns the reference of its result." },
    { "_send", method_send_with, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyMemberDef method_members[] = {
    { "_handle", T_OBJECT, offsetof(MethodObject, handle), READONLY, NULL },
    { "_call", T_OBJECT, offsetof(MethodObject, call), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};
static PyType_Slot method_slots[] = {
    { Py_tp_dealloc, method_dealloc }, { Py_tp_traverse, method_traverse },
    { Py_tp_methods, method_methods }, { Py_tp_members, method_members },
    { Py_tp_new, not_by_hand },        { 0, NULL },
};
static PyType_Spec method_spec = {
    .name = "ray._mobula.ActorMethod",
    .basicsize = sizeof(MethodObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = method_slots,
};

int actor_init(PyObject *module, State *state) {
    state->actor_handle = (PyTypeObject *)PyType_FromModuleAndSpec(module, &handle_spec, NULL);
    state->actor_method = (PyTypeObject *)PyType_FromModuleAndSpec(module, &method_spec, NULL);
    if (!state->actor_handle || !state->actor_method)
        return -1;
    return PyModule_AddType(module, state->actor_handle) ||
                   PyModule_AddType(module, state->actor_method)
               ? -1
               : 0;
}

/* ---- making, finding, receiving, killing ----------------------------------------------------------- */

typedef struct Creation {
    State *state;
    CallObject *call;
    CoreActorSpec spec;
    CoreActor *actor;
    bool exists;
} Creation;

static int create(void *context, const CoreArgs *args) {
    Creation *c = context;
    if (state_need_core(c->state) < 0)
        return -1;
    int r;
    CORE_WAIT(c->state, r = core_actor_create(core, c->call->template_, &c->spec, args,
                                              60 * USEC_PER_SEC, &c->actor));
    c->exists = r == CORE_EXISTS;
    if (r < 0)
        raise_error(r);
    return r < 0 ? -1 : 0;
}

/* create_actor(call, args, kwargs, meta, meta_bytes, class_name, name, namespace, detached,
 *              get_if_exists, max_restarts, max_task_retries, max_pending_calls, unordered)
 * -> handle, or None when the name is taken. */
static PyObject *create_actor(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    Creation c = { .state = state };
    PyObject *tuple, *dict, *meta;
    int detached, get_if_exists, unordered;
    const char *meta_bytes;
    Py_ssize_t meta_len;
    if (!PyArg_ParseTuple(args, "O!O!O!Oy#szzppiiip", state->remote_call, &c.call, &PyTuple_Type,
                          &tuple, &PyDict_Type, &dict, &meta, &meta_bytes, &meta_len,
                          &c.spec.class_name, &c.spec.name, &c.spec.namespace_, &detached,
                          &get_if_exists, &c.spec.max_restarts, &c.spec.max_task_retries,
                          &c.spec.max_pending_calls, &unordered))
        return NULL;
    c.spec.detached = detached;
    c.spec.get_if_exists = get_if_exists;
    c.spec.unordered = unordered;
    c.spec.meta = meta_bytes;
    c.spec.meta_len = (size_t)meta_len;
    Arguments a = { .tuple = tuple, .len = (size_t)PyTuple_Size(tuple), .dict = dict };
    if (call_ready(c.call, &a) < 0 || call_pack(c.call, &a, create, &c) < 0)
        return NULL;
    if (c.exists)
        Py_RETURN_NONE;
    return handle_object(state, c.actor, false, meta);
}

/* find_actor(name, namespace or None, make_meta) -> handle or None. */
static PyObject *find_actor(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *name, *namespace_;
    PyObject *make_meta;
    if (!PyArg_ParseTuple(args, "szO", &name, &namespace_, &make_meta) || state_need_core(state))
        return NULL;
    _cleanup_arena_ Arena arena = { 0 };
    ActorInfo info;
    CoreActor *actor = NULL;
    int r;
    CORE_WAIT(state, r = core_actor_find(core, name, namespace_, 60 * USEC_PER_SEC, &arena, &info,
                                         &actor));
    if (r == CORE_NOT_FOUND)
        Py_RETURN_NONE;
    if (r == CORE_TIMEOUT)
        return raise_error(error_origin(-ETIMEDOUT, "gcs did not answer where actor %s is", name));
    if (r < 0)
        return raise_error(r);
    _cleanup_py_ PyObject *meta =
        PyObject_CallFunction(make_meta, "y#", info.meta.data, (Py_ssize_t)info.meta.len);
    _cleanup_py_ PyObject *unordered = meta ? PyObject_GetAttrString(meta, "unordered") : NULL;
    if (!unordered) {
        core_actor_drop_weak(actor);
        return NULL;
    }
    if (unordered == Py_True)
        core_actor_drop_weak(core_actor_import(state->core, core_actor_id(actor), NULL, true));
    return handle_object(state, actor, true, meta);
}

/* import_actor(id bytes, ObjectRef or None, unordered, meta) -> handle */
static PyObject *import_actor(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *bytes;
    Py_ssize_t len;
    PyObject *ref, *meta;
    int unordered;
    if (!PyArg_ParseTuple(args, "y#OpO", &bytes, &len, &ref, &unordered, &meta) ||
        state_need_core(state))
        return NULL;
    ActorId id;
    if (len != sizeof(id)) {
        PyErr_SetString(PyExc_ValueError, "an actor id has 16 bytes");
        return NULL;
    }
    memcpy(&id, bytes, sizeof(id));
    CoreRef *counting = ref_check(state, ref) ? ref_known(state, ref) : NULL;
    CoreActor *actor = core_actor_import(state->core, &id, counting, unordered);
    return handle_object(state, actor, !counting, meta);
}

static PyObject *kill_actor(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    PyObject *object;
    int no_restart, r;
    if (!PyArg_ParseTuple(args, "O!p", state->actor_handle, &object, &no_restart) ||
        state_need_core(state))
        return NULL;
    ActorId id = ((HandleObject *)object)->id;
    CORE_WAIT(state, r = core_actor_kill(core, &id, no_restart));
    if (r < 0)
        return raise_error(r);
    Py_RETURN_NONE;
}

PyMethodDef actor_functions[] = {
    { "create_actor", create_actor, METH_VARARGS, NULL },
    { "find_actor", find_actor, METH_VARARGS, NULL },
    { "import_actor", import_actor, METH_VARARGS, NULL },
    { "kill_actor", kill_actor, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};
