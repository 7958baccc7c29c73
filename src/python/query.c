/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ids.h"
#include "model/resources.h"
#include "python/convert.h"

/* Questions to gcs: nodes, actors, its key-value table. Each waits for the answer. */

static PyObject *node_dict(State *state, const NodeInfo *n) {
    UNUSED(state);
    return Py_BuildValue(
        "{s:y#,s:i,s:i,s:N,s:N,s:N,s:N,s:O,s:N,s:N,s:N,s:N,s:I,s:I,s:N,s:K}", "node_id",
        n->node.byte, (Py_ssize_t)sizeof(n->node), "index", (int)n->index, "state", (int)n->state,
        "address", text_object(n->address), "ip", text_object(n->ip), "hostname",
        text_object(n->hostname), "name", text_object(n->name), "head",
        n->head ? Py_True : Py_False, "total", resources_dict(n->total, n->total_len), "available",
        resources_dict(n->available, n->available_len), "labels",
        labels_dict(n->labels, n->labels_len), "raylet_socket", text_object(n->raylet_socket),
        "agent_port", n->agent_port, "metrics_port", n->metrics_port, "death_reason",
        text_object(n->death_reason), "started_ms", (unsigned long long)n->started_wall);
}

/* nodes() -> [dict], dead ones too */
static PyObject *nodes(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    NodeList question = { 0 };
    NodeView view;
    node_list_encode(&question, &body);
    if (ask_gcs(state, MSG_NODE_LIST, &body, &out) != 0)
        return PyErr_Occurred() ? NULL : PyList_New(0);
    int r = node_view_decode(&view, out.data, out.len, &arena);
    if (r < 0)
        return raise_error(r);
    PyObject *list = PyList_New((Py_ssize_t)view.nodes_len);
    for (size_t i = 0; list && i < view.nodes_len; i++) {
        PyObject *node = node_dict(state, &view.nodes[i]);
        if (node)
            PyList_SetItem(list, (Py_ssize_t)i, node);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *actor_dict(const ActorInfo *a) {
    return Py_BuildValue("{s:y#,s:i,s:N,s:N,s:N,s:y#,s:y#,s:I,s:I,s:N,s:N,s:O}", "actor_id",
                         a->actor.byte, (Py_ssize_t)sizeof(a->actor), "state", (int)a->state,
                         "name", text_object(a->name), "namespace", text_object(a->namespace),
                         "class_name", text_object(a->class_name), "job_id", a->job.byte,
                         (Py_ssize_t)sizeof(a->job), "node_id", a->node.byte,
                         (Py_ssize_t)sizeof(a->node), "restarts", a->restarts, "pid", a->pid, "ip",
                         text_object(a->ip), "death_text", text_object(a->death_text), "detached",
                         a->detached ? Py_True : Py_False);
}

/* actors(names only, all namespaces, namespace) -> [dict] */
static PyObject *actors(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    int name_only, all;
    const char *namespace_;
    if (!PyArg_ParseTuple(args, "ppz", &name_only, &all, &namespace_))
        return NULL;
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    ActorList question = { .name_only = name_only,
                           .all_namespaces = all,
                           .namespace = slice_str(namespace_) };
    Actors answer;
    actor_list_encode(&question, &body);
    if (ask_gcs(state, MSG_ACTOR_LIST, &body, &out) != 0)
        return PyErr_Occurred() ? NULL : PyList_New(0);
    int r = actors_decode(&answer, out.data, out.len, &arena);
    if (r < 0)
        return raise_error(r);
    PyObject *list = PyList_New((Py_ssize_t)answer.actors_len);
    for (size_t i = 0; list && i < answer.actors_len; i++) {
        PyObject *actor = actor_dict(&answer.actors[i]);
        if (actor)
            PyList_SetItem(list, (Py_ssize_t)i, actor);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* ---- gcs's key-value table ------------------------------------------------------------------- */

static int kv_ask(State *state, MessageType type, const Buf *body, Buf *out, Arena *arena,
                  KvReply *ret) {
    *ret = (KvReply){ 0 };
    int r = ask_gcs(state, type, body, out);
    if (r)
        return r;
    r = kv_reply_decode(ret, out->data, out->len, arena);
    if (r < 0)
        raise_error(r);
    return r < 0 ? -1 : 0;
}

/* kv_put(space, key, value, overwrite) -> was it added? */
static PyObject *kv_put(PyObject *module, PyObject *args) {
    KvPut put = { 0 };
    const char *space, *key, *value;
    Py_ssize_t key_len, value_len;
    int overwrite;
    if (!PyArg_ParseTuple(args, "sy#y#p", &space, &key, &key_len, &value, &value_len, &overwrite))
        return NULL;
    put.space = slice_str(space);
    put.key = (Slice){ key, (size_t)key_len };
    put.value = (Slice){ value, (size_t)value_len };
    put.overwrite = overwrite;
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    KvReply reply;
    kv_put_encode(&put, &body);
    if (kv_ask(state_of(module), MSG_KV_PUT, &body, &out, &arena, &reply) < 0)
        return NULL;
    return PyBool_FromLong(reply.count > 0);
}

/* kv_get(space, key) -> bytes or None */
static PyObject *kv_get(PyObject *module, PyObject *args) {
    const char *space, *key;
    Py_ssize_t key_len;
    if (!PyArg_ParseTuple(args, "sy#", &space, &key, &key_len))
        return NULL;
    KvGet get = { .space = slice_str(space), .key = { key, (size_t)key_len } };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    KvReply reply;
    kv_get_encode(&get, &body);
    if (kv_ask(state_of(module), MSG_KV_GET, &body, &out, &arena, &reply) < 0)
        return NULL;
    if (!reply.found)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(reply.value.data, (Py_ssize_t)reply.value.len);
}

/* kv_del(space, key, is a prefix) -> how many went */
static PyObject *kv_del(PyObject *module, PyObject *args) {
    const char *space, *key;
    Py_ssize_t key_len;
    int prefix;
    if (!PyArg_ParseTuple(args, "sy#p", &space, &key, &key_len, &prefix))
        return NULL;
    KvDel del = { .space = slice_str(space), .key = { key, (size_t)key_len }, .prefix = prefix };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    KvReply reply;
    kv_del_encode(&del, &body);
    if (kv_ask(state_of(module), MSG_KV_DEL, &body, &out, &arena, &reply) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(reply.count);
}

/* kv_keys(space, prefix) -> [bytes] */
static PyObject *kv_keys(PyObject *module, PyObject *args) {
    const char *space, *prefix;
    Py_ssize_t prefix_len;
    if (!PyArg_ParseTuple(args, "sy#", &space, &prefix, &prefix_len))
        return NULL;
    KvKeys keys = { .space = slice_str(space), .prefix = { prefix, (size_t)prefix_len } };
    _cleanup_buf_ Buf body = { 0 }, out = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    KvReply reply;
    kv_keys_encode(&keys, &body);
    if (kv_ask(state_of(module), MSG_KV_KEYS, &body, &out, &arena, &reply) < 0)
        return NULL;
    PyObject *list = PyList_New((Py_ssize_t)reply.keys_len);
    for (size_t i = 0; list && i < reply.keys_len; i++)
        PyList_SetItem(
            list, (Py_ssize_t)i,
            PyBytes_FromStringAndSize(reply.keys[i].data, (Py_ssize_t)reply.keys[i].len));
    return list;
}

PyMethodDef query_functions[] = {
    { "nodes", nodes, METH_NOARGS, NULL },
    { "actors", actors, METH_VARARGS, NULL },
    { "kv_put", kv_put, METH_VARARGS, NULL },
    { "kv_get", kv_get, METH_VARARGS, NULL },
    { "kv_del", kv_del, METH_VARARGS, NULL },
    { "kv_keys", kv_keys, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};
