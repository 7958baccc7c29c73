/* SPDX-License-Identifier: Apache-2.0 */

/* `mobula c-worker`: a worker that runs code of shared objects. It is libmobula's; what the raylet says
 * of it comes on fd 3 (raylet/native.c). */

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/library.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "codec/json.h"

enum {
    CONFIG_MAX = 64 * 1024
};

typedef int WorkerRun(const char *raylet_socket, const char *worker_id, uint64_t startup_token,
                      const char **ret_why);

static int run(void) {
    _cleanup_buf_ Buf text = { 0 };
    _cleanup_json_ json_t *config = NULL;
    WorkerRun *worker_run = NULL;
    uint64_t number = 0;
    const char *why = NULL;
    int r = file_read("/dev/fd/3", CONFIG_MAX, &text);
    if (r == 0)
        r = json_parse(text.data, text.len, NULL, 0, &config);
    if (r < 0)
        return error_context(r, "what the raylet says on fd 3");
    close(3);
    const char *socket = json_str_at(config, "raylet_socket");
    const char *id = json_str_at(config, "worker_id"),
               *token = json_str_at(config, "startup_token");
    if (!socket || !id || !token || str_to_u64(token, &number) < 0)
        return error_origin(-EINVAL, "only a raylet starts `mobula c-worker`");
    r = library_load("libmobula.so.0", "libmobula",
                     &(LibrarySymbol){ "mobula_worker_run", &worker_run }, 1);
    if (r == 0 && (r = worker_run(socket, id, number, &why)) < 0)
        return error_origin(r, "%s", why);
    return r;
}

int cmd_c_worker(int argc, char **argv) {
    UNUSED(argc);
    UNUSED(argv);
    log_setup("c-worker", LOG_INFO, false);
    int r = run();
    if (r < 0)
        log_error("%s", error_text(r));
    return r < 0;
}
