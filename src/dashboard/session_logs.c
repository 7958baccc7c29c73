/* SPDX-License-Identifier: Apache-2.0 */
#include "api/job_state.h"
#include "api/log_files.h"
#include "api/logs.h"
#include "base/error.h"
#include "dashboard/gather.h"
#include "model/ids.h"

/*
 * Log files of any node: `/api/v0/logs`. Those of the head lie in our session's folder, others are asked
 * of their node's agent. Whose log is wanted may be told by an actor, a task, a process or a job.
 */

/* ---- nodes ------------------------------------------------------------------------------------- */

static const NodeInfo *node_by_hex(const StateWorld *world, const char *hex) {
    NodeId id;
    if (!hex || hex_decode(hex, id.byte, sizeof(id.byte)) < 0)
        return NULL;
    for (size_t i = 0; i < world->nodes_len; i++)
        if (id_equal(&world->nodes[i].node, &id))
            return &world->nodes[i];
    return NULL;
}

static const NodeInfo *node_by_ip(const StateWorld *world, const char *ip) {
    for (size_t i = 0; ip && i < world->nodes_len; i++)
        if (world->nodes[i].state != NODE_STATE_DEAD && slice_eq_str(world->nodes[i].ip, ip))
            return &world->nodes[i];
    return NULL;
}

static const NodeInfo *wanted_node(const Gathered *g) {
    const HttpQuery *query = http_request_query(g->request);
    const char *id = http_query_get(query, "node_id");
    return id ? node_by_hex(&g->world, id)
              : node_by_ip(&g->world, http_query_get(query, "node_ip"));
}

/* Nodes of one machine share its session folder, unless they have one of their own. */
static bool lies_here(const NodeInfo *node) {
    return node->head;
}

static char *folder_of(const Dashboard *dashboard) {
    return str_printf("%s/logs", dashboard->session_dir);
}

static char *agent_url(const NodeInfo *node, const char *path) {
    bool v6 = memchr(node->ip.data ? node->ip.data : "", ':', node->ip.len) != NULL;
    return str_printf(v6 ? "http://[%.*s]:%u%s" : "http://%.*s:%u%s", (int)node->ip.len,
                      node->ip.data, node->agent_port, path);
}

/* ---- lists ------------------------------------------------------------------------------------- */

static const char *group_of(const char *name) {
    static const struct {
        const char *part, *end, *group;
    } groups[] = {
        { "worker", ".out", "worker_out" },
        { "worker", ".err", "worker_err" },
        { "core-worker", ".log", "core_worker" },
        { "core-driver", ".log", "driver" },
        { "raylet.", "", "raylet" },
        { "gcs_server.", "", "gcs_server" },
        { "gcs.", "", "gcs_server" },
        { "log_monitor", "", "internal" },
        { "monitor", "", "autoscaler" },
        { "agent.", "", "agent" },
        { "dashboard.", "", "dashboard" },
    };
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (strstr(name, groups[i].part) && str_ends(name, groups[i].end))
            return groups[i].group;
    return "internal";
}

static void respond_groups(HttpRequest *request, const json_t *names) {
    json_t *groups = json_object();
    for (size_t i = 0; i < json_array_size(names); i++) {
        json_t *name = json_array_get(names, i);
        json_array_append(json_make_array(groups, group_of(json_string_value(name))), name);
    }
    respond_json(request, 200,
                 json_pack("{s:b,s:s,s:{s:o}}", "result", 1, "msg", "", "data", "result", groups));
}

static void on_agent_names(void *ctx, const HttpResult *result) {
    HttpRequest *request = ctx;
    _cleanup_json_ json_t *answer = NULL;
    int r = result->r;
    if (r == 0)
        r = json_parse(result->body.data, result->body.len, NULL, 0, &answer);
    if (r < 0 || result->status != 200)
        respond_state_error(request, 500, "The node's agent did not answer: is the node alive?");
    else
        respond_groups(request, json_object_get(answer, "files"));
}

