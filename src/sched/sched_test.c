/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "sched/devices.h"
#include "sched/pick.h"

enum {
    NODES = 10
};

typedef struct World {
    SchedNode node[NODES];
    const SchedNode *view[NODES];
    SchedState state;
    ResourceSet want;
    LabelSelector selector;
} World;

static void set(ResourceSet *to, const char *name, double value) {
    Quantity q;
    CHECK_OK(quantity_from_double(value, &q));
    CHECK_OK(resources_set(to, name, q));
}

/* Nodes 0..9 with 4 CPUs each; id i is all bytes i + 1. */
static void world_init(World *w) {
    *w = (World){ .state.random = 7 };
    for (int i = 0; i < NODES; i++) {
        SchedNode *node = &w->node[i];
        memset(&node->id, i + 1, sizeof(node->id));
        node->schedulable = true;
        set(&node->total, "CPU", 4);
        set(&node->available, "CPU", 4);
        w->view[i] = node;
    }
    set(&w->want, "CPU", 1);
}

static void world_done(World *w) {
    for (int i = 0; i < NODES; i++)
        sched_node_done(&w->node[i]);
    resources_done(&w->want);
    label_selector_done(&w->selector);
}

static int pick(World *w, SchedRequest request, int local, SchedAnswer *ret_answer) {
    const SchedNode *node = NULL;
    NodeId none = { 0 };
    request.resources = &w->want;
    request.labels = w->selector.len ? &w->selector : NULL;
    *ret_answer = sched_pick(&w->state, (SchedView){ w->view, NODES },
                             local < 0 ? &none : &w->node[local].id, &request, &node);
    return *ret_answer == SCHED_FOUND ? (int)(node - w->node) : -1;
}

static void test_default_packs_local_then_spreads(void **state) {
    World w;
    SchedAnswer answer;
    world_init(&w);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(pick(&w, (SchedRequest){ 0 }, 3, &answer), 3);
        resources_sub(&w.node[3].available, &w.want);
    }
    int other = pick(&w, (SchedRequest){ 0 }, 3, &answer); /* half used: not the best any more */
    CHECK(other >= 0 && other != 3);
    for (int i = 0; i < NODES; i++)
        set(&w.node[i].available, "CPU", i == 6 ? 1.5 : 1);
    CHECK_INT(pick(&w, (SchedRequest){ 0 }, -1, &answer) >= 0, 1);
    for (int i = 0; i < NODES; i++)
        set(&w.node[i].available, "CPU", 0.5);
    CHECK_INT(pick(&w, (SchedRequest){ 0 }, 3, &answer), -1);
    CHECK_INT(answer, SCHED_WAIT);
    set(&w.want, "CPU", 5);
    pick(&w, (SchedRequest){ 0 }, 3, &answer);
    CHECK_INT(answer, SCHED_INFEASIBLE);
    world_done(&w);
}

static void test_default_goes_near_what_it_reads(void **state) {
    World w;
    SchedAnswer answer;
    world_init(&w);
    SchedRequest request = { .near = w.node[6].id };
    resources_sub(&w.node[6].available, &w.want); /* though more than half of it is used */
    resources_sub(&w.node[6].available, &w.want);
    resources_sub(&w.node[6].available, &w.want);
    CHECK_INT(pick(&w, request, 3, &answer), 6);
    resources_sub(&w.node[6].available, &w.want);
    CHECK_INT(pick(&w, request, 3, &answer), 3); /* no room there */
    resources_add(&w.node[6].available, &w.want);
    w.node[6].schedulable = false;
    CHECK_INT(pick(&w, request, 3, &answer), 3);
    memset(&request.near, 0x77, sizeof(request.near)); /* nobody knows it */
    CHECK_INT(pick(&w, request, 3, &answer), 3);
    world_done(&w);
}

static void test_default_is_random_among_top(void **state) {
    World w;
    SchedAnswer answer;
    bool seen[NODES] = { 0 };
    world_init(&w);
    for (int i = 0; i < 100; i++)
        seen[pick(&w, (SchedRequest){ 0 }, -1, &answer)] = true;
    CHECK(seen[0] && seen[1]);
    for (int i = 2; i < NODES; i++)
        CHECK(!seen[i]);
    world_done(&w);
}

static void test_spread_goes_round(void **state) {
    World w;
    SchedAnswer answer;
    world_init(&w);
    w.node[4].schedulable = false;
    set(&w.node[7].available, "CPU", 0);
    int expect[] = { 0, 1, 2, 3, 5, 6, 8, 9, 0 };
    for (size_t i = 0; i < ARRAY_LEN(expect); i++)
        CHECK_INT(pick(&w, (SchedRequest){ .kind = SCHED_SPREAD }, 0, &answer), expect[i]);
    world_done(&w);
}

