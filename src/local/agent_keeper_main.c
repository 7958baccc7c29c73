/* SPDX-License-Identifier: Apache-2.0 */

/* The launcher and the keeper: processes forked from the agent before it became one. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "local/agent_file.h"
#include "local/agent_keeper.h"
#include "local/agent_keeper_private.h"
#include "local/agent_packet.h"
#include "local/agent_sandbox.h"

enum {
    POLL_MAX = 3 + KEEPER_CONTAINERS_MAX * 5 + KEEPER_EXECS_MAX + KEEPER_ATTACHED_MAX * 3,
    STOP_ROUND_MSEC = 20,
    ALONE_ROUND_MSEC = 5000,
    LISTEN_BACKLOG = 8
};

void keeper_tell(KeeperProcess *keeper, json_t *event, int fd) {
    /* An agent that is gone or does not read finds everything again when it connects. */
    if (keeper->connection >= 0 && packet_send(keeper->connection, event, &fd, fd >= 0 ? 1 : 0) < 0)
        keeper->connection = fd_close(keeper->connection);
    json_decref(event);
}

static void tell_all(KeeperProcess *keeper) {
    if (keeper->failed) {
        keeper_tell(keeper, json_pack("{s:s,s:s}", "ev", "failed", "message", keeper->failure), -1);
        return;
    }
    keeper_tell(keeper, json_pack("{s:s,s:i}", "ev", "ready", "pid", (int)getpid()), -1);
    LIST_EACH(item, &keeper->containers)
        kept_tell(keeper, LIST_ITEM(item, Kept, all));
}

