/* SPDX-License-Identifier: Apache-2.0 */
#include "host/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    CHILD_STACK = 64 * 1024
};

extern char **environ;

/*
 * Between clone and exec the child shares our memory while our thread is suspended. It therefore
 * only makes system calls, prepared for by the parent, and reports a failure by writing `failed`
 * and `code`, which the parent reads once it runs again.
 */
typedef struct Launch {
    const SpawnSpec *spec;
    char *const *env;
    const char *program;
    int *moved; /* one a fd entry: its copy above every target */
    int top;    /* the highest target fd, at least 2 */
    pid_t parent;
    const char *failed;
    int code;
} Launch;

static int fail(Launch *launch, const char *what) {
    launch->code = errno;
    launch->failed = what;
    return -1;
}

static int child_limits(Launch *launch) {
    const SpawnSpec *spec = launch->spec;
    for (size_t i = 0; i < spec->cgroup_count; i++)
        if (write(spec->cgroup_fds[i], "0", 1) < 0)
            return fail(launch, "enter the cgroup of");
    for (size_t i = 0; i < spec->limit_count; i++) {
        struct rlimit limit = { spec->limits[i].soft, spec->limits[i].hard };
        if (setrlimit((__rlimit_resource_t)spec->limits[i].resource, &limit) < 0)
            return fail(launch, "set a resource limit for");
    }
    if (spec->nice && setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + spec->nice) < 0)
        return fail(launch, "set the priority of");
    if (spec->oom_score) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            ssize_t ignored = write(fd, spec->oom_score, strlen(spec->oom_score));
            UNUSED(ignored);
            close(fd);
        }
    }
    return 0;
}

/* Raw system calls: glibc's wrappers would carry the change to every thread of the parent. */
static int child_ids(Launch *launch) {
    const SpawnSpec *spec = launch->spec;
    if (!spec->set_ids)
        return 0;
    if (syscall(SYS_setgroups, spec->group_count, spec->groups) < 0)
        return fail(launch, "set the groups of");
    if (syscall(SYS_setresgid, spec->gid, spec->gid, spec->gid) < 0)
        return fail(launch, "set the group of");
    if (syscall(SYS_setresuid, spec->uid, spec->uid, spec->uid) < 0)
        return fail(launch, "set the user of");
    return 0;
}

static int child_group(Launch *launch) {
    const SpawnSpec *spec = launch->spec;
    if (spec->group == SPAWN_NEW_SESSION && setsid() < 0)
        return fail(launch, "make a session for");
    if (spec->group == SPAWN_NEW_GROUP && setpgid(0, 0) < 0)
        return fail(launch, "make a process group for");
    if (!spec->death_signal)
        return 0;
    /* After the ids: changing them clears it. */
    if (prctl(PR_SET_PDEATHSIG, spec->death_signal) < 0)
        return fail(launch, "set the death signal of");
    if (getppid() != launch->parent) { /* it was gone before we asked */
        errno = ESRCH;
        return fail(launch, "outlive the parent of");
    }
    return 0;
}

static bool is_target(const SpawnSpec *spec, int fd) {
    for (size_t i = 0; i < spec->fd_count; i++)
        if (spec->fds[i].to == fd)
            return true;
    return false;
}

