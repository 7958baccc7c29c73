/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"

enum {
    FILE_MAX = 4 * 1024 * 1024,
    KILL_PASSES = 50,
    CPU_PERIOD_USEC = 100000
};

static int value_write(const char *folder, const char *file, const char *value) {
    _cleanup_free_ char *path = str_printf("%s/%s", folder, file);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_last("open %s", path);
    if (write(fd, value, strlen(value)) < 0)
        return error_last("write %s to %s", value, path);
    return 0;
}

static int number_write(const char *folder, const char *file, uint64_t value) {
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return value_write(folder, file, text);
}

static uint64_t number_read(const char *folder, const char *file) {
    _cleanup_free_ char *path = str_printf("%s/%s", folder, file);
    _cleanup_buf_ Buf text = { 0 };
    unsigned long long value = 0;
    if (file_read(path, 4096, &text) < 0 || sscanf(text.data, "%llu", &value) != 1)
        return 0;
    return value;
}

/* The number after `key` in a file of "key value" lines. */
static uint64_t field_read(const char *folder, const char *file, const char *key) {
    _cleanup_free_ char *path = str_printf("%s/%s", folder, file);
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(path, 65536, &text) < 0 || !text.data)
        return 0;
    size_t len = strlen(key);
    for (const char *line = text.data; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        unsigned long long value;
        if (strncmp(line, key, len) == 0 && line[len] == ' ' &&
            sscanf(line + len, "%llu", &value) == 1)
            return value;
    }
    return 0;
}

/* Whether `list` ("cpu,cpuacct" or "cpu io memory") names `word`. */
static bool names(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += len) {
        bool starts = at == list || strchr(", \n", at[-1]);
        if (starts && (!at[len] || strchr(", \n", at[len])))
            return true;
    }
    return false;
}

static bool can_make(const char *folder) {
    return access(folder, W_OK) == 0;
}

/* A v1 hierarchy: at its root if we may, so that groups do not nest under our own limits. */
static void found_v1(CgroupHost *host, const char *where, const char *options) {
    if (!can_make(where))
        return;
    if (!host->memory && names(options, "memory"))
        host->memory = str_dup(where);
    if (!host->cpu && names(options, "cpu"))
        host->cpu = str_dup(where);
    if (!host->pids && names(options, "pids"))
        host->pids = str_dup(where);
}

/* Our own group of the v2 hierarchy: "0::/path" in /proc/self/cgroup. */
static char *own_v2_path(void) {
    _cleanup_buf_ Buf text = { 0 };
    if (file_read("/proc/self/cgroup", FILE_MAX, &text) < 0 || !text.data)
        return str_dup("/");
    const char *line = strstr(text.data, "0::");
    if (!line)
        return str_dup("/");
    const char *end = strchr(line, '\n');
    return str_dup_slice((Slice){ line + 3, end ? (size_t)(end - line - 3) : strlen(line + 3) });
}

static void take_v2(CgroupHost *host, const char *folder, const char *controllers) {
    if (!host->memory && names(controllers, "memory")) {
        host->memory = str_dup(folder);
        host->memory_v2 = true;
    }
    if (!host->cpu && names(controllers, "cpu")) {
        host->cpu = str_dup(folder);
        host->cpu_v2 = true;
    }
    if (!host->pids && names(controllers, "pids")) {
        host->pids = str_dup(folder);
        host->pids_v2 = true;
    }
}

/* The v2 hierarchy: the root if we may make groups there, else beside or below our own group. */
static void found_v2(CgroupHost *host, const char *where) {
    _cleanup_free_ char *own = own_v2_path();
    char *slash = strrchr(own, '/');
    _cleanup_free_ char *inside = str_printf("%s%s", where, own);
    if (slash)
        *slash = 0;
    _cleanup_free_ char *beside = str_printf("%s%s", where, own);
    const char *candidates[] = { where, beside, inside };
    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        _cleanup_free_ char *path = str_printf("%s/cgroup.controllers", candidates[i]);
        _cleanup_buf_ Buf controllers = { 0 };
        if (!can_make(candidates[i]) || file_read(path, 4096, &controllers) < 0)
            continue;
        take_v2(host, candidates[i], controllers.data ? controllers.data : "");
        return;
    }
}

