/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/program.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

char *program_folder(void) {
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0)
        return NULL;
    path[len] = 0;
    char *slash = strrchr(path, '/');
    return slash ? str_printf("%.*s", (int)(slash - path), path) : NULL;
}

char *program_python(void) {
    _cleanup_free_ char *folder = program_folder();
    _cleanup_free_ char *beside = str_printf("%s/python3", folder ? folder : "");
    return str_dup(folder && access(beside, X_OK) == 0 ? beside : "python3");
}
