/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between a daemon and who started it. */

#include "codec/json.h"
#include "loop/loop.h"

/* The one line that the starter waits for on `--ready-fd`, which is closed then: an address, or
 * "error". Takes `line`; nothing is said where `fd` is negative. */
void life_say(int64_t fd, json_t *line);

/* A daemon that lives as long as its starter: `--life-fd N` is one end of a pipe whose other end only
 * the starter holds. When that closes, however the starter ended, the loop stops. */

/* Negative `fd`: nothing to watch, *ret_watch stays as it is. */
_must_check_ int life_watch(Loop *loop, int64_t fd, LoopFd **ret_watch);
