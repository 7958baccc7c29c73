/* SPDX-License-Identifier: Apache-2.0 */
#include "raylet/raylet.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "raylet/raylet_private.h"

static void rpc_out(void *context, const FrameHeader *header, const Buf *body) {
    Raylet *raylet = context;
    FrameHeader out = *header;
    out.source = raylet->self;
    route_frame(raylet, &out, body ? buf_slice(body) : (Slice){ 0 });
}

static void rpc_tick(void *ctx) {
    raylet_arm_rpc(ctx);
}

void raylet_fail(Raylet *raylet, int r, const char *sentence) {
    if (raylet->ending)
        return;
    raylet->ending = true;
    _cleanup_free_ char *text = str_dup(sentence);
    raylet->events.failed(raylet->events.ctx, r, text);
}

void raylet_registered(Raylet *raylet) {
    if (raylet->ready)
        return;
    int r = logs_init(raylet);
    if (r == 0)
        r = http_init(raylet);
    if (r == 0)
        r = locals_listen(raylet);
    if (r < 0) {
        raylet_fail(raylet, r, error_text(r));
        return;
    }
    raylet->ready = true;
    loop_timer_at(raylet->pool_timer, 0);
    raylet->events.ready(raylet->events.ctx, raylet);
}

static int add_default(Labels *labels, const char *key, const char *value) {
    if (str_empty(value) || labels_get(labels, key))
        return 0;
    return labels_set(labels, key, value);
}

/* What Ray's nodes carry by themselves: resources and labels that name the node. */
static int describe(Raylet *raylet, const RayletOptions *options) {
    SchedNode *here = &raylet->here;
    here->id = raylet->id;
    here->schedulable = true;
    resources_copy(&here->total, options->total);
    _cleanup_free_ char *by_ip = str_printf("node:%s", raylet->node_ip);
    int r = resources_set(&here->total, by_ip, QUANTITY_ONE);
    if (r == 0 && raylet->head)
        r = resources_set(&here->total, "node:__internal_head__", QUANTITY_ONE);
    resources_copy(&here->available, &here->total);
    if (options->labels)
        labels_copy(&here->labels, options->labels);
    if (r == 0)
        r = labels_set(&here->labels, LABEL_NODE_ID, ID_HEX(&raylet->id));
    if (r == 0)
        r = add_default(&here->labels, LABEL_NODE_GROUP, getenv("RAY_NODE_TYPE_NAME"));
    if (r == 0)
        r = add_default(&here->labels, LABEL_MARKET_TYPE, getenv("RAY_NODE_MARKET_TYPE"));
    if (r == 0)
        r = add_default(&here->labels, LABEL_REGION, getenv("RAY_NODE_REGION"));
    if (r == 0)
        r = add_default(&here->labels, LABEL_ZONE, getenv("RAY_NODE_ZONE"));
    if (r == 0)
        r = devices_init(&raylet->gpus, (uint32_t)(here->total.known[RESOURCE_GPU] / QUANTITY_ONE));
    return r;
}

static void set_texts(Raylet *raylet, const RayletOptions *options) {
    char hostname[256] = "";
    gethostname(hostname, sizeof(hostname) - 1);
    raylet->gcs_address = str_dup(options->gcs_address);
    raylet->gcs_socket = str_dup(options->gcs_socket);
    raylet->temp_dir = str_dup(options->temp_dir);
    raylet->node_ip = str_dup(options->node_ip);
    raylet->hostname = str_dup(options->hostname ? options->hostname : hostname);
    raylet->node_name = str_dup(options->node_name ? options->node_name : options->node_ip);
    raylet->socket_path = str_dup(options->socket_path);
    raylet->python = str_dup(options->python ? options->python : "python3");
    raylet->spill_folder = str_dup(options->spill_folder);
    raylet->head = options->head;
    raylet->agent_listen = options->agent_listen;
    raylet->metrics_listen = options->metrics_listen;
    raylet->prestart = options->prestart;
    buf_add(&raylet->token, options->token.data, options->token.len);
}

/* What takes longest of a node's start, the interpreter that workers are forked from, runs while all
 * else is made. One that does not start is tried again for the first worker, which tells why. */
static int open_session(Raylet *raylet, const char *name) {
    Zygote *zygote;
    int r = session_open(raylet->temp_dir, name, &raylet->session);
    if (r == 0 && zygote_get(raylet, NULL, &zygote) < 0)
        log_debug("workers have no zygote yet");
    return r;
}

