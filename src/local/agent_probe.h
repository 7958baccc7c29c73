/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When a probe is due and what its answers mean. Pure: the time and each answer come in, a verdict
 * comes out. Semantics are the kubelet's: a verdict changes only after its threshold of equal
 * answers in a row; liveness and readiness wait for the startup probe; a readiness probe is asked
 * at once after the start, the others after a first period has begun.
 */

#include "local/agent_pod_spec.h"

typedef enum ProbeVerdict {
    PROBE_UNKNOWN,
    PROBE_SUCCESS,
    PROBE_FAILURE
} ProbeVerdict;

typedef struct ProbeState {
    ProbeVerdict verdict;
    bool last_ok;
    int in_row;  /* equal answers so far */
    bool asking; /* an answer is outstanding */
    usec_t next; /* when to ask; USEC_INFINITY: not now */
} ProbeState;

/* `first`: the verdict before the first answer (liveness begins with success). */
void probe_begin(ProbeState *state, const ProbeSpec *spec, ProbeVerdict first, usec_t now);
void probe_stop(ProbeState *state);
static inline bool probe_due(const ProbeState *state, usec_t now) {
    return !state->asking && state->next <= now;
}
void probe_asked(ProbeState *state);
/* True if the verdict changed (then it is state->verdict). */
bool probe_answer(ProbeState *state, const ProbeSpec *spec, bool ok, usec_t now);

/* How long a container that ended after `ran` waits for its next start: not at all the first time,
 * then 10 s, doubled each time up to 5 min, and from the beginning after 10 min of running. *state
 * starts at 0 and is the container's memory of it. */
usec_t backoff_wait(usec_t *state, usec_t ran);
