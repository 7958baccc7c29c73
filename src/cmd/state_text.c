/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/state_text.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "base/vec.h"

/* ---- numbers and times --------------------------------------------------------------------------- */

char *python_float(double value) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    double size = fabs(value);
    if (strchr(text, 'e') && size >= 1e-4 && size < 1e16)
        snprintf(text, sizeof(text), "%.0f", value);
    if (!strpbrk(text, ".en"))
        return str_printf("%s.0", text);
    return str_dup(text);
}

char *python_time(double seconds) {
    time_t whole = (time_t)floor(seconds);
    long micros = lround((seconds - floor(seconds)) * 1e6);
    struct tm tm;
    char text[40];
    if (micros == 1000000) {
        whole++;
        micros = 0;
    }
    localtime_r(&whole, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    return micros ? str_printf("%s.%06ld", text, micros) : str_dup(text);
}

char *shown_memory(double bytes) {
    static const struct {
        double size;
        const char *unit;
    } units[] = { { 1 << 30, "GiB" }, { 1 << 20, "MiB" }, { 1 << 10, "KiB" } };
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (bytes >= units[i].size)
            return str_printf("%.3f %s", bytes / units[i].size, units[i].unit);
    return str_printf("%.3f B", bytes);
}

static char *shown_duration(double ms) {
    int64_t micros = llround(ms * 1000), seconds = micros / 1000000;
    char *fraction =
        micros % 1000000 ? str_printf(".%06lld", (long long)(micros % 1000000)) : str_dup("");
    char *text = str_printf("%lld:%02lld:%02lld%s", (long long)(seconds / 3600),
                            (long long)(seconds / 60 % 60), (long long)(seconds % 60), fraction);
    mem_free(fraction);
    return text;
}

static void set_text(json_t *object, const char *key, char *text) {
    json_object_set_new(object, key, json_string(text));
    mem_free(text);
}

static void humanize_inside(StateShown shown, json_t *value) {
    json_t *each;
    const char *key;
    for (size_t i = 0; shown == SHOWN_EVENTS && i < json_array_size(value); i++) {
        json_t *event = json_array_get(value, i);
        set_text(event, "created_ms",
                 python_time(json_number_value(json_object_get(event, "created_ms")) / 1000));
    }
    void *next;
    json_object_foreach_safe(value, next, key, each)
        if (shown == SHOWN_RESOURCES && strstr(key, "memory"))
            set_text(value, key, shown_memory(json_number_value(each)));
}

void row_humanize(const StateSchema *schema, json_t *row) {
    for (size_t i = 0; i < schema->len; i++) {
        const StateColumn *column = &schema->columns[i];
        json_t *value = json_object_get(row, column->name);
        double number = json_number_value(value);
        if (!value || json_is_null(value))
            continue;
        if (column->shown == SHOWN_TIME || (column->shown == SHOWN_TIME_IF_KNOWN && number != -1))
            set_text(row, column->name, python_time(number / 1000));
        else if (column->shown == SHOWN_TIME_IF_KNOWN)
            json_object_set_new(row, column->name, json_string(""));
        else if (column->shown == SHOWN_MEMORY)
            set_text(row, column->name, shown_memory(number));
        else if (column->shown == SHOWN_DURATION)
            set_text(row, column->name, shown_duration(number));
        else if (column->shown != SHOWN_AS_IS)
            humanize_inside(column->shown, value);
    }
}

/* ---- tables -------------------------------------------------------------------------------------- */

typedef struct Column {
    StrList cells;
    bool numeric;
    size_t width;
} Column;

static size_t text_width(const char *text, size_t len) { /* in characters */
    size_t width = 0;
    for (size_t i = 0; i < len; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* Of the widest line. */
static size_t cell_width(const char *cell) {
    size_t width = 0;
    for (const char *line = cell; line;) {
        size_t len = strcspn(line, "\n");
        width = MAX(width, text_width(line, len));
        line = line[len] ? line + len + 1 : NULL;
    }
    return width;
}

static char *cell_text(const json_t *value) {
    if (!value || json_is_null(value))
        return str_dup("");
    if (json_is_string(value))
        return str_dup(json_string_value(value));
    if (json_is_boolean(value))
        return str_dup(json_is_true(value) ? "True" : "False");
    if (json_is_integer(value))
        return str_printf("%lld", (long long)json_integer_value(value));
    if (json_is_real(value))
        return str_printf("%g", json_real_value(value));
    Buf text = { 0 };
    pyyaml_text(value, (PyYaml){ .indent = 2, .sorted = true }, &text);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    return buf_steal(&text);
}

static bool looks_like_number(const json_t *value) {
    double number;
    const char *text = json_string_value(value);
    return json_is_number(value) || (text && str_to_double(text, &number) == 0);
}

static void column_fill(Column *column, const char *header, const json_t *rows, size_t at) {
    bool any = false;
    column->numeric = true;
    column->width = cell_width(header) + 2;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *value = json_array_get(json_array_get(rows, i), at);
        char *text = cell_text(value);
        if (value && !json_is_null(value)) {
            any = true;
            column->numeric &= looks_like_number(value);
        }
        column->width = MAX(column->width, cell_width(text));
        strlist_take(&column->cells, text);
    }
    column->numeric &= any;
}

static const char *line_of(const char *cell, size_t line, size_t *ret_len) {
    for (; line > 0 && *cell; line--) {
        cell += strcspn(cell, "\n");
        cell += *cell == '\n';
    }
    *ret_len = line ? 0 : strcspn(cell, "\n");
    return cell;
}

static size_t line_count(const char *cell) {
    size_t lines = 1;
    for (; *cell; cell++)
        lines += *cell == '\n';
    return lines;
}

static void add_padded(Buf *out, const char *text, size_t len, size_t width, bool right) {
    size_t pad = width - MIN(width, text_width(text, len));
    if (right)
        buf_printf(out, "%*s", (int)pad, "");
    buf_add(out, text, len);
    if (!right)
        buf_printf(out, "%*s", (int)pad, "");
}

/* `cells[i]` of column i, which may have several lines. */
static void add_row(Buf *out, const Column *columns, const char *const *cells, size_t len,
                    bool numbers_left) {
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines = MAX(lines, line_count(cells[i]));
    for (size_t line = 0; line < lines; line++) {
        if (out->len && out->data[out->len - 1] != '\n')
            buf_add_char(out, '\n');
        for (size_t i = 0; i < len; i++) {
            size_t part_len;
            const char *part = line_of(cells[i], line, &part_len);
            buf_add_str(out, i ? "  " : "");
            add_padded(out, part, part_len, columns[i].width, columns[i].numeric && !numbers_left);
        }
        while (out->len && out->data[out->len - 1] == ' ')
            out->data[--out->len] = 0;
        if (line + 1 < lines)
            buf_add_char(out, '\n');
    }
}

void table_text(const json_t *headers, const json_t *rows, TableStyle style, Buf *out) {
    size_t len = json_array_size(headers) + 1, height = json_array_size(rows);
    Column *columns = mem_array(Column, len);
    const char **cells = mem_array(const char *, len);
    _cleanup_buf_ Buf text = { 0 };
    columns[0].numeric = true;
    columns[0].width = 2;
    for (size_t i = 0; i < height; i++) {
        strlist_printf(&columns[0].cells, "%zu", i);
        columns[0].width = MAX(columns[0].width, strlen(columns[0].cells.items[i]));
    }
    cells[0] = "";
    for (size_t c = 1; c < len; c++) {
        cells[c] = json_string_value(json_array_get(headers, c - 1));
        column_fill(&columns[c], cells[c], rows, c - 1);
    }
    add_row(&text, columns, cells, len, style.numbers_left);
    if (style.ruled) {
        buf_add_char(&text, '\n');
        for (size_t c = 0; c < len; c++) {
            buf_add_str(&text, c ? "  " : "");
            for (size_t i = 0; i < columns[c].width; i++)
                buf_add_char(&text, '-');
        }
    }
    for (size_t i = 0; i < height; i++) {
        for (size_t c = 0; c < len; c++)
            cells[c] = columns[c].cells.items[i];
        buf_add_char(&text, '\n');
        add_row(&text, columns, cells, len, style.numbers_left);
    }
    buf_add(out, text.data, text.len);
    for (size_t c = 0; c < len; c++)
        strlist_done(&columns[c].cells);
    mem_free(cells);
    mem_free(columns);
}