/* Each worker takes some (README.md), and a shell gives 1,024. As many as ray.init() asks for: who tries to close
 * all that there may be does so in its children. */
static void raise_descriptors(void) {
    const rlim_t wanted = 65536;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= MIN(limit.rlim_max, wanted))
        return;
    limit.rlim_cur = MIN(limit.rlim_max, wanted);
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warn("%s", error_text(error_last("raise the limit of descriptors")));
}

static uint64_t store_bytes(const Raylet *raylet) {
    return (uint64_t)(raylet->here.total.known[RESOURCE_OBJECT_STORE_MEMORY] / QUANTITY_ONE);
}

int raylet_new(Loop *loop, const RayletOptions *options, const RayletEvents *events,
               Raylet **ret_raylet) {
    _cleanup_(raylet_freep) Raylet *raylet = mem_new(Raylet);
    raise_descriptors();
    raylet->loop = loop;
    raylet->events = *events;
    set_texts(raylet, options);
    mem_random(&raylet->id, sizeof(raylet->id));
    id_hex(&raylet->id, sizeof(raylet->id), raylet->id_hex);
    mem_random(&raylet->sched.random, sizeof(raylet->sched.random));
    list_init(&raylet->locals);
    list_init(&raylet->launches);
    list_init(&raylet->questions);
    list_init(&raylet->job_holds);
    map_init(&raylet->local_by_peer, sizeof(PeerId));
    map_init(&raylet->births, sizeof(TaskId));
    raylet->rpc = rpc_new(rpc_out, raylet);
    raylet->rpc_timer = loop_timer_new(loop, rpc_tick, raylet);
    route_init(raylet);
    known_init(raylet);
    resend_init(raylet);
    job_cache_init(raylet);
    bundles_init(raylet);
    leases_init(raylet);
    pool_init(raylet);
    peers_init(raylet);
    upstream_init(raylet);
    memory_init(raylet);
    int r = options->session_name ? open_session(raylet, options->session_name) : 0;
    if (r == 0)
        r = describe(raylet, options);
    if (r == 0)
        r = objects_init(raylet, store_bytes(raylet));
    if (r == 0)
        r = ways_listen(raylet, &options->listen);
    if (r < 0)
        return r;
    *ret_raylet = TAKE(raylet);
    return 0;
}

Raylet *raylet_free(Raylet *raylet) {
    if (!raylet)
        return NULL;
    raylet->ending = true;
    upstream_done(raylet);
    raylet->gcs.registered = false;
    rpc_free(raylet->rpc);
    leases_done(raylet);
    bundles_done(raylet);
    pool_done(raylet);
    workenvs_done(raylet);
    jobrun_done(raylet);
    state_done(raylet);
    locals_done(raylet);
    memory_done(raylet);
    objects_done(raylet);
    peers_done(raylet);
    http_done(raylet);
    logs_done(raylet);
    job_cache_done(raylet);
    resend_done(raylet);
    route_done(raylet);
    known_done(raylet);
    loop_timer_free(raylet->rpc_timer);
    map_done(&raylet->births);
    sched_node_done(&raylet->here);
    devices_done(&raylet->gpus);
    session_done(&raylet->session);
    char *texts[] = { raylet->gcs_address,  raylet->temp_dir,      raylet->node_ip,
                      raylet->node_name,    raylet->hostname,      raylet->socket_path,
                      raylet->python,       raylet->dashboard_url, raylet->settings,
                      raylet->spill_folder, raylet->gcs_socket };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    mem_wipe(raylet->token.data, raylet->token.len);
    buf_done(&raylet->token);
    free(raylet);
    return NULL;
}

void raylet_info(const Raylet *raylet, RayletInfo *ret_info) {
    *ret_info = (RayletInfo){
        .session_dir = raylet->session.dir,
        .session_name = raylet->session.name,
        .socket_path = raylet->socket_path,
        .node_id = raylet->id_hex,
        .address = listener_address(raylet->peer_listener),
        .agent_port = net_address_port(&raylet->agent_listen),
        .metrics_port = net_address_port(&raylet->metrics_listen),
    };
}

bool raylet_healthy(const Raylet *raylet) {
    return upstream_connected(raylet) && !raylet->ending;
}
