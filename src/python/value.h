/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Values as bytes. A value is a tag and what follows it:
 *     N T F            None, True, False
 *     i i64   d f64    exact int of 64 bits, float
 *     s b              str (UTF-8), bytes: u32 length, bytes     S B: the same with a u64 length
 *     ( [ {            tuple, list, dict: u32 count, then the items (dict: key, value, key, ..)
 *     r                an ObjectRef: id, owner's peer id, owner's worker id
 *     P                pickle 5: u32 buffers, u64 size of all, u64 size of the in-band bytes, a pair of u64
 *                      (offset from the tag, length) a buffer, the in-band bytes, the buffers
 * A value whose parts are not all of these is one P. Sharing inside a value is kept: what would
 * lose it (the same list twice) is a P too. In the store a P's buffers are aligned to 64 bytes.
 */

#include "python/module.h"

typedef struct EncoderPart { /* bytes that are not copied */
    size_t at;               /* they come after this many bytes of `base` */
    const void *data;
    size_t len;
} EncoderPart;

typedef struct Encoder {
    State *state;
    uint8_t *base;
    size_t len, cap;
    size_t limit;   /* of len: beyond it encode_value() answers ENCODE_TOO_BIG */
    size_t outside; /* bytes in parts */
    bool copy;      /* no parts: everything into base */
    EncoderPart *parts;
    size_t parts_len, parts_cap;
    CoreRef **nested;    /* references met, kept alive by `keep` */
    size_t nested_len, nested_cap;
    PyObject *keep;      /* list of what parts and nested point into, or NULL */
    uint8_t fixed[1024]; /* where base begins */
} Encoder;

enum {
    ENCODE_TOO_BIG = 1
};

void encoder_init(Encoder *encoder, State *state);
void encoder_done(Encoder *encoder);
#define _cleanup_encoder_ _cleanup_(encoder_done)

/* 0, ENCODE_TOO_BIG (nothing was added then), or -1 with an exception. */
int encode_value(Encoder *encoder, PyObject *value);
void encode_bytes(Encoder *encoder, const void *data, size_t len);
static inline void encode_u8(Encoder *encoder, uint8_t byte) {
    encode_bytes(encoder, &byte, 1);
}
static inline void encode_u32(Encoder *encoder, uint32_t number) {
    encode_bytes(encoder, &number, sizeof(number));
}
/* Keeps `object` until encoder_done(). */
void encoder_keep(Encoder *encoder, PyObject *object);
void encoder_nested(Encoder *encoder, CoreRef *ref);
/* The whole as a blob, into `iov` (encoder_iov_len() entries). Borrowed from the encoder. */
size_t encoder_iov_len(const Encoder *encoder);
CoreBlob encoder_blob(const Encoder *encoder, struct iovec *iov);
/* Encodes `value` alone and puts it into the store; a new reference, NULL with an exception. */
CoreRef *put_value(State *state, PyObject *value);
/* An argument: encoded if it fits below `limit`, else put (*ret_put, owned; else NULL).
 * 0, or -1 with an exception. */
int encode_or_put(Encoder *encoder, PyObject *value, CoreRef **ret_put);

typedef struct Decoder {
    State *state;
    const uint8_t *start, *at, *end;
    PyObject *pinned; /* keeps the bytes: buffers point into them. NULL: they are copied */
    unsigned depth;
} Decoder;

/* New reference, or NULL with an exception; advances. */
PyObject *decode_value(Decoder *decoder);
_must_check_ int decode_take(Decoder *decoder, void *ret, size_t len);
/* What get() gives for it; takes `value` (releases it, or lets the result hold it). An ERROR
 * becomes an exception object, not raised, and *ret_error is set. `ref` may be NULL. */
PyObject *value_object(State *state, CoreValue *value, PyObject *ref, bool *ret_error);
