/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/field.h"

#include "base/error.h"

enum {
    LONG_LENGTH = 0xffff,
    SHORT_HEAD = 4,
    LONG_HEAD = 8
};

int wire_next(WireReader *reader, WireField *ret_field) {
    const char *at = reader->data;
    if (reader->len == 0)
        return 0;
    if (reader->len < SHORT_HEAD)
        return -EPROTO;
    uint16_t tag, short_len;
    memcpy(&tag, at, 2);
    memcpy(&short_len, at + 2, 2);
    size_t head = SHORT_HEAD, len = short_len;
    if (short_len == LONG_LENGTH) {
        uint32_t long_len;
        if (reader->len < LONG_HEAD)
            return -EPROTO;
        memcpy(&long_len, at + 4, 4);
        head = LONG_HEAD;
        len = long_len;
    }
    if (reader->len - head < len)
        return -EPROTO;
    *ret_field = (WireField){ tag, { at + head, len } };
    reader->data = at + head + len;
    reader->len -= head + len;
    return 1;
}

static size_t put_head(Buf *out, unsigned tag, size_t len) {
    char head[LONG_HEAD];
    uint16_t tag16 = (uint16_t)tag;
    ASSERT(len <= UINT32_MAX);
    memcpy(head, &tag16, 2);
    if (len < LONG_LENGTH) {
        uint16_t short_len = (uint16_t)len;
        memcpy(head + 2, &short_len, 2);
        buf_add(out, head, SHORT_HEAD);
        return SHORT_HEAD;
    }
    uint16_t mark = LONG_LENGTH;
    uint32_t long_len = (uint32_t)len;
    memcpy(head + 2, &mark, 2);
    memcpy(head + 4, &long_len, 4);
    buf_add(out, head, LONG_HEAD);
    return LONG_HEAD;
}

void wire_put(Buf *out, unsigned tag, const void *data, size_t len) {
    buf_reserve(out, LONG_HEAD + len);
    put_head(out, tag, len);
    buf_add(out, data, len);
}

/* The long form, so that the length can be filled in afterwards without moving the body. */
size_t wire_begin(Buf *out, unsigned tag) {
    char head[LONG_HEAD] = { 0 };
    uint16_t tag16 = (uint16_t)tag, mark = LONG_LENGTH;
    memcpy(head, &tag16, 2);
    memcpy(head + 2, &mark, 2);
    buf_add(out, head, LONG_HEAD);
    return out->len;
}

void wire_end(Buf *out, size_t at) {
    ASSERT(at >= LONG_HEAD && at <= out->len && out->len - at <= UINT32_MAX);
    uint32_t len = (uint32_t)(out->len - at);
    memcpy(out->data + at - 4, &len, 4);
}
