/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Socket addresses as values, and names turned into them without blocking the loop. */

#include <sys/socket.h>

#include "base/base.h"
#include "loop/loop.h"

enum {
    NET_ADDRESS_TEXT_MAX = 128 /* "[fe80::1%eth0]:65535", "unix:/path" */
};

typedef struct NetAddress {
    struct sockaddr_storage sockaddr;
    socklen_t len;
    int fd; /* not 0: a socket that listens here already, for net_listen() to take over */
} NetAddress;

/* "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock", "unix:@abstract"; numbers only, no names.
 * -EINVAL with a sentence else. */
_must_check_ int net_address_parse(const char *text, NetAddress *ret_address);
/* For servers: also "fd:5", a listening socket that whoever started us opened. Who picks a port so
 * has it from then on, and clients may connect before we run. */
_must_check_ int net_address_parse_listen(const char *text, NetAddress *ret_address);
/* Splits "host:port" or "[host]:port", where the host may also be a name. */
_must_check_ int net_address_split(const char *text, char **ret_host, uint16_t *ret_port);
/* `host` is an IPv4 or IPv6 number. */
_must_check_ int net_address_ip(const char *host, uint16_t port, NetAddress *ret_address);
/* -ENAMETOOLONG beyond what a unix socket path may be. */
_must_check_ int net_address_unix(const char *path, NetAddress *ret_address);
/* The form that net_address_parse() reads. */
void net_address_format(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX]);
/* Without the port. */
void net_address_host(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX]);
uint16_t net_address_port(const NetAddress *address); /* 0 for unix */
void net_address_set_port(NetAddress *address, uint16_t port);
bool net_address_is_unix(const NetAddress *address);
/* 127/8, ::1 and unix sockets. */
bool net_address_is_loopback(const NetAddress *address);

/* A name to addresses (at most NET_RESOLVE_MAX, in the resolver's order) on the pool. `fn` is
 * called once: r is 0, or negative with a sentence. `addresses` is borrowed for the call. */
enum {
    NET_RESOLVE_MAX = 8
};
typedef struct NetResolve NetResolve;
typedef void NetResolveFn(void *ctx, int r, const NetAddress *addresses, size_t count);
NetResolve *net_resolve_new(Loop *loop, const char *host, uint16_t port, NetResolveFn *fn,
                            void *ctx);
NetResolve *net_resolve_free(NetResolve *resolve);
DEFINE_CLEANUP(NetResolve *, net_resolve_free);