static void ask_agent(Gathered *g, const char *url, const HttpCallEvents *events, void *ctx,
                      usec_t timeout) {
    const HttpCallSpec spec = {
        .url = url,
        .bearer = g->dashboard->auth->token,
        .no_proxy = true,
        .timeout = timeout,
    };
    HttpCall *call;
    int r = http_call_new(g->dashboard->client, &spec, events, ctx, &call);
    if (r < 0)
        events->done(ctx, &(HttpResult){ .r = r, .error = error_text(r) });
}

static void give_list(Gathered *g) {
    const HttpQuery *query = http_request_query(g->request);
    const char *glob = http_query_get(query, "glob");
    const NodeInfo *node = wanted_node(g);
    if (!node) {
        const char *ip = http_query_get(query, "node_ip");
        _cleanup_free_ char *text =
            ip ? str_printf("Cannot find matching node_id for a given node ip %s", ip)
               : str_dup("Given node id is not available");
        respond_state_error(g->request, ip ? 404 : 500, text);
    } else if (lies_here(node)) {
        _cleanup_free_ char *folder = folder_of(g->dashboard);
        _cleanup_json_ json_t *names = NULL;
        int r = log_files_list(folder, str_empty(glob) ? "*" : glob, &names);
        if (r < 0)
            respond_state_error(g->request, 500, error_text(r));
        else
            respond_groups(g->request, names);
    } else {
        static const HttpCallEvents events = { .done = on_agent_names };
        Buf url = { 0 };
        _cleanup_free_ char *base = agent_url(node, "/api/agent/logs");
        buf_add_str(&url, base);
        http_query_add(&url, "glob", str_empty(glob) ? "*" : glob);
        ask_agent(g, url.data, &events, g->request, 0);
        buf_done(&url);
    }
}

static void on_list(void *ctx, HttpRequest *request) {
    const HttpQuery *query = http_request_query(request);
    if (!http_query_get(query, "node_id") && !http_query_get(query, "node_ip"))
        respond_state_error(request, 400,
                            "Both node id and node ip are not provided. Please provide at least "
                            "one of them.");
    else
        gather(ctx, request, GATHER_NODES, NULL, give_list, NULL);
}

/* ---- one log ------------------------------------------------------------------------------------- */

typedef struct Found {
    const NodeInfo *node;
    char *name; /* owned */
} Found;

static const char *suffix_of(const Gathered *g) {
    const char *suffix = http_query_get(http_request_query(g->request), "suffix");
    return str_eq(suffix, "err") ? "err" : "out";
}

/* Workers' files are named for the worker, its job and its pid. */
static char *worker_file(const WorkerId *worker, const JobId *job, uint32_t pid,
                         const char *suffix) {
    return str_printf("worker-%s-%s-%u.%s", ID_HEX(worker), ID_HEX(job), pid, suffix);
}

static int find_actor(const Gathered *g, const char *hex, Found *ret) {
    ActorId id;
    int r = hex_decode(hex, id.byte, sizeof(id.byte));
    const ActorInfo *actor = NULL;
    for (size_t i = 0; r == 0 && i < g->world.actors.actors_len && !actor; i++)
        if (id_equal(&g->world.actors.actors[i].actor, &id))
            actor = &g->world.actors.actors[i];
    if (!actor)
        return error_origin(-ENOENT, "Actor ID ActorID(%s) not found.", hex);
    if (id_is_unset(&actor->worker_id))
        return error_origin(
            -ENOENT, "Worker ID for Actor ID ActorID(%s) not found. Actor is not scheduled yet.",
            hex);
    ret->node = node_by_hex(&g->world, ID_HEX(&actor->node));
    ret->name = worker_file(&actor->worker_id, &actor->job, actor->pid, suffix_of(g));
    return 0;
}

