/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/str.h"

static const struct sockaddr_un *as_unix(const NetAddress *address) {
    return (const struct sockaddr_un *)&address->sockaddr;
}

static const struct sockaddr_in *as_ipv4(const NetAddress *address) {
    return (const struct sockaddr_in *)&address->sockaddr;
}

static const struct sockaddr_in6 *as_ipv6(const NetAddress *address) {
    return (const struct sockaddr_in6 *)&address->sockaddr;
}

static bool parse_ipv4(const char *host, uint16_t port, NetAddress *ret_address) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return false;
    *ret_address = (NetAddress){ .len = sizeof(in) };
    memcpy(&ret_address->sockaddr, &in, sizeof(in));
    return true;
}

static bool parse_ipv6(const char *host, uint16_t port, NetAddress *ret_address) {
    struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    const char *zone = strchr(host, '%');
    _cleanup_free_ char *number =
        str_dup_slice((Slice){ host, zone ? (size_t)(zone - host) : strlen(host) });
    if (inet_pton(AF_INET6, number, &in.sin6_addr) != 1)
        return false;
    if (zone && (in.sin6_scope_id = if_nametoindex(zone + 1)) == 0)
        return false;
    *ret_address = (NetAddress){ .len = sizeof(in) };
    memcpy(&ret_address->sockaddr, &in, sizeof(in));
    return true;
}

int net_address_ip(const char *host, uint16_t port, NetAddress *ret_address) {
    if (parse_ipv4(host, port, ret_address) || parse_ipv6(host, port, ret_address))
        return 0;
    return error_origin(-EINVAL, "\"%s\" is not an IP address", host);
}

int net_address_unix(const char *path, NetAddress *ret_address) {
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(un.sun_path))
        return error_origin(-ENAMETOOLONG,
                            "unix socket path \"%s\" has %zu bytes, 1 to %zu are possible", path,
                            len, sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, len);
    if (path[0] == '@')
        un.sun_path[0] = 0;
    NetAddress address = { 0 };
    memcpy(&address.sockaddr, &un, sizeof(un));
    /* An abstract name is as long as it is; a path ends with its NUL. */
    address.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] != '@'));
    *ret_address = address;
    return 0;
}

int net_address_split(const char *text, char **ret_host, uint16_t *ret_port) {
    const char *colon = strrchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : 0;
    bool brackets = host_len > 2 && text[0] == '[' && text[host_len - 1] == ']';
    uint64_t port = 0;
    if (!colon || str_to_u64(colon + 1, &port) < 0 || port > UINT16_MAX)
        return error_origin(-EINVAL, "address \"%s\" has no port at its end (as in 127.0.0.1:80)",
                            text);
    *ret_port = (uint16_t)port;
    *ret_host =
        str_dup_slice(brackets ? (Slice){ text + 1, host_len - 2 } : (Slice){ text, host_len });
    return 0;
}

int net_address_parse(const char *text, NetAddress *ret_address) {
    if (str_starts(text, "unix:"))
        return net_address_unix(text + strlen("unix:"), ret_address);
    _cleanup_free_ char *host = NULL;
    uint16_t port = 0;
    int r = net_address_split(text, &host, &port);
    return r < 0 ? r : net_address_ip(host, port, ret_address);
}

int net_address_parse_listen(const char *text, NetAddress *ret_address) {
    if (!str_starts(text, "fd:"))
        return net_address_parse(text, ret_address);
    uint64_t fd = 0;
    int listens = 0;
    if (str_to_u64(text + strlen("fd:"), &fd) < 0 || fd < 3 || fd > INT_MAX)
        return error_origin(-EINVAL, "\"%s\" names no file descriptor (as in fd:5)", text);
    if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &(socklen_t){ sizeof(int) }) < 0)
        return error_last("listen at %s", text);
    if (!listens)
        return error_origin(-EINVAL, "the socket of \"%s\" does not listen", text);
    NetAddress address = { .len = sizeof(address.sockaddr), .fd = (int)fd };
    if (getsockname(address.fd, (struct sockaddr *)&address.sockaddr, &address.len) < 0)
        return error_last("listen at %s", text);
    *ret_address = address;
    return 0;
}

bool net_address_is_unix(const NetAddress *address) {
    return address->sockaddr.ss_family == AF_UNIX;
}

