/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A process's unix socket to its raylet: frames and file descriptors, non-blocking, without any
 * loop (libc only: this lies in the user's process). Not for two threads at once: the owner locks.
 */

#include <sys/uio.h>

#include "base/str.h"
#include "wire/frame.h"

enum {
    SOCK_FDS_MAX = 8
};

typedef struct Sock {
    int fd;
    Buf in;                /* received, not yet handed out */
    size_t in_used;        /* of which this much was */
    Buf out;               /* accepted, not yet sent */
    int fds[SOCK_FDS_MAX]; /* received, not yet taken, in order */
    size_t fds_len;
} Sock;

/* Waits at most `timeout`. */
_must_check_ int sock_connect(const char *path, usec_t timeout, Sock *ret_sock);
void sock_done(Sock *sock);

/* Sends or keeps; never waits. -EPIPE, -ECONNRESET when the other end is gone. */
_must_check_ int sock_send(Sock *sock, const FrameHeader *header, const struct iovec *body,
                           size_t body_len);
/* Sends what is kept. 0: all is out; 1: some is left: poll for writing. */
_must_check_ int sock_flush(Sock *sock);
static inline bool sock_wants_write(const Sock *sock) {
    return sock->out.len > 0;
}

/* 1: a frame; *ret_body is borrowed until the next call. 0: none now. -ECONNRESET: closed. */
int sock_recv(Sock *sock, FrameHeader *ret_header, const void **ret_body);
/* Hands out the next received fd, or -1. The frame that brought it says how many there are. */
int sock_take_fd(Sock *sock);
