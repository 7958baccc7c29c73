/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: life, events, reading, time. Output is in stream_out.c, connecting in stream_dial.c. */
#include "net/stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "net/stream_private.h"

enum {
    READ_SIZE = 64 * 1024,
    READ_BUDGET = 4 * READ_SIZE, /* in one go, then others get their turn */
    INPUT_KEEP = 16 * 1024,      /* an empty input buffer larger than this is given back */
    INPUT_MAX = 64 * 1024,
    OUTPUT_HIGH = 256 * 1024,
    OUTPUT_HARD = 64 * 1024 * 1024
};

static void task_run(void *ctx);
static void time_is_up(void *ctx);

static Stream *stream_alloc(Loop *loop, StreamFn *fn, void *ctx) {
    Stream *stream = mem_new(Stream);
    *stream = (Stream){ .loop = loop,
                        .fn = fn,
                        .ctx = ctx,
                        .fd = -1,
                        .input_max = INPUT_MAX,
                        .high = OUTPUT_HIGH,
                        .hard = OUTPUT_HARD,
                        .deadline = USEC_INFINITY,
                        .open_deadline = USEC_INFINITY };
    list_init(&stream->out);
    stream->task = loop_task_new(loop, task_run, stream);
    stream->timer = loop_timer_new(loop, time_is_up, stream);
    stream->last_activity = loop_now(loop);
    return stream;
}

static void learn_addresses(Stream *stream) {
    stream->local.len = stream->remote.len = sizeof(struct sockaddr_storage);
    if (getsockname(stream->fd, (struct sockaddr *)&stream->local.sockaddr, &stream->local.len) < 0)
        stream->local = (NetAddress){ 0 };
    if (getpeername(stream->fd, (struct sockaddr *)&stream->remote.sockaddr, &stream->remote.len) <
        0)
        stream->remote = (NetAddress){ 0 };
}

/* Small writes go out at once (they are gathered already), and a peer whose machine vanished is
 * noticed in two minutes. */
