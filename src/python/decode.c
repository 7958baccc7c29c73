/* SPDX-License-Identifier: Apache-2.0 */

/* From bytes to values, without copying what lies in the store, and errors as Python reads them. */

#include "base/mem.h"
#include "python/value.h"

enum {
    DEPTH_MAX = 64, /* of nested containers */
};

/* ---- memory of the store as a Python buffer -------------------------------------------------- */

/* A range of a value's bytes. The first holds the value; others hold the first. */
typedef struct PinnedObject {
    PyObject_HEAD CoreValue value;
    struct PinnedObject *holder;
    const void *data;
    size_t len;
} PinnedObject;

static PyObject *pinned_new(State *state, PinnedObject *holder, const void *data, size_t len) {
    PinnedObject *pinned = PyObject_New(PinnedObject, state->pinned);
    if (!pinned)
        return NULL;
    pinned->value = (CoreValue){ 0 };
    pinned->holder = holder;
    Py_XINCREF((PyObject *)holder);
    pinned->data = data;
    pinned->len = len;
    return (PyObject *)pinned;
}

static void pinned_dealloc(PyObject *self) {
    PinnedObject *pinned = (PinnedObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (pinned->value.hold)
        core_value_release(&pinned->value);
    Py_CLEAR(pinned->holder);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int pinned_getbuffer(PyObject *self, Py_buffer *view, int flags) {
    PinnedObject *pinned = (PinnedObject *)self;
    return PyBuffer_FillInfo(view, self, (void *)(uintptr_t)pinned->data, (Py_ssize_t)pinned->len,
                             1, flags);
}

static Py_ssize_t pinned_length(PyObject *self) {
    return (Py_ssize_t)((PinnedObject *)self)->len;
}

static PyType_Slot pinned_slots[] = {
    { Py_mp_length, pinned_length },
    { Py_tp_dealloc, pinned_dealloc },
    { Py_bf_getbuffer, pinned_getbuffer },
    { 0, NULL },
};
static PyType_Spec pinned_spec = {
    .name = "ray._mobula.Pinned",
    .basicsize = sizeof(PinnedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pinned_slots,
};

int value_init(PyObject *module, State *state) {
    state->pinned = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pinned_spec, NULL);
    return state->pinned ? 0 : -1;
}

/* ---- decoding --------------------------------------------------------------------------------- */

static PyObject *malformed(void) {
    PyErr_SetString(PyExc_ValueError, "malformed value: it is cut short or has an unknown tag");
    return NULL;
}

int decode_take(Decoder *d, void *ret, size_t len) {
    if (len > (size_t)(d->end - d->at)) {
        malformed();
        return -1;
    }
    memcpy(ret, d->at, len);
    d->at += len;
    return 0;
}

static PyObject *decode_text(Decoder *d, uint8_t tag) {
    uint64_t len = 0;
    uint32_t narrow = 0;
    bool wide = tag == 'S' || tag == 'B';
    if (wide ? decode_take(d, &len, sizeof(len)) : decode_take(d, &narrow, sizeof(narrow)))
        return NULL;
    len = wide ? len : narrow;
    if (len > (uint64_t)(d->end - d->at))
        return malformed();
    const char *text = (const char *)d->at;
    d->at += len;
    if (tag == 's' || tag == 'S')
        return PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, NULL);
    return PyBytes_FromStringAndSize(text, (Py_ssize_t)len);
}

static PyObject *decode_dict(Decoder *d, uint32_t count) {
    _cleanup_py_ PyObject *dict = PyDict_New();
    for (uint32_t i = 0; dict && i < count; i++) {
        _cleanup_py_ PyObject *key = decode_value(d);
        _cleanup_py_ PyObject *item = key ? decode_value(d) : NULL;
        if (!item || PyDict_SetItem(dict, key, item) < 0)
            return NULL;
    }
    return TAKE(dict);
}

static PyObject *decode_items(Decoder *d, uint8_t tag) {
    uint32_t count;
    if (decode_take(d, &count, sizeof(count)))
        return NULL;
    if (count > (size_t)(d->end - d->at) || d->depth >= DEPTH_MAX) /* an item has a byte */
        return malformed();
    d->depth++;
    _cleanup_py_ PyObject *result = NULL;
    if (tag == '{')
        result = decode_dict(d, count);
    else {
        result = tag == '(' ? PyTuple_New(count) : PyList_New(count);
        for (uint32_t i = 0; result && i < count; i++) {
            PyObject *item = decode_value(d);
            if (!item)
                return NULL;
            if (tag == '(')
                PyTuple_SetItem(result, i, item);
            else
                PyList_SetItem(result, i, item);
        }
    }
    d->depth--;
    return TAKE(result);
}

static PyObject *decode_ref(Decoder *d) {
    ObjectId id;
    PeerId owner;
    WorkerId worker;
    if (decode_take(d, &id, sizeof(id)) || decode_take(d, &owner, sizeof(owner)) ||
        decode_take(d, &worker, sizeof(worker)))
        return NULL;
    if (state_need_core(d->state))
        return NULL;
    return ref_object(d->state, core_ref_import(d->state->core, &id, owner, &worker));
}

/* One out-of-band buffer: a view into the store, or a copy of bytes that will go. */
static PyObject *decode_buffer(Decoder *d, const uint8_t *data, size_t len) {
    if (d->pinned)
        return pinned_new(d->state, (PinnedObject *)d->pinned, data, len);
    return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)len);
}