static void accept_agent(KeeperProcess *keeper) {
    int fd = accept4(keeper->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    fd_close(keeper->connection); /* the newest agent is the right one */
    keeper->connection = fd;
    tell_all(keeper);
}

static void op_exec(KeeperProcess *keeper, const json_t *message, const int fds[static 3]) {
    uint64_t id = (uint64_t)json_int_at(message, 0, "id");
    const char *container = json_str_at(message, "container");
    int r = exec_start(keeper, id, container ? container : "", json_object_get(message, "argv"),
                       json_bool_at(message, false, "tty"), fds);
    if (r < 0)
        keeper_tell(keeper,
                    json_pack("{s:s,s:I,s:i,s:s}", "ev", "exec", "id", (json_int_t)id, "code", 126,
                              "error", error_text(r)),
                    -1);
}

static void op_attach(KeeperProcess *keeper, const json_t *message, const int fds[static 3]) {
    int r = attach_start(keeper, message, fds);
    if (r < 0)
        keeper_tell(keeper,
                    json_pack("{s:s,s:I,s:i,s:s}", "ev", "exec", "id",
                              (json_int_t)json_int_at(message, 0, "id"), "code", 126, "error",
                              error_text(r)),
                    -1);
}

static void op_resize(KeeperProcess *keeper, const json_t *message) {
    const char *name = json_str_at(message, "container");
    Kept *kept = name ? kept_find(keeper, name) : NULL;
    if (kept)
        kept_resize(kept, (int)json_int_at(message, 0, "columns"),
                    (int)json_int_at(message, 0, "rows"));
}

static void op_socket(KeeperProcess *keeper, const json_t *message) {
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    keeper_tell(
        keeper,
        json_pack("{s:s,s:I}", "ev", "socket", "id", (json_int_t)json_int_at(message, 0, "id")),
        fd);
}

static void op_start(KeeperProcess *keeper, const json_t *message) {
    const char *name = json_str_at(message, "container");
    int attempt = (int)json_int_at(message, 0, "attempt");
    if (name && !keeper->failed && !keeper->stopping) {
        int r = kept_start(keeper, name, attempt);
        UNUSED(r); /* runs already: the agent was told before */
    }
}

static void op_signal(KeeperProcess *keeper, const json_t *message) {
    const char *name = json_str_at(message, "container");
    Kept *kept = name ? kept_find(keeper, name) : NULL;
    if (kept && kept->init > 0)
        kill(kept->init, (int)json_int_at(message, SIGTERM, "signal"));
}

static void dispatch(KeeperProcess *keeper, const json_t *message, const int fds[static 3]) {
    const char *op = json_str_at(message, "op");
    if (str_eq(op, "start"))
        op_start(keeper, message);
    else if (str_eq(op, "signal"))
        op_signal(keeper, message);
    else if (str_eq(op, "exec"))
        op_exec(keeper, message, fds);
    else if (str_eq(op, "exec-kill"))
        exec_kill(keeper, (uint64_t)json_int_at(message, 0, "id"));
    else if (str_eq(op, "attach"))
        op_attach(keeper, message, fds);
    else if (str_eq(op, "detach"))
        attach_stop(keeper, (uint64_t)json_int_at(message, 0, "id"));
    else if (str_eq(op, "resize"))
        op_resize(keeper, message);
    else if (str_eq(op, "socket"))
        op_socket(keeper, message);
    else if (str_eq(op, "stop"))
        keeper->stopping = true;
}

static void read_agent(KeeperProcess *keeper) {
    while (keeper->connection >= 0) {
        _cleanup_json_ json_t *message = NULL;
        int fds[PACKET_FDS];
        int r = packet_receive(keeper->connection, &message, fds);
        if (r == PACKET_NONE)
            return;
        if (r != 0) {
            keeper->connection = fd_close(keeper->connection);
            return;
        }
        dispatch(keeper, message, fds);
        for (int i = 0; i < PACKET_FDS; i++)
            fd_close(fds[i]);
    }
}

static void read_signals(KeeperProcess *keeper) {
    struct signalfd_siginfo info;
    while (read(keeper->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            keeper->stopping = true;
    exec_reap(keeper);
    kept_reap(keeper);
}

/* One entry of the poll set, and whom it wakes. */
typedef struct PollSet {
    struct pollfd fds[POLL_MAX];
    void *owner[POLL_MAX];
    size_t len;
} PollSet;

static void poll_add_for(PollSet *set, struct pollfd entry, void *owner) {
    if (entry.fd < 0)
        return;
    ASSERT(set->len < POLL_MAX);
    set->fds[set->len] = entry;
    set->owner[set->len++] = owner;
}

static void poll_add(PollSet *set, int fd, void *owner) {
    poll_add_for(set, (struct pollfd){ .fd = fd, .events = POLLIN }, owner);
}

static void poll_add_kept(PollSet *set, Kept *kept) {
    poll_add(set, kept_output_waits(kept, 0) ? -1 : kept->out, kept);
    poll_add(set, kept_output_waits(kept, 1) ? -1 : kept->err, kept);
    poll_add(set, kept->report, kept);
    poll_add(set, kept->terminal, kept);
    if (kept->input.len)
        poll_add_for(set, (struct pollfd){ .fd = kept->in, .events = POLLOUT }, kept);
    LIST_EACH(item, &kept->attached) {
        Attached *attached = attached_item(item);
        struct pollfd fds[3];
        size_t len = attached_watch(kept, attached, fds);
        for (size_t i = 0; i < len; i++)
            poll_add_for(set, fds[i], attached);
    }
}

static void poll_collect(KeeperProcess *keeper, PollSet *set) {
    set->len = 0;
    poll_add(set, keeper->signals, NULL);
    poll_add(set, keeper->listener, NULL);
    poll_add(set, keeper->connection, NULL);
    LIST_EACH(item, &keeper->containers)
        poll_add_kept(set, LIST_ITEM(item, Kept, all));
    LIST_EACH(item, &keeper->execs) {
        KeptExec *exec = LIST_ITEM(item, KeptExec, all);
        poll_add(set, exec->report, exec);
    }
}

static void serve_kept(KeeperProcess *keeper, const PollSet *set, Kept *kept) {
    for (size_t i = 0; i < set->len; i++) {
        if (set->owner[i] != kept || !set->fds[i].revents)
            continue;
        if (set->fds[i].fd == kept->out)
            kept_output_ready(kept, 0);
        else if (set->fds[i].fd == kept->err)
            kept_output_ready(kept, 1);
        else if (set->fds[i].fd == kept->report)
            kept_report_ready(keeper, kept);
        else if (set->fds[i].fd == kept->in)
            kept_input_ready(kept);
        else if (set->fds[i].fd == kept->terminal)
            kept_terminal_ready(kept);
    }
}

static void serve_attached(KeeperProcess *keeper, const PollSet *set, Kept *kept) {
    LIST_EACH_SAFE(item, &kept->attached) {
        Attached *attached = attached_item(item);
        bool there = true;
        for (size_t i = 0; there && i < set->len; i++)
            if (set->owner[i] == attached && set->fds[i].revents)
                there = attached_ready(keeper, kept, attached, &set->fds[i]);
    }
}

/* Output and reports first: nothing here frees a container, so the set stays valid meanwhile. */
static void poll_serve(KeeperProcess *keeper, const PollSet *set) {
    LIST_EACH(item, &keeper->containers) {
        Kept *kept = LIST_ITEM(item, Kept, all);
        serve_kept(keeper, set, kept);
        serve_attached(keeper, set, kept);
    }
    LIST_EACH_SAFE(item, &keeper->execs) {
        KeptExec *exec = LIST_ITEM(item, KeptExec, all);
        for (size_t i = 0; i < set->len; i++)
            if (set->owner[i] == exec && set->fds[i].revents) {
                exec_report_ready(keeper, exec);
                break;
            }
    }
}

static bool all_exited(const KeeperProcess *keeper) {
    LIST_EACH(item, &keeper->containers)
        if (LIST_ITEM(item, Kept, all)->init > 0)
            return false;
    return true;
}

static void kill_all(KeeperProcess *keeper) {
    LIST_EACH(item, &keeper->containers) {
        Kept *kept = LIST_ITEM(item, Kept, all);
        if (kept->init > 0)
            kill(kept->init, SIGKILL);
    }
}

static void keeper_loop(KeeperProcess *keeper) {
    static PollSet set; /* of this process alone; too large for a stack */
    while (!keeper->stopping || !all_exited(keeper)) {
        if (keeper->stopping)
            kill_all(keeper);
        poll_collect(keeper, &set);
        bool alone = keeper->connection < 0;
        int ready = poll(set.fds, set.len,
                         keeper->stopping ? STOP_ROUND_MSEC
                         : alone          ? ALONE_ROUND_MSEC
                                          : -1);
        if (ready == 0 && alone && access(keeper->dir, F_OK) < 0)
            keeper->stopping = true; /* no agent can ever find this pod again */
        if (ready <= 0)
            continue;
        poll_serve(keeper, &set);
        read_signals(keeper);
        for (size_t i = 0; i < set.len; i++) {
            if (!set.fds[i].revents || set.owner[i])
                continue;
            if (set.fds[i].fd == keeper->connection)
                read_agent(keeper);
            else if (set.fds[i].fd == keeper->listener)
                accept_agent(keeper);
        }
    }
}

static int keeper_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_last("watch signals") : fd;
}

static int pod_load(const char *dir, json_t **ret_pod) {
    _cleanup_free_ char *path = str_printf("%s/pod.json", dir);
    return state_read(path, ret_pod);
}

_noreturn_ static void keeper_main(const char *dir, int listener) {
    setsid();
    prctl(PR_SET_NAME, KEEPER_COMM);
    (void)!listen(listener, LISTEN_BACKLOG); /* again: whoever connects sees which process we are */
    KeeperProcess keeper = { .dir = dir, .listener = listener, .connection = -1, .signals = -1 };
    list_init(&keeper.containers);
    list_init(&keeper.execs);
    _cleanup_json_ json_t *pod = NULL;
    int r = keeper.signals = keeper_signals();
    if (r >= 0)
        r = cgroup_host_init(&keeper.cgroups);
    if (r >= 0)
        r = pod_load(dir, &pod);
    if (r >= 0)
        r = sandbox_enter(pod);
    if (r < 0) {
        keeper.failed = true;
        keeper.failure = str_dup(error_text(r));
    }
    if (keeper.signals < 0)
        _exit(1);
    keeper_loop(&keeper);
    _exit(0);
}

static int listen_at(const char *dir, int *ret_fd) {
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_last("make a socket");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    /* A short way to a long path: relative to where the launcher stands. */
    if (chdir(dir) < 0)
        return error_last("enter %s", dir);
    unlink("keeper.sock");
    snprintf(address.sun_path, sizeof(address.sun_path), "keeper.sock");
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, LISTEN_BACKLOG) < 0)
        return error_last("listen at %s/keeper.sock", dir);
    *ret_fd = fd;
    fd = -1;
    return chdir("/") < 0 ? error_last("enter /") : 0;
}

