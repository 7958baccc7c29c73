/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Large values into shared memory, by as many threads as help. */

#include <sys/uio.h>

#include "base/base.h"

/* Gathers `parts` (of `size` bytes together) at `to`. */
void store_copy(void *to, const struct iovec *parts, size_t parts_len, size_t size);
