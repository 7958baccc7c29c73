/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/rootless.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "codec/json.h"
#include "host/mount.h"
#include "host/netlink.h"
#include "host/spawn.h"

#define HELPER_WAIT (10 * USEC_PER_SEC)

enum {
    SUBID_MAX = 65536, /* bytes of /etc/subuid that are looked at */
    NAMESPACES = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS
};

static const char RESOLVER[] = "nameserver 10.0.2.3\n"; /* slirp4netns's own */

/* ---- who is who ---- */

typedef struct IdRange {
    unsigned long start, count;
} IdRange;

/* The user's line "NAME:START:COUNT". */
static bool find_range(const char *path, IdRange *ret_range) {
    const struct passwd *user = getpwuid(geteuid());
    _cleanup_buf_ Buf text = { 0 };
    char number[32];
    snprintf(number, sizeof(number), "%u", geteuid());
    if (file_read(path, SUBID_MAX, &text) < 0 || !text.data)
        return false;
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strchr(line, ':');
        if (!colon || sscanf(colon, ":%lu:%lu", &ret_range->start, &ret_range->count) != 2)
            continue;
        *colon = 0;
        if (str_eq(line, number) || (user && str_eq(line, user->pw_name)))
            return true;
    }
    return false;
}

/* The helper is set-user-ID: it checks /etc/subuid itself. */
static bool map_range(const char *program, pid_t pid, unsigned own, const char *path) {
    IdRange range;
    if (!find_range(path, &range))
        return false;
    char texts[4][24];
    snprintf(texts[0], sizeof(texts[0]), "%d", pid);
    snprintf(texts[1], sizeof(texts[1]), "%u", own);
    snprintf(texts[2], sizeof(texts[2]), "%lu", range.start);
    snprintf(texts[3], sizeof(texts[3]), "%lu", range.count);
    return spawn_run(SPAWN_LIST(program, texts[0], "0", texts[1], "1", "1", texts[2], texts[3]),
                     NULL, HELPER_WAIT, NULL) == 0;
}

static int write_file(const char *path, const char *text) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return error_last("write %s", path);
    return 0;
}

static int map_self(uid_t uid, gid_t gid) {
    char users[32], groups[32];
    snprintf(users, sizeof(users), "0 %u 1", uid);
    snprintf(groups, sizeof(groups), "0 %u 1", gid);
    int r = write_file("/proc/self/setgroups", "deny");
    if (r == 0)
        r = write_file("/proc/self/uid_map", users);
    return r < 0 ? r : write_file("/proc/self/gid_map", groups);
}

/* ---- the outside ---- */

static void lacking(RootlessNet *net, const char *why) {
    net->helper = 0;
    net->socket[0] = 0;
    snprintf(net->lacks, sizeof(net->lacks),
             "%s, so pods do not reach the outside (no pip), and kubectl of this machine does not "
             "reach the cluster",
             why);
}

/* It says "1" when the network is there. */
static bool helper_is_ready(int fd) {
    char byte = 0;
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    return poll(&wait, 1, (int)(HELPER_WAIT / USEC_PER_MSEC)) == 1 && read(fd, &byte, 1) == 1 &&
           byte == '1';
}

static void start_helper(pid_t pid, bool keep, RootlessNet *net) {
    char folder[] = "/tmp/mobula-XXXXXX", target[24];
    int ready[2];
    Child child;
    if (!mkdtemp(folder) || pipe2(ready, O_CLOEXEC) < 0) {
        lacking(net, "No pipe could be made");
        return;
    }
    snprintf(net->socket, sizeof(net->socket), "%s/control", folder);
    snprintf(target, sizeof(target), "%d", pid);
    _cleanup_free_ char *socket = str_printf("--api-socket=%s", net->socket);
    const SpawnFd fds[] = { { ready[1], 3 } };
    SpawnSpec spec = { .argv = SPAWN_LIST("slirp4netns", "--configure", "--mtu=65520",
                                          "--disable-host-loopback", "--ready-fd=3", socket, target,
                                          "tap0"),
                       .fds = fds,
                       .fd_count = ARRAY_LEN(fds),
                       .group = SPAWN_NEW_SESSION,
                       .death_signal = keep ? 0 : SIGTERM };
    int r = spawn_start(&spec, &child);
    fd_close(ready[1]);
    bool up = r == 0 && helper_is_ready(ready[0]);
    fd_close(ready[0]);
    if (r == 0)
        fd_close(child.pidfd);
    if (r < 0)
        lacking(net, "slirp4netns is not installed");
    else if (!up)
        lacking(net, "slirp4netns does not work (it needs /dev/net/tun)");
    else
        net->helper = child.pid;
    if (r == 0 && !up) {
        kill(child.pid, SIGKILL);
        waitpid(child.pid, NULL, 0);
    }
    if (!net->helper)
        (void)!dir_remove(folder);
}

/* {"return": ...} or {"error": {"desc": "..."}} */
static int read_answer(int fd) {
    char text[1024];
    ssize_t len = read(fd, text, sizeof(text));
    _cleanup_json_ json_t *answer = NULL;
    if (len <= 0 || json_parse(text, (size_t)len, NULL, 0, &answer) < 0)
        return error_origin(-EIO, "slirp4netns does not answer");
    const char *why = json_str_at(answer, "error", "desc");
    return why ? error_origin(-EIO, "slirp4netns: %s", why) : 0;
}

