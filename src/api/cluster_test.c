/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cluster.h"

#include <stdlib.h>
#include <time.h>

#include "base/test.h"

static void test_the_text_of_ray_status(void **state) {
    Resource total[] = { { SLICE("CPU"), 40000 },
                         { SLICE("memory"), 10000LL * 8000000000 },
                         { SLICE("node:10.0.0.1"), 10000 },
                         { SLICE("object_store_memory"), 10000LL * 80000000 } };
    Resource available[] = { { SLICE("CPU"), 30000 },
                             { SLICE("memory"), 10000LL * 8000000000 },
                             { SLICE("node:10.0.0.1"), 10000 },
                             { SLICE("object_store_memory"), 10000LL * 80000000 } };
    Resource wanted[] = { { SLICE("CPU"), 10000 } };
    Demand demands[] = { { .resources = wanted, .resources_len = 1, .count = 3 } };
    Pair labels[] = { { SLICE("ray.io/node-group"), SLICE("small-group") } };
    NodeInfo nodes[] = {
        { .ip = SLICE("10.0.0.1"),
          .total = total,
          .total_len = 4,
          .available = available,
          .available_len = 4,
          .demands = demands,
          .demands_len = 1,
          .labels = labels,
          .labels_len = 1 },
        { .ip = SLICE("10.0.0.2"),
          .total = total,
          .total_len = 1,
          .available = total,
          .available_len = 1,
          .demands = demands,
          .demands_len = 1 },
        { .ip = SLICE("10.0.0.3"), .state = NODE_STATE_DEAD, .labels = labels, .labels_len = 1 },
    };
    const ClusterStatus status = { .nodes = nodes,
                                   .nodes_len = 3,
                                   .wall_ms = 1795343240123,
                                   .requested = demands,
                                   .requested_len = 1 };
    _cleanup_buf_ Buf text = { 0 };
    setenv("TZ", "UTC", 1);
    tzset();
    cluster_status_text(&status, false, true, &text);
    CHECK_STR(text.data,
              "======== Autoscaler status: 2026-11-22 10:27:20.123000 ========\n"
              "Node status\n"
              "---------------------------------------------------------------\n"
              "Active:\n 1 small-group\n"
              "Idle:\n 1 node_00000000000000000000000000000000000000000000000000000000\n"
              "Pending:\n (no pending nodes)\n"
              "Recent failures:\n small-group: NodeTerminated (ip: 10.0.0.3)\n"
              "\n"
              "Resources\n"
              "---------------------------------------------------------------\n"
              "Total Usage:\n 1.0/8.0 CPU\n 0B/7.45GiB memory\n 0B/76.29MiB object_store_memory\n"
              "\n"
              "From request_resources:\n {'CPU': 1.0}: 3 from request_resources()\n"
              "Pending Demands:\n {'CPU': 1.0}: 6+ pending tasks/actors\n");
}

static void test_placement_groups(void **state) {
    Resource total[] = { { SLICE("CPU"), 40000 } }, available[] = { { SLICE("CPU"), 10000 } };
    Resource reserved[] = { { SLICE("CPU"), 20000 } }, used[] = { { SLICE("CPU"), 10000 } };
    NodeInfo node = { .head = true,
                      .total = total,
                      .total_len = 1,
                      .available = available,
                      .available_len = 1,
                      .reserved = reserved,
                      .reserved_len = 1,
                      .reserved_used = used,
                      .reserved_used_len = 1 };
    Bundle bundles[] = { { .resources = used, .resources_len = 1 },
                         { .resources = reserved, .resources_len = 1 },
                         { .resources = used, .resources_len = 1 } };
    GroupDemand waits = {
        .strategy = GROUP_STRATEGY_STRICT_SPREAD, .bundles = bundles, .bundles_len = 3, .count = 2
    };
    const ClusterStatus status = {
        .nodes = &node, .nodes_len = 1, .groups = &waits, .groups_len = 1
    };
    _cleanup_buf_ Buf text = { 0 };
    cluster_status_text(&status, false, true, &text);
    CHECK(strstr(text.data, " 2.0/4.0 CPU (1.0 used of 2.0 reserved in placement groups)\n"));
    CHECK(strstr(text.data,
                 "Pending Demands:\n {'CPU': 1.0} * 2, {'CPU': 2.0} * 1 (STRICT_SPREAD): "
                 "2+ pending placement groups\n"));
}

static void test_an_empty_cluster(void **state) {
    const ClusterStatus status = { 0 };
    _cleanup_buf_ Buf text = { 0 };
    cluster_status_text(&status, true, true, &text);
    CHECK(strstr(text.data, "Active:\n (no active nodes)\nIdle:\n (no idle nodes)\n"));
    CHECK(strstr(text.data, "Recent failures:\n (no failures)\n"));
    CHECK(strstr(text.data, "From request_resources:\n (none)\n"));
    CHECK(strstr(text.data, "Pending Demands:\n (no resource demands)\n"));
    _cleanup_json_ json_t *summary = cluster_node_summaries(&status), *load = cluster_load(&status);
    CHECK_INT(json_array_size(summary), 0);
    CHECK(json_at(load, "autoscalerReport", "activeNodes"));
}

int main(void) {
    return TEST_RUN(TEST(test_the_text_of_ray_status), TEST(test_placement_groups),
                    TEST(test_an_empty_cluster));
}
