/* SPDX-License-Identifier: Apache-2.0 */
#include "local/agent_probe.h"

#define BACKOFF_FIRST (10 * USEC_PER_SEC)
#define BACKOFF_MOST  (5 * USEC_PER_MIN)
#define BACKOFF_RESET (10 * USEC_PER_MIN)

void probe_begin(ProbeState *state, const ProbeSpec *spec, ProbeVerdict first, usec_t now) {
    *state = (ProbeState){ .verdict = first,
                           .next = spec->present ? now + spec->initial_delay : USEC_INFINITY };
}

void probe_stop(ProbeState *state) {
    state->next = USEC_INFINITY;
}

void probe_asked(ProbeState *state) {
    ASSERT(!state->asking);
    state->asking = true;
}

bool probe_answer(ProbeState *state, const ProbeSpec *spec, bool ok, usec_t now) {
    ASSERT(state->asking);
    state->asking = false;
    if (state->next != USEC_INFINITY)
        state->next =
            MAX(state->next + spec->period, now); /* the rhythm, not the answers, counts */
    state->in_row = state->in_row && state->last_ok == ok ? state->in_row + 1 : 1;
    state->last_ok = ok;
    int threshold = ok ? spec->success_threshold : spec->failure_threshold;
    ProbeVerdict verdict = ok ? PROBE_SUCCESS : PROBE_FAILURE;
    if (state->in_row < threshold || state->verdict == verdict)
        return false;
    state->verdict = verdict;
    return true;
}

usec_t backoff_wait(usec_t *state, usec_t ran) {
    usec_t wait = ran >= BACKOFF_RESET ? 0 : *state;
    *state = wait ? MIN(wait * 2, BACKOFF_MOST) : BACKOFF_FIRST;
    return wait;
}
