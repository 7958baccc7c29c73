/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who is attached to a container: a copy of its output from now on, and its standard input. What
 * one of them does not take in time is kept for it up to a bound; then the container's output waits
 * with it, as with any runtime, until it reads or goes.
 */

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "local/agent_keeper_private.h"
#include "local/agent_packet.h"

enum {
    BEHIND_MAX = 256 * 1024, /* output that one session has not taken */
    INPUT_MAX = 64 * 1024,   /* input that the program has not taken */
};

struct Attached {
    List all;        /* in Kept.attached */
    uint64_t id;
    int in, outs[2]; /* our ends; -1: not wanted, or over */
    Buf behind[2];
    bool ending;     /* the container has ended */
};

static void attached_free(Attached *attached) {
    list_remove(&attached->all);
    fd_close(attached->in);
    for (int i = 0; i < 2; i++) {
        fd_close(attached->outs[i]);
        buf_done(&attached->behind[i]);
    }
    mem_free(attached);
}

static void attached_over(KeeperProcess *keeper, Attached *attached) {
    uint64_t id = attached->id;
    keeper->attached_count--;
    attached_free(attached);
    keeper_tell(keeper, json_pack("{s:s,s:I,s:i}", "ev", "exec", "id", (json_int_t)id, "code", 0),
                -1);
}

static int copy_fd(int fd, bool wanted, int *ret_fd) {
    if (!wanted)
        return 0;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return error_last("attach");
    *ret_fd = copy;
    return fd_set_nonblock(copy);
}

int attach_start(KeeperProcess *keeper, const json_t *message, const int fds[static 3]) {
    const char *name = json_str_at(message, "container");
    Kept *kept = name ? kept_find(keeper, name) : NULL;
    if (!kept || kept->state != KEPT_RUNNING || kept->init <= 0)
        return error_origin(-ENOENT, "container %s does not run", name ? name : "");
    if (keeper->attached_count >= KEEPER_ATTACHED_MAX)
        return error_origin(-EBUSY, "too many are attached to this pod");
    Attached *attached = mem_new(Attached);
    *attached =
        (Attached){ .id = (uint64_t)json_int_at(message, 0, "id"), .in = -1, .outs = { -1, -1 } };
    list_init(&attached->all);
    int r = copy_fd(fds[0], json_bool_at(message, false, "input") && kept->in >= 0, &attached->in);
    if (r == 0)
        r = copy_fd(fds[1], json_bool_at(message, false, "output"), &attached->outs[0]);
    if (r == 0)
        r = copy_fd(fds[2], json_bool_at(message, false, "error"), &attached->outs[1]);
    if (r < 0) {
        attached_free(attached);
        return r;
    }
    list_push(&kept->attached, &attached->all);
    keeper->attached_count++;
    return 0;
}

static Attached *attached_find(const KeeperProcess *keeper, uint64_t id, Kept **ret_kept) {
    LIST_EACH(outer, &keeper->containers) {
        Kept *kept = LIST_ITEM(outer, Kept, all);
        LIST_EACH(item, &kept->attached) {
            Attached *attached = LIST_ITEM(item, Attached, all);
            if (attached->id != id)
                continue;
            *ret_kept = kept;
            return attached;
        }
    }
    return NULL;
}

/* ---- input ---- */

/* Of a container whose input is opened once, the first session's end is the input's. */
static void input_over(Kept *kept, Attached *attached) {
    if (attached->in < 0)
        return;
    attached->in = fd_close(attached->in);
    if (!kept->spec.input_once || kept->spec.tty)
        return;
    kept->input_end = true;
    kept_input_ready(kept);
}

void kept_input_ready(Kept *kept) {
    while (kept->in >= 0 && kept->input.len) {
        ssize_t n = write(kept->in, kept->input.data, kept->input.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* the program does not read any more */
            buf_clear(&kept->input);
            kept->in = fd_close(kept->in);
            return;
        }
        buf_drop(&kept->input, (size_t)n);
    }
    if (kept->input_end)
        kept->in = fd_close(kept->in);
}

static void take_input(Kept *kept, Attached *attached) {
    char chunk[16384];
    ssize_t n = read(attached->in, chunk, sizeof(chunk));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        input_over(kept, attached);
        return;
    }
    if (kept->in >= 0)
        buf_add(&kept->input, chunk, (size_t)n);
    kept_input_ready(kept);
}

/* ---- output ---- */

