/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the C API share. A MobulaRef is a CoreRef, a value is the `bytes` of Python's codec
 * (python/value.h), so that objects of C code read as bytes in Python. */

#include <errno.h>
#include <mobula.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

struct Mobula {
    Core *core;
};

struct MobulaLibrary {
    Mobula *mobula;
    Hash hash;
};

/* An exported function or class: the text that a worker finds under the call's hash. */
enum {
    CAPI_SYMBOL_MAX = 255,
    CAPI_LIBRARY_MAX = 64 * 1024 * 1024,
    CAPI_RETURNS_MAX = 64,
};
#define CAPI_MAGIC   "mobula-c"
#define CAPI_TIMEOUT (60 * USEC_PER_SEC)
#define CAPI_ENV     "{\"worker\": \"c\"}" /* raylet/native.c starts a worker without Python for it */

static inline CoreRef *ref_core(MobulaRef *ref) {
    return (CoreRef *)ref;
}
static inline MobulaRef *ref_public(CoreRef *ref) {
    return (MobulaRef *)ref;
}

/* Microseconds of the public API as the runtime's. */
usec_t capi_timeout(int64_t timeout_us);
/* Core's positive answers as ours; the rest as it is. */
int capi_answer(int r);

enum {
    CAPI_HEAD_MAX = 9 /* bytes before a value's own */
};
/* The head of a value of `size` bytes; returns its length. */
size_t capi_value_head(size_t size, uint8_t out[static CAPI_HEAD_MAX]);
/* The bytes of an encoded value; advances *at. -EPROTO: it is something else than bytes. */
_must_check_ int capi_value_decode(const uint8_t **at, const uint8_t *end, Slice *ret_bytes);

/* What get() says of an encoded ErrorInfo; owned. */
char *capi_error_sentence(const void *data, size_t size);

/* `symbol` of the library, made known to the cluster. */
_must_check_ int capi_export(MobulaLibrary *library, const char *symbol, Hash *ret_hash);
/* A template for calls of `spec`, whose resources are `resources` or, without any, `cpus` CPU. */
_must_check_ int capi_template(Mobula *mobula, CoreTemplateSpec *spec,
                               const MobulaResource *resources, size_t len, double cpus,
                               CoreTemplate **ret_template);

/* Arguments on their way into a call. */
typedef struct CapiArgs {
    CoreArgs core;
    uint8_t *bytes;
    CoreRef **top;  /* references among them, then those that were put here */
    size_t put_len; /* of the last ones in `top`: ours */
    uint8_t fixed[1024];
    CoreRef *fixed_top[16];
} CapiArgs;
/* Large ones are put into the store. */
_must_check_ int capi_args(Mobula *mobula, const MobulaArg *args, size_t count, CapiArgs *out);
void capi_args_done(CapiArgs *args);
