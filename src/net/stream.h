/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A byte stream with buffers on both sides, over TCP or unix sockets, with or without TLS.
 *
 * Events come through one callback, never from inside a call of this header:
 *   CONNECTED  (streams made by stream_connect, and TLS servers) the way is open, TLS included
 *   DATA       stream_input() has grown
 *   DRAINED    the output queue fell under the low-water mark after it had been congested
 *   EOF        the peer sends no more (what is in stream_input() stays readable); we still may
 *   FAILED     dead: stream_error() has code and sentence. Nothing comes after it
 * A deadline that passes is FAILED with -ETIMEDOUT. stream_free() may be called in any event.
 *
 * Writes are gathered and leave with one system call at the end of the tick (or when the socket
 * takes more). Writing to a failed stream does nothing.
 */

#include <sys/types.h>

#include "net/address.h"
#include "net/bytes.h"
#include "net/tls.h"

typedef struct Stream Stream;

typedef enum StreamEvent {
    STREAM_CONNECTED,
    STREAM_DATA,
    STREAM_DRAINED,
    STREAM_EOF,
    STREAM_FAILED,
} StreamEvent;

typedef void StreamFn(void *ctx, Stream *stream, StreamEvent event);

/* Takes the connected socket (or any stream-like fd: a pipe end, a pty); closes it also when it
 * fails. The writing end of a pipe has no input; it is FAILED (-EPIPE) when nobody reads any more. */
_must_check_ int stream_new(Loop *loop, int fd, StreamFn *fn, void *ctx, Stream **ret_stream);
/* Connects within `timeout`; a refusal is FAILED. */
_must_check_ int stream_connect(Loop *loop, const NetAddress *to, usec_t timeout, StreamFn *fn,
                                void *ctx, Stream **ret_stream);
/* The same by name or number: resolves, then tries the addresses one after the other. */
_must_check_ int stream_connect_host(Loop *loop, const char *host, uint16_t port, usec_t timeout,
                                     StreamFn *fn, void *ctx, Stream **ret_stream);
/* Before anything was read or written: puts TLS on the stream; handshake within `timeout`, then
 * CONNECTED. `server_name` (clients) is checked against the certificate and sent as SNI. */
_must_check_ int stream_start_tls(Stream *stream, TlsContext *context, const char *server_name,
                                  usec_t timeout);
/* Closes at once; queued output is dropped. */
Stream *stream_free(Stream *stream);
DEFINE_CLEANUP(Stream *, stream_free);
/* Sends what is queued, then closes, at the latest after `linger`. The stream is no longer the
 * caller's; no event comes. */
void stream_free_later(Stream *stream, usec_t linger);
/* New owner of the events (an upgrade hands a stream over). Input that is there already is
 * announced again by DATA, an end by EOF. */
void stream_set_callback(Stream *stream, StreamFn *fn, void *ctx);

/* Reading. The slice is borrowed until the next consume or the return to the loop. */
Slice stream_input(const Stream *stream);
void stream_consume(Stream *stream, size_t len);
/* Reading stops by itself at `max` unconsumed bytes (64 KiB unless set; grows up to what a parser
 * must see whole) and goes on after a consume. */
void stream_set_input_max(Stream *stream, size_t max);
/* While paused no DATA and no EOF come, but a reset of the connection is still noticed as FAILED.
 * Unpausing announces input that waits. */
void stream_pause(Stream *stream, bool paused);
/* Unix sockets: the oldest descriptor received, now the caller's; -1 when there is none. At most
 * STREAM_FDS_MAX wait; with more the stream fails. */
enum {
    STREAM_FDS_MAX = 64
};
int stream_take_fd(Stream *stream);

/* Writing. Output beyond the hard bound (64 MiB unless set) fails the stream with -ENOBUFS, so a
 * writer that minds stream_congested() never gets there. */
void stream_write(Stream *stream, const void *data, size_t len);
void stream_write_bytes(Stream *stream, NetBytes *bytes); /* takes its own reference */
/* Unix sockets: descriptors (duplicated; at most STREAM_FDS_SEND_MAX) ride on the first byte. */
enum {
    STREAM_FDS_SEND_MAX = 15
};
_must_check_ int stream_write_fds(Stream *stream, const void *data, size_t len, const int *fds,
                                  size_t fd_count);
size_t stream_queued(const Stream *stream); /* bytes not yet taken by the kernel */
uint64_t stream_sent(const Stream *stream); /* bytes the kernel took so far: is there progress? */
/* Bytes on their way to the other machine, queued here or with our kernel, which keeps megabytes. */
size_t stream_under_way(const Stream *stream);
bool stream_congested(const Stream *stream);
/* Congested above `high` (256 KiB unless set), drained at `high` / 4. */
void stream_set_output_marks(Stream *stream, size_t high, size_t hard);
/* Sends now instead of at the end of the tick. */
void stream_flush(Stream *stream);
/* Half-close: no more output from us after what is queued (TLS: close_notify). */
void stream_shutdown(Stream *stream);

/* FAILED with -ETIMEDOUT when nothing came or went for that long (0: off, the default), or at that
 * time (USEC_INFINITY: off). */
void stream_set_idle_timeout(Stream *stream, usec_t timeout);
void stream_set_deadline(Stream *stream, usec_t deadline);

/* Facts. */
Loop *stream_loop(const Stream *stream);
int stream_error(const Stream *stream);              /* 0 while alive */
const char *stream_error_text(const Stream *stream); /* "" while alive */
bool stream_eof(const Stream *stream);
bool stream_is_tls(const Stream *stream);
const char *stream_alpn(const Stream *stream);        /* NULL when none was agreed */
const TlsPeer *stream_tls_peer(const Stream *stream); /* NULL without a checked certificate */
const NetAddress *stream_local(const Stream *stream);
const NetAddress *stream_remote(const Stream *stream);
/* Unix sockets: the process that connected, as the kernel knows it; -EACCES when it is neither of our
 * user nor of root. -ENOTSUP else. */
_must_check_ int stream_peer_pid(const Stream *stream, pid_t *ret_pid);
