/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/group.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/plant.h"

/* A node while the plan is made. */
typedef struct Slot {
    const SchedNode *node;
    ResourceSet free;
    double used;      /* how full the node is without this group */
    uint32_t bundles; /* of this group */
    uint32_t seen;    /* by the matching, in its round */
    uint32_t holds;   /* STRICT_SPREAD: 1 + the bundle that it is matched with */
} Slot;

typedef struct Plan {
    const GroupRequest *request;
    Slot *slots;         /* the least used first */
    size_t slots_len;
    uint32_t *order;     /* bundles, the most demanding first */
    const Slot **placed; /* by bundle */
    uint32_t round;
} Plan;

/* ---- the parts --------------------------------------------------------------------------------- */

static bool fits(const Plan *plan, const Slot *slot, size_t bundle) {
    const GroupBundle *b = &plan->request->bundles[bundle];
    return resources_fit(&slot->free, b->resources) &&
           (!b->labels || label_selector_matches(b->labels, &slot->node->labels));
}

static void place(Plan *plan, Slot *slot, size_t bundle) {
    resources_sub(&slot->free, plan->request->bundles[bundle].resources);
    slot->bundles++;
    plan->placed[bundle] = slot;
}

static int slot_order(const void *a, const void *b) {
    const Slot *x = a, *y = b;
    if (x->used != y->used)
        return x->used < y->used ? -1 : 1;
    return memcmp(&x->node->id, &y->node->id, sizeof(NodeId));
}

/* GPUs are the scarcest, then what only some nodes have, then CPUs, then memory. */
static int demand_order(const void *a, const void *b, void *context) {
    const GroupRequest *request = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const ResourceSet *x = request->bundles[i].resources, *y = request->bundles[j].resources;
    const Quantity keys[][2] = {
        { x->known[RESOURCE_GPU], y->known[RESOURCE_GPU] },
        { x->custom_len, y->custom_len },
        { x->known[RESOURCE_CPU], y->known[RESOURCE_CPU] },
        { x->known[RESOURCE_MEMORY], y->known[RESOURCE_MEMORY] },
    };
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        if (keys[k][0] != keys[k][1])
            return keys[k][0] > keys[k][1] ? -1 : 1;
    return i < j ? -1 : 1;
}

/* ---- the policies ------------------------------------------------------------------------------ */

/* How many of the bundles that have no place yet fit on the slot together; with `take` they go there. */
static size_t fill(Plan *plan, Slot *slot, bool take) {
    size_t count = 0;
    _cleanup_resources_ ResourceSet former = { 0 };
    if (!take)
        resources_copy(&former, &slot->free);
    for (size_t i = 0; i < plan->request->len; i++) {
        size_t bundle = plan->order[i];
        if (plan->placed[bundle] || !fits(plan, slot, bundle))
            continue;
        count++;
        if (take)
            place(plan, slot, bundle);
        else
            resources_sub(&slot->free, plan->request->bundles[bundle].resources);
    }
    if (!take)
        resources_copy(&slot->free, &former);
    return count;
}

static bool plan_pack(Plan *plan) {
    for (size_t left = plan->request->len; left > 0;) {
        Slot *best = NULL;
        size_t best_count = 0;
        for (size_t i = 0; i < plan->slots_len; i++) {
            Slot *slot = &plan->slots[i];
            size_t count = fill(plan, slot, false);
            bool joins = best && slot->bundles > 0 && best->bundles == 0;
            if (count > best_count || (count && count == best_count && joins)) {
                best = slot;
                best_count = count;
            }
            if (best_count == left && best->bundles > 0)
                break;
        }
        if (!best)
            return false;
        left -= fill(plan, best, true);
    }
    return true;
}

static bool plan_strict_pack(Plan *plan) {
    const GroupRequest *request = plan->request;
    Slot *best = NULL;
    for (size_t i = 0; i < plan->slots_len; i++) {
        Slot *slot = &plan->slots[i];
        bool wanted = id_equal(&slot->node->id, &request->soft_target);
        if (request->held_len && !slot->bundles)
            continue;
        if ((!best || wanted) && fill(plan, slot, false) == request->len)
            best = slot;
    }
    return best && fill(plan, best, true) == request->len;
}

static bool plan_spread(Plan *plan) {
    for (size_t i = 0; i < plan->request->len; i++) {
        size_t bundle = plan->order[i];
        Slot *best = NULL;
        for (size_t s = 0; s < plan->slots_len; s++) {
            Slot *slot = &plan->slots[s];
            if ((!best || slot->bundles < best->bundles) && fits(plan, slot, bundle))
                best = slot;
        }
        if (!best)
            return false;
        place(plan, best, bundle);
    }
    return true;
}

