/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api/metrics.h"
#include "raylet/raylet_private.h"

/*
 * The metrics that users' code defines. Each process sends all of its own now and then; the last report
 * is kept as it came and goes with the process. At a scrape the reports are put together: a family
 * may come from many processes, and its HELP and TYPE are written once.
 */

enum {
    USER_LABELS_MAX = 64
};

void metrics_on_report(Raylet *raylet, RayletCall *call) {
    MetricsReport report;
    if (!call->local)
        return;
    RAYLET_DECODE(raylet, call, metrics_report_decode, &report);
    buf_clear(&call->local->metrics);
    buf_add(&call->local->metrics, call->body.data, call->body.len);
}

static void add_sample(const Raylet *raylet, const Local *local, const MetricSample *sample,
                       Buf *out) {
    _cleanup_strlist_ StrList texts = { 0 };
    MetricLabel labels[2 * USER_LABELS_MAX];
    size_t len = 0;
    for (size_t i = 0; i < sample->labels_len && i < USER_LABELS_MAX; i++) {
        strlist_take(&texts, str_dup_slice(sample->labels[i].key));
        strlist_take(&texts, str_dup_slice(sample->labels[i].value));
    }
    for (; 2 * len < texts.len; len++)
        labels[len] = (MetricLabel){ texts.items[2 * len], texts.items[2 * len + 1] };
    _cleanup_free_ char *job = str_dup(ID_HEX(&local->job));
    labels[len++] = (MetricLabel){ "Component", "core_worker" };
    labels[len++] = (MetricLabel){ "Version", "2.60.0" };
    labels[len++] = (MetricLabel){ "NodeAddress", raylet->node_ip };
    labels[len++] = (MetricLabel){ "WorkerId", ID_HEX(&local->worker_id) };
    labels[len++] = (MetricLabel){ "JobId", job };
    labels[len++] = (MetricLabel){ "SessionName", raylet->session.name };
    labels[len] = (MetricLabel){ 0 };
    _cleanup_free_ char *name = str_dup_slice(sample->name);
    metric_sample(out, name, labels, sample->value);
}

typedef struct Reported {
    const Local *local;
    MetricsReport report;
} Reported;

void metrics_add_user(const Raylet *raylet, Buf *out) {
    _cleanup_arena_ Arena arena = { 0 };
    Reported *all = arena_array(&arena, Reported, raylet->locals_len + 1);
    size_t len = 0;
    LIST_EACH(item, &raylet->locals) {
        const Local *local = LIST_ITEM(item, Local, link);
        if (local->metrics.len && len < raylet->locals_len &&
            metrics_report_decode(&all[len].report, local->metrics.data, local->metrics.len,
                                  &arena) == 0)
            all[len++].local = local;
    }
    StrMap written = { 0 };
    for (size_t i = 0; i < len; i++) {
        for (size_t f = 0; f < all[i].report.families_len; f++) {
            const MetricFamily *family = &all[i].report.families[f];
            _cleanup_free_ char *name = str_dup_slice(family->name);
            if (strmap_put(&written, name, &written))
                continue;
            _cleanup_free_ char *type = str_dup_slice(family->type);
            _cleanup_free_ char *help = str_dup_slice(family->help);
            metric_family(out, name, type, help);
            for (size_t k = i; k < len; k++)
                for (size_t g = 0; g < all[k].report.families_len; g++) {
                    const MetricFamily *same = &all[k].report.families[g];
                    for (size_t s = 0; slice_eq(same->name, family->name) && s < same->samples_len;
                         s++)
                        add_sample(raylet, all[k].local, &same->samples[s], out);
                }
        }
    }
    strmap_done(&written);
}
