/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Doubles as text in the fewest digits that read back the same, in the two layouts of Go. */

#include "base/base.h"

enum {
    NUMBER_TEXT_MAX = 40
};

typedef enum NumberStyle {
    NUMBER_JSON, /* encoding/json: exponent below 1e-6 and from 1e21, "1e-7" */
    NUMBER_YAML, /* FormatFloat 'g': exponent below 1e-4 and from 1e6, "1e-07" */
} NumberStyle;

/* `real` is finite. */
void number_format(double real, NumberStyle style, char out[static NUMBER_TEXT_MAX]);