static void note_lacks(CgroupHost *host) {
    if (host->memory && host->cpu)
        return;
    host->lacks = str_printf("no cgroup can be made for %s%s%s: limits on it are not enforced",
                             host->memory ? "" : "memory", host->memory || host->cpu ? "" : " and ",
                             host->cpu ? "" : "cpu");
}

int cgroup_host_init(CgroupHost *ret_host) {
    _cleanup_buf_ Buf text = { 0 };
    int r = file_read("/proc/self/mountinfo", FILE_MAX, &text);
    if (r < 0)
        return r;
    CgroupHost host = { 0 };
    char *save = NULL;
    /* v1 first: where a hybrid has a controller in v1, v2 does not have it. */
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char where[4096], type[64], options[512];
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", where) != 1 ||
            sscanf(dash + 3, "%63s %*s %511s", type, options) != 2)
            continue;
        if (str_eq(type, "cgroup"))
            found_v1(&host, where, options);
        else if (str_eq(type, "cgroup2"))
            found_v2(&host, where);
    }
    note_lacks(&host);
    *ret_host = host;
    return 0;
}

void cgroup_host_done(CgroupHost *host) {
    mem_free(host->memory);
    mem_free(host->cpu);
    mem_free(host->pids);
    mem_free(host->lacks);
    *host = (CgroupHost){ 0 };
}

static char *join(const char *base, const char *name) {
    return base ? str_printf("%s/%s", base, name) : NULL;
}

/* Every level of a v2 tree hands its controllers down; a level that cannot is not a failure. */
static void hand_down(const char *base, const char *name) {
    static const char *const controllers[] = { "+memory", "+cpu", "+pids" };
    _cleanup_free_ char *path = str_printf("%s/%s", base, name);
    for (char *at = path + strlen(base); at && *at; at = strchr(at + 1, '/')) {
        *at = 0;
        for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
            (void)!value_write(path, "cgroup.subtree_control", controllers[i]);
        *at = '/';
    }
}

static int make_folder(const char *base, const char *name, bool v2) {
    _cleanup_free_ char *path = str_printf("%s/%s", base, name);
    int r = dir_make(path, 0755);
    if (r == 0 && v2)
        hand_down(base, name);
    return r;
}

static int limit_memory(const Cgroup *group, uint64_t max) {
    if (!group->memory || !max)
        return 0;
    if (group->memory_v2) {
        int r = number_write(group->memory, "memory.max", max);
        if (r == 0)
            (void)!value_write(group->memory, "memory.oom.group", "1");
        return r;
    }
    return number_write(group->memory, "memory.limit_in_bytes", max);
}

/* Requests become weights the way the kubelet turns them: 1 CPU is 1024 shares in v1, and v2's
 * 1..10000 is the same scale bent to its range. */
static int limit_cpu(const Cgroup *group, const CgroupLimits *limits) {
    if (!group->cpu)
        return 0;
    uint64_t shares = CLAMP(limits->cpu_weight_milli * 1024 / 1000, (uint64_t)2, (uint64_t)262144);
    uint64_t quota = MAX(limits->cpu_milli * CPU_PERIOD_USEC / 1000, (uint64_t)1000);
    int r = group->cpu_v2 ? number_write(group->cpu, "cpu.weight", 1 + (shares - 2) * 9999 / 262142)
                          : number_write(group->cpu, "cpu.shares", shares);
    if (r < 0 || !limits->cpu_milli)
        return r;
    if (group->cpu_v2) {
        char text[64];
        snprintf(text, sizeof(text), "%llu %d", (unsigned long long)quota, CPU_PERIOD_USEC);
        return value_write(group->cpu, "cpu.max", text);
    }
    r = number_write(group->cpu, "cpu.cfs_period_us", CPU_PERIOD_USEC);
    return r < 0 ? r : number_write(group->cpu, "cpu.cfs_quota_us", quota);
}

int cgroup_open(const CgroupHost *host, const char *name, Cgroup *ret_group) {
    *ret_group = (Cgroup){ .memory = join(host->memory, name),
                           .cpu = join(host->cpu, name),
                           .pids = join(host->pids, name),
                           .memory_v2 = host->memory_v2,
                           .cpu_v2 = host->cpu_v2 };
    return 0;
}

