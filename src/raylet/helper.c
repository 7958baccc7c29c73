/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/process.h"
#include "raylet/raylet_private.h"

/* One run of our own binary in another role: what it reads and what it says lies in memory files,
 * so that nothing has to be pumped. */

enum {
    SAYS_MAX = 4 << 20
};

struct Helper {
    LoopChild *child;
    pid_t pid;
    LoopTimer *deadline;
    usec_t timeout;
    bool late;
    int out, err;
    HelperDone *done;
    void *ctx;
};

static int memory_file(const char *name, Slice content, int *ret_fd) {
    _cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return error_last("memfd_create");
    int r = fd_write_all(fd, content.data, content.len);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_last("lseek");
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static void memory_read(int fd, Buf *out) {
    while (out->len < SAYS_MAX) {
        char *to = buf_reserve(out, 4096);
        ssize_t n = pread(fd, to, 4096, (off_t)out->len);
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
}

Helper *helper_free(Helper *helper) {
    if (!helper)
        return NULL;
    if (helper->child && !loop_child_gone(helper->child))
        loop_child_kill(helper->child, SIGKILL);
    loop_child_free(helper->child);
    loop_timer_free(helper->deadline);
    fd_close(helper->out);
    fd_close(helper->err);
    free(helper);
    return NULL;
}

static void on_end(void *ctx, const LoopExit *end) {
    Helper *helper = ctx;
    _cleanup_buf_ Buf out = { 0 }, err = { 0 };
    memory_read(helper->out, &out);
    memory_read(helper->err, &err);
    if (helper->late)
        buf_printf(&err, "it had not ended after %lld s and was killed",
                   (long long)(helper->timeout / USEC_PER_SEC));
    int status = !end->known ? -SIGKILL : end->signal ? -end->signal : end->code;
    helper->done(helper->ctx, status, buf_slice(&out), buf_slice(&err));
}

/* Also what it has started: an installation that is stuck is rarely so by itself. Those are found by
 * reading folders, for which there may be no descriptor left; itself it is killed by the one we have. */
static void on_deadline(void *ctx) {
    Helper *helper = ctx;
    helper->late = true;
    process_kill_tree(helper->pid, SIGKILL);
    (void)loop_child_kill(helper->child, SIGKILL);
}

/* Ours; what it starts finds this node's sockets where this node put them: by the session, and for
 * Ray's own tools by the folder that Ray's folder lies in. */
static void environment(const Raylet *raylet, StrList *out) {
    bool movable = str_ends(raylet->temp_dir, "/ray");
    for (char **entry = environ; *entry; entry++)
        if ((!movable || !str_starts(*entry, "RAY_TMPDIR=")) &&
            !str_starts(*entry, "MOBULA_SESSION="))
            strlist_add(out, *entry);
    strlist_printf(out, "MOBULA_SESSION=%s", raylet->session.dir);
    if (movable)
        strlist_printf(out, "RAY_TMPDIR=%.*s", (int)(strlen(raylet->temp_dir) - 4),
                       raylet->temp_dir);
}

int helper_start(Raylet *raylet, char *const *argv, Slice input, usec_t timeout, HelperDone *done,
                 void *ctx, Helper **ret_helper) {
    _cleanup_close_ int in = -1;
    Helper *helper = mem_new(Helper);
    *helper = (Helper){ .out = -1, .err = -1, .timeout = timeout, .done = done, .ctx = ctx };
    helper->deadline = loop_timer_new(raylet->loop, on_deadline, helper);
    int r = memory_file("helper-in", input, &in);
    if (r == 0)
        r = memory_file("helper-out", (Slice){ 0 }, &helper->out);
    if (r == 0)
        r = memory_file("helper-err", (Slice){ 0 }, &helper->err);
    Child child = CHILD_NONE;
    _cleanup_strlist_ StrList env = { 0 };
    environment(raylet, &env);
    SpawnFd fds[] = { { in, 0 }, { helper->out, 1 }, { helper->err, 2 } };
    SpawnSpec spec = {
        .program = "/proc/self/exe",
        .argv = argv,
        .env = env.items,
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_GROUP,
    };
    if (r == 0)
        r = spawn_start(&spec, &child);
    if (r == 0)
        r = loop_child_new(raylet->loop, child.pidfd, on_end, helper, &helper->child);
    if (r < 0) {
        helper_free(helper);
        return r;
    }
    helper->pid = child.pid;
    loop_timer_after(helper->deadline, timeout);
    *ret_helper = helper;
    return 0;
}
