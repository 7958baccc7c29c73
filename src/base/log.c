/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

/* The log's sink is a property of the process, like stderr itself. */
static struct {
    const char *component;
    LogLevel least;
    bool json;
} sink = { "mobula", LOG_INFO, false };

static const char *const level_name[] = { "DEBUG", "INFO", "WARNING", "ERROR" };

void log_setup(const char *component, LogLevel least, bool json) {
    sink.component = component;
    sink.least = least;
    sink.json = json;
}

bool log_enabled(LogLevel level) {
    return level >= sink.least;
}

static void add_json_text(Buf *line, const char *text) {
    buf_add_char(line, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_add_char(line, '\\');
        if ((unsigned char)*c < 0x20)
            buf_printf(line, "\\u%04x", *c);
        else
            buf_add_char(line, *c);
    }
    buf_add_char(line, '"');
}

void log_write(LogLevel level, const char *file, int line_number, const char *format, ...) {
    if (!log_enabled(level))
        return;
    char stamp[TIME_TEXT_MAX];
    time_format_iso(time_wall_now(), stamp);
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    const char *base = strrchr(file, '/');
    base = base ? base + 1 : file;
    _cleanup_buf_ Buf line = { 0 };
    if (sink.json) {
        buf_printf(&line,
                   "{\"ts\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"caller\":\"%s:%d\","
                   "\"msg\":",
                   stamp, level_name[level], sink.component, base, line_number);
        add_json_text(&line, text);
        buf_add_str(&line, "}\n");
    } else {
        buf_printf(&line, "%s %s %s %s:%d -- %s\n", stamp, level_name[level], sink.component, base,
                   line_number, text);
    }
    /* One write, so that lines of several processes on one file do not mix. */
    ssize_t n = write(STDERR_FILENO, line.data, line.len);
    UNUSED(n);
}
