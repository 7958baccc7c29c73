/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "gcs/gcs_private.h"

/*
 * A node is alive from its registration until it says goodbye, is silent for too long, or its
 * connection is lost and not made again at once. Dead is for good: a raylet that comes back after
 * that is told so, since its processes have been given up already.
 */

enum {
    KEEPALIVES_MISSED = 5,
};
#define LATE            (1 * USEC_PER_SEC)  /* a timer is never that late, unless we stood still */
#define RECONNECT_GRACE (1 * USEC_PER_SEC)  /* after a lost connection */
#define RESTART_GRACE   (60 * USEC_PER_SEC) /* for everybody, after gcs itself came back */

GcsNode *nodes_get(const Gcs *gcs, const NodeId *id) {
    return map_get(&gcs->nodes, id);
}

GcsNode *nodes_by_peer(const Gcs *gcs, PeerId peer) {
    const uint16_t index = peer_node(peer);
    GcsNode *node = map_get(&gcs->by_index, &index);
    return node && node->incarnation == peer_incarnation(peer) ? node : NULL;
}

GcsNode *nodes_head(const Gcs *gcs) {
    GcsNode *node, *best = NULL;
    MAP_EACH(&gcs->nodes, pos, node)
        if (node->head && node->state != NODE_STATE_DEAD)
            best = node;
    return best;
}

SchedView nodes_view(Gcs *gcs) {
    vec_clear(&gcs->view);
    GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node)
        if (node->state != NODE_STATE_DEAD && node->conn)
            vec_push(&gcs->view, &node->sched);
    return (SchedView){ gcs->view.items, gcs->view.len };
}

static void node_free(GcsNode *node) {
    sched_node_done(&node->sched);
    char *texts[] = { node->address,       node->ip,          node->hostname, node->name,
                      node->raylet_socket, node->death_reason };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    resources_done(&node->reserved);
    resources_done(&node->reserved_used);
    buf_done(&node->demands);
    vec_done(&node->untold);
    free(node);
}

/* ---- to the wire ---- */

static void node_info(const GcsNode *node, Arena *arena, NodeInfo *ret_info) {
    NodeInfo info = {
        .node = node->sched.id,
        .index = node->index,
        .incarnation = node->incarnation,
        .state = (uint8_t)node->state,
        .address = slice_str(node->address),
        .ip = slice_str(node->ip),
        .hostname = slice_str(node->hostname),
        .name = slice_str(node->name),
        .head = node->head,
        .raylet_socket = slice_str(node->raylet_socket),
        .agent_port = node->agent_port,
        .metrics_port = node->metrics_port,
        .death_reason = slice_str(node->death_reason),
        .started_wall = node->started_ms,
        .ended_wall = node->ended_ms,
    };
    info.total = resources_to_wire(&node->sched.total, arena, &info.total_len);
    info.available = resources_to_wire_clamped(&node->sched.available, arena, &info.available_len);
    info.labels = labels_to_wire(&node->sched.labels, arena, &info.labels_len);
    info.reserved = resources_to_wire(&node->reserved, arena, &info.reserved_len);
    info.reserved_used = resources_to_wire(&node->reserved_used, arena, &info.reserved_used_len);
    NodeReport demands;
    if (node_report_decode(&demands, node->demands.data, node->demands.len, arena) == 0) {
        info.demands = demands.demands;
        info.demands_len = demands.demands_len;
    }
    *ret_info = info;
}

static NodeInfo *all_nodes(const Gcs *gcs, Arena *arena, size_t *ret_len) {
    NodeInfo *infos = arena_array(arena, NodeInfo, map_len(&gcs->nodes) + 1);
    size_t len = 0;
    GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node)
        node_info(node, arena, &infos[len++]);
    *ret_len = len;
    return infos;
}

/* ---- what others see ---- */

void nodes_broadcast(Gcs *gcs, MessageType type, const Buf *body, const GcsNode *except) {
    GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node)
        if (node->conn && node != except)
            gcs_send(gcs, peer_make(node->index, node->incarnation, 0), type, body);
}

