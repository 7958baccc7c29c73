/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics.h"

#include "base/test.h"

static void test_text_format(void **state) {
    _cleanup_buf_ Buf out = { 0 };
    const MetricLabel labels[] = { { "a", "x\"\\\ny" }, { "b", "1" }, { NULL, NULL } };
    metric_family(&out, "m", "gauge", "help");
    metric_sample(&out, "m", labels, 1.5);
    metric_sample(&out, "m", NULL, 2);
    CHECK_STR(out.data, "# HELP m help\n# TYPE m gauge\nm{a=\"x\\\"\\\\\\ny\",b=\"1\"} 1.5\nm 2\n");
}

static void test_this_machine(void **state) {
    _cleanup_buf_ Buf out = { 0 };
    MachineCounters last = { 0 };
    NodeMetrics metrics = { .ip = "127.0.0.1", .node_type = "head" };
    metrics_read_machine(&last, "/tmp", &metrics);
    metrics_read_machine(&last, "/tmp", &metrics);
    CHECK(metrics.cpu_count > 0 && metrics.mem_total > 0 && metrics.disk_free > 0);
    CHECK(metrics.cpu_percent >= 0 && metrics.cpu_percent <= 100);
    metrics_node(&out, &metrics);
    metrics_resource(&out, &metrics, true, "CPU", 1, 3);
    CHECK(strstr(out.data, "ray_node_mem_total{ip=\"127.0.0.1\""));
    CHECK(strstr(out.data, "ray_resources{Name=\"CPU\",State=\"USED\""));
}

int main(void) {
    return TEST_RUN(TEST(test_text_format), TEST(test_this_machine));
}