static int find_task(Gathered *g, const char *hex, Found *ret) {
    const HttpQuery *query = http_request_query(g->request);
    const char *text = http_query_get(query, "attempt_number");
    int64_t attempt = 0;
    if (text && str_to_i64(text, &attempt) < 0)
        return error_origin(-EINVAL, "attempt_number has to be a number");
    g->options.detail = true;
    _cleanup_json_ json_t *rows = state_tasks(&g->world, &g->options);
    const json_t *row = NULL;
    for (size_t i = 0; i < json_array_size(rows) && !row; i++) {
        const json_t *each = json_array_get(rows, i);
        if (str_eq_nocase(json_str_at(each, "task_id"), hex) &&
            json_int_at(each, -1, "attempt_number") == attempt)
            row = each;
    }
    const char *suffix = suffix_of(g), *actor = json_str_at(row, "actor_id");
    if (!row)
        return error_origin(-ENOENT,
                            "Could not find log file for task: %s (attempt %lld) with suffix: %s",
                            hex, (long long)attempt, suffix);
    ret->node = node_by_hex(&g->world, json_str_at(row, "node_id"));
    const char *path =
        json_str_at(row, "task_log_info", suffix[0] == 'o' ? "stdout_file" : "stderr_file");
    if (actor)
        return error_origin(-ENOENT,
                            "For actor task, please query actor log for actor(%s): e.g. ray logs "
                            "actor --id %s . Or set RAY_ENABLE_RECORD_ACTOR_TASK_LOGGING=1 in "
                            "actor's runtime env or when starting the cluster. Recording actor "
                            "task's log could be expensive, so Ray turns it off by default.",
                            actor, actor);
    if (!ret->node || !path)
        return error_origin(-ENOENT,
                            "Could not find log file for task attempt.%s(%lld) due to missing "
                            "node info.",
                            hex, (long long)attempt);
    ret->name = str_dup(strrchr(path, '/') + 1);
    return 0;
}

static int find_pid(const Gathered *g, const char *text, Found *ret) {
    int64_t pid;
    int r = str_to_i64(text, &pid);
    ret->node = wanted_node(g);
    for (size_t i = 0; r == 0 && i < g->world.details_len; i++) {
        const NodeDetails *details = &g->world.details[i];
        for (size_t k = 0; ret->node && k < details->processes_len; k++) {
            const ProcessEntry *p = &details->processes[k];
            if ((int64_t)p->pid == pid && p->role == ROLE_WORKER &&
                id_equal(&details->node, &ret->node->node))
                ret->name = worker_file(&p->worker_id, &p->job, p->pid, suffix_of(g));
        }
    }
    /* One that has ended left its file; on the head it is found by its name. */
    _cleanup_free_ char *folder = folder_of(g->dashboard);
    _cleanup_free_ char *glob = str_printf("worker-*-%s.%s", text, suffix_of(g));
    _cleanup_json_ json_t *names = NULL;
    if (r == 0 && !ret->name && ret->node && lies_here(ret->node) &&
        log_files_list(folder, glob, &names) == 0)
        ret->name = str_dup(json_string_value(json_array_get(names, 0)));
    return r;
}

static int find_submission(const Gathered *g, const char *id, Found *ret) {
    for (size_t i = 0; i < g->submissions.records_len; i++) {
        _cleanup_json_ json_t *record = NULL;
        const Slice *text = &g->submissions.records[i];
        if (json_parse(text->data, text->len, NULL, 0, &record) < 0 ||
            !str_eq(json_str_at(record, "submission_id"), id))
            continue;
        ret->node = node_by_hex(&g->world, json_str_at(record, "driver_node_id"));
        ret->name = str_printf("job-driver-%s.log", id);
    }
    return 0;
}

