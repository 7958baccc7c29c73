/* SPDX-License-Identifier: Apache-2.0 */
#include "operator/operator.h"

#include <malloc.h>

#include "api/metrics.h"
#include "base/log.h"
#include "kube/event.h"
#include "kube/leader.h"
#include "net/http_router.h"
#include "operator/controller.h"
#include "operator/metrics.h"
#include "operator/names.h"
#include "operator/object.h"

enum {
    AT_ONCE = 256 /* objects of a kind that are worked on at a time */
};

/* What exists only while we lead. */
typedef struct Reign {
    Stock *stock;
    Heads *heads;
    EventRecorder *cluster_events, *job_events;
    Controller *clusters, *jobs;
    bool synced;
} Reign;

struct Operator {
    Loop *loop;
    HttpClient *http;
    KubeClient *client;
    OperatorOptions options;
    NameRandom random;
    Leader *leader;
    LoopTask *alone; /* without an election: begins to lead */
    LoopTimer *tidy;
    Reign reign;
    OperatorMetrics *metrics;
    HttpRouter *metrics_router, *health_router;
    HttpServer *metrics_server, *health_server;
};

static void add_owner(Operator *self, const json_t *object) {
    const json_t *owner = obj_controller_ref(object);
    const char *kind = json_str_at(owner, "kind"), *name = json_str_at(owner, "name");
    if (str_eq(kind, "RayCluster"))
        controller_add(self->reign.clusters, object_namespace(object), name);
    else if (str_eq(kind, "RayJob"))
        controller_add(self->reign.jobs, object_namespace(object), name);
}

/* RayJobs look at their RayCluster and, with a sidecar, at its head pod. */
static void add_jobs_on(Operator *self, const char *namespace_, const char *cluster) {
    _cleanup_json_ json_t *jobs = stock_jobs_on(self->reign.stock, namespace_, cluster);
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
        controller_add(self->reign.jobs, namespace_, object_name(job));
}

static void add_pod(Operator *self, const json_t *pod) {
    const char *cluster = obj_label(pod, LABEL_CLUSTER), *namespace_ = object_namespace(pod);
    if (!cluster)
        return;
    controller_add(self->reign.clusters, namespace_, cluster);
    if (str_eq(obj_label(pod, LABEL_NODE_TYPE), NODE_HEAD))
        add_jobs_on(self, namespace_, cluster);
}

static void forget_gone(Operator *self, Resource resource, const json_t *object) {
    _cleanup_json_ json_t *there =
        stock_get(self->reign.stock, resource, object_namespace(object), object_name(object));
    if (!there)
        operator_metrics_gone(self->metrics, object);
}

static void on_changed(void *ctx, Resource resource, const json_t *object) {
    Operator *self = ctx;
    const char *namespace_ = object_namespace(object), *name = object_name(object);
    if (!self->reign.synced)
        return;
    if (resource == RESOURCE_RAYCLUSTERS || resource == RESOURCE_RAYJOBS)
        forget_gone(self, resource, object);
    switch (resource) {
    case RESOURCE_RAYCLUSTERS:
        controller_add(self->reign.clusters, namespace_, name);
        add_jobs_on(self, namespace_, name);
        add_owner(self, object);
        break;
    case RESOURCE_RAYJOBS:
        controller_add(self->reign.jobs, namespace_, name);
        break;
    case RESOURCE_PODS:
        add_pod(self, object);
        break;
    default:
        add_owner(self, object);
    }
}

static void add_cluster(void *ctx, const json_t *object) {
    Operator *self = ctx;
    controller_add(self->reign.clusters, object_namespace(object), object_name(object));
}

static void add_job(void *ctx, const json_t *object) {
    Operator *self = ctx;
    controller_add(self->reign.jobs, object_namespace(object), object_name(object));
}

static void on_synced(void *ctx) {
    Operator *self = ctx;
    self->reign.synced = true;
    log_info("all caches are complete");
    stock_each(self->reign.stock, RESOURCE_RAYCLUSTERS, add_cluster, self);
    stock_each(self->reign.stock, RESOURCE_RAYJOBS, add_job, self);
}

static const StockEvents STOCK_EVENTS = { .changed = on_changed, .synced = on_synced };

static void on_status(void *ctx, const json_t *object, const json_t *before, const json_t *after) {
    Operator *self = ctx;
    operator_metrics_status(self->metrics, object, before, after, loop_wall_now(self->loop));
}

static void begin_reign(void *ctx) {
    Operator *self = ctx;
    Reign *reign = &self->reign;
    const char *identity = self->options.identity;
    log_info("leading as %s", identity);
    reign->cluster_events = event_recorder_new(self->client, "raycluster-controller", identity);
    reign->job_events = event_recorder_new(self->client, "rayjob-controller", identity);
    reign->heads = heads_new(self->client, self->http, self->options.kubernetes_proxy);
    reign->stock = stock_new(self->client, &self->options.namespaces, &STOCK_EVENTS, self);
    ControllerDoors doors = {
        .client = self->client,
        .stock = reign->stock,
        .events = reign->cluster_events,
        .heads = reign->heads,
        .settings = &self->options.settings,
        .random = &self->random,
    };
    reign->clusters = controller_new(RESOURCE_RAYCLUSTERS, AT_ONCE, &doors);
    doors.events = reign->job_events;
    reign->jobs = controller_new(RESOURCE_RAYJOBS, AT_ONCE, &doors);
    controller_on_status(reign->clusters, on_status, self);
    controller_on_status(reign->jobs, on_status, self);
}

