/* SPDX-License-Identifier: Apache-2.0 */
#include "host/memory.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"

enum {
    FILE_MAX = 64 << 10
};

/* The number behind `key` at the beginning of a line; 0 when there is none. */
static uint64_t number_after(const Buf *text, const char *key) {
    size_t key_len = strlen(key);
    const char *line = text->data;
    while (line && *line) {
        if (strncmp(line, key, key_len) == 0)
            return strtoull(line + key_len, NULL, 10);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

static int read_text(Buf *out, const char *format, ...) _printf_(2, 3);

static int read_text(Buf *out, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *path = str_vprintf(format, ap);
    va_end(ap);
    buf_clear(out);
    int r = file_read(path, FILE_MAX, out);
    if (r == 0)
        buf_add_char(out, '\0');
    return r;
}

static int machine_memory(const char *proc, HostMemory *ret) {
    _cleanup_buf_ Buf text = { 0 };
    int r = read_text(&text, "%s/meminfo", proc);
    if (r < 0)
        return r;
    ret->limit = number_after(&text, "MemTotal:") << 10;
    uint64_t available = number_after(&text, "MemAvailable:") << 10;
    ret->used = ret->limit - MIN(available, ret->limit);
    return 0;
}

typedef struct GroupFiles { /* of one version of cgroups */
    const char *mount, *limit, *used, *inactive, *active;
} GroupFiles;

static const GroupFiles V2 = { "", "memory.max", "memory.current", "inactive_file ",
                               "active_file " };
static const GroupFiles V1 = { "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                               "total_inactive_file ", "total_active_file " };

/* One group's limit, if it is tighter than what is known. */
static void group_memory(const char *root, const char *path, const GroupFiles *f, HostMemory *ret) {
    _cleanup_buf_ Buf text = { 0 };
    if (read_text(&text, "%s%s%s/%s", root, f->mount, path, f->limit) < 0)
        return;
    uint64_t limit = strtoull(text.data, NULL, 10); /* "max" is 0 */
    if (!limit || limit >= ret->limit)
        return;
    if (read_text(&text, "%s%s%s/%s", root, f->mount, path, f->used) < 0)
        return;
    uint64_t used = strtoull(text.data, NULL, 10), cache = 0;
    if (read_text(&text, "%s%s%s/memory.stat", root, f->mount, path) == 0)
        cache = number_after(&text, f->inactive) + number_after(&text, f->active);
    *ret = (HostMemory){ limit, used - MIN(cache, used) };
}

/* The group and those above it, as far as they are mounted here. */
static void groups_memory(const char *root, char *path, const GroupFiles *f, HostMemory *ret) {
    for (;;) {
        group_memory(root, path, f, ret);
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

int host_memory_at(const char *proc, const char *cgroup, HostMemory *ret_memory) {
    HostMemory memory = { 0 };
    int r = machine_memory(proc, &memory);
    if (r < 0)
        return r;
    _cleanup_buf_ Buf text = { 0 };
    if (read_text(&text, "%s/self/cgroup", proc) == 0) {
        char *rest = text.data, *line;
        while ((line = strsep(&rest, "\n")) != NULL) {
            char *controllers = strchr(line, ':');
            char *path = controllers ? strchr(controllers + 1, ':') : NULL;
            if (!path)
                continue;
            *path++ = '\0';
            if (str_eq(controllers + 1, ""))
                groups_memory(cgroup, path, &V2, &memory);
            else if (str_eq(controllers + 1, "memory"))
                groups_memory(cgroup, path, &V1, &memory);
        }
    }
    *ret_memory = memory;
    return 0;
}

int host_memory(HostMemory *ret_memory) {
    return host_memory_at("/proc", "/sys/fs/cgroup", ret_memory);
}

uint64_t host_memory_private(int pid) {
    _cleanup_buf_ Buf text = { 0 };
    if (read_text(&text, "/proc/%d/smaps_rollup", pid) < 0)
        return 0;
    return (number_after(&text, "Private_Clean:") + number_after(&text, "Private_Dirty:")) << 10;
}