static int find(Gathered *g, Found *ret) {
    const HttpQuery *query = http_request_query(g->request);
    const char *actor = http_query_get(query, "actor_id"), *pid = http_query_get(query, "pid");
    const char *task = http_query_get(query, "task_id");
    const char *submission = http_query_get(query, "submission_id");
    const char *filename = http_query_get(query, "filename");
    int r = 0;
    if (actor)
        r = find_actor(g, actor, ret);
    else if (task)
        r = find_task(g, task, ret);
    else if (submission)
        r = find_submission(g, submission, ret);
    else if (pid)
        r = find_pid(g, pid, ret);
    else {
        ret->node = wanted_node(g);
        ret->name = str_dup(filename);
    }
    if (r < 0 || (ret->node && ret->name))
        return r;
#define OR_NONE(text) ((text) ? (text) : "None")
    return error_origin(
        -ENOENT,
        "Could not find a log file. Please make sure the given option exists in "
        "the cluster.\n\tnode_id: %s\n\tfilename: %s\n\tactor_id: %s\n\ttask_id: "
        "%s\n\tpid: %s\n\tsuffix: %s\n\tsubmission_id: %s\n\tattempt_number: %s\n",
        ret->node ? ID_HEX(&ret->node->node) : "None", OR_NONE(ret->name), OR_NONE(actor),
        OR_NONE(task), OR_NONE(pid), suffix_of(g), OR_NONE(submission),
        http_query_get(query, "attempt_number") ? http_query_get(query, "attempt_number") : "0");
}

static void pass_on(Gathered *g, const NodeInfo *node, const LogFileWanted *wanted) {
    _cleanup_free_ char *base = agent_url(node, "/api/agent/logs/file");
    _cleanup_buf_ Buf url = { 0 };
    char lines[24];
    snprintf(lines, sizeof(lines), "%lld", (long long)wanted->lines);
    buf_add_str(&url, base);
    http_query_add(&url, "filename", wanted->filename);
    http_query_add(&url, "lines", lines);
    http_query_add(&url, "follow", wanted->follow ? "1" : "0");
    http_query_add(&url, "plain", wanted->plain ? "1" : "0");
    proxy_get(g->dashboard, g->request, url.data,
              (ProxySpec){ .endless = wanted->follow, .failed_500 = true });
}

static void give_file(Gathered *g) {
    const HttpQuery *query = http_request_query(g->request);
    const char *lines = http_query_get(query, "lines"),
               *plain = http_query_get(query, "filter_ansi_code");
    LogFileWanted wanted = { .lines = 1000, .plain = plain && str_eq_nocase(plain, "true") };
    if (str_ends(http_request_path(g->request), "/stream"))
        wanted.follow = g->dashboard->tails;
    Found found = { 0 };
    int r = lines ? str_to_i64(lines, &wanted.lines) : 0;
    if (r == 0)
        r = find(g, &found);
    _cleanup_free_ char *name = found.name;
    wanted.filename = name;
    if (r < 0) {
        http_respond_text(g->request, 500, "%s", error_text(r));
    } else if (lies_here(found.node)) {
        _cleanup_free_ char *folder = folder_of(g->dashboard);
        log_file_serve(g->request, folder, &wanted);
    } else {
        pass_on(g, found.node, &wanted);
    }
}

static void on_file(void *ctx, HttpRequest *request) {
    const HttpQuery *query = http_request_query(request);
    const char *task = http_query_get(query, "task_id");
    unsigned wanted = GATHER_NODES;
    TaskList filter = { 0 };
    if (task && hex_decode(task, filter.task.byte, sizeof(filter.task.byte)) == 0)
        wanted |= GATHER_TASKS;
    if (http_query_get(query, "actor_id"))
        wanted |= GATHER_ACTORS;
    if (http_query_get(query, "pid"))
        wanted |= GATHER_PROCESSES;
    if (http_query_get(query, "submission_id"))
        wanted |= GATHER_SUBMISSIONS;
    gather(ctx, request, wanted, &filter, give_file, NULL);
}

void session_logs_routes(Dashboard *dashboard) {
    HttpRouter *router = dashboard->router;
    http_router_add(router, "GET", "/api/v0/logs", on_list, dashboard);
    http_router_add(router, "GET", "/api/v0/logs/file", on_file, dashboard);
    http_router_add(router, "GET", "/api/v0/logs/stream", on_file, dashboard);
}
