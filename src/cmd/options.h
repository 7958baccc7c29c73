/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Command lines: a table of options over getopt_long, and groups of subcommands. Help and error
 * texts have the layout of Python's click, which users of `ray` know; an error ends with status 2.
 */

#include "base/base.h"
#include "base/str.h"

typedef enum OptionKind {
    OPTION_FLAG,   /* bool: given or not */
    OPTION_TEXT,   /* const char *: borrowed from argv */
    OPTION_INT,    /* int64_t */
    OPTION_NUMBER, /* double */
    OPTION_BOOL,   /* bool with a value: true/false, 1/0, yes/no, on/off */
    OPTION_LIST,   /* StrList: may be given again and again */
    OPTION_CHOICE, /* const char *: one of `metavar`'s words, as in "[text|json]" */
} OptionKind;

typedef struct Option {
    const char *name;    /* without the dashes */
    OptionKind kind;
    void *value;         /* where it goes; keeps its value (the default) when not given */
    const char *help;    /* NULL hides the option from --help */
    char letter;         /* 0: none */
    bool *given;         /* may be NULL; set when the option was on the line */
    const char *metavar; /* what --help shows for the value; NULL: by kind */
} Option;

typedef struct OptionTable {
    const char *command;   /* as the user writes it: "ray job status" */
    const char *arguments; /* after the options: "JOB_ID", "[FILE]..."; NULL: takes none */
    const char *about;     /* one or more sentences for --help */
    const Option *options;
    size_t len;
    bool stop_early; /* options end at the first argument, as in `sudo -u x cmd -v` */
} OptionTable;

enum {
    OPTIONS_HELP = 1, /* --help (or, alone, --man) was asked for and printed */
    OPTIONS_BAD,      /* the reason is on stderr */
};

/* Sets the values, moves the arguments together at the end of argv; *ret_first is the index of the
 * first one (argc if there is none). An argument too many is an error if the table takes none. */
_must_check_ int options_parse(const OptionTable *table, int argc, char **argv, int *ret_first);

/* The exit status for OPTIONS_HELP or OPTIONS_BAD. */
static inline int options_exit(int answer) {
    return answer == OPTIONS_HELP ? 0 : 2;
}

/* Usage line, "Error: " and the sentence on stderr; gives 2, so `return options_fail(...)`. */
int options_fail(const OptionTable *table, const char *format, ...) _printf_(2, 3);

void options_print_help(const OptionTable *table);

/* What --help and the manual page show of an option: "-v, --verbose". Owned. */
char *option_signature(const Option *option);
#define OPTION_HELP_TEXT    "Show this message and exit."
#define OPTION_VERSION_TEXT "Show the version and exit."

typedef struct Command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is `name` */
    const char *about;                 /* NULL hides it */
} Command;

typedef struct CommandGroup {
    const char *command; /* "ray job" */
    const char *about;
    const char *version; /* what --version prints; NULL: no such option */
    const Command *commands;
    size_t len;
} CommandGroup;

/* Finds the subcommand and runs it; prints help or says what is unknown. Gives the exit status.
 * tools/man asks with --man for the group's manual page and with --commands for the names of those that --help shows. */
int commands_run(const CommandGroup *group, int argc, char **argv);
