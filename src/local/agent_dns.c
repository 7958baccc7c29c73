/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_dns.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "local/agent_dns_packet.h"
#include "net/listener.h"
#include "net/stream.h"

#define FORWARD_WAIT (5 * USEC_PER_SEC)
#define FORWARD_NEXT (2 * USEC_PER_SEC) /* then the next nameserver is asked too */
#define TCP_WAIT     (10 * USEC_PER_SEC)

enum {
    FORWARDS_MAX = 512,
    TCP_MAX = 64,
    UPSTREAMS_MAX = 3,
    UDP_ROUNDS = 64,
    RESOLV_MAX = 65536
};

/* A question on its way to the outside, with a socket of its own: a random port, as it should be. */
typedef struct Forward {
    List all;
    DnsServer *server;
    struct sockaddr_in asker;
    Buf packet;
    size_t upstream;
    int fd;
    LoopFd *watch;
    LoopTimer *timer;
    usec_t deadline;
} Forward;

/* A connection: ours to the asker, or through to a nameserver. */
typedef struct TcpClient {
    List all;
    DnsServer *server;
    Stream *asker, *upstream;
} TcpClient;

struct DnsServer {
    Loop *loop;
    char *domain, *resolv_conf;
    const ServiceView *view;
    int fd;
    LoopFd *watch;
    Listener *listener;
    struct in_addr upstreams[UPSTREAMS_MAX];
    size_t upstream_count;
    struct timespec resolv_time;
    List forwards, clients;
    size_t forward_count, client_count;
};

/* ---- this machine's nameservers ---- */

static void read_upstreams(DnsServer *server) {
    struct stat st;
    if (stat(server->resolv_conf, &st) < 0 ||
        (server->upstream_count && st.st_mtim.tv_sec == server->resolv_time.tv_sec &&
         st.st_mtim.tv_nsec == server->resolv_time.tv_nsec))
        return;
    _cleanup_buf_ Buf text = { 0 };
    if (file_read(server->resolv_conf, RESOLV_MAX, &text) < 0 || !text.data)
        return;
    server->resolv_time = st.st_mtim;
    server->upstream_count = 0;
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char address[64];
        if (server->upstream_count < UPSTREAMS_MAX &&
            sscanf(line, " nameserver %63s", address) == 1 &&
            inet_pton(AF_INET, address, &server->upstreams[server->upstream_count]) == 1)
            server->upstream_count++;
    }
}

/* ---- answers of our own ---- */

static int add_servers(const DnsServer *server, const NameAnswer *answer, Buf *out) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < answer->addresses.len; i++) {
        _cleanup_free_ char *target = str_dup(answer->addresses.items[i]);
        for (char *at = target; *at; at++)
            *at = *at == '.' ? '-' : *at;
        _cleanup_free_ char *name = str_printf("%s.default.pod.%s", target, server->domain);
        r = dns_answer_server(out, answer->port, name);
    }
    return r;
}

static int add_answer(const DnsServer *server, const DnsQuestion *question,
                      const NameAnswer *answer, Buf *out) {
    bool any = question->type == DNS_ANY;
    int r = 0;
    if (answer->kind == NAME_ALIAS && answer->alias)
        return dns_answer_alias(out, answer->alias);
    if (answer->kind == NAME_SERVERS && (any || question->type == DNS_SRV))
        return add_servers(server, answer, out);
    if (answer->kind == NAME_ADDRESSES && (any || question->type == DNS_A))
        for (size_t i = 0; r == 0 && i < answer->addresses.len; i++)
            r = dns_answer_address(out, answer->addresses.items[i]);
    return r;
}

/* True if it is ours to answer; then `out` holds it. */
static bool answer_locally(DnsServer *server, const void *packet, const DnsQuestion *question,
                           Buf *out) {
    NameAnswer answer;
    service_name(server->view, server->domain, question->name, &answer);
    bool ours = answer.kind != NAME_OUTSIDE;
    if (ours) {
        dns_answer_begin(packet, question, answer.kind == NAME_UNKNOWN ? DNS_NO_NAME : DNS_OK, out);
        if (add_answer(server, question, &answer, out) < 0)
            dns_answer_begin(packet, question, DNS_SERVER_FAILURE, out);
    }
    name_answer_done(&answer);
    return ours;
}

/* ---- UDP ---- */

static void send_udp(DnsServer *server, const struct sockaddr_in *to, const Buf *packet) {
    /* A lost answer is asked for again. */
    ssize_t ignored = sendto(server->fd, packet->data, packet->len, MSG_DONTWAIT,
                             (const struct sockaddr *)to, sizeof(*to));
    UNUSED(ignored);
}

