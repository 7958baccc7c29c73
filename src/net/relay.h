/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Copies bytes both ways between two streams, with backpressure and half-closes passed on: port
 * forwards, proxies, upgraded connections. */

#include "net/stream.h"

typedef struct Relay Relay;
/* Once, when both directions are finished or either side failed (r negative, with a sentence).
 * Counts are bytes that went from a to b and from b to a. Free the relay. */
typedef void RelayFn(void *ctx, int r, uint64_t a_to_b, uint64_t b_to_a);

/* Takes both streams; either may still be connecting. `idle` 0: no idle timeout. */
Relay *relay_new(Stream *a, Stream *b, usec_t idle, RelayFn *fn, void *ctx);
Relay *relay_free(Relay *relay); /* closes both */
DEFINE_CLEANUP(Relay *, relay_free);
