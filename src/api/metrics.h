/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Prometheus' text format, and a node's first set of metrics under Ray's names. */

#include "base/base.h"
#include "base/str.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef struct MetricLabel {
    const char *name, *value;
} MetricLabel;

/* `# HELP` and `# TYPE` lines; type is "gauge" or "counter". Once a name, before its samples. */
void metric_family(Buf *out, const char *name, const char *type, const char *help);
/* The list of labels ends with a NULL name; NULL: none. */
void metric_sample(Buf *out, const char *name, const MetricLabel *labels, double value);

typedef struct NodeMetrics {
    const char *ip, *node_id, *session, *version, *node_type; /* node_type: "head", "worker" */
    double cpu_percent;
    unsigned cpu_count;
    uint64_t mem_used, mem_available, mem_total;
    uint64_t shm_used;
    uint64_t disk_used, disk_free;
    uint64_t object_store_used, object_store_total;
    uint64_t raylet_rss;
    unsigned workers, workers_idle;
    uint64_t tasks_waiting; /* leases that wait for room */
    /* what the processes of the node hold */
    uint64_t owned_objects, borrowed_objects, owned_bytes, tasks_pending;
    uint64_t leases, spilled_objects, spilled_bytes;
    unsigned rings, open_files;
} NodeMetrics;

/* Reads CPU, memory and disk of this machine (its container's limit where there is one) into the
 * fields of that name. `last` keeps the counters between two calls; zero it at first. */
typedef struct MachineCounters {
    uint64_t busy, total;
} MachineCounters;
void metrics_read_machine(MachineCounters *last, const char *disk_path, NodeMetrics *metrics);

void metrics_node(Buf *out, const NodeMetrics *metrics);

/* ray_resources{Name, State="USED"|"AVAILABLE"}: call metric_family once through `first`. */
void metrics_resource(Buf *out, const NodeMetrics *node, bool first, const char *name, double used,
                      double available);
