/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An input of a fuzz target that is a row of steps: taken from its beginning, nothing but zeros and
 * empty slices behind its end. */

#include "base/base.h"
#include "base/str.h"

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

static inline uint8_t take(Input *in) {
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

/* So many bytes, or what is left. */
static inline Slice take_bytes(Input *in, size_t len) {
    Slice bytes = { (const char *)in->data, MIN(len, in->size) };
    in->data += bytes.len;
    in->size -= bytes.len;
    return bytes;
}

/* A byte, and as many as that says. */
static inline Slice take_slice(Input *in) {
    return take_bytes(in, take(in));
}
