/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The nameserver of pods: answers for the cluster's domain from the services we know, and asks
 * this machine's own nameservers for the rest, over UDP and TCP.
 */

#include "local/agent_service.h"
#include "loop/loop.h"

typedef struct DnsServer DnsServer;

/* `resolv_conf`: where the machine's nameservers are named (read again when it changes). `view` and
 * the texts are borrowed for life. -EADDRINUSE if somebody serves there. */
_must_check_ int dns_server_new(Loop *loop, const char *address, uint16_t port, const char *domain,
                                const char *resolv_conf, const ServiceView *view,
                                DnsServer **ret_server);
DnsServer *dns_server_free(DnsServer *server);
DEFINE_CLEANUP(DnsServer *, dns_server_free);
