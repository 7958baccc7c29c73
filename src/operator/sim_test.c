/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The plans against a world in memory: an API server without delays, kubelets that start, break and
 * end pods at random, a garbage collector, a Job controller and Ray heads. The operator is stopped
 * at random after any subset of a stage's actions, as a crash would stop it, and goes on from what
 * it finds. Whatever the seed, there is never more than one live head, nothing foreign is deleted,
 * and in the end the cluster is as asked and the job has run once.
 */

#include <limits.h>

#include "base/clock.h"
#include "base/test.h"
#include "operator/object.h"
#include "operator/plan.h"

typedef struct World {
    NameRandom random;
    json_t *objects[RESOURCE_COUNT]; /* arrays */
    json_t *head_jobs;               /* submission id: {"status", "runs"} */
    const char *job_end;             /* the status in which jobs end */
    const char *refusal;             /* what the head says to every submission; NULL: it takes it */
    unsigned busy;                   /* so many submissions fail before one is taken */
    unsigned submissions;            /* by HTTP, that were tried */
    HeadReport report;               /* the operator's, as old as it happens to be */
    json_t *reported;
    usec_t now;
    int64_t version;
    unsigned crash_percent, fault_percent;
    unsigned effects, crash_at; /* the operator dies once, before that effect; 0: never */
    Restarts restarts;
    OperatorSettings settings;
} World;

static unsigned roll(World *world, unsigned sides) {
    uint64_t x = world->random.state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    world->random.state = x;
    return (unsigned)((x >> 33) % sides);
}

static bool chance(World *world, unsigned percent) {
    return roll(world, 100) < percent;
}

static void world_init(World *world, uint64_t seed) {
    *world = (World){ .random = { seed * 2654435761u + 1 },
                      .now = 1800000000 * USEC_PER_SEC,
                      .job_end = "SUCCEEDED" };
    for (size_t i = 0; i < RESOURCE_COUNT; i++)
        world->objects[i] = json_array();
    world->head_jobs = json_object();
    settings_default(&world->settings);
}

static void world_done(World *world) {
    for (size_t i = 0; i < RESOURCE_COUNT; i++)
        json_decref(world->objects[i]);
    json_decref(world->head_jobs);
    json_decref(world->reported);
    restarts_done(&world->restarts);
}

static json_t *world_find(World *world, Resource resource, const char *name) {
    size_t i;
    json_t *object;
    json_array_foreach(world->objects[resource], i, object) {
        if (str_eq(object_name(object), name))
            return object;
    }
    return NULL;
}

static void touch(World *world, json_t *object) {
    char version[32];
    snprintf(version, sizeof(version), "%lld", (long long)++world->version);
    json_set_at(object, json_string(version), "metadata", "resourceVersion");
}

static int world_create(World *world, Resource resource, const json_t *wanted) {
    if (world_find(world, resource, object_name(wanted)))
        return -EEXIST;
    json_t *object = json_deep_copy(wanted);
    char uid[40];
    snprintf(uid, sizeof(uid), "uid-%lld", (long long)++world->version);
    json_set_at(object, json_string(uid), "metadata", "uid");
    json_set_at(object, object_time_text(world->now), "metadata", "creationTimestamp");
    json_set_at(object, json_integer(1), "metadata", "generation");
    if (resource == RESOURCE_PODS)
        json_set_at(object, json_string("Pending"), "status", "phase");
    touch(world, object);
    json_array_append_new(world->objects[resource], object);
    return 0;
}

static void world_remove(World *world, Resource resource, const json_t *object) {
    size_t i;
    json_t *item;
    json_array_foreach(world->objects[resource], i, item) {
        if (item == object) {
            json_array_remove(world->objects[resource], i);
            return;
        }
    }
}

/* Pods take their time to go; others go at once unless a finalizer holds them. */
static void world_delete(World *world, Resource resource, json_t *object) {
    bool held = json_array_size(json_at(object, "metadata", "finalizers")) > 0;
    if (resource != RESOURCE_PODS && !held) {
        world_remove(world, resource, object);
        return;
    }
    if (!obj_is_deleting(object))
        json_set_at(object, object_time_text(world->now), "metadata", "deletionTimestamp");
    touch(world, object);
}

