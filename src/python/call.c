/* SPDX-License-Identifier: Apache-2.0 */
#include "python/call.h"

#include "model/ids.h"
#include "python/convert.h"
#include "python/value.h"

enum {
    ARGUMENTS_INLINE_MAX = 10 * 1024 * 1024 /* of one call; what comes after is put */
};

/* ---- arguments ------------------------------------------------------------------------------ */

PyObject *argument_at(const Arguments *a, size_t i) {
    return a->vector ? a->vector[i] : PyTuple_GetItem(a->tuple, (Py_ssize_t)i);
}

size_t arguments_keywords(const Arguments *a) {
    return (size_t)(a->names ? PyTuple_Size(a->names) : a->dict ? PyDict_Size(a->dict) : 0);
}

bool arguments_next(const Arguments *a, Py_ssize_t *pos, PyObject **ret_name,
                    PyObject **ret_value) {
    if (a->dict)
        return PyDict_Next(a->dict, pos, ret_name, ret_value);
    if (!a->names || *pos >= PyTuple_Size(a->names))
        return false;
    *ret_name = PyTuple_GetItem(a->names, *pos);
    *ret_value = a->vector[a->len + (size_t)*pos];
    *pos += 1;
    return true;
}

static PyObject *arguments_tuple(const Arguments *a) {
    if (a->tuple)
        return Py_NewRef(a->tuple);
    PyObject *tuple = PyTuple_New((Py_ssize_t)a->len);
    for (size_t i = 0; tuple && i < a->len; i++)
        PyTuple_SetItem(tuple, (Py_ssize_t)i, Py_NewRef(a->vector[i]));
    return tuple;
}

static PyObject *arguments_dict(const Arguments *a) {
    PyObject *dict = PyDict_New(), *name, *value;
    for (Py_ssize_t pos = 0; dict && arguments_next(a, &pos, &name, &value);)
        if (PyDict_SetItem(dict, name, value) < 0)
            Py_CLEAR(dict);
    return dict;
}

/* ---- do they fit the signature? --------------------------------------------------------------- */

/* The index of a keyword among the names that a keyword may give, or -1. */
static int name_index(const CallObject *call, PyObject *name) {
    Py_ssize_t count = PyTuple_Size(call->names);
    for (Py_ssize_t i = call->positional_only; i < count; i++)
        if (PyTuple_GetItem(call->names, i) == name) /* both are interned, nearly always */
            return (int)i;
    for (Py_ssize_t i = call->positional_only; i < count; i++)
        if (PyUnicode_Compare(PyTuple_GetItem(call->names, i), name) == 0)
            return (int)i;
    return -1;
}

static bool arguments_fit(const CallObject *call, const Arguments *a) {
    size_t given = a->len;
    if (given > call->positional) {
        if (!call->any_positional)
            return false;
        given = call->positional;
    }
    uint64_t have = given == 64 ? UINT64_MAX : ((uint64_t)1 << given) - 1;
    PyObject *name, *value;
    for (Py_ssize_t pos = 0; arguments_next(a, &pos, &name, &value);) {
        int index = name_index(call, name);
        if (index < 0) {
            if (!call->any_keyword)
                return false;
            continue;
        }
        uint64_t bit = (uint64_t)1 << index;
        if (have & bit)
            return false;
        have |= bit;
    }
    return (call->required & ~have) == 0;
}

static int bind_slowly(CallObject *call, const Arguments *a) {
    _cleanup_py_ PyObject *tuple = arguments_tuple(a), *dict = arguments_dict(a);
    if (!tuple || !dict)
        return -1;
    _cleanup_py_ PyObject *done = HOOK_CALL(call->state, HOOK_BIND, (PyObject *)call, tuple, dict);
    return done ? 0 : -1;
}

/* In this session, and in the placement group that is inherited now. */
static bool prepared(const CallObject *call) {
    return call->template_ && call->session == call->state->session &&
           (!call->state->core || call->capture_epoch == core_capture_epoch(call->state->core));
}

int call_ready(CallObject *call, const Arguments *a) {
    if (UNLIKELY(!prepared(call))) {
        _cleanup_py_ PyObject *done = HOOK_CALL(call->state, HOOK_PREPARE, (PyObject *)call);
        if (!done)
            return -1;
        if (!prepared(call)) {
            PyErr_SetString(PyExc_SystemError, "the call was not prepared");
            return -1;
        }
    }
    if (LIKELY(call->checked && arguments_fit(call, a)))
        return 0;
    return bind_slowly(call, a);
}

/* ---- packing ------------------------------------------------------------------------------------ */

/*
 * The argument list: u32 positional ones, u32 keyword ones, then each: a value, or 'A' where a
 * top-level reference stands for the argument. Before a keyword's value comes its name, a value.
 */
