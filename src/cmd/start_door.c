/* SPDX-License-Identifier: Apache-2.0 */

/* The addresses of a node and the sockets it serves at. They are opened here and handed over, so
 * that a port is ours from the moment on that it is known, and another tries the next one. */

#include <arpa/inet.h>
#include <limits.h>
#include <netdb.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cmd/start_process.h"
#include "net/listener.h"

enum {
    PORTS_TRIED = 100
};

/* The address this machine would speak from toward another; no packet is sent. */
static bool ip_toward(const char *host, char text[static INET_ADDRSTRLEN]) {
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_family = AF_INET }, *found = NULL;
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    if (getaddrinfo(host, "80", &hints, &found) != 0)
        return false;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool routed = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
                  getsockname(fd, (struct sockaddr *)&own, &len) == 0;
    freeaddrinfo(found);
    return routed && inet_ntop(AF_INET, &own.sin_addr, text, INET_ADDRSTRLEN);
}

/* Where there is no route, what this host's name means; at last the loopback. Owned. */
static char *own_ip(const char *toward) {
    char text[INET_ADDRSTRLEN] = "127.0.0.1", name[HOST_NAME_MAX + 1] = "";
    if (!ip_toward(toward, text) && gethostname(name, sizeof(name) - 1) == 0)
        ip_toward(name, text);
    return str_dup(text);
}

int start_host_ip(const char *flag, const char *host, char **ret_ip) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char text[NET_ADDRESS_TEXT_MAX];
    NetAddress address;
    if (str_eq(host, "localhost") || net_address_ip(host, 0, &address) == 0) {
        *ret_ip = str_dup(str_eq(host, "localhost") ? "127.0.0.1" : host);
        return 0;
    }
    int code = getaddrinfo(host, NULL, &hints, &found);
    if (code != 0)
        return error_origin(-EINVAL, "`%s=%s` is no address: %s", flag, host, gai_strerror(code));
    address = (NetAddress){ .len = found->ai_addrlen };
    memcpy(&address.sockaddr, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    net_address_host(&address, text);
    *ret_ip = str_dup(text);
    return 0;
}

int start_node_ip(const StartArgs *args, char **ret_ip) {
    if (args->node_ip)
        return start_host_ip("--node-ip-address", args->node_ip, ret_ip);
    _cleanup_free_ char *toward = str_dup(args->head ? "8.8.8.8" : args->address);
    char *colon = strrchr(toward, ':');
    if (colon)
        *colon = 0;
    *ret_ip = own_ip(toward);
    return 0;
}

bool start_is_loopback(const char *ip) {
    NetAddress address;
    return net_address_ip(ip, 0, &address) == 0 && net_address_is_loopback(&address);
}

const char *start_listen_host(const char *ip) {
    return start_is_loopback(ip) ? "127.0.0.1" : "0.0.0.0";
}

int start_door_open(const char *flag, const char *ip, int64_t port, bool or_next, Door *ret_door) {
    NetAddress address, bound;
    int r = 0, fd = -1;
    for (int64_t tried = 0; tried < (or_next ? PORTS_TRIED : 1); tried++) {
        r = net_address_ip(ip, (uint16_t)(port + tried), &address);
        if (r == 0)
            r = net_listen(&address, &fd, &bound);
        if (r != -EADDRINUSE)
            break;
    }
    if (r < 0)
        return error_context(r, "%s", flag);
    *ret_door = (Door){ fd, net_address_port(&bound) };
    return 0;
}
