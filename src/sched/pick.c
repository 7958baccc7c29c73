/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/pick.h"

#include <stdlib.h>

#include "base/vec.h"

/* Below this utilisation nodes count as equal, so that the first ones are packed. */
#define SPREAD_THRESHOLD 0.5
/* The choice is random among this part of the nodes (at least one). */
#define TOP_PART 0.2

typedef struct Candidate {
    const SchedNode *node;
    double score;
} Candidate;

typedef Vec(Candidate) Candidates;

void sched_node_done(SchedNode *node) {
    resources_done(&node->total);
    resources_done(&node->available);
    labels_done(&node->labels);
    *node = (SchedNode){ 0 };
}

static uint64_t next_random(SchedState *state) { /* splitmix64 */
    uint64_t z = state->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double sched_utilisation(const SchedNode *node) {
    static const ResourceKind kinds[] = { RESOURCE_CPU, RESOURCE_MEMORY,
                                          RESOURCE_OBJECT_STORE_MEMORY };
    double most = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        double total = (double)node->total.known[kinds[i]];
        double available = (double)node->available.known[kinds[i]];
        if (total > 0)
            most = MAX(most, (total - available) / total);
    }
    return most;
}

static bool could_take(const SchedNode *node, const SchedRequest *request) {
    return node->schedulable && resources_fit(&node->total, request->resources) &&
           (!request->labels || label_selector_matches(request->labels, &node->labels));
}

static bool has_room(const SchedNode *node, const SchedRequest *request) {
    return resources_fit(&node->available, request->resources);
}

static int candidate_order(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return memcmp(&x->node->id, &y->node->id, sizeof(NodeId));
}

/* The nodes with room; *ret_feasible says if any could take it with time. */
static void collect(SchedView view, const SchedRequest *request, Candidates *candidates,
                    bool *ret_feasible) {
    *ret_feasible = false;
    for (size_t i = 0; i < view.len; i++) {
        const SchedNode *node = view.nodes[i];
        if (!could_take(node, request))
            continue;
        *ret_feasible = true;
        if (!has_room(node, request))
            continue;
        double used = sched_utilisation(node);
        vec_push(candidates, (Candidate){ node, used < SPREAD_THRESHOLD ? 0 : used });
    }
    if (candidates->len)
        qsort(candidates->items, candidates->len, sizeof(Candidate), candidate_order);
}

static const SchedNode *take_hybrid(SchedState *state, const Candidates *c, const NodeId *local,
                                    const NodeId *near, size_t nodes) {
    for (size_t i = 0; i < c->len; i++)
        if (id_equal(&c->items[i].node->id, near))
            return c->items[i].node;
    for (size_t i = 0; i < c->len && c->items[i].score == c->items[0].score; i++)
        if (id_equal(&c->items[i].node->id, local))
            return c->items[i].node;
    size_t top = MAX((size_t)((double)nodes * TOP_PART), (size_t)1);
    return c->items[next_random(state) % MIN(top, c->len)].node;
}

static const SchedNode *take_next(SchedState *state, const Candidates *c) {
    const SchedNode *first = NULL, *next = NULL; /* in the order of ids, after the last one taken */
    for (size_t i = 0; i < c->len; i++) {
        const SchedNode *node = c->items[i].node;
        if (!first || memcmp(&node->id, &first->id, sizeof(NodeId)) < 0)
            first = node;
        if (memcmp(&node->id, &state->last_spread, sizeof(NodeId)) > 0 &&
            (!next || memcmp(&node->id, &next->id, sizeof(NodeId)) < 0))
            next = node;
    }
    const SchedNode *taken = next ? next : first;
    state->last_spread = taken->id;
    return taken;
}

static SchedAnswer pick_any(SchedState *state, SchedView view, const NodeId *local,
                            const SchedRequest *request, const SchedNode **ret_node) {
    Candidates candidates = { 0 };
    bool feasible;
    collect(view, request, &candidates, &feasible);
    SchedAnswer answer = feasible ? SCHED_WAIT : SCHED_INFEASIBLE;
    if (candidates.len > 0) {
        answer = SCHED_FOUND;
        if (request->kind == SCHED_SPREAD)
            *ret_node = take_next(state, &candidates);
        else if (request->kind == SCHED_RANDOM)
            *ret_node = candidates.items[next_random(state) % candidates.len].node;
        else
            *ret_node = take_hybrid(state, &candidates, local, &request->near, view.len);
    }
    vec_done(&candidates);
    return answer;
}

static SchedAnswer pick_one(SchedState *state, SchedView view, const NodeId *local,
                            const SchedRequest *request, const SchedNode **ret_node) {
    const SchedNode *wanted = NULL;
    for (size_t i = 0; i < view.len && !wanted; i++)
        if (id_equal(&view.nodes[i]->id, &request->node))
            wanted = view.nodes[i];
    bool possible = wanted && could_take(wanted, request);
    if (possible && has_room(wanted, request)) {
        *ret_node = wanted;
        return SCHED_FOUND;
    }
    if (request->soft && (!possible || request->spill_on_unavailable)) {
        SchedRequest elsewhere = *request;
        elsewhere.kind = SCHED_DEFAULT;
        return pick_any(state, view, local, &elsewhere, ret_node);
    }
    if (!wanted || !wanted->schedulable)
        return SCHED_FAILED;
    if (request->fail_on_unavailable)
        return SCHED_FAILED;
    return possible ? SCHED_WAIT : SCHED_INFEASIBLE;
}

static SchedAnswer pick_by(SchedState *state, SchedView view, const NodeId *local,
                           const SchedRequest *request, const SchedNode **ret_node) {
    if (request->kind == SCHED_AFFINITY)
        return pick_one(state, view, local, request, ret_node);
    return pick_any(state, view, local, request, ret_node);
}

SchedAnswer sched_pick(SchedState *state, SchedView view, const NodeId *local,
                       const SchedRequest *request, const SchedNode **ret_node) {
    SchedAnswer first = pick_by(state, view, local, request, ret_node);
    for (size_t i = 0; first != SCHED_FOUND && i < request->fallback_len; i++) {
        SchedRequest other = *request;
        other.labels = &request->fallback[i];
        SchedAnswer answer = pick_by(state, view, local, &other, ret_node);
        if (answer == SCHED_FOUND)
            return answer;
        if (first != SCHED_WAIT)
            first = answer;
    }
    return first;
}
