/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keeping a built environment from being swept, by whoever runs processes in it. */

#include "base/base.h"
#include "codec/json.h"

/* Shared locks on all files of `holds` in env-setup's answer (env/setup.h). -ENOENT when something
 * was swept since: set up again. */
typedef struct EnvHold {
    int *fds;
    size_t len;
} EnvHold;
_must_check_ int env_hold(const json_t *answer, EnvHold *ret_hold);
void env_hold_done(EnvHold *hold);
