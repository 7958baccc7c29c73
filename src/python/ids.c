/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"

#include "base/mem.h"
#include "python/module.h"

/*
 * The id classes under `ray._raylet`. One C layout for all; a class knows its size by the
 * attribute `_size`. ObjectRef (ref.c) is one of them.
 */

static int class_size(PyObject *cls) {
    _cleanup_py_ PyObject *size = PyObject_GetAttrString(cls, "_size");
    return size ? (int)PyLong_AsLong(size) : -1;
}

PyObject *id_object(PyTypeObject *type, const void *bytes, size_t size) {
    IdObject *id = (IdObject *)PyType_GenericAlloc(type, 0);
    if (id) {
        id->size = (uint8_t)size;
        memcpy(id->byte, bytes, size);
    }
    return (PyObject *)id;
}

static PyObject *id_from_bytes(PyTypeObject *type, PyObject *bytes) {
    int size = class_size((PyObject *)type);
    if (size < 0)
        return NULL;
    if (!PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "Unsupported type: %R, expected bytes", Py_TYPE(bytes));
        return NULL;
    }
    if (PyBytes_Size(bytes) != size) {
        PyErr_Format(PyExc_ValueError, "ID string needs to have length %d, got %zd", size,
                     PyBytes_Size(bytes));
        return NULL;
    }
    return id_object(type, PyBytes_AsString(bytes), (size_t)size);
}

static PyObject *id_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    UNUSED(kwargs); /* ObjectRef takes more, which says nothing here */
    if (PyTuple_Size(args) < 1) {
        PyErr_SetString(PyExc_TypeError, "an id is made of its bytes");
        return NULL;
    }
    return id_from_bytes(type, PyTuple_GetItem(args, 0));
}

static PyObject *id_from_binary(PyObject *cls, PyObject *bytes) {
    return PyObject_CallFunctionObjArgs(cls, bytes, NULL);
}

static PyObject *id_filled(PyObject *cls, bool nil) {
    uint8_t bytes[ID_MAX];
    int size = class_size(cls);
    if (size < 0)
        return NULL;
    if (nil)
        memset(bytes, 0xff, sizeof(bytes));
    else
        mem_random(bytes, sizeof(bytes));
    return id_object((PyTypeObject *)cls, bytes, (size_t)size);
}

static PyObject *id_nil(PyObject *cls, PyObject *none) {
    UNUSED(none);
    return id_filled(cls, true);
}

static PyObject *id_from_random(PyObject *cls, PyObject *none) {
    UNUSED(none);
    return id_filled(cls, false);
}

/* A text that is no id gives nil, as the peer's does. */
static PyObject *id_from_hex(PyObject *cls, PyObject *text) {
    uint8_t bytes[ID_MAX];
    int size = class_size(cls);
    _cleanup_py_ PyObject *decoded = NULL;
    if (PyBytes_Check(text))
        text = decoded = PyUnicode_DecodeASCII(PyBytes_AsString(text), PyBytes_Size(text), NULL);
    const char *hex = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    if (size < 0 || !hex)
        return NULL;
    if (strlen(hex) != 2 * (size_t)size || hex_decode(hex, bytes, (size_t)size) < 0)
        return id_filled(cls, true);
    return id_object((PyTypeObject *)cls, bytes, (size_t)size);
}

static PyObject *no_hex(PyObject *cls, PyObject *text) {
    UNUSED(cls);
    UNUSED(text);
    PyErr_SetNone(PyExc_NotImplementedError);
    return NULL;
}

static PyObject *id_class_size(PyObject *cls, PyObject *none) {
    UNUSED(none);
    return PyObject_GetAttrString(cls, "_size");
}

static PyObject *id_binary(PyObject *self, PyObject *none) {
    UNUSED(none);
    IdObject *id = (IdObject *)self;
    return PyBytes_FromStringAndSize((const char *)id->byte, id->size);
}

static PyObject *id_hex_text(PyObject *self, PyObject *none) {
    UNUSED(none);
    IdObject *id = (IdObject *)self;
    char hex[ID_HEX_MAX];
    hex_encode(id->byte, id->size, hex);
    return PyUnicode_FromString(hex);
}

