/* SPDX-License-Identifier: Apache-2.0 */
#include "api/state.h"

#include "base/error.h"
#include "base/test.h"
#include "model/ids.h"

static StateOptions options_of(const char *query, Arena *arena) {
    static HttpQuery parsed; /* its texts are borrowed until the next one */
    StateOptions options;
    http_query_done(&parsed);
    CHECK_OK(http_query_parse(slice_str(query), &parsed));
    CHECK_OK(state_options(&parsed, arena, &options));
    return options;
}

static json_t *rows(void) {
    return json_pack("[{s:s,s:i,s:s,s:s}, {s:s,s:i,s:s,s:n}, {s:s,s:i,s:s,s:s}]", "task_id", "c",
                     "attempt_number", 0, "name", "F", "node_id", "n", "task_id", "a",
                     "attempt_number", 1, "name", "g", "node_id", "task_id", "b", "attempt_number",
                     0, "name", "f", "node_id", "m");
}

static json_t *list(const char *query) {
    _cleanup_arena_ Arena arena = { 0 };
    StateOptions options = options_of(query, &arena);
    json_t *result;
    CHECK_OK(state_list(state_schema("tasks"), rows(), &options, &(StateTotals){ 0 }, &result));
    return result;
}

static const char *id_at(const json_t *result, size_t i) {
    return json_string_value(
        json_object_get(json_array_get(json_object_get(result, "result"), i), "task_id"));
}

static void test_lists(void **state) {
    UNUSED(state);
    json_t *all = list("");
    CHECK_STR(id_at(all, 0), "a");
    CHECK_STR(id_at(all, 2), "c");
    CHECK_INT(json_int_at(all, 0, "total"), 3);
    const json_t *first = json_array_get(json_object_get(all, "result"), 0);
    assert_null(json_object_get(first, "events")); /* a detail */
    assert_true(json_is_null(json_object_get(first, "worker_id")));
    json_decref(all);
    json_t *some = list("limit=1&detail=1&filter_keys=NAME&filter_predicates=%3D&filter_values=f");
    CHECK_INT(json_int_at(some, 0, "num_filtered"), 2);
    CHECK_INT(json_array_size(json_object_get(some, "result")), 1);
    CHECK_STR(id_at(some, 0), "b");
    json_decref(some);
    json_t *others = list("filter_keys=node_id&filter_predicates=!%3D&filter_values=m"
                          "&filter_keys=attempt_number&filter_predicates=%3D&filter_values=1");
    CHECK_INT(json_int_at(others, 0, "num_filtered"), 1);
    CHECK_STR(id_at(others, 0), "a");
    json_decref(others);
}

static void test_wrong_questions(void **state) {
    UNUSED(state);
    static const char *const wrong[] = { "limit=x",
                                         "limit=10001",
                                         "detail=maybe",
                                         "timeout=0",
                                         "filter_keys=a",
                                         "filter_keys=a&filter_values=b&"
                                         "filter_predicates=%3E" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        _cleanup_arena_ Arena arena = { 0 };
        _cleanup_(http_query_done) HttpQuery query = { 0 };
        StateOptions options;
        CHECK_OK(http_query_parse(slice_str(wrong[i]), &query));
        CHECK_INT(state_options(&query, &arena, &options), -EINVAL);
    }
    static const char *const filters[] = { "filter_keys=foo&filter_predicates=%3D&filter_values=x",
                                           "filter_keys=attempt_number&filter_predicates=%3D&"
                                           "filter_values=x",
                                           "filter_keys=events&filter_predicates=%3D&"
                                           "filter_values=x" };
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        _cleanup_arena_ Arena arena = { 0 };
        StateOptions options = options_of(filters[i], &arena);
        json_t *result;
        CHECK_INT(state_list(state_schema("tasks"), rows(), &options, &(StateTotals){ 0 }, &result),
                  -EINVAL);
    }
    assert_non_null(state_schema("placement-groups"));
    assert_null(state_schema("tasks "));
}

static json_t *task(const char *id, const char *parent, const char *type, const char *actor) {
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s?}", "task_id", id, "parent_task_id", parent,
                     "name", id, "func_or_class_name", id, "type", type, "state", "RUNNING",
                     "actor_id", actor);
}