/* Every raylet hears of the others; of itself only what it can't know (that it drains). */
static void view_send_changed(Gcs *gcs, const GcsNode *to, const NodeView *view,
                              GcsNode *const *who) {
    _cleanup_arena_ Arena arena = { 0 };
    NodeView theirs = { .nodes = arena_array(&arena, NodeInfo, view->nodes_len + 1) };
    for (size_t i = 0; i < view->nodes_len; i++)
        if (who[i] != to || to->state == NODE_STATE_DRAINING)
            theirs.nodes[theirs.nodes_len++] = view->nodes[i];
    if (theirs.nodes_len == 0)
        return;
    _cleanup_buf_ Buf body = { 0 };
    node_view_encode(&theirs, &body);
    gcs_send(gcs, peer_make(to->index, to->incarnation, 0), MSG_NODE_VIEW, &body);
}

static void view_flush(void *ctx) {
    Gcs *gcs = ctx;
    _cleanup_arena_ Arena arena = { 0 };
    size_t count = map_len(&gcs->nodes);
    NodeView view = { .nodes = arena_array(&arena, NodeInfo, count + 1) };
    GcsNode **who = arena_array(&arena, GcsNode *, count + 1), *node;
    MAP_EACH(&gcs->nodes, pos, node) {
        if (!node->dirty)
            continue;
        who[view.nodes_len] = node;
        node_info(node, &arena, &view.nodes[view.nodes_len++]);
    }
    _cleanup_buf_ Buf body = { 0 };
    node_view_encode(&view, &body);
    MAP_EACH(&gcs->nodes, pos, node) {
        if (node->conn && node->dirty)
            view_send_changed(gcs, node, &view, who);
        else if (node->conn)
            gcs_send(gcs, peer_make(node->index, node->incarnation, 0), MSG_NODE_VIEW, &body);
        node->dirty = false;
    }
    pubsub_publish(gcs, "node", (Slice){ 0 }, buf_slice(&body));
}

static void node_changed(Gcs *gcs, GcsNode *node) {
    node->dirty = true;
    loop_task_arm(gcs->view_task);
    loop_task_arm(gcs->schedule_task);
}

uint32_t nodes_charge(GcsNode *node, const ResourceSet *what) {
    resources_sub(&node->sched.available, what);
    return node->told;
}

void nodes_uncharge(Gcs *gcs, const NodeId *id, const ResourceSet *what, uint32_t charged) {
    GcsNode *node = nodes_get(gcs, id);
    if (!node || node->told != charged)
        return;
    resources_add(&node->sched.available, what);
    loop_task_arm(gcs->schedule_task);
}

/* ---- the record ---- */

static int node_store(Gcs *gcs, const GcsNode *node) {
    _cleanup_arena_ Arena arena = { 0 };
    _cleanup_buf_ Buf body = { 0 };
    NodeInfo info;
    node_info(node, &arena, &info);
    node_info_encode(&info, &body);
    return gcs_store(gcs, "node", ID_SLICE(&node->sched.id), &body);
}

static int node_set(GcsNode *node, const NodeInfo *info) {
    const struct {
        Slice from;
        char **to;
        const char *field;
    } texts[] = {
        { info->address, &node->address, "the node's address" },
        { info->ip, &node->ip, "the node's ip" },
        { info->hostname, &node->hostname, "the node's hostname" },
        { info->name, &node->name, "the node's name" },
        { info->raylet_socket, &node->raylet_socket, "the node's socket" },
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char *text;
        int r = text_from_wire(texts[i].from, GCS_NAME_MAX, texts[i].field, &text);
        if (r < 0)
            return r;
        free(*texts[i].to);
        *texts[i].to = text;
    }
    node->told++;
    node->head = info->head;
    node->agent_port = info->agent_port;
    node->metrics_port = info->metrics_port;
    int r = resources_from_wire(&node->sched.total, info->total, info->total_len);
    if (r == 0)
        r = resources_from_wire(&node->sched.available, info->available, info->available_len);
    if (r == 0)
        r = labels_from_wire(&node->sched.labels, info->labels, info->labels_len);
    return r;
}

/* ---- death ---- */