static int world_replace(World *world, Resource resource, const json_t *changed) {
    json_t *there = world_find(world, resource, object_name(changed));
    if (!there)
        return -ENOENT;
    if (!str_eq(obj_resource_version(there), obj_resource_version(changed)))
        return -EAGAIN;
    json_t *status = json_incref(json_object_get(there, "status"));
    json_object_clear(there);
    json_object_update_new(there, json_deep_copy(changed));
    if (status)
        json_object_set_new(there, "status", status);
    touch(world, there);
    if (obj_is_deleting(there) && json_array_size(json_at(there, "metadata", "finalizers")) == 0)
        world_remove(world, resource, there);
    return 0;
}

static int world_submit(World *world, const Action *action) {
    const char *id = json_str_at(action->object, "submission_id");
    bool busy = world->submissions++ < world->busy;
    if (world->refusal || busy) {
        CHECK(action->failed.warning && action->failed.reason);
        world->report = (HeadReport){ .answer = busy ? HEAD_BUSY : HEAD_REFUSED,
                                      .asked = world->now,
                                      .error = busy ? "HTTP status 503: busy" : world->refusal };
        return -EPROTO;
    }
    if (!json_object_get(world->head_jobs, id))
        json_object_set_new(world->head_jobs, id,
                            json_pack("{s:s,s:i}", "status", "PENDING", "runs", 0));
    return 0;
}

static int world_act(World *world, const Action *action) {
    json_t *there = action->name && action->resource < RESOURCE_COUNT
                        ? world_find(world, action->resource, action->name)
                        : NULL;
    switch (action->type) {
    case ACTION_CREATE:
        return world_create(world, action->resource, action->object);
    case ACTION_ENSURE:
        (void)world_create(world, action->resource, action->object);
        return 0;
    case ACTION_REPLACE:
        return world_replace(world, action->resource, action->object);
    case ACTION_DELETE:
        if (there && str_eq(object_uid(there), action->uid)) {
            CHECK(!obj_label(there, "decoy"));
            world_delete(world, action->resource, there);
        }
        return 0;
    case ACTION_SUBMIT:
        return world_submit(world, action);
    default:
        return there || action->type != ACTION_REQUIRE ? 0 : -ENOENT;
    }
}

/* Whether the operator dies here; what it remembered is gone then. */
static bool dies(World *world) {
    if (++world->effects != world->crash_at)
        return false;
    restarts_done(&world->restarts);
    world->restarts = (Restarts){ 0 };
    return true;
}

/* Runs a plan as the executor does; a crash or a fault leaves any subset of a stage done. */
static bool world_run(World *world, const Plan *plan) {
    for (unsigned stage = STAGE_FIRST; stage <= STAGE_LAST; stage++) {
        bool failed = false;
        bool crash = chance(world, world->crash_percent);
        VEC_EACH(action, &plan->actions) {
            if (action->stage != stage || (crash && chance(world, 50)))
                continue;
            if (dies(world))
                return false;
            if (chance(world, world->fault_percent) || world_act(world, action) < 0)
                failed = true;
            else if (action->restart)
                restarts_note(&world->restarts, action->restart, world->now);
        }
        if (crash || failed)
            return false;
    }
    return true;
}

static void world_write_status(World *world, Resource resource, const json_t *seen,
                               const Plan *plan) {
    json_t *there = world_find(world, resource, object_name(seen));
    if (!plan->status || !there || !str_eq(obj_resource_version(there), obj_resource_version(seen)))
        return;
    if (dies(world))
        return;
    json_object_set(there, "status", plan->status);
    touch(world, there);
}

/* What belongs to a cluster by label or by owner. `owner` may be NULL. */
static json_t *related(World *world, Resource resource, const char *cluster, const json_t *owner) {
    json_t *list = json_array();
    size_t i;
    json_t *object;
    json_array_foreach(world->objects[resource], i, object) {
        if (str_eq(obj_label(object, LABEL_CLUSTER), cluster) ||
            (owner && object_owned_by(object, owner)))
            json_array_append_new(list, json_deep_copy(object));
    }
    return list;
}

