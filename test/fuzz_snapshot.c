/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Worlds that are made once (base/fuzz_world.h). What is allocated while a world is in use comes from
 * one region, whoever asks: a restored world is that region's first bytes, copied back. The first
 * inputs run in worlds of their own, so that what libraries make once and keep lies elsewhere.
 */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fuzz_world.h"

enum {
    REGION = 256 << 20,
    PAGE = 4096,
    HEAD = 16,
    SMALL = 1024, /* by 16 bytes, above by powers of two */
    CLASSES = SMALL / 16 + 20,
    MAPS_MAX = 256,
    WARM_INPUTS = 1000,
    OWN_EVERY = 128,
};

typedef struct Free {
    struct Free *next;
} Free;

typedef struct Heap {
    size_t used;
    Free *free[CLASSES];
} Heap;

typedef struct Map {
    void *at;
    size_t len;
} Map;

static struct {
    bool inside; /* a world in use comes from the region */
    uint8_t *region;
    Heap heap;
    Map maps[MAPS_MAX];
    size_t maps_len;
    uint64_t inputs;
    /* the world as it was made */
    void *world;
    uint8_t *saved;
    size_t zero, zero_end; /* its longest stretch of pages that hold nothing */
    Heap saved_heap;
    size_t saved_maps_len;
    unsigned first_fd;
} it;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

/* ---- the region ------------------------------------------------------------------------------ */

static unsigned class_of(size_t size) {
    if (size <= SMALL)
        return (unsigned)((size + 15) / 16);
    return (unsigned)(SMALL / 16 + 1 + (63 - __builtin_clzll(size - 1)) - 10);
}

static size_t class_size(unsigned class) {
    return class <= SMALL / 16 ? class * 16ul : 2048ul << (class - SMALL / 16 - 1);
}

static bool in_region(const void *p) {
    return it.region && (uintptr_t)p - (uintptr_t)it.region < REGION;
}

static size_t *head_of(void *p) {
    return (size_t *)(void *)((uint8_t *)p - HEAD);
}

static void *region_take(size_t size) {
    unsigned class = class_of(size ? size : 1);
    if (class >= CLASSES)
        abort();
    Free *free = it.heap.free[class];
    if (free) {
        it.heap.free[class] = free->next;
        return free;
    }
    uint8_t *p = it.region + it.heap.used + HEAD;
    it.heap.used += HEAD + class_size(class);
    if (it.heap.used > REGION)
        abort();
    *head_of(p) = class;
    return p;
}

static void region_give(void *p) {
    Free *free = p;
    size_t class = *head_of(p);
    free->next = it.heap.free[class];
    it.heap.free[class] = free;
}

#define FOR_ALL __attribute__((visibility("default"))) /* libraries too */

FOR_ALL void *malloc(size_t size) {
    return it.inside ? region_take(size) : __libc_malloc(size);
}

FOR_ALL void free(void *p) {
    if (in_region(p))
        region_give(p);
    else
        __libc_free(p);
}

FOR_ALL __attribute__((no_builtin)) void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (!it.inside)
        return __libc_calloc(count, size);
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return memset(region_take(bytes), 0, bytes);
}

FOR_ALL void *realloc(void *p, size_t size) {
    if (!(p ? in_region(p) : it.inside))
        return __libc_realloc(p, size);
    size_t had = p ? class_size((unsigned)*head_of(p)) : 0;
    if (p && size && size <= had)
        return p;
    void *to = malloc(size);
    if (p)
        memcpy(to, p, size < had ? size : had);
    free(p);
    return to;
}

/* ---- mappings -------------------------------------------------------------------------------- */

static void *sys_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

FOR_ALL void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    void *map = sys_mmap(at, len, prot, flags, fd, offset);
    if (it.inside && map != MAP_FAILED && !(flags & MAP_FIXED)) {
        if (it.maps_len == MAPS_MAX)
            abort();
        it.maps[it.maps_len++] = (Map){ map, len };
    }
    return map;
}

static void forget(const void *at) {
    for (size_t i = it.maps_len; it.inside && i-- > 0;)
        if (it.maps[i].at == at) {
            it.maps[i] = it.maps[--it.maps_len];
            return;
        }
}

FOR_ALL int munmap(void *at, size_t len) {
    forget(at);
    return (int)syscall(SYS_munmap, at, len);
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static bool page_empty(size_t at) {
    const uint8_t *page = it.region + at;
    return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static void find_zero(void) {
    for (size_t at = 0, from = 0; at + PAGE <= it.heap.used; at += PAGE) {
        if (!page_empty(at))
            from = at + PAGE;
        else if (at + PAGE - from > it.zero_end - it.zero) {
            it.zero = from;
            it.zero_end = at + PAGE;
        }
    }
}

static void make(const FuzzWorld *kind) {
    it.region = sys_mmap(NULL, REGION, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (it.region == MAP_FAILED)
        abort();
    it.inside = true;
    it.world = kind->begin();
    it.inside = false;
    find_zero();
    it.saved_heap = it.heap;
    it.saved_maps_len = it.maps_len;
    it.saved = malloc(it.heap.used);
    memcpy(it.saved, it.region, it.heap.used);
    int fd = dup(0);
    it.first_fd = (unsigned)fd; /* all below are taken, and stay */
    close(fd);
}

static void restore(const FuzzWorld *kind) {
    if (kind->clean)
        kind->clean(it.world);
    it.inside = false;
    while (it.maps_len > it.saved_maps_len) {
        Map map = it.maps[--it.maps_len];
        syscall(SYS_munmap, map.at, map.len);
    }
    int fd = dup(0);
    if ((unsigned)fd != it.first_fd)
        syscall(SYS_close_range, it.first_fd, ~0u, 0);
    else
        close(fd);
    memcpy(it.region, it.saved, it.zero);
    madvise(it.region + it.zero, it.zero_end - it.zero, MADV_DONTNEED); /* zeros, when asked for */
    memcpy(it.region + it.zero_end, it.saved + it.zero_end, it.saved_heap.used - it.zero_end);
    it.heap = it.saved_heap;
}

void *fuzz_world_begin(const FuzzWorld *kind) {
    it.inputs++;
    if (it.inputs <= WARM_INPUTS || it.inputs % OWN_EVERY == 0)
        return kind->begin();
    if (!it.world)
        make(kind);
    it.inside = true;
    return it.world;
}

void fuzz_world_end(const FuzzWorld *kind, void *world) {
    if (!it.inside)
        kind->end(world);
    else
        restore(kind);
}
