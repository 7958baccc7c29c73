/* SPDX-License-Identifier: Apache-2.0 */

/* YAML as PyYAML's default dumper writes it: which strings are quoted and how, where long ones are
 * folded, sequences at the level of their key. */

#include <ctype.h>

#include "base/str.h"
#include "cmd/state_text.h"

enum {
    WIDTH = 80,
};

typedef struct Writer {
    Buf *out;
    PyYaml style;
    size_t column;
} Writer;

static void put(Writer *w, const char *text, size_t len) {
    buf_add(w->out, text, len);
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\n')
            w->column = 0;
        else if (((unsigned char)text[i] & 0xc0) != 0x80)
            w->column++;
}

static void put_str(Writer *w, const char *text) {
    put(w, text, strlen(text));
}

static void new_line(Writer *w, size_t indent) {
    if (w->out->len && w->out->data[w->out->len - 1] != '\n')
        put_str(w, "\n");
    for (size_t i = 0; i < indent; i++)
        put_str(w, " ");
}

/* ---- strings --------------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (str_eq(text, *words))
            return true;
    return false;
}

static bool only(const char *text, const char *set) {
    return *text && text[strspn(text, set)] == 0;
}

static bool reads_as_number(const char *text) {
    const char *s = text + (*text == '-' || *text == '+');
    if (!*s)
        return false;
    if (only(s, "0123456789_"))
        return (s[0] != '0' || only(s, "01234567_")) && isdigit((unsigned char)s[0]);
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        return only(s + 2, "0123456789abcdefABCDEF_");
    if (s[0] == '0' && s[1] == 'b')
        return only(s + 2, "01_");
    if (is_one_of(s, (const char *const[]){ ".inf", ".Inf", ".INF", NULL }) ||
        is_one_of(text, (const char *const[]){ ".nan", ".NaN", ".NAN", NULL }))
        return true;
    if (strchr(s, ':') && isdigit((unsigned char)*s) && only(s, "0123456789_:.")) { /* base 60 */
        const char *colon = strchr(s, ':');
        return strlen(colon + 1) >= 1 && isdigit((unsigned char)colon[1]);
    }
    size_t whole = strspn(s, "0123456789_");
    if (s[whole] != '.')
        return false;
    const char *rest = s + whole + 1;
    rest += strspn(rest, "0123456789_");
    if (whole == 0 && rest == s + 1)
        return false;
    if (!*rest)
        return true;
    return (*rest == 'e' || *rest == 'E') && (rest[1] == '-' || rest[1] == '+') &&
           only(rest + 2, "0123456789");
}

/* "2026-11-22", "2026-11-22 15:53:39.5", with a zone. */
static bool reads_as_time(const char *text) {
    int at = 0, year, month, day;
    if (strspn(text, "0123456789") != 4 ||
        sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &at) < 3)
        return false;
    if (!text[at])
        return at == 10;
    const char *clock = text + at + strspn(text + at, " \tTt");
    int hour, minute, second, more = 0;
    return clock > text + at &&
           sscanf(clock, "%2d:%2d:%2d%n", &hour, &minute, &second, &more) == 3 &&
           only(clock, "0123456789:.Z+- \t");
}

static bool reads_as_other(const char *text) {
    static const char *const words[] = {
        "~",  "null", "Null", "NULL", "yes",   "Yes",   "YES",   "no", "No",
        "NO", "true", "True", "TRUE", "false", "False", "FALSE", "on", "On",
        "ON", "off",  "Off",  "OFF",  "<<",    "=",     NULL,
    };
    return !*text || is_one_of(text, words) || reads_as_number(text) || reads_as_time(text);
}

typedef struct Look {   /* at a string */
    bool plain, single; /* may be written so */
    bool lines;
} Look;

