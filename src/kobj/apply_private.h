/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of server-side apply. */

#include "kobj/apply.h"

/* Whether a configuration is of its type, fields, kinds of values and keys of lists. -EBADMSG with
 * all that is wrong. */
_must_check_ int apply_check(const Schema *schema, const json_t *applied);
