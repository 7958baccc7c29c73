/* SPDX-License-Identifier: Apache-2.0 */
/* The output side of streams: a queue of chunks, gathered into few system calls. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/stream.h"
#include "net/stream_private.h"

enum {
    CHUNK_SIZE = 16 * 1024, /* small writes share chunks of this size */
    GATHER_MAX = 64,        /* chunks a system call */
    SEND_BUDGET = 1024 * 1024
};

static void chunk_free(OutChunk *chunk) {
    list_remove(&chunk->link);
    for (size_t i = 0; i < chunk->fd_count; i++)
        fd_close(chunk->fds[i]);
    mem_free(chunk->fds);
    net_bytes_unref(chunk->shared);
    mem_free(chunk->own);
    mem_free(chunk);
}

static OutChunk *chunk_add(Stream *stream) {
    OutChunk *chunk = mem_new(OutChunk);
    list_push(&stream->out, &chunk->link);
    return chunk;
}

static OutChunk *chunk_add_own(Stream *stream, size_t len) {
    OutChunk *chunk = chunk_add(stream);
    chunk->cap = MAX(len, (size_t)CHUNK_SIZE);
    chunk->own = mem_alloc(chunk->cap);
    return chunk;
}

static const char *chunk_data(const OutChunk *chunk) {
    return (chunk->shared ? chunk->shared->data : chunk->own) + chunk->at;
}

static OutChunk *first_chunk(const Stream *stream) {
    return list_empty(&stream->out) ? NULL : LIST_ITEM(stream->out.next, OutChunk, link);
}

void stream_out_drop(Stream *stream) {
    for (OutChunk *chunk; (chunk = first_chunk(stream));)
        chunk_free(chunk);
    stream->out_len = 0;
    buf_done(&stream->wire);
    stream->wire_at = 0;
    stream->blocked = stream->was_congested = false;
}

size_t stream_out_queued(const Stream *stream) {
    return stream->out_len + stream->wire.len - stream->wire_at;
}

size_t stream_queued(const Stream *stream) {
    return stream_out_queued(stream);
}

uint64_t stream_sent(const Stream *stream) {
    return stream->sent;
}

size_t stream_under_way(const Stream *stream) {
    int kept = 0;
    if (stream->fd < 0 || !stream->is_socket || ioctl(stream->fd, SIOCOUTQ, &kept) < 0)
        kept = 0;
    return stream_out_queued(stream) + (size_t)MAX(kept, 0);
}

bool stream_congested(const Stream *stream) {
    return stream_out_queued(stream) > stream->high;
}

void stream_set_output_marks(Stream *stream, size_t high, size_t hard) {
    stream->high = high;
    stream->hard = MAX(hard, high);
}

/* Charges before anything is stored. False: nothing may be written. */
static bool admit(Stream *stream, size_t len) {
    if (stream->error || stream->shutdown_wanted)
        return false;
    if (len > stream->hard || stream_out_queued(stream) > stream->hard - len) {
        stream_fail(stream,
                    error_origin(-ENOBUFS, "peer reads too slowly: more than %zu bytes wait",
                                 stream->hard));
        return false;
    }
    return true;
}

static void added(Stream *stream, size_t len) {
    if (stream_out_queued(stream) == 0)
        stream->last_activity = loop_now(stream->loop); /* a stall is measured from here */
    stream->out_len += len;
    stream->was_congested |= stream_congested(stream);
    if (!stream->blocked)
        stream_wake(stream);
}

void stream_write(Stream *stream, const void *data, size_t len) {
    if (len == 0 || !admit(stream, len))
        return;
    const char *at = data;
    size_t left = len;
    OutChunk *last = list_empty(&stream->out) ? NULL : LIST_ITEM(stream->out.prev, OutChunk, link);
    if (last && last->own && last->len < last->cap) {
        size_t room = MIN(left, last->cap - last->len);
        memcpy(last->own + last->len, at, room);
        last->len += room;
        at += room;
        left -= room;
    }
    if (left) {
        OutChunk *chunk = chunk_add_own(stream, left);
        memcpy(chunk->own, at, left);
        chunk->len = left;
    }
    added(stream, len);
}

