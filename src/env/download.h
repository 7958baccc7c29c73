/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Remote archives: http, https and file URIs into a local file. Blocking (env-setup only). */

#include "base/base.h"

/* -EFBIG beyond `max` bytes, -ETIMEDOUT after the deadline (monotonic); the sentence names the URI
 * without its query. */
_must_check_ int download(const char *uri, const char *path, uint64_t max, usec_t deadline);
