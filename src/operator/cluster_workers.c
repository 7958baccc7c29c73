/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>

#include "operator/cluster_pods.h"
#include "operator/object.h"
#include "operator/pod.h"
#include "operator/spec.h"

/* One group's live pods. A replica is one pod, or as many as the group has hosts; it comes and
 * goes as a whole. */
typedef struct Worker {
    const json_t *pod;
    const char *replica; /* name of its replica; the pod's own name for single hosts */
    int64_t index;       /* of the replica; -1: none */
    bool doomed;         /* this plan deletes it */
} Worker;

typedef struct GroupWork {
    ClusterWork *cluster;
    const json_t *group;
    const char *name;
    int64_t hosts;
    Worker *workers;
    size_t len;
} GroupWork;

static int64_t replica_index(const json_t *pod) {
    int64_t index;
    const char *text = obj_label(pod, LABEL_REPLICA_INDEX);
    return text && str_to_i64(text, &index) == 0 ? index : -1;
}

static void find_workers(GroupWork *work) {
    const json_t *pods = work->cluster->view->pods;
    size_t i;
    json_t *pod;
    work->workers = arena_array(&work->cluster->plan->arena, Worker, json_array_size(pods) + 1);
    work->len = 0;
    json_array_foreach(pods, i, pod) {
        const char *replica = obj_label(pod, LABEL_REPLICA_NAME);
        if (!str_eq(obj_label(pod, LABEL_GROUP), work->name) || !pod_is_type(pod, NODE_WORKER) ||
            !pod_is_live(pod, work->cluster->cluster))
            continue;
        work->workers[work->len++] = (Worker){
            .pod = pod,
            .replica = work->hosts > 1 && replica ? replica : object_name(pod),
            .index = replica_index(pod),
        };
    }
}

static void doom(GroupWork *work, Worker *worker, const char *note, bool failed) {
    if (worker->doomed)
        return;
    worker->doomed = true;
    cluster_delete_pod(work->cluster, worker->pod, false, note);
    if (failed) {
        Plan *plan = work->cluster->plan;
        plan->actions.items[plan->actions.len - 1].restart = work->name;
    }
}

/* All pods of a replica, each with an event that says why. */
static void doom_replica(GroupWork *work, const char *replica, const char *why, bool failed) {
    Arena *arena = &work->cluster->plan->arena;
    for (size_t i = 0; i < work->len; i++) {
        Worker *worker = &work->workers[i];
        if (str_eq(worker->replica, replica))
            doom(work, worker,
                 arena_printf(arena, "worker Pod %s/%s for group %s: %s", work->cluster->namespace_,
                              object_name(worker->pod), work->name, why),
                 failed);
    }
}

static size_t replica_size(const GroupWork *work, const char *replica) {
    size_t size = 0;
    for (size_t i = 0; i < work->len; i++)
        size += str_eq(work->workers[i].replica, replica);
    return size;
}

static void remove_failed(GroupWork *work) {
    Arena *arena = &work->cluster->plan->arena;
    for (size_t i = 0; i < work->len; i++) {
        Worker *worker = &work->workers[i];
        if (!pod_has_failed(worker->pod) || worker->doomed)
            continue;
        const char *end = pod_end_text(worker->pod, arena);
        if (work->hosts > 1)
            doom_replica(work, worker->replica, end, true);
        else
            doom(work, worker,
                 arena_printf(arena, "worker Pod %s/%s; %s", work->cluster->namespace_,
                              object_name(worker->pod), end),
                 true);
    }
}

static void remove_incomplete(GroupWork *work) {
    if (work->hosts < 2)
        return;
    for (size_t i = 0; i < work->len; i++) {
        const char *replica = work->workers[i].replica;
        if (replica_size(work, replica) < (size_t)work->hosts)
            doom_replica(work, replica, "cleanup of incomplete multi-host group", false);
    }
}

/* The autoscaler's victims, regardless of replicas. Only pods of this cluster and group count:
 * the names come from whoever may write the RayCluster. */
static void remove_named(GroupWork *work) {
    Arena *arena = &work->cluster->plan->arena;
    size_t i;
    json_t *name;
    json_array_foreach(json_at(work->group, "scaleStrategy", "workersToDelete"), i, name) {
        for (size_t k = 0; k < work->len; k++) {
            Worker *worker = &work->workers[k];
            if (!str_eq(object_name(worker->pod), json_string_value(name)))
                continue;
            if (work->hosts > 1)
                doom_replica(work, worker->replica, "autoscaler scale-down request", false);
            else
                doom(work, worker,
                     arena_printf(arena, "pod %s/%s", work->cluster->namespace_,
                                  object_name(worker->pod)),
                     false);
        }
    }
}

static bool index_is_used(const GroupWork *work, int64_t index) {
    for (size_t i = 0; i < work->len; i++)
        if (!work->workers[i].doomed && work->workers[i].index == index)
            return true;
    return false;
}

