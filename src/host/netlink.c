/* SPDX-License-Identifier: Apache-2.0 */
#include "host/netlink.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

/* One request: a header, the family's fixed part, attributes. All of ours are small. */
typedef struct Request {
    union {
        struct nlmsghdr header;
        char bytes[1024];
    };
} Request;

static void *request_init(Request *request, uint16_t type, uint16_t flags, size_t body) {
    memset(request, 0, sizeof(*request));
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    return NLMSG_DATA(&request->header);
}

static struct rtattr *request_add(Request *request, uint16_t type, const void *data, size_t len) {
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    ASSERT(at + RTA_SPACE(len) <= sizeof(request->bytes));
    struct rtattr attribute = { .rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(len) };
    memcpy(request->bytes + at, &attribute, sizeof(attribute));
    if (len)
        memcpy(request->bytes + at + RTA_LENGTH(0), data, len);
    request->header.nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
    return (struct rtattr *)(uintptr_t)(request->bytes + at);
}

static void request_add_u32(Request *request, uint16_t type, uint32_t value) {
    request_add(request, type, &value, sizeof(value));
}

static void request_add_str(Request *request, uint16_t type, const char *text) {
    request_add(request, type, text, strlen(text) + 1);
}

/* Attributes added between open and close are inside this one. */
static struct rtattr *nest_open(Request *request, uint16_t type) {
    return request_add(request, type, NULL, 0);
}

static void nest_close(Request *request, struct rtattr *nest) {
    nest->rta_len =
        (uint16_t)(request->bytes + request->header.nlmsg_len - (char *)(uintptr_t)nest);
}

int netlink_open(Netlink *ret_netlink) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return error_last("open a netlink socket");
    struct timeval timeout = { .tv_sec = 5 };
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
        int r = error_last("set up a netlink socket");
        fd_close(fd);
        return r;
    }
    *ret_netlink = (Netlink){ .fd = fd };
    return 0;
}

void netlink_done(Netlink *netlink) {
    netlink->fd = fd_close(netlink->fd);
}

