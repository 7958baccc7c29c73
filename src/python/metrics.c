/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"
#include "python/convert.h"

/* What the user's metrics stand at, on its way to the raylet. */

static int slice_argument(PyObject *text, Slice *ret) {
    Py_ssize_t len;
    const char *data = PyUnicode_AsUTF8AndSize(text, &len);
    if (!data)
        return -1;
    *ret = (Slice){ data, (size_t)len };
    return 0;
}

/* (name, labels, value) */
static int sample_argument(PyObject *tuple, Arena *arena, MetricSample *ret) {
    PyObject *name, *labels;
    if (!PyArg_ParseTuple(tuple, "UOd", &name, &labels, &ret->value) ||
        slice_argument(name, &ret->name) < 0)
        return -1;
    return labels_argument(labels, arena, &ret->labels, &ret->labels_len);
}

/* (name, type, help, [samples]) */
static int family_argument(PyObject *tuple, Arena *arena, MetricFamily *ret) {
    PyObject *name, *type, *help, *samples;
    if (!PyArg_ParseTuple(tuple, "UUUO!", &name, &type, &help, &PyList_Type, &samples) ||
        slice_argument(name, &ret->name) < 0 || slice_argument(type, &ret->type) < 0 ||
        slice_argument(help, &ret->help) < 0)
        return -1;
    ret->samples_len = (size_t)PyList_Size(samples);
    ret->samples = arena_array(arena, MetricSample, ret->samples_len + 1);
    for (size_t i = 0; i < ret->samples_len; i++)
        if (sample_argument(PyList_GetItem(samples, (Py_ssize_t)i), arena, &ret->samples[i]) < 0)
            return -1;
    return 0;
}

/* report_metrics([families]) */
static PyObject *report_metrics(PyObject *module, PyObject *families) {
    State *state = state_of(module);
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    if (!PyList_Check(families)) {
        PyErr_SetString(PyExc_TypeError, "a list is wanted");
        return NULL;
    }
    MetricsReport report = { .families_len = (size_t)PyList_Size(families) };
    report.families = arena_array(&arena, MetricFamily, report.families_len + 1);
    for (size_t i = 0; i < report.families_len; i++)
        if (family_argument(PyList_GetItem(families, (Py_ssize_t)i), &arena, &report.families[i]) <
            0)
            return NULL;
    if (state_need_core(state) < 0)
        return NULL;
    metrics_report_encode(&report, &body);
    PeerId raylet = peer_raylet(core_info(state->core)->peer);
    int r = core_send(state->core, raylet, MSG_METRICS_REPORT, &body);
    return r < 0 ? raise_error(r) : Py_NewRef(Py_None);
}

PyMethodDef metrics_functions[] = {
    { "report_metrics", report_metrics, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};
