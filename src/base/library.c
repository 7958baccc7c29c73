/* SPDX-License-Identifier: Apache-2.0 */
#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

static int unusable(const char *package) {
    const char *why = dlerror();
    return error_origin(-ELIBACC, "%s (install the package %s)", why ? why : "no such function",
                        package);
}

int library_load(const char *soname, const char *package, const LibrarySymbol *symbols, size_t n) {
    void *library = dlopen(soname, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!library)
        return unusable(package);
    for (size_t i = 0; i < n; i++) {
        void *function = dlsym(library, symbols[i].name);
        if (!function)
            return unusable(package);
        memcpy(symbols[i].slot, &function, sizeof(function)); /* what ISO C has no cast for */
    }
    return 0;
}
