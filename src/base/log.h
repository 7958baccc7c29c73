/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The log of a service: lines to stderr (or a file the launcher put there), as text or JSON.
 * Only services (layer 4) and cmd log; library folders return errors. Never log a secret.
 */

#include "base/base.h"

typedef enum LogLevel {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR
} LogLevel;

/* Process-wide settings, set once at start by cmd/. `component` is borrowed for life. */
void log_setup(const char *component, LogLevel least, bool json);
bool log_enabled(LogLevel level);
void log_write(LogLevel level, const char *file, int line, const char *format, ...) _printf_(4, 5);

#define log_debug(...)                                                                             \
    (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__) : (void)0)
#define log_info(...)  log_write(LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
