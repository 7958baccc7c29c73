/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "net/stream_private.h"

enum {
    ACCEPT_BUDGET = 64, /* in one go, then others get their turn */
    BACKLOG = 1024,
    CONNECTIONS_MAX = 4096,
    FULL_RETRY_USEC = 50000 /* out of descriptors: look again then */
};

/* Outlives the listener as long as streams of it do. */
typedef struct ListenerShare {
    size_t refs, open;
    Listener *listener; /* NULL once freed */
} ListenerShare;

struct Listener {
    Loop *loop;
    int fd;
    LoopFd *watch;
    LoopTimer *retry;
    NetAddress address;
    size_t connections_max;
    ListenerShare *share;
    char *path; /* of a unix socket that we made */
    ListenerFn *fn;
    void *ctx;
};

/* A unix socket file that nobody listens on any more is in the way; a live one is somebody's. */
static int clear_stale(const NetAddress *address) {
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->sockaddr;
    struct stat st;
    if (!un->sun_path[0] || lstat(un->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return error_origin(-EEXIST, "listen on %s: a file that is no socket is there",
                            un->sun_path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_last("make a socket");
    if (connect(fd, (const struct sockaddr *)un, address->len) == 0 || errno == EAGAIN)
        return error_origin(-EADDRINUSE, "listen on %s: another process does already",
                            un->sun_path);
    if (unlink(un->sun_path) < 0 && errno != ENOENT)
        return error_last("remove the stale socket %s", un->sun_path);
    return 0;
}

static int take_over(const NetAddress *address, int *ret_fd, NetAddress *ret_bound) {
    if (fcntl(address->fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(address->fd, F_SETFL, O_NONBLOCK) < 0)
        return error_last("take over the listening socket %d", address->fd);
    *ret_fd = address->fd;
    *ret_bound = *address;
    ret_bound->fd = 0;
    return 0;
}

int net_listen(const NetAddress *address, int *ret_fd, NetAddress *ret_bound) {
    if (address->fd)
        return take_over(address, ret_fd, ret_bound);
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_format(address, text);
    int r = net_address_is_unix(address) ? clear_stale(address) : 0;
    if (r < 0)
        return r;
    _cleanup_close_ int fd =
        socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_last("make a socket");
    int on = 1;
    if (!net_address_is_unix(address))
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->sockaddr.ss_family == AF_INET6) /* [::] is for IPv4 too, as users expect */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&address->sockaddr, address->len) < 0)
        return error_last("listen on %s", text);
    if (listen(fd, BACKLOG) < 0)
        return error_last("listen on %s", text);
    NetAddress bound = { .len = sizeof(bound.sockaddr) };
    if (getsockname(fd, (struct sockaddr *)&bound.sockaddr, &bound.len) < 0)
        return error_last("listen on %s", text);
    *ret_bound = bound;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static void share_unref(ListenerShare *share) {
    if (--share->refs == 0)
        mem_free(share);
}

static bool full(const Listener *listener) {
    return listener->share->open >= listener->connections_max;
}

static void update(Listener *listener) {
    bool wait = full(listener) || loop_timer_armed(listener->retry);
    loop_fd_set(listener->watch, wait ? 0 : LOOP_READABLE);
}

static void accept_again(void *ctx) {
    update(ctx);
}

/* A stream that was accepted is freed: there is room for one more. */
static void stream_released(void *ctx) {
    ListenerShare *share = ctx;
    share->open--;
    if (share->listener)
        update(share->listener);
    share_unref(share);
}

static void hand_over(Listener *listener, int fd) {
    Stream *stream = NULL;
    if (stream_new(listener->loop, fd, NULL, NULL, &stream) < 0)
        return; /* no memory of the kernel's for it: the peer sees a close */
    stream->released = stream_released;
    stream->released_ctx = listener->share;
    listener->share->refs++;
    listener->share->open++;
    listener->fn(listener->ctx, stream);
}

/* False: nobody waits, or nobody can be taken now. */
static bool accept_one(Listener *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        hand_over(listener, fd);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        loop_timer_after(listener->retry, FULL_RETRY_USEC);
    return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

static void accept_ready(void *ctx, unsigned events) {
    UNUSED(events);
    Listener *listener = ctx;
    ListenerShare *share = listener->share; /* tells when the callee frees the listener */
    share->refs++;
    for (int i = 0; i < ACCEPT_BUDGET && share->listener && !full(listener); i++)
        if (!accept_one(listener))
            break;
    if (share->listener)
        update(listener);
    share_unref(share);
}

int listener_new_fd(Loop *loop, int fd, size_t connections_max, ListenerFn *fn, void *ctx,
                    Listener **ret_listener) {
    Listener *listener = mem_new(Listener);
    int r = loop_fd_new(loop, fd, LOOP_READABLE, accept_ready, listener, &listener->watch);
    if (r < 0) {
        mem_free(listener);
        return r;
    }
    listener->loop = loop;
    listener->fd = fd;
    listener->fn = fn;
    listener->ctx = ctx;
    listener->connections_max = connections_max ? connections_max : CONNECTIONS_MAX;
    listener->retry = loop_timer_new(loop, accept_again, listener);
    listener->share = mem_new(ListenerShare);
    *listener->share = (ListenerShare){ .refs = 1, .listener = listener };
    listener->address.len = sizeof(listener->address.sockaddr);
    if (getsockname(fd, (struct sockaddr *)&listener->address.sockaddr, &listener->address.len) < 0)
        listener->address = (NetAddress){ 0 };
    *ret_listener = listener;
    return 0;
}

int listener_new(Loop *loop, const NetAddress *address, size_t connections_max, ListenerFn *fn,
                 void *ctx, Listener **ret_listener) {
    int fd = -1;
    NetAddress bound;
    int r = net_listen(address, &fd, &bound);
    if (r < 0)
        return r;
    r = listener_new_fd(loop, fd, connections_max, fn, ctx, ret_listener);
    if (r < 0) {
        fd_close(fd);
        return r;
    }
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->sockaddr;
    if (net_address_is_unix(address) && un->sun_path[0])
        (*ret_listener)->path = str_dup(un->sun_path);
    return 0;
}

const NetAddress *listener_address(const Listener *listener) {
    return &listener->address;
}

Listener *listener_free(Listener *listener) {
    if (!listener)
        return NULL;
    loop_fd_free(listener->watch);
    loop_timer_free(listener->retry);
    fd_close(listener->fd);
    if (listener->path)
        unlink(listener->path);
    mem_free(listener->path);
    listener->share->listener = NULL;
    share_unref(listener->share);
    return mem_free(listener);
}
