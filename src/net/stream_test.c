/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/test.h"
#include "net/frame.h"
#include "net/listener.h"
#include "net/relay.h"

/* One end of a connection, and what happened to it. */
typedef struct End {
    Loop *loop;
    Stream *stream;
    Buf got;
    int connected, eof, failed, drained;
    bool echo, hold;
    Stream *accepted; /* listeners */
    TlsContext *tls;
    StreamFn *fn;
} End;

static void on_event(void *ctx, Stream *stream, StreamEvent event) {
    End *end = ctx;
    Slice input = stream_input(stream);
    switch (event) {
    case STREAM_CONNECTED:
        end->connected++;
        break;
    case STREAM_DATA:
        if (end->hold)
            break;
        if (end->echo)
            stream_write(stream, input.data, input.len);
        buf_add(&end->got, input.data, input.len);
        stream_consume(stream, input.len);
        break;
    case STREAM_DRAINED:
        end->drained++;
        break;
    case STREAM_EOF:
        end->eof++;
        break;
    case STREAM_FAILED:
        end->failed = stream_error(stream);
        break;
    }
}

static void on_accept(void *ctx, Stream *stream) {
    End *end = ctx;
    end->accepted = stream;
    stream_set_callback(stream, on_event, end);
    if (end->tls)
        CHECK_OK(stream_start_tls(stream, end->tls, NULL, 5 * USEC_PER_SEC));
}

#define WAIT(loop, condition)                                                                      \
    do {                                                                                           \
        usec_t deadline_ = loop_deadline(loop, 5 * USEC_PER_SEC);                                  \
        while (!(condition) && loop_now(loop) < deadline_)                                         \
            loop_tick(loop, deadline_);                                                            \
        CHECK(condition);                                                                          \
    } while (0)

static Loop *new_loop(void) {
    Loop *loop = NULL;
    CHECK_OK(loop_new(&loop));
    return loop;
}

static void end_done(End *end) {
    stream_free(end->stream);
    stream_free(end->accepted);
    buf_done(&end->got);
}

static void new_pair(Loop *loop, End *a, End *b) {
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK_OK(stream_new(loop, fds[0], on_event, a, &a->stream));
    CHECK_OK(stream_new(loop, fds[1], on_event, b, &b->stream));
}

static void test_addresses(void **state) {
    UNUSED(state);
    static const char *const good[] = { "127.0.0.1:80", "[::1]:443", "unix:/run/x.sock",
                                        "unix:@name" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        NetAddress address;
        char text[NET_ADDRESS_TEXT_MAX];
        CHECK_OK(net_address_parse(good[i], &address));
        net_address_format(&address, text);
        CHECK_STR(text, good[i]);
        CHECK(net_address_is_loopback(&address));
    }
    static const char *const bad[] = { "127.0.0.1", "localhost:80", "1.2.3.4:65536",
                                       "unix:",     ":80",          "[::1]",
                                       "" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        NetAddress address;
        CHECK(net_address_parse(bad[i], &address) < 0);
    }
}

static void test_echo_over_tcp(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End server = { .loop = loop, .echo = true }, client = { .loop = loop };
    NetAddress address;
    Listener *listener = NULL;
    CHECK_OK(net_address_ip("127.0.0.1", 0, &address));
    CHECK_OK(listener_new(loop, &address, 0, on_accept, &server, &listener));
    CHECK_OK(stream_connect_host(loop, "localhost", net_address_port(listener_address(listener)),
                                 USEC_PER_SEC, on_event, &client, &client.stream));
    stream_write(client.stream, "hello ", 6); /* before the connection stands */
    CHECK(client.connected == 0);
    WAIT(loop, client.connected == 1);
    stream_write(client.stream, "world", 5);
    WAIT(loop, client.got.len == 11);
    CHECK_STR(client.got.data, "hello world");
    stream_shutdown(client.stream);
    WAIT(loop, server.eof == 1);
    stream_write(server.accepted, "!", 1);
    WAIT(loop, client.got.len == 12);
    stream_free_later(TAKE(server.accepted), USEC_PER_SEC);
    WAIT(loop, client.eof == 1);
    listener_free(listener);
    end_done(&server);
    end_done(&client);
}

