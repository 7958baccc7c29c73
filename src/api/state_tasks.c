/* SPDX-License-Identifier: Apache-2.0 */
#include "api/state.h"
#include "base/map.h"
#include "base/str.h"
#include "model/ids.h"
#include "model/resources.h"

/* Calls: those that have ended, as gcs keeps them; those that have not, as their owners tell; and which
 * of these run, as their workers tell. */

#define ID(id) state_id((id), sizeof(*(id)))

const char *state_task_state(unsigned state) {
    static const char *const names[] = {
        "NIL",
        "PENDING_ARGS_AVAIL",
        "PENDING_NODE_ASSIGNMENT",
        "PENDING_OBJ_STORE_MEM_AVAIL",
        "PENDING_ARGS_FETCH",
        "SUBMITTED_TO_WORKER",
        "PENDING_ACTOR_TASK_ARGS_FETCH",
        "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY",
        "RUNNING",
        "RUNNING_IN_RAY_GET",
        "RUNNING_IN_RAY_WAIT",
        "FINISHED",
        "FAILED",
    };
    return state < ARRAY_LEN(names) ? names[state] : "NIL";
}

static const char *const kinds[] = { "NORMAL_TASK", "ACTOR_CREATION_TASK", "ACTOR_TASK" };

static const char *const errors[] = {
    [ERROR_KIND_APPLICATION] = "TASK_EXECUTION_EXCEPTION",
    [ERROR_KIND_WORKER_CRASHED] = "WORKER_DIED",
    [ERROR_KIND_ACTOR_DIED] = "ACTOR_DIED",
    [ERROR_KIND_ACTOR_UNAVAILABLE] = "ACTOR_UNAVAILABLE",
    [ERROR_KIND_OBJECT_LOST] = "OBJECT_LOST",
    [ERROR_KIND_OWNER_DIED] = "OWNER_DIED",
    [ERROR_KIND_TASK_CANCELLED] = "TASK_CANCELLED",
    [ERROR_KIND_OBJECT_FREED] = "OBJECT_FREED",
    [ERROR_KIND_ENV_SETUP] = "RUNTIME_ENV_SETUP_FAILED",
    [ERROR_KIND_OUT_OF_MEMORY] = "OUT_OF_MEMORY",
    [ERROR_KIND_NODE_DIED] = "NODE_DIED",
    [ERROR_KIND_TASK_UNSCHEDULABLE] = "TASK_UNSCHEDULABLE_ERROR",
    [ERROR_KIND_ACTOR_UNSCHEDULABLE] = "ACTOR_UNSCHEDULABLE_ERROR",
    [ERROR_KIND_STORE_FULL] = "OUT_OF_MEMORY",
    [ERROR_KIND_OUT_OF_DISK] = "OUT_OF_DISK_ERROR",
    [ERROR_KIND_GROUP_REMOVED] = "TASK_PLACEMENT_GROUP_REMOVED",
    [ERROR_KIND_RAYLET_DIED] = "LOCAL_RAYLET_DIED",
    [ERROR_KIND_PENDING_CALLS] = "TASK_EXECUTION_EXCEPTION",
    [ERROR_KIND_RECONSTRUCTION] = "OBJECT_UNRECONSTRUCTABLE_MAX_ATTEMPTS_EXCEEDED",
    [ERROR_KIND_END_OF_STREAM] = "END_OF_STREAMING_GENERATOR",
    [ERROR_KIND_SYSTEM] = "WORKER_DIED",
    [ERROR_KIND_FETCH_TIMED_OUT] = "OBJECT_FETCH_TIMED_OUT",
    [ERROR_KIND_REPLAY] = "STREAMING_GENERATOR_REPLAY_INCONSISTENT",
};

/* One attempt, put together. */
typedef struct Listed {
    TaskEvent event;
    const char *state;
} Listed;

typedef struct AttemptKey {
    TaskId task;
    uint32_t attempt;
} AttemptKey;

typedef struct Running {
    const RunningTask *task;
    const ProcessEntry *process;
    uint8_t state;
} Running;

typedef struct Tasks {
    const StateWorld *world;
    Arena arena;
    Map seen;    /* AttemptKey -> Listed */
    Map running; /* AttemptKey -> Running */
    Map actors;  /* ActorId -> ActorInfo */
    json_t *rows;
} Tasks;

static AttemptKey key_of(const TaskId *task, uint32_t attempt) {
    AttemptKey key;
    memset(&key, 0, sizeof(key));
    key.task = *task;
    key.attempt = attempt;
    return key;
}

/* ---- one row ----------------------------------------------------------------------------------- */

