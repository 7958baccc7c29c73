/* SPDX-License-Identifier: Apache-2.0 */
#include "gcs/gcs.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/plant.h"
#include "gcs/gcs_private.h"

/* ---- frames out ---- */

void gcs_send(Gcs *gcs, PeerId to, MessageType type, const Buf *body) {
    GcsConn *conn = conns_to(gcs, to);
    if (!conn)
        return;
    FrameHeader header = { .type = (uint16_t)type, .source = PEER_GCS, .destination = to };
    conn_send(conn, &header, body ? buf_slice(body) : (Slice){ 0 });
}

void gcs_reply(Gcs *gcs, const GcsCall *call, MessageType type, const Buf *body) {
    if (!(call->header->flags & FRAME_CALL))
        return;
    FrameHeader header = rpc_answer_header(call->header, type, body);
    conn_send(call->conn, &header, body ? buf_slice(body) : (Slice){ 0 });
}

void gcs_reply_status(Gcs *gcs, const GcsCall *call, StatusCode code, const char *format, ...) {
    if (!(call->header->flags & FRAME_CALL))
        return;
    va_list ap;
    va_start(ap, format);
    _cleanup_free_ char *text = str_vprintf(format, ap);
    va_end(ap);
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader header = rpc_answer_status(call->header, code, text, &body);
    conn_send(call->conn, &header, buf_slice(&body));
}

void gcs_reply_error(Gcs *gcs, const GcsCall *call, int r) {
    static const struct {
        int error;
        StatusCode code;
    } codes[] = {
        { -EINVAL, STATUS_CODE_INVALID },    { -EPROTO, STATUS_CODE_INVALID },
        { -E2BIG, STATUS_CODE_INVALID },     { -EMSGSIZE, STATUS_CODE_INVALID },
        { -ERANGE, STATUS_CODE_INVALID },    { -ENOENT, STATUS_CODE_NOT_FOUND },
        { -EEXIST, STATUS_CODE_EXISTS },     { -EBUSY, STATUS_CODE_BUSY },
        { -ENOSPC, STATUS_CODE_FULL },       { -EACCES, STATUS_CODE_DENIED },
        { -ETIMEDOUT, STATUS_CODE_TIMEOUT }, { -ECONNRESET, STATUS_CODE_DEAD },
    };
    StatusCode code = STATUS_CODE_INTERNAL;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].error == r)
            code = codes[i].code;
    gcs_reply_status(gcs, call, code, "%s", error_text(r));
}

/* An answer that waits for the log. */
typedef struct Held {
    List link; /* in Gcs.held */
    Gcs *gcs;
    uint64_t conn;
    FrameHeader header;
    Buf body;
    GcsLoggedFn *then; /* instead of an answer */
    char *key;
} Held;

static void held_free(Held *held) {
    list_remove(&held->link);
    buf_done(&held->body);
    free(held->key);
    free(held);
}

static void gcs_broke(Gcs *gcs, int r) {
    if (gcs->broken == 0) {
        gcs->broken = r;
        gcs->port.broken(gcs->port.ctx, r);
    }
}

static void held_send(void *userdata, int result) {
    Held *held = userdata;
    Gcs *gcs = held->gcs;
    GcsConn *conn = map_get(&gcs->conns, &held->conn);
    if (result < 0)
        gcs_broke(gcs, result);
    else if (held->then)
        held->then(gcs, held->key);
    else if (conn && held->header.type)
        conn_send(conn, &held->header, buf_slice(&held->body));
    held_free(held);
}

static void hold(Gcs *gcs, const GcsCall *call, const FrameHeader *header, const Buf *body,
                 KvSync sync) {
    if (call && PLANTED(13)) {
        conn_send(call->conn, header, body ? buf_slice(body) : (Slice){ 0 });
        return;
    }
    Held *held = mem_new(Held);
    held->gcs = gcs;
    list_push(&gcs->held, &held->link);
    if (call) {
        held->conn = call->conn->id;
        held->header = *header;
        if (body)
            buf_add(&held->body, body->data, body->len);
    }
    kv_commit(gcs->kv, sync, held_send, held);
}

