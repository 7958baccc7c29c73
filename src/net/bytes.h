/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Immutable bytes with a reference count (one loop's, not atomic): encoded once, queued on any
 * number of streams without a copy. */

#include "base/base.h"
#include "base/str.h"

typedef struct NetBytes {
    size_t refs;
    size_t len;
    char data[];
} NetBytes;

NetBytes *net_bytes_new(const void *data, size_t len); /* a copy, one reference */
NetBytes *net_bytes_make(size_t len);                  /* to be filled at once */
NetBytes *net_bytes_ref(NetBytes *bytes);
NetBytes *net_bytes_unref(NetBytes *bytes);            /* NULL is fine; returns NULL */
DEFINE_CLEANUP(NetBytes *, net_bytes_unref);
