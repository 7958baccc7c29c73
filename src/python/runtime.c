/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "model/ids.h"
#include "python/module.h"

/* Connecting, leaving, functions exported by hash, and what the runtime knows of itself. */

PyObject *raise_error(int code) {
    if (code == -EINTR && PyErr_Occurred())
        return NULL; /* a signal's handler raised: see interrupted() */
    const char *name = "RaySystemError", *text = error_text(code);
    switch (code) {
    case -ENOSPC:
        name = "ObjectStoreFullError";
        break;
    case -EACCES:
        name = "AuthenticationError";
        break;
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ENOENT:
        PyErr_SetString(PyExc_ConnectionError, text);
        return NULL;
    case -ETIMEDOUT:
        PyErr_SetString(PyExc_TimeoutError, text);
        return NULL;
    default:
        break;
    }
    _cleanup_py_ PyObject *message =
        PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    _cleanup_py_ PyObject *exceptions = PyImport_ImportModule("ray.exceptions");
    _cleanup_py_ PyObject *type = exceptions ? PyObject_GetAttrString(exceptions, name) : NULL;
    if (type && message)
        PyErr_SetObject(type, message);
    return NULL;
}

/* A signal came while this thread waits without the lock: its handler runs, and may raise. */
static bool interrupted(void *none) {
    UNUSED(none);
    PyGILState_STATE held = PyGILState_Ensure();
    bool raised = PyErr_CheckSignals() < 0;
    PyGILState_Release(held);
    return raised;
}

/* connect(role, socket, token, worker id, startup token, job config, namespace, submission,
 *         seconds) */
static PyObject *runtime_connect(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    CoreOptions options = { 0 };
    int role, r;
    const char *worker;
    Py_ssize_t token_len = 0, worker_len = 0;
    unsigned long long startup;
    double seconds;
    if (!PyArg_ParseTuple(args, "isz#z#Kzzzd", &role, &options.raylet_socket, &options.token,
                          &token_len, &worker, &worker_len, &startup, &options.job_config,
                          &options.namespace_, &options.submission, &seconds))
        return NULL;
    if (state->core) {
        PyErr_SetString(PyExc_RuntimeError, "this process is connected already");
        return NULL;
    }
    options.role = (Role)role;
    options.token_len = (size_t)token_len;
    options.startup_token = startup;
    options.timeout = (usec_t)(seconds * USEC_PER_SEC);
    options.interrupted = interrupted;
    options.cancel_signal = SIGINT; /* its handler is execution._on_cancel */
    if (worker && worker_len == sizeof(options.worker))
        memcpy(&options.worker, worker, sizeof(options.worker));
    Core *core = NULL;
    Py_BEGIN_ALLOW_THREADS r = core_connect(&options, &core);
    Py_END_ALLOW_THREADS if (r < 0) return raise_error(r);
    state->core = core;
    state->session++;
    Py_RETURN_NONE;
}

/* disconnect(exit code): others that wait in the core come out of it first. */
static PyObject *runtime_disconnect(PyObject *module, PyObject *code) {
    State *state = state_of(module);
    int exit_code = (int)PyLong_AsLong(code);
    if (PyErr_Occurred())
        return NULL;
    Core *core = TAKE(state->core);
    if (!core)
        Py_RETURN_NONE;
    Py_CLEAR(state->actor);
    Py_CLEAR(state->dispatch);
    Py_CLEAR(state->batch);
    state->task = NULL; /* of the code that calls this, maybe: it goes with the session */
    core_leave(core);
    Py_CLEAR(state->last_function);
    PyDict_Clear(state->functions);
    usec_t end = time_mono_now() + 2 * USEC_PER_SEC;
    bool quiet;
    while (!(quiet = state->users == 0) && time_mono_now() < end) {
        Py_BEGIN_ALLOW_THREADS nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
        Py_END_ALLOW_THREADS
    }
    if (!quiet) /* a thread hangs in the core: what it uses must stay */
        Py_RETURN_FALSE;
    Py_BEGIN_ALLOW_THREADS core_disconnect(core, exit_code);
    Py_END_ALLOW_THREADS Py_RETURN_TRUE;
}

static PyObject *is_connected(PyObject *module, PyObject *none) {
    UNUSED(none);
    return PyBool_FromLong(state_of(module)->core != NULL);
}

static PyObject *is_alive(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return PyBool_FromLong(state->core && core_alive(state->core));
}

static PyObject *session(PyObject *module, PyObject *none) {
    UNUSED(none);
    return PyLong_FromUnsignedLongLong(state_of(module)->session);
}

