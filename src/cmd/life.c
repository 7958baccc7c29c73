/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/life.h"

#include "base/log.h"

static void on_end(void *ctx, unsigned events) {
    UNUSED(events);
    log_info("who started this process is gone: it ends too");
    loop_stop(ctx);
}

int life_watch(Loop *loop, int64_t fd, LoopFd **ret_watch) {
    return fd < 0 ? 0 : loop_fd_new(loop, (int)fd, LOOP_READABLE, on_end, loop, ret_watch);
}
