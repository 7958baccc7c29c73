/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "dashboard/dashboard_private.h"

#define PING_TIMEOUT (2 * USEC_PER_SEC)

/* ------------------------------------------------------------------------------- version */

static void on_version(void *ctx, HttpRequest *request) {
    const Dashboard *dashboard = ctx;
    json_t *answer = json_object();
    json_object_set_new(answer, "version", json_string("4"));
    json_object_set_new(answer, "ray_version", json_string(dashboard->ray_version));
    json_object_set_new(answer, "ray_commit", json_string(dashboard->ray_commit));
    json_object_set_new(answer, "session_name", json_string(dashboard->session_name));
    respond_json(request, 200, answer);
}

static void on_mode(void *ctx, HttpRequest *request) {
    const Dashboard *dashboard = ctx;
    auth_respond_mode(dashboard->auth, request);
}

static void on_authenticate(void *ctx, HttpRequest *request) {
    const Dashboard *dashboard = ctx;
    auth_respond_authenticate(dashboard->auth, request);
}

/* -------------------------------------------------------------------------------- health */

static void on_pong(void *argument, const RpcReply *reply) {
    if (reply->result >= 0)
        http_respond_text(argument, 200, "success");
    else
        http_respond_text(argument, 503, "gcs is not reachable");
}

static void on_gcs_health(void *ctx, HttpRequest *request) {
    Dashboard *dashboard = ctx;
    dial_call(dashboard->gcs, PEER_GCS, MSG_PING, NULL, PING_TIMEOUT, on_pong, request);
}

/* ----------------------------------------------------------------------------- the nodes */

static void with_status(Ask *ask, const RpcReply *reply,
                        void (*then)(HttpRequest *request, const ClusterStatus *status)) {
    _cleanup_arena_ Arena arena = { 0 };
    ClusterStatus status;
    if (!reply_ok(reply)) {
        respond_failure(ask->request, reply);
        return;
    }
    int r = cluster_status_decode(&status, reply->body, reply->len, &arena);
    if (r < 0)
        http_respond_error(ask->request, r);
    else
        then(ask->request, &status);
}

static void respond_nodes(HttpRequest *request, const ClusterStatus *status) {
    const char *view = http_query_get(http_request_query(request), "view");
    json_t *data = json_object();
    if (str_eq(view, "summary")) {
        json_object_set_new(data, "summary", cluster_node_summaries(status));
        json_object_set_new(data, "nodeLogicalResources", cluster_node_resources(status));
        respond_envelope(request, true, "Node summary fetched.", data);
    } else if (view && str_eq_nocase(view, "hostNameList")) {
        json_object_set_new(data, "hostNameList", cluster_host_names(status));
        respond_envelope(request, true, "Node hostname list fetched.", data);
    } else {
        _cleanup_free_ char *message = str_printf("Unknown view %s", view ? view : "None");
        respond_envelope(request, false, message, data);
    }
}

static void give_nodes(Ask *ask, const RpcReply *reply) {
    with_status(ask, reply, respond_nodes);
}

static void on_nodes(void *ctx, HttpRequest *request) {
    ask(ctx, request, MSG_CLUSTER_STATUS_GET, NULL, give_nodes, NULL);
}

static void respond_cluster_status(HttpRequest *request, const ClusterStatus *status) {
    json_t *data = json_object();
    if (str_eq(http_query_get(http_request_query(request), "format"), "1")) {
        _cleanup_buf_ Buf text = { 0 };
        cluster_status_text(status, false, cluster_idle_apart(), &text);
        json_object_set_new(data, "clusterStatus", json_string(text.data));
        respond_envelope(request, true, "Got formatted cluster status.", data);
        return;
    }
    json_object_set_new(data, "autoscalingStatus", json_null());
    json_object_set_new(data, "autoscalingError", json_null());
    json_object_set_new(data, "clusterStatus", cluster_load(status));
    respond_envelope(request, true, "Got cluster status.", data);
}

static void give_cluster_status(Ask *ask, const RpcReply *reply) {
    with_status(ask, reply, respond_cluster_status);
}

