/* SPDX-License-Identifier: Apache-2.0 */
#include "api/state.h"

#include "api/jobs.h"
#include "base/clock.h"
#include "base/error.h"
#include "dashboard/gather.h"

/* The state API: lists, summaries, the timeline. */

static const char *const gcs_warning =
    "Failed to query data from GCS. It is due to (1) GCS is unexpectedly failed. (2) GCS is "
    "overloaded. (3) There's an unexpected network issue. Please check the gcs_server.out log to "
    "find the root cause.";

static const char *const no_call_sites =
    "Callsite is not being recorded. To record callsite information for each ObjectRef created, "
    "set env variable RAY_record_ref_creation_sites=1 during `ray start` and `ray.init`.";

/* ---- the envelope ---------------------------------------------------------------------------- */

static void respond_result(HttpRequest *request, int status, const char *message, json_t *result) {
    json_t *envelope = json_object(), *data = json_object();
    json_object_set_new(envelope, "result", json_boolean(status == 200));
    json_object_set_new(envelope, "msg", json_string(message));
    json_object_set_new(data, "result", result);
    json_object_set_new(envelope, "data", data);
    respond_json(request, status, envelope);
}

void respond_state_error(HttpRequest *request, int status, const char *message) {
    respond_result(request, status, message, json_null());
}

/* ---- lists ------------------------------------------------------------------------------------- */

static json_t *jobs_of(const Gathered *g) {
    json_t *rows = json_array();
    for (size_t i = 0; i < g->submissions.records_len; i++) {
        _cleanup_json_ json_t *record = NULL;
        const Slice *text = &g->submissions.records[i];
        if (json_parse(text->data, text->len, NULL, 0, &record) == 0)
            json_array_append_new(rows, job_details(record));
    }
    for (size_t i = 0; i < g->world.jobs.jobs_len; i++) {
        json_t *driver = driver_details(&g->world.jobs.jobs[i]);
        if (driver)
            json_array_append_new(rows, driver);
    }
    return rows;
}

static json_t *actors_of(const Gathered *g) {
    return state_actors(&g->world);
}

static json_t *groups_of(const Gathered *g) {
    return state_groups(&g->world);
}

static json_t *nodes_of(const Gathered *g) {
    return state_nodes(&g->world);
}

static json_t *workers_of(const Gathered *g) {
    return state_workers(&g->world);
}

static json_t *tasks_of(const Gathered *g) {
    return state_tasks(&g->world, &g->options);
}

static json_t *objects_of(const Gathered *g) {
    return state_objects(&g->world);
}

static json_t *envs_of(const Gathered *g) {
    return state_runtime_envs(&g->world);
}

/* Nothing here makes events for users yet: the list is there and empty. */
static json_t *events_of(const Gathered *g) {
    UNUSED(g);
    return json_array();
}

typedef struct StateSource {
    const char *name;
    unsigned wanted;
    json_t *(*rows)(const Gathered *g);
} StateSource;

static const StateSource sources[] = {
    { "actors", GATHER_ACTORS, actors_of },
    { "jobs", GATHER_JOBS | GATHER_SUBMISSIONS, jobs_of },
    { "placement_groups", GATHER_GROUPS, groups_of },
    { "nodes", GATHER_NODES, nodes_of },
    { "workers", GATHER_PROCESSES | GATHER_DEAD, workers_of },
    { "tasks", GATHER_TASKS | GATHER_ACTORS | GATHER_JOBS, tasks_of },
    { "objects", GATHER_OBJECTS, objects_of },
    { "runtime_envs", GATHER_PROCESSES, envs_of },
    { "cluster_events", 0, events_of },
};

static const StateSource *source_of(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (str_eq(sources[i].name, name))
            return &sources[i];
    return NULL;
}

/* Who did not answer, in words; NULL: all did. */
static char *silence(const Gathered *g, Arena *arena) {
    if (!g->silent)
        return NULL;
    return arena_printf(arena,
                        "%sFailed to query data from raylet. Queried %zu raylet and %zu raylet "
                        "failed to reply. It is due to (1) raylet is unexpectedly failed. (2) "
                        "raylet is overloaded. (3) There's an unexpected network issue. Please "
                        "check the raylet.out to find the root cause.",
                        g->silent < g->raylets ? "The returned data may contain incomplete result. "
                                               : "",
                        g->raylets, g->silent);
}