static void test_refused_and_deadlines(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End client = { .loop = loop }, silent = { .loop = loop }, other = { .loop = loop };
    NetAddress address;
    CHECK_OK(net_address_unix("/nonexistent/socket", &address));
    CHECK_OK(stream_connect(loop, &address, USEC_PER_SEC, on_event, &client, &client.stream));
    CHECK_INT(client.failed, 0);
    WAIT(loop, client.failed == -ENOENT);
    CHECK_STR(stream_error_text(client.stream),
              "connect to unix:/nonexistent/socket: No such file or directory");
    new_pair(loop, &silent, &other);
    stream_set_idle_timeout(silent.stream, 2000);
    WAIT(loop, silent.failed == -ETIMEDOUT);
    WAIT(loop, other.eof == 0);
    stream_set_deadline(other.stream, loop_now(loop));
    WAIT(loop, other.failed == -ETIMEDOUT);
    end_done(&client);
    end_done(&silent);
    end_done(&other);
}

static void test_backpressure_and_hard_bound(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End a = { .loop = loop }, b = { .loop = loop, .hold = true };
    new_pair(loop, &a, &b);
    static char block[1 << 20];
    _cleanup_(net_bytes_unrefp) NetBytes *bytes = net_bytes_new(block, sizeof(block));
    stream_write_bytes(a.stream, bytes);
    stream_write_bytes(a.stream, bytes);
    CHECK_INT(bytes->refs, 3);
    CHECK(stream_congested(a.stream));
    for (int i = 0; i < 50; i++)
        loop_tick(loop, 0);
    CHECK(stream_input(b.stream).len < 512 * 1024);
    CHECK_INT(a.drained, 0);
    b.hold = false;
    stream_pause(b.stream, true);
    stream_pause(b.stream, false); /* announces what waits */
    WAIT(loop, b.got.len == 2 * sizeof(block));
    CHECK_INT(a.drained, 1);
    CHECK_INT(bytes->refs, 1);
    b.hold = true;
    stream_set_output_marks(a.stream, 1000, 4 << 20);
    for (int i = 0; i < 5; i++)
        stream_write_bytes(a.stream, bytes);
    CHECK_INT(a.failed, 0);
    WAIT(loop, a.failed == -ENOBUFS);
    end_done(&a);
    end_done(&b);
}

static void test_descriptors_and_credentials(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End a = { .loop = loop }, b = { .loop = loop };
    new_pair(loop, &a, &b);
    int pipe_fds[2];
    CHECK(pipe(pipe_fds) == 0);
    stream_write(a.stream, "x", 1);
    CHECK_OK(stream_write_fds(a.stream, "y", 1, &pipe_fds[1], 1));
    fd_close(pipe_fds[1]);
    WAIT(loop, b.got.len == 2);
    int fd = stream_take_fd(b.stream);
    CHECK(fd >= 0 && stream_take_fd(b.stream) == -1);
    CHECK(write(fd, "z", 1) == 1);
    fd_close(fd);
    char out[2];
    CHECK(read(pipe_fds[0], out, 2) == 1 && out[0] == 'z');
    CHECK(read(pipe_fds[0], out, 2) == 0); /* nobody else holds the writing end */
    fd_close(pipe_fds[0]);
    pid_t pid;
    CHECK_OK(stream_peer_pid(b.stream, &pid));
    CHECK_INT(pid, getpid());
    end_done(&a);
    end_done(&b);
}

