/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mini_raylet.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/test.h"
#include "ipc/ring.h"
#include "model/ids.h"

static void mini_send_fds(Client *c, const FrameHeader *h, const Buf *body, const int *fds, int n) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
    struct iovec parts[2] = { { (void *)(uintptr_t)h, sizeof(*h) },
                              { body ? body->data : NULL, body ? body->len : 0 } };
    struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };
    if (n) {
        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
        memcpy(CMSG_DATA(cm), fds, (size_t)n * sizeof(int));
    }
    struct pollfd p = { .fd = c->sock.fd, .events = POLLOUT };
    poll(&p, 1, 1000);
    ssize_t sent = sendmsg(c->sock.fd, &msg, MSG_NOSIGNAL);
    UNUSED(sent);
}

static FrameHeader mini_header(MessageType type, unsigned flags, uint32_t stream, PeerId from,
                               PeerId to, const Buf *body) {
    return (FrameHeader){ .length = body ? (uint32_t)body->len : 0,
                          .type = (uint16_t)type,
                          .flags = (uint16_t)flags,
                          .stream = stream,
                          .source = from,
                          .destination = to };
}

static void mini_welcome(Mini *mini, Client *c, const FrameHeader *h, const void *data) {
    UNUSED(mini);
    _cleanup_arena_ Arena arena = { 0 };
    Hello hello;
    CHECK_OK(hello_decode(&hello, data, h->length, &arena));
    c->role = hello.role;
    CHECK_OK(doorbell_create(&c->bell));
    Welcome w = { .version = 1, .peer = c->peer, .job = job_id_from_number(1) };
    _cleanup_buf_ Buf body = { 0 };
    welcome_encode(&w, &body);
    FrameHeader answer = mini_header(MSG_WELCOME, FRAME_REPLY | FRAME_FDS, h->stream,
                                     peer_raylet(c->peer), c->peer, &body);
    int fds[2] = { c->bell.memfd, c->bell.eventfd };
    mini_send_fds(c, &answer, &body, fds, 2);
}

static void mini_ring(Client *a, Client *b, FrameHeader *answer, Buf *body) {
    _cleanup_close_ int ring = -1;
    CHECK_OK(ring_create(&ring));
    PeerRing told = { .peer = a->peer, .side = 1 };
    _cleanup_buf_ Buf told_body = { 0 };
    peer_ring_encode(&told, &told_body);
    FrameHeader h =
        mini_header(MSG_PEER_RING, FRAME_FDS, 0, peer_raylet(a->peer), b->peer, &told_body);
    int to_b[3] = { ring, a->bell.memfd, a->bell.eventfd };
    mini_send_fds(b, &h, &told_body, to_b, 3);
    int to_a[3] = { ring, b->bell.memfd, b->bell.eventfd };
    mini_send_fds(a, answer, body, to_a, 3);
}

static void mini_grant(Mini *mini) {
    for (size_t i = 0; i < mini->waiting_len; i++) {
        Client *worker = NULL;
        for (int n = 0; n < mini->clients_len; n++) {
            Client *c = &mini->clients[n];
            if (c->open && c->role == ROLE_WORKER && !c->leased)
                worker = c;
        }
        if (!worker)
            return;
        Waiting w = mini->waiting[i];
        memmove(&mini->waiting[i], &mini->waiting[i + 1],
                (mini->waiting_len - i - 1) * sizeof(Waiting));
        mini->waiting_len--;
        i--;
        worker->leased = true;
        mini->leases++;
        LeaseGrant grant = { .lease = w.lease, .worker = worker->peer, .has_ring = true };
        _cleanup_buf_ Buf body = { 0 };
        lease_grant_encode(&grant, &body);
        FrameHeader h = mini_header(MSG_LEASE_GRANT, FRAME_REPLY | FRAME_FDS, w.header.stream,
                                    w.header.destination, w.header.source, &body);
        mini_ring(&mini->clients[w.client], worker, &h, &body);
    }
}