static PyObject *decode_pickled(Decoder *d) {
    const uint8_t *tag = d->at - 1;
    uint32_t count;
    uint64_t sizes[2];
    if (decode_take(d, &count, sizeof(count)) || decode_take(d, sizes, sizeof(sizes)))
        return NULL;
    uint64_t room = (uint64_t)(d->end - tag), head = 21 + 16 * (uint64_t)count;
    if (sizes[0] > room || head > sizes[0] || sizes[1] > sizes[0] - head)
        return malformed();
    _cleanup_py_ PyObject *buffers = PyList_New(0);
    for (uint32_t i = 0; buffers && i < count; i++) {
        uint64_t range[2];
        if (decode_take(d, range, sizeof(range)))
            return NULL;
        if (range[0] > sizes[0] || range[1] > sizes[0] - range[0])
            return malformed();
        _cleanup_py_ PyObject *buffer = decode_buffer(d, tag + range[0], range[1]);
        if (!buffer || PyList_Append(buffers, buffer) < 0)
            return NULL;
    }
    _cleanup_py_ PyObject *inband =
        PyBytes_FromStringAndSize((const char *)d->at, (Py_ssize_t)sizes[1]);
    if (!buffers || !inband)
        return NULL;
    d->at = tag + sizes[0];
    return HOOK_CALL(d->state, HOOK_LOADS, inband, buffers);
}

PyObject *decode_value(Decoder *d) {
    uint8_t tag;
    int64_t number;
    double real;
    if (decode_take(d, &tag, 1))
        return NULL;
    switch (tag) {
    case 'N':
        return Py_NewRef(Py_None);
    case 'T':
        return Py_NewRef(Py_True);
    case 'F':
        return Py_NewRef(Py_False);
    case 'i':
        return decode_take(d, &number, 8) ? NULL : PyLong_FromLongLong(number);
    case 'd':
        return decode_take(d, &real, 8) ? NULL : PyFloat_FromDouble(real);
    case 's':
    case 'b':
    case 'S':
    case 'B':
        return decode_text(d, tag);
    case '(':
    case '[':
    case '{':
        return decode_items(d, tag);
    case 'r':
        return decode_ref(d);
    case 'P':
        return decode_pickled(d);
    default:
        return malformed();
    }
}

/* ---- ErrorInfo as a dict -------------------------------------------------------------------- */

static int dict_set(PyObject *dict, const char *key, PyObject *value) {
    int r = value ? PyDict_SetItemString(dict, key, value) : -1;
    Py_XDECREF(value);
    return r;
}

static PyObject *text_or_none(Slice text) {
    if (!text.len)
        return Py_NewRef(Py_None);
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.len, "replace");
}

