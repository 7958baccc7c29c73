/* SPDX-License-Identifier: Apache-2.0 */
#include "python/value.h"

#include "base/mem.h"

enum {
    DEPTH_MAX = 16,       /* of nested containers that C encodes */
    CONTAINERS_MAX = 64,  /* of one value that C encodes: each is compared with each */
    PART_MIN = 16 * 1024, /* bytes from this size on are not copied into the encoder */
    TEXT_MAX = 64 * 1024, /* a longer str is pickled: its UTF-8 form would stay in the object */
    BUFFER_ALIGN = 64,
};

/* ---- the encoder's memory ---------------------------------------------------------------- */

void encoder_init(Encoder *e, State *state) {
    e->state = state;
    e->base = e->fixed;
    e->len = 0;
    e->cap = sizeof(e->fixed);
    e->limit = SIZE_MAX;
    e->outside = 0;
    e->copy = false;
    e->parts = NULL;
    e->parts_len = e->parts_cap = 0;
    e->nested = NULL;
    e->nested_len = e->nested_cap = 0;
    e->keep = NULL;
}

void encoder_done(Encoder *e) {
    if (e->base != e->fixed)
        free(e->base);
    free(e->parts);
    free(e->nested);
    Py_CLEAR(e->keep);
}

static void encoder_grow(Encoder *e, size_t more) {
    size_t cap = MAX(e->cap * 2, e->len + more);
    if (e->base == e->fixed) {
        e->base = mem_alloc(cap);
        memcpy(e->base, e->fixed, e->len);
    } else
        e->base = mem_realloc(e->base, cap);
    e->cap = cap;
}

void encode_bytes(Encoder *e, const void *data, size_t len) {
    if (UNLIKELY(len > e->cap - e->len))
        encoder_grow(e, len);
    memcpy(e->base + e->len, data, len);
    e->len += len;
}

void encoder_keep(Encoder *e, PyObject *object) {
    if (!e->keep)
        e->keep = PyList_New(0);
    if (!e->keep || PyList_Append(e->keep, object) < 0)
        Py_FatalError("out of memory while a value is encoded");
}

void encoder_nested(Encoder *e, CoreRef *ref) {
    if (e->nested_len == e->nested_cap) {
        e->nested_cap = MAX(e->nested_cap * 2, (size_t)8);
        e->nested = mem_realloc(e->nested, e->nested_cap * sizeof(*e->nested));
    }
    e->nested[e->nested_len++] = ref;
}

/* Bytes that stay where they are, unless the encoder wants all in one piece. */
static void encode_outside(Encoder *e, const void *data, size_t len) {
    if (e->copy || len < PART_MIN) {
        encode_bytes(e, data, len);
        return;
    }
    if (e->parts_len == e->parts_cap) {
        e->parts_cap = MAX(e->parts_cap * 2, (size_t)8);
        e->parts = mem_realloc(e->parts, e->parts_cap * sizeof(*e->parts));
    }
    e->parts[e->parts_len++] = (EncoderPart){ e->len, data, len };
    e->outside += len;
}

size_t encoder_iov_len(const Encoder *e) {
    return 2 * e->parts_len + 1;
}

CoreBlob encoder_blob(const Encoder *e, struct iovec *iov) {
    size_t count = 0, at = 0;
    for (size_t i = 0; i < e->parts_len; i++) {
        const EncoderPart *part = &e->parts[i];
        if (part->at > at)
            iov[count++] = (struct iovec){ e->base + at, part->at - at };
        iov[count++] = (struct iovec){ (void *)(uintptr_t)part->data, part->len };
        at = part->at;
    }
    if (e->len > at)
        iov[count++] = (struct iovec){ e->base + at, e->len - at };
    return (CoreBlob){ iov, count, e->nested, e->nested_len };
}

/* ---- encoding what C knows ---------------------------------------------------------------- */

