/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The sockets of a Gcs: one listener, a framed connection a peer. */

#include "gcs/gcs.h"
#include "net/address.h"

typedef struct GcsServer GcsServer;

typedef struct GcsServerOptions {
    NetAddress listen; /* of net_address_parse_listen(); port 0 takes a free one */
    /* A unix socket to serve at as well, for the raylet beside it: faster than TCP. Zeros: none. */
    NetAddress local;
    const char *store; /* SQLite file; NULL: memory */
    bool durable;      /* fsync before every answer */
    GcsOptions gcs;
    /* The store broke: the process should end. */
    void (*broken)(void *ctx, int r);
    void *ctx;
} GcsServerOptions;

_must_check_ int gcs_server_new(Loop *loop, const GcsServerOptions *options,
                                GcsServer **ret_server);
const NetAddress *gcs_server_address(const GcsServer *server);
GcsServer *gcs_server_free(GcsServer *server);
DEFINE_CLEANUP(GcsServer *, gcs_server_free);