static PyObject *error_dict(const ErrorInfo *info) {
    _cleanup_py_ PyObject *dict = PyDict_New();
    const struct {
        const char *key;
        Slice text;
    } texts[] = { { "text", info->text },
                  { "name", info->name },
                  { "ip", info->ip },
                  { "class_name", info->class_name },
                  { "namespace", info->namespace },
                  { "actor_name", info->actor_name } };
    const struct {
        const char *key;
        const void *id;
        size_t len;
    } ids[] = { { "actor", &info->actor, sizeof(info->actor) },
                { "task", &info->task, sizeof(info->task) },
                { "object", &info->object, sizeof(info->object) },
                { "node", &info->node, sizeof(info->node) },
                { "data", info->data.data, info->data.len } };
    int bad = !dict;
    for (size_t i = 0; !bad && i < ARRAY_LEN(texts); i++)
        bad = dict_set(dict, texts[i].key, text_or_none(texts[i].text));
    for (size_t i = 0; !bad && i < ARRAY_LEN(ids); i++)
        bad = dict_set(dict, ids[i].key,
                       PyBytes_FromStringAndSize(ids[i].id, (Py_ssize_t)ids[i].len));
    bad = bad || dict_set(dict, "kind", PyLong_FromLong(info->kind)) ||
          dict_set(dict, "pid", PyLong_FromUnsignedLong(info->pid)) ||
          dict_set(dict, "death_kind", PyLong_FromLong(info->death_kind)) ||
          dict_set(dict, "never_started", PyBool_FromLong(info->never_started));
    return bad ? NULL : TAKE(dict);
}

static PyObject *decode_error(PyObject *module, PyObject *bytes) {
    UNUSED(module);
    char *data;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(bytes, &data, &len) < 0)
        return NULL;
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo info;
    int r = error_info_decode(&info, data, (size_t)len, &arena);
    return r < 0 ? raise_error(r) : error_dict(&info);
}

static PyObject *error_object(State *state, const CoreValue *value, PyObject *ref) {
    _cleanup_arena_ Arena arena = { 0 };
    ErrorInfo info;
    int r = error_info_decode(&info, value->data, value->size, &arena);
    if (r < 0)
        return raise_error(r);
    _cleanup_py_ PyObject *dict = error_dict(&info);
    return dict ? HOOK_CALL(state, HOOK_ERROR, ref ? ref : Py_None, dict) : NULL;
}

PyObject *value_object(State *state, CoreValue *value, PyObject *ref, bool *ret_error) {
    *ret_error = value->kind == VALUE_KIND_ERROR;
    _cleanup_py_ PyObject *pinned = NULL;
    PyObject *result;
    if (*ret_error)
        result = error_object(state, value, ref);
    else {
        const uint8_t *data = value->data;
        bool hold = value->size && data[0] == 'P' && value->kind == VALUE_KIND_ARENA;
        if (hold) {
            pinned = pinned_new(state, NULL, data, value->size);
            if (!pinned)
                return NULL;
            ((PinnedObject *)pinned)->value = *value;
            value->hold = NULL;
        }
        Decoder d = { state, data, data, data + value->size, pinned, 0 };
        result = decode_value(&d);
    }
    if (value->hold)
        core_value_release(value);
    return result;
}

/* ---- for tests and tools: the codec alone ----------------------------------------------------- */

static PyObject *encode_function(PyObject *module, PyObject *value) {
    _cleanup_encoder_ Encoder e;
    encoder_init(&e, state_of(module));
    e.copy = true;
    if (encode_value(&e, value) != 0)
        return NULL;
    return PyBytes_FromStringAndSize((const char *)e.base, (Py_ssize_t)e.len);
}

static PyObject *decode_function(PyObject *module, PyObject *bytes) {
    char *data;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(bytes, &data, &len) < 0)
        return NULL;
    const uint8_t *at = (const uint8_t *)data;
    Decoder d = { state_of(module), at, at, at + len, NULL, 0 };
    PyObject *value = decode_value(&d);
    if (value && d.at != d.end) {
        Py_DECREF(value);
        return malformed();
    }
    return value;
}

PyMethodDef value_functions[] = {
    { "encode", encode_function, METH_O, "The bytes of a value, in one piece." },
    { "decode_error", decode_error, METH_O, "An encoded ErrorInfo as a dict." },
    { "decode", decode_function, METH_O, "The value of such bytes." },
    { NULL, NULL, 0, NULL },
};
