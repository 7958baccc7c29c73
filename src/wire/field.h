/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A body is a row of fields: u16 tag, u16 length, the bytes. A length of 0xffff means that a u32
 * length follows. Scalars are little-endian of their natural size; ids are their bytes; a nested
 * record is a body. Unknown tags are skipped by whoever reads.
 */

#include "base/str.h"

typedef struct WireField {
    unsigned tag;
    Slice value; /* borrowed from the body */
} WireField;

typedef struct WireReader {
    const void *data;
    size_t len;
} WireReader;

/* 1: *ret_field is the next one; 0: the end; -EPROTO: cut short. */
int wire_next(WireReader *reader, WireField *ret_field);

void wire_put(Buf *out, unsigned tag, const void *data, size_t len);
/* A field whose length is known later: begin, append the body to `out`, end. */
size_t wire_begin(Buf *out, unsigned tag);
void wire_end(Buf *out, size_t at);
