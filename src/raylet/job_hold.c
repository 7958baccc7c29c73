/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/*
 * Resources of entrypoints (`ray job submit --entrypoint-num-cpus`): taken before job-run is
 * started, given back when its process is gone, however it went. It outlives everything of its job.
 */

struct JobHold {
    Raylet *raylet;
    ResourceSet resources;
    DeviceShare gpus;
    LoopChild *exit; /* of job-run; NULL: it is being started */
    List link;       /* in Raylet.job_holds */
};

static void hold_free(JobHold *hold) {
    list_remove(&hold->link);
    loop_child_free(hold->exit);
    resources_done(&hold->resources);
    free(hold->gpus.index);
    free(hold);
}

JobHold *job_hold_take(Raylet *raylet, const ResourceSet *what) {
    DeviceShare gpus = { 0 };
    if (!resources_fit(&raylet->here.available, what) ||
        !devices_take(&raylet->gpus, what->known[RESOURCE_GPU], &gpus))
        return NULL;
    JobHold *hold = mem_new(JobHold);
    *hold = (JobHold){ .raylet = raylet, .gpus = gpus };
    resources_copy(&hold->resources, what);
    list_push(&raylet->job_holds, &hold->link);
    resources_sub(&raylet->here.available, what);
    upstream_report_anew(raylet); /* gcs has counted it in */
    return hold;
}

JobHold *job_hold_give_back(JobHold *hold) {
    if (!hold)
        return NULL;
    Raylet *raylet = hold->raylet;
    resources_add(&raylet->here.available, &hold->resources);
    devices_give(&raylet->gpus, &hold->gpus);
    upstream_changed(raylet);
    loop_task_arm(raylet->dispatch_task);
    hold_free(hold);
    return NULL;
}

static void on_job_run_gone(void *ctx, const LoopExit *end) {
    UNUSED(end);
    job_hold_give_back(ctx);
}

void job_hold_until_exit(JobHold *hold, pid_t pid, uint64_t start_time) {
    Child child;
    int r = child_open(pid, start_time, &child);
    if (r == 0)
        r = loop_child_new(hold->raylet->loop, child.pidfd, on_job_run_gone, hold, &hold->exit);
    if (r == 0)
        return;
    if (r != -ESRCH)
        log_warn("job-run %d can't be watched: %s", (int)pid, error_text(r));
    job_hold_give_back(hold);
}

const DeviceShare *job_hold_gpus(const JobHold *hold) {
    return &hold->gpus;
}

void job_holds_done(Raylet *raylet) {
    LIST_EACH_SAFE(item, &raylet->job_holds)
        hold_free(LIST_ITEM(item, JobHold, link));
}