enum {
    PLAIN = 0,
    PLAIN_TOO_BIG = ENCODE_TOO_BIG,
    PLAIN_NOT = 2 /* Python must do it */
};

typedef struct Seen { /* containers met, to notice one that comes twice */
    PyObject *container[CONTAINERS_MAX];
    unsigned len;
} Seen;

static int encode_plain(Encoder *e, PyObject *value, Seen *seen, unsigned depth);

static int encode_int(Encoder *e, PyObject *value) {
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow)
        return PLAIN_NOT;
    uint8_t bytes[9] = { 'i' };
    memcpy(bytes + 1, &number, sizeof(number));
    encode_bytes(e, bytes, sizeof(bytes));
    return PLAIN;
}

static void encode_length(Encoder *e, char tag, size_t len) {
    if (len <= UINT32_MAX) {
        encode_u8(e, (uint8_t)tag);
        encode_u32(e, (uint32_t)len);
    } else {
        uint64_t wide = len;
        encode_u8(e, (uint8_t)(tag - 'a' + 'A'));
        encode_bytes(e, &wide, sizeof(wide));
    }
}

static int encode_text(Encoder *e, PyObject *value) {
    Py_ssize_t len;
    if (PyUnicode_GetLength(value) > TEXT_MAX)
        return PLAIN_NOT;
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);
    if (!text) { /* lone surrogates */
        PyErr_Clear();
        return PLAIN_NOT;
    }
    if ((size_t)len > e->limit - MIN(e->limit, e->len))
        return PLAIN_TOO_BIG;
    encode_length(e, 's', (size_t)len);
    encode_bytes(e, text, (size_t)len);
    return PLAIN;
}

static int encode_binary(Encoder *e, PyObject *value) {
    size_t len = (size_t)PyBytes_Size(value);
    if (len > e->limit - MIN(e->limit, e->len))
        return PLAIN_TOO_BIG;
    encode_length(e, 'b', len);
    if (!e->copy && len >= PART_MIN)
        encoder_keep(e, value);
    encode_outside(e, PyBytes_AsString(value), len);
    return PLAIN;
}

static int encode_ref(Encoder *e, PyObject *value) {
    CoreRef *ref = ref_known(e->state, value);
    if (!ref)
        return PLAIN_NOT;
    WorkerId worker;
    PeerId owner = core_ref_owner(ref, &worker);
    encode_u8(e, 'r');
    encode_bytes(e, ((RefObject *)value)->id.byte, sizeof(ObjectId));
    encode_bytes(e, &owner, sizeof(owner));
    encode_bytes(e, &worker, sizeof(worker));
    encoder_nested(e, ref);
    encoder_keep(e, value);
    return PLAIN;
}

/* A container may come once only: pickle knows how to say "the same again", this does not. */
static bool seen_add(Seen *seen, PyObject *container) {
    if (seen->len == CONTAINERS_MAX)
        return false;
    for (unsigned i = 0; i < seen->len; i++)
        if (seen->container[i] == container)
            return false;
    seen->container[seen->len++] = container;
    return true;
}

static int encode_sequence(Encoder *e, PyObject *value, Seen *seen, unsigned depth) {
    bool tuple = Py_TYPE(value) == &PyTuple_Type;
    Py_ssize_t len = tuple ? PyTuple_Size(value) : PyList_Size(value);
    if (len && (depth == DEPTH_MAX || !seen_add(seen, value)))
        return PLAIN_NOT;
    encode_u8(e, tuple ? '(' : '[');
    encode_u32(e, (uint32_t)len);
    for (Py_ssize_t i = 0; i < len; i++) {
        PyObject *item = tuple ? PyTuple_GetItem(value, i) : PyList_GetItem(value, i);
        int r = encode_plain(e, item, seen, depth + 1);
        if (r)
            return r;
    }
    return PLAIN;
}

