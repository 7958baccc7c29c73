/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the schema engine's files. */

#include "kobj/schema.h"

/* No type, everything allowed and kept. */
extern const Schema schema_anything;

/* Says whether the pattern is one; else `why` has Kubernetes' sentence about it. */
int regex_check(const char *pattern, char *why, size_t why_size);
/* Whether the pattern is found in the text; a pattern that costs too much is not. */
bool regex_matches(const char *pattern, const char *text, size_t len);

/* Whether a string is of the format; formats that Kubernetes does not check always match. */
bool format_matches(const char *format, const char *text);

/* The part of schema_normalize() that makes equal amounts equal texts. */
void schema_settle_quantities(const Schema *schema, json_t *object);

/* A path below `path`: ".key" or "[key]" for keys with other characters; "[3]". Both return the
 * former length, to be given to schema_path_pop(). */
size_t schema_path_key(Buf *path, const char *key);
size_t schema_path_index(Buf *path, size_t index);
void schema_path_pop(Buf *path, size_t len);
