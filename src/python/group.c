/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "model/ids.h"
#include "python/convert.h"
#include "python/value.h"

/* Placement groups: made, waited for, removed, asked for. */

#define ANSWER_TIMEOUT (60 * USEC_PER_SEC)

static int group_argument(const char *bytes, Py_ssize_t len, GroupId *ret) {
    if (len != sizeof(*ret)) {
        PyErr_SetString(PyExc_ValueError, "a placement group's id has 18 bytes");
        return -1;
    }
    memcpy(ret, bytes, sizeof(*ret));
    return 0;
}

static int bundles_argument(PyObject *bundles, PyObject *labels, Arena *arena, GroupInfo *info) {
    info->bundles_len = (size_t)PyList_Size(bundles);
    info->bundles = arena_array(arena, Bundle, info->bundles_len);
    size_t selectors = (size_t)PyList_Size(labels);
    for (size_t i = 0; i < info->bundles_len; i++) {
        Bundle *bundle = &info->bundles[i];
        const Resource *resources;
        bundle->index = (uint32_t)i;
        if (resources_argument(PyList_GetItem(bundles, (Py_ssize_t)i), arena, &resources,
                               &bundle->resources_len) < 0)
            return -1;
        bundle->resources = (Resource *)(uintptr_t)resources;
        if (i < selectors && labels_argument(PyList_GetItem(labels, (Py_ssize_t)i), arena,
                                             &bundle->labels, &bundle->labels_len) < 0)
            return -1;
    }
    return 0;
}

static void group_id_make(State *state, GroupId *ret) {
    CoreCurrent current;
    core_current(state->core, &current);
    id_random(ret);
    memcpy(ret->byte + sizeof(*ret) - sizeof(JobId), current.job.byte, sizeof(JobId));
}

/* group_create(name, namespace, strategy, [bundles], [selectors], detached, soft target or None,
 * topology label) -> id bytes, or the sentence that says why not */
static PyObject *group_create(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *name, *namespace_, *target, *topology;
    Py_ssize_t target_len;
    int strategy, detached;
    PyObject *bundles, *labels;
    _cleanup_arena_ Arena arena = { 0 };
    if (!PyArg_ParseTuple(args, "sziO!O!pz#s", &name, &namespace_, &strategy, &PyList_Type,
                          &bundles, &PyList_Type, &labels, &detached, &target, &target_len,
                          &topology) ||
        state_need_core(state) < 0)
        return NULL;
    GroupInfo info = { .name = slice_str(name),
                       .namespace = slice_str(namespace_),
                       .strategy = (uint8_t)strategy,
                       .detached = detached,
                       .topology = slice_str(topology) };
    if (bundles_argument(bundles, labels, &arena, &info) < 0)
        return NULL;
    if (target && target_len == sizeof(info.soft_target))
        memcpy(&info.soft_target, target, sizeof(info.soft_target));
    CoreCurrent current;
    core_current(state->core, &current);
    info.actor = current.actor;
    group_id_make(state, &info.group);
    int r;
    CORE_WAIT(state, r = core_group_create(core, &info, ANSWER_TIMEOUT));
    if (r == CORE_EXISTS)
        return PyUnicode_FromFormat("Failed to create placement group '%s' because name '%s' "
                                    "already exists.",
                                    ID_HEX(&info.group), name);
    if (r == CORE_TIMEOUT)
        r = error_origin(-ETIMEDOUT, "gcs did not answer within 60 s");
    if (r < 0)
        return raise_error(r);
    return PyBytes_FromStringAndSize((const char *)info.group.byte, sizeof(info.group));
}

/* group_settle(id): what others can ask for, once it returns */
static PyObject *group_settle(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *bytes;
    Py_ssize_t len;
    GroupId id;
    if (!PyArg_ParseTuple(args, "y#", &bytes, &len) || group_argument(bytes, len, &id) < 0)
        return NULL;
    if (!state->core)
        Py_RETURN_NONE;
    int r;
    CORE_WAIT(state, r = core_group_settle(core, &id, ANSWER_TIMEOUT));
    return r < 0 ? raise_error(r) : Py_NewRef(Py_None);
}

/* group_wait(id, seconds or None) -> True; False: time is over; None: there is none such */
static PyObject *group_wait(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *bytes;
    Py_ssize_t len;
    PyObject *seconds;
    GroupId id;
    usec_t timeout;
    if (!PyArg_ParseTuple(args, "y#O", &bytes, &len, &seconds) ||
        group_argument(bytes, len, &id) < 0 || timeout_argument(seconds, &timeout) < 0 ||
        state_need_core(state) < 0)
        return NULL;
    usec_t deadline = timeout == USEC_INFINITY ? timeout : time_mono_now() + timeout;
    for (;;) {
        usec_t now = time_mono_now();
        usec_t left = deadline == USEC_INFINITY ? deadline : deadline > now ? deadline - now : 0;
        int r;
        CORE_WAIT(state, r = core_group_wait(core, &id, left));
        if (r < 0)
            return raise_error(r);
        if (r == 0)
            Py_RETURN_TRUE;
        if (r == CORE_NOT_FOUND)
            Py_RETURN_NONE;
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (r == CORE_TIMEOUT && time_mono_now() >= deadline)
            Py_RETURN_FALSE;
    }
}

