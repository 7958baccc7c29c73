/* SPDX-License-Identifier: Apache-2.0 */

/* A file of requirements: each of its lines is one, once, or it is refused; what is accepted is
 * canonical. */

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "env/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(const json_t *list, Slice line) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        Slice text = { json_string_value(item), json_string_length(item) };
        if (slice_eq(text, line))
            return true;
    }
    return false;
}

static void check_lines(const json_t *packages, Slice text) {
    size_t lines = 0;
    for (size_t at = 0, start = 0; at <= text.len; at++) {
        if (at < text.len && text.data[at] != '\n' && text.data[at] != '\r')
            continue;
        Slice line = { text.data + start, at - start };
        ASSERT(line.len == 0 || has(packages, line));
        start = at + 1;
        lines++;
    }
    ASSERT(json_array_size(packages) <= lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd; /* one for all inputs */
    static char request[64];
    if (!fd) {
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        ASSERT(fd > 0);
        snprintf(request, sizeof(request), "{\"pip\":\"/proc/self/fd/%d\"}", fd);
    }
    ASSERT(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    _cleanup_json_ json_t *env = NULL, *again = NULL;
    int r = env_parse(request, ENV_LOCAL_PATHS, &env);
    if (r < 0) {
        ASSERT(!str_empty(error_text(r)));
        return 0;
    }
    const json_t *packages = json_object_get(json_object_get(env, "pip"), "packages");
    check_lines(packages, (Slice){ (const char *)data, size });
    _cleanup_free_ char *once = env_canonical(env);
    ASSERT(env_parse(once, 0, &again) == 0);
    ASSERT(env_hash(env) == env_hash(again));
    return 0;
}
