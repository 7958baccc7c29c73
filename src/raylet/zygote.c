/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "codec/json.h"
#include "raylet/raylet_private.h"

/*
 * A zygote is one Python process that has imported what every worker needs and forks workers on
 * request. The contract is in src/python/README.md: JSON packets over a socketpair, fd 3 of the
 * zygote. What is asked before it is ready waits in the socket's buffer.
 */

enum {
    ZYGOTE_FD = 3,
    PACKET_MAX = 192 * 1024,
    PACKET_OVERHEAD = 32,               /* the kernel's, of what fits in a socket */
};
#define IDLE_TIMEOUT (2 * USEC_PER_SEC) /* nothing of a job is left for long */
#define END_WAIT     (500 * USEC_PER_MSEC) /* after SIGKILL: who waits for a node finds nothing of it */

struct Zygote {
    Raylet *raylet;
    char *key, *python;
    char **env;        /* its own variables; NULL: ours */
    int socket;
    size_t packet_max; /* what goes through it at once */
    List asks;         /* what has not gone through it yet: of workers that are starting */
    LoopFd *watch;
    LoopChild *exit;
    pid_t pid;
    uint64_t last_request;
    Map requests;          /* number -> Worker */
    bool leaving;
    LoopTimer *idle_timer; /* ends it when no worker of it is left; the plain one stays */
};

/* A packet that found no room in the socket, with its descriptors. */
typedef struct Ask {
    List link; /* in Zygote.asks */
    Buf text;
    int fds[2];
} Ask;

static void ask_free(Ask *ask) {
    list_remove(&ask->link);
    buf_done(&ask->text);
    fd_close(ask->fds[0]);
    fd_close(ask->fds[1]);
    free(ask);
}

/* Everything it had under way failed; its workers go on without it. */
static void zygote_free(Zygote *zygote, const char *text) {
    Raylet *raylet = zygote->raylet;
    strmap_remove(&raylet->zygotes, zygote->key);
    loop_fd_free(zygote->watch);
    fd_close(zygote->socket); /* it exits when the socket closes */
    loop_child_free(zygote->exit);
    int failures = raylet->start_failures;
    LIST_EACH_SAFE(item, &raylet->workers) {
        Worker *worker = LIST_ITEM(item, Worker, link);
        if (worker->zygote != zygote)
            continue;
        worker->zygote = NULL;
        if (worker->state != WORKER_FORKING)
            continue;
        raylet->start_failures = failures; /* one for all of them together */
        worker_fork_failed(worker, text);
    }
    map_done(&zygote->requests);
    loop_timer_free(zygote->idle_timer);
    LIST_EACH_SAFE(item, &zygote->asks)
        ask_free(LIST_ITEM(item, Ask, link));
    for (size_t i = 0; zygote->env && zygote->env[i]; i++)
        free(zygote->env[i]);
    free(zygote->env);
    free(zygote->key);
    free(zygote->python);
    free(zygote);
}

static void on_process_end(void *ctx, const LoopExit *end) {
    Zygote *zygote = ctx;
    if (zygote->leaving) {
        zygote_free(zygote, "its interpreter was not used any more");
        return;
    }
    _cleanup_free_ char *text =
        str_printf("the process that starts workers (%s, ray._private.zygote) ended %s %d: look at "
                   "zygote.err in %s",
                   zygote->python, end->signal ? "by signal" : "with status",
                   end->signal ? end->signal : end->code, zygote->raylet->session.logs);
    log_warn("%s", text);
    zygote_free(zygote, text);
}

/* ---- what it says ---- */

static Worker *take_request(Zygote *zygote, json_int_t number) {
    uint64_t key = (uint64_t)number;
    return map_remove(&zygote->requests, &key);
}

static void on_forked(Zygote *zygote, const json_t *packet, int *pidfd) {
    Worker *worker = take_request(zygote, json_int_at(packet, 0, "forked"));
    if (!worker)
        return;
    const char *error = json_str_at(packet, "error");
    pid_t pid = (pid_t)json_int_at(packet, 0, "pid");
    if (error || pid <= 0 || *pidfd < 0) {
        worker_fork_failed(worker, error ? error : "the zygote told no process");
        return;
    }
    worker_forked(worker, pid, *pidfd);
    *pidfd = -1;
}