static Look look_at(const char *text, bool key) {
    size_t len = strlen(text);
    bool special = false, indicator = false, bad_space = false;
    Look look = { 0 };
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool space_next = !text[i + 1] || strchr(" \t\n", text[i + 1]);
        bool space_before = i == 0 || strchr(" \t\n", text[i - 1]);
        if (i == 0 && strchr("#,[]{}&*!|>'\"%@`", (char)c))
            indicator = true;
        if (i == 0 && (c == '?' || c == ':' || c == '-') && space_next)
            indicator = true;
        if (c == ':' && space_next)
            indicator = true;
        if (c == '#' && space_before)
            indicator = true;
        look.lines |= c == '\n';
        special |= (c < 0x20 && c != '\n') || c >= 0x7f;
        if (c == ' ' && i > 0 && text[i - 1] == '\n')
            bad_space = true; /* a space after a line's end */
        if (c == '\n' && i > 0 && text[i - 1] == ' ')
            special = true;   /* and before it */
    }
    bool edge = len && (strchr(" \n", text[0]) || strchr(" \n", text[len - 1]));
    if (len >= 3 && (strncmp(text, "---", 3) == 0 || strncmp(text, "...", 3) == 0))
        indicator = true;
    look.single = !special && !bad_space && !(key && look.lines);
    look.plain = look.single && !indicator && !edge && !look.lines && !reads_as_other(text);
    return look;
}

/* Words with one space between them may be parted where the line is full. */
static void put_plain(Writer *w, const char *text, size_t indent, bool fold) {
    while (*text) {
        size_t len = strcspn(text, " ");
        put(w, text, len);
        text += len;
        size_t spaces = strspn(text, " ");
        if (fold && spaces == 1 && w->column > WIDTH)
            new_line(w, indent);
        else
            put(w, text, spaces);
        text += spaces;
    }
}

static void put_single(Writer *w, const char *text, size_t indent, bool fold) {
    const char *start = text;
    put_str(w, "'");
    while (*text) {
        size_t spaces = strspn(text, " "), breaks = strspn(text, "\n");
        if (spaces) {
            if (fold && spaces == 1 && w->column > WIDTH && text > start && text[1])
                new_line(w, indent);
            else
                put(w, text, spaces);
            text += spaces;
        } else if (breaks) {
            put_str(w, "\n"); /* one more than there are: a single one reads as a space */
            for (size_t i = 0; i < breaks; i++)
                put_str(w, "\n");
            text += breaks;
            new_line(w, indent);
        } else {
            size_t len = strcspn(text, " \n'");
            put(w, text, len);
            text += len;
            if (*text == '\'') {
                put_str(w, "''");
                text++;
            }
        }
    }
    put_str(w, "'");
}

/* The length of the character at `text`. */
static size_t character(const char *text, uint32_t *ret_code) {
    unsigned char c = (unsigned char)*text;
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t code = c < 0x80 ? c : c & (0xff >> (len + 1));
    for (size_t i = 1; i < len && text[i]; i++)
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    *ret_code = code;
    return len;
}

static void put_escape(Writer *w, uint32_t code) {
    static const struct {
        uint32_t code;
        const char *text;
    } short_ones[] = { { 0, "\\0" },    { 7, "\\a" },    { 8, "\\b" },     { 9, "\\t" },
                       { 10, "\\n" },   { 11, "\\v" },   { 12, "\\f" },    { 13, "\\r" },
                       { 0x1b, "\\e" }, { '"', "\\\"" }, { '\\', "\\\\" }, { 0x85, "\\N" },
                       { 0xa0, "\\_" } };
    char text[12];
    for (size_t i = 0; i < ARRAY_LEN(short_ones); i++)
        if (short_ones[i].code == code) {
            put_str(w, short_ones[i].text);
            return;
        }
    snprintf(text, sizeof(text),
             code <= 0xff     ? "\\x%02X"
             : code <= 0xffff ? "\\u%04X"
                              : "\\U%08X",
             code);
    put_str(w, text);
}

static void put_double(Writer *w, const char *text, size_t indent, bool fold) {
    const char *start = text, *run = text, *at = text;
    put_str(w, "\"");
    for (;;) {
        uint32_t code = 0;
        size_t len = *at ? character(at, &code) : 0;
        bool escaped = *at && (code < 0x20 || code >= 0x7f || code == '"' || code == '\\');
        if (!*at || escaped) {
            put(w, run, (size_t)(at - run));
            run = at;
            if (escaped) {
                put_escape(w, code);
                run = at + len;
            }
        }
        if (at > start && *at && at[1] && (*at == ' ' || run >= at) && fold &&
            w->column + (size_t)MAX(at - run, 0) > WIDTH) {
            if (run < at)
                put(w, run, (size_t)(at - run));
            run = MAX(run, at);
            put_str(w, "\\\n");
            new_line(w, indent);
            if (*run == ' ')
                put_str(w, "\\");
        }
        if (!*at)
            break;
        at += len;
    }
    put_str(w, "\"");
}