struct PackedArguments {
    Encoder encoder;
    CoreRef **top;
    bool *owned; /* of top: made here for a large argument */
    size_t top_len, top_cap;
};

static void packed_done(PackedArguments *p) {
    for (size_t i = 0; i < p->top_len; i++)
        if (p->owned[i])
            core_ref_drop(p->top[i]);
    free(p->top);
    free(p->owned);
    encoder_done(&p->encoder);
}

static void packed_top(PackedArguments *p, CoreRef *ref, bool owned) {
    if (p->top_len == p->top_cap) {
        p->top_cap = MAX(p->top_cap * 2, (size_t)8);
        p->top = mem_realloc(p->top, p->top_cap * sizeof(*p->top));
        p->owned = mem_realloc(p->owned, p->top_cap * sizeof(*p->owned));
    }
    p->top[p->top_len] = ref;
    p->owned[p->top_len++] = owned;
    encode_u8(&p->encoder, 'A');
}

static int pack_one(PackedArguments *p, CallObject *call, PyObject *value) {
    Encoder *e = &p->encoder;
    if (ref_check(call->state, value)) {
        CoreRef *ref = ref_needed(call->state, value);
        if (ref)
            packed_top(p, ref, false);
        return ref ? 0 : -1;
    }
    e->limit = e->len + (e->len < ARGUMENTS_INLINE_MAX ? CORE_INLINE_MAX : 1024);
    CoreRef *put;
    if (encode_or_put(e, value, &put) == 0) {
        if (put)
            packed_top(p, put, true);
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_TypeError)) { /* not picklable: say which argument of what */
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        PyErr_NormalizeException(&type, &error, &trace);
        _cleanup_py_ PyObject *done =
            HOOK_CALL(call->state, HOOK_ARGUMENT, (PyObject *)call, value, error ? error : Py_None);
        if (done)
            PyErr_Restore(type, error, trace);
        else {
            Py_XDECREF(type);
            Py_XDECREF(error);
            Py_XDECREF(trace);
        }
    }
    return -1;
}

static int pack(PackedArguments *p, CallObject *call, const Arguments *a) {
    Encoder *e = &p->encoder;
    encoder_init(e, call->state);
    e->copy = true;
    encode_u32(e, (uint32_t)a->len);
    encode_u32(e, (uint32_t)arguments_keywords(a));
    for (size_t i = 0; i < a->len; i++)
        if (pack_one(p, call, argument_at(a, i)) < 0)
            return -1;
    PyObject *name, *value;
    for (Py_ssize_t pos = 0; arguments_next(a, &pos, &name, &value);) {
        e->limit = SIZE_MAX;
        if (encode_value(e, name) != 0 || pack_one(p, call, value) < 0)
            return -1;
    }
    return 0;
}

static CoreArgs packed_args(const PackedArguments *p) {
    return (CoreArgs){
        .bytes = p->encoder.base,
        .bytes_len = p->encoder.len,
        .top = p->top,
        .top_len = p->top_len,
        .nested = p->encoder.nested,
        .nested_len = p->encoder.nested_len,
    };
}

int call_pack(CallObject *call, const Arguments *a, int (*use)(void *context, const CoreArgs *args),
              void *context) {
    _cleanup_(packed_done) PackedArguments p = { .top = NULL };
    if (pack(&p, call, a) < 0)
        return -1;
    CoreArgs args = packed_args(&p);
    return use(context, &args);
}

/* ---- sending -------------------------------------------------------------------------------------- */

static PyObject *returned_stream(State *state, CoreRef *whole) {
    _cleanup_py_ PyObject *ref = ref_object(state, whole);
    return ref ? HOOK_CALL(state, HOOK_GENERATOR, ref) : NULL;
}

