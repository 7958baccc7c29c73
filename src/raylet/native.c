/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "codec/json.h"
#include "host/spawn.h"
#include "raylet/raylet_private.h"

/*
 * Workers that run C code: no zygote, as there is no interpreter to warm. They read on fd 3 what a zygote
 * would have told its child.
 */

enum {
    CONFIG_FD = 3
};

static bool any(const char *name) {
    UNUSED(name);
    return true;
}

/* A pipe that holds what the worker reads: it is far smaller than a pipe is. */
static int config_pipe(const Worker *worker, int *ret_fd) {
    _cleanup_json_ json_t *config = worker_config(worker);
    _cleanup_buf_ Buf text = { 0 };
    json_encode(config, 0, &text);
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return error_last("a pipe for a worker");
    _cleanup_close_ int ours = pair[1], theirs = pair[0];
    int r = fd_write_all(ours, text.data, text.len);
    if (r < 0)
        return r;
    *ret_fd = theirs;
    theirs = -1;
    return 0;
}

int native_start(const Worker *worker, int out_fd, int err_fd, Child *ret_child) {
    _cleanup_close_ int config = -1;
    _cleanup_strlist_ StrList env = { 0 };
    int r = config_pipe(worker, &config);
    if (r < 0)
        return r;
    environment_with(json_at(workenv_answer(worker->env), "env_vars"), any, &env);
    SpawnFd fds[] = { { out_fd, 1 }, { err_fd, 2 }, { config, CONFIG_FD } };
    SpawnSpec spec = {
        .argv = SPAWN_LIST("mobula", "c-worker"),
        .program = "/proc/self/exe",
        .env = env.items,
        .fds = fds,
        .fd_count = ARRAY_LEN(fds),
        .group = SPAWN_NEW_SESSION,
    };
    return spawn_start(&spec, ret_child);
}