static void reconcile_cluster(World *world, json_t *cluster) {
    _cleanup_json_ json_t *seen = json_deep_copy(cluster), *others = json_array();
    const char *name = object_name(seen);
    _cleanup_json_ json_t *pods = related(world, RESOURCE_PODS, name, seen);
    _cleanup_json_ json_t *services = related(world, RESOURCE_SERVICES, name, seen);
    for (size_t i = RESOURCE_JOBS; i < RESOURCE_COUNT; i++) {
        _cleanup_json_ json_t *more = related(world, (Resource)i, name, seen);
        json_array_extend(others, more);
    }
    ClusterView view = { seen, pods, services, others, &world->restarts };
    _cleanup_plan_ Plan plan;
    plan_init(&plan);
    cluster_plan(&view, &world->settings, &world->random, world->now, &plan);
    CHECK(!plan.trouble);
    if (world_run(world, &plan))
        world_write_status(world, RESOURCE_RAYCLUSTERS, seen, &plan);
}

static void ask_head(World *world, const json_t *job, const json_t *head) {
    const char *id = json_str_at(job, "status", "jobId");
    json_decref(world->reported);
    world->reported = NULL;
    world->report = (HeadReport){ .answer = HEAD_SILENT, .asked = world->now, .error = "no route" };
    if (!head || !str_eq(json_str_at(head, "status", "phase"), "Running"))
        return;
    world->reported = id ? json_deep_copy(json_object_get(world->head_jobs, id)) : NULL;
    world->report = (HeadReport){
        .answer = world->reported ? HEAD_JOB : HEAD_ABSENT,
        .asked = world->now,
        .job = world->reported,
    };
}

static const json_t *head_of(const json_t *pods) {
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod) {
        if (str_eq(obj_label(pod, LABEL_NODE_TYPE), NODE_HEAD) && !obj_is_deleting(pod) &&
            !obj_label(pod, "decoy"))
            return pod;
    }
    return NULL;
}

static void reconcile_job(World *world, json_t *job) {
    _cleanup_json_ json_t *seen = json_deep_copy(job);
    const char *name = json_str_at(seen, "status", "rayClusterName");
    name = name ? name : "";
    _cleanup_json_ json_t *pods = related(world, RESOURCE_PODS, name, NULL);
    _cleanup_free_ char *head_service = str_printf("%s-head-svc", name);
    _cleanup_free_ char *own_service = str_printf("%s-head-svc", object_name(seen));
    JobView view = {
        .job = seen,
        .cluster = world_find(world, RESOURCE_RAYCLUSTERS, name),
        .head_service = world_find(world, RESOURCE_SERVICES, head_service),
        .head_pod = head_of(pods),
        .service = world_find(world, RESOURCE_SERVICES, own_service),
        .submitter = world_find(world, RESOURCE_JOBS, object_name(seen)),
    };
    if (!str_eq(json_str_at(seen, "status", "jobDeploymentStatus"), "Running"))
        world->report = (HeadReport){ 0 };
    else if (world->report.answer != HEAD_REFUSED && chance(world, 50))
        ask_head(world, seen, view.head_pod);
    view.report = world->report;
    _cleanup_plan_ Plan plan;
    plan_init(&plan);
    job_plan(&view, &world->settings, &world->random, world->now, &plan);
    if (world_run(world, &plan))
        world_write_status(world, RESOURCE_RAYJOBS, seen, &plan);
}

static void set_ready(World *world, json_t *pod, const char *phase, bool ready) {
    json_set_at(pod, json_string(phase), "status", "phase");
    json_t *conditions = json_make_array(json_make_object(pod, "status"), "conditions");
    obj_set_condition(conditions, "Ready", ready ? "True" : "False", "", "", 0, world->now);
    touch(world, pod);
}

static void step_pod(World *world, json_t *pod, unsigned break_percent) {
    const char *phase = json_str_at(pod, "status", "phase");
    if (obj_label(pod, "decoy"))
        return;
    if (obj_is_deleting(pod))
        world_remove(world, RESOURCE_PODS, pod);
    else if (chance(world, break_percent))
        set_ready(world, pod, "Failed", false);
    else if (str_eq(phase, "Pending"))
        set_ready(world, pod, "Running", false);
    else if (str_eq(phase, "Running") &&
             !condition_holds(json_at(pod, "status", "conditions"), "Ready"))
        set_ready(world, pod, "Running", true);
}