static void flush(Attached *attached, int stream) {
    Buf *behind = &attached->behind[stream];
    while (behind->len) {
        ssize_t n = write(attached->outs[stream], behind->data, behind->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* it reads no more */
            attached->outs[stream] = fd_close(attached->outs[stream]);
            buf_done(behind);
            return;
        }
        buf_drop(behind, (size_t)n);
    }
}

void kept_attached_output(Kept *kept, int stream, const char *data, size_t len) {
    LIST_EACH(item, &kept->attached) {
        Attached *attached = LIST_ITEM(item, Attached, all);
        if (attached->outs[stream] < 0)
            continue;
        buf_add(&attached->behind[stream], data, len);
        flush(attached, stream);
    }
}

bool kept_output_waits(const Kept *kept, int stream) {
    LIST_EACH(item, &kept->attached)
        if (LIST_ITEM(item, Attached, all)->behind[stream].len > BEHIND_MAX)
            return true;
    return false;
}

/* ---- the end ---- */

static bool is_over(const Attached *attached) {
    bool reads = attached->outs[0] >= 0 || attached->outs[1] >= 0;
    if (!attached->ending)
        return !reads && attached->in < 0;
    return !attached->behind[0].len && !attached->behind[1].len;
}

void kept_attached_end(KeeperProcess *keeper, Kept *kept) {
    kept->in = fd_close(kept->in);
    buf_done(&kept->input);
    LIST_EACH_SAFE(item, &kept->attached) {
        Attached *attached = LIST_ITEM(item, Attached, all);
        attached->ending = true;
        attached->in = fd_close(attached->in);
        if (is_over(attached))
            attached_over(keeper, attached);
    }
}

void kept_attached_drop(KeeperProcess *keeper, Kept *kept) {
    LIST_EACH_SAFE(item, &kept->attached)
        attached_over(keeper, LIST_ITEM(item, Attached, all));
}

void attach_stop(KeeperProcess *keeper, uint64_t id) {
    Kept *kept;
    Attached *attached = attached_find(keeper, id, &kept);
    if (!attached)
        return;
    input_over(kept, attached);
    attached_over(keeper, attached);
}

/* ---- what the loop watches ---- */

size_t attached_watch(const Kept *kept, const Attached *attached, struct pollfd fds[static 3]) {
    size_t len = 0;
    bool room = kept->input.len < INPUT_MAX;
    if (attached->in >= 0)
        fds[len++] = (struct pollfd){ .fd = attached->in, .events = room ? POLLIN : 0 };
    for (int i = 0; i < 2; i++)
        if (attached->outs[i] >= 0) /* without events its reader's end is still told */
            fds[len++] = (struct pollfd){ .fd = attached->outs[i],
                                          .events = attached->behind[i].len ? POLLOUT : 0 };
    return len;
}

bool attached_ready(KeeperProcess *keeper, Kept *kept, Attached *attached,
                    const struct pollfd *ready) {
    if (ready->fd == attached->in && ready->revents) {
        take_input(kept, attached);
    } else {
        for (int i = 0; i < 2; i++) {
            if (ready->fd != attached->outs[i])
                continue;
            if (ready->revents & (POLLERR | POLLHUP | POLLNVAL)) {
                attached->outs[i] = fd_close(attached->outs[i]);
                buf_done(&attached->behind[i]);
            } else {
                flush(attached, i);
            }
        }
    }
    if (!is_over(attached))
        return true;
    input_over(kept, attached);
    attached_over(keeper, attached);
    return false;
}

Attached *attached_item(List *item) {
    return LIST_ITEM(item, Attached, all);
}

/* ---- terminals ---- */

void kept_terminal_ready(Kept *kept) {
    _cleanup_json_ json_t *nothing = NULL;
    int fds[PACKET_FDS];
    int r = kept->terminal < 0 ? PACKET_NONE : packet_receive(kept->terminal, &nothing, fds);
    if (r == PACKET_NONE)
        return;
    kept->terminal = fd_close(kept->terminal);
    if (r != 0)
        return; /* it could not be made: the report says why */
    for (int i = 1; i < PACKET_FDS; i++)
        fd_close(fds[i]);
    r = fd_set_nonblock(fds[0]);
    UNUSED(r);
    kept->out = fds[0];
    if (kept->spec.input)
        kept->in = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
    kept_resize(kept, kept->columns, kept->rows);
}

void kept_resize(Kept *kept, int columns, int rows) {
    kept->columns = columns;
    kept->rows = rows;
    const struct winsize size = { .ws_col = (unsigned short)columns,
                                  .ws_row = (unsigned short)rows };
    if (kept->spec.tty && kept->out >= 0 && columns > 0 && rows > 0)
        (void)!ioctl(kept->out, TIOCSWINSZ, &size);
}
