/* SPDX-License-Identifier: Apache-2.0 */

/* spawn_run(): a helper program run to its end. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "host/spawn.h"

enum {
    OUTPUT_MAX = 64 * 1024,
    LAST_WORDS = 400
};

/* Both ends of what we say to the program and what it says to us. */
typedef struct Talk {
    int in_read, in_write, out_read, out_write;
} Talk;

static void talk_done(Talk *talk) {
    fd_close(talk->in_read);
    fd_close(talk->in_write);
    fd_close(talk->out_read);
    fd_close(talk->out_write);
}

static int talk_init(Talk *talk) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return error_last("make a pipe");
    talk->in_read = in[0];
    talk->in_write = in[1];
    if (pipe2(out, O_CLOEXEC) < 0)
        return error_last("make a pipe");
    talk->out_read = out[0];
    talk->out_write = out[1];
    int r = fd_set_nonblock(talk->in_write);
    return r < 0 ? r : fd_set_nonblock(talk->out_read);
}

/* Takes what there is. 0: end of output; 1: more may come. */
static int take_output(int fd, Buf *output) {
    char chunk[4096];
    ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : error_last("read from a helper program");
    if (n > 0 && output->len < OUTPUT_MAX)
        buf_add(output, chunk, MIN((size_t)n, (size_t)OUTPUT_MAX - output->len));
    return n > 0;
}

/* Feeds and drains until the program has closed its output or the time is over (-ETIMEDOUT). */
static int converse(Talk *talk, const char *input, usec_t deadline, Buf *output) {
    size_t left = input ? strlen(input) : 0;
    for (int more = 1; more > 0;) {
        if (!left)
            talk->in_write = fd_close(talk->in_write);
        usec_t rest = deadline - time_mono_now();
        if (rest <= 0)
            return error_origin(-ETIMEDOUT, "no answer in time");
        struct pollfd fds[2] = { { .fd = talk->out_read, .events = POLLIN },
                                 { .fd = talk->in_write, .events = POLLOUT } };
        if (poll(fds, 2, (int)(rest / 1000 + 1)) < 0 && errno != EINTR)
            return error_last("poll");
        if (left && fds[1].revents) {
            ssize_t n = write(talk->in_write, input, left);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                left = 0; /* it does not want to hear more */
            else if (n > 0) {
                input += n;
                left -= (size_t)n;
            }
        }
        if (fds[0].revents)
            more = take_output(talk->out_read, output);
        if (more < 0)
            return more;
    }
    return 0;
}

static int finish(Child *child, const char *name, const Buf *output) {
    ChildExit end;
    int r = child_wait(child, 5 * USEC_PER_SEC, &end);
    if (r < 0)
        return r;
    if (r > 0) {
        child_signal(child, SIGKILL);
        r = child_wait(child, USEC_INFINITY, &end);
        return r < 0 ? r : error_origin(-ETIMEDOUT, "%s does not end", name);
    }
    if (child_exit_code(end) == 0)
        return 0;
    char how[CHILD_EXIT_TEXT_MAX];
    child_exit_text(end, how);
    size_t skip = output->len > LAST_WORDS ? output->len - LAST_WORDS : 0;
    return error_origin(-EIO, "%s: %s: %s", name, how, output->data ? output->data + skip : "");
}

int spawn_run(char *const *argv, const char *input, usec_t timeout, Buf *ret_output) {
    _cleanup_(talk_done) Talk talk = { -1, -1, -1, -1 };
    int r = talk_init(&talk);
    if (r < 0)
        return r;
    SpawnFd fds[] = { { talk.in_read, 0 }, { talk.out_write, 1 }, { talk.out_write, 2 } };
    SpawnSpec spec = { .argv = argv, .fds = fds, .fd_count = 3, .death_signal = SIGKILL };
    Child child;
    r = spawn_start(&spec, &child);
    if (r < 0)
        return r;
    talk.in_read = fd_close(talk.in_read);
    talk.out_write = fd_close(talk.out_write);
    _cleanup_buf_ Buf output = { 0 };
    r = converse(&talk, input, time_mono_now() + timeout, &output);
    if (r < 0)
        child_signal(&child, SIGKILL);
    int ended = finish(&child, argv[0], &output);
    if (r < 0)
        return error_context(r, "%s", argv[0]);
    if (ended == 0 && ret_output) {
        buf_done(ret_output);
        *ret_output = output;
        output = (Buf){ 0 };
    }
    return ended;
}