static PyObject *id_is_nil_method(PyObject *self, PyObject *none) {
    UNUSED(none);
    IdObject *id = (IdObject *)self;
    return PyBool_FromLong(id_bytes_are(id->byte, id->size, 0xff));
}

static PyObject *id_repr(PyObject *self) {
    IdObject *id = (IdObject *)self;
    char hex[ID_HEX_MAX];
    hex_encode(id->byte, id->size, hex);
    _cleanup_py_ PyObject *name = PyType_GetName(Py_TYPE(self));
    return name ? PyUnicode_FromFormat("%U(%s)", name, hex) : NULL;
}

/* The bytes are random already, but for driver-made ones: mix all of them. */
static uint64_t id_mix(const IdObject *id) {
    uint64_t hash = 0x9e3779b97f4a7c15u ^ id->size;
    for (size_t i = 0; i < id->size; i += 4) {
        uint32_t word = 0;
        memcpy(&word, id->byte + i, MIN((size_t)4, (size_t)id->size - i));
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    return hash;
}

static Py_hash_t id_hash(PyObject *self) {
    Py_hash_t hash = (Py_hash_t)id_mix((IdObject *)self);
    return hash == -1 ? -2 : hash;
}

static PyObject *id_shard_hash(PyObject *self, PyObject *none) {
    UNUSED(none);
    return PyLong_FromUnsignedLongLong(id_mix((IdObject *)self));
}

static PyObject *id_compare(PyObject *a, PyObject *b, int op) {
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != Py_TYPE(b))
        Py_RETURN_NOTIMPLEMENTED;
    IdObject *x = (IdObject *)a, *y = (IdObject *)b;
    bool equal = x->size == y->size && memcmp(x->byte, y->byte, x->size) == 0;
    return PyBool_FromLong(equal == (op == Py_EQ));
}

static PyObject *id_reduce(PyObject *self, PyObject *none) {
    UNUSED(none);
    /* Where the type says it is: cloudpickle looks only at modules that are loaded. */
    _cleanup_py_ PyObject *home = PyImport_ImportModule("ray._raylet");
    if (!home)
        return NULL;
    return Py_BuildValue("(O(N))", Py_TYPE(self), id_binary(self, NULL));
}