/* group_ready(id, value) -> ObjectRef of the value, once the group has its place */
static PyObject *group_ready(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *bytes;
    Py_ssize_t len;
    PyObject *value;
    GroupId id;
    if (!PyArg_ParseTuple(args, "y#O", &bytes, &len, &value) ||
        group_argument(bytes, len, &id) < 0 || state_need_core(state) < 0)
        return NULL;
    _cleanup_encoder_ Encoder e;
    encoder_init(&e, state);
    if (encode_value(&e, value) != 0)
        return NULL;
    _cleanup_free_ struct iovec *iov = mem_array(struct iovec, encoder_iov_len(&e));
    CoreBlob blob = encoder_blob(&e, iov);
    CoreRef *ref;
    int r = core_group_ready(state->core, &id, &blob, &ref);
    return r < 0 ? raise_error(r) : ref_object(state, ref);
}

/* group_remove(id) */
static PyObject *group_remove(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *bytes;
    Py_ssize_t len;
    GroupId id;
    if (!PyArg_ParseTuple(args, "y#", &bytes, &len) || group_argument(bytes, len, &id) < 0 ||
        state_need_core(state) < 0)
        return NULL;
    int r = core_group_remove(state->core, &id);
    return r < 0 ? raise_error(r) : Py_NewRef(Py_None);
}

/* ---- questions --------------------------------------------------------------------------------- */

static PyObject *bundle_dict(const Bundle *b) {
    return Py_BuildValue("{s:N,s:N,s:y#}", "resources",
                         resources_dict(b->resources, b->resources_len), "labels",
                         labels_dict(b->labels, b->labels_len), "node_id", b->node.byte,
                         (Py_ssize_t)sizeof(b->node));
}

static PyObject *bundles_list(const GroupInfo *g) {
    PyObject *list = PyList_New((Py_ssize_t)g->bundles_len);
    for (size_t i = 0; list && i < g->bundles_len; i++) {
        PyObject *bundle = bundle_dict(&g->bundles[i]);
        if (bundle)
            PyList_SetItem(list, (Py_ssize_t)i, bundle);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *group_dict(const GroupInfo *g) {
    return Py_BuildValue(
        "{s:y#,s:i,s:N,s:N,s:i,s:N,s:O,s:y#,s:y#,s:O,s:I,s:K,s:K}", "id", g->group.byte,
        (Py_ssize_t)sizeof(g->group), "state", (int)g->state, "name", text_object(g->name),
        "namespace", text_object(g->namespace), "strategy", (int)g->strategy, "bundles",
        bundles_list(g), "detached", g->detached ? Py_True : Py_False, "job_id", g->job.byte,
        (Py_ssize_t)sizeof(g->job), "actor_id", g->actor.byte, (Py_ssize_t)sizeof(g->actor),
        "infeasible", g->infeasible ? Py_True : Py_False, "attempts", g->attempts, "created_usec",
        (unsigned long long)g->created_usec, "reserve_usec", (unsigned long long)g->reserve_usec);
}

/* groups() -> [dict], removed ones that are not forgotten too */
static PyObject *groups(PyObject *module, PyObject *none) {
    UNUSED(none);
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    GroupList question = { 0 };
    Groups answer;
    group_list_encode(&question, &body);
    if (ask_gcs(state_of(module), MSG_GROUP_LIST, &body, &out) != 0)
        return PyErr_Occurred() ? NULL : PyList_New(0);
    int r = groups_decode(&answer, out.data, out.len, &arena);
    if (r < 0)
        return raise_error(r);
    PyObject *list = PyList_New((Py_ssize_t)answer.groups_len);
    for (size_t i = 0; list && i < answer.groups_len; i++) {
        PyObject *group = group_dict(&answer.groups[i]);
        if (group)
            PyList_SetItem(list, (Py_ssize_t)i, group);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* group(id or None, name, namespace) -> dict, or None */
static PyObject *group(PyObject *module, PyObject *args) {
    const char *bytes, *name, *namespace_;
    Py_ssize_t len;
    GroupGet question = { 0 };
    if (!PyArg_ParseTuple(args, "z#zz", &bytes, &len, &name, &namespace_) ||
        (bytes && group_argument(bytes, len, &question.group) < 0))
        return NULL;
    question.name = slice_str(name);
    question.namespace = slice_str(namespace_);
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    GroupInfoReply answer;
    group_get_encode(&question, &body);
    int r = ask_gcs(state_of(module), MSG_GROUP_GET, &body, &out);
    if (r < 0)
        return NULL;
    if (r == CORE_NOT_FOUND)
        Py_RETURN_NONE;
    r = group_info_reply_decode(&answer, out.data, out.len, &arena);
    return r < 0 ? raise_error(r) : group_dict(&answer.info);
}

PyMethodDef group_functions[] = {
    { "group_create", group_create, METH_VARARGS, NULL },
    { "group_settle", group_settle, METH_VARARGS, NULL },
    { "group_wait", group_wait, METH_VARARGS, NULL },
    { "group_ready", group_ready, METH_VARARGS, NULL },
    { "group_remove", group_remove, METH_VARARGS, NULL },
    { "groups", groups, METH_NOARGS, NULL },
    { "group", group, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};