void stream_write_bytes(Stream *stream, NetBytes *bytes) {
    if (bytes->len < CHUNK_SIZE / 16) { /* copying is cheaper than a chunk of its own */
        stream_write(stream, bytes->data, bytes->len);
        return;
    }
    if (!admit(stream, bytes->len))
        return;
    OutChunk *chunk = chunk_add(stream);
    chunk->shared = net_bytes_ref(bytes);
    chunk->len = chunk->cap = bytes->len;
    added(stream, bytes->len);
}

static int fds_dup(const int *fds, size_t count, int **ret_copies) {
    int *copies = mem_array(int, count);
    for (size_t i = 0; i < count; i++) {
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copies[i] < 0) {
            int r = error_last("duplicate descriptor %d", fds[i]);
            while (i-- > 0)
                fd_close(copies[i]);
            mem_free(copies);
            return r;
        }
    }
    *ret_copies = copies;
    return 0;
}

int stream_write_fds(Stream *stream, const void *data, size_t len, const int *fds,
                     size_t fd_count) {
    ASSERT(len > 0 && fd_count <= STREAM_FDS_SEND_MAX);
    if (!stream->is_unix)
        return error_origin(-ENOTSUP, "descriptors travel over unix sockets only");
    if (!admit(stream, len))
        return 0; /* as any write to a stream that is dead */
    int *copies = NULL;
    int r = fds_dup(fds, fd_count, &copies);
    if (r < 0)
        return r;
    OutChunk *chunk = chunk_add_own(stream, len);
    memcpy(chunk->own, data, len);
    chunk->len = len;
    chunk->fds = copies;
    chunk->fd_count = fd_count;
    added(stream, len);
    return 0;
}

static void out_consume(Stream *stream, size_t len) {
    stream->out_len -= len;
    while (len > 0) {
        OutChunk *chunk = first_chunk(stream);
        size_t part = MIN(len, chunk->len - chunk->at);
        chunk->at += part;
        len -= part;
        if (chunk->at == chunk->len)
            chunk_free(chunk);
    }
}

/* A call's worth of chunks; descriptors must be at the start of one. */
static size_t gather(Stream *stream, struct iovec parts[static GATHER_MAX], size_t *ret_len) {
    size_t count = 0, len = 0;
    LIST_EACH(item, &stream->out) {
        OutChunk *chunk = LIST_ITEM(item, OutChunk, link);
        if (count == GATHER_MAX || (count > 0 && chunk->fd_count > 0))
            break;
        /* iovec has no const; the kernel only reads. */
        parts[count++] =
            (struct iovec){ (char *)(uintptr_t)chunk_data(chunk), chunk->len - chunk->at };
        len += chunk->len - chunk->at;
    }
    *ret_len = len;
    return count;
}

/* To a pipe without a reader there is no MSG_NOSIGNAL: the signal is held back and taken off, so
 * that no program needs to have ignored it. */
static ssize_t write_quietly(int fd, const struct iovec *parts, size_t count) {
    const struct timespec at_once = { 0 };
    sigset_t pipe_only, pending, before;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n = writev(fd, parts, (int)count);
    int error = errno;
    if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

static ssize_t send_parts(Stream *stream, struct iovec *parts, size_t count, const OutChunk *with) {
    if (!stream->is_socket)
        return write_quietly(stream->fd, parts, count);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * STREAM_FDS_SEND_MAX)];
    } control = { 0 };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
    if (with && with->fd_count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * with->fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS,
                               .cmsg_len = CMSG_LEN(sizeof(int) * with->fd_count) };
        memcpy(CMSG_DATA(c), with->fds, sizeof(int) * with->fd_count);
    }
    return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