static json_t *any(World *world, Resource resource) {
    size_t len = json_array_size(world->objects[resource]);
    return len ? json_array_get(world->objects[resource], roll(world, (unsigned)len)) : NULL;
}

static bool owner_exists(World *world, const json_t *object) {
    const char *uid = json_str_at(obj_controller_ref(object), "uid");
    if (!uid)
        return true;
    for (Resource i = 0; i < RESOURCE_COUNT; i++) {
        size_t k;
        json_t *owner;
        json_array_foreach(world->objects[i], k, owner) {
            if (str_eq(object_uid(owner), uid))
                return true;
        }
    }
    return false;
}

static void collect_garbage(World *world) {
    for (Resource i = 0; i < RESOURCE_COUNT; i++) {
        for (size_t k = json_array_size(world->objects[i]); k-- > 0;) {
            json_t *object = json_array_get(world->objects[i], k);
            if (!owner_exists(world, object) && !obj_is_deleting(object))
                world_delete(world, i, object);
        }
    }
}

/* The submitter submits once (its script asks first), waits for the end, and ends as the job did.
 */
static void step_submitter(World *world, json_t *submitter) {
    const json_t *container =
        json_array_get(json_at(submitter, "spec", "template", "spec", "containers"), 0);
    const char *id = env_value(container, "RAY_JOB_SUBMISSION_ID");
    json_t *run = id ? json_object_get(world->head_jobs, id) : NULL;
    const json_t *conditions = json_at(submitter, "status", "conditions");
    if (!id)
        return;
    if (!run) {
        json_object_set_new(world->head_jobs, id,
                            json_pack("{s:s,s:i}", "status", "PENDING", "runs", 0));
    } else if (str_eq(json_str_at(run, "status"), world->job_end) &&
               !condition_holds(conditions, "Complete") && !condition_holds(conditions, "Failed")) {
        bool good = str_eq(world->job_end, "SUCCEEDED");
        obj_set_condition(json_make_array(json_make_object(submitter, "status"), "conditions"),
                          good ? "Complete" : "Failed", "True", "", "", 0, world->now);
        touch(world, submitter);
    }
}

static void step_heads(World *world) {
    const char *id;
    json_t *run;
    json_object_foreach(world->head_jobs, id, run) {
        const char *status = json_str_at(run, "status");
        if (str_eq(status, "PENDING")) {
            json_object_set_new(run, "status", json_string("RUNNING"));
            json_object_set_new(run, "runs", json_integer(json_int_at(run, 0, "runs") + 1));
        } else if (str_eq(status, "RUNNING") && chance(world, 30)) {
            json_object_set_new(run, "status", json_string(world->job_end));
            json_object_set_new(run, "end_time", json_integer(world->now / USEC_PER_MSEC));
        }
    }
}

static void check_heads(World *world) {
    size_t i, k;
    json_t *cluster, *pod;
    json_array_foreach(world->objects[RESOURCE_RAYCLUSTERS], i, cluster) {
        unsigned heads = 0;
        json_array_foreach(world->objects[RESOURCE_PODS], k, pod)
            heads +=
                object_owned_by(pod, cluster) && str_eq(obj_label(pod, LABEL_NODE_TYPE), NODE_HEAD);
        CHECK(heads <= 1);
    }
}

static void world_step(World *world, unsigned break_percent) {
    json_t *object;
    switch (roll(world, 6)) {
    case 0:
    case 1:
        if ((object = any(world, RESOURCE_RAYCLUSTERS)))
            reconcile_cluster(world, object);
        break;
    case 2:
        if ((object = any(world, RESOURCE_RAYJOBS)))
            reconcile_job(world, object);
        break;
    case 3:
        if ((object = any(world, RESOURCE_PODS)))
            step_pod(world, object, break_percent);
        break;
    case 4:
        collect_garbage(world);
        step_heads(world);
        break;
    default:
        if ((object = any(world, RESOURCE_JOBS)))
            step_submitter(world, object);
        world->now += USEC_PER_SEC;
    }
    check_heads(world);
}

