/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON values as Python prints them: texts of the peer that we keep contain them. */

#include "base/base.h"
#include "codec/json.h"

/* Appends repr(value): {'a': [1, None, True]} */
void pyrepr(const json_t *value, Buf *out);
void pyrepr_str(const char *s, Buf *out);
/* "<class 'str'>" */
const char *pyrepr_class(const json_t *value);
