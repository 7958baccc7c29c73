/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Listening sockets. A stale unix socket file is replaced, a live one is -EADDRINUSE. */

#include "net/stream.h"

typedef struct Listener Listener;

/* `stream` is the callee's, without a callback yet: give it one with stream_set_callback() (and
 * TLS with stream_start_tls()) before returning. */
typedef void ListenerFn(void *ctx, Stream *stream);

/* Port 0 takes a free one: see listener_address(). At most `connections_max` are open at a time;
 * further ones wait in the kernel's queue (0: 4096). */
_must_check_ int listener_new(Loop *loop, const NetAddress *address, size_t connections_max,
                              ListenerFn *fn, void *ctx, Listener **ret_listener);
/* Takes a socket that listens already (socket activation, an inherited port). */
_must_check_ int listener_new_fd(Loop *loop, int fd, size_t connections_max, ListenerFn *fn,
                                 void *ctx, Listener **ret_listener);
const NetAddress *listener_address(const Listener *listener);
/* Removes the unix socket file it made. Accepted streams live on. */
Listener *listener_free(Listener *listener);
DEFINE_CLEANUP(Listener *, listener_free);

/* The plain socket, for programs that pass it on: bound, listening, CLOEXEC, non-blocking. */
_must_check_ int net_listen(const NetAddress *address, int *ret_fd, NetAddress *ret_bound);
