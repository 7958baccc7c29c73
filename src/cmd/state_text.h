/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the peer prints the state API's answers: tables as Python's tabulate lays them out, YAML as PyYAML
 * writes it. Pure. */

#include "api/state.h"
#include "codec/json.h"

typedef struct TableStyle {
    bool ruled;        /* a line of dashes below the headers */
    bool numbers_left; /* else numbers stand at the right */
} TableStyle;

/* Rows are arrays of as many cells as there are headers; a column of indexes comes first. Cells: null
 * is empty, objects are YAML. No newline at the end. */
void table_text(const json_t *headers, const json_t *rows, TableStyle style, Buf *out);

typedef struct PyYaml {
    unsigned indent;
    bool sorted, document; /* with "---" and "..." */
} PyYaml;
void pyyaml_text(const json_t *value, PyYaml style, Buf *out);

/* Python's str() of a float. Owned. */
char *python_float(double value);
/* "2026-11-22 15:53:39.579000": local time, as Python's datetime prints it. Owned. */
char *python_time(double seconds);
/* "976.565 KiB" */
char *shown_memory(double bytes);
/* Values become what people read: times, sizes. The row is changed. */
void row_humanize(const StateSchema *schema, json_t *row);