static json_t *parse(const char *text) {
    _cleanup_free_ char *quoted = str_dup(text);
    for (char *c = quoted; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_t *value;
    CHECK_OK(json_parse(quoted, strlen(quoted), NULL, 0, &value));
    return value;
}

#define TEMPLATE(name) "'template':{'spec':{'containers':[{'name':'" name "','image':'i'}]}}"
#define CLUSTER_SPEC                                                                               \
    "{'rayVersion':'2.60.0','headGroupSpec':{'rayStartParams':{}," TEMPLATE(                       \
        "ray-head") "},"                                                                           \
                    "'workerGroupSpecs':[{'groupName':'small','replicas':3,'minReplicas':0,"       \
                    "'maxReplicas':9,'numOfHosts':1,'rayStartParams':{}," TEMPLATE(                \
                        "ray-worker") "},{'groupName':'multi','replicas':2,'minReplicas':0,'"      \
                                      "maxReplicas':9,"                                            \
                                      "'numOfHosts':2,'rayStartParams':{}," TEMPLATE(              \
                                          "ray-worker") "}]}"

#define SMALL_SPEC                                                                                 \
    "{'rayVersion':'2.60.0','headGroupSpec':{'rayStartParams':{}," TEMPLATE(                       \
        "ray-head") "},'workerGroupSpecs':[{'groupName':'small','replicas':1,'minReplicas':0,"     \
                    "'maxReplicas':9,'numOfHosts':1,'rayStartParams':{}," TEMPLATE(                \
                        "ray-worker") "}]}"

static void add(World *world, Resource resource, const char *text) {
    _cleanup_json_ json_t *object = parse(text);
    CHECK_INT(world_create(world, resource, object), 0);
}

/* Pods that look like the cluster's and are somebody else's. */
static void add_decoys(World *world, const char *cluster) {
    static const char *const NAMES[] = { "decoy-1", "decoy-2" };
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        _cleanup_json_ json_t *pod = object_make("v1", "Pod", "default", NAMES[i]);
        obj_set_label(pod, LABEL_CLUSTER, cluster);
        obj_set_label(pod, LABEL_NODE_TYPE, NODE_WORKER);
        obj_set_label(pod, LABEL_GROUP, i ? "small" : "unknown");
        obj_set_label(pod, "decoy", "yes");
        CHECK_INT(world_create(world, RESOURCE_PODS, pod), 0);
    }
}

static size_t count_pods(World *world, const char *cluster, const char *group) {
    size_t i, count = 0;
    json_t *pod;
    json_array_foreach(world->objects[RESOURCE_PODS], i, pod)
        count += str_eq(obj_label(pod, LABEL_CLUSTER), cluster) && !obj_label(pod, "decoy") &&
                 !obj_is_deleting(pod) && (!group || str_eq(obj_label(pod, LABEL_GROUP), group));
    return count;
}

enum {
    WILD_STEPS = 600,
    CALM_STEPS = 2500,
    QUIET_STEPS = 250,
};

/* Until nothing has changed for so long that only a bug could still be waiting; at most as long as
 * it may take. */
static void calm(World *world, unsigned most) {
    int64_t version = -1;
    for (unsigned i = 0, quiet = 0; i < most && quiet < QUIET_STEPS; i++) {
        quiet = world->version == version ? quiet + 1 : 0;
        version = world->version;
        world_step(world, 0);
    }
}

/* A few by default; SIM_SEEDS=1000 for a long look. */
static uint64_t seeds(void) {
    int64_t count;
    const char *text = getenv("SIM_SEEDS");
    return text && str_to_i64(text, &count) == 0 ? (uint64_t)count : 6;
}

static void storm(World *world) {
    world->crash_percent = 30;
    world->fault_percent = 10;
    for (unsigned i = 0; i < WILD_STEPS; i++)
        world_step(world, 5);
    world->crash_percent = world->fault_percent = 0;
    world->now += 700 * USEC_PER_SEC; /* back-offs are over */
}