int rootless_forward(RootlessNet *net, unsigned port) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", net->socket);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_last("reach slirp4netns");
    _cleanup_free_ char *request =
        str_printf("{\"execute\":\"add_hostfwd\",\"arguments\":{\"proto\":\"tcp\",\"host_addr\":"
                   "\"127.0.0.1\",\"host_port\":%u,\"guest_port\":%u}}",
                   port, port);
    int r = fd_write_all(fd, request, strlen(request));
    if (r == 0 && shutdown(fd, SHUT_WR) < 0)
        r = error_last("reach slirp4netns");
    if (r == 0)
        r = read_answer(fd);
    unlink(net->socket);
    *strrchr(net->socket, '/') = 0;
    rmdir(net->socket);
    net->socket[0] = 0;
    return r;
}

/* ---- the inside ---- */

static int link_up_loopback(void) {
    _cleanup_netlink_ Netlink netlink = { .fd = -1 };
    int index;
    int r = netlink_open(&netlink);
    if (r == 0)
        r = netlink_link_index(&netlink, "lo", &index);
    return r < 0 ? r : netlink_link_up(&netlink, index);
}

/* /sys shows the links of the network it was mounted in; control groups are as they were. */
static int mount_own_sys(void) {
    _cleanup_close_ int groups = open("/sys/fs/cgroup", O_PATH | O_CLOEXEC);
    char path[64];
    if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return error_last("mount /sys");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", groups);
    if (groups >= 0)
        (void)!mount(path, "/sys/fs/cgroup", NULL, MS_BIND | MS_REC, NULL);
    return 0;
}

static int mount_own_resolver(void) {
    char path[] = "/tmp/mobula-resolv-XXXXXX";
    _cleanup_close_ int fd = mkstemp(path);
    int r = fd < 0 ? error_last("create %s", path) : fd_write_all(fd, RESOLVER, strlen(RESOLVER));
    if (r == 0 && fchmod(fd, 0644) < 0)
        r = error_last("chmod %s", path);
    if (r == 0 && mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0)
        r = error_last("mount /etc/resolv.conf");
    unlink(path);
    return r;
}

static int settle(const RootlessNet *net) {
    int r = mount_isolate();
    if (r == 0)
        r = mount_own_sys();
    if (r == 0)
        r = link_up_loopback();
    return r < 0 || !net->helper ? r : mount_own_resolver();
}

/* The two processes take turns: unshared; mapped by our parent or not; mapped by ourselves;
 * connected. */
_noreturn_ static void child_main(int turn, bool connect, RootlessFn *inside, void *ctx) {
    RootlessNet net = { 0 };
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char mapped = 0;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int r = unshare(NAMESPACES) < 0
                ? error_last("make a user namespace (without root it needs "
                             "user.max_user_namespaces, and no policy against it)")
                : 0;
    if (r == 0 && (write(turn, "u", 1) != 1 || read(turn, &mapped, 1) != 1))
        r = error_origin(-EIO, "the parent process is gone");
    if (r == 0 && mapped == 'n')
        r = map_self(uid, gid);
    if (r == 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        r = error_last("become root of the user namespace");
    if (r == 0 &&
        (write(turn, "m", 1) != 1 || recv(turn, &net, sizeof(net), MSG_WAITALL) != sizeof(net)))
        r = error_origin(-EIO, "the parent process is gone");
    fd_close(turn);
    /* Becoming another user forgot it. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (r == 0 && connect)
        r = settle(&net);
    if (r < 0) {
        fprintf(stderr, "mobula: %s\n", error_text(r));
        _exit(1);
    }
    int status = inside(ctx, &net);
    fflush(NULL);
    _exit(status);
}

static bool child_says(int turn, char wanted) {
    char said = 0;
    return read(turn, &said, 1) == 1 && said == wanted;
}

/* What the child needs of us; it says itself what went wrong there. */
static void serve_child(int turn, pid_t pid, bool connect, bool keep, RootlessNet *net) {
    if (!child_says(turn, 'u'))
        return;
    bool mapped = map_range("newuidmap", pid, geteuid(), "/etc/subuid") &&
                  map_range("newgidmap", pid, getegid(), "/etc/subgid");
    if (write(turn, mapped ? "y" : "n", 1) != 1 || !child_says(turn, 'm'))
        return;
    if (connect)
        start_helper(pid, keep, net);
    (void)!send(turn, net, sizeof(*net), MSG_NOSIGNAL);
}

/* Signals are the child's; what a terminal sends reaches both anyhow. */
static int wait_for(pid_t pid) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    for (;;) {
        int status;
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended < 0)
            return error_last("wait for the process in the user namespace");
        if (ended == pid)
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        if (sigwaitinfo(&wanted, NULL) == SIGTERM)
            kill(pid, SIGTERM);
    }
}

int rootless_run(bool connect, bool keep, RootlessFn *inside, void *ctx) {
    RootlessNet net = { 0 };
    int turn[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, turn) < 0)
        return error_last("make a socket pair");
    pid_t pid = fork();
    if (pid < 0)
        return error_last("fork");
    if (pid == 0) {
        fd_close(turn[0]);
        child_main(turn[1], connect, inside, ctx);
    }
    fd_close(turn[1]);
    signal(SIGINT, SIG_IGN);
    serve_child(turn[0], pid, connect, keep, &net);
    fd_close(turn[0]);
    int status = wait_for(pid);
    if (net.helper && !keep) {
        kill(net.helper, SIGTERM);
        waitpid(net.helper, NULL, 0);
    }
    return status;
}

int rootless_join(pid_t pid) {
    static const char *const names[] = { "user", "net", "mnt" };
    int fds[ARRAY_LEN(names)], r = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = str_printf("/proc/%d/ns/%s", pid, names[i]);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0 && r == 0)
            r = error_last("open %s", path);
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (r == 0 && setns(fds[i], 0) < 0)
            r = error_last("enter the %s namespace of process %d", names[i], pid);
        fd_close(fds[i]);
    }
    if (r == 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        r = error_last("become root of the user namespace");
    return r;
}