/* Forgets the dead that are too many, the longest dead first. */
static void bury(Gcs *gcs) {
    while (gcs->nodes_dead > GCS_DEAD_NODES_KEPT) {
        GcsNode *node, *oldest = NULL;
        MAP_EACH(&gcs->nodes, pos, node)
            if (node->state == NODE_STATE_DEAD && (!oldest || node->ended_ms < oldest->ended_ms))
                oldest = node;
        gcs_erase(gcs, "node", ID_SLICE(&oldest->sched.id));
        map_remove(&gcs->nodes, &oldest->sched.id);
        gcs->nodes_dead--;
        node_free(oldest);
    }
}

static void tell_of_death(Gcs *gcs, const GcsNode *node) {
    PeerDead dead = {
        .peer = peer_make(node->index, node->incarnation, 0),
        .node = node->sched.id,
        .text = slice_str(node->death_reason),
        .role = ROLE_RAYLET,
        .whole_node = true,
    };
    _cleanup_buf_ Buf body = { 0 };
    peer_dead_encode(&dead, &body);
    nodes_broadcast(gcs, MSG_PEER_DEAD, &body, NULL);
}

void node_die(Gcs *gcs, GcsNode *node, const char *reason) {
    if (node->state == NODE_STATE_DEAD)
        return;
    log_warn("node %.12s (%s) is dead: %s", ID_HEX(&node->sched.id), node->ip, reason);
    PeerId raylet = peer_make(node->index, node->incarnation, 0);
    node->state = NODE_STATE_DEAD;
    node->sched.schedulable = false;
    node->ended_ms = gcs_wall_ms(gcs);
    node->deadline = USEC_INFINITY;
    str_set(&node->death_reason, reason);
    map_remove(&gcs->by_index, &node->index);
    gcs->nodes_alive--;
    gcs->nodes_dead++;
    if (node->conn) {
        GcsConn *conn = TAKE(node->conn);
        conn->node = NULL;
        conn_close(conn);
    }
    if (node_store(gcs, node) == 0)
        gcs_log(gcs);
    tell_of_death(gcs, node);
    rpc_peer_lost(gcs->rpc, raylet);
    groups_node_dead(gcs, node);
    actors_node_dead(gcs, node, reason);
    jobs_node_dead(gcs, node);
    submissions_node_dead(gcs, node);
    deaths_node_dead(gcs, node);
    node_changed(gcs, node);
    bury(gcs);
}

static void nodes_tick_at(Gcs *gcs, usec_t when) {
    gcs->nodes_tick_due = when;
    loop_timer_at(gcs->node_timer, when);
}

static void node_seen(Gcs *gcs, GcsNode *node, usec_t patience) {
    node->deadline = loop_deadline(gcs->loop, patience);
    if (node->deadline < loop_timer_deadline(gcs->node_timer))
        nodes_tick_at(gcs, node->deadline);
}

/* Its keep-alives may be behind a long frame, on a slow line: that this moves is a sign of life, too. */
static bool arrives(GcsNode *node) {
    uint64_t former = node->arriving;
    node->arriving = node->conn ? conn_arriving(node->conn) : 0;
    return node->arriving && node->arriving != former;
}

/* Looks at every node's deadline and sets the timer to the next one. */
static void nodes_tick(void *ctx) {
    Gcs *gcs = ctx;
    usec_t now = loop_now(gcs->loop), next = USEC_INFINITY;
    bool stopped = now - gcs->nodes_tick_due > LATE;
    if (stopped) { /* we were suspended: what the nodes sent meanwhile is not read yet */
        GcsNode *node;
        MAP_EACH(&gcs->nodes, pos, node)
            if (node->state != NODE_STATE_DEAD)
                node_seen(gcs, node, KEEPALIVES_MISSED * gcs->keepalive);
    }
    for (bool again = true; again;) {
        again = false;
        next = USEC_INFINITY;
        GcsNode *node;
        MAP_EACH(&gcs->nodes, pos, node) {
            if (node->state == NODE_STATE_DEAD)
                continue;
            if (node->deadline <= now && arrives(node))
                node->deadline = loop_deadline(gcs->loop, gcs->keepalive);
            if (node->deadline <= now) {
                node_die(gcs, node,
                         node->conn && node->conn->carrier
                             ? "it sent no keep-alive for too long"
                             : "the connection to its raylet was lost");
                again = true; /* the map may have changed */
                break;
            }
            next = MIN(next, node->deadline);
        }
    }
    nodes_tick_at(gcs, next);
}

