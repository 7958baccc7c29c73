/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/clock.h"

/* What is left until a deadline of the monotonic clock: 0 once it is over; USEC_INFINITY stays that. */
static inline usec_t time_left(usec_t deadline) {
    return deadline == USEC_INFINITY ? USEC_INFINITY : MAX(deadline - time_mono_now(), (usec_t)0);
}