static void id_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef id_methods[] = {
    { "from_binary", id_from_binary, METH_O | METH_CLASS, NULL },
    { "from_hex", id_from_hex, METH_O | METH_CLASS, NULL },
    { "nil", id_nil, METH_NOARGS | METH_CLASS, NULL },
    { "size", id_class_size, METH_NOARGS | METH_CLASS, NULL },
    { "binary", id_binary, METH_NOARGS, NULL },
    { "hex", id_hex_text, METH_NOARGS, NULL },
    { "is_nil", id_is_nil_method, METH_NOARGS, NULL },
    { "redis_shard_hash", id_shard_hash, METH_NOARGS, NULL },
    { "__bytes__", id_binary, METH_NOARGS, NULL },
    { "__reduce__", id_reduce, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyType_Slot id_slots[] = {
    { Py_tp_new, id_new },
    { Py_tp_dealloc, id_dealloc },
    { Py_tp_repr, id_repr },
    { Py_tp_hash, id_hash },
    { Py_tp_richcompare, id_compare },
    { Py_tp_methods, id_methods },
    { 0, NULL },
};

/* ---- the derived ones --------------------------------------------------------------------- */

static State *class_state(PyObject *cls) {
    return PyType_GetModuleState((PyTypeObject *)cls);
}

static PyMethodDef unique_methods[] = {
    { "from_random", id_from_random, METH_NOARGS | METH_CLASS, NULL },
    { "from_hex", no_hex, METH_O | METH_CLASS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyMethodDef named_unique_methods[] = {
    { "from_hex", id_from_hex, METH_O | METH_CLASS, NULL },
    { NULL, NULL, 0, NULL },
};

static PyObject *job_from_int(PyObject *cls, PyObject *number) {
    unsigned long value = PyLong_AsUnsignedLong(number);
    if (value == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    JobId job = job_id_from_number((uint32_t)value);
    return id_object((PyTypeObject *)cls, &job, sizeof(job));
}

static PyObject *job_int(PyObject *self, PyObject *none) {
    UNUSED(none);
    JobId job;
    memcpy(&job, ((IdObject *)self)->byte, sizeof(job));
    return PyLong_FromUnsignedLong(job_id_number(&job));
}

static PyMethodDef job_methods[] = {
    { "from_int", job_from_int, METH_O | METH_CLASS, NULL },
    { "int", job_int, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};

/* Checks that `object` is an id of `size` bytes and copies them. */
static int id_argument(PyObject *object, const State *state, void *ret, size_t size) {
    if (!PyObject_TypeCheck(object, state->base_id) || ((IdObject *)object)->size != size) {
        PyErr_Format(PyExc_TypeError, "wanted an id of %zu bytes, got %R", size, object);
        return -1;
    }
    memcpy(ret, ((IdObject *)object)->byte, size);
    return 0;
}

static PyObject *actor_of(PyObject *cls, PyObject *args) {
    JobId job;
    if (PyTuple_Size(args) < 1 ||
        id_argument(PyTuple_GetItem(args, 0), class_state(cls), &job, sizeof(job)))
        return NULL;
    ActorId actor = actor_id_make(&job);
    return id_object((PyTypeObject *)cls, &actor, sizeof(actor));
}

static PyObject *actor_job(PyObject *self, void *closure) {
    UNUSED(closure);
    ActorId actor;
    memcpy(&actor, ((IdObject *)self)->byte, sizeof(actor));
    JobId job = actor_id_job(&actor);
    return id_object(class_state((PyObject *)Py_TYPE(self))->job_id, &job, sizeof(job));
}

static PyMethodDef actor_methods[] = {
    { "from_random", id_from_random, METH_NOARGS | METH_CLASS, NULL },
    { "of", actor_of, METH_VARARGS | METH_CLASS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyGetSetDef actor_getset[] = {
    { "job_id", actor_job, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyObject *group_of(PyObject *cls, PyObject *argument) {
    GroupId group;
    JobId job;
    if (id_argument(argument, class_state(cls), &job, sizeof(job)))
        return NULL;
    id_random(&group);
    memcpy(group.byte + sizeof(group) - sizeof(job), &job, sizeof(job));
    return id_object((PyTypeObject *)cls, &group, sizeof(group));
}

static PyMethodDef group_methods[] = {
    { "from_random", id_from_random, METH_NOARGS | METH_CLASS, NULL },
    { "of", group_of, METH_O | METH_CLASS, NULL },
    { NULL, NULL, 0, NULL },
};

static TaskId task_of(PyObject *self) {
    TaskId task;
    memcpy(&task, ((IdObject *)self)->byte, sizeof(task));
    return task;
}

static PyObject *task_actor(PyObject *self, PyObject *none) {
    UNUSED(none);
    TaskId task = task_of(self);
    ActorId actor = task_id_actor(&task);
    return id_object(class_state((PyObject *)Py_TYPE(self))->actor_id, &actor, sizeof(actor));
}

static PyObject *task_job(PyObject *self, PyObject *none) {
    UNUSED(none);
    TaskId task = task_of(self);
    JobId job = task_id_job(&task);
    return id_object(class_state((PyObject *)Py_TYPE(self))->job_id, &job, sizeof(job));
}

static PyObject *task_for_job(PyObject *cls, PyObject *args, bool driver) {
    JobId job;
    if (PyTuple_Size(args) < 1 ||
        id_argument(PyTuple_GetItem(args, 0), class_state(cls), &job, sizeof(job)))
        return NULL;
    IdSource source;
    id_source_init(&source);
    TaskId task = driver ? task_id_driver(&job) : task_id_make(&source, &job);
    return id_object((PyTypeObject *)cls, &task, sizeof(task));
}

static PyObject *task_for_driver(PyObject *cls, PyObject *args) {
    return task_for_job(cls, args, true);
}

static PyObject *task_for_normal(PyObject *cls, PyObject *args) {
    return task_for_job(cls, args, false);
}

static PyObject *task_for_creation(PyObject *cls, PyObject *argument) {
    ActorId actor;
    if (id_argument(argument, class_state(cls), &actor, sizeof(actor)))
        return NULL;
    TaskId task = task_id_actor_creation(&actor);
    return id_object((PyTypeObject *)cls, &task, sizeof(task));
}

static PyObject *task_for_actor(PyObject *cls, PyObject *args) {
    ActorId actor;
    if (PyTuple_Size(args) != 4 ||
        id_argument(PyTuple_GetItem(args, 3), class_state(cls), &actor, sizeof(actor)))
        return NULL;
    IdSource source;
    id_source_init(&source);
    TaskId task = task_id_make_actor(&source, &actor);
    return id_object((PyTypeObject *)cls, &task, sizeof(task));
}

static PyMethodDef task_methods_[] = {
    { "actor_id", task_actor, METH_NOARGS, NULL },
    { "job_id", task_job, METH_NOARGS, NULL },
    { "for_driver_task", task_for_driver, METH_VARARGS | METH_CLASS, NULL },
    { "for_fake_task", task_for_normal, METH_VARARGS | METH_CLASS, NULL },
    { "for_normal_task", task_for_normal, METH_VARARGS | METH_CLASS, NULL },
    { "for_actor_creation_task", task_for_creation, METH_O | METH_CLASS, NULL },
    { "for_actor_task", task_for_actor, METH_VARARGS | METH_CLASS, NULL },
    { NULL, NULL, 0, NULL },
};

/* Makes `ray._raylet.NAME` of `size` bytes and puts it into the module. */
static PyTypeObject *id_class(PyObject *module, PyTypeObject *base, const char *full_name, int size,
                              PyMethodDef *methods, PyGetSetDef *getset) {
    PyType_Slot derived[] = {
        { Py_tp_methods, methods },
        { getset ? Py_tp_getset : 0, getset },
        { 0, NULL },
    };
    bool final = base && methods != unique_methods; /* so that its state is found by its type */
    PyType_Spec spec = { full_name, sizeof(IdObject), 0,
                         Py_TPFLAGS_DEFAULT | (final ? 0 : Py_TPFLAGS_BASETYPE),
                         base ? derived : id_slots };
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, (PyObject *)base);
    if (!type)
        return NULL;
    _cleanup_py_ PyObject *number = PyLong_FromLong(size);
    if (!number || PyObject_SetAttrString(type, "_size", number) < 0 ||
        PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_DECREF(type);
        return NULL;
    }
    return (PyTypeObject *)type;
}

int ids_init(PyObject *module, State *s) {
    s->base_id = id_class(module, NULL, "ray._raylet.BaseID", 0, NULL, NULL);
    if (!s->base_id)
        return -1;
    s->unique_id =
        id_class(module, s->base_id, "ray._raylet.UniqueID", ID_MAX, unique_methods, NULL);
    s->job_id = id_class(module, s->base_id, "ray._raylet.JobID", sizeof(JobId), job_methods, NULL);
    s->task_id =
        id_class(module, s->base_id, "ray._raylet.TaskID", sizeof(TaskId), task_methods_, NULL);
    s->actor_id = id_class(module, s->base_id, "ray._raylet.ActorID", sizeof(ActorId),
                           actor_methods, actor_getset);
    s->group_id = id_class(module, s->base_id, "ray._raylet.PlacementGroupID", sizeof(GroupId),
                           group_methods, NULL);
    if (!s->unique_id || !s->job_id || !s->task_id || !s->actor_id || !s->group_id)
        return -1;
    static const char *const named[] = { "ray._raylet.NodeID", "ray._raylet.WorkerID",
                                         "ray._raylet.FunctionID", "ray._raylet.ActorClassID",
                                         "ray._raylet.ClusterID" };
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        PyTypeObject *type =
            id_class(module, s->unique_id, named[i], ID_MAX, named_unique_methods, NULL);
        if (!type)
            return -1;
        Py_DECREF(type); /* the module holds it */
    }
    return 0;
}
