/* SPDX-License-Identifier: Apache-2.0 */
#include "kobj/table.h"

#include "base/clock.h"
#include "base/vec.h"
#include "kobj/jsonpath.h"
#include "kobj/meta.h"
#include "kobj/table_private.h"

typedef struct CrdColumn {
    json_t *definition; /* as the Table tells it */
    char *type;
    JsonPath *path;     /* NULL if it can't be understood: the cell is then null */
} CrdColumn;

struct TablePrinter {
    const TableKind *kind; /* built-in, or NULL */
    CrdColumn *items;
    size_t len, cap;
};

/* --- ages --- */

char *table_age(usec_t duration) {
    int64_t seconds = duration / USEC_PER_SEC, minutes = seconds / 60, hours = minutes / 60;
    int64_t days = hours / 24, years = days / 365;
    const struct {
        bool fits;
        int64_t big, small;
        char big_unit, small_unit;
    } steps[] = {
        { seconds < 120, seconds, 0, 's', 0 },
        { minutes < 10, minutes, seconds % 60, 'm', 's' },
        { minutes < 180, minutes, 0, 'm', 0 },
        { hours < 8, hours, minutes % 60, 'h', 'm' },
        { hours < 48, hours, 0, 'h', 0 },
        { days < 8, days, hours % 24, 'd', 'h' },
        { days < 730, days, 0, 'd', 0 },
        { years < 8, years, days % 365, 'y', 'd' },
        { true, years, 0, 'y', 0 },
    };
    size_t i = 0;

    if (seconds < -1)
        return str_dup("<invalid>");
    if (seconds < 0)
        return str_dup("0s");
    while (!steps[i].fits)
        i++;
    if (!steps[i].small_unit || steps[i].small == 0)
        return str_printf("%lld%c", (long long)steps[i].big, steps[i].big_unit);
    return str_printf("%lld%c%lld%c", (long long)steps[i].big, steps[i].big_unit,
                      (long long)steps[i].small, steps[i].small_unit);
}

char *age_since(const json_t *time, usec_t now) {
    usec_t at;

    if (!json_is_string(time) || time_parse_rfc3339(json_string_value(time), &at) < 0)
        return str_dup("<unknown>");
    return table_age(now - at);
}

void cell_text(json_t *cells, const char *text, const char *otherwise) {
    json_array_append_new(cells, json_string(text ? text : otherwise));
}

void cell_take(json_t *cells, char *text) {
    json_array_append_new(cells, json_string(text));
    mem_free(text);
}

void cell_int(json_t *cells, int64_t value) {
    json_array_append_new(cells, json_integer(value));
}

void cell_since(json_t *cells, const json_t *time, usec_t now) {
    cell_take(cells, age_since(time, now));
}

/* --- columns --- */

static json_t *column_new(const char *name, const char *type, const char *format,
                          const char *description, int64_t priority) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", name, "type", type, "format", format,
                     "description", description, "priority", priority);
}

static void crd_column_add(TablePrinter *printer, const json_t *column) {
    const char *name = json_str_at(column, "name"), *type = json_str_at(column, "type");
    const char *path = json_str_at(column, "jsonPath");
    const char *format = json_str_at(column, "format"), *text = json_str_at(column, "description");
    _cleanup_free_ char *made =
        str_printf("Custom resource definition column (in JSONPath format): %s", path ? path : "");
    CrdColumn item = { .type = str_dup(type ? type : "string") };

    if (path && jsonpath_compile(path, &item.path) < 0)
        item.path = NULL;
    item.definition = column_new(name ? name : "", item.type, format ? format : "",
                                 str_empty(text) ? made : text, json_int_at(column, 0, "priority"));
    vec_push(printer, item);
}

TablePrinter *table_printer_new(const char *group, const char *kind, const json_t *crd_columns) {
    TablePrinter *printer = mem_new(TablePrinter);
    size_t i;
    json_t *column;

    for (i = 0; i < table_kinds_len && !printer->kind; i++)
        if (str_eq(table_kinds[i].kind, kind) && str_eq(table_kinds[i].group, group))
            printer->kind = &table_kinds[i];
    if (printer->kind)
        return printer;
    json_array_foreach((json_t *)(uintptr_t)crd_columns, i, column)
        crd_column_add(printer, column);
    if (json_array_size(crd_columns) > 0)
        return printer;
    _cleanup_json_ json_t *age = json_pack("{s:s, s:s, s:s, s:s}", "name", "Age", "type", "date",
                                           "jsonPath", ".metadata.creationTimestamp", "description",
                                           "How long ago the object was created.");
    crd_column_add(printer, age);
    return printer;
}

