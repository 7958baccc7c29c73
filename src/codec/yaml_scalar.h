/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a plain YAML 1.1 scalar means, as the Go library under kubectl decides it. Shared by reader
 * and writer, so that what is written unquoted reads back as the same string. */

#include "base/str.h"
#include "codec/json.h"

typedef enum YamlTag {
    YAML_TAG_NONE, /* no tag: resolve by content */
    YAML_TAG_STR,
    YAML_TAG_BOOL,
    YAML_TAG_INT,
    YAML_TAG_FLOAT,
    YAML_TAG_NULL,
    YAML_TAG_TIMESTAMP,
    YAML_TAG_BINARY,
    YAML_TAG_OTHER, /* unknown or for collections */
} YamlTag;

/* The tag of a plain scalar without one: what reading would make of it. */
YamlTag yaml_scalar_guess(const char *text, size_t len);

/* The value of a scalar. `tag` is YAML_TAG_NONE only for plain ones. -EINVAL: it can't be that
 * (no sentence; the caller knows the place), or it is a value that JSON has not (.nan, .inf). */
_must_check_ int yaml_scalar_resolve(const char *text, size_t len, YamlTag tag, json_t **ret_value);

/* Whether a plain scalar would be a base-60 number to other YAML 1.1 readers ("12:30"). */
bool yaml_scalar_is_base60(const char *text, size_t len);
