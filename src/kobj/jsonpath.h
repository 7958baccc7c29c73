/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The JSONPath of printer columns: `.a.b`, `['a.b']`, `[0]`, `[-1]`, `[*]`, `[?(@.type=="Ready")]`,
 * with or without braces. Range and functions belong to kubectl and are refused. */

#include "base/base.h"
#include "codec/json.h"

typedef struct JsonPath JsonPath;

_must_check_ int jsonpath_compile(const char *text, JsonPath **ret_path);
JsonPath *jsonpath_free(JsonPath *path);
DEFINE_CLEANUP(JsonPath *, jsonpath_free);
/* Appends what matches to the array `out` (shared references). */
void jsonpath_find(const JsonPath *path, const json_t *value, json_t *out);
