/* SPDX-License-Identifier: Apache-2.0 */
#include "env/archive_load.h"

ARCHIVE_FUNCTIONS(LIBRARY_DEFINE)

int archive_load(void) {
    static const LibrarySymbol symbols[] = { ARCHIVE_FUNCTIONS(LIBRARY_SYMBOL) };
    return library_load("libarchive.so.13", "libarchive13", symbols, ARRAY_LEN(symbols));
}