static void end_reign(Operator *self) {
    Reign *reign = &self->reign;
    controller_free(reign->clusters);
    controller_free(reign->jobs);
    heads_free(reign->heads);
    stock_free(reign->stock);
    event_recorder_free(reign->cluster_events);
    event_recorder_free(reign->job_events);
    *reign = (Reign){ 0 };
}

static void on_stopped(void *ctx) {
    Operator *self = ctx;
    log_warn("the lease " OPERATOR_LEASE " is lost");
    end_reign(self);
    if (self->options.deposed)
        self->options.deposed(self->options.ctx);
}

static void on_observed(void *ctx, const char *identity) {
    log_info("the leader is %s", *identity ? identity : "nobody");
}

static const LeaderEvents LEADER_EVENTS = {
    .started = begin_reign,
    .stopped = on_stopped,
    .observed = on_observed,
};

static void serve_metrics(void *ctx, HttpRequest *request) {
    Operator *self = ctx;
    const Reign *reign = &self->reign;
    ControllerStats clusters = { 0 }, jobs = { 0 };
    if (reign->stock) {
        clusters = controller_stats(reign->clusters);
        jobs = controller_stats(reign->jobs);
    }
    OperatorMetricsView view = {
        .stock = reign->synced ? reign->stock : NULL,
        .clusters = &clusters,
        .jobs = &jobs,
        .objects = self->options.object_metrics,
        .leading = reign->stock != NULL,
    };
    _cleanup_buf_ Buf text = { 0 };
    operator_metrics_write(self->metrics, &view, &text);
    http_respond(request, 200, METRICS_CONTENT_TYPE, buf_slice(&text));
}

static void serve_health(void *ctx, HttpRequest *request) {
    http_respond_text(request, 200, "ok");
}

static int serve(Operator *self, const NetAddress *address, HttpRouter *router,
                 HttpServer **ret_server) {
    if (!address)
        return 0;
    *ret_server = http_server_new(self->loop, NULL, http_router_handle, router);
    return http_server_listen(*ret_server, address, NULL, NULL);
}

static int begin_serving(Operator *self) {
    self->metrics_router = http_router_new();
    self->health_router = http_router_new();
    http_router_add(self->metrics_router, "GET", "/metrics", serve_metrics, self);
    http_router_add(self->health_router, "GET", "/healthz", serve_health, self);
    http_router_add(self->health_router, "GET", "/readyz", serve_health, self);
    int r = serve(self, self->options.metrics, self->metrics_router, &self->metrics_server);
    return r < 0 ? r : serve(self, self->options.health, self->health_router, &self->health_server);
}

#define TIDY_PERIOD (10 * USEC_PER_SEC)

/* Gives back what a burst of objects has left in the heap. */
static void tidy(void *ctx) {
    malloc_trim(0);
}

int operator_new(Loop *loop, HttpClient *http, KubeClient *client, const OperatorOptions *options,
                 Operator **ret_operator) {
    _cleanup_(operator_freep) Operator *self = mem_new(Operator);
    *self = (Operator){
        .loop = loop,
        .http = http,
        .client = client,
        .options = *options,
        .metrics = operator_metrics_new(),
    };
    mem_random(&self->random, sizeof(self->random));
    self->tidy = loop_timer_new(loop, tidy, NULL);
    loop_timer_every(self->tidy, TIDY_PERIOD);
    int r = begin_serving(self);
    if (r < 0)
        return r;
    if (options->leader_election) {
        LeaderConfig config = {
            .namespace = options->leader_namespace,
            .name = OPERATOR_LEASE,
            .identity = options->identity,
        };
        self->leader = leader_new(client, &config, &LEADER_EVENTS, self);
    } else {
        self->alone = loop_task_new(loop, begin_reign, self);
        loop_task_arm(self->alone);
    }
    *ret_operator = TAKE(self);
    return 0;
}

Operator *operator_free(Operator *self) {
    if (!self)
        return NULL;
    end_reign(self);
    leader_free(self->leader);
    loop_task_free(self->alone);
    loop_timer_free(self->tidy);
    http_server_free(self->metrics_server);
    http_server_free(self->health_server);
    http_router_free(self->metrics_router);
    http_router_free(self->health_router);
    operator_metrics_free(self->metrics);
    free(self);
    return NULL;
}

void operator_release(Operator *self, LoopFn *done, void *ctx) {
    end_reign(self);
    if (self->leader)
        leader_release(self->leader, done, ctx);
    else
        loop_defer(self->loop, done, ctx);
}

bool operator_leads(const Operator *self) {
    return self->reign.stock != NULL;
}