static void forward_free(Forward *forward) {
    list_remove(&forward->all);
    forward->server->forward_count--;
    loop_fd_free(forward->watch);
    loop_timer_free(forward->timer);
    fd_close(forward->fd);
    buf_done(&forward->packet);
    mem_free(forward);
}

static void forward_fail(Forward *forward) {
    DnsQuestion question;
    _cleanup_buf_ Buf out = { 0 };
    if (dns_question_parse(forward->packet.data, forward->packet.len, &question) == 0) {
        dns_answer_begin(forward->packet.data, &question, DNS_SERVER_FAILURE, &out);
        send_udp(forward->server, &forward->asker, &out);
    }
    forward_free(forward);
}

static bool forward_send(Forward *forward) {
    DnsServer *server = forward->server;
    if (forward->upstream >= server->upstream_count)
        return false;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(53),
                              .sin_addr = server->upstreams[forward->upstream++] };
    ssize_t sent = sendto(forward->fd, forward->packet.data, forward->packet.len, MSG_DONTWAIT,
                          (struct sockaddr *)&to, sizeof(to));
    UNUSED(sent); /* the timer asks the next one */
    return true;
}

static void forward_waited(void *ctx) {
    Forward *forward = ctx;
    usec_t now = loop_now(forward->server->loop);
    if (now >= forward->deadline) {
        forward_fail(forward);
        return;
    }
    bool more = forward_send(forward);
    loop_timer_at(forward->timer,
                  more ? MIN(forward->deadline, now + FORWARD_NEXT) : forward->deadline);
}

static bool from_upstream(const DnsServer *server, const struct sockaddr_in *from) {
    for (size_t i = 0; i < server->upstream_count; i++)
        if (server->upstreams[i].s_addr == from->sin_addr.s_addr && from->sin_port == htons(53))
            return true;
    return false;
}

