/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared libraries that are loaded at their first use. One binary holds every role, and most roles
 * never make an HTTP request or open an archive: linked in the usual way, libcurl and libarchive
 * with the forty libraries behind them would cost every process milliseconds and megabytes.
 */
#pragma once

#include <stddef.h>

typedef struct LibrarySymbol {
    const char *name;
    void *slot; /* the function pointer to set; its type is the function's own */
} LibrarySymbol;

/* For a table of a library's functions: each becomes a pointer `sym_NAME` of the header's type. */
#define LIBRARY_DECLARE(name) extern typeof(name) *sym_##name;
#define LIBRARY_DEFINE(name)  typeof(name) *sym_##name;
#define LIBRARY_SYMBOL(name)  { #name, &sym_##name },

/* Loads `soname`, for good, and sets all `n` pointers. May be called again; not from two threads at
 * once. -ELIBACC, naming the Debian package to install, when the library or a function is missing. */
int library_load(const char *soname, const char *package, const LibrarySymbol *symbols, size_t n);