void gcs_reply_logged(Gcs *gcs, const GcsCall *call, MessageType type, const Buf *body,
                      KvSync sync) {
    FrameHeader header = rpc_answer_header(call->header, type, body);
    hold(gcs, call->header->flags & FRAME_CALL ? call : NULL, &header, body, sync);
}

void gcs_ok_logged(Gcs *gcs, const GcsCall *call, KvSync sync) {
    _cleanup_buf_ Buf body = { 0 };
    FrameHeader header = rpc_answer_status(call->header, STATUS_CODE_OK, "", &body);
    hold(gcs, call->header->flags & FRAME_CALL ? call : NULL, &header, &body, sync);
}

void gcs_log(Gcs *gcs) {
    hold(gcs, NULL, NULL, NULL, KV_LOGGED);
}

void gcs_log_then(Gcs *gcs, GcsLoggedFn *then, const char *key) {
    Held *held = mem_new(Held);
    *held = (Held){ .gcs = gcs, .then = then, .key = str_dup(key) };
    list_push(&gcs->held, &held->link);
    kv_commit(gcs->kv, KV_LOGGED, held_send, held);
}

int gcs_store(Gcs *gcs, const char *table, Slice key, const Buf *value) {
    return kv_put(gcs->kv, table, key, buf_slice(value));
}

void gcs_erase(Gcs *gcs, const char *table, Slice key) {
    int r = kv_del(gcs->kv, table, key);
    ASSERT(r == 0); /* a key that was written can be deleted */
}

uint64_t gcs_wall_ms(const Gcs *gcs) {
    return (uint64_t)(loop_wall_now(gcs->loop) / USEC_PER_MSEC);
}

/* ---- our own calls ---- */

static void rpc_out(void *context, const FrameHeader *header, const Buf *body) {
    Gcs *gcs = context;
    GcsConn *conn = conns_to(gcs, header->destination);
    if (conn)
        conn_send(conn, header, body ? buf_slice(body) : (Slice){ 0 });
}

static void rpc_tick(void *ctx) {
    gcs_arm_rpc(ctx);
}

void gcs_arm_rpc(Gcs *gcs) {
    loop_timer_at(gcs->rpc_timer, rpc_expire(gcs->rpc, loop_now(gcs->loop)));
}

/* ---- frames in ---- */

/* A peer is gone for good: everything that knew it lets go, and the other nodes hear of it. */
static void on_peer_dead(Gcs *gcs, GcsCall *call) {
    PeerDead dead;
    GCS_DECODE(gcs, call, peer_dead_decode, &dead);
    if (!call->conn->node || peer_node(dead.peer) != call->conn->node->index ||
        peer_worker(call->header->source)) {
        gcs_reply_status(gcs, call, STATUS_CODE_DENIED, "a node speaks for its own processes only");
        return;
    }
    _cleanup_buf_ Buf body = { 0 };
    dead.node = call->conn->node->sched.id;
    dead.whole_node = false;
    peer_dead_encode(&dead, &body);
    nodes_broadcast(gcs, MSG_PEER_DEAD, &body, call->conn->node);
    pubsub_publish(gcs, "worker", ID_SLICE(&dead.worker_id), buf_slice(&body));
    pubsub_peer_dead(gcs, dead.peer);
    tasks_worker_dead(gcs, &dead);
    actors_peer_dead(gcs, &dead);
    jobs_peer_dead(gcs, dead.peer);
    deaths_add(gcs, call, dead.peer, &body);
}

static void on_ping(Gcs *gcs, GcsCall *call) {
    gcs_reply_status(gcs, call, STATUS_CODE_OK, "%s", "");
}

typedef void Handler(Gcs *gcs, GcsCall *call);