/* One call. Bytes sent, 0 when the kernel takes no more, or negative after failing the stream. */
static ssize_t send_once(Stream *stream, struct iovec *parts, size_t count, const OutChunk *with) {
    ssize_t n;
    do
        n = send_parts(stream, parts, count, with);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        stream->last_activity = loop_now(stream->loop);
        stream->sent += (uint64_t)n;
        return n;
    }
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
        stream->blocked = true;
        return 0;
    }
    stream_fail(stream, error_last("write to peer"));
    return -1;
}

static void flush_plain(Stream *stream) {
    for (size_t budget = SEND_BUDGET; stream->out_len && budget && !stream->blocked;) {
        struct iovec parts[GATHER_MAX];
        size_t want;
        size_t count = gather(stream, parts, &want);
        OutChunk *first = first_chunk(stream);
        ssize_t n = send_once(stream, parts, count, first);
        if (n < 0)
            return;
        if (n > 0 && first->fd_count) {
            for (size_t i = 0; i < first->fd_count; i++)
                fd_close(first->fds[i]);
            first->fd_count = 0;
        }
        out_consume(stream, (size_t)n);
        budget -= MIN(budget, (size_t)n);
    }
    if (stream->out_len)
        stream->blocked = true; /* the budget is spent, or the socket is full */
}

static bool wire_send(Stream *stream) {
    while (stream->wire_at < stream->wire.len && !stream->blocked) {
        struct iovec part = { stream->wire.data + stream->wire_at,
                              stream->wire.len - stream->wire_at };
        ssize_t n = send_once(stream, &part, 1, NULL);
        if (n < 0)
            return false;
        stream->wire_at += (size_t)n;
    }
    if (stream->wire_at == stream->wire.len) {
        stream->wire_at = 0;
        buf_done(&stream->wire); /* idle connections keep no buffers */
    }
    return true;
}

static void flush_tls(Stream *stream) {
    for (size_t budget = SEND_BUDGET; budget;) {
        if (!wire_send(stream) || stream->blocked)
            return;
        if (stream->handshaking || stream->out_len == 0)
            return;
        size_t before = stream->out_len;
        int r = tls_filter_encrypt(stream);
        if (r < 0) {
            stream_fail(stream, r);
            return;
        }
        budget -= MIN(budget, before - stream->out_len);
    }
    stream->blocked = true;
}

size_t stream_out_take(Stream *stream, char *out, size_t room) {
    size_t len = 0;
    while (len < room && stream->out_len) {
        OutChunk *chunk = first_chunk(stream);
        size_t part = MIN(room - len, chunk->len - chunk->at);
        memcpy(out + len, chunk_data(chunk), part);
        len += part;
        out_consume(stream, part);
    }
    return len;
}

static void shutdown_now(Stream *stream) {
    stream->shutdown_done = true;
    if (stream->is_socket)
        (void)shutdown(stream->fd, SHUT_WR); /* a peer that is gone makes it fail: also fine */
}

void stream_out_flush(Stream *stream) {
    if (stream->error || !stream->watch || stream->connecting)
        return;
    if (stream->tls)
        flush_tls(stream);
    else
        flush_plain(stream);
    if (stream->error)
        return;
    if (stream->shutdown_wanted && !stream->shutdown_done && stream->out_len == 0 &&
        !stream->handshaking) {
        if (stream->tls && !stream->goodbye_said) {
            stream->goodbye_said = true;
            tls_filter_goodbye(stream);
            if (!wire_send(stream))
                return;
        }
        if (stream_out_queued(stream) == 0)
            shutdown_now(stream);
    }
    if (stream->was_congested && stream_out_queued(stream) <= stream->high / 4) {
        stream->was_congested = false;
        stream->tell_drained = true;
    }
}

void stream_flush(Stream *stream) {
    stream_out_flush(stream);
    stream_wake(stream); /* announces what came of it */
}

void stream_shutdown(Stream *stream) {
    if (stream->error || stream->shutdown_wanted)
        return;
    stream->shutdown_wanted = true;
    stream_wake(stream);
}
