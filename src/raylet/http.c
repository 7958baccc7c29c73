/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/agent.h"
#include "api/metrics.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

/* What a node serves over HTTP: the agent's paths (api/agent.h) and /metrics, each at its port. */

enum {
    GCS_SILENT_KEEPALIVES = 3
};

typedef struct RayletHttp {
    Raylet *raylet;
    Auth auth;
    ApiAgent *agent;
    HttpRouter *metrics;
    HttpServer *agent_server, *metrics_server;
    MachineCounters machine;
} RayletHttp;

static const char *gcs_problem(void *ctx) {
    const Raylet *raylet = ctx;
    if (!upstream_connected(raylet))
        return "not connected";
    usec_t silent = loop_now(raylet->loop) - raylet->gcs.heard_at;
    return silent > GCS_SILENT_KEEPALIVES * raylet->gcs.keepalive ? "it does not answer" : NULL;
}

static uint64_t rss_bytes(void) {
    _cleanup_buf_ Buf text = { 0 };
    unsigned long size, pages;
    if (file_read("/proc/self/statm", 4096, &text) < 0 ||
        sscanf(text.data, "%lu %lu", &size, &pages) != 2)
        return 0;
    return (uint64_t)pages * 4096;
}

static void resources_metrics(const Raylet *raylet, const NodeMetrics *node, Buf *out) {
    const char *name;
    Quantity total;
    for (size_t i = 0; resources_at(&raylet->here.total, i, &name, &total); i++) {
        Quantity available = resources_get(&raylet->here.available, name);
        metrics_resource(out, node, i == 0, name, quantity_to_double(total - available),
                         quantity_to_double(available));
    }
}

static unsigned open_files(void) {
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* "." and "..", and the folder's own */
}

/* What the processes hold: all of it is zero when nothing is alive. */
static void add_held(const NodeDetails *details, NodeMetrics *node) {
    for (size_t i = 0; i < details->processes_len; i++) {
        _cleanup_arena_ Arena arena = { 0 };
        const ProcessEntry *p = &details->processes[i];
        ProcessState state;
        if (!p->answered || process_state_decode(&state, p->state.data, p->state.len, &arena) < 0)
            continue;
        node->owned_objects += state.refs_owned;
        node->borrowed_objects += state.refs_borrowed;
        node->owned_bytes += state.values_bytes;
        node->tasks_pending += state.tasks_total;
    }
    node->leases = details->leases;
    node->spilled_objects = details->spilled_objects;
    node->spilled_bytes = details->spilled_bytes;
}

typedef struct Scrape {
    RayletHttp *http;
    HttpRequest *request;
} Scrape;

static void answer_scrape(void *ctx, const NodeDetails *details) {
    Scrape *scrape = ctx;
    RayletHttp *http = scrape->http;
    HttpRequest *request = scrape->request;
    const Raylet *raylet = http->raylet;
    free(scrape);
    if (!details) {
        http_respond_text(request, 503, "the node ends");
        return;
    }
    size_t waiting = 0;
    LIST_EACH(item, &raylet->waiting)
        waiting++;
    NodeMetrics node = {
        .ip = raylet->node_ip,
        .node_id = raylet->id_hex,
        .session = raylet->session.name,
        .version = "2.60.0",
        .node_type = raylet->head ? "head" : "worker",
        .object_store_used = objects_used(raylet),
        .object_store_total =
            (uint64_t)(raylet->here.total.known[RESOURCE_OBJECT_STORE_MEMORY] / QUANTITY_ONE),
        .raylet_rss = rss_bytes(),
        .workers = (unsigned)raylet->workers_len,
        .workers_idle = (unsigned)raylet->idle_len,
        .tasks_waiting = waiting,
        .rings = (unsigned)raylet->rings_len,
        .open_files = open_files(),
    };
    add_held(details, &node);
    metrics_read_machine(&http->machine, raylet->session.dir, &node);
    _cleanup_buf_ Buf out = { 0 };
    metrics_node(&out, &node);
    resources_metrics(raylet, &node, &out);
    metrics_add_user(raylet, &out);
    http_respond(request, 200, METRICS_CONTENT_TYPE, buf_slice(&out));
}

static void on_metrics(void *ctx, HttpRequest *request) {
    RayletHttp *http = ctx;
    Scrape *scrape = mem_new(Scrape);
    *scrape = (Scrape){ http, request };
    /* All pending calls are counted, none is listed. */
    state_ask(http->raylet, &(StateGet){ .tasks = true }, answer_scrape, scrape);
}

static int serve(HttpServer *server, const NetAddress *address, const char *what) {
    int r = net_address_port(address) ? http_server_listen(server, address, NULL, NULL) : 0;
    return r < 0 ? error_context(r, "the node's %s", what) : 0;
}

int http_init(Raylet *raylet) {
    RayletHttp *http = mem_new(RayletHttp);
    http->raylet = raylet;
    raylet->http = http;
    int r = auth_load(&http->auth);
    if (r < 0)
        return r;
    AgentHooks hooks = { .ctx = raylet,
                         .gcs_problem = gcs_problem,
                         .head = raylet->head,
                         .session_dir = raylet->session.dir,
                         .auth = &http->auth,
                         .loop = raylet->loop };
    http->agent = api_agent_new(&hooks);
    http->metrics = http_router_new();
    http_router_add(http->metrics, "GET", "/metrics", on_metrics, http);
    HttpServerOptions options = { .connections_max = 256 };
    http->agent_server = http_server_new(raylet->loop, &options, api_agent_handle, http->agent);
    http->metrics_server =
        http_server_new(raylet->loop, &options, http_router_handle, http->metrics);
    r = serve(http->agent_server, &raylet->agent_listen, "agent port");
    if (r < 0)
        return r;
    r = serve(http->metrics_server, &raylet->metrics_listen, "metrics port");
    if (r < 0) /* a node without metrics is better than none */
        log_warn("no metrics are served: %s", error_text(r));
    return 0;
}

void http_done(Raylet *raylet) {
    RayletHttp *http = raylet->http;
    if (!http)
        return;
    http_server_free(http->agent_server);
    http_server_free(http->metrics_server);
    api_agent_free(http->agent);
    http_router_free(http->metrics);
    auth_done(&http->auth);
    raylet->http = mem_free(http);
}