/* Answers each request with {} or {error}; the socket listens by then. */
static void launch(int control, const json_t *request) {
    const char *dir = json_str_at(request, "dir");
    int listener = -1;
    int r = dir ? listen_at(dir, &listener) : error_origin(-EINVAL, "no folder");
    pid_t pid = r < 0 ? -1 : fork();
    if (r == 0 && pid < 0)
        r = error_last("fork");
    if (pid == 0) {
        fd_close(control);
        keeper_main(dir, listener);
    }
    fd_close(listener);
    _cleanup_json_ json_t *answer = json_object();
    if (r < 0)
        json_object_set_new(answer, "error", json_string(error_text(r)));
    r = packet_send(control, answer, NULL, 0);
    UNUSED(r);
}

_noreturn_ static void launcher_main(int control) {
    setsid();
    prctl(PR_SET_NAME, "mobula-launcher");
    signal(SIGCHLD, SIG_IGN); /* keepers leave no zombies, nor do the containers of a killed one */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        _cleanup_json_ json_t *request = NULL;
        int fds[PACKET_FDS];
        struct pollfd wait = { .fd = control, .events = POLLIN };
        if (poll(&wait, 1, -1) < 0 && errno != EINTR)
            _exit(1);
        int r = packet_receive(control, &request, fds);
        if (r == PACKET_NONE)
            continue;
        if (r != 0)
            _exit(r < 0);
        launch(control, request);
    }
}

int launcher_start(int *ret_fd) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_last("make a socket pair");
    pid_t pid = fork();
    if (pid == 0) {
        if (dup3(pair[1], 3, O_CLOEXEC) < 0 && pair[1] != 3)
            _exit(1);
        close_range(4, ~0u, 0);
        close_range(0, 2, 0); /* keepers outlive whoever reads the agent's output */
        for (int i = 0; i < 3; i++)
            if (open("/dev/null", O_RDWR) != i)
                _exit(1);
        launcher_main(3);
    }
    fd_close(pair[1]);
    if (pid < 0) {
        fd_close(pair[0]);
        return error_last("fork");
    }
    *ret_fd = pair[0];
    return 0;
}
