/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/say.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static struct {
    bool record, color, quiet;
} style; /* of this process's terminal; set once by say_setup() */

static const char green[] = "\x1b[32m", red[] = "\x1b[31m", yellow[] = "\x1b[33m",
                  reset[] = "\x1b[0m";

void say_setup(const SayStyle *wanted) {
    const char *color = wanted->log_color ? wanted->log_color : "auto";
    style.quiet = str_eq(wanted->output, "json");
    style.record = str_eq(wanted->log_style, "record");
    style.color = str_eq(color, "true") || (str_eq(color, "auto") && isatty(STDOUT_FILENO));
}

static void line(FILE *out, const char *level, const char *color, int indent, const char *text) {
    if (style.quiet)
        return;
    if (style.record) {
        char stamp[32];
        usec_t now = time_wall_now();
        time_t seconds = (time_t)(now / USEC_PER_SEC);
        struct tm parts;
        localtime_r(&seconds, &parts);
        strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &parts);
        fprintf(out, "%s,%03d\t%s ray -- %s\n", stamp, (int)(now / USEC_PER_MSEC % 1000), level,
                text);
    } else if (style.color && color) {
        fprintf(out, "%*s%s%s%s\n", 2 * indent, "", color, text, reset);
    } else {
        fprintf(out, "%*s%s\n", 2 * indent, "", text);
    }
}

void say(int indent, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    line(stdout, "INFO", NULL, indent, text);
}

void say_blank(void) {
    if (!style.record && !style.quiet)
        putchar('\n');
}

void say_box(bool bad, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    _cleanup_free_ char *dashes = str_dup(text);
    memset(dashes, '-', strlen(dashes));
    const char *level = bad ? "ERR" : "SUCC", *color = bad ? red : green;
    say_blank();
    line(stdout, level, color, 0, dashes);
    line(stdout, level, color, 0, text);
    line(stdout, level, color, 0, dashes);
    say_blank();
}

void say_warning(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    line(stdout, "WARN", yellow, 0, text);
}

int say_error(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    fflush(stdout);
    fprintf(stderr, "%s\n", text);
    return 1;
}

void say_json(const json_t *answer) {
    _cleanup_free_ char *text = json_text(answer, 0);
    puts(text);
}