static void mini_status(Client *c, const FrameHeader *h, StatusCode code) {
    Status s = { .code = (uint16_t)code, .text = SLICE("told by the test") };
    _cleanup_buf_ Buf body = { 0 };
    status_encode(&s, &body);
    FrameHeader answer = mini_header(MSG_STATUS, FRAME_REPLY | (code ? FRAME_ERROR : 0), h->stream,
                                     h->destination, h->source, &body);
    mini_send_fds(c, &answer, &body, NULL, 0);
}

static Client *mini_client(Mini *mini, PeerId peer) {
    for (int i = 0; i < mini->clients_len; i++)
        if (mini->clients[i].peer == peer)
            return &mini->clients[i];
    return NULL;
}

/* Groups are made at once, by this raylet. */
static void mini_group(Mini *mini, Client *c, const FrameHeader *h, const void *data) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    GroupCreate m;
    if (h->type == MSG_GROUP_REMOVE)
        mini->groups_removed++;
    if (h->type == MSG_PING) {
        mini->pings++;
        mini_status(c, h, STATUS_CODE_OK);
    }
    if (h->type != MSG_GROUP_CREATE)
        return;
    CHECK_OK(group_create_decode(&m, data, h->length, &arena));
    GroupInfoReply made = { .info = { .group = m.info.group, .state = GROUP_STATE_CREATED } };
    group_info_reply_encode(&made, &body);
    FrameHeader answer =
        mini_header(MSG_GROUP_INFO_REPLY, FRAME_REPLY, h->stream, h->destination, h->source, &body);
    mini_send_fds(c, &answer, &body, NULL, 0);
}

static void mini_frame(Mini *mini, int index, const FrameHeader *h, const void *data) {
    Client *c = &mini->clients[index];
    _cleanup_arena_ Arena arena = { 0 };
    switch (h->type) {
    case MSG_HELLO:
        mini_welcome(mini, c, h, data);
        mini_grant(mini);
        break;
    case MSG_LEASE_REQUEST: {
        LeaseRequest m;
        CHECK_OK(lease_request_decode(&m, data, h->length, &arena));
        mini->near = m.near;
        mini->waiting[mini->waiting_len++] = (Waiting){ *h, m.lease, index };
        mini_grant(mini);
        break;
    }
    case MSG_LEASE_CANCEL: {
        LeaseCancel m;
        CHECK_OK(lease_cancel_decode(&m, data, h->length, &arena));
        for (size_t i = 0; i < mini->waiting_len; i++) {
            if (!id_equal(&mini->waiting[i].lease, &m.lease))
                continue;
            mini_status(c, &mini->waiting[i].header, STATUS_CODE_CANCELLED);
            mini->waiting[i] = mini->waiting[--mini->waiting_len];
        }
        break;
    }
    case MSG_LEASE_RETURN: {
        LeaseReturn m;
        CHECK_OK(lease_return_decode(&m, data, h->length, &arena));
        mini_client(mini, m.worker)->leased = false;
        mini->returned++;
        mini_grant(mini);
        break;
    }
    case MSG_PEER_CONNECT: {
        PeerConnect m;
        CHECK_OK(peer_connect_decode(&m, data, h->length, &arena));
        Client *other = mini_client(mini, m.peer);
        if (!other || !other->open) {
            mini_status(c, h, STATUS_CODE_DEAD);
            break;
        }
        PeerRing told = { .peer = m.peer, .side = 0 };
        _cleanup_buf_ Buf body = { 0 };
        peer_ring_encode(&told, &body);
        FrameHeader answer = mini_header(MSG_PEER_RING, FRAME_REPLY | FRAME_FDS, h->stream,
                                         h->destination, h->source, &body);
        mini_ring(c, other, &answer, &body);
        break;
    }
    case MSG_BLOCKED:
        mini->blocked++;
        break;
    case MSG_WORKER_KILL:
        mini->killed++;
        break;
    case MSG_KV_PUT: {
        KvPut m;
        CHECK_OK(kv_put_decode(&m, data, h->length, &arena));
        buf_clear(&mini->functions);
        buf_add(&mini->functions, m.value.data, m.value.len);
        mini_status(c, h, STATUS_CODE_OK);
        break;
    }
    case MSG_KV_GET: {
        KvReply reply = { .found = true, .value = buf_slice(&mini->functions) };
        _cleanup_buf_ Buf body = { 0 };
        kv_reply_encode(&reply, &body);
        FrameHeader answer =
            mini_header(MSG_KV_REPLY, FRAME_REPLY, h->stream, h->destination, h->source, &body);
        mini_send_fds(c, &answer, &body, NULL, 0);
        break;
    }
    default:
        mini_group(mini, c, h, data);
    }
}