static void test_pipe_without_a_reader_is_a_failure_not_a_signal(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End end = { .loop = loop };
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK_OK(stream_new(loop, fds[1], on_event, &end, &end.stream));
    stream_write(end.stream, "x", 1);
    for (int i = 0; i < 5; i++)
        loop_tick(loop, 0);
    CHECK_INT(end.failed, 0);
    fd_close(fds[0]);
    stream_write(end.stream, "x", 1);
    stream_flush(end.stream);
    WAIT(loop, end.failed == -EPIPE);
    end_done(&end);
    end = (End){ .loop = loop }; /* and without a write it is noticed too */
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK_OK(stream_new(loop, fds[1], on_event, &end, &end.stream));
    loop_tick(loop, 0);
    fd_close(fds[0]);
    WAIT(loop, end.failed == -EPIPE);
    end_done(&end);
}

static void free_in_event(void *ctx, Stream *stream, StreamEvent event) {
    End *end = ctx;
    UNUSED(event);
    stream_write(stream, "bye", 3);
    end->stream = stream_free(stream);
    end->eof++;
}

static void test_free_inside_an_event(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End a = { .loop = loop }, b = { .loop = loop };
    new_pair(loop, &a, &b);
    stream_set_callback(b.stream, free_in_event, &b);
    stream_write(a.stream, "x", 1);
    WAIT(loop, b.eof == 1);
    WAIT(loop, a.eof == 1);
    end_done(&a);
    end_done(&b);
}

static void test_listener_bounds_connections_and_replaces_stale_sockets(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    char path[] = "/tmp/listener-XXXXXX";
    CHECK(mkdtemp(path));
    _cleanup_free_ char *socket_path = str_printf("%s/s", path);
    NetAddress address;
    CHECK_OK(net_address_unix(socket_path, &address));
    End server = { .loop = loop }, first = { .loop = loop }, second = { .loop = loop };
    Listener *listener = NULL, *other = NULL;
    int stale = -1;
    CHECK_OK(net_listen(&address, &stale, &(NetAddress){ 0 }));
    CHECK_INT(listener_new(loop, &address, 1, on_accept, &server, &listener), -EADDRINUSE);
    fd_close(stale);
    CHECK_OK(listener_new(loop, &address, 1, on_accept, &server, &listener));
    CHECK(listener_new(loop, &address, 1, on_accept, &server, &other) == -EADDRINUSE);
    CHECK_OK(stream_connect(loop, &address, USEC_PER_SEC, on_event, &first, &first.stream));
    WAIT(loop, server.accepted != NULL);
    /* The probe of the second listener_new() was accepted or is gone; count from here. */
    for (int i = 0; i < 20; i++) {
        loop_tick(loop, 0);
        if (server.eof) {
            server.eof = 0;
            server.accepted = stream_free(server.accepted);
            WAIT(loop, server.accepted != NULL);
        }
    }
    Stream *one = TAKE(server.accepted);
    CHECK_OK(stream_connect(loop, &address, USEC_PER_SEC, on_event, &second, &second.stream));
    for (int i = 0; i < 20; i++)
        loop_tick(loop, 0);
    CHECK(server.accepted == NULL);
    stream_free(one);
    WAIT(loop, server.accepted != NULL);
    listener_free(listener);
    CHECK(access(socket_path, F_OK) != 0);
    end_done(&server);
    end_done(&first);
    end_done(&second);
    CHECK_OK(dir_remove(path));
}

typedef struct Pems {
    char *ca, *ca_key, *server, *server_key, *client, *client_key;
} Pems;

static void pems_make(Pems *pems) {
    static const char *const hosts[] = { "localhost", "127.0.0.1", NULL };
    static const char *const groups[] = { "system:masters", "ops", NULL };
    TlsCertSpec spec = { .common_name = "test-ca",
                         .wall_now = time_wall_now(),
                         .valid = 3600 * USEC_PER_SEC };
    CHECK_OK(tls_cert_make(&spec, &pems->ca, &pems->ca_key));
    spec.issuer_cert_pem = pems->ca;
    spec.issuer_key_pem = pems->ca_key;
    spec.common_name = "server";
    spec.hosts = hosts;
    spec.server = true;
    CHECK_OK(tls_cert_make(&spec, &pems->server, &pems->server_key));
    spec.server = false;
    spec.client = true;
    spec.hosts = NULL;
    spec.common_name = "admin";
    spec.organizations = groups;
    CHECK_OK(tls_cert_make(&spec, &pems->client, &pems->client_key));
}