static PyObject *info(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    if (state_need_core(state) < 0)
        return NULL;
    const CoreInfo *i = core_info(state->core);
    return Py_BuildValue(
        "{s:K,s:y#,s:y#,s:y#,s:y#,s:z,s:z,s:z,s:z,s:z,s:z,s:z,s:z,s:z,s:z,s:I,s:I}", "peer",
        (unsigned long long)i->peer, "worker_id", i->worker.byte, (Py_ssize_t)sizeof(i->worker),
        "node_id", i->node.byte, (Py_ssize_t)sizeof(i->node), "job_id", i->job.byte,
        (Py_ssize_t)sizeof(i->job), "cluster_id", i->cluster.byte, (Py_ssize_t)sizeof(i->cluster),
        "session_dir", i->session_dir, "session_name", i->session_name, "node_ip", i->node_ip,
        "gcs_address", i->gcs_address, "dashboard_url", i->dashboard_url, "namespace",
        i->namespace_, "raylet_socket", i->raylet_socket, "settings", i->settings, "node_name",
        i->node_name, "hostname", i->hostname, "metrics_port", i->metrics_port, "raylet_port",
        i->raylet_port);
}

static PyObject *current(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    if (state_need_core(state) < 0)
        return NULL;
    CoreCurrent now;
    core_current(state->core, &now);
    return Py_BuildValue(
        "{s:N,s:N,s:N,s:I}", "job_id", id_object(state->job_id, &now.job, sizeof(now.job)),
        "task_id", id_object(state->task_id, &now.task, sizeof(now.task)), "actor_id",
        id_object(state->actor_id, &now.actor, sizeof(now.actor)), "restarts", now.restarts);
}

static PyObject *assigned(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    if (state_need_core(state) < 0)
        return NULL;
    _cleanup_free_ char *text = core_assigned(state->core);
    return PyUnicode_FromString(text ? text : "{}");
}

static PyObject *counts(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    if (state_need_core(state) < 0)
        return NULL;
    CoreCounts c;
    core_counts(state->core, &c);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "refs_owned", c.refs_owned,
                         "refs_borrowed", c.refs_borrowed, "tasks_pending", c.tasks_pending,
                         "values_bytes", c.values_bytes, "leases", c.leases, "peers", c.peers,
                         "calls_waiting", c.calls_waiting, "frames_sent", c.frames_sent,
                         "frames_received", c.frames_received, "frames_relayed", c.frames_relayed);
}

/* ---- functions by hash ------------------------------------------------------------------------- */

static PyObject *hash_bytes(PyObject *module, PyObject *bytes) {
    UNUSED(module);
    char *data;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(bytes, &data, &len) < 0)
        return NULL;
    Hash hash;
    core_hash(data, (size_t)len, &hash);
    return PyBytes_FromStringAndSize((const char *)hash.byte, sizeof(hash));
}

/* export(bytes) -> hash bytes, once the cluster has them. */
static PyObject *export(PyObject *module, PyObject *bytes) {
    State *state = state_of(module);
    char *data;
    Py_ssize_t len;
    int r;
    if (PyBytes_AsStringAndSize(bytes, &data, &len) < 0 || state_need_core(state) < 0)
        return NULL;
    Hash hash;
    core_hash(data, (size_t)len, &hash);
    CORE_WAIT(state, r = core_export(core, &hash, data, (size_t)len, 60 * USEC_PER_SEC));
    if (r == CORE_TIMEOUT)
        r = error_origin(-ETIMEDOUT, "gcs did not take a function within 60 s");
    if (r < 0)
        return raise_error(r);
    return PyBytes_FromStringAndSize((const char *)hash.byte, sizeof(hash));
}

/* import_(hash bytes, seconds) -> bytes, or None when nobody exported them in time. */
static PyObject *import_(PyObject *module, PyObject *args) {
    State *state = state_of(module);
    const char *bytes;
    Py_ssize_t len;
    double seconds;
    int r;
    Hash hash;
    if (!PyArg_ParseTuple(args, "y#d", &bytes, &len, &seconds) || state_need_core(state) < 0)
        return NULL;
    if (len != sizeof(hash)) {
        PyErr_SetString(PyExc_ValueError, "a hash has 28 bytes");
        return NULL;
    }
    memcpy(&hash, bytes, sizeof(hash));
    _cleanup_buf_ Buf out = { 0 };
    CORE_WAIT(state, r = core_import(core, &hash, (usec_t)(seconds * USEC_PER_SEC), &out));
    if (r == CORE_TIMEOUT)
        Py_RETURN_NONE;
    if (r < 0)
        return raise_error(r);
    return PyBytes_FromStringAndSize(out.data, (Py_ssize_t)out.len);
}