static void add_event(json_t *events, const char *state, uint64_t wall) {
    if (wall)
        json_array_append_new(events, json_pack("{s:s,s:f}", "state", state, "created_ms",
                                                (double)(wall / USEC_PER_MSEC)));
}

static json_t *row_events(const TaskEvent *e, const char *state, bool actor) {
    json_t *events = json_array();
    add_event(events, "PENDING_ARGS_AVAIL", e->created_wall);
    add_event(events, "PENDING_NODE_ASSIGNMENT", e->queued_wall);
    add_event(events, "SUBMITTED_TO_WORKER", e->sent_wall);
    if (actor)
        add_event(events, "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY", e->started_wall);
    add_event(events, "RUNNING", e->started_wall);
    if (str_starts(state, "RUNNING_"))
        add_event(events, state, e->started_wall);
    if (e->ended_wall)
        add_event(events, state, e->ended_wall);
    return events;
}

static json_t *millis(uint64_t wall) {
    return wall ? json_integer((json_int_t)(wall / USEC_PER_MSEC)) : json_null();
}

static json_t *span(const char *event, const TaskEvent *e, json_t *extra) {
    return json_pack("{s:f,s:f,s:o,s:s}", "start_time", (double)e->started_wall / USEC_PER_MSEC,
                     "end_time", (double)e->ended_wall / USEC_PER_MSEC, "extra_data", extra,
                     "event_name", event);
}

static json_t *profiling(const Tasks *tasks, const TaskEvent *e, const NodeId *node) {
    const StateWorld *world = tasks->world;
    if (!e->started_wall || id_is_unset(&e->worker_id))
        return json_object();
    json_t *data = json_object(), *events = json_array();
    Slice ip = { 0 };
    for (size_t i = 0; node && i < world->nodes_len; i++)
        if (id_equal(&world->nodes[i].node, node))
            ip = world->nodes[i].ip;
    if (e->ended_wall) {
        _cleanup_free_ char *name = str_printf("task::%.*s", (int)e->name.len, e->name.data);
        json_t *extra = json_object();
        json_object_set_new(extra, "name", state_text(e->name));
        json_object_set_new(extra, "task_id", ID(&e->task));
        json_array_append_new(events, span("task:execute", e, json_object()));
        json_array_append_new(events, span(name, e, extra));
    }
    json_object_set_new(data, "component_type", json_string("worker"));
    json_object_set_new(data, "component_id", ID(&e->worker_id));
    json_object_set_new(data, "node_ip_address", state_text(ip));
    json_object_set_new(data, "events", events);
    return data;
}

/* The files that its worker prints to; an actor's belong to all of its calls. */
static json_t *log_info(const Tasks *tasks, const TaskEvent *e) {
    if (e->kind != CALL_KIND_TASK || !e->started_wall || !e->pid || id_is_unset(&e->worker_id))
        return json_null();
    JobId job = task_id_job(&e->task);
    _cleanup_free_ char *stem = str_printf("%s/worker-%s-%s-%u", tasks->world->logs,
                                           ID_HEX(&e->worker_id), ID_HEX(&job), e->pid);
    json_t *info = json_object();
    json_set_printf(info, "stdout_file", "%s.out", stem);
    json_set_printf(info, "stderr_file", "%s.err", stem);
    return info;
}

static json_t *env_info(Slice env) {
    json_t *config =
        json_pack("{s:i,s:b,s:[]}", "setup_timeout_seconds", 600, "eager_install", 1, "log_files");
    json_t *info = json_object();
    json_object_set_new(info, "serialized_runtime_env", state_text(env.len ? env : SLICE("{}")));
    json_object_set_new(info, "runtime_env_config", config);
    return info;
}

static json_t *row_resources(const TaskEvent *e) {
    json_t *resources = json_object();
    for (size_t i = 0; i < e->resources_len; i++)
        json_object_setn_new(resources, e->resources[i].name.data, e->resources[i].name.len,
                             json_real((double)e->resources[i].amount / (double)QUANTITY_ONE));
    return resources;
}

/* A named actor's creation and the calls of one with a repr of its own are called by these. */
static json_t *row_name(const Tasks *tasks, const TaskEvent *e, const ActorId *actor) {
    const ActorInfo *info = map_get(&tasks->actors, actor);
    const char *method = memrchr(e->name.data ? e->name.data : "", '.', e->name.len);
    json_t *named = json_object();
    if (info && e->kind == CALL_KIND_ACTOR_CREATE && info->name.len)
        json_set_printf(named, "", "%.*s:%.*s", (int)info->name.len, info->name.data,
                        (int)e->name.len, e->name.data);
    else if (info && e->kind == CALL_KIND_ACTOR_TASK && info->repr.len && !e->function.len &&
             method && !slice_eq(info->repr, info->class_name))
        json_set_printf(named, "", "%.*s.%.*s", (int)info->repr.len, info->repr.data,
                        (int)(e->name.data + e->name.len - method - 1), method + 1);
    json_t *value = json_object_get(named, "");
    json_t *name = value ? json_incref(value) : state_text(e->name);
    json_decref(named);
    return name;
}