static void create_replica(GroupWork *work, int64_t index) {
    ClusterWork *cluster = work->cluster;
    Arena *arena = &cluster->plan->arena;
    WorkerSlot slot = { .replica = index };
    if (work->hosts > 1)
        slot.replica_name = name_random(arena, cluster->random, work->name);
    for (slot.host = 0; slot.host < work->hosts; slot.host++)
        cluster_create_pod(
            cluster,
            pod_build_worker(cluster->cluster, work->group, &slot, cluster->settings, arena),
            false);
}

/* At most so many replicas at once: a typing error in replicas must not flood the API server. */
enum {
    CREATE_AT_ONCE = 500
};

static void create_replicas(GroupWork *work, int64_t count) {
    ClusterWork *cluster = work->cluster;
    usec_t allowed = restarts_allow(cluster->view->restarts, work->name, cluster->now);
    if (allowed > cluster->now) {
        plan_due(cluster->plan, allowed);
        return;
    }
    int64_t index = 0;
    for (int64_t i = 0; i < MIN(count, CREATE_AT_ONCE); i++) {
        while (index_is_used(work, index))
            index++;
        create_replica(work, index++);
    }
}

/* Who goes first when nobody says who: pods that do not run yet, then the youngest. */
static int compare_victims(const void *a, const void *b) {
    const Worker *x = a, *y = b;
    int order =
        (int)str_eq(pod_phase(x->pod), "Running") - (int)str_eq(pod_phase(y->pod), "Running");
    if (order == 0)
        order = (int)pod_is_ready(x->pod) - (int)pod_is_ready(y->pod);
    if (order != 0)
        return order;
    const char *made_x = json_str_at(x->pod, "metadata", "creationTimestamp");
    const char *made_y = json_str_at(y->pod, "metadata", "creationTimestamp");
    order = strcmp(made_y ? made_y : "", made_x ? made_x : "");
    return order ? order : strcmp(object_name(y->pod), object_name(x->pod));
}

static void remove_surplus(GroupWork *work, int64_t count) {
    ClusterWork *cluster = work->cluster;
    if (spec_autoscaling(cluster->spec) && !cluster->settings->random_pod_delete)
        return; /* the autoscaler knows which are idle */
    qsort(work->workers, work->len, sizeof(Worker), compare_victims);
    for (size_t i = 0; i < work->len && count > 0; i++) {
        Worker *worker = &work->workers[i];
        if (worker->doomed)
            continue;
        count--;
        if (work->hosts > 1)
            doom_replica(work, worker->replica, "scaling down", false);
        else
            doom(work, worker,
                 arena_printf(&cluster->plan->arena, "Pod %s/%s", cluster->namespace_,
                              object_name(worker->pod)),
                 false);
    }
}

static void remove_group(GroupWork *work, const char *note) {
    bool any = false;
    for (size_t i = 0; i < work->len; i++) {
        Action *action =
            plan_delete(work->cluster->plan, RESOURCE_PODS, STAGE_PODS, work->workers[i].pod);
        action->failure = "FailedDeleteWorkerPod";
        any = true;
    }
    if (any)
        plan_tell(work->cluster->plan, false, "DeletedWorkerPod", "Delete", note);
}

static void plan_group(GroupWork *work) {
    ClusterWork *cluster = work->cluster;
    find_workers(work);
    if (group_suspended(work->group)) {
        remove_group(work, arena_printf(&cluster->plan->arena,
                                        "Deleted all pods for suspended worker group %s in "
                                        "RayCluster %s/%s",
                                        work->name, cluster->namespace_, cluster->name));
        return;
    }
    remove_incomplete(work);
    remove_failed(work);
    remove_named(work);
    int64_t kept = 0;
    for (size_t i = 0; i < work->len; i++)
        kept += !work->workers[i].doomed;
    int64_t missing = (group_desired(work->group) - kept) / work->hosts;
    if (missing > 0)
        create_replicas(work, missing);
    else if (missing < 0)
        remove_surplus(work, -missing);
}

static bool has_group(const json_t *spec, const char *name) {
    size_t i;
    json_t *group;
    json_array_foreach(json_at(spec, "workerGroupSpecs"), i, group) {
        if (str_eq(json_str_at(group, "groupName"), name))
            return true;
    }
    return false;
}

/* Pods of a group that is not in the spec any more. */
static void remove_orphans(ClusterWork *cluster) {
    size_t i;
    json_t *pod;
    json_array_foreach(cluster->view->pods, i, pod) {
        const char *group = obj_label(pod, LABEL_GROUP);
        if (pod_is_type(pod, NODE_WORKER) && pod_is_live(pod, cluster->cluster) && group &&
            !has_group(cluster->spec, group))
            cluster_delete_pod(cluster, pod, false,
                               arena_printf(&cluster->plan->arena,
                                            "worker Pod %s/%s of removed group %s",
                                            cluster->namespace_, object_name(pod), group));
    }
}

void cluster_plan_workers(ClusterWork *cluster) {
    size_t i;
    json_t *group;
    json_array_foreach(json_at(cluster->spec, "workerGroupSpecs"), i, group) {
        GroupWork work = {
            .cluster = cluster,
            .group = group,
            .name = json_str_at(group, "groupName"),
            .hosts = group_hosts(group),
        };
        if (work.name)
            plan_group(&work);
    }
    remove_orphans(cluster);
}