static void on_cluster_status(void *ctx, HttpRequest *request) {
    ask(ctx, request, MSG_CLUSTER_STATUS_GET, NULL, give_cluster_status, NULL);
}

/* ---------------------------------------------------------------------------- activities */

static json_t *driver_activity(const JobTable *table, usec_t wall) {
    size_t active = 0;
    uint64_t last_end = 0;
    for (size_t i = 0; i < table->jobs_len; i++) {
        const JobInfo *job = &table->jobs[i];
        _cleanup_free_ char *namespace = str_dup_slice(job->namespace);
        last_end = MAX(last_end, job->ended_wall);
        active += !job->finished && !str_starts(namespace, "_ray_internal_");
    }
    json_t *driver = json_object();
    json_object_set_new(driver, "is_active", json_string(active ? "ACTIVE" : "INACTIVE"));
    if (active)
        json_set_printf(driver, "reason", "Number of active drivers: %zu", active);
    else
        json_object_set_new(driver, "reason", json_null());
    json_object_set_new(driver, "timestamp", json_real((double)wall / USEC_PER_SEC));
    json_object_set_new(driver, "last_activity_at",
                        last_end ? json_real((double)last_end / 1000) : json_null());
    return driver;
}

static void give_activities(Ask *ask, const RpcReply *reply) {
    _cleanup_arena_ Arena arena = { 0 };
    JobTable table;
    json_t *answer = json_object();
    if (reply_ok(reply) && job_table_decode(&table, reply->body, reply->len, &arena) == 0) {
        json_object_set_new(answer, "driver",
                            driver_activity(&table, loop_wall_now(ask->dashboard->loop)));
    } else {
        json_set_at(answer, json_string("ERROR"), "driver", "is_active");
        json_set_at(answer, json_string("gcs is not reachable"), "driver", "reason");
        json_set_at(answer, json_real((double)loop_wall_now(ask->dashboard->loop) / USEC_PER_SEC),
                    "driver", "timestamp");
        json_set_at(answer, json_null(), "driver", "last_activity_at");
    }
    respond_json(ask->request, 200, answer);
}

static void on_activities(void *ctx, HttpRequest *request) {
    ask(ctx, request, MSG_JOB_TABLE_GET, NULL, give_activities, NULL);
}

/* --------------------------------------------------------------------------------- serve */

static void on_serve(void *ctx, HttpRequest *request) {
    json_t *answer = json_object();
    json_object_set_new(answer, "controller_info", json_object());
    json_object_set_new(answer, "proxies", json_object());
    json_object_set_new(answer, "applications", json_object());
    json_object_set_new(answer, "target_capacity", json_null());
    respond_json(request, 200, answer);
}

static void on_page(void *ctx, HttpRequest *request) {
    const Dashboard *dashboard = ctx;
    _cleanup_free_ char *page =
        str_printf("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Ray</title>\n"
                   "<h1>Ray %s</h1>\n<p>Session %s</p>\n<ul>\n<li><a href=\"/api/jobs/\">Jobs</a>\n"
                   "<li><a href=\"/nodes?view=summary\">Nodes</a>\n"
                   "<li><a href=\"/api/cluster_status\">Resources</a>\n</ul>\n",
                   dashboard->ray_version, dashboard->session_name);
    http_respond(request, 200, "text/html; charset=utf-8", slice_str(page));
}

void cluster_routes(Dashboard *dashboard) {
    const struct {
        const char *method, *pattern;
        HttpHandlerFn *handler;
    } routes[] = {
        { "GET", "/", on_page },
        { "GET", "/api/version", on_version },
        { "GET", "/api/ray/version", on_version },
        { "GET", "/api/authentication_mode", on_mode },
        { "POST", "/api/authenticate", on_authenticate },
        { "GET", "/api/gcs_healthz", on_gcs_health },
        { "GET", "/api/healthz", on_gcs_health },
        { "GET", "/nodes", on_nodes },
        { "GET", "/api/cluster_status", on_cluster_status },
        { "GET", "/api/component_activities", on_activities },
        { "GET", "/api/serve/applications/", on_serve },
    };
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        http_router_add(dashboard->router, routes[i].method, routes[i].pattern, routes[i].handler,
                        dashboard);
}