static void tune_tcp(int fd) {
    static const struct {
        int level, name, value;
    } options[] = { { IPPROTO_TCP, TCP_NODELAY, 1 },
                    { SOL_SOCKET, SO_KEEPALIVE, 1 },
                    { IPPROTO_TCP, TCP_KEEPIDLE, 60 },
                    { IPPROTO_TCP, TCP_KEEPINTVL, 10 },
                    { IPPROTO_TCP, TCP_KEEPCNT, 6 } };
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static void fd_ready(void *ctx, unsigned events);

static int take_fd(Stream *stream, int fd) {
    int domain = 0;
    socklen_t len = sizeof(domain);
    int r = loop_fd_new(stream->loop, fd, 0, fd_ready, stream, &stream->watch);
    if (r < 0)
        return r;
    stream->fd = fd;
    stream->is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0;
    stream->is_unix = stream->is_socket && domain == AF_UNIX;
    stream->write_only = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
    if (stream->is_socket && !stream->is_unix)
        tune_tcp(fd);
    return 0;
}

int stream_new(Loop *loop, int fd, StreamFn *fn, void *ctx, Stream **ret_stream) {
    Stream *stream = stream_alloc(loop, fn, ctx);
    int r = take_fd(stream, fd);
    if (r < 0) {
        fd_close(fd);
        stream_free(stream);
        return r;
    }
    learn_addresses(stream);
    stream_update(stream);
    *ret_stream = stream;
    return 0;
}

Stream *stream_new_unconnected(Loop *loop, StreamFn *fn, void *ctx) {
    return stream_alloc(loop, fn, ctx);
}

int stream_attach(Stream *stream, int fd) {
    int r = take_fd(stream, fd);
    if (r < 0)
        fd_close(fd);
    return r;
}

void stream_detach(Stream *stream) {
    stream->watch = loop_fd_free(stream->watch);
    stream->fd = fd_close(stream->fd);
}

static void fds_close(Stream *stream) {
    for (size_t i = 0; i < stream->fd_count; i++)
        fd_close(stream->fds[i]);
    stream->fd_count = 0;
}

static void memory_free(Stream *stream) {
    buf_done(&stream->input);
    mem_free(stream->error_text);
    mem_free(stream);
}

Stream *stream_free(Stream *stream) {
    if (!stream)
        return NULL;
    ASSERT(!stream->freed);
    stream_dial_free(stream);
    stream_detach(stream);
    fds_close(stream);
    stream_out_drop(stream);
    tls_filter_free(stream->tls);
    loop_task_free(stream->task);
    loop_timer_free(stream->timer);
    loop_final_free(stream->final);
    stream->fn = NULL;
    stream->freed = true;
    if (stream->released)
        stream->released(stream->released_ctx);
    if (stream->emitting == 0)
        memory_free(stream);
    return NULL;
}

/* Calls the owner. False: the stream is gone, touch nothing. */
static bool emit(Stream *stream, StreamEvent event) {
    stream->emitting++;
    stream->fn(stream->ctx, stream, event);
    stream->emitting--;
    if (!stream->freed)
        return stream->fn != NULL;
    if (stream->emitting == 0)
        memory_free(stream);
    return false;
}

/* Tells the owner what is new, in the order that a reader expects. False: the stream is gone. */
static bool announce(Stream *stream) {
    if (stream->tell_connected && stream->fn) {
        stream->tell_connected = false;
        if (!emit(stream, STREAM_CONNECTED))
            return false;
    }
    if (stream->tell_data && stream->fn && !stream->paused) {
        stream->tell_data = false;
        if (!emit(stream, STREAM_DATA))
            return false;
    }
    if (stream->tell_drained && stream->fn && !stream->error) {
        stream->tell_drained = false;
        if (!emit(stream, STREAM_DRAINED))
            return false;
    }
    if (stream->tell_eof && stream->fn && !stream->paused && !stream->tell_data) {
        stream->tell_eof = false;
        if (!emit(stream, STREAM_EOF))
            return false;
    }
    if (stream->tell_failed && stream->fn) {
        stream->tell_failed = false;
        return emit(stream, STREAM_FAILED);
    }
    return true;
}

static bool linger_over(const Stream *stream) {
    return stream->lingering && (stream->error || (stream->eof && stream_out_queued(stream) == 0));
}

static void settle(Stream *stream) {
    if (linger_over(stream)) {
        stream_free(stream);
        return;
    }
    if (announce(stream))
        stream_update(stream);
}

static void task_run(void *ctx) {
    Stream *stream = ctx;
    stream_out_flush(stream);
    settle(stream);
}

void stream_wake(Stream *stream) {
    loop_task_arm(stream->task);
}

void stream_fail(Stream *stream, int r) {
    if (stream->error)
        return;
    stream->error = r;
    str_set(&stream->error_text, error_text(r));
    stream->tell_failed = true;
    stream_out_drop(stream);
    stream_dial_free(stream);
    stream->watch = loop_fd_free(stream->watch);
    loop_timer_stop(stream->timer);
    stream_wake(stream);
}

void stream_input_add(Stream *stream, const void *data, size_t len) {
    if (stream->lingering || len == 0)
        return;
    if (stream->input_at == stream->input.len) {
        stream->input_at = 0;
        buf_clear(&stream->input);
    } else if (stream->input_at > stream->input.len / 2) {
        buf_drop(&stream->input, stream->input_at);
        stream->input_at = 0;
    }
    buf_add(&stream->input, data, len);
    stream->tell_data = true;
}

static void take_eof(Stream *stream) {
    stream->eof = stream->tell_eof = true;
}

/* Puts the descriptors of a message into the queue. */
static int take_control(Stream *stream, struct msghdr *message) {
    int r = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (stream->fd_count < STREAM_FDS_MAX) {
                stream->fds[stream->fd_count++] = fd;
            } else {
                fd_close(fd);
                r = error_origin(-EPROTO, "peer sent more than %d descriptors ahead",
                                 STREAM_FDS_MAX);
            }
        }
    }
    if (message->msg_flags & MSG_CTRUNC)
        r = error_origin(-EMFILE,
                         "descriptors from the peer were lost: too many, or none free here");
    return r;
}

/* A read ends behind descriptors: there may be more although it is a short one. */
static ssize_t read_unix(Stream *stream, void *data, size_t len, bool *ret_more) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * STREAM_FDS_MAX)];
    } control;
    struct iovec part = { data, len };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    ssize_t n = recvmsg(stream->fd, &message, MSG_CMSG_CLOEXEC);
    *ret_more = message.msg_controllen > 0;
    if (n >= 0) {
        int r = take_control(stream, &message);
        if (r < 0)
            stream_fail(stream, r);
    }
    return n;
}