void nodes_heard(Gcs *gcs, GcsNode *node) {
    node_seen(gcs, node, KEEPALIVES_MISSED * gcs->keepalive);
}

void nodes_on_away(Gcs *gcs, GcsConn *conn) {
    GcsNode *node = conn->node;
    if (node->conn && node->conn != conn)
        return; /* another one has taken its place */
    node_seen(gcs, node, RECONNECT_GRACE);
}

/* ---- registration ---- */

static int index_take(Gcs *gcs, GcsNode *node) {
    for (int i = 0; i < GCS_NODES_MAX; i++) {
        uint16_t index = (uint16_t)(gcs->last_index + 1);
        gcs->last_index = index;
        if (index == 0 || map_get(&gcs->by_index, &index))
            continue;
        node->index = index;
        return 0;
    }
    return error_origin(-ENOSPC, "the cluster has its most nodes already (%d)", GCS_NODES_MAX);
}

static int node_new(Gcs *gcs, const NodeInfo *info, GcsNode **ret_node) {
    GcsNode *node = mem_new(GcsNode);
    node->sched.id = info->node;
    node->incarnation = 1;
    node->state = NODE_STATE_ALIVE;
    node->sched.schedulable = true;
    node->started_ms = gcs_wall_ms(gcs);
    int r = node_set(node, info);
    if (r == 0)
        r = index_take(gcs, node);
    if (r < 0) {
        node_free(node);
        return r;
    }
    map_put(&gcs->by_index, &node->index, node);
    gcs->nodes_alive++;
    map_put(&gcs->nodes, &node->sched.id, node);
    *ret_node = node;
    return 0;
}

static void answer_registration(Gcs *gcs, const GcsCall *call, const GcsNode *node) {
    NodeRegistered reply = {
        .index = node->index,
        .incarnation = node->incarnation,
        .cluster = gcs->cluster,
        .session_name = slice_str(gcs->session_name),
        .settings = slice_str(gcs->settings),
        .keepalive_ms = (uint32_t)(gcs->keepalive / USEC_PER_MSEC),
        .dashboard_url = slice_str(gcs->dashboard_url),
    };
    reply.nodes = all_nodes(gcs, call->arena, &reply.nodes_len);
    reply.bundles = groups_kept(gcs, node, call->arena, &reply.bundles_len);
    reply.actors = actors_kept(gcs, node, call->arena, &reply.actors_len);
    _cleanup_buf_ Buf body = { 0 };
    node_registered_encode(&reply, &body);
    gcs_reply(gcs, call, MSG_NODE_REGISTERED, &body);
}

/* The record is in the log. The node takes part from the answer on: what it is sent before it would
 * not understand, and what it holds is settled by the answer. `key` is the connection. */
static void registered(Gcs *gcs, const char *key) {
    uint64_t id = strtoull(key, NULL, 10);
    GcsConn *conn = map_get(&gcs->conns, &id);
    GcsNode *node = conn ? conn->node : NULL;
    if (!node)
        return; /* it is gone */
    GcsCall call = { .conn = conn, .header = &conn->registration };
    if (node->state == NODE_STATE_DEAD) {
        conn->node = NULL;
        gcs_reply_status(gcs, &call, STATUS_CODE_DEAD, "this node was declared dead: %s",
                         node->death_reason ? node->death_reason : "");
        if (!conn->carrier)
            conn_close(conn);
        return;
    }
    if (node->conn && node->conn != conn) { /* it has begun anew */
        node->conn->node = NULL;
        conn_close(node->conn);
    }
    node->conn = NULL;
    /* What it was asked by the former connection is asked again. */
    rpc_peer_lost(gcs->rpc, peer_make(node->index, node->incarnation, 0));
    _cleanup_arena_ Arena arena = { 0 };
    call.arena = &arena;
    node->conn = conn;
    answer_registration(gcs, &call, node);
    deaths_node_joined(gcs, node);
    node_changed(gcs, node);
    submissions_node_joined(gcs, node);
    log_info("node %.12s at %s joined%s", ID_HEX(&node->sched.id), node->address,
             node->head ? " (head)" : "");
}