static Handler *handler_of(unsigned type) {
    switch (type) {
    case MSG_PING:
        return on_ping;
    case MSG_LINK_PROGRESS:
        return conns_on_progress;
    case MSG_PEER_DEAD:
        return on_peer_dead;
    case MSG_NODE_REGISTER:
        return nodes_on_register;
    case MSG_NODE_REPORT:
        return nodes_on_report;
    case MSG_NODE_LIST:
        return nodes_on_list;
    case MSG_NODE_DRAIN:
        return nodes_on_drain;
    case MSG_NODE_UNREACHABLE:
        return nodes_on_unreachable;
    case MSG_CLUSTER_STATUS_GET:
        return nodes_on_cluster_status;
    case MSG_JOB_ADD:
        return jobs_on_add;
    case MSG_JOB_FINISH:
        return jobs_on_finish;
    case MSG_JOB_TABLE_GET:
        return jobs_on_table;
    case MSG_SUBMIT_JOB:
        return submissions_on_submit;
    case MSG_SUBMISSION_GET:
        return submissions_on_get;
    case MSG_SUBMISSION_LIST:
        return submissions_on_list;
    case MSG_SUBMISSION_STOP:
        return submissions_on_stop;
    case MSG_SUBMISSION_DELETE:
        return submissions_on_delete;
    case MSG_JOB_RUN_STATE:
        return submissions_on_state;
    case MSG_ACTOR_REGISTER:
        return actors_on_register;
    case MSG_ACTOR_CREATE:
        return actors_on_create;
    case MSG_ACTOR_GET:
        return actors_on_get;
    case MSG_ACTOR_SUBSCRIBE:
        return actors_on_subscribe;
    case MSG_ACTOR_KILL:
        return actors_on_kill;
    case MSG_ACTOR_OUT_OF_SCOPE:
        return actors_on_out_of_scope;
    case MSG_ACTOR_LIST:
        return actors_on_list;
    case MSG_ACTOR_EXITED:
        return actors_on_exited;
    case MSG_GROUP_CREATE:
        return groups_on_create;
    case MSG_GROUP_REMOVE:
        return groups_on_remove;
    case MSG_GROUP_GET:
        return groups_on_get;
    case MSG_GROUP_LIST:
        return groups_on_list;
    case MSG_BUNDLE_FREED:
        return groups_on_freed;
    case MSG_TASK_EVENTS:
        return tasks_on_events;
    case MSG_TASK_LIST:
        return tasks_on_list;
    case MSG_WORKER_LIST:
        return tasks_on_worker_list;
    case MSG_KV_PUT:
        return space_on_put;
    case MSG_KV_GET:
        return space_on_get;
    case MSG_KV_DEL:
        return space_on_del;
    case MSG_KV_KEYS:
        return space_on_keys;
    case MSG_SUBSCRIBE:
        return pubsub_on_subscribe;
    case MSG_PUBLISH:
        return pubsub_on_publish;
    default:
        return NULL;
    }
}

static void on_call(Gcs *gcs, GcsCall *call) {
    Handler *handler = handler_of(call->header->type);
    if (handler)
        handler(gcs, call);
    else
        gcs_reply_status(gcs, call, STATUS_CODE_UNSUPPORTED, "gcs does not answer %s",
                         message_name(call->header->type));
}

/* A frame between two others: of a dashboard or command line and a node, or of two raylets which
 * can't dial each other. */
static void relay(Gcs *gcs, GcsCall *call) {
    GcsConn *conn = conns_to(gcs, call->header->destination);
    if (conn && conn != call->conn) {
        conn_send(conn, call->header, call->body);
        return;
    }
    if (call->header->flags & FRAME_CALL)
        gcs_reply_status(gcs, call, STATUS_CODE_DEAD, "the process is gone");
}

/* What a directly connected peer says of itself must be what it is; a raylet speaks for its node. */
static bool source_is_true(const GcsConn *conn, const FrameHeader *header) {
    if (conn->node)
        return peer_node(header->source) == conn->node->index &&
               peer_incarnation(header->source) == conn->node->incarnation;
    return header->source == conn->peer || header->source == 0;
}

void gcs_frame(Gcs *gcs, GcsConnId id, const FrameHeader *header, Slice body) {
    GcsConn *conn = map_get(&gcs->carriers, &id);
    if (!conn || gcs->broken < 0)
        return;
    _cleanup_arena_ Arena arena = { 0 };
    FrameHeader seen = *header;
    GcsCall call = { conn, &seen, body, &arena };
    if (conn->role == ROLE_NONE || header->type == MSG_HELLO) {
        if (conn->role == ROLE_NONE && header->type == MSG_HELLO)
            conns_on_hello(gcs, &call);
        else
            gcs->port.close(gcs->port.ctx, id);
        return;
    }
    if (!conn->link && link_is_own(header->type)) {
        gcs->port.close(gcs->port.ctx, id);
        return;
    }
    if (!conn_take(conn, header))
        return;
    if (conn->node)
        nodes_heard(gcs, conn->node);
    if (!conn->node && seen.source == 0)
        seen.source = conn->peer;
    if (!source_is_true(conn, &seen)) {
        log_warn("a frame of type %s from a connection it does not belong to was dropped",
                 message_name(header->type));
    } else if (header->flags & FRAME_REPLY && header->destination == PEER_GCS) {
        rpc_reply(gcs->rpc, header, body.data);
        gcs_arm_rpc(gcs);
    } else if (header->destination == PEER_GCS || header->destination == 0) {
        on_call(gcs, &call);
    } else {
        relay(gcs, &call);
    }
}