static void pems_done(Pems *pems) {
    char **all[] = { &pems->ca,         &pems->ca_key, &pems->server,
                     &pems->server_key, &pems->client, &pems->client_key };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        *all[i] = mem_free(*all[i]);
}

static void test_tls_with_client_certificate(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    Pems pems = { 0 };
    pems_make(&pems);
    TlsOptions server_options = { .server = true,
                                  .cert_pem = pems.server,
                                  .key_pem = pems.server_key,
                                  .ca_pem = pems.ca,
                                  .alpn = "h2,http/1.1" };
    TlsOptions client_options = {
        .cert_pem = pems.client, .key_pem = pems.client_key, .ca_pem = pems.ca, .alpn = "http/1.1"
    };
    _cleanup_(tls_context_unrefp) TlsContext *server_tls = NULL;
    _cleanup_(tls_context_unrefp) TlsContext *client_tls = NULL;
    CHECK_OK(tls_context_new(&server_options, &server_tls));
    CHECK_OK(tls_context_new(&client_options, &client_tls));
    End server = { .loop = loop, .echo = true, .tls = server_tls }, client = { .loop = loop };
    NetAddress address;
    Listener *listener = NULL;
    CHECK_OK(net_address_ip("127.0.0.1", 0, &address));
    CHECK_OK(listener_new(loop, &address, 0, on_accept, &server, &listener));
    CHECK_OK(stream_connect(loop, listener_address(listener), USEC_PER_SEC, on_event, &client,
                            &client.stream));
    CHECK_OK(stream_start_tls(client.stream, client_tls, "localhost", USEC_PER_SEC));
    static char block[300000];
    memset(block, 'b', sizeof(block));
    stream_write(client.stream, block, sizeof(block));
    WAIT(loop, client.got.len == sizeof(block));
    CHECK_MEM(client.got.data, block, sizeof(block));
    CHECK_INT(client.connected, 1);
    CHECK_INT(server.connected, 1);
    CHECK_STR(stream_alpn(client.stream), "http/1.1");
    CHECK_STR(stream_alpn(server.accepted), "http/1.1");
    const TlsPeer *peer = stream_tls_peer(server.accepted);
    CHECK(peer);
    CHECK_STR(peer->common_name, "admin");
    CHECK(strlist_has(&peer->organizations, "system:masters"));
    CHECK(strlist_has(&peer->organizations, "ops"));
    stream_shutdown(client.stream);
    WAIT(loop, server.eof == 1);
    end_done(&server);
    end_done(&client);

    /* A name that the certificate does not have, and an authority that did not sign it. */
    End wrong = { .loop = loop };
    server.got = (Buf){ 0 };
    CHECK_OK(stream_connect(loop, listener_address(listener), USEC_PER_SEC, on_event, &wrong,
                            &wrong.stream));
    CHECK_OK(stream_start_tls(wrong.stream, client_tls, "example.org", USEC_PER_SEC));
    WAIT(loop, wrong.failed == -EPROTO);
    CHECK(strstr(stream_error_text(wrong.stream), "certificate of example.org is not accepted"));
    listener_free(listener);
    end_done(&wrong);
    end_done(&server);
    pems_done(&pems);
}

