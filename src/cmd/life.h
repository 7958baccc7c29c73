/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A daemon that lives as long as who started it: `--life-fd N` is one end of a pipe whose other end
 * only the starter holds. When that closes, however the starter ended, the loop stops. */

#include "loop/loop.h"

/* Negative `fd`: nothing to watch, *ret_watch stays as it is. */
_must_check_ int life_watch(Loop *loop, int64_t fd, LoopFd **ret_watch);
