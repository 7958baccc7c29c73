/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * YAML to json_t and back, with the reading that kubectl and client-go give it (sigs.k8s.io/yaml:
 * YAML 1.1 scalars, so `yes`, `on` are booleans and 0777 is octal; timestamps stay strings; keys
 * become strings; `<<` merges). Anchors and aliases are bounded, repeated keys refused.
 */

#include "base/base.h"
#include "base/str.h"
#include "codec/json.h"

typedef struct YamlLimits {
    size_t bytes;     /* of the text */
    size_t documents; /* in the stream */
    size_t values;    /* of all documents, each expansion of an alias counted */
    unsigned depth;
} YamlLimits;

/* 8 MiB, 4096 documents, 1,000,000 values, depth 100. Used where NULL is given. */
extern const YamlLimits YAML_LIMITS_DEFAULT;

/* Parses a stream into a new array with one item a document; an empty document is null.
 * A JSON text is YAML too. -EINVAL with "line L column C: why"; -E2BIG over a limit. */
_must_check_ int yaml_parse_all(const void *data, size_t len, const YamlLimits *limits,
                                json_t **ret_documents);

/* The same; appends to `notes` what is read otherwise than its writer may have meant, a sentence each: a
 * key `n`, `on`, `yes`, ... is the text "false" or "true". */
_must_check_ int yaml_parse_all_noting(const void *data, size_t len, const YamlLimits *limits,
                                       StrList *notes, json_t **ret_documents);

/* Parses a stream of exactly one document; -EINVAL for none or more. */
_must_check_ int yaml_parse(const void *data, size_t len, const YamlLimits *limits,
                            json_t **ret_value);
/* The same, where nothing at all is an answer: of no document, as in an empty text or one of
 * comments, null is made. */
_must_check_ int yaml_parse_or_null(const void *data, size_t len, const YamlLimits *limits,
                                    json_t **ret_value);

/* Appends the value as `kubectl -o yaml` prints it: sorted keys, lists not indented, literal
 * blocks for text with newlines, quotes only where a plain scalar would read as another type. */
void yaml_encode(const json_t *value, Buf *out);
