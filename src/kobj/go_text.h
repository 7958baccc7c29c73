/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Values as Go's fmt prints what encoding/json makes of them: parts of Kubernetes' sentences. */

#include "base/base.h"
#include "base/str.h"
#include "codec/json.h"

/* %v: `map[a:1 b:[x y]]`, `<nil>`; a string is itself. */
void go_text_plain(const json_t *value, Buf *out);
/* %#v: `map[string]interface {}{"a":1}`, `"x"`. */
void go_text_source(const json_t *value, Buf *out);
/* %T: `string`, `int64`, `map[string]interface {}`. */
const char *go_text_type(const json_t *value);