static void test_tls_refuses_plain_text(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    Pems pems = { 0 };
    pems_make(&pems);
    TlsOptions options = { .server = true, .cert_pem = pems.server, .key_pem = pems.server_key };
    _cleanup_(tls_context_unrefp) TlsContext *tls = NULL;
    CHECK_OK(tls_context_new(&options, &tls));
    options.key_pem = pems.client_key;
    TlsContext *bad = NULL;
    CHECK_INT(tls_context_new(&options, &bad), -EINVAL);
    CHECK(bad == NULL);
    End a = { .loop = loop }, b = { .loop = loop };
    new_pair(loop, &a, &b);
    CHECK_OK(stream_start_tls(b.stream, tls, NULL, USEC_PER_SEC));
    stream_write(a.stream, "GET / HTTP/1.1\r\n\r\n", 18);
    WAIT(loop, b.failed == -EPROTO);
    end_done(&a);
    end_done(&b);
    pems_done(&pems);
}

/* Frames. */
typedef struct Peer {
    FrameConn *conn;
    int frames, closed, r;
    size_t last_length;
    uint32_t last_stream;
    int fd;
    bool free_on_frame;
} Peer;

static void on_frame(void *ctx, FrameConn *conn, FrameIn *frame) {
    Peer *peer = ctx;
    peer->frames++;
    peer->last_length = frame->body.len;
    peer->last_stream = frame->header.stream;
    if (frame->fd_count == 1) {
        peer->fd = frame->fds[0];
        frame->fds[0] = -1;
    }
    if (peer->free_on_frame)
        peer->conn = frame_conn_free(conn);
}

static void on_closed(void *ctx, FrameConn *conn, int r) {
    Peer *peer = ctx;
    UNUSED(conn);
    peer->closed++;
    peer->r = r;
}

static int check_small(const FrameHeader *header) {
    return header->length > 100000 ? error_origin(-EPROTO, "too long") : 0;
}

static const FrameEvents frame_events = { .frame = on_frame,
                                          .closed = on_closed,
                                          .check = check_small };

