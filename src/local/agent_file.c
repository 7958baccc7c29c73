/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

enum {
    STATE_MAX = 4 * 1024 * 1024
};

int state_write_text(const char *path, Slice text, unsigned mode) {
    _cleanup_free_ char *beside = str_printf("%s.new", path);
    unlink(beside);
    _cleanup_close_ int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return error_last("create %s", beside);
    int r = fd_write_all(fd, text.data, text.len);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = error_last("chmod %s", beside);
    if (r == 0 && rename(beside, path) < 0)
        r = error_last("rename %s", beside);
    if (r < 0)
        unlink(beside);
    return r;
}

int state_write(const char *path, const json_t *json) {
    _cleanup_buf_ Buf text = { 0 };
    json_encode(json, 0, &text);
    return state_write_text(path, buf_slice(&text), 0600);
}

int state_read(const char *path, json_t **ret_json) {
    _cleanup_buf_ Buf text = { 0 };
    JsonLimits limits = { STATE_MAX, 1000000, 64 };
    int r = file_read(path, STATE_MAX, &text);
    if (r == 0)
        r = json_parse(text.data, text.len, &limits, 0, ret_json);
    return r < 0 && r != -ENOENT ? error_context(r, "%s", path) : r;
}