void nodes_on_register(Gcs *gcs, GcsCall *call) {
    NodeRegister message;
    GCS_DECODE(gcs, call, node_register_decode, &message);
    if (call->conn->role != ROLE_RAYLET || call->conn->node || id_is_unset(&message.info.node)) {
        gcs_reply_status(gcs, call, STATUS_CODE_INVALID, "only a raylet registers a node, once");
        return;
    }
    GcsNode *node = nodes_get(gcs, &message.info.node);
    if (node && node->state == NODE_STATE_DEAD) {
        gcs_reply_status(gcs, call, STATUS_CODE_DEAD, "this node was declared dead: %s",
                         node->death_reason ? node->death_reason : "");
        return;
    }
    int r = node ? node_set(node, &message.info) : node_new(gcs, &message.info, &node);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    r = node_store(gcs, node);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    call->conn->node = node;
    call->conn->registration = *call->header;
    nodes_heard(gcs, node);
    _cleanup_free_ char *key = str_printf("%llu", (unsigned long long)call->conn->id);
    gcs_log_then(gcs, registered, key);
}

void nodes_on_report(Gcs *gcs, GcsCall *call) {
    NodeReport report;
    GCS_DECODE(gcs, call, node_report_decode, &report);
    GcsNode *node = call->conn->node;
    if (!node || peer_worker(call->header->source)) /* not of one of its processes */
        return;
    if (!report.changed)
        return;
    node->told++;
    int r = resources_from_wire(&node->sched.available, report.available, report.available_len);
    if (r == 0 && report.total_len > 0)
        r = resources_from_wire(&node->sched.total, report.total, report.total_len);
    if (r == 0)
        r = resources_from_wire(&node->reserved, report.reserved, report.reserved_len);
    if (r == 0)
        r = resources_from_wire(&node->reserved_used, report.reserved_used,
                                report.reserved_used_len);
    if (r < 0) {
        log_warn("a report of node %.12s was dropped: %s", ID_HEX(&node->sched.id), error_text(r));
        return;
    }
    NodeReport demands = { .demands = report.demands, .demands_len = report.demands_len };
    buf_clear(&node->demands);
    node_report_encode(&demands, &node->demands);
    node_changed(gcs, node);
}

void nodes_on_list(Gcs *gcs, GcsCall *call) {
    NodeView view = { 0 };
    view.nodes = all_nodes(gcs, call->arena, &view.nodes_len);
    _cleanup_buf_ Buf body = { 0 };
    node_view_encode(&view, &body);
    gcs_reply(gcs, call, MSG_NODE_VIEW, &body);
}

/* A node that drains takes nothing new; one that says so of itself and means it is done. */
void nodes_on_drain(Gcs *gcs, GcsCall *call) {
    NodeDrain drain;
    GCS_DECODE(gcs, call, node_drain_decode, &drain);
    GcsNode *node = nodes_get(gcs, &drain.node);
    if (!node || node->state == NODE_STATE_DEAD) {
        gcs_reply_status(gcs, call, STATUS_CODE_NOT_FOUND, "no such node is alive");
        return;
    }
    if (node == call->conn->node && !peer_worker(call->header->source)) {
        _cleanup_free_ char *reason = str_dup_slice(drain.reason);
        gcs_reply_status(gcs, call, STATUS_CODE_OK, "%s", "");
        node_die(gcs, node, str_empty(reason) ? "it was stopped" : reason);
        return;
    }
    node->state = NODE_STATE_DRAINING;
    node->sched.schedulable = false;
    int r = node_store(gcs, node);
    if (r < 0) {
        gcs_reply_error(gcs, call, r);
        return;
    }
    node_changed(gcs, node);
    gcs_ok_logged(gcs, call, KV_LOGGED);
}

