/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state API as `ray list` and its sisters use it: blocking calls. */

#include "cmd/job_client.h"

/* Parameters of a question: the text after "?" grows. */
void state_query(Buf *target, const char *name, const char *value);

/* The answer's "data.result", or the whole answer where that is no envelope. An answer that says no is
 * -EREMOTEIO with the peer's words. New reference. */
_must_check_ int state_get(const char *address, double timeout, const char *target,
                           json_t **ret_result);
/* Text as it comes, to standard output, to its end. `timeout` 0: none. */
_must_check_ int state_stream(const char *address, double timeout, const char *target);

/* Is `r` of an answer that says no? */
static inline bool state_refused(int r) {
    return r == -EREMOTEIO;
}
/* Says why a question failed, with the peer's name of the exception. Gives the exit status, 1. */
int state_failed(int r);

/* On stderr, what the user should know of an answer that is not whole. */
void state_warn(const char *resource, const json_t *answer, bool limited);