int cgroup_make(const CgroupHost *host, const char *name, const CgroupLimits *limits,
                Cgroup *ret_group) {
    int r = 0;
    if (host->memory)
        r = make_folder(host->memory, name, host->memory_v2);
    if (r == 0 && host->cpu)
        r = make_folder(host->cpu, name, host->cpu_v2);
    if (r == 0 && host->pids)
        r = make_folder(host->pids, name, host->pids_v2);
    if (r < 0)
        return r;
    _cleanup_cgroup_ Cgroup group;
    r = cgroup_open(host, name, &group);
    if (r == 0)
        r = limit_memory(&group, limits->memory_max);
    if (r == 0)
        r = limit_cpu(&group, limits);
    if (r == 0 && group.pids && limits->pids_max)
        r = number_write(group.pids, "pids.max", limits->pids_max);
    if (r < 0)
        return r;
    *ret_group = group;
    group = (Cgroup){ 0 };
    return 0;
}

void cgroup_done(Cgroup *group) {
    mem_free(group->memory);
    mem_free(group->cpu);
    mem_free(group->pids);
    *group = (Cgroup){ 0 };
}

/* Calls for each distinct folder: under v2 the three names are one. */
typedef int FolderFn(const char *folder, void *arg);

static int each_folder(const Cgroup *group, FolderFn *fn, void *arg) {
    int r = 0;
    if (group->memory)
        r = fn(group->memory, arg);
    if (r == 0 && group->cpu && !str_eq(group->cpu, group->memory))
        r = fn(group->cpu, arg);
    if (r == 0 && group->pids && !str_eq(group->pids, group->memory) &&
        !str_eq(group->pids, group->cpu))
        r = fn(group->pids, arg);
    return r;
}

static int enter_folder(const char *folder, void *arg) {
    return number_write(folder, "cgroup.procs", *(const uint64_t *)arg);
}

int cgroup_enter(const Cgroup *group, pid_t pid) {
    uint64_t number = (uint64_t)pid;
    return each_folder(group, enter_folder, &number);
}

void cgroup_stats(const Cgroup *group, CgroupStats *ret_stats) {
    CgroupStats stats = { 0 };
    if (group->memory && group->memory_v2) {
        stats.memory_bytes = number_read(group->memory, "memory.current");
        stats.memory_peak = number_read(group->memory, "memory.peak");
        stats.oom_kills = field_read(group->memory, "memory.events", "oom_kill");
    } else if (group->memory) {
        stats.memory_bytes = number_read(group->memory, "memory.usage_in_bytes");
        stats.memory_peak = number_read(group->memory, "memory.max_usage_in_bytes");
        stats.oom_kills = field_read(group->memory, "memory.oom_control", "oom_kill");
    }
    if (group->cpu && group->cpu_v2)
        stats.cpu_time = (usec_t)field_read(group->cpu, "cpu.stat", "usage_usec");
    *ret_stats = stats;
}

typedef struct Walk {
    bool remove; /* else kill */
    size_t found;
} Walk;

static void kill_procs(const char *folder, size_t *found) {
    _cleanup_free_ char *path = str_printf("%s/cgroup.procs", folder);
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(path, FILE_MAX, &text) < 0 || !text.data)
        return;
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int64_t pid;
        if (str_to_i64(line, &pid) == 0 && pid > 1 && pid != getpid()) {
            kill((pid_t)pid, SIGKILL);
            (*found)++;
        }
    }
}

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

static int walk_folder(const char *folder, void *arg) {
    Walk *walk = arg;
    int r = 0;
    _cleanup_(closedir_p) DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? 0 : error_last("open %s", folder);
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            _cleanup_free_ char *below = str_printf("%s/%s", folder, entry->d_name);
            r = walk_folder(below, walk);
        }
    if (r < 0 || !walk->remove) {
        kill_procs(folder, &walk->found);
        return r;
    }
    return rmdir(folder) < 0 && errno != ENOENT ? error_last("remove %s", folder) : 0;
}

int cgroup_kill(const Cgroup *group) {
    for (int pass = 0; pass < KILL_PASSES; pass++) {
        Walk walk = { 0 };
        int r = each_folder(group, walk_folder, &walk);
        if (r < 0 || !walk.found)
            return r;
        usleep(1000); /* a killed process leaves its group when it has ended */
    }
    return error_origin(-EBUSY, "processes in %s do not end", group->memory ? group->memory : "?");
}

int cgroup_remove(const Cgroup *group) {
    return each_folder(group, walk_folder, &(Walk){ .remove = true });
}
