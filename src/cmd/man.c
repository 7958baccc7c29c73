/* SPDX-License-Identifier: Apache-2.0 */

/* Manual pages, written from the tables that --help is printed from. */

#include "cmd/man.h"

#include <ctype.h>
#include <stdio.h>

#include "cmd/version.h"

/* Text that roff must take as it stands. */
static void add_text(Buf *out, const char *text) {
    bool begins = true;
    for (const char *p = text; *p; p++) {
        if (begins && (*p == '.' || *p == '\''))
            buf_add_str(out, "\\&");
        begins = *p == '\n';
        if (*p == '\\')
            buf_add_str(out, "\\e");
        else if (*p == '-')
            buf_add_str(out, "\\-");
        else if (p[0] == '\n' && p[1] == '\n')
            buf_add_str(out, "\n.PP");
        else if (*p != '\n' || p[1] != '\n')
            buf_add_char(out, *p);
    }
}

/* "ray job list": the page ray-job-list. Owned. */
static char *page_name(const char *command) {
    char *name = str_dup(command);
    for (char *p = name; *p; p++)
        if (*p == ' ')
            *p = '-';
    return name;
}

/* The first sentence without its period. Owned. */
static char *summary(const char *about) {
    const char *end = about;
    while (*end && !(*end == '.' && (end[1] == ' ' || end[1] == '\n' || !end[1])) && *end != '\n')
        end++;
    return str_dup_slice((Slice){ about, (size_t)(end - about) });
}

static void add_title(Buf *out, const char *command, const char *about) {
    _cleanup_free_ char *name = page_name(command), *upper = page_name(command);
    _cleanup_free_ char *what = summary(about);
    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    buf_printf(out, ".\\\" Generated from the table that `%s --help` is printed from.\n", command);
    buf_add_str(out, ".TH ");
    add_text(out, upper);
    buf_printf(out, " 1 \"\" \"Mobula (Ray %s)\" \"User Commands\"\n.SH NAME\n", RAY_VERSION);
    add_text(out, name);
    buf_add_str(out, " \\- ");
    add_text(out, what);
    buf_add_str(out, "\n.SH SYNOPSIS\n.B ");
    add_text(out, command);
}

static void add_section(Buf *out, const char *heading, const char *text) {
    buf_printf(out, "\n.SH %s\n", heading);
    add_text(out, text);
}

static void add_statuses(Buf *out) {
    static const char *const statuses[][2] = {
        { "0", "It is done." },
        { "1", "It failed; the reason is on standard error." },
        { "2", "The command line is wrong." },
    };
    buf_add_str(out, "\n.SH EXIT STATUS");
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        buf_printf(out, "\n.TP\n.B %s\n%s", statuses[i][0], statuses[i][1]);
}

static void add_page(Buf *out, const char *name, bool more) {
    buf_add_str(out, "\n.BR ");
    add_text(out, name);
    buf_printf(out, " (1)%s", more ? "," : "");
}

/* The page of the group that a command is in. */
static void add_parent(Buf *out, const char *command) {
    _cleanup_free_ char *parent = page_name(command);
    char *dash = strrchr(parent, '-');
    const char *space = strrchr(command, ' ');
    if (!dash || !space)
        return;
    parent[space - command] = 0;
    buf_add_str(out, "\n.SH SEE ALSO");
    add_page(out, parent, false);
}

static void add_tag(Buf *out, const char *signature) {
    buf_add_str(out, "\n.TP\n.B ");
    add_text(out, signature);
    buf_add_char(out, '\n');
}

void man_print_table(const OptionTable *table) {
    _cleanup_buf_ Buf out = { 0 };
    add_title(&out, table->command, table->about ? table->about : table->command);
    buf_add_str(&out, "\n[OPTIONS]");
    if (table->arguments) {
        buf_add_char(&out, ' ');
        add_text(&out, table->arguments);
    }
    add_section(&out, "DESCRIPTION", table->about ? table->about : table->command);
    buf_add_str(&out, "\n.SH OPTIONS");
    for (size_t i = 0; i < table->len; i++) {
        if (!table->options[i].help)
            continue;
        _cleanup_free_ char *signature = option_signature(&table->options[i]);
        add_tag(&out, signature);
        add_text(&out, table->options[i].help);
    }
    add_tag(&out, "--help");
    buf_add_str(&out, OPTION_HELP_TEXT);
    add_statuses(&out);
    add_parent(&out, table->command);
    printf("%s\n", out.data);
}

void man_print_group(const CommandGroup *group) {
    _cleanup_buf_ Buf out = { 0 };
    _cleanup_free_ char *name = page_name(group->command);
    add_title(&out, group->command, group->about);
    buf_add_str(&out, "\n[OPTIONS] COMMAND [ARGS]...");
    add_section(&out, "DESCRIPTION", group->about);
    buf_add_str(&out, "\nEach command has a page of its own and a\n.B \\-\\-help\noption.");
    buf_add_str(&out, "\n.SH OPTIONS");
    if (group->version) {
        add_tag(&out, "--version");
        buf_add_str(&out, OPTION_VERSION_TEXT);
    }
    add_tag(&out, "--help");
    buf_add_str(&out, OPTION_HELP_TEXT);
    buf_add_str(&out, "\n.SH COMMANDS");
    size_t shown = 0;
    for (size_t i = 0; i < group->len; i++) {
        if (!group->commands[i].about)
            continue;
        add_tag(&out, group->commands[i].name);
        add_text(&out, group->commands[i].about);
        shown++;
    }
    add_statuses(&out);
    buf_add_str(&out, "\n.SH SEE ALSO");
    for (size_t i = 0; i < group->len; i++) {
        if (!group->commands[i].about)
            continue;
        _cleanup_free_ char *page = str_printf("%s-%s", name, group->commands[i].name);
        add_page(&out, page, --shown > 0);
    }
    printf("%s\n", out.data);
}