/* ---- lines of workers ---------------------------------------------------------------------------- */

static PyObject *log_fd(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    return state_need_core(state) < 0 ? NULL : PyLong_FromLong(core_log_fd(state->core));
}

static PyObject *text_of(Slice slice) {
    return PyUnicode_DecodeUTF8(slice.data, (Py_ssize_t)slice.len, "replace");
}

/* The next batch as a dict, or None. */
static PyObject *log_take(PyObject *module, PyObject *none) {
    UNUSED(none);
    State *state = state_of(module);
    _cleanup_buf_ Buf body = { 0 };
    if (!state->core || !core_log_take(state->core, &body))
        Py_RETURN_NONE;
    _cleanup_arena_ Arena arena = { 0 };
    LogLines lines;
    int r = log_lines_decode(&lines, body.data, body.len, &arena);
    if (r < 0)
        return raise_error(r);
    _cleanup_py_ PyObject *list = PyList_New((Py_ssize_t)lines.lines_len);
    for (size_t i = 0; list && i < lines.lines_len; i++)
        PyList_SetItem(list, (Py_ssize_t)i, text_of(lines.lines[i]));
    return list ? Py_BuildValue("{s:I,s:N,s:O,s:N,s:N}", "pid", lines.pid, "ip", text_of(lines.ip),
                                "lines", list, "is_err", PyBool_FromLong(lines.is_err), "name",
                                text_of(lines.name))
                : NULL;
}

/* ---- this process ---------------------------------------------------------------------------------- */

/* Where the kernel finds our command line: fields 48 and 49 of /proc/self/stat. */
static bool command_line(char **ret_start, size_t *ret_len) {
    _cleanup_buf_ Buf text = { 0 };
    if (file_read("/proc/self/stat", 4096, &text) < 0)
        return false;
    const char *at = strrchr(text.data, ')'); /* the name may hold anything: count after it */
    unsigned long long start = 0, end = 0;
    for (int field = 2; at && field < 48; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, "%llu %llu", &start, &end) != 2 || end <= start)
        return false;
    *ret_start = (char *)(uintptr_t)start;
    *ret_len = end - start;
    return true;
}

/* set_title(text): what ps shows; cut to the length of the original command line. */
static PyObject *set_title(PyObject *module, PyObject *title) {
    UNUSED(module);
    const char *text = PyUnicode_AsUTF8AndSize(title, NULL);
    char *start;
    size_t len;
    if (!text)
        return NULL;
    prctl(PR_SET_NAME, text, 0, 0, 0);
    if (command_line(&start, &len)) {
        memset(start, 0, len);
        memcpy(start, text, MIN(strlen(text), len - 1));
    }
    Py_RETURN_NONE;
}

/* actor_exited(text): tells gcs that this actor ends because it wants to. */
static PyObject *actor_exited(PyObject *module, PyObject *text) {
    State *state = state_of(module);
    const char *sentence = PyUnicode_AsUTF8AndSize(text, NULL);
    if (!sentence || state_need_core(state) < 0)
        return NULL;
    CoreCurrent now;
    core_current(state->core, &now);
    ActorExited exited = { .actor = now.actor, .text = slice_str(sentence) };
    _cleanup_buf_ Buf body = { 0 };
    actor_exited_encode(&exited, &body);
    int r = core_send(state->core, PEER_GCS, MSG_ACTOR_EXITED, &body);
    if (r < 0)
        return raise_error(r);
    Py_RETURN_NONE;
}

PyMethodDef runtime_functions[] = {
    { "set_title", set_title, METH_O, NULL },
    { "actor_exited", actor_exited, METH_O, NULL },
    { "connect", runtime_connect, METH_VARARGS, NULL },
    { "disconnect", runtime_disconnect, METH_O, NULL },
    { "is_connected", is_connected, METH_NOARGS, NULL },
    { "is_alive", is_alive, METH_NOARGS, NULL },
    { "session", session, METH_NOARGS, NULL },
    { "info", info, METH_NOARGS, NULL },
    { "current", current, METH_NOARGS, NULL },
    { "assigned", assigned, METH_NOARGS, NULL },
    { "counts", counts, METH_NOARGS, NULL },
    { "hash_bytes", hash_bytes, METH_O, NULL },
    { "export", export, METH_O, NULL },
    { "import_", import_, METH_VARARGS, NULL },
    { "log_fd", log_fd, METH_NOARGS, NULL },
    { "log_take", log_take, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};
