/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/group.h"

#include "base/test.h"

enum {
    NODES = 6,
    BUNDLES = 12,
};

typedef struct World {
    SchedNode node[NODES];
    const SchedNode *view[NODES];
    size_t nodes;
    ResourceSet want[BUNDLES];
    LabelSelector selector[BUNDLES];
    GroupBundle bundle[BUNDLES];
    GroupRequest request;
    const SchedNode *got[BUNDLES];
} World;

static void set(ResourceSet *to, const char *name, double value) {
    Quantity q;
    CHECK_OK(quantity_from_double(value, &q));
    CHECK_OK(resources_set(to, name, q));
}

static void node_add(World *w, double cpus, double gpus) {
    size_t i = w->nodes++;
    SchedNode *node = &w->node[i];
    memset(&node->id, (int)i + 1, sizeof(node->id));
    node->schedulable = true;
    set(&node->total, "CPU", cpus);
    set(&node->total, "GPU", gpus);
    resources_copy(&node->available, &node->total);
    w->view[i] = node;
}

static void bundle_add(World *w, double cpus, double gpus) {
    size_t i = w->request.len++;
    set(&w->want[i], "CPU", cpus);
    set(&w->want[i], "GPU", gpus);
    w->bundle[i] = (GroupBundle){ &w->want[i], &w->selector[i] };
    w->request.bundles = w->bundle;
}

static void world_done(World *w) {
    for (size_t i = 0; i < NODES; i++)
        sched_node_done(&w->node[i]);
    for (size_t i = 0; i < BUNDLES; i++) {
        resources_done(&w->want[i]);
        label_selector_done(&w->selector[i]);
    }
}

static SchedAnswer plan(World *w, GroupPolicy policy) {
    w->request.policy = policy;
    return group_plan((SchedView){ w->view, w->nodes }, &w->request, w->got);
}

static size_t distinct(const World *w) {
    size_t count = 0;
    for (size_t i = 0; i < w->request.len; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen |= w->got[j] == w->got[i];
        count += !seen;
    }
    return count;
}

static void test_pack_uses_few_nodes(void **state) {
    World w = { 0 };
    for (int i = 0; i < 3; i++)
        node_add(&w, 4, 0);
    for (int i = 0; i < 4; i++)
        bundle_add(&w, 1, 0);
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_FOUND);
    CHECK_INT(distinct(&w), 1);
    CHECK_INT(plan(&w, GROUP_STRICT_PACK), SCHED_FOUND);
    CHECK_INT(distinct(&w), 1);
    bundle_add(&w, 1, 0);
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_FOUND);
    CHECK_INT(distinct(&w), 2);
    CHECK_INT(plan(&w, GROUP_STRICT_PACK), SCHED_INFEASIBLE);
    world_done(&w);
}

static void test_spread_is_even(void **state) {
    World w = { 0 };
    for (int i = 0; i < 3; i++)
        node_add(&w, 4, 0);
    for (int i = 0; i < 3; i++)
        bundle_add(&w, 1, 0);
    CHECK_INT(plan(&w, GROUP_SPREAD), SCHED_FOUND);
    CHECK_INT(distinct(&w), 3);
    CHECK_INT(plan(&w, GROUP_STRICT_SPREAD), SCHED_FOUND);
    CHECK_INT(distinct(&w), 3);
    bundle_add(&w, 1, 0);
    CHECK_INT(plan(&w, GROUP_SPREAD), SCHED_FOUND);
    CHECK_INT(distinct(&w), 3);
    CHECK_INT(plan(&w, GROUP_STRICT_SPREAD), SCHED_INFEASIBLE);
    world_done(&w);
}

/* Only a matching finds it: the small bundle must leave the large node to the large one. */
static void test_strict_spread_finds_the_only_way(void **state) {
    World w = { 0 };
    node_add(&w, 4, 0);
    node_add(&w, 2, 0);
    node_add(&w, 1, 1);
    bundle_add(&w, 1, 0);
    bundle_add(&w, 2, 0);
    bundle_add(&w, 3, 0);
    CHECK_INT(plan(&w, GROUP_STRICT_SPREAD), SCHED_FOUND);
    CHECK_INT(w.got[0] - w.node, 2);
    CHECK_INT(w.got[1] - w.node, 1);
    CHECK_INT(w.got[2] - w.node, 0);
    world_done(&w);
}

static void test_waits_or_never(void **state) {
    World w = { 0 };
    node_add(&w, 2, 1);
    bundle_add(&w, 2, 0);
    set(&w.node[0].available, "CPU", 1);
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_WAIT);
    set(&w.node[0].available, "CPU", 2);
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_FOUND);
    w.node[0].schedulable = false;
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_INFEASIBLE);
    world_done(&w);
}

