/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_network.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/netlink.h"
#include "host/spawn.h"

#define HELPER_TIMEOUT (10 * USEC_PER_SEC)

enum {
    PREFIX_LEAST = 16, /* at most 65,536 addresses */
    PREFIX_MOST = 28
};

static int parse_range(const char *text, uint32_t *ret_base, unsigned *ret_prefix) {
    char address[NETWORK_ADDRESS_MAX];
    unsigned prefix;
    struct in_addr in;
    int used = 0;
    if (!text || sscanf(text, "%15[0-9.]/%u%n", address, &prefix, &used) != 2 || text[used] ||
        prefix < 8 || prefix > PREFIX_MOST || inet_pton(AF_INET, address, &in) != 1)
        return error_origin(-EINVAL, "%s is no IPv4 range like 10.88.0.0/16", text ? text : "");
    *ret_base = ntohl(in.s_addr) & (uint32_t)(0xffffffffu << (32 - prefix));
    *ret_prefix = prefix;
    return 0;
}

static void format_address(uint32_t address, char out[static NETWORK_ADDRESS_MAX]) {
    struct in_addr in = { htonl(address) };
    inet_ntop(AF_INET, &in, out, NETWORK_ADDRESS_MAX);
}

static uint32_t address_count(const AgentNetwork *network) {
    return 1u << (32 - network->prefix);
}

static bool bit_get(const AgentNetwork *network, uint32_t i) {
    return network->used[i / 64] >> (i % 64) & 1;
}

static void bit_set(AgentNetwork *network, uint32_t i, bool value) {
    uint64_t mask = UINT64_C(1) << (i % 64);
    network->used[i / 64] = value ? network->used[i / 64] | mask : network->used[i / 64] & ~mask;
}

static int sysctl_write(const char *path, const char *value) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return error_last("write %s", path);
    return 0;
}

static int set_sysctls(const AgentNetwork *network) {
    char path[128];
    int r = sysctl_write("/proc/sys/net/ipv4/ip_forward", "1");
    /* Pods reach each other through us, and we must not tell them of the shorter way. */
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/send_redirects", network->bridge);
    if (r == 0)
        r = sysctl_write(path, "0");
    /* A service may lead to this host's loopback (the API server's address). */
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", network->bridge);
    if (r == 0)
        r = sysctl_write(path, "1");
    return r;
}

static int make_bridge(const AgentNetwork *network) {
    _cleanup_netlink_ Netlink netlink = { .fd = -1 };
    struct in_addr gateway = { htonl(network->base + 1) }, service;
    int index;
    uint32_t service_base;
    unsigned service_prefix;
    int r = netlink_open(&netlink);
    if (r == 0) {
        r = netlink_bridge_add(&netlink, network->bridge);
        r = r == -EEXIST ? 0 : r;
    }
    if (r == 0)
        r = netlink_link_index(&netlink, network->bridge, &index);
    if (r == 0)
        r = netlink_address_add(&netlink, index, gateway, network->prefix);
    if (r == 0)
        r = netlink_link_up(&netlink, index);
    /* The host's own way to service addresses, and its source address on it. */
    if (r == 0 && network->service_range) {
        r = parse_range(network->service_range, &service_base, &service_prefix);
        service.s_addr = htonl(r == 0 ? service_base : 0);
        if (r == 0)
            r = netlink_route_add(&netlink, index, service, service_prefix, (struct in_addr){ 0 });
    }
    return r;
}

/* ---- ranges that are taken ---- */

/* The link, other than ours, whose addresses overlap the range. */
static char *range_user(const AgentNetwork *network, uint32_t base, unsigned prefix) {
    struct ifaddrs *all = NULL;
    char *user = NULL;
    if (getifaddrs(&all) < 0)
        return NULL;
    for (struct ifaddrs *at = all; at && !user; at = at->ifa_next) {
        struct sockaddr_in address, mask;
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !at->ifa_netmask ||
            str_eq(at->ifa_name, network->bridge))
            continue;
        memcpy(&address, at->ifa_addr, sizeof(address));
        memcpy(&mask, at->ifa_netmask, sizeof(mask));
        uint32_t wide = 0xffffffffu << (32 - prefix) & ntohl(mask.sin_addr.s_addr);
        if ((ntohl(address.sin_addr.s_addr) & wide) != (base & wide))
            continue;
        user = str_dup(at->ifa_name);
    }
    freeifaddrs(all);
    return user;
}

static int choose_range(AgentNetwork *network, const char *given) {
    int r = 0;
    if (given) {
        r = parse_range(given, &network->base, &network->prefix);
        _cleanup_free_ char *user =
            r == 0 ? range_user(network, network->base, network->prefix) : NULL;
        if (user)
            r = error_origin(-EADDRINUSE,
                             "the pods' range %s overlaps addresses of link %s: choose "
                             "another one with --pod-cidr",
                             given, user);
        network->pod_range = str_dup(given);
        return r;
    }
    /* The same one each time for the same tag, as long as it is free. */
    uint32_t start = (uint32_t)strtoul(network->tag, NULL, 16) % 64;
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t second = 64 + (start + i) % 64;
        network->base = 10u << 24 | second << 16;
        network->prefix = 16;
        _cleanup_free_ char *user =
            second == 96 ? str_dup("services") : range_user(network, network->base, 16);
        if (!user) {
            network->pod_range = str_printf("10.%u.0.0/16", second);
            return 0;
        }
    }
    return error_origin(-EADDRINUSE, "every range in 10.64.0.0/10 is in use: give --pod-cidr");
}

