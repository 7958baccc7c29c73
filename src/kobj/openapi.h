/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* OpenAPI v3 documents as kubectl reads them (explain, apply validation): the index at /openapi/v3
 * and one document a group version. */

#include "base/base.h"
#include "codec/json.h"
#include "kobj/schema.h"

typedef struct OpenapiKind {
    const char *group, *version, *kind, *list_kind, *plural;
    bool namespaced;
    bool has_status;
    const Schema *schema;
} OpenapiKind;

/* The document of one group version: a new reference. Paths name each kind's verbs. */
json_t *openapi_document(const OpenapiKind *kinds, size_t count);
/* {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=..."}}}: adds one entry.
 * `hash` is of the document's bytes. */
void openapi_index_add(json_t *index, const char *group, const char *version, const char *hash);