static void test_labels_and_topology(void **state) {
    World w = { 0 };
    for (int i = 0; i < 4; i++) {
        node_add(&w, 2, 0);
        CHECK_OK(labels_set(&w.node[i].labels, "rack", i < 2 ? "a" : "b"));
        CHECK_OK(labels_set(&w.node[i].labels, "n", (char[]){ (char)('0' + i), 0 }));
    }
    bundle_add(&w, 2, 0);
    bundle_add(&w, 2, 0);
    CHECK_OK(label_selector_add(&w.selector[1], "n", "3"));
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_FOUND);
    CHECK_INT(w.got[1] - w.node, 3);
    w.request.topology = "rack";
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_FOUND);
    CHECK_INT(w.got[0] - w.node, 2);
    CHECK_INT(w.got[1] - w.node, 3);
    bundle_add(&w, 1, 0);
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_INFEASIBLE);
    world_done(&w);
}

static void test_rescheduling_keeps_the_policy(void **state) {
    World w = { 0 };
    for (int i = 0; i < 3; i++)
        node_add(&w, 4, 0);
    bundle_add(&w, 1, 0);
    NodeId held[] = { w.node[0].id, w.node[1].id };
    w.request.held = held;
    w.request.held_len = 2;
    CHECK_INT(plan(&w, GROUP_STRICT_SPREAD), SCHED_FOUND);
    CHECK_INT(w.got[0] - w.node, 2);
    CHECK_INT(plan(&w, GROUP_SPREAD), SCHED_FOUND);
    CHECK_INT(w.got[0] - w.node, 2);
    CHECK_INT(plan(&w, GROUP_PACK), SCHED_FOUND);
    CHECK(w.got[0] - w.node < 2);
    world_done(&w);
}

static void test_soft_target(void **state) {
    World w = { 0 };
    for (int i = 0; i < 3; i++)
        node_add(&w, 4, 0);
    bundle_add(&w, 1, 0);
    w.request.soft_target = w.node[2].id;
    CHECK_INT(plan(&w, GROUP_STRICT_PACK), SCHED_FOUND);
    CHECK_INT(w.got[0] - w.node, 2);
    set(&w.node[2].available, "CPU", 0);
    CHECK_INT(plan(&w, GROUP_STRICT_PACK), SCHED_FOUND);
    CHECK(w.got[0] - w.node < 2);
    world_done(&w);
}

/* Any cluster and group: what is planned fits and obeys the policy; what fits by itself is never infeasible. */
static uint64_t random_next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void check_plan(World *w) {
    for (size_t n = 0; n < w->nodes; n++) {
        _cleanup_resources_ ResourceSet sum = { 0 };
        size_t here = 0;
        for (size_t i = 0; i < w->request.len; i++) {
            if (w->got[i] != &w->node[n])
                continue;
            resources_add(&sum, &w->want[i]);
            here++;
        }
        CHECK(resources_fit(&w->node[n].available, &sum));
        if (w->request.policy == GROUP_STRICT_SPREAD)
            CHECK(here <= 1);
        if (w->request.policy == GROUP_STRICT_PACK)
            CHECK(here == 0 || here == w->request.len);
    }
}

static void test_any_cluster(void **state) {
    for (uint64_t start = 1; start <= 3000; start++) {
        uint64_t seed = start;
        World w = { 0 };
        size_t nodes = 1 + random_next(&seed) % NODES, bundles = 1 + random_next(&seed) % BUNDLES;
        for (size_t i = 0; i < nodes; i++) {
            node_add(&w, (double)(random_next(&seed) % 8), (double)(random_next(&seed) % 3));
            set(&w.node[i].available, "CPU",
                (double)random_next(&seed) / 4294967296.0 *
                    quantity_to_double(w.node[i].total.known[RESOURCE_CPU]));
        }
        for (size_t i = 0; i < bundles; i++)
            bundle_add(&w, 1 + (double)(random_next(&seed) % 3), (double)(random_next(&seed) % 2));
        SchedAnswer found[4];
        for (int policy = 0; policy < 4; policy++) {
            found[policy] = plan(&w, (GroupPolicy)policy);
            if (found[policy] == SCHED_FOUND)
                check_plan(&w);
        }
        if (found[GROUP_STRICT_PACK] == SCHED_FOUND)
            CHECK_INT(found[GROUP_PACK], SCHED_FOUND);
        world_done(&w);
    }
}

int main(void) {
    return TEST_RUN(TEST(test_pack_uses_few_nodes), TEST(test_spread_is_even),
                    TEST(test_strict_spread_finds_the_only_way), TEST(test_waits_or_never),
                    TEST(test_labels_and_topology), TEST(test_rescheduling_keeps_the_policy),
                    TEST(test_soft_target), TEST(test_any_cluster));
}