static void on_process_ended(Zygote *zygote, const json_t *packet) {
    pid_t pid = (pid_t)json_int_at(packet, 0, "exited");
    LIST_EACH(item, &zygote->raylet->workers) {
        Worker *worker = LIST_ITEM(item, Worker, link);
        if (worker->zygote == zygote && worker->pid == pid) {
            worker_exited(worker, (int)json_int_at(packet, 0, "status"));
            return;
        }
    }
}

static void on_packet(Zygote *zygote, const char *data, size_t len, int *fd) {
    _cleanup_json_ json_t *packet = NULL;
    int r = json_parse(data, len, NULL, 0, &packet);
    if (r < 0) {
        log_warn("a zygote said something unreadable: %s", error_text(r));
        return;
    }
    if (json_at(packet, "forked"))
        on_forked(zygote, packet, fd);
    else if (json_at(packet, "exited"))
        on_process_ended(zygote, packet);
}

static ssize_t receive(int socket, char *data, size_t size, int *ret_fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { data, size };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return n;
}

static void read_packets(Zygote *zygote) {
    _cleanup_free_ char *data = mem_alloc(PACKET_MAX);
    for (int i = 0; i < 64; i++) {
        _cleanup_close_ int fd = -1;
        ssize_t n = receive(zygote->socket, data, PACKET_MAX, &fd);
        if (n <= 0) {
            if (n == 0)
                loop_fd_set(zygote->watch, 0); /* its end comes by the pidfd */
            return;
        }
        on_packet(zygote, data, (size_t)n, &fd);
    }
}

/* ---- what it is asked ---- */

static int send_packet(int socket, const Buf *text, const int fds[static 2]) {
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec part = { text->data, text->len };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
    if (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return error_last("ask the zygote for a worker");
    return 0;
}

/* As many as find room, in their order. One that fails otherwise fails with the zygote, whose end it
 * is. */
static void send_asks(Zygote *zygote) {
    while (!list_empty(&zygote->asks)) {
        Ask *ask = LIST_ITEM(zygote->asks.next, Ask, link);
        if (send_packet(zygote->socket, &ask->text, ask->fds) == -EAGAIN)
            return;
        ask_free(ask);
    }
    loop_fd_set(zygote->watch, LOOP_READABLE);
}

static void on_socket(void *ctx, unsigned events) {
    Zygote *zygote = ctx;
    if (events & LOOP_WRITABLE)
        send_asks(zygote);
    if (events & LOOP_READABLE)
        read_packets(zygote);
}

static int ask_later(Zygote *zygote, Buf *text, const int fds[static 2]) {
    int out = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    int err = out < 0 ? -1 : fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
    if (err < 0) {
        int r = error_last("keep a worker's files until the zygote reads on");
        fd_close(out);
        return r;
    }
    Ask *ask = mem_new(Ask);
    *ask = (Ask){ .text = *text, .fds = { out, err } };
    *text = (Buf){ 0 };
    list_push(&zygote->asks, &ask->link);
    loop_fd_set(zygote->watch, LOOP_READABLE | LOOP_WRITABLE);
    return 0;
}

static int ask(Zygote *zygote, Buf *text, const int fds[static 2]) {
    int r = list_empty(&zygote->asks) ? send_packet(zygote->socket, text, fds) : -EAGAIN;
    return r == -EAGAIN ? ask_later(zygote, text, fds) : r;
}

json_t *worker_config(const Worker *worker) {
    const Raylet *raylet = worker->raylet;
    char token[24];
    snprintf(token, sizeof(token), "%llu", (unsigned long long)worker->token);
    return json_pack("{s:s, s:s, s:s, s:s}", "raylet_socket", raylet->socket_path, "worker_id",
                     ID_HEX(&worker->id), "startup_token", token, "session_dir",
                     raylet->session.dir);
}

/* What the environment sets, but for what the zygote itself was started with. */
static json_t *fork_packet(const Worker *worker, uint64_t number) {
    json_t *packet = json_pack("{s:I, s:o, s:s}", "fork", (json_int_t)number, "config",
                               worker_config(worker), "title", "ray::IDLE");
    json_t *answer = workenv_answer(worker->env);
    static const char *const fields[][2] = { { "env_vars", "env" },
                                             { "cwd", "cwd" },
                                             { "sys_path", "sys_path" } };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        json_t *value = json_at(answer, fields[i][0]);
        if (value)
            json_object_set(packet, fields[i][1], value);
    }
    return packet;
}