void net_address_host(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX]) {
    out[0] = 0;
    if (address->sockaddr.ss_family == AF_INET) {
        inet_ntop(AF_INET, &as_ipv4(address)->sin_addr, out, NET_ADDRESS_TEXT_MAX);
    } else if (address->sockaddr.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &as_ipv6(address)->sin6_addr, out, NET_ADDRESS_TEXT_MAX);
        char zone[IF_NAMESIZE];
        uint32_t scope = as_ipv6(address)->sin6_scope_id;
        size_t len = strlen(out);
        if (scope && if_indextoname(scope, zone))
            snprintf(out + len, NET_ADDRESS_TEXT_MAX - len, "%%%s", zone);
    } else if (net_address_is_unix(address)) {
        size_t len = address->len - offsetof(struct sockaddr_un, sun_path);
        const char *path = as_unix(address)->sun_path;
        bool abstract = address->len > offsetof(struct sockaddr_un, sun_path) && !path[0];
        int from = abstract ? 1 : 0;
        int chars = address->len > offsetof(struct sockaddr_un, sun_path) ? (int)len - from : 0;
        snprintf(out, NET_ADDRESS_TEXT_MAX, "unix:%s%.*s", abstract ? "@" : "", chars, path + from);
    }
}

uint16_t net_address_port(const NetAddress *address) {
    switch (address->sockaddr.ss_family) {
    case AF_INET:
        return ntohs(as_ipv4(address)->sin_port);
    case AF_INET6:
        return ntohs(as_ipv6(address)->sin6_port);
    default:
        return 0;
    }
}

void net_address_set_port(NetAddress *address, uint16_t port) {
    if (address->sockaddr.ss_family == AF_INET)
        ((struct sockaddr_in *)&address->sockaddr)->sin_port = htons(port);
    else if (address->sockaddr.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address->sockaddr)->sin6_port = htons(port);
}

void net_address_format(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX]) {
    char host[NET_ADDRESS_TEXT_MAX];
    net_address_host(address, host);
    switch (address->sockaddr.ss_family) {
    case AF_UNIX:
        snprintf(out, NET_ADDRESS_TEXT_MAX, "%s", host);
        break;
    case AF_INET6:
        snprintf(out, NET_ADDRESS_TEXT_MAX, "[%s]:%u", host, net_address_port(address));
        break;
    default:
        snprintf(out, NET_ADDRESS_TEXT_MAX, "%s:%u", host, net_address_port(address));
    }
}

bool net_address_is_loopback(const NetAddress *address) {
    switch (address->sockaddr.ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(as_ipv4(address)->sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&as_ipv6(address)->sin6_addr);
    default:
        return false;
    }
}

/* What the pool thread works on; outlives its NetResolve when that is freed early. */
typedef struct ResolveJob {
    NetResolve *owner; /* NULL once freed; touched on the loop only */
    char *host;
    uint16_t port;
    int r;
    char *error;
    NetAddress addresses[NET_RESOLVE_MAX];
    size_t count;
} ResolveJob;

struct NetResolve {
    LoopWork *work;
    ResolveJob *job;
    NetResolveFn *fn;
    void *ctx;
};

static void resolve_run(void *ctx) {
    ResolveJob *job = ctx;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int r = getaddrinfo(job->host, NULL, &hints, &found);
    if (r != 0) {
        job->r = r == EAI_AGAIN ? -EAGAIN : -ENOENT;
        job->error = str_printf("resolve host \"%s\": %s", job->host, gai_strerror(r));
        return;
    }
    for (struct addrinfo *at = found; at && job->count < NET_RESOLVE_MAX; at = at->ai_next) {
        NetAddress *address = &job->addresses[job->count++];
        memcpy(&address->sockaddr, at->ai_addr, at->ai_addrlen);
        address->len = at->ai_addrlen;
        net_address_set_port(address, job->port);
    }
    freeaddrinfo(found);
}

static void job_free(ResolveJob *job) {
    mem_free(job->host);
    mem_free(job->error);
    mem_free(job);
}

static void resolve_done(void *ctx, int r) {
    ResolveJob *job = ctx;
    NetResolve *owner = job->owner;
    if (!owner) {
        job_free(job);
        return;
    }
    owner->work = NULL;
    if (r < 0)
        job->r = error_origin(r, "resolve host \"%s\": given up", job->host);
    else if (job->r < 0)
        error_origin(job->r, "%s", job->error);
    owner->job = NULL;
    owner->fn(owner->ctx, job->r, job->addresses, job->count);
    job_free(job);
}

NetResolve *net_resolve_new(Loop *loop, const char *host, uint16_t port, NetResolveFn *fn,
                            void *ctx) {
    NetResolve *resolve = mem_new(NetResolve);
    ResolveJob *job = mem_new(ResolveJob);
    job->owner = resolve;
    job->host = str_dup(host);
    job->port = port;
    *resolve = (NetResolve){ .job = job, .fn = fn, .ctx = ctx };
    resolve->work = loop_work(loop, resolve_run, resolve_done, job);
    return resolve;
}

NetResolve *net_resolve_free(NetResolve *resolve) {
    if (!resolve)
        return NULL;
    if (resolve->job) {
        resolve->job->owner = NULL;
        loop_work_cancel(resolve->work);
    }
    return mem_free(resolve);
}
