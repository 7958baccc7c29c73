/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The agent's state on disk: JSON files replaced in one step. Not synced: they have to survive the
 * death of processes, and after that of the machine nothing they speak of exists.
 */

#include "codec/json.h"

_must_check_ int state_write(const char *path, const json_t *json);
_must_check_ int state_write_text(const char *path, Slice text, unsigned mode);
/* -ENOENT if there is none. */
_must_check_ int state_read(const char *path, json_t **ret_json);
