/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/metrics.h"

#include <stdio.h>
#include <unistd.h>

#include "api/metrics.h"
#include "base/fd.h"
#include "base/map.h"
#include "operator/object.h"

/* One duration that was measured: of a RayCluster or of a RayJob's run. */
typedef struct Duration {
    char *name, *namespace_, *uid;
    char *state; /* of the RayJob; NULL: a RayCluster */
    int64_t retries;
    double seconds;
} Duration;

struct OperatorMetrics {
    Vec(Duration) durations;
};

OperatorMetrics *operator_metrics_new(void) {
    return mem_new(OperatorMetrics);
}

static void duration_done(Duration *duration) {
    free(duration->name);
    free(duration->namespace_);
    free(duration->uid);
    free(duration->state);
}

OperatorMetrics *operator_metrics_free(OperatorMetrics *metrics) {
    if (!metrics)
        return NULL;
    VEC_EACH(duration, &metrics->durations)
        duration_done(duration);
    vec_done(&metrics->durations);
    free(metrics);
    return NULL;
}

static bool same_text(const char *a, const char *b) {
    return (!a && !b) || str_eq(a, b);
}

static void put(OperatorMetrics *metrics, Duration duration) {
    VEC_EACH(old, &metrics->durations) {
        if (str_eq(old->uid, duration.uid) && same_text(old->state, duration.state) &&
            old->retries == duration.retries) {
            duration_done(old);
            *old = duration;
            return;
        }
    }
    vec_push(&metrics->durations, duration);
}

static Duration begin(const json_t *object, usec_t since, usec_t now) {
    return (Duration){
        .name = str_dup(object_name(object)),
        .namespace_ = str_dup(object_namespace(object)),
        .uid = str_dup(object_uid(object)),
        .seconds = (double)(now - since) / (double)USEC_PER_SEC,
    };
}

static bool job_ended(const char *state) {
    return str_eq(state, "Complete") || str_eq(state, "Failed");
}

void operator_metrics_status(OperatorMetrics *metrics, const json_t *object, const json_t *before,
                             const json_t *after, usec_t now) {
    if (str_eq(obj_kind(object), "RayJob")) {
        const char *was = json_str_at(before, "jobDeploymentStatus");
        const char *is = json_str_at(after, "jobDeploymentStatus");
        usec_t start = object_time(json_object_get(after, "startTime"));
        if (start < 0 || job_ended(was) || (!job_ended(is) && !str_eq(is, "Retrying")) ||
            str_eq(was, is))
            return;
        Duration duration = begin(object, start, now);
        duration.state = str_dup(is);
        duration.retries = json_int_at(before, 0, "failed");
        put(metrics, duration);
        return;
    }
    usec_t made = object_time(json_at(object, "metadata", "creationTimestamp"));
    if (made >= 0 &&
        !condition_holds(json_object_get(before, "conditions"), "RayClusterProvisioned") &&
        condition_holds(json_object_get(after, "conditions"), "RayClusterProvisioned"))
        put(metrics, begin(object, made, now));
}

void operator_metrics_gone(OperatorMetrics *metrics, const json_t *object) {
    for (size_t i = metrics->durations.len; i-- > 0;) {
        if (!str_eq(metrics->durations.items[i].uid, object_uid(object)))
            continue;
        duration_done(&metrics->durations.items[i]);
        vec_remove_swap(&metrics->durations, i);
    }
}

static void write_durations(const OperatorMetrics *metrics, bool jobs, Buf *out) {
    const char *name = jobs ? "kuberay_job_execution_duration_seconds"
                            : "kuberay_cluster_provisioned_duration_seconds";
    metric_family(out, name, "gauge",
                  jobs ? "Seconds from a RayJob's start to its end or its next attempt"
                       : "Seconds from a RayCluster's creation until all its pods were ready");
    VEC_EACH(duration, &metrics->durations) {
        char retries[24];
        if (jobs != (duration->state != NULL))
            continue;
        snprintf(retries, sizeof(retries), "%lld", (long long)duration->retries);
        const MetricLabel labels[] = {
            { "name", duration->name }, { "namespace", duration->namespace_ },
            { "uid", duration->uid },   { jobs ? "job_deployment_status" : NULL, duration->state },
            { "retry_count", retries }, { NULL, NULL },
        };
        metric_sample(out, name, labels, duration->seconds);
    }
}

static void write_info(Buf *out, const char *family, const json_t *object, const char *label,
                       const char *value) {
    const MetricLabel labels[] = {
        { "name", object_name(object) },
        { "namespace", object_namespace(object) },
        { "uid", object_uid(object) },
        { label, value ? value : "" },
        { NULL, NULL },
    };
    metric_sample(out, family, labels, 1);
}