/* True: it was answered with an error. */
static bool answered_failure(Gathered *g, const char *silent) {
    if (!g->gcs_failed && (!silent || g->silent < g->raylets))
        return false;
    respond_state_error(g->request, 500, g->gcs_failed ? gcs_warning : silent);
    return true;
}

/* The rows as asked for; NULL: answered with an error. */
static json_t *listed(Gathered *g, const StateSource *source) {
    char *silent = silence(g, http_request_arena(g->request));
    if (answered_failure(g, silent))
        return NULL;
    bool objects = str_eq(source->name, "objects");
    json_t *rows = source->rows(g), *result;
    StateTotals totals = {
        .partial = silent,
        .no_partial_column = objects || str_eq(source->name, "runtime_envs"),
        .warning = objects ? no_call_sites : NULL,
        .total = str_eq(source->name, "tasks") ? state_tasks_total(&g->world, json_array_size(rows))
                                               : json_array_size(rows),
    };
    int r = state_list(state_schema(source->name), rows, &g->options, &totals, &result);
    if (r == 0)
        return result;
    respond_state_error(g->request, 400, error_text(r));
    return NULL;
}

static void give_list(Gathered *g) {
    const StateSource *source = g->more;
    json_t *result = listed(g, source);
    if (!result)
        return;
    json_t *rows = json_object_get(result, "result");
    for (size_t i = 0; http_from_browser(g->request) && i < json_array_size(rows); i++)
        job_redact(json_array_get(rows, i));
    respond_result(g->request, 200, "", result);
}

/* One that is none is left to the filters. */
static void read_id(const char *hex, void *id, size_t len) {
    if (hex_decode(hex, id, len) < 0)
        memset(id, 0, len);
}

/* What the filters say that gcs can look for by itself. */
static TaskList task_filter(HttpRequest *request) {
    TaskList filter = { 0 };
    Arena *arena = http_request_arena(request);
    StateOptions options;
    if (state_options(http_request_query(request), arena, &options) < 0)
        return filter; /* answered when it is read again */
    for (size_t i = 0; i < options.filters_len; i++) {
        const StateFilter *f = &options.filters[i];
        if (f->unequal)
            continue;
        if (str_eq_nocase(f->column, "job_id"))
            read_id(f->value, &filter.job, sizeof(filter.job));
        else if (str_eq_nocase(f->column, "task_id"))
            read_id(f->value, &filter.task, sizeof(filter.task));
        else if (str_eq_nocase(f->column, "actor_id"))
            read_id(f->value, &filter.actor, sizeof(filter.actor));
    }
    if (options.job_id)
        read_id(options.job_id, &filter.job, sizeof(filter.job));
    return filter;
}

static void list(Dashboard *dashboard, HttpRequest *request, const char *name, GatheredFn *then) {
    const StateSource *source = source_of(name);
    TaskList filter = task_filter(request);
    gather(dashboard, request, source->wanted, &filter, then, (void *)(uintptr_t)source);
}

static void on_list(void *ctx, HttpRequest *request) {
    const char *path = http_request_path(request);
    list(ctx, request, strrchr(path, '/') + 1, give_list);
}

/* ---- summaries --------------------------------------------------------------------------------- */

static int summarize(Gathered *g, const StateSource *source, const json_t *rows,
                     json_t **ret_summary) {
    if (str_eq(source->name, "actors"))
        *ret_summary = state_summarize_actors(rows);
    else if (str_eq(source->name, "objects"))
        *ret_summary = state_summarize_objects(rows);
    else {
        _cleanup_json_ json_t *actors = actors_of(g);
        return state_summarize_tasks(rows, actors, g->options.summary_by, ret_summary);
    }
    return 0;
}

static void give_summary(Gathered *g) {
    const StateSource *source = g->more;
    g->options.limit = STATE_LIMIT_MAX;
    g->options.detail = true;
    json_t *result = listed(g, source);
    if (!result)
        return;
    json_t *summary;
    int r = summarize(g, source, json_object_get(result, "result"), &summary);
    if (r < 0) {
        json_decref(result);
        respond_state_error(g->request, 400, error_text(r));
        return;
    }
    json_object_set_new(result, "result", summary);
    respond_result(g->request, 200, "", result);
}

static void on_summarize(void *ctx, HttpRequest *request) {
    _cleanup_strlist_ StrList parts = { 0 };
    const char *path = http_request_path(request) + strlen("/api/v0/");
    strlist_take(&parts, str_dup_slice((Slice){ path, strcspn(path, "/") }));
    list(ctx, request, parts.items[0], give_summary);
}