static int encode_dict(Encoder *e, PyObject *value, Seen *seen, unsigned depth) {
    Py_ssize_t pos = 0, len = PyDict_Size(value);
    if (len && (depth == DEPTH_MAX || !seen_add(seen, value)))
        return PLAIN_NOT;
    encode_u8(e, '{');
    encode_u32(e, (uint32_t)len);
    for (PyObject *key, *item; PyDict_Next(value, &pos, &key, &item);) {
        int r = encode_plain(e, key, seen, depth + 1);
        if (!r)
            r = encode_plain(e, item, seen, depth + 1);
        if (r)
            return r;
    }
    return PLAIN;
}

static int encode_plain(Encoder *e, PyObject *value, Seen *seen, unsigned depth) {
    if (UNLIKELY(e->len > e->limit))
        return PLAIN_TOO_BIG;
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyLong_Type)
        return encode_int(e, value);
    if (value == Py_None || value == Py_True || value == Py_False) {
        encode_u8(e, value == Py_None ? 'N' : value == Py_True ? 'T' : 'F');
        return PLAIN;
    }
    if (type == &PyUnicode_Type)
        return encode_text(e, value);
    if (type == &PyFloat_Type) {
        double number = PyFloat_AsDouble(value);
        encode_u8(e, 'd');
        encode_bytes(e, &number, sizeof(number));
        return PLAIN;
    }
    if (type == &PyBytes_Type)
        return encode_binary(e, value);
    if (type == &PyTuple_Type || type == &PyList_Type)
        return encode_sequence(e, value, seen, depth);
    if (type == &PyDict_Type)
        return encode_dict(e, value, seen, depth);
    if (type == e->state->object_ref)
        return encode_ref(e, value);
    return PLAIN_NOT;
}

/* ---- encoding what pickle knows ------------------------------------------------------------ */

/* A contiguous view of `buffer`, kept by the encoder. Returns 0 or -1 with an exception. */
static int buffer_view(Encoder *e, PyObject *buffer, const void **ret_data, size_t *ret_len) {
    _cleanup_py_ PyObject *view = PyMemoryView_FromObject(buffer);
    if (!view)
        return -1;
    Py_buffer raw;
    if (PyObject_GetBuffer(view, &raw, PyBUF_SIMPLE) < 0)
        return -1;
    *ret_data = raw.buf;
    *ret_len = (size_t)raw.len;
    /* The memoryview in `keep` holds the memory; this second claim need not. */
    PyBuffer_Release(&raw);
    encoder_keep(e, view);
    return 0;
}

static int collect_refs(Encoder *e, PyObject *refs) {
    Py_ssize_t len = PyList_Size(refs);
    for (Py_ssize_t i = 0; i < len; i++) {
        PyObject *ref = PyList_GetItem(refs, i);
        CoreRef *needed = ref && ref_check(e->state, ref) ? ref_needed(e->state, ref) : NULL;
        if (!needed)
            return -1;
        encoder_nested(e, needed);
    }
    if (len > 0)
        encoder_keep(e, refs);
    return len < 0 ? -1 : 0;
}

