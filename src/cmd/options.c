/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/options.h"

#include <getopt.h>
#include <stdio.h>

#include "base/error.h"
#include "cmd/man.h"

enum {
    HELP_WIDTH = 79,
    HELP_COLUMN_MAX = 32, /* beyond it the text starts on its own line */
    CODE_HELP = 256,      /* getopt codes: above every letter */
    CODE_FIRST,
};

/* ------------------------------------------------------------------------------------ help */

static void print_wrapped(FILE *out, const char *text, int indent, int column) {
    int at = column;
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (at > indent && at + 1 + (int)word > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, word, out);
        at += (int)word;
        text += word;
        if (text[0] == '\n' && text[1] == '\n') {
            fprintf(out, "\n\n%*s", indent, "");
            at = indent;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

/* The longest beginning that ends before a space or after a hyphen and has at most `room` bytes;
 * where there is none, the shortest that does. */
static size_t usage_part(const char *text, size_t room) {
    size_t best = 0;
    for (size_t i = 1; text[i - 1]; i++) {
        bool ends = !text[i] || text[i] == ' ' || text[i - 1] == '-';
        if (ends && best && i > room)
            break;
        if (ends)
            best = i;
    }
    return best;
}

static void print_usage(FILE *out, const OptionTable *table) {
    _cleanup_free_ char *prefix = str_printf("Usage: %s ", table->command);
    _cleanup_free_ char *text = str_printf("[OPTIONS]%s%s", table->arguments ? " " : "",
                                           table->arguments ? table->arguments : "");
    size_t indent = strlen(prefix);
    fputs(prefix, out);
    for (const char *at = text; *at;) {
        size_t len = usage_part(at, HELP_WIDTH - 1 - indent);
        fprintf(out, "%*s%.*s\n", at == text ? 0 : (int)indent, "", (int)len, at);
        at += len;
        at += strspn(at, " ");
    }
}

static const char *option_metavar(const Option *option) {
    if (option->metavar)
        return option->metavar;
    switch (option->kind) {
    case OPTION_FLAG:
        return "";
    case OPTION_INT:
        return "INTEGER";
    case OPTION_NUMBER:
        return "FLOAT";
    case OPTION_BOOL:
        return "BOOLEAN";
    case OPTION_TEXT:
    case OPTION_LIST:
    case OPTION_CHOICE:
        return "TEXT";
    }
    return "";
}

char *option_signature(const Option *option) {
    const char *metavar = option_metavar(option);
    _cleanup_buf_ Buf buf = { 0 };
    if (option->letter)
        buf_printf(&buf, "-%c, ", option->letter);
    buf_printf(&buf, "--%s%s%s", option->name, *metavar ? " " : "", metavar);
    return buf_steal(&buf);
}

static void print_row(FILE *out, const char *left, const char *right, int column) {
    fprintf(out, "  %s", left);
    int at = 2 + (int)strlen(left);
    if (at + 2 > column)
        fprintf(out, "\n%*s", column, "");
    else
        fprintf(out, "%*s", column - at, "");
    print_wrapped(out, right, column, column);
}

void options_print_help(const OptionTable *table) {
    int column = (int)strlen("  --help  ");
    for (size_t i = 0; i < table->len; i++) {
        _cleanup_free_ char *signature = option_signature(&table->options[i]);
        int width = (int)strlen(signature) + 4;
        if (table->options[i].help && width <= HELP_COLUMN_MAX)
            column = MAX(column, width);
    }
    print_usage(stdout, table);
    if (table->about) {
        fputs("\n  ", stdout);
        print_wrapped(stdout, table->about, 2, 2);
    }
    fputs("\nOptions:\n", stdout);
    for (size_t i = 0; i < table->len; i++) {
        if (!table->options[i].help)
            continue;
        _cleanup_free_ char *signature = option_signature(&table->options[i]);
        print_row(stdout, signature, table->options[i].help, column);
    }
    print_row(stdout, "--help", OPTION_HELP_TEXT, column);
}

int options_fail(const OptionTable *table, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    print_usage(stderr, table);
    fprintf(stderr, "Try '%s --help' for help.\n\nError: %s\n", table->command, text);
    return 2;
}

/* What click says of an option's form, without the usage. */
_printf_(1, 2) static int fail_form(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    fprintf(stderr, "Error: %s\n", text);
    return OPTIONS_BAD;
}

/* "'-g' / '--grace-period'". Owned. */
static char *option_quoted(const Option *option) {
    return option->letter ? str_printf("'-%c' / '--%s'", option->letter, option->name)
                          : str_printf("'--%s'", option->name);
}

/* ----------------------------------------------------------------------------------- parse */

/* The words of "[a|b]" as "'a', 'b'". */
static char *choices_text(const char *metavar) {
    _cleanup_buf_ Buf out = { 0 };
    for (const char *p = metavar + 1; *p && *p != ']';) {
        size_t len = strcspn(p, "|]");
        buf_printf(&out, "%s'%.*s'", out.len ? ", " : "", (int)len, p);
        p += len + (p[len] == '|');
    }
    return buf_steal(&out);
}

static bool is_choice(const char *metavar, const char *text) {
    size_t wanted = strlen(text);
    for (const char *p = metavar + 1; *p && *p != ']';) {
        size_t len = strcspn(p, "|]");
        if (len == wanted && memcmp(p, text, len) == 0)
            return true;
        p += len + (p[len] == '|');
    }
    return false;
}

static int choice_set(const OptionTable *table, const Option *option, const char *text) {
    if (!is_choice(option->metavar, text)) {
        _cleanup_free_ char *choices = choices_text(option->metavar), *name = option_quoted(option);
        options_fail(table, "Invalid value for %s: '%s' is not one of %s.", name, text, choices);
        return OPTIONS_BAD;
    }
    *(const char **)option->value = text;
    return 0;
}

static int option_set(const OptionTable *table, const Option *option, const char *text) {
    int r = 0;
    const char *wanted = "";
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->value = true;
        break;
    case OPTION_TEXT:
        *(const char **)option->value = text;
        break;
    case OPTION_LIST:
        strlist_add(option->value, text);
        break;
    case OPTION_CHOICE:
        r = choice_set(table, option, text);
        if (r > 0)
            return r;
        break;
    case OPTION_INT:
        r = str_to_i64(text, option->value);
        wanted = "integer";
        break;
    case OPTION_NUMBER:
        r = str_to_double(text, option->value);
        wanted = "float";
        break;
    case OPTION_BOOL:
        r = str_to_bool(text, option->value);
        wanted = "boolean";
        break;
    }
    if (r < 0) {
        _cleanup_free_ char *name = option_quoted(option);
        options_fail(table, "Invalid value for %s: '%s' is not a valid %s.", name, text, wanted);
        return OPTIONS_BAD;
    }
    if (option->given)
        *option->given = true;
    return 0;
}

static void fill_getopt(const OptionTable *table, struct option *longs, char *letters) {
    *letters++ = table->stop_early ? '+' : '-'; /* '-': arguments come in order, as code 1 */
    *letters++ = ':';
    for (size_t i = 0; i < table->len; i++) {
        const Option *option = &table->options[i];
        bool takes_value = option->kind != OPTION_FLAG;
        longs[i] = (struct option){ option->name, takes_value, NULL, CODE_FIRST + (int)i };
        if (option->letter) {
            *letters++ = option->letter;
            if (takes_value)
                *letters++ = ':';
        }
    }
    longs[table->len] = (struct option){ "help", no_argument, NULL, CODE_HELP };
    *letters = 0;
}

static const Option *option_of_code(const OptionTable *table, int code) {
    if (code >= CODE_FIRST)
        return &table->options[code - CODE_FIRST];
    for (size_t i = 0; i < table->len; i++)
        if (code && table->options[i].letter == code)
            return &table->options[i];
    return NULL;
}

/* getopt takes a beginning of a name for the name; we don't, since a new option would then break
 * old command lines. */
static bool name_is_whole(const OptionTable *table, int code, const char *word) {
    if (!str_starts(word, "--") || code < CODE_HELP)
        return true;
    const char *name = code == CODE_HELP ? "help" : option_of_code(table, code)->name;
    return strcspn(word + 2, "=") == strlen(name);
}

static int fail_unknown(const OptionTable *table, const char *word) {
    int len = (int)(str_starts(word, "--") ? strcspn(word, "=") : 2);
    options_fail(table, "No such option '%.*s'.", len, word);
    return OPTIONS_BAD;
}

static int parse_one(const OptionTable *table, int code, const char *word) {
    if (code == '?' && optopt >= CODE_HELP && name_is_whole(table, optopt, word))
        return fail_form("Option '%.*s' does not take a value.", (int)strcspn(word, "="), word);
    if (code == '?' || !name_is_whole(table, code, word))
        return fail_unknown(table, word);
    if (code == ':')
        return fail_form("Option '%s' requires an argument.", word);
    if (code == CODE_HELP) {
        options_print_help(table);
        return OPTIONS_HELP;
    }
    return option_set(table, option_of_code(table, code), optarg);
}

int options_parse(const OptionTable *table, int argc, char **argv, int *ret_first) {
    _cleanup_free_ struct option *longs = mem_array(struct option, table->len + 2);
    _cleanup_free_ char *letters = mem_zalloc(2 * table->len + 3);
    _cleanup_free_ char **arguments = mem_array(char *, (size_t)argc + 1);
    size_t n_arguments = 0;

    if (argc == 2 && str_eq(argv[1], "--man")) {
        man_print_table(table);
        return OPTIONS_HELP;
    }
    fill_getopt(table, longs, letters);
    opterr = 0;
    optind = 0; /* start anew: a group has parsed before us */
    for (;;) {
        char *word = argv[MAX(optind, 1)];
        int code = getopt_long(argc, argv, letters, longs, NULL);
        if (code == -1)
            break;
        if (code == 1) {
            arguments[n_arguments++] = optarg;
            continue;
        }
        int r = parse_one(table, code, word);
        if (r != 0)
            return r;
    }
    int first = optind - (int)n_arguments;
    for (size_t i = 0; i < n_arguments; i++)
        argv[first + (int)i] = arguments[i];
    if (first < argc && !table->arguments) {
        options_fail(table, "Got unexpected extra argument (%s)", argv[first]);
        return OPTIONS_BAD;
    }
    *ret_first = first;
    return 0;
}

/* ---------------------------------------------------------------------------------- groups */

static void group_print_help(FILE *out, const CommandGroup *group) {
    fprintf(out, "Usage: %s [OPTIONS] COMMAND [ARGS]...\n", group->command);
    if (group->about) {
        fputs("\n  ", out);
        print_wrapped(out, group->about, 2, 2);
    }
    fputs("\nOptions:\n", out);
    int column = group->version ? 13 : 10;
    if (group->version)
        print_row(out, "--version", OPTION_VERSION_TEXT, column);
    print_row(out, "--help", OPTION_HELP_TEXT, column);

    column = 0;
    for (size_t i = 0; i < group->len; i++)
        if (group->commands[i].about)
            column = MAX(column, (int)strlen(group->commands[i].name) + 4);
    fputs("\nCommands:\n", out);
    for (size_t i = 0; i < group->len; i++)
        if (group->commands[i].about)
            print_row(out, group->commands[i].name, group->commands[i].about, column);
}

int commands_run(const CommandGroup *group, int argc, char **argv) {
    const OptionTable table = { .command = group->command, .arguments = "COMMAND [ARGS]..." };
    if (argc < 2) {
        group_print_help(stderr, group);
        return 2;
    }
    const char *name = argv[1];
    if (str_eq(name, "--help")) {
        group_print_help(stdout, group);
        return 0;
    }
    if (group->version && str_eq(name, "--version")) {
        puts(group->version);
        return 0;
    }
    if (str_eq(name, "--man")) {
        man_print_group(group);
        return 0;
    }
    if (str_eq(name, "--commands")) {
        for (size_t i = 0; i < group->len; i++)
            if (group->commands[i].about)
                puts(group->commands[i].name);
        return 0;
    }
    if (name[0] == '-')
        return options_fail(&table, "No such option '%s'.", name);
    for (size_t i = 0; i < group->len; i++)
        if (str_eq(group->commands[i].name, name))
            return group->commands[i].run(argc - 1, argv + 1);
    return options_fail(&table, "No such command '%s'.", name);
}