/* Sends and waits for the acknowledgement, or for the first answer of `want` (then its index). */
static int request_send(Netlink *netlink, Request *request, uint16_t want, int *ret_index) {
    request->header.nlmsg_seq = ++netlink->sequence;
    if (!want)
        request->header.nlmsg_flags |= NLM_F_ACK;
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    if (sendto(netlink->fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
               sizeof(kernel)) < 0)
        return -errno;
    for (;;) {
        char answer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
        ssize_t len = recv(netlink->fd, answer, sizeof(answer), 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return -errno;
        struct nlmsghdr *header = (struct nlmsghdr *)(uintptr_t)answer;
        if (!NLMSG_OK(header, (size_t)len) || header->nlmsg_seq != netlink->sequence)
            continue;
        if (header->nlmsg_type == NLMSG_ERROR)
            return ((struct nlmsgerr *)NLMSG_DATA(header))->error;
        if (want && header->nlmsg_type == want) {
            *ret_index = ((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index;
            return 0;
        }
    }
}

static int request_run(Netlink *netlink, Request *request) {
    return request_send(netlink, request, 0, NULL);
}

int netlink_link_index(Netlink *netlink, const char *name, int *ret_index) {
    Request request;
    struct ifinfomsg *info = request_init(&request, RTM_GETLINK, 0, sizeof(*info));
    info->ifi_family = AF_UNSPEC;
    request_add_str(&request, IFLA_IFNAME, name);
    int r = request_send(netlink, &request, RTM_NEWLINK, ret_index);
    return r < 0 ? error_origin_errno(r, "find network link %s", name) : 0;
}

int netlink_bridge_add(Netlink *netlink, const char *name) {
    Request request;
    request_init(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    request_add_str(&request, IFLA_IFNAME, name);
    struct rtattr *info = nest_open(&request, IFLA_LINKINFO);
    request_add_str(&request, IFLA_INFO_KIND, "bridge");
    nest_close(&request, info);
    int r = request_run(netlink, &request);
    return r < 0 ? error_origin_errno(r, "make bridge %s", name) : 0;
}

int netlink_veth_add(Netlink *netlink, const char *name, const char *peer, int peer_netns_fd,
                     unsigned mtu) {
    Request request;
    request_init(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    request_add_str(&request, IFLA_IFNAME, name);
    request_add_u32(&request, IFLA_MTU, mtu);
    struct rtattr *info = nest_open(&request, IFLA_LINKINFO);
    request_add_str(&request, IFLA_INFO_KIND, "veth");
    struct rtattr *data = nest_open(&request, IFLA_INFO_DATA);
    struct ifinfomsg peer_info = { .ifi_family = AF_UNSPEC };
    struct rtattr *other = request_add(&request, VETH_INFO_PEER, &peer_info, sizeof(peer_info));
    request_add_str(&request, IFLA_IFNAME, peer);
    request_add_u32(&request, IFLA_MTU, mtu);
    request_add_u32(&request, IFLA_NET_NS_FD, (uint32_t)peer_netns_fd);
    nest_close(&request, other);
    nest_close(&request, data);
    nest_close(&request, info);
    int r = request_run(netlink, &request);
    return r < 0 ? error_origin_errno(r, "make the link pair %s", name) : 0;
}

int netlink_link_up(Netlink *netlink, int index) {
    Request request;
    struct ifinfomsg *info = request_init(&request, RTM_NEWLINK, 0, sizeof(*info));
    info->ifi_index = index;
    info->ifi_flags = info->ifi_change = IFF_UP;
    int r = request_run(netlink, &request);
    return r < 0 ? error_origin_errno(r, "bring network link %d up", index) : 0;
}

int netlink_link_attach(Netlink *netlink, int index, int bridge_index) {
    Request request;
    struct ifinfomsg *info = request_init(&request, RTM_NEWLINK, 0, sizeof(*info));
    info->ifi_index = index;
    request_add_u32(&request, IFLA_MASTER, (uint32_t)bridge_index);
    int r = request_run(netlink, &request);
    return r < 0 ? error_origin_errno(r, "attach network link %d to the bridge", index) : 0;
}

int netlink_link_remove(Netlink *netlink, const char *name) {
    Request request;
    request_init(&request, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
    request_add_str(&request, IFLA_IFNAME, name);
    int r = request_run(netlink, &request);
    return r < 0 && r != -ENODEV ? error_origin_errno(r, "remove network link %s", name) : 0;
}

int netlink_address_add(Netlink *netlink, int index, struct in_addr address, unsigned prefix) {
    Request request;
    struct ifaddrmsg *info =
        request_init(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*info));
    info->ifa_family = AF_INET;
    info->ifa_prefixlen = (uint8_t)prefix;
    info->ifa_index = (uint32_t)index;
    request_add(&request, IFA_LOCAL, &address, sizeof(address));
    request_add(&request, IFA_ADDRESS, &address, sizeof(address));
    int r = request_run(netlink, &request);
    return r < 0 ? error_origin_errno(r, "set an address on network link %d", index) : 0;
}

int netlink_route_add(Netlink *netlink, int index, struct in_addr target, unsigned prefix,
                      struct in_addr gateway) {
    Request request;
    struct rtmsg *info =
        request_init(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*info));
    info->rtm_family = AF_INET;
    info->rtm_dst_len = (uint8_t)prefix;
    info->rtm_table = RT_TABLE_MAIN;
    info->rtm_protocol = RTPROT_STATIC;
    info->rtm_type = RTN_UNICAST;
    info->rtm_scope = gateway.s_addr ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    if (prefix)
        request_add(&request, RTA_DST, &target, sizeof(target));
    if (gateway.s_addr) {
        info->rtm_flags = RTNH_F_ONLINK;
        request_add(&request, RTA_GATEWAY, &gateway, sizeof(gateway));
    }
    request_add_u32(&request, RTA_OIF, (uint32_t)index);
    int r = request_run(netlink, &request);
    return r < 0 ? error_origin_errno(r, "add a route over network link %d", index) : 0;
}
