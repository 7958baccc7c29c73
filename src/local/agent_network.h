/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The network of one agent's pods on the host: a bridge, an address for each pod, translation of
 * service addresses and of what goes outside. All of it carries the agent's tag in its name (bridge
 * "mb-TAG", nftables table or iptables chains "mobula_TAG"), so that several agents share a machine
 * and a new agent finds, reuses or removes what a killed one left.
 */

#include "base/str.h"
#include "base/vec.h"

enum {
    NETWORK_ADDRESS_MAX = 16,
    NETWORK_TAG_MAX = 12
};

typedef struct AgentNetwork {
    char tag[NETWORK_TAG_MAX], bridge[16], gateway[NETWORK_ADDRESS_MAX];
    uint32_t base;                   /* host byte order */
    unsigned prefix;                 /* of the pods' range */
    char *pod_range, *service_range; /* "10.88.0.0/16" */
    uint64_t *used;                  /* a bit an address */
    uint32_t next;
    bool nft;                        /* nftables; else iptables */
    char *lacks;                     /* NULL, or what does not work, in words */
    char *rules;                     /* the last ones applied */
} AgentNetwork;

/* Removes bridges, tables and empty cgroups of agents that are gone. `own`: the tag to spare. */
void network_sweep(const char *own);

/* Makes the bridge and the base rules, or takes over those of a former agent with this tag. The
 * bridge carries `owner` (the state folder) as its alias, for network_sweep(). pod_range NULL: a /16 of 10.64/10 that nobody uses. -EINVAL for ranges that are none,
 * -EADDRINUSE for one in use, -EPERM where the rights for it are missing. */
_must_check_ int network_open(const char *tag, const char *owner, const char *pod_range,
                              const char *service_range, AgentNetwork *ret_network);
/* Frees the memory; bridge and rules stay. */
void network_done(AgentNetwork *network);
/* Removes bridge and rules. */
void network_remove(AgentNetwork *network);

/* `wanted`: that one, whoever else has it (an adopted pod's own). NULL: a free one, and not one that
 * was free a moment ago while others are. -ENOSPC. */
_must_check_ int network_take(AgentNetwork *network, const char *wanted,
                              char ret_address[static NETWORK_ADDRESS_MAX]);
void network_release(AgentNetwork *network, const char *address);

/* One port of one service address, and where it leads. */
typedef struct ServiceTarget {
    char address[NETWORK_ADDRESS_MAX];
    uint16_t port;
} ServiceTarget;
typedef struct ServicePort {
    char address[NETWORK_ADDRESS_MAX]; /* of the service */
    uint16_t port, node_port;          /* node_port 0: none */
    bool udp;
    bool client_affinity;              /* sessionAffinity: ClientIP */
    Vec(ServiceTarget) targets;        /* none: connections are refused */
} ServicePort;
typedef Vec(ServicePort) ServicePorts;
void service_ports_done(ServicePorts *ports);

/* The rules as text for `nft -f -` or `iptables-restore`: pure. Owned. */
char *network_rules_nft(const AgentNetwork *network, const ServicePorts *ports);
char *network_rules_iptables(const AgentNetwork *network, const ServicePorts *ports);
/* Puts such a text in place, in one transaction. Blocks for the helper program. */
_must_check_ int network_put_rules(bool nft, const char *rules);
/* The same at the start, with the jumps to them (iptables). */
_must_check_ int network_apply(const AgentNetwork *network, const ServicePorts *ports);
/* Of either kind: another program may have made them than the one that would today. */
void network_remove_rules(const AgentNetwork *network);
