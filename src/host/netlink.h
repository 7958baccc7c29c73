/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Links, addresses and routes of one network namespace by rtnetlink. A Netlink belongs for life to
 * the namespace its maker was in, so a process that changes namespaces may keep one for each.
 * Calls block for the kernel's answer (microseconds). IPv4 addresses are in network byte order.
 */

#include <netinet/in.h>

#include "base/base.h"

typedef struct Netlink {
    int fd;
    uint32_t sequence;
} Netlink;

_must_check_ int netlink_open(Netlink *ret_netlink);
void netlink_done(Netlink *netlink);
#define _cleanup_netlink_ _cleanup_(netlink_done)

/* -ENODEV if there is none. */
_must_check_ int netlink_link_index(Netlink *netlink, const char *name, int *ret_index);
/* -EEXIST if it is there. */
_must_check_ int netlink_bridge_add(Netlink *netlink, const char *name);
/* A pair: `name` here, `peer` in the namespace that `peer_netns_fd` holds. */
_must_check_ int netlink_veth_add(Netlink *netlink, const char *name, const char *peer,
                                  int peer_netns_fd, unsigned mtu);
_must_check_ int netlink_link_up(Netlink *netlink, int index);
_must_check_ int netlink_link_attach(Netlink *netlink, int index, int bridge_index);
/* 0 also if there is none. */
_must_check_ int netlink_link_remove(Netlink *netlink, const char *name);

_must_check_ int netlink_address_add(Netlink *netlink, int index, struct in_addr address,
                                     unsigned prefix);
/* Through `gateway`, which counts as reachable over the link whatever the addresses say; a zero
 * gateway: directly on the link. */
_must_check_ int netlink_route_add(Netlink *netlink, int index, struct in_addr target,
                                   unsigned prefix, struct in_addr gateway);
