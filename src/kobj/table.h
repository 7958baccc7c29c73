/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Server-side printing: meta.k8s.io/v1 Table for built-in kinds (the columns of kube-apiserver)
 * and CRDs (additionalPrinterColumns). What `kubectl get` shows.
 */

#include "base/base.h"
#include "codec/json.h"

typedef enum TableInclude { /* includeObject parameter */
    TABLE_METADATA,         /* the default: each row has a PartialObjectMetadata */
    TABLE_NONE,
    TABLE_OBJECT,
} TableInclude;

typedef struct TablePrinter TablePrinter;

/* For a built-in kind ("", "Pod"), or with CRD columns (an array, NULL: NAME and AGE). */
TablePrinter *table_printer_new(const char *group, const char *kind, const json_t *crd_columns);
TablePrinter *table_printer_free(TablePrinter *printer);
DEFINE_CLEANUP(TablePrinter *, table_printer_free);

/* A new Table of one object (a get, a watch event) or of a list's items. `list_meta` becomes the
 * Table's metadata (NULL: {}). Headers are left out on `no_headers` (watch events but the first). */
json_t *table_render(const TablePrinter *printer, const json_t *objects, const json_t *list_meta,
                     TableInclude include, bool no_headers, usec_t now);

/* "5s", "3m20s", "2h", "3d4h": kubectl's age. Owned. */
char *table_age(usec_t duration);