static void row_detail(const Tasks *tasks, const Listed *listed, const NodeId *node, json_t *row) {
    const TaskEvent *e = &listed->event;
    bool failed = e->state == TASK_STATE_FAILED;
    json_t *labels = json_object();
    for (size_t i = 0; i < e->labels_len; i++)
        json_object_setn_new(labels, e->labels[i].key.data, e->labels[i].key.len,
                             state_text(e->labels[i].value));
    json_object_set_new(row, "language", json_string("PYTHON"));
    json_object_set_new(row, "required_resources", row_resources(e));
    json_object_set_new(row, "runtime_env_info", env_info(e->runtime_env));
    json_object_set_new(row, "placement_group_id", ID(&e->group));
    json_object_set_new(row, "events",
                        row_events(e, listed->state, e->kind == CALL_KIND_ACTOR_TASK));
    json_object_set_new(row, "profiling_data", profiling(tasks, e, node));
    json_object_set_new(row, "creation_time_ms", millis(e->created_wall));
    json_object_set_new(row, "start_time_ms", millis(e->started_wall));
    json_object_set_new(row, "end_time_ms", millis(e->ended_wall));
    json_object_set_new(row, "task_log_info", log_info(tasks, e));
    json_object_set_new(row, "label_selector", labels);
    json_object_set_new(row, "fallback_strategy", json_pack("{s:[]}", "options"));
    if (failed && e->error == ERROR_KIND_APPLICATION)
        json_set_printf(row, "error_message", "User exception:\n%.*s", (int)e->error_text.len,
                        e->error_text.data ? e->error_text.data : "");
    else if (failed)
        json_object_set_new(row, "error_message", state_text(e->error_text));
}

static void add_row(Tasks *tasks, const Listed *listed, bool detail) {
    const TaskEvent *e = &listed->event;
    JobId job = task_id_job(&e->task);
    ActorId actor = task_id_actor(&e->task);
    TaskId driver = task_id_driver(&job);
    NodeId node;
    bool placed = e->worker && state_node_of(tasks->world, e->worker, &node);
    json_t *row = json_object();
    json_object_set_new(row, "task_id", ID(&e->task));
    json_object_set_new(row, "attempt_number", json_integer(e->attempt));
    json_object_set_new(row, "name", row_name(tasks, e, &actor));
    json_object_set_new(row, "state", json_string(listed->state));
    json_object_set_new(row, "job_id", ID(&job));
    json_object_set_new(row, "actor_id", e->kind == CALL_KIND_TASK ? json_null() : ID(&actor));
    json_object_set_new(row, "type",
                        json_string(kinds[MIN((size_t)e->kind, ARRAY_LEN(kinds) - 1)]));
    json_object_set_new(row, "func_or_class_name",
                        state_text(e->function.len ? e->function : e->name));
    json_object_set_new(row, "parent_task_id", ID(id_is_unset(&e->parent) ? &driver : &e->parent));
    json_object_set_new(row, "node_id", placed ? ID(&node) : json_null());
    json_object_set_new(row, "worker_id", ID(&e->worker_id));
    json_object_set_new(row, "worker_pid", e->pid ? json_integer(e->pid) : json_null());
    json_object_set_new(row, "error_type",
                        e->state == TASK_STATE_FAILED && e->error < ARRAY_LEN(errors) &&
                                errors[e->error]
                            ? json_string(errors[e->error])
                            : json_null());
    if (detail)
        row_detail(tasks, listed, placed ? &node : NULL, row);
    json_array_append_new(tasks->rows, row);
}

/* ---- all ----------------------------------------------------------------------------------------- */

/* What a worker says it runs is running, whatever else is known. */
static void see(Tasks *tasks, const Slice *encoded, bool ended) {
    Listed *listed = arena_new(&tasks->arena, Listed);
    TaskEvent *e = &listed->event;
    if (task_event_decode(e, encoded->data, encoded->len, &tasks->arena) < 0)
        return;
    AttemptKey key = key_of(&e->task, e->attempt);
    const Running *running = map_get(&tasks->running, &key);
    if (map_get(&tasks->seen, &key))
        return;
    listed->state = state_task_state(e->state);
    if (!ended && running) {
        listed->state = state_task_state(running->state);
        e->started_wall = running->task->started_wall;
        e->worker = running->process->peer;
        e->worker_id = running->process->worker_id;
        e->pid = running->process->pid;
    }
    map_put(&tasks->seen, &key, listed);
}