/* Until it is reaped it has a name that nobody looks up. */
static void hide(Zygote *zygote) {
    Raylet *raylet = zygote->raylet;
    strmap_remove(&raylet->zygotes, zygote->key);
    free(zygote->key);
    zygote->key = str_printf("leaving %d", (int)zygote->pid);
    strmap_put(&raylet->zygotes, zygote->key, zygote);
    loop_timer_stop(zygote->idle_timer);
}

int zygote_fork(Zygote *zygote, Worker *worker, int out_fd, int err_fd) {
    uint64_t number = ++zygote->last_request;
    _cleanup_json_ json_t *packet = fork_packet(worker, number);
    _cleanup_buf_ Buf text = { 0 };
    json_encode(packet, 0, &text);
    if (text.len > zygote->packet_max)
        return error_origin(-E2BIG, "the runtime environment has %zu bytes; at most %zu fit",
                            text.len, zygote->packet_max);
    const int fds[] = { out_fd, err_fd };
    int r = ask(zygote, &text, fds);
    if (r == -EPIPE || r == -ECONNRESET) {
        hide(zygote);
        return error_origin(-EPIPE,
                            "the process that starts workers (%s, ray._private.zygote) has ended: "
                            "look at zygote.err in %s",
                            zygote->python, zygote->raylet->session.logs);
    }
    if (r < 0)
        return r;
    map_put(&zygote->requests, &number, worker);
    worker->zygote = zygote;
    return 0;
}

/* ---- starting one ---- */

/* Variables that an interpreter or its loader reads when it starts: a fork comes too late. */
static bool read_at_start(const char *name) {
    return str_starts(name, "PYTHON") || str_starts(name, "LD_") || str_eq(name, "LC_ALL") ||
           str_eq(name, "LANG") || str_starts(name, "MALLOC_") || str_starts(name, "GLIBC_");
}

/* The interpreter and those variables: what tells one zygote from another. */
static char *zygote_key(const char *python, json_t *vars) {
    _cleanup_buf_ Buf key = { 0 };
    buf_add_str(&key, python);
    const char *name;
    json_t *value;
    json_object_foreach(vars, name, value)
        if (read_at_start(name) && json_is_string(value))
            buf_printf(&key, "\n%s=%s", name, json_string_value(value));
    return buf_steal(&key);
}

static bool overridden(const char *entry, json_t *vars, bool (*counts)(const char *name)) {
    const char *name;
    json_t *value;
    json_object_foreach(vars, name, value) {
        size_t len = strlen(name);
        if (counts(name) && strncmp(entry, name, len) == 0 && entry[len] == '=')
            return true;
    }
    return false;
}

void environment_with(json_t *vars, bool (*counts)(const char *name), StrList *out) {
    for (char **entry = environ; *entry; entry++)
        if (!overridden(*entry, vars, counts))
            strlist_add(out, *entry);
    const char *name;
    json_t *value;
    json_object_foreach(vars, name, value)
        if (counts(name) && json_is_string(value))
            strlist_printf(out, "%s=%s", name, json_string_value(value));
}

/* It exits when nothing more can be asked. */
static void leave(Zygote *zygote) {
    hide(zygote);
    zygote->leaving = true;
    (void)shutdown(zygote->socket, SHUT_WR);
}

void zygote_stuck(Zygote *zygote) {
    log_warn("process %d, which starts workers, does not: it is killed", (int)zygote->pid);
    hide(zygote);
    loop_child_kill(zygote->exit, SIGKILL);
}