TablePrinter *table_printer_free(TablePrinter *printer) {
    if (!printer)
        return NULL;
    VEC_EACH(column, printer) {
        json_decref(column->definition);
        mem_free(column->type);
        jsonpath_free(column->path);
    }
    vec_done(printer);
    return mem_free(printer);
}

static json_t *headers(const TablePrinter *printer) {
    json_t *list = json_array();

    if (!printer->kind) {
        json_array_append_new(list, column_new("Name", "string", "name",
                                               "The object's name, unique in its namespace.", 0));
        VEC_EACH(column, printer)
            json_array_append(list, column->definition);
        return list;
    }
    for (size_t i = 0; i < printer->kind->column_count; i++) {
        const TableColumn *column = &printer->kind->columns[i];
        bool name = str_eq(column->name, "Name"), date = str_eq(column->name, "Created At");
        json_array_append_new(list, column_new(column->name, date ? "date" : "string",
                                               name ? "name" : "", "", column->wide));
    }
    return list;
}

/* --- rows --- */

/* One value found by a column's path, as its type wants it; NULL if it is of another type. */
static json_t *crd_value(const CrdColumn *column, json_t *value, usec_t now) {
    if (str_eq(column->type, "date")) {
        _cleanup_free_ char *age = age_since(value, now);
        return json_is_string(value) ? json_string(age) : NULL;
    }
    if (str_eq(column->type, "integer") || str_eq(column->type, "number"))
        return json_is_number(value) ? json_incref(value) : NULL;
    if (str_eq(column->type, "boolean"))
        return json_is_boolean(value) ? json_incref(value) : NULL;
    if (json_is_string(value) || json_is_null(value))
        return json_incref(value);
    _cleanup_free_ char *text = json_text(value, JSON_SORTED);
    return json_string(text);
}

static void crd_cells(const TablePrinter *printer, const json_t *object, usec_t now,
                      json_t *cells) {
    cell_text(cells, obj_name(object), "");
    VEC_EACH(column, printer) {
        _cleanup_json_ json_t *found = json_array();
        json_t *cell = NULL;
        if (column->path)
            jsonpath_find(column->path, object, found);
        if (json_array_size(found) > 0)
            cell = crd_value(column, json_array_get(found, 0), now);
        json_array_append_new(cells, cell ? cell : json_null());
    }
}

static json_t *row_object(const json_t *object, TableInclude include) {
    if (include == TABLE_NONE)
        return NULL;
    if (include == TABLE_OBJECT)
        return json_incref((json_t *)(uintptr_t)object);
    json_t *partial =
        json_pack("{s:s, s:s}", "kind", "PartialObjectMetadata", "apiVersion", "meta.k8s.io/v1");
    json_object_set(partial, "metadata", json_object_get(object, "metadata"));
    return partial;
}

/* A finished pod is greyed out by some clients. */
static void row_conditions(json_t *row, const TablePrinter *printer, const json_t *object) {
    const char *phase = json_str_at(object, "status", "phase");
    bool done = str_eq(phase, "Succeeded"), failed = str_eq(phase, "Failed");

    if (!printer->kind || !str_eq(printer->kind->kind, "Pod") || (!done && !failed))
        return;
    json_object_set_new(
        row, "conditions",
        json_pack("[{s:s, s:s, s:s, s:s}]", "type", "Completed", "status", "True", "reason", phase,
                  "message", done ? "The pod has completed successfully." : "The pod failed."));
}

static json_t *row_new(const TablePrinter *printer, const json_t *object, TableInclude include,
                       usec_t now) {
    json_t *row = json_object(), *cells = json_make_array(row, "cells");

    if (printer->kind)
        printer->kind->cells(object, now, cells);
    else
        crd_cells(printer, object, now, cells);
    row_conditions(row, printer, object);
    json_t *shown = row_object(object, include);
    json_object_set_new(row, "object", shown ? shown : json_null());
    return row;
}

json_t *table_render(const TablePrinter *printer, const json_t *objects, const json_t *list_meta,
                     TableInclude include, bool no_headers, usec_t now) {
    json_t *table = json_pack("{s:s, s:s}", "kind", "Table", "apiVersion", "meta.k8s.io/v1");
    json_t *rows, *object;
    size_t i;

    json_object_set_new(table, "metadata", list_meta ? json_deep_copy(list_meta) : json_object());
    json_object_set_new(table, "columnDefinitions", no_headers ? json_null() : headers(printer));
    rows = json_make_array(table, "rows");
    if (json_is_object(objects)) {
        json_array_append_new(rows, row_new(printer, objects, include, now));
        return table;
    }
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
        json_array_append_new(rows, row_new(printer, object, include, now));
    return table;
}
