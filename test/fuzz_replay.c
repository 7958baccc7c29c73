/* SPDX-License-Identifier: Apache-2.0 */

/* main() of a fuzz target without libFuzzer: runs it once on each file of the given folders. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder, const char *name) {
    _cleanup_free_ char *path = str_printf("%s/%s", folder, name);
    _cleanup_buf_ Buf content = { 0 };

    int r = file_read(path, 64u << 20, &content);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
        return r;
    }
    /* A copy of exactly this size, so that ASan sees a read past the end. */
    uint8_t *exact = content.len ? mem_dup(content.data, content.len) : mem_alloc(1);
    LLVMFuzzerTestOneInput(exact, content.len);
    free(exact);
    return 0;
}

int main(int argc, char **argv) {
    int count = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (entry->d_name[0] == '.')
                continue;
            if (replay(argv[i], entry->d_name) < 0)
                return 1;
            count++;
        }
        closedir(dir);
    }
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