/* An augmenting path from the bundle: it gets a slot, others may move to another one. */
static bool match(Plan *plan, uint32_t bundle) {
    for (size_t s = 0; s < plan->slots_len; s++) {
        Slot *slot = &plan->slots[s];
        if (slot->bundles || slot->seen == plan->round || !fits(plan, slot, bundle))
            continue;
        slot->seen = plan->round;
        if (slot->holds && !match(plan, slot->holds - 1))
            continue;
        slot->holds = bundle + 1;
        return true;
    }
    return false;
}

static bool plan_strict_spread(Plan *plan) {
    if (plan->request->len > plan->slots_len)
        return false;
    for (size_t i = 0; i < plan->request->len; i++) {
        plan->round++;
        if (!match(plan, plan->order[i]))
            return false;
    }
    for (size_t s = 0; s < plan->slots_len; s++)
        if (plan->slots[s].holds)
            place(plan, &plan->slots[s], plan->slots[s].holds - 1);
    return true;
}

/* ---- one attempt -------------------------------------------------------------------------------- */

static bool in_topology(const GroupRequest *request, const SchedNode *node, const char *value) {
    if (!request->topology)
        return true;
    const char *own = labels_get(&node->labels, request->topology);
    return own && strcmp(own, value) == 0;
}

static void slots_take(Plan *plan, SchedView view, bool whole, const char *value) {
    const GroupRequest *request = plan->request;
    plan->slots = mem_array(Slot, view.len);
    for (size_t i = 0; i < view.len; i++) {
        const SchedNode *node = view.nodes[i];
        if (!node->schedulable || !in_topology(request, node, value))
            continue;
        Slot *slot = &plan->slots[plan->slots_len++];
        *slot = (Slot){ .node = node, .used = whole ? 0 : sched_utilisation(node) };
        resources_copy(&slot->free, whole ? &node->total : &node->available);
        for (size_t h = 0; h < request->held_len && !PLANTED(14); h++)
            slot->bundles += id_equal(&node->id, &request->held[h]);
    }
    if (plan->slots_len)
        qsort(plan->slots, plan->slots_len, sizeof(Slot), slot_order);
}

static bool plan_run(Plan *plan) {
    switch (plan->request->policy) {
    case GROUP_PACK:
        return plan_pack(plan);
    case GROUP_SPREAD:
        return plan_spread(plan);
    case GROUP_STRICT_PACK:
        return plan_strict_pack(plan);
    case GROUP_STRICT_SPREAD:
        return plan_strict_spread(plan);
    }
    return false;
}

/* `whole`: as if nobody else used the nodes. */
static bool attempt(SchedView view, const GroupRequest *request, bool whole, const char *value,
                    const SchedNode **ret_nodes) {
    Plan plan = { .request = request };
    slots_take(&plan, view, whole, value);
    plan.order = mem_array(uint32_t, request->len);
    plan.placed = mem_array(const Slot *, request->len);
    for (uint32_t i = 0; i < request->len; i++)
        plan.order[i] = i;
    if (request->len > 1)
        qsort_r(plan.order, request->len, sizeof(uint32_t), demand_order,
                (void *)(uintptr_t)request);
    bool found = plan_run(&plan);
    for (size_t i = 0; found && ret_nodes && i < request->len; i++)
        ret_nodes[i] = plan.placed[i]->node;
    for (size_t i = 0; i < plan.slots_len; i++)
        resources_done(&plan.slots[i].free);
    free(plan.slots);
    free(plan.order);
    free(plan.placed);
    return found;
}

/* The value of the topology's label where the group has bundles already, or NULL. */
static const char *held_value(SchedView view, const GroupRequest *request) {
    for (size_t i = 0; i < view.len; i++)
        for (size_t h = 0; h < request->held_len; h++)
            if (id_equal(&view.nodes[i]->id, &request->held[h]))
                return labels_get(&view.nodes[i]->labels, request->topology);
    return NULL;
}

static bool attempt_all(SchedView view, const GroupRequest *request, bool whole,
                        const SchedNode **ret_nodes) {
    if (!request->topology)
        return attempt(view, request, whole, NULL, ret_nodes);
    const char *held = held_value(view, request);
    if (held)
        return attempt(view, request, whole, held, ret_nodes);
    for (size_t i = 0; i < view.len; i++) {
        const char *value = labels_get(&view.nodes[i]->labels, request->topology);
        bool tried = !value;
        for (size_t before = 0; before < i && !tried; before++)
            tried = in_topology(request, view.nodes[before], value);
        if (!tried && attempt(view, request, whole, value, ret_nodes))
            return true;
    }
    return false;
}

SchedAnswer group_plan(SchedView view, const GroupRequest *request, const SchedNode **ret_nodes) {
    ASSERT(request->len > 0 && request->len <= GROUP_BUNDLES_MAX);
    if (attempt_all(view, request, false, ret_nodes))
        return SCHED_FOUND;
    return attempt_all(view, request, true, NULL) ? SCHED_WAIT : SCHED_INFEASIBLE;
}
