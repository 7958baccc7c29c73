/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The operator's metrics, under the names that KubeRay's and controller-runtime's dashboards read. */

#include "operator/controller.h"

typedef struct OperatorMetrics OperatorMetrics;

OperatorMetrics *operator_metrics_new(void);
OperatorMetrics *operator_metrics_free(OperatorMetrics *metrics);
DEFINE_CLEANUP(OperatorMetrics *, operator_metrics_free);

/* A status is written: durations are taken where it says that something has come to an end. */
void operator_metrics_status(OperatorMetrics *metrics, const json_t *object, const json_t *before,
                             const json_t *after, usec_t now);
/* The object has gone. */
void operator_metrics_gone(OperatorMetrics *metrics, const json_t *object);

typedef struct OperatorMetricsView {
    const Stock *stock; /* NULL: not leading */
    const ControllerStats *clusters, *jobs;
    bool objects;       /* the kuberay_* ones too (--enable-metrics) */
    bool leading;
} OperatorMetricsView;
void operator_metrics_write(const OperatorMetrics *metrics, const OperatorMetricsView *view,
                            Buf *out);
