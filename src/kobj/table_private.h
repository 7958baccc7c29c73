/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between table.c and the printers of single kinds. */

#include "kobj/table.h"

typedef struct TableColumn {
    const char *name;
    bool wide; /* priority 1: only with -o wide */
} TableColumn;

typedef struct TableKind {
    const char *group, *kind;
    const TableColumn *columns;
    size_t column_count;
    /* Appends the cells behind NAME... or all of them, in the order of the columns. */
    void (*cells)(const json_t *object, usec_t now, json_t *cells);
} TableKind;

extern const TableKind table_kinds[];
extern const size_t table_kinds_len;

static inline const char *or_none(const char *text) {
    return str_empty(text) ? "<none>" : text;
}

/* Text cells; NULL is written as `otherwise`. */
void cell_text(json_t *cells, const char *text, const char *otherwise);
void cell_take(json_t *cells, char *text); /* frees it */
void cell_int(json_t *cells, int64_t value);
/* The time since an RFC 3339 text, "<unknown>" when absent. */
void cell_since(json_t *cells, const json_t *time, usec_t now);
char *age_since(const json_t *time, usec_t now); /* owned */

void pod_cells(const json_t *pod, usec_t now, json_t *cells);
