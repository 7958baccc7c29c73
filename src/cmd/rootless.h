/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A local cluster without root: everything of it runs in a user namespace in which we are root,
 * with mounts and a network of its own. slirp4netns connects that network to the outside, and one
 * port of this machine to the API server in there; `lacks` says what is missing without it.
 *
 * Users: with newuidmap and a range in /etc/subuid all of a pod's, else only user 0.
 */

#include <sys/types.h>

#include "base/base.h"

typedef struct RootlessNet {
    pid_t helper;    /* slirp4netns; 0: there is none */
    char socket[64]; /* its control socket; "" : none */
    char lacks[256]; /* a sentence about what does not work; "" : nothing */
} RootlessNet;

/* Runs `inside` in such namespaces, in a process of its own; gives its exit status. Signals go
 * there. `connect`: with the outside; the helper outlives the call then if `keep`. */
typedef int RootlessFn(void *ctx, RootlessNet *net);
_must_check_ int rootless_run(bool connect, bool keep, RootlessFn *inside, void *ctx);

/* Enters the namespaces that a process of ours lives in. The working folder becomes /. */
_must_check_ int rootless_join(pid_t pid);

/* Makes the port of this machine's loopback that of the network inside; takes the socket away. */
_must_check_ int rootless_forward(RootlessNet *net, unsigned port);
