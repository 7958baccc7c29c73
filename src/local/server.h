/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The embedded API server as one value: store, verbs, controllers and the HTTPS door. It makes
 * what it needs in its state folder: certificates, kubeconfig, the agent's token, the log.
 */

#include "local/api.h"

typedef struct ApiServer ApiServer;

typedef struct ApiServerOptions { /* texts are borrowed for life */
    const char *state_dir;
    const char *listen; /* "127.0.0.1:0": port 0 takes the one of the last run, or a free one */
    const char *service_cidr; /* NULL: 10.96.0.0/16 */
    bool durable;             /* fsync before every answer */
    bool memory;              /* no log at all: tests */
    usec_t node_grace;        /* 0: 40 s */
} ApiServerOptions;

/* Serves when it returns. */
_must_check_ int api_server_new(Loop *loop, const ApiServerOptions *options,
                                ApiServer **ret_server);
ApiServer *api_server_free(ApiServer *server);
DEFINE_CLEANUP(ApiServer *, api_server_free);
const char *api_server_kubeconfig(const ApiServer *server); /* path */
/* The log broke and the server stopped the loop: nothing that was answered is lost. */
bool api_server_failed(const ApiServer *server);
const char *api_server_url(const ApiServer *server);