static int child_fds(Launch *launch) {
    const SpawnSpec *spec = launch->spec;
    /* First everything out of the way of every target, so that entries may swap. */
    for (size_t i = 0; i < spec->fd_count; i++)
        if ((launch->moved[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, launch->top + 1)) < 0)
            return fail(launch, "copy a file descriptor for");
    for (size_t i = 0; i < spec->fd_count; i++)
        if (dup3(launch->moved[i], spec->fds[i].to, 0) < 0)
            return fail(launch, "place a file descriptor for");
    for (int fd = 0; fd <= launch->top; fd++) {
        if (is_target(spec, fd))
            continue;
        close(fd);
        if (fd <= 2 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            return fail(launch, "open /dev/null for");
    }
    if (close_range((unsigned)launch->top + 1, ~0u, 0) < 0)
        return fail(launch, "close the file descriptors of");
    return 0;
}

static void child_signals(void) {
    struct sigaction action = { .sa_handler = SIG_DFL };
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((no_sanitize_address)) static int child_main(void *arg) {
    Launch *launch = arg;
    child_signals();
    if (child_limits(launch) < 0 || child_ids(launch) < 0 || child_group(launch) < 0)
        _exit(127);
    if (launch->spec->cwd && chdir(launch->spec->cwd) < 0) {
        fail(launch, "enter the working folder of");
        _exit(127);
    }
    if (child_fds(launch) < 0)
        _exit(127);
    execve(launch->program, launch->spec->argv, launch->env);
    fail(launch, "run");
    _exit(127);
}

static const char *env_get(char *const *env, const char *name) {
    size_t len = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

static int find_program(const char *name, char *const *env, char **ret_path) {
    if (strchr(name, '/')) {
        *ret_path = str_dup(name);
        return 0;
    }
    const char *path = env_get(env, "PATH");
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (const char *at = path; at;) {
        const char *end = strchr(at, ':');
        int len = (int)(end ? end - at : (ptrdiff_t)strlen(at));
        _cleanup_free_ char *full = str_printf("%.*s/%s", len ? len : 1, len ? at : ".", name);
        if (access(full, X_OK) == 0) {
            *ret_path = TAKE(full);
            return 0;
        }
        at = end ? end + 1 : NULL;
    }
    return error_origin(-ENOENT, "%s: no such program in PATH", name);
}

static int check_fds(const SpawnSpec *spec, int *ret_top) {
    int top = 2;
    for (size_t i = 0; i < spec->fd_count; i++) {
        if (spec->fds[i].to < 0 || spec->fds[i].to >= SPAWN_FD_LIMIT)
            return error_origin(-EINVAL, "fd %d of a child is out of range", spec->fds[i].to);
        top = MAX(top, spec->fds[i].to);
    }
    *ret_top = top;
    return 0;
}

static int launch_clone(Launch *launch, Child *ret_child) {
    _cleanup_free_ char *stack = mem_alloc(CHILD_STACK);
    sigset_t all, before;
    sigfillset(&all);
    /* No handler of ours may run in the child while it shares our memory. */
    sigprocmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    pid_t pid = clone(child_main, stack + CHILD_STACK,
                      CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, launch, &pidfd);
    int code = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return error_origin_errno(-code, "start %s", launch->program);
    Child child = { pid, pidfd };
    if (launch->failed) {
        ChildExit end;
        int r = child_wait(&child, USEC_INFINITY, &end);
        UNUSED(r);
        return error_origin_errno(-launch->code, "%s %s", launch->failed, launch->program);
    }
    *ret_child = child;
    return 0;
}

int spawn_start(const SpawnSpec *spec, Child *ret_child) {
    ASSERT(spec->argv && spec->argv[0]);
    Launch launch = { .spec = spec, .env = spec->env ? spec->env : environ, .parent = getpid() };
    _cleanup_free_ char *program = NULL;
    int r = find_program(spec->program ? spec->program : spec->argv[0], launch.env, &program);
    if (r < 0)
        return r;
    r = check_fds(spec, &launch.top);
    if (r < 0)
        return r;
    _cleanup_free_ int *moved = mem_array(int, spec->fd_count + 1);
    launch.program = program;
    launch.moved = moved;
    return launch_clone(&launch, ret_child);
}

void child_exit_text(ChildExit end, char out[static CHILD_EXIT_TEXT_MAX]) {
    if (end.signaled)
        snprintf(out, CHILD_EXIT_TEXT_MAX, "signal %d (%s)", end.value, strsignal(end.value));
    else
        snprintf(out, CHILD_EXIT_TEXT_MAX, "exit status %d", end.value);
}

int child_reap(Child *child, ChildExit *ret_end) {
    ASSERT(child->pid > 0);
    siginfo_t info = { 0 };
    int r;
    do
        r = waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return error_last("wait for process %d", child->pid);
    if (info.si_pid == 0)
        return 1;
    *ret_end = (ChildExit){ .signaled = info.si_code != CLD_EXITED,
                            .core = info.si_code == CLD_DUMPED,
                            .value = info.si_status };
    child_release(child);
    return 0;
}

int child_wait(Child *child, usec_t timeout, ChildExit *ret_end) {
    usec_t start = time_mono_now();
    for (;;) {
        int r = child_reap(child, ret_end);
        if (r <= 0)
            return r;
        int wait_ms = -1;
        if (timeout != USEC_INFINITY) {
            usec_t left = start + timeout - time_mono_now();
            if (left <= 0)
                return 1;
            wait_ms = (int)MIN((left + 999) / 1000, (usec_t)INT32_MAX);
        }
        struct pollfd poll_fd = { .fd = child->pidfd, .events = POLLIN };
        if (poll(&poll_fd, 1, wait_ms) < 0 && errno != EINTR)
            return error_last("wait for process %d", child->pid);
    }
}

int child_signal(const Child *child, int signal) {
    ASSERT(child->pid > 0);
    if (syscall(SYS_pidfd_send_signal, child->pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
        return error_last("signal process %d", child->pid);
    return 0;
}

void child_release(Child *child) {
    fd_close(child->pidfd);
    *child = CHILD_NONE;
}
