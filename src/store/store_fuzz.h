/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the fuzz targets of both sides share: the arena as any process may have it, and names. */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "model/ids.h"

static inline ObjectId object_named(uint8_t which) {
    ObjectId id;
    memset(&id, which % 4, sizeof(id));
    return id;
}

static inline int memory_new(const char *name, uint64_t size) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    ASSERT(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

/* Memory, then disk, to write to. */
static inline uint8_t *arena_map(int memory, uint64_t size, int disk, uint64_t disk_size) {
    uint8_t *arena = mmap(NULL, size + disk_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int how = MAP_SHARED | MAP_FIXED, prot = PROT_READ | PROT_WRITE;
    ASSERT(arena != MAP_FAILED);
    ASSERT(mmap(arena, size, prot, how, memory, 0) != MAP_FAILED);
    ASSERT(mmap(arena + size, disk_size, prot, how, disk, 0) != MAP_FAILED);
    return arena;
}
