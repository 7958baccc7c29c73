/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory of this machine, or of the container that we are in: the tightest of its limits. */

#include "base/base.h"

typedef struct HostMemory {
    uint64_t limit, used; /* bytes; `used` without what is only cache */
} HostMemory;

_must_check_ int host_memory(HostMemory *ret_memory);
/* The same with other roots than /proc and /sys/fs/cgroup, for tests. */
_must_check_ int host_memory_at(const char *proc, const char *cgroup, HostMemory *ret_memory);
/* What a process has for itself alone; 0 when it is gone. */
uint64_t host_memory_private(int pid);
