/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/mount.h"
#include "host/netlink.h"

/* A setting that makes things better where it can be made. */
static void write_setting(const char *path, const char *value) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, value, strlen(value));
    UNUSED(ignored);
    close(fd);
}

static int link_up(Netlink *netlink, const char *name, int *ret_index) {
    int r = netlink_link_index(netlink, name, ret_index);
    return r < 0 ? r : netlink_link_up(netlink, *ret_index);
}

static int parse_address(const json_t *network, const char *field, struct in_addr *ret_address) {
    const char *text = json_str_at(network, field);
    if (!text || inet_pton(AF_INET, text, ret_address) != 1)
        return error_origin(-EINVAL, "pod network: %s is no IPv4 address", field);
    return 0;
}

/* A service may lead back to the pod that calls it; where bridges filter like routers
 * (bridge-nf-call-iptables) such a packet leaves through the port it came from. */
static void allow_hairpin(const char *link) {
    char path[96];
    snprintf(path, sizeof(path), "/sys/class/net/%s/brport/hairpin_mode", link);
    write_setting(path, "1");
}

/* The host's end: on the bridge and up. */
static int plug(Netlink *host, const char *link, const char *bridge) {
    int index, bridge_index;
    int r = netlink_link_index(host, bridge, &bridge_index);
    if (r == 0)
        r = netlink_link_index(host, link, &index);
    if (r == 0)
        r = netlink_link_attach(host, index, bridge_index);
    if (r == 0)
        allow_hairpin(link);
    return r < 0 ? r : netlink_link_up(host, index);
}

/* The pod's end. Its address stands alone (/32) and everything goes through the gateway: then the
 * host sees every packet between pods too, and service addresses can be translated both ways. */
static int address(Netlink *pod, struct in_addr own, struct in_addr gateway) {
    int index;
    int r = link_up(pod, "lo", &index);
    if (r == 0)
        r = link_up(pod, "eth0", &index);
    if (r == 0)
        r = netlink_address_add(pod, index, own, 32);
    if (r == 0)
        r = netlink_route_add(pod, index, (struct in_addr){ 0 }, 0, gateway);
    return r;
}

static int connect_network(Netlink *host, const json_t *network) {
    struct in_addr own, gateway;
    const char *link = json_str_at(network, "link"), *bridge = json_str_at(network, "bridge");
    int r = parse_address(network, "address", &own);
    if (r == 0)
        r = parse_address(network, "gateway", &gateway);
    if (r < 0)
        return r;
    _cleanup_close_ int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return error_last("open the pod's network namespace");
    _cleanup_netlink_ Netlink pod = { .fd = -1 };
    r = netlink_open(&pod);
    if (r == 0)
        r = netlink_link_remove(host, link); /* of an earlier life of this pod */
    if (r == 0)
        r = netlink_veth_add(host, link, "eth0", netns,
                             (unsigned)json_int_at(network, 1500, "mtu"));
    if (r == 0)
        r = address(&pod, own, gateway);
    return r < 0 ? r : plug(host, link, bridge);
}

static int loopback_only(void) {
    _cleanup_netlink_ Netlink pod = { .fd = -1 };
    int index;
    int r = netlink_open(&pod);
    return r < 0 ? r : link_up(&pod, "lo", &index);
}

/* No right is needed for low ports inside, as container runtimes set it; and a pod does not believe
 * in shorter ways to another pod, on which service addresses would not be translated back. */
static void tune_network(void) {
    write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    write_setting("/proc/sys/net/ipv4/conf/all/accept_redirects", "0");
    write_setting("/proc/sys/net/ipv4/conf/eth0/accept_redirects", "0");
}

static int make_network(const json_t *pod) {
    const json_t *network = json_object_get(pod, "network");
    _cleanup_netlink_ Netlink host = { .fd = -1 };
    int r = netlink_open(&host);
    if (r < 0)
        return r;
    if (unshare(CLONE_NEWNET) < 0)
        return error_last("make a network namespace");
    r = json_is_object(network) ? connect_network(&host, network) : loopback_only();
    if (r == 0)
        tune_network();
    return r;
}

static int mount_memory(const json_t *pod) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(pod, "tmpfs"), i, item) {
        const char *dir = json_str_at(item, "dir");
        int64_t size = json_int_at(item, 0, "size");
        char options[64] = "mode=1777";
        if (size > 0)
            snprintf(options, sizeof(options), "mode=1777,size=%lld", (long long)size);
        int r = dir ? dir_make(dir, 0777) : error_origin(-EINVAL, "tmpfs[%zu].dir is missing", i);
        if (r < 0)
            return r;
        if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
            return error_last("mount a tmpfs at %s", dir);
    }
    return 0;
}

static int write_map(const char *path, unsigned inside, unsigned outside) {
    char line[64];
    int len = snprintf(line, sizeof(line), "%u %u 1", inside, outside);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)len) < 0)
        return error_last("write %s", path);
    return 0;
}

/* Without root: a user namespace in which we are root, and everybody else is nobody. */
static int become_root_inside(void) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (uid == 0)
        return 0;
    if (unshare(CLONE_NEWUSER) < 0)
        return error_last("make a user namespace (without root it needs "
                          "user.max_user_namespaces, and no policy against it)");
    write_setting("/proc/self/setgroups", "deny");
    int r = write_map("/proc/self/uid_map", 0, uid);
    return r < 0 ? r : write_map("/proc/self/gid_map", 0, gid);
}

int sandbox_enter(const json_t *pod) {
    int user = become_root_inside();
    if (user < 0)
        return user;
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
        return error_last("make namespaces");
    int r = mount_isolate();
    if (r == 0)
        r = mount_memory(pod);
    const char *hostname = json_str_at(pod, "hostname");
    if (r == 0 && hostname && sethostname(hostname, strlen(hostname)) < 0)
        r = error_last("set the host name %s", hostname);
    return r < 0 || json_bool_at(pod, false, "hostNetwork") ? r : make_network(pod);
}