/* ---- timeline ---------------------------------------------------------------------------------- */

static void give_timeline(Gathered *g) {
    const HttpQuery *query = http_request_query(g->request);
    g->options.limit = STATE_LIMIT_MAX;
    g->options.detail = true;
    json_t *result = listed(g, g->more);
    if (!result)
        return;
    if (str_eq(http_query_get(query, "download"), "1")) {
        char now[TIME_TEXT_MAX];
        time_format_rfc3339(loop_wall_now(g->dashboard->loop), now);
        _cleanup_free_ char *header =
            str_printf("attachment; filename=\"timeline-%s-%.19s.json\"",
                       g->options.job_id ? g->options.job_id : "None", now);
        http_response_header(g->request, "Content-Disposition", header);
    }
    respond_json(g->request, 200, state_timeline(json_object_get(result, "result")));
    json_decref(result);
}

static void on_timeline(void *ctx, HttpRequest *request) {
    list(ctx, request, "tasks", give_timeline);
}

/* ---- memory: what `ray memory` adds up ------------------------------------------------------------ */

static void add(json_t *sums, const char *key, uint64_t value) {
    json_int_t before = json_integer_value(json_object_get(sums, key));
    json_object_set_new(sums, key, json_integer(before + (json_int_t)value));
}

static void add_process(json_t *sums, const ProcessEntry *process) {
    _cleanup_arena_ Arena arena = { 0 };
    ProcessState state;
    if (!process->answered ||
        process_state_decode(&state, process->state.data, process->state.len, &arena) < 0)
        return;
    add(sums, "leases_held", state.leases);
    add(sums, "references_owned", state.refs_owned);
    add(sums, "references_borrowed", state.refs_borrowed);
    add(sums, "tasks_pending", state.tasks_total);
    add(sums, "heap_bytes", state.values_bytes);
    for (size_t i = 0; i < state.objects_len; i++)
        add(sums, "store_objects", state.objects[i].in_store && state.objects[i].owned);
}

static json_t *memory_sums(const Gathered *g) {
    static const char *const keys[] = { "store_bytes_used", "store_bytes_total",
                                        "store_objects",    "spilled_bytes",
                                        "spilled_objects",  "leases",
                                        "leases_waiting",   "leases_held",
                                        "references_owned", "references_borrowed",
                                        "tasks_pending",    "heap_bytes" };
    json_t *sums = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        add(sums, keys[i], 0);
    for (size_t i = 0; i < g->world.details_len; i++) {
        const NodeDetails *node = &g->world.details[i];
        add(sums, "store_bytes_used", node->store_used);
        add(sums, "store_bytes_total", node->store_total);
        add(sums, "spilled_bytes", node->spilled_bytes);
        add(sums, "spilled_objects", node->spilled_objects);
        add(sums, "leases", node->leases);
        add(sums, "leases_waiting", node->leases_waiting);
        for (size_t k = 0; k < node->processes_len; k++)
            add_process(sums, &node->processes[k]);
    }
    return sums;
}

static void give_memory(Gathered *g) {
    json_t *sums = memory_sums(g);
    json_t *result = listed(g, source_of("objects"));
    if (!result) {
        json_decref(sums);
        return;
    }
    json_object_set_new(result, "sums", sums);
    respond_result(g->request, 200, "", result);
}

static void on_memory(void *ctx, HttpRequest *request) {
    gather(ctx, request, GATHER_OBJECTS | GATHER_TASKS, NULL, give_memory, NULL);
}

void state_routes(Dashboard *dashboard) {
    HttpRouter *router = dashboard->router;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        _cleanup_free_ char *path = str_printf("/api/v0/%s", sources[i].name);
        http_router_add(router, "GET", path, on_list, dashboard);
    }
    http_router_add(router, "GET", "/api/v0/tasks/summarize", on_summarize, dashboard);
    http_router_add(router, "GET", "/api/v0/actors/summarize", on_summarize, dashboard);
    http_router_add(router, "GET", "/api/v0/objects/summarize", on_summarize, dashboard);
    http_router_add(router, "GET", "/api/v0/tasks/timeline", on_timeline, dashboard);
    http_router_add(router, "GET", "/api/v0/memory", on_memory, dashboard);
}
