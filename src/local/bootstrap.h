/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a state folder holds beside the log: certificates, keys, tokens, the kubeconfig. Made once,
 * reused afterwards. And the objects that every cluster has from its start.
 */

#include "local/api.h"

typedef struct Bootstrap {
    char *ca_cert, *ca_key;
    char *server_cert, *server_key;
    char *admin_cert, *admin_key;
    char *agent_token;
    uint8_t token_key[32];
    uint16_t last_port; /* of the last run, 0 if there was none */
} Bootstrap;

/* Reads what is there, makes what is missing; files are 0600, the folder 0700. */
_must_check_ int bootstrap_load(const char *state_dir, usec_t wall_now, Bootstrap *ret_bootstrap);
void bootstrap_done(Bootstrap *bootstrap);
_must_check_ int bootstrap_write_kubeconfig(const Bootstrap *bootstrap, const char *state_dir,
                                            const char *url);
/* Namespaces default, kube-system, kube-public, kube-node-lease; the Service kubernetes. */
void bootstrap_objects(Api *api, const char *url);