static PyObject *returned_refs(State *state, CoreRef **refs, int count) {
    if (count == CORE_STREAMING)
        return returned_stream(state, refs[0]);
    if (count == 1 || count == CORE_DYNAMIC)
        return ref_object(state, refs[0]);
    if (count == 0)
        Py_RETURN_NONE;
    PyObject *list = PyList_New(count);
    for (int i = 0; i < count; i++) {
        PyObject *ref = ref_object(state, refs[i]);
        if (list && ref)
            PyList_SetItem(list, i, ref);
        else {
            Py_XDECREF(ref);
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *raise_full(CallObject *call, const CoreActor *actor) {
    _cleanup_py_ PyObject *exceptions = PyImport_ImportModule("ray.exceptions");
    _cleanup_py_ PyObject *type =
        exceptions ? PyObject_GetAttrString(exceptions, "PendingCallsLimitExceeded") : NULL;
    _cleanup_py_ PyObject *text = type ? PyObject_CallMethod(call->spec, "pending_calls_text", "s",
                                                             ID_HEX(core_actor_id(actor)))
                                       : NULL;
    if (text)
        PyErr_SetObject(type, text);
    return NULL;
}

/* In a concurrent actor only the caller's context knows which of its calls makes this one. */
static bool call_parent(State *state, TaskId *ret_task) {
    _cleanup_py_ PyObject *id = PyObject_CallNoArgs(state->context);
    if (!id)
        PyErr_Clear();
    if (!id || Py_TYPE(id) != state->task_id)
        return false;
    memcpy(ret_task, ((IdObject *)id)->byte, sizeof(*ret_task));
    return true;
}

PyObject *call_send(CallObject *call, CoreActor *actor, const Arguments *a) {
    if (call_ready(call, a) < 0)
        return NULL;
    _cleanup_(packed_done) PackedArguments p;
    p.top = NULL;
    p.owned = NULL;
    p.top_len = p.top_cap = 0;
    if (pack(&p, call, a) < 0)
        return NULL;
    CoreArgs args = packed_args(&p);
    State *state = call->state;
    TaskId parent;
    if (UNLIKELY(state->context != NULL) && call_parent(state, &parent))
        args.parent = &parent;
    if (state_need_core(state) < 0)
        return NULL; /* packing may run user code that shuts down */
    size_t count = (size_t)MAX(call->num_returns, 0);
    CoreRef *few[8], **refs = few;
    _cleanup_free_ CoreRef **many = NULL;
    if (count > ARRAY_LEN(few))
        refs = many = mem_array(CoreRef *, count);
    int r = actor ? core_actor_submit(state->core, actor, call->template_, &args, refs)
                  : core_submit(state->core, call->template_, &args, refs);
    if (r == CORE_FULL)
        return raise_full(call, actor);
    return r < 0 ? raise_error(r) : returned_refs(state, refs, call->num_returns);
}

/* ---- the type --------------------------------------------------------------------------------------- */

static PyObject *call_call(PyObject *self, PyObject *tuple, PyObject *dict) {
    Arguments a = { .tuple = tuple, .len = (size_t)PyTuple_Size(tuple), .dict = dict };
    return call_send((CallObject *)self, NULL, &a);
}

static PyObject *call_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    UNUSED(kwargs);
    PyObject *spec;
    State *state = PyType_GetModuleState(type);
    if (!state || !PyArg_ParseTuple(args, "O", &spec))
        return NULL;
    CallObject *call = (CallObject *)PyType_GenericAlloc(type, 0);
    if (call) {
        call->state = state;
        Py_INCREF(state->module);
        call->spec = Py_NewRef(spec);
    }
    return (PyObject *)call;
}

static int call_traverse(PyObject *self, visitproc visit, void *arg) {
    CallObject *call = (CallObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(call->spec);
    Py_VISIT(call->dict);
    Py_VISIT(call->names);
    return 0;
}

static int call_clear(PyObject *self) {
    CallObject *call = (CallObject *)self;
    Py_CLEAR(call->spec);
    Py_CLEAR(call->dict);
    Py_CLEAR(call->names);
    return 0;
}

/* A template of an earlier session went with that session. */
static void call_drop_template(CallObject *call) {
    if (call->template_ && call->session == call->state->session && call->state->core)
        core_template_free(call->template_);
    call->template_ = NULL;
}

static void call_dealloc(PyObject *self) {
    CallObject *call = (CallObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    call_drop_template(call);
    (void)call_clear(self);
    Py_XDECREF(call->state ? call->state->module : NULL);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* signature(names, positional, positional_only, required, any_positional, any_keyword) */
static PyObject *call_signature(PyObject *self, PyObject *args) {
    CallObject *call = (CallObject *)self;
    PyObject *names;
    unsigned positional, positional_only;
    unsigned long long required;
    int any_positional, any_keyword;
    if (!PyArg_ParseTuple(args, "O!IIKpp", &PyTuple_Type, &names, &positional, &positional_only,
                          &required, &any_positional, &any_keyword))
        return NULL;
    size_t count = (size_t)PyTuple_Size(names);
    if (count >= PARAMETERS_MAX || positional > count || positional_only > positional) {
        PyErr_SetString(PyExc_ValueError, "not a signature");
        return NULL;
    }
    py_set(&call->names, Py_NewRef(names));
    call->positional = positional;
    call->positional_only = positional_only;
    call->required = required;
    call->any_positional = any_positional;
    call->any_keyword = any_keyword;
    call->checked = true;
    Py_RETURN_NONE;
}

/* (kind, node bytes or None, soft, group bytes or None, bundle, labels dict or None, spill, fail,
 * capture, [selectors to fall back to]) */
static int strategy_argument(PyObject *tuple, Arena *arena, Strategy *ret) {
    const char *node = NULL, *group = NULL;
    Py_ssize_t node_len, group_len;
    int kind, soft, bundle, spill, fail, capture;
    PyObject *labels, *fallback;
    *ret = (Strategy){ .bundle = -1 };
    if (!PyArg_ParseTuple(tuple, "iz#pz#iOpppO!", &kind, &node, &node_len, &soft, &group,
                          &group_len, &bundle, &labels, &spill, &fail, &capture, &PyList_Type,
                          &fallback))
        return -1;
    ret->kind = (uint8_t)kind;
    ret->soft = soft;
    ret->bundle = bundle;
    ret->spill_on_unavailable = spill;
    ret->fail_on_unavailable = fail;
    ret->capture = capture;
    if (node && node_len == sizeof(ret->node))
        memcpy(&ret->node, node, sizeof(ret->node));
    if (group && group_len == sizeof(ret->group))
        memcpy(&ret->group, group, sizeof(ret->group));
    ret->fallback_len = (size_t)PyList_Size(fallback);
    ret->fallback = arena_array(arena, Selector, ret->fallback_len + 1);
    for (size_t i = 0; i < ret->fallback_len; i++)
        if (labels_argument(PyList_GetItem(fallback, (Py_ssize_t)i), arena, &ret->fallback[i].terms,
                            &ret->fallback[i].terms_len) < 0)
            return -1;
    if (labels == Py_None)
        return 0;
    return labels_argument(labels, arena, &ret->labels, &ret->labels_len);
}

/* prepare(kind, function, name, method, num_returns, resources, placement, strategy, runtime_env,
 *         max_retries, retry_exceptions, options, stream_limit, the function's name where `name` is
 *         the user's, whether its calls are listed): makes the template of this session. */
static PyObject *call_prepare(PyObject *self, PyObject *args) {
    CallObject *call = (CallObject *)self;
    CoreTemplateSpec spec = { 0 };
    _cleanup_arena_ Arena arena = { 0 };
    const char *function;
    Py_ssize_t function_len;
    PyObject *resources, *placement, *strategy;
    int kind, retry_exceptions, listed = 1;
    if (!PyArg_ParseTuple(args, "iz#zziO!OO!zipzI|zp", &kind, &function, &function_len, &spec.name,
                          &spec.method, &spec.num_returns, &PyDict_Type, &resources, &placement,
                          &PyTuple_Type, &strategy, &spec.runtime_env, &spec.max_retries,
                          &retry_exceptions, &spec.options, &spec.stream_limit, &spec.title,
                          &listed))
        return NULL;
    if (state_need_core(call->state) < 0)
        return NULL;
    spec.kind = (CallKind)kind;
    spec.retry_exceptions = retry_exceptions;
    spec.unlisted = !listed;
    if (function && function_len == sizeof(spec.function))
        memcpy(&spec.function, function, sizeof(spec.function));
    if (resources_argument(resources, &arena, &spec.resources, &spec.resources_len) < 0 ||
        strategy_argument(strategy, &arena, &spec.strategy) < 0)
        return NULL;
    if (PyDict_Check(placement) &&
        resources_argument(placement, &arena, &spec.placement, &spec.placement_len) < 0)
        return NULL;
    call_drop_template(call);
    call->template_ = core_template_new(call->state->core, &spec);
    call->session = call->state->session;
    call->capture_epoch = core_capture_epoch(call->state->core);
    call->num_returns = spec.num_returns;
    Py_RETURN_NONE;
}

static PyMethodDef call_methods[] = {
    { "signature", call_signature, METH_VARARGS, NULL },
    { "prepare", call_prepare, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};
static PyMemberDef call_members[] = {
    { "__dictoffset__", T_PYSSIZET, offsetof(CallObject, dict), READONLY, NULL },
    { "spec", T_OBJECT, offsetof(CallObject, spec), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};
static PyGetSetDef call_getset[] = {
    { "__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};
static PyType_Slot call_slots[] = {
    { Py_tp_new, call_new },
    { Py_tp_dealloc, call_dealloc },
    { Py_tp_call, call_call },
    { Py_tp_traverse, call_traverse },
    { Py_tp_clear, call_clear },
    { Py_tp_methods, call_methods },
    { Py_tp_members, call_members },
    { Py_tp_getset, call_getset },
    { 0, NULL },
};
static PyType_Spec call_spec = {
    .name = "ray._mobula.RemoteCall",
    .basicsize = sizeof(CallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = call_slots,
};

int call_init(PyObject *module, State *state) {
    state->remote_call = (PyTypeObject *)PyType_FromModuleAndSpec(module, &call_spec, NULL);
    return state->remote_call ? PyModule_AddType(module, state->remote_call) : -1;
}
