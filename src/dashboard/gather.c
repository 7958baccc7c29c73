/* SPDX-License-Identifier: Apache-2.0 */
#include "dashboard/gather.h"

#include "base/error.h"

enum {
    ANSWER_MAX = STATE_LIMIT_MAX, /* entries of one process */
};

typedef struct Gather {
    Gathered out; /* first */
    Arena arena;
    GatheredFn *then;
    unsigned wanted;
    TaskList filter;
    size_t awaited;
    usec_t timeout;
    bool asked_raylets, asked_tasks;
} Gather;

typedef struct Question {
    Gather *gather;
    MessageType type;
} Question;

static void step(Gather *g);

static void fail(Gather *g, MessageType type) {
    if (type == MSG_STATE_GET)
        g->out.silent++;
    else
        g->out.gcs_failed = true;
}

/* Copied: what is decoded borrows from it. */
static int decode(Gather *g, MessageType type, const void *data, size_t len) {
    StateWorld *world = &g->out.world;
    Arena *arena = &g->arena;
    switch (type) {
    case MSG_NODE_LIST: {
        NodeView view;
        int r = node_view_decode(&view, data, len, arena);
        if (r == 0) {
            world->nodes = view.nodes;
            world->nodes_len = view.nodes_len;
        }
        return r;
    }
    case MSG_ACTOR_LIST:
        return actors_decode(&world->actors, data, len, arena);
    case MSG_JOB_TABLE_GET:
        return job_table_decode(&world->jobs, data, len, arena);
    case MSG_SUBMISSION_LIST:
        return submissions_decode(&g->out.submissions, data, len, arena);
    case MSG_GROUP_LIST:
        return groups_decode(&world->groups, data, len, arena);
    case MSG_WORKER_LIST:
        return dead_workers_decode(&world->dead, data, len, arena);
    case MSG_TASK_LIST:
        return task_events_decode(&world->ended, data, len, arena);
    case MSG_STATE_GET: {
        int r = node_details_decode(&world->details[world->details_len], data, len, arena);
        world->details_len += r == 0;
        return r;
    }
    default:
        return -EINVAL;
    }
}

static void on_answered(void *argument, const RpcReply *reply) {
    Question *question = argument;
    Gather *g = question->gather;
    MessageType type = question->type;
    mem_free(question);
    if (reply->result == 0) {
        const char *kept = arena_dup(&g->arena, reply->body, reply->len);
        if (decode(g, type, kept, reply->len) < 0)
            fail(g, type);
    } else {
        fail(g, type);
    }
    if (--g->awaited == 0)
        step(g);
}

static void put(Gather *g, PeerId to, MessageType type, const Buf *body) {
    Question *question = mem_new(Question);
    *question = (Question){ g, type };
    g->awaited++;
    dial_call(g->out.dashboard->gcs, to, type, body, g->timeout, on_answered, question);
}

/* Every message without a field is an empty body. */
static void put_to_gcs(Gather *g, unsigned bit, MessageType type) {
    if (g->wanted & bit)
        put(g, PEER_GCS, type, NULL);
}

static void ask_actors(Gather *g) {
    ActorList question = { .all_namespaces = true };
    _cleanup_buf_ Buf body = { 0 };
    actor_list_encode(&question, &body);
    put(g, PEER_GCS, MSG_ACTOR_LIST, &body);
}

static void ask_raylets(Gather *g) {
    StateWorld *world = &g->out.world;
    StateGet question = { .tasks = g->wanted & GATHER_TASKS,
                          .objects = g->wanted & GATHER_OBJECTS,
                          .limit = ANSWER_MAX };
    _cleanup_buf_ Buf body = { 0 };
    state_get_encode(&question, &body);
    g->asked_raylets = true;
    world->details = arena_array(&g->arena, NodeDetails, world->nodes_len + 1);
    for (size_t i = 0; i < world->nodes_len; i++) {
        const NodeInfo *node = &world->nodes[i];
        if (node->state == NODE_STATE_DEAD)
            continue;
        g->out.raylets++;
        put(g, peer_make(node->index, node->incarnation, 0), MSG_STATE_GET, &body);
    }
}

static void ask_tasks(Gather *g) {
    _cleanup_buf_ Buf body = { 0 };
    g->asked_tasks = true;
    task_list_encode(&g->filter, &body);
    put(g, PEER_GCS, MSG_TASK_LIST, &body);
}

/* Nothing is awaited: what is next? Processes send what has ended to gcs before they answer, so gcs is
 * asked for that last. */
static void step(Gather *g) {
    if (!g->out.gcs_failed && !g->asked_raylets && g->wanted & GATHER_PROCESSES)
        ask_raylets(g);
    if (!g->out.gcs_failed && !g->asked_tasks && g->wanted & GATHER_TASKS && !g->awaited)
        ask_tasks(g);
    if (g->awaited)
        return;
    g->then(&g->out);
    arena_done(&g->arena);
    mem_free(g);
}

void gather(Dashboard *dashboard, HttpRequest *request, unsigned wanted, const TaskList *filter,
            GatheredFn *then, void *more) {
    Gather *g = mem_new(Gather);
    g->out.dashboard = dashboard;
    g->out.request = request;
    g->out.more = more;
    g->then = then;
    g->wanted = wanted;
    if (wanted & (GATHER_TASKS | GATHER_OBJECTS))
        g->wanted |= GATHER_PROCESSES;
    if (g->wanted & (GATHER_PROCESSES | GATHER_DEAD))
        g->wanted |= GATHER_NODES;
    if (filter)
        g->filter = *filter;
    int r =
        state_options(http_request_query(request), http_request_arena(request), &g->out.options);
    if (r < 0) {
        respond_state_error(request, 400, error_text(r));
        mem_free(g);
        return;
    }
    g->timeout = (usec_t)(g->out.options.timeout * 0.8 * USEC_PER_SEC);
    g->out.world.logs = arena_printf(&g->arena, "%s/logs", dashboard->session_dir);
    put_to_gcs(g, GATHER_NODES, MSG_NODE_LIST);
    put_to_gcs(g, GATHER_JOBS, MSG_JOB_TABLE_GET);
    put_to_gcs(g, GATHER_SUBMISSIONS, MSG_SUBMISSION_LIST);
    put_to_gcs(g, GATHER_GROUPS, MSG_GROUP_LIST);
    put_to_gcs(g, GATHER_DEAD, MSG_WORKER_LIST);
    if (wanted & GATHER_ACTORS)
        ask_actors(g);
    if (!g->awaited)
        step(g);
}