/* ret_more: nothing is known of what is left; else a short read has emptied the socket. */
static ssize_t read_some(Stream *stream, void *data, size_t len, bool *ret_more) {
    ssize_t n;
    *ret_more = false;
    do
        n = stream->is_unix ? read_unix(stream, data, len, ret_more) : read(stream->fd, data, len);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool wants_input(const Stream *stream) {
    if (stream->error || stream->eof || stream->connecting || stream->write_only)
        return false;
    if (stream->handshaking || stream->lingering)
        return true;
    return !stream->paused && stream->input.len - stream->input_at < stream->input_max;
}

static int take_bytes(Stream *stream, const char *data, size_t len) {
    stream->last_activity = loop_now(stream->loop);
    if (stream->tls)
        return tls_filter_take(stream, data, len);
    stream_input_add(stream, data, len);
    return 0;
}

static void read_input(Stream *stream) {
    char scratch[READ_SIZE];
    for (size_t budget = READ_BUDGET; budget && wants_input(stream);) {
        size_t want = MIN(sizeof(scratch), budget);
        bool more;
        ssize_t n = read_some(stream, scratch, want, &more);
        if (stream->error)
            return;
        if (n > 0) {
            int r = take_bytes(stream, scratch, (size_t)n);
            if (r < 0)
                stream_fail(stream, r);
            budget -= (size_t)n;
        } else if (n == 0 ||
                   (errno == EIO && !stream->is_socket)) { /* EIO: a pty's other end is closed */
            if (stream->handshaking)
                stream_fail(stream,
                            error_origin(-ECONNRESET, "peer closed during the TLS handshake"));
            else
                take_eof(stream);
        } else {
            if (errno != EAGAIN)
                stream_fail(stream, error_last("read from peer"));
            return;
        }
        if (n > 0 && (size_t)n < want && !more)
            return; /* spares the call that would say so */
    }
}

/* While nobody reads: is the connection dead, or did the peer merely stop sending? */
static void check_hangup(Stream *stream) {
    int error = 0;
    socklen_t len = sizeof(error);
    stream->hangup_ignored = true;
    if (stream->write_only) {
        struct pollfd now = { .fd = stream->fd };
        if (poll(&now, 1, 0) > 0 && now.revents & POLLERR)
            stream_fail(stream, error_origin(-EPIPE, "nobody reads the other end of the pipe"));
        return;
    }
    if (stream->is_socket && getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
        error)
        stream_fail(stream, error_origin_errno(-error, "connection to peer"));
}

static void fd_ready(void *ctx, unsigned events) {
    Stream *stream = ctx;
    if (stream->connecting) {
        stream_dial_ready(stream);
        settle(stream);
        return;
    }
    if (events & LOOP_WRITABLE) {
        stream->blocked = false;
        stream_out_flush(stream);
    }
    if (!stream->error && events & LOOP_READABLE) {
        if (wants_input(stream))
            read_input(stream);
        else if (!stream->eof)
            check_hangup(stream);
    }
    settle(stream);
}

void stream_update(Stream *stream) {
    if (!stream->watch)
        return;
    unsigned events = 0;
    if (stream->connecting || stream->blocked)
        events |= LOOP_WRITABLE;
    if (wants_input(stream))
        events |= LOOP_READABLE;
    else if (!stream->connecting && !stream->eof && !stream->hangup_ignored)
        events |= LOOP_HANGUP;
    loop_fd_set(stream->watch, events);
}

/* Time. One timer serves all deadlines; activity does not touch it: it looks when it fires. */
static usec_t idle_deadline(const Stream *stream) {
    return stream->idle_timeout ? stream->last_activity + stream->idle_timeout : USEC_INFINITY;
}

void stream_timer_update(Stream *stream) {
    usec_t next = MIN(stream->deadline, stream->open_deadline);
    loop_timer_at(stream->timer, MIN(next, idle_deadline(stream)));
}

static void time_is_up(void *ctx) {
    Stream *stream = ctx;
    usec_t now = loop_now(stream->loop);
    if (stream->lingering && now >= stream->deadline) {
        stream_free(stream);
        return;
    }
    if (now >= stream->open_deadline)
        stream_fail(stream,
                    error_origin(-ETIMEDOUT, stream->handshaking
                                                 ? "TLS handshake: peer did not finish in time"
                                                 : "connect: no answer in time"));
    else if (now >= stream->deadline)
        stream_fail(stream, error_origin(-ETIMEDOUT, "connection: deadline passed"));
    else if (now >= idle_deadline(stream))
        stream_fail(stream, error_origin(-ETIMEDOUT, "connection: idle for too long"));
    else
        stream_timer_update(stream);
    settle(stream);
}

void stream_set_idle_timeout(Stream *stream, usec_t timeout) {
    stream->idle_timeout = timeout;
    stream->last_activity = loop_now(stream->loop);
    if (!stream->error)
        stream_timer_update(stream);
}

void stream_set_deadline(Stream *stream, usec_t deadline) {
    stream->deadline = deadline;
    if (!stream->error)
        stream_timer_update(stream);
}

void stream_connected(Stream *stream) {
    stream->connecting = false;
    stream_dial_free(stream);
    learn_addresses(stream);
    stream->last_activity = loop_now(stream->loop);
    if (!stream->tls) {
        stream_opened(stream);
        return;
    }
    stream->handshaking = true;
    stream->open_deadline = loop_deadline(stream->loop, stream->handshake_timeout);
    stream_timer_update(stream);
    int r = tls_filter_handshake(stream);
    if (r < 0)
        stream_fail(stream, r);
}

void stream_opened(Stream *stream) {
    stream->handshaking = false;
    stream->open_deadline = USEC_INFINITY;
    stream->tell_connected = true;
    stream_timer_update(stream);
    stream_wake(stream);
}

void stream_set_callback(Stream *stream, StreamFn *fn, void *ctx) {
    stream->fn = fn;
    stream->ctx = ctx;
    stream->tell_data |= stream->input.len > stream->input_at;
    stream->tell_eof |= stream->eof;
    stream->tell_failed |= stream->error != 0;
    stream_wake(stream);
}

Slice stream_input(const Stream *stream) {
    return (Slice){ stream->input.data ? stream->input.data + stream->input_at : "",
                    stream->input.len - stream->input_at };
}

void stream_consume(Stream *stream, size_t len) {
    ASSERT(len <= stream->input.len - stream->input_at);
    stream->input_at += len;
    if (stream->input_at == stream->input.len) {
        stream->input_at = 0;
        stream->tell_data = false;
        buf_clear(&stream->input);
        if (stream->input.cap > INPUT_KEEP)
            buf_done(&stream->input);
    }
    stream->hangup_ignored = false;
    if (!stream->emitting)
        stream_update(stream);
}

void stream_set_input_max(Stream *stream, size_t max) {
    stream->input_max = max;
    stream_update(stream);
}

void stream_pause(Stream *stream, bool paused) {
    if (stream->paused == paused)
        return;
    stream->paused = paused;
    stream->hangup_ignored = false;
    if (!paused && stream->input.len > stream->input_at)
        stream->tell_data = true;
    if (!paused)
        stream_wake(stream);
    stream_update(stream);
}

int stream_take_fd(Stream *stream) {
    if (stream->fd_count == 0)
        return -1;
    int fd = stream->fds[0];
    memmove(stream->fds, stream->fds + 1, --stream->fd_count * sizeof(int));
    return fd;
}

static void linger_final(void *ctx) {
    stream_free(ctx);
}

void stream_free_later(Stream *stream, usec_t linger) {
    if (stream->error || (stream->eof && stream_out_queued(stream) == 0)) {
        stream_free(stream);
        return;
    }
    stream->fn = NULL;
    stream->lingering = true;
    stream->paused = false;
    stream->final = loop_final_new(stream->loop, linger_final, stream);
    stream->idle_timeout = 0;
    buf_done(&stream->input);
    stream->input_at = 0;
    stream_set_deadline(stream, loop_deadline(stream->loop, linger));
    stream_shutdown(stream);
    stream_update(stream);
}

Loop *stream_loop(const Stream *stream) {
    return stream->loop;
}

int stream_error(const Stream *stream) {
    return stream->error;
}

const char *stream_error_text(const Stream *stream) {
    return stream->error_text ? stream->error_text : "";
}

bool stream_eof(const Stream *stream) {
    return stream->eof;
}

const NetAddress *stream_local(const Stream *stream) {
    return &stream->local;
}

const NetAddress *stream_remote(const Stream *stream) {
    return &stream->remote;
}

int stream_peer_pid(const Stream *stream, pid_t *ret_pid) {
    struct ucred who;
    socklen_t len = sizeof(who);
    if (!stream->is_unix)
        return error_origin(-ENOTSUP, "only unix sockets know who the peer is");
    if (getsockopt(stream->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return error_last("read the peer's credentials");
    if (who.uid != geteuid() && who.uid != 0)
        return error_origin(-EACCES, "it is of another user (uid %d)", (int)who.uid);
    *ret_pid = who.pid;
    return 0;
}