static void put_string(Writer *w, const char *text, size_t indent, bool key) {
    Look look = look_at(text, key);
    if (look.plain)
        put_plain(w, text, indent, !key);
    else if (look.single)
        put_single(w, text, indent, !key);
    else
        put_double(w, text, indent, !key);
}

/* ---- values ---------------------------------------------------------------------------------------- */

static void put_value(Writer *w, const json_t *value, size_t indent);

static void put_scalar(Writer *w, const json_t *value, size_t indent) {
    if (json_is_string(value)) {
        put_string(w, json_string_value(value), indent, false);
        return;
    }
    char *text = json_is_integer(value) ? str_printf("%lld", (long long)json_integer_value(value))
                 : json_is_real(value)  ? python_float(json_real_value(value))
                                        : str_dup(json_is_true(value)    ? "true"
                                                  : json_is_false(value) ? "false"
                                                                         : "null");
    put_str(w, text);
    mem_free(text);
}

static void put_map(Writer *w, json_t *value, size_t indent, bool first_here) {
    _cleanup_strlist_ StrList keys = { 0 };
    const char *key;
    json_t *each;
    json_object_foreach(value, key, each)
        strlist_add(&keys, key);
    if (w->style.sorted)
        strlist_sort(&keys);
    for (size_t i = 0; i < keys.len; i++) {
        if (i || !first_here)
            new_line(w, indent);
        each = json_object_get(value, keys.items[i]);
        put_string(w, keys.items[i], indent, true);
        put_str(w, ":");
        put_value(w, each, indent);
    }
}

static void put_list(Writer *w, const json_t *value, size_t indent, bool first_here) {
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *each = json_array_get(value, i);
        if (i || !first_here)
            new_line(w, indent);
        put_str(w, "-");
        bool nested = (json_is_object(each) && json_object_size(each)) ||
                      (json_is_array(each) && json_array_size(each));
        for (size_t pad = 1; pad < (nested ? w->style.indent : 2); pad++)
            put_str(w, " ");
        if (json_is_object(each) && json_object_size(each))
            put_map(w, (json_t *)(uintptr_t)each, indent + w->style.indent, true);
        else if (json_is_array(each) && json_array_size(each))
            put_list(w, each, indent + w->style.indent, true);
        else if (json_is_object(each) || json_is_array(each))
            put_str(w, json_is_object(each) ? "{}" : "[]");
        else
            put_scalar(w, each, indent + w->style.indent);
    }
}

/* After "key:". */
static void put_value(Writer *w, const json_t *value, size_t indent) {
    if (json_is_object(value) && json_object_size(value)) {
        put_map(w, (json_t *)(uintptr_t)value, indent + w->style.indent, false);
    } else if (json_is_array(value) && json_array_size(value)) {
        put_list(w, value, indent, false);
    } else {
        put_str(w, " ");
        if (json_is_object(value) || json_is_array(value))
            put_str(w, json_is_object(value) ? "{}" : "[]");
        else
            put_scalar(w, value, indent + w->style.indent);
    }
}

void pyyaml_text(const json_t *value, PyYaml style, Buf *out) {
    Writer w = { .out = out, .style = style };
    bool empty = (json_is_object(value) && !json_object_size(value)) ||
                 (json_is_array(value) && !json_array_size(value));
    if (style.document)
        put_str(&w, empty ? "--- " : "---\n");
    if (empty)
        put_str(&w, json_is_object(value) ? "{}" : "[]");
    else if (json_is_object(value))
        put_map(&w, (json_t *)(uintptr_t)value, 0, true);
    else if (json_is_array(value))
        put_list(&w, value, 0, true);
    else
        put_scalar(&w, value, 0);
    put_str(&w, "\n");
    if (style.document)
        put_str(&w, "...\n");
}
