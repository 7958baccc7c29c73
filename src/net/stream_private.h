/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "base/mem.h"
#include "net/stream.h"

/* A stretch of output: shared bytes, or own ones that take more until `cap`. */
typedef struct OutChunk {
    List link; /* in Stream.out */
    NetBytes *shared;
    char *own;
    size_t at, len, cap; /* [at, len) waits */
    int *fds;            /* ride on the first byte */
    size_t fd_count;
} OutChunk;

typedef struct TlsFilter TlsFilter;

struct Stream {
    Loop *loop;
    StreamFn *fn;     /* NULL: nobody listens yet, or it lingers */
    void *ctx;
    int fd;           /* -1 before a name is resolved and after the end */
    bool is_unix, is_socket;
    bool write_only;  /* the writing end of a pipe: there is no input, and no end of it */
    LoopFd *watch;
    LoopTask *task;   /* flushes and announces after the running callback */
    LoopTimer *timer; /* the nearest of the deadlines below */
    TlsFilter *tls;
    NetAddress local, remote;

    /* Becoming connected. */
    struct StreamDial *dial; /* NULL once connected */
    bool connecting;         /* a connect() is under way */
    bool handshaking;        /* TLS, after the connect */
    bool tell_connected;

    /* Input. */
    Buf input;
    size_t input_at, input_max;
    int fds[STREAM_FDS_MAX];
    size_t fd_count;
    bool paused, tell_data, eof, tell_eof;
    bool hangup_ignored; /* a half-close was seen while nobody reads: not asked for again */

    /* Output. */
    List out;
    size_t out_len;
    Buf wire; /* TLS: encrypted, not yet sent */
    size_t wire_at;
    size_t high, hard;
    uint64_t sent;
    bool blocked; /* the kernel took no more */
    bool was_congested, tell_drained;
    bool shutdown_wanted, goodbye_said, shutdown_done;

    /* Time. */
    usec_t deadline, idle_timeout, last_activity, open_deadline, handshake_timeout;

    /* The end. */
    int error;
    char *error_text;
    bool tell_failed;
    bool lingering;
    LoopFinal *final;            /* of a lingering stream */
    void (*released)(void *ctx); /* told when it is freed: its listener counts */
    void *released_ctx;
    int emitting;                /* depth of callbacks; memory goes when it is 0 */
    bool freed;
};

/* stream.c */
void stream_fail(Stream *stream, int r);                /* with the sentence of `r` */
void stream_update(Stream *stream);                     /* what to wait for */
void stream_wake(Stream *stream);                       /* flush and announce after this callback */
Stream *stream_new_unconnected(Loop *loop, StreamFn *fn, void *ctx);
_must_check_ int stream_attach(Stream *stream, int fd); /* takes a connected or connecting fd */
void stream_detach(Stream *stream);                     /* closes it again */
void stream_connected(Stream *stream);                  /* connect() succeeded */
void stream_opened(Stream *stream);                     /* all the way: tell CONNECTED */
void stream_input_add(Stream *stream, const void *data, size_t len);
void stream_timer_update(Stream *stream);

/* stream_out.c */
void stream_out_flush(Stream *stream);
void stream_out_drop(Stream *stream);
size_t stream_out_queued(const Stream *stream);
/* Moves plain bytes out of the queue. */
size_t stream_out_take(Stream *stream, char *out, size_t room);

/* stream_dial.c */
void stream_dial_ready(Stream *stream);
void stream_dial_free(Stream *stream);

/* tls_filter.c: NULL-safe where it says so. */
void tls_filter_free(TlsFilter *filter); /* NULL */
/* Takes bytes from the wire, puts plain ones into the input; drives the handshake. */
int tls_filter_take(Stream *stream, const void *data, size_t len);
int tls_filter_handshake(Stream *stream);
/* Encrypts from Stream.out into Stream.wire, up to a bound. */
int tls_filter_encrypt(Stream *stream);
void tls_filter_goodbye(Stream *stream);