static void test_cluster_converges(void **state) {
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        World world;
        world_init(&world, seed);
        add(&world, RESOURCE_RAYCLUSTERS,
            "{'apiVersion':'ray.io/v1','kind':'RayCluster','metadata':{'name':'c',"
            "'namespace':'default'},'spec':" CLUSTER_SPEC "}");
        add_decoys(&world, "c");
        storm(&world);
        json_t *cluster = world_find(&world, RESOURCE_RAYCLUSTERS, "c");
        json_set_at(json_array_get(json_at(cluster, "spec", "workerGroupSpecs"), 0),
                    parse("['decoy-2']"), "scaleStrategy", "workersToDelete");
        json_array_remove(json_at(cluster, "spec", "workerGroupSpecs"), seed % 3 == 0 ? 1 : 9);
        calm(&world, CALM_STEPS);
        CHECK_INT(count_pods(&world, "c", GROUP_HEAD), 1);
        CHECK_INT(count_pods(&world, "c", "small"), 3);
        CHECK_INT(count_pods(&world, "c", "multi"), seed % 3 == 0 ? 0 : 4);
        CHECK_INT(json_array_size(world.objects[RESOURCE_SERVICES]), 2);
        CHECK_STR(json_str_at(cluster, "status", "state"), "ready");
        json_object_set_new(json_at(cluster, "spec"), "suspend", json_true());
        calm(&world, CALM_STEPS);
        CHECK_INT(count_pods(&world, "c", NULL), 0);
        CHECK_STR(json_str_at(cluster, "status", "state"), "suspended");
        CHECK(condition_holds(json_at(cluster, "status", "conditions"), "RayClusterSuspended"));
        CHECK(world_find(&world, RESOURCE_PODS, "decoy-1") != NULL);
        world_done(&world);
    }
}

/* Gives the number of effects it took. */
static unsigned run_job(uint64_t seed, const char *mode, const char *cluster, const char *end,
                        unsigned storm_steps, unsigned crash_at) {
    bool good = str_eq(end, "SUCCEEDED");
    World world;
    world_init(&world, seed);
    world.crash_at = crash_at;
    world.job_end = end;
    _cleanup_free_ char *text =
        str_printf("{'apiVersion':'ray.io/v1','kind':'RayJob','metadata':{'name':'j',"
                   "'namespace':'default'},'spec':{'entrypoint':'python x.py',"
                   "'submissionMode':'%s','shutdownAfterJobFinishes':true,"
                   "'ttlSecondsAfterFinished':10,'backoffLimit':0,'rayClusterSpec':%s}}",
                   mode, cluster);
    add(&world, RESOURCE_RAYJOBS, text);
    world.crash_percent = 30;
    for (unsigned i = 0; i < storm_steps; i++)
        world_step(&world, 0);
    world.crash_percent = 0;
    calm(&world, 2 * CALM_STEPS);
    const json_t *job = world_find(&world, RESOURCE_RAYJOBS, "j");
    CHECK_STR(json_str_at(job, "status", "jobDeploymentStatus"), good ? "Complete" : "Failed");
    CHECK_STR(json_str_at(job, "status", "jobStatus"), end);
    CHECK(good || str_eq(json_str_at(job, "status", "reason"), "AppFailed"));
    CHECK_INT(json_int_at(job, 0, "status", good ? "succeeded" : "failed"), 1);
    CHECK_INT(json_object_size(world.head_jobs), 1);
    const json_t *run = json_object_iter_value(json_object_iter(world.head_jobs));
    CHECK_INT(json_int_at(run, 0, "runs"), 1);
    CHECK_INT(json_array_size(world.objects[RESOURCE_RAYCLUSTERS]), 0);
    CHECK_INT(json_array_size(world.objects[RESOURCE_PODS]), 0);
    json_t *object = world_find(&world, RESOURCE_RAYJOBS, "j");
    world_delete(&world, RESOURCE_RAYJOBS, object);
    calm(&world, CALM_STEPS);
    for (size_t i = 0; i < RESOURCE_COUNT; i++)
        CHECK_INT(json_array_size(world.objects[i]), 0);
    unsigned effects = world.effects;
    world_done(&world);
    return effects;
}

static void test_job_runs_once(void **state) {
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        run_job(seed, "K8sJobMode", CLUSTER_SPEC, "SUCCEEDED", WILD_STEPS, 0);
        run_job(seed, "HTTPMode", CLUSTER_SPEC, "SUCCEEDED", WILD_STEPS, 0);
    }
}