void nodes_on_unreachable(Gcs *gcs, GcsCall *call) {
    NodeUnreachable message;
    GCS_DECODE(gcs, call, node_unreachable_decode, &message);
    GcsNode *node = nodes_get(gcs, &message.node);
    if (!call->conn->node || node == call->conn->node || peer_worker(call->header->source)) {
        gcs_reply_status(gcs, call, STATUS_CODE_DENIED, "a raylet says so of another one only");
        return;
    }
    _cleanup_free_ char *reason = str_dup_slice(message.reason);
    if (node)
        node_die(gcs, node, reason);
    gcs_ok_logged(gcs, call, KV_LOGGED);
}

/* Actors and submitted jobs wait at gcs, on no node: they are shown with the head's demands. */
static void status_add_demands(const Gcs *gcs, Arena *arena, ClusterStatus *status,
                               const Demand *waiting, size_t len) {
    for (size_t i = 0; i < status->nodes_len && len > 0; i++) {
        NodeInfo *node = &status->nodes[i];
        if (!node->head || node->state == NODE_STATE_DEAD)
            continue;
        Demand *both = arena_array(arena, Demand, node->demands_len + len);
        if (node->demands_len)
            memcpy(both, node->demands, node->demands_len * sizeof(*both));
        memcpy(both + node->demands_len, waiting, len * sizeof(*both));
        node->demands = both;
        node->demands_len += len;
        return;
    }
}

void nodes_on_cluster_status(Gcs *gcs, GcsCall *call) {
    ClusterStatus status = {
        .wall_ms = gcs_wall_ms(gcs),
        .session_name = slice_str(gcs->session_name),
        .cluster = gcs->cluster,
    };
    status.nodes = all_nodes(gcs, call->arena, &status.nodes_len);
    Demand *waiting;
    size_t len = actors_demands(gcs, call->arena, &waiting);
    status_add_demands(gcs, call->arena, &status, waiting, len);
    len = submissions_demands(gcs, call->arena, &waiting);
    status_add_demands(gcs, call->arena, &status, waiting, len);
    status.groups_len = groups_demands(gcs, call->arena, &status.groups);
    _cleanup_buf_ Buf body = { 0 };
    cluster_status_encode(&status, &body);
    gcs_reply(gcs, call, MSG_CLUSTER_STATUS, &body);
}

/* ---- life ---- */

void nodes_init(Gcs *gcs) {
    map_init(&gcs->nodes, sizeof(NodeId));
    map_init(&gcs->by_index, sizeof(uint16_t));
    gcs->node_timer = loop_timer_new(gcs->loop, nodes_tick, gcs);
    gcs->view_task = loop_task_new(gcs->loop, view_flush, gcs);
}

static int load_one(void *userdata, Slice key, Slice value) {
    Gcs *gcs = userdata;
    _cleanup_arena_ Arena arena = { 0 };
    NodeInfo info;
    int r = node_info_decode(&info, value.data, value.len, &arena);
    if (r < 0)
        return r;
    GcsNode *node = mem_new(GcsNode);
    r = node_set(node, &info);
    if (r < 0) {
        node_free(node);
        return r;
    }
    node->sched.id = info.node;
    node->index = info.index;
    node->incarnation = info.incarnation;
    node->state = (NodeState)info.state;
    node->sched.schedulable = node->state == NODE_STATE_ALIVE;
    node->started_ms = info.started_wall;
    node->ended_ms = info.ended_wall;
    node->death_reason = str_dup_slice(info.death_reason);
    gcs->last_index = MAX(gcs->last_index, node->index);
    map_put(&gcs->nodes, &node->sched.id, node);
    node->deadline = USEC_INFINITY;
    if (node->state == NODE_STATE_DEAD) {
        gcs->nodes_dead++;
        return 0;
    }
    gcs->nodes_alive++;
    map_put(&gcs->by_index, &node->index, node);
    node_seen(gcs, node, RESTART_GRACE);
    return 0;
}

int nodes_load(Gcs *gcs) {
    return kv_scan(gcs->kv, "node", (Slice){ 0 }, (Slice){ 0 }, load_one, gcs);
}

void nodes_done(Gcs *gcs) {
    GcsNode *node;
    MAP_EACH(&gcs->nodes, pos, node)
        node_free(node);
    map_done(&gcs->nodes);
    map_done(&gcs->by_index);
    vec_done(&gcs->view);
    loop_timer_free(gcs->node_timer);
    loop_task_free(gcs->view_task);
}
