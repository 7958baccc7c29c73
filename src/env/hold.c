/* SPDX-License-Identifier: Apache-2.0 */
#include "env/hold.h"

#include "base/error.h"
#include "base/fd.h"
#include "env/lock.h"

int env_hold(const json_t *answer, EnvHold *ret_hold) {
    const json_t *paths = json_object_get(answer, "holds");
    _cleanup_(env_hold_done) EnvHold hold = { mem_array(int, json_array_size(paths) + 1), 0 };
    size_t i;
    json_t *item;
    json_array_foreach(paths, i, item) {
        const char *path = json_string_value(item);
        int r = path ? cache_hold(path, &hold.fds[hold.len])
                     : error_origin(-EINVAL, "an environment's holds are no list of paths");
        if (r < 0)
            return r;
        hold.len++;
    }
    *ret_hold = hold;
    hold = (EnvHold){ 0 };
    return 0;
}

void env_hold_done(EnvHold *hold) {
    for (size_t i = 0; i < hold->len; i++)
        fd_close(hold->fds[i]);
    hold->fds = mem_free(hold->fds);
    hold->len = 0;
}
