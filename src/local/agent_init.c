/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_init.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/mount.h"
#include "local/agent_packet.h"

enum {
    EXIT_START_FAILED = 128, /* what container runtimes report for a program that never ran */
    CAPABILITY_LAST = 63
};

/* Ends a process that could not become what it should, with the reason for the keeper. */
_noreturn_ static void report_failure(int report, int r) {
    const char *text = error_text(r);
    int ignored = fd_write_all(report, text, strlen(text));
    UNUSED(ignored);
    _exit(EXIT_START_FAILED);
}

/* clone() as fork() is, with namespaces. The keeper has one thread, so nothing is lost. */
static pid_t fork_into(unsigned long flags) {
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0UL);
}

static void default_signals(void) {
    struct sigaction action = { .sa_handler = SIG_DFL };
    for (int signal = 1; signal < NSIG; signal++)
        sigaction(signal, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Keeps 0, 1, 2 as given and `report` (above them, closed on exec); closes the rest. */
static int settle_fds(const int fds[static 3], int *report) {
    int moved[4];
    for (int i = 0; i < 4; i++) {
        int from = i < 3 ? fds[i] : *report;
        moved[i] =
            from < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fcntl(from, F_DUPFD_CLOEXEC, 10);
        if (moved[i] < 0)
            return error_last("set up standard input and output");
    }
    for (int i = 0; i < 3; i++)
        if (dup2(moved[i], i) < 0)
            return error_last("set up standard input and output");
    if (dup3(moved[3], 3, O_CLOEXEC) < 0 || close_range(4, ~0u, 0) < 0)
        return error_last("close file descriptors");
    *report = 3;
    return 0;
}

static int drop_capabilities(uint64_t keep) {
    for (int i = 0; i <= CAPABILITY_LAST; i++)
        if (!(keep >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break; /* beyond what this kernel knows */
            return error_last("drop capability %d", i);
        }
    return 0;
}

static int set_capabilities(uint64_t keep) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct now[2];
    if (syscall(SYS_capget, &header, now) < 0)
        return error_last("read capabilities");
    for (int i = 0; i < 2; i++) {
        uint32_t bits = now[i].permitted & (uint32_t)(keep >> (32 * i));
        now[i] = (struct __user_cap_data_struct){ .effective = bits, .permitted = bits };
    }
    if (syscall(SYS_capset, &header, now) < 0)
        return error_last("set capabilities");
    return 0;
}

static int become_user(const ContainerSpec *spec) {
    uint64_t keep = spec->privileged ? UINT64_MAX : spec->capabilities;
    int r = drop_capabilities(keep);
    if (r < 0)
        return r;
    /* In a user namespace of one user the kernel forbids setgroups; there is none to set then. */
    if (setgroups(spec->groups.len, spec->groups.items) < 0 && spec->groups.len)
        return error_last("set the supplementary groups");
    if (setresgid(spec->gid, spec->gid, spec->gid) < 0)
        return error_last("become group %u", spec->gid);
    if (setresuid(spec->uid, spec->uid, spec->uid) < 0)
        return error_last("become user %u", spec->uid);
    if (spec->uid == 0)
        r = set_capabilities(keep);
    if (r == 0 && spec->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = error_last("give up new privileges");
    return r;
}

static const char *env_value(const StrList *env, const char *name) {
    size_t len = strlen(name);
    for (size_t i = env->len; i-- > 0;)
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
            return env->items[i] + len + 1;
    return NULL;
}

/* Replaces the process, or says why not in the words of the container runtime. */
static int exec_program(char *const *argv, const StrList *env) {
    const char *path = env_value(env, "PATH");
    bool searched = !strchr(argv[0], '/');
    if (!searched)
        execve(argv[0], argv, env->items);
    for (const char *at = searched && path ? path : NULL; at;) {
        size_t len = strcspn(at, ":");
        _cleanup_free_ char *full = str_printf("%.*s/%s", (int)len, at, argv[0]);
        execve(full, argv, env->items);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
        at = at[len] ? at + len + 1 : NULL;
    }
    if (searched && (!path || errno == ENOENT || errno == ENOTDIR))
        return error_origin(-ENOENT, "exec: \"%s\": executable file not found in $PATH", argv[0]);
    return error_last("exec: \"%s\"", argv[0]);
}

/* A terminal of the container's own /dev/pts, so that its name means something in there. The other
 * side goes to whoever holds the far end of `via`. */
static int open_terminal(const ContainerSpec *spec, int via, int *ret_fd) {
    _cleanup_close_ int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int locked = 0;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &locked) < 0)
        return error_last("open a terminal");
    int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return error_last("open a terminal");
    (void)!fchown(fd, spec->uid, (gid_t)-1); /* without it only `mesg` and its like fail */
    _cleanup_json_ json_t *nothing = json_object();
    int r = packet_send(via, nothing, &master, 1);
    if (r < 0) {
        fd_close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* The last steps before the user's program: the same for its own start and for an exec. */
static int run_program(const ContainerSpec *spec, char *const *argv, const int fds[static 3],
                       bool tty, int *report) {
    int terminal = -1;
    setsid();
    umask(0022);
    int r = tty ? open_terminal(spec, fds[0], &terminal) : 0;
    if (r == 0)
        r = settle_fds(tty ? (int[]){ terminal, terminal, terminal } : fds, report);
    if (r < 0)
        return r;
    if (tty && ioctl(0, TIOCSCTTY, 0) < 0)
        return error_last("take the terminal");
    const char *cwd = spec->cwd ? spec->cwd : "/";
    if (chdir(cwd) < 0 && (dir_make(cwd, 0755) < 0 || chdir(cwd) < 0))
        return error_last("enter the working folder %s", cwd);
    r = become_user(spec);
    if (r < 0)
        return r;
    default_signals();
    return exec_program(argv, &spec->env);
}

static int mount_volumes(RootFs *rootfs, const ContainerSpec *spec) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < spec->hide.len; i++)
        r = rootfs_hide(rootfs, spec->hide.items[i]);
    VEC_EACH(mount, &spec->mounts) {
        if (r < 0)
            return r;
        r = !mount->source ? rootfs_tmpfs(rootfs, mount->target, mount->size, 01777)
            : mount->sub   ? rootfs_bind_below(rootfs, mount->source, mount->sub, mount->target,
                                               mount->read_only)
                           : rootfs_bind(rootfs, mount->source, mount->target, mount->read_only);
    }
    return r;
}

/* A program finds its own limits where programs look for them. */
static int mount_cgroups(RootFs *rootfs, const Cgroup *group) {
    const struct {
        const char *folder, *at;
    } all[] = {
        { group->memory, group->memory_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory" },
        { group->cpu, group->cpu_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu" },
    };
    bool v2 = group->memory_v2 || group->cpu_v2;
    int r = v2 || !group->memory ? 0 : rootfs_tmpfs(rootfs, "/sys/fs/cgroup", 65536, 0755);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(all); i++)
        if (all[i].folder && !(i == 1 && v2))
            r = rootfs_bind(rootfs, all[i].folder, all[i].at, true);
    return r;
}

static int build_root(const ContainerSpec *spec, const ContainerPlace *place, const Cgroup *group) {
    _cleanup_free_ char *root = str_printf("%s/root", place->dir);
    _cleanup_free_ char *upper = str_printf("%s/upper", place->dir);
    _cleanup_free_ char *work = str_printf("%s/work", place->dir);
    RootFs rootfs = { .root = root, .upper = upper, .work = work, .fd = -1 };
    int r = mount_isolate();
    for (size_t i = 0; r == 0 && i < spec->mounts.len; i++)
        r = rootfs_claim(&rootfs, spec->mounts.items[i].target);
    if (r == 0 && spec->cwd)
        r = rootfs_claim(&rootfs, spec->cwd);
    if (r == 0)
        r = rootfs_mount(&rootfs);
    if (r == 0)
        r = rootfs_mount_system(&rootfs, spec->shm_size, spec->privileged);
    if (r == 0)
        r = mount_cgroups(&rootfs, group);
    if (r == 0)
        r = mount_volumes(&rootfs, spec);
    if (r == 0)
        r = rootfs_enter(&rootfs);
    if (r == 0 && spec->read_only_root &&
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
        r = error_last("make the root read-only");
    return r;
}

/* Process 1 after the program's start: hands signals on, collects the dead, ends with the program. */
_noreturn_ static void init_serve(pid_t program, const sigset_t *signals) {
    for (;;) {
        siginfo_t info;
        int signal = sigwaitinfo(signals, &info);
        if (signal > 0 && signal != SIGCHLD) {
            kill(program, signal);
            continue;
        }
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == program)
                _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
}

_noreturn_ static void init_main(const ContainerSpec *spec, const ContainerPlace *place,
                                 const Cgroup *group, const int fds[static 3], int report) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "mobula-init");
    sigset_t signals;
    sigfillset(&signals);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    int r = cgroup_enter(group, 0);
    if (r == 0)
        r = build_root(spec, place, group);
    if (r < 0)
        report_failure(report, r);
    pid_t program = fork();
    if (program < 0)
        report_failure(report, error_last("fork"));
    if (program == 0) {
        r = run_program(spec, spec->argv.items, fds, spec->tty, &report);
        report_failure(report, r);
    }
    /* Nothing of this process is of use to the container: no fds, no rights, not to be traced. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    close_range(0, ~0u, 0);
    init_serve(program, &signals);
}

int container_start(const ContainerSpec *spec, const ContainerPlace *place, const Cgroup *group,
                    const int fds[static 3], int report, pid_t *ret_pid) {
    static const char *const folders[] = { "root", "upper", "work" };
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        _cleanup_free_ char *path = str_printf("%s/%s", place->dir, folders[i]);
        int r = dir_make(path, 0755);
        if (r < 0)
            return r;
    }
    pid_t pid = fork_into(CLONE_NEWPID | CLONE_NEWNS);
    if (pid < 0)
        return error_last("start a container process");
    if (pid == 0)
        init_main(spec, place, group, fds, report);
    *ret_pid = pid;
    return 0;
}

static int join_namespaces(pid_t init, const Cgroup *group) {
    int pidfd = (int)syscall(SYS_pidfd_open, init, 0);
    if (pidfd < 0)
        return error_last("open the container's process");
    int r = cgroup_enter(group, 0);
    if (r == 0 && setns(pidfd, CLONE_NEWPID | CLONE_NEWNS) < 0)
        r = error_last("enter the container");
    fd_close(pidfd);
    return r;
}

/* The process between: only its children are in the PID namespace it joined, so it makes one, a
 * sibling of its own, and ends. */
_noreturn_ static void exec_between(const ContainerSpec *spec, pid_t init, const Cgroup *group,
                                    char *const *argv, const int fds[static 3], bool tty,
                                    int report) {
    int r = join_namespaces(init, group);
    if (r < 0)
        report_failure(report, r);
    pid_t pid = fork_into(CLONE_PARENT);
    if (pid < 0)
        report_failure(report, error_last("fork"));
    if (pid == 0) {
        r = run_program(spec, argv, fds, tty, &report);
        report_failure(report, r);
    }
    char text[32];
    int len = snprintf(text, sizeof(text), "P%d\n", pid);
    r = fd_write_all(report, text, (size_t)len);
    _exit(r < 0);
}

int container_exec(const ContainerSpec *spec, pid_t init, const Cgroup *group, char *const *argv,
                   const int fds[static 3], bool tty, int report, pid_t *ret_between) {
    pid_t pid = fork();
    if (pid < 0)
        return error_last("fork");
    if (pid == 0)
        exec_between(spec, init, group, argv, fds, tty, report);
    *ret_between = pid;
    return 0;
}
