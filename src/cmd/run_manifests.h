/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Manifests from files, folders and standard input. */

#include "codec/json.h"

/* Appends the documents of FILE, of every .yaml, .yml and .json file of DIR (by name), or of
 * standard input ("-") to `documents`. Empty documents are left out. -EINVAL with file, line and
 * column; -ENOENT also for a folder without manifests. */
_must_check_ int manifests_load(const char *path, json_t *documents);
