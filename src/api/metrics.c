/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/memory.h"

enum {
    PROC_FILE_MAX = 1024 * 1024
};

/* ---------------------------------------------------------------------------------- text */

void metric_family(Buf *out, const char *name, const char *type, const char *help) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_label_value(Buf *out, const char *value) {
    for (; value && *value; value++) {
        if (*value == '\n')
            buf_add_str(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_printf(out, "\\%c", *value);
        else
            buf_add_char(out, *value);
    }
}

void metric_sample(Buf *out, const char *name, const MetricLabel *labels, double value) {
    buf_add_str(out, name);
    for (const MetricLabel *label = labels; label && label->name; label++) {
        buf_printf(out, "%s%s=\"", label == labels ? "{" : ",", label->name);
        add_label_value(out, label->value);
        buf_add_char(out, '"');
    }
    if (labels && labels->name)
        buf_add_char(out, '}');
    if (isnan(value))
        buf_add_str(out, " NaN\n");
    else if (isinf(value))
        buf_add_str(out, value > 0 ? " +Inf\n" : " -Inf\n");
    else
        buf_printf(out, " %.17g\n", value);
}

/* ------------------------------------------------------------------------------- machine */

static uint64_t meminfo(const char *text, const char *field) {
    const char *at = strstr(text, field);
    uint64_t kib = 0;
    if (at && sscanf(at + strlen(field), " %" SCNu64, &kib) == 1)
        return kib * 1024;
    return 0;
}

static void read_memory(NodeMetrics *metrics) {
    _cleanup_buf_ Buf text = { 0 };
    HostMemory memory;
    if (host_memory(&memory) < 0 || file_read("/proc/meminfo", PROC_FILE_MAX, &text) < 0)
        return;
    metrics->mem_total = memory.limit;
    metrics->mem_used = memory.used;
    metrics->mem_available = memory.limit - MIN(memory.used, memory.limit);
    metrics->shm_used = meminfo(text.data, "Shmem:");
}

static void read_cpu(MachineCounters *last, NodeMetrics *metrics) {
    _cleanup_buf_ Buf text = { 0 };
    uint64_t n[8] = { 0 };
    metrics->cpu_count = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
    if (file_read("/proc/stat", PROC_FILE_MAX, &text) < 0)
        return;
    if (sscanf(text.data,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7]) < 4)
        return;
    uint64_t total = 0, idle = n[3] + n[4];
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        total += n[i];
    uint64_t busy = total - idle, span = total - last->total;
    if (last->total && span)
        metrics->cpu_percent = 100.0 * (double)(busy - last->busy) / (double)span;
    *last = (MachineCounters){ busy, total };
}

void metrics_read_machine(MachineCounters *last, const char *disk_path, NodeMetrics *metrics) {
    struct statvfs fs;
    read_cpu(last, metrics);
    read_memory(metrics);
    if (statvfs(disk_path, &fs) == 0) {
        metrics->disk_free = (uint64_t)fs.f_bavail * fs.f_frsize;
        metrics->disk_used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    }
}

/* ---------------------------------------------------------------------------------- node */

void metrics_node(Buf *out, const NodeMetrics *m) {
    const struct {
        const char *name, *help;
        double value;
    } gauges[] = {
        { "ray_node_cpu_utilization", "Total CPU usage on a ray node", m->cpu_percent },
        { "ray_node_cpu_count", "Total CPUs available on a ray node", m->cpu_count },
        { "ray_node_mem_used", "Memory usage on a ray node", (double)m->mem_used },
        { "ray_node_mem_available", "Memory available on a ray node", (double)m->mem_available },
        { "ray_node_mem_total", "Total memory on a ray node", (double)m->mem_total },
        { "ray_node_mem_shared_bytes", "Total shared memory usage on a ray node",
          (double)m->shm_used },
        { "ray_node_disk_usage", "Total disk usage (bytes) on a ray node", (double)m->disk_used },
        { "ray_node_disk_free", "Total disk free (bytes) on a ray node", (double)m->disk_free },
        { "ray_object_store_used_memory", "Bytes of the object store in use",
          (double)m->object_store_used },
        { "ray_object_store_available_memory", "Bytes of the object store that are free",
          (double)(m->object_store_total - MIN(m->object_store_used, m->object_store_total)) },
        { "ray_raylet_mem_uss", "Memory of the raylet", (double)m->raylet_rss },
        { "ray_scheduler_unscheduleable_tasks", "Requests that wait for resources",
          (double)m->tasks_waiting },
        { "ray_internal_num_processes_started", "Worker processes of the node", m->workers },
        { "ray_node_workers_idle", "Worker processes that wait for work", m->workers_idle },
        { "ray_owned_objects", "Objects owned by this node's processes", (double)m->owned_objects },
        { "ray_owned_objects_size", "Bytes of their values in the processes' own memory",
          (double)m->owned_bytes },
        { "ray_borrowed_objects", "References of this node's processes to objects of others",
          (double)m->borrowed_objects },
        { "ray_tasks_pending", "Calls of this node's processes that have not ended",
          (double)m->tasks_pending },
        { "ray_leases", "Workers of this node that are lent out", (double)m->leases },
        { "ray_spilled_objects", "Objects on disk", (double)m->spilled_objects },
        { "ray_spilled_objects_size", "Bytes of objects on disk", (double)m->spilled_bytes },
        { "ray_node_rings", "Pairs of processes connected by shared memory", m->rings },
        { "ray_raylet_open_files", "File descriptors of the raylet", m->open_files },
    };
    const MetricLabel labels[] = {
        { "ip", m->ip },          { "Version", m->version },       { "SessionName", m->session },
        { "NodeId", m->node_id }, { "RayNodeType", m->node_type }, { NULL, NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        metric_family(out, gauges[i].name, "gauge", gauges[i].help);
        metric_sample(out, gauges[i].name, labels, gauges[i].value);
    }
}

void metrics_resource(Buf *out, const NodeMetrics *m, bool first, const char *name, double used,
                      double available) {
    if (first)
        metric_family(out, "ray_resources", "gauge", "Logical Ray resources by name and state");
    const char *const states[] = { "USED", "AVAILABLE" };
    const double values[] = { used, available };
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        const MetricLabel labels[] = {
            { "Name", name },         { "State", states[i] },
            { "NodeAddress", m->ip }, { "SessionName", m->session },
            { "NodeId", m->node_id }, { NULL, NULL },
        };
        metric_sample(out, "ray_resources", labels, values[i]);
    }
}
