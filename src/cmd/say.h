/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `ray` prints: lines as the peer's console style has them, or as log records. */

#include "base/base.h"
#include "cmd/options.h"
#include "codec/json.h"

typedef struct SayStyle {
    const char *log_style, *log_color; /* auto, pretty, record; auto, true, false */
    const char *output; /* text, json: then nothing but the answer is on standard output */
    bool verbose;
} SayStyle;

/* The options every command of the peer has. Use inside an Option table. */
#define SAY_OPTIONS(style)                                                                         \
    { "log-style", OPTION_CHOICE, &(style)->log_style,                                             \
      "If 'pretty', outputs with formatting. If 'record', outputs record-style without "           \
      "formatting. 'auto' is 'pretty'.",                                                           \
      .metavar = "[auto|record|pretty]" },                                                         \
        { "log-color", OPTION_CHOICE, &(style)->log_color,                                         \
          "Use color logging. Auto enables color logging if stdout is a TTY.",                     \
          .metavar = "[auto|false|true]" },                                                        \
        { "verbose", OPTION_FLAG, &(style)->verbose, "Print more.", .letter = 'v' }

/* Of commands whose answer programs read. */
#define SAY_OUTPUT_OPTION(style)                                                                   \
    { "output",         OPTION_CHOICE,                                                             \
      &(style)->output, "How the answer is written: for people, or as JSON.",                      \
      .letter = 'o',    .metavar = "[text|json]" }

/* Sets the process's style. */
void say_setup(const SayStyle *style);

/* Prints the answer for -o json. */
void say_json(const json_t *answer);

/* One line, `indent` levels in. */
void say(int indent, const char *format, ...) _printf_(2, 3);
void say_blank(void);
/* Between lines of dashes, blank lines around. */
void say_box(bool bad, const char *format, ...) _printf_(2, 3);
/* A warning on stdout, as the peer's console has it. */
void say_warning(const char *format, ...) _printf_(1, 2);
/* The last line of an exception, on stderr; gives 1, for `return say_error(...)`. */
int say_error(const char *format, ...) _printf_(1, 2);