static void on_idle(void *ctx) {
    Zygote *zygote = ctx;
    LIST_EACH(item, &zygote->raylet->workers)
        if (LIST_ITEM(item, Worker, link)->zygote == zygote) {
            loop_timer_after(zygote->idle_timer, IDLE_TIMEOUT);
            return;
        }
    leave(zygote);
}

static int spawn(Zygote *zygote, int socket) {
    Raylet *raylet = zygote->raylet;
    _cleanup_free_ char *err_path = str_printf("%s/zygote.err", raylet->session.logs);
    _cleanup_close_ int err = open(err_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (err < 0)
        return error_last("open %s", err_path);
    SpawnFd fds[] = { { err, 1 }, { err, 2 }, { socket, ZYGOTE_FD } };
    SpawnSpec spec = {
        .argv = SPAWN_LIST(zygote->python, "-c", "from ray._private.zygote import main; main()"),
        .env = zygote->env,
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_SESSION,
    };
    Child child;
    int r = spawn_start(&spec, &child);
    if (r < 0)
        return r;
    zygote->pid = child.pid;
    r = loop_child_new(raylet->loop, child.pidfd, on_process_end, zygote, &zygote->exit);
    if (r < 0) {
        child_signal(&child, SIGKILL);
        child_release(&child);
    }
    return r;
}

/* Makes room for some packets; the largest that can be sent. */
static size_t room_in(int socket) {
    int size = 4 * PACKET_MAX;
    socklen_t len = sizeof(size);
    (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &len) < 0)
        return PACKET_MAX;
    return (size_t)MIN(MAX(size - PACKET_OVERHEAD, 0), PACKET_MAX);
}

static int zygote_new(Raylet *raylet, const char *key, const char *python, json_t *vars,
                      Zygote **ret_zygote) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_last("a socket pair for a zygote");
    _cleanup_close_ int theirs = pair[1];
    size_t packet_max = room_in(pair[0]);
    (void)room_in(pair[1]);
    Zygote *zygote = mem_new(Zygote);
    zygote->raylet = raylet;
    zygote->socket = pair[0];
    zygote->packet_max = packet_max;
    list_init(&zygote->asks);
    zygote->key = str_dup(key);
    zygote->python = str_dup(python);
    if (!str_eq(key, python)) {
        StrList env = { 0 };
        environment_with(vars, read_at_start, &env);
        zygote->env = env.items;
    }
    map_init(&zygote->requests, sizeof(uint64_t));
    zygote->idle_timer = loop_timer_new(raylet->loop, on_idle, zygote);
    if (!str_eq(key, raylet->python))
        loop_timer_after(zygote->idle_timer, IDLE_TIMEOUT);
    strmap_put(&raylet->zygotes, key, zygote);
    int r =
        loop_fd_new(raylet->loop, zygote->socket, LOOP_READABLE, on_socket, zygote, &zygote->watch);
    if (r == 0)
        r = spawn(zygote, theirs);
    if (r < 0) {
        _cleanup_free_ char *text = str_dup(error_text(r));
        zygote_free(zygote, text);
        return error_origin(r, "%s", text);
    }
    *ret_zygote = zygote;
    return 0;
}

int zygote_get(Raylet *raylet, const WorkEnv *env, Zygote **ret_zygote) {
    const char *python = workenv_python(env);
    json_t *vars = json_at(workenv_answer(env), "env_vars");
    python = python ? python : raylet->python;
    _cleanup_free_ char *key = zygote_key(python, vars);
    Zygote *zygote = strmap_get(&raylet->zygotes, key);
    if (!zygote)
        return zygote_new(raylet, key, python, vars, ret_zygote);
    *ret_zygote = zygote;
    return 0;
}

void zygotes_done(Raylet *raylet) {
    for (;;) {
        size_t pos = 0;
        Zygote *zygote = strmap_next(&raylet->zygotes, &pos, NULL);
        if (!zygote)
            break;
        loop_child_kill(zygote->exit, SIGKILL);
        Child child = { zygote->pid, pidfd_open(zygote->pid, 0) };
        zygote_free(zygote, "the node ends");
        ChildExit end;
        if (child.pidfd >= 0 && child_wait(&child, END_WAIT, &end) != 0)
            child_release(&child);
    }
    strmap_done(&raylet->zygotes);
}