static void test_affinity(void **state) {
    World w;
    SchedAnswer answer;
    world_init(&w);
    SchedRequest hard = { .kind = SCHED_AFFINITY, .node = w.node[5].id };
    SchedRequest soft = hard;
    soft.soft = true;
    CHECK_INT(pick(&w, hard, 0, &answer), 5);
    set(&w.node[5].available, "CPU", 0);
    CHECK_INT(pick(&w, hard, 0, &answer), -1);
    CHECK_INT(answer, SCHED_WAIT);
    CHECK_INT(pick(&w, soft, 0, &answer), -1);
    CHECK_INT(answer, SCHED_WAIT);
    soft.spill_on_unavailable = true;
    CHECK_INT(pick(&w, soft, 0, &answer), 0);
    hard.fail_on_unavailable = true;
    CHECK_INT(pick(&w, hard, 0, &answer), -1);
    CHECK_INT(answer, SCHED_FAILED);
    w.node[5].schedulable = false;
    hard.fail_on_unavailable = soft.spill_on_unavailable = false;
    CHECK_INT(pick(&w, hard, 0, &answer), -1);
    CHECK_INT(answer, SCHED_FAILED);
    CHECK_INT(pick(&w, soft, 2, &answer), 2);
    memset(&hard.node, 0xee, sizeof(hard.node));
    CHECK_INT(pick(&w, hard, 0, &answer), -1);
    CHECK_INT(answer, SCHED_FAILED);
    world_done(&w);
}

static void test_labels(void **state) {
    World w;
    SchedAnswer answer;
    world_init(&w);
    CHECK_OK(labels_set(&w.node[8].labels, "zone", "b"));
    CHECK_OK(label_selector_add(&w.selector, "zone", "in(b,c)"));
    CHECK_INT(pick(&w, (SchedRequest){ 0 }, 0, &answer), 8);
    w.node[8].schedulable = false;
    CHECK_INT(pick(&w, (SchedRequest){ 0 }, 0, &answer), -1);
    CHECK_INT(answer, SCHED_INFEASIBLE);
    world_done(&w);
}

/* Whatever the seed: a node that is found has room, and one is found if any has. */
static void test_random_views(void **state) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        World w;
        SchedAnswer answer;
        world_init(&w);
        uint64_t bits = seed * 0x9e3779b97f4a7c15u;
        bool room = false;
        for (int i = 0; i < NODES; i++, bits = bits * 6364136223846793005u + 1) {
            set(&w.node[i].available, "CPU", (double)(bits >> 60) / 4);
            w.node[i].schedulable = (bits >> 50 & 3) != 0;
            room |= w.node[i].schedulable && (bits >> 60) >= 4;
        }
        w.state.random = seed;
        int found =
            pick(&w, (SchedRequest){ .kind = (SchedKind)(seed % 2) }, (int)(seed % NODES), &answer);
        CHECK_INT(found >= 0, room);
        if (found >= 0)
            CHECK(w.node[found].schedulable && resources_fit(&w.node[found].available, &w.want));
        world_done(&w);
    }
}

static void test_devices(void **state) {
    Devices devices;
    DeviceShare a, b, c, d;
    CHECK_OK(devices_init(&devices, 3));
    CHECK(devices_take(&devices, QUANTITY_ONE / 2, &a));
    CHECK(devices_take(&devices, QUANTITY_ONE / 4, &b));
    CHECK_INT(a.index[0], b.index[0]);
    CHECK(devices_take(&devices, 2 * QUANTITY_ONE, &c));
    CHECK(c.index[0] == 1 && c.index[1] == 2);
    CHECK(!devices_take(&devices, QUANTITY_ONE / 2, &d));
    CHECK(!devices_take(&devices, 1000000 * QUANTITY_ONE, &d));
    CHECK(devices_take(&devices, 0, &d) && d.len == 0);
    devices_give(&devices, &a);
    CHECK(!devices_take(&devices, QUANTITY_ONE, &d));
    devices_give(&devices, &b);
    CHECK(devices_take(&devices, QUANTITY_ONE, &d));
    devices_give(&devices, &c);
    devices_give(&devices, &d);
    CHECK_INT(devices_check(QUANTITY_ONE * 3 / 2), -EINVAL);
    CHECK_OK(devices_check(QUANTITY_ONE / 3));
    devices_done(&devices);
}

static void test_fallback(void **state) {
    World w;
    SchedAnswer answer;
    world_init(&w);
    CHECK_OK(labels_set(&w.node[4].labels, "zone", "b"));
    CHECK_OK(label_selector_add(&w.selector, "zone", "a"));
    LabelSelector others[2] = { 0 };
    CHECK_OK(label_selector_add(&others[0], "zone", "c"));
    CHECK_OK(label_selector_add(&others[1], "zone", "b"));
    SchedRequest request = { .fallback = others, .fallback_len = 1 };
    (void)pick(&w, request, -1, &answer);
    CHECK_INT(answer, SCHED_INFEASIBLE);
    request.fallback_len = 2;
    CHECK_INT(pick(&w, request, -1, &answer), 4);
    set(&w.node[4].available, "CPU", 0);
    (void)pick(&w, request, -1, &answer);
    CHECK_INT(answer, SCHED_WAIT);
    CHECK_OK(labels_set(&w.node[7].labels, "zone", "a")); /* the first choice, again */
    CHECK_INT(pick(&w, request, -1, &answer), 7);
    label_selector_done(&others[0]);
    label_selector_done(&others[1]);
    world_done(&w);
}

int main(void) {
    return TEST_RUN(
        TEST(test_default_packs_local_then_spreads), TEST(test_default_goes_near_what_it_reads),
        TEST(test_default_is_random_among_top), TEST(test_spread_goes_round), TEST(test_affinity),
        TEST(test_labels), TEST(test_fallback), TEST(test_random_views), TEST(test_devices));
}
