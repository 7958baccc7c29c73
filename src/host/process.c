/* SPDX-License-Identifier: Apache-2.0 */
#include "host/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "host/spawn.h"

enum {
    KILL_PASSES = 16,
    ENVIRON_MAX = 4 * 1024 * 1024
};

/* The fields of /proc/PID/stat that we use. */
typedef struct Stat {
    pid_t pid, parent, group, session;
    char state;
    uint64_t start_time;
} Stat;

typedef Vec(Stat) StatList;

static int stat_read(pid_t pid, Stat *ret_stat) {
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_origin(-ESRCH, "there is no process %d", pid);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    if (len <= 0)
        return error_origin(-ESRCH, "there is no process %d", pid);
    text[len] = 0;
    /* The name may hold blanks and parentheses: fields count from the last ')'. */
    const char *at = strrchr(text, ')');
    Stat stat = { .pid = pid };
    unsigned long long start = 0;
    if (!at || sscanf(at + 1,
                      " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                      "%llu",
                      &stat.state, &stat.parent, &stat.group, &stat.session, &start) != 5)
        return error_origin(-EBADMSG, "%s has an unknown form", path);
    stat.start_time = start;
    *ret_stat = stat;
    return 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks) {
    Stat stat;
    int r = stat_read(pid, &stat);
    if (r < 0)
        return r;
    *ret_ticks = stat.start_time;
    return 0;
}

bool process_alive(pid_t pid) {
    Stat stat;
    return stat_read(pid, &stat) == 0 && stat.state != 'Z' && stat.state != 'X';
}

static void closedir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

static int stat_all(StatList *list) {
    _cleanup_(closedir_p) DIR *dir = opendir("/proc");
    if (!dir)
        return error_last("open /proc");
    for (struct dirent *entry; (entry = readdir(dir));) {
        int64_t pid;
        Stat stat;
        if (str_to_i64(entry->d_name, &pid) == 0 && stat_read((pid_t)pid, &stat) == 0 &&
            stat.state != 'Z' && stat.state != 'X')
            vec_push(list, stat);
    }
    return 0;
}

static bool pid_in(const PidList *pids, pid_t pid) {
    VEC_EACH(at, pids)
        if (*at == pid)
            return true;
    return false;
}

/* Adds descendants of what is in `pids`, level by level. */
static void add_descendants(const StatList *all, PidList *pids) {
    for (size_t i = 0; i < pids->len; i++)
        VEC_EACH(stat, all)
            if (stat->parent == pids->items[i] && !pid_in(pids, stat->pid))
                vec_push(pids, stat->pid);
}

int process_tree(pid_t root, PidList *ret_pids) {
    StatList all = { 0 };
    int r = stat_all(&all);
    if (r == 0) {
        PidList pids = { 0 };
        vec_push(&pids, root);
        add_descendants(&all, &pids);
        *ret_pids = pids;
    }
    vec_done(&all);
    return r;
}

static int kill_pass(pid_t root, int signal, PidList *done, bool *ret_found) {
    StatList all = { 0 };
    int r = stat_all(&all);
    if (r < 0)
        return r;
    PidList pids = { 0 };
    vec_push(&pids, root);
    VEC_EACH(stat, &all)
        if ((stat->group == root || stat->session == root) && stat->pid != root)
            vec_push(&pids, stat->pid);
    add_descendants(&all, &pids);
    *ret_found = false;
    VEC_EACH(pid, &pids) {
        if (*pid <= 1 || *pid == getpid() || pid_in(done, *pid))
            continue;
        vec_push(done, *pid);
        *ret_found |= kill(*pid, signal) == 0;
    }
    vec_done(&pids);
    vec_done(&all);
    return 0;
}

int process_kill_tree(pid_t root, int signal) {
    PidList done = { 0 };
    int r = 0;
    bool found = true;
    for (int pass = 0; r == 0 && found && pass < KILL_PASSES; pass++)
        r = kill_pass(root, signal, &done, &found);
    vec_done(&done);
    return r;
}

static bool environ_has(pid_t pid, const char *entry) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(path, ENVIRON_MAX, &text) < 0)
        return false;
    size_t len = strlen(entry);
    for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
        if (strncmp(text.data + at, entry, len + 1) == 0)
            return true;
    return false;
}

int process_find_by_env(const char *entry, PidList *ret_pids) {
    StatList all = { 0 };
    int r = stat_all(&all);
    if (r == 0) {
        PidList pids = { 0 };
        VEC_EACH(stat, &all)
            if (stat->pid != getpid() && environ_has(stat->pid, entry))
                vec_push(&pids, stat->pid);
        *ret_pids = pids;
    }
    vec_done(&all);
    return r;
}

int child_open(pid_t pid, uint64_t start_time, Child *ret_child) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return error_last("open process %d", pid);
    /* The pidfd is held first, so the process we compare is the one we hold. */
    uint64_t ticks;
    int r = process_start_time(pid, &ticks);
    if (r == 0 && start_time && ticks != start_time)
        r = error_origin(-ESRCH, "process %d is another one by now", pid);
    if (r < 0) {
        fd_close(pidfd);
        return r;
    }
    *ret_child = (Child){ pid, pidfd };
    return 0;
}
