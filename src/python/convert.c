/* SPDX-License-Identifier: Apache-2.0 */
#include "python/convert.h"

#include "model/resources.h"

int resources_argument(PyObject *dict, Arena *arena, const Resource **ret, size_t *ret_len) {
    Resource *list = arena_array(arena, Resource, (size_t)PyDict_Size(dict) + 1);
    size_t len = 0;
    PyObject *name, *number;
    for (Py_ssize_t pos = 0; PyDict_Next(dict, &pos, &name, &number);) {
        Py_ssize_t name_len;
        const char *text = PyUnicode_AsUTF8AndSize(name, &name_len);
        double amount = PyFloat_AsDouble(number);
        if (!text || PyErr_Occurred())
            return -1;
        if (!(amount >= 0 && amount < 9e14)) {
            PyErr_Format(PyExc_ValueError, "resource %R: %R is not an amount", name, number);
            return -1;
        }
        list[len++] = (Resource){ { text, (size_t)name_len }, (int64_t)(amount * 10000 + 0.5) };
    }
    *ret = list;
    *ret_len = len;
    return 0;
}

static int pair_argument(PyObject *key, PyObject *value, Pair *ret) {
    Py_ssize_t key_len, value_len = 0;
    const char *k = PyUnicode_AsUTF8AndSize(key, &key_len);
    const char *v = value == Py_None ? "" : PyUnicode_AsUTF8AndSize(value, &value_len);
    if (!k || !v)
        return -1;
    *ret = (Pair){ { k, (size_t)key_len }, { v, (size_t)value_len } };
    return 0;
}

int labels_argument(PyObject *labels, Arena *arena, Pair **ret, size_t *ret_len) {
    PyObject *key, *value;
    bool dict = PyDict_Check(labels);
    Py_ssize_t count = dict ? PyDict_Size(labels) : PyList_Size(labels), pos = 0;
    if (count < 0)
        return -1;
    Pair *list = arena_array(arena, Pair, (size_t)count + 1);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (dict) {
            PyDict_Next(labels, &pos, &key, &value);
        } else if (!PyArg_ParseTuple(PyList_GetItem(labels, i), "OO", &key, &value)) {
            return -1;
        }
        if (pair_argument(key, value, &list[i]) < 0)
            return -1;
    }
    *ret = list;
    *ret_len = (size_t)count;
    return 0;
}

PyObject *text_object(Slice slice) {
    return PyUnicode_DecodeUTF8(slice.data, (Py_ssize_t)slice.len, "replace");
}

PyObject *resources_dict(const Resource *list, size_t len) {
    _cleanup_py_ PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < len; i++) {
        _cleanup_py_ PyObject *name = text_object(list[i].name);
        _cleanup_py_ PyObject *amount =
            PyFloat_FromDouble((double)list[i].amount / (double)QUANTITY_ONE);
        if (!name || !amount || PyDict_SetItem(dict, name, amount) < 0)
            return NULL;
    }
    return TAKE(dict);
}

PyObject *labels_dict(const Pair *list, size_t len) {
    _cleanup_py_ PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < len; i++) {
        _cleanup_py_ PyObject *key = text_object(list[i].key), *value = text_object(list[i].value);
        if (!key || !value || PyDict_SetItem(dict, key, value) < 0)
            return NULL;
    }
    return TAKE(dict);
}

int ask_gcs(State *state, MessageType type, const Buf *body, Buf *out) {
    int r;
    if (state_need_core(state) < 0)
        return -1;
    CORE_WAIT(state, r = core_call(core, PEER_GCS, type, body, 60 * USEC_PER_SEC, out));
    if (r == CORE_TIMEOUT)
        r = error_origin(-ETIMEDOUT, "gcs did not answer within 60 s");
    if (r < 0)
        raise_error(r);
    return r < 0 ? -1 : r;
}
