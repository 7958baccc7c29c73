/* SPDX-License-Identifier: Apache-2.0 */

/* A query of the state API (the first line) on a world that peers told: then a byte says which
 * message follows, with its length in two bytes. Whatever these are, the listing and its summary can
 * be written as JSON and name no more rows than the limit. */

#include "api/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "nodes", "actors",           "workers",      "objects",
                                     "tasks", "placement_groups", "runtime_envs", "jobs" };

static void take_message(uint8_t which, Slice body, Arena *arena, StateWorld *world) {
    NodeView view;
    switch (which % 6) {
    case 0:
        if (node_view_decode(&view, body.data, body.len, arena) == 0) {
            world->nodes = view.nodes;
            world->nodes_len = view.nodes_len;
        }
        break;
    case 1:
        world->details = arena_array(arena, NodeDetails, 1);
        world->details_len =
            node_details_decode(world->details, body.data, body.len, arena) == 0 ? 1 : 0;
        break;
    case 2:
        if (task_events_decode(&world->ended, body.data, body.len, arena) < 0)
            world->ended = (TaskEvents){ 0 };
        break;
    case 3:
        if (actors_decode(&world->actors, body.data, body.len, arena) < 0)
            world->actors = (Actors){ 0 };
        break;
    case 4:
        if (dead_workers_decode(&world->dead, body.data, body.len, arena) < 0)
            world->dead = (DeadWorkers){ 0 };
        break;
    default:
        if (groups_decode(&world->groups, body.data, body.len, arena) < 0)
            world->groups = (Groups){ 0 };
    }
}

static void take_world(Slice rest, Arena *arena, StateWorld *world) {
    while (rest.len >= 3) {
        const uint8_t *head = (const uint8_t *)rest.data;
        size_t len = MIN((size_t)head[1] | (size_t)head[2] << 8, rest.len - 3);
        take_message(head[0], (Slice){ rest.data + 3, len }, arena, world);
        rest = (Slice){ rest.data + 3 + len, rest.len - 3 - len };
    }
}

static json_t *rows_of(const StateWorld *world, const StateOptions *options, size_t which) {
    switch (which) {
    case 0:
        return state_nodes(world);
    case 1:
        return state_actors(world);
    case 2:
        return state_workers(world);
    case 3:
        return state_objects(world);
    case 4:
        return state_tasks(world, options);
    case 5:
        return state_groups(world);
    default:
        return state_runtime_envs(world);
    }
}

static void summarize(const StateWorld *world, const StateOptions *options, const json_t *rows) {
    _cleanup_json_ json_t *actors = state_actors(world), *summary = NULL;
    json_decref(state_summarize_actors(actors));
    if (state_summarize_tasks(rows, actors, options->summary_by, &summary) == 0)
        mem_free(json_text(summary, 0));
    _cleanup_json_ json_t *timeline = state_timeline(rows);
    mem_free(json_text(timeline, 0));
}

static void list(const StateWorld *world, StateOptions *options, size_t which) {
    _cleanup_json_ json_t *result = NULL, *all = NULL;
    json_t *rows = rows_of(world, options, which);
    StateTotals totals = { .total = json_array_size(rows) };
    if (state_list(state_schema(names[which]), rows, options, &totals, &result) < 0)
        return;
    _cleanup_free_ char *text = json_text(result, 0);
    ASSERT((int64_t)json_array_size(json_object_get(result, "result")) <= options->limit);
    if (which != 4)
        return;
    options->detail = true;
    if (state_list(state_schema("tasks"), state_tasks(world, options), options, &totals, &all) == 0)
        summarize(world, options, json_object_get(all, "result"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size > 1 ? memchr(data, '\n', size) : NULL;
    if (!end || end == data)
        return 0;
    _cleanup_arena_ Arena arena = { 0 };
    StateWorld world = { .logs = "/logs" };
    StateOptions options;
    HttpQuery query;
    Slice line = { (const char *)data + 1, (size_t)(end - data - 1) };
    if (http_query_parse(line, &query) != 0)
        return 0;
    if (state_options(&query, &arena, &options) == 0) {
        take_world((Slice){ (const char *)end + 1, size - (size_t)(end + 1 - data) }, &arena,
                   &world);
        list(&world, &options, data[0] % (ARRAY_LEN(names) - 1));
    }
    http_query_done(&query);
    return 0;
}