static void write_cluster_info(void *ctx, const json_t *cluster) {
    const char *owner = obj_label(cluster, LABEL_ORIGIN_KIND);
    write_info(ctx, "kuberay_cluster_info", cluster, "owner_kind", owner ? owner : "None");
}

static void write_provisioned(void *ctx, const json_t *cluster) {
    bool provisioned =
        condition_holds(json_at(cluster, "status", "conditions"), "RayClusterProvisioned");
    write_info(ctx, "kuberay_cluster_condition_provisioned", cluster, "condition",
               provisioned ? "true" : "false");
}

static void write_job_info(void *ctx, const json_t *job) {
    write_info(ctx, "kuberay_job_info", job, NULL, NULL);
}

static void write_job_status(void *ctx, const json_t *job) {
    write_info(ctx, "kuberay_job_deployment_status", job, "deployment_status",
               json_str_at(job, "status", "jobDeploymentStatus"));
}

static void write_objects(const OperatorMetrics *metrics, const Stock *stock, Buf *out) {
    write_durations(metrics, false, out);
    write_durations(metrics, true, out);
    if (!stock)
        return;
    metric_family(out, "kuberay_cluster_info", "gauge", "RayClusters that there are");
    stock_each(stock, RESOURCE_RAYCLUSTERS, write_cluster_info, out);
    metric_family(out, "kuberay_cluster_condition_provisioned", "gauge",
                  "Whether all pods of the RayCluster were ready once");
    stock_each(stock, RESOURCE_RAYCLUSTERS, write_provisioned, out);
    metric_family(out, "kuberay_job_info", "gauge", "RayJobs that there are");
    stock_each(stock, RESOURCE_RAYJOBS, write_job_info, out);
    metric_family(out, "kuberay_job_deployment_status", "gauge", "Where each RayJob stands");
    stock_each(stock, RESOURCE_RAYJOBS, write_job_status, out);
}

static void write_controller(const char *name, const ControllerStats *stats, Buf *out) {
    static const char FAMILY[] = "controller_runtime_reconcile_total";
    const struct {
        const char *result;
        uint64_t count;
    } RESULTS[] = {
        { "success", stats->done },
        { "error", stats->failed },
        { "requeue", stats->conflicts },
    };
    for (size_t i = 0; i < ARRAY_LEN(RESULTS); i++) {
        const MetricLabel labels[] = { { "controller", name },
                                       { "result", RESULTS[i].result },
                                       { NULL, NULL } };
        metric_sample(out, FAMILY, labels, (double)RESULTS[i].count);
    }
}

static void write_queue(const char *family, const char *label, const char *name, size_t value,
                        Buf *out) {
    const MetricLabel labels[] = { { label, name }, { NULL, NULL } };
    metric_sample(out, family, labels, (double)value);
}

static void write_process(Buf *out) {
    _cleanup_buf_ Buf text = { 0 };
    long long size, resident;
    if (file_read("/proc/self/statm", 4096, &text) < 0 ||
        sscanf(text.data, "%lld %lld", &size, &resident) != 2)
        return;
    metric_family(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes");
    metric_sample(out, "process_resident_memory_bytes", NULL,
                  (double)resident * (double)sysconf(_SC_PAGESIZE));
}

void operator_metrics_write(const OperatorMetrics *metrics, const OperatorMetricsView *view,
                            Buf *out) {
    metric_family(out, "leader_election_master_status", "gauge", "1 while this replica leads");
    write_queue("leader_election_master_status", "name", OPERATOR_LEASE, view->leading, out);
    metric_family(out, "controller_runtime_reconcile_total", "counter",
                  "Looks at objects, by how they ended");
    write_controller("raycluster", view->clusters, out);
    write_controller("rayjob", view->jobs, out);
    metric_family(out, "controller_runtime_active_workers", "gauge", "Objects worked on now");
    write_queue("controller_runtime_active_workers", "controller", "raycluster",
                view->clusters->active, out);
    write_queue("controller_runtime_active_workers", "controller", "rayjob", view->jobs->active,
                out);
    metric_family(out, "workqueue_depth", "gauge", "Objects that wait for a look");
    write_queue("workqueue_depth", "name", "raycluster", view->clusters->waiting, out);
    write_queue("workqueue_depth", "name", "rayjob", view->jobs->waiting, out);
    if (view->objects)
        write_objects(metrics, view->stock, out);
    write_process(out);
}