/* What Ray says of the job counts, also where its submitter is seen to have failed first. */
static void test_a_job_that_fails(void **state) {
    for (uint64_t seed = 1; seed <= 10 * seeds(); seed++) {
        run_job(seed, "K8sJobMode", SMALL_SPEC, "FAILED", 0, 0);
        run_job(seed, "HTTPMode", SMALL_SPEC, "FAILED", 0, 0);
    }
}

static void add_http_job(World *world, int retries) {
    _cleanup_free_ char *text =
        str_printf("{'apiVersion':'ray.io/v1','kind':'RayJob','metadata':{'name':'j',"
                   "'namespace':'default'},'spec':{'entrypoint':'python x.py',"
                   "'submissionMode':'HTTPMode','shutdownAfterJobFinishes':true,"
                   "'backoffLimit':%d,'rayClusterSpec':%s}}",
                   retries, SMALL_SPEC);
    add(world, RESOURCE_RAYJOBS, text);
}

static void check_end(World *world, const char *state, const char *reason, const char *message) {
    const json_t *status = json_at(world_find(world, RESOURCE_RAYJOBS, "j"), "status");
    const char *said = json_str_at(status, "message");
    CHECK_STR(json_str_at(status, "jobDeploymentStatus"), state);
    CHECK(str_eq(json_str_at(status, "reason"), reason));
    if (message && (!said || !strstr(said, message)))
        fail_msg("'%s' does not say '%s'", said ? said : "", message);
}

/* Once for each try, with the head's own words, and none of them runs. */
static void test_a_job_that_is_refused(void **state) {
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        World world;
        world_init(&world, seed);
        world.refusal = "HTTP status 400: conda is not supported";
        add_http_job(&world, 1);
        calm(&world, 2 * CALM_STEPS);
        check_end(&world, "Failed", "SubmissionFailed",
                  "The head refused the job: HTTP status 400: conda is not supported");
        CHECK_INT(json_int_at(world_find(&world, RESOURCE_RAYJOBS, "j"), 0, "status", "failed"), 2);
        CHECK_INT(world.submissions, 2);
        CHECK_INT(json_object_size(world.head_jobs), 0);
        CHECK_INT(json_array_size(world.objects[RESOURCE_RAYCLUSTERS]), 0);
        world_done(&world);
    }
}

/* It is tried again, and taken in the end; or the time for it is over, and that is the reason. */
static void test_a_head_that_takes_no_job(void **state) {
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        World world;
        world_init(&world, seed);
        world.busy = 3;
        add_http_job(&world, 0);
        calm(&world, 2 * CALM_STEPS);
        check_end(&world, "Complete", NULL, NULL);
        CHECK(world.submissions >= 4); /* an old report may have it sent twice */
        CHECK_INT(json_object_size(world.head_jobs), 1);
        const json_t *run = json_object_iter_value(json_object_iter(world.head_jobs));
        CHECK_INT(json_int_at(run, 0, "runs"), 1);
        world_done(&world);
        world_init(&world, seed);
        world.busy = UINT_MAX;
        world.settings.job_check_timeout = 10 * USEC_PER_SEC;
        add_http_job(&world, 0);
        calm(&world, 2 * CALM_STEPS);
        check_end(&world, "Failed", "SubmissionFailed", "HTTP status 503: busy");
        CHECK_INT(json_object_size(world.head_jobs), 0);
        world_done(&world);
    }
}

/* Between any two effects of a whole life, from the finalizer to the last deletion. */
static void test_a_crash_between_any_two_steps(void **state) {
    static const char *const MODES[] = { "K8sJobMode", "HTTPMode" };
    for (size_t mode = 0; mode < ARRAY_LEN(MODES); mode++) {
        unsigned effects = run_job(1, MODES[mode], SMALL_SPEC, "SUCCEEDED", 0, 0);
        CHECK(effects > 15);
        for (unsigned at = 1; at <= effects; at++)
            run_job(1, MODES[mode], SMALL_SPEC, "SUCCEEDED", 0, at);
    }
}

int main(void) {
    return TEST_RUN(TEST(test_cluster_converges), TEST(test_job_runs_once),
                    TEST(test_a_job_that_fails), TEST(test_a_job_that_is_refused),
                    TEST(test_a_head_that_takes_no_job), TEST(test_a_crash_between_any_two_steps));
}