static void forward_answered(void *ctx, unsigned events) {
    UNUSED(events);
    Forward *forward = ctx;
    char packet[DNS_PACKET_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t len = recvfrom(forward->fd, packet, sizeof(packet), MSG_DONTWAIT,
                           (struct sockaddr *)&from, &from_len);
    if (len < 12 || !from_upstream(forward->server, &from) ||
        memcmp(packet, forward->packet.data, 2) != 0)
        return; /* not the answer; it may still come */
    Buf out = { .data = packet, .len = (size_t)len };
    send_udp(forward->server, &forward->asker, &out);
    forward_free(forward);
}

static int forward_new(DnsServer *server, const struct sockaddr_in *asker, const void *packet,
                       size_t len) {
    read_upstreams(server);
    if (server->forward_count >= FORWARDS_MAX || !server->upstream_count)
        return error_origin(-EBUSY, "no nameserver to ask");
    Forward *forward = mem_new(Forward);
    list_push(&server->forwards, &forward->all);
    server->forward_count++;
    forward->server = server;
    forward->asker = *asker;
    forward->deadline = loop_deadline(server->loop, FORWARD_WAIT);
    forward->timer = loop_timer_new(server->loop, forward_waited, forward);
    forward->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    buf_add(&forward->packet, packet, len);
    int r = forward->fd < 0 ? error_last("make a socket")
                            : loop_fd_new(server->loop, forward->fd, LOOP_READABLE,
                                          forward_answered, forward, &forward->watch);
    if (r < 0) {
        forward_free(forward);
        return r;
    }
    forward_waited(forward);
    return 0;
}

static void serve_packet(DnsServer *server, const struct sockaddr_in *asker, const void *packet,
                         size_t len) {
    DnsQuestion question;
    _cleanup_buf_ Buf out = { 0 };
    if (dns_question_parse(packet, len, &question) < 0)
        return; /* an answer to what we can't read could be used against somebody else */
    if (answer_locally(server, packet, &question, &out)) {
        dns_answer_fit(&out, &question, question.room);
    } else {
        if (forward_new(server, asker, packet, len) == 0)
            return;
        dns_answer_begin(packet, &question, DNS_SERVER_FAILURE, &out);
    }
    send_udp(server, asker, &out);
}

static void udp_ready(void *ctx, unsigned events) {
    UNUSED(events);
    DnsServer *server = ctx;
    char packet[4096];
    for (int round = 0; round < UDP_ROUNDS; round++) {
        struct sockaddr_in asker;
        socklen_t asker_len = sizeof(asker);
        ssize_t len = recvfrom(server->fd, packet, sizeof(packet), MSG_DONTWAIT,
                               (struct sockaddr *)&asker, &asker_len);
        if (len < 0)
            return;
        serve_packet(server, &asker, packet, (size_t)len);
    }
}

/* ---- TCP: for answers that are too long for a datagram ---- */

static void client_free(TcpClient *client) {
    list_remove(&client->all);
    client->server->client_count--;
    stream_free(client->asker);
    stream_free(client->upstream);
    mem_free(client);
}

static void pump(Stream *from, Stream *to) {
    Slice data = stream_input(from);
    stream_write(to, data.data, data.len);
    stream_consume(from, data.len);
}

static void upstream_event(void *ctx, Stream *stream, StreamEvent event) {
    TcpClient *client = ctx;
    if (event == STREAM_DATA)
        pump(stream, client->asker);
    else if (event == STREAM_EOF || event == STREAM_FAILED)
        client_free(client);
}

/* The first question decides whom the connection is for. */
static void through(TcpClient *client) {
    DnsServer *server = client->server;
    char address[INET_ADDRSTRLEN];
    NetAddress to;
    read_upstreams(server);
    if (!server->upstream_count ||
        !inet_ntop(AF_INET, &server->upstreams[0], address, sizeof(address)) ||
        net_address_ip(address, 53, &to) < 0 ||
        stream_connect(server->loop, &to, FORWARD_WAIT, upstream_event, client, &client->upstream) <
            0) {
        client_free(client);
        return;
    }
    pump(client->asker, client->upstream);
}

static void serve_stream(TcpClient *client) {
    for (;;) {
        Slice input = stream_input(client->asker);
        if (input.len < 2)
            return;
        size_t len = (size_t)((uint8_t)input.data[0] << 8 | (uint8_t)input.data[1]);
        if (input.len < len + 2)
            return;
        DnsQuestion question;
        _cleanup_buf_ Buf out = { 0 };
        if (dns_question_parse(input.data + 2, len, &question) < 0) {
            client_free(client);
            return;
        }
        if (!answer_locally(client->server, input.data + 2, &question, &out)) {
            through(client);
            return;
        }
        char prefix[2] = { (char)(out.len >> 8), (char)out.len };
        stream_write(client->asker, prefix, 2);
        stream_write(client->asker, out.data, out.len);
        stream_consume(client->asker, len + 2);
    }
}

static void asker_event(void *ctx, Stream *stream, StreamEvent event) {
    TcpClient *client = ctx;
    if (event == STREAM_DATA && client->upstream)
        pump(stream, client->upstream);
    else if (event == STREAM_DATA)
        serve_stream(client);
    else if (event == STREAM_EOF || event == STREAM_FAILED)
        client_free(client);
}

static void accepted(void *ctx, Stream *stream) {
    DnsServer *server = ctx;
    if (server->client_count >= TCP_MAX) {
        stream_free(stream);
        return;
    }
    TcpClient *client = mem_new(TcpClient);
    *client = (TcpClient){ .server = server, .asker = stream };
    list_push(&server->clients, &client->all);
    server->client_count++;
    stream_set_idle_timeout(stream, TCP_WAIT);
    stream_set_callback(stream, asker_event, client);
}

/* ---- life ---- */

static int bind_udp(DnsServer *server, const char *address, uint16_t port) {
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, address, &own.sin_addr) != 1)
        return error_origin(-EINVAL, "%s is no IPv4 address", address);
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&own, sizeof(own)) < 0)
        return error_last("serve names at %s:%u", address, port);
    return loop_fd_new(server->loop, server->fd, LOOP_READABLE, udp_ready, server, &server->watch);
}

int dns_server_new(Loop *loop, const char *address, uint16_t port, const char *domain,
                   const char *resolv_conf, const ServiceView *view, DnsServer **ret_server) {
    DnsServer *server = mem_new(DnsServer);
    NetAddress at;
    server->loop = loop;
    server->domain = str_dup(domain);
    server->resolv_conf = str_dup(resolv_conf);
    server->view = view;
    server->fd = -1;
    list_init(&server->forwards);
    list_init(&server->clients);
    int r = bind_udp(server, address, port);
    if (r == 0)
        r = net_address_ip(address, port, &at);
    if (r == 0)
        r = listener_new(loop, &at, TCP_MAX, accepted, server, &server->listener);
    if (r < 0) {
        dns_server_free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

DnsServer *dns_server_free(DnsServer *server) {
    if (!server)
        return NULL;
    LIST_EACH_SAFE(item, &server->forwards)
        forward_free(LIST_ITEM(item, Forward, all));
    LIST_EACH_SAFE(item, &server->clients)
        client_free(LIST_ITEM(item, TcpClient, all));
    listener_free(server->listener);
    loop_fd_free(server->watch);
    fd_close(server->fd);
    mem_free(server->domain);
    mem_free(server->resolv_conf);
    return mem_free(server);
}
