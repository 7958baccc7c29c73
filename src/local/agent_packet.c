/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_packet.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/fd.h"

typedef union Control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
} Control;

int packet_send(int fd, const json_t *message, const int *fds, size_t fd_count) {
    ASSERT(fd_count <= PACKET_FDS);
    _cleanup_buf_ Buf text = { 0 };
    json_encode(message, 0, &text);
    if (text.len > PACKET_MAX)
        return error_origin(-E2BIG, "a message of %zu bytes is too long", text.len);
    struct iovec part = { text.data, text.len };
    Control control = { 0 };
    struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd_count) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
                                           .cmsg_level = SOL_SOCKET,
                                           .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? error_last("send to a pod's keeper") : 0;
}

static void take_fds(struct msghdr *packet, int fds[static PACKET_FDS]) {
    for (struct cmsghdr *at = CMSG_FIRSTHDR(packet); at; at = CMSG_NXTHDR(packet, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(at), MIN(count, (size_t)PACKET_FDS) * sizeof(int));
    }
}

int packet_receive(int fd, json_t **ret_message, int ret_fds[static PACKET_FDS]) {
    _cleanup_free_ char *text = mem_alloc(PACKET_MAX);
    struct iovec part = { text, PACKET_MAX };
    Control control = { 0 };
    struct msghdr packet = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control) };
    ssize_t n;
    do
        n = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return PACKET_NONE;
    if (n < 0 && errno == ECONNRESET)
        return PACKET_END;
    if (n < 0)
        return error_last("receive from a pod's keeper");
    if (n == 0)
        return PACKET_END;
    int fds[PACKET_FDS] = { -1, -1, -1, -1 };
    take_fds(&packet, fds);
    json_t *message = NULL;
    int r = json_parse(text, (size_t)n, NULL, 0, &message);
    if (r == 0 && !json_is_object(message)) {
        json_decref(message);
        r = error_origin(-EPROTO, "a message to or from a pod's keeper is no object");
    }
    if (r < 0) {
        for (int i = 0; i < PACKET_FDS; i++)
            fd_close(fds[i]);
        return r;
    }
    *ret_message = message;
    memcpy(ret_fds, fds, sizeof(fds));
    return 0;
}
