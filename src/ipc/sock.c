/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/sock.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

enum {
    RECV_CHUNK = 64 << 10
};

static int sock_wait_connected(int fd, const char *path, usec_t timeout) {
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int r = poll(&p, 1, (int)CLAMP(timeout / USEC_PER_MSEC, 0, INT32_MAX));
    if (r == 0)
        return error_origin(-ETIMEDOUT, "connect to %s: no answer", path);
    int error = 0;
    socklen_t len = sizeof(error);
    if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return error_last("connect to %s", path);
    return error ? error_origin_errno(-error, "connect to %s", path) : 0;
}

int sock_connect(const char *path, usec_t timeout, Sock *ret_sock) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(address.sun_path))
        return error_origin(-ENAMETOOLONG, "socket path %s is longer than %zu bytes", path,
                            sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_last("make a socket");
    usec_t deadline = time_mono_now() + timeout;
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == EINPROGRESS) {
            int r = sock_wait_connected(fd, path, timeout);
            if (r < 0)
                return r;
            break;
        }
        /* EAGAIN: the listener's queue is full. Wait a moment for it, within the deadline. */
        if (errno != EAGAIN || time_mono_now() >= deadline)
            return error_last("connect to %s", path);
        poll(NULL, 0, 1);
    }
    *ret_sock = (Sock){ .fd = fd };
    fd = -1;
    return 0;
}

void sock_done(Sock *sock) {
    sock->fd = fd_close(sock->fd);
    for (size_t i = 0; i < sock->fds_len; i++)
        fd_close(sock->fds[i]);
    sock->fds_len = 0;
    buf_done(&sock->in);
    buf_done(&sock->out);
}

static int sock_lost(int error) {
    return error_origin(error == EPIPE ? -ECONNRESET : -error,
                        "the connection to the raylet was lost");
}

int sock_send(Sock *sock, const FrameHeader *header, const struct iovec *body, size_t body_len) {
    size_t sent = 0, total = FRAME_HEADER_SIZE;
    struct iovec parts[8] = { { .iov_base = (void *)(uintptr_t)header,
                                .iov_len = FRAME_HEADER_SIZE } };
    ASSERT(body_len < ARRAY_LEN(parts));
    for (size_t i = 0; i < body_len; i++) {
        parts[i + 1] = body[i];
        total += body[i].iov_len;
    }
    if (sock->out.len == 0) {
        struct msghdr msg = { .msg_iov = parts, .msg_iovlen = body_len + 1 };
        ssize_t n = sendmsg(sock->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return sock_lost(errno);
        sent = n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i <= body_len && sent < total; i++) {
        size_t skip = MIN(sent, parts[i].iov_len);
        buf_add(&sock->out, (char *)parts[i].iov_base + skip, parts[i].iov_len - skip);
        sent -= skip;
        total -= skip;
    }
    return 0;
}

int sock_flush(Sock *sock) {
    size_t sent = 0;
    while (sent < sock->out.len) {
        ssize_t n = send(sock->fd, sock->out.data + sent, sock->out.len - sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return sock_lost(errno);
        sent += (size_t)n;
    }
    buf_drop(&sock->out, sent);
    return sock->out.len > 0;
}

static void sock_keep_fds(Sock *sock, struct msghdr *msg) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (sock->fds_len < SOCK_FDS_MAX)
                sock->fds[sock->fds_len++] = fd;
            else
                fd_close(fd);
        }
    }
}

static int sock_fill(Sock *sock) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(SOCK_FDS_MAX * sizeof(int))];
    struct iovec part = { buf_reserve(&sock->in, RECV_CHUNK), RECV_CHUNK };
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(sock->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : sock_lost(errno);
    if (n == 0)
        return sock_lost(ECONNRESET);
    sock_keep_fds(sock, &msg);
    sock->in.len += (size_t)n;
    return 1;
}

int sock_recv(Sock *sock, FrameHeader *ret_header, const void **ret_body) {
    if (sock->in_used) {
        buf_drop(&sock->in, sock->in_used);
        sock->in_used = 0;
    }
    for (;;) {
        if (sock->in.len >= FRAME_HEADER_SIZE) {
            FrameHeader h = frame_unpack(sock->in.data);
            int r = frame_check(&h);
            if (r < 0)
                return r;
            if (sock->in.len >= FRAME_HEADER_SIZE + (size_t)h.length) {
                *ret_header = h;
                *ret_body = sock->in.data + FRAME_HEADER_SIZE;
                sock->in_used = FRAME_HEADER_SIZE + (size_t)h.length;
                return 1;
            }
        }
        int r = sock_fill(sock);
        if (r <= 0)
            return r;
    }
}

int sock_take_fd(Sock *sock) {
    if (!sock->fds_len)
        return -1;
    int fd = sock->fds[0];
    memmove(sock->fds, sock->fds + 1, --sock->fds_len * sizeof(int));
    return fd;
}