static void write_owner(const AgentNetwork *network, const char *owner) {
    _cleanup_free_ char *path = str_printf("/sys/class/net/%s/ifalias", network->bridge);
    (void)!sysctl_write(path, owner); /* without it nobody cleans up after us, no more */
}

static bool has_program(char *const *argv) {
    return spawn_run(argv, NULL, HELPER_TIMEOUT, NULL) == 0;
}

/* Rules are a convenience on top of the bridge: without them pods still reach each other. */
static void choose_rules(AgentNetwork *network) {
    network->nft = has_program(SPAWN_LIST("nft", "list", "tables"));
    ServicePorts none = { 0 };
    int r = network_apply(network, &none);
    if (r < 0)
        network->lacks = str_printf("neither nftables nor iptables can be set up, so service "
                                    "addresses and the outside are not reachable from pods: %s",
                                    error_text(r));
}

int network_open(const char *tag, const char *owner, const char *pod_range,
                 const char *service_range, AgentNetwork *ret_network) {
    AgentNetwork network = { 0 };
    if (strlen(tag) >= NETWORK_TAG_MAX)
        return error_origin(-EINVAL, "the tag %s is too long", tag);
    snprintf(network.tag, sizeof(network.tag), "%s", tag);
    snprintf(network.bridge, sizeof(network.bridge), "mb-%s", tag);
    network.service_range = str_dup(service_range);
    int r = choose_range(&network, pod_range);
    if (r == 0 && network.prefix < PREFIX_LEAST)
        r = error_origin(-EINVAL, "the pods' range %s is larger than a /%d", pod_range,
                         PREFIX_LEAST);
    format_address(network.base + 1, network.gateway);
    if (r == 0)
        r = make_bridge(&network);
    if (r == 0)
        r = set_sysctls(&network);
    if (r < 0) {
        network_done(&network);
        return r;
    }
    write_owner(&network, owner);
    network.used = mem_zalloc_array(address_count(&network) / 64 + 1, sizeof(uint64_t));
    bit_set(&network, 0, true);
    bit_set(&network, 1, true);
    bit_set(&network, address_count(&network) - 1, true);
    network.next = 2;
    choose_rules(&network);
    *ret_network = network;
    return 0;
}

void network_done(AgentNetwork *network) {
    mem_free(network->used);
    mem_free(network->pod_range);
    mem_free(network->service_range);
    mem_free(network->lacks);
    *network = (AgentNetwork){ 0 };
}

/* The kernel removes an ended pod's pair too, but some time after its last process. */
static void remove_ports(Netlink *netlink, const char *bridge) {
    char path[64];
    snprintf(path, sizeof(path), "/sys/class/net/%s/brif", bridge);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            (void)!netlink_link_remove(netlink, entry->d_name);
    if (dir)
        closedir(dir);
}

void network_remove(AgentNetwork *network) {
    _cleanup_netlink_ Netlink netlink = { .fd = -1 };
    if (netlink_open(&netlink) == 0) {
        remove_ports(&netlink, network->bridge);
        (void)!netlink_link_remove(&netlink, network->bridge);
    }
    network_remove_rules(network);
}

int network_take(AgentNetwork *network, const char *wanted,
                 char ret_address[static NETWORK_ADDRESS_MAX]) {
    uint32_t count = address_count(network);
    if (wanted) {
        struct in_addr in;
        if (inet_pton(AF_INET, wanted, &in) != 1 || ntohl(in.s_addr) - network->base >= count)
            return error_origin(-EINVAL, "%s is not in the pods' range", wanted);
        uint32_t i = ntohl(in.s_addr) - network->base;
        bit_set(network, i, true);
        snprintf(ret_address, NETWORK_ADDRESS_MAX, "%s", wanted);
        return 0;
    }
    /* Round and round: what was released last is used again last. */
    for (uint32_t tried = 0; tried < count; tried++) {
        uint32_t i = network->next;
        network->next = (network->next + 1) % count;
        if (bit_get(network, i))
            continue;
        bit_set(network, i, true);
        format_address(network->base + i, ret_address);
        return 0;
    }
    return error_origin(-ENOSPC, "no address is free in %s", network->pod_range);
}

void network_release(AgentNetwork *network, const char *address) {
    struct in_addr in;
    if (inet_pton(AF_INET, address, &in) == 1 &&
        ntohl(in.s_addr) - network->base < address_count(network))
        bit_set(network, ntohl(in.s_addr) - network->base, false);
}