static void take_running(Tasks *tasks, const ProcessEntry *process, const ProcessState *state) {
    for (size_t i = 0; i < state->running_len; i++) {
        Running *running = arena_new(&tasks->arena, Running);
        *running = (Running){ &state->running[i], process, state->blocked };
        AttemptKey key = key_of(&state->running[i].task, state->running[i].attempt);
        map_put(&tasks->running, &key, running);
    }
}

static void see_processes(Tasks *tasks) {
    const StateWorld *world = tasks->world;
    size_t len = 0, all = 0;
    for (size_t i = 0; i < world->details_len; i++)
        all += world->details[i].processes_len;
    ProcessState *states = arena_array(&tasks->arena, ProcessState, all + 1);
    for (size_t i = 0; i < world->details_len; i++)
        for (size_t k = 0; k < world->details[i].processes_len; k++) {
            const ProcessEntry *p = &world->details[i].processes[k];
            if (p->answered &&
                process_state_decode(&states[len], p->state.data, p->state.len, &tasks->arena) == 0)
                take_running(tasks, p, &states[len++]);
        }
    for (size_t i = 0; i < len; i++)
        for (size_t k = 0; k < states[i].tasks_len; k++)
            see(tasks, &states[i].tasks[k], false);
}

/* A driver is the task whose calls have no other parent. */
static void add_drivers(Tasks *tasks) {
    const JobTable *jobs = &tasks->world->jobs;
    for (size_t i = 0; i < jobs->jobs_len; i++) {
        const JobInfo *job = &jobs->jobs[i];
        TaskId task = task_id_driver(&job->job);
        NodeId node;
        json_t *row = json_object();
        json_object_set_new(row, "task_id", json_string(ID_HEX(&task)));
        json_object_set_new(row, "attempt_number", json_integer(0));
        json_object_set_new(row, "name", json_string(""));
        json_object_set_new(row, "state", json_string(job->finished ? "FINISHED" : "RUNNING"));
        json_object_set_new(row, "job_id", ID(&job->job));
        json_object_set_new(row, "type", json_string("DRIVER_TASK"));
        json_object_set_new(row, "func_or_class_name", json_string(""));
        json_object_set_new(row, "parent_task_id", json_string(""));
        if (state_node_of(tasks->world, job->driver, &node))
            json_object_set_new(row, "node_id", ID(&node));
        json_object_set_new(row, "worker_pid", json_integer(job->pid));
        json_object_set_new(row, "start_time_ms", json_integer((json_int_t)job->started_wall));
        json_object_set_new(row, "end_time_ms",
                            job->finished ? json_integer((json_int_t)job->ended_wall)
                                          : json_null());
        json_array_append_new(tasks->rows, row);
    }
}

json_t *state_tasks(const StateWorld *world, const StateOptions *options) {
    Tasks tasks = { .world = world, .rows = json_array() };
    map_init(&tasks.seen, sizeof(AttemptKey));
    map_init(&tasks.running, sizeof(AttemptKey));
    map_init(&tasks.actors, sizeof(ActorId));
    for (size_t i = 0; i < world->actors.actors_len; i++)
        map_put(&tasks.actors, &world->actors.actors[i].actor, &world->actors.actors[i]);
    for (size_t i = 0; i < world->ended.tasks_len; i++)
        see(&tasks, &world->ended.tasks[i], true);
    see_processes(&tasks);
    const Listed *listed;
    MAP_EACH(&tasks.seen, pos, listed)
        add_row(&tasks, listed, options->detail);
    if (!options->exclude_driver)
        add_drivers(&tasks);
    map_done(&tasks.seen);
    map_done(&tasks.running);
    map_done(&tasks.actors);
    arena_done(&tasks.arena);
    return tasks.rows;
}

uint64_t state_tasks_total(const StateWorld *world, size_t listed) {
    uint64_t unlisted = world->ended.dropped;
    for (size_t i = 0; i < world->details_len; i++)
        for (size_t k = 0; k < world->details[i].processes_len; k++) {
            _cleanup_arena_ Arena arena = { 0 };
            const ProcessEntry *p = &world->details[i].processes[k];
            ProcessState state;
            if (p->answered &&
                process_state_decode(&state, p->state.data, p->state.len, &arena) == 0)
                unlisted += state.tasks_total - MIN(state.tasks_total, (uint64_t)state.tasks_len);
        }
    return listed + unlisted;
}