/* ---- life ---- */

static int cluster_id_load(Gcs *gcs) {
    _cleanup_buf_ Buf id = { 0 };
    int r = kv_get(gcs->kv, "meta", SLICE("cluster"), &id);
    if (r < 0)
        return r;
    if (r == 0 && id.len == sizeof(gcs->cluster)) {
        memcpy(&gcs->cluster, id.data, id.len);
        return 0;
    }
    mem_random(&gcs->cluster, sizeof(gcs->cluster));
    return kv_put(gcs->kv, "meta", SLICE("cluster"), ID_SLICE(&gcs->cluster));
}

static int load(Gcs *gcs) {
    int r = cluster_id_load(gcs);
    if (r == 0)
        r = space_load(gcs);
    if (r == 0)
        r = nodes_load(gcs);
    if (r == 0)
        r = jobs_load(gcs);
    if (r == 0)
        r = actors_load(gcs);
    if (r == 0)
        r = groups_load(gcs);
    if (r == 0)
        r = submissions_load(gcs);
    return r;
}

int gcs_new(Loop *loop, Kv *kv, const GcsOptions *options, const GcsPort *port, Gcs **ret_gcs) {
    _cleanup_(gcs_freep) Gcs *gcs = mem_new(Gcs);
    gcs->loop = loop;
    gcs->kv = kv;
    gcs->port = *port;
    gcs->session_name = str_dup(options->session_name ? options->session_name : "");
    gcs->session_dir = str_dup(options->session_dir ? options->session_dir : "");
    gcs->settings = str_dup(options->settings ? options->settings : "{}");
    gcs->dashboard_url = str_dup(options->dashboard_url ? options->dashboard_url : "");
    gcs->node_ip = str_dup(options->node_ip ? options->node_ip : "");
    buf_add(&gcs->token, options->token.data, options->token.len);
    gcs->keepalive = options->keepalive ? options->keepalive : 3 * USEC_PER_SEC;
    gcs->rpc = rpc_new(rpc_out, gcs);
    gcs->rpc_timer = loop_timer_new(loop, rpc_tick, gcs);
    list_init(&gcs->held);
    conns_init(gcs);
    mem_random(&gcs->sched.random, sizeof(gcs->sched.random));
    nodes_init(gcs);
    deaths_init(gcs);
    jobs_init(gcs);
    actors_init(gcs);
    groups_init(gcs);
    tasks_init(gcs);
    gcs->job_start_timeout =
        options->job_start_timeout ? options->job_start_timeout : 15 * 60 * USEC_PER_SEC;
    submission_places_init(gcs);
    int r = load(gcs);
    if (r < 0)
        return error_context(r, "reading the cluster's records");
    *ret_gcs = TAKE(gcs);
    return 0;
}

Gcs *gcs_free(Gcs *gcs) {
    if (!gcs)
        return NULL;
    while (!list_empty(&gcs->held))
        held_free(LIST_ITEM(gcs->held.next, Held, link));
    rpc_free(gcs->rpc);
    loop_timer_free(gcs->rpc_timer);
    submissions_done(gcs);
    tasks_done(gcs);
    pubsub_done(gcs);
    actors_done(gcs);
    groups_done(gcs);
    jobs_done(gcs);
    deaths_done(gcs);
    nodes_done(gcs);
    conns_done(gcs);
    free(gcs->session_name);
    free(gcs->session_dir);
    free(gcs->settings);
    free(gcs->dashboard_url);
    free(gcs->node_ip);
    mem_wipe(gcs->token.data, gcs->token.len);
    buf_done(&gcs->token);
    free(gcs);
    return NULL;
}