static void frame_pair(Loop *loop, Peer *a, Peer *b) {
    int fds[2];
    Stream *streams[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    for (int i = 0; i < 2; i++)
        CHECK_OK(stream_new(loop, fds[i], NULL, NULL, &streams[i]));
    a->conn = frame_conn_new(streams[0], &frame_events, a);
    b->conn = frame_conn_new(streams[1], &frame_events, b);
}

static void test_frames_in_batches_with_descriptors(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    Peer a = { .fd = -1 }, b = { .fd = -1 };
    frame_pair(loop, &a, &b);
    static char body[100000];
    for (uint32_t i = 0; i < 1000; i++) {
        FrameHeader header = { .type = 1, .stream = i };
        frame_send(a.conn, &header, (Slice){ body, i });
    }
    FrameHeader header = { .type = 2, .stream = 5000 };
    CHECK_OK(frame_send_fds(a.conn, &header, (Slice){ body, sizeof(body) }, (int[]){ 0 }, 1));
    header.stream = 5001;
    frame_send(a.conn, &header, (Slice){ 0 });
    WAIT(loop, b.frames == 1002);
    CHECK_INT(b.last_stream, 5001);
    CHECK(b.fd >= 0);
    fd_close(b.fd);
    a.conn = frame_conn_free(a.conn);
    WAIT(loop, b.closed == 1);
    CHECK_INT(b.r, 0);
    frame_conn_free(b.conn);
}

static void test_frame_conn_ends_on_broken_frames(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    Peer a = { .fd = -1 }, b = { .fd = -1 };
    frame_pair(loop, &a, &b);
    FrameHeader header = { .length = 100001 };
    stream_write(frame_conn_stream(a.conn), &header, sizeof(header));
    WAIT(loop, b.closed == 1);
    CHECK_INT(b.r, -EPROTO);
    frame_conn_free(a.conn);
    frame_conn_free(b.conn);

    a = b = (Peer){ .fd = -1 };
    frame_pair(loop, &a, &b);
    header = (FrameHeader){ .flags = FRAME_FDS | 1 << 12 }; /* says one, brings none */
    stream_write(frame_conn_stream(a.conn), &header, sizeof(header));
    WAIT(loop, b.closed == 1);
    CHECK_INT(b.r, -EPROTO);
    frame_conn_free(a.conn);
    frame_conn_free(b.conn);

    a = b = (Peer){ .fd = -1 };
    frame_pair(loop, &a, &b);
    stream_write(frame_conn_stream(a.conn), "half", 4);
    frame_conn_free_later(a.conn, USEC_PER_SEC);
    WAIT(loop, b.closed == 1);
    CHECK_INT(b.r, -ECONNRESET);
    frame_conn_free(b.conn);
}

static void test_frame_conn_pause_and_free_inside(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    Peer a = { .fd = -1 }, b = { .fd = -1 };
    frame_pair(loop, &a, &b);
    frame_conn_pause(b.conn, true);
    FrameHeader header = { .type = 1 };
    frame_send(a.conn, &header, (Slice){ 0 });
    frame_send(a.conn, &header, (Slice){ 0 });
    for (int i = 0; i < 20; i++)
        loop_tick(loop, 0);
    CHECK_INT(b.frames, 0);
    b.free_on_frame = true;
    frame_conn_pause(b.conn, false);
    WAIT(loop, b.frames == 1 && !b.conn);
    WAIT(loop, a.closed == 1);
    frame_conn_free(a.conn);
}

/* Relay. */
typedef struct Outcome {
    int count, r;
    uint64_t there, back;
} Outcome;

static void on_relayed(void *ctx, int r, uint64_t there, uint64_t back) {
    Outcome *outcome = ctx;
    *outcome = (Outcome){ outcome->count + 1, r, there, back };
}

static void test_relay_passes_bytes_and_half_closes(void **state) {
    UNUSED(state);
    _cleanup_(loop_freep) Loop *loop = new_loop();
    End left = { .loop = loop }, right = { .loop = loop, .echo = true };
    int first[2], second[2];
    Stream *inner[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second) == 0);
    CHECK_OK(stream_new(loop, first[0], on_event, &left, &left.stream));
    CHECK_OK(stream_new(loop, second[1], on_event, &right, &right.stream));
    CHECK_OK(stream_new(loop, first[1], NULL, NULL, &inner[0]));
    CHECK_OK(stream_new(loop, second[0], NULL, NULL, &inner[1]));
    Outcome outcome = { 0 };
    Relay *relay = relay_new(inner[0], inner[1], 0, on_relayed, &outcome);
    static char block[3 << 20];
    stream_write(left.stream, block, sizeof(block));
    WAIT(loop, left.got.len == sizeof(block));
    stream_shutdown(left.stream);
    WAIT(loop, right.eof == 1);
    CHECK_INT(outcome.count, 0);
    stream_write(right.stream, "end", 3);
    stream_shutdown(right.stream);
    WAIT(loop, outcome.count == 1);
    CHECK_INT(outcome.r, 0);
    CHECK_INT(outcome.there, sizeof(block));
    CHECK_INT(outcome.back, sizeof(block) + 3);
    WAIT(loop, left.eof == 1);
    CHECK_INT(left.got.len, sizeof(block) + 3);
    relay_free(relay);
    end_done(&left);
    end_done(&right);
}

int main(void) {
    return TEST_RUN(
        TEST(test_addresses), TEST(test_echo_over_tcp), TEST(test_refused_and_deadlines),
        TEST(test_backpressure_and_hard_bound), TEST(test_descriptors_and_credentials),
        TEST(test_free_inside_an_event), TEST(test_pipe_without_a_reader_is_a_failure_not_a_signal),
        TEST(test_listener_bounds_connections_and_replaces_stale_sockets),
        TEST(test_tls_with_client_certificate), TEST(test_tls_refuses_plain_text),
        TEST(test_frames_in_batches_with_descriptors), TEST(test_frame_conn_ends_on_broken_frames),
        TEST(test_frame_conn_pause_and_free_inside), TEST(test_relay_passes_bytes_and_half_closes));
}