static void mini_lost(Mini *mini, int index) {
    Client *c = &mini->clients[index];
    c->open = false;
    for (int i = 0; i < mini->clients_len; i++) {
        Client *other = &mini->clients[i];
        if (!other->open)
            continue;
        PeerDead dead = { .peer = c->peer, .text = SLICE("killed by the test") };
        _cleanup_buf_ Buf body = { 0 };
        peer_dead_encode(&dead, &body);
        FrameHeader h = mini_header(MSG_PEER_DEAD, 0, 0, peer_raylet(c->peer), other->peer, &body);
        mini_send_fds(other, &h, &body, NULL, 0);
    }
    sock_done(&c->sock);
    doorbell_done(&c->bell);
}

static void *mini_main(void *data) {
    Mini *mini = data;
    for (;;) {
        struct pollfd fds[CLIENTS_MAX + 2] = { { .fd = mini->listener, .events = POLLIN },
                                               { .fd = mini->stop[0], .events = POLLIN } };
        int n = mini->clients_len;
        for (int i = 0; i < n; i++)
            fds[i + 2] =
                (struct pollfd){ .fd = mini->clients[i].open ? mini->clients[i].sock.fd : -1,
                                 .events = POLLIN };
        poll(fds, (nfds_t)n + 2, -1);
        if (fds[1].revents)
            return NULL;
        if (fds[0].revents) {
            int fd = accept4(mini->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            Client *c = &mini->clients[mini->clients_len];
            *c = (Client){ .sock = { .fd = fd },
                           .open = true,
                           .bell = { NULL, -1, -1 },
                           .peer = peer_make(1, 1, (uint32_t)mini->clients_len + 1) };
            mini->clients_len++;
        }
        for (int i = 0; i < n; i++) {
            FrameHeader h;
            const void *body;
            int r = 0;
            while (fds[i + 2].revents && (r = sock_recv(&mini->clients[i].sock, &h, &body)) == 1)
                mini_frame(mini, i, &h, body);
            if (r < 0)
                mini_lost(mini, i);
        }
    }
}

void mini_start(Mini *mini) {
    memset(mini, 0, sizeof(*mini));
    snprintf(mini->path, sizeof(mini->path), "/tmp/core_test.%d.sock", getpid());
    unlink(mini->path);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, mini->path, sizeof(mini->path));
    mini->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(bind(mini->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(mini->listener, 16) == 0);
    CHECK(pipe(mini->stop) == 0);
    CHECK(pthread_create(&mini->thread, NULL, mini_main, mini) == 0);
}

void mini_stop(Mini *mini) {
    CHECK(write(mini->stop[1], "x", 1) == 1);
    pthread_join(mini->thread, NULL);
    for (int i = 0; i < mini->clients_len; i++) {
        sock_done(&mini->clients[i].sock);
        doorbell_done(&mini->clients[i].bell);
    }
    buf_done(&mini->functions);
    close(mini->listener);
    close(mini->stop[0]);
    close(mini->stop[1]);
    unlink(mini->path);
}
