/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/sock.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/test.h"
#include "wire/messages.h"

static void test_frames_over_a_pair(void **state) {
    UNUSED(state);
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    Sock a = { .fd = fds[0] }, b = { .fd = fds[1] };
    _cleanup_free_ char *body = mem_zalloc(300000);
    size_t sent = 0, got = 0;
    while (sent < 50) {
        FrameHeader h = { .type = MSG_CALL, .stream = (uint32_t)sent, .length = 300000 };
        struct iovec part[2] = { { body, 100000 }, { body, 200000 } };
        CHECK_OK(sock_send(&a, &h, part, 2));
        sent++;
    }
    while (got < 50) {
        FrameHeader h;
        const void *data;
        int r = sock_recv(&b, &h, &data);
        CHECK(r >= 0);
        if (r == 1)
            CHECK_INT(h.stream, got++);
        CHECK(sock_flush(&a) >= 0);
    }
    CHECK(!sock_wants_write(&a));
    sock_done(&a);
    FrameHeader h;
    const void *data;
    CHECK_INT(sock_recv(&b, &h, &data), -ECONNRESET);
    sock_done(&b);
}

static void test_a_wrong_header_is_refused(void **state) {
    UNUSED(state);
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    Sock b = { .fd = fds[1] };
    FrameHeader bad = { .type = MSG_PING, .length = 1 << 30 }, h;
    CHECK_OK(fd_write_all(fds[0], &bad, sizeof(bad)));
    const void *data;
    CHECK_INT(sock_recv(&b, &h, &data), -EPROTO);
    close(fds[0]);
    sock_done(&b);
}

int main(void) {
    return TEST_RUN(TEST(test_frames_over_a_pair), TEST(test_a_wrong_header_is_refused));
}
