/* SPDX-License-Identifier: Apache-2.0 */
#include "net/bytes.h"

NetBytes *net_bytes_make(size_t len) {
    NetBytes *bytes = mem_alloc(sizeof(NetBytes) + len);
    bytes->refs = 1;
    bytes->len = len;
    return bytes;
}

NetBytes *net_bytes_new(const void *data, size_t len) {
    NetBytes *bytes = net_bytes_make(len);
    if (len)
        memcpy(bytes->data, data, len);
    return bytes;
}

NetBytes *net_bytes_ref(NetBytes *bytes) {
    bytes->refs++;
    return bytes;
}

NetBytes *net_bytes_unref(NetBytes *bytes) {
    if (bytes && --bytes->refs == 0)
        mem_free(bytes);
    return NULL;
}