static void test_lineage(void **state) {
    UNUSED(state);
    static const char driver[] = "ffffffffffffffffffffffffffffffffffffffff01000000";
    _cleanup_json_ json_t *tasks = json_array(), *summary = NULL, *actors = json_array();
    json_array_append_new(tasks, task("child", "top", "NORMAL_TASK", NULL));
    json_array_append_new(tasks, task("top", driver, "NORMAL_TASK", NULL));
    json_array_append_new(tasks, task("A.__init__", "top", "ACTOR_CREATION_TASK", "A1"));
    json_array_append_new(tasks, task("A.m", driver, "ACTOR_TASK", "A1"));
    json_array_append_new(tasks, task("lost", "nobody", "NORMAL_TASK", NULL));
    json_array_append_new(tasks, task("stray", driver, "ACTOR_TASK", "A2"));
    json_array_append_new(tasks, task("loop", "loop", "NORMAL_TASK", NULL));
    CHECK_OK(state_summarize_tasks(tasks, actors, "lineage", &summary));
    const json_t *cluster = json_at(summary, "node_id_to_summary", "cluster");
    const json_t *groups = json_object_get(cluster, "summary");
    CHECK_INT(json_array_size(groups), 1);
    const json_t *top = json_array_get(groups, 0);
    CHECK_STR(json_str_at(top, "name"), "top");
    CHECK_INT(json_array_size(json_object_get(top, "children")), 2);
    CHECK_INT(json_int_at(top, 0, "state_counts", "RUNNING"), 4);
    CHECK_INT(json_int_at(cluster, 0, "total_tasks"), 4);
    json_t *none;
    CHECK_INT(state_summarize_tasks(tasks, actors, "color", &none), -EINVAL);
}

/* An ended attempt wins over what its owner told before; a worker's word makes a call running. */
static void test_tasks_put_together(void **state) {
    UNUSED(state);
    JobId job = job_id_from_number(1);
    IdSource source;
    id_source_init(&source);
    TaskEvent events[3] = {
        { .task = task_id_make(&source, &job), .state = TASK_STATE_SUBMITTED_TO_WORKER },
        { .task = task_id_make(&source, &job), .state = TASK_STATE_SUBMITTED_TO_WORKER },
    };
    events[2] = events[0];
    events[2].state = TASK_STATE_FAILED;
    events[2].error = ERROR_KIND_APPLICATION;
    Buf bodies[3] = { 0 };
    Slice slices[3];
    for (size_t i = 0; i < 3; i++) {
        events[i].name = SLICE("f");
        task_event_encode(&events[i], &bodies[i]);
        slices[i] = buf_slice(&bodies[i]);
    }
    RunningTask running = { .task = events[1].task, .started_wall = 5000 };
    ProcessState process = { .tasks = slices,
                             .tasks_len = 2,
                             .tasks_total = 7,
                             .running = &running,
                             .running_len = 1,
                             .blocked = TASK_STATE_RUNNING };
    _cleanup_buf_ Buf told = { 0 };
    process_state_encode(&process, &told);
    ProcessEntry entry = { .answered = true, .pid = 42, .state = buf_slice(&told) };
    NodeDetails details = { .processes = &entry, .processes_len = 1 };
    StateWorld world = { .details = &details,
                         .details_len = 1,
                         .logs = "/logs",
                         .ended = { .tasks = &slices[2], .tasks_len = 1, .dropped = 2 } };
    _cleanup_json_ json_t *list =
        state_tasks(&world, &(StateOptions){ .exclude_driver = true, .detail = true });
    CHECK_INT(json_array_size(list), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *row = json_array_get(list, i);
        bool failed = str_eq(json_str_at(row, "state"), "FAILED");
        CHECK_STR(json_str_at(row, "state"), failed ? "FAILED" : "RUNNING");
        if (failed)
            CHECK_STR(json_str_at(row, "error_type"), "TASK_EXECUTION_EXCEPTION");
        else
            CHECK_INT(json_int_at(row, 0, "worker_pid"), 42);
    }
    CHECK_INT(state_tasks_total(&world, 2), 2 + 2 + 5);
    for (size_t i = 0; i < 3; i++)
        buf_done(&bodies[i]);
}

int main(void) {
    return TEST_RUN(TEST(test_lists), TEST(test_wrong_questions), TEST(test_lineage),
                    TEST(test_tasks_put_together));
}
