/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"

/* A full barrier between what this process wrote and what it reads next. The thread sanitizer does
 * not know fences; there, an ordered read-modify-write of the word in question stands for one. */
static inline void ipc_fence(_Atomic uint32_t *word) {
#ifdef __SANITIZE_THREAD__
    atomic_fetch_or(word, 0);
#else
    (void)word;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}