/* `pickled` is (bytes, [buffers], [refs]) as HOOK_DUMPS gives it. */
static int encode_pickled(Encoder *e, PyObject *pickled) {
    PyObject *inband = PyTuple_GetItem(pickled, 0), *buffers = PyTuple_GetItem(pickled, 1);
    PyObject *refs = PyTuple_GetItem(pickled, 2);
    if (!inband || !buffers || !refs)
        return -1;
    size_t count = (size_t)PyList_Size(buffers), inband_len = (size_t)PyBytes_Size(inband);
    if (PyErr_Occurred())
        return -1;
    _cleanup_free_ EncoderPart *views = mem_array(EncoderPart, count + 1);
    size_t head = 1 + 4 + 8 + 8 + 16 * count, total = head + inband_len;
    for (size_t i = 0; i < count; i++) {
        PyObject *buffer = PyList_GetItem(buffers, (Py_ssize_t)i);
        if (buffer_view(e, buffer, &views[i].data, &views[i].len) < 0)
            return -1;
        views[i].at = e->copy ? total : ALIGN_UP(total, BUFFER_ALIGN);
        total = views[i].at + views[i].len;
    }
    if (total > e->limit - MIN(e->limit, e->len))
        return ENCODE_TOO_BIG;
    if (collect_refs(e, refs) < 0)
        return -1;
    encoder_keep(e, pickled);
    uint64_t sizes[2] = { total, inband_len };
    encode_u8(e, 'P');
    encode_u32(e, (uint32_t)count);
    encode_bytes(e, sizes, sizeof(sizes));
    for (size_t i = 0; i < count; i++)
        encode_bytes(e, (uint64_t[]){ views[i].at, views[i].len }, 16);
    encode_outside(e, PyBytes_AsString(inband), inband_len);
    size_t at = head + inband_len;
    for (size_t i = 0; i < count; i++) {
        static const uint8_t zeros[BUFFER_ALIGN];
        encode_bytes(e, zeros, views[i].at - at);
        encode_outside(e, views[i].data, views[i].len);
        at = views[i].at + views[i].len;
    }
    return 0;
}

/* 0, PLAIN_TOO_BIG or PLAIN_NOT; nothing was added then. */
static int encode_common(Encoder *e, PyObject *value) {
    Seen seen;
    seen.len = 0;
    size_t len = e->len, parts = e->parts_len, nested = e->nested_len, outside = e->outside;
    int r = encode_plain(e, value, &seen, 0);
    if (r == PLAIN && e->len > e->limit)
        r = PLAIN_TOO_BIG;
    if (LIKELY(r == PLAIN))
        return 0;
    e->len = len;
    e->parts_len = parts;
    e->nested_len = nested;
    e->outside = outside;
    return r;
}

int encode_value(Encoder *e, PyObject *value) {
    int r = encode_common(e, value);
    if (r != PLAIN_NOT)
        return r;
    _cleanup_py_ PyObject *pickled = HOOK_CALL(e->state, HOOK_DUMPS, value);
    return pickled ? encode_pickled(e, pickled) : -1;
}

static CoreRef *put_encoded(const Encoder *e) {
    struct iovec small[8], *iov = small;
    _cleanup_free_ struct iovec *many = NULL;
    if (encoder_iov_len(e) > ARRAY_LEN(small))
        iov = many = mem_array(struct iovec, encoder_iov_len(e));
    CoreBlob blob = encoder_blob(e, iov);
    CoreRef *ref = NULL;
    int r;
    CORE_WAIT(e->state, r = core_put(core, &blob, 60 * USEC_PER_SEC, &ref));
    if (r < 0)
        raise_error(r);
    return r < 0 ? NULL : ref;
}

CoreRef *put_value(State *state, PyObject *value) {
    _cleanup_encoder_ Encoder e;
    encoder_init(&e, state);
    return encode_value(&e, value) == 0 ? put_encoded(&e) : NULL;
}

static CoreRef *put_pickled(State *state, PyObject *pickled) {
    _cleanup_encoder_ Encoder e;
    encoder_init(&e, state);
    return encode_pickled(&e, pickled) == 0 ? put_encoded(&e) : NULL;
}

int encode_or_put(Encoder *e, PyObject *value, CoreRef **ret_put) {
    *ret_put = NULL;
    int r = encode_common(e, value);
    if (r == 0)
        return 0;
    if (r == PLAIN_TOO_BIG) {
        *ret_put = put_value(e->state, value);
        return *ret_put ? 0 : -1;
    }
    _cleanup_py_ PyObject *pickled = HOOK_CALL(e->state, HOOK_DUMPS, value);
    r = pickled ? encode_pickled(e, pickled) : -1;
    if (r == ENCODE_TOO_BIG) {
        *ret_put = put_pickled(e->state, pickled);
        r = *ret_put ? 0 : -1;
    }
    return r;
}
