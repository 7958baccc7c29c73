/* SPDX-License-Identifier: Apache-2.0 */
/* Making connections: names, several addresses, full unix backlogs. */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/stream.h"
#include "net/stream_private.h"

enum {
    BACKLOG_RETRY_USEC = 5000,
    HOST_NAME_LEN_MAX = 253
};

typedef struct StreamDial {
    Stream *stream;
    NetResolve *resolve;
    LoopTimer *retry; /* a unix listener's backlog was full */
    NetAddress addresses[NET_RESOLVE_MAX];
    size_t count, at;
} StreamDial;

static void dial_start(Stream *stream);

void stream_dial_free(Stream *stream) {
    StreamDial *dial = TAKE(stream->dial);
    if (!dial)
        return;
    net_resolve_free(dial->resolve);
    loop_timer_free(dial->retry);
    mem_free(dial);
}

static int open_socket(const NetAddress *to) {
    int fd = socket(to->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? error_last("make a socket") : fd;
}

static int connect_failed(const NetAddress *to, int error) {
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_format(to, text);
    return error_origin_errno(-error, "connect to %s", text);
}

/* This address did not work: the next one, or the end. */
static void try_other(Stream *stream, int r) {
    stream_detach(stream);
    stream->connecting = false;
    if (++stream->dial->at < stream->dial->count)
        dial_start(stream);
    else
        stream_fail(stream, r);
}

static void dial_start(Stream *stream) {
    StreamDial *dial = stream->dial;
    const NetAddress *to = &dial->addresses[dial->at];
    int fd = open_socket(to);
    if (fd < 0) {
        try_other(stream, fd);
        return;
    }
    int done = connect(fd, (const struct sockaddr *)&to->sockaddr, to->len);
    int error = done < 0 ? errno : 0;
    if (error == EAGAIN && net_address_is_unix(to)) {
        fd_close(fd);
        loop_timer_after(dial->retry, BACKLOG_RETRY_USEC);
        return;
    }
    if (error && error != EINPROGRESS) {
        fd_close(fd);
        try_other(stream, connect_failed(to, error));
        return;
    }
    int r = stream_attach(stream, fd);
    if (r < 0) {
        try_other(stream, r);
        return;
    }
    stream->connecting = true;
    stream_update(stream); /* writable when it is decided, also when it is already */
}

static void retry_now(void *ctx) {
    StreamDial *dial = ctx;
    dial_start(dial->stream);
}

void stream_dial_ready(Stream *stream) {
    int error = 0;
    socklen_t len = sizeof(error);
    const NetAddress *to = &stream->dial->addresses[stream->dial->at];
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        try_other(stream, connect_failed(to, error));
    else
        stream_connected(stream);
}

static Stream *dial_new(Loop *loop, usec_t timeout, StreamFn *fn, void *ctx) {
    Stream *stream = stream_new_unconnected(loop, fn, ctx);
    StreamDial *dial = mem_new(StreamDial);
    dial->stream = stream;
    dial->retry = loop_timer_new(loop, retry_now, dial);
    stream->dial = dial;
    stream->open_deadline = loop_deadline(loop, timeout);
    stream_timer_update(stream);
    return stream;
}

int stream_connect(Loop *loop, const NetAddress *to, usec_t timeout, StreamFn *fn, void *ctx,
                   Stream **ret_stream) {
    sa_family_t family = to->sockaddr.ss_family;
    if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
        return error_origin(-EAFNOSUPPORT, "connect: address family %d is not supported", family);
    Stream *stream = dial_new(loop, timeout, fn, ctx);
    stream->remote = *to;
    stream->is_unix = net_address_is_unix(to);
    stream->is_socket = true;
    stream->dial->addresses[0] = *to;
    stream->dial->count = 1;
    dial_start(stream);
    *ret_stream = stream;
    return 0;
}

static void resolved(void *ctx, int r, const NetAddress *addresses, size_t count) {
    StreamDial *dial = ctx;
    Stream *stream = dial->stream;
    if (r < 0) {
        stream_fail(stream, r);
        return;
    }
    memcpy(dial->addresses, addresses, count * sizeof(*addresses));
    dial->count = count;
    dial_start(stream);
}

int stream_connect_host(Loop *loop, const char *host, uint16_t port, usec_t timeout, StreamFn *fn,
                        void *ctx, Stream **ret_stream) {
    size_t len = strlen(host);
    if (len == 0 || len > HOST_NAME_LEN_MAX)
        return error_origin(-EINVAL, "host name of %zu characters, 1 to %d are possible", len,
                            HOST_NAME_LEN_MAX);
    Stream *stream = dial_new(loop, timeout, fn, ctx);
    stream->dial->resolve = net_resolve_new(loop, host, port, resolved, stream->dial);
    *ret_stream = stream;
    return 0;
}
