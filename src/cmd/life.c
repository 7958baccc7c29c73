/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/life.h"

#include "base/fd.h"
#include "base/log.h"

static void on_end(void *ctx, unsigned events) {
    UNUSED(events);
    log_info("who started this process is gone: it ends too");
    loop_stop(ctx);
}

void life_say(int64_t fd, json_t *line) {
    _cleanup_json_ json_t *owned = line;
    if (fd < 0)
        return;
    _cleanup_buf_ Buf text = { 0 };
    json_encode(owned, 0, &text);
    buf_add_char(&text, '\n');
    if (fd_write_all((int)fd, text.data, text.len) < 0)
        log_debug("nobody waits for the ready line");
    fd_close((int)fd);
}

int life_watch(Loop *loop, int64_t fd, LoopFd **ret_watch) {
    return fd < 0 ? 0 : loop_fd_new(loop, (int)fd, LOOP_READABLE, on_end, loop, ret_watch);
}
